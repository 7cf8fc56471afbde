"""Φ₂, the distribution function of two correlated standard normals, and the densities that come with it.

    Φ₂(h, k, r) = P(Z₁ ≤ h, Z₂ ≤ k)        h′ = (h − rk)/√(1 − r²)        k′ = (k − rh)/√(1 − r²)

In the independent coordinates Z₁ and (Z₂ − rZ₁)/√(1 − r²) the region is a wedge of angle acos(−r). Its edges lie on
lines at the distances |h| and |k| from the origin; from the feet of the perpendiculars it is |k′| and |h′| to the apex,
which is R = √(h² + k′²) = √(k² + h′²) away. What the origin sees through the part x ≥ q of a line at distance p has
the measure

    J(p, q) = (1/2π) ∫_q^∞ e^{−(p² + x²)/2} p/(p² + x²) dx,
    J(p, q) + J(p, −q) = Φ(−p),        J(p, q) + J(q, p) = Φ(−p)Φ(−q),

and Φ₂ is made of two of these. Far from the origin, R ≥ 1.5, by what it sees:

    h ≤ 0, k ≤ 0    J(|h|, −k′) + J(|k|, −h′)
    h > 0, k > 0    Φ(h) − Φ(−k) + J(h, k′) + J(k, h′)
    h > 0 ≥ k       J(|k|, −h′) − J(h, −k′),    and Φ(h) − Φ(−k) + J(h, k′) − J(|k|, h′) where h′ and k′ are positive

with J(p, q) = e^{−R²/2}/2π ∫_0^∞ e^{−qu − u²/2} p/(p² + (q + u)²) du for 0 ≤ p ≤ q, a positive integrand without
structure, and by the two identities for all other p and q. Near the origin every term is of the size of the angle:

    Φ₂ = acos(−r)/2π + ½(Φ(h) − ½) + ½(Φ(k) − ½) + S(h, k′) + S(k, h′)
    S(p, q) = pq/4π ∫_0^1 g((p² + q²v²)/2) dv,    g(y) = (1 − e^{−y})/y

Both integrals take 14 nodes: Gauss-Legendre on [0, 1], and a Gaussian rule for the weight e^{−x − 3x²/500}, where
u = 2x/(q + √(q² + 144)) makes the tilted and the untilted half-Gaussian look alike. What the rules leave out is below
2 ε; `tests/oracle/binormal.py` derives them again. There are no branches, so loops over Φ₂ are vector code.
(Our derivation; Owen's T (1956) is Φ(−p)/2 − J(p, q). The density ∂Φ₂/∂r is Plackett's (1954).)

    quantity             error                                where it comes from
    Phi2                 2 ε absolutely, ε = 2.2e-16          rounding of a few terms of size ½
                         5 ε (1 + κ) of itself                R², that is h′ and k′, in the exponent; near R = 1.5 terms
                                                              of size ½ make 0.01
    φ(h) Φ(k′), …        3 ε (1 + κ) of itself                the same, κ for this product
    association          30 ε of itself for |r| ≤ ½ and       12 nodes between r = 0 and r; 4 ε absolutely everywhere
                         |h|, |k| ≤ 6

κ is the condition number (|h ∂_h| + |k ∂_k| + |r ∂_r|) log Φ₂: these are the digits that rounding h, k and r leaves. It
is about R² in the far tails, where no more than 1e-13 is lost as long as |r| < 0.999, and huge only for the narrow
wedges of r → −1. Arguments beyond ±40 count as ±40; infinities are harmless, |r| = 1 gives the limit, NaN gives NaN.
"""

import math
from typing import Any

import numpy as np

from numeric.bits import from_bits
from numeric.jit import device, loop
from numeric.special import (
    FARTHEST,
    INV_SQRT_2PI,
    Phi_phi,
    _centred,
    _expm1_parts,
    _polynomial,
    _tail,
    exp,
    gauss,
)

INV_2PI = 0.15915494309189535
# Where the apex counts as near: R² = 9/4, with R² from both edges added up.
NEAR_TWICE = 4.5
# Under the root of the scale of u.
SPREAD = 144.0
# Stands for √(1 − r²) = 0, and for p² + q²v² = 0.
NOTHING = 1e-300

