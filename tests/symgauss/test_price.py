"""True covariances are proved, impostors are not, and true formulas in foreign clothes are never refuted."""

import itertools
import time
from fractions import Fraction

import mpmath
import pytest
import sympy
from sympy import Abs, Piecewise, Rational, asin, exp, oo, pi, sqrt

import symgauss as sg
from symgauss import Phi, Phi2, covariance_proof, mu, mu_1, mu_2, phi, rho, sigma, sigma_1, sigma_2, x
from symgauss import covariance_witness as witness
from symgauss.price import CovarianceForm, PairReader, PairSurds, price_residual, vanishes
from symgauss.surds import Outside
from tests.marks import mostly_slow
from tests.symgauss.definition import CATALOGUE, expectation
from tests.symgauss.plane import FUNCTIONS, UNUSUAL, assert_close, plane_integral

both = rho * sigma_1 * sigma_2


def at_1(mean):
    return mean.xreplace({mu: mu_1, sigma: sigma_1})


def at_2(mean):
    return mean.xreplace({mu: mu_2, sigma: sigma_2})


def seconds_for(acts):
    """Processor time to prove them all."""
    start = time.process_time()
    for act in acts:
        proof = sg.prove_covariance(act)
        assert proof.status == "proved", str(proof)
        assert proof.holds
    return time.process_time() - start


# One of each kind: a polynomial, a jump, a kink, an exponential and a kink, Φ, Φ − ½, a wave, a Gaussian factor.
REPRESENTATIVE = ("square", "step", "leaky_relu", "elu", "gelu", "erf", "sin", "gaussian_bump")


# The kernels that are checked in come from proofs too: the fast suite proves all of them to compare the texts.
@pytest.mark.parametrize("names", [REPRESENTATIVE, pytest.param(tuple(FUNCTIONS), marks=pytest.mark.slow)], ids=len)
def test_the_whole_catalogue_is_proved_in_seconds(names):
    """With symbolic parameters, so for all their values."""
    assert set(names) <= set(FUNCTIONS)
    assert seconds_for(sg.activation(name).symbolic for name in names) < 60


@pytest.mark.slow
def test_the_values_parameters_come_with_are_proved_too():
    assert seconds_for(act for act in map(sg.activation, FUNCTIONS) if act.parameters) < 60


SLOW = {
    *("the square of y times Φ", "a Gaussian factor and a step", "a Gaussian factor and Φ", "a cube in pieces"),
    *("Φ and a step", "a wave under a Gaussian"),
}


@pytest.mark.parametrize("kind", mostly_slow(UNUSUAL, fast=set(UNUSUAL) - SLOW))
def test_proofs_beyond_the_catalogue(kind):
    proof = sg.prove_covariance(UNUSUAL[kind][0])
    assert proof.holds, str(proof)


@pytest.mark.parametrize(
    ("left", "right"), [("sin", "square"), ("exp", "step"), pytest.param("relu", "gelu", marks=pytest.mark.slow)]
)
def test_two_different_activations(left, right):
    proof = sg.prove_covariance(left, other=right)
    assert proof.holds, str(proof)
    assert str(proof).startswith(f"{sg.activation(left).label} and {sg.activation(right).label}: covariance proved")
    assert "M(mu_1, sigma_1) N(mu_2, sigma_2)" in str(proof)
    exchanged = sg.prove_covariance(right, proof.formula, left)
    assert exchanged.status == "refuted", str(exchanged)


