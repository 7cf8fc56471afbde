"""True means are proved, impostors are not, and true formulas in foreign clothes are never refuted."""

import time

import pytest
import sympy
from sympy import Abs, Piecewise, Rational, cos, exp, pi, sqrt

import symgauss as sg
from symgauss import Phi, mu, phi, sigma, x

# Integrated by quadrature; everything else in the catalogue has a mean to prove.
INTEGRATED = {
    *("sigmoid", "logsigmoid", "tanh", "tanhshrink", "silu", "softplus", "mish", "quick_gelu", "gelu_tanh", "softsign"),
}
NAMES = [name for name in sg.activation_names() if name not in INTEGRATED]


def kernel(c):
    return phi((mu - c) / sigma) / sigma


def dipole(c):
    return kernel(c).diff(mu)


def test_the_whole_catalogue_is_proved_in_seconds():
    start = time.process_time()
    for name in NAMES:
        record = sg.activation(name)
        for act in {record, record.symbolic}:
            proof = sg.prove_mean(act)
            assert proof.status == "proved", str(proof)
            assert proof.holds
    assert time.process_time() - start < 120


IMPOSTORS = {
    "a factor": lambda m: m * (1 + Rational(1, 10**9)),
    "a constant": lambda m: m + Rational(1, 1000),
    "a tiny constant": lambda m: m + Rational(1, 10**15),
    "a dipole at 0": lambda m: m + dipole(0),
    "a dipole elsewhere": lambda m: m + dipole(Rational(7, 3)) / 100,
    "a far dipole": lambda m: m + dipole(20),
    "a kernel at 0": lambda m: m + kernel(0) / 1000,
    "a kernel elsewhere": lambda m: m - kernel(-1),
    "a quadrupole": lambda m: m + kernel(1).diff(mu, 2),
    "two kernels that cancel far away": lambda m: m + kernel(1) - kernel(-1),
    "sigma turned round": lambda m: m.subs(sigma, -sigma) + phi(mu / sigma) * sigma,
    "another variance": lambda m: m.subs(sigma, sigma * (1 + Rational(1, 1000))) + sigma**2,
    "flat at sigma = 0": lambda m: m + exp(-1 / sigma**2),
    "vanishing at sigma = 0": lambda m: m + sigma**2,
    "caloric, not 0 at sigma = 0": lambda m: m + mu**2 + sigma**2,
    "a step elsewhere": lambda m: m + Phi((mu - 2) / sigma),
    "caloric and growing": lambda m: m + exp(mu + sigma**2 / 2),
    "a kernel with a complex centre": lambda m: m + exp((1 - mu**2) / (2 * sigma**2)) * cos(mu / sigma**2) / sigma,
    "a product of two": lambda m: m + Phi(-mu / sigma) * Phi(mu / sigma),
}


@pytest.mark.parametrize("kind", IMPOSTORS)
@pytest.mark.parametrize("name", NAMES)
def test_impostors_are_refuted(name, kind):
    proof = sg.prove_mean(name, IMPOSTORS[kind](sg.gaussian_mean(name)))
    assert proof.status == "refuted", str(proof)
    assert not proof.holds


@pytest.mark.parametrize("name", NAMES)
def test_means_of_others_are_refuted(name):
    for other in NAMES:
        # with alpha = 1, celu is elu
        same = other == name or {name, other} == {"celu", "elu"}
        expected = "proved" if same else "refuted"
        assert sg.prove_mean(name, sg.gaussian_mean(other)).status == expected, (name, other)


