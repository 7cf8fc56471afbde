"""The primitives of `numeric.special` in single precision: what kernels call when they compute in float32.

The same functions with the same domains, made for 2⁻²⁴ = 6e-8 in place of 1.1e-16: shorter polynomials, exact
remainders by a fused multiply-add, and exponentials from the CUDA mathematics library. Errors below are the largest
seen in units of 6e-8 of the result itself; results below 1e-38 lose digits as subnormal numbers do. The text is read
as a module of kernels is (`numeric.cuda.translate`): its literals become float32.

    function       domain          error     where the error comes from
    exp, expm1, …  all             2         the library
    exp_tilted     all             4         as exp; the exponent enters in two parts
    gauss          all             4         as exp; y² enters in two parts
    Phi_phi        all             8, 4      the Mills ratio, times φ
    centred_Phi    all             3         erf of the library
    I_1, I_2       z ≤ 0           8         polynomials of degree 11 and 12
    scaled_ladder  v ≥ 0           30        nine steps of a positive recurrence; its power law is 1e-8 away at 2¹⁵
"""

import math

from numeric.cuda.target import fma
from numeric.jit import device

SQRT_HALF = 0.7071067811865476
INV_SQRT_2PI = 0.3989422804014327
# φ(14.5) is below the smallest float32; from 10 on φ/σ^k carries the factor 2⁶⁰ = 1/DROP.
FARTHEST, LIFTED_FROM, DROP = 14.5, 10.0, 2.0**-60
TINY = 1.1754943508222875e-38
# Under the root of the ladder's argument; where T_k(v) becomes v^(−k−1); what the recurrence begins with.
SPREAD, POWER_LAW, LEAST = 52.0, 2.0**15, 2.0**-50

# (1 + 2x) R(√2 x), R the Mills ratio Φ(−y)/φ(y), in t = (x − 4)/(x + 4); relative error 1.7e-8
MILLS = (
    0.00108358931,
    0.00874219426,
    -0.0199492439,
    0.045672248,
    -0.0834965346,
    0.117582009,
    -0.126576789,
    0.0853426208,
    0.0192728784,
    -0.174989057,
    1.54533023,
)
# (1 + x)² I₁(−√2 x)/φ(√2 x) in t; relative error 1.3e-8
FIRST_LADDER = (
    0.000273658084,
    0.00910531539,
    -0.00670305571,
    0.000375697841,
    0.020800723,
    -0.0604146729,
    0.0941489409,
    -0.0833192515,
    -0.00555524136,
    0.169243347,
    -0.350496222,
    0.717478378,
)
# (1 + x)³ I₂(−√2 x)/φ(√2 x) in t; relative error 1.1e-8
SECOND_LADDER = (
    -0.00111427681,
    0.00971469628,
    0.00725344013,
    -0.0238873239,
    0.0361343569,
    -0.0223760399,
    -0.0456457597,
    0.144112808,
    -0.194475657,
    0.113127697,
    0.106799553,
    -0.353613933,
    0.58478331,
)
# T₁₀(v)/T₉(v)/(μ − v) in v/μ, μ = √(v² + 52); relative error 2.6e-8
LADDER_TOP = (
    -3.64915581e-05,
    0.000181248872,
    -0.000339776595,
    2.33835535e-05,
    0.00178160843,
    -0.00592037123,
    0.0427719311,
)


def _polynomial(coefficients):
    """Horner's rule for these coefficients, written out."""
    rule = repr(float(coefficients[0]))
    for c in coefficients[1:]:
        rule = f"({rule}) * x + {float(c)!r}"
    return device(eval(f"lambda x: {rule}"))


_mills = _polynomial(MILLS)
_first_ladder = _polynomial(FIRST_LADDER)
_second_ladder = _polynomial(SECOND_LADDER)
_ladder_top = _polynomial(LADDER_TOP)


@device
def exp(x):
    return math.exp(x)


@device
def expm1(x):
    return math.expm1(x)


@device
def log1p(x):
    return math.log1p(x)


@device
def tanh(x):
    return math.tanh(x)


@device
def product_rest(x, y):
    """x·y less its rounded value."""
    return fma(x, y, -(x * y))


@device
def exp_tilted(shift, a):
    """e^(shift + a²/2), with the rest of a² and of the sum: where both nearly cancel, every digit counts."""
    square = 0.5 * a * a
    total = shift + square
    seen = total - shift
    lost = (shift - (total - seen)) + (square - seen) + 0.5 * product_rest(a, a)
    near = abs(total) < 104.0
    return math.exp(min(max(total, -104.0), 89.0)) * (1.0 + (lost if near else 0.0))


@device
def _half_gauss(y):
    """e^(−y²/4), whose square does not underflow on the way."""
    square = y * y
    return math.exp(-0.25 * square) * (1.0 - 0.25 * fma(y, y, -square))


@device
def lifted_gauss(y):
    """2⁶⁰ e^(−y²/2), which does not underflow within ±14.5."""
    root = _half_gauss(min(abs(y), FARTHEST)) * 2.0**30
    return root * root


