"""What was compiled before, kept between processes: derivations take a second or two, reading takes none.

Files lie in the user's cache folder, under a name made of all of symgauss's sources and SymPy's version: an
answer of other code is never found. Losing them costs time, nothing else, so every failure is silent.
"""

import hashlib
import json
import os
import tempfile
from functools import cache
from pathlib import Path

import sympy

_PACKAGE = Path(__file__).parents[1]


@cache
def _folder() -> Path:
    digest = hashlib.sha256(sympy.__version__.encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = given if given.is_absolute() else Path.home() / ".cache"
    return base / "symgauss" / f"derived-{digest.hexdigest()[:16]}"


def _path(question: str) -> Path:
    return _folder() / f"{hashlib.sha256(question.encode()).hexdigest()[:32]}.json"


def recall(question: str) -> dict | None:
    """The answer kept for this question, or None."""
    try:
        kept = json.loads(_path(question).read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return None
    return kept["answer"] if isinstance(kept, dict) and kept.get("question") == question else None


def keep(question: str, answer: dict) -> None:
    """Keep an answer, in a file that is renamed into its place when it is complete."""
    try:
        path = _path(question)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"question": question, "answer": answer}, file)
        os.replace(temporary, path)
    except (OSError, RuntimeError):  # a read-only home, or none
        return
