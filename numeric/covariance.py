"""The forms a covariance comes in, each with the cheapest way to project it onto many directions.

Σ is the identity, a diagonal, a factor (Σ = F Fᵀ, F thin or not) or a full matrix. Converting a layer
needs one thing of it, the standard deviations √(wᵀ Σ w) for all rows w of a weight matrix, and that is
where the forms differ: none, an elementwise, a thin, and a d×d product.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.blocks import row_blocks

Float64 = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)

# A computed wᵀ Σ w carries an absolute error of a few ε (Σ_j |w_j| √Σ_jj)²: from the sums, and from the
# rounding of the entries of Σ themselves. Below that it says nothing, and √ would make 1e-8 out of 1e-16.
_NOISE = 8 * _EPSILON

# Columns taken at a time by `_quadratic_forms`: wide enough for BLAS, narrow enough that almost half of
# the product is saved.
_PANEL = 128
# Rows at a time: what is made of them fits the cache, and the panels of Σ are still read seldom.
_ROWS = 2**20


@dataclass(frozen=True, eq=False)
class Identity:
    """Σ = I."""

    dim: int

    def standard_deviations(self, W: NDArray[Any]) -> Float64:
        return _row_norms(W, lambda block: block)

    def deviations(self) -> Float64:
        return np.ones(self.dim)

    def dense(self) -> Float64:
        return np.eye(self.dim)

    def draw(self, n: int, rng: np.random.Generator) -> Float64:
        return rng.standard_normal((n, self.dim))

    def __str__(self) -> str:
        return "identity covariance"


@dataclass(frozen=True, eq=False)
class Diagonal:
    """Σ = diag(variances)."""

    variances: Float64

    def standard_deviations(self, W: NDArray[Any]) -> Float64:
        root = self.deviations()
        return _row_norms(W, lambda block: block * root)

    def deviations(self) -> Float64:
        return np.sqrt(self.variances)

    def dense(self) -> Float64:
        return np.diag(self.variances)

    def draw(self, n: int, rng: np.random.Generator) -> Float64:
        return rng.standard_normal((n, len(self.variances))) * np.sqrt(self.variances)

    def __str__(self) -> str:
        return "diagonal covariance"


@dataclass(frozen=True, eq=False)
class Factor:
    """Σ = F Fᵀ for a factor F of shape (d, r); the d×d matrix is formed only by `dense`."""

    F: Float64

    def standard_deviations(self, W: NDArray[Any]) -> Float64:
        norms = _row_norms(W, lambda block: block @ self.F)
        # What is left of w F where its terms cancel is rounding, and a polynomial in y/s would blow it up.
        # Entries of w are at most its largest, so that only few rows can be noise; those are looked at.
        deviations = self.deviations()
        largest = np.abs(W).max(axis=1, initial=0).astype(np.float64)
        suspects = np.flatnonzero(norms <= _NOISE * largest * deviations.sum())
        noise = _NOISE * (np.abs(W[suspects].astype(np.float64)) @ deviations)
        norms[suspects[norms[suspects] <= noise]] = 0.0
        return norms

    def deviations(self) -> Float64:
        return _row_norms(self.F, lambda block: block)

    def dense(self) -> Float64:
        return self.F @ self.F.T

    def draw(self, n: int, rng: np.random.Generator) -> Float64:
        return rng.standard_normal((n, self.F.shape[1])) @ self.F.T

    def __str__(self) -> str:
        return f"covariance from a factor with {self.F.shape[1]} columns"


@dataclass(frozen=True, eq=False)
class Full:
    """Σ as a symmetric matrix, positive semidefinite up to rounding."""

    matrix: Float64

    def standard_deviations(self, W: NDArray[Any]) -> Float64:
        n, d = W.shape
        deviations = self.deviations()
        total = float(deviations.sum())
        result = np.empty(n)
        for rows in row_blocks(n, d, _ROWS):
            block, exponents = _scaled_rows(W[rows])
            variances = _quadratic_forms(block, self.matrix)
            # Scaled entries are below 1, so that only few rows can be noise; those are looked at.
            suspects = np.flatnonzero(variances <= _NOISE * total**2)
            noise = _NOISE * (np.abs(block[suspects]) @ deviations) ** 2
            variances[suspects[variances[suspects] <= noise]] = 0.0
            result[rows] = np.ldexp(np.sqrt(variances), exponents)
        return result

    def deviations(self) -> Float64:
        return np.sqrt(np.maximum(np.diagonal(self.matrix), 0.0))

    def dense(self) -> Float64:
        return self.matrix

    def draw(self, n: int, rng: np.random.Generator) -> Float64:
        root = self._root
        return rng.standard_normal((n, root.shape[1])) @ root.T

    @cached_property
    def _root(self) -> Float64:
        return _square_root(self.matrix)

    def __getstate__(self) -> dict[str, Any]:
        return {"matrix": self.matrix}

    def __str__(self) -> str:
        return "full covariance"


Covariance = Identity | Diagonal | Factor | Full


def smallest_relative_eigenvalue(matrix: Float64, tolerance: float) -> float:
    """λ_min/λ_max of a symmetric matrix if it is below `-tolerance`, else a number that is not.

    One Cholesky factorisation of the matrix lifted by `tolerance` times its largest diagonal entry (at
    most λ_max) settles every semidefinite matrix; eigenvalues are computed only when that fails.
    """
    largest_diagonal = float(np.max(np.diagonal(matrix)))
    if largest_diagonal > 0:
        lifted = matrix.copy()
        lifted.flat[:: len(matrix) + 1] += tolerance * largest_diagonal
        try:
            np.linalg.cholesky(lifted)
        except np.linalg.LinAlgError:
            pass
        else:
            return 0.0
    eigenvalues = np.linalg.eigvalsh(matrix)
    scale = float(np.max(np.abs(eigenvalues)))
    return float(eigenvalues[0]) / scale if scale > 0 else 0.0


def _square_root(matrix: Float64) -> Float64:
    """R with R Rᵀ = Σ and, for a singular Σ, columns only along its range."""
    try:
        triangle = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        pass
    else:
        # A pivot at rounding level says that the matrix is singular and that Cholesky did not notice:
        # samples would leave the support by 1e-8.
        if np.min(np.diagonal(triangle) / np.sqrt(np.diagonal(matrix))) > 1e-5:
            return triangle.astype(np.float64, copy=False)
    eigenvalues, vectors = np.linalg.eigh(matrix)
    kept = eigenvalues > len(matrix) * _EPSILON * max(eigenvalues[-1], 0.0)
    root = vectors[:, kept] * np.sqrt(eigenvalues[kept])
    # A coordinate that never varies must come out exactly constant.
    root[np.diagonal(matrix) == 0] = 0.0
    return root.astype(np.float64, copy=False)


def _quadratic_forms(W: Float64, matrix: Float64) -> Float64:
    """wᵀ Σ w for every row w, at little more than half the flops of W Σ.

    By symmetry only the blocks on and above the diagonal are multiplied; those above it count twice.
    """
    d = len(matrix)
    result = np.zeros(len(W))
    for start in range(0, d, _PANEL):
        panel = slice(start, min(start + _PANEL, d))
        product = W[:, panel] @ matrix[panel, panel]
        if start:
            product += 2.0 * (W[:, :start] @ matrix[:start, panel])
        result += np.einsum("ij,ij->i", product, W[:, panel])
    return result


def _row_norms(W: NDArray[Any], transform: Callable[[Float64], Float64]) -> Float64:
    """‖transform(w)‖ for every row w, without underflow or overflow of the squares."""
    result = np.empty(len(W))
    for rows in row_blocks(*W.shape):
        block, outer = _scaled_rows(W[rows])
        block, inner = _scaled_rows(transform(block))
        norms = np.sqrt(np.einsum("ij,ij->i", block, block))
        result[rows] = np.ldexp(norms, outer + inner)
    return result


def _scaled_rows(W: NDArray[Any]) -> tuple[Float64, NDArray[np.intc]]:
    """Rows divided by a power of two near their largest entry, in float64, and the exponents.

    The squares of weights of 1e-200 would vanish, those of 1e200 overflow; powers of two cost no digits.
    """
    largest = np.maximum(W.max(axis=1, initial=0), -W.min(axis=1, initial=0)).astype(np.float64)
    exponents = np.clip(np.frexp(largest)[1], -1000, 1000)
    scales = np.ldexp(1.0, -exponents)
    return np.multiply(W, scales[:, None], dtype=np.float64), exponents
