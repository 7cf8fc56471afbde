"""All the normal equations of a quadratic, where they are few: solved at once, and exactly."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from numeric.dense import CoefficientsTooLarge, available_memory
from numeric.mixture.operator import MomentOperator
from numeric.mixture.preconditioner import NEVER
from numeric.normal_equations import solve_normal_equations

Float64 = NDArray[np.float64]

# Up to so many variables, 861 unknowns, this takes less time than the iteration.
DIRECT = 40
# Arrays of the size of an image of all unknowns, and of the matrix, that there are at a time.
_ARRAYS, _MATRICES = 4, 5


class DirectSolver:
    """Solves for rows of numbers as in `MomentOperator`, with the matrix that the operator is.

    Where the solution is not unique, on hyperplanes, it is the one with the smallest coefficients, each times the
    root mean square of its feature.

    Raises:
        CoefficientsTooLarge: a matrix that does not fit into memory.
    """

    def __init__(self, operator: MomentOperator) -> None:
        self._operator = operator
        r, size = operator.dim, operator.size
        count = (r + 1) * (r + 2) // 2
        needed = 8 * count * (_ARRAYS * size + _MATRICES * count)
        if needed > (available := available_memory()):
            raise CoefficientsTooLarge(
                f'method: "direct" in {r} variables takes {needed:,} bytes, more than the {available:,} available; '
                '"iterative" forms no matrix',
                needed,
            )

    @cached_property
    def _basis(self) -> Float64:
        """An orthonormal basis of the quadratics, (F, 1 + r + r²): symmetric matrices have fewer entries than r²."""
        r = self._operator.dim
        i, j = np.triu_indices(r)
        count = 1 + r + len(i)
        basis = np.zeros((count, self._operator.size))
        basis[: 1 + r, : 1 + r] = np.eye(1 + r)
        rows, share = np.arange(1 + r, count), np.where(i == j, 1.0, np.sqrt(0.5))
        basis[rows, 1 + r + i * r + j] = share
        basis[rows, 1 + r + j * r + i] = share
        return basis

    @cached_property
    def _gram(self) -> Float64:
        gram = self._operator(self._basis) @ self._basis.T
        return 0.5 * (gram + gram.T)

    @cached_property
    def _scale(self) -> Float64:
        """One over the deviation of every feature, 0 where that is rounding."""
        diagonal = np.diagonal(self._gram)
        return np.divide(1.0, np.sqrt(np.abs(diagonal)), out=np.zeros(len(diagonal)), where=diagonal > NEVER)

    def __call__(self, right: Float64) -> Float64:
        """The solutions for right-hand sides (n, 1 + r + r²)."""
        scale = self._scale[:, None]
        solved = scale * solve_normal_equations(scale * self._gram * scale.T, scale * (self._basis @ right.T))
        return solved.T @ self._basis
