"""Kernels for a GPU without one: how their text is made, and that it compiles. What they compute: tests/simulator."""

import ast
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import numeric as nm
import numeric.cuda as nc
from numeric.cuda import check, kernels, target, translate
from numeric.cuda.translate import Literals

compiles = pytest.mark.skipif(bool(check.why_not()), reason=check.why_not())
RELU = nm.activation("relu")


def literals(text: str) -> tuple[str, dict]:
    scope: dict = {}
    tree = Literals(scope, "single").visit(ast.parse(text, mode="eval"))
    return ast.unparse(tree), scope


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2*d4 - 0.5*u", "_2_0 * d4 - _0_5 * u"),
        ("s**2 + r**(-3)", "s ** 2 + r ** (-3)"),
        ("rows[k + 1]*3", "rows[k + 1] * _3_0"),
        ("(2/3)*w", "_0_6666666666666666 * w"),
        ("-1/3 if x <= 0 else max(0, x)", "_m0_3333333333333333 if x <= _0_0 else max(_0_0, x)"),
        ("[f(1) for j in range(10)]", "[f(_1_0) for j in range(10)]"),
        ("x if x == x else np.nan", "x if x == x else _nan"),
    ],
)
def test_literals_become_singles_and_indices_stay(text: str, expected: str) -> None:
    made, scope = literals(text)
    assert made == expected
    assert all(type(value) is np.float32 for value in scope.values())


def test_constants_that_single_precision_may_lose_are_noticed() -> None:
    assert "BEYOND_SINGLE" not in literals("1e29*x + 0.0*y")[1]
    for text in ("1e31*x", "2e-31*x"):
        assert literals(text)[1]["BEYOND_SINGLE"] is True
    names = [name for name in nm.activation_names() if nm.activation(name).kernels.KIND != "integrated"]
    doubles = [
        name for name in names if kernels.pairs(nm.activation(name), "hermite", (0, 9), "single").inside == "double"
    ]
    assert doubles == ["gelu_tanh"]


def test_the_text_of_a_module_is_that_of_the_cpu() -> None:
    """Loops are left out, names keep their meaning, numbers are rounded."""
    single = translate.module("numeric.special", "single")
    assert np.float32(14.5) == single.FARTHEST
    assert translate.module("numeric.special", "double").FARTHEST == 40.0
    loops = translate.module("numeric.generated.loops.silu", "single")
    assert not hasattr(loops, "hermite_loop_2")
    assert loops.Z_WEIGHTS.dtype == np.float32
    assert loops.Z_WEIGHTS.sum() == pytest.approx(1.0, abs=1e-6)
    assert translate.module("numeric.generated.loops.silu", "single") is loops


def test_definitions_are_replaced_by_name_and_new_ones_come_first() -> None:
    text = "import math\nA, B = 1.0, 2.0\nC = A\ndef f(x):\n    return x + C\n"
    others = "import math\nNEW = 3.0\ndef f(x):\n    return x + NEW\nA, B = 4.0, 5.0\n"
    made = translate._replaced(ast.parse(text), ast.parse(others))
    assert ast.unparse(made).split("\n") == [
        *("NEW = 3.0", "import math", "A, B = (4.0, 5.0)", "C = A", "", "def f(x):", "    return x + NEW")
    ]


def test_every_definition_in_single_precision_replaces_one() -> None:
    """A name that was changed on one side only would go unnoticed otherwise."""
    for name in translate._IN_SINGLE:
        texts = (ast.parse(translate._text(f"numeric.{part}{name}")).body for part in ("", "cuda.single."))
        known, given = ({translate._defined(node) for node in body if not is_import(node)} for body in texts)
        assert given - known == set(), name


def is_import(node: ast.stmt) -> bool:
    """An import or a docstring."""
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)


@compiles
@pytest.mark.parametrize(
    "recipe",
    [
        partial(kernels.pairs, RELU, "hermite", (0, 3), "double"),
        partial(kernels.pairs, RELU, "derivatives", (0, 9), "single"),
        partial(kernels.covariances, RELU, "single"),
        partial(kernels.moments, (2, 1), "single"),
        kernels.ungated_series,
    ],
    ids=["relu", "relu in single precision", "covariance", "moment", "series"],
)
def test_kernels_compile_without_a_gpu(recipe) -> None:
    found = check.compiled(recipe, ptxas=shutil.which("ptxas"))
    assert not found.failed, str(found)
    assert "FAILED" not in str(found)


@compiles
def test_what_does_not_compile_or_computes_in_doubles_fails() -> None:
    def unknown(x):
        return x.nothing_of_the_kind

    def doubles(x, out):
        i = kernels.cuda.grid(1)
        if i < x.size:
            out[i] = x[i] * 0.1

    array = kernels._array("single", 1)
    for function, signature, message in (
        (unknown, (array,), "nothing_of_the_kind"),
        (doubles, (array, array), "double"),
    ):
        kernel = kernels.Kernel("broken", "single", "single", function, signature)
        found = check.compiled(lambda kernel=kernel: kernel)
        assert found.failed
        assert message in str(found)


def test_spills_fail_in_kernels_of_hermite_coefficients() -> None:
    spilling = ("single", "single", 255, 8, 0)
    assert check.Compiled("relu hermite 0 … 2", *spilling).failed
    assert not check.Compiled("relu derivatives 0 … 2", *spilling).failed
    assert not check.Compiled("relu hermite 0 … 2", "single", "single", 255, 0, 0).failed


def test_the_command() -> None:
    command = [sys.executable, "-m", "numeric.cuda"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: python -m numeric.cuda check [--help]\n")
    found = [*command, "check", "--only", "step value", "--processes", "1"]
    done = subprocess.run(found, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if not check.why_not():
        assert "2 kernels, 0 failed" in done.stdout
    else:
        assert done.stdout.startswith("skipped: ")


def test_arrays_that_are_not_on_a_gpu() -> None:
    x, S = np.zeros(3), np.zeros((3, 1, 1))
    for call, name in (
        (lambda: nc.evaluate("hermite", "relu", x, x), "mean"),
        (lambda: nc.values("relu", x), "x"),
        (lambda: nc.gaussian_covariance("relu", x, x, x, x, x), "mean_1"),
        (lambda: nc.gaussian_moment(x[:, None], S, (2,)), "mean"),
        (lambda: nc.hermite_master_coefficients(x[:, None], S, x[:, None]), "mean_y"),
    ):
        with pytest.raises(TypeError, match=f"^{name}: expected an array of PyTorch or CuPy on a GPU, got ndarray; "):
            call()


def test_nothing_is_simulated_here() -> None:
    """The simulator has to be asked for, and has tests of its own."""
    assert not target.SIMULATED
