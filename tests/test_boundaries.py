"""The two packages meet only in generated text; importing one never imports what belongs to the other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import numeric


def imported_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "present", "absent"),
    [
        ("import numeric", {"numeric"}, {"numpy", "numba", "sympy", "symgauss", "matplotlib", "sklearn"}),
        ("from numeric import *", {"numeric", "numba"}, {"sympy", "symgauss", "mpmath", "matplotlib", "sklearn"}),
        ("import numeric; numeric.hermite_coefficients('gelu', 0, 1)", {"numba"}, {"sympy", "symgauss"}),
        ("import symgauss", {"symgauss", "sympy"}, {"numba", "llvmlite", "numeric"}),
        ("import symgauss; symgauss.prove_mean('gelu')", {"sympy"}, {"numba", "numeric"}),
        ("import symgauss.codegen.source", {"sympy"}, {"numba", "numeric"}),
        (
            "from symgauss.codegen import emit, evaluation; import symgauss\n"
            "for name in ('silu', 'elu', 'softsign'): emit.formulas(evaluation.evaluation(symgauss.activation(name)))",
            {"sympy"},
            {"numba", "numeric"},
        ),
    ],
)
def test_imports_stay_on_their_side(statement, present, absent):
    modules = imported_by(statement)
    assert present <= modules
    assert not absent & modules


def test_the_helper_sees_imports():
    assert "sympy" in imported_by("import sympy")
    assert "sympy" not in imported_by("import math")


def test_every_public_name_is_there():
    assert sorted(stub_names()) == sorted(numeric.__all__)
    for name in numeric.__all__:
        assert getattr(numeric, name).__module__.startswith("numeric.")
    assert set(numeric.__all__) <= set(dir(numeric))
    with pytest.raises(AttributeError, match="'numeric' has no attribute 'aproximate'"):
        numeric.aproximate  # noqa: B018


def stub_names() -> list[str]:
    """What type checkers are told to be public."""
    stub = ast.parse(Path(numeric.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    return ast.literal_eval(next(node.value for node in stub.body if isinstance(node, ast.Assign)))
