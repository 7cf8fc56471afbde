"""The command symgauss, as a person types it and as a script calls it."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import warnings
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import numeric as nm
from numeric import cli, cli_errors, demo
from numeric.cli_files import KINDS
from numeric.generated import PARAMETERS
from tests.numeric.command import (  # noqa: F401
    ROOT,
    Result,
    assert_documented,
    call,
    gaussian,
    mlp,
    size_of,
    somewhere_else,
    tensor,
    typed,
)

pytestmark = pytest.mark.usefixtures("somewhere_else")


COMMANDS = ("derive", "convert", "inspect", "demo")


# Help, usage, statuses


def test_help_comes_without_numba_or_numpy() -> None:
    code = f"""
import sys
from numeric.cli import main
for arguments in [["--help"], *([c, "--help"] for c in {COMMANDS}), ["--version"], ["convert"], ["derive", "x", "a=b"]]:
    print("status", main(arguments))
heavy = {{"numpy", "numba", "scipy", "matplotlib", "sympy", "symgauss", "sklearn"}}
print("imported", sorted(heavy & {{name.split(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", cwd=ROOT, check=True, timeout=60
    )
    assert re.findall("^status .*", done.stdout, re.MULTILINE) == ["status 0"] * 6 + ["status 2"] * 2
    assert "imported []" in done.stdout
    assert done.stderr.count("\n") == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str) -> None:
    result = call(command, "--help")
    assert (result.status, result.err) == (0, "")
    assert f"\nexamples:\n  symgauss {command}" in result.out
    assert "--debug" in result.out
    assert max(map(len, result.out.splitlines())) <= 100


@pytest.mark.parametrize("command", ["derive", "convert"])
def test_the_help_names_every_activation(command: str) -> None:
    _, _, listed = call(command, "--help").out.partition("\nactivations, with parameters:\n")
    names = listed.partition("\n\n")[0].split()
    for name, parameters in PARAMETERS.items():
        assert {name, f"{name},"} & set(names)
        assert all(any(parameter in part for part in names) for parameter in parameters)


def test_the_help_names_every_status() -> None:
    result = call("--help")
    statuses = [cli_errors.DONE, cli_errors.REFUSED, cli_errors.USAGE, cli_errors.MISSING, cli_errors.BUG]
    assert statuses == [0, 1, 2, 3, 70]
    assert (cli_errors.INTERRUPTED, cli_errors.CLOSED) == (130, 141)
    for status in (*statuses, 130, 141):
        assert f"\n  {status:<4} " in result.out
    for command in COMMANDS:
        assert f"\n    {command} " in result.out


def test_the_version_is_that_of_the_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert call("--version").out == f"symgauss {declared}\n"


def test_the_installed_script_is_this_command() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts.keys() == {"symgauss"}
    assert EntryPoint("symgauss", scripts["symgauss"], "console_scripts").load() is cli.main
    for installed in entry_points(group="console_scripts", name="symgauss"):
        assert installed.load() is cli.main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["convertt"], "invalid choice: 'convertt'"),
        (["convert", "layer.npz"], "required: --inputs"),
        (["convert", "--inputs", "stats.npz"], "required: FILE"),
        (["convert", "l", "--inputs", "s", "--degree", "-1"], "--degree: expected an integer ≥ 0, got '-1'"),
        (["convert", "l", "--inputs", "s", "--degree", "2.0"], "--degree: expected an integer ≥ 0, got '2.0'"),
        (["convert", "l", "--inputs", "s", "--parameter", "a=x"], "--parameter: expected name=number"),
        (["convert", "l", "--inputs", "s", "--parameter", "a=nan"], "--parameter: expected name=number"),
        (["convert", "l", "--inputs", "s", "--parameter", "a=1/0"], "--parameter: expected name=number"),
        (["convert", "l", "--inputs", "s", "--parameter", "a=1e999"], "--parameter: expected name=number"),
        (["convert", "l", "--inputs", "s", "--parameter", "a=1e999999999"], "--parameter: expected name=number"),
        (["convert", "l", "--inputs", "s", "--tensor", "W=a"], "--tensor: expected one of W_in, b_in"),
        (["convert", "l", "--inputs", "s", "--tensor", "W_in"], "--tensor: expected one of W_in, b_in"),
        (["convert", "l", "--inp", "s"], "required: --inputs"),
        (["convert", "l", "--inputs", "s", "--tol", "0"], "--tol: expected a number between 0 and 1, as in 1e-8, got"),
        (["convert", "l", "--inputs", "s", "--tol", "1"], "--tol: expected a number between 0 and 1"),
        (["convert", "l", "--inputs", "s", "--tol", "nan"], "--tol: expected a number between 0 and 1"),
        (["convert", "l", "--inputs", "s", "--tol", "small"], "--tol: expected a number between 0 and 1"),
        (["convert", "l", "--inputs", "s", "--noise-floor", "-1"], "--noise-floor: expected a number ≥ 0, as in 1e-3"),
        (["convert", "l", "--inputs", "s", "--noise-floor", "inf"], "--noise-floor: expected a number ≥ 0"),
        (["convert", "l", "--inputs", "s", "--noise-floor", "nan"], "--noise-floor: expected a number ≥ 0"),
        (["convert", "l", "--inputs", "s", "--max-iterations", "0"], "--max-iterations: expected an integer ≥ 1"),
        (["convert", "l", "--inputs", "s", "--covariance-type", "round"], "--covariance-type: invalid choice: 'round'"),
        (["inspect", "f", "--count", "0"], "--count: expected an integer ≥ 1, got '0'"),
        (["inspect", "f", "--output", "-1"], "--output: expected an integer ≥ 0"),
        (["inspect", "f", "--shape", "28"], "--shape: expected height,width"),
        (["inspect", "f", "--shape", "0,4"], "--shape: expected an integer ≥ 1"),
        (["derive"], "required: NAME|FORMULA"),
        (["derive", "relu", "negative_slope"], "expected name=number"),
        (["derive", "relu", "--order", "x"], "--order: expected an integer ≥ 0"),
        (["derive", "relu", "--json", "--latex"], "not allowed with"),
        (["demo", "something"], "unrecognized arguments"),
    ],
)
def test_wrong_usage_takes_one_line(arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.status == 2
    assert message in result.refusal
    command = f" {arguments[0]}" if arguments and arguments[0] in COMMANDS and "something" not in arguments else ""
    assert result.refusal.endswith(f"; see symgauss{command} --help")


def test_an_error_in_symgauss_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("numeric.cli_inspect.run", broken)
    result = call("inspect", "f")
    assert (result.status, result.out) == (70, "")
    assert "Traceback" in result.err
    assert "ValueError: a bug" in result.err
    assert result.err.splitlines()[-1].startswith("symgauss: this is an error in symgauss itself")


def test_an_interruption_has_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("numeric.cli_convert.run", interrupted)
    result = call("convert", "f", "--inputs", "s")
    assert (result.status, result.out, result.err) == (130, "", "symgauss: interrupted\n")


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def large(_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("numeric.cli_inspect.run", large)
    result = call("inspect", "f")
    assert (result.status, result.refusal) == (1, "more memory is needed than there is")


def test_a_warning_takes_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(_: Any) -> tuple[dict[str, Any], list[str]]:
        warnings.warn("less\naccurate", nm.AccuracyWarning, stacklevel=1)
        return {"not finite": np.array([np.nan, 1 / 3]), "nor this": float("inf")}, []

    monkeypatch.setattr("numeric.cli_inspect.run", warned)
    result = call("inspect", "f", "--json")
    assert result.err == "symgauss: warning: less accurate\n"
    assert json.loads(result.out) == {"not finite": [None, 1 / 3], "nor this": None}


@pytest.mark.parametrize("how", ["option", "environment"])
def test_debug_shows_the_traceback(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "environment":
        monkeypatch.setenv("SYMGAUSS_DEBUG", "1")
    result = call("inspect", "missing", *(["--debug"] if how == "option" else []))
    assert result.status == 1
    assert result.err.startswith("Traceback ")
    assert "FileNotFoundError" in result.err
    assert result.err.splitlines()[-1] == "symgauss: error: 'missing': No such file or directory"


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "p", "--json"]])
def test_whoever_stops_reading_ends_it_silently(arguments: list[str]) -> None:
    nm.approximate(mlp(), gaussian()).save("p")
    with subprocess.Popen(
        [sys.executable, "-m", "numeric.cli", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full disk to write to")
def test_a_full_disk_is_said() -> None:
    gaussian().save("g")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "numeric.cli", "inspect", "g"],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "symgauss: error: standard output: No space left on device\n")


