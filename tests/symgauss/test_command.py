"""python -m symgauss derive …"""

import os
import subprocess
import sys

import pytest

import symgauss as sg
from symgauss.__main__ import main


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
    ],
)
def test_derive_refuses_with_a_message(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["derive", *arguments])
    assert stopped.value.code in (1, 2)
    assert message in capsys.readouterr().err


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