IMPOSTORS = {
    "a factor": lambda u: u * (1 + Rational(1, 10**9)),
    "a constant": lambda u: u + Rational(1, 10**15),
    "a covariance": lambda u: u + both,
    "what vanishes at C = 0": lambda u: u + both * mu_1,
    "flat at C = 0": lambda u: u + exp(-1 / rho**2),
    "another solution": lambda u: u + mu_1 * mu_2 + both,
    "a solution with an essential singularity at C = 0": lambda u: u + exp(-mu_1 * mu_2 / both) / both,
    "a heat kernel in the sum": lambda u: u + phi((mu_1 + mu_2) / sqrt(2 * both)) / sqrt(both),
    "heat kernels, even in rho": lambda u: (
        u
        + Piecewise(
            (phi((mu_1 + mu_2) / sqrt(2 * both)) / sqrt(both), rho > 0),
            (phi((mu_1 - mu_2) / sqrt(-2 * both)) / sqrt(-both), rho < 0),
            (0, True),
        )
    ),
    "the size of rho": lambda u: u.subs(rho, Abs(rho)),
    "the root of its square": lambda u: u.subs(rho, sqrt(rho**2)),
    "turned round for rho < 0": lambda u: Piecewise((u, rho >= 0), (u.subs(rho, -rho), True)),
    "its cube": lambda u: u.subs(rho, rho**3),
    "the arc sine for rho": lambda u: u.subs(rho, 2 * asin(rho) / pi),
    "equal deviations": lambda u: u.subs(sigma_2, sigma_1),
    "means 0": lambda u: u.subs({mu_1: 0, mu_2: 0}),
    "equal means": lambda u: u.subs(mu_2, mu_1),
    "uncorrelated": lambda u: u.subs(rho, 0),
    "a tail": lambda u: u + Phi2(mu_1 / sigma_1, mu_2 / sigma_2, rho) / 1000,
    "a solution in mu_1 alone": lambda u: u + Phi(mu_1),
}
_FAST, _SLOW = ("step", "relu", "sin", "erf"), ("gelu", "hardtanh", "elu", "gaussian_bump")


@pytest.mark.parametrize("kind", IMPOSTORS)
@pytest.mark.parametrize("name", [*_FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in _SLOW)])
def test_impostors_are_refuted(name, kind):
    proof = sg.prove_covariance(name, IMPOSTORS[kind](sg.gaussian_covariance(name)))
    assert proof.status == "refuted", str(proof)
    assert not proof.holds


@pytest.mark.parametrize("name", _FAST)
def test_the_centred_covariance_is_refuted(name):
    mean = sg.gaussian_mean(name)
    proof = sg.prove_covariance(name, sg.gaussian_covariance(name) - at_1(mean) * at_2(mean))
    assert [step.status for step in proof.steps] == ["proved", "refuted", "unproved", "proved"]


def test_covariances_of_others_are_refuted():
    names = ("relu", "sin", "step", "square", "gaussian_bump")
    for left, right in itertools.permutations(names, 2):
        assert sg.prove_covariance(left, sg.gaussian_covariance(right)).status == "refuted", (left, right)


@pytest.mark.slow
def test_a_kernel_for_means_0_is_refuted():
    """The arc-cosine kernel of degree 1, right where both means are 0."""
    kernel = sigma_1 * sigma_2 * (sqrt(1 - rho**2) + rho * (pi / 2 + asin(rho))) / (2 * pi)
    centred = {mu_1: 0, mu_2: 0, sigma_1: 2, sigma_2: Rational(1, 3), rho: Rational(-2, 5)}
    assert abs((kernel - sg.gaussian_covariance("relu")).subs(centred).evalf(20)) < 1e-19
    assert sg.prove_covariance("relu", kernel).status == "refuted"


@pytest.mark.parametrize(
    ("extra", "statuses"),
    [
        (exp(-mu_1 * mu_2 / both) / both, ["proved", "proved", "unproved", "unproved", "refuted"]),
        (mu_1 * mu_2 + both, ["proved", "proved", "unproved", "proved", "refuted"]),
        (both, ["proved", "refuted", "proved", "proved"]),
    ],
)
def test_each_condition_is_needed(extra, statuses):
    """Without analyticity, the start, or Price's equation an impostor would get in."""
    proof = sg.prove_covariance("relu", sg.gaussian_covariance("relu") + extra)
    assert [step.status for step in proof.steps] == statuses, str(proof)
    assert [step.name for step in proof.steps][:4] == ["mean", "Price", "start", "analyticity"]


@pytest.mark.parametrize("tiny", [Rational(1, 10**60), Phi(mu_1 - 2000) * Rational(1, 10**40)])
def test_what_no_point_shows_is_still_not_proved(tiny):
    assert sg.prove_covariance("step", sg.gaussian_covariance("step") + tiny).status == "unproved"


