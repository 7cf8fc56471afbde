"""The truth for the tests here: E[σ(m + sZ) He_k(Z)] integrated from its definition, in 30 digits.

The catalogue is written out once more, by hand, as plain functions of a number: nothing of symgauss is used.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import mpmath

DIGITS = 30

Number = Any  # an mpmath.mpf; Any because mpmath has no types


def _cdf(y: Number) -> Number:
    return mpmath.erfc(-y / mpmath.sqrt(2)) / 2


# name: (σ, the points where it is not smooth)
CATALOGUE: dict[str, tuple[Callable[[Number], Number], tuple[int, ...]]] = {
    "identity": (lambda y: y, ()),
    "square": (lambda y: y * y, ()),
    "abs": (lambda y: y if y > 0 else -y, (0,)),
    "step": (lambda y: mpmath.mpf(1) if y > 0 else mpmath.mpf(0), (0,)),
    "relu": (lambda y: y if y > 0 else mpmath.mpf(0), (0,)),
    "leaky_relu": (lambda y: y if y > 0 else y / 100, (0,)),
    "relu2": (lambda y: y * y if y > 0 else mpmath.mpf(0), (0,)),
    "relu6": (lambda y: min(max(y, mpmath.mpf(0)), mpmath.mpf(6)), (0, 6)),
    "hardtanh": (lambda y: min(max(y, mpmath.mpf(-1)), mpmath.mpf(1)), (-1, 1)),
    "gelu": (lambda y: y * _cdf(y), ()),
    "erf": (lambda y: mpmath.erf(y), ()),
    "sin": (lambda y: mpmath.sin(y), ()),
    "cos": (lambda y: mpmath.cos(y), ()),
    "gaussian_bump": (lambda y: mpmath.exp(-y * y / 2), ()),
}


def hermite(k: int, z: Number) -> Number:
    """He_k(z) by its recurrence He_{k+1} = z He_k − k He_{k−1}."""
    last, value = mpmath.mpf(0), mpmath.mpf(1)
    for j in range(k):
        last, value = value, z * value - j * last
    return value


def expectation(
    function: Callable[[Number], Number],
    mean: Fraction,
    std: Fraction,
    breakpoints: Sequence[Fraction | int] = (),
    order: int = 0,
) -> Number:
    """∫ σ(m + sz) He_k(z) φ(z) dz over |z| ≤ 20, cut at the breakpoints."""
    with mpmath.workdps(DIGITS):
        m, s = (mpmath.mpf(v.numerator) / v.denominator for v in map(Fraction, (mean, std)))
        inner = [(mpmath.mpf(b.numerator) / b.denominator - m) / s for b in map(Fraction, breakpoints)]
        nodes = sorted({*map(mpmath.mpf, range(-20, 21, 4)), *(b for b in inner if abs(b) < 20)})
        value, error = mpmath.quad(
            lambda z: function(m + s * z) * hermite(order, z) * mpmath.npdf(z),
            nodes,
            method="gauss-legendre",
            error=True,
        )
        if error > mpmath.mpf(10) ** -18 * (1 + abs(value)):
            raise ArithmeticError(f"the integral did not converge: {value} ± {error}")
        return value


def assert_close(computed: Number, true: Number, scale: Number = 1) -> None:
    """Equal to 16 digits of max(|true|, scale)."""
    with mpmath.workdps(DIGITS):
        error = abs(mpmath.mpf(computed) - true) / max(abs(true), scale)
        assert error < 1e-16, f"computed {computed}, true {true}, error {mpmath.nstr(error, 3)}"


def number(expr: Any, **values: Fraction) -> Number:
    """A SymPy expression at rational values of its symbols (by name), to 30 digits."""
    by_name = {s.name: s for s in expr.free_symbols}
    put_in = {by_name[k]: _rational(v) for k, v in values.items() if k in by_name}
    value = expr.xreplace(put_in).evalf(DIGITS)
    with mpmath.workdps(DIGITS):
        return mpmath.mpf(str(value))


def _rational(value: Fraction) -> Any:
    import sympy

    return sympy.Rational(value.numerator, value.denominator)
