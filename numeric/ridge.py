"""Evaluating x ↦ W_out g(V_1 (x − c) + a_1, V_2 (x − c) + a_2, …) + b_out for a batch, in blocks.

Networks and their polynomial approximations share this shape: an MLP has one projection V_1, a gated layer
two. They differ in the pointwise g.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.blocks import row_blocks
from numeric.device.arrays import cast, empty, moved, namespace

# Preactivations of 1024 inputs at 16384 neurons: matrix products at full speed, 64 MiB in float32.
_BLOCK = 2**24

Projection = tuple[NDArray[Any], NDArray[Any] | None]
Pointwise = Callable[..., NDArray[Any]]


def evaluate_ridges(
    x: NDArray[Any],
    projections: Sequence[Projection],
    W_out: NDArray[Any] | None,
    b_out: NDArray[Any] | None,
    pointwise: Pointwise,
    center: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """The map above for points x of shape (…, d_in), in the result type of x and all matrices.

    `projections` are the pairs (V, a), V of shape (n_hidden, d_in), a of shape (n_hidden,) or None.
    `pointwise(neurons, y_1, y_2, …)` gets the values of all projections for a block of inputs at the neurons of
    a slice, may overwrite them, and returns values of the same shape. Without `W_out` these are the outputs.
    float16 is computed in float32. All arrays but `center` are in one library and on one device.
    """
    xp = namespace(x)
    matrices = [V for V, _ in projections] + ([] if W_out is None else [W_out])
    dtype = xp.result_type(x, *matrices)
    work = xp.result_type(dtype, xp.float32)
    n_hidden, d_in = matrices[0].shape
    d_out = n_hidden if W_out is None else W_out.shape[0]
    batch = xp.reshape(x, (-1, d_in))
    center = None if center is None else moved(center, x)
    out = empty((batch.shape[0], d_out), dtype, x)
    mixed = any(matrix.dtype != work for matrix in matrices)
    neuron_blocks = list(row_blocks(n_hidden, max(d_in, d_out))) if mixed else [slice(0, n_hidden)]
    for rows in row_blocks(batch.shape[0], n_hidden * len(projections), _BLOCK):
        z = cast(batch[rows, :] if center is None else batch[rows, :] - center, work)
        result = xp.zeros_like(out[rows, :], dtype=work) if len(neuron_blocks) > 1 else None
        for neurons in neuron_blocks:
            values = pointwise(neurons, *(_project(z, V, a, neurons) for V, a in projections))
            if W_out is None:
                term, columns = values, neurons
            else:
                term, columns = values @ cast(W_out[:, neurons], work).T, slice(None)
            if result is None:
                result = term
            else:
                result[:, columns] += term
        assert result is not None
        out[rows, :] = cast(result if b_out is None else result + cast(b_out, work), dtype)
    return xp.reshape(out, (*x.shape[:-1], d_out))


def _project(z: NDArray[Any], V: NDArray[Any], a: NDArray[Any] | None, neurons: slice) -> NDArray[Any]:
    y = z @ cast(V[neurons, :], z.dtype).T
    if a is not None:
        y += cast(a[neurons], z.dtype)
    return y
