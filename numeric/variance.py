"""How much of a layer's variance a polynomial explains, degree by degree, and how much it leaves: exactly.

f − p is a sum over neurons of residuals orthogonal to all polynomials of degree ≤ n, so that

    Var f_o = Σ_{k=1}^{n} (variance of degree k) + (residual variance),    each of them Σ_ij W_oi W_oj C_ij

with C_ij the covariance of what neurons i and j have of that degree, or beyond degree n. Those are in closed form
given the correlations of the preactivations: a power of the correlation for each degree, and for the rest the
series in `numeric.pairs`, whose terms are all known, or for nearly parallel neurons the integral in
`numeric.conditional`. Pairs are taken in blocks; nothing of the size of all pairs is ever in memory.
(Our derivation: residual variance, derivations/variance.md.)
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.conditional import Pairs, covariances
from numeric.factored import FactoredPolynomial
from numeric.gated import GatedPolynomial
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

    Source: our derivation, residual variance (derivations/variance.md).
    """
    neurons = _Neurons(p)
    if p.W_out is None:
        return _checked(neurons.by_degree, neurons.residuals.variance, neurons, lambda parts: parts)
    sizes = np.abs(p.W_out.astype(np.float64))
    sums = _sums(neurons, p.W_out, progress)
    return _checked(sums[:-1], sums[-1], neurons, lambda parts: parts @ sizes.T)


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
    """All that pairs of neurons are made of, neuron by neuron."""

    def __init__(self, p: FactoredPolynomial) -> None:
        self.degree, self.inputs = p.degree, p.inputs
        self.mean, self.std = p.preactivation_mean, p.preactivation_std
        self.gated = isinstance(p, GatedPolynomial)
        if isinstance(p, RidgePolynomial):
            self.weights, self.up, self.factor = p.W_in, None, Factor.one(len(self.mean))
        else:
            assert isinstance(p, GatedPolynomial)
            self.weights, self.up = p.W_gate, p.W_up
            self.factor = Factor(p.up_mean, p.coupling, np.zeros(len(self.mean)), gated=True)
            for rows in self.blocks(len(self.mean), _COLUMNS):
                # what is left of z without y; its own variance is then τ²
                self.factor.beside[rows] = self.inputs.project(self.beside(rows))[1]
        harmless = self.degree - 1 if self.gated else self.degree
        self.reduced = Reduced.around(p.activation, self.mean, self.std, harmless)
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            self.residuals: Residuals = residuals(self.reduced, self.std, self.factor, self.degree)
        self._refuse_overflow(p)
        normalised = p.hermite / np.sqrt(np.cumprod(np.maximum(np.arange(p.hermite.shape[1]), 1.0)))
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
        std = self.std[rows]
        return self.weights[rows].astype(np.float64) * np.where(std > 0, 1 / np.where(std > 0, std, 1.0), 0.0)[:, None]

    def beside(self, rows: slice) -> Float64:
        """The weights of z − E[z | y]."""
        assert self.up is not None
        return self.up[rows].astype(np.float64) - self.factor.along[rows, None] * self.along(rows)

    @cached_property
    def by_degree(self) -> Float64:
        """The variances of the parts of degree 1, …, n of each neuron, shape (n, n_hidden)."""
        along = self.alpha.T**2
        return along + (self.factor.beside[:, None] * self.beta).T ** 2 if self.gated else along


@dataclass(frozen=True)
class _Correlations:
    """g, c₁₂, c₂₁, c₂₂ for a block of pairs; only g in an MLP."""

    g: Float64
    c12: Float64
    c21: Float64
    c22: Float64


def _sums(neurons: _Neurons, W_out: NDArray[Any], progress: bool | None) -> Float64:
    """The quadratic forms of all outputs: one row for each degree, and a last one for the rest."""
    n = len(neurons.mean)
    total = np.zeros((neurons.degree + 1, len(W_out)))
    with Progress("residual variance", n * (n + 1) // 2, progress) as bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for rows in neurons.blocks(n, _ROWS):
            for columns, pairs in _correlations(neurons, rows):
                total += _block_sums(neurons, W_out, rows, columns, pairs, pool)
                bar.advance((rows.stop - rows.start) * (columns.stop - columns.start))
    return total


def _correlations(neurons: _Neurons, rows: slice) -> Iterator[tuple[slice, _Correlations]]:
    """The correlations of a block of neurons with those of its own block and of all that follow."""
    covariance = neurons.inputs.covariance
    along = covariance.left(neurons.along(rows))
    beside = covariance.left(neurons.beside(rows)) if neurons.gated else None
    for columns in neurons.blocks(len(neurons.mean), _COLUMNS, rows.start):
        theirs = covariance.right(neurons.along(columns))
        g = np.clip(along @ theirs.T, -1.0, 1.0)
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
    pool: ThreadPoolExecutor,
) -> Float64:
    # each pair (i, j) stands for (j, i) as well, and within a block both are there
    left, right = W_out[:, rows].astype(np.float64), 2.0 * W_out[:, columns].astype(np.float64)
    sums = np.zeros((neurons.degree + 1, len(W_out)))
    sums[-1] = _form(left, _residual_covariances(neurons, rows, columns, pairs, pool), right)
    right[:, : rows.stop - columns.start if columns.start == rows.start else 0] *= 0.5
    power, below, below_2 = np.ones_like(pairs.g), np.zeros_like(pairs.g), np.zeros_like(pairs.g)
    for k in range(1, neurons.degree + 1):
        power, below, below_2 = power * pairs.g, power, below
        a, b = left * neurons.alpha[rows, k - 1], right * neurons.alpha[columns, k - 1]
        sums[k - 1] = _form(a, power, b)
        if neurons.gated:
            u, v = left * neurons.beta[rows, k - 1], right * neurons.beta[columns, k - 1]
            root = np.sqrt(k)
            sums[k - 1] += root * (_form(a, below * pairs.c12, v) + _form(u, below * pairs.c21, b))
            sums[k - 1] += _form(u, below * pairs.c22 + (k - 1) * below_2 * pairs.c12 * pairs.c21, v)
    return sums


