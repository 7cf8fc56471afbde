"""How kernels are compiled: two decorators and the folder their machine code is cached in.

`device` functions are scalar, are inlined into whatever calls them, and are the same source for every
target. `loop` functions run over contiguous arrays and are what gets compiled and cached.

Floating point: `contract` lets the compiler fuse a·b + c, which only helps accuracy here; every other
"fast" rewriting would break the error budgets of `special.py`. `error_model="numpy"` makes 0/0 a NaN
instead of an exception, without which nothing vectorises.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core import config as numba_config

# Numba defines its settings while it is imported, out of sight of type checkers.
_config: Any = numba_config
_OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
_PACKAGE = Path(__file__).parent


def _sources() -> list[Path]:
    return sorted(_PACKAGE.rglob("*.py"))


def _cache_folder() -> str:
    """The folder of compiled kernels, named after everything that is compiled into them.

    Numba looks only at the file that holds a cached function, not at the helpers it inlines: with one
    folder per state of all sources a changed helper can never meet an old kernel.
    """
    digest = hashlib.sha256(numba.__version__.encode())
    for path in _sources():
        digest.update(path.read_bytes())
    name = f"kernels-{digest.hexdigest()[:16]}"
    try:
        folder = _user_cache() / name
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError):  # a read-only home, or none: kernels are compiled anew in every process
        folder = Path(tempfile.mkdtemp(prefix="symgauss-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(folder)


def _user_cache() -> Path:
    """NUMBA_CACHE_DIR, or symgauss in the user's cache folder (a relative XDG_CACHE_HOME does not count)."""
    if _config.CACHE_DIR:
        return Path(_config.CACHE_DIR)
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "symgauss"


CACHE_FOLDER = _cache_folder()


def interpreted() -> bool:
    """Whether Numba was told not to compile."""
    return bool(_config.DISABLE_JIT)


def device(function: Callable) -> Any:
    """Compile a scalar function that is inlined wherever it is called."""
    return njit(forceinline=True, **_OPTIONS)(function)


def loop(function: Callable) -> Any:
    """Compile a loop over contiguous arrays, cached in `CACHE_FOLDER`; it runs without the GIL."""
    previous = _config.CACHE_DIR
    _config.CACHE_DIR = CACHE_FOLDER  # read by Numba while it decorates, and only then
    try:
        return njit(cache=True, nogil=True, **_OPTIONS)(function)
    finally:
        _config.CACHE_DIR = previous
