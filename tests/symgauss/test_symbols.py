"""Phi, phi and He: values at any precision, derivatives, special values, printing."""

import pickle

import mpmath
import numpy as np
import pytest
import sympy

from symgauss import He, Phi, mu, phi, sigma, x
from symgauss.symbols import exact


@pytest.mark.parametrize("z", [-200, -30, -5, -1, 0, 1, 8, 40])
@pytest.mark.parametrize("digits", [15, 60])
def test_values_are_relatively_accurate(z, digits):
    with mpmath.workdps(20 + digits + z * z // 2):
        density = mpmath.exp(-(mpmath.mpf(z) ** 2) / 2) / mpmath.sqrt(2 * mpmath.pi)
        distribution = (1 + mpmath.erf(z / mpmath.sqrt(2))) / 2 if z > -100 else None
        for function, true in ((phi, density), (Phi, distribution)):
            if true is not None:
                value = mpmath.mpf(str(function(sympy.Rational(3 * z, 3)).evalf(digits + 3)))
                assert abs(value / true - 1) < mpmath.mpf(10) ** -digits


def test_values_far_out():
    ratio = Phi(-(10**6)).evalf(30) / phi(10**6).evalf(30)
    assert abs(ratio * 10**6 - 1 + sympy.Rational(1, 10**12)) < 1e-20  # Mills: Φ(−z) = φ(z)/z (1 − 1/z² + 3/z⁴ − …)
    assert Phi(10**6).evalf() == 1.0
    assert Phi(x).evalf() == Phi(x)
    assert Phi(-30.0) == Phi(sympy.Integer(-30)).evalf()
    assert abs(Phi(sympy.I).evalf() - (0.5 + 0.476719134625630j)) < 1e-14


def test_special_values():
    assert (Phi(0), Phi(sympy.oo), Phi(-sympy.oo)) == (sympy.Rational(1, 2), 1, 0)
    assert (phi(0), phi(sympy.oo), phi(-sympy.oo)) == (1 / sympy.sqrt(2 * sympy.pi), 0, 0)
    assert (He(0, x), He(1, x), He(4, 0)) == (1, x, 3)
    for n in (-1, 2.5, -1.0, sympy.oo, sympy.nan):
        with pytest.raises(ValueError, match="integer n ≥ 0"):
            He(n, x)
    assert He(2.0, x) == He(2, x)


def test_derivatives():
    assert Phi(x).diff(x) == phi(x)
    assert phi(x).diff(x) == -x * phi(x)
    assert He(5, x).diff(x) == 5 * He(4, x)
    assert sympy.diff(Phi(mu / sigma), sigma) == -mu * phi(mu / sigma) / sigma**2


def test_hermite_polynomials_follow_their_recurrence():
    for n in range(2, 12):
        step = x * He(n - 1, x).doit() - (n - 1) * He(n - 2, x).doit()
        assert sympy.expand(He(n, x).doit() - step) == 0
    assert He(3, x).doit() == sympy.expand_func(He(3, x)) == x**3 - 3 * x
    assert He(2, He(2, x)).doit() == (x**2 - 1) ** 2 - 1


def test_rewriting():
    assert Phi(x).rewrite(sympy.erf) == (1 + sympy.erf(x / sympy.sqrt(2))) / 2
    assert phi(x).rewrite(sympy.exp) == sympy.exp(-(x**2) / 2) / sympy.sqrt(2 * sympy.pi)
    assert Phi(-x) != 1 - Phi(x)  # opaque: no tail is lost by rewriting


def test_printing():
    assert sympy.latex(Phi(x)) == r"\Phi\left(x\right)"
    assert sympy.latex(phi(x) ** 2) == r"\varphi^{2}\left(x\right)"
    assert sympy.latex(He(2, x)) == r"\mathrm{He}_{2}\left(x\right)"
    assert sympy.pretty(Phi(x) * phi(x), use_unicode=True) == "Φ(x)⋅φ(x)"
    assert str(He(2, x)) == "He(2, x)"


@pytest.mark.parametrize("modules", [None, "numpy", "scipy", "mpmath", "math"])
def test_lambdify(modules):
    expr = Phi(x) + phi(x) * He(3, x)
    function = sympy.lambdify(x, expr, modules) if modules else sympy.lambdify(x, expr)
    true = float(expr.subs(x, -3).evalf())
    assert abs(function(-3) - true) < 1e-15
    if modules == "numpy":
        assert np.allclose(function(np.array([-3.0, -3.0])), true, rtol=1e-13)


def test_pickle():
    expr = Phi(mu) + He(3, phi(sigma))
    assert pickle.loads(pickle.dumps(expr)) == expr


def test_floats_become_what_their_text_says():
    assert exact(0.1) == sympy.Rational(1, 10)
    assert exact(x * 0.2 + sympy.Float(0.3)) == x / 5 + sympy.Rational(3, 10)
    assert exact(x * 1.0507009873554805) == x * sympy.Rational("1.0507009873554805")


def test_Phi_is_positive_on_the_real_line():
    assert Phi(mu).is_positive
    assert Phi(sympy.Symbol("z")).is_positive is None
    assert Phi(sympy.I * mu).is_positive is None
