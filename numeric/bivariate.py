"""E[σ(Y₁) σ(Y₂)] of an activation for batches of jointly Gaussian pairs: the covariance kernel of wide networks.

With zero means it is the arc-cosine kernel of degree 0 for the step and of degree 1 for ReLU (Cho & Saul 2009), and
for erf the kernel of Williams (1997). Where a proved formula is compiled, in `numeric/generated/covariance/`, it says
with each value how far rounding may have moved it; what that is too far for, and every other activation, is integrated
(`bivariate_quadrature`). Errors are measured against D = √(E σ(Y₁)² E σ(Y₂)²), which bounds the value.
"""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric import checks
from numeric.activations import Activation
from numeric.activations import activation as activation_of
from numeric.bivariate_quadrature import Outer, Pairs, integrals, narrower_first
from numeric.device.arguments import by_the_cpu, first_on_device, together
from numeric.device.arrays import cast, host, moved, namespace, on_cuda
from numeric.generated.covariance import COMPILED
from numeric.moments import hermite_coefficients, warn_of_accuracy
from numeric.special import TINY

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# Estimated errors up to this part of D are let pass, half of it in a formula, and this much whatever D is.
PROMISED, TRUSTED, FLOOR = 1e-12, 5e-13, 1e-300
# The same of a formula in single precision, on a device, of which the errors are a third of what it says at most.
TRUSTED_IN_SINGLE = 3e-5
_NAMES = ("mean_1", "std_1", "mean_2", "std_2", "rho")
_TERMS = np.array([1.0, 1.0, 0.5])
# Two trapezoidal rules by turns, for a rough E σ(μ + sZ)²; so many pairs at a time.
_STEP = 0.5
_Z = np.arange(-12.0, 12.0, _STEP / 2)
_WEIGHTS = _STEP * np.exp(-0.5 * _Z * _Z)[:, None] / np.sqrt(2 * np.pi) * (np.arange(len(_Z))[:, None] % 2 == [0, 1])
_TOGETHER = 2**10


def gaussian_covariance(activation: Any, mean_1: Any, std_1: Any, mean_2: Any, std_2: Any, rho: Any) -> np.ndarray:
    """E[σ(Y₁) σ(Y₂)], uncentred, for Y_i ~ N(mean_i, std_i²) with correlation rho.

    Args:
        activation: a name, `numeric.activation(...)` or a record of `symgauss`.
        mean_1, std_1, mean_2, std_2, rho: any shapes that broadcast together, any real types; std ≥ 0, |rho| ≤ 1.

    Returns:
        float64 of the broadcast shape, within 1e-12 √(E σ(Y₁)² E σ(Y₂)²). Where a standard deviation is 0, σ as
        written times the mean of the other; a subnormal one (below 2.3e-308) counts as 0. Swapping 1 and 2 changes
        nothing.

        Of arrays of PyTorch or CuPy on a device an array there, in float32 if all of them are, and then to 1e-5 in
        place of 1e-12. What no formula is good enough for is integrated on the CPU all the same.

    Raises:
        ValueError: NaN or infinite entries, a negative std, |rho| > 1, shapes that do not broadcast.
        TypeError: complex or object arrays.
        OverflowError: a value beyond double precision, as those of exp may be.

    Warns:
        AccuracyWarning: integrals whose estimated error is larger than that.

    Source: our derivation, derivations/price.md for the formulas; by conditioning where there is none.

    >>> gaussian_covariance("relu", 0.0, 1.0, 0.0, 1.0, [0.0, 0.5, 1.0])
    array([0.15915494, 0.30449889, 0.5       ])
    """
    act, there = activation_of(activation), first_on_device(mean_1, std_1, mean_2, std_2, rho)
    if there is not None:
        return _on_device(act, together(there, mean_1=mean_1, std_1=std_1, mean_2=mean_2, std_2=std_2, rho=rho))
    pairs, shape = _pairs(mean_1=mean_1, std_1=std_1, mean_2=mean_2, std_2=std_2, rho=rho)
    out = np.empty(len(pairs))
    moving = (pairs.std_1 >= TINY) & (pairs.std_2 >= TINY)
    out[moving] = _covariances(act, pairs if moving.all() else pairs.of(moving))
    if not moving.all():
        out[~moving] = _with_a_constant(act, pairs.of(~moving))
    if not np.isfinite(out).all():
        _overflow(act, pairs, out)
    return out.reshape(shape)


