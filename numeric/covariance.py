"""The forms a covariance comes in, each with the cheapest way to project it onto many directions.

Σ is the identity, a diagonal, a factor (Σ = F Fᵀ, F thin or not) or a full matrix. Converting a layer
needs one thing of it, the standard deviations √(wᵀ Σ w) for all rows w of a weight matrix, and that is
where the forms differ: none, an elementwise, a thin, and a d×d product. Covariances V Σ Wᵀ of all pairs of
rows are `left(V) @ right(W).T`, for blocks of rows.

A gated layer also needs the covariances vᵀ Σ w of the rows of two matrices, which come out of the same
product. They are given as `couplings` vᵀ Σ w / √(vᵀ Σ v), the covariance of w·x with the standardised v·x: of the
size of w·x at any scale of v. They need no threshold of their own. Nothing is divided by them, and where
their rounding error, a few ε (Σ_i |v_i| √Σ_ii)(Σ_j √Σ_jj |w_j|) over the standard deviation of v·x, is large,
that standard deviation is as uncertain.
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
NOISE = 8 * _EPSILON

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

    def couplings(self, V: NDArray[Any], W: NDArray[Any]) -> tuple[Float64, Float64]:
        return _row_couplings(V, W, lambda block: block)

    def deviations(self) -> Float64:
        return np.ones(self.dim)

    def left(self, W: Float64) -> Float64:
        return W

    def right(self, W: Float64) -> Float64:
        return W

    def dense(self) -> Float64:
        return np.eye(self.dim)

    @property
    def rank(self) -> int:
        return self.dim

    def coloured(self, xi: Float64) -> Float64:
        return xi

    def against_root(self, V: Float64) -> Float64:
        return V

    def __str__(self) -> str:
        return "identity covariance"


@dataclass(frozen=True, eq=False)
class Diagonal:
    """Σ = diag(variances)."""

    variances: Float64

    def standard_deviations(self, W: NDArray[Any]) -> Float64:
        root = self.deviations()
        return _row_norms(W, lambda block: block * root)

    def couplings(self, V: NDArray[Any], W: NDArray[Any]) -> tuple[Float64, Float64]:
        root = self.deviations()
        return _row_couplings(V, W, lambda block: block * root)

    def deviations(self) -> Float64:
        return np.sqrt(self.variances)

    def left(self, W: Float64) -> Float64:
        return W * self.deviations()

    def right(self, W: Float64) -> Float64:
        return W * self.deviations()

    def dense(self) -> Float64:
        return np.diag(self.variances)

    @property
    def rank(self) -> int:
        return len(self.variances)

    def coloured(self, xi: Float64) -> Float64:
        return xi * np.sqrt(self.variances)

    def against_root(self, V: Float64) -> Float64:
        return V * np.sqrt(self.variances)

    def __str__(self) -> str:
        return "diagonal covariance"


@dataclass(frozen=True, eq=False)
class Factor:
    """Σ = F Fᵀ for a factor F of shape (d, r); the d×d matrix is formed only by `dense`."""

    F: Float64

    def standard_deviations(self, W: NDArray[Any]) -> Float64:
        norms = _row_norms(W, lambda block: block @ self.F)
        norms[self._noise(W, norms)] = 0.0
        return norms

    def couplings(self, V: NDArray[Any], W: NDArray[Any]) -> tuple[Float64, Float64]:
        norms, couplings = _row_couplings(V, W, lambda block: block @ self.F)
        norms[self._noise(V, norms)] = 0.0
        return norms, couplings

    def _noise(self, W: NDArray[Any], norms: Float64) -> NDArray[np.intp]:
        """The rows whose norm ‖w F‖ is not above its own rounding error."""
        # What is left of w F where its terms cancel is rounding, and a polynomial in y/s would blow it up.
        # Entries of w are at most its largest, so that only few rows can be noise; those are looked at.
        deviations = self.deviations()
        largest = np.abs(W).max(axis=1, initial=0).astype(np.float64)
        suspects = np.flatnonzero(norms <= NOISE * largest * deviations.sum())
        noise = NOISE * (np.abs(W[suspects].astype(np.float64)) @ deviations)
        return suspects[norms[suspects] <= noise]

    def deviations(self) -> Float64:
        return _row_norms(self.F, lambda block: block)

    def left(self, W: Float64) -> Float64:
        return W @ self.F

    def right(self, W: Float64) -> Float64:
        return W @ self.F

    def dense(self) -> Float64:
        return self.F @ self.F.T

    @property
    def rank(self) -> int:
        return self.F.shape[1]

    def coloured(self, xi: Float64) -> Float64:
        return xi @ self.F.T

    def against_root(self, V: Float64) -> Float64:
        return V @ self.F

    def __str__(self) -> str:
        return f"covariance from a factor with {self.F.shape[1]} columns"


@dataclass(frozen=True, eq=False)
class Full:
    """Σ as a symmetric matrix, positive semidefinite up to rounding."""

    matrix: Float64

    def standard_deviations(self, W: NDArray[Any]) -> Float64:
        deviations = self.deviations()
        result = np.empty(len(W))
        for rows in row_blocks(len(W), len(self.matrix), _ROWS):
            block, exponents = _scaled_rows(W[rows])
            variances = _without_noise(_quadratic_forms(block, self.matrix), block, deviations)
            result[rows] = np.ldexp(np.sqrt(variances), exponents)
        return result

    def couplings(self, V: NDArray[Any], W: NDArray[Any]) -> tuple[Float64, Float64]:
        # One full product V Σ serves both, where `standard_deviations` alone gets by with half of one.
        deviations = self.deviations()
        norms, couplings = np.empty(len(V)), np.empty(len(V))
        for rows in row_blocks(len(V), len(self.matrix), _ROWS):
            (v, outer), (w, inner) = _scaled_rows(V[rows]), _scaled_rows(W[rows])
            product = v @ self.matrix
            roots = np.sqrt(_without_noise(np.einsum("ij,ij->i", product, v), v, deviations))
            norms[rows] = np.ldexp(roots, outer)
            couplings[rows] = np.ldexp(ratio(np.einsum("ij,ij->i", product, w), roots), inner)
        return norms, couplings

    def deviations(self) -> Float64:
        return np.sqrt(np.maximum(np.diagonal(self.matrix), 0.0))

    def left(self, W: Float64) -> Float64:
        return W @ self.matrix

    def right(self, W: Float64) -> Float64:
        return W

    def dense(self) -> Float64:
        return self.matrix

    @property
    def rank(self) -> int:
        return self.root.shape[1]

    def coloured(self, xi: Float64) -> Float64:
        return xi @ self.root.T

    def against_root(self, V: Float64) -> Float64:
        return V @ self.root

    @cached_property
    def root(self) -> Float64:
        """R, Σ = R Rᵀ."""
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


def _without_noise(variances: Float64, W: Float64, deviations: Float64) -> Float64:
    """Variances of rows with entries below 1, with those not above their own rounding error set to 0."""
    # Only few rows can be noise; those are looked at.
    suspects = np.flatnonzero(variances <= NOISE * float(deviations.sum()) ** 2)
    noise = NOISE * (np.abs(W[suspects]) @ deviations) ** 2
    variances[suspects[variances[suspects] <= noise]] = 0.0
    return variances


def _row_norms(W: NDArray[Any], transform: Callable[[Float64], Float64]) -> Float64:
    """‖transform(w)‖ for every row w, without underflow or overflow of the squares."""
    result = np.empty(len(W))
    for rows in row_blocks(*W.shape):
        block, exponents = _transformed(W[rows], transform)
        result[rows] = np.ldexp(np.sqrt(np.einsum("ij,ij->i", block, block)), exponents)
    return result


def _row_couplings(
    V: NDArray[Any], W: NDArray[Any], transform: Callable[[Float64], Float64]
) -> tuple[Float64, Float64]:
    """‖v′‖ and v′·w′/‖v′‖ of the transformed rows, 0 where v′ = 0."""
    norms, couplings = np.empty(len(V)), np.empty(len(V))
    for rows in row_blocks(*V.shape):
        v, exponents = _transformed(V[rows], transform)
        w, inner = _transformed(W[rows], transform)
        roots = np.sqrt(np.einsum("ij,ij->i", v, v))
        norms[rows] = np.ldexp(roots, exponents)
        couplings[rows] = np.ldexp(ratio(np.einsum("ij,ij->i", v, w), roots), inner)
    return norms, couplings


def ratio(values: Float64, divisors: Float64) -> Float64:
    """values/divisors, and 0 where the divisor is."""
    return np.divide(values, divisors, out=np.zeros_like(values), where=divisors > 0)


def _transformed(W: NDArray[Any], transform: Callable[[Float64], Float64]) -> tuple[Float64, NDArray[np.intc]]:
    """The transformed rows with their largest entries near 1, and the exponents taken out."""
    block, outer = _scaled_rows(W)
    block, inner = _scaled_rows(transform(block))
    return block, outer + inner


def _scaled_rows(W: NDArray[Any]) -> tuple[Float64, NDArray[np.intc]]:
    """Rows divided by a power of two near their largest entry, in float64, and the exponents.

    The squares of weights of 1e-200 would vanish, those of 1e200 overflow; powers of two cost no digits.
    """
    largest = np.maximum(W.max(axis=1, initial=0), -W.min(axis=1, initial=0)).astype(np.float64)
    exponents = np.clip(np.frexp(largest)[1], -1000, 1000)
    scales = np.ldexp(1.0, -exponents)
    return np.multiply(W, scales[:, None], dtype=np.float64), exponents