FOREIGN = {
    "always the first branch": lambda u: Piecewise((u, rho < 5), (0, True)),
    "two equal branches": lambda u: Piecewise((u, sympy.Ne(mu_1, 0)), (u, True), evaluate=False),
    "nothing": lambda u: u + sympy.Heaviside(rho) * sympy.Heaviside(-rho - 1),
    "an arc sine and its arc tangent": lambda u: u + asin(rho) - sympy.atan(rho / sqrt(1 - rho**2)),
    "a logarithm": lambda u: u + sympy.log(sigma_1) - sympy.log(sigma_1**2) / 2,
    "a removable pole": lambda u: u * rho / rho + (rho**2 + rho) / rho - rho - 1,
}


# What is not read is compared at many points with integrals, which for relu and hardtanh take long.
CLOTHED = [(name, kind) for name in ("sin", "relu", "hardtanh") for kind in FOREIGN]


@pytest.mark.parametrize(
    ("name", "kind"),
    [pytest.param(*case, marks=() if case == ("relu", "a removable pole") else pytest.mark.slow) for case in CLOTHED],
)
def test_true_formulas_are_never_refuted(name, kind):
    assert sg.prove_covariance(name, FOREIGN[kind](sg.gaussian_covariance(name))).status in ("proved", "unproved")


U_RELU = sg.gaussian_covariance("relu")
H, K = mu_1 / sigma_1, mu_2 / sigma_2


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("relu", U_RELU.rewrite(sympy.erf)),
        ("relu", U_RELU.rewrite(exp)),
        ("relu", sympy.expand(U_RELU)),
        ("relu", U_RELU.xreplace({Phi2(H, K, rho): Phi(H) - Phi2(H, -K, -rho)})),
        ("relu", U_RELU.xreplace({Phi2(H, K, rho): Phi(H) + Phi(K) - 1 + Phi2(-H, -K, rho)})),
        ("relu", U_RELU.xreplace({sqrt(1 - rho**2): sqrt(1 - rho) * sqrt(1 + rho)})),
        ("step", Phi2(H, K, rho / 2 + sqrt(rho**2) * sqrt(rho**2) / (2 * rho))),
        ("abs", sg.gaussian_covariance(sympy.Max(x, 0) + sympy.Max(-x, 0))),
        ("erf", sg.gaussian_covariance(2 * Phi(sqrt(2) * x) - 1)),
        ("sin", exp(-(sigma_1**2 + sigma_2**2) / 2) * (
            sympy.sinh(both) * sympy.cos(mu_1) * sympy.cos(mu_2) + sympy.cosh(both) * sympy.sin(mu_1) * sympy.sin(mu_2)
        )),
    ],
)  # fmt: skip
def test_other_ways_to_write_a_covariance_are_proved(name, claim):
    proof = sg.prove_covariance(name, claim)
    assert proof.holds, str(proof)


def test_an_activation_without_closed_form():
    with pytest.raises(sg.NoClosedForm):
        sg.prove_covariance("tanh")
    proof = sg.prove_covariance("tanh", mu_1 * mu_2)
    assert [step.status for step in proof.steps] == ["unproved", "refuted", "unproved", "proved"]
    # Price's equation holds; at rho = 0 the integrals of tanh itself refute it.
    proof = sg.prove_covariance("tanh", mu_1 * mu_2 + both)
    assert [step.status for step in proof.steps] == ["unproved", "proved", "unproved", "proved", "refuted"]
    assert "rho = 0 the formula gives" in proof.steps[-1].reason
    with pytest.raises(sg.GrowsTooFast):
        sg.prove_covariance(exp(x**2 / 4), mu_1)


def test_a_mean_that_is_not_proved_proves_nothing(monkeypatch):
    doubt = sg.Proof("relu: mean", mu, (sg.Step("growth", "", "", "unproved"),))
    monkeypatch.setattr(covariance_proof, "prove_mean", lambda *_: doubt)
    proof = sg.prove_covariance("relu")
    assert proof.status == "unproved"
    assert proof.steps[0].reason == "relu: mean unproved"


