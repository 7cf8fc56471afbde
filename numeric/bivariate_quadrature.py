"""E[σ(Y₁) σ(Y₂)] by integrating over one preactivation, the other averaged given it.

With y = μ₁ + s₁z and M(μ, s) = E σ(μ + sZ), which is accurate at any deviation,

    E[σ(Y₁) σ(Y₂)] = ∫ σ(y) M(μ₂ + ρs₂z, s₂√(1 − ρ²)) φ(z) dz.

Errors are measured against D = √(E σ(Y₁)² E σ(Y₂)²), which by Cauchy and Schwarz bounds the result and whatever a
part of the line contributes. The narrower of the two is integrated over: it has the smoother integrand.

    panels      end where σ has cuts, z = (c − μ₁)/s₁, and grow outwards from there and from 0 if σ's own scale is
                narrow there. So do those around the images z = (c − μ₂)/(ρs₂), where M has what averaging over a width
                of √(1 − ρ²)/|ρ| leaves of a cut, or of a transition at 0
    window      panels of the outer σ(y)² φ that can contribute no 1e-15 of D are left out
    refinement  21-point Kronrod sums, with the Gauss sums in them for an estimate; panels that are not good enough
                are halved, level after level for all pairs of a block together

What the outer σ needs is found once for each different (μ, s), by integrating σ² for D. Source: our derivation,
conditioning.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numeric import moments
from numeric.activations import Activation
from numeric.adaptive import DIFFERENCE, KRONROD, NODES, PROBES
from numeric.special import INV_SQRT_2PI, TINY

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

EPSILON = float(np.finfo(np.float64).eps)
# z beyond which nothing of any σ is above 1e-300; the widest panel; a scale that needs panels of its own.
FARTHEST, WIDEST, NARROW = 39.0, 2.0, 0.5
# Panels around a place grow from the scale there by this factor, and a little more.
GROWTH = 2.5
# A panel of the outer σ² φ is left out below this part of all: the square root of it is what D loses.
NEGLIGIBLE = 1e-31
# A panel is halved if its estimated error exceeds this part of D; of σ² itself less is asked.
TOLERANCE, OUTER_TOLERANCE = 2e-15, 1e-13
# Halvings of one panel, and panels of one pair.
LEVELS, PANELS = 50, 4000
# Rounding of sums, σ, M and φ, relative to the integral of the absolute value.
ROUNDING = 32 * EPSILON
# Panels evaluated, and pairs taken together: a few megabytes.
TOGETHER, PAIRS = 2**12, 512


@dataclass(frozen=True)
class Pairs:
    """Pairs of preactivations, all arrays of one length; y₁ is integrated over."""

    mean_1: Float64
    std_1: Float64
    mean_2: Float64
    std_2: Float64
    rho: Float64

    def __len__(self) -> int:
        return len(self.rho)

    def of(self, which: slice | NDArray) -> "Pairs":
        return Pairs(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def narrower_first(pairs: Pairs) -> Pairs:
    """The same pairs in an order that does not depend on which was given first."""
    turned = (pairs.std_1 > pairs.std_2) | ((pairs.std_1 == pairs.std_2) & (pairs.mean_1 > pairs.mean_2))
    columns = (pairs.mean_1, pairs.mean_2), (pairs.std_1, pairs.std_2)
    (mean_1, mean_2), (std_1, std_2) = ((np.where(turned, b, a), np.where(turned, a, b)) for a, b in columns)
    return Pairs(mean_1, std_1, mean_2, std_2, pairs.rho)


# --- panels ----------------------------------------------------------------------------------------------

Evaluate = Callable[[Int64, Float64, Float64], tuple[Float64, Float64, Float64]]


@dataclass(frozen=True)
class Sums:
    """Integral, estimated error and integral of the absolute value for every owner, and the panels that gave them."""

    value: Float64
    error: Float64
    size: Float64
    owner: Int64
    left: Float64
    right: Float64


def _adaptive(evaluate: Evaluate, panels: tuple[Int64, Float64, Float64], tolerance: float, scale: Float64) -> Sums:
    """Halve panels until errors are below `tolerance` · `scale`, of the size first found for infinite scales."""
    owner, left, right = panels
    n = len(scale)
    totals, spent, goal = np.zeros((3, n)), np.zeros(n), tolerance * scale
    done = []
    for level in range(LEVELS + 1):
        found = _in_chunks(evaluate, owner, left, right)
        if level == 0:
            goal = np.where(np.isfinite(scale), goal, tolerance * np.bincount(owner, found[2], n))
        spent += np.bincount(owner, minlength=n)
        middle = 0.5 * (left + right)
        coarse = (found[1] > goal[owner]) & (spent[owner] < PANELS) & (left < middle) & (middle < right)
        coarse &= level < LEVELS
        good = ~coarse
        for row in range(3):
            totals[row] += np.bincount(owner[good], found[row][good], n)
        done.append((owner[good], left[good], right[good]))
        if good.all():
            break
        owner, left, middle, right = owner[coarse], left[coarse], middle[coarse], right[coarse]
        owner = np.concatenate([owner, owner])
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
    owner, left, right = (np.concatenate(parts) for parts in zip(*done))
    value, error, size = totals
    return Sums(value, error, size, owner, left, right)


def _in_chunks(evaluate: Evaluate, owner: Int64, left: Float64, right: Float64) -> Float64:
    found = np.empty((3, len(owner)))
    for start in range(0, len(owner), TOGETHER):
        part = slice(start, start + TOGETHER)
        found[:, part] = evaluate(owner[part], left[part], right[part])
    return found


def _kronrod(terms: Float64) -> tuple[Float64, Float64, Float64]:
    """Integral, QUADPACK's estimate of its error, and integral of the absolute value, from values times half-widths."""
    size = np.abs(terms) @ KRONROD
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(size > 0, np.minimum(1.0, 200.0 * np.abs(terms @ DIFFERENCE) / size), 0.0)
    return terms @ KRONROD, size * part**1.5, size


