"""The one entry point of conversion: a layer and its inputs go in, their best polynomial comes out."""

from typing import overload

import numpy as np

from numeric import checks, moments
from numeric.activations import Activation
from numeric.device.arrays import host, on_device
from numeric.factored import Float64
from numeric.gated import GatedPolynomial
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.mixture.arrays import on
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.polynomial import SolvedPolynomial
from numeric.polynomial import RidgePolynomial
from numeric.samples import Samples


@overload
def approximate(layer: MLP, inputs: Gaussian, degree: int = 2) -> RidgePolynomial: ...
@overload
def approximate(layer: GLU, inputs: Gaussian, degree: int = 2) -> GatedPolynomial: ...
@overload
def approximate(layer: MLP | GLU, inputs: GaussianMixture | Samples, degree: int = 2) -> SolvedPolynomial: ...
def approximate(
    layer: MLP | GLU, inputs: Gaussian | GaussianMixture | Samples, degree: int = 2
) -> RidgePolynomial | GatedPolynomial | SolvedPolynomial:
    """The polynomial p of total degree ≤ `degree` that minimises E‖f(x) − p(x)‖² for x ~ `inputs`.

    For a Gaussian N(m, Σ), any mean and any Σ, singular ones included, the minimiser is the layer itself
    with the activation of neuron i, whose preactivation is N(μ_i, s_i²), replaced by

        q_i(y) = Σ_{k≤n} h_ik/k! · He_k((y − μ_i)/s_i),    h_ik = E[σ(μ_i + s_i Z) He_k(Z)],

    or by the constant σ(μ_i) where s_i = 0. Reason: given y = w·x + b, the conditional mean of any
    polynomial of degree ≤ n is a polynomial in y of degree ≤ n, so that a residual orthogonal to
    polynomials in y is orthogonal to all polynomials in x (our derivation: derivations/ridge.md).

    In a gated layer the same holds with the pair of y and z = u·x + c, and σ(y) z is replaced by a polynomial in
    both, linear in z; `GatedPolynomial` has the formula (our derivation: derivations/gated.md).

    Under a `GaussianMixture`, and on data (`Samples`), there is no closed form of degree 2. The normal equations are
    solved, exactly up to a small stated error: see `Solver`, which also takes many layers at once.

    Under a Gaussian: no samples, no linear system, no d² features. The only work that grows is diag(W_in Σ W_inᵀ),
    and for a gated layer diag(W_gate Σ W_upᵀ).

    Where the weights are on a device, all of that is done there, in float64, and the polynomial's arrays are there too.

    >>> layer = MLP(W_in, b_in, W_out, b_out, activation="gelu")
    >>> approximate(layer, Gaussian.from_samples(X), degree=2)
    RidgePolynomial(degree=2, 784 → 10, 512 ridges, gelu)

    Args:
        layer: an MLP or a GLU.
        inputs: a Gaussian, a GaussianMixture or Samples with `inputs.dim == layer.d_in`.
        degree: an integer ≥ 0, of any size.

    Raises:
        ValueError: dimensions that differ, a negative degree; under a mixture a degree above 2 with too many features.
        TypeError: a degree that is not an integer, something that is not a layer or not a Gaussian.
        OverflowError: preactivations or Hermite coefficients beyond double precision.

    Source: the problem is that of Belrose & Rigg (arXiv 2502.01032).
    """
    if not isinstance(layer, MLP | GLU):
        raise TypeError(f"layer: expected an MLP or a GLU, got {type(layer).__name__}")
    if not isinstance(inputs, Gaussian | GaussianMixture | Samples):
        raise TypeError(
            f"inputs: expected a Gaussian, a GaussianMixture or Samples, got {type(inputs).__name__}; Samples(X) are "
            "data themselves, Gaussian.from_samples(X) has their mean and covariance"
        )
    degree = checks.non_negative_integer("degree", degree)
    if inputs.dim != layer.d_in:
        raise ValueError(f"inputs: expected dim {layer.d_in} to match layer.d_in, got {inputs.dim}")
    if isinstance(inputs, GaussianMixture | Samples):
        from numeric.solver import Solver  # which needs more than most conversions do

        there = layer.projections[0][0]
        return Solver(inputs, degree, device=there if on_device(there) else "cpu").solve(layer)
    with on(layer.projections[0][0]):
        if isinstance(layer, MLP):
            return _ridges(layer, inputs, degree)
        return _gated_ridges(layer, inputs, degree)


def _ridges(layer: MLP, inputs: Gaussian, degree: int) -> RidgePolynomial:
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = inputs.project(layer.W_in, layer.b_in)
    _refuse_overflow("the preactivation of neuron {}", mean=mean, std=std)
    return RidgePolynomial(layer, inputs, mean, std, _hermite(layer.activation, mean, std, degree))


def _gated_ridges(layer: GLU, inputs: Gaussian, degree: int) -> GatedPolynomial:
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std, up_mean, coupling = inputs.project_pairs(layer.W_gate, layer.b_gate, layer.W_up, layer.b_up)
    _refuse_overflow("the gate's preactivation of neuron {}", mean=mean, std=std)
    _refuse_overflow("what the gate of neuron {} multiplies", mean=up_mean, coupling=coupling)
    hermite = _hermite(layer.activation, mean, std, degree + 1)
    p = GatedPolynomial(layer, inputs, mean, std, hermite, up_mean, coupling)
    with np.errstate(over="ignore", invalid="ignore"):
        largest = np.abs(p._coefficients(host(hermite), host(coupling))[1]).max(axis=1)
    _refuse_overflow("the gated product of neuron {}", coefficient=largest)
    return p


def _hermite(activation: Activation, mean: Float64, std: Float64, order: int) -> Float64:
    hermite = moments.hermite_coefficients(activation, mean, std, order)
    finite = np.isfinite(host(hermite)).all(axis=1)
    if not finite.all():
        i = int(np.argmin(finite))
        raise OverflowError(
            f"the Hermite coefficients of {activation.name} overflow at neuron {i}: "
            f"mean {mean[i]}, std {std[i]}, order {order}"
        )
    return hermite


def _refuse_overflow(what: str, **quantities: Float64) -> None:
    finite = np.logical_and.reduce([np.isfinite(host(values)) for values in quantities.values()])
    if not finite.all():
        i = int(np.argmin(finite))
        found = ", ".join(f"{name} {values[i]}" for name, values in quantities.items())
        raise OverflowError(f"{what.format(i)} overflows: {found}")
