"""numeric: the compiled side of symgauss. Fast Gaussian moments, and layers as polynomials.

>>> layer = MLP(W_in, b_in, W_out, b_out, activation="gelu")
>>> p = approximate(layer, Gaussian.from_samples(X), degree=2)
>>> p(x), p.linear, p.quadratic
>>> hermite_coefficients("relu", mean=0.0, std=1.0)
array([0.39894228, 0.5       , 0.39894228])
"""

import ast
from importlib import import_module
from pkgutil import get_data
from typing import Any

# Names are loaded when they are first used: the command line must not wait for Numba to say --help. Listed they are
# once, in the stub, which is also what type checkers and editors read.
_HOMES = {
    name.name: str(statement.module)
    for statement in ast.parse(get_data(__name__, "__init__.pyi") or b"").body
    if isinstance(statement, ast.ImportFrom)
    for name in statement.names
}
__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
