"""The conditions that make a formula u the covariance E[σ(Y₁) τ(Y₂)], each checked on the formula itself.

Theorem (our derivation: Price's theorem as a certificate). Let E σ(Y)², E τ(Y)² be finite for every Gaussian Y, M and N
the means of σ and τ, and C = rho sigma_1 sigma_2. If u is analytic in mu_1, mu_2 and |C| < sigma_1 sigma_2, satisfies
Price's equation ∂u/∂C = ∂²u/∂mu_1∂mu_2, and is M(mu_1, sigma_1) N(mu_2, sigma_2) at C = 0, then u = E[σ(Y₁) τ(Y₂)].
(The equation makes all derivatives by C at 0 those of the product, which are those of Mehler's series; analytic
functions with equal Taylor series are equal.)

The formula is read in normal form, Σ c e^E Π Φ(u) Π Φ₂(h, k, r). The whitelist that makes it analytic: c, E and all
arguments are built from rational functions and square roots, whose denominators and radicands, and 1 − r², are
*seen* to have one sign for |rho| < 1. Every check raises `Outside` with the reason when it cannot be carried through.
Source: derivations/price.md; Price (1958) for the equation.
"""

from collections.abc import Iterable
from math import prod

import sympy
from sympy import Expr, Integer, S, factorint, pi
from sympy.polys.fields import FracElement
from sympy.polys.rings import PolyElement

from symgauss.constants import Constants, generators
from symgauss.normal import Form, Key, Reader
from symgauss.surds import Outside, Surd, Surds
from symgauss.symbols import Phi2, mu_1, mu_2, rho, sigma_1, sigma_2

SYMBOLS = (mu_1, sigma_1, mu_2, sigma_2, rho)


class CovarianceForm:
    """A claimed covariance in normal form."""

    def __init__(self, covariance: Expr) -> None:
        self.covariance = covariance
        self.reader = PairReader([covariance])
        self.terms = self.reader.form(covariance)

    def check_analytic(self) -> None:
        """That no denominator vanishes for |rho| < 1; roots and Φ₂ were looked at when the formula was read."""
        for key, coefficient in self.terms.items():
            arguments = (self.reader.surd(a) for atom in key.atoms for a in atom.args)
            for surd in (coefficient, key.exponent, *arguments):
                self.reader.surds.require_no_pole(surd)

    def check_price(self) -> None:
        """∂u/∂C = ∂²u/∂mu_1∂mu_2."""
        if not vanishes(price_residual(self.covariance)):
            raise Outside("a difference remains")

    def check_start(self, product: Expr) -> None:
        """u = M(mu_1, sigma_1) N(mu_2, sigma_2) at rho = 0."""
        start = self.covariance.xreplace({rho: S.Zero})
        if start.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
            raise Outside("the formula cannot be evaluated at rho = 0")
        if not vanishes(start - product):
            raise Outside("a difference remains")


def price_residual(covariance: Expr) -> Expr:
    """∂u/∂C − ∂²u/∂mu_1∂mu_2, C = rho sigma_1 sigma_2."""
    return covariance.diff(rho) / (sigma_1 * sigma_2) - covariance.diff(mu_1, mu_2)


def vanishes(expr: Expr) -> bool:
    """Whether a function of two Gaussians is 0 for all |rho| < 1: True is a proof.

    >>> from symgauss import Phi
    >>> vanishes(Phi2(mu_1, -mu_2, rho) + Phi2(mu_1, mu_2, -rho) - Phi(mu_1))
    True
    """
    return not PairReader([expr]).form(expr)


