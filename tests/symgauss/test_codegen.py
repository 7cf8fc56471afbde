"""From formula to source text: what is written, what is refused, and that the text computes the formula."""

import math
import os
import shutil
import subprocess
import sys
import types
from fractions import Fraction
from pathlib import Path

import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import symgauss as sg
from symgauss.codegen import __main__ as command
from symgauss.codegen import emit, plan, source
from symgauss.codegen.families.polynomial import polynomial_mean
from symgauss.codegen.ladder import Gate, Ladder, step, width
from symgauss.codegen.plan import NoKernel, make_plan
from symgauss.codegen.vocabulary import NotInVocabulary, lower
from symgauss.symbols import Phi, mu, phi, sigma, x
from tests.oracle.panels import by_integration

ROOT = Path(__file__).parents[2]
u = sympy.Symbol("u", real=True)


# The definition, and the emitted text run as plain Python with primitives from the math module.


def on_arrays(act):
    """σ as a NumPy function, by SymPy's own printing."""
    return sympy.lambdify(
        x,
        act.formula.rewrite(sympy.erf).replace(phi, lambda z: sympy.exp(-(z**2) / 2) / sympy.sqrt(2 * sympy.pi)),
        ["scipy", "numpy"],
    )


def _normal(z):
    return 0.5 * math.erfc(-z / math.sqrt(2)), math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _slip(quotient, mean, c, sigma):
    """|(μ − c)/σ| less |u|, in fractions."""
    return float(abs((Fraction(mean) - Fraction(c)) / Fraction(sigma)) - abs(Fraction(quotient)))


PLAIN = {
    "FARTHEST": 40.0,
    "LIFTED_FROM": 30.0,
    "DROP": 2.0**-256,
    "slip": _slip,
    "exp": math.exp,
    "expm1": math.expm1,
    "log1p": math.log1p,
    "tanh": math.tanh,
    "exp_tilted": lambda shift, a: math.exp(shift + a * a / 2),
    "gauss": lambda y: math.exp(-y * y / 2),
    "Phi_phi": _normal,
    "centred_Phi": lambda z: 0.5 * math.erf(z / math.sqrt(2)),
    "lifted_Phi_phi": lambda z, lifted: (_normal(z)[0], _normal(z)[1] * (2.0**256 if lifted else 1.0)),
    "I_1": lambda z, density: z * _normal(z)[0] + density,
    "I_2": lambda z, density: ((1 + z * z) * _normal(z)[0] + z * density) / 2,
}


def as_plain_python(text):
    """Execute an emitted module with the decorators and primitives of another target: plain Python."""
    jit, special = types.ModuleType("numeric.jit"), types.ModuleType("numeric.special")
    jit.device = jit.loop = lambda function: function
    vars(special).update(PLAIN)
    saved = {name: sys.modules.get(name) for name in ("numeric.jit", "numeric.special")}
    sys.modules |= {"numeric.jit": jit, "numeric.special": special}
    try:
        namespace: dict = {}
        exec(text, namespace)
        return namespace
    finally:
        for name, module in saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


SNAKE = sg.Activation("snake", x + sympy.sin(2 * x) ** 2 / 2)
INVENTED = [
    (SNAKE, ()),
    (sg.Activation("probit", Phi(3 * x - 1)), ()),
    (sg.Activation("gate", (x - 1) * Phi(2 * x + 1) + 3), ()),
    (sg.Activation("derivative_of_gelu", Phi(x) + x * phi(x)), ()),
    (sg.Activation("wavelet", x**2 * sympy.exp(-(x**2) / 2 + x)), ()),
    (sg.Activation("tilted_bump", (x - 1) * sympy.exp(-2 * x**2 + x)), ()),
    (sg.Activation("quintic", x**5 - 3 * x**4 + x**2 + 1), ()),
    (sg.Activation("leaky", sympy.Max(x - 1, 3 * x - 3)), (1,)),
    (sg.Activation("narrow_wavelet", x * sympy.exp(-2 * x**2 + x)), ()),
    (sg.Activation("two_waves", sympy.sin(x) - 2 * sympy.cos(3 * x + 1) + x**3), ()),
    (sg.Activation("jump", sympy.Piecewise((x**2 - 1, x > 2), (x, True))), (2,)),
    (sg.Activation("trapezoid", sympy.Max(0, x) - sympy.Max(0, x - 1) / 2), (0, 1)),
    (sg.Activation("dead_zone", sympy.Max(0, x - 1) + sympy.Min(0, x + 1)), (-1, 1)),
]


