"""The exact variance that a polynomial leaves of a layer under a mixture.

Under one component let q be the layer's own best quadratic there. What q leaves is orthogonal to every quadratic,
so that

    E_k (f − p)² = E_k (f − q)² + E_k (q − p)²,

the first term exact as for a single Gaussian (`numeric.variance`), the second the mean square of a polynomial: of a
quadratic with mean e, gradient g and Hessian H in expectation, E_k (q − p)² = e² + gᵀ S g + ½ tr(S H S H). Nothing
cancels: small residuals keep their digits. Likewise Var f = Σ_k π_k [Var_k f + (E_k f − E f)²]. (Our derivation:
derivations/mixture.md.)
"""

from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

from numeric.convert import approximate
from numeric.covariance import Covariance
from numeric.dense import DensePolynomial, zeros
from numeric.device.arrays import contiguous, double, host, moved, namespace
from numeric.device.projections import against_root
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.mixture.expectations import Outputs, neurons
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.polynomial import SolvedPolynomial
from numeric.samples import Samples
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


def unexplained(layer: MLP | GLU, inputs: GaussianMixture | Samples, p: DensePolynomial) -> Unexplained:
    """What a polynomial leaves of a layer, and all there is.

    Args:
        p: about the mean of the inputs.
    """
    return _on_data(layer, inputs, p) if isinstance(inputs, Samples) else _under_mixture(layer, inputs, p)


def _on_data(layer: MLP | GLU, samples: Samples, p: DensePolynomial) -> Unexplained:
    first = double(layer(moved(samples.mean[None], p.constant)))
    sums, count = zeros((3, layer.d_out), p.constant), 0
    for rows in samples.chunks():
        x = moved(rows, p.constant)
        f = double(layer(x))
        # about some value near the mean, so that little cancels
        for row, values in enumerate(((f - p(x)) ** 2, f - first, (f - first) ** 2)):
            sums[row, :] += namespace(f).sum(values, axis=0)
        count += len(rows)
    residual, mean, squares = host(sums) / count
    return Unexplained(residual, np.maximum(squares - mean**2, 0.0))


def _under_mixture(layer: MLP | GLU, mixture: GaussianMixture, p: DensePolynomial) -> Unexplained:
    chosen = np.flatnonzero(mixture.weights)
    residual, within = np.zeros(layer.d_out), np.zeros(layer.d_out)
    means = np.empty((len(chosen), layer.d_out))
    distance = _distance if p.degree <= 2 else _distance_of_tensors
    for k, number in enumerate(chosen.tolist()):
        component, weight = mixture.components[number], mixture.weights[number]
        own = explained(approximate(layer, component, max(p.degree, 2)))
        means[k] = host(Outputs(layer).mean(neurons(layer, component).mean))
        residual += weight * (own.residual + distance(layer, component, p))
        within += weight * own.total
    weights = mixture.weights[chosen]
    # about one of them, so that equal means leave nothing
    means -= means[np.argmax(weights)].copy()
    return Unexplained(residual, within + weights @ (means - weights @ means) ** 2)


def by_degree(p: SolvedPolynomial) -> Float64:
    """What the best polynomials of degree 1, …, n explain beyond that of the degree before, (n, d_out)."""
    if p.degree == 0:
        return np.zeros((0, p.d_out))
    left = [p._unexplained.total]
    left += [approximate(p.layer, p.inputs, degree)._unexplained.residual for degree in range(1, p.degree)]
    left += [p._unexplained.residual]
    return np.maximum(-np.diff(left, axis=0), 0.0)


def _distance(layer: MLP | GLU, component: Gaussian, p: DensePolynomial) -> Float64:
    """E (q − p)² under one component, q the layer's best quadratic there; p of degree ≤ 2."""
    of, out, xp = neurons(layer, component), Outputs(layer), namespace(p.constant)
    weights = [double(V) for V, _ in layer.projections]
    covariance, shift = component.covariance, moved(component.mean - p.center, p.constant)
    mean = out.mean(of.mean)
    gradient = out.sums(of.along, weights[0]) + (out.sums(of.beside, weights[1]) if of.beside is not None else 0.0)
    linear, distance = p.coefficient(1), []
    for o in range(layer.d_out):
        Q = p.coefficient(2)[o, :, :] if p.degree == 2 else zeros((p.d_in, p.d_in), p.constant)
        half = 0.5 * out.form(o, of.curved, weights[0], weights[0])
        if of.crossed is not None:
            mixed = 0.5 * out.form(o, of.crossed, weights[0], weights[1])
            half += mixed + mixed.T
        slope = against_root(covariance, (gradient[o, :] - linear[o, :] - 2.0 * (Q @ shift))[None, :])
        # the mean of (x − m)ᵀ Q (x − m) is tr RᵀQR
        level = p.constant[o] + linear[o, :] @ shift + shift @ (Q @ shift)
        level = level + xp.linalg.trace(_against_both(covariance, Q))
        rest = _against_both(covariance, half - Q)
        distance.append((mean[o] - level) ** 2 + xp.sum(slope * slope) + 2.0 * xp.sum(rest * rest))
    return host(xp.stack(distance))


def _distance_of_tensors(layer: MLP | GLU, component: Gaussian, p: DensePolynomial) -> Float64:
    """The same for any degree n, where all coefficients are few: Σ_j j! |H_j|² with H_j the Hermite part of degree j.

    About the component's mean, with every axis of the tensors C_j turned to ξ, x = m + R ξ:
    H_j = Σ_l (j + 2l)!/(j! l! 2^l) C_{j+2l} with l pairs of axes contracted.
    """
    q, about = approximate(layer.cpu(), component, p.degree).about(component.mean), p.cpu().about(component.mean)
    tensors = [_turned(a - b, component.covariance) for a, b in zip(q.coefficients, about.coefficients)]
    total = np.zeros(p.d_out)
    for j in range(len(tensors)):
        part = np.zeros_like(tensors[j])
        for pairs in range((len(tensors) - 1 - j) // 2 + 1):
            order = j + 2 * pairs
            contracted = tensors[order]
            for _ in range(pairs):
                contracted = np.trace(contracted, axis1=-2, axis2=-1)
            part += factorial(order) / (factorial(j) * factorial(pairs) * 2**pairs) * contracted
        total += factorial(j) * (part.reshape(p.d_out, -1) ** 2).sum(axis=1)
    return total


def _turned(tensor: Float64, covariance: Covariance) -> Float64:
    """C R ⊗ … ⊗ R: every axis but the first against the root of the covariance."""
    for axis in range(1, tensor.ndim):
        last = np.moveaxis(tensor, axis, -1)
        tensor = np.moveaxis(covariance.against_root(np.ascontiguousarray(last)), -1, axis)
    return tensor


def _against_both(covariance: Covariance, matrix: Float64) -> Float64:
    """Rᵀ A R for a symmetric A, Σ = R Rᵀ."""
    return against_root(covariance, contiguous(against_root(covariance, matrix).T))
