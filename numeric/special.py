"""Hand-written primitives of the kernels: exp, log and tanh, Φ and φ together, Φ − ½, and the Gaussian tails.

All are free of branches that a vector unit could not follow (a choice is made between two computed
numbers), so that a loop over any of them is compiled to vector code. Errors below are the largest seen
against 60-digit values, in units of ε = 2.2e-16 of the result itself, far tails included; results below
1e-308 lose digits as subnormal numbers do. The polynomials are near-minimax; `tests/oracle/primitives.py`
derives them again from the definitions, and the tests hold the constants here against it.

    function       domain          error        where the error comes from
    exp            all             1 ε          rounding of 1 + r + r² p(r)
    exp_tilted     all             1 ε          the same; the exponent enters in two parts
    expm1          all             1.5 ε        the same without the 1, and 2ⁿ m + (2ⁿ − 1)
    log1p          x > −1          1 ε          rounding of f − (f²/2 − …), where f is x or rounded once
    tanh           all             2 ε          expm1, twice
    gauss          all             1.5 ε        as exp; y² enters in two parts, or it would cost y² ε
    Phi_phi        all             5 ε, 1.5 ε   25 rounded steps of the Mills ratio, times φ
    centred_Phi    all             4 ε          as Φ beyond |z| = 1.2, an odd polynomial inside
    I_1, I_2       z ≤ 0           5 ε          the scaled tails (1 + x)^(n+1) I_n/φ have no cancellation
    scaled_ladder  v ≥ 0           3 ε, 8 ε     ten steps of a positive recurrence (first three tails; all ten)

Φ and what is made from it take arguments beyond ±40 as ±40, where φ is below the smallest double; the others
reach their limits: infinities are harmless. NaN gives NaN. Outside of its domain a result means nothing.
"""

import math
from typing import Any

import numpy as np

from numeric.bits import from_bits, to_bits
from numeric.jit import device

SQRT_HALF = 0.7071067811865476
INV_SQRT_2PI = 0.3989422804014327
LOG2_E = 1.4426950408889634
# log 2 in two parts; n · LOG2_HEAD is exact for every exponent n of a double.
LOG2_HEAD, LOG2_TAIL = 0.6931471803691238, 1.9082149292705877e-10
# Adding and subtracting this rounds to an integer, and leaves that integer in the low bits of the sum.
ROUND_TO_INTEGER = 6755399441055744.0
# Adding and subtracting this keeps 20 binary places: for |y| ≤ 40 the square of what is left is exact.
ROUND_TO_2_POW_20 = 6442450944.0
# The upper half of a significand: its square is exact.
UPPER_HALF = np.int64(-(1 << 27))
# Φ takes what lies farther out as ±40, where φ has underflown; from 30 on φ/σ^k may need the factor 2²⁵⁶ = 1/DROP.
FARTHEST, LIFTED_FROM, DROP = 40.0, 30.0, 2.0**-256
# For a smaller x both e^x − 1 and log(1 + x) are x to rounding.
NEGLIGIBLE = 2.0**-54
# The exponent of a double; added to one, the bits of 1 over those of √½ bring its significand to [√½, √2).
EXPONENT = np.int64(0x7FF0000000000000)
ABOVE_SQRT_HALF = np.int64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
# Under the root of the ladder's argument.
SPREAD = 52.0
# Where T_k(v) becomes v^(−k−1); and what the recurrence till there begins with, less in single precision.
POWER_LAW, LEAST = 2.0**31, 1.0
# Below this a standard deviation is subnormal, has few digits left, and counts as zero.
TINY = 2.2250738585072014e-308

