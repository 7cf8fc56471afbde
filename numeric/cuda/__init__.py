"""The generated kernels on NVIDIA GPUs: the same formulas, one thread for every pair.

The functions of `numeric` come here by themselves for arrays that lie on a GPU (CuPy's, PyTorch's): Hermite
coefficients and expected derivatives, moments, master coefficients, covariances. They check more, and do on the CPU
what has no kernel; the functions below refuse it. Results lie where the arguments do.
Arguments in float32 are computed in single precision, everything else in double.

    python -m numeric.cuda check        compiles every kernel, also where there is no GPU
"""

from collections.abc import Sequence
from typing import Any

from array_api_compat import array_namespace

from numeric import checks
from numeric.activations import activation as resolve
from numeric.cuda import kernels, launch
from numeric.cuda.kernels import NoKernel

__all__ = [
    "NoKernel",
    "evaluate",
    "gated_series",
    "gaussian_covariance",
    "gaussian_moment",
    "hermite_master_coefficients",
    "ungated_series",
    "values",
]

# Orders that have kernels.
HIGHEST = 8


def evaluate(kind: str, activation: Any, mean: Any, std: Any, order: int = 2) -> Any:
    """h_0, …, h_order (`kind` "hermite") or g_0, …, g_order ("derivatives") of arrays on a GPU.

    Args:
        kind: "hermite" or "derivatives".
        activation: as for `numeric.hermite_coefficients`.
        mean: μ, any shape.
        std: s ≥ 0, broadcast against `mean`.
        order: the highest k, at most 8.

    Returns:
        (…, order + 1), where the arguments are: a transposed array, each order in one piece.

    Raises:
        TypeError: arrays that are not on a GPU; so too in the other functions.
        ValueError: NaN or infinite entries, a negative std, an order above 8.
        NoKernel: an activation that is integrated adaptively.
        OverflowError: a mean beyond the range of the arrays' precision.
    """
    launch.refuse_elsewhere(mean=mean, std=std)
    act, order = resolve(activation), checks.non_negative_integer("order", order)
    if order > HIGHEST:
        raise ValueError(f"order: expected at most {HIGHEST} on a GPU, got {order}; NumPy arrays take any order")
    xp = array_namespace(mean, std)
    mean, std = xp.broadcast_arrays(mean, std)
    precision = launch.precision_of(mean, std)
    _refuse(mean, std, xp)
    n = _size(mean)
    out = launch.empty((order + 1, n), precision, mean)
    flat = [xp.reshape(launch.contiguous(array, precision), (-1,)) for array in (mean, std)]
    for columns in kernels.parts(act, order + 1):
        kernel = kernels.pairs(act, kind, columns, precision)
        launch.launch(kernel, n, *flat, out[columns[0] : columns[1], :], _parameters(kernel, act))
    if act.kernels.MAY_OVERFLOW and not bool(xp.all(xp.isfinite(out))):
        raise OverflowError(
            f"std: the mean of {act.name!r} is beyond {precision} precision for some pairs; {act.formula} grows too "
            "fast for a preactivation that wide; scale the inputs or the weights down."
        )
    return xp.reshape(xp.permute_dims(out, (1, 0)), (*mean.shape, order + 1))


def values(activation: Any, x: Any) -> Any:
    """σ(x) elementwise for an array on a GPU, in float32 or float64.

    Raises:
        ValueError: an unknown activation.
    """
    launch.refuse_elsewhere(x=x)
    act, xp = resolve(activation), array_namespace(x)
    precision = launch.precision_of(x)
    out = launch.empty((_size(x),), precision, x)
    kernel = kernels.values(act, precision)
    flat = xp.reshape(launch.contiguous(x, precision), (-1,))
    launch.launch(kernel, _size(x), flat, out, _parameters(kernel, act))
    return xp.reshape(out, x.shape)


def gaussian_covariance(activation: Any, mean_1: Any, std_1: Any, mean_2: Any, std_2: Any, rho: Any) -> tuple[Any, Any]:
    """E[σ(Y₁) σ(Y₂)] of arrays on a GPU by the proved formula, and how far rounding may have moved each.

    Args:
        activation: one with a proved covariance.
        mean_1, std_1, mean_2, std_2, rho: shapes that broadcast together; std > 0, |rho| ≤ 1.

    Returns:
        Two arrays of the broadcast shape. `numeric.gaussian_covariance` integrates where the second is too large, which
        on a GPU nothing does. In float32 the first is mostly within 3e-6 √(E σ₁² E σ₂²), and the second tells of more,
        as in far tails; std up to 10⁴.

    Raises:
        NoKernel: an activation without a proved covariance.
        ValueError: NaN or infinite entries, a std that is not positive, |rho| > 1.
    """
    launch.refuse_elsewhere(mean_1=mean_1, std_1=std_1, mean_2=mean_2, std_2=std_2, rho=rho)
    act = resolve(activation)
    xp = array_namespace(mean_1, std_1, mean_2, std_2, rho)
    arrays = xp.broadcast_arrays(mean_1, std_1, mean_2, std_2, rho)
    precision = launch.precision_of(*arrays)
    kernel = kernels.covariances(act, precision)
    for mean, std, names in ((arrays[0], arrays[1], "1"), (arrays[2], arrays[3], "2")):
        _refuse(mean, std, xp, f"_{names}")
        if not bool(xp.all(std > 0)):
            raise ValueError(f"std_{names} has entries that are 0; expected positive numbers on a GPU")
    if not bool(xp.all(xp.abs(arrays[4]) <= 1)):
        raise ValueError("rho has entries outside −1 … 1, or NaN")
    shape, n = arrays[0].shape, _size(arrays[0])
    out = launch.empty((2, n), precision, arrays[0])
    flat = [xp.reshape(launch.contiguous(a, precision), (-1,)) for a in arrays]
    launch.launch(kernel, n, *flat, out, _parameters(kernel, act))
    return xp.reshape(out[0, :], shape), xp.reshape(out[1, :], shape)


