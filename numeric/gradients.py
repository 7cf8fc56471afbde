"""Gradients of Hermite coefficients and expected derivatives with respect to mean and standard deviation.

With g_k = ∂^k M/∂μ^k, M(μ, s) = E σ(μ + sZ), and h_k = s^k g_k, the heat equation ∂_s M = s ∂_μ² M gives

    ∂_μ g_k = g_{k+1}                                ∂_s g_k = s g_{k+2}
    ∂_μ h_k = t_k,  t_k = h_{k+1}/s = s^k g_{k+1}    ∂_s h_k = (k h_k + h_{k+2})/s = k t_{k−1} + t_{k+1}

(our derivation: Stein's identity, derivations/stein.md): a gradient takes kernels of two orders more. The form with g
loses nothing where s is small, that with h nothing where s is large; an entry that overflows takes the other form.
"""

from functools import partial
from typing import Any

import numpy as np

from numeric import checks, moments
from numeric.activations import Activation, activation
from numeric.device.arguments import by_the_cpu, first_on_device, together
from numeric.special import TINY

# Below this the form with g; quadrature kernels lose digits of g_k for larger s, and of h_k for smaller s.
NARROW = 0.75
# Up to here s g_{k+2} is right to 1e-300 even where g_{k+2} has underflown.
WIDE = 2.0**64