# Gauss-Legendre on [0, 1]
NEAR_NODES = (
    0.006858095651593831,
    0.03578255816821324,
    0.0863993424651175,
    0.15635354759415726,
    0.24237568182092295,
    0.3404438155360551,
    0.44597252564632817,
    0.5540274743536718,
    0.6595561844639449,
    0.757624318179077,
    0.8436464524058427,
    0.9136006575348825,
    0.9642174418317867,
    0.9931419043484062,
)
NEAR_WEIGHTS = (
    0.01755973016587593,
    0.040079043579880104,
    0.06075928534395159,
    0.07860158357909677,
    0.09276919873896891,
    0.1025992318606478,
    0.1076319267315789,
    0.1076319267315789,
    0.1025992318606478,
    0.09276919873896891,
    0.07860158357909677,
    0.06075928534395159,
    0.040079043579880104,
    0.01755973016587593,
)
# The Gaussian rule of ∫_0^∞ f(x) e^{−x − 3x²/500} dx; its weights divided by e^{−x − 3x²/500}
FAR_NODES = (
    0.08763147563603461,
    0.4619967761435744,
    1.1366809256354595,
    2.1141058697683173,
    3.398189604159892,
    4.995229803117969,
    6.915101712941386,
    9.17311767348334,
    11.793064258673123,
    14.812527083622655,
    18.29318955132715,
    22.343695619972525,
    27.182300143059706,
    33.38990704047526,
)
FAR_WEIGHTS = (
    0.2249210931874761,
    0.5241981750700336,
    0.8255545774322748,
    1.1299350590642374,
    1.4392626778544708,
    1.756433709309635,
    2.085813884178277,
    2.4340991580252602,
    2.811901052239898,
    3.236970136582931,
    3.7416135423329373,
    4.3929517802303515,
    5.3653145786811445,
    7.377079606260126,
)
# Gauss-Legendre on [0, 1] again, for `association`
BETWEEN_NODES = (
    0.009219682876640375,
    0.04794137181476257,
    0.11504866290284765,
    0.2063410228566913,
    0.3160842505009099,
    0.43738329574426554,
    0.5626167042557345,
    0.6839157494990901,
    0.7936589771433087,
    0.8849513370971523,
    0.9520586281852375,
    0.9907803171233597,
)
BETWEEN_WEIGHTS = (
    0.023587668193255914,
    0.05346966299765921,
    0.08003916427167311,
    0.10158371336153296,
    0.1167462682691774,
    0.12457352290670139,
    0.12457352290670139,
    0.1167462682691774,
    0.10158371336153296,
    0.08003916427167311,
    0.05346966299765921,
    0.023587668193255914,
)
# asin(s)/(π s) in s² for s² ≤ ½; relative error 3.5e-18
ARC = (
    0.35855039532054833,
    -1.4129192360425378,
    2.649924559740178,
    -3.0779481825886705,
    2.472683836231468,
    -1.4437873725099457,
    0.6371303767348667,
    -0.21139711715841622,
    0.05760054916232773,
    -0.008376746273030668,
    0.004803867557857468,
    0.0034789198569151756,
    0.004462441056465554,
    0.005522456995604989,
    0.007121328459602077,
    0.00967087182577823,
    0.014210262802271938,
    0.023873241463534752,
    0.053051647697299385,
    0.3183098861837907,
)


_arc = _polynomial(ARC)


@device
def _one_node(x, first, p_squared, q, c, y_0, y_1, y_2):
    """(first − e^{−y})/(p² + (q + cx)²) with y = y_0 + y_1 x + y_2 x² ≥ 0; 1 − e^{−y} does not cancel."""
    m, word = _expm1_parts(-(y_0 + x * (y_1 + x * y_2)), 0.0)
    power = from_bits((word + np.int64(1023)) << np.int64(52))
    t = q + c * x
    return ((first - power) - power * m) / (p_squared + t * t)


def _sum_over_nodes() -> Any:
    """Σ weight·_one_node(node, …) by one rule or the other, written out: a loop would not vectorise."""
    rows = zip(NEAR_NODES, NEAR_WEIGHTS, FAR_NODES, FAR_WEIGHTS)
    terms = [
        f"({w!r} if near else {far_w!r})*_one_node({x!r} if near else {far_x!r}, first, p_squared, q, c, y_0, y_1, y_2)"
        for x, w, far_x, far_w in rows
    ]
    text = f"lambda near, first, p_squared, q, c, y_0, y_1, y_2: {' + '.join(terms)}"
    return device(eval(text, {"_one_node": _one_node}))