class PairSurds(Surds):
    """Surds of sigma_1, sigma_2 > 0 and |rho| < 1, with roots of whatever is seen to be positive there."""

    def sqrt(self, value: Surd) -> Surd:
        """The positive square root, split over irreducible factors, each turned to be positive."""
        if set(value.parts) - {0}:
            raise Outside(f"the nested root sqrt({value.as_expr()})")
        fraction = value.parts.get(0, self.field.zero)
        constant, factors = (fraction.numer * fraction.denom).factor_list()
        root = self.one
        for factor, power in factors:
            sign = self.sign(factor)
            if not sign:
                raise Outside(f"sqrt({value.as_expr()}): nothing says that {factor.as_expr()} is not 0 for |rho| < 1")
            constant, positive = constant * sign**power, self.field(sign * factor)
            root *= Surd(self, {0: positive ** (power // 2)})
            if power % 2:
                root *= self.root(positive)
        if constant < 0:
            raise Outside(f"sqrt({value.as_expr()}), the root of a negative number")
        for prime, power in factorint(int(constant.numerator * constant.denominator)).items():
            root *= self.rational(Integer(prime ** (power // 2)))
            if power % 2:
                root *= self.root(self.field(prime))
        # √(n/d) = √(nd)/|d|
        size = self.field(fraction.denom) * self._sign_of_product(fraction.denom) * int(constant.denominator)
        return root / Surd(self, {0: size})

    def _sign_of_product(self, polynomial: PolyElement) -> int:
        """±1, from the factors, whose signs must be known."""
        constant, factors = polynomial.factor_list()
        return prod((self.sign(factor) ** power for factor, power in factors), start=1 if constant > 0 else -1)

    def sign(self, polynomial: PolyElement) -> int:
        """±1 if the polynomial is seen to be positive or negative for all sigma_1, sigma_2 > 0 and |rho| < 1; else 0.

        With rho = (1 − t)/(1 + t), t > 0, it is enough that all coefficients of the polynomial in t have one sign,
        where odd powers are of nonnegative symbols only, and one monomial is of positive symbols only.
        """
        t = polynomial.ring.gens[self.generators.index(rho)]
        place, degree = self.generators.index(rho), polynomial.degree(t)
        in_t = polynomial.ring.zero
        for powers, coefficient in polynomial.terms():
            rest = (*powers[:place], 0, *powers[place + 1 :])
            turned = (1 - t) ** powers[place] * (1 + t) ** (degree - powers[place])
            in_t += turned * polynomial.ring({rest: coefficient})
        signs = {1 if coefficient > 0 else -1 for coefficient in in_t.coeffs()}
        known = all(self._nonnegative(powers, place) for powers in in_t)
        strict = any(self._positive(powers, place) for powers in in_t)
        return signs.pop() if len(signs) == 1 and known and strict else 0

    def _nonnegative(self, powers: tuple[int, ...], place: int) -> bool:
        return all(
            p % 2 == 0 or i == place or g.is_nonnegative for i, (p, g) in enumerate(zip(powers, self.generators))
        )

    def _positive(self, powers: tuple[int, ...], place: int) -> bool:
        return all(p == 0 or i == place or g.is_positive for i, (p, g) in enumerate(zip(powers, self.generators)))

    def require_no_pole(self, surd: Surd) -> None:
        """That no denominator vanishes for |rho| < 1."""
        for part in surd.parts.values():
            for factor, _ in part.denom.factor_list()[1]:
                if not self.sign(factor):
                    raise Outside(f"the denominator {factor.as_expr()}, which may be 0 for |rho| < 1")

    def require_correlation(self, r: Surd) -> None:
        """That |r| < 1 for |rho| < 1."""
        rest = self.one - r * r
        fraction = rest.parts.get(0)
        if set(rest.parts) != {0} or fraction is None or self.sign(fraction.numer) * self.sign(fraction.denom) != 1:
            raise Outside(f"Phi2 with the correlation {r.as_expr()}: nothing says that it is between −1 and 1")


class PairReader(Reader):
    """The normal form with Φ₂; what was read is kept, because derivatives repeat themselves."""

    surds: PairSurds

    def __init__(self, exprs: Iterable[Expr]) -> None:
        exprs = list(exprs)
        found = {g for e in exprs for g in generators(e)} - set(SYMBOLS) | {pi}
        self.surds = PairSurds([*SYMBOLS, *sorted(found, key=sympy.default_sort_key)])
        self.constants = Constants(self.surds)
        self.keep = ()
        self._forms: dict[Expr, Form] = {}
        self._surds: dict[Expr, Surd] = {}

    def form(self, expr: Expr) -> Form:
        """The collected form; `Outside` names what it does not cover."""
        if expr not in self._forms:
            self._forms[expr] = self._pair(expr) if isinstance(expr, Phi2) else super().form(expr)
        return self._forms[expr]

    def surd(self, expr: Expr) -> Surd:
        """An expression that is a Surd."""
        if expr not in self._surds:
            self._surds[expr] = super().surd(expr)
        return self._surds[expr]

    def add(self, *forms: Form) -> Form:
        """The sum, over one denominator after the other: most terms share one, and then nothing has to be cancelled."""
        found: dict[Key, dict[int, dict[PolyElement, PolyElement]]] = {}
        for form in forms:
            for key, coefficient in form.items():
                by_mask = found.setdefault(key, {})
                for mask, part in coefficient.parts.items():
                    by_denominator = by_mask.setdefault(mask, {})
                    before = by_denominator.get(part.denom)
                    by_denominator[part.denom] = part.numer if before is None else before + part.numer
        total: Form = {}
        for key, by_mask in found.items():
            total[key] = Surd(self.surds, {mask: self._sum(fractions) for mask, fractions in by_mask.items()})
        return {key: coefficient for key, coefficient in total.items() if coefficient}

    def _sum(self, fractions: dict[PolyElement, PolyElement]) -> FracElement:
        total = self.surds.field.zero
        for denominator in sorted(fractions, key=len):
            if fractions[denominator]:
                total += self.surds.field.new(fractions[denominator], denominator)
        return total

    def _pair(self, expr: Expr) -> Form:
        h, k, r = map(self.surd, expr.args)
        for argument in (h, k, r):
            if argument != argument.real():
                raise Outside(f"Phi2 of the complex argument {argument.as_expr()}")
        self.surds.require_correlation(r)
        return self.gates(h, k, r)

    def gates(self, h: Surd, k: Surd, r: Surd) -> Form:
        """Φ₂(h, k, r) with signs chosen once and for all, by Φ₂(−h, k, −r) = Φ(k) − Φ₂(h, k, r)."""
        if not r:
            return self.multiply(self.gate(h), self.gate(k))
        if _leads_with_minus(h) or (not h and _leads_with_minus(r)):
            return self.add(self.gate(k), self._negative(self.gates(-h, k, -r)))
        if _leads_with_minus(k) or (not k and _leads_with_minus(r)):
            return self.add(self.gate(h), self._negative(self.gates(h, -k, -r)))
        return {Key(self.surds.zero, (Phi2(h.as_expr(), k.as_expr(), r.as_expr()),)): self.surds.one}

    def _negative(self, form: Form) -> Form:
        return {key: -coefficient for key, coefficient in form.items()}


def _leads_with_minus(value: Surd) -> bool:
    """A sign that a Surd and its negative do not share; that of 0 is plus."""
    return bool(value) and value.parts[min(value.parts)].numer.LC < 0
