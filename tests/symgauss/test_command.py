"""python -m symgauss derive …"""

import json
import os
import subprocess
import sys
import time

import pytest
import sympy
from sympy import Piecewise, Rational

import symgauss as sg
from symgauss import x
from symgauss.__main__ import main
from symgauss.parse import NotAnExpression, expression


def run(arguments: list[str]) -> int:
    """The exit status, also of what argparse refuses."""
    try:
        return main(arguments)
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else 1


def test_derive_prints_formula_mean_coefficients_and_proof(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["derive", "relu", "--order", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "relu(x)              = Max(0, x)",
        "E relu(mu + sigma Z) = mu*Phi(mu/sigma) + sigma*phi(mu/sigma)",
        "h_1                  = sigma*Phi(mu/sigma)",
        "h_2                  = sigma*phi(mu/sigma)",
    ]
    assert "\n".join(lines[4:]) == str(sg.prove_mean("relu"))


@pytest.mark.parametrize("value", ["0.2", "1/5"])
def test_derive_takes_parameters_exactly(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["derive", "leaky_relu", f"negative_slope={value}", "--order", "0"])
    assert "Max(0, x) + Min(0, x)/5\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reluu"], "did you mean relu"),
        (["relu", "slope=1"], "has no parameter 'slope'"),
        (["relu", "--order", "-1"], "integer ≥ 0"),
        (["hardtanh", "min_val=1/0"], "expected name=number"),
        (["hardtanh", "min_val"], "expected name=number"),
        (["relu", "--latex", "--order", "-1"], "integer ≥ 0"),
        (["exp(x**2)"], "exp(x**2) grows like exp(x**2)"),
        (["exp(x**2)", "--latex"], "exp(x**2) grows like exp(x**2)"),
        (["1/x"], "not a finite real number at x = 0.0"),
        (["sqrt(-1)*x"], "must be real and finite"),
        (["x*tanhh(x)"], "tanhh is unknown; did you mean tanh"),
        (["a*x", "a=one"], "expected name=number"),
        (["a*x", "b=1"], "a is unknown"),
        (["x*exp", "exp=1"], "exp has a meaning of its own"),
    ],
)
def test_derive_refuses_with_a_message(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = run(["derive", *arguments])
    assert status == (2 if message == "expected name=number" else 1)
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert captured.err.startswith("symgauss: error: ")
    assert len(captured.err.splitlines()) == 1


def test_derive_says_why_there_is_no_closed_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["derive", "silu"]) == 0
    assert capsys.readouterr().out == str(sg.activation("silu")) + "\n"