def hermite_coefficient_gradients(
    activation: Any, mean: Any, std: Any, order: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """∂h_k/∂μ = h_{k+1}/s and ∂h_k/∂s = (k h_k + h_{k+2})/s, with h_k = E[σ(μ + sZ) He_k(Z)].

    Args:
        activation: a name, `numeric.activation(...)` or a record of `symgauss`.
        mean: μ, any shape, any real type; converted to float64.
        std: s ≥ 0, broadcast against `mean`.
        order: the highest k, any integer ≥ 0.

    Returns:
        (d_mean, d_std), each float64 of shape `broadcast(mean, std).shape + (order + 1,)`; for arrays on a device
        computed on the CPU, and there, in float32 if both are.

        At s = 0, and for a subnormal s, d_mean is (σ′(μ), 0, …, 0) and d_std (0, σ′(μ), 0, …, 0). This is the
        limit s → 0 unless μ is a breakpoint of σ; there σ′ is that of the piece which σ's formula assigns to
        it, as in `expected_derivatives`, while the limit depends on the jumps of σ and σ′.

        ∂h_k/∂s is accurate relative to its two terms. They nearly cancel where h_k hardly depends on s, as
        it does for bounded σ and large s.

    Raises:
        ValueError: NaN or infinite entries, a negative std, shapes that do not broadcast.
        TypeError: complex or object arrays; an order that is no integer.
        OverflowError: a derivative that leaves double precision.

    Source: our derivation: Stein's identity, derivations/stein.md.

    >>> hermite_coefficient_gradients("relu", 0.0, 1.0, order=1)
    (array([0.5       , 0.39894228]), array([0.39894228, 0.5       ]))
    """
    there = first_on_device(mean, std)
    if there is not None:
        function = partial(hermite_coefficient_gradients, activation, order=order)
        return by_the_cpu(function, together(there, mean=mean, std=std))
    act, order, mean, std, shape = _arguments(activation, mean, std, order)
    t = np.zeros((mean.size, order + 2))
    zero, wide = std < TINY, std >= NARROW
    for rows, kind, other in ((~zero & ~wide, "derivatives", "hermite"), (wide, "hermite", "derivatives")):
        if rows.any():
            t[rows] = _slopes(kind, other, act, mean[rows], std[rows], order + 2)
    if zero.any():
        t[zero, 0] = moments.expected_derivatives(act, mean[zero], 0.0, order=1)[:, 1]
    d_std = t[:, 1:].copy()
    d_std[:, 1:] += np.arange(1, order + 1) * t[:, :order]
    return _finished(act, mean, std, shape, t[:, :-1].copy(), d_std)


def expected_derivative_gradients(
    activation: Any, mean: Any, std: Any, order: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """∂g_k/∂μ = g_{k+1} and ∂g_k/∂s = s g_{k+2}, with g_k = ∂^k M/∂μ^k = E σ^(k)(μ + sZ).

    Arguments, shapes and errors as in `hermite_coefficient_gradients`. At s = 0, and for a subnormal s, d_mean are
    the derivatives of σ at μ, at a breakpoint those of the piece that σ's formula assigns to it, and d_std is 0.
    Near a kink or a jump g_k grows like a power of 1/s, and its gradients soon leave double precision.
    Where orders are integrated (softsign), derivatives above the eighth are not known at s = 0: a ValueError.

    Source: our derivation: Stein's identity, derivations/stein.md.

    >>> expected_derivative_gradients("square", 3.0, 0.5, order=1)
    (array([6., 2.]), array([1., 0.]))
    """
    there = first_on_device(mean, std)
    if there is not None:
        function = partial(expected_derivative_gradients, activation, order=order)
        return by_the_cpu(function, together(there, mean=mean, std=std))
    act, order, mean, std, shape = _arguments(activation, mean, std, order)
    d_mean, d_std = np.zeros((mean.size, order + 1)), np.zeros((mean.size, order + 1))
    zero = std < TINY
    if zero.any():
        d_mean[zero] = moments.expected_derivatives(act, mean[zero], 0.0, order=order + 1)[:, 1:]
    rows = ~zero
    if rows.any():
        g = _kernels("derivatives", act, mean[rows], std[rows], order + 2)
        d_mean[rows] = g[:, 1:-1]
        d_std[rows] = _stretched(g[:, 2:], act, mean[rows], std[rows])
    return _finished(act, mean, std, shape, d_mean, d_std)


def _slopes(kind: str, other: str, act: Activation, mean: np.ndarray, std: np.ndarray, order: int) -> np.ndarray:
    """t_0, …, t_{order−1} from kernels of this kind, and from the other where that overflows."""
    t = _slopes_from(kind, act, mean, std, order)
    lost = ~np.isfinite(t).all(axis=1)
    if lost.any():
        t[lost] = _first_finite(t[lost], _slopes_from(other, act, mean[lost], std[lost], order))
    return t


def _slopes_from(kind: str, act: Activation, mean: np.ndarray, std: np.ndarray, order: int) -> np.ndarray:
    """t_k = h_{k+1}/s, or s^k g_{k+1}."""
    t = _kernels(kind, act, mean, std, order)[:, 1:]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if kind == "hermite":
            t /= std[:, None]
        else:
            # One factor after the other: s^k may be 0 where s^k g_{k+1} is not.
            for k in range(1, order):
                t[:, k:] *= std[:, None]
    return t


def _stretched(g: np.ndarray, act: Activation, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """s g_{k+2} = h_{k+2}/s^{k+1}, given g_2, g_3, …: the second form where g underflows or overflows."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        product = g * std[:, None]
        wide = std > WIDE
        rows = wide | ~np.isfinite(product).all(axis=1)
        if rows.any():
            quotient = _kernels("hermite", act, mean[rows], std[rows], g.shape[1] + 1)[:, 2:]
            for k in range(g.shape[1]):
                quotient[:, k:] /= std[rows, None]
            pair = product[rows], quotient
            product[rows] = np.where(wide[rows, None], _first_finite(*pair[::-1]), _first_finite(*pair))
    return product


def _first_finite(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(one), one, other)


def _kernels(kind: str, act: Activation, mean: np.ndarray, std: np.ndarray, order: int) -> np.ndarray:
    """What `moments` returns for s > 0, without its complaint about overflow."""
    rows = np.empty((mean.size, order + 1))
    moments._fill(kind, act, mean, std, rows)
    return rows


def _arguments(
    name: Any, mean: Any, std: Any, order: Any
) -> tuple[Activation, int, np.ndarray, np.ndarray, tuple[int, ...]]:
    act = activation(name)
    order = checks.non_negative_integer("order", order)
    mean, std, shape = moments._pairs(mean, std)
    moments._refuse(mean, std)
    return act, order, mean, std, shape


def _finished(
    act: Activation, mean: np.ndarray, std: np.ndarray, shape: tuple[int, ...], d_mean: np.ndarray, d_std: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both gradients in their shapes, or an error if one is no number."""
    finite = np.isfinite(d_mean) & np.isfinite(d_std)
    if not finite.all():
        i, k = np.argwhere(~finite)[0]
        raise OverflowError(
            f"the gradient of {act.name!r} is beyond double precision for {int((~finite.all(axis=1)).sum())} of "
            f"{mean.size} pairs, the first mean {mean[i]}, std {std[i]}, from k = {k} on; ask for a lower order."
        )
    columns = d_mean.shape[1]
    return d_mean.reshape(*shape, columns), d_std.reshape(*shape, columns)
