"""What kernels take from Numba's CUDA target, all in one place: decorators, bits, fused operations, mathematics.

`from numba import cuda` is Numba's own target, the package numba-cuda where that is installed, or, with
NUMBA_ENABLE_CUDASIM=1, the simulator, in which a kernel is ordinary Python. There libdevice stores NaN without a
word and `math` raises errors instead of overflowing, so that NumPy stands in, which keeps the precision of its
arguments as well.
"""

import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda
from numba.core import config as numba_config
from scipy import special

_config: Any = numba_config
SIMULATED = bool(_config.ENABLE_CUDASIM)


def _same(function: Callable) -> Callable:
    return function


def device(function: Callable) -> Any:
    """A function that kernels call."""
    return _same(function) if SIMULATED else cuda.jit(device=True)(function)


def _simulated_mathematics() -> Any:
    same = ("copysign", "cos", "cosh", "exp", "expm1", "floor", "log", "log1p", "sin", "sinh", "sqrt", "tanh")
    others = {"asinh": np.arcsinh, "atan": np.arctan, "erf": special.erf, "inf": math.inf, "nan": math.nan}
    return types.SimpleNamespace(**{name: getattr(np, name) for name in same}, **others)


def _simulated_fma(x, y, z):
    # the product of two singles is exact in a double; kernels in double precision do without
    return type(z)(np.float64(x) * np.float64(y) + np.float64(z))


def _fma(x, y, z):
    return cuda.fma(x, y, z)  # type: ignore[reportAttributeAccessIssue]


if SIMULATED:
    mathematics: Any = _simulated_mathematics()
    from_bits: Any = lambda word: np.int64(word).view(np.float64)  # noqa: E731
    to_bits: Any = lambda number: np.float64(number).view(np.int64)  # noqa: E731
    fma: Any = _simulated_fma
else:
    from numba.cuda import libdevice

    mathematics = math
    from_bits = device(lambda word: libdevice.longlong_as_double(word))
    to_bits = device(lambda number: libdevice.double_as_longlong(number))
    fma = device(_fma)


# Python's own; Numba 0.68 tries to compile a function of any number of arguments for them, and fails on CUDA. A
# comparison, unlike CUDA's fmax, also keeps a NaN that is the first argument.
@device
def smaller(x, y):
    return y if y < x else x


@device
def larger(x, y):
    return y if y > x else x