def _form(left: Float64, matrix: Float64, right: Float64) -> Float64:
    """Σ_ij left_oi matrix_ij right_oj for every o."""
    return np.einsum("oj,oj->o", left @ matrix, right)


def _residual_covariances(
    neurons: _Neurons, rows: slice, columns: slice, pairs: _Correlations, pool: ThreadPoolExecutor
) -> Float64:
    """The residual covariances of every pair once, and half the variances."""
    out = np.empty_like(pairs.g)
    parts = neurons.blocks(len(out[0]), _ROWS)
    list(pool.map(lambda part: _by_series(neurons, rows, columns.start, part, pairs, out), parts))
    i, j = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)
    out[np.broadcast_to(j <= i, out.shape)] = 0.0
    if columns.start == rows.start:
        np.fill_diagonal(out, 0.5 * neurons.residuals.variance[rows])
    long = np.isnan(out)
    out[long] = 0.0
    # a residual that is zero needs no series
    varies = neurons.residuals.variance > 0
    wanted = np.nonzero(long & varies[i] & varies[j])
    if len(wanted[0]):
        blocks = _pairs(neurons, rows, columns, pairs, *wanted).blocks()
        out[wanted] = np.concatenate(list(pool.map(neurons.integrated, blocks)))
    return out


def _by_series(neurons: _Neurons, rows: slice, start: int, part: slice, pairs: _Correlations, out: Float64) -> None:
    made, first = neurons.residuals, neurons.degree + 1
    columns = slice(start + part.start, start + part.stop)
    terms, largest = reach(made, made, rows, columns, neurons.gated)
    rest = np.sqrt(made.beyond[:, len(terms) - 1])
    g = np.ascontiguousarray(pairs.g[:, part])
    found = np.empty_like(g)
    if neurons.gated:
        crossed = (np.ascontiguousarray(c[:, part]) for c in (pairs.c12, pairs.c21, pairs.c22))
        arrays = (made.alpha[rows], made.beta[rows], made.alpha[columns], made.beta[columns])
        gated(*arrays, rest[rows], rest[columns], g, *crossed, terms, largest, first, found)
    else:
        ungated(made.alpha[rows], made.alpha[columns], rest[rows], rest[columns], g, terms, largest, first, found)
    out[:, part] = found


def _pairs(
    neurons: _Neurons, rows: slice, columns: slice, pairs: _Correlations, i: NDArray[Any], j: NDArray[Any]
) -> Pairs:
    """Nearly parallel pairs, with 1 − |g| as accurate as the weights allow."""
    g = pairs.g[i, j]
    apart = 1.0 - np.abs(g)
    close = np.flatnonzero(apart < _NEARLY_PARALLEL)
    for some in np.array_split(close, len(close) // _COLUMNS + 1):
        sign = np.sign(g[some])
        difference = neurons.along(rows.start + i[some]) - sign[:, None] * neurons.along(columns.start + j[some])
        apart[some] = np.minimum(0.5 * neurons.inputs.project(difference)[1] ** 2, 1.0)
        g[some] = sign * (1.0 - apart[some])
    t = np.sqrt(apart * (2.0 - apart))
    none = np.zeros_like(g)
    c12, c21, c22 = (pairs.c12[i, j], pairs.c21[i, j], pairs.c22[i, j]) if neurons.gated else (none, none, none)
    # Averages round like σ, and spoil most the residual that is smallest beside σ: that one is integrated over.
    i, j = rows.start + i, columns.start + j
    share = neurons.residuals.variance / np.maximum(neurons.size**2, TINY)
    swap = share[j] < share[i]
    i, j = np.where(swap, j, i), np.where(swap, i, j)
    c12, c21 = np.where(swap, c21, c12), np.where(swap, c12, c21)
    return Pairs(i, j, g, t, c12, c21, c22)
