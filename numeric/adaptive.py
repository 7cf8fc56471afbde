"""Expectations of any activation by adaptive integration, where no closed form is known.

With y = μ + sZ, Z ~ N(0, 1), and σ given as a compiled function,

    h_k = E[σ(y) He_k(Z)]        `integrate`
    g_k = ∂^k/∂μ^k E σ(y)        `integrate_derivatives`

for all k at once, with errors measured against D_k = E[|σ(y)| (|He_k(Z)| + k |He_(k−1)(Z)|)], what the sum
of the absolute values of all terms can be; cancellation below D_k is in the problem, not in the method.

σ must be analytic between its `cuts`, with structure of scale one (0.1 … 10) around 0 and around the cuts,
and finite on all of μ ± 39 s (42 s for k > 8). How the integral over z is cut into panels:

    anchors     every cut, 0 if the window is wide enough to miss what is there, and μ. A panel is an
                interval of t = z − z_a = (y − a)/s with the nearest anchor a, so that the distance to a
                has full relative accuracy however far μ is or however small s is
    mesh        outwards from each anchor, by panels that grow from 1 in y and from 2 in z
    probes      three points of each panel; panels that can contribute nothing are left out
    refinement  10-point Gauss and 21-point Kronrod sums of each panel; panels whose difference is too large
                are halved, one level after the other: no recursion, and bounds on levels and panels

A generated loop makes the work arrays once and hands over its compiled functions and a tuple of parameters:

    @loop
    def hermite_adaptive(mean, std, cuts, out, errors, alpha):
        work = workspace(out.shape[1], 1, cuts)
        for i in range(mean.size):
            errors[i] = integrate(value, (alpha,), mean[i], std[i], cuts, out[i], work)

Where it ends: h_k above 1e230 may overflow; oscillation faster than some 3000 panels can follow and smooth
structure far from 0 and from all cuts are not resolved (the first is reported by the estimate, the second is
not); g_k beyond the derivatives given, at small s, has the large D_k of σ^(n) He_(k−n)/s^(k−n).

All sums carry a factor 2²⁵⁶, as in `special`, because φ(z) has underflown where z^60 φ(z) has not.
"""

from math import sqrt

import numpy as np
from numba import literal_unroll

from numeric.jit import device
from numeric.special import DROP, INV_SQRT_2PI, _lifted_gauss

# The 21-point Gauss-Kronrod rule of QUADPACK (Piessens et al. 1983); the tests derive it from its definition.
_HALF_NODES = (
    0.9956571630258081,
    0.9739065285171717,
    0.9301574913557082,
    0.8650633666889845,
    0.7808177265864169,
    0.6794095682990244,
    0.5627571346686047,
    0.4333953941292472,
    0.2943928627014602,
    0.14887433898163122,
    0.0,
)
_HALF_KRONROD = (
    0.011694638867371874,
    0.032558162307964725,
    0.054755896574351995,
    0.07503967481091996,
    0.0931254545836976,
    0.10938715880229764,
    0.12349197626206584,
    0.13470921731147334,
    0.14277593857706009,
    0.14773910490133849,
    0.1494455540029169,
)
_HALF_GAUSS = (0.06667134430868814, 0.1494513491505806, 0.21908636251598204, 0.26926671930999635, 0.29552422471475287)
# A rule is three arrays: nodes from left to right, weights of the sum, and weights of its error.
NODES = np.array([-x for x in _HALF_NODES] + list(_HALF_NODES[-2::-1]))
KRONROD = np.array(_HALF_KRONROD + _HALF_KRONROD[-2::-1])
GAUSS = np.zeros(21)
GAUSS[1:10:2], GAUSS[19:10:-2] = _HALF_GAUSS, _HALF_GAUSS
DIFFERENCE = KRONROD - GAUSS
# The rule that only looks whether there is anything: three nodes, of which one is next to each end.
PROBES, PROBE_WEIGHTS, PROBE_DIFFERENCE = NODES[::10].copy(), np.full(3, 2.0), np.zeros(3)

