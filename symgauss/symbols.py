"""The symbols and the four special functions everything else is written in.

Conventions, once: Z is a standard normal variable, `phi` its density, `Phi` its distribution function, `Phi2` that of
a pair, and He_n the probabilists' Hermite polynomials (He_2(z) = z² − 1). A preactivation is N(mu, sigma²), two of
them are N(mu_1, sigma_1²) and N(mu_2, sigma_2²) with correlation rho, and an activation is an expression in the real
symbol `x`.

`Phi`, `phi` and `Phi2` are functions of our own, and stay opaque until they are printed or evaluated: SymPy
rewrites erfc(−z) as 2 − erfc(z), which loses every digit of the far tail.
"""

from typing import Any

import mpmath
from sympy import (
    Expr,
    Float,
    Function,
    Integer,
    Rational,
    S,
    Symbol,
    default_sort_key,
    erf,
    exp,
    hermite_prob_poly,
    oo,
    pi,
    sqrt,
)
from sympy.core.function import ArgumentIndexError

from symgauss.bivariate import bivariate_distribution, distribution

x = Symbol("x", real=True)
mu = Symbol("mu", real=True)
sigma = Symbol("sigma", positive=True)

mu_1, mu_2 = Symbol("mu_1", real=True), Symbol("mu_2", real=True)
sigma_1, sigma_2 = Symbol("sigma_1", positive=True), Symbol("sigma_2", positive=True)
rho = Symbol("rho", real=True)


def _evaluate(function: Any, z: Expr, prec: int) -> Expr | None:
    """`function(z)` in mpmath to `prec` bits, relative to its own size.

    Both φ and Φ lose about z² relative units for one relative unit of z in the tail, so z is evaluated
    with that many bits more.
    """
    rough = z._eval_evalf(53)
    if rough is None or not rough.is_number:
        return None
    guard = 15 + 2 * max(0, mpmath.mag(rough._to_mpmath(53)))
    if guard > 4000:  # |z| > 2^1990: the value is 0 or 1 far beyond any exponent worth writing
        return None
    with mpmath.workprec(prec + guard):
        value = function(z.evalf(mpmath.mp.dps + 3)._to_mpmath(prec + guard))
        return Expr._from_mpmath(value, prec)


