"""Moments of Gaussian vectors with any mean, over batches: noncentral Isserlis.

For X ~ N(m, S), E X_1 … X_n is the sum over all partitions of the factors into singletons (their means) and
pairs (their covariances) (Isserlis 1918; derivations/isserlis.md). Orders up to 8 have unrolled kernels,
generated from polynomials that `symgauss` has proved; above that Stein's recurrence fills a table of all
lower moments. Both are polynomials in m and S: zero variances and repeated factors are nothing special.
"""

import importlib
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks
from numeric.device.arguments import by_the_cpu, first_on_device, together
from numeric.device.arrays import namespace, on_cuda
from numeric.jit import loop

Float64 = NDArray[np.float64]

UNROLLED = 8
# A table of 2**27 doubles is 1 GiB.
LARGEST_TABLE = 2**27


def gaussian_moment(mean: ArrayLike, cov: ArrayLike, powers: Sequence[int]) -> Float64:
    """E Π_i X_i^powers[i] for X ~ N(mean, cov).

    Args:
        mean: (…, d).
        cov: (…, d, d), symmetric; leading axes broadcast against those of `mean`.
        powers: d integers ≥ 0.

    Returns:
        float64 of shape (…): the broadcast leading axes. Of arrays of PyTorch or CuPy on a device an array there, in
        float32 if both are; total orders above 8 are computed on the CPU all the same.

    Raises:
        ValueError: wrong shapes, NaN or infinite entries, a covariance that is not symmetric or has
            |S_ij| > √(S_ii S_jj), a table above 1 GiB (total order above 8 in many variables).
        TypeError: complex or object arrays, powers that are no integers.

    Source: Isserlis (1918) with means; our derivation by Stein's identity.

    >>> gaussian_moment([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]], (2, 2))
    array(1.5)
    """
    there = first_on_device(mean, cov)
    if there is not None:
        return _moment_on_device(together(there, mean=mean, cov=cov), powers)
    (mean, cov), shape = _moments_of("mean", mean, "cov", cov)
    chosen = _powers(powers, mean.shape[1])
    order = sum(chosen)
    if order == 0:
        return np.ones(shape)
    if order > UNROLLED:
        kept = [i for i, p in enumerate(chosen) if p]
        table = _table(mean[:, kept], cov[:, kept][:, :, kept], tuple(chosen[i] for i in kept))
        return np.ascontiguousarray(table.reshape(len(mean), -1)[:, -1]).reshape(shape)
    index = sorted((i for i, p in enumerate(chosen) if p), key=lambda i: -chosen[i])
    kernels = importlib.import_module(f"numeric.generated.moments.order_{order}")
    name = "".join(str(chosen[i]) for i in index)
    out = np.empty(len(mean))
    getattr(kernels, f"moment_{name}_loop")(mean, cov, np.array(index), out)
    return out.reshape(shape)


def gaussian_moments(mean: ArrayLike, cov: ArrayLike, powers: Sequence[int]) -> Float64:
    """All moments E Π_i X_i^a_i with 0 ≤ a_i ≤ powers[i], in one table.

    Arguments and errors as in `gaussian_moment`. Arrays on a device come back there, by way of the CPU.

    Returns:
        float64 of shape (…, powers[0] + 1, …, powers[d−1] + 1); the entry at a is the moment a.

    Source: Stein's recurrence E X_i X^a = m_i E X^a + Σ_j a_j S_ij E X^(a − e_j), at a cost of d operations
    per entry (our derivation).

    >>> gaussian_moments([1.0], [[4.0]], (3,))
    array([ 1.,  1.,  5., 13.])
    """
    there = first_on_device(mean, cov)
    if there is not None:
        return by_the_cpu(partial(gaussian_moments, powers=powers), together(there, mean=mean, cov=cov))
    (mean, cov), shape = _moments_of("mean", mean, "cov", cov)
    chosen = _powers(powers, mean.shape[1])
    return _table(mean, cov, chosen).reshape(*shape, *(p + 1 for p in chosen))


