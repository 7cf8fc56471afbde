"""Sines and cosines: the heat equation damps a wave and leaves its shape."""

from dataclasses import dataclass
from typing import ClassVar

import sympy
from sympy import Expr, Symbol

from symgauss.codegen.statements import UNROLLED, Beyond, Body
from symgauss.codegen.vocabulary import lower
from symgauss.symbols import mu, sigma


@dataclass(frozen=True)
class Wave:
    """a sin(ωx) + b cos(ωx)."""

    omega: Expr
    sine: Expr
    cosine: Expr
    group: ClassVar[str] = "wave"
    any_order: ClassVar[bool] = True

    @property
    def may_overflow(self) -> bool:
        return False

    def expression(self) -> Expr:
        wave = self.sine * sympy.sin(self.omega * mu) + self.cosine * sympy.cos(self.omega * mu)
        return sympy.exp(-(self.omega**2) * sigma**2 / 2) * wave

    def describe(self) -> str:
        return f"a wave of frequency {self.omega}, damped by exp(−ω² sigma²/2)"

    def unrolled(self, body: Body, suffix: str) -> None:
        omega, rate = self.omega, (self.omega * sigma if body.hermite else self.omega)
        sine, cosine, damping, ratio = (Symbol(name + suffix) for name in ("sine", "cosine", "damping", "rate"))
        body.let(damping.name, sympy.exp(-(omega**2) * sigma**2 / 2))
        body.let(sine.name, damping * sympy.sin(omega * mu))
        body.let(cosine.name, damping * sympy.cos(omega * mu))
        # beyond FARTHEST the damping is exactly 0, and an infinite power of the rate would make it NaN
        body.let(ratio.name, f"min({lower(rate)}, FARTHEST)" if body.hermite else rate)
        for k, turn in enumerate(self._turns(sine, cosine, UNROLLED + 1)):
            body.add(k, lower(ratio**k * turn))

    def beyond(self, more: Beyond, suffix: str) -> None:
        omega = self.omega
        sine, cosine = Symbol(f"sine{suffix}"), Symbol(f"cosine{suffix}")
        more.lines.append(f"damping{suffix} = {lower(sympy.exp(-(omega**2) * sigma**2 / 2))}")
        more.lines.append(
            f"sine{suffix}, cosine{suffix} = {lower(sympy.sin(omega * mu))}, {lower(sympy.cos(omega * mu))}"
        )
        cycle = ", ".join(map(lower, self._turns(sine, cosine, 4)))
        rate = f"min({lower(omega * sigma)}, FARTHEST)" if more.hermite else f"({lower(omega)})"
        more.add(f"damping{suffix}*{rate}**k*({cycle})[k % 4]", over_sigma=False)

    def _turns(self, sine: Symbol, cosine: Symbol, count: int) -> list[Expr]:
        """The wave and its derivatives in units of ω, for given sine and cosine."""
        turns = [self.sine * sine + self.cosine * cosine]
        while len(turns) < count:
            turns.append(turns[-1].subs({sine: cosine, cosine: -sine}, simultaneous=True))
        return turns
