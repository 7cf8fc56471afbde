"""How much of a layer's variance a polynomial explains, degree by degree, and how much it leaves: exactly.

f − p is a sum over neurons of residuals orthogonal to all polynomials of degree ≤ n, so that

    Var f_o = Σ_{k=1}^{n} (variance of degree k) + (residual variance),    each of them Σ_ij W_oi W_oj C_ij

with C_ij the covariance of what neurons i and j have of that degree, or beyond degree n. Those are in closed form
given the correlations of the preactivations: a power of the correlation for each degree, and for the rest the
series in `numeric.pairs`, whose terms are all known, or for nearly parallel neurons the integral in
`numeric.conditional`. Pairs are taken in blocks; nothing of the size of all pairs is ever in memory. What costs the
square of anything is done where the weights are, in NumPy or on a device; what there is of each neuron is NumPy's.
(Our derivation: residual variance, derivations/variance.md.)
"""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric import moments
from numeric.activations import Activation
from numeric.conditional import Pairs, covariances
from numeric.device import pairs as device_pairs
from numeric.device import projections
from numeric.device.arrays import double, host, is_out_of_memory, moved, namespace, on_device, some_rows
from numeric.factored import FactoredPolynomial
from numeric.gated import GatedPolynomial
from numeric.gradients import NARROW
from numeric.inputs import product_with_vector
from numeric.mixture.arrays import on
from numeric.pairs import gated, reach, ungated
from numeric.polynomial import RidgePolynomial
from numeric.progress import Progress
from numeric.reduced import Reduced
from numeric.residuals import EPSILON, LEFT_OUT, Factor, Residuals, alpha_of, residuals
from numeric.special import TINY

Float64 = NDArray[np.float64]

# Blocks of pairs: large for matrix products, which use all cores by themselves; series take them by squares.
_ROWS, _COLUMNS = 256, 4096
# Nearer to ±1 than this, 1 − |g| is taken from the difference of two standardised preactivations.
_NEARLY_PARALLEL = 1e-4
# Sums of quadratic forms are rounded by a few ε of what they are sums of.
_ROUNDING = 8 * EPSILON
# Hermite coefficients so far below the size of σ come from its derivatives.
_FAR_BELOW = 1e-6


@dataclass(frozen=True)
class Explained:
    """The variance of a layer's outputs by degrees.

    Attributes:
        by_degree: (degree, d_out), the variance that degree 1, …, n explains.
        residual: (d_out,), E(f_o − p_o)².
        error: (d_out,), a bound on the error of `residual`: what was left out of series, and rounding.
    """

    by_degree: Float64
    residual: Float64
    error: Float64

    def __post_init__(self) -> None:
        for array in (self.by_degree, self.residual, self.error):
            array.flags.writeable = False

    @property
    def total(self) -> Float64:
        """Var f_o, shape (d_out,)."""
        return self.by_degree.sum(axis=0) + self.residual

    @property
    def fvu(self) -> Float64:
        """residual/total, shape (d_out,); 0/0 counts as 0."""
        total = self.total
        return np.divide(self.residual, total, out=np.zeros_like(total), where=total > 0)

    @property
    def total_fvu(self) -> float:
        """Σ residual/Σ total; 0/0 counts as 0."""
        total = float(self.total.sum())
        return float(self.residual.sum()) / total if total > 0 else 0.0


def explained(p: FactoredPolynomial, progress: bool | None = None) -> Explained:
    """The variance that p explains of the layer it approximates, and what it leaves.

    Costs about the products W Σ Wᵀ and a few passes over all pairs of neurons; memory a few weight matrices.

    Args:
        p: what `numeric.approximate` returned.
        progress: whether to show a bar after two seconds; default: if standard error is a terminal.

    Raises:
        OverflowError: a neuron whose variance is beyond double precision, as that of exp(y) is for s > 19.
        MemoryError: a device without memory for blocks of pairs.

    Source: our derivation, residual variance (derivations/variance.md).
    """
    with on(p.layer.projections[0][0]):
        return _explained(p, progress)