_sum = _sum_over_nodes()


@device
def _integral(near, p, q, factor):
    """For p, q ≥ 0, `factor` times 2π S(p, q) if near, else ∫_0^∞ e^{−bu − u²/2} a/(a² + (b + u)²) du.

    a is the smaller of p and q, b the larger. One loop serves both: a vector unit would go through two anyway.
    """
    a, b = min(p, q), max(p, q)
    c = 2.0 / (b + math.sqrt(b * b + SPREAD))
    total = _sum(
        near,
        1.0 if near else 0.0,
        p * p + NOTHING if near else a * a,
        0.0 if near else b,
        q if near else c,
        0.5 * p * p if near else 0.0,
        0.0 if near else b * c,
        0.5 * q * q if near else 0.5 * c * c,
    )
    return total * (p * q if near else -c * a) * factor


@device
def _seen(p, q, tail_p, tail_q, ray, beyond):
    """J(p, q) for p ≥ 0, given Φ(−p), Φ(−|q|) and J of the smaller and the larger of p and |q|.

    With `beyond`, J(p, q) − Φ(−p) for q < 0, which is −J(p, −q).
    """
    whole = 0.0 if beyond or q >= 0.0 else tail_p
    if abs(q) >= p:
        return whole + (ray if q >= 0.0 else -ray)
    part = tail_p * tail_q
    return (part - ray if q >= 0.0 else ray - part) + whole


@device
def turn(less, more):
    """acos(−r)/2π, the part of a full turn that the wedge takes, given 1 − r and 1 + r; relatively accurate."""
    square = 0.5 * min(less, more)
    part = math.sqrt(square) * _arc(square)
    return part if more < less else 0.5 - part


@device
def conditional(k, h, r, less, more):
    """(k − rh)/√(1 − r²) with 1 − r and 1 + r given, without loss near |r| = 1; 0/0 counts as 0.

    At r = 1 − δ, k − rh is k − h + δh, and what rounds there is not magnified; at r = −1 + δ it is k + h − δh.
    """
    root = max(math.sqrt(less * more), NOTHING)
    beside = (k - h) + h * less if less < more else (k + h) - h * more
    return (k - r * h if min(less, more) > 0.5 else beside) / root


@device
def within(z):
    """z within ±40, beyond which nothing changes."""
    return min(max(z, -FARTHEST), FARTHEST)


@device
def _centred_at(z, tail):
    """Φ(z) − ½, given Φ(−|z|)."""
    far = 0.5 - tail if z > 0.0 else tail - 0.5
    return z * _centred(min(z * z, 1.44)) if abs(z) < 1.2 else far