# (e^r − 1 − r)/r² for |r| ≤ ½ log 2; relative error 3.1e-18
EXPONENTIAL = (
    2.0914686968086876e-09,
    2.5105217004720745e-08,
    2.75572736431103e-07,
    2.7557255400206422e-06,
    2.4801587325547743e-05,
    0.00019841269874820627,
    0.0013888888888883748,
    0.008333333333326136,
    0.04166666666666667,
    0.1666666666666667,
    0.5,
)
# (1 + 2x) R(√2 x), R the Mills ratio Φ(−y)/φ(y), in t = (x − 4)/(x + 4); relative error 4.6e-19
MILLS = (
    3.5808268255590327e-10,
    2.612371211115686e-09,
    2.1056402829869978e-09,
    -2.0759930511033486e-08,
    -2.38893453009457e-08,
    1.4192613398393084e-07,
    9.646507817728208e-08,
    -1.0374266000086913e-06,
    3.655854057921612e-07,
    7.157393090828345e-06,
    -1.4063344102786706e-05,
    -3.0580251252032446e-05,
    0.00018877582793132514,
    -0.0002497311651647396,
    -0.0009497278844115228,
    0.006306639104258607,
    -0.020300849098540977,
    0.04658257267257203,
    -0.08313278520492708,
    0.11747668723406893,
    -0.1266336898844859,
    0.08534700080694752,
    0.01927553540720784,
    -0.17498911960405628,
    1.5453302134144071,
)
# (1 + x)² I₁(−√2 x)/φ(√2 x) in t; relative error 2.1e-19
FIRST_LADDER = (
    -9.45027805227986e-10,
    -2.393447628296211e-09,
    7.776145068880322e-09,
    2.3268890881019373e-08,
    -4.727670532501349e-08,
    -1.4100522833886786e-07,
    3.139123715253555e-07,
    6.872659912750186e-07,
    -2.3069329945640692e-06,
    -2.1964792151204313e-06,
    1.665978452918456e-05,
    -8.12738303868588e-06,
    -9.534057751313081e-05,
    0.00023791935148652772,
    0.00010184457031014829,
    -0.0019207956220304823,
    0.005487674043580103,
    -0.007880142660711478,
    0.0016072681445088292,
    0.021604760111581307,
    -0.06051688231364156,
    0.09401089484644565,
    -0.08332120354659081,
    -0.005546501911935752,
    0.16924363731124714,
    -0.3504963773892815,
    0.7174783760492879,
)
# (1 + x)³ I₂(−√2 x)/φ(√2 x) in t; relative error 4.8e-18
SECOND_LADDER = (
    1.0234069685908515e-09,
    2.6442437784161086e-08,
    7.115436287206651e-08,
    -1.492680498203905e-07,
    -5.947505222168559e-07,
    7.64658250583329e-07,
    3.1400802174708588e-06,
    -5.314887550065895e-06,
    -1.3135917550282453e-05,
    3.9700387247047704e-05,
    2.743363531500293e-05,
    -0.0002524054113767362,
    0.00025161277501782554,
    0.0008985978158231661,
    -0.0033047168330557334,
    0.003779896631137726,
    0.003996751736279508,
    -0.022262113050794542,
    0.03799545318540834,
    -0.022338024895488133,
    -0.04598297216694285,
    0.14407014698833484,
    -0.19444993539829705,
    0.11313102387984894,
    0.10679880708226533,
    -0.35361398814710243,
    0.5847833141945633,
)
# (Φ(z) − ½)/z in z² for |z| ≤ 1.2; relative error 1.8e-19
CENTRED = (
    -1.5273271551488933e-13,
    4.900505300848168e-12,
    -1.1256473975019561e-10,
    2.2729247988036933e-09,
    -4.122612995750859e-08,
    6.659690239790179e-07,
    -9.444656129358098e-06,
    0.00011543468758333638,
    -0.0011873282154755663,
    0.00997355701003544,
    -0.06649038006690544,
    0.3989422804014327,
)
# (log((1 + s)/(1 − s)) − 2s)/s³ in s² for quotients between √½ and √2; relative error 3.1e-18
LOGARITHM = (
    0.13087423074263743,
    0.13268696913942313,
    0.15386242549851842,
    0.18181795587775001,
    0.2222222239220404,
    0.2857142857080145,
    0.4000000000000088,
    0.6666666666666666,
)
# T₁₀(v)/T₉(v)/(μ − v) in v/μ, μ = √(v² + 52), T as in `scaled_ladder`; relative error 1.4e-18
LADDER_TOP = (
    2.1764183277396704e-08,
    -1.8809757533756626e-07,
    7.281972520005282e-07,
    -1.5430416616444067e-06,
    1.4162448527617987e-06,
    1.9105417405825333e-06,
    -9.447918811935482e-06,
    1.728467984198027e-05,
    -1.5232516003287427e-05,
    -7.241773178130145e-06,
    4.617187282752643e-05,
    -6.572293325821618e-05,
    1.7685267605994219e-06,
    0.00018283468009523527,
    -0.0003529901420684967,
    2.9689496604915908e-05,
    0.0017804452135366034,
    -0.00592029667319762,
    0.04277193033959765,
)


