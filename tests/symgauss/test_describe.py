"""What print and notebooks show of an activation."""

import pickle
import re

import pytest
import sympy
from sympy import Abs, Function, Max, Symbol, exp, gamma, tanh

import symgauss as sg
from symgauss import describe, x
from tests.marks import mostly_slow

a = Symbol("a", real=True)

STRANGE = {
    "without numbers": Function("f", real=True)(x),
    "grows": exp(x**2),
    "a pole": 1 / x,
    "complex": sympy.sqrt(x),
    "zero": sympy.S.Zero,
    "gamma": gamma(Abs(x) + 1),
    "an infinite constant": sympy.Float("1e300") * x,
    "wide": sum(sympy.Rational(k**9, 7**9) * Max(0, x - k) ** 2 for k in range(1, 7)),
    "one long product": sympy.Mul(*(Symbol(f"a_{k}", real=True) + 1 for k in range(30))).subs(
        {Symbol(f"a_{k}", real=True): sympy.Rational(1, 3**k) for k in range(30)}
    )
    * tanh(x),
}


def rows(act: sg.Activation) -> dict[str, str]:
    """Title and rows by name, lines joined."""
    title, *table = re.split(r"\n  (?=\S)", str(act))
    return {"title": title} | {row.split()[0]: " ".join(row.split()[1:]) for row in table}


def test_a_closed_form():
    assert str(sg.activation("gelu")).splitlines()[:5] == [
        "gelu(x) = x*Phi(x)",
        "  mean        mu*Phi(mu/sqrt(sigma**2 + 1)) + sigma**2*phi(mu/sqrt(sigma**2 + 1))/sqrt(sigma**2 + 1)",
        "  h_1         mu*sigma*phi(mu/sqrt(sigma**2 + 1))/(sigma**2 + 1)**(3/2) + sigma*Phi(mu/sqrt(sigma**2 + 1))",
        "  h_2         -sigma**2*(mu**2 - sigma**4 - 3*sigma**2 - 2)*phi(mu/sqrt(sigma**2 + 1))/(sigma**2 + 1)**(5/2)",
        "  proof       proved (heat equation, growth, initial value)",
    ]
    assert rows(sg.activation("gelu"))["evaluation"].startswith("closed form: a Φ ladder")


def test_parameters_and_what_they_must_satisfy():
    found = rows(sg.activation("leaky_relu", negative_slope=0.2))
    assert found["title"] == "leaky_relu(x) = Max(0, x) + Min(0, x)/5"
    assert found["parameters"] == "negative_slope = 1/5"
    assert "requires" not in found
    symbolic = rows(sg.activation("hardtanh").symbolic)
    assert symbolic["parameters"] == "max_val, min_val"
    assert symbolic["requires"] == "min_val <= max_val"


def test_quadrature_and_integration_say_why():
    silu = rows(sg.activation("silu"))
    assert list(silu) == ["title", "mean", "proof", "evaluation"]
    assert silu["mean"] == "no closed form: 1/(1 + exp(-x)) is not a polynomial or exponential factor"
    assert silu["evaluation"].startswith("quadrature of fixed cost, to 1e-14; ")
    softsign = rows(sg.activation("softsign"))
    # The reason given with the mean is not given again.
    assert softsign["evaluation"] == "adaptive integration, with an estimate of its error; softsign is not smooth at 0"


def test_no_mean_at_all():
    found = rows(sg.Activation("f", exp(x**2)))
    assert found["mean"].startswith("none: the function grows like exp(x**2) as x -> -oo: it has no mean")
    assert found["evaluation"] == "none: there is no mean to compute"
    assert rows(sg.Activation("f", exp(a * x**2), {a: 2}))["evaluation"] == "none: there is no mean to compute"
    assert "is not a finite real number at x = 0.0" in rows(sg.Activation("f", 1 / x))["mean"]