def _places(left: Float64, right: Float64, nodes: Float64 = NODES) -> tuple[Float64, Float64]:
    """z at the nodes of every panel, and half-widths times φ(z)."""
    half = 0.5 * (right - left)[:, None]
    z = 0.5 * (left + right)[:, None] + half * nodes
    return z, half * INV_SQRT_2PI * np.exp(-0.5 * z * z)


def _ladder(place: Float64, scale: Float64) -> Float64:
    """Ends of panels around places, (n, 1) each: distances of `scale` and more, NaN where they are not needed."""
    narrowest = max(scale.min(initial=WIDEST), 1e-18)
    distances = [1.0]
    while distances[-1] * narrowest < WIDEST:
        distances.append(distances[-1] * (1 + GROWTH) + 1)
    steps = np.array(distances) * np.maximum(scale, 1e-18)
    steps[(steps > WIDEST) | (scale >= NARROW)] = np.nan
    return np.concatenate([place - steps, place + steps], axis=1)


def _between(points: Float64, low: Float64, high: Float64) -> tuple[Int64, Float64, Float64]:
    """Panels between consecutive points of every row, within [low, high]; points that agree to rounding are one."""
    with np.errstate(invalid="ignore"):
        points = np.where((points > low[:, None]) & (points < high[:, None]), points, np.nan)
        points = np.sort(np.concatenate([low[:, None], points, high[:, None]], axis=1), axis=1)
        close = np.diff(points, axis=1) <= 4 * EPSILON * np.abs(points[:, 1:])
    keep = np.isfinite(points)
    keep[:, 1:] &= ~close
    row, column = np.nonzero(keep)
    value = points[row, column]
    same = row[1:] == row[:-1]
    return row[:-1][same], value[:-1][same], value[1:][same]


# --- one preactivation -----------------------------------------------------------------------------------