@device
def gauss(y):
    """e^(−y²/2) with full relative accuracy."""
    root = _half_gauss(min(abs(y), FARTHEST))
    return root * root


@device
def _tail(y, density):
    """Φ(−y) = φ(y) R(y) for y ≥ 0, given φ(y)."""
    x = SQRT_HALF * y
    return density * _mills((x - 4.0) / (x + 4.0)) / (1.0 + 2.0 * x)


@device
def Phi_phi(z):
    """(Φ(z), φ(z)): the standard normal distribution function and density."""
    y = min(abs(z), FARTHEST)
    density = gauss(y) * INV_SQRT_2PI
    upper = _tail(y, density)
    return (1.0 - upper if z > 0.0 else upper), density


@device
def lifted_Phi_phi(z, lifted):
    """(Φ(z), φ(z)), and if `lifted` 2⁶⁰ φ(z): φ/σ^k may be a normal number although φ is not."""
    y = min(abs(z), FARTHEST)
    # nothing is left at ±14.5, or its quotient by σ^k would be infinite for tiny σ
    high = lifted_gauss(y) * INV_SQRT_2PI if y < FARTHEST else 0.0 * y
    density = high * DROP
    upper = _tail(y, density)
    return (1.0 - upper if z > 0.0 else upper), (high if lifted else density)


@device
def centred_Phi(z):
    """Φ(z) − ½ = ½ erf(z/√2), relatively accurate around 0."""
    return 0.5 * math.erf(SQRT_HALF * z)


@device
def I_1(z, density):
    """I₁(z) = E (z + Z)₊ for z ≤ 0, given φ(z)."""
    x = SQRT_HALF * min(-z, FARTHEST)
    scale = 1.0 + x
    return density * _first_ladder((x - 4.0) / (x + 4.0)) / (scale * scale)


@device
def I_2(z, density):
    """I₂(z) = E (z + Z)₊²/2 for z ≤ 0, given φ(z)."""
    x = SQRT_HALF * min(-z, FARTHEST)
    scale = 1.0 + x
    return density * _second_ladder((x - 4.0) / (x + 4.0)) / (scale * scale * scale)


@device
def scaled_ladder(v):
    """(T₀(v), …, T₉(v)) for v ≥ 0, T_k(v) = ∫₀^∞ tᵏ/k! e^(−vt − t²/2) dt: the recurrence of `numeric.special`.

    It begins with 2⁻⁵⁰ in place of 1, because it grows like v⁹.
    """
    near = min(v, POWER_LAW)
    root = math.sqrt(near * near + SPREAD)
    # μ − v has few digits left for large v, where U₁₀ no longer counts
    U_9 = LEAST
    U_8 = (near + 10.0 * ((root - near) * _ladder_top(near / root))) * U_9
    U_7 = near * U_8 + 9.0 * U_9
    U_6 = near * U_7 + 8.0 * U_8
    U_5 = near * U_6 + 7.0 * U_7
    U_4 = near * U_5 + 6.0 * U_6
    U_3 = near * U_4 + 5.0 * U_5
    U_2 = near * U_3 + 4.0 * U_4
    U_1 = near * U_2 + 3.0 * U_3
    U_0 = near * U_1 + 2.0 * U_2
    unit = 1.0 / (near * U_0 + U_1)
    # Farther out the power law takes over
    w = POWER_LAW / max(v, POWER_LAW)
    w_3 = w * w * w
    w_6 = w_3 * w_3
    return (
        U_0 * unit * w,
        U_1 * unit * (w * w),
        U_2 * unit * w_3,
        U_3 * unit * (w_3 * w),
        U_4 * unit * (w_3 * w * w),
        U_5 * unit * w_6,
        U_6 * unit * (w_6 * w),
        U_7 * unit * (w_6 * w * w),
        U_8 * unit * (w_6 * w_3),
        U_9 * unit * (w_6 * w_3 * w),
    )


@device
def slip(u, mean, c, sigma):
    """|(μ − c)/σ| less |u|, u being that quotient as rounded; 0 beyond ±14.5."""
    shifted = mean - c
    seen = shifted - mean
    lost = (mean - (shifted - seen)) - (c + seen)
    rest = (fma(-u, sigma, shifted) + lost) / sigma
    return (rest if u > 0.0 else -rest) if abs(u) < FARTHEST else 0.0


@device
def gate_slip(u, alpha, mean, sigma, w):
    """αμ/√(1 + α²σ²) less u, u and the root w being what rounding made of them; 0 beyond ±14.5."""
    a = alpha * sigma
    square_rest = fma(-w, w, a * a) + 1.0 + product_rest(a, a) + 2.0 * a * product_rest(alpha, sigma)
    rest = fma(-u, w, alpha * mean) + product_rest(alpha, mean)
    return (rest - u * (0.5 * square_rest / w)) / w if abs(u) < FARTHEST else 0.0