@pytest.mark.parametrize(("act", "breaks"), INVENTED, ids=lambda v: getattr(v, "name", ""))
@pytest.mark.parametrize(("m", "s"), [(0.3, 0.7), (-1.9, 2.5), (0.4, 30.0)])
def test_emitted_text_computes_the_definition(act, breaks, m, s):
    functions = as_plain_python(emit.formulas(make_plan(act)))
    sigma_of_y = on_arrays(act)
    true = by_integration(sigma_of_y, m, s, 8, breaks)
    h = functions["hermite"](m, s)
    g = functions["derivatives"](m, s)
    for k in range(9):
        size = math.sqrt(math.factorial(k)) * (1 + abs(m) + s) ** 3
        assert abs(h[k] - true[k]) < 1e-11 * size, k
        assert abs(g[k] * s**k - true[k]) < 1e-11 * size, k
    assert functions["value"](0.5) == pytest.approx(float(sigma_of_y(0.5)), rel=1e-14)


def test_the_comparison_notices_a_wrong_coefficient():
    functions = as_plain_python(emit.formulas(make_plan(SNAKE)).replace("h3 = ", "h3 = 1.001*"))
    true = by_integration(on_arrays(SNAKE), 0.3, 0.7, 3)
    assert abs(functions["hermite"](0.3, 0.7)[3] - true[3]) > 1e-7


# The ladder.


@pytest.mark.parametrize("n", range(5))
@pytest.mark.parametrize("point", [-2.5, -0.3, 1.7])
def test_ladder_is_the_mean_of_a_truncated_power(n, point):
    def truncated(z):
        return max(mpmath.mpf(0), point + z) ** n * mpmath.exp(-z * z / 2)

    true = mpmath.quad(truncated, [-point, 0, 12] if point > 0 else [-point, 12])
    true /= mpmath.factorial(n) * mpmath.sqrt(2 * mpmath.pi)
    assert float(step(n, u).subs(u, point).evalf()) == pytest.approx(float(true), rel=1e-11)


@pytest.mark.parametrize("n", range(-5, 5))
def test_ladder_derivative_lowers_the_index(n):
    difference = sympy.expand(sympy.diff(step(n, u), u) - step(n - 1, u))
    assert difference == 0


