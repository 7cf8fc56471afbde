"""Fixed-cost quadrature for smooth activations that have no closed form.

Two regimes, told apart by s alone. With d the distance of σ's nearest complex singularity from the real line and
λ the rate of its exponential tails:

    narrow  s < d/π: the trapezoidal rule in z, h_k = Σ_j w_j σ(μ + s z_j) He_k(z_j), which converges like
            e^{−2πd/(s·step)}; g_k likewise from σ^(k)
    wide    s ≥ d/π: σ = A + r. A is σ's asymptotes and the first J exponentials of either tail, in closed form; r
            decays like e^{−(J+1)λ|y|}, so that Gauss-Legendre nodes on λ|y| ≤ 10 see all of it, and it need not
            be evaluated: r(y_j) is a constant

Why J > 0: for μ ≪ 0 and wide s the mass sits at the tilted peak μ + λs², far outside any fixed panel. There A is
exact, and r contributes nothing that counts. A Gaussian-like tail (tanh-GELU) has no such peaks: there A blends
the asymptotes by Φ(κy), and r, entire around the real line, is summed by the trapezoidal rule in y.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import sympy
from sympy import Expr, Poly, S

from symgauss.codegen.families import Decay, Family, GateLadder, HalfLines, Polynomial, Side
from symgauss.codegen.ladder import Gate, Ladder
from symgauss.codegen.plan import NoKernel
from symgauss.codegen.pointwise import Composed, Pointwise
from symgauss.record import Activation
from symgauss.symbols import Phi, x
from symgauss.tails import Tail, pole_distance, v

# Exponentials of each tail in closed form, where the rest is cut off (in 1/λ), and nodes per half-line for s = 1/λ.
EXPONENTIALS, REACH, NODES = 4, 10, 32
# More nodes than that are no bargain any more.
MOST_NODES = 120
# The trapezoidal rule in z, for s up to d/π: e^{−2πd/(s·step)} and e^{−2π²/step²} are below 1e-18.
STEP, COUNT = 0.4, 26
# The same for σ^(k), whose singularities are stronger.
FINE_STEP, FINE_COUNT = 0.3, 35
# The blend: Φ(κy), the trapezoidal rule in y, and where r is below 1e-17 or beneath anything that counts.
KAPPA, BLEND_STEP, BLEND_FROM, BLEND_TO = sympy.Rational(3, 2), sympy.Rational(3, 10), -68, 68
BLEND_SWITCH = 0.8
# Beyond this node the remainder is below 1e-20, and counts only in derivatives, where nothing larger is left.
BLEND_COUNTS_TO = 30
# All of the line on which φ is a number: the tails of derivatives may have their mass anywhere on it.
FARTHEST_COUNT = 131
# 1 + tanh loses as many digits as the remainder is small: 280 at the outermost node of a blend.
DIGITS, BLEND_DIGITS = 50, 330


@dataclass(frozen=True)
class Rule:
    """The constants of a quadrature kernel."""

    pointwise: Pointwise
    reason: str
    # A
    families: tuple[Family, ...]
    nodes: tuple[float, ...]
    weights: tuple[float, ...]
    switch: float
    step: float
    count: int
    about: str
    # how many of the nodes h_k needs; g_k needs all
    counting: int
    # log|σ| is about −rate·p(|x|) for μ < 0: where the narrow rule finds its mass, if that is not around μ
    falls: Expr | None = None
    # the largest relative error that its check found
    left_out: float = float("nan")

    @property
    def activation(self) -> Activation:
        return self.pointwise.activation


def make_rule(act: Activation, reason: str, fineness: float = 1.0) -> Rule:
    """The rule for a smooth activation without parameters, `reason` being why it has no closed form.

    `fineness` multiplies the nodes, for singularities stronger than the usual simple poles. Raises `NoKernel` when
    σ has neither exponential nor Gaussian-like tails beside straight asymptotes.
    """
    if act.formula.free_symbols - {x}:
        raise NoKernel(f"{act.name}: quadrature rules are made for fixed parameter values only.")
    pointwise = Pointwise(act)
    if pointwise.split.breakpoints:
        raise NoKernel(f"{act.name} is not smooth at {pointwise.split.breakpoints[0]}.")
    if pointwise.tails is None:
        raise NoKernel(f"{act.name}: no function of exponentials whose tails are known.")
    if isinstance(pointwise.tails[0], Composed):
        return _with_blend(pointwise, reason)
    return _with_exponentials(pointwise, reason, fineness)


def _with_exponentials(pointwise: Pointwise, reason: str, fineness: float) -> Rule:
    assert pointwise.tails is not None
    name = pointwise.activation.name
    distance = min(float(pole_distance(tail)) for tail in pointwise.tails)
    if not distance < mpmath.inf:
        raise NoKernel(f"{name}: no singularity to tell a scale from.")
    switch = distance / float(mpmath.pi)
    sides, nodes, weights = [], [], []
    for tail in pointwise.tails:
        sides.append(_side(name, tail))
        y, r = _remainder_nodes(tail, switch, fineness)
        nodes += y
        weights += r
    half_lines = HalfLines(S.Zero, sides[0], sides[1], wide=True)
    about = (
        f"wide: {EXPONENTIALS} exponentials of each tail in closed form, {len(nodes)} Gauss-Legendre nodes for the "
        f"rest; narrow, sigma < {switch:.4g}: trapezoidal rule with {2 * round(COUNT * fineness) + 1} nodes"
    )
    return Rule(
        pointwise,
        reason,
        (half_lines,),
        tuple(nodes),
        tuple(weights),
        switch,
        STEP / fineness,
        round(COUNT * fineness),
        about,
        len(nodes),
    )


def _side(name: str, tail: Tail) -> Side:
    """Asymptote and first exponentials of a half-line."""
    constant, slope = _line(name, tail.asymptote)
    decays = []
    for j in range(1, EXPONENTIALS + 1):
        height, tilt = _line(name, tail.term(j))
        if height != 0 or tilt != 0:
            decays.append(Decay(height, j * tail.rate, tilt))
    return Side(constant, slope, tuple(decays))


def _line(name: str, polynomial: Expr) -> tuple[Expr, Expr]:
    coefficients = Poly(polynomial, x).all_coeffs()[::-1]
    if len(coefficients) > 2:
        raise NoKernel(f"{name}: a tail with the factor {polynomial}; half-lines are known for straight ones.")
    return coefficients[0], coefficients[1] if len(coefficients) > 1 else S.Zero


def _remainder_nodes(tail: Tail, switch: float, fineness: float) -> tuple[list[float], list[float]]:
    """Nodes y_j and w_j r(y_j), r being F less its asymptote and first exponentials, to 1e-17 of each other."""
    rate = float(tail.rate)
    reach = REACH / rate
    count = round(fineness * max(NODES, NODES * reach / (10 * switch)))
    if count > MOST_NODES:
        raise NoKernel(f"a singularity so near the real line would take {2 * count} nodes")
    remainder = tail.function - tail.asymptote
    for j in range(1, EXPONENTIALS + 1):
        remainder -= tail.term(j) * v**j
    function = sympy.lambdify((x, v), remainder, "mpmath")
    nodes, weights = [], []
    with mpmath.workdps(DIGITS):
        exact_rate = mpmath.mpf(str(tail.rate.evalf(DIGITS)))
        for t, w in _legendre(count):
            # the node is the double that the kernel will use
            y = mpmath.mpf(float(tail.side * reach * (1 + t) / 2))
            r = function(y, mpmath.exp(-exact_rate * abs(y)))
            nodes.append(float(y))
            weights.append(float(r * w * reach / 2))
    return nodes, weights


def _legendre(count: int) -> list[tuple[Any, Any]]:
    """Nodes and weights of Gauss-Legendre on [−1, 1], by Newton's method from Chebyshev's points."""
    found = []
    for i in range(count):
        t, slope = mpmath.cos(mpmath.pi * (i + mpmath.mpf(3) / 4) / (count + mpmath.mpf(1) / 2)), mpmath.mpf(1)
        for _ in range(8):
            p, before = mpmath.mpf(1), mpmath.mpf(0)
            for n in range(count):
                p, before = ((2 * n + 1) * t * p - n * before) / (n + 1), p
            slope = count * (t * p - before) / (t * t - 1)
            t -= p / slope
        found.append((t, 2 / ((1 - t * t) * slope * slope)))
    return found[::-1]


def _with_blend(pointwise: Pointwise, reason: str) -> Rule:
    """A = left asymptote + (right − left asymptote) Φ(κy), and r = σ − A on a grid."""
    assert pointwise.tails is not None
    tail = pointwise.tails[0]
    assert isinstance(tail, Composed)
    act = pointwise.activation
    function = sympy.lambdify(x, act.formula, "mpmath")
    with mpmath.workdps(BLEND_DIGITS):
        left, right = (_straight(act.name, function, side) for side in (-1, 1))
        jump = sympy.expand(right - left)
        blend = sympy.lambdify(x, left + jump * Phi(KAPPA * x).rewrite(sympy.erf), "mpmath")
        nodes, weights = [], []
        for j in range(BLEND_FROM, BLEND_TO + 1):
            y = mpmath.mpf(float(j * BLEND_STEP))
            nodes.append(float(y))
            weights.append(float((function(y) - blend(y)) * BLEND_STEP.p / BLEND_STEP.q))
    merged = _blended(jump)
    families: list[Family] = [Polynomial(left)] if left != 0 else []
    if merged.terms:
        families.append(GateLadder(merged, exact=True))
    about = (
        f"wide: the asymptotes blended by Phi({KAPPA}*x) in closed form, {len(nodes)} nodes of the trapezoidal rule "
        f"for the rest; narrow, sigma < {BLEND_SWITCH}: trapezoidal rule with {2 * COUNT + 1} nodes"
    )
    return Rule(
        pointwise,
        reason,
        tuple(families),
        tuple(nodes),
        tuple(weights),
        BLEND_SWITCH,
        STEP,
        COUNT,
        about,
        BLEND_COUNTS_TO - BLEND_FROM + 1,
        falls=tail.rate * tail.inner,
    )


def _blended(jump: Expr) -> Ladder:
    """The mean of (c_0 + c_1 y) Φ(κy)."""
    total = Ladder(Gate(KAPPA, S.Zero, smooth=True))
    for (power,), c in Poly(jump, x).terms():
        part = Ladder(total.gate, {0: c})
        for _ in range(power):
            part = part.times_y()
        for n, height in part.terms.items():
            total.add(n, height)
    return total


def _straight(name: str, function: Callable[[Any], Any], side: int) -> Expr:
    """The straight asymptote on a side, reached faster than by any exponential; or NoKernel."""
    far = [mpmath.mpf(side * t) for t in (24, 30, 40)]
    try:
        values = [mpmath.mpf(function(t)) for t in far]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        raise NoKernel(f"{name}: it has no value at {side * 24}.") from None
    slope = sympy.nsimplify(sympy.Float(str((values[1] - values[0]) / (far[1] - far[0])), 40), rational=True)
    constant = sympy.nsimplify(sympy.Float(str(values[0] - far[0] * slope.p / slope.q), 40), rational=True)
    if max(slope.q, constant.q) > 10**6 or any(
        abs(value - (slope.p * t / slope.q + mpmath.mpf(constant.p) / constant.q)) > mpmath.mpf(10) ** -40
        for t, value in zip(far, values)
    ):
        raise NoKernel(f"{name}: no straight asymptote that it reaches faster than exponentially.")
    return constant + slope * x