EPSILON = 2.220446049250313e-16
# A panel is halved if its error exceeds this part of D_k for any k.
TOLERANCE = 1e-14
# A panel is left out if its width times the sum of its probes is below this part of D_k for all k.
NEGLIGIBLE = 1e-19
# At most so many panels at a time and in all, and halvings of one panel: half a millisecond or two.
ACTIVE, PANELS, LEVELS = 1000, 3000, 60
# More than the panels that the mesh has at one cut: 18 by growth in y and 18 in z, on both sides.
PER_CUT = 100
# Columns of a panel: t from … to, its anchor in y and z, and the smallest and the largest y of its piece.
FROM, TO, ANCHOR_Y, ANCHOR_Z, LOWEST, HIGHEST = range(6)
# What an anchor is.
MEAN, ZERO, CUT = 0.0, 1.0, 2.0
# Rows of sums: the integral, its error from Gauss minus Kronrod, its error from rounding, and D.
VALUE, ERROR, ROUNDING, SIZE = range(4)
# Rows of the scratch: nodes z, weights φ(z), He_m, He_(m−1), and from there on the values of σ, σ′, …
Z, PHI, NOW, BEFORE, VALUES = range(5)


@device
def workspace(columns, rows, cuts):
    """The arrays that an integrator writes to, for h_0 … h_(columns − 1) and functions that return `rows` values."""
    room = ACTIVE + PER_CUT * cuts.size
    panels = np.empty((2, room, 6))
    sums = np.empty((room, 4, columns))
    totals = np.empty((4, columns))
    scratch = np.empty((VALUES + rows, NODES.size))
    anchors = np.empty((3, cuts.size + 2))
    return panels, sums, totals, scratch, anchors, np.empty(columns)


@device
def _store_one(function, x, parameters, values, j):
    """values[0, j] = σ(x)"""
    values[VALUES, j] = function(x, *parameters)


@device
def _store_many(function, x, parameters, values, j):
    """values[i, j] = σ^(i)(x)"""
    i = VALUES
    for derivative in literal_unroll(function(x, *parameters)):
        values[i, j] = derivative
        i += 1


@device
def _farthest(order):
    """Where the window of z ends: beyond it lies nothing of any D_k > 1e-300 for k ≤ 8, or for k ≤ 60."""
    return 39.0 if order <= 8 else 42.0


@device
def _z_limit(z, order):
    """The longest panel at z: 2.5, shorter where He_k oscillates, longer where φ is negligible for most σ."""
    return min(2.5, 9.0 / sqrt(order + 1.0)) + 0.5 * max(0.0, abs(z) - 5.0 - 0.5 * sqrt(1.0 * order))


@device
def _insert(anchors, count, y, z, kind):
    """Insert an anchor where it belongs by y; anchors[:, i] = (y, z, kind)."""
    i = count
    while i > 0 and anchors[0, i - 1] > y:
        anchors[0, i], anchors[1, i], anchors[2, i] = anchors[0, i - 1], anchors[1, i - 1], anchors[2, i - 1]
        i -= 1
    anchors[0, i], anchors[1, i], anchors[2, i] = y, z, kind
    return count + 1


@device
def _set_anchors(mean, std, cuts, order, anchors):
    """All cuts; 0 if panels are so wide in y that they may miss what is there; μ unless another is near."""
    count = 0
    needs_zero = std * _z_limit(0.0, order) > 0.5
    needs_mean = True
    for i in range(cuts.size):
        z = (cuts[i] - mean) / std
        needs_zero &= cuts[i] != 0.0
        needs_mean &= not abs(z) < 0.5
        count = _insert(anchors, count, cuts[i], z, CUT)
    if needs_zero:
        z = -mean / std
        needs_mean &= not abs(z) < 0.5
        count = _insert(anchors, count, 0.0, z, ZERO)
    if needs_mean:
        count = _insert(anchors, count, mean, 0.0, MEAN)
    return count


