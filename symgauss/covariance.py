"""E[σ(Y₁) τ(Y₂)] for Y₁ ~ N(mu_1, sigma_1²) and Y₂ ~ N(mu_2, sigma_2²) with correlation rho; nothing is integrated.

Activations are sums of polynomials times factors e^{ay − qy²/2} × {1, step, Φ(affine)}. The exponentials of two factors
are a tilt of the Gaussian pair, their gates give Φ₂, and polynomials are operators on that. Sines and cosines are tilts
by an imaginary a. Source: our derivation, derivations/price.md; Stein's lemma, and Plackett (1954) for Φ₂.
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import sympy
from sympy import Expr, I, Integer, S, exp, sqrt

from symgauss.gates import Factor, Pair, Polynomial
from symgauss.law import Law, Tilt
from symgauss.mean import gaussian_mean
from symgauss.pieces import NoClosedForm, pieces
from symgauss.record import Activation, as_activation
from symgauss.symbols import mu_1, mu_2, rho, sigma_1, sigma_2
from symgauss.terms import Shape, terms

SYMBOLS = (mu_1, sigma_1, mu_2, sigma_2, rho)


def gaussian_covariance(act: Activation | Expr | str, other: Activation | Expr | str | None = None) -> Expr:
    """E[σ(Y₁) τ(Y₂)], uncentred, in `mu_1`, `sigma_1`, `mu_2`, `sigma_2`, `rho` and the symbolic parameters.

    `act` is σ, `other` is τ, by default the same: an Activation, a registered name, or an expression in `x`. Valid for
    −1 < rho < 1; at ±1 it is the limit. Raises `NoClosedForm` with the reason when one of them has no closed mean, or
    when the pair takes more than Φ₂ (sin and cos times a step or Φ); `GrowsTooFast` or ValueError as `gaussian_mean`
    does; ValueError when a parameter has the name of one of the five symbols.

    >>> gaussian_covariance("step")
    Phi2(mu_1/sigma_1, mu_2/sigma_2, rho)
    """
    left = as_activation(act)
    found = _covariance(left, left if other is None else as_activation(other))
    if isinstance(found, Exception):
        raise type(found)(*found.args)
    return found


@cache
def _covariance(left: Activation, right: Activation) -> Expr | NoClosedForm | ValueError:
    """The formula, or what to raise."""
    try:
        for act in (left, right):
            _refuse_names(act)
            gaussian_mean(act)  # what has no closed mean has no closed covariance, and knows why
        return sympy.Add(*_contributions(_factors(left), _factors(right)))
    except ValueError as refusal:
        return refusal
    except NoClosedForm as reason:
        name = left.label if left == right else f"{left.label} and {right.label}"
        told = str(reason)
        return NoClosedForm(told if told.startswith((f"{left.label}: ", f"{right.label}: ")) else f"{name}: {told}")


def _refuse_names(act: Activation) -> None:
    taken = sorted(str(s) for s in act.formula.free_symbols & set(SYMBOLS))
    if taken:
        raise ValueError(
            f"{act.label}: the parameter {', '.join(taken)} has the name of a symbol of the covariance; "
            f"{', '.join(map(str, SYMBOLS))} are taken, rename the parameter."
        )


Factors = dict[Factor, Polynomial]


def _factors(act: Activation) -> Factors:
    """The activation as a sum of polynomials times factors: whole-line parts and jumps at the breakpoints apart."""
    split = pieces(act.formula, act.conditions)
    table: dict[Shape, list[Expr]] = {}
    for i, smooth in enumerate(split.smooth):
        for term in terms(smooth):
            table.setdefault(term.shape, [S.Zero] * len(split.smooth))[i] = term.coefficient
    found: Factors = {}
    for shape, heights in table.items():
        # A term that lives on the left only is written with steps to the left, no 1 − 1{y > c}.
        leftward = heights[-1] == 0 and heights[0] != 0
        if heights[0] != 0 and not leftward:
            found.setdefault(_on_whole_line(shape), {})[shape.power] = heights[0]
        for point, (a, b) in zip(split.breakpoints, pairwise(heights)):
            jump = sympy.expand(b - a)
            if jump != 0:
                side = Integer(-1 if leftward else 1)
                factor = Factor(shape.linear, shape.quadratic, side, -side * point)
                found.setdefault(factor, {})[shape.power] = side * jump
    return found


def _on_whole_line(shape: Shape) -> Factor:
    if not shape.gates:
        return Factor(shape.linear, shape.quadratic)
    ((slope, offset),) = shape.gates
    return Factor(shape.linear, shape.quadratic, slope, offset, soft=True)


def _contributions(left: Factors, right: Factors) -> Iterator[Expr]:
    """One mean per pair of factors."""
    for f, p in left.items():
        for g, q in right.items():
            if f.linear.has(I) or g.linear.has(I):
                yield _wave(f, p, g, q)
            else:
                pair = Pair(f, g)
                yield Law(pair).written(pair.coefficients(p, q))


def _wave(f: Factor, p: Polynomial, g: Factor, q: Polynomial) -> Expr:
    """Twice the real part of a complex term; the other half comes with the conjugate term."""
    if f.gated or g.gated:
        raise NoClosedForm(
            "sin or cos of one variable times a step or Phi of the other needs Phi of a complex argument"
        )
    frequency = next(w for w in (_parts(factor.linear)[1] for factor in (f, g)) if w != 0)
    if frequency.could_extract_minus_sign():
        return S.Zero
    tilt = Tilt(f, g)
    real, imaginary = _parts(tilt.value(Pair(f, g).coefficients(p, q).total))
    scale = 1 if tilt.straight else 2 * tilt.determinant
    size, angle = (part / scale for part in _parts(tilt.exponent * scale))
    return 2 * exp(size) * (real * sympy.cos(angle) - imaginary * sympy.sin(angle)) / sqrt(tilt.determinant)


def _parts(value: Expr) -> tuple[Expr, Expr]:
    """Real and imaginary part of an expression whose symbols are all real."""
    value = sympy.expand(value)
    return value.coeff(I, 0), value.coeff(I, 1)
