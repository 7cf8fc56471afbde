"""Which outputs of several layers are solved for together: a run of them at a time, all layers counted through."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from numeric.device.arrays import host, is_out_of_memory, moved
from numeric.layers import GLU, MLP
from numeric.mixture.arrays import like

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """Some outputs of one of several layers.

    Attributes:
        number: which layer.
        rows: which of its outputs.
    """

    number: int
    rows: slice


def pieces(counts: Sequence[int], first: int, stop: int) -> list[Piece]:
    """The outputs from `first` up to `stop`, of layers with so many outputs each."""
    found, start = [], 0
    for number, count in enumerate(counts):
        rows = slice(max(first - start, 0), min(stop - start, count))
        if rows.start < rows.stop:
            found.append(Piece(number, rows))
        start += count
    return found


def of_outputs(layer: MLP | GLU, rows: slice) -> MLP | GLU:
    """The layer with these of its outputs alone: itself, if they are all of them."""
    if rows == slice(0, layer.d_out):
        return layer
    b_out = None if layer.b_out is None else layer.b_out[rows]
    if layer.W_out is not None:
        ends = (layer.W_out[rows, :], b_out, layer.activation)
        (V, a), *up = layer.projections
        return GLU(V, a, *up[0], *ends) if up else MLP(V, a, *ends)
    # the neurons are the outputs
    gate, up = ((V[rows, :], None if a is None else a[rows]) for V, a in layer.projections)
    return GLU(*gate, *up, None, b_out, layer.activation)


@dataclass
class Found:
    """What has been solved of a layer so far: coefficients, what is left to gain, and iterations, piece by piece.

    Attributes:
        d_out: how many outputs there are.
    """

    d_out: int
    _tensors: list[list[Any]] = field(default_factory=list)
    _errors: list[Float64] = field(default_factory=list)
    _iterations: int = 0

    def add(self, tensors: list[Any], error: Float64, iterations: int) -> None:
        """The next piece."""
        self._tensors.append(tensors)
        self._errors.append(error)
        self._iterations = max(self._iterations, iterations)

    def gather(self) -> None:
        """Put the pieces together, if all of them are there."""
        if sum(map(len, self._errors)) == self.d_out:
            tensors = [self._order(k) for k in range(len(self._tensors[0]))]
            self._tensors, self._errors = [tensors], [np.concatenate(self._errors)]

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, and all of it is in one piece."""
        return len(self._errors) == 1 and len(self._errors[0]) == self.d_out

    def whole(self) -> tuple[list[Any], Float64, int]:
        """All of it, where it is complete."""
        return self._tensors[0], self._errors[0], self._iterations

    def _order(self, k: int) -> Any:
        """The coefficients of order k; of several pieces by way of the CPU, if a device cannot hold them twice."""
        parts = [tensors[k] for tensors in self._tensors]
        try:
            return joined(parts)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        known, there = np.concatenate([host(part) for part in parts]), like(np.zeros(0), parts[0])
        parts.clear()
        for tensors in self._tensors:  # their memory is what the whole will take
            tensors[k] = there
        return moved(known, there)


def joined(parts: list[Any]) -> Any:
    """One below the other; a single one is not copied."""
    return parts[0] if len(parts) == 1 else array_namespace(parts[0]).concat(parts, axis=0)
