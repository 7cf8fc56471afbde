"""Ladders of steps: a polynomial right of a breakpoint, and nothing left of it."""

from dataclasses import dataclass
from typing import ClassVar

import sympy
from sympy import Expr, S, Symbol

from symgauss.codegen.families.gate import descending
from symgauss.codegen.ladder import Ladder, width
from symgauss.codegen.statements import UNROLLED, Beyond, Body, bounded, over_sigma, verbatim
from symgauss.codegen.vocabulary import lower
from symgauss.symbols import sigma


@dataclass(frozen=True)
class StepLadder:
    """Σ c_n I_n(u), u = (μ − c)/s, n ≤ 2."""

    ladder: Ladder
    group: ClassVar[str] = "ladder"
    any_order: ClassVar[bool] = True

    @property
    def may_overflow(self) -> bool:
        return max(self.ladder.terms) > 1

    def expression(self) -> Expr:
        return self.ladder.expression()

    def describe(self) -> str:
        gate = self.ladder.gate
        return (
            f"a step ladder {self.ladder} at u = {gate.shifted / gate.width}, w = {gate.width}, "
            "where I_0 = Φ, I_n' = I_(n−1)"
        )

    def unrolled(self, body: Body, suffix: str) -> None:
        u, Phi_u, d1 = (f"{name}{suffix}" for name in ("u", "Phi_u", "d1"))
        body.say("beyond ±FARTHEST every Φ^(m) is constant; without the bounds an infinite u would give NaN")
        body.let(u, bounded(self.ladder.gate.shifted))
        if body.hermite:
            body.lines.append(f"{Phi_u}, {d1} = Phi_phi({u})")
        else:
            body.lift(f"abs({u})", suffix)
            body.lines.append(f"{Phi_u}, {d1} = lifted_Phi_phi({u}, lifted{suffix})")
            body.let(f"phi_u{suffix}", f"{d1}*drop{suffix}")
        body.say(f"d_m = Φ^(m)({u})")
        body.derivatives_of_Phi(u, suffix, UNROLLED - min(self.ladder.terms))
        for k in range(UNROLLED + 1):
            body.add(k, self._term(body.hermite, k, suffix))

    def beyond(self, more: Beyond, suffix: str) -> None:
        more.lines.append(f"u{suffix} = {bounded(self.ladder.gate.shifted)}")
        more.derivatives_of_Phi(suffix)
        more.add(lower(self.ladder.at_order_k(sigma, suffix)), over_sigma=True)

    def _term(self, hermite: bool, k: int, suffix: str) -> str:
        """Σ c_n I_{n−k}(u), and for g_k its quotient by s^k with the powers of s that are there cancelled."""
        highest = max(self.ladder.terms)
        factor = f"*drop{suffix}" if not hermite and k <= highest else ""
        total = S.Zero
        for n, c in self.ladder.terms.items():
            c = c.xreplace({width: sigma})
            if n > k:
                total += sympy.cancel(c / sigma ** (n - k)) * self._ascending(n - k, suffix, hermite)
            else:
                total += c * descending(n - k, suffix, factor)
        if hermite:
            return lower(sympy.factor_terms(total))
        # s² may underflow where s²/s² does not
        cancelled = min(k, *self.ladder.terms)
        value = over_sigma(lower(sympy.factor_terms(sympy.expand(total / sigma**cancelled))), k - cancelled)
        return f"{value}*drop{suffix}" if k > highest else value

    def _ascending(self, m: int, suffix: str, hermite: bool) -> Expr:
        """σ^m I_m(u) for m = 1, 2: polynomials in σ and u σ = μ − c, which need no bounds."""
        shifted = self.ladder.gate.shifted
        Phi_u, density = Symbol(f"Phi_u{suffix}"), Symbol(f"d1{suffix}" if hermite else f"phi_u{suffix}")
        first = shifted * Phi_u + sigma * density
        if m == 1:
            return first
        right = lower((shifted * first + sigma**2 * Phi_u) / 2)
        u = f"u{suffix}"
        return verbatim(f"({right} if {u} > 0.0 else {lower(sigma**2)}*I_2({u}, {density}))")