def _explained(p: FactoredPolynomial, progress: bool | None) -> Explained:
    neurons = _Neurons(p)
    if p.W_out is None:
        return _checked(neurons.by_degree, neurons.residuals.variance, neurons, lambda parts: parts)
    sums = _sums(neurons, p.W_out, progress)
    sizes = namespace(p.W_out).abs(p.W_out)  # only now: it is as large as W_out
    return _checked(sums[:-1], sums[-1], neurons, lambda parts: host(product_with_vector(sizes, parts.T)).T)


def _checked(
    by_degree: Float64, residual: Float64, neurons: "_Neurons", added: Callable[[Float64], Float64]
) -> Explained:
    """Without what is below its own rounding error, and with the bound; `added` sums deviations over neurons."""
    deviation, doubt = added(np.sqrt(neurons.residuals.variance)), added(neurons.residuals.error)
    error = 2 * deviation * doubt + (LEFT_OUT + _ROUNDING) * deviation**2
    scale = added(np.sqrt(neurons.by_degree)) ** 2
    by_degree = np.where(by_degree > _ROUNDING * scale, by_degree, 0.0)
    return Explained(by_degree, np.where(residual > _ROUNDING * deviation**2, residual, 0.0), error)


class _Neurons:
    """All that pairs of neurons are made of, neuron by neuron: in NumPy, but for the weights."""

    def __init__(self, p: FactoredPolynomial) -> None:
        self.degree, self.inputs = p.degree, p.inputs
        self.mean, self.std = host(p.preactivation_mean), host(p.preactivation_std)
        self.unit = np.where(self.std > 0, 1 / np.where(self.std > 0, self.std, 1.0), 0.0)
        self.gated = isinstance(p, GatedPolynomial)
        if isinstance(p, RidgePolynomial):
            self.weights, self.up, self.factor = p.W_in, None, Factor.one(len(self.mean))
        else:
            assert isinstance(p, GatedPolynomial)
            self.weights, self.up = p.W_gate, p.W_up
            self.factor = Factor(host(p.up_mean), host(p.coupling), np.zeros(len(self.mean)), gated=True)
            for rows in self.blocks(len(self.mean), _COLUMNS):
                # what is left of z without y; its own variance is then τ²
                self.factor.beside[rows] = host(self.inputs.project(self.beside(rows))[1])
        harmless = self.degree - 1 if self.gated else self.degree
        self.reduced = Reduced.around(p.activation, self.mean, self.std, harmless)
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            self.residuals: Residuals = residuals(self.reduced, self.std, self.factor, self.degree)
        self._refuse_overflow(p)
        hermite = _to_their_own_size(p.activation, host(p.hermite), self.mean, self.std)
        normalised = hermite / np.sqrt(np.cumprod(np.maximum(np.arange(hermite.shape[1]), 1.0)))
        padded = np.zeros((len(self.mean), self.degree + 2))
        padded[:, : normalised.shape[1]] = normalised
        # √E[σ(y)²] or so
        self.size = np.sqrt((padded**2).sum(axis=1) + self.residuals.variance)
        # α_1 … α_n and β_1 … β_n
        self.alpha = alpha_of(padded, self.factor, self.degree)[:, 1:]
        self.beta = padded[:, : self.degree] if self.gated else np.zeros((len(self.mean), 0))

    def _refuse_overflow(self, p: FactoredPolynomial) -> None:
        finite = np.isfinite(self.residuals.variance)
        if not finite.all():
            i = int(np.argmin(finite))
            raise OverflowError(
                f"the variance that {p.activation.name} has at neuron {i} is beyond double precision: preactivation "
                f"mean {self.mean[i]}, std {self.std[i]}; scale the inputs or the weights down."
            )

    def blocks(self, stop: int, size: int, start: int = 0) -> list[slice]:
        return [slice(i, min(i + size, stop)) for i in range(start, stop, size)]

    def integrated(self, pairs: Pairs) -> Float64:
        """Residual covariances whose series does not end."""
        made = self.residuals
        return covariances(self.reduced, self.std, self.factor, made.low, made.degree, pairs)

    def along(self, rows: Any) -> Float64:
        """The weights of the standardised preactivations; 0 for those that do not vary."""
        return double(some_rows(self.weights, rows)) * self.there(self.unit[rows])[:, None]

    def beside(self, rows: slice) -> Float64:
        """The weights of z − E[z | y]."""
        assert self.up is not None
        return double(self.up[rows, :]) - self.there(self.factor.along[rows])[:, None] * self.along(rows)

    def there(self, array: Float64) -> Float64:
        """A small array where the weights are."""
        return moved(array, self.weights)

    @cached_property
    def covariance(self) -> Any:
        """Σ where the weights are."""
        covariance = self.inputs.covariance
        return projections.sigma_on(covariance, self.weights) if on_device(self.weights) else covariance

    @cached_property
    def by_degree(self) -> Float64:
        """The variances of the parts of degree 1, …, n of each neuron, shape (n, n_hidden)."""
        along = self.alpha.T**2
        return along + (self.factor.beside[:, None] * self.beta).T ** 2 if self.gated else along


