"""A quadrature rule is put to the test before it is emitted: against the definition, in high precision.

The definition is summed by the trapezoidal rule on a grid that is finer than the rule's by far and as wide as
anything counts; for analytic functions it converges exponentially, so that half as fine a grid would do. What
is checked is what the rule leaves out (nodes, switches, cut-offs), over both regimes and out to where the mass
sits in a tail; what rounding adds is bounded by the tests of the kernels.
"""

from collections.abc import Iterator
from typing import Any

import mpmath
import sympy

from symgauss.codegen.plan import NoKernel
from symgauss.codegen.quadrature import Rule
from symgauss.symbols import Phi, mu, phi, sigma, x

# What may be left out, relative to E[|σ|(|He_k| + k|He_{k−1}|)]; kernels are held to 1e-14.
LEFT_OUT = 4e-15
ORDER = 2
# More digits where 1 + tanh or log(1 + e^y) loses them to the tail.
DIGITS, BLEND_DIGITS = 40, 200
# Standard deviations in units of the switch, and means: fixed, and where the tail's mass moves away from them.
_WIDTHS = (0.1, 0.7, 0.999, 1.0, 1.7, 6.0)
_MEANS = (0.0, 0.4, -1.3)
_FAR = (-6.0, -14.0)


class RuleTooCoarse(NoKernel):
    """A rule leaves out too much; with more nodes it may not."""


def check(rule: Rule) -> float:
    """The worst relative error over the places, of h_0, h_1, h_2 or (wide) of h_0; `NoKernel` when it is too large."""
    function = sympy.lambdify(x, rule.pointwise.activation.formula, "mpmath")
    closed = _closed_form(rule)
    worst = 0.0
    for mean, std in _places(rule):
        with mpmath.workdps(BLEND_DIGITS if rule.falls is not None else DIGITS + int(-mean) if mean < 0 else DIGITS):
            true, size = _definition(function, mean, std, rule)
            found = _narrow(rule, function, mean, std) if std < rule.switch else _wide(rule, closed, mean, std)
            worst = max(worst, *(float(abs(a - b) / d) for a, b, d in zip(found, true, size)))
        if not worst <= LEFT_OUT:
            raise RuleTooCoarse(
                f"{rule.activation.name}: a quadrature rule misses {worst:.1e} of its size at mean {mean:g}, "
                f"std {std:g}."
            )
    return worst


def _places(rule: Rule) -> Iterator[tuple[float, float]]:
    for width in _WIDTHS:
        std = width * rule.switch
        for mean in _MEANS:
            yield mean * max(1.0, std), std
        for far in _FAR if 0.5 < width < 2 else ():
            yield far * max(1.0, std), std


def _closed_form(rule: Rule) -> Any:
    """The mean of A, for mpmath. Its derivatives are exact; what a rule leaves out shows in the mean."""
    mean = sympy.Add(*(family.expression() for family in rule.families))
    modules = [{"Phi": lambda z: mpmath.erfc(-z / mpmath.sqrt(2)) / 2, "phi": mpmath.npdf}, "mpmath"]
    return sympy.lambdify((mu, sigma), mean.replace(Phi, _Phi).replace(phi, _phi), modules)


_Phi, _phi = sympy.Function("Phi"), sympy.Function("phi")


def _hermite(z: Any) -> list[Any]:
    return [mpmath.mpf(1), z, z * z - 1]


def _definition(function: Any, mean: float, std: float, rule: Rule) -> tuple[list[Any], list[Any]]:
    """E[σ(y) He_k(Z)] and E[|σ(y)|(|He_k| + k|He_{k−1}|)]."""
    m, s = mpmath.mpf(mean), mpmath.mpf(std)
    # steps of z that resolve σ's own scale, as far out as a tail may have its mass
    step = min(mpmath.mpf(1) / 3, mpmath.mpf(rule.switch) / 3 / s)
    reach = 12 + min(26, -m / s) if m < 0 else mpmath.mpf(12)
    true, size = [mpmath.mpf(0)] * (ORDER + 1), [mpmath.mpf(0)] * (ORDER + 1)
    for j in range(-int(12 / step), int(reach / step) + 1):
        z = j * step
        weight = step * mpmath.npdf(z)
        value = weight * function(m + s * z)
        he = _hermite(z)
        for k in range(ORDER + 1):
            true[k] += value * he[k]
            size[k] += abs(value) * (abs(he[k]) + (k * abs(he[k - 1]) if k else 0))
    return true, size


def _narrow(rule: Rule, function: Any, mean: float, std: float) -> list[Any]:
    total = [mpmath.mpf(0)] * (ORDER + 1)
    centre = _peak(rule, mean, std)
    for j in range(-rule.count, rule.count + 1):
        z = (centre + j) * mpmath.mpf(rule.step)
        value = rule.step * mpmath.npdf(z) * function(mpmath.mpf(mean) + mpmath.mpf(std) * z)
        total = [t + value * he for t, he in zip(total, _hermite(z))]
    return total


def _peak(rule: Rule, mean: float, std: float) -> int:
    """Which node the narrow rule is centred on, by bisection."""
    if rule.falls is None or mean >= 0:
        return 0
    slope = sympy.lambdify(x, sympy.diff(rule.falls, x), "mpmath")
    low, high = 0.0, -mean / std
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if middle < std * slope(-mean - std * middle) else (low, middle)
    return round(low / rule.step)


def _wide(rule: Rule, closed: Any, mean: float, std: float) -> list[Any]:
    m, s = mpmath.mpf(mean), mpmath.mpf(std)
    with mpmath.workdps(2 * DIGITS + int(abs(m / s) ** 2 / 4)):
        total = closed(m, s)
    for y, weight in zip(rule.nodes, rule.weights):
        total += mpmath.mpf(weight) * mpmath.npdf((mpmath.mpf(y) - m) / s) / s
    return [total]