@device
def _piece(anchors, number, i):
    """The smallest and the largest y of the piece of σ between anchors i − 1 and i: the doubles next to its cuts."""
    lowest, highest = -np.inf, np.inf
    for left in range(i - 1, -1, -1):
        if anchors[2, left] == CUT:
            lowest = np.nextafter(anchors[0, left], np.inf)
            break
    for right in range(i, number):
        if anchors[2, right] == CUT:
            highest = np.nextafter(anchors[0, right], -np.inf)
            break
    return lowest, highest


@device
def _extent(std, order, anchors, number, a, step):
    """How far anchor a's panels reach: half-way to the next anchor, or to it if one panel is enough."""
    b = a + step
    if b < 0 or b >= number:
        return np.inf
    gap = abs(anchors[0, b] - anchors[0, a]) / std
    if gap <= min(_z_limit(anchors[1, a], order), 1.0 / std):
        return gap if step > 0 else 0.0
    return 0.5 * gap


@device
def _march(start, stop, direction, first, order, y, z, piece, panels, count):
    """Panels from distance `start` to `stop` of an anchor, outwards, no longer than first + 2.5 distance."""
    d = start
    while d < stop:
        here = z + direction * d
        step = _z_limit(here, order)
        beyond = here + direction * step
        if abs(beyond) < abs(here):
            step = _z_limit(beyond, order)
        step = min(step, first + 2.5 * d)
        end = d + step if d + 1.3 * step < stop else stop
        panel = panels[count]
        panel[FROM], panel[TO] = (d, end) if direction > 0.0 else (-end, -d)
        panel[ANCHOR_Y], panel[ANCHOR_Z] = y, z
        panel[LOWEST], panel[HIGHEST] = piece
        count += 1
        d = end
    return count


@device
def _mesh(mean, std, cuts, order, anchors, panels):
    """The panels to begin with: they cover the window of z, and each lies within one piece of σ."""
    number = _set_anchors(mean, std, cuts, order, anchors)
    far = _farthest(order)
    count = 0
    for side in range(2 * number):
        a, step = side // 2, 2 * (side % 2) - 1
        y, z, kind = anchors[0, a], anchors[1, a], anchors[2, a]
        # At a cut in the tail the integrand falls like e^(−|z| t); at a structure it varies on scale 1 in y.
        first = np.inf if kind == MEAN else min(1.0 / std, 8.0 / (1.0 + abs(z)))
        extent = _extent(std, order, anchors, number, a, step)
        start, stop = max(0.0, -far - step * z), min(extent, far - step * z)
        piece = _piece(anchors, number, a + (step > 0))
        if start < stop and piece[0] <= piece[1]:
            count = _march(start, stop, 1.0 * step, first, order, y, z, piece, panels, count)
    return count


@device
def _nodes(store, function, parameters, std, panel, nodes, scratch):
    """z, half-width · 2²⁵⁶ φ(z) and σ(y), … at the nodes of a rule."""
    middle, half = 0.5 * (panel[FROM] + panel[TO]), 0.5 * (panel[TO] - panel[FROM])
    y, z, lowest, highest = panel[ANCHOR_Y], panel[ANCHOR_Z], panel[LOWEST], panel[HIGHEST]
    weight = half * INV_SQRT_2PI
    for j in range(nodes.size):
        scratch[Z, j] = z + (middle + half * nodes[j])
        # good up to |z| = 42: the fast exponential has normal numbers and exact squares as far as that
        scratch[PHI, j] = weight * _lifted_gauss(abs(scratch[Z, j]))
        scratch[NOW, j], scratch[BEFORE, j] = 1.0, 0.0
    for j in range(nodes.size):
        store(function, min(max(y + std * (middle + half * nodes[j]), lowest), highest), parameters, scratch, j)