def _to_their_own_size(activation: Activation, hermite: Float64, mean: Float64, std: Float64) -> Float64:
    """Hermite coefficients, those far below the size of σ as s^k g_k.

    Averaged at nodes they are right to the rounding of σ, and the whole variance of a neuron that hardly varies may
    be less than the square of that.
    """
    order, size = np.arange(hermite.shape[1]), np.abs(hermite).max(axis=1, keepdims=True)
    far_below = (np.abs(hermite) < _FAR_BELOW * size) & (order > 0)
    rows = np.flatnonzero((std >= TINY) & (std < NARROW) & far_below.any(axis=1))
    if activation.kernels.KIND not in ("quadrature", "integrated") or not len(rows):
        return hermite
    with np.errstate(under="ignore", over="ignore"):
        derivatives = moments.expected_derivatives(activation, mean[rows], std[rows], int(order[-1]))
        small = derivatives * std[rows, None] ** order
    result = hermite.copy()
    result[rows] = np.where(far_below[rows] & (np.abs(small) < _FAR_BELOW * size[rows]), small, hermite[rows])
    return result


@dataclass(frozen=True)
class _Correlations:
    """g, c₁₂, c₂₁, c₂₂ for a block of pairs; only g in an MLP."""

    g: Float64
    c12: Float64
    c21: Float64
    c22: Float64


def _sums(neurons: _Neurons, W_out: NDArray[Any], progress: bool | None) -> Float64:
    """The quadratic forms of all outputs: one row for each degree, and a last one for the rest."""
    if not on_device(neurons.weights):
        return _sums_of_blocks(neurons, W_out, _Loops(neurons), _ROWS, _COLUMNS, progress)
    made, n = neurons.residuals, len(neurons.mean)
    numbers = made.alpha.size + made.beta.size + n * (2 * neurons.degree + 2)
    size = device_pairs.block_size(neurons.weights, W_out.shape[0], numbers, neurons.gated)
    try:
        return _sums_of_blocks(neurons, W_out, _OnDevice(neurons), size, size, progress)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        needed = device_pairs.bytes_needed(size, W_out.shape[1], W_out.shape[0], numbers, neurons.gated)
        raise device_pairs.out_of_memory(neurons.weights, needed) from error