# One of each kind and the longest; what the others show is made of the same parts.
SHOWN = ("relu", "leaky_relu", "gelu", "sin", "hardtanh", "hardswish", "elu", "gaussian_bump", "silu", "softsign")


@pytest.mark.parametrize("name", mostly_slow(sg.activation_names(), fast=SHOWN))
def test_the_catalogue_fits_on_the_page(name):
    for act in {sg.activation(name), sg.activation(name).symbolic}:
        lines = str(act).splitlines()
        assert all(len(line) <= 120 and line == line.rstrip() for line in lines)
        assert "could not be found" not in str(act)
        assert str(sg.Activation(name, act.expr, act.parameters, act.requires)) == str(act)
        # Nothing of a formula is lost to line breaks.
        shown, formula = "".join(rows(act)["title"].split()), "".join(str(act.formula).split())
        assert shown == f"{name}(x)={formula}"


@pytest.mark.parametrize("kind", STRANGE)
def test_showing_never_raises(kind):
    act = sg.Activation("strange", STRANGE[kind])
    assert str(act).startswith("strange(x) = ")
    assert all(len(line) <= 120 for line in str(act).splitlines())
    assert act._repr_latex_().startswith("$")
    assert "evaluation" in str(act)


@pytest.mark.parametrize("broken", ["gaussian_mean", "hermite_coefficients", "prove_mean", "evaluation"])
def test_what_fails_becomes_a_line(broken, monkeypatch):
    def fail(*_):
        raise RuntimeError("out\nof order")

    monkeypatch.setattr(describe, broken, fail)
    act = sg.Activation(f"broken_{broken}", Max(0, x))
    assert "could not be found: RuntimeError: out of order" in str(act)
    assert r"RuntimeError: out of order" in act._repr_latex_()


def test_a_refuted_proof_is_shown(monkeypatch):
    monkeypatch.setattr(describe, "prove_mean", lambda act: sg.prove_mean(act, sg.mu))
    assert rows(sg.Activation("wrong", Max(0, x)))["proof"].startswith("refuted; ")


def test_latex_that_fails_is_text(monkeypatch):
    monkeypatch.setattr("sympy.latex", lambda _: 1 / 0)
    assert r"= \text{x^2}" in sg.Activation("plain", x**2)._repr_latex_()


def test_nothing_is_computed_before_it_is_shown_and_nothing_twice(monkeypatch):
    proofs = []
    monkeypatch.setattr(describe, "prove_mean", lambda act: proofs.append(act) or sg.prove_mean(act))
    act = sg.Activation("shown_later", Max(0, x) + x / 7)
    assert act.label in repr(act) + f"{act}"
    assert act == pickle.loads(pickle.dumps(act))
    assert proofs == []
    assert str(act) == str(act)
    assert act._repr_latex_() == act._repr_latex_()
    assert proofs == [act]


def test_notebooks_get_an_array():
    tex = sg.activation("leaky_relu")._repr_latex_()
    assert tex.startswith(r"$\displaystyle \begin{array}{l} \operatorname{leaky\_relu}(x) = ")
    assert tex.endswith(r"\end{array} \end{array}$")
    assert r"h_{1} & \frac{99 \sigma \Phi\left(\frac{\mu}{\sigma}\right)}{100}" in tex
    assert r"\text{parameters} & \text{negative\_slope = 1/100}" in tex
    for name in ("selu", "silu", "hardtanh"):
        tex = sg.activation(name)._repr_latex_()
        assert tex.count(r"\begin{array}") == tex.count(r"\end{array}")
        bare = tex.replace(r"\{", "").replace(r"\}", "")
        assert bare.count("{") == bare.count("}")


def test_long_sums_take_several_lines_of_latex():
    total = sum(k * Max(0, x - k) for k in range(1, 10))
    head = sg.Activation("long", total)._repr_latex_().split(r"\begin{array}{ll}")[0]
    assert head.count(r"\qquad") >= 1
    for k in range(2, 10):
        assert head.count(f"{k} \\max\\left(0, x - {k}\\right)") == 1