M_RELU = mu * Phi(mu / sigma) + sigma * phi(mu / sigma)


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("relu", Piecewise((mu, mu > 0), (0, True))),
        ("relu", (mu + sqrt(mu**2 + sigma**2)) / 2),
        ("relu", mu * Phi(mu / sigma)),
        ("relu", M_RELU.subs(Phi(mu / sigma), 1 / (1 + exp(-Rational(1702, 1000) * mu / sigma)))),
        ("relu", M_RELU.subs(mu, mu - Rational(1, 10**6))),
        ("step", Rational(1, 2) + sympy.atan(mu / sigma) / pi),
        ("step", Phi(mu / sigma**2)),
        ("step", Phi((mu + sigma**3) / sigma)),
        ("step", 1 - Phi(mu / sigma)),
        ("gelu", mu * Phi(1702 * mu / (1000 * sqrt(1 + sigma**2)))),
        ("gelu", mu * Phi(mu / sqrt(sigma**2 + 1)) + sigma**2 * phi(mu / sqrt(sigma**2 + 1))),
        ("hardtanh", sg.gaussian_mean(sympy.Min(sympy.Max(x, -1), Rational(1001, 1000)))),
        ("sin", sympy.sin(mu)),
        ("gaussian_bump", exp(-(mu**2) / (2 * (1 + sigma**2)))),
        ("abs", 2 * mu * Phi(mu / sigma) - mu + 2 * sigma * phi(mu / sigma) * sympy.tanh(1 / sigma)),
    ],
)
def test_special_impostors_are_refuted(name, claim):
    proof = sg.prove_mean(name, claim)
    assert proof.status == "refuted", str(proof)


@pytest.mark.parametrize("tiny", [Rational(1, 10**60), dipole(2000), kernel(10**6)])
def test_what_no_point_shows_is_still_not_proved(tiny):
    assert sg.prove_mean("relu", M_RELU + tiny).status == "unproved"


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("relu", Piecewise((M_RELU, sympy.Ne(mu, 0)), (sigma / sqrt(2 * pi), True))),
        ("relu", Piecewise((M_RELU, mu < 1), (M_RELU, True), evaluate=False)),
        ("abs", Abs(mu) * (2 * Phi(Abs(mu) / sigma) - 1) + 2 * sigma * phi(mu / sigma)),
        ("abs", sqrt(mu**2) * (2 * Phi(sqrt(mu**2) / sigma) - 1) + 2 * sigma * phi(mu / sigma)),
        ("relu", M_RELU + sympy.gamma(mu) * 0 + sympy.Heaviside(mu) * sympy.Heaviside(-mu - 1)),
        ("sin", sympy.Sum(0, (sympy.Symbol("k"), 1, 2)) + exp(-(sigma**2) / 2) * sympy.sin(mu)),
        ("identity", mu + sympy.log(sigma) - sympy.log(sigma**2) / 2),
        ("step", (1 + sympy.erf(mu / sqrt(2) / sigma)) / 2),
        ("step", sympy.erfc(-mu / sqrt(2) / sigma) / 2),
        ("gelu", sympy.expand(sg.gaussian_mean("gelu").rewrite(sympy.erf).rewrite(exp))),
    ],
)
def test_true_formulas_are_never_refuted(name, claim):
    assert sg.prove_mean(name, claim).status in ("proved", "unproved")


@pytest.mark.parametrize(
    "claim",
    [
        M_RELU.rewrite(sympy.erf),
        M_RELU.rewrite(exp),
        sympy.expand((mu + sigma) ** 3 * Phi(mu / sigma)) / (mu + sigma) ** 2 * 0 + M_RELU,
        mu - mu * Phi(-mu / sigma) + sigma * phi(-mu / sigma),
        mu / 2 + mu * sympy.erf(mu / sigma / sqrt(2)) / 2 + sigma * exp(-(mu**2) / sigma**2 / 2) / sqrt(2 * pi),
    ],
)
def test_other_ways_to_write_the_mean_are_proved(claim):
    assert sg.prove_mean("relu", claim).holds


def test_an_activation_without_closed_form():
    with pytest.raises(sg.NoClosedForm):
        sg.prove_mean(sympy.tanh(x))
    assert sg.prove_mean(sympy.tanh(x), mu).status == "refuted"


def test_symbolic_parameters_are_refuted_with_values():
    leaky = sg.activation("leaky_relu").symbolic
    proof = sg.prove_mean(leaky, sg.gaussian_mean("relu"))
    assert proof.status == "refuted"
    assert "negative_slope = " in proof.steps[-1].reason
    hardtanh = sg.activation("hardtanh").symbolic
    assert sg.prove_mean(hardtanh, sg.gaussian_mean(hardtanh) + 1).status == "refuted"


@pytest.mark.parametrize("assumption", ["positive", "negative", "nonnegative", "nonpositive", "nonzero", "integer"])
def test_the_values_of_a_witness_respect_assumptions(assumption):
    a = sympy.Symbol("a", real=True, **{assumption: True})
    act = sg.Activation(
        "scaled", a * sympy.Max(x, 0), {a: -1 if assumption in ("negative", "nonpositive") else 1}
    ).symbolic
    proof = sg.prove_mean(act, a * M_RELU + 1)
    assert proof.status == "refuted"
    value = sympy.Rational(proof.steps[-1].reason.split("a = ")[1].split(",")[0])
    assert getattr(value, f"is_{assumption}")


