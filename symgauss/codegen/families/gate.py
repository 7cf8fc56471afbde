"""Ladders of Φ: smooth gates Φ(αy + β), their multiples by y, and Gaussian bumps."""

from dataclasses import dataclass
from typing import ClassVar

import sympy
from sympy import Expr, S, Symbol

from symgauss.codegen.ladder import Ladder, width
from symgauss.codegen.statements import UNROLLED, Beyond, Body, verbatim
from symgauss.codegen.vocabulary import lower
from symgauss.symbols import sigma


def descending(m: int, suffix: str, factor: str = "") -> Expr:
    """I_m(u) for m ≤ 0 by its name: Φ or one of its derivatives."""
    return Symbol(f"Phi_u{suffix}") if m == 0 else verbatim(f"d{-m}{suffix}{factor}")


@dataclass(frozen=True)
class GateLadder:
    """Σ c_n I_n(u), u = (αμ + β)/w, w = √(1 + α²s²), and −c_0/2 if `centred`.

    `exact` (for β = 0): Φ and φ are taken where rounding found u, for sums in which this ladder nearly cancels.
    """

    ladder: Ladder
    centred: bool = False
    exact: bool = False
    group: ClassVar[str] = "ladder"
    any_order: ClassVar[bool] = True

    @property
    def may_overflow(self) -> bool:
        return False

    def expression(self) -> Expr:
        return self.ladder.expression() - (self.ladder.terms[0] / 2 if self.centred else 0)

    def describe(self) -> str:
        gate = self.ladder.gate
        u = gate.shifted / gate.width
        centred = ", with Φ − ½ for Φ" if self.centred else ""
        return f"a Φ ladder {self.ladder} at u = {u}, w = {gate.width}, where I_0 = Φ, I_n' = I_(n−1){centred}"

    def unrolled(self, body: Body, suffix: str) -> None:
        gate, w = self.ladder.gate, Symbol(f"w{suffix}")
        body.let(w.name, gate.width)
        body.let(f"u{suffix}", gate.shifted / w)
        body.let(f"rate{suffix}", gate.alpha * (sigma if body.hermite else 1) / w)
        body.lines.append(f"Phi_u{suffix}, d1{suffix} = Phi_phi(u{suffix})")
        if self.exact:
            body.say("rounding moved u by this much; Φ and φ are taken where it was")
            body.let(f"moved{suffix}", f"gate_slip(u{suffix}, {lower(gate.alpha)}, mu, sigma, w{suffix})")
            body.let(f"Phi_u{suffix}", f"Phi_u{suffix} + d1{suffix}*moved{suffix}")
            body.let(f"d1{suffix}", f"d1{suffix} - d1{suffix}*u{suffix}*moved{suffix}")
        body.say(f"d_m = Φ^(m)(u{suffix})")
        body.derivatives_of_Phi(f"u{suffix}", suffix, UNROLLED - min(self.ladder.terms))
        for k in range(UNROLLED + 1):
            if k == 0 and self.centred:
                body.add(0, lower(self.ladder.terms[0] * verbatim(f"centred_Phi(u{suffix})")))
            else:
                body.add(k, self._term(body, k, suffix))

    def beyond(self, more: Beyond, suffix: str) -> None:
        gate, w = self.ladder.gate, Symbol(f"w{suffix}")
        more.lines.append(f"w{suffix} = {lower(gate.width)}")
        more.lines.append(f"u{suffix} = {lower(gate.shifted / w)}")
        more.lines.append(f"rate{suffix} = {lower(gate.alpha * (sigma if more.hermite else 1) / w)}")
        more.derivatives_of_Phi(suffix)
        total = self.ladder.at_order_k(w, suffix)
        more.add(f"rate{suffix}**k*({lower(total)})", over_sigma=False)

    def _term(self, body: Body, k: int, suffix: str) -> str:
        """(αs/w)^k Σ c_n I_{n−k}(u), in two forms where that sum holds an I_1."""
        w, d1 = Symbol(f"w{suffix}"), Symbol(f"d1{suffix}")
        total = S.Zero
        for n, c in self.ladder.terms.items():
            factor = verbatim(f"I_1(u{suffix}, {d1})") if n - k == 1 else descending(n - k, suffix)
            total += c.xreplace({width: w}) * factor
        value = lower(Symbol(f"rate{suffix}") ** k * sympy.factor_terms(total))
        if max(self.ladder.terms) <= k:
            return value
        body.say("the first form cancels for μ < 0 and wide s, the second for narrow s")
        narrow = lower(abs(self.ladder.gate.alpha) * sigma)
        body.let(
            f"mean{suffix}",
            f"{lower(self._direct(suffix))} if ({narrow} < 1.0) | (u{suffix} > 0.0) else {value}",
        )
        return f"mean{suffix}"

    def _direct(self, suffix: str) -> Expr:
        """c_1 I_1 + c_0 I_0 + c_−1 I_−1 as the textbook has it: in μ, s, Φ and φ, with w² − 1 written α²s²."""
        gate = self.ladder.gate
        Phi_u, d1, w, v = Symbol(f"Phi_u{suffix}"), Symbol(f"d1{suffix}"), Symbol(f"w{suffix}"), Symbol("v")
        c = {n: self.ladder.terms.get(n, S.Zero) for n in (1, 0, -1)}
        on_Phi = sympy.cancel(c[1] / width) * gate.shifted + c[0]
        on_phi = sympy.cancel((c[1] + c[-1]) * width).xreplace({width: v})
        on_phi = sympy.expand(on_phi.subs(v, sympy.sqrt(1 + gate.alpha**2 * sigma**2)))
        return on_Phi * Phi_u + on_phi * d1 / w
