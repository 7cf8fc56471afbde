"""The one entry point of conversion: a layer and its inputs go in, their best polynomial comes out."""

import numpy as np

from numeric import checks, moments
from numeric.inputs import Gaussian
from numeric.layers import MLP
from numeric.polynomial import RidgePolynomial


def approximate(layer: MLP, inputs: Gaussian, degree: int = 2) -> RidgePolynomial:
    """The polynomial p of total degree ≤ `degree` that minimises E‖f(x) − p(x)‖² for x ~ `inputs`.

    For a Gaussian N(m, Σ), any mean and any Σ, singular ones included, the minimiser is the layer itself
    with the activation of neuron i, whose preactivation is N(μ_i, s_i²), replaced by

        q_i(y) = Σ_{k≤n} h_ik/k! · He_k((y − μ_i)/s_i),    h_ik = E[σ(μ_i + s_i Z) He_k(Z)],

    or by the constant σ(μ_i) where s_i = 0. Reason: given y = w·x + b, the conditional mean of any
    polynomial of degree ≤ n is a polynomial in y of degree ≤ n, so that a residual orthogonal to
    polynomials in y is orthogonal to all polynomials in x (our derivation: the ridge theorem).

    No samples, no linear system, no d² features. The only work that grows is diag(W_in Σ W_inᵀ).

    >>> layer = MLP(W_in, b_in, W_out, b_out, activation="gelu")
    >>> approximate(layer, Gaussian.from_samples(X), degree=2)
    RidgePolynomial(degree=2, 784 → 10, 512 ridges, gelu)

    Args:
        layer: an MLP.
        inputs: a Gaussian with `inputs.dim == layer.d_in`.
        degree: an integer ≥ 0, of any size.

    Raises:
        ValueError: dimensions that differ, a negative degree.
        TypeError: a degree that is not an integer, something that is not a layer or not a Gaussian.
        OverflowError: preactivations or Hermite coefficients beyond double precision.
    """
    if not isinstance(layer, MLP):
        raise TypeError(f"layer: expected an MLP, got {type(layer).__name__}")
    if not isinstance(inputs, Gaussian):
        raise TypeError(
            f"inputs: expected a Gaussian, got {type(inputs).__name__}; Gaussian.from_samples(X) makes one from data"
        )
    degree = checks.non_negative_integer("degree", degree)
    if inputs.dim != layer.d_in:
        raise ValueError(f"inputs: expected dim {layer.d_in} to match layer.d_in, got {inputs.dim}")
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = inputs.project(layer.W_in, layer.b_in)
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        i = int(np.flatnonzero(~(np.isfinite(mean) & np.isfinite(std)))[0])
        raise OverflowError(f"the preactivation of neuron {i} overflows: mean {mean[i]}, std {std[i]}")
    hermite = moments.hermite_coefficients(layer.activation, mean, std, order=degree)
    if not np.isfinite(hermite).all():
        i = int(np.flatnonzero(~np.isfinite(hermite).all(axis=1))[0])
        raise OverflowError(
            f"the Hermite coefficients of {layer.activation.name} overflow at neuron {i}: "
            f"mean {mean[i]}, std {std[i]}, degree {degree}"
        )
    return RidgePolynomial(
        W_in=layer.W_in,
        W_out=layer.W_out,
        b_out=layer.b_out,
        center=inputs.mean,
        spread=inputs.std,
        preactivation_mean=mean,
        preactivation_std=std,
        hermite=hermite,
        activation=layer.activation,
    )