@device
def _rounding(std, panel, values, count):
    """Relative error of a panel from rounding: of sums, of z in φ, and of y where σ varies.

    φ(z(1 + ε)) is off by z² ε; σ(y(1 + ε)) by y σ′ ε, σ′ taken from the range of σ over the panel.
    """
    z = max(abs(panel[ANCHOR_Z] + panel[FROM]), abs(panel[ANCHOR_Z] + panel[TO]))
    y = max(abs(panel[ANCHOR_Y] + std * panel[FROM]), abs(panel[ANCHOR_Y] + std * panel[TO]))
    low, high = values[0], values[0]
    for j in range(1, count):
        low, high = min(low, values[j]), max(high, values[j])
    largest = max(abs(low), abs(high))
    varies = (high - low) / largest if largest > 0.0 else 0.0
    return EPSILON * (8.0 + 2.0 * z * z + varies * y / (std * (panel[TO] - panel[FROM])))


@device
def _evaluate(store, function, parameters, std, panel, rule, sums, scratch):
    """The four sums of a panel for all k: its integral, two errors, and ∫ |σ| (|He_k| + k |He_(k−1)|) φ."""
    nodes, weights, differences = rule
    _nodes(store, function, parameters, std, panel, nodes, scratch)
    last = scratch.shape[0] - VALUES - 1
    rounding = 0.0
    for k in range(sums.shape[1]):
        m = max(k - last, 0)
        values = scratch[VALUES + k - m]
        if m == 0:
            rounding = _rounding(std, panel, values, nodes.size)
        total, difference, size = 0.0, 0.0, 0.0
        for j in range(nodes.size):
            if m > 0:
                now = scratch[NOW, j]
                scratch[NOW, j] = scratch[Z, j] * now - (m - 1) * scratch[BEFORE, j]
                scratch[BEFORE, j] = now
            density = values[j] * scratch[PHI, j]
            term = density * scratch[NOW, j]
            total += weights[j] * term
            difference += differences[j] * term
            size += weights[j] * (abs(term) + m * abs(density * scratch[BEFORE, j]))
        # QUADPACK's estimate: |Kronrod − Gauss| is the error of the Gauss sum, Kronrod's is about its power 1.5
        part = min(1.0, 200.0 * abs(difference) / size) if size > 0.0 else 0.0
        sums[VALUE, k], sums[SIZE, k] = total, size
        sums[ERROR, k] = size * part * sqrt(part)
        sums[ROUNDING, k] = size * rounding


@device
def _copy(panel, target):
    """target[:] = panel, which takes seconds longer to compile"""
    for column in range(panel.size):
        target[column] = panel[column]


@device
def _leave_out(current, following, sums, totals, count):
    """Keep the panels whose probes are not negligible for all k; how many those are. Empties the totals."""
    totals[:] = 0.0
    for i in range(count):
        for k in range(totals.shape[1]):
            totals[SIZE, k] += sums[i, SIZE, k]
    kept = 0
    for i in range(count):
        negligible = True
        for k in range(totals.shape[1]):
            size = sums[i, SIZE, k]
            negligible &= (size == 0.0) | (size < NEGLIGIBLE * totals[SIZE, k])
        if not negligible:
            _copy(current[i], following[kept])
            kept += 1
    totals[:] = 0.0
    return kept


@device
def _halve(panel, left, right):
    """Both halves of a panel; False if it has no middle."""
    middle = 0.5 * (panel[FROM] + panel[TO])
    _copy(panel, left)
    _copy(panel, right)
    left[TO] = right[FROM] = middle
    return panel[FROM] < middle < panel[TO]