def _sums_of_blocks(
    neurons: _Neurons, W_out: NDArray[Any], series: "_Loops | _OnDevice", height: int, width: int, progress: bool | None
) -> Float64:
    n = len(neurons.mean)
    total = np.zeros((neurons.degree + 1, W_out.shape[0]))
    with Progress("residual variance", n * (n + 1) // 2, progress) as bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for rows in neurons.blocks(n, height):
            for columns, pairs in _correlations(neurons, rows, width):
                residual = series.covariances(rows, columns, pairs, pool)
                total += _block_sums(neurons, W_out, rows, columns, pairs, residual)
                bar.advance((rows.stop - rows.start) * (columns.stop - columns.start))
    return total


def _correlations(neurons: _Neurons, rows: slice, width: int) -> Iterator[tuple[slice, _Correlations]]:
    """The correlations of a block of neurons with those of its own block and of all that follow."""
    covariance = neurons.covariance
    along = covariance.left(neurons.along(rows))
    beside = covariance.left(neurons.beside(rows)) if neurons.gated else None
    for columns in neurons.blocks(len(neurons.mean), width, rows.start):
        theirs = covariance.right(neurons.along(columns))
        g = along @ theirs.T
        g = namespace(g).clip(g, -1.0, 1.0)
        if beside is None:
            yield columns, _Correlations(g, g, g, g)
            continue
        their_beside = covariance.right(neurons.beside(columns))
        yield columns, _Correlations(g, along @ their_beside.T, beside @ theirs.T, beside @ their_beside.T)


def _block_sums(
    neurons: _Neurons,
    W_out: NDArray[Any],
    rows: slice,
    columns: slice,
    pairs: _Correlations,
    residual: Float64,
) -> Float64:
    # each pair (i, j) stands for (j, i) as well, and within a block both are there
    left, right = double(W_out[:, rows]), 2.0 * double(W_out[:, columns])
    sums = np.zeros((neurons.degree + 1, W_out.shape[0]))
    sums[-1] = _form(left, residual, right)
    if columns.start == rows.start:
        right[:, : rows.stop - columns.start] *= 0.5
    xp, g = namespace(pairs.g), pairs.g
    power, below, below_2 = xp.ones_like(g), xp.zeros_like(g), xp.zeros_like(g)
    for k in range(1, neurons.degree + 1):
        power, below, below_2 = power * g, power, below
        alpha, beta = neurons.alpha[:, k - 1], neurons.beta[:, k - 1] if neurons.gated else None
        a, b = left * neurons.there(alpha[rows]), right * neurons.there(alpha[columns])
        sums[k - 1] = _form(a, power, b)
        if beta is not None:
            u, v = left * neurons.there(beta[rows]), right * neurons.there(beta[columns])
            root = math.sqrt(k)
            sums[k - 1] += root * (_form(a, below * pairs.c12, v) + _form(u, below * pairs.c21, b))
            sums[k - 1] += _form(u, below * pairs.c22 + (k - 1) * below_2 * pairs.c12 * pairs.c21, v)
    return sums


def _form(left: Float64, matrix: Float64, right: Float64) -> Float64:
    """Σ_ij left_oi matrix_ij right_oj for every o, in NumPy."""
    return host(namespace(left).vecdot(left @ matrix, right))


class _Loops:
    """Residual covariances in NumPy, by squares of pairs in several threads."""

    def __init__(self, neurons: _Neurons) -> None:
        self.neurons = neurons

    def covariances(self, rows: slice, columns: slice, pairs: _Correlations, pool: ThreadPoolExecutor) -> Float64:
        """The residual covariances of every pair once, and half the variances."""
        out = np.empty_like(pairs.g)
        parts = self.neurons.blocks(out.shape[1], _ROWS)
        list(pool.map(lambda part: self._by_series(rows, columns.start, part, pairs, out), parts))
        i, j = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)
        out[np.broadcast_to(j <= i, out.shape)] = 0.0
        if columns.start == rows.start:
            np.fill_diagonal(out, 0.5 * self.neurons.residuals.variance[rows])
        long = np.isnan(out)
        out[long] = 0.0
        wanted, values = _integrated(self.neurons, rows, columns, pairs, long, pool)
        out[wanted] = values
        return out

    def _by_series(self, rows: slice, start: int, part: slice, pairs: _Correlations, out: Float64) -> None:
        made, first = self.neurons.residuals, self.neurons.degree + 1
        columns = slice(start + part.start, start + part.stop)
        terms, largest = reach(made, made, rows, columns, self.neurons.gated)
        rest = np.sqrt(made.beyond[:, len(terms) - 1])
        g = np.ascontiguousarray(pairs.g[:, part])
        found = np.empty_like(g)
        if self.neurons.gated:
            crossed = (np.ascontiguousarray(c[:, part]) for c in (pairs.c12, pairs.c21, pairs.c22))
            arrays = (made.alpha[rows], made.beta[rows], made.alpha[columns], made.beta[columns])
            gated(*arrays, rest[rows], rest[columns], g, *crossed, terms, largest, first, found)
        else:
            ungated(made.alpha[rows], made.alpha[columns], rest[rows], rest[columns], g, terms, largest, first, found)
        out[:, part] = found


