"""symgauss convert: what it makes, and where it refuses to write."""

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numeric as nm
from tests.numeric.command import (  # noqa: F401
    GLU_NAMES,
    MLP_NAMES,
    OUT,
    D,
    N,
    arrays_of,
    assert_documented,
    call,
    gaussian,
    glu,
    mlp,
    npz,
    pipe,
    somewhere_else,
    typed,
    write_layer,
    write_stats,
)

pytestmark = pytest.mark.usefixtures("somewhere_else")


# convert: what it makes


def test_convert_as_it_is_typed() -> None:
    write_layer()
    write_stats()
    done = typed(
        "convert", "layer.npz", "--inputs", "stats.npz", "--degree", "3", "--out", "p", PYTHONIOENCODING="ascii"
    )
    assert (done.returncode, done.stderr) == (0, "")
    p = nm.approximate(mlp(), gaussian(), 3)
    arrow = "\\u2192"
    assert done.stdout.splitlines() == [
        f"RidgePolynomial(degree=3, {D} {arrow} {OUT}, {N} ridges, relu)",
        f"  layer       MLP({D} {arrow} {N} {arrow} {OUT}, relu) from layer.npz: W_in, b_in, W_out, b_out",
        "  activation  relu(x) = Max(0, x)",
        f"  inputs      Gaussian(dim={D}, full covariance) from stats.npz",
        f"  FVU         {p.total_fvu:.6g}, the fraction of the variance of all outputs that is left unexplained",
        f"  by output   {'  '.join(f'{value:.5g}' for value in p.fvu)}",
        "  written     p",
    ]
    found = nm.load("p")
    assert isinstance(found, nm.RidgePolynomial)
    np.testing.assert_array_equal(found.hermite, p.hermite)
    assert "_explained" in vars(found), "the variance is in the file"
    assert found.total_fvu == p.total_fvu


def test_the_fraction_is_that_of_the_definition() -> None:
    """f = W_out (W x + b)²: what the linear approximation leaves has the variance 2 tr(A Σ A Σ)."""
    layer, inputs = mlp("square"), gaussian()
    found = call("convert", write_layer(activation="square"), "--inputs", write_stats(), "--degree", "1", "--json").json
    assert layer.b_in is not None
    cov, slope = inputs.cov, 2 * (layer.W_in @ inputs.mean + layer.b_in)
    linear = layer.W_out @ (slope[:, None] * layer.W_in)
    explained = np.einsum("oi,ij,oj->o", linear, cov, linear)
    quadratic = np.einsum("oh,hi,hj->oij", layer.W_out, layer.W_in, layer.W_in)
    left = np.array([2 * np.trace(A @ cov @ A @ cov) for A in quadratic])
    np.testing.assert_allclose(found["variance_by_degree"], [explained], rtol=1e-12)
    np.testing.assert_allclose(found["fvu"], left / (left + explained), rtol=1e-12)
    np.testing.assert_allclose(found["total_fvu"], left.sum() / (left + explained).sum(), rtol=1e-12)


def test_the_json_of_convert() -> None:
    found = call("convert", write_layer(), "--inputs", write_stats(), "--out", "p.safetensors", "--json").json
    p = nm.approximate(mlp(), gaussian(), 2)
    assert found == {
        "kind": "RidgePolynomial",
        "summary": repr(p),
        "degree": 2,
        "d_in": D,
        "n_hidden": N,
        "d_out": OUT,
        "layer": repr(p.layer),
        "activation": "relu",
        "activation_parameters": {},
        "activation_formula": "Max(0, x)",
        "inputs": repr(p.inputs),
        "total_fvu": p.total_fvu,
        "fvu": p.fvu.tolist(),
        "variance_by_degree": p.variance_by_degree.tolist(),
        "tensors": {name: name for name in MLP_NAMES},
        "out": "p.safetensors",
    }
    assert_documented(found, call("convert", "--help").out)


def test_a_gated_layer_is_converted() -> None:
    npz("glu.npz", **arrays_of(glu(), GLU_NAMES))
    np.savez("stats.npz", mean=np.ones(D), F=np.eye(D)[:, :2])
    found = call("convert", "glu.npz", "--inputs", "stats.npz", "--activation", "relu", "--json").json
    p = nm.approximate(glu(), nm.Gaussian.from_factor(np.ones(D), np.eye(D)[:, :2]))
    assert (found["kind"], found["summary"]) == ("GatedPolynomial", repr(p))
    assert found["fvu"] == p.fvu.tolist()
    assert found["inputs"] == repr(p.inputs)


