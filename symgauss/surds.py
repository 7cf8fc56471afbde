"""Exact arithmetic in rational functions with square roots: the coefficients of every mean.

A `Surd` is Σ fᵢ √rᵢ, with fᵢ rational functions over ℚ of mu, sigma, the parameters and constants such as π,
and the roots √(1 + q sigma²), √2, √π, … (i = √−1 too) multiplied in. Numerators and denominators are kept
coprime and radicands irreducible, so equal functions have equal Surds: zero is seen, not guessed.
"""

from collections.abc import Iterable
from functools import reduce

from sympy import QQ, Expr, Integer, Rational, S, factorint, sqrt
from sympy.polys.fields import FracElement, FracField
from sympy.polys.rings import PolyElement

from symgauss.symbols import mu, sigma


class Outside(Exception):
    """An expression that the normal form does not cover; the message names it."""


class Surds:
    """The field: generators fixed at the start, square roots adjoined when they are met."""

    def __init__(self, generators: Iterable[Expr]) -> None:
        # mu and sigma come first: exponent tuples of monomials start with their powers.
        self.generators = tuple(dict.fromkeys([mu, sigma, *generators]))
        self.field = FracField(self.generators, QQ)
        self.gens = dict(zip(self.generators, self.field.gens))
        self.radicands: list[FracElement] = []
        self.zero, self.one = self.rational(S.Zero), self.rational(S.One)
        self.imaginary = self.root(self.field(-1))  # mask 1, always
        self.mu, self.sigma = self.generator(mu), self.generator(sigma)

    def rational(self, value: Expr) -> "Surd":
        number = self.field.ground_new(QQ(int(value.p), int(value.q)))  # type: ignore[attr-defined]
        return Surd(self, {0: number})

    def generator(self, symbol: Expr) -> "Surd":
        return Surd(self, {0: self.gens[symbol]})

    def root(self, radicand: FracElement) -> "Surd":
        """√radicand, for a radicand that is irreducible and, but for −1, positive."""
        if radicand not in self.radicands:
            self.radicands.append(radicand)
        return Surd(self, {1 << self.radicands.index(radicand): self.field.one})

    def sqrt(self, value: "Surd") -> "Surd":
        """The positive square root, split over the irreducible factors of a rational radicand."""
        if set(value.parts) - {0}:
            raise Outside(f"the nested root sqrt({value.as_expr()})")
        fraction = value.parts.get(0, self.field.zero)
        # √(n/d) = √(nd)/d keeps all radicands polynomial.
        constant, factors = (fraction.numer * fraction.denom).factor_list()
        if constant < 0:
            raise Outside(f"sqrt({value.as_expr()}), which may be the root of a negative number")
        result = self.rational(S.One / Integer(constant.denominator))
        for prime, power in factorint(int(constant.numerator * constant.denominator)).items():
            result *= self.rational(Integer(prime ** (power // 2)))
            if power % 2:
                result *= self.root(self.field(prime))
        for factor, power in factors:
            if not factor.as_expr().is_positive:
                raise Outside(f"sqrt({value.as_expr()}): nothing says that {factor.as_expr()} is positive")
            whole = self.field(factor)
            result *= Surd(self, {0: whole ** (power // 2)})
            if power % 2:
                result *= self.root(whole)
        return result / Surd(self, {0: self.field(fraction.denom)})

    def radical(self, mask: int) -> Expr:
        """The product of roots that `mask` names, as an expression."""
        picked = (r for i, r in enumerate(self.radicands) if mask >> i & 1)
        return reduce(lambda product, r: product * sqrt(r.as_expr()), picked, S.One)


class Surd:
    """Σ parts[mask] · Π √radicands[i] over the bits i of mask; immutable."""

    __slots__ = ("owner", "parts")

    def __init__(self, owner: Surds, parts: dict[int, FracElement]) -> None:
        self.owner = owner
        self.parts = {mask: part for mask, part in parts.items() if part}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Surd) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(frozenset(self.parts.items()))

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __add__(self, other: "Surd") -> "Surd":
        parts = dict(self.parts)
        for mask, part in other.parts.items():
            parts[mask] = parts[mask] + part if mask in parts else part
        return Surd(self.owner, parts)

    def __neg__(self) -> "Surd":
        return Surd(self.owner, {mask: -part for mask, part in self.parts.items()})

    def __sub__(self, other: "Surd") -> "Surd":
        return self + (-other)

    def __mul__(self, other: "Surd") -> "Surd":
        total = Surd(self.owner, {})
        for a, left in self.parts.items():
            for b, right in other.parts.items():
                product = left * right
                for i, radicand in enumerate(self.owner.radicands):
                    if a & b & 1 << i:
                        product *= radicand
                total += Surd(self.owner, {a ^ b: product})
        return total

    def __truediv__(self, other: "Surd") -> "Surd":
        return self * other.inverse()

    def __pow__(self, exponent: int) -> "Surd":
        base = self if exponent >= 0 else self.inverse()
        return reduce(lambda product, _: product * base, range(abs(exponent)), self.owner.one)

    def inverse(self) -> "Surd":
        """1/self; a root in the denominator is removed by multiplying with the conjugate."""
        if not self.parts:
            raise Outside("a division by zero")
        roots = reduce(int.__or__, self.parts)
        if not roots:
            return Surd(self.owner, {0: 1 / self.parts[0]})
        bit = roots & -roots
        conjugate = Surd(self.owner, {m: -p if m & bit else p for m, p in self.parts.items()})
        return conjugate * (self * conjugate).inverse()

    def real(self) -> "Surd":
        return Surd(self.owner, {m: p for m, p in self.parts.items() if not m & 1})

    def as_expr(self) -> Expr:
        """The Surd as an expression with factored coefficients."""
        total = S.Zero
        for mask, part in self.parts.items():
            total += _factored(part.numer) / _factored(part.denom) * self.owner.radical(mask)
        return total

    def multiple(self, mask: int, monomial: PolyElement) -> Rational:
        """r, when parts[mask] is f + r · monomial; f itself gives the same f for all r, so it is canonical."""
        if mask not in self.parts:
            return S.Zero
        # Division by one polynomial is unique: adding r · monomial adds just that to the quotient.
        number = self.parts[mask].numer.div(self.parts[mask].denom)[0].coeff(monomial)
        return Rational(int(number.numerator), int(number.denominator))

    # The Surd as a polynomial in mu with coefficients that depend on sigma.

    def coefficients(self) -> list["Surd"]:
        """Coefficients of mu⁰, mu¹, …; Outside when mu stands in a denominator."""
        by_degree: dict[int, Surd] = {}
        ring = self.owner.field.ring
        for mask, part in self.parts.items():
            if part.denom.degree(ring.gens[0]) > 0:
                raise Outside(f"the denominator {part.denom.as_expr()}")
            for monomial, number in part.numer.terms():
                rest = ring({(0, *monomial[1:]): number})
                piece = Surd(self.owner, {mask: self.owner.field(rest) / self.owner.field(part.denom)})
                by_degree[monomial[0]] = by_degree.get(monomial[0], Surd(self.owner, {})) + piece
        zero = Surd(self.owner, {})
        return [by_degree.get(k, zero) for k in range(max(by_degree, default=-1) + 1)]

    def at_mu(self, value: "Surd") -> "Surd":
        """The polynomial in mu at another Surd (Horner)."""
        total = Surd(self.owner, {})
        for coefficient in reversed(self.coefficients()):
            total = total * value + coefficient
        return total

    def pole(self) -> int:
        """The largest power of 1/sigma over all parts (at least 0)."""
        return max((min(m[1] for m in part.denom.monoms()) for part in self.parts.values()), default=0)

    def at_zero_sigma(self) -> Expr:
        """The value at sigma = 0, as an expression; there must be no pole."""
        ring = self.owner.field.ring
        total = S.Zero
        for mask, part in self.parts.items():
            value = part.numer.subs(ring.gens[1], 0).as_expr() / part.denom.subs(ring.gens[1], 0).as_expr()
            total += value * self.owner.radical(mask).subs(sigma, 0)
        return total

    def denominators(self) -> set[Expr]:
        """The irreducible factors that stand in denominators."""
        return {f.as_expr() for part in self.parts.values() for f, _ in part.denom.factor_list()[1]}


def _factored(polynomial: PolyElement) -> Expr:
    constant, factors = polynomial.factor_list()
    product = Rational(int(constant.numerator), int(constant.denominator))
    return reduce(lambda done, f: done * f[0].as_expr() ** f[1], factors, product)
