"""Exponentials on the whole line: E e^{λy} = e^{λμ + λ²s²/2}."""

from dataclasses import dataclass
from typing import ClassVar

import sympy
from sympy import Expr, Symbol

from symgauss.codegen.statements import UNROLLED, Beyond, Body
from symgauss.codegen.vocabulary import lower
from symgauss.symbols import mu, sigma


@dataclass(frozen=True)
class Exponential:
    """height · e^{rate·x}; its mean grows without bound in s, and so may overflow."""

    height: Expr
    rate: Expr
    group: ClassVar[str] = "exponential"
    any_order: ClassVar[bool] = True

    @property
    def may_overflow(self) -> bool:
        return True

    def expression(self) -> Expr:
        return self.height * sympy.exp(sympy.expand(self.rate * mu + self.rate**2 * sigma**2 / 2))

    def describe(self) -> str:
        return f"the exponential exp({self.rate}*x)"

    def unrolled(self, body: Body, suffix: str) -> None:
        tilt, mean = Symbol(f"tilt{suffix}"), Symbol(f"tilted{suffix}")
        body.let(tilt.name, self.rate * sigma if body.hermite else self.rate)
        body.let(mean.name, f"{lower(self.height)}*{self._mean()}")
        for k in range(UNROLLED + 1):
            body.add(k, lower(tilt**k * mean))

    def beyond(self, more: Beyond, suffix: str) -> None:
        more.lines.append(f"tilted{suffix} = {lower(self.height)}*{self._mean()}")
        rate = lower(self.rate * sigma) if more.hermite else lower(self.rate)
        more.add(f"({rate})**k*tilted{suffix}", over_sigma=False)

    def _mean(self) -> str:
        """The exponent in two parts, the square exactly: μ may cancel s²/2, and then every digit counts."""
        return f"exp_tilted({lower(self.rate * mu)}, {lower(self.rate * sigma)})"