def test_without_the_variance() -> None:
    arguments = ["convert", write_layer(), "--inputs", write_stats(), "--no-fvu", "--out"]
    found = call(*arguments, "p", "--json").json
    assert [found[name] for name in ("total_fvu", "fvu", "variance_by_degree")] == [None, None, None]
    assert "_explained" not in vars(nm.load("p"))
    assert "\n  FVU         not computed\n" in call(*arguments, "q").out


def test_parameters_of_the_activation() -> None:
    arrays = arrays_of(mlp(), MLP_NAMES)
    npz("layer.npz", **{name: array for name, array in arrays.items() if name != "b_out"})
    result = call(
        "convert", "layer.npz", "--inputs", write_stats(), "--activation", "leaky_relu", "--parameter",
        "negative_slope=1/5", "--out", "p",
    )  # fmt: skip
    assert (
        "  activation  leaky_relu(x) = negative_slope*Min(0, x) + Max(0, x)   with negative_slope = 0.2\n" in result.out
    )
    assert ": W_in, b_in, W_out\n" in result.out
    found = nm.load("p")
    assert isinstance(found, nm.RidgePolynomial)
    assert found.activation == nm.activation("leaky_relu", negative_slope=0.2)
    assert found.b_out is None


def test_many_outputs_are_summed_up() -> None:
    rng = np.random.default_rng(4)
    W_in, W_out = rng.standard_normal((5, D)), rng.standard_normal((11, 5))
    np.savez("layer.npz", W_in=W_in, W_out=W_out, activation="relu")
    result = call("convert", "layer.npz", "--inputs", write_stats())
    fvu = nm.approximate(nm.MLP(W_in, None, W_out, activation="relu"), gaussian()).fvu
    least, most = int(np.argmin(fvu)), int(np.argmax(fvu))
    expected = (
        f"{fvu[least]:.5g} (output {least}) to {fvu[most]:.5g} (output {most}), median {np.median(fvu):.5g} of 11"
    )
    assert f"\n  by output   {expected}\n" in result.out


def test_an_older_file_is_replaced_only_by_force() -> None:
    arguments = ["convert", write_layer(), "--inputs", write_stats(), "--out", "p"]
    Path("p").write_text("precious")
    result = call(*arguments)
    assert (result.status, result.refusal) == (1, "'p' is there already; --force replaces it")
    assert Path("p").read_text() == "precious"
    assert call(*arguments, "--force").status == 0
    assert isinstance(nm.load("p"), nm.RidgePolynomial)


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("no/p", [], "there is no folder"),
        ("folder", ["--force"], "'folder' is a folder; give the name of a file in it"),
        ("there", [], "'there' is there already; --force replaces it"),
        ("pipe", ["--force"], "'pipe' is a device or a pipe; give the name of a file"),
        ("layer.npz", ["--force"], "'layer.npz' is read by this command, and would be lost"),
        ("link", ["--force"], "'link' is read by this command, and would be lost"),
        ("./stats.npz", ["--force"], "'./stats.npz' is read by this command"),
    ],
)
def test_where_nothing_can_be_written_is_said_first(
    out: str, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_layer()
    write_stats()
    os.mkdir("folder")
    Path("there").touch()
    pipe("pipe")
    os.symlink("layer.npz", "link")

    def work(*_: Any) -> None:
        raise AssertionError("no work was to be done")

    monkeypatch.setattr("numeric.cli_convert.layer_from", work)
    result = call("convert", "layer.npz", "--inputs", "stats.npz", "--out", out, *options)
    assert result.status == 1
    assert message in result.refusal


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_permissions_are_looked_at_first() -> None:
    Path("p").touch(mode=stat.S_IRUSR)
    assert "'p' is write-protected" in call("convert", "f", "--inputs", "s", "--out", "p", "--force").refusal


def test_a_file_that_comes_into_being_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: Any) -> Any:
        Path("p").write_text("precious")
        return nm.approximate(mlp(), gaussian())

    monkeypatch.setattr("numeric.cli_convert.approximate", slow)
    assert call("convert", write_layer(), "--inputs", write_stats(), "--out", "p").status == 1
    assert Path("p").read_text() == "precious"


def test_a_disk_that_is_full_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    write_layer()
    write_stats()
    monkeypatch.setattr(os, "replace", full)
    result = call("convert", "layer.npz", "--inputs", "stats.npz", "--out", "p")
    assert (result.status, result.refusal) == (1, f"'{os.path.realpath('p')}': No space left on device")
    assert sorted(os.listdir()) == ["layer.npz", "stats.npz"]


def test_the_disk_in_the_way_of_reading_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    write_layer()
    monkeypatch.setattr(np, "load", unreadable)
    result = call("convert", "layer.npz", "--inputs", write_stats())
    assert (result.status, result.refusal) == (1, "'layer.npz' is damaged: Input/output error")