def _table(mean: Float64, cov: Float64, powers: tuple[int, ...]) -> Float64:
    sizes = np.array([p + 1 for p in powers])
    entries = math.prod(int(s) for s in sizes) * max(len(mean), 1)
    if entries > LARGEST_TABLE:
        raise ValueError(
            f"powers: {powers} for a batch of {len(mean)} need a table of {entries:,} moments, {8 * entries:,} bytes; "
            f"at most {8 * LARGEST_TABLE:,} bytes are taken. Ask for lower powers or a smaller batch."
        )
    table = np.empty((len(mean), math.prod(int(s) for s in sizes)))
    _fill(np.ascontiguousarray(mean), np.ascontiguousarray(cov), sizes, table)
    return table


@loop
def _fill(mean, cov, sizes, table):
    d = sizes.size
    strides = np.ones(d, np.int64)
    for i in range(d - 2, -1, -1):
        strides[i] = strides[i + 1] * sizes[i + 1]
    a = np.empty(d, np.int64)
    for b in range(table.shape[0]):
        moment, m, S = table[b], mean[b], cov[b]
        moment[0] = 1.0
        a[:] = 0
        for entry in range(1, moment.size):
            # a counts up like an odometer; i is its last nonzero place
            i = d - 1
            while a[i] + 1 == sizes[i]:
                a[i] = 0
                i -= 1
            below = entry - strides[i]
            total = m[i] * moment[below]
            for j in range(i + 1):
                if a[j] > 0:
                    total += a[j] * S[i, j] * moment[below - strides[j]]
            a[i] += 1
            moment[entry] = total


def master_coefficients(
    mean_x: ArrayLike, var_x: ArrayLike, mean_y: ArrayLike, cov_y: ArrayLike, cov_xy: ArrayLike
) -> Float64:
    """α_0 … α_n with E[g(X) Y_1 … Y_n] = Σ_k α_k E[g(X) X^k] for every g.

    X and Y are jointly Gaussian. The α are those of the polynomial E[Y_1 … Y_n | X]; where X has no
    variance it is taken as α_0 = E Y_1 … Y_n and zeros. They cancel when X is far from 0 against its
    standard deviation; `hermite_master_coefficients` does not.

    Args:
        mean_x: (…).
        var_x: (…), ≥ 0.
        mean_y: (…, n), n ≤ 8.
        cov_y: (…, n, n).
        cov_xy: (…, n), Cov(X, Y_i); |cov_xy|² ≤ var_x · Var Y_i.

    Returns:
        float64 of shape (…, n + 1). Of arrays on a device an array there, by way of the CPU.

    Raises:
        ValueError: wrong shapes, NaN or infinite entries, a negative variance, a joint covariance that is
            not symmetric or has an entry beyond what its diagonal allows.
        TypeError: complex or object arrays.

    Source: the master theorem of Belrose & Rigg (arXiv 2502.01032); derivations/master.md.
    """
    there = first_on_device(mean_x, var_x, mean_y, cov_y, cov_xy)
    if there is not None:
        given = {"mean_x": mean_x, "var_x": var_x, "mean_y": mean_y, "cov_y": cov_y, "cov_xy": cov_xy}
        return by_the_cpu(master_coefficients, together(there, **given))
    (m, S, c, m_x, v_x), shape = _aligned(
        ("mean_y", mean_y, 1), ("cov_y", cov_y, 2), ("cov_xy", cov_xy, 1), ("mean_x", mean_x, 0), ("var_x", var_x, 0)
    )
    _check_covariance("cov_y", S)
    _check_joint(v_x, S, c)
    varies = (v_x > 0)[:, None]
    slope = np.divide(c, v_x[:, None], out=np.zeros_like(c), where=varies)
    residual = S - slope[:, :, None] * c[:, None, :]
    return _master(m - slope * m_x[:, None], slope, residual).reshape(*shape, -1)