def test_symbolic_parameters_are_refuted_with_values():
    leaky = sg.activation("leaky_relu").symbolic
    proof = sg.prove_covariance(leaky, U_RELU)
    assert proof.status == "refuted"
    assert "at negative_slope = " in proof.steps[-1].reason
    shrink = sg.activation("softshrink").symbolic
    proof = sg.prove_covariance(shrink, sg.gaussian_covariance(shrink, leaky) + 1, leaky)
    assert proof.status == "refuted"
    assert "lambd = " in proof.steps[-1].reason
    assert "negative_slope = " in proof.steps[-1].reason


def test_the_text_of_a_proof():
    assert str(sg.prove_covariance("gelu")).splitlines() == [
        "gelu: covariance proved",
        "  mean            M = E activation(mu + sigma Z)                      proved by the heat equation",
        "  Price           ∂u/∂C = ∂²u/∂mu_1∂mu_2, C = rho sigma_1 sigma_2     difference is 0",
        "  start           u = M(mu_1, sigma_1) M(mu_2, sigma_2) at C = 0      difference is 0",
        "  analyticity     u is analytic for |C| < sigma_1 sigma_2             made of analytic functions, |rho| < 1",
    ]


def test_a_witness_has_its_values():
    """∂/∂C − ∂²/∂mu_1∂mu_2 of the addition at the first point, by hand; and both sides of a wrong number."""
    proof = sg.prove_covariance("relu", U_RELU + both**2 * mu_1)
    assert proof.steps[1].reason == (
        "at mu_1 = 1/2, sigma_1 = 1, mu_2 = -1/3, sigma_2 = 3/2, rho = 3/5 the difference is 0.9"
    )
    proof = sg.prove_covariance("step", Phi2(H, K, rho) + 1)
    place = tuple(map(Fraction, ("1/2", "1", "-1/3", "3/2", "3/5")))
    true, _ = plane_integral(*FUNCTIONS["step"], *FUNCTIONS["step"], place)
    shown = proof.steps[-1].reason.split("the integral ")[1]
    assert_close(float(shown), true, 1, 1e-4)
    assert f"the formula gives {1 + float(shown):.7f}".rstrip("0")[:28] in proof.steps[-1].reason


def test_latex():
    text = sg.prove_covariance("relu")._repr_latex_()
    assert text.startswith("$")
    assert text.endswith("$")
    assert r"\Phi_2\left(\frac{\mu_{1}}{\sigma_{1}}, \frac{\mu_{2}}{\sigma_{2}}, \rho\right)" in text
    assert r"\partial_C u = \partial_{\mu_1} \partial_{\mu_2} u" in text
    assert text.count(r"\text{proved}") == 4


@pytest.mark.parametrize(
    ("claim", "error", "message"),
    [
        ("mu_1", TypeError, "must be a SymPy expression"),
        (x, ValueError, "contains x"),
        (mu, ValueError, r"contains mu; write it in symgauss\.mu_1"),
        (sympy.Symbol("rho"), ValueError, "contains rho"),
        *((claim, ValueError, "real and finite") for claim in (sympy.I * U_RELU, mu_1 + sympy.zoo, sympy.nan, oo)),
    ],
)
def test_bad_claims(claim, error, message):
    with pytest.raises(error, match=message):
        sg.prove_covariance("relu", claim)


def test_a_claim_with_floats_is_read_as_decimal_text():
    assert sg.prove_covariance(x / 2, 0.25 * (mu_1 * mu_2 + both)).holds
    assert sg.prove_covariance(sympy.Rational(1, 2) + 0 * x, 0.25).holds


# The normal form


def test_zero_is_seen_and_only_zero():
    h, k = sympy.symbols("mu_1 mu_2", real=True)
    value = Phi2(h, k, rho)
    density = exp(-(h**2 + k**2 - 2 * rho * h * k) / (2 * (1 - rho**2))) / (2 * pi * sqrt(1 - rho**2))
    assert vanishes(value.diff(rho) - density)
    assert vanishes(value.diff(rho) - value.diff(h, k))
    assert vanishes(value + Phi2(h, -k, -rho) - Phi(h))
    assert vanishes(Phi2(0, k, -rho) + Phi2(0, k, rho) - Phi(k))
    assert vanishes(Phi2(h, 0, -rho) + Phi2(h, 0, rho) - Phi(h))
    assert vanishes(Phi2(-h, k, rho * 0) - Phi(-h) * Phi(k))
    for other in (
        Phi2(h, k, -rho),
        Phi2(-h, k, rho),
        Phi2(h, k, rho**2),
        Phi2(h, 2 * k, rho),
        Phi(h) * Phi(k),
        value**2,
    ):
        assert not vanishes(value - other)


