"""python -m symgauss.codegen: write `numeric/generated/`, or with --check say whether it is up to date."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from symgauss.codegen import source

TARGET = Path(__file__).parents[2] / "numeric" / "generated"


def problems(target: Path, files: dict[str, str]) -> list[str]:
    """What differs between the folder and what the formulas give: stale or edited, missing, orphaned."""
    found = {path.relative_to(target).as_posix(): path for path in target.rglob("*.py")}
    lines = [f"missing: {name}" for name in files if name not in found]
    lines += [f"orphaned: {name} (no activation of the catalogue makes it)" for name in found if name not in files]
    lines += [
        f"stale or edited: {name} (differs from what its formula gives)"
        for name, path in found.items()
        if name in files and path.read_text(encoding="utf-8") != files[name]
    ]
    return sorted(lines)


def write(target: Path, files: dict[str, str]) -> list[str]:
    """Bring the folder up to date, each file by renaming a finished one; returns what was done."""
    done = problems(target, files)
    for name, text in files.items():
        path = target / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    for path in target.rglob("*.py"):
        if path.relative_to(target).as_posix() not in files:
            path.unlink()
    return done


def main(arguments: list[str] | None = None) -> int:
    """The command; exit status 1 when --check finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m symgauss.codegen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not up to date")
    parser.add_argument("--target", type=Path, default=TARGET, help="folder of the generated modules")
    options = parser.parse_args(arguments)
    if options.target == TARGET and not (TARGET.parents[1] / "pyproject.toml").exists():
        parser.error(f"{options.target} is not in a checkout of symgauss; kernels are generated there only.")
    files = source.catalogue()
    if not options.check:
        for line in write(options.target, files):
            print(line.replace("missing", "new").replace("stale or edited", "updated"))
        print(f"{options.target}: {len(files)} files up to date")
        return 0
    found = problems(options.target, files)
    print("\n".join(found) or f"{len(files)} generated files up to date")
    if found:
        print("Run `python -m symgauss.codegen` to write them.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