def test_the_text_of_a_proof():
    assert str(sg.prove_mean("gelu")).splitlines() == [
        "gelu: mean proved",
        "  heat equation   ∂M/∂sigma = sigma ∂²M/∂mu²             difference is 0",
        "  growth          no negative power of sigma remains     |M| ≤ A exp(a mu²) for 0 < sigma ≤ S",
        "  initial value   M → x Phi(x) as sigma → 0+             almost everywhere",
    ]


def test_the_text_of_a_refutation_has_the_witness():
    proof = sg.prove_mean("relu", M_RELU + dipole(1))
    assert "sigma**(-2) remains at mu = 1" in str(proof)
    assert proof.steps[-1].status == "refuted"
    assert "the formula gives 0.8738" in proof.steps[-1].reason
    assert repr(proof) == "<Proof: relu: mean refuted>"


@pytest.mark.parametrize(
    ("name", "claim", "interval"),
    [
        ("relu", sympy.Integer(0), "M → 0 for 0 < x < oo, but the activation is x there"),
        ("hardtanh", mu, "M → x for -oo < x < -1, but the activation is -1 there"),
        ("step", Phi((mu - 2) / sigma), "M → 0 for 0 < x < 2, but the activation is 1 there"),
    ],
)
def test_the_interval_with_the_wrong_limit_is_named(name, claim, interval):
    assert interval in str(sg.prove_mean(name, claim))


@pytest.mark.parametrize(("addition", "difference"), [(sigma**2, "2.0"), (mu**2, "-2.0"), (mu * sigma**3, "1.5")])
def test_the_witness_against_the_heat_equation_has_its_value(addition, difference):
    """∂/∂sigma − sigma ∂²/∂mu² of the addition at (1/2, 1), by hand."""
    steps = sg.prove_mean("relu", M_RELU + addition).steps
    assert [step.name for step in steps] == ["heat equation", "growth", "initial value"]
    assert steps[0].status == "refuted"
    assert steps[0].reason == f"at mu = 1/2, sigma = 1 the difference is {difference}"


@pytest.mark.parametrize("p", [1, 2, 5])
def test_growth_is_judged_at_the_centre_of_any_kernel(p):
    """z² e^{−pz²/2} is bounded, and e^{−pz²/2}/sigma is not, z = (mu − 3)/sigma."""
    z = (mu - 3) / sigma
    bounded, unbounded = (
        sg.prove_mean("relu", M_RELU + factor * exp(-p * z**2 / 2)).steps[1] for factor in (z**2, 1 / sigma)
    )
    assert bounded.status == "proved"
    assert unbounded.reason == "sigma**(-1) remains at mu = 3"


def test_latex():
    text = sg.prove_mean("gelu")._repr_latex_()
    assert text.startswith("$")
    assert text.endswith("$")
    assert r"\Phi\left(\frac{\mu}{\sqrt{\sigma^{2} + 1}}\right)" in text
    assert r"\partial_\sigma M = \sigma\,\partial_\mu^2 M" in text
    assert text.count(r"\text{proved}") == 3
    assert r"\_" in sg.prove_mean("leaky_relu")._repr_latex_()


@pytest.mark.parametrize(
    ("claim", "error", "message"),
    [
        ("mu", TypeError, "must be a SymPy expression"),
        (x, ValueError, "contains x"),
        (sympy.Symbol("mu"), ValueError, "contains mu"),
        *((claim, ValueError, "real and finite") for claim in (sympy.I * M_RELU, mu + sympy.zoo, sympy.nan)),
        *((claim, ValueError, "real and finite") for claim in (sympy.oo, -sympy.oo, mu + sympy.oo)),
    ],
)
def test_bad_claims(claim, error, message):
    with pytest.raises(error, match=message):
        sg.prove_mean("relu", claim)


def test_a_claim_with_floats_is_read_as_decimal_text():
    assert sg.prove_mean(x / 2, 0.5 * mu).holds
    assert sg.prove_mean(x / 10, sympy.Float(0.1) * mu).holds
