"""How a kernel evaluates an activation's mean: as a sum of families whose h_k are accurate as they stand.

A plan is the activation taken apart. The sum of its families' means is proved equal to the mean that
`symgauss.prove_mean` has proved, by the same normal form; an activation that does not come apart like this is
refused rather than given a kernel that is right on paper only.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import sympy
from sympy import Expr, I, Poly, S, im, re

from symgauss.codegen.families import (
    Decay,
    Exponential,
    Family,
    GateLadder,
    HalfLines,
    Kinks,
    Polynomial,
    Side,
    StepLadder,
    Wave,
)
from symgauss.codegen.families.kinks import HIGHEST_JUMP
from symgauss.codegen.ladder import Gate, Ladder, width
from symgauss.codegen.statements import UNROLLED
from symgauss.mean import gaussian_mean
from symgauss.normal import is_zero
from symgauss.pieces import Pieces, pieces
from symgauss.proof import Proof, prove_mean
from symgauss.record import Activation
from symgauss.symbols import x
from symgauss.terms import Term, terms


class NoKernel(ValueError):
    """The mean is known, but no evaluation of it is known to be accurate; the message says why."""


@dataclass(frozen=True)
class Plan:
    """σ as a sum of families, with the proof of the mean that their sum equals."""

    activation: Activation
    mean: Expr
    proof: Proof
    split: Pieces
    families: tuple[Family, ...]

    @property
    def smooth(self) -> bool:
        """No breakpoints: the formulas hold at s = 0 too."""
        return not self.split.breakpoints

    @property
    def numbered(self) -> Iterator[tuple[Family, str]]:
        """The families with the suffixes of their names: members of a group are numbered when there are several."""
        counts: dict[str, int] = defaultdict(int)
        for family in self.families:
            counts[family.group] += 1
            several = sum(other.group == family.group for other in self.families) > 1
            yield family, f"_{counts[family.group]}" if several else ""

    @property
    def may_overflow(self) -> bool:
        """Whether a mean can leave double precision although μ and s do not."""
        return any(family.may_overflow for family in self.families)

    @property
    def any_order(self) -> bool:
        """Whether h_k is known in closed form beyond k = 8."""
        return all(family.any_order for family in self.families)


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
    plan = Plan(act, mean, proof, split, _families(act, split))
    if not is_zero(sum((family.expression() for family in plan.families), S.Zero) - mean):
        raise NoKernel(f"{act.name}: the form for evaluation differs from the proved mean.")
    return plan


def _families(act: Activation, split: Pieces) -> tuple[Family, ...]:
    if len(split.breakpoints) > 2:
        raise NoKernel(f"{act.name} has {len(split.breakpoints)} breakpoints; kernels are known for at most two.")
    if not split.breakpoints:
        return _whole_line(act, terms(split.smooth[0]))
    if all(p.is_polynomial(x) for p in split.smooth):
        return _piecewise_polynomial(act, split)
    if len(split.breakpoints) == 2:
        raise NoKernel(f"{act.name} has two breakpoints; a kernel is known if it is polynomial between them.")
    if (half_lines := _half_lines(split)) is not None:
        return (half_lines,)
    ladder = _jump(act, split)
    return (*_whole_line(act, terms(split.smooth[0])), ladder)


def _piecewise_polynomial(act: Activation, split: Pieces) -> tuple[Family, ...]:
    if len(split.breakpoints) == 1 and split.smooth[0] == 0:
        ladder = _jump(act, split)
        # several powers of x − c may cancel right of c, where kinks count from the piece itself
        return (ladder,) if len(ladder.ladder.terms) == 1 else (Kinks(split.breakpoints, split.smooth),)
    if len(split.breakpoints) == 2 and split.smooth[0] == 0 == split.smooth[-1]:
        raise NoKernel(
            f"{act.name} is zero but between {' and '.join(map(str, split.breakpoints))}, where tails cancel."
        )
    for c in split.breakpoints:
        _refuse_high_jump(act, split, c)
    return (Kinks(split.breakpoints, split.smooth),)


def _refuse_high_jump(act: Activation, split: Pieces, c: Expr) -> None:
    i = split.breakpoints.index(c)
    jump = sympy.expand((split.smooth[i + 1] - split.smooth[i]).xreplace({x: x + c}))
    if not jump.is_polynomial(x) or sympy.degree(jump, x) > HIGHEST_JUMP:
        raise NoKernel(f"{act.name}: no accurate evaluation is known for the jump {jump} at {c}.")


def _whole_line(act: Activation, parts: tuple[Term, ...]) -> tuple[Family, ...]:
    polynomial = S.Zero
    waves: dict[Expr, list[Expr]] = defaultdict(lambda: [S.Zero, S.Zero])
    ladders: dict[Gate, Ladder] = {}
    exponentials: list[Family] = []
    for term in parts:
        if not term.gates and term.linear == 0 and term.quadratic == 0:
            polynomial += term.coefficient * x**term.power
        elif not term.gates and term.quadratic == 0 and term.power == 0 and re(term.linear) == 0:
            _add_wave(waves, term)
        elif not term.gates and term.quadratic == 0 and term.power == 0 and im(term.linear) == 0:
            exponentials.append(Exponential(term.coefficient, term.linear))
        elif not sympy.im(term.linear) and len(term.gates) + (term.quadratic != 0) == 1:
            gate, ladder = _gated(term)
            known = ladders.setdefault(gate, Ladder(gate))
            for n, c in ladder.terms.items():
                known.add(n, c)
        else:
            raise NoKernel(f"{act.name}: no accurate evaluation is known for its term {term.expr}.")
    polynomial = sympy.expand(polynomial)
    if polynomial != 0 and sympy.degree(polynomial, x) > UNROLLED:
        raise NoKernel(f"{act.name}: no kernel is unrolled for polynomials of degree above {UNROLLED}.")
    made = [Wave(omega, *map(sympy.simplify, pair)) for omega, pair in waves.items()]
    gates = _gates(tuple(ladders.values()), polynomial, alone=not made and not exponentials)
    return (*gates, *made, *exponentials)


def _gates(ladders: tuple[Ladder, ...], polynomial: Expr, alone: bool) -> tuple[Family, ...]:
    """Polynomial and ladders; c Φ − c/2 becomes c (Φ − ½), which does not cancel."""
    single = alone and len(ladders) == 1 and set(ladders[0].terms) == {0}
    if single and polynomial != 0 and sympy.expand(ladders[0].terms[0] / 2 + polynomial) == 0:
        return (GateLadder(ladders[0], centred=True),)
    first = (Polynomial(polynomial),) if polynomial != 0 else ()
    return (*first, *map(GateLadder, ladders))


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


def _jump(act: Activation, split: Pieces) -> StepLadder:
    """What is added right of the only breakpoint c: Σ q_m (x − c)^m, each m! s^m q_m I_m."""
    (c,) = split.breakpoints
    _refuse_high_jump(act, split, c)
    jump = sympy.expand((split.smooth[1] - split.smooth[0]).xreplace({x: x + c}))
    ladder = Ladder(Gate(S.One, -c, smooth=False))
    for (m,), q in Poly(jump, x).terms():
        ladder.add(m, q * sympy.factorial(m) * width**m)
    return StepLadder(ladder)


def _half_lines(split: Pieces) -> HalfLines | None:
    """Lines and decaying exponentials on both sides of the only breakpoint, when it is that."""
    (c,) = split.breakpoints
    sides = [_side(terms(p.xreplace({x: x + c})), side) for p, side in zip(split.smooth, (-1, 1))]
    left, right = sides
    if left is None or right is None:
        return None
    # e^{−rate|t|} − 1 next to nothing: far out on the side of nothing, its tail would cancel
    if (left.grounded and right == Side()) or (right.grounded and left == Side()):
        return None
    return HalfLines(c, left, right)


def _side(parts: tuple[Term, ...], side: int) -> Side | None:
    lines = {0: S.Zero, 1: S.Zero}
    decays: dict[Expr, list[Expr]] = defaultdict(lambda: [S.Zero, S.Zero])
    for term in parts:
        rate = -side * term.linear
        if term.gates or term.quadratic != 0 or term.power > 1 or im(term.linear) != 0:
            return None
        if rate == 0:
            lines[term.power] += term.coefficient
        elif rate.is_positive:
            decays[rate][term.power] += term.coefficient
        else:
            return None
    return Side(lines[0], lines[1], tuple(Decay(b[0], rate, b[1]) for rate, b in decays.items()))