@device
def _settle(current, following, sums, totals, sizes, count, room, finish):
    """Accept the panels that are good enough, or all to `finish`; halve the others. Returns how many halves."""
    for k in range(totals.shape[1]):
        sizes[k] = totals[SIZE, k]
        for i in range(count):
            sizes[k] += sums[i, SIZE, k]
    halves = 0
    for i in range(count):
        good = True
        for k in range(totals.shape[1]):
            good &= not sums[i, ERROR, k] > TOLERANCE * sizes[k]
        if not good and not finish and halves + 2 <= room:
            good = not _halve(current[i], following[halves], following[halves + 1])
            halves += 0 if good else 2
        else:
            good = True
        if good:
            for row in range(4):
                for k in range(totals.shape[1]):
                    totals[row, k] += sums[i, row, k]
    return halves


@device
def _integrals(store, function, parameters, mean, std, cuts, work):
    """totals[row, k] = 2²⁵⁶ times the integral, its two errors and its size, for σ^(row) He_(k − row)."""
    panels, sums, totals, scratch, anchors, sizes = work
    count = _mesh(mean, std, cuts, totals.shape[1] - 1, anchors, panels[1])
    spent = 0
    for level in range(-1, LEVELS + 1):
        probing = level < 0
        current, following = panels[abs(level) % 2], panels[1 - abs(level) % 2]
        rule = (PROBES, PROBE_WEIGHTS, PROBE_DIFFERENCE) if probing else (NODES, KRONROD, DIFFERENCE)
        for i in range(count):
            _evaluate(store, function, parameters, std, current[i], rule, sums[i], scratch)
        if probing:
            count = _leave_out(current, following, sums, totals, count)
            continue
        spent += count
        room = min(panels.shape[1], PANELS + PER_CUT * cuts.size - spent)
        count = _settle(current, following, sums, totals, sizes, count, room, level == LEVELS)
        if count == 0:
            break


@device
def _ratio(error, size):
    """error/size as an estimate of a relative error: 0 for 0/0, infinite for anything that is no number."""
    if size == 0.0:
        return 0.0
    return error / size if error / size < np.inf else np.inf


@device
def integrate(value, parameters, mean, std, cuts, out, work):
    """out[k] = E[σ(μ + sZ) He_k(Z)] for k < out.size; returns the estimated largest |error_k|/D_k.

    Args:
        value: σ, a `device` function called as value(x, *parameters).
        parameters: a tuple of float64, possibly ().
        mean: μ, finite.
        std: s > 0, from 1e-8 to 1e8.
        cuts: float64 array, in any order: where σ or a derivative of it is not smooth; possibly empty.
        work: `workspace(out.shape[1], 1, cuts)`, made once for all pairs.

    A NaN or an infinity of σ inside the window makes the results NaN or infinite and the error infinite.
    """
    _integrals(_store_one, value, parameters, mean, std, cuts, work)
    totals = work[2]
    worst = 0.0
    for k in range(out.size):
        out[k] = totals[VALUE, k] * DROP
        worst = max(worst, _ratio(totals[ERROR, k] + totals[ROUNDING, k], totals[SIZE, k]))
    return worst


@device
def _over_power(lifted, std, m):
    """lifted · 2⁻²⁵⁶/s^m, without overflow or underflow on the way where there is none at the end."""
    drop = DROP
    for _ in range(m):
        if abs(lifted) > 1.0:
            lifted, drop = lifted * drop, 1.0
        lifted /= std
    return lifted * drop


