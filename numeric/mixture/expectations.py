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
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from numeric import moments
from numeric.device.arrays import brought, double, host, moved, namespace, on_device, place
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.mixture.coordinates import Coordinates
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.operator import ROOT_2, TOGETHER

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Neurons:
    """Of one component: E of the pointwise part, (n,); and the factors of w, v in ∇ and of w wᵀ, w vᵀ + v wᵀ in ∇².

    They are where the layer is, and None where there are none.
    """

    mean: Any
    along: Any
    beside: Any
    curved: Any
    crossed: Any
    varies: Any


def neurons(layer: MLP | GLU, component: Gaussian) -> Neurons:
    """The expectations of each neuron under a component."""
    if isinstance(layer, MLP):
        mean, std = component.project(layer.W_in, layer.b_in)
        g = derivatives(layer, mean, std, 2)
        return Neurons(g[:, 0], g[:, 1], None, g[:, 2], None, std > 0)
    mean, std, up, coupling = component.project_pairs(layer.W_gate, layer.b_gate, layer.W_up, layer.b_up)
    g, c = derivatives(layer, mean, std, 3), coupling * std
    return Neurons(
        up * g[:, 0] + c * g[:, 1], up * g[:, 1] + c * g[:, 2], g[:, 0], up * g[:, 2] + c * g[:, 3], g[:, 1], std > 0
    )


def derivatives(layer: MLP | GLU, mean: Any, std: Any, order: int) -> Any:
    """g_0 … g_order; where a preactivation does not vary, σ and zeros."""
    varies = std > 0
    if on_device(mean):  # where no rows are chosen, because their number would have to be known
        xp, g = namespace(mean), moments.expected_derivatives(layer.activation, mean, std, order)
        first = moved(np.arange(order + 1) == 0, mean)
        return xp.where(varies[:, None] | first, g, xp.zeros_like(g))
    g = np.zeros((len(mean), order + 1))
    g[~varies, 0] = layer.activation(mean[~varies])
    g[varies] = moments.expected_derivatives(layer.activation, mean[varies], std[varies], order)
    return g


class Outputs:
    """W_out and b_out in float64; a gated layer without W_out has its neurons as outputs, and no identity is formed.

    Args:
        layer: the layer.
        template: an array of the library and on the device to work in; default: where the layer is.
    """

    def __init__(self, layer: MLP | GLU, template: Any = None) -> None:
        there = layer.projections[0][0] if template is None else template
        self.count = layer.d_out
        self.W = None if layer.W_out is None else _there(double(layer.W_out), there)
        self.b = 0.0 if layer.b_out is None else _there(double(layer.b_out), there)

    def mean(self, values: Any) -> Any:
        """W v + b for values (n,) of the neurons."""
        return (values if self.W is None else self.W @ values) + self.b

    def sums(self, factors: Any, rows: Any) -> Any:
        """W diag(factors) rows."""
        return factors[:, None] * rows if self.W is None else (self.W * factors) @ rows

    def form(self, o: int, factors: Float64, left: Float64, right: Float64) -> Float64:
        """leftᵀ diag(W_o factors) right."""
        return self.forms(slice(o, o + 1), factors, left, right)[0, ...]

    def forms(self, some: slice, factors: Any, left: Any, right: Any) -> Any:
        """leftᵀ diag(W_o factors) right for some outputs o, (outputs, r, r), in one product."""
        if self.W is None:
            return (factors[some, None] * left[some, :])[:, :, None] * right[some, :][:, None, :]
        xp, (n, r) = namespace(right), right.shape
        weighted = (self.W[some, :] * factors).T[:, :, None] * right[:, None, :]
        found = left.T @ xp.reshape(weighted, (n, -1))
        return xp.permute_dims(xp.reshape(found, (r, -1, r)), (1, 0, 2))


def placed(layer: MLP | GLU, template: Any) -> MLP | GLU:
    """The layer with its weights where the template is: itself, if they are there."""
    there = layer.projections[0][0]
    if not on_device(template):
        return layer.cpu()
    if place(there) == place(template):
        return layer
    pairs = [(_brought(V, template), _brought(a, template)) for V, a in layer.projections]
    out = (_brought(layer.W_out, template), _brought(layer.b_out, template), layer.activation)
    return MLP(*pairs[0], *out) if isinstance(layer, MLP) else GLU(*pairs[0], *pairs[1], *out)