class _OnDevice:
    """The same where the weights are."""

    def __init__(self, neurons: _Neurons) -> None:
        self.neurons = neurons
        self.tables = device_pairs.Tables(neurons.residuals, neurons.weights)

    def covariances(self, rows: slice, columns: slice, pairs: _Correlations, pool: ThreadPoolExecutor) -> Any:
        """The residual covariances of every pair once, and half the variances."""
        found = self.tables.series(rows, columns, pairs.g, pairs.c12, pairs.c21, pairs.c22)
        found = device_pairs.below_diagonal_zero(found, rows, columns, self.neurons.residuals.variance)
        xp = namespace(found)
        long = xp.isnan(found)
        if not bool(xp.any(long)):
            return found
        rest = np.zeros(tuple(found.shape))
        wanted, values = _integrated(self.neurons, rows, columns, pairs, host(long), pool)
        rest[wanted] = values
        return xp.where(long, moved(rest, found), found)


def _integrated(
    neurons: _Neurons,
    rows: slice,
    columns: slice,
    pairs: _Correlations,
    long: NDArray[np.bool_],
    pool: ThreadPoolExecutor,
) -> tuple[tuple[NDArray[Any], ...], Float64]:
    """Where in a block series are too long, and the residual covariances there."""
    # a residual that is zero needs no series
    varies = neurons.residuals.variance > 0
    wanted = np.nonzero(long & varies[rows, None] & varies[columns])
    if not len(wanted[0]):
        return wanted, np.zeros(0)
    blocks = _pairs(neurons, rows, columns, pairs, *wanted).blocks()
    return wanted, np.concatenate(list(pool.map(neurons.integrated, blocks)))


def _pairs(
    neurons: _Neurons, rows: slice, columns: slice, pairs: _Correlations, i: NDArray[Any], j: NDArray[Any]
) -> Pairs:
    """Nearly parallel pairs, with 1 − |g| as accurate as the weights allow."""
    g = _entries(pairs.g, i, j)
    apart = 1.0 - np.abs(g)
    close = np.flatnonzero(apart < _NEARLY_PARALLEL)
    for some in np.array_split(close, len(close) // _COLUMNS + 1):
        sign = np.sign(g[some])
        other = neurons.there(sign)[:, None] * neurons.along(columns.start + j[some])
        difference = neurons.along(rows.start + i[some]) - other
        apart[some] = np.minimum(0.5 * host(neurons.inputs.project(difference)[1]) ** 2, 1.0)
        g[some] = sign * (1.0 - apart[some])
    t = np.sqrt(apart * (2.0 - apart))
    none = np.zeros_like(g)
    crossed = (_entries(c, i, j) for c in (pairs.c12, pairs.c21, pairs.c22)) if neurons.gated else (none, none, none)
    c12, c21, c22 = crossed
    # Averages round like σ, and spoil most the residual that is smallest beside σ: that one is integrated over.
    i, j = rows.start + i, columns.start + j
    share = neurons.residuals.variance / np.maximum(neurons.size**2, TINY)
    swap = share[j] < share[i]
    i, j = np.where(swap, j, i), np.where(swap, i, j)
    c12, c21 = np.where(swap, c21, c12), np.where(swap, c12, c21)
    return Pairs(i, j, g, t, c12, c21, c22)


def _entries(matrix: Any, i: NDArray[Any], j: NDArray[Any]) -> Float64:
    """Some entries of a matrix, in NumPy."""
    if isinstance(matrix, np.ndarray):
        return matrix[i, j]
    xp = namespace(matrix)
    return host(xp.take(xp.reshape(matrix, (-1,)), moved(i * matrix.shape[1] + j, matrix), axis=0))
