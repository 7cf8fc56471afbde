"""The two packages meet only in generated text; importing one never imports what belongs to the other."""

import subprocess
import sys

import pytest


def imported_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "present", "absent"),
    [
        ("import numeric", {"numeric", "numba"}, {"sympy", "symgauss", "mpmath", "matplotlib", "sklearn"}),
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