def gaussian_moment(mean: Any, cov: Any, powers: Sequence[int]) -> Any:
    """E Π_i X_i^powers[i] for X ~ N(mean, cov), for a batch on a GPU.

    Args:
        mean: (n, d).
        cov: (n, d, d), symmetric.
        powers: d integers ≥ 0, of sum 1 to 8.

    Returns:
        (n,).

    Raises:
        ValueError: other shapes or powers.
    """
    launch.refuse_elsewhere(mean=mean, cov=cov)
    chosen = [checks.non_negative_integer(f"powers[{i}]", p) for i, p in enumerate(powers)]
    if not 1 <= sum(chosen) <= HIGHEST:
        raise ValueError(f"powers: expected a sum from 1 to {HIGHEST} on a GPU, got {tuple(chosen)}")
    n, d = mean.shape
    if cov.shape != (n, d, d) or len(chosen) != d:
        raise ValueError(
            f"mean, cov and powers: expected (n, d), (n, d, d) and d, got {mean.shape}, {cov.shape}, {len(chosen)}"
        )
    precision = launch.precision_of(mean, cov)
    index = sorted((i for i, p in enumerate(chosen) if p), key=lambda i: -chosen[i])
    kernel = kernels.moments(tuple(chosen[i] for i in index), precision)
    out = launch.empty((n,), precision, mean)
    where = launch.integers(index, mean)
    launch.launch(kernel, n, launch.contiguous(mean, precision), launch.contiguous(cov, precision), where, out)
    return out


def hermite_master_coefficients(mean_y: Any, cov_y: Any, cov_xy: Any) -> Any:
    """β_0 … β_n of the Hermite form of the master theorem, for a batch on a GPU; see `numeric` for the formula.

    Args:
        mean_y: (batch, n), n from 1 to 8.
        cov_y: (batch, n, n).
        cov_xy: (batch, n).

    Returns:
        (batch, n + 1).

    Raises:
        ValueError: other shapes.
    """
    launch.refuse_elsewhere(mean_y=mean_y, cov_y=cov_y, cov_xy=cov_xy)
    xp = array_namespace(mean_y, cov_y, cov_xy)
    batch, n = mean_y.shape
    if not 1 <= n <= HIGHEST or cov_y.shape != (batch, n, n) or cov_xy.shape != (batch, n):
        raise ValueError(
            f"mean_y, cov_y, cov_xy: expected (batch, n), (batch, n, n), (batch, n), n from 1 to {HIGHEST}, got "
            f"{mean_y.shape}, {cov_y.shape}, {cov_xy.shape}"
        )
    precision = launch.precision_of(mean_y, cov_y, cov_xy)
    out = launch.empty((n + 1, batch), precision, mean_y)
    arrays = [launch.contiguous(a, precision) for a in (mean_y, cov_xy, cov_y)]
    launch.launch(kernels.masters(n, precision), batch, *arrays, out)
    return xp.permute_dims(out, (1, 0))


def ungated_series(*arguments: Any) -> None:
    """`numeric.pairs.ungated` on a GPU: the same arguments, matrices in C order, float64."""
    launch.launch(kernels.ungated_series(), _size(arguments[4]), *arguments)


def gated_series(*arguments: Any) -> None:
    """`numeric.pairs.gated` on a GPU: the same arguments, matrices in C order, float64."""
    launch.launch(kernels.gated_series(), _size(arguments[6]), *arguments)


def _parameters(kernel: kernels.Kernel, act: Any) -> tuple[Any, ...]:
    return tuple(kernels.DTYPE[kernel.inside](value) for value in act.arguments)


def _size(array: Any) -> int:
    n = 1
    for length in array.shape:
        n *= length
    return n


def _refuse(mean: Any, std: Any, xp: Any, suffix: str = "") -> None:
    for name, array, good in (
        ("mean", mean, xp.isfinite(mean)),
        ("std", std, xp.isfinite(std) & (std >= 0)),
    ):
        if not bool(xp.all(good)):
            expected = "finite numbers" if name == "mean" else "finite numbers ≥ 0"
            bad = int(xp.sum(xp.astype(~good, xp.int64)))
            raise ValueError(f"{name}{suffix} has {bad} bad of {_size(array)} entries; expected {expected}.")
