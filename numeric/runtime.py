"""Kernels that are not checked in: source text written as modules into the cache folder, and imported from there.

Numba caches compiled code only of functions that live in files, so the text that `symgauss.compile` makes becomes
two files next to the compiled kernels. They are named after what is in them: processes share them, and a
changed activation never meets old code.
"""

import importlib.util
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from numeric import jit


@dataclass(frozen=True)
class Source:
    """What `symgauss.compile` made, without symgauss: it pickles into processes that have no SymPy."""

    name: str
    key: str
    formulas: str = field(repr=False)
    loops: str = field(repr=False)

    @property
    def module(self) -> str:
        return f"symgauss_kernels_{self.name}_{self.key}"


def source_of(compiled: Any) -> Source:
    """The text of anything that has name, key, formulas and loops."""
    return Source(compiled.name, compiled.key, compiled.formulas, compiled.loops)


def load(source: Source) -> ModuleType:
    """The loops of an activation as a module."""
    name = f"{source.module}_loops"
    if name not in sys.modules:
        folder = Path(jit.CACHE_FOLDER) / "activations"
        _import(source.module, _written(folder, source.module, source.formulas))
        _import(name, _written(folder, name, source.loops))
    return sys.modules[name]


def _written(folder: Path, name: str, text: str) -> Path:
    """The file that holds the text, renamed into its place when it is complete."""
    path = folder / f"{name}.py"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
    return path


def _import(name: str, path: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