# derive


def test_derive_answers_in_a_process_of_its_own() -> None:
    Path("random.py").write_text("raise ImportError('of whatever is in the folder')")
    done = typed("derive", "Max(0, x) - a*x", "a=1/5", "--order", "2", "--json", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["formula"] == "-x/5 + Max(0, x)"
    assert found["parameters"] == {"a": "1/5"}
    assert found["mean"] == "mu*Phi(mu/sigma) - mu/5 + sigma*phi(mu/sigma)"
    assert found["hermite_coefficients"][1:] == ["sigma*Phi(mu/sigma) - sigma/5", "sigma*phi(mu/sigma)"]
    assert found["proof"]["status"] == "proved"
    assert_documented(found, call("derive", "--help").out)


def test_derive_passes_everything_on(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        assert command[1] == "-P"
        assert ("-X" in command) == bool(sys.flags.utf8_mode)
        commands.append(command[command.index(str(ROOT)) + 1 :])
        return SimpleNamespace(returncode=-9 if len(commands) > 1 else 1)

    monkeypatch.setattr(subprocess, "run", run)
    assert call("derive", "--latex", "--debug", "--order=2", "--", "-a*x", "a=1/3").status == 1
    assert call("derive", "gelu").status == 137
    assert commands == [
        ["derive", "--order=2", "--latex", "--debug", "--", "-a*x", "a=1/3"],
        ["derive", "--order=4", "--", "gelu"],
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "start"),
    [
        (["--order", "1", "--", "-x**2"], 0, "expression(x)              = -x**2\n"),
        (["exp(x**2)"], 1, "symgauss: error: exp(x**2) grows like exp(x**2)"),
    ],
)
def test_derive_says_what_symgauss_says(arguments: list[str], status: int, start: str) -> None:
    done = typed("derive", *arguments)
    assert done.returncode == status
    said, silent = (done.stderr, done.stdout) if status else (done.stdout, done.stderr)
    assert said.startswith(start)
    assert silent == ""


# demo


def test_demo_draws_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures: list[Path] = []
    monkeypatch.setattr(demo, "run", pictures.append)
    assert call("demo").status == 0
    Path("there.png").touch()
    assert call("demo", "--picture", "there.png").status == 0
    assert pictures == [Path("demo.png"), Path("there.png")]
    assert "there is no folder" in call("demo", "--picture", "no/p.png").refusal
    assert "ends in .png, .pdf or .svg" in call("demo", "--picture", "p.txt").refusal
    assert len(pictures) == 2


def test_demo_names_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = call("demo")
    assert result.status == 3
    assert 'pip install "symgauss[demo]"' in result.refusal


@pytest.mark.slow
def test_demo_as_it_is_typed() -> None:
    done = typed("demo", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "relu: mean proved" in done.stdout
    assert size_of("demo.png")[0] > 1000


def test_the_names_of_arrays_are_those_of_the_layers() -> None:
    assert set(cli._ARRAYS) == {name for names in KINDS.values() for name in names}


@pytest.mark.parametrize(
    "line", re.findall(r"^\$ symgauss (.*)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
)
def test_the_commands_in_the_readme_are_commands(line: str) -> None:
    assert cli._parser().parse_args(shlex.split(line)).command in COMMANDS


def test_the_helpers_notice() -> None:
    """So that what passes above passes for a reason."""
    for result in (Result(status=0, out="NaN\n", err=""), Result(status=0, out="{}\n{}\n", err="")):
        with pytest.raises(AssertionError):
            _ = result.json
    for err in ("Traceback\nsymgauss: error: a\n", "a\n", ""):
        with pytest.raises(AssertionError):
            _ = Result(status=1, out="", err=err).refusal
    with pytest.raises(AssertionError), contextlib.suppress(KeyError):
        assert_documented({"undocumented": 1}, call("convert", "--help").out)
