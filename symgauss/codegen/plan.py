"""How a kernel evaluates an activation's mean: polynomial, waves, ladders and kinks.

A plan is the activation taken apart into families whose h_k are accurate as they stand. Its sum is proved
equal to the mean that `symgauss.prove_mean` has proved, by the same normal form; an activation that does not
come apart like this is refused rather than given a kernel that is right on paper only.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import sympy
from sympy import Expr, I, Poly, S, im, re

from symgauss.codegen.ladder import Gate, Ladder, step, width
from symgauss.mean import gaussian_mean
from symgauss.normal import is_zero
from symgauss.pieces import Pieces, pieces
from symgauss.proof import Proof, prove_mean
from symgauss.record import Activation
from symgauss.symbols import mu, sigma, x
from symgauss.terms import Term, terms


class NoKernel(ValueError):
    """The mean is known, but no evaluation of it is known to be accurate; the message says why."""


@dataclass(frozen=True)
class Wave:
    """a sin(ωx) + b cos(ωx)."""

    omega: Expr
    sine: Expr
    cosine: Expr


@dataclass(frozen=True)
class Kinks:
    """A continuous, piecewise linear function with one breakpoint, or two: a ≤ b."""

    breakpoints: tuple[Expr, ...]
    smooth: tuple[Expr, ...]

    @property
    def slopes(self) -> tuple[Expr, ...]:
        return tuple(sympy.diff(p, x) for p in self.smooth)

    @property
    def jumps(self) -> tuple[Expr, ...]:
        """How much the slope increases at each breakpoint."""
        return tuple(sympy.expand(right - left) for left, right in pairwise(self.slopes))

    def expression(self) -> Expr:
        """p_0(μ) + s Σ q_j I_1((μ − c_j)/s)."""
        tails = (q * sigma * step(1, (mu - c) / sigma) for c, q in zip(self.breakpoints, self.jumps))
        return self.smooth[0].xreplace({x: mu}) + sum(tails, S.Zero)


@dataclass(frozen=True)
class Plan:
    """σ = polynomial + waves + ladders + kinks, with the proof of the mean that their sum equals."""

    activation: Activation
    mean: Expr
    proof: Proof
    split: Pieces
    polynomial: Expr
    waves: tuple[Wave, ...]
    ladders: tuple[Ladder, ...]
    kinks: Kinks | None

    @property
    def smooth(self) -> bool:
        """No breakpoints: the formulas hold at s = 0 too."""
        return not self.split.breakpoints


def make_plan(act: Activation) -> Plan:
    """The plan for an activation, parameters kept symbolic.

    Raises `NoKernel` when the mean is not proved or no accurate evaluation is known, `NoClosedForm` when
    there is no mean in closed form.
    """
    act = act.symbolic
    mean = gaussian_mean(act)
    proof = prove_mean(act)
    if not proof.holds:
        raise NoKernel(f"{act.name}: its mean is {proof.status}, not proved; no kernel is generated from it.")
    split = pieces(act.expr, act.requires)
    polynomial, waves, ladders, kinks = S.Zero, (), (), None
    if len(split.breakpoints) > 2:
        raise NoKernel(f"{act.name} has {len(split.breakpoints)} breakpoints; kernels are known for at most two.")
    if (_is_kinked_line(split) and split.smooth[0] != 0) or len(split.breakpoints) == 2:
        kinks = _kinks(act, split)
    else:
        polynomial, waves, ladders = _whole_line(act, terms(split.smooth[0]))
        if split.breakpoints:
            ladders = (*ladders, _jump(act, split))
    plan = Plan(act, mean, proof, split, polynomial, waves, ladders, kinks)
    if not is_zero(_total(plan) - mean):
        raise NoKernel(f"{act.name}: the form for evaluation differs from the proved mean.")
    return plan


def polynomial_mean(polynomial: Expr) -> Expr:
    """E p(μ + sZ) = Σ_j s^{2j} p^{(2j)}(μ)/(2^j j!)."""
    at_mu = polynomial.xreplace({x: mu})
    total, term, j = S.Zero, at_mu, 0
    while term != 0:
        total, j = total + term, j + 1
        term = sympy.expand(sigma**2 * sympy.diff(term, mu, 2) / (2 * j))
    return sympy.expand(total)


def _total(plan: Plan) -> Expr:
    waves = sum(
        (
            sympy.exp(-(w.omega**2) * sigma**2 / 2)
            * (w.sine * sympy.sin(w.omega * mu) + w.cosine * sympy.cos(w.omega * mu))
            for w in plan.waves
        ),
        S.Zero,
    )
    ladders = sum((ladder.expression() for ladder in plan.ladders), S.Zero)
    kinks = plan.kinks.expression() if plan.kinks else S.Zero
    return polynomial_mean(plan.polynomial) + waves + ladders + kinks


def _whole_line(act: Activation, parts: tuple[Term, ...]) -> tuple[Expr, tuple[Wave, ...], tuple[Ladder, ...]]:
    polynomial = S.Zero
    waves: dict[Expr, list[Expr]] = defaultdict(lambda: [S.Zero, S.Zero])
    ladders: dict[Gate, Ladder] = {}
    for term in parts:
        if not term.gates and term.linear == 0 and term.quadratic == 0:
            polynomial += term.coefficient * x**term.power
        elif not term.gates and term.quadratic == 0 and term.power == 0 and re(term.linear) == 0:
            _add_wave(waves, term)
        elif not sympy.im(term.linear) and len(term.gates) + (term.quadratic != 0) == 1:
            gate, ladder = _gated(term)
            known = ladders.setdefault(gate, Ladder(gate))
            for n, c in ladder.terms.items():
                known.add(n, c)
        else:
            raise NoKernel(f"{act.name}: no accurate evaluation is known for its term {term.expr}.")
    made = tuple(Wave(omega, *map(sympy.simplify, pair)) for omega, pair in waves.items())
    return sympy.expand(polynomial), made, tuple(ladders.values())


def _add_wave(waves: dict[Expr, list[Expr]], term: Term) -> None:
    """c e^{iωx}; with its complex conjugate it makes 2 Re(c) cos ωx − 2 Im(c) sin ωx."""
    omega = im(term.linear)
    flip = -1 if omega.is_negative else 1
    pair = waves[flip * omega]
    pair[0] += sympy.expand(I * flip * term.coefficient)
    pair[1] += term.coefficient


def _gated(term: Term) -> tuple[Gate, Ladder]:
    """A term with one factor Φ(αx + β), or with a Gaussian factor, which is √(2π) e^{…} φ(αx + β)."""
    if term.gates:
        ((alpha, beta),) = term.gates
        if term.linear != 0 or term.power > 1:
            raise NoKernel(f"no accurate evaluation is known for the term {term.expr}.")
        start, coefficient = 0, term.coefficient
    else:
        alpha = sympy.sqrt(term.quadratic)
        beta = -term.linear / alpha
        start = -1
        coefficient = term.coefficient * sympy.sqrt(2 * sympy.pi) * sympy.exp(beta**2 / 2) / width
    gate = Gate(alpha, beta, smooth=True)
    ladder = Ladder(gate, {start: coefficient})
    for _ in range(term.power):
        ladder = ladder.times_y()
    return gate, ladder


def _jump(act: Activation, split: Pieces) -> Ladder:
    """What is added right of the only breakpoint c: Σ q_m (x − c)^m, each m! s^m q_m I_m."""
    (c,) = split.breakpoints
    jump = sympy.expand((split.smooth[1] - split.smooth[0]).xreplace({x: x + c}))
    if not jump.is_polynomial(x) or sympy.degree(jump, x) > 2:
        raise NoKernel(f"{act.name}: no accurate evaluation is known for the jump {jump} at {c}.")
    ladder = Ladder(Gate(S.One, -c, smooth=False))
    for (m,), q in Poly(jump, x).terms():
        ladder.add(m, q * sympy.factorial(m) * width**m)
    return ladder


def _is_kinked_line(split: Pieces) -> bool:
    """Whether the function is continuous and linear between its breakpoints, of which there are some."""
    linear = all(p.is_polynomial(x) and sympy.degree(p, x) <= 1 for p in split.smooth)
    steps = zip(pairwise(split.smooth), split.breakpoints)
    return (
        linear
        and bool(split.breakpoints)
        and all(sympy.expand((right - left).xreplace({x: c})) == 0 for (left, right), c in steps)
    )


def _kinks(act: Activation, split: Pieces) -> Kinks:
    if not _is_kinked_line(split):
        raise NoKernel(f"{act.name} has two breakpoints; a kernel is known if it is continuous and linear between.")
    return Kinks(split.breakpoints, split.smooth)