def hermite_master_coefficients(mean_y: ArrayLike, cov_y: ArrayLike, cov_xy: ArrayLike) -> Float64:
    """β_0 … β_n with E[g(X) Y_1 … Y_n] = Σ_k β_k E g^(k)(X), the Hermite form of the master theorem.

    β_k = Σ_{|A| = k} Π_{i∈A} Cov(X, Y_i) · E Π_{i∉A} Y_i. Nothing is divided by Var X, and powers of X do not
    cancel: this is the form to compute with. E g^(k)(X) is `expected_derivatives`.

    Args:
        mean_y: (…, n), n ≤ 8.
        cov_y: (…, n, n).
        cov_xy: (…, n).

    Returns:
        float64 of shape (…, n + 1). Of arrays of PyTorch or CuPy on a device an array there, in float32 if all are.

    Raises:
        ValueError, TypeError: as `master_coefficients`.

    Source: our derivation, the Hermite form of the master theorem (derivations/master.md).
    """
    there = first_on_device(mean_y, cov_y, cov_xy)
    if there is not None:
        return _hermite_master_on_device(together(there, mean_y=mean_y, cov_y=cov_y, cov_xy=cov_xy))
    (m, S, c), shape = _aligned(("mean_y", mean_y, 1), ("cov_y", cov_y, 2), ("cov_xy", cov_xy, 1))
    _check_covariance("cov_y", S)
    return _master(m, c, S).reshape(*shape, -1)


def _moment_on_device(arrays: list[Any], powers: Sequence[int]) -> Any:
    """By the kernel, where there is one; input that looks wrong goes to the CPU, which says what is."""
    mean, cov = arrays
    plausible = on_cuda(mean) and _plausible(mean, cov)
    if not plausible or not 1 <= sum(_powers(powers, mean.shape[-1])) <= UNROLLED:
        return by_the_cpu(partial(gaussian_moment, powers=powers), arrays)
    from numeric import cuda

    (mean, cov), shape = _batches((mean, 1), (cov, 2))
    return namespace(mean).reshape(cuda.gaussian_moment(mean, cov, powers), shape)


def _hermite_master_on_device(arrays: list[Any]) -> Any:
    m, S, c = arrays
    if not (on_cuda(m) and 1 <= m.shape[-1] <= UNROLLED and _plausible(m, S) and _plausible(c, S)):
        return by_the_cpu(hermite_master_coefficients, arrays)
    from numeric import cuda

    (m, S, c), shape = _batches((m, 1), (S, 2), (c, 1))
    return namespace(m).reshape(cuda.hermite_master_coefficients(m, S, c), (*shape, -1))


def _plausible(mean: Any, cov: Any) -> bool:
    """Whether shapes fit together and all is finite, symmetric, and no larger than its diagonal allows; on a device."""
    xp, n = namespace(mean), mean.shape[-1] if mean.ndim else 0
    if cov.ndim < 2 or tuple(cov.shape[-2:]) != (n, n) or n == 0:
        return False
    try:
        np.broadcast_shapes(tuple(mean.shape[:-1]), tuple(cov.shape[:-2]))
    except ValueError:
        return False
    slack = max(1e-8, 8 * float(xp.finfo(cov.dtype).eps))
    deviations = xp.sqrt(xp.linalg.diagonal(cov))  # NaN where a variance is negative
    scale = deviations[..., :, None] * deviations[..., None, :]
    good = (xp.abs(cov) <= (1 + slack) * scale) & (xp.abs(cov - cov.mT) <= slack * scale)
    return bool(xp.all(xp.isfinite(mean)) & xp.all(good) & xp.all(xp.isfinite(scale)))


def _batches(*given: tuple[Any, int]) -> tuple[list[Any], tuple[int, ...]]:
    """Arrays on a device, each with so many own axes, as (batch, …); and the shape of the batch."""
    xp = namespace(given[0][0])
    shape = np.broadcast_shapes(*(tuple(array.shape[: array.ndim - axes]) for array, axes in given))
    flat = []
    for array, axes in given:
        own = array.shape[array.ndim - axes :]
        flat.append(xp.reshape(xp.broadcast_to(array, (*shape, *own)), (math.prod(shape), *own)))
    return flat, shape


