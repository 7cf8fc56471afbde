"""The constants of the normal form, one place for each: e, π, log 2, ∛2, e^{iπ/4}, …

In an exponent E stands e^r with r rational, and what is left of 2^r once square roots are out, as r log 2. The
coefficients hold the rest: 2^k, √2^k, e^{iπk/12}. Inside Φ, sin or exp, where no e^E can be, e and ∛2 are
generators of the field.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import sympy
from sympy import Expr, Integer, Rational, S, Symbol, exp, pi
from sympy.core.numbers import NumberSymbol
from sympy.polys.rings import PolyElement

from symgauss.surds import Outside, Surd, Surds
from symgauss.symbols import phi

# Powers of constants beyond this are refused: they make polynomials and integers huge.
_LARGEST_POWER = 1024


@dataclass(frozen=True)
class Unit:
    """A constant d in exponents, the coefficient of `monomial` in parts[mask], with e^{step·d} algebraic."""

    symbol: Expr
    mask: int
    monomial: PolyElement
    step: Rational
    direction: Surd
    value: Callable[[], Surd]

    def whole(self, multiple: Rational) -> int:
        """How many steps to take out of multiple·d."""
        if self.step == S.Half:
            return int(2 * (multiple - _remainder(multiple)))
        return int(multiple // self.step)

    def power(self, count: int) -> Surd:
        """e^{count·step·d}"""
        if abs(count) > _LARGEST_POWER:
            raise Outside(f"exp({count * self.step} {self.direction.as_expr()}), too large a number")
        return self.value() ** count


class Constants:
    """The constants among the generators of a field, and what e to their multiples is."""

    def __init__(self, surds: Surds) -> None:
        self.surds = surds

    @cached_property
    def units(self) -> list[Unit]:
        """iπ, log 2, log 3, … and log π, as they come."""
        surds, found = self.surds, []
        for symbol, monomial in zip(surds.generators, surds.field.ring.gens):
            direction = surds.generator(symbol)
            if symbol is pi:
                turn = surds.imaginary * direction
                found.append(Unit(symbol, 1, monomial, Rational(1, 12), turn, self._twelfth_of_pi))
            elif isinstance(symbol, sympy.log) and symbol.args[0].is_Integer:
                root = partial(surds.sqrt, surds.rational(symbol.args[0]))
                found.append(Unit(symbol, 0, monomial, S.Half, direction, root))
            elif isinstance(symbol, sympy.log) and symbol.args[0] in surds.gens:
                number = partial(surds.generator, symbol.args[0])
                found.append(Unit(symbol, 0, monomial, S.One, direction, number))
        return found

    def split(self, exponent: Surd) -> tuple[Surd, Surd]:
        """(E, c) with e^exponent = c e^E and no algebraic constant left in e^E."""
        number = self.surds.one
        if exponent:
            for unit in self.units:
                count = unit.whole(exponent.multiple(unit.mask, unit.monomial))
                if count:
                    exponent -= self.surds.rational(count * unit.step) * unit.direction
                    number *= unit.power(count)
        return exponent, number

    def value(self, exponent: Surd) -> Surd:
        """e^exponent as powers of the generators e^(1/q) and p^(1/q), for use inside another function."""
        ring, rest, result = self.surds.field.ring, exponent, self.surds.one
        bases = [(S.Exp1, ring.one, self.surds.one)]
        bases += [(u.symbol.args[0], u.monomial, u.direction) for u in self.units if u.symbol.is_Function]
        for base, monomial, direction in bases:
            power = rest.multiple(0, monomial)
            root = base ** Rational(1, power.q)
            if power and root in self.surds.gens and abs(power.p) <= _LARGEST_POWER:
                rest -= self.surds.rational(power) * direction
                result *= self.surds.generator(root) ** power.p
        if rest:
            raise Outside(f"{exp(exponent.as_expr())} inside another function")
        return result

    def _twelfth_of_pi(self) -> Surd:
        """e^{iπ/12} = (√6 + √2)/4 + i (√6 − √2)/4"""
        six, two = (self.surds.sqrt(self.surds.rational(Integer(n))) for n in (6, 2))
        return (six + two + self.surds.imaginary * (six - two)) * self.surds.rational(Rational(1, 4))


def _remainder(power: Rational) -> Rational:
    """What is left of a power once square roots are taken out: with an odd denominator if there is one."""
    for candidate in (power, power - S.Half):
        if candidate.q % 2:
            return candidate % 1
    return power % S.Half


def is_root(expr: Expr) -> bool:
    """r^(p/q), q > 2, with r > 0 rational, or e^(p/q): exponentials of rational multiples of log r and 1."""
    if isinstance(expr, exp):
        return bool(expr.args[0].is_Rational)
    if not expr.is_Pow:
        return False
    base, exponent = expr.args
    return bool(base.is_Rational and base.is_positive and exponent.is_Rational and exponent.q > 2)


def is_log_of_rational(expr: Expr) -> bool:
    return isinstance(expr, sympy.log) and bool(expr.args[0].is_Rational and expr.args[0].is_positive)


def prime_powers(number: Expr) -> dict[Expr, Expr]:
    """The primes p of a rational number > 0 and the k in its factors p^k."""
    return {Integer(p): Integer(k) for p, k in sympy.factorrat(number).items() if p != 1}


def generators(expr: Expr) -> Iterator[Expr]:
    """Real symbols, and real constants that are neither rational nor square roots: e, π, log 2, ∛2, as they come."""
    if isinstance(expr, exp) and is_root(expr):
        yield exp(Rational(1, expr.args[0].q))
    elif is_root(expr):
        for prime, power in prime_powers(expr.args[0]).items():
            yield sympy.log(prime)
            yield prime ** Rational(1, _remainder(power * expr.args[1]).q)
    elif is_log_of_rational(expr):
        yield from map(sympy.log, prime_powers(expr.args[0]))
    elif expr.is_real and (
        isinstance(expr, (Symbol, NumberSymbol))
        or (expr.is_Pow and isinstance(expr.exp, Rational) and expr.exp.q > 2 and expr.is_number)
        or (isinstance(expr, (sympy.log, sympy.CRootOf)) and expr.is_number)
    ):
        yield expr
        if isinstance(expr, sympy.log):
            yield from generators(expr.args[0])
    else:
        if expr.is_Pow and expr.base.is_number and not expr.exp.is_number:
            yield from generators(sympy.log(expr.base))
        if expr.is_Pow and isinstance(expr.exp, Rational) and expr.exp.q == 2:
            # √2 inside another root is taken as it comes: nested roots are not split.
            yield from (
                root for root in expr.base.atoms(sympy.Pow) if root.is_real and root.is_number and not root.is_rational
            )
        if isinstance(expr, (phi, sympy.erf, sympy.erfc)):
            yield pi
        for argument in expr.args:
            yield from generators(argument)
