"""The families of terms that kernels are made of: one file each says a family's mean and how it is evaluated.

Each contributes to h_k and g_k; what makes it a family is that its contribution is accurate as it stands:

    polynomial   h_k = s^k ∂^k E p
    wave         h_k = (ωs)^k e^{−ω²s²/2} × the k-th derivative of the sinusoid
    exponential  h_k = (λs)^k e^{λμ + λ²s²/2}
    gate         Φ(αy + β) and its multiples by y: h_k = (αs/w)^k Σ c_n I_{n−k}(u)
    steps        a polynomial right of a breakpoint, zero left of it: h_k = Σ c_n I_{n−k}(u)
    kinks        polynomials between one or two breakpoints: the piece that μ is in, and tails
    half-lines   lines and decaying exponentials on both sides of one breakpoint
"""

from typing import ClassVar, Protocol

from sympy import Expr

from symgauss.codegen.families.exponential import Exponential
from symgauss.codegen.families.gate import GateLadder
from symgauss.codegen.families.halflines import Decay, HalfLines, Side
from symgauss.codegen.families.kinks import Kinks
from symgauss.codegen.families.polynomial import Polynomial
from symgauss.codegen.families.steps import StepLadder
from symgauss.codegen.families.wave import Wave
from symgauss.codegen.statements import Beyond, Body


class Family(Protocol):
    """What a plan is a sum of."""

    # Families of one group use the same names, and are numbered when there are several.
    group: ClassVar[str]
    # Whether `beyond` can be asked: orders above 8 are integrated where not.
    any_order: ClassVar[bool]

    @property
    def may_overflow(self) -> bool:
        """Whether its mean can leave double precision although μ and s do not."""
        ...

    def expression(self) -> Expr:
        """Its mean in μ and σ."""
        ...

    def describe(self) -> str:
        """A phrase for the header of the generated module."""
        ...

    def unrolled(self, body: Body, suffix: str) -> None:
        """Write statements and the summands of h_0 … h_8 or g_0 … g_8."""
        ...

    def beyond(self, more: Beyond, suffix: str) -> None:
        """Write statements and the summand of h_k or g_k for any k > 8."""
        ...


__all__ = [
    "Decay",
    "Exponential",
    "Family",
    "GateLadder",
    "HalfLines",
    "Kinks",
    "Polynomial",
    "Side",
    "StepLadder",
    "Wave",
]