@pytest.mark.parametrize("n", range(9))
def test_the_mean_of_a_power_is_the_sum_of_its_binomials(n):
    """E (μ + sZ)^n with E Z^(2j) = (2j − 1)!!."""
    odd = (math.prod(range(1, 2 * j, 2)) for j in range(n // 2 + 1))
    terms = (math.comb(n, 2 * j) * mu ** (n - 2 * j) * sigma ** (2 * j) * c for j, c in enumerate(odd))
    assert polynomial_mean(x**n) == sympy.expand(sum(terms))


@settings(max_examples=20, deadline=None)
@given(smooth=st.booleans(), n=st.integers(-2, 2), alpha=st.integers(1, 3), beta=st.integers(-2, 2))
def test_multiplication_by_y_is_the_stein_operator(smooth, n, alpha, beta):
    gate = Gate(sympy.Integer(alpha if smooth else 1), sympy.Integer(beta), smooth)
    coefficient = sympy.Integer(1) if smooth or n < 0 else width**n
    ladder = Ladder(gate, {n: coefficient})
    mean = ladder.expression()
    true = mu * mean + sigma**2 * sympy.diff(mean, mu)
    at = {mu: sympy.Rational(3, 7), sigma: sympy.Rational(5, 4)}
    product = ladder.times_y().expression()
    assert abs((product - true).subs(at).evalf(30)) < 1e-25


# What is refused.


@pytest.mark.parametrize(
    ("expr", "named"),
    [
        (sympy.besselj(0, x), "besselj"),
        (sympy.gamma(x), "gamma"),
        (sympy.tan(x), "tan"),
        (sympy.Function("mystery")(x), "mystery"),
        (x**sympy.pi, r"the power x\*\*pi"),
        (sympy.oo * sympy.Symbol("a", positive=True), "oo"),
        (sympy.Max(x, -sympy.oo, evaluate=False), "-oo"),
        (sympy.I * x, "I"),
    ],
)
def test_functions_outside_the_vocabulary_are_refused_by_name(expr, named):
    with pytest.raises(NotInVocabulary, match=named):
        lower(x + 2 * expr)


@pytest.mark.parametrize("number", [sympy.oo, -sympy.oo, sympy.zoo, sympy.nan, sympy.I])
def test_what_is_no_real_number_is_refused(number):
    with pytest.raises(NotInVocabulary, match=f"^{number} is not in the vocabulary"):
        lower(sympy.Tuple(x, number))


def test_lowering():
    assert lower(x * Phi(x)) == "x*Phi_phi(x)[0]"
    assert lower(sympy.exp(-(sigma**2) / 2)) == "gauss(sigma)"
    assert lower(sympy.exp(-3 * mu)) == "exp(-3*mu)"
    assert lower(sympy.erf(x)) == "2.0*centred_Phi(sqrt(2)*x)"
    assert lower(sympy.pi * x) == "3.141592653589793*x"
    assert eval(lower(sympy.Rational(1, 3) * x**2), {"x": 3.0}) == 3.0
    assert eval(lower(sympy.sign(x)), {"x": -2.0}) == -1.0


@pytest.mark.parametrize(
    ("expr", "reason"),
    [
        (sympy.Max(0, x) ** 3, "jump x\\*\\*3"),
        (x * sympy.exp(x), "x\\*exp"),
        (x**2 * Phi(x), "x\\*\\*2\\*Phi"),
        (sympy.Piecewise((0, x < 0), (1, x < 1), (0, True)), "zero but between 0 and 1"),
        (sympy.Piecewise((sympy.exp(x), x < 0), (1, x < 1), (x, True)), "polynomial between"),
        (sympy.Max(0, x) + sympy.Max(0, x - 1) + sympy.Max(0, x - 2), "3 breakpoints"),
    ],
)
def test_activations_without_an_accurate_kernel_are_refused(expr, reason):
    with pytest.raises(NoKernel, match=reason):
        make_plan(sg.Activation("invented", expr))


def test_no_kernel_is_generated_from_a_mean_that_is_not_proved(monkeypatch):
    true = sg.gaussian_mean("relu")
    monkeypatch.setattr(plan, "gaussian_mean", lambda _: true + sigma**2)
    with pytest.raises(NoKernel, match="differs from the proved mean"):
        make_plan(sg.activation("relu"))
    monkeypatch.setattr(plan, "prove_mean", lambda _: sg.prove_mean("relu", true + sigma**2))
    with pytest.raises(NoKernel, match="refuted, not proved"):
        make_plan(sg.activation("relu"))


# The command and the checked-in files.


@pytest.fixture(scope="module")
def files():
    return source.catalogue()


def test_checked_in_kernels_are_what_the_formulas_give(files):
    assert command.problems(command.TARGET, files) == []


DIFFERENCES = (
    "stale or edited: relu.py",
    "missing: gelu.py",
    "missing: loops/erf.py",
    "orphaned: mystery.py",
    "stale or edited: __init__.py",
)


@pytest.fixture
def spoiled(tmp_path):
    """A copy of the checked-in files that differs from them in every way."""
    target = tmp_path / "generated"
    shutil.copytree(command.TARGET, target, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "relu.py").write_text((target / "relu.py").read_text().replace("h1 = Phi_u*sigma", "h1 = Phi_u*mu"))
    (target / "gelu.py").unlink()
    (target / "loops" / "erf.py").unlink()
    (target / "mystery.py").write_text("")
    (target / "__init__.py").write_text((target / "__init__.py").read_text().replace("0.01", "0.02"))
    return target


def test_check_notices_every_difference(spoiled, files, monkeypatch, capsys):
    # Not generated again, which takes most of a minute; the command in a process of its own is a slow test.
    monkeypatch.setattr(source, "catalogue", lambda: files)
    assert command.main(["--check", "--target", str(spoiled)]) == 1
    shown = capsys.readouterr().out
    for line in DIFFERENCES:
        assert line in shown
    assert len(command.write(spoiled, files)) == 5
    assert command.problems(spoiled, files) == []
    assert not (spoiled / "mystery.py").exists()
    assert command.main(["--check", "--target", str(spoiled)]) == 0


@pytest.mark.slow
def test_the_command_exits_with_what_check_finds(spoiled):
    done = subprocess.run(
        [sys.executable, "-m", "symgauss.codegen", "--check", "--target", str(spoiled)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    for line in DIFFERENCES:
        assert line in done.stdout


@pytest.mark.slow
def test_the_text_does_not_depend_on_the_hash_seed(tmp_path):
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-m", "symgauss.codegen", "--target", str(tmp_path / seed)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
    one = {p.relative_to(tmp_path / "1"): p.read_text() for p in (tmp_path / "1").rglob("*.py")}
    two = {p.relative_to(tmp_path / "2"): p.read_text() for p in (tmp_path / "2").rglob("*.py")}
    assert one == two
    assert len(one) > 20


@pytest.mark.parametrize("name", sg.activation_names())
def test_a_generated_module_says_what_it_is(name):
    text = (command.TARGET / f"{name}.py").read_text()
    said = {
        "closed form": ("heat equation, growth, initial value", "operations for h_0 … h_2"),
        "quadrature": ("no closed form: ", "quadrature. wide: ", "against the definition: leaves out "),
        "integrated": ("no closed form: ", "adaptive integration, with an estimate of its error"),
    }
    (kind,) = (kind for kind in said if f"KIND = {kind!r}" in text)
    for part in (f"{name}(x) = ", "Mean ", "formula ", *said[kind]):
        assert part in " ".join(text.split())
