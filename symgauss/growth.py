"""Whether an activation has a Gaussian mean at all: finite and real everywhere, and O(exp(εx²)) for every ε > 0.

E exp(cY²) for Y ~ N(mu, sigma²) is finite for sigma < 1/√(2c) only, so that a function which grows like
exp(cx²) or faster has no mean for every sigma. `check_growth` measures it: with mpmath, whose exponents have
no bounds, r(x) = log|σ(x)|/x² is taken at points up to |x| = 10²⁰, and sup r must be falling towards 0 there.

>>> check_growth(sympy.exp(100 * x))
>>> check_growth(sympy.exp(x**2) / x)
Traceback (most recent call last):
    ...
ValueError: exp(x**2)/x is not a finite real number at x = 0.0; an activation must be one for every real x ...
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import mpmath
import sympy
from mpmath import mpf
from sympy import Expr, Function, Pow, Symbol, exp

from symgauss.pieces import NoClosedForm, pieces
from symgauss.record import Activation, as_activation
from symgauss.symbols import x

# The last three windows of 10^2.5 each, 12 points a decade, in which sup r must fall by 3 % each time: growth
# like exp(|x|^1.985) or exp(x²/log log |x|) passes, and x² beats c·|x| there for every c of practical size.
DECADES, WINDOW, FALL = 20.0, 2.5, 0.97

# Beyond these, exp is not evaluated (its exponent alone would fill the memory), and growth is settled.
HUGE_ARGUMENT, HUGE_SLOPE = mpf(10) ** 60, mpf(10) ** 30

# Where a function is looked at for poles and complex values, zero and breakpoints apart.
PROBES = [mpf(n) / 4 for n in range(1, 21)] + [mpf(n) for n in (7, 10, 30)] + [mpf(10) ** -6, mpf(10) ** -2]


class GrowsTooFast(ValueError):
    """The function has no Gaussian mean for every sigma; the message says where and how it grows."""


class _TooLarge(Exception):
    """An intermediate value has more digits in its exponent than are worth computing."""


def check_growth(act: Activation | Expr | str) -> None:
    """Nothing, if the activation is finite, real and O(exp(εx²)) for every ε > 0.

    Raises
    ------
    GrowsTooFast: it grows like exp(c x²) or faster on one side.
    ValueError: a point at which it is not a finite real number.

    Parameters have their values put in; of parameters left symbolic, a few admissible values are tried.
    This is a measurement and no proof: a pole between the probed points, growth that starts beyond 10²⁰, or
    a requirement that none of the tried values meets stays unseen.
    """
    act = as_activation(act)
    for formula in _instances(act):
        function = _Numeric(formula)
        _check_finite(act, formula, function)
        for side in (-1, 1):
            _check_side(act, formula, function, side)


def _instances(act: Activation) -> Iterator[Expr]:
    """The formula with numbers for its symbols: values that satisfy assumptions and `requires`."""
    symbols = sorted(act.formula.free_symbols - {x}, key=str)
    if not symbols:
        yield act.formula
        return
    values = [sympy.Rational(p, q) for p, q in ((1, 2), (2, 1), (-1, 1), (1, 1), (3, 2), (-3, 1))]
    found = 0
    for some in product(values, repeat=min(len(symbols), 4)):
        choice = dict(zip(symbols, some)) | dict.fromkeys(symbols[4:], sympy.S.One)
        if all(_admits(s, value) for s, value in choice.items()) and all(
            relation.subs(choice) != sympy.false for relation in act.conditions
        ):
            yield act.formula.subs(choice)
            found += 1
        if found == 3:
            return


def _admits(symbol: Symbol, value: Expr) -> bool:
    wanted = symbol.assumptions0
    return all(getattr(value, f"is_{name}") is truth for name, truth in wanted.items() if name in _ASSUMED)


_ASSUMED = ("positive", "negative", "nonnegative", "nonpositive", "nonzero", "integer", "even", "odd")


# Evaluation that neither overflows nor hangs.


def _safe_exp(z: Any) -> Any:
    if mpmath.re(z) > HUGE_ARGUMENT:
        raise _TooLarge
    return mpf(0) if mpmath.re(z) < -HUGE_ARGUMENT else mpmath.exp(z)


def _clipped(function: Callable[[Any], Any], limit: mpf = HUGE_ARGUMENT) -> Callable[[Any], Any]:
    """For functions that settle, or only oscillate, for large arguments."""
    return lambda z: function(max(-limit, min(limit, z)) if isinstance(z, mpf) else z)


def _guarded(function: Callable[[Any], Any], limit: mpf) -> Callable[[Any], Any]:
    def guarded(z: Any) -> Any:
        if abs(z) > limit:
            raise _TooLarge
        return function(z)

    return guarded


def _power(base: Any, exponent: Any) -> Any:
    return mpf(0) ** exponent if base == 0 else _safe_exp(exponent * mpmath.log(base))


_SAFE = {
    "exp": _safe_exp,
    "grown_power": _power,
    "sinh": _guarded(mpmath.sinh, HUGE_ARGUMENT),
    "cosh": _guarded(mpmath.cosh, HUGE_ARGUMENT),
    "gamma": _guarded(mpmath.gamma, mpf(10) ** 50),
    "loggamma": _guarded(mpmath.loggamma, mpf(10) ** 50),
    "factorial": _guarded(mpmath.factorial, mpf(10) ** 50),
    "sech": lambda z: 1 / _SAFE["cosh"](z) if abs(z) < HUGE_ARGUMENT else mpf(0),
    **{name: _clipped(getattr(mpmath, name)) for name in ("tanh", "sin", "cos", "tan", "atan")},
    **{name: _clipped(getattr(mpmath, name), mpf(10) ** 25) for name in ("ncdf", "erf", "erfc")},
}


class _Numeric:
    """The function in mpmath: its value, and log|value| with the digits it takes."""

    def __init__(self, formula: Expr) -> None:
        grown = Function("grown_power")
        # 2**x and |x|**x go through the guarded exponential; x**3 need not.
        formula = formula.replace(
            lambda e: isinstance(e, Pow) and not isinstance(e, exp) and e.exp.has(x), lambda e: grown(e.base, e.exp)
        )
        self.function = sympy.lambdify(x, formula, [_SAFE, "mpmath"])

    def __call__(self, point: Any) -> Any:
        """The value, or nan where there is none."""
        try:
            return mpmath.mpmathify(self.function(point))
        except (ZeroDivisionError, ValueError, OverflowError):
            return mpmath.nan

    def size(self, point: Any, seen: bool) -> mpf | None:
        """log|value| if two precisions agree on it; None for 0 and for what cancels beyond 150 digits.

        `seen` says that the function is not 0 all along: then a 0 at moderate |x| is looked at closely.
        """
        near = abs(point) <= 30
        for digits in (20, 150):
            sizes = []
            for dps in (digits, 2 * digits):
                with mpmath.workdps(dps):
                    value = abs(self(mpf(point)))
                    sizes.append(mpmath.log(value) if value != 0 and mpmath.isfinite(value) else None)
            first, second = sizes
            if first is not None and second is not None and abs(first - second) <= 1e-3 * max(1, abs(second)):
                return second
            if first is None and second is None and not (near and seen):
                return None
        return None


def _check_finite(act: Activation, formula: Expr, function: _Numeric) -> None:
    for point in _probes(formula):
        try:
            value = function(point)
        except _TooLarge:
            continue
        if not mpmath.isfinite(value) or abs(mpmath.im(value)) > 1e-10 * abs(value):
            raise ValueError(
                f"{_name(act)} is not a finite real number at x = {mpmath.nstr(point, 6)}; an activation must be one "
                "for every real x (write Piecewise where a formula holds on one side, or has a limit, only)."
            )


def _probes(formula: Expr) -> Iterator[mpf]:
    yield mpf(0)
    for point in _special_points(formula):
        yield sympy.N(point, 30)._to_mpmath(100)
    for point in PROBES:
        yield point
        yield -point


def _special_points(formula: Expr) -> list[Expr]:
    """Breakpoints, and real zeros of polynomials in denominators, roots and logarithms."""
    points: list[Expr] = []
    with suppress(NoClosedForm, NotImplementedError):
        points += pieces(formula).breakpoints
    bases = [e.base for e in formula.atoms(Pow) if not e.exp.is_Integer or e.exp.is_negative]
    for base in dict.fromkeys(bases + [e.args[0] for e in formula.atoms(sympy.log)]):
        if base.has(x) and base.is_polynomial(x):
            polynomial = sympy.Poly(base, x)
            if polynomial.domain.is_ZZ or polynomial.domain.is_QQ:
                points += polynomial.real_roots()
    return points


# Growth.


@dataclass(frozen=True)
class _Sample:
    decade: float
    ratio: mpf


def _check_side(act: Activation, formula: Expr, function: _Numeric, side: int) -> None:
    samples: list[_Sample] = []
    try:
        for decade in _decades():
            point = side * mpf(10) ** decade
            size = function.size(point, seen=bool(samples))
            if size is not None:
                samples.append(_Sample(decade, size / point**2))
                if size > HUGE_SLOPE * max(1, abs(point)):
                    raise _refusal(act, side)
    except _TooLarge:
        # Either the function itself grew that fast, or something in it that is outweighed elsewhere.
        if not samples or samples[-1].ratio > 1:
            raise _refusal(act, side) from None
    sups = _suprema(samples)
    if not sups or sups[-1] <= 0 or all(b < FALL * a for a, b in pairwise(sups) if a > 0):
        return
    grows_on = sups[-1] > sups[0] / FALL and sups[0] > 0
    raise _refusal(act, side) if grows_on else _refusal(act, side, _coefficient(formula, sups[-1]))


def _decades() -> Iterator[float]:
    """Logarithms of |x|: few points first, and the last windows closely."""
    start, fine = -0.3, DECADES - 3 * WINDOW
    yield from (start + (fine - start) * k / 40 for k in range(40))
    yield from (fine + 3 * WINDOW * (k + 1) / 90 for k in range(90))


def _suprema(samples: list[_Sample]) -> list[mpf]:
    """sup r over three windows up to the last point at which the function could be evaluated and was not 0."""
    if not samples:
        return []
    end, begin = samples[-1].decade, samples[0].decade
    width = min(WINDOW, (end - begin) / 3)
    windows: list[list[mpf]] = [[], [], []]
    for sample in samples:
        back = int((end - sample.decade) / width) if width else 0
        if back < 3:
            windows[2 - back].append(sample.ratio)
    return [max(some) for some in windows if some]


def _coefficient(formula: Expr, measured: mpf) -> str:
    """The measured coefficient, exactly if it is the one of an exponential in the formula."""
    for node in formula.atoms(exp):
        argument = sympy.expand(node.args[0])
        exact = argument.coeff(x, 2)
        if exact.is_number and exact.is_positive and abs(sympy.N(exact) - float(measured)) < 1e-3 * measured:
            return str(exact)
    return mpmath.nstr(measured, 3)


def _refusal(act: Activation, side: int, coefficient: str = "") -> GrowsTooFast:
    where = "x -> oo" if side > 0 else "x -> -oo"
    if coefficient:
        threshold = sympy.N(1 / sympy.sqrt(2 * sympy.sympify(coefficient)), 4)
        scale = "" if coefficient == "1" else f"{coefficient}*"
        what = f"grows like exp({scale}x**2) as {where}: it has no mean for sigma >= {threshold}"
    else:
        what = f"grows faster than exp(c*x**2) for every c as {where}: it has no mean for any sigma"
    return GrowsTooFast(
        f"{_name(act)} {what}; an activation must grow slower than exp(eps*x**2) for every eps > 0: "
        "bound it with Min, or multiply by a Gaussian factor that outweighs it."
    )


def _name(act: Activation) -> str:
    return str(act.formula) if act.name == "expression" else f"{act.label} = {act.formula}"