READ = [
    sqrt(1 / (1 - rho)),
    sqrt((2 - rho) / (1 - rho)),
    sqrt((rho - 2) / (rho - 1)) + 1 / sqrt(1 - rho**2),
    (1 - rho**2) ** Rational(-3, 2),
    sqrt((1 - rho) ** 3 / (3 + sigma_1) ** 5),
    sqrt(Rational(2, 3) * (4 - sigma_1 * (rho - 1)) / (rho - 2) ** 2) / (rho - 1),
    Phi2(-mu_1, mu_2 / (rho - 1), rho),
    Phi2(-mu_1 / sigma_1, -mu_2 / sqrt(1 + sigma_2**2), -rho / sqrt(2 + sigma_1)),
    Phi2(0, -mu_2, -rho) * Phi(mu_1 / (rho - 2)),
    Phi2(mu_1 - mu_2, mu_2 - mu_1, rho**2),
    phi(mu_1 / sqrt(1 - rho)) * sympy.sin(mu_2 * rho) * exp(mu_1 / (rho - 1)),
    sg.gaussian_covariance("elu"),
    sg.gaussian_covariance("gelu"),
    price_residual(mu_1**2 * sg.gaussian_covariance("gelu")),
]


@pytest.mark.parametrize("formula", READ, ids=lambda formula: str(formula)[:40])
def test_what_is_read_is_what_was_written(formula):
    reader = PairReader([formula])
    back = reader.expr(reader.form(formula))
    for point in itertools.islice(witness.points(sympy.S.Zero), 3):
        written, read = (expr.xreplace(point.values).evalf(20) for expr in (formula, back))
        assert abs(written - read) < 1e-17 * (1 + abs(written)), (written, read)


def test_sums_over_denominators_are_the_sums():
    """The reader's own addition against SymPy's arithmetic."""
    terms = [
        mu_1 / (1 + sigma_1**2),
        -mu_2 / sigma_1,
        sqrt(1 - rho**2) / (1 + sigma_1**2),
        mu_1 / sigma_1,
        -mu_1 / sigma_1,
    ]
    reader = PairReader([sympy.Add(*terms)])
    form = reader.add(*(reader.form(term) for term in terms))
    difference = (reader.expr(form) - sympy.Add(*terms)).xreplace({sqrt(1 - rho**2): sqrt(1 - rho) * sqrt(1 + rho)})
    assert sympy.simplify(difference) == 0
    assert reader.add(reader.form(terms[3]), reader.form(terms[4])) == {}


@pytest.mark.parametrize(
    ("polynomial", "sign"),
    [
        (1 - rho**2, 1),
        (rho - 1, -1),
        (1 + rho, 1),
        (rho, 0),
        (2 - rho**2, 1),
        (1 - 2 * rho**2, 0),
        (1 + sigma_1**2 + sigma_2**2 + sigma_1**2 * sigma_2**2 * (1 - rho**2), 1),
        (sigma_1**2 * rho**2 - 1 - sigma_1**2, -1),
        (1 + sigma_1**2 - sigma_2**2, 0),
        (1 + mu_1**2, 1),
        (1 + mu_1, 0),
        (mu_1**2, 0),
        (sigma_1 - sigma_2, 0),
        (1 + sympy.Symbol("a", real=True) ** 2 * sigma_1**2, 1),
        (sympy.Symbol("a", nonnegative=True) + sigma_1, 1),
        (sympy.Symbol("a", nonnegative=True) * sigma_1, 0),
        (sigma_1**2 - 2 * rho * sigma_1 * sigma_2 + 2 * sigma_2**2, 0),  # positive, but not seen to be
    ],
)
def test_signs_for_all_deviations_and_correlations(polynomial, sign):
    surds = PairSurds([mu_1, sigma_1, mu_2, sigma_2, rho, *sorted(polynomial.free_symbols, key=str)])
    numerator = surds.field.from_expr(polynomial).numer
    assert surds.sign(numerator) == sign


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        (mu_1 / rho, "the denominator rho"),
        (exp(mu_1 / rho), "the denominator rho"),
        (Phi(mu_1 / (1 - 2 * rho)), "the denominator 2*rho - 1"),
        (Phi2(mu_1, mu_2, rho / (1 + sigma_1 - sigma_2)), "correlation"),
        (Phi2(mu_1 / mu_2, mu_2, rho), "the denominator mu_2"),
        (Phi2(mu_1, mu_2, 2 * rho), "correlation 2*rho"),
        (Phi2(mu_1, mu_2, sqrt(1 - rho**2)), "correlation"),
        (Phi2(mu_1, mu_2, mu_1), "correlation mu_1"),
        (sqrt(rho), "sqrt(rho)"),
        (sqrt(1 - 2 * rho), "2*rho - 1"),
        (sqrt(rho - 1), "the root of a negative number"),
        (sqrt(1 + sqrt(1 - rho**2)), "nested"),
        (sqrt(rho**2), "Abs"),
        (sympy.asin(rho), "asin"),
        (sympy.sign(rho), "sign"),
        (sympy.Max(rho, 0), "Max"),
    ],
)
def test_what_is_not_seen_to_be_analytic(formula, reason):
    with pytest.raises(Outside) as caught:
        CovarianceForm(formula).check_analytic()
    assert reason in str(caught.value)