@device
def corner(h, k, r, less, more):
    """(Φ₂(h, k, r), φ(h) Φ(k′), φ(k) Φ(h′), φ(h) φ(k′)), with 1 − r and 1 + r given.

    It is what means of polynomials in y₁ and y₂ over a quadrant are made of, so that they pay for one Φ₂ only.
    φ(h) φ(k′) = φ(k) φ(h′) is √(1 − r²) times the density at (h, k).
    """
    sound = (h == h) & (k == k) & (r == r)
    h, k = within(h), within(k)
    k_1, h_1 = within(conditional(k, h, r, less, more)), within(conditional(h, k, r, less, more))
    gauss_h, gauss_k, gauss_h_1, gauss_k_1 = gauss(h), gauss(k), gauss(h_1), gauss(k_1)
    tail_h, tail_k = _tail(abs(h), gauss_h * INV_SQRT_2PI), _tail(abs(k), gauss_k * INV_SQRT_2PI)
    tail_h_1, tail_k_1 = _tail(abs(h_1), gauss_h_1 * INV_SQRT_2PI), _tail(abs(k_1), gauss_k_1 * INV_SQRT_2PI)
    # e^{−R²/2} by the smaller of h′ and k′, which carry more rounding than h and k
    apex = (gauss_h * gauss_k_1 if abs(k_1) <= abs(h_1) else gauss_k * gauss_h_1) * INV_2PI
    near = (h * h + k_1 * k_1) + (k * k + h_1 * h_1) < NEAR_TWICE
    ray_h = _integral(near, abs(h), abs(k_1), INV_2PI if near else apex)
    ray_k = _integral(near, abs(k), abs(h_1), INV_2PI if near else apex)

    centred_h, centred_k = _centred_at(h, tail_h), _centred_at(k, tail_k)
    both = (h > 0.0) & (k > 0.0)
    mixed = (h > 0.0) != (k > 0.0)
    # Φ(h) − Φ(−k) is there when the wedge sees the origin, or comes between it and nothing
    beyond = both | (mixed & (h_1 > 0.0) & (k_1 > 0.0))
    by_tails = tail_k - tail_h if h > 0.0 else tail_h - tail_k
    apart = mixed & (min(abs(h), abs(k)) > 1.2)
    excess = (by_tails if apart else centred_h + centred_k) if beyond else 0.0
    seen_h = _seen(abs(h), k_1 if both else -k_1, tail_h, tail_k_1, ray_h, beyond & mixed)
    seen_k = _seen(abs(k), h_1 if both else -h_1, tail_k, tail_h_1, ray_k, beyond & mixed)
    far = excess + ((-seen_h if mixed & (h > 0.0) else seen_h) + (-seen_k if mixed & (k > 0.0) else seen_k))

    sum_near = (ray_h if h * k_1 > 0.0 else -ray_h) + (ray_k if k * h_1 > 0.0 else -ray_k)
    nearby = turn(less, more) + (0.5 * (centred_h + centred_k) + sum_near)
    value = max(nearby if near else far, 0.0)
    return (
        value if sound else np.nan,
        gauss_h * INV_SQRT_2PI * (1.0 - tail_k_1 if k_1 > 0.0 else tail_k_1),
        gauss_k * INV_SQRT_2PI * (1.0 - tail_h_1 if h_1 > 0.0 else tail_h_1),
        apex,
    )


@device
def Phi2(h, k, r):
    """Φ₂(h, k, r) = P(Z₁ ≤ h, Z₂ ≤ k) for |r| ≤ 1."""
    return corner(h, k, r, 1.0 - r, 1.0 + r)[0]


@device
def _density(h, k, s):
    """∂Φ₂/∂r at (h, k, s), |s| ≤ ½."""
    square = 1.0 - s * s
    return exp(-0.5 * ((h * h + k * k) - 2.0 * s * h * k) / square) * INV_2PI / math.sqrt(square)


def _sum_between() -> Any:
    """∫_0^r of the density, by Gauss-Legendre, written out."""
    terms = [f"{w!r}*_density(h, k, {x!r}*r)" for x, w in zip(BETWEEN_NODES, BETWEEN_WEIGHTS)]
    return device(eval(f"lambda h, k, r: r*({' + '.join(terms)})", {"_density": _density}))


_between = _sum_between()


@device
def association(h, k, r, less, more):
    """Φ₂(h, k, r) − Φ(h) Φ(k), the covariance of two steps, with 1 − r and 1 + r given; no cancellation for small r."""
    far = corner(h, k, r, less, more)[0] - Phi_phi(h)[0] * Phi_phi(k)[0]
    return _between(within(h), within(k), min(max(r, -0.5), 0.5)) if abs(r) <= 0.5 else far


@device
def complements(r, square):
    """(1 − r, 1 + r), given 1 − r² too."""
    far = 1.0 + abs(r)
    near = square / far
    return (near, far) if r > 0.0 else (far, near)


@loop
def Phi2_loop(h, k, r, out):
    """Φ₂ of contiguous arrays."""
    for i in range(out.size):
        out[i] = Phi2(h[i], k[i], r[i])


@loop
def corner_loop(h, k, r, less, more, out):
    """The four numbers of `corner` in out[0], …, out[3], and `association` in out[4]."""
    for i in range(h.size):
        out[0, i], out[1, i], out[2, i], out[3, i] = corner(h[i], k[i], r[i], less[i], more[i])
        out[4, i] = association(h[i], k[i], r[i], less[i], more[i])
