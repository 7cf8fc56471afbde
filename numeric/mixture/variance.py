"""The exact variance that a quadratic leaves of a layer under a mixture.

Under one component let q be the layer's own best quadratic there. What q leaves is orthogonal to every quadratic,
so that

    E_k (f − p)² = E_k (f − q)² + E_k (q − p)²,

the first term exact as for a single Gaussian (`numeric.variance`), the second the mean square of a quadratic: with
mean e, gradient g and Hessian H in expectation, E_k (q − p)² = e² + gᵀ S g + ½ tr(S H S H). Nothing cancels: small
residuals keep their digits. Likewise Var f = Σ_k π_k [Var_k f + (E_k f − E f)²]. (Our derivation:
derivations/mixture.md.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numeric.convert import approximate
from numeric.covariance import Covariance
from numeric.dense import DensePolynomial
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.mixture.expectations import Outputs, neurons
from numeric.mixture.inputs import GaussianMixture
from numeric.variance import explained

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Unexplained:
    """E(f_o − p_o)² and Var f_o, both (d_out,)."""

    residual: Float64
    total: Float64

    @property
    def fvu(self) -> Float64:
        """residual/total; 0/0 counts as 0."""
        return np.divide(self.residual, self.total, out=np.zeros_like(self.total), where=self.total > 0)

    @property
    def total_fvu(self) -> float:
        """Σ residual/Σ total; 0/0 counts as 0."""
        total = float(self.total.sum())
        return float(self.residual.sum()) / total if total > 0 else 0.0


def unexplained(layer: MLP | GLU, mixture: GaussianMixture, p: DensePolynomial) -> Unexplained:
    """What a polynomial of degree ≤ 2 leaves of a layer, and all there is.

    Args:
        p: about the mean of the mixture.
    """
    chosen = np.flatnonzero(mixture.weights)
    residual, within = np.zeros(layer.d_out), np.zeros(layer.d_out)
    means = np.empty((len(chosen), layer.d_out))
    for k, number in enumerate(chosen):
        component, weight = mixture.components[number], mixture.weights[number]
        own = explained(approximate(layer, component, 2))
        means[k], distance = _distance(layer, component, p)
        residual += weight * (own.residual + distance)
        within += weight * own.total
    weights = mixture.weights[chosen]
    return Unexplained(residual, within + weights @ (means - weights @ means) ** 2)


def _distance(layer: MLP | GLU, component: Gaussian, p: DensePolynomial) -> tuple[Float64, Float64]:
    """E f and E (q − p)² under one component, q the layer's best quadratic there."""
    of, out = neurons(layer, component), Outputs(layer)
    weights = [np.asarray(V, np.float64) for V, _ in layer.projections]
    covariance, shift = component.covariance, component.mean - p.center
    mean = out.mean(of.mean)
    gradient = out.sums(of.along, weights[0]) + (out.sums(of.beside, weights[1]) if len(of.beside) else 0.0)
    linear, distance = p.coefficient(1), np.empty(layer.d_out)
    for o in range(layer.d_out):
        Q = p.coefficient(2)[o] if p.degree == 2 else np.zeros((p.d_in, p.d_in))
        half = 0.5 * out.form(o, of.curved, weights[0], weights[0])
        if len(of.crossed):
            mixed = 0.5 * out.form(o, of.crossed, weights[0], weights[1])
            half += mixed + mixed.T
        slope = covariance.against_root((gradient[o] - linear[o] - 2.0 * Q @ shift)[None])
        # the mean of (x − m)ᵀ Q (x − m) is tr RᵀQR
        level = p.constant[o] + linear[o] @ shift + shift @ Q @ shift + np.trace(_against_both(covariance, Q))
        distance[o] = (mean[o] - level) ** 2 + (slope**2).sum() + 2.0 * (_against_both(covariance, half - Q) ** 2).sum()
    return mean, distance


def _against_both(covariance: Covariance, matrix: Float64) -> Float64:
    """Rᵀ A R for a symmetric A, Σ = R Rᵀ."""
    return covariance.against_root(np.ascontiguousarray(covariance.against_root(matrix).T))