def test_analytic_formulas_are_seen():
    for formula in (
        Phi2(mu_1, mu_2, rho / 2),
        Phi2(mu_1, mu_2, rho**2 * sigma_1 / (1 + sigma_1)),
        mu_1 / (1 + mu_2**2) + sympy.cos(mu_1 * rho) / sqrt(3 - rho**2 - sigma_1**2 * (rho - 1)),
    ):
        CovarianceForm(formula).check_analytic()


# Witnesses


@pytest.mark.slow
def test_the_definition_by_conditioning_is_the_double_integral():
    for name in ("relu", "elu", "sin", "gelu"):
        formula, mean = sg.activation(name).formula, sg.gaussian_mean(name)
        for point in itertools.islice(witness.points(formula), 2):
            found = witness.definition(formula, formula, mean, point)
            place = tuple(Fraction(value.p, value.q) for value in point)
            true, size = plane_integral(*FUNCTIONS[name], *FUNCTIONS[name], place)
            assert found is not None
            assert_close(found.value, true, size)
            assert found.error < 1e-20


def test_without_correlation_the_definition_is_a_product_to_all_digits():
    function, cuts = CATALOGUE["relu"]
    point = witness.Point(*map(Rational, ("1/2", "1", "-1/3", "3/2", "0")))
    found = witness.definition(sympy.Max(x, 0), sympy.Max(x, 0), None, point)
    true = [
        expectation(function, mean, std, cuts)
        for mean, std in ((Fraction(1, 2), Fraction(1)), (Fraction(-1, 3), Fraction(3, 2)))
    ]
    with mpmath.workdps(30):
        assert abs(found.value - true[0] * true[1]) < 1e-24
    assert (
        witness.definition(sympy.Max(x, 0), sympy.Max(x, 0), None, point._replace(correlation=Rational(3, 5))) is None
    )


def test_the_residual_by_hand():
    assert price_residual(both) == 1
    assert price_residual(mu_1 * mu_2 + both) == 0
    assert price_residual(mu_1**2 * mu_2**3 * both) == sympy.expand(mu_1**2 * mu_2**3 - 6 * mu_1 * mu_2**2 * both)


def test_numbers_that_cannot_be_trusted_are_no_witnesses():
    point = next(witness.points(sympy.S.Zero))
    t = sympy.Symbol("t", real=True)
    for formula in (
        sympy.Integral(exp(-(t**2)), (t, 0, mu_1)),
        Phi2(mu_1, mu_2, rho + 1),
        sqrt(rho - 1),
        1 / (rho - Rational(3, 5)),
    ):
        assert witness.number(formula, point) is None
    assert witness.number(sympy.sign(sympy.sin(rho) ** 2 + sympy.cos(rho) ** 2 - 1), point) is None
    found = witness.number(Phi2(mu_1, mu_2, rho), point)
    assert found is not None
    assert found.error < 1e-30
