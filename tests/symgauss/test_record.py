"""Activations and their registry: parameters, validation, names."""

import pickle

import pytest
import sympy
from sympy import nan, oo

import symgauss as sg
from symgauss import x
from symgauss.record import register

a = sympy.Symbol("a", real=True)
b = sympy.Symbol("b", real=True)


def test_parameters_are_exact():
    leaky = sg.activation("leaky_relu", negative_slope=0.2)
    assert leaky.formula == sympy.Max(0, x) + sympy.Min(0, x) / 5
    assert sg.activation("leaky_relu", negative_slope=sympy.Symbol("a", real=True)).formula.free_symbols == {x, a}
    assert leaky.with_parameters(negative_slope=1).formula == sympy.Max(0, x) + sympy.Min(0, x)
    assert leaky.symbolic.formula == leaky.expr


def test_requires():
    with pytest.raises(ValueError, match=r"hardtanh requires min_val <= max_val, got"):
        sg.activation("hardtanh", min_val=2)
    assert sg.activation("hardtanh", min_val=1, max_val=1).conditions == ()
    low, high = sympy.symbols("min_val max_val", real=True)
    assert sg.activation("hardtanh").symbolic.conditions == (low <= high,)


def test_equality_hash_pickle_and_repr():
    one, same = (sg.activation("leaky_relu", negative_slope=s) for s in (0.2, sympy.Rational(1, 5)))
    other = sg.activation("leaky_relu")
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert pickle.loads(pickle.dumps(one)) == one
    assert repr(one) == "<Activation leaky_relu(negative_slope=1/5): Max(0, x) + Min(0, x)/5>"
    assert repr(sg.activation("gelu")) == "<Activation gelu: x*Phi(x)>"
    with pytest.raises(AttributeError):
        one.name = "else"


def test_labels_and_messages_are_one_line():
    act = sg.activation("leaky_relu", negative_slope=0.2)
    assert act.label == f"{act}" == "leaky_relu(negative_slope=1/5)"
    assert f"{sg.activation('relu'):>6}" == "  relu"
    assert sg.prove_mean(act).subject == "leaky_relu(negative_slope=1/5): mean"
    for refused in (sg.Activation("wide", sympy.exp(x**2)), sg.Activation("bell", 1 / (1 + x**2))):
        with pytest.raises((ValueError, sg.NoClosedForm)) as caught:
            sg.gaussian_mean(refused)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(refused.label)


def test_activation_passes_activations_through():
    act = sg.Activation("snake", x + sympy.sin(2 * x) ** 2 / 2)
    assert sg.activation(act) is act


@pytest.mark.parametrize(("alias", "name"), [("bump", "gaussian_bump"), ("gaussian", "gaussian_bump")])
def test_aliases(alias, name):
    assert sg.activation(alias) == sg.activation(name)
    assert alias not in sg.activation_names()


def test_unknown_names_suggest():
    with pytest.raises(sg.UnknownActivation, match=r"no activation 'gelo'; did you mean .*gelu") as caught:
        sg.activation("gelo")
    assert isinstance(caught.value, ValueError)
    with pytest.raises(sg.UnknownActivation, match="known: abs, celu"):
        sg.activation("qqqq")
    with pytest.raises(TypeError, match="takes a name or an Activation"):
        sg.activation(3)


def test_unknown_parameters_list_the_valid_ones():
    with pytest.raises(TypeError, match="no parameter 'slope'; its parameters are: negative_slope"):
        sg.activation("leaky_relu", slope=1)
    with pytest.raises(TypeError, match="no parameter 'slope'; its parameters are: none"):
        sg.activation("relu", slope=1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("f", "x + 1"), TypeError, "must be a SymPy expression in symgauss.x"),
        (("f", None), TypeError, "must be a SymPy expression"),
        (("f", x > 0), TypeError, "must be a SymPy expression"),
        (("f", sympy.Symbol("x") ** 2), ValueError, "contains x"),
        (("f", a * x), ValueError, "contains a"),
        (("f", sympy.I * x), ValueError, "must be real and finite"),
        *((("f", sympy.Piecewise((end, x < 0), (x, True))), ValueError, "real and finite") for end in (oo, -oo, nan)),
        (("not a name", x), ValueError, "must be an identifier"),
        (("", x), ValueError, "must be an identifier"),
        *(((word, x), ValueError, "no keyword of Python") for word in ("lambda", "for", "None")),
        (("f", a * x, {"a": 1}), ValueError, "A parameter must be a real symbol"),
        (("f", x, {x: 1}), ValueError, "A parameter must be a real symbol"),
        (("f", a * x, {a: "1"}), TypeError, "the value of a must be a real number"),
        (("f", a * x, {a: float("nan")}), ValueError, "must be finite"),
        (("f", a * x, {a: float("inf")}), ValueError, "must be finite"),
        (("f", a * x, {a: sympy.I}), ValueError, "must be finite, real"),
        (("f", a * x, {a: x}), ValueError, "free of x"),
    ],
)
def test_bad_activations(arguments, error, message):
    with pytest.raises(error, match=message):
        sg.Activation(*arguments)


def test_floats_in_expressions_become_exact():
    assert sg.Activation("f", 0.5 * x).expr == x / 2
    assert sg.Activation("one", 1).expr == 1


def test_register_refuses_taken_names():
    with pytest.raises(ValueError, match="'gelu' is taken"):
        register(sg.Activation("mine", x), "gelu")
    assert "mine" not in sg.activation_names()
    register(sg.activation("gelu"))  # the same again is fine
