"""python -m numeric.cuda check: compiles every kernel for a GPU, also where there is none."""

import sys

from numeric.cuda import check


def main() -> int:
    """The command; returns the exit status."""
    given = sys.argv[1:]
    if given[:1] != ["check"]:
        print("usage: python -m numeric.cuda check [--help]", file=sys.stderr)
        return 0 if given in (["-h"], ["--help"]) else 2
    return check.main(given[1:])


if __name__ == "__main__":
    sys.exit(main())
