"""`numeric.special` in single precision: shorter polynomials, exact remainders by a fused multiply-add, and the
exponentials of the CUDA mathematics library.

Errors are the largest seen in units of 2⁻²⁴ = 6e-8 of the result itself; results below 1e-38 lose digits as subnormal
numbers do.

    function       domain          error     where the error comes from
    exp, expm1, …  all             2         the library
    exp_tilted     all             4         as exp; the exponent enters in two parts
    gauss          all             8         twice that of its root; y² enters in two parts
    Phi_phi        all             8, 8      φ; the Mills ratio adds little
    centred_Phi    all             4         as Φ beyond |z| = 1.2, an odd polynomial inside
    I_1, I_2       z ≤ 0           8         polynomials of degree 11 and 12
    scaled_ladder  v ≥ 0           8         nine steps of a positive recurrence; its power law is 1e-8 away at 2¹⁵
"""

import math

from numeric.cuda.target import fma
from numeric.jit import device

# φ(14.5) is below the smallest float32; from 10 on φ/σ^k carries the factor 2⁶⁰ = 1/DROP.
FARTHEST, LIFTED_FROM, DROP = 14.5, 10.0, 2.0**-60
TINY = 1.1754943508222875e-38
# T_k(v) becomes v^(−k−1) from 2¹⁵ on, and what grows like v⁹ till there begins with 2⁻⁵⁰.
POWER_LAW, LEAST = 2.0**15, 2.0**-50

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
# (Φ(z) − ½)/z in z² for |z| ≤ 1.2; relative error 4.3e-8
CENTRED = (
    -6.99593556e-06,
    0.000111679605,
    -0.00118459621,
    0.00997264776,
    -0.0664902702,
    0.398942292,
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
def _lifted_gauss(y):
    """2⁶⁰ e^(−y²/2) for 0 ≤ y ≤ 14.5 as the square of 2³⁰ e^(−y²/4), which does not underflow either."""
    square = y * y
    root = math.exp(-0.25 * square) * (1.0 - 0.25 * fma(y, y, -square)) * 2.0**30
    return root * root


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
