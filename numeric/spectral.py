"""Reading a polynomial: the singular vectors of its linear part, the eigenvectors of its quadratic part.

Under N(m, Σ) the part of f of degree 1 is E[∇f]·(x − m), and that of degree 2

    f_2(x) = (x − m)ᵀ A (x − m) − tr(A Σ),    A = ½ E[∇²f],

(the Hermite parts; what higher degrees add to the coefficients of x and x xᵀ about m is not in them). In a layer
both are sums over neurons, with g_k = E σ^(k), c = Cov(y, z), ν = E z:

    MLP     E ∇f = Σ_i W_out g_1 w_i                        A = ½ Σ_i W_out g_2 w_i w_iᵀ
    gated   E ∇f = Σ_i W_out [(ν g_1 + c g_2) w_i + g_0 u_i]
            A = ½ Σ_i W_out [(ν g_2 + c g_3) w_i w_iᵀ + g_1 (w_i u_iᵀ + u_i w_iᵀ)]

Eigenvectors need a metric. In the raw one they are unit vectors of input space. Whitened, x = m + R ξ with R Rᵀ = Σ,
they are those of Rᵀ A R in ξ, so that an eigenvalue λ carries the variance 2λ² of f_2, and these add up to
`variance_by_degree`. Either way an eigenvector is returned as the displacement v of x that it stands for, with
vᵀ A v = λ. (Our derivation: derivations/spectra.md; the use of the eigenvectors is that of Belrose & Rigg,
arXiv 2502.01032, section 4.)
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks
from numeric.covariance import Covariance, Identity
from numeric.factored import FactoredPolynomial
from numeric.gated import GatedPolynomial
from numeric.mixture.polynomial import SolvedPolynomial

Float64 = NDArray[np.float64]

# Up to here a dense eigendecomposition takes less than two seconds and 100 MiB.
_DENSE = 1500
Polynomial = FactoredPolynomial | SolvedPolynomial
# Lanczos starts from the same vector every time, so that results can be repeated.
_SEED = 0


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum:
    """Eigenvalues and eigenvectors of the degree-2 part of one output, by decreasing |λ|.

    Attributes:
        values: (k,), λ.
        vectors: (k, d), displacements v of the input with vᵀ A v = λ: of unit length, or when whitened of unit
            length in Σ⁻¹ (one standard deviation).
        whitened: which of the two.
        complete: whether all d eigenvalues are there.
    """

    values: Float64
    vectors: Float64
    whitened: bool
    complete: bool
    _quadratic: "QuadraticPart | SolvedQuadraticPart"

    @property
    def variance(self) -> Float64:
        """2λ², the variance of f_2 along each eigenvector, (k,); ValueError in the raw metric and under a mixture."""
        if not self.whitened:
            raise ValueError("variance: eigenvalues carry variance only in whitened inputs; pass whitened=True")
        if isinstance(self._quadratic, SolvedQuadraticPart):
            raise ValueError("variance: under a mixture the squares along different eigenvectors are correlated")
        return 2.0 * self.values**2

    def neurons(self, index: int, count: int = 10) -> tuple[NDArray[np.intp], Float64]:
        """The neurons that contribute most to λ_index = Σ_i (contribution of neuron i), by decreasing size.

        Args:
            index: which eigenvalue.
            count: how many neurons.

        Returns:
            Their numbers and contributions, both (count,).
        """
        contributions = self._quadratic.contributions(self.vectors[index])
        order = np.argsort(-np.abs(contributions), kind="stable")[:count]
        return order, contributions[order]

    def __repr__(self) -> str:
        metric = "whitened" if self.whitened else "raw"
        largest = ", ".join(f"{value:.4g}" for value in self.values[:4])
        more = ", …" if len(self.values) > 4 else ""
        return f"Spectrum({len(self.values)} eigenvalues, {metric}: {largest}{more})"


@dataclass(frozen=True, eq=False)
class QuadraticPart:
    """A = ½ E ∇²f of one direction in output space, in factored form: Σ_i a_i w_i w_iᵀ + b_i (w_i u_iᵀ + u_i w_iᵀ)."""

    polynomial: FactoredPolynomial
    direction: Float64

    @cached_property
    def _weights(self) -> tuple[Float64, Float64]:
        p = self.polynomial
        out = self.direction if p.W_out is None else self.direction @ p.W_out.astype(np.float64)
        g = p._derivatives
        if isinstance(p, GatedPolynomial):
            return 0.5 * out * (p.up_mean * g[:, 2] + p.cross_covariance * g[:, 3]), 0.5 * out * g[:, 1]
        return 0.5 * out * g[:, 2], np.zeros(0)

    @cached_property
    def _matrices(self) -> list[Float64]:
        """The weight matrices in float64, once: every iteration reads them twice."""
        return [np.ascontiguousarray(V, dtype=np.float64) for V in self.polynomial._matrices]

    def __call__(self, v: Float64) -> Float64:
        """A v."""
        along, across = self._weights
        W = self._matrices[0]
        y = W @ v
        if not len(across):
            return W.T @ (along * y)
        U = self._matrices[1]
        return W.T @ (along * y + across * (U @ v)) + U.T @ (across * y)

    def dense(self) -> Float64:
        """A, shape (d, d)."""
        along, across = self._weights
        W = self._matrices[0]
        A = W.T @ (along[:, None] * W)
        if len(across):
            mixed = W.T @ (across[:, None] * self._matrices[1])
            A += mixed + mixed.T
        return 0.5 * (A + A.T)

    def contributions(self, v: Float64) -> Float64:
        """What every neuron adds to vᵀ A v."""
        along, across = self._weights
        y = self._matrices[0] @ v
        return along * y**2 + (2.0 * across * y * (self._matrices[1] @ v) if len(across) else 0.0)


@dataclass(frozen=True, eq=False)
class SolvedQuadraticPart:
    """A = ½ E ∇²p of one direction in output space, of a quadratic under a mixture."""

    polynomial: SolvedPolynomial
    direction: Float64

    @cached_property
    def _matrix(self) -> Float64:
        return np.tensordot(self.direction, self.polynomial.polynomial.coefficient(2), 1)

    def __call__(self, v: Float64) -> Float64:
        """A v."""
        return self._matrix @ v

    def dense(self) -> Float64:
        """A, shape (d, d)."""
        return self._matrix

    def contributions(self, v: Float64) -> Float64:  # noqa: ARG002
        raise ValueError(
            "neurons: under a mixture the best quadratic of a layer is not a sum over neurons along their own "
            "directions; convert under inputs.moment_matched() to see neurons"
        )


def linear_part(p: Polynomial, whitened: bool = False) -> Float64:
    """E ∇f for every output, shape (d_out, d); times R when whitened: the part of degree 1 is row · (x − m).

    Args:
        p: what `numeric.approximate` returned, of degree ≥ 1.
        whitened: about ξ, x = m + R ξ, instead of x. Shape (d_out, rank); its rows have the squared length
            `variance_by_degree[0]`.

    Raises:
        ValueError: a polynomial of degree 0.
    """
    p = _of_degree(p, 1)
    covariance = _total(p)
    if isinstance(p, SolvedPolynomial):
        solved = p.polynomial.coefficient(1)  # about the mean
        return covariance.against_root(solved) if whitened else solved.copy()
    g = p._derivatives
    rows = [g[:, 1], g[:, 0]]
    if isinstance(p, GatedPolynomial):
        rows = [p.up_mean * g[:, 1] + p.cross_covariance * g[:, 2], g[:, 0]]
    linear = sum(
        (row[:, None] * V if p.W_out is None else (p.W_out * row) @ V.astype(np.float64))
        for row, V in zip(rows, p._matrices)
    )
    return covariance.against_root(np.asarray(linear)) if whitened else np.asarray(linear)


@dataclass(frozen=True, eq=False, repr=False)
class SingularVectors:
    """The singular value decomposition of the linear part: Σ_k values_k · outputs_k (vectors_k · (x − m)).

    Attributes:
        values: (k,), singular values in decreasing order.
        vectors: (k, d), right singular vectors, directions in input space; whitened, the displacements R q.
        outputs: (k, d_out), left singular vectors.
    """

    values: Float64
    vectors: Float64
    outputs: Float64

    def __repr__(self) -> str:
        more = ", …" if len(self.values) > 6 else ""
        return f"SingularVectors({', '.join(f'{value:.4g}' for value in self.values[:6])}{more})"


def svd(p: Polynomial, count: int | None = None, whitened: bool = False) -> SingularVectors:
    """The singular value decomposition of the linear part of p.

    Args:
        p: what `numeric.approximate` returned, of degree ≥ 1.
        count: how many singular values; default: all min(d_out, d).
        whitened: of the linear part about whitened inputs.

    Raises:
        ValueError: a polynomial of degree 0, a count that is too large.
    """
    linear = linear_part(p, whitened)
    count = _count(count, min(linear.shape), "singular values")
    left, values, right = np.linalg.svd(linear, full_matrices=False)
    vectors = _total(p).coloured(right[:count]) if whitened else right[:count]
    return SingularVectors(values[:count], vectors, left.T[:count])


def spectrum(p: Polynomial, output: int | ArrayLike, count: int | None = None, whitened: bool = False) -> Spectrum:
    """Eigenvalues and eigenvectors of the degree-2 part of one output, the largest in size first.

    Dense for small d; for large d, or few eigenvalues, by Lanczos' method on the factored form: no d×d matrix.

    Args:
        p: what `numeric.approximate` returned, of degree ≥ 2.
        output: the number of an output, or a direction (d_out,) in output space, such as the difference of two logits.
        count: how many; default: all for d ≤ 1500, else 10.
        whitened: in the metric of the input covariance, where λ carries variance 2λ², instead of the raw one.

    Raises:
        ValueError: a polynomial of degree 0 or 1, an output that there is not, a direction of the wrong shape.
        TypeError: something that is neither an integer nor numbers.
    """
    p = _of_degree(p, 2)
    kind = SolvedQuadraticPart if isinstance(p, SolvedPolynomial) else QuadraticPart
    part = kind(p, _direction(p, output))  # type: ignore[arg-type]
    metric = _total(p) if whitened else Identity(p.d_in)
    count = _count(count, metric.rank, "eigenvalues", default=metric.rank if p.d_in <= _DENSE else min(10, metric.rank))
    if p.d_in <= _DENSE:
        # Rᵀ A R, from the left and from the right
        values, vectors = np.linalg.eigh(metric.against_root(metric.against_root(part.dense()).T))
    else:
        values, vectors = _lanczos(part, metric, count)
    order = np.argsort(-np.abs(values), kind="stable")[:count]
    return Spectrum(values[order], metric.coloured(vectors[:, order].T), whitened, count == metric.rank, part)


def _total(p: Polynomial) -> Covariance:
    """Σ of the inputs, of a mixture the total one."""
    inputs = p.inputs.moment_matched() if isinstance(p, SolvedPolynomial) else p.inputs
    return inputs.covariance


def _lanczos(part: QuadraticPart | SolvedQuadraticPart, metric: Covariance, count: int) -> tuple[Float64, Float64]:
    # here, because importing it takes longer than all of this package
    from scipy.sparse.linalg import LinearOperator, eigsh

    size = metric.rank
    if count >= size:
        raise ValueError(f"count: expected less than {size}, all eigenvalues, for inputs this large; got {count}")
    operator: Any = LinearOperator(
        (size, size), matvec=lambda xi: metric.against_root(part(metric.coloured(xi.reshape(-1)))), dtype=np.float64
    )
    start = np.random.default_rng(_SEED).standard_normal(size)
    return eigsh(operator, k=count, which="LM", v0=start)


def _direction(p: Polynomial, output: int | ArrayLike) -> Float64:
    if isinstance(output, (int, np.integer)) and not isinstance(output, bool):
        if not -p.d_out <= output < p.d_out:
            raise ValueError(f"output: expected 0 … {p.d_out - 1}, or a direction ({p.d_out},), got {output}")
        unit = np.zeros(p.d_out)
        unit[output] = 1.0
        return unit
    return checks.real_array("output", output, (p.d_out,)).astype(np.float64)


def _of_degree(p: Polynomial, degree: int) -> Polynomial:
    """p, with its arrays on the CPU; refused unless its degree is at least this."""
    if not isinstance(p, Polynomial):
        raise TypeError(f"p: expected what numeric.approximate returned, got {type(p).__name__}")
    if isinstance(p, SolvedPolynomial) and p.degree > 2:
        raise ValueError(
            f"p: expected a degree of at most 2, because under a mixture higher ones do not keep the parts of degree 1 "
            f"and 2, got {p.degree}; convert with degree=2"
        )
    if p.degree < degree:
        part = "linear" if degree == 1 else "quadratic"
        raise ValueError(f"p: degree {p.degree} has no {part} part; convert with degree={degree} or more")
    return p.cpu()


def _count(count: int | None, most: int, what: str, default: int | None = None) -> int:
    if count is None:
        return most if default is None else default
    count = checks.non_negative_integer("count", count)
    if not 1 <= count <= most:
        raise ValueError(f"count: there are {most} {what}, got {count}")
    return count