def test_derive_takes_a_formula(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["derive", "x*tanh(x)"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("expression(x) = x*tanh(x)\n  mean        no closed form: tanh(x) is outside")
    assert main(["derive", "a*Max(0, x)", "a=0.2", "--order", "1"]) == 0
    assert "expression(a=1/5): mean proved" in capsys.readouterr().out
    assert main(["derive", "x", "--order", "1"]) == 0
    assert "h_1                        = sigma\n" in capsys.readouterr().out


def test_derive_prints_latex(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["derive", "gelu", "--latex", "--order", "2"]) == 0
    assert capsys.readouterr().out == f"{sg.activation('gelu')._repr_latex_()}\n"
    assert main(["derive", "gelu", "--latex", "--order", "11"]) == 0
    assert "h_{11} & " in capsys.readouterr().out
    assert main(["derive", "silu", "--latex"]) == 0
    assert r"\text{no closed form: " in capsys.readouterr().out


def test_derive_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Every expression in it is read back as what it stands for."""
    assert main(["derive", "leaky_relu", "negative_slope=0.2", "--json", "--order", "3"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (out.count("\n"), err) == (1, "")
    assert out.isascii()
    act = sg.activation("leaky_relu", negative_slope=Rational(1, 5))
    assert found["name"] == "leaky_relu"
    assert found["parameters"] == {"negative_slope": "1/5"}
    names = {"mu": sg.mu, "sigma": sg.sigma, "x": x, "Phi": sg.Phi, "phi": sg.phi}
    assert sympy.sympify(found["formula"], names) == act.formula
    assert sympy.sympify(found["mean"], names) == sg.gaussian_mean(act)
    assert [sympy.sympify(h, names) for h in found["hermite_coefficients"]] == list(sg.hermite_coefficients(act, 3))
    assert found["reason"] is None
    assert found["evaluation"].startswith("closed form: ")
    proof = sg.prove_mean(act)
    assert found["proof"]["status"] == "proved"
    assert [(step["name"], step["claim"], step["reason"], step["status"]) for step in found["proof"]["steps"]] == [
        (step.name, step.claim, step.reason, step.status) for step in proof.steps
    ]
    assert found["latex"]["formula"] == sympy.latex(act.formula)
    assert found["latex"]["mean"] == sympy.latex(sg.gaussian_mean(act))
    assert len(found["latex"]["hermite_coefficients"]) == 4


def test_derive_prints_json_without_closed_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["derive", "x*tanh(x)", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [found[key] for key in ("mean", "hermite_coefficients", "proof")] == [None, None, None]
    assert found["latex"] == {"formula": r"x \tanh{\left(x \right)}", "mean": None, "hermite_coefficients": None}
    assert found["reason"].startswith("tanh(x) is outside ")
    assert found["evaluation"].startswith("quadrature of fixed cost")
    assert main(["derive", "x*exp(x**2)", "--json"]) == 1
    assert "grows like" in capsys.readouterr().err


def test_a_mean_of_zero_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["derive", "sin(x) - sin(x)", "--json", "--order", "0"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["mean"], found["hermite_coefficients"], found["latex"]["mean"]) == ("0", ["0"], "0")


def test_two_forms_at_once_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["derive", "relu", "--json", "--latex"]) == 2
    assert "not allowed with" in capsys.readouterr().err


def test_debug_shows_where_an_error_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["derive", "reluu", "--debug"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback ")
    assert err.splitlines()[-1].startswith("symgauss: error: There is no activation 'reluu'")


def test_an_error_in_symgauss_is_no_refusal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("symgauss.__main__.derivation", broken)
    assert main(["derive", "relu"]) == 70
    err = capsys.readouterr().err
    assert "ZeroDivisionError: a bug" in err
    assert err.splitlines()[-1].startswith("symgauss: this is an error in symgauss itself")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("symgauss.__main__.derivation", interrupted)
    assert main(["derive", "relu"]) == 130


def test_whoever_stops_reading_ends_it_silently() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "symgauss", "derive", "relu"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk to write to")
def test_a_full_disk_is_said() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "symgauss", "derive", "relu"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "symgauss: error: standard output: No space left on device\n")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("x/(1 + exp(-1.702*x))", x / (1 + sympy.exp(-Rational("1.702") * x))),
        ("-x**2 + +x - 1e-3", -(x**2) + x - Rational(1, 1000)),
        ("1.6732632423543772848170429916717*x", Rational("1.6732632423543772848170429916717") * x),
        ("0x10*x + 1_000", 16 * x + 1000),
        ("Phi(x)*phi(2*x)*erf(x/2)", sg.Phi(x) * sg.phi(2 * x) * sympy.erf(x / 2)),
        ("max(x, 0) + min(0, x)/5 + abs(x)*pi", sympy.Max(0, x) + sympy.Min(0, x) / 5 + sympy.Abs(x) * sympy.pi),
        ("Piecewise((x, (x > 0) & ~(x > 1)), (0, True))", Piecewise((x, (x > 0) & (x <= 1)), (0, True))),
        (
            "Piecewise((x, 0 <= x < 1 or not x < 3), (0, True))",
            Piecewise((x, ((x >= 0) & (x < 1)) | (x >= 3)), (0, True)),
        ),
        ("x*sigmoid(x - 1)", x / (1 + sympy.exp(1 - x))),
        ("relu2(2*x)", sympy.Max(0, 2 * x) ** 2),
    ],
)
def test_formulas_are_read_exactly(text: str, meant: sympy.Expr) -> None:
    assert expression(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        *("__import__('os').system('true')", "x.diff()", "().__class__", "(1).__class__.__mro__", "x._eval_evalf(3)"),
        *("open('/etc/passwd')", "exec('1')", "eval('x')", "print(x)", "[x for x in (1, 2)]", "lambda: x", "{x: 1}"),
        *("'x'", "f'{x}'", "b'x'", "x[0]", "x if x else 0", "(x := 2)", "exp(x, evaluate=False)", "exp(*[x])", "1j*x"),
        *("None", "...", "x @ x", "x % 2", "x // 2", "x << 2", "x == 1", "x is x", "x in (1, 2)", "x; x", "x = 1"),
        *("", "1 +", "(", "\0", "x\n+1", "x x", "await x", "yield x", "True", "x > 0", "x + True", "2**(x > 0)"),
        *("_", "__builtins__", "sympy", "sigma", "mu", "exp", "x(2)", "f(x)", "sin(x, x)", "Phi()", "gelu(x, x)"),
        *("Piecewise()", "Piecewise(x)", "Piecewise((x, x))", "Piecewise((x, x > 0, 1))", "Max(0, sqrt(-1))"),
        *("9**9**9", "(2**1000)**1000*x", "sqrt(2)**(10**9)", "0.1**1e9", "1e999999999", "2**-(10**9)"),
        *("x + " * 600 + "x", "-" * 1500 + "x", "(" * 500 + "x" + ")" * 500),
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    start = time.process_time()
    with pytest.raises(NotAnExpression) as caught:
        expression(text)
    assert "\n" not in str(caught.value)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_derive_prints_everything_on_any_terminal(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "symgauss", "derive", "relu"],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == b""
    proof = str(sg.prove_mean("relu")).encode(encoding, "backslashreplace")
    assert done.stdout.replace(b"\r\n", b"\n").endswith(proof + b"\n")
