"""What the normal equations need of a layer: E f, C E ∇f and C E[∇²f] C under every component of a mixture.

With g_k = E σ^(k)(y) under the component, y = w·z + b, and for a gated layer ν = E u, c = Cov(y, u), u = v·z + a:

    MLP      E f = Σ W_out g_0 + b_out    E ∇f = Σ W_out g_1 w                           E ∇²f = Σ W_out g_2 w wᵀ
    gated    E f = Σ W_out (ν g_0 + c g_1) + b_out
             E ∇f = Σ W_out [(ν g_1 + c g_2) w + g_0 v]
             E ∇²f = Σ W_out [(ν g_2 + c g_3) w wᵀ + g_1 (w vᵀ + v wᵀ)]

sums over neurons. A neuron that does not vary under a component is constant there: its C w vanishes.
(Our derivation: Stein's identity, derivations/stein.md, derivations/gated.md and derivations/mixture.md.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numeric import moments
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.mixture.coordinates import Coordinates
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.operator import ROOT_2

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Neurons:
    """Of one component: E of the pointwise part, (n,); and the factors of w, v in ∇ and of w wᵀ, w vᵀ + v wᵀ in ∇²."""

    mean: Float64
    along: Float64
    beside: Float64
    curved: Float64
    crossed: Float64
    varies: NDArray[np.bool_]


def neurons(layer: MLP | GLU, component: Gaussian) -> Neurons:
    """The expectations of each neuron under a component."""
    if isinstance(layer, MLP):
        mean, std = component.project(layer.W_in, layer.b_in)
        g = derivatives(layer, mean, std, 2)
        none = np.zeros(0)
        return Neurons(g[:, 0], g[:, 1], none, g[:, 2], none, std > 0)
    mean, std, up, coupling = component.project_pairs(layer.W_gate, layer.b_gate, layer.W_up, layer.b_up)
    g, c = derivatives(layer, mean, std, 3), coupling * std
    return Neurons(
        up * g[:, 0] + c * g[:, 1], up * g[:, 1] + c * g[:, 2], g[:, 0], up * g[:, 2] + c * g[:, 3], g[:, 1], std > 0
    )


def derivatives(layer: MLP | GLU, mean: Float64, std: Float64, order: int) -> Float64:
    """g_0 … g_order; where a preactivation does not vary, σ and zeros."""
    g = np.zeros((len(mean), order + 1))
    varies = std > 0
    g[~varies, 0] = layer.activation(mean[~varies])
    g[varies] = moments.expected_derivatives(layer.activation, mean[varies], std[varies], order)
    return g


class Outputs:
    """W_out and b_out in float64; a gated layer without W_out has its neurons as outputs, and no identity is formed."""

    def __init__(self, layer: MLP | GLU) -> None:
        self.count = layer.d_out
        self.W = None if layer.W_out is None else layer.W_out.astype(np.float64)
        self.b = 0.0 if layer.b_out is None else layer.b_out.astype(np.float64)

    def mean(self, values: Float64) -> Float64:
        """W v + b for values (n,) of the neurons."""
        return (values if self.W is None else self.W @ values) + self.b

    def sums(self, factors: Float64, rows: Float64) -> Float64:
        """W diag(factors) rows."""
        return factors[:, None] * rows if self.W is None else (self.W * factors) @ rows

    def form(self, o: int, factors: Float64, left: Float64, right: Float64) -> Float64:
        """leftᵀ diag(W_o factors) right."""
        if self.W is None:
            return factors[o] * np.outer(left[o], right[o])
        return left.T @ ((self.W[o] * factors)[:, None] * right)


def right_hand_side(layer: MLP | GLU, mixture: GaussianMixture, coordinates: Coordinates, degree: int = 2) -> Float64:
    """(E f, E[f z], E[f (zzᵀ − I)]/√2), as in `MomentOperator`: (d_out, 1 + r + r²), and less for lower degrees.

    z and zzᵀ − I have mean 0, so that the constant is set aside first: a large one costs the rest no digits.

    Raises:
        OverflowError: expectations beyond double precision.
    """
    r, out = coordinates.dim, Outputs(layer)
    weights = [np.asarray(V, np.float64) @ coordinates.outward for V, _ in layer.projections]
    linear = np.zeros((out.count, r))
    quadratic = np.zeros((out.count, r, r) if degree == 2 else (0, r, r))
    known = [neurons(layer, mixture.components[k]) for k in coordinates.chosen]
    values = np.stack([out.mean(of.mean) for of in known])
    heaviest = values[np.argmax(coordinates.weights)]
    constant = heaviest + coordinates.weights @ (values - heaviest)
    for pi, mu, C, of, value in zip(coordinates.weights, coordinates.means, coordinates.covariances, known, values):
        seen = [V @ C for V in weights]
        seen[0][~of.varies] = 0.0
        e = value - constant
        gradient = out.sums(of.along, seen[0]) + (out.sums(of.beside, seen[1]) if len(of.beside) else 0.0)
        linear += pi * (np.outer(e, mu) + gradient)
        half = gradient + 0.5 * np.outer(e, mu)
        for o in range(len(quadratic)):
            matrix = np.outer(half[o], mu)
            if len(of.crossed):
                matrix += out.form(o, of.crossed, seen[0], seen[1])
            matrix += matrix.T
            quadratic[o] += pi * (matrix + e[o] * C + out.form(o, of.curved, seen[0], seen[0]))
    if degree < 2:
        rows = np.concatenate([constant[:, None], linear], axis=1)[:, : 1 + degree * r]
    else:
        rows = np.concatenate([constant[:, None], linear, quadratic.reshape(out.count, r * r) / ROOT_2], axis=1)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise OverflowError(
            f"layer: what output {int(np.argmin(finite))} has in common with the inputs is beyond double precision; "
            "scale the inputs or the weights down"
        )
    return rows
