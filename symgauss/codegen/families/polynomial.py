"""Polynomials: E p(μ + sZ) = Σ_j s^{2j} p^{(2j)}(μ)/(2^j j!)."""

from dataclasses import dataclass
from typing import ClassVar

import sympy
from sympy import Expr, S

from symgauss.codegen.statements import UNROLLED, Beyond, Body
from symgauss.codegen.vocabulary import lower
from symgauss.symbols import mu, sigma, x


def polynomial_mean(polynomial: Expr) -> Expr:
    """E p(μ + sZ) of a polynomial in x."""
    at_mu = polynomial.xreplace({x: mu})
    total, term, j = S.Zero, at_mu, 0
    while term != 0:
        total, j = total + term, j + 1
        term = sympy.expand(sigma**2 * sympy.diff(term, mu, 2) / (2 * j))
    return sympy.expand(total)


@dataclass(frozen=True)
class Polynomial:
    """A polynomial in x on the whole line, of degree at most 8."""

    polynomial: Expr
    group: ClassVar[str] = "polynomial"
    any_order: ClassVar[bool] = True

    @property
    def may_overflow(self) -> bool:
        return bool(sympy.degree(self.polynomial, x) > 1)

    def expression(self) -> Expr:
        return polynomial_mean(self.polynomial)

    def describe(self) -> str:
        return f"the polynomial {self.polynomial}"

    def unrolled(self, body: Body, suffix: str) -> None:  # noqa: ARG002
        mean = self.expression()
        for k in range(UNROLLED + 1):
            derivative = sympy.diff(mean, mu, k)
            if derivative != 0:
                body.add(k, lower(sympy.horner(sigma**k * derivative if body.hermite else derivative)))

    def beyond(self, more: Beyond, suffix: str) -> None:
        """Nothing: ∂^k of a polynomial of lower degree is zero."""