class Phi(Function):
    """Φ(z) = ∫_{−∞}^z φ(t) dt, the standard normal distribution function; Φ′ = φ.

    >>> Phi(0), Phi(-30).evalf(5)
    (1/2, 4.9067e-198)
    """

    nargs = 1

    @classmethod
    def eval(cls, z: Expr) -> Expr | None:
        if z.is_zero:
            return S.Half
        if z is oo:
            return S.One
        if z is -oo:
            return S.Zero
        return S.NaN if z is S.NaN else None

    def fdiff(self, argindex: int = 1) -> Expr:
        if argindex != 1:
            raise ArgumentIndexError(self, argindex)
        return phi(self.args[0])

    def _eval_evalf(self, prec: int) -> Expr | None:
        return _evaluate(distribution, self.args[0], prec)

    def _eval_rewrite_as_erf(self, z: Expr, **_: Any) -> Expr:
        return (1 + erf(z / sqrt(2))) / 2

    def _eval_is_extended_real(self) -> bool | None:
        return self.args[0].is_extended_real

    def _eval_is_positive(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return rf"\Phi{_power(exp)}\left({printer._print(self.args[0])}\right)"

    def _numpycode(self, printer: Any) -> str:
        return f"{printer._module_format('scipy.special.ndtr')}({printer._print(self.args[0])})"

    def _mpmathcode(self, printer: Any) -> str:
        return f"{printer._module_format('mpmath.ncdf')}({printer._print(self.args[0])})"

    def _pythoncode(self, printer: Any) -> str:
        argument = printer._print(-self.args[0] / sqrt(2))
        return f"({printer._module_format('math.erfc')}({argument})/2)"


class phi(Function):
    """φ(z) = exp(−z²/2)/√(2π), the standard normal density; φ′(z) = −z φ(z)."""

    nargs = 1

    @classmethod
    def eval(cls, z: Expr) -> Expr | None:
        if z.is_zero:
            return 1 / sqrt(2 * pi)
        if z is oo or z is -oo:
            return S.Zero
        return S.NaN if z is S.NaN else None

    def fdiff(self, argindex: int = 1) -> Expr:
        if argindex != 1:
            raise ArgumentIndexError(self, argindex)
        return -self.args[0] * self

    def _eval_evalf(self, prec: int) -> Expr | None:
        return _evaluate(mpmath.npdf, self.args[0], prec)

    def _eval_rewrite_as_exp(self, z: Expr, **_: Any) -> Expr:
        return exp(-(z**2) / 2) / sqrt(2 * pi)

    def _eval_is_extended_real(self) -> bool | None:
        return self.args[0].is_extended_real

    def _eval_is_positive(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return rf"\varphi{_power(exp)}\left({printer._print(self.args[0])}\right)"

    def _code(self, printer: Any) -> str:
        return f"({printer._print(self.rewrite(exp))})"

    _numpycode = _mpmathcode = _pythoncode = _code


class Phi2(Function):
    """Φ₂(h, k, r) = P(Z₁ ≤ h, Z₂ ≤ k), Z₁ and Z₂ standard normals with correlation r.

    ∂Φ₂/∂h = φ(h) Φ((k − rh)/√(1 − r²)), and ∂Φ₂/∂r is the density at (h, k), φ(h) φ((k − rh)/√(1 − r²))/√(1 − r²).
    Φ₂ is symmetric in h and k, which are kept in one order. A number r outside [−1, 1] is a ValueError.

    >>> Phi2(mu, sigma, 0), Phi2(-30, -31, S.Half).evalf(5)
    (Phi(mu)*Phi(sigma), 1.2437e-273)
    """

    nargs = 3

    @classmethod
    def eval(cls, h: Expr, k: Expr, r: Expr) -> Expr | None:
        if S.NaN in (h, k, r):
            return S.NaN
        if r.is_number and not r.is_zero and (r.is_real is False or (1 - r**2).is_negative):
            raise ValueError(f"Phi2(h, k, r) needs a correlation −1 ≤ r ≤ 1, got r = {r}.")
        for one, other in ((h, k), (k, h)):
            if one is oo:
                return Phi(other)
            if one is -oo:
                return S.Zero
        if r.is_zero:
            return Phi(h) * Phi(k)
        if r in (1, -1) and h.is_number and k.is_number and h.is_real and k.is_real:
            return _at_one(h, k) if r == 1 else _at_minus_one(h, k)
        first, second = sorted((h, k), key=default_sort_key)
        return None if (first, second) == (h, k) else cls(first, second, r)

    def fdiff(self, argindex: int = 1) -> Expr:
        h, k, r = self.args
        if argindex == 2:
            h, k = k, h
        root = sqrt(1 - r**2)
        if argindex in (1, 2):
            return phi(h) * Phi((k - r * h) / root)
        if argindex == 3:
            return phi(h) * phi((k - r * h) / root) / root
        raise ArgumentIndexError(self, argindex)

    def _eval_evalf(self, prec: int) -> Expr | None:
        # r is needed to as many digits as 1 − r² has after the point.
        rough = [a.evalf(5) for a in (*self.args[:2], 1 - self.args[2] ** 2)]
        if not all(a.is_Float or a.is_Rational for a in rough):
            return None
        h, k, square = (mpmath.mag(a._to_mpmath(53)) for a in rough)
        guard = 15 + 2 * max(0, h, k) + 2 * max(0, -square if rough[2] else 0)
        if guard > 4000:
            return None
        with mpmath.workprec(prec + guard):
            h, k, r = (a.evalf(mpmath.mp.dps + 3)._to_mpmath(prec + guard) for a in self.args)
        with mpmath.workprec(prec):
            return Expr._from_mpmath(bivariate_distribution(h, k, r), prec)

    def _eval_is_extended_real(self) -> bool | None:
        return True if all(a.is_extended_real for a in self.args) else None

    def _eval_is_nonnegative(self) -> bool | None:
        return True if all(a.is_extended_real for a in self.args) else None

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        arguments = ", ".join(printer._print(a) for a in self.args)
        return rf"\Phi_2{_power(exp)}\left({arguments}\right)"

    def _mpmathcode(self, printer: Any) -> str:
        name = printer._module_format("symgauss.bivariate.bivariate_distribution")
        return f"{name}({', '.join(map(printer._print, self.args))})"


def _at_one(h: Expr, k: Expr) -> Expr:
    """P(Z ≤ h, Z ≤ k), of numbers."""
    return Phi(min(h, k))


def _at_minus_one(h: Expr, k: Expr) -> Expr:
    """P(−k ≤ Z ≤ h), of numbers, as a difference of tails that are as small as can be."""
    return S.Zero if (h + k).is_nonpositive else Phi(min(h, k)) - Phi(-max(h, k))


class He(Function):
    """He_n(z), the probabilists' Hermite polynomial; He_n′ = n He_{n−1}, He_{n+1} = z He_n − n He_{n−1}.

    It is kept as a name; `doit()` or `expand_func` writes the polynomial out.

    >>> He(3, x).doit()
    x**3 - 3*x
    """

    nargs = 2

    @classmethod
    def eval(cls, n: Expr, z: Expr) -> Expr | None:
        if isinstance(n, Float) and float(n).is_integer():
            return cls(Integer(int(n)), z)
        if n is S.NaN or n.is_integer is False or n.is_negative:
            raise ValueError(f"He(n, z) needs an integer n ≥ 0, got n = {n}.")
        if n.is_zero:
            return S.One
        if n is S.One:
            return z
        if isinstance(n, Integer) and (z.is_zero or isinstance(z, Float)):
            return hermite_prob_poly(int(n), x).subs(x, z)
        return None

    def fdiff(self, argindex: int = 1) -> Expr:
        if argindex != 2:
            raise ArgumentIndexError(self, argindex)
        n, z = self.args
        return n * He(n - 1, z)

    def _polynomial(self) -> Expr:
        n, z = self.args
        if not isinstance(n, Integer):
            return self
        return hermite_prob_poly(int(n), x).subs(x, z)

    def doit(self, **hints: Any) -> Expr:
        n, z = self.args
        done = He(n, z.doit(**hints)) if hints.get("deep", True) else self
        return done._polynomial() if isinstance(done, He) else done

    def _eval_expand_func(self, **_: Any) -> Expr:
        return self._polynomial()

    def _eval_evalf(self, prec: int) -> Expr | None:
        polynomial = self._polynomial()
        return None if polynomial is self else polynomial._eval_evalf(prec)

    def _eval_is_extended_real(self) -> bool | None:
        return self.args[1].is_extended_real

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        n, z = (printer._print(a) for a in self.args)
        return rf"\mathrm{{He}}_{{{n}}}{_power(exp)}\left({z}\right)"

    def _code(self, printer: Any) -> str:
        return f"({printer._print(self._polynomial())})"

    _numpycode = _mpmathcode = _pythoncode = _code


def _power(exponent: str | None) -> str:
    return "" if exponent is None else f"^{{{exponent}}}"


def exact(value: Any) -> Expr:
    """`value` with every float replaced by the rational its decimal text shows: 0.2 becomes 1/5."""
    if isinstance(value, float):
        return Rational(repr(value))
    floats = value.atoms(Float)
    # A double prints shortest-round-trip; a Float of any other precision prints all its digits.
    return value.xreplace({f: Rational(repr(float(f)) if f._prec == 53 else str(f)) for f in floats})
