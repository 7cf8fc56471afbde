"""Polynomials between one or two breakpoints: the piece that μ is in, and the tails beyond the breakpoints.

Where the polynomial changes by Σ_m q_m (x − c)^m at c, the mean of what is added right of c is Σ q_m m! s^m I_m(u),
u = (μ − c)/s. Counted from the piece that μ is in, only tails I_m(−|u|) remain, and nothing large cancels. Two
breakpoints that are near each other in units of s would still cancel: there the sum over both is a Taylor
series about their middle.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import sympy
from sympy import Expr, Poly, S, Symbol, factorial

from symgauss.codegen.families.polynomial import polynomial_mean
from symgauss.codegen.ladder import step
from symgauss.codegen.statements import UNROLLED, Beyond, Body, bounded, choose, over_sigma
from symgauss.codegen.vocabulary import lower
from symgauss.symbols import mu, sigma, x

# Tails I_0, I_1, I_2 have accurate primitives.
HIGHEST_JUMP = 2
# Terms of the narrow form: (e max(1, |m|))^i/i! with e max(1, |m|/2) ≤ 1/8 is below 1e-17 for i > 13.
NARROW_TERMS = 13
# Names of the parts that belong to a breakpoint.
SUFFIXES = {1: ("",), 2: ("_a", "_b")}


@dataclass(frozen=True)
class Kinks:
    """Polynomials p_0, p_1(, p_2) between the breakpoints c(, or a ≤ b)."""

    breakpoints: tuple[Expr, ...]
    smooth: tuple[Expr, ...]
    group: ClassVar[str] = "kinks"
    any_order: ClassVar[bool] = True

    @property
    def may_overflow(self) -> bool:
        return any(sympy.degree(p, x) > 1 for p in (self.smooth[0], self.smooth[-1]))

    @property
    def jumps(self) -> tuple[tuple[Expr, ...], ...]:
        """(q_0, q_1, …) for each breakpoint c: Σ q_m (x − c)^m is what the piece right of it has more."""
        found = []
        for (left, right), c in zip(pairwise(self.smooth), self.breakpoints):
            change = Poly(sympy.expand((right - left).xreplace({x: x + c})), x)
            found.append(tuple(sympy.expand(q) for q in reversed(change.all_coeffs())))
        longest = max(map(len, found))
        return tuple(qs + (S.Zero,) * (longest - len(qs)) for qs in found)

    @property
    def smoothness(self) -> int:
        """The order of the first derivative that jumps."""
        return next(m for m, qs in enumerate(zip(*self.jumps)) if any(qs))

    @property
    def suffixes(self) -> tuple[str, ...]:
        return SUFFIXES[len(self.breakpoints)]

    def expression(self) -> Expr:
        """E p_0 + Σ q_m m! s^m I_m((μ − c)/s)."""
        total = polynomial_mean(self.smooth[0])
        for c, qs in zip(self.breakpoints, self.jumps):
            for m, q in enumerate(qs):
                total += q * factorial(m) * sigma**m * step(m, (mu - c) / sigma)
        return total

    def describe(self) -> str:
        places = " and ".join(map(str, self.breakpoints))
        near = ", or as a Taylor series where they are near" if len(self.breakpoints) == 2 else ""
        return f"kinks at {places}, as the piece that mu is in and the tails beyond them{near}"

    def unrolled(self, body: Body, suffix: str) -> None:  # noqa: ARG002
        names = [f"u{suffix}" for suffix in self.suffixes]
        for name, c in zip(names, self.breakpoints):
            body.let(name, bounded(mu - c))
        two = len(self.breakpoints) == 2
        if two:
            body.let("m", bounded(mu - (self.breakpoints[0] + self.breakpoints[1]) / 2))
        if not body.hermite:
            distances = [f"abs({name})" for name in (*names, *(["m"] if two else []))]
            body.lift(f"min({', '.join(distances)})" if two else distances[0])
        wide = self._wide(body)
        narrow = self._narrow(body) if two else []
        for k in range(UNROLLED + 1):
            if two:
                body.let(f"k{k}", f"{narrow[k]} if narrow else {wide[k]}")
            body.add(k, f"k{k}" if two else wide[k])

    def beyond(self, more: Beyond, suffix: str) -> None:
        places = list(zip(self.suffixes, self.breakpoints))
        if len(places) == 2:
            places.append(("_m", (self.breakpoints[0] + self.breakpoints[1]) / 2))
        for suffix, point in places:
            more.lines.append(f"u{suffix} = {bounded(mu - point)}")
            more.derivatives_of_Phi(suffix)
        tails = S.Zero
        for qs, suffix in zip(self.jumps, self.suffixes):
            tails += sum(
                (q * factorial(m) * sigma**m * Symbol(f"d{suffix}[k - {m}]") for m, q in enumerate(qs)), S.Zero
            )
        value = lower(sympy.factor_terms(tails)).replace("[k - 0]", "[k]")
        if len(self.breakpoints) == 2:
            a, b = self.breakpoints
            more.lines.append(f"e = {lower((b - a) / (2 * sigma))}")
            narrow = " + ".join(
                f"{lower(factorial(m) * sigma**m)}*({_series_at_order_k(m, odd, even)})"
                for m, odd, even in self._parities()
            )
            value = f"(({narrow}) if e*max(1.0, 0.5*abs(u_m)) < 0.125 else {value})"
        more.add(value, over_sigma=True)

    def _wide(self, body: Body) -> list[str]:
        """K_0 … K_8 as the piece that μ is in, and the tails beyond the breakpoints."""
        body.say("the piece that μ is in, and the tails beyond the breakpoints, which cannot cancel")
        for suffix, c in zip(self.suffixes, self.breakpoints):
            self._tails(body, f"u{suffix}", suffix, UNROLLED - self.smoothness, c)
        # by u and not by μ, so that piece and tail agree where u underflows to 0
        tests = [f"u{suffix} <= 0.0" for suffix in self.suffixes]
        values = []
        for k in range(UNROLLED + 1):
            base = choose([self._piece(p, k, body) for p in self.smooth], tests)
            parts = [
                self._scaled(body, [(q, suffix) for q, suffix in zip(qs, self.suffixes)], m, k)
                for m, qs in enumerate(zip(*self.jumps))
            ]
            values.append(_sum([base, *parts]))
        return values

    def _piece(self, p: Expr, k: int, body: Body) -> Expr:
        """s^k ∂^k E p, or ∂^k E p."""
        derivative = sympy.diff(polynomial_mean(p), mu, k)
        return sigma**k * derivative if body.hermite else derivative

    def _scaled(self, body: Body, qs: list[tuple[Expr, str]], m: int, k: int) -> str:
        """m! s^m Σ q I_{m−k}, for g_k over s^k."""
        name = _name(m - k)
        total = factorial(m) * sum((q * Symbol(f"{name}{suffix}") for q, suffix in qs), S.Zero)
        return self._with_power(body, lower(total), m, k, lifted=m < k)

    def _with_power(self, body: Body, value: str, m: int, k: int, lifted: bool) -> str:
        """value · s^m, for g_k over s^k, with the powers of s cancelled; φ loses the factor it may carry."""
        if value == "0":
            return value
        power = m if body.hermite else m - k
        drop = "*drop" if lifted and not body.hermite else ""
        if power > 0:
            return f"{lower(sigma**power)}*({value}){drop}"
        return over_sigma(value, -power) + drop if power < 0 else f"({value}){drop}"

    @property
    def _exact(self) -> bool:
        """Whether tails may cancel each other, so that the rounding of u must not show in them.

        They do not where σ is continuous, linear in pieces and not zero in the middle: clips, and one kink.
        """
        linear = self.smoothness == 1 and len(self.jumps[0]) == 2
        return not linear or (len(self.breakpoints) == 2 and self.smooth[1] == 0)

    def _tails(self, body: Body, u: str, suffix: str, highest: int, c: Expr | None) -> None:
        """I_n(−|u|), with the sign that counting from the piece on the right gives, and the derivatives of Φ."""
        orders = max(map(len, self.jumps))
        lifted = "" if body.hermite else ", lifted"
        Phi, first = f"Phi{suffix}", f"d1{suffix}"
        body.lines.append(f"{Phi}, {first} = {'lifted_' if lifted else ''}Phi_phi(-abs({u}){lifted})")
        if c is not None and self._exact:
            body.let(f"moved{suffix}", f"slip({u}, mu, {lower(c)}, sigma)")
            body.let(first, f"{first} - {first}*abs({u})*moved{suffix}")
        density = first
        if lifted:
            density = f"phi{suffix}"
            body.let(density, f"{first}*drop")
        if c is not None and self._exact:
            body.let(Phi, f"{Phi} - {density}*moved{suffix}")
        body.let(f"side{suffix}", f"{Phi} if {u} <= 0.0 else -{Phi}")
        if orders > 1:
            textbook = f"{density} - abs({u})*{Phi}"
            body.let(f"tail{suffix}", f"I_1(-abs({u}), {density})" if self._exact else textbook)
        if orders > 2:
            body.let(f"second{suffix}", f"I_2(-abs({u}), {density})*(1.0 if {u} <= 0.0 else -1.0)")
        body.derivatives_of_Phi(u, suffix, highest)

    def _parities(self) -> Iterator[tuple[int, Expr, Expr]]:
        """m, q_a − q_b and q_a + q_b."""
        for m, (q_a, q_b) in enumerate(zip(*self.jumps)):
            if q_a != 0 or q_b != 0:
                yield m, sympy.expand(q_a - q_b), sympy.expand(q_a + q_b)

    def _narrow(self, body: Body) -> list[str]:
        """K_0 … K_8 as Taylor series of Σ q I_m(m + e) + q I_m(m − e), from the outer piece that m is beside."""
        a, b = self.breakpoints
        body.say("narrow: Σ q_a I(m + e) + q_b I(m − e) as a Taylor series about the middle m, e half the width")
        body.let("e", (b - a) / (2 * sigma))
        self._tails(body, "m", "_m", UNROLLED + NARROW_TERMS - self.smoothness, None)
        body.let("narrow", "e*max(1.0, 0.5*abs(m)) < 0.125")
        body.let("e2", "e*e")
        outer = (self.smooth[0], self.smooth[-1])
        values = []
        for k in range(UNROLLED + 1):
            base = choose([self._piece(p, k, body) for p in outer], ["m <= 0.0"])
            parts = []
            for m, odd, even in self._parities():
                mixed = m >= k
                series = _series(m - k, odd, even, drop=mixed and not body.hermite)
                value = f"{factorial(m)}*({series})" if m > 1 else series
                parts.append(self._with_power(body, value, m, k, lifted=not mixed))
            values.append(_sum([base, *parts]))
        return values


def _name(n: int) -> str:
    """The name of I_n(−|u|), or of Φ^(−n)(u)."""
    return {2: "second", 1: "tail", 0: "side"}.get(n, f"d{-n}")


def _sum(parts: list[str]) -> str:
    return " + ".join(part for part in parts if part != "0") or "0.0"


def _series(top: int, odd: Expr, even: Expr, drop: bool) -> str:
    """Σ_i I_{top−i}(m) e^i (q_a ± q_b)/i!, odd and even i apart, by Horner's rule in e²."""
    parts = []
    for first, q in ((1, odd), (0, even)):
        if q == 0:
            continue
        rule = ""
        for i in reversed(range(first, NARROW_TERMS + 1, 2)):
            name = f"{_name(top - i)}_m{'*drop' if drop and top < i else ''}"
            term = f"{name}/{factorial(i)}" if i > 1 else name
            rule = f"{term} + e2*({rule})" if rule else term
        parts.append(f"{lower(q if first == 0 else q * Symbol('e'))}*({rule})")
    return " + ".join(parts) or "0"


def _series_at_order_k(m: int, odd: Expr, even: Expr) -> str:
    """Σ_i I_{m−k−i} e^i (q_a ± q_b)/i! with the derivatives read from `d_m`."""
    parts = []
    for first, q in ((1, odd), (0, even)):
        if q != 0:
            terms = (f"d_m[k + {i - m}]*e**{i}/{factorial(i)}" for i in range(first, NARROW_TERMS + 1, 2))
            parts.append(f"({lower(q)})*({' + '.join(terms)})")
    return " + ".join(parts).replace("[k + -", "[k - ").replace("[k + 0]", "[k]")
