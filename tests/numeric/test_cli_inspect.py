"""symgauss inspect, against eigenvalues and variances from their definitions."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

import numeric as nm
from numeric import files
from tests.numeric.command import (  # noqa: F401
    GLU_NAMES,
    MLP_NAMES,
    OUT,
    D,
    N,
    assert_documented,
    call,
    converted,
    gaussian,
    glu,
    mlp,
    npy,
    pickled,
    safetensors,
    saved,
    somewhere_else,
    tensor,
    typed,
    write_layer,
    write_stats,
)

pytestmark = pytest.mark.usefixtures("somewhere_else")


# inspect


def quadratic_parts(p: nm.RidgePolynomial) -> np.ndarray:
    """½ E ∇²f of every output of a ReLU network, whose second derivative is a delta: φ(μ/s)/s."""
    mu = p.W_in @ p.center + np.asarray(p.layer.b_in)
    s = np.sqrt(np.einsum("hi,ij,hj->h", p.W_in, p.inputs.cov, p.W_in))
    return np.einsum("oh,h,hi,hj->oij", np.asarray(p.W_out), norm.pdf(mu / s) / s / 2, p.W_in, p.W_in)


def by_size(values: np.ndarray) -> np.ndarray:
    return values[np.argsort(-np.abs(values))]


def test_inspect_after_convert_as_they_are_typed() -> None:
    write_layer()
    write_stats()
    assert typed("convert", "layer.npz", "--inputs", "stats.npz", "--out", "p").returncode == 0
    done = typed("inspect", "p", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found, p = json.loads(done.stdout), nm.approximate(mlp(), gaussian())
    assert (found["file"], found["kind"], found["summary"]) == ("p", "RidgePolynomial", repr(p))
    assert found["fvu"] == p.fvu.tolist()
    assert found["variance_by_degree"] == p.variance_by_degree.tolist()
    assert [entry["output"] for entry in found["spectra"]] == list(range(OUT))
    for entry, A in zip(found["spectra"], quadratic_parts(p)):
        np.testing.assert_allclose(entry["eigenvalues"], by_size(np.linalg.eigvalsh(A))[:5], rtol=1e-10)
        for value, neurons in zip(entry["eigenvalues"], entry["neurons"]):
            sizes = [abs(neuron["contribution"]) for neuron in neurons]
            assert sizes == sorted(sizes, reverse=True)
            assert len(neurons) == 5
            assert abs(sum(neuron["contribution"] for neuron in neurons)) <= abs(value) + sum(sizes)


def test_neurons_and_singular_values() -> None:
    p = converted()
    found = call("inspect", "p", "--json", "--count", "1").json
    linear = nm.linear_part(p)
    np.testing.assert_allclose(found["singular_values"], np.linalg.svd(linear)[1][:1], rtol=1e-12)
    mu = p.W_in @ p.center + np.asarray(p.layer.b_in)
    s = np.sqrt(np.einsum("hi,ij,hj->h", p.W_in, p.inputs.cov, p.W_in))
    for entry, A in zip(found["spectra"], quadratic_parts(p)):
        values, vectors = np.linalg.eigh(A)
        v = vectors[:, np.argmax(np.abs(values))]
        out = np.asarray(p.W_out)[entry["output"]]
        contributions = out * norm.pdf(mu / s) / s / 2 * (p.W_in @ v) ** 2
        order = np.argsort(-np.abs(contributions))[:5]
        assert [neuron["neuron"] for neuron in entry["neurons"][0]] == order.tolist()
        np.testing.assert_allclose(
            [neuron["contribution"] for neuron in entry["neurons"][0]], contributions[order], rtol=1e-9
        )


def test_whitened_eigenvalues_carry_the_variance() -> None:
    p = converted()
    found = call("inspect", "p", "--json", "--whitened", "--output", "1", "--count", D).json
    assert found["whitened"] is True
    (entry,) = found["spectra"]
    assert entry["output"] == 1
    values = np.linalg.eigvals(quadratic_parts(p)[1] @ p.inputs.cov).real
    np.testing.assert_allclose(entry["eigenvalues"], by_size(values), rtol=1e-10)
    np.testing.assert_allclose(sum(entry["variances"]), p.variance_by_degree[1, 1], rtol=1e-10)
    np.testing.assert_allclose(np.sum(np.square(found["singular_values"])), p.variance_by_degree[0].sum(), rtol=1e-10)


def test_the_text_of_inspect() -> None:
    p = converted()
    result = call("inspect", "p")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[:6] == [
        f"p: RidgePolynomial(degree=2, {D} → {OUT}, {N} ridges, relu)",
        f"  layer       MLP({D} → {N} → {OUT}, relu)",
        "  activation  relu(x) = Max(0, x)",
        f"  inputs      Gaussian(dim={D}, full covariance)",
        f"  FVU         {p.total_fvu:.6g}, the fraction of the variance of all outputs that is left unexplained",
        f"  by output   {'  '.join(f'{value:.5g}' for value in p.fvu)}",
    ]
    total = (p.variance_by_degree.sum(axis=0) / (1 - p.fvu)).sum()
    first, second = p.variance_by_degree.sum(axis=1) / total
    assert lines[6] == f"  variance    degree 1 {first:.2%}, degree 2 {second:.2%}, left {p.total_fvu:.2%}"
    values = nm.svd(p).values
    assert lines[8:10] == [
        "singular values of the linear part, per unit of the inputs",
        "  " + "  ".join(f"{value:.5g}" for value in values),
    ]
    for output in range(OUT):
        found = nm.spectrum(p, output)
        assert re.sub(" +", " ", lines[12 + output]).startswith(
            f" output {output} " + " ".join(f"{value:.5g}" for value in found.values) + " the first from "
        )
    assert max(map(len, lines)) <= 120
    assert len({line.index("  the first from ") for line in lines[12:]}) == 1, "in a column"
    assert len(lines) == 12 + OUT, "nothing more about outputs that are not shown"
    one = call("inspect", "p", "--output", "2", "--count", "2", "--whitened").out
    strongest = nm.spectrum(p, 2, whitened=True)
    number, amount = (part[0] for part in strongest.neurons(0))
    assert "\n  output 2\n" in one
    assert f"{strongest.values[0]:+.5g}  variance {strongest.variance[0]:.4g}" in re.sub("   +", "  ", one)
    assert f"from {number} ({amount:+.3g}), " in one
    assert "per standard deviation of the inputs" in one


def test_more_outputs_than_are_shown() -> None:
    rng = np.random.default_rng(6)
    layer = nm.MLP(rng.standard_normal((5, D)), None, rng.standard_normal((12, 5)), activation="relu")
    converted(layer=layer)
    result = call("inspect", "p")
    assert "\n  … of 12 outputs; --output N shows another" in result.out
    assert "\n  output 9 " in result.out
    assert "output 10 " not in result.out.partition("eigenvalues of")[2]
    assert len(call("inspect", "p", "--json").json["spectra"]) == 10
    assert call("inspect", "p", "--json", "--output", "11").json["spectra"][0]["output"] == 11


def test_the_variance_is_computed_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    p = converted(fvu=False)
    expected = p.total_fvu
    assert "\n  FVU         not in the file; --fvu computes it\n" in call("inspect", "p").out
    assert call("inspect", "p", "--json").json["total_fvu"] is None
    assert call("inspect", "p", "--json", "--fvu").json["total_fvu"] == expected

    def computed(_: Any) -> None:
        raise AssertionError("it is in the file")

    p.save("p")
    monkeypatch.setattr("numeric.variance.explained", computed)
    assert call("inspect", "p", "--json", "--fvu").json["total_fvu"] == expected


@pytest.mark.parametrize("degree", [0, 1])
def test_polynomials_of_low_degree(degree: int) -> None:
    p = converted(degree=degree)
    found = call("inspect", "p", "--json").json
    assert found["spectra"] == []
    assert (found["singular_values"] is None) == (degree == 0)
    assert found["fvu"] == p.fvu.tolist()
    assert "eigenvalues" not in call("inspect", "p", "--output", "0").out


def test_inputs_that_do_not_vary() -> None:
    p = nm.approximate(mlp(), nm.Gaussian(np.ones(D), np.zeros(D)))
    assert p.total_fvu == 0
    p.save("p")
    for option in ([], ["--whitened"], ["--whitened", "--output", "0"]):
        assert "  variance    the outputs do not vary\n" in call("inspect", "p", *option).out
        assert call("inspect", "p", "--json", *option).json["total_fvu"] == 0


def test_a_gated_polynomial() -> None:
    p = nm.approximate(glu(), gaussian(), 2)
    p.save("p")
    found = call("inspect", "p", "--json").json
    assert (found["kind"], found["activation"]) == ("GatedPolynomial", "relu")
    for entry in found["spectra"]:
        A = nm.approximate(glu(), gaussian(), 2).about(gaussian().mean).quadratic[entry["output"]]
        np.testing.assert_allclose(entry["eigenvalues"], by_size(np.linalg.eigvalsh(A)), rtol=1e-9)


def test_a_layer_shows_what_it_has() -> None:
    layer = mlp(nm.activation("leaky_relu", negative_slope=0.2))
    layer.save("l")
    found = call("inspect", "l", "--json").json
    assert (found["kind"], found["summary"]) == ("MLP", repr(layer))
    assert found["activation_parameters"] == {"negative_slope": 0.2}
    assert found["arrays"]["W_in"] == {"dtype": "float64", "shape": [N, D]}
    assert list(found["arrays"]) == list(MLP_NAMES)
    root = np.sqrt(np.mean(layer.W_in**2))
    assert f"\n  W_in        {N} × {D}, float64, root mean square {root:.4g}\n" in call("inspect", "l").out
    glu().save("g")
    assert list(call("inspect", "g", "--json").json["arrays"]) == list(GLU_NAMES)
    assert_documented(found, call("inspect", "--help").out)


def test_a_gaussian_shows_what_it_has() -> None:
    inputs = nm.Gaussian([1.0, 2.0, 3.0], [4.0, 0.0, 9.0])
    inputs.save("g")
    found = call("inspect", "g", "--json").json
    assert (found["dim"], found["covariance"], found["std"]) == (3, "diagonal", [2.0, 0.0, 3.0])
    assert found["mean"] == [1.0, 2.0, 3.0]
    assert call("inspect", "g").out == (
        "g: Gaussian(dim=3, diagonal covariance)\n"
        "  mean        1 to 3\n"
        "  std         0 to 3, 0 in 1 of 3 coordinates\n"
        "  variance    13 in all\n"
    )
    assert_documented(found, call("inspect", "--help").out)


def test_a_dense_polynomial_shows_what_it_has() -> None:
    nm.DensePolynomial([1.0, 1.0], ([3.0], [[3.0, 4.0]])).save("d")
    found = call("inspect", "d", "--json").json
    assert (found["degree"], found["center"], found["norms"]) == (1, [1.0, 1.0], [3.0, 5.0])
    assert call("inspect", "d").out.splitlines()[1:] == [
        "  center      1",
        "  order 0       1, norm 3",
        "  order 1       1 × 2, norm 5",
    ]
    assert_documented(found, call("inspect", "--help").out)


def test_every_key_of_inspect_is_documented() -> None:
    converted()
    help_texts = "".join(call(command, "--help").out.partition("with --json")[2] for command in ("convert", "inspect"))
    found = call("inspect", "p", "--json").json
    assert_documented(
        {**found, **found["spectra"][0], **found["spectra"][0]["neurons"][0][0]}, f"with --json, one object{help_texts}"
    )
    assert found["written_by"] == files._version()


REFUSED_FILES: dict[str, tuple[Callable[[], str], list[str], str]] = {
    "missing": (lambda: "none", [], "'none': No such file or directory"),
    "a folder": (lambda: os.mkdir("f") or "f", [], "'f': this is a folder"),
    "npz": (write_layer, [], "'layer.npz' is an .npz file; inspect reads what convert and .save wrote"),
    "npy": (lambda: npy("f.npy", np.ones(3)), [], "'f.npy' is an .npy file"),
    "a pickle": (lambda: pickled("f.safetensors"), [], "is a pickle, which could execute anything"),
    "of others": (
        lambda: safetensors("f", {"a": tensor(np.ones(3))}),
        [],
        "'f' was not written by symgauss; inspect reads",
    ),
    "output": (lambda: (converted(), "p")[1], ["--output", "3"], "'p' has the outputs 0 to 2; there is no output 3"),
    "a layer": (lambda: saved(mlp(), "l"), ["--output", "0"], "--output takes a polynomial that convert made"),
    "a Gaussian": (lambda: saved(gaussian(), "g"), ["--whitened"], "--whitened takes a polynomial that convert made"),
    "to plot a layer": (lambda: saved(mlp(), "l"), ["--plot", "l.png"], "--plot takes a polynomial"),
    "no picture": (lambda: (converted(), "p")[1], ["--plot", "p.txt"], "that ends in .png, .pdf or .svg, got 'p.txt'"),
    "the picture": (lambda: (converted("p.png"), "p.png")[1], ["--plot", "p.png", "--force"], "would be lost"),
    "a shape": (
        lambda: (converted(), "p")[1],
        ["--plot", "p.png", "--shape", "2,3"],
        f"--shape 2,3 makes images of 6 pixels, not of {D}",
    ),
    "nothing to draw": (
        lambda: (converted(degree=0, fvu=False), "p")[1],
        ["--plot", "p.png"],
        "there is nothing to draw of degree 0 without its variance; add --fvu",
    ),
}


@pytest.mark.parametrize("case", REFUSED_FILES)
def test_inspect_refuses(case: str) -> None:
    make, options, message = REFUSED_FILES[case]
    path = make()
    before = sorted(os.listdir())
    result = call("inspect", path, *options)
    assert result.status == 1
    assert message in result.refusal
    assert sorted(os.listdir()) == before


def test_ours_cut_at_any_byte_is_refused() -> None:
    converted()
    data = Path("p").read_bytes()
    for length in range(0, len(data), max(1, len(data) // 100)):
        Path("f").write_bytes(data[:length])
        result = call("inspect", "f")
        assert result.status == 1, length
        assert result.refusal.startswith("'f': ")


def test_an_activation_of_ones_own_is_named() -> None:
    import symgauss as sg

    saved(mlp(sg.Activation("bent", sg.x + sg.x**2 / 8)), "l")
    for arguments in (["inspect", "l"], ["convert", "l", "--inputs", write_stats()]):
        result = call(*arguments)
        assert result.status == 1
        assert result.refusal.startswith("'l': it was made with the activation 'bent', σ(x) = x**2/8 + x, ")
        assert "In Python: numeric.load('l', activation=…)" in result.refusal