def _on_device(act: Activation, arrays: list[Any]) -> Any:
    """The same where the arrays are: by the formula, and on the CPU what it is not good enough for."""
    if not on_cuda(arrays[0]) or act.source is not None or act.name not in COMPILED:
        return by_the_cpu(partial(gaussian_covariance, act), arrays)
    from numeric import cuda

    return by_kernel(act, arrays, cuda.gaussian_covariance)


def by_kernel(act: Activation, arrays: list[Any], kernel: Callable[..., tuple[Any, Any]]) -> Any:
    """The same, given the kernel of `numeric.cuda`, for arrays wherever that runs.

    What single precision is not good enough for is computed in double, and what that is not, on the CPU.
    """
    xp = namespace(arrays[0])
    _common_shape(dict(zip(_NAMES, arrays)))
    mean_1, std_1, mean_2, std_2, rho = arrays = xp.broadcast_arrays(*arrays)
    still = ((std_1 >= 0) & (std_1 <= TINY)) | ((std_2 >= 0) & (std_2 <= TINY))
    one = xp.ones_like(std_1)
    value, doubt = kernel(act, mean_1, xp.where(still, one, std_1), mean_2, xp.where(still, one, std_2), rho)
    trusted = TRUSTED_IN_SINGLE if value.dtype == xp.float32 else TRUSTED
    good = ~still & xp.isfinite(doubt) & (doubt <= trusted * xp.abs(value) + FLOOR)
    rest = np.nonzero(~host(good))
    if not rest[0].size:
        return value
    found, numbers = np.zeros(tuple(value.shape)), [host(array)[rest].astype(np.float64) for array in arrays]
    if value.dtype == xp.float32:
        found[rest] = host(by_kernel(act, [moved(array, value) for array in numbers], kernel))
    else:
        found[rest] = gaussian_covariance(act, *numbers)
    return xp.where(good, value, cast(moved(found, value), value.dtype))


def _covariances(act: Activation, pairs: Pairs) -> Float64:
    """Of pairs that both vary: by the formula where it is good enough, by quadrature elsewhere."""
    value, doubt = _by_formula(act, pairs)
    rest = np.flatnonzero(~np.isfinite(doubt) | (doubt > np.maximum(TRUSTED * np.abs(value), FLOOR)))
    # The value may be small against D: then what is known of D may say that it is good enough.
    for square_of in (_first_terms, _rough_square):
        rest = _still_doubtful(act, pairs, rest, doubt, square_of)
    if rest.size:
        value[rest] = _integrated(act, pairs.of(rest), value[rest], doubt[rest])
    return value


def _still_doubtful(act: Activation, pairs: Pairs, rest: Int64, doubt: Float64, square_of: Any) -> Int64:
    """Without those whose doubt is small against D, by an estimate of E σ² that is not too large."""
    known = rest[np.isfinite(doubt[rest])]
    some = pairs.of(known)
    scale = np.sqrt(np.prod([square_of(act, mean, std) for mean, std in _both(some)], axis=0))
    return np.setdiff1d(rest, known[doubt[known] <= TRUSTED * scale], assume_unique=True)


def _by_formula(act: Activation, pairs: Pairs) -> tuple[Float64, Float64]:
    """Values, and how far rounding may have moved them: infinitely far where there is no formula."""
    value, doubt = np.zeros(len(pairs)), np.full(len(pairs), np.inf)
    if act.source is None and act.name in COMPILED:
        kernel = importlib.import_module(f"numeric.generated.covariance.{act.name}")
        columns = (pairs.mean_1, pairs.std_1, pairs.mean_2, pairs.std_2, pairs.rho)
        kernel.covariance_loop(*columns, value, doubt, *act.arguments)
    apart = (pairs.rho == 0) & ~(doubt <= FLOOR)
    if apart.any():
        value[apart] = _product_of_means(act, pairs.of(apart))
        doubt[apart] = 0.0
    return value, doubt


def _first_terms(act: Activation, mean: Float64, std: Float64) -> Float64:
    """h_0² + h_1² + h_2²/2, the beginning of E σ²; 0 when some mean is beyond double precision."""
    try:
        return hermite_coefficients(act, mean, std, order=2) ** 2 @ _TERMS
    except OverflowError:
        return np.zeros(len(mean))


