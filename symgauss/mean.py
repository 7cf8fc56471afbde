"""M(mu, sigma) = E σ(mu + sigma Z) by operators; nothing is integrated.

Bases: the means of 1, of the step 1{y > c} and of Φ(αy + β) under N(m, t²) are 1, Φ((m − c)/t) and
Φ((αm + β)/√(1 + α²t²)). A factor y acts as m + t² ∂/∂m. A factor e^{ay − qy²/2} is a Gaussian tilt:

    E[e^{aY − qY²/2} f(Y)] = exp((2a mu + a² sigma² − q mu²)/(2r²))/r · E f(Y′),   r² = 1 + q sigma²,

with Y′ ~ N(m, t²), m = (mu + a sigma²)/r², t = sigma/r. Sines and cosines are tilts by an imaginary a.
Source: our derivation; the operator identity is Stein's lemma, the tilt is completing the square.
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import sympy
from sympy import Dummy, Expr, I, S, exp, sqrt

from symgauss.growth import check_growth
from symgauss.normal import tidy
from symgauss.pieces import NoClosedForm, Pieces, pieces
from symgauss.record import Activation, as_activation
from symgauss.symbols import Phi, mu, phi, sigma, x
from symgauss.terms import Shape, terms

_m = Dummy("m", real=True)
_t = Dummy("t", positive=True)


def gaussian_mean(act: Activation | Expr | str) -> Expr:
    """E σ(Y) for Y ~ N(mu, sigma²), as an expression in `mu`, `sigma` and the activation's symbolic parameters.

    `act` is an Activation, a registered name, or an expression in `x`. Raises `NoClosedForm` with the reason
    when the activation is outside polynomial × exp(quadratic) × {1, step, Φ(affine)}, sin and cos; when it is no
    function with a mean for every sigma, `GrowsTooFast` or ValueError, as `check_growth` does.

    >>> gaussian_mean("relu")
    mu*Phi(mu/sigma) + sigma*phi(mu/sigma)
    """
    found = _mean(as_activation(act))
    if isinstance(found, Exception):
        raise type(found)(*found.args)
    return found


@cache
def _mean(act: Activation) -> Expr | NoClosedForm | ValueError:
    """The mean, or what to raise."""
    try:
        split = pieces(act.formula, act.conditions)
        return tidy(sum(_contributions(split), S.Zero))
    except NoClosedForm as reason:
        return _without_mean(act) or NoClosedForm(f"{act.label}: {reason}")


def _without_mean(act: Activation) -> ValueError | None:
    """Why there is no mean for every sigma; what has a closed form never gets here.

    Symbolic parameters stay unmeasured: which of their values will be used is not known.
    """
    if act.formula.free_symbols - {x}:
        return None
    try:
        check_growth(act)
    except ValueError as refusal:
        return type(refusal)(*refusal.args)
    except (ArithmeticError, AttributeError, NameError, NotImplementedError, TypeError):
        pass  # a function without numbers, which cannot be measured
    return None


def _contributions(split: Pieces) -> Iterator[Expr]:
    """One mean per shape of term, whole-line part and jumps at the breakpoints apart."""
    table: dict[Shape, list[Expr]] = {}
    for i, smooth in enumerate(split.smooth):
        for term in terms(smooth):
            table.setdefault(term.shape, [S.Zero] * len(split.smooth))[i] = term.coefficient
    for shape, heights in table.items():
        jumps = [sympy.expand(b - a) for a, b in pairwise(heights)]
        if any(jumps):
            _refuse_on_half_line(shape)
        # A term that lives on the left only is written with steps to the left: Φ((c − mu)/sigma), no 1 − Φ.
        leftward = heights[-1] == 0 and heights[0] != 0
        if heights[0] != 0 and not leftward:
            yield _on_whole_line(shape, heights[0])
        for point, jump in zip(split.breakpoints, jumps):
            if jump != 0:
                yield (-jump if leftward else jump) * _after_step(shape, point, leftward)


def _refuse_on_half_line(shape: Shape) -> None:
    if shape.gates:
        raise NoClosedForm("Phi times a step needs the bivariate normal distribution function")
    if shape.linear.has(I):
        raise NoClosedForm("sin and cos have closed forms on the whole line only, not between breakpoints")


def _after_step(shape: Shape, point: Expr, leftward: bool) -> Expr:
    """The mean of the shape times 1{y > c}, or 1{y < c}."""
    z = (_m - point) / _t
    u = -z if leftward else z
    p, q = _operators(shape.power, u)
    # The tilt moves the density at c by what the factor is there: e^E φ((m − c)/t) = e^{ac − qc²/2} φ((mu − c)/sigma).
    at_point = exp(shape.linear * point - shape.quadratic * point**2 / 2)
    return _tilt(shape, p) * _weight(shape) * Phi(_tilt_argument(shape, u)) + (
        _tilt(shape, q) * at_point * phi((mu - point) / sigma)
    )


def _on_whole_line(shape: Shape, height: Expr) -> Expr:
    """The mean of height times the shape."""
    if len(shape.gates) > 1:
        raise NoClosedForm("Phi times Phi needs the bivariate normal distribution function")
    if shape.linear.has(I):
        return _wave(shape, height)
    if not shape.gates:
        p, _ = _operators(shape.power, S.Zero)
        return height * _tilt(shape, p) * _weight(shape)
    ((slope, offset),) = shape.gates
    u = (slope * _m + offset) / sqrt(1 + slope**2 * _t**2)
    p, q = _operators(shape.power, u)
    argument = _tilt_argument(shape, u)
    return height * _weight(shape) * (_tilt(shape, p) * Phi(argument) + _tilt(shape, q) * phi(argument))


def _wave(shape: Shape, height: Expr) -> Expr:
    """Twice the real part of a complex term; σ is real, so the other half comes with the conjugate term."""
    if shape.gates:
        raise NoClosedForm("Phi times sin or cos needs Phi of a complex argument")
    if _parts(shape.linear)[1].could_extract_minus_sign():
        return S.Zero
    p, _ = _operators(shape.power, S.Zero)
    size, angle = (part / _square(shape) / 2 for part in _parts(_exponent(shape)))
    real, imaginary = _parts(height * _tilt(shape, p))
    return 2 * exp(sympy.expand(size)) * (real * sympy.cos(angle) - imaginary * sympy.sin(angle))


def _parts(value: Expr) -> tuple[Expr, Expr]:
    """Real and imaginary part of an expression whose symbols are all real."""
    value = sympy.expand(value)
    return value.coeff(I, 0), value.coeff(I, 1)


def _operators(power: int, u: Expr) -> tuple[Expr, Expr]:
    """(P, Q) with (m + t² ∂/∂m)ⁿ Φ(u) = P Φ(u) + Q φ(u), for u affine in m; P is the mean of Yⁿ itself."""
    p, q, slope = S.One, S.Zero, u.diff(_m)
    for _ in range(power):
        p, q = _m * p + _t**2 * p.diff(_m), _m * q + _t**2 * (q.diff(_m) + slope * p - u * slope * q)
        p, q = sympy.expand(p), sympy.expand(q)
    return p, q


def _square(shape: Shape) -> Expr:
    """r² = 1 + q sigma²."""
    return 1 + shape.quadratic * sigma**2


def _exponent(shape: Shape) -> Expr:
    """2 r² E, with E the exponent of the tilt."""
    a, q = shape.linear, shape.quadratic
    return sympy.expand(2 * a * mu + a**2 * sigma**2 - q * mu**2)


def _weight(shape: Shape) -> Expr:
    """e^E, the factor that the tilt leaves behind (1/r apart)."""
    exponent = _exponent(shape) / _square(shape) / 2
    return exp(sympy.expand(exponent) if shape.quadratic == 0 else exponent)


def _tilt(shape: Shape, coefficient: Expr) -> Expr:
    """A coefficient under N(m, t²) in mu and sigma, with the factor 1/r."""
    return _in_mu(shape, coefficient) / sqrt(_square(shape))


def _tilt_argument(shape: Shape, u: Expr) -> Expr:
    """The argument of Φ or φ under N(m, t²) in mu and sigma."""
    return tidy(_in_mu(shape, u)) if shape.quadratic != 0 else _in_mu(shape, u)


def _in_mu(shape: Shape, value: Expr) -> Expr:
    square = _square(shape)
    return value.subs({_m: (mu + shape.linear * sigma**2) / square, _t: sigma / sqrt(square)}, simultaneous=True)
