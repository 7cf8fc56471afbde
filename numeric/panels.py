"""Panels on which an activation is a polynomial to rounding, for every neuron of a layer.

With y = μ + sZ, Z ~ N(0, 1), expectations E[σ(y) q(Z)] are sums over 16 Gauss-Legendre nodes of each panel
of z. The panels of a neuron

    cover    |z| ≤ 13, and the z where φ(z) σ(y)² is above e^{−80} of its largest value, found on a grid out to 39,
    begin    at the points where a derivative of σ jumps, and in steps that grow from 1 in y around those
             points and around y = 0, so that what is narrow beside s is not overlooked,
    halve    until the last Legendre coefficients of σ(y) √φ(z) say that the polynomial of degree 15 is as
             good as rounding allows (at a point where a power such as √|y| is singular: 30 times), or there are 500.

Structure of σ far from 0 and from all jumps, narrow beside s, is not looked for.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from numeric.jit import loop

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

POINTS = 16
NODES, WEIGHTS = np.polynomial.legendre.leggauss(POINTS)
# Values at the nodes → the last three Legendre coefficients.
_ANALYSIS = ((np.arange(POINTS) + 0.5) * np.polynomial.legendre.legvander(NODES, POINTS - 1) * WEIGHTS[:, None]).T[-3:]
_RESOLVED = 3e-14
_MOST_HALVINGS, _MOST_PANELS = 30, 500
WIDEST = 1.5
_FARTHEST = 39.0
_GRID = np.linspace(-_FARTHEST, _FARTHEST, 157)
_DYNAMIC_RANGE = 80.0
# φ(13) = e^{−84} φ(0): polynomials live inside.
BULK = 13.0
# Half-width times √k up to which 16 nodes integrate he_k times a panel's polynomial to rounding.
_OSCILLATION = 3.5


@dataclass(frozen=True)
class Panels:
    """Panels of many neurons, those of neuron i at offsets[i] … offsets[i + 1], from left to right."""

    offsets: Int64
    left: Float64
    right: Float64

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def owner(self) -> Int64:
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @cached_property
    def edges(self) -> tuple[Int64, Float64]:
        """All ends of the panels of each neuron, in order: offsets and ends."""
        last = self.right[self.offsets[1:] - 1]
        edges = np.insert(self.left, self.offsets[1:], last)
        return self.offsets + np.arange(len(self.offsets)), edges

    def nodes(self) -> tuple[Float64, Float64]:
        """z and the weights φ(z) dz, one row of 16 for each panel."""
        half = 0.5 * (self.right - self.left)
        z = 0.5 * (self.right + self.left)[:, None] + half[:, None] * NODES
        return z, half[:, None] * WEIGHTS * density(z)

    def for_order(self, order: int) -> "Panels":
        """Panels fine enough for he_k, k ≤ order."""
        parts = np.ceil((self.right - self.left) * np.sqrt(order) / (2 * _OSCILLATION)).astype(np.int64)
        parts = np.maximum(parts, 1)
        place = np.repeat(np.arange(len(parts)), parts)
        step = np.arange(len(place)) - np.repeat(np.cumsum(parts) - parts, parts)
        width = (self.right - self.left) / parts
        left = self.left[place] + step * width[place]
        counts = np.add.reduceat(parts, self.offsets[:-1])
        return Panels(_offsets(counts), left, left + width[place])

    def of(self, neurons: slice) -> "Panels":
        """The panels of some of the neurons."""
        offsets = self.offsets[neurons.start : neurons.stop + 1]
        inside = slice(offsets[0], offsets[-1])
        return Panels(offsets - offsets[0], self.left[inside], self.right[inside])


def density(z: Float64) -> Float64:
    """φ(z)."""
    return np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)


def resolve(function, mean: Float64, std: Float64, cuts: Float64, bulk: float = BULK) -> Panels:
    """The panels of σ for every neuron; `function(y, owner)` is σ(y) for rows y of the neurons `owner`.

    Args:
        mean, std: (n,), std > 0.
        cuts: where derivatives of σ jump.
        bulk: panels reach at least so far on either side.
    """
    everyone = np.arange(len(mean))
    low, high = _support(function, mean, std, everyone, bulk)
    starts = _starting_points(mean, std, cuts, low, high)
    owner, left, right = _between(starts)
    scale, count = np.zeros(len(mean)), np.bincount(owner, minlength=len(mean))
    done = []
    for _ in range(_MOST_HALVINGS):
        half = 0.5 * (right - left)
        z = 0.5 * (right + left)[:, None] + half[:, None] * NODES
        y = mean[owner, None] + std[owner, None] * z
        values = function(y, owner) * np.exp(-0.25 * z * z)
        np.maximum.at(scale, owner, np.abs(values).max(axis=1))
        # no matrix product: this runs in threads, and BLAS would start its own
        last = np.abs(np.einsum("pq,kq->pk", values, _ANALYSIS)).max(axis=1)
        coarse = last > _RESOLVED * (1 + np.maximum(abs(left), abs(right))) * scale[owner]
        # what rounding makes rough is not made smooth by halving
        coarse &= count[owner] < _MOST_PANELS
        count += np.bincount(owner[coarse], minlength=len(mean))
        done.append((owner[~coarse], left[~coarse], right[~coarse]))
        if not coarse.any():
            break
        owner, left, right = owner[coarse], left[coarse], right[coarse]
        middle = 0.5 * (left + right)
        owner = np.concatenate([owner, owner])
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
    else:
        done.append((owner, left, right))
    owner, left, right = (np.concatenate(parts) for parts in zip(*done))
    order = np.lexsort((left, owner))
    counts = np.bincount(owner, minlength=len(mean))
    return Panels(_offsets(counts), left[order], right[order])


def _support(function, mean: Float64, std: Float64, everyone: Int64, bulk: float) -> tuple[Float64, Float64]:
    """The outermost z that matter."""
    y = mean[:, None] + std[:, None] * _GRID
    with np.errstate(all="ignore"):
        size = 2 * np.log(np.abs(function(y, everyone))) - 0.5 * _GRID**2
    size[~np.isfinite(size)] = -np.inf
    matters = size > size.max(axis=1, keepdims=True) - _DYNAMIC_RANGE
    # where σ vanishes throughout, anything will do
    matters[~matters.any(axis=1), len(_GRID) // 2] = True
    step = _GRID[1] - _GRID[0]
    first = np.argmax(matters, axis=1)
    last = len(_GRID) - 1 - np.argmax(matters[:, ::-1], axis=1)
    return np.minimum(_GRID[first] - step, -bulk), np.maximum(_GRID[last] + step, bulk)


def _starting_points(mean: Float64, std: Float64, cuts: Float64, low: Float64, high: Float64) -> Float64:
    """Ends of the first panels, sorted, one row for each neuron; NaN where there are fewer."""
    steps = [0.0]
    while steps[-1] < WIDEST * std.max(initial=0.0) and steps[-1] < 2.0**60:
        steps.append(max(1.0, 2 * steps[-1]))
    distances = np.array([-d for d in steps[:0:-1]] + steps)
    around = np.append(cuts, 0.0)[:, None] + distances[None, :]
    centre = np.append(cuts, 0.0)
    # (centre − μ)/s + distance/s: the distance keeps its digits however far the centre is
    z = ((centre[:, None] - mean[:, None, None]) + distances) / std[:, None, None]
    useful = np.abs(distances) <= WIDEST * std[:, None, None]
    z = np.where(useful | (distances == 0), z, np.nan).reshape(len(mean), around.size)
    z[(z <= low[:, None]) | (z >= high[:, None])] = np.nan
    count = int(np.ceil((high - low).max(initial=0.0) / WIDEST))
    regular = low[:, None] + WIDEST * np.arange(1, count)
    regular[regular >= high[:, None]] = np.nan
    points = np.concatenate([low[:, None], z, regular, high[:, None]], axis=1)
    points.sort(axis=1)
    return points


def _between(points: Float64) -> tuple[Int64, Float64, Float64]:
    """Consecutive points as panels; what is too narrow to matter joins its neighbour."""
    keep = np.isfinite(points)
    close = np.zeros_like(keep)
    with np.errstate(invalid="ignore"):
        close[:, 1:] = np.diff(points, axis=1) <= 1e-14 * (1 + np.abs(points[:, 1:]))
    keep &= ~close
    owner, column = np.nonzero(keep)
    value = points[owner, column]
    same = owner[1:] == owner[:-1]
    return owner[:-1][same], value[:-1][same], value[1:][same]


def _offsets(counts: Int64) -> Int64:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


@loop
def series_coefficients(offsets, z, values, out):
    """out[i, k] = Σ values he_k(z) over the nodes of neuron i, he_k = He_k/√k!."""
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    before, current = np.empty(longest), np.empty(longest)
    partial = np.empty(POINTS)
    for i in range(len(offsets) - 1):
        start, n = offsets[i], offsets[i + 1] - offsets[i]
        for q in range(n):
            before[q] = 0.0
            current[q] = values[start + q]
        for k in range(out.shape[1]):
            # one sum for each of the 16 nodes, because a single one would not vectorise
            partial[:] = 0.0
            for panel in range(0, n, POINTS):
                for q in range(POINTS):
                    partial[q] += current[panel + q]
            out[i, k] = partial.sum()
            up, down = 1.0 / np.sqrt(k + 1.0), np.sqrt(k / (k + 1.0))
            for q in range(n):
                following = up * z[start + q] * current[q] - down * before[q]
                before[q] = current[q]
                current[q] = following
