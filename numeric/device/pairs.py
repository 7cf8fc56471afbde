"""Residual covariances of blocks of pairs of neurons on a device, and how large the blocks may be.

On CUDA the series are kernels of their own. In any other library, which has no loops over pairs, a block goes to the
CPU and back.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from numeric import pairs
from numeric.device.arrays import Float64, free_bytes, host, moved, namespace, on_cuda, place
from numeric.residuals import TERMS, Residuals

# Rows and columns of a block: nothing is gained by larger ones, and smaller ones leave a device waiting.
_LARGEST, _SMALLEST = 2048, 64
# The share of the free memory that blocks may take.
_SHARE = 0.5
_DOUBLE = 8


def block_size(W: Any, d_out: int, numbers: int, gated: bool) -> int:
    """How many neurons to take at a time; `numbers` of float64 are kept of all neurons together.

    Raises:
        MemoryError: even small blocks need more than is free.
    """
    most = _SHARE * free_bytes(W)
    size = min(_LARGEST, W.shape[0])
    while size > _SMALLEST and bytes_needed(size, W.shape[1], d_out, numbers, gated) > most:
        size //= 2
    needed = bytes_needed(size, W.shape[1], d_out, numbers, gated)
    if needed > most:
        raise out_of_memory(W, needed)
    return size


def bytes_needed(size: int, d_in: int, d_out: int, numbers: int, gated: bool) -> int:
    """The memory that blocks of size² pairs take, about."""
    squares, rows = (16, 10) if gated else (8, 5)
    return _DOUBLE * (squares * size**2 + size * (rows * d_in + 6 * d_out) + numbers)


def out_of_memory(W: Any, needed: float) -> MemoryError:
    """What to say where memory does not suffice."""
    return MemoryError(
        f"the exact variance takes about {needed / 2**30:.1f} GiB on the device beside the weights, of which "
        f"{free_bytes(W) / 2**30:.1f} GiB are free ({place(W)}); free some, or ask .cpu() of the polynomial for it"
    )


class Tables:
    """What the series of all neurons are made of, where they are summed: on CUDA, or else on the CPU.

    Args:
        made: the residuals of all neurons.
        W: an array where the pairs will be.
    """

    def __init__(self, made: Residuals, W: Any) -> None:
        self.made, self.template = made, W if on_cuda(W) else made.alpha
        self.gated = made.beta.shape[1] > 0
        terms = int((made.alpha.shape[1] >= TERMS).sum())
        self.alpha, self.beta = moved(made.alpha, self.template), moved(made.beta, self.template)
        self.rest = moved(np.sqrt(made.beyond[:, terms - 1]), self.template)

    def series(self, rows: slice, columns: slice, g: Any, c12: Any, c21: Any, c22: Any) -> Any:
        """The series of a block of pairs, with the arguments of `numeric.pairs`; NaN where one is too long."""
        both = [self.alpha[some, :] for some in (rows, columns)]
        if self.gated:
            both = [both[0], self.beta[rows, :], both[1], self.beta[columns, :]]
        rests = self.rest[rows], self.rest[columns]
        ends = (moved(a, self.template) for a in pairs.reach(self.made, self.made, rows, columns, self.gated))
        function, place = self._function()
        crossed = [place(c) for c in ((g, c12, c21, c22) if self.gated else (g,))]
        found = namespace(crossed[0]).zeros_like(crossed[0])
        function(*both, *rests, *crossed, *ends, self.made.degree + 1, found)
        return moved(found, g) if isinstance(found, np.ndarray) else found

    def _function(self) -> tuple[Callable[..., None], Callable[[Any], Any]]:
        """What sums the series, and what brings a matrix to it, in C order."""
        if isinstance(self.template, np.ndarray):
            return (pairs.gated if self.gated else pairs.ungated), lambda c: np.ascontiguousarray(host(c))
        from numeric import cuda
        from numeric.cuda.launch import contiguous

        return (cuda.gated_series if self.gated else cuda.ungated_series), lambda c: contiguous(c, "double")


def below_diagonal_zero(found: Any, rows: slice, columns: slice, variance: Float64) -> Any:
    """Every pair once, and half the variances where a neuron is paired with itself."""
    if columns.start >= rows.stop:
        return found
    xp = namespace(found)
    i = moved(np.arange(rows.start, rows.stop), found)[:, None]
    j = moved(np.arange(columns.start, columns.stop), found)[None, :]
    half = moved(0.5 * variance[rows], found)[:, None]
    found = xp.where(j <= i, xp.zeros_like(found), found)
    return found + xp.where(j == i, half, xp.zeros_like(found))
