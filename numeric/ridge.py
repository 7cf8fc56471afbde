"""Evaluating x ↦ W_out g(W_in (x − c) + b_in) + b_out for a batch, in blocks.

A network and its polynomial approximation share this shape; they differ in the pointwise g.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.blocks import row_blocks

# Preactivations of 1024 inputs at 16384 neurons: matrix products at full speed, 64 MiB in float32.
_BLOCK = 2**24

Pointwise = Callable[[NDArray[Any], slice], NDArray[Any]]


def evaluate_ridges(
    x: NDArray[Any],
    W_in: NDArray[Any],
    b_in: NDArray[Any] | None,
    W_out: NDArray[Any],
    b_out: NDArray[Any] | None,
    pointwise: Pointwise,
    center: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """The map above for points x of shape (…, d_in), in `result_type(x, W_in, W_out)`.

    `pointwise(y, neurons)` gets the preactivations of a block of inputs at the neurons of a slice, may
    overwrite them, and returns values of the same shape. float16 is computed in float32.
    """
    dtype = np.result_type(x, W_in, W_out)
    work = np.result_type(dtype, np.float32)
    n_hidden, d_in = W_in.shape
    batch = x.reshape(-1, d_in)
    out = np.empty((len(batch), len(W_out)), dtype)
    cast = W_in.dtype != work or W_out.dtype != work
    neuron_blocks = list(row_blocks(n_hidden, max(d_in, len(W_out)))) if cast else [slice(0, n_hidden)]
    for rows in row_blocks(len(batch), n_hidden, _BLOCK):
        z = batch[rows] if center is None else batch[rows] - center
        z = z.astype(work, copy=False)
        result = None
        for neurons in neuron_blocks:
            y = z @ W_in[neurons].astype(work, copy=False).T
            if b_in is not None:
                y += b_in[neurons]
            term = pointwise(y, neurons) @ W_out[:, neurons].astype(work, copy=False).T
            result = term if result is None else np.add(result, term, out=result)
        assert result is not None
        out[rows] = result if b_out is None else result + b_out.astype(work, copy=False)
    return out.reshape(*x.shape[:-1], len(W_out))