_MAGIC = np.float64(ROUND_TO_INTEGER).view(np.int64)


def _polynomial(coefficients: tuple[float, ...]) -> Any:
    """Horner's rule for these coefficients, written out: a loop over them would not vectorise."""
    rule = repr(coefficients[0])
    for c in coefficients[1:]:
        rule = f"({rule}) * x + {c!r}"
    return device(eval(f"lambda x: {rule}"))


_exponential = _polynomial(EXPONENTIAL)
_mills = _polynomial(MILLS)
_first_ladder = _polynomial(FIRST_LADDER)
_second_ladder = _polynomial(SECOND_LADDER)
_centred = _polynomial(CENTRED)
_logarithm = _polynomial(LOGARITHM)
_ladder_top = _polynomial(LADDER_TOP)


@device
def _expm1_parts(head, tail):
    """e^(head + tail) as (m, word): 1 + m in [0.7, 1.42], and the exponent in the low bits of word."""
    shifted = head * LOG2_E + ROUND_TO_INTEGER
    n = shifted - ROUND_TO_INTEGER
    r = (head - n * LOG2_HEAD) - n * LOG2_TAIL + tail
    return r + r * r * _exponential(r), to_bits(shifted)


@device
def _exp_parts(head, tail):
    """e^(head + tail) as (m, word): m in [0.7, 1.42], and the exponent in the low bits of word."""
    m, word = _expm1_parts(head, tail)
    return 1.0 + m, word


@device
def _scaled(m, word, below):
    """m 2ⁿ in two steps, because one power of two alone may be no normal number; `below` tells n < 0."""
    offset, rest = (256, 2.0**-256) if below else (-1, 2.0)
    return m * from_bits((word + np.int64(1023 + offset)) << np.int64(52)) * rest


@device
def exp(x):
    """e^x; ∞ above 709.78, gradual underflow to 0 below −708."""
    m, word = _exp_parts(min(max(x, -746.0), 710.0), 0.0)
    return _scaled(m, word, x < 0.0)


@device
def upper_half(x):
    """x with the lower half of its significand cut off: products of such numbers are exact."""
    return from_bits(to_bits(x) & UPPER_HALF)


@device
def exp_tilted(shift, a):
    """e^(shift + a²/2), with a² in three parts: where shift and a²/2 nearly cancel, every digit counts."""
    high = upper_half(a)
    low = a - high
    # a²/2 = high²/2 + high·low + low²/2, the first two exact; so is what rounding takes from their sums with shift
    square, cross = 0.5 * high * high, high * low
    total = shift + square
    seen = total - shift
    lost = (shift - (total - seen)) + (square - seen)
    further = total + cross
    seen = further - total
    lost += (total - (further - seen)) + (cross - seen) + 0.5 * low * low
    head = further + lost if abs(total) < 1e300 else total
    tail = lost - (head - further)
    m, word = _exp_parts(min(max(head, -746.0), 710.0), tail if abs(head) < 746.0 else 0.0)
    return _scaled(m, word, head < 0.0)


