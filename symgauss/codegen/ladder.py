"""The ladder: the one family of functions in which the kernels are written.

    I_n(u) = E (u + Z)₊ⁿ/n!  (n ≥ 0),   I_0 = Φ,   I_{−1} = φ,   I_n' = I_{n−1},   n I_n = u I_{n−1} + I_{n−2}.

For y ~ N(μ, s²) every mean of polynomial × step or polynomial × Φ(αy + β) is a sum of c_n I_n(u) with
u = (αμ + β)/w and c_n free of μ, because multiplication by y is

    y · I_n = (w/α)(n + 1) I_{n+1} − q/(αw) I_{n−1} − (β/α) I_n

with w² = q + α²s²: q = 1 for Φ and φ, q = 0 for a step (then w = αs). Derivatives in μ are then shifts of
the index, without the cancellation between powers of μ, s and w that the expanded formula has.
(Our derivation: the operator μ + s²∂_μ applied to I_n, with the recurrence above.)
"""

from dataclasses import dataclass, field

import sympy
from sympy import Expr, Integer, S, Symbol

from symgauss.symbols import Phi, mu, phi, sigma

# w, as a symbol while coefficients are collected
width = Symbol("w", positive=True)


@dataclass(frozen=True)
class Gate:
    """u = (αμ + β)/w with w = √(q + α²s²); `smooth` tells Φ (q = 1) from a step (q = 0, α = 1)."""

    alpha: Expr
    beta: Expr
    smooth: bool

    @property
    def width(self) -> Expr:
        return sympy.sqrt(1 + self.alpha**2 * sigma**2) if self.smooth else sigma

    @property
    def shifted(self) -> Expr:
        """u w, free of roots."""
        return self.alpha * mu + self.beta


@dataclass
class Ladder:
    """Σ_n c_n I_n(u) for one gate; the coefficients contain `width` and parameters."""

    gate: Gate
    terms: dict[int, Expr] = field(default_factory=dict)

    def add(self, n: int, coefficient: Expr) -> None:
        total = sympy.expand(self.terms.get(n, S.Zero) + coefficient)
        self.terms[n] = total
        if total == 0:
            del self.terms[n]

    def times_y(self) -> "Ladder":
        """The ladder of y times the function."""
        alpha, beta = self.gate.alpha, self.gate.beta
        q = Integer(1 if self.gate.smooth else 0)
        result = Ladder(self.gate)
        for n, c in self.terms.items():
            result.add(n + 1, c * (n + 1) * width / alpha)
            result.add(n - 1, -c * q / (alpha * width))
            result.add(n, -c * beta / alpha)
        return result

    def at_order_k(self, w: Expr, suffix: str) -> Expr:
        """Σ c_n I_{n−k}(u) for k > 8 with the derivatives of Φ read from the array d, and `width` by its name."""
        total = S.Zero
        for n, c in self.terms.items():
            index = f"k - {n}" if n > 0 else (f"k + {-n}" if n < 0 else "k")
            total += c.xreplace({width: w}) * Symbol(f"d{suffix}[{index}]")
        return total

    def __str__(self) -> str:
        return " + ".join(f"({c})·I_{n}" for n, c in sorted(self.terms.items(), reverse=True))

    def expression(self) -> Expr:
        """The sum in μ, σ, Φ and φ: what the proof of the kernel's form compares with the proved mean."""
        u = self.gate.shifted / self.gate.width
        total = sum((c * step(n, u) for n, c in self.terms.items()), S.Zero)
        return sympy.sympify(total).xreplace({width: self.gate.width})


def step(n: int, u: Expr) -> Expr:
    """I_n(u) in Φ and φ, from its recurrence.

    >>> step(1, sympy.Symbol("u"))
    u*Phi(u) + phi(u)
    """
    if n == 0:
        return Phi(u)
    if n == -1:
        return phi(u)
    if n > 0:
        return (u * step(n - 1, u) + step(n - 2, u)) / n
    return (n + 2) * step(n + 2, u) - u * step(n + 1, u)