def _brought(array: Any, template: Any) -> Any:
    return None if array is None else brought(array, template)


def right_hand_side(
    layer: MLP | GLU, mixture: GaussianMixture, coordinates: Coordinates, degree: int = 2, template: Any = None
) -> Any:
    """(E f, E[f z], E[f (zzᵀ − I)]/√2), as in `MomentOperator`: (d_out, 1 + r + r²), and less for lower degrees.

    z and zzᵀ − I have mean 0, so that the constant is set aside first: a large one costs the rest no digits.

    Args:
        layer: its weights may be anywhere.
        mixture: what the layer is fed with.
        coordinates: z.
        degree: 0, 1 or 2.
        template: an array of the library and on the device where all of it is done; default: NumPy's.

    Raises:
        OverflowError: expectations beyond double precision.
    """
    template = coordinates.outward if template is None else template
    xp, layer = array_namespace(template), placed(layer, template)
    r, out = coordinates.dim, Outputs(layer, template)
    outward = _there(coordinates.outward, template)
    weights = [_there(double(V), template) @ outward for V, _ in layer.projections]
    linear = _there(np.zeros((out.count, r)), template)
    quadratic = _there(np.zeros((out.count, r, r) if degree == 2 else (0, r, r)), template)
    known = [_moved_there(neurons(layer, mixture.components[k]), template) for k in coordinates.chosen]
    values = xp.stack([out.mean(of.mean) for of in known])
    heaviest = values[int(np.argmax(coordinates.weights)), :]
    constant = heaviest + _there(coordinates.weights, template) @ (values - heaviest)
    some = _together(template, weights[0].shape[0], r)
    for k, of in enumerate(known):
        pi, mu = float(coordinates.weights[k]), _there(coordinates.means[k], template)
        C = _there(coordinates.covariances[k], template)
        seen = [V @ C for V in weights]
        seen[0] = xp.where(of.varies[:, None], seen[0], xp.zeros_like(seen[0]))
        e = values[k, :] - constant
        gradient = out.sums(of.along, seen[0])
        if of.beside is not None:
            gradient = gradient + out.sums(of.beside, seen[1])
        products = e[:, None] * mu
        linear += pi * (products + gradient)
        half = gradient + 0.5 * products
        for first in range(0, quadratic.shape[0], some):
            rows = slice(first, min(first + some, out.count))
            matrices = half[rows, :][:, :, None] * mu
            if of.crossed is not None:
                matrices += out.forms(rows, of.crossed, seen[0], seen[1])
            matrices = matrices + xp.permute_dims(matrices, (0, 2, 1))
            matrices += e[rows][:, None, None] * C
            matrices += out.forms(rows, of.curved, seen[0], seen[0])
            quadratic[rows, :, :] += pi * matrices
    parts = [constant[:, None], linear, xp.reshape(quadratic, (quadratic.shape[0], r * r)) / ROOT_2]
    rows = xp.concat(parts[: degree + 1], axis=1)
    finite = host(xp.all(xp.isfinite(rows), axis=1))
    if not finite.all():
        raise OverflowError(
            f"layer: what output {int(np.argmin(finite))} has in common with the inputs is beyond double precision; "
            "scale the inputs or the weights down"
        )
    return rows


def _there(array: Any, template: Any) -> Any:
    """NumPy's arrays where the template is; others are there."""
    return moved(array, template) if isinstance(array, np.ndarray) else array


def _moved_there(of: Neurons, template: Any) -> Neurons:
    return Neurons(**{name: None if a is None else _there(a, template) for name, a in vars(of).items()})


def _together(template: Any, n_hidden: int, r: int) -> int:
    """How many outputs to take at a time: one in NumPy, where small arrays stay in the cache."""
    return 1 if isinstance(template, np.ndarray) else max(1, TOGETHER // (r * (n_hidden + 3 * r) + 1))
