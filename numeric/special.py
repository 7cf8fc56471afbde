"""Hand-written primitives of the kernels: exp, Φ and φ together, Φ − ½, and the tails I₁ and I₂.

All are free of branches that a vector unit could not follow (a choice is made between two computed
numbers), so that a loop over any of them is compiled to vector code. Errors below are the largest seen
against 60-digit values, in units of ε = 2.2e-16 of the result itself, far tails included; results below
1e-308 lose digits as subnormal numbers do. The polynomials are near-minimax; `tests/oracle/primitives.py`
derives them again from the definitions, and the tests hold the constants here against it.

    function       domain          error        where the error comes from
    exp            all             1 ε          rounding of 1 + r + r² p(r)
    gauss          all             1.5 ε        the same; y² enters in two parts, or it would cost y² ε
    Phi_phi        all             5 ε, 1.5 ε   25 rounded steps of the Mills ratio, times φ
    centred_Phi    all             4 ε          as Φ beyond |z| = 1.2, an odd polynomial inside
    I_1, I_2       z ≤ 0           5 ε          the scaled tails (1 + x)^(n+1) I_n/φ have no cancellation

Arguments beyond ±40 are taken as ±40, where φ is below the smallest double: infinities are harmless.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from numeric.jit import device, interpreted

SQRT_HALF = 0.7071067811865476
INV_SQRT_2PI = 0.3989422804014327
LOG2_E = 1.4426950408889634
# log 2 in two parts; n · LOG2_HEAD is exact for every exponent n of a double.
LOG2_HEAD, LOG2_TAIL = 0.6931471803691238, 1.9082149292705877e-10
# Adding and subtracting this rounds to an integer, and leaves that integer in the low bits of the sum.
ROUND_TO_INTEGER = 6755399441055744.0
# Adding and subtracting this keeps 20 binary places: for |y| ≤ 40 the square of what is left is exact.
ROUND_TO_2_POW_20 = 6442450944.0
FARTHEST = 40.0
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


def _bitcast(signature: Any, target: ir.Type) -> Any:
    """A function that reads the 64 bits of its argument as another type."""

    def typed(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
            return builder.bitcast(arguments[0], target)

        return signature, generate

    return intrinsic(typed)


_from_bits = _bitcast(types.float64(types.int64), ir.DoubleType())
_to_bits = _bitcast(types.int64(types.float64), ir.IntType(64))
if interpreted():
    # NUMBA_DISABLE_JIT=1, to step through kernels: the same bits by NumPy
    _from_bits = lambda word: np.int64(word).view(np.float64)  # noqa: E731
    _to_bits = lambda number: np.float64(number).view(np.int64)  # noqa: E731


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


@device
def _exp_parts(head, tail):
    """e^(head + tail) as (m, word): m in [0.7, 1.42], and the exponent in the low bits of word."""
    shifted = head * LOG2_E + ROUND_TO_INTEGER
    n = shifted - ROUND_TO_INTEGER
    r = (head - n * LOG2_HEAD) - n * LOG2_TAIL + tail
    return 1.0 + (r + r * r * _exponential(r)), _to_bits(shifted)


@device
def exp(x):
    """e^x; ∞ above 709.78, gradual underflow to 0 below −708."""
    m, word = _exp_parts(min(max(x, -746.0), 710.0), 0.0)
    # The power of two is applied in two steps, because one alone may be no normal number.
    offset, rest = (256, 2.0**-256) if x < 0.0 else (-1, 2.0)
    return m * _from_bits((word + np.int64(1023 + offset)) << np.int64(52)) * rest


@device
def _lifted_gauss(y):
    """2²⁵⁶ e^(−y²/2) for 0 ≤ y ≤ 40, a normal number throughout: y² = h² + (y − h)(y + h), h² exact."""
    h = (y + ROUND_TO_2_POW_20) - ROUND_TO_2_POW_20
    m, word = _exp_parts(-0.5 * h * h, -0.5 * (y - h) * (y + h))
    return m * _from_bits((word + np.int64(1023 + 256)) << np.int64(52))


@device
def gauss(y):
    """e^(−y²/2) with full relative accuracy."""
    return _lifted_gauss(min(abs(y), FARTHEST)) * 2.0**-256


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
    high = _lifted_gauss(y) * INV_SQRT_2PI
    density = high * 2.0**-256
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