@device
def expm1(x):
    """e^x − 1, relatively accurate around 0; ∞ above 709.78."""
    m, word = _expm1_parts(min(max(x, -60.0), 710.0), 0.0)
    # 2ⁿ(1 + m) − 1 by halves, because 2¹⁰²⁴ is no number; 2ⁿ⁻¹ − ½ is exact where it matters
    half = from_bits((word + np.int64(1022)) << np.int64(52))
    far = 2.0 * (half * m + (half - 0.5))
    return far if abs(x) >= NEGLIGIBLE else x


@device
def log1p(x):
    """log(1 + x) for x > −1, relatively accurate around 0."""
    # 1 + x = 2ᵏ(1 + f): rounding 1 + x can only move k where either k would do, and f comes from x itself.
    word = (to_bits(1.0 + x) + ABOVE_SQRT_HALF) & EXPONENT
    k = from_bits((word >> np.int64(52)) + _MAGIC) - (ROUND_TO_INTEGER + 1023.0)
    scale = from_bits((EXPONENT - word) + np.int64(1 << 52))  # 2²⁻ᵏ, because 2⁻ᵏ may be no normal number
    f = 0.25 * (scale * x + (scale - 4.0))
    s = f / (2.0 + f)
    # log(1 + f) = f − f²/2 + s (f²/2 + R), whose first term is exact
    square, half = s * s, 0.5 * f * f
    near = k * LOG2_HEAD - ((half - (s * (half + square * _logarithm(square)) + k * LOG2_TAIL)) - f)
    return near if NEGLIGIBLE <= abs(x) < math.inf else x


@device
def tanh(x):
    """tanh x, relatively accurate around 0."""
    m = expm1(-2.0 * abs(x))
    return math.copysign(m / (2.0 + m), x)


@device
def _lifted_gauss(y):
    """2²⁵⁶ e^(−y²/2) for 0 ≤ y ≤ 40, a normal number throughout: y² = h² + (y − h)(y + h), h² exact."""
    h = (y + ROUND_TO_2_POW_20) - ROUND_TO_2_POW_20
    m, word = _exp_parts(-0.5 * h * h, -0.5 * (y - h) * (y + h))
    return m * from_bits((word + np.int64(1023 + 256)) << np.int64(52))


@device
def lifted_gauss(y):
    """2²⁵⁶ e^(−y²/2), which does not underflow within ±40."""
    return _lifted_gauss(min(abs(y), FARTHEST))


@device
def gauss(y):
    """e^(−y²/2) with full relative accuracy."""
    return lifted_gauss(y) * DROP


@device
def _tail(y, density):
    """Φ(−y) = φ(y) R(y) for y ≥ 0, given φ(y)."""
    x = SQRT_HALF * y
    shifted, weight = x + 4.0, 1.0 + 2.0 * x
    inverse = 1.0 / (shifted * weight)
    return density * _mills((x - 4.0) * weight * inverse) * (shifted * inverse)


@device
def Phi_phi(z):
    """(Φ(z), φ(z)): the standard normal distribution function and density."""
    y = min(abs(z), FARTHEST)
    density = gauss(y) * INV_SQRT_2PI
    upper = _tail(y, density)
    return (1.0 - upper if z > 0.0 else upper), density


@device
def lifted_Phi_phi(z, lifted):
    """(Φ(z), φ(z)), and if `lifted` 2²⁵⁶ φ(z): φ/σ^k may be a normal number although φ is not."""
    y = min(abs(z), FARTHEST)
    # nothing is left at ±40, or its quotient by σ^k would be infinite for tiny σ
    high = _lifted_gauss(y) * INV_SQRT_2PI if y < FARTHEST else 0.0 * y
    density = high * DROP
    upper = _tail(y, density)
    return (1.0 - upper if z > 0.0 else upper), (high if lifted else density)


@device
def centred_Phi(z):
    """Φ(z) − ½ = ½ erf(z/√2), relatively accurate around 0."""
    y = min(abs(z), FARTHEST)
    upper = _tail(y, gauss(y) * INV_SQRT_2PI)
    far = 0.5 - upper if z > 0.0 else upper - 0.5
    return z * _centred(min(z * z, 1.44)) if y < 1.2 else far