class Outer:
    """√E σ(μ + sZ)² of several (μ, s), s > 0, and the panels by which it was found.

    σ is divided by `top`, its largest value where the Gaussian leaves something of it: squares would underflow.
    """

    def __init__(self, act: Activation, mean: Float64, std: Float64) -> None:
        self.act, self.mean, self.std = act, mean, std
        self.cuts = cuts_of(act)
        low, high = np.full(len(mean), -FARTHEST), np.full(len(mean), FARTHEST)
        self.top = np.ones(len(mean))
        with np.errstate(all="ignore"):
            panels = self._window(*_between(self._points(), low, high))
            sums = _adaptive(self._evaluate, panels, OUTER_TOLERANCE, np.full(len(mean), np.inf))
            self.deviation = self.top * np.sqrt(sums.value)
        order = np.lexsort((sums.left, sums.owner))
        self._left, self._right = sums.left[order], sums.right[order]
        self._start = np.concatenate([[0], np.cumsum(np.bincount(sums.owner, minlength=len(mean)))])

    def values(self, owner: Int64, z: Float64, left: Float64, right: Float64) -> Float64:
        """σ at the nodes z of panels, on the side of every cut that the panel is on."""
        mean, std = self.mean[owner, None], self.std[owner, None]
        y = mean + std * z
        middle = mean[:, 0] + std[:, 0] * (0.5 * (left + right))
        for c in self.cuts:
            beside = np.abs(middle - c) <= std[:, 0] * (right - left)
            if beside.any():
                right_of = (0.5 * (left + right) > (c - mean[:, 0]) / std[:, 0])[:, None]
                bounded = np.where(
                    right_of, np.maximum(y, np.nextafter(c, np.inf)), np.minimum(y, np.nextafter(c, -np.inf))
                )
                y = np.where(beside[:, None], bounded, y)
        return self.act(y)

    def edges(self, which: Int64) -> tuple[Float64, Float64, Float64]:
        """Ends of the panels of some of the preactivations, a row each filled up with NaN; the first; the last."""
        count = self._start[which + 1] - self._start[which]
        column = np.arange(count.max(initial=0))
        index = np.minimum(self._start[which, None] + column, len(self._left) - 1)
        inside = column < count[:, None]
        low, high = self._left[self._start[which]], self._right[self._start[which + 1] - 1]
        return np.where(inside, self._left[index], np.nan), low, high

    def _points(self) -> Float64:
        mean, std = self.mean[:, None], self.std[:, None]
        regular = np.broadcast_to(np.arange(-FARTHEST, FARTHEST, WIDEST), (len(self.mean), int(FARTHEST)))
        columns = [regular]
        for a in {*self.cuts, 0.0}:
            place = (a - mean) / std
            columns.append(_ladder(place, 1.0 / std))
            if a in self.cuts:
                columns.append(place)
        return np.concatenate(columns, axis=1)

    def _window(self, owner: Int64, left: Float64, right: Float64) -> tuple[Int64, Float64, Float64]:
        """Without the panels that contribute nothing, by three probes each; those in between stay."""
        z, weight = _places(left, right, PROBES)
        values = self.values(owner, z, left, right)
        np.maximum.at(top := np.zeros(len(self.mean)), owner, np.abs(values * np.exp(-0.25 * z * z)).max(axis=1))
        self.top = np.where(top > 0, top, 1.0)
        size = (weight * (values / self.top[owner, None]) ** 2).sum(axis=1)
        total = np.bincount(owner, size, len(self.mean))
        matters = (size > NEGLIGIBLE * total[owner]) | ~np.isfinite(size)
        first, last = np.full(len(self.mean), np.inf), np.full(len(self.mean), -np.inf)
        np.minimum.at(first, owner[matters], left[matters])
        np.maximum.at(last, owner[matters], right[matters])
        nothing = first > last
        first[nothing], last[nothing] = -WIDEST, WIDEST
        keep = (left >= first[owner]) & (right <= last[owner])
        # where σ vanishes throughout, one panel will do
        alone = np.setdiff1d(np.arange(len(self.mean)), owner[keep])
        return (
            np.concatenate([owner[keep], alone]),
            np.concatenate([left[keep], np.full(len(alone), -WIDEST)]),
            np.concatenate([right[keep], np.full(len(alone), WIDEST)]),
        )

    def _evaluate(self, owner: Int64, left: Float64, right: Float64) -> tuple[Float64, Float64, Float64]:
        z, weight = _places(left, right)
        return _kronrod(weight * (self.values(owner, z, left, right) / self.top[owner, None]) ** 2)


