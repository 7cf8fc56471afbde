"""Hermite coefficients and expected derivatives of an activation over batches of preactivations.

With y = μ + σZ, Z ~ N(0, 1), and He_k the probabilists' Hermite polynomials,

    h_k = E[σ(y) He_k(Z)] = s^k ∂^k M/∂μ^k      g_k = ∂^k M/∂μ^k = E σ^(k)(y)      M(μ, s) = E σ(y)

(our derivation: Stein's identity, derivations/stein.md). The kernels are generated from formulas that
`symgauss` has proved; this file broadcasts, checks, and hands over contiguous arrays.
"""

import sys
import warnings
from typing import Any

import numpy as np

from numeric import checks
from numeric.activations import Activation, activation
from numeric.device.arguments import by_the_cpu, first_on_device, together
from numeric.device.arrays import on_cuda
from numeric.jit import loop
from numeric.special import TINY

# Rows of this many pairs stay in the first-level cache while they are turned into the output's layout.
BLOCK = 256
UNROLLED = 8
# Adaptive integration promises this relative error, and warns with its estimate when it cannot keep it.
PROMISED = 1e-10


class AccuracyWarning(UserWarning):
    """An integral is less accurate than promised; the message carries the estimated error."""


def warn_of_accuracy(message: str) -> None:
    """An `AccuracyWarning` at the line that called this package, however deep in it the reason is."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] == "numeric":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, AccuracyWarning, stacklevel=level)


@loop
def _count(mean, std):
    """How many pairs are valid, and how many have no standard deviation to speak of."""
    valid = 0
    zero = 0
    for i in range(mean.size):
        good = (abs(mean[i]) < np.inf) & (std[i] >= 0.0) & (std[i] < np.inf)
        valid += np.int64(good)
        zero += np.int64(std[i] < TINY)
    return valid, zero


def hermite_coefficients(
    activation: Any, mean: Any, std: Any, order: int = 2, out: np.ndarray | None = None
) -> np.ndarray:
    """h_0, …, h_order, with h_k = E[σ(μ + sZ) He_k(Z)].

    Args:
        activation: a name, `numeric.activation(...)` or a record of `symgauss`.
        mean: μ, any shape, any real type; converted to float64.
        std: s ≥ 0, broadcast against `mean`.
        order: the highest k, any integer ≥ 0.
        out: where to write, float64 of the shape returned; any strides.

    Returns:
        float64 of shape `broadcast(mean, std).shape + (order + 1,)`. At s = 0: (σ(μ), 0, …, 0), with σ
        as written, so step(0) = 0; a subnormal s (below 2.3e-308) counts as 0.

        Where `mean` or `std` is an array of PyTorch or CuPy on a device, it is one on that device, and in float32 if
        both are. Orders above 8, and activations that are integrated, are computed on the CPU all the same.

    Raises:
        ValueError: NaN or infinite entries, a negative std, shapes that do not broadcast, a wrong `out`.
        TypeError: complex or object arrays; an order that is no integer.
        OverflowError: an order so high that h_k, which may grow like √k!, leaves double precision, or a mean that
            does, as that of exp does; what has been written to `out` by then means nothing.

    Warns:
        AccuracyWarning: integrated orders and activations whose estimated error is above 1e-10.

    Source: our derivation from Stein's identity; these are the coefficients of Belrose & Rigg
    (arXiv 2502.01032) in the orthonormal basis of the preactivation, up to 1/√k!.

    >>> hermite_coefficients("relu", 0.0, 1.0)
    array([0.39894228, 0.5       , 0.39894228])
    """
    return _evaluate("hermite", activation, mean, std, order, out)


def expected_derivatives(
    activation: Any, mean: Any, std: Any, order: int = 2, out: np.ndarray | None = None
) -> np.ndarray:
    """g_0, …, g_order, with g_k = ∂^k M/∂μ^k = E σ^(k)(μ + sZ), the second where σ^(k) is a function.

    Arguments, result and errors as in `hermite_coefficients`. At s = 0 these are the derivatives of σ
    at μ, and at a breakpoint those of the piece that σ's formula assigns to it; beyond the eighth they are
    known for activations in closed form only, and asking for others is a ValueError.

    >>> expected_derivatives("square", 3.0, 0.5)
    array([9.25, 6.  , 2.  ])
    """
    return _evaluate("derivatives", activation, mean, std, order, out)


def _evaluate(kind: str, name: Any, mean: Any, std: Any, order: int, out: np.ndarray | None) -> np.ndarray:
    act = activation(name)
    order = checks.non_negative_integer("order", order)
    there = first_on_device(mean, std)
    if there is not None:
        if out is not None:
            raise ValueError("out: expected None for arrays on a device, where results are new arrays")
        return _on_device(kind, act, together(there, mean=mean, std=std), order)
    mean, std, shape = _pairs(mean, std)
    target = _target(out, (*shape, order + 1), mean, std)
    valid, zero = _count(mean, std)
    if valid != mean.size:
        _refuse(mean, std)
    if zero and kind == "derivatives":
        _refuse_unknown_derivatives(act, order, zero, mean.size)
    rows = target.reshape(-1, order + 1)
    _fill(kind, act, mean, std, rows)
    if zero:
        _at_zero(kind, act, mean, std, rows)
    if (order > UNROLLED or act.kernels.MAY_OVERFLOW) and not np.isfinite(rows).all():
        _overflow(act, mean, std, rows)
    if out is None:
        return target
    if target is not out:
        out[...] = target
    return out


def _on_device(kind: str, act: Activation, arrays: list[Any], order: int) -> Any:
    """The same where the arrays are."""
    mean, std = arrays
    # what is integrated adaptively has no kernel there
    if on_cuda(mean) and order <= UNROLLED and act.kernels.KIND != "integrated":
        from numeric.cuda import evaluate

        return evaluate(kind, act, mean, std, order)
    return by_the_cpu(lambda mean, std: _evaluate(kind, act, mean, std, order, None), arrays)


def _refuse_unknown_derivatives(act: Activation, order: int, zero: int, pairs: int) -> None:
    """Integrated orders at s = 0 would be σ^(k)(μ), which the generated code has up to k = 8."""
    last = getattr(act.kernels, "LAST", UNROLLED)
    if order > last and not hasattr(act.kernels, "derivatives_loop_any"):
        raise ValueError(
            f"order: got {order}, but std is 0 for {zero} of {pairs} pairs, where g_k is the k-th derivative of "
            f"{act.name!r} itself, known up to k = {last}; ask for less, or for those pairs separately."
        )


def _overflow(act: Activation, mean: np.ndarray, std: np.ndarray, rows: np.ndarray) -> None:
    finite = np.isfinite(rows)
    if finite[:, 0].all():
        first = int(np.argmin(finite.all(axis=0)))
        raise OverflowError(
            f"order: {rows.shape[1] - 1} is beyond double precision, from k = {first} on; ask for less."
        )
    i = int(np.argmin(finite[:, 0]))
    raise OverflowError(
        f"std: the mean of {act.name!r} is beyond double precision for {int((~finite[:, 0]).sum())} of {std.size} "
        f"pairs, the first mean {mean[i]}, std {std[i]}; {act.formula} grows too "
        "fast for a preactivation that wide; scale the inputs or the weights down."
    )


def _fill(kind: str, act: Activation, mean: np.ndarray, std: np.ndarray, rows: np.ndarray) -> None:
    order, kernels = rows.shape[1] - 1, act.kernels
    # Numba compiles a kernel once more for arrays that can be written to, and callers have some of each.
    mean, std = _read_only(mean), _read_only(std)
    if order <= UNROLLED and kernels.KIND != "integrated":
        unrolled = 2 if order <= 2 else UNROLLED
        buffer = np.empty((unrolled + 1, BLOCK))
        getattr(kernels, f"{kind}_loop_{unrolled}")(mean, std, rows, buffer, *act.arguments)
    elif hasattr(kernels, f"{kind}_loop_any"):
        getattr(kernels, f"{kind}_loop_any")(mean, std, rows, *act.arguments)
    else:
        _integrate(kind, act, mean, std, rows)


def _integrate(kind: str, act: Activation, mean: np.ndarray, std: np.ndarray, rows: np.ndarray) -> None:
    """Adaptive integration; says so when its estimated error is larger than anyone would expect."""
    errors = np.zeros(mean.size)
    # std = 0 is not integrated, and is filled in afterwards
    getattr(act.kernels, f"{kind}_integrated")(mean, np.maximum(std, TINY), rows, errors, *act.arguments)
    poor = (errors > PROMISED) & (std >= TINY)
    if poor.any() and np.isfinite(rows[poor]).all():
        worst = int(np.argmax(np.where(poor, errors, 0.0)))
        warn_of_accuracy(
            f"{act.name}: {int(poor.sum())} of {mean.size} pairs were not integrated to {PROMISED:g}; the worst, mean "
            f"{mean[worst]}, std {std[worst]}, has an estimated relative error of {errors[worst]:.1e}."
        )


def _at_zero(kind: str, act: Activation, mean: np.ndarray, std: np.ndarray, rows: np.ndarray) -> None:
    """σ as written where s = 0; the formulas of smooth activations are right there up to rounding."""
    if act.kernels.SMOOTH:
        still = std < TINY
        rows[still, 0] = act(mean[still])
    else:
        getattr(act.kernels, f"{kind}_at_zero")(mean, std, rows, *act.arguments)


def _pairs(mean: Any, std: Any) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    arrays = [checks.unconverted_array("mean", mean), checks.unconverted_array("std", std)]
    try:
        shape = np.broadcast_shapes(arrays[0].shape, arrays[1].shape)
    except ValueError:
        raise ValueError(
            f"mean of shape {arrays[0].shape} and std of shape {arrays[1].shape} do not broadcast together."
        ) from None
    mean, std = (np.ascontiguousarray(np.broadcast_to(a, shape), dtype=np.float64).reshape(-1) for a in arrays)
    return mean, std, shape


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _target(out: np.ndarray | None, shape: tuple[int, ...], *inputs: np.ndarray) -> np.ndarray:
    """Where the kernels write: `out` itself when they can, else a fresh array."""
    if out is None:
        return np.empty(shape)
    if not isinstance(out, np.ndarray) or out.dtype != np.float64 or out.shape != shape:
        found = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out is {found}; expected a float64 array of shape {shape}.")
    if not out.flags.writeable:
        raise ValueError("out is read-only; pass a writeable array.")
    direct = out.flags.c_contiguous and not any(np.may_share_memory(out, array) for array in inputs)
    return out if direct else np.empty(shape)


def _refuse(mean: np.ndarray, std: np.ndarray) -> None:
    for name, array, expected in (("mean", mean, "finite numbers"), ("std", std, "finite numbers ≥ 0")):
        bad = ~np.isfinite(array) if name == "mean" else ~(np.isfinite(array) & (array >= 0))
        if bad.any():
            first = int(np.argmax(bad))
            raise ValueError(
                f"{name} has {int(bad.sum())} bad of {bad.size} entries, the first {array[first]} at flat index "
                f"{first} of the broadcast array; expected {expected}."
            )
