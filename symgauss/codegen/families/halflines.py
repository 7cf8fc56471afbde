"""Lines and decaying exponentials on both sides of one breakpoint: ELU and its relatives, and tails.

With t = x − c, u = (μ − c)/s and a = λs, everything comes from the moments of one half-line,

    P_k = E[e^{λt} 1{t < 0} He_k(Z)],   R_k = E[(t/s) e^{λt} 1{t < 0} He_k(Z)],

which `numeric/halflines.py` evaluates without cancellation. Two forms of h_k are emitted. For narrow s the
derivatives of σ are integrated: with J_i the jump of σ^(i) at c,

    h_k = J_0 Φ^(k)(u) + J_1 s Φ^(k−1)(u) + s² E[σ″(y) He_{k−2}(Z)],

so that what is smooth at c stays small with s. For wide s that would cancel, and h_k is summed term by term.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import sympy
from sympy import Expr, S, Symbol

from symgauss.codegen.ladder import step
from symgauss.codegen.statements import UNROLLED, Beyond, Body, bounded, choose, over_sigma
from symgauss.codegen.vocabulary import lower
from symgauss.symbols import Phi, mu, phi, sigma


@dataclass(frozen=True)
class Decay:
    """(height + slope·t) e^{−rate·|t|}."""

    height: Expr
    rate: Expr
    slope: Expr = S.Zero

    def derivative(self, side: int) -> "Decay":
        """d/dt on the left (side −1) or on the right (side 1)."""
        growth = -side * self.rate
        return Decay(sympy.expand(self.slope + growth * self.height), self.rate, sympy.expand(growth * self.slope))


@dataclass(frozen=True)
class Side:
    """constant + slope·t + decays, on one side of the breakpoint."""

    constant: Expr = S.Zero
    slope: Expr = S.Zero
    decays: tuple[Decay, ...] = field(default=())

    @property
    def grounded(self) -> bool:
        """Whether e^{−rate|t|} − 1 is what is small near the breakpoint: ELU's case."""
        return self.constant != 0

    @property
    def base(self) -> Expr:
        """The constant to which e^{−rate|t|} − 1 (or e^{−rate|t|}) is added."""
        heights = sum((d.height for d in self.decays), S.Zero) if self.grounded else S.Zero
        return sympy.expand(self.constant + heights)

    def limit(self, side: int, order: int) -> Expr:
        """The derivative of this order at the breakpoint, 0 or 1."""
        total = self.constant if order == 0 else self.slope
        for decay in self.decays:
            total += (decay if order == 0 else decay.derivative(side)).height
        return sympy.expand(total)