def _rough_square(act: Activation, mean: Float64, std: Float64) -> Float64:
    """E σ² to a factor of 4: the smaller of two trapezoidal sums whose nodes alternate, 0 where they differ much."""
    sums = np.empty((2, len(mean)))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(mean), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            values = act(mean[part, None] + std[part, None] * _Z)
            sums[:, part] = (np.square(values, out=values) @ _WEIGHTS).T
        low, high = sums.min(axis=0), sums.max(axis=0)
        return np.where(high < 4 * low, low, 0.0)


def _product_of_means(act: Activation, pairs: Pairs) -> Float64:
    first, second = (hermite_coefficients(act, m, s, order=0)[:, 0] for m, s in _both(pairs))
    return first * second


def _with_a_constant(act: Activation, pairs: Pairs) -> Float64:
    """Where a standard deviation is 0 its mean is σ as written, which is what `hermite_coefficients` returns."""
    return _product_of_means(act, pairs)


def _both(pairs: Pairs) -> tuple[tuple[Float64, Float64], ...]:
    return (pairs.mean_1, pairs.std_1), (pairs.mean_2, pairs.std_2)


def _integrated(act: Activation, pairs: Pairs, value: Float64, doubt: Float64) -> Float64:
    """By quadrature, but for values that turn out to be good against D; says so when the error may be larger."""
    pairs = narrower_first(pairs)
    stacked = np.concatenate([np.stack(column, axis=1) for column in _both(pairs)])
    different, place = np.unique(stacked, axis=0, return_inverse=True)
    first, second = place.reshape(2, len(pairs))
    outer = Outer(act, *map(np.ascontiguousarray, different.T))
    scale = outer.deviation[first] * outer.deviation[second]
    rest = ~(doubt <= TRUSTED * scale)
    value, error = value.copy(), np.zeros(len(pairs))
    value[rest], error[rest] = integrals(act, pairs.of(rest), outer, first[rest], scale[rest])
    poor = error > PROMISED
    if poor.any() and np.isfinite(value[poor]).all():
        _warn(act, pairs, np.where(poor, error, 0.0))
    return value


def _warn(act: Activation, pairs: Pairs, error: Float64) -> None:
    worst = int(np.argmax(error))
    warn_of_accuracy(
        f"{act.name}: {int((error > 0).sum())} of {len(pairs)} pairs were not integrated to {PROMISED:g}; the worst, "
        f"{_described(pairs, worst)}, has an estimated error of {error[worst]:.1e}, relative to √(E σ(Y₁)² E σ(Y₂)²)."
    )


def _described(pairs: Pairs, i: int) -> str:
    return ", ".join(f"{name} {getattr(pairs, name)[i]}" for name in pairs.__dataclass_fields__)


def _overflow(act: Activation, pairs: Pairs, out: Float64) -> None:
    finite = np.isfinite(out)
    raise OverflowError(
        f"std: E[σ(Y₁) σ(Y₂)] of {act.name!r} is beyond double precision for {int((~finite).sum())} of {out.size} "
        f"pairs, the first {_described(pairs, int(np.argmin(finite)))}; {act.formula} grows too fast for "
        "preactivations that wide; scale the inputs or the weights down."
    )


def _pairs(**given: Any) -> tuple[Pairs, tuple[int, ...]]:
    """The arguments as contiguous arrays of one length, and their common shape."""
    arrays = {name: checks.unconverted_array(name, value) for name, value in given.items()}
    shape = _common_shape(arrays)
    for name, array in arrays.items():
        _refuse(name, array)
    columns = (np.ascontiguousarray(np.broadcast_to(a, shape), dtype=np.float64).reshape(-1) for a in arrays.values())
    return Pairs(*columns), shape


def _common_shape(arrays: dict[str, Any]) -> tuple[int, ...]:
    shapes = {name: tuple(array.shape) for name, array in arrays.items()}
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"the arguments do not broadcast together: {found}") from None


def _refuse(name: str, array: np.ndarray) -> None:
    kind = name.partition("_")[0]
    expected = {"mean": "finite numbers", "std": "finite numbers ≥ 0", "rho": "numbers from −1 to 1"}[kind]
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float64, copy=False)
    good = np.isfinite(numbers)
    if kind == "std":
        good &= numbers >= 0
    if kind == "rho":
        good &= np.abs(numbers) <= 1
    if not good.all():
        first = int(np.argmin(good))
        raise ValueError(
            f"{name} has {int((~good).sum())} bad of {array.size} entries, the first {numbers.reshape(-1)[first]} at "
            f"flat index {first}; expected {expected}."
        )