@device
def I_1(z, density):
    """I₁(z) = E (z + Z)₊ for z ≤ 0, given φ(z); the textbook form zΦ + φ cancels to z⁻² of its terms."""
    x = SQRT_HALF * min(-z, FARTHEST)
    scale = 1.0 + x
    return density * _first_ladder((x - 4.0) / (x + 4.0)) / (scale * scale)


@device
def I_2(z, density):
    """I₂(z) = E (z + Z)₊²/2 for z ≤ 0, given φ(z); the textbook form cancels to z⁻⁴ of its terms."""
    x = SQRT_HALF * min(-z, FARTHEST)
    scale = 1.0 + x
    return density * _second_ladder((x - 4.0) / (x + 4.0)) / (scale * scale * scale)


@device
def scaled_ladder(v):
    """(T₀(v), …, T₉(v)) for v ≥ 0: T_k(v) = ∫₀^∞ tᵏ/k! e^(−vt − t²/2) dt = I_k(−v)/φ(v).

    T_(k−1) = (k + 1) T_(k+1) + v T_k downwards from U₉ = 1 and U₁₀ = T₁₀/T₉ gives multiples of all T_k
    without cancellation, and T₋₁ = 1 says of which. What is not used of the result costs nothing.
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
    # Farther out the power law takes over, and U would overflow: 1 up to 2³¹, 2³¹/v from there on
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
def product_rest(x, y):
    """x·y less its rounded value."""
    x_high, y_high = upper_half(x), upper_half(y)
    x_low, y_low = x - x_high, y - y_high
    rounded = x * y
    return ((x_high * y_high - rounded) + x_high * y_low + x_low * y_high) + x_low * y_low


@device
def slip(u, mean, c, sigma):
    """|(μ − c)/σ| less |u|, u being that quotient as rounded; 0 beyond ±40."""
    shifted = mean - c
    seen = shifted - mean
    lost = (mean - (shifted - seen)) - (c + seen)
    rest = ((shifted - u * sigma) - product_rest(u, sigma) + lost) / sigma
    return (rest if u > 0.0 else -rest) if abs(u) < FARTHEST else 0.0


@device
def gate_slip(u, alpha, mean, sigma, w):
    """αμ/√(1 + α²σ²) less u, u and the root w being what rounding made of them; 0 beyond ±40."""
    a = alpha * sigma
    square_rest = (a * a - w * w + 1.0) + product_rest(a, a) - product_rest(w, w) + 2.0 * a * product_rest(alpha, sigma)
    shifted = alpha * mean
    rest = (shifted - u * w) - product_rest(u, w) + product_rest(alpha, mean)
    return (rest - u * (0.5 * square_rest / w)) / w if abs(u) < FARTHEST else 0.0


@device
def derivatives_of_Phi(u, d):
    """d[m] = Φ^(m)(u) for 1 ≤ m < d.size: Φ^(m+1) = −u Φ^(m) − (m − 1) Φ^(m−1)."""
    d[1] = Phi_phi(u)[1]
    d[2] = -u * d[1]
    for m in range(2, d.size - 1):
        d[m + 1] = -u * d[m] - (m - 1) * d[m - 1]


@device
def over_power(value, sigma, k):
    """value/σ^k, and 0 for value = 0 however small σ^k is."""
    return 0.0 if value == 0.0 else value / sigma**k


@device
def transpose(rows, block):
    """block[i, k] = rows[k, i]; the usual three columns by name, so that the stores are vector stores."""
    if block.shape[1] == 3:
        for i in range(block.shape[0]):
            block[i, 0], block[i, 1], block[i, 2] = rows[0, i], rows[1, i], rows[2, i]
    else:
        for i in range(block.shape[0]):
            for k in range(block.shape[1]):
                block[i, k] = rows[k, i]
