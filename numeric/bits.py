"""The 64 bits of a double as an integer, and back: how kernels get at exponents."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from numeric.jit import interpreted


def _bitcast(signature: Any, target: ir.Type) -> Any:
    """A function that reads the 64 bits of its argument as another type."""

    def typed(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
            return builder.bitcast(arguments[0], target)

        return signature, generate

    return intrinsic(typed)


from_bits = _bitcast(types.float64(types.int64), ir.DoubleType())
to_bits = _bitcast(types.int64(types.float64), ir.IntType(64))
if interpreted():
    # NUMBA_DISABLE_JIT=1, to step through kernels: the same bits by NumPy
    from_bits = lambda word: np.int64(word).view(np.float64)  # noqa: E731
    to_bits = lambda number: np.float64(number).view(np.int64)  # noqa: E731