@device
def _add_boundary(mean, std, cut, jumps, sums):
    """Add Σ_{i<k} J_i ∂_μ^(k−1−i) N(c; μ, s²) of one cut to sums[VALUE, k], its size and rounding to the others.

    ∂_μ^m N = s^(−m−1) He_m(u) φ(u) with u = (c − μ)/s.
    """
    u = (cut - mean) / std
    if not abs(u) < 42.0:
        return
    density = _lifted_gauss(abs(u)) * INV_SQRT_2PI
    now, before = 1.0, 0.0
    for m in range(sums.shape[1] - 1):
        term = _over_power(density * now, std, m + 1)
        size = abs(term) + abs(_over_power(density * before * m, std, m + 1))
        now, before = u * now - m * before, now
        for i in range(min(jumps.size, sums.shape[1] - 1 - m)):
            if jumps[i] == 0.0:  # N may be infinite for tiny s, and 0·∞ is no number
                continue
            k = m + 1 + i
            sums[VALUE, k] += jumps[i] * term
            sums[SIZE, k] += abs(jumps[i]) * size
            sums[ROUNDING, k] += abs(jumps[i]) * size * EPSILON * (8.0 + 2.0 * u * u)


@device
def integrate_derivatives(derivatives, parameters, mean, std, cuts, jumps, out, work):
    """out[k] = ∂^k/∂μ^k E σ(μ + sZ) for k < out.size; returns the estimated largest |error_k|/D_k.

    With J_i(c) = σ^(i)(c+) − σ^(i)(c−), N(c; μ, s²) = φ((c − μ)/s)/s and n the highest derivative given,

        g_k = E[σ^(k)(y) off the cuts] + Σ_c Σ_{i<k} J_i(c) ∂_μ^(k−1−i) N(c; μ, s²)                 k ≤ n
        g_k = E[σ^(n)(y) He_(k−n)(Z) off the cuts]/s^(k−n) + Σ_c Σ_{i<n} J_i(c) ∂_μ^(k−1−i) N       k > n

    (our derivation: ∂_μ N = −∂_y N, and each integration by parts leaves −σ^(i) N at the ends of a piece).
    D_k here is the sum of the absolute values of all terms.

    Args:
        derivatives: a `device` function called as derivatives(x, *parameters) that returns (σ, σ′, …, σ^(n)).
        jumps: float64 array of shape (cuts.size, n), jumps[c, i] = J_i, all finite; usually n = 8.
        work: `workspace(out.shape[1], n + 1, cuts)`.
        The others as in `integrate`.
    """
    _integrals(_store_many, derivatives, parameters, mean, std, cuts, work)
    totals, last = work[2], work[3].shape[0] - VALUES - 1
    boundary = work[1][0]  # free by now
    boundary[:] = 0.0
    for c in range(cuts.size):
        _add_boundary(mean, std, cuts[c], jumps[c], boundary)
    worst = 0.0
    for k in range(out.size):
        m = max(k - last, 0)
        error = _over_power(totals[ERROR, k] + totals[ROUNDING, k], std, m) + boundary[ROUNDING, k]
        size = _over_power(totals[SIZE, k], std, m) + boundary[SIZE, k]
        out[k] = _over_power(totals[VALUE, k], std, m) + boundary[VALUE, k]
        boundary[ERROR, k], boundary[SIZE, k] = error, size
        worst = max(worst, _ratio(error, size))
    return worst


@device
def integrate_slopes(value, derivatives, parameters, mean, std, cuts, jumps, out, work, more):
    """`integrate_derivatives`, or for s ≥ 1 h_k/s^k where its error is smaller: E σ^(k) and the jumps may cancel there.

    `work` is the workspace of `integrate`, `more` that of `integrate_derivatives`.
    """
    worst = integrate_derivatives(derivatives, parameters, mean, std, cuts, jumps, out, more)
    if not std >= 1.0:
        return worst
    _integrals(_store_one, value, parameters, mean, std, cuts, work)
    totals, known = work[2], more[1][0]
    worst = 0.0
    for k in range(out.size):
        error = _over_power(totals[ERROR, k] + totals[ROUNDING, k], std, k)
        if error <= known[ERROR, k]:
            out[k] = _over_power(totals[VALUE, k], std, k)
            worst = max(worst, _ratio(totals[ERROR, k] + totals[ROUNDING, k], totals[SIZE, k]))
        else:
            worst = max(worst, _ratio(known[ERROR, k], known[SIZE, k]))
    return worst
