"""All benchmarks, one after the other: `make bench`. What they print also goes to tests/benchmarks/results/.

    python -m tests.benchmarks [--quick]

Each figure is a ratio to a floor or a peer in the same run. Close other programs first.
"""

import argparse
import subprocess
import sys

from tests.benchmarks.timing import machine, record

QUICK = {
    "moments": ["--repeats", "5"],
    "bivariate": ["--repeats", "3"],
    "convert": ["--small", "--repeats", "3"],
    "variance": ["--small", "--repeats", "1"],
    "spectral": ["--small"],
    "mixture": ["--small"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and few repeats; nothing is recorded")
    quick = parser.parse_args().quick
    for name, options in QUICK.items():
        command = [sys.executable, "-m", f"tests.benchmarks.bench_{name}", *(options if quick else [])]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        report = f"{machine()}\n\n{output}"
        print(report)
        if not quick:
            record(name, report)


if __name__ == "__main__":
    main()