@dataclass(frozen=True)
class HalfLines:
    """One side left of `point` and one right of it; `wide` says that only wide s will be asked for."""

    point: Expr
    left: Side
    right: Side
    wide: bool = False
    group: ClassVar[str] = "halflines"
    any_order: ClassVar[bool] = False

    @property
    def may_overflow(self) -> bool:
        return False

    def expression(self) -> Expr:
        """The mean as Φ and φ."""
        u = (mu - self.point) / sigma
        total = S.Zero
        for side, part in self._sides():
            # everything is mirrored onto the left: t → −t, u → −u
            w, m = -side * u, -side * (mu - self.point)
            total += part.constant * Phi(-w) + side * part.slope * sigma * step(1, -w)
            for decay in part.decays:
                v = w + decay.rate * sigma
                first = sympy.exp(sympy.expand(decay.rate * m + decay.rate**2 * sigma**2 / 2)) * Phi(-v)
                total += decay.height * first - side * decay.slope * sigma * (v * first - phi(w))
        return total

    def describe(self) -> str:
        rates = ", ".join(dict.fromkeys(str(d.rate) for _, part in self._sides() for d in part.decays))
        return f"half-lines from {self.point} with exponentials of rate {rates}"

    def unrolled(self, body: Body, suffix: str) -> None:  # noqa: ARG002
        self._gaussian_at_the_breakpoint(body)
        for n, (side, decay) in enumerate(self._decays(), 1):
            self._moments(body, n, side, decay)
        wide = [self._wide(body.hermite, k) for k in range(body.order + 1)]
        if self.wide:
            for k in range(body.order + 1):
                body.add(k, wide[k])
            return
        body.say("narrow: the jumps of σ and σ′ at the breakpoint, and σ″ integrated; wide: term by term")
        fastest = [lower(rate) for rate in dict.fromkeys(d.rate for _, d in self._decays())]
        widest = fastest[0] if len(fastest) == 1 else f"max({', '.join(fastest)})"
        body.let("narrow", f"({widest})*sigma < 1.0")
        for k in range(UNROLLED + 1):
            body.let(f"k{k}", f"{self._narrow(body, k)} if narrow else {wide[k]}")
            body.add(k, f"k{k}")

    def beyond(self, more: Beyond, suffix: str) -> None:
        raise NotImplementedError("orders above 8 of half-lines are integrated")

    def _sides(self) -> Iterator[tuple[int, Side]]:
        yield -1, self.left
        yield 1, self.right

    def _decays(self) -> Iterator[tuple[int, Decay]]:
        for side, part in self._sides():
            for decay in part.decays:
                yield side, decay

    def _gaussian_at_the_breakpoint(self, body: Body) -> None:
        body.let("u", bounded(mu - self.point))
        body.say("rounding moved |u| by this much; Φ and φ are taken where it was")
        body.let("moved", f"slip(u, mu, {lower(self.point)}, sigma)")
        if body.hermite or self.wide:
            body.lines.append("Phi, phi_u = Phi_phi(-abs(u))")
            body.let("d1", "phi_u - phi_u*abs(u)*moved")
            body.let("phi", "d1")
        else:
            body.lift("abs(u)")
            body.lines.append("Phi, phi_u = lifted_Phi_phi(-abs(u), lifted)")
            body.let("d1", "phi_u - phi_u*abs(u)*moved")
            body.let("phi", "d1*drop")
        body.let("Phi_u", "Phi - phi*moved")
        body.let("side", "Phi_u if u <= 0.0 else -Phi_u")
        body.let("tail", "phi - (abs(u) + moved)*Phi_u")
        body.derivatives_of_Phi("u", "", UNROLLED)

    def _moments(self, body: Body, n: int, side: int, decay: Decay) -> None:
        """P_k (and R_k) of one exponential; on the right it is mirrored, which turns the sign of odd He_k."""
        where = lower(-side * (mu - self.point))
        names = ", ".join(f"p{k}_{n}" for k in range(body.order + 1))
        low_order = "" if body.order == UNROLLED else f"_{body.order}"
        rate, low = _in_two_parts(decay.rate)
        body.let(f"a_{n}", f"{rate}*sigma")
        body.let(f"rest_{n}", f"tilt_rest({rate}, {low}, {where}, sigma)")
        arguments = f"{'-u' if side > 0 else 'u'}, phi, ({where})/sigma, {rate}*({where}), a_{n}, rest_{n}"
        body.lines.append(f"{names} = half_line{low_order}({arguments})")
        if decay.slope != 0:
            body.lines.append(f"{names.replace('p', 'r')} = half_line_times_t{low_order}({arguments})")

    def _terms(self, k: int, order: int) -> list[Expr]:
        """E[decays^(order) He_k(Z)], with s for every t."""
        found = []
        for n, (side, decay) in enumerate(self._decays(), 1):
            sign = (-side) ** k
            changed = decay
            for _ in range(order):
                changed = changed.derivative(side)
            found.append(sign * changed.height * Symbol(f"p{k}_{n}"))
            # t is mirrored as well
            found.append(-side * sign * changed.slope * sigma * Symbol(f"r{k}_{n}"))
        return found

    def _lines(self, k: int, left: Expr, right: Expr) -> list[str]:
        """h_k of the lines: left + slope·t | right + slope·t."""
        jump, bend = sympy.expand(right - left), sympy.expand(self.right.slope - self.left.slope)
        shifted = mu - self.point
        if k == 0:
            pieces = [left + self.left.slope * shifted, right + self.right.slope * shifted]
            return [choose(pieces, ["u <= 0.0"]), lower(jump * Symbol("side") + bend * sigma * Symbol("tail"))]
        if k == 1:
            slopes = choose([sigma * self.left.slope, sigma * self.right.slope], ["u <= 0.0"])
            return [slopes, lower(jump * Symbol("phi") + bend * sigma * Symbol("side"))]
        lift = "" if self.wide else "*lift"
        return [lower(jump * Symbol(f"d{k}{lift}") + bend * sigma * Symbol(f"d{k - 1}{lift}"))]

    def _wide(self, hermite: bool, k: int) -> str:
        """All terms as they are: nothing is small here."""
        parts = self._lines(k, self.left.constant, self.right.constant)
        drop = "*drop" if not hermite and not self.wide else ""
        parts = [part.replace("*lift", drop) for part in parts]
        total = _sum([*parts, *map(lower, self._terms(k, order=0))])
        return total if hermite or k == 0 else over_sigma(total, k)

    def _narrow(self, body: Body, k: int) -> str:
        """The jumps of σ and σ′, and what is integrated of σ, σ′ or σ″."""
        if k == 0:
            return _sum([*self._lines(0, self.left.base, self.right.base), *self._grounded_terms()])
        jump, bend = (sympy.expand(self.right.limit(1, i) - self.left.limit(-1, i)) for i in (0, 1))
        if k == 1:
            slopes = choose([self.left.slope, self.right.slope], ["u <= 0.0"])
            on_side = lower((self.right.slope - self.left.slope) * Symbol("side"))
            inside = _sum([slopes, on_side, *map(lower, self._terms(0, order=1))])
            step_part = lower(jump * Symbol("phi"))
            if body.hermite:
                return _sum([f"sigma*({inside})", step_part])
            return _sum([f"({inside})", over_sigma(step_part, 1)])
        smooth = lower(sympy.Add(*self._terms(k - 2, order=2)))
        kinked = lower(bend * Symbol(f"d{k - 1}"))
        jumped = lower(jump * Symbol(f"d{k}"))
        if body.hermite:
            squared = "sigma**2*" if smooth != "0" else ""
            return _sum([f"{squared}({smooth})", _times("sigma*", kinked), jumped])
        parts = [over_sigma(jumped, k), over_sigma(kinked, k - 1)]
        dropped = [f"{part}*drop" if part != "0" else part for part in parts]
        return _sum([over_sigma(f"({smooth})", k - 2), *dropped])

    def _grounded_terms(self) -> Iterator[str]:
        """e^{−rate|t|} − 1 where a constant stands against it, else e^{−rate|t|}."""
        for n, (side, decay) in enumerate(self._decays(), 1):
            part = self.left if side < 0 else self.right
            where = lower(-side * (mu - self.point))
            u = "-u" if side > 0 else "u"
            value = (
                f"half_line_less_one({u}, {_in_two_parts(decay.rate)[0]}*({where}), a_{n})"
                if part.grounded
                else f"p0_{n}"
            )
            yield _times(f"({lower(decay.height)})*", value) if decay.height != 0 else "0"
            if decay.slope != 0:
                yield f"({lower(-side * decay.slope * sigma)})*r0_{n}"


def _in_two_parts(rate: Expr) -> tuple[str, str]:
    """The rate as a double and what that double leaves out."""
    if not rate.is_Rational:
        return f"({lower(rate)})", "0.0"
    nearest = float(rate)
    return repr(nearest), repr(float(rate - sympy.Rational(nearest)))


def _times(factor: str, value: str) -> str:
    return value if value == "0" else f"{factor}({value})"


def _sum(parts: list[str]) -> str:
    kept = [part for part in parts if part not in ("0", "(0)")]
    return " + ".join(kept) or "0.0"
