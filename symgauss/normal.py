"""The normal form: is an expression in Φ, φ, exp, sin, cos and rational functions zero?

Every such expression is Σ c · e^E · Π Φ(u), with c, E and u Surds. φ becomes exp, sin and cos become complex
exponentials, Φ(−u) becomes 1 − Φ(u), and like terms are collected. Terms that differ in (E, u) are linearly
independent over the coefficients, so the sum is zero exactly when every c is. Deciding c = 0 is arithmetic
of polynomials; no `simplify` is involved.

Constants have one place each: e^r with r rational is in E; 2^k, √2^k and e^{iπk/12} are in c, and what is
left of 2^r is in E, as r log 2.
"""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import sympy
from sympy import Expr, I, Rational, S, exp, sqrt

from symgauss.constants import Constants, generators, is_log_of_rational, is_root, prime_powers
from symgauss.surds import Outside, Surd, Surds
from symgauss.symbols import He, Phi, phi


class Key(NamedTuple):
    """e^exponent times the functions in `atoms` (Φ of canonical arguments; in `tidy`, anything kept)."""

    exponent: Surd
    atoms: tuple[Expr, ...]


Form = dict[Key, Surd]


class Reader:
    """Turns expressions over one common field into forms; functions in `keep` stay as they are written."""

    def __init__(self, exprs: Iterable[Expr], keep: tuple[type, ...] = ()) -> None:
        self.surds = Surds(sorted({g for e in exprs for g in generators(e)}, key=sympy.default_sort_key))
        self.constants = Constants(self.surds)
        self.keep = keep

    def form(self, expr: Expr) -> Form:
        """The collected form; `Outside` names what it does not cover."""
        if isinstance(expr, Rational):
            return self.pure(self.surds.rational(expr))
        if expr is S.Exp1:
            return self.form_of_exp(S.One)
        if is_root(expr) and not isinstance(expr, (exp, *self.keep)):
            return self.form_of_exp(expr.args[1] * sympy.log(expr.args[0]))
        if expr in self.surds.gens and not isinstance(expr, exp):
            return self.pure(self.surds.generator(expr))
        if expr is I:
            return self.pure(self.surds.imaginary)
        if expr.is_Add:
            return self.add(*(self.form(a) for a in expr.args))
        if expr.is_Mul:
            return self.multiply(*(self.form(a) for a in expr.args))
        if isinstance(expr, self.keep):
            return {Key(self.surds.zero, (expr,)): self.surds.one}
        if isinstance(expr, exp):
            return self.form_of_exp(expr.args[0])
        if expr.is_Pow:
            return self.power(*expr.args)
        if isinstance(expr, Phi):
            return self.gate(self.surd(expr.args[0]))
        if isinstance(expr, phi):
            return self.form(expr.rewrite(exp, deep=False))
        if isinstance(expr, (sympy.sin, sympy.cos, sympy.sinh, sympy.cosh)):
            return self.form(expr.rewrite(exp, deep=False))
        if isinstance(expr, sympy.erf):
            return self.form(2 * Phi(sqrt(2) * expr.args[0]) - 1)
        if isinstance(expr, sympy.erfc):
            return self.form(2 * Phi(-sqrt(2) * expr.args[0]))
        if isinstance(expr, He) and expr.doit() != expr:
            return self.form(expr.doit())
        if is_log_of_rational(expr):
            return self.form(sum((k * sympy.log(p) for p, k in prime_powers(expr.args[0]).items()), S.Zero))
        raise Outside(f"{expr.func.__name__}" if expr.args else f"{expr}")

    def expr(self, form: Form) -> Expr:
        """The expression that a form stands for: the inverse of `form`, nothing of a key left out."""
        total = S.Zero
        for key, coefficient in form.items():
            total += coefficient.as_expr() * exp(key.exponent.as_expr()) * sympy.Mul(*key.atoms)
        return total

    def surd(self, expr: Expr) -> Surd:
        """An expression that is a Surd, without exponentials but for constants such as e and ∛2."""
        total = self.surds.zero
        for key, coefficient in self.form(expr).items():
            if key.atoms:
                raise Outside(f"{expr} inside another function")
            total += coefficient * self.constants.value(key.exponent)
        return total

    def key(self) -> Key:
        return Key(self.surds.zero, ())

    def single(self, exponent: Surd, atoms: tuple[Expr, ...], coefficient: Surd) -> Form:
        """One term, with the algebraic numbers among the constants of e^exponent moved to the coefficient."""
        exponent, number = self.constants.split(exponent)
        return {Key(exponent, tuple(sorted(atoms, key=sympy.default_sort_key))): coefficient * number}

    def pure(self, value: Surd) -> Form:
        return {self.key(): value} if value else {}

    def add(self, *forms: Form) -> Form:
        total: Form = {}
        for form in forms:
            for key, coefficient in form.items():
                total[key] = total[key] + coefficient if key in total else coefficient
        return {key: coefficient for key, coefficient in total.items() if coefficient}

    def multiply(self, *forms: Form) -> Form:
        total = self.pure(self.surds.one)
        for form in forms:
            total = self.add(
                *(
                    self.single(j.exponent + k.exponent, j.atoms + k.atoms, a * b)
                    for j, a in total.items()
                    for k, b in form.items()
                )
            )
        return total

    def form_of_exp(self, argument: Expr) -> Form:
        return self.single(self.surd(argument), (), self.surds.one)

    def gate(self, argument: Surd) -> Form:
        """Φ(u), with the sign of u chosen once and for all."""
        if argument != argument.real():
            raise Outside(f"Phi of the complex argument {argument.as_expr()}")
        if not argument:
            return self.pure(self.surds.rational(S.Half))
        leading = argument.parts[min(argument.parts)].numer.LC
        sign = self.surds.one if leading > 0 else -self.surds.one
        one_gate = {Key(self.surds.zero, (Phi((sign * argument).as_expr()),)): sign}
        return one_gate if leading > 0 else self.add(self.pure(self.surds.one), one_gate)

    def power(self, base: Expr, exponent: Expr) -> Form:
        if exponent.is_Integer and exponent.is_nonnegative:
            return self.multiply(*[self.form(base)] * int(exponent))
        if exponent.is_Integer:
            form = self.form(base)
            if len(form) == 1 and not next(iter(form)).atoms:
                ((key, value),) = form.items()
                one = self.single(-key.exponent, (), value.inverse())
                return self.multiply(*[one] * -int(exponent))
            if any(key.atoms or not key.exponent.as_expr().is_number for key in form):
                raise Outside(f"the denominator {base}")
            return self.pure(self.surd(base) ** int(exponent))
        if isinstance(exponent, Rational) and exponent.q == 2:
            root = self.surds.sqrt(self.surd(base))
            return self.pure(root**exponent.p)
        if not base.free_symbols and base.is_positive and exponent.free_symbols:
            return self.form_of_exp(exponent * sympy.log(base))
        raise Outside(f"the power {base**exponent}")


def is_zero(expr: Expr) -> bool:
    """Whether `expr` vanishes identically: True is a proof, `Outside` is raised for foreign functions.

    >>> from symgauss import mu
    >>> is_zero(phi(mu) - exp(-(mu**2) / 2) / sqrt(2 * pi))
    True
    """
    return not Reader([expr]).form(expr)


@cache
def tidy(expr: Expr) -> Expr:
    """`expr` collected on the Φ, φ, exp, sin and cos in it, as they are written, coefficients factored.

    An expression that cannot be read comes back as it is.
    """
    reader = Reader([expr], keep=(Phi, phi, exp, sympy.sin, sympy.cos))
    try:
        form = reader.form(expr)
    except Outside:
        return expr
    return reader.expr(form)