def cuts_of(act: Activation) -> tuple[float, ...]:
    """Where σ or a derivative of it is not smooth."""
    cuts = act.kernels.cuts
    return tuple(float(c) for c in getattr(cuts, "py_func", cuts)(*act.arguments))


# --- two preactivations ----------------------------------------------------------------------------------


def integrals(act: Activation, pairs: Pairs, outer: Outer, place: Int64, scale: Float64) -> tuple[Float64, Float64]:
    """E[σ(Y₁) σ(Y₂)] of every pair, and an estimate of the error relative to D.

    Args:
        outer: of the different (μ₁, s₁).
        place: which of those belongs to each pair.
        scale: D; where that is 0 or infinite in double precision, E|σ(Y₁) M| takes its place.
    """
    value, error = np.empty(len(pairs)), np.empty(len(pairs))
    scale = np.where(scale > 0, scale, np.inf)
    for start in range(0, len(pairs), PAIRS):
        part = slice(start, start + PAIRS)
        with np.errstate(all="ignore"):
            sums = _block(act, pairs.of(part), outer, place[part], scale[part])
            of = np.where(np.isfinite(scale[part]), scale[part], sums.size)
            error[part] = np.where(sums.size > 0, (sums.error + ROUNDING * sums.size) / of, 0.0)
        value[part] = sums.value
    return value, error


def _block(act: Activation, pairs: Pairs, outer: Outer, place: Int64, scale: Float64) -> Sums:
    edges, low, high = outer.edges(place)
    root = np.sqrt((1.0 - pairs.rho) * (1.0 + pairs.rho))

    def evaluate(owner: Int64, left: Float64, right: Float64) -> tuple[Float64, Float64, Float64]:
        z, weight = _places(left, right)
        weight *= outer.values(place[owner], z, left, right)
        mean = pairs.mean_2[owner, None] + (pairs.rho * pairs.std_2)[owner, None] * z
        average, doubt = _averages(act, mean, (pairs.std_2 * root)[owner, None])
        # 0·∞ where the outer σ vanishes is nothing
        terms = np.where(weight == 0.0, 0.0, weight * average)
        value, error, size = _kronrod(terms)
        return value, error + (np.abs(terms) * doubt) @ KRONROD, size

    points = np.concatenate([edges, _image_points(act, pairs, root)], axis=1)
    return _adaptive(evaluate, _between(points, low, high), TOLERANCE, scale)


def _image_points(act: Activation, pairs: Pairs, root: Float64) -> Float64:
    """Ends of panels around the z at which Y₂ is expected where σ has cuts or its transition."""
    slope = (pairs.rho * pairs.std_2)[:, None]
    width = (root / np.abs(pairs.rho))[:, None]
    cuts = cuts_of(act)
    columns = []
    for a in {*cuts, 0.0}:
        place = (a - pairs.mean_2[:, None]) / slope
        own = 1.0 / np.abs(slope)
        if a in cuts:
            # where a cut is averaged over a narrow width there are two scales, and the smaller one starts
            columns += [place, _ladder(place, np.where(width > 0.0, width, own))]
        else:
            columns.append(_ladder(place, np.hypot(width, own)))
    return np.concatenate(columns, axis=1)


def _averages(act: Activation, mean: Float64, std: Float64) -> tuple[Float64, Float64]:
    """M at every node, and its relative error where that is not rounding."""
    std = np.broadcast_to(std, mean.shape)
    flat_mean, flat_std = np.ascontiguousarray(mean).reshape(-1), np.ascontiguousarray(std).reshape(-1)
    rows, errors = np.empty((flat_mean.size, 1)), np.zeros(flat_mean.size)
    still = flat_std < TINY
    if act.kernels.KIND == "integrated":
        act.kernels.hermite_integrated(flat_mean, np.maximum(flat_std, TINY), rows, errors, *act.arguments)
        errors[still] = 0.0
    elif not still.all():
        moments._fill("hermite", act, flat_mean, flat_std, rows)
    rows[still, 0] = act(flat_mean[still])
    return rows.reshape(mean.shape), errors.reshape(mean.shape)