def _master(a: Float64, b: Float64, S: Float64) -> Float64:
    """Coefficients of t in E Π (a_i + b_i t + R_i), R ~ N(0, S)."""
    n = a.shape[1]
    if n > UNROLLED:
        raise ValueError(f"mean_y: expected at most {UNROLLED} factors, got {n}")
    out = np.empty((len(a), n + 1))
    kernels = importlib.import_module("numeric.generated.moments.master")
    getattr(kernels, f"master_{n}_loop")(a, b, np.ascontiguousarray(S), out)
    return out


def _moments_of(*named: Any) -> tuple[list[Float64], tuple[int, ...]]:
    mean_name, mean, cov_name, cov = named
    arrays, shape = _aligned((mean_name, mean, 1), (cov_name, cov, 2))
    _check_covariance(cov_name, arrays[1])
    return arrays, shape


def _aligned(*given: tuple[str, ArrayLike, int]) -> tuple[list[Float64], tuple[int, ...]]:
    """Arrays as (batch, n, …) in float64 and the shape of the batch; each comes with its number of own axes."""
    arrays = [checks.real_array(name, value).astype(np.float64, copy=False) for name, value, _ in given]
    n = arrays[0].shape[-1] if arrays[0].ndim else 0
    for (name, _, axes), array in zip(given, arrays):
        own = array.shape[array.ndim - axes :] if array.ndim >= axes else None
        if own != (n,) * axes or (axes and n == 0):
            expected = "(…" + f", {n}" * axes + ")" if n else "(…, n) with n ≥ 1"
            raise ValueError(f"{name}: expected shape {expected}, got {array.shape}")
    batches = [array.shape[: array.ndim - axes] for (_, _, axes), array in zip(given, arrays)]
    try:
        shape = np.broadcast_shapes(*batches)
    except ValueError:
        found = ", ".join(f"{name} {array.shape}" for (name, _, _), array in zip(given, arrays))
        raise ValueError(f"the leading axes do not broadcast together: {found}") from None
    count = math.prod(shape)
    flat = [
        np.ascontiguousarray(np.broadcast_to(array, (*shape, *(n,) * axes)).reshape(count, *(n,) * axes))
        for (_, _, axes), array in zip(given, arrays)
    ]
    return flat, shape


def _check_covariance(name: str, cov: Float64) -> None:
    """Symmetric, and |S_ij|² ≤ S_ii S_jj: what can be seen without an eigenvalue problem per batch entry."""
    bad = _first_bad(cov)
    if bad >= 0:
        raise ValueError(
            f"{name}: expected a covariance, symmetric with |S_ij| ≤ √(S_ii S_jj), got {cov[bad].tolist()} "
            f"at flat batch index {bad}"
        )


@loop
def _first_bad(cov):
    n = cov.shape[1]
    for b in range(cov.shape[0]):
        for i in range(n):
            for j in range(i + 1):
                bound = cov[b, i, i] * cov[b, j, j]
                s = cov[b, i, j]
                scale = np.sqrt(max(bound, 0.0))
                if cov[b, i, i] < 0.0 or abs(s - cov[b, j, i]) > 1e-8 * scale or abs(s) > scale * (1 + 1e-8):
                    return b
    return -1


def _check_joint(v_x: Float64, S: Float64, c: Float64) -> None:
    bound = v_x[:, None] * np.einsum("bii->bi", S)
    bad = (v_x < 0) | (c**2 > bound * (1 + 1e-8)).any(axis=1)
    if bad.any():
        b = int(np.argmax(bad))
        raise ValueError(
            f"cov_xy: expected var_x ≥ 0 and cov_xy² ≤ var_x · var_y, got var_x = {v_x[b]}, cov_xy = {c[b].tolist()}, "
            f"var_y = {np.diagonal(S[b]).tolist()} at flat batch index {b}"
        )


def _powers(powers: Sequence[int], d: int) -> tuple[int, ...]:
    chosen = tuple(checks.non_negative_integer(f"powers[{i}]", p) for i, p in enumerate(powers))
    if len(chosen) != d:
        raise ValueError(f"powers: expected {d} integers, one per variable, got {len(chosen)}")
    return chosen
