"""symgauss convert and inspect with mixtures of Gaussians: the same as in Python, to the last bit."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numeric as nm
from numeric.cli_inputs import inputs_from
from numeric.mixture import conjugate_gradients
from tests.numeric.command import (  # noqa: F401
    GLU_NAMES,
    MLP_NAMES,
    OUT,
    D,
    N,
    arrays_of,
    assert_documented,
    call,
    glu,
    labelled,
    mixture,
    mixture_arrays,
    mlp,
    npz,
    safetensors,
    samples,
    saved,
    size_of,
    somewhere_else,
    tensor,
    typed,
    write_layer,
    write_stats,
)
from tests.numeric.problems import weights

pytestmark = pytest.mark.usefixtures("somewhere_else")

TYPES = ("full", "diag", "tied")
# More than are solved at once.
MANY = 42


def assert_same_inputs(found: Any, expected: nm.GaussianMixture) -> None:
    assert isinstance(found, nm.GaussianMixture)
    assert repr(found) == repr(expected)
    assert found.noise_floor == expected.noise_floor
    np.testing.assert_array_equal(found.weights, expected.weights)
    np.testing.assert_array_equal(found.means, expected.means)
    for one, other in zip(found.components, expected.components, strict=True):
        np.testing.assert_array_equal(one.cov, other.cov)
    assert (found.labels is None) == (expected.labels is None)
    if found.labels is not None:
        assert found.labels.tolist() == np.asarray(expected.labels).tolist()


def assert_same(found: Any, expected: nm.SolvedPolynomial) -> None:
    """But for the time that it took."""
    assert isinstance(found, nm.SolvedPolynomial)
    assert_same_inputs(found.inputs, expected.inputs)  # type: ignore[arg-type]
    for one, other in zip(found.polynomial.coefficients, expected.polynomial.coefficients, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found.info.energy_error, expected.info.energy_error)
    for name in ("iterations", "converged", "degenerate"):
        assert getattr(found.info, name) == getattr(expected.info, name)


def write_mixture(path: str = "mixture.npz", covariance_type: str = "full", **others: Any) -> str:
    return npz(path, **{**mixture_arrays(covariance_type), **others})


def large() -> nm.MLP:
    """A layer whose quadratics are iterated for; in layer.npz, and its inputs in mixture.npz."""
    layer = nm.MLP(*weights(np.random.default_rng(10), MANY, 8, 2), "relu")
    npz("layer.npz", **arrays_of(layer, MLP_NAMES), activation="relu")
    npz("mixture.npz", **mixture_arrays("diag", MANY))
    return layer


def solved(path: str = "p", degree: int = 2, layer: Any = None, fvu: bool = True) -> nm.SolvedPolynomial:
    p = nm.approximate(layer or mlp(), mixture(), degree)
    if fvu:
        _ = p.total_fvu
    p.save(path)
    return p


# Inputs


@pytest.mark.parametrize("form", ["npz", "foreign", "ours"])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_mixtures_of_every_form(form: str, covariance_type: str) -> None:
    arrays, expected = mixture_arrays(covariance_type), mixture(covariance_type)
    if form == "npz":
        os.rename(npz("m.npz", **arrays), "m")
    elif form == "foreign":
        safetensors("m", {name: tensor(array) for name, array in arrays.items()})
    else:
        expected = mixture(covariance_type, noise_floor=0.5)
        expected.save("m")
    assert_same_inputs(inputs_from("m", D), expected)
    if form != "ours":
        assert_same_inputs(inputs_from("m", D, noise_floor=0.5), mixture(covariance_type, noise_floor=0.5))


@pytest.mark.parametrize("covariance_type", [None, *TYPES])
@pytest.mark.parametrize("labels", [np.arange(50) % 3, np.array(["b", "a"] * 25), np.arange(50) < 9, ["x", "yz"] * 25])
def test_samples_with_labels(labels: Any, covariance_type: Any) -> None:
    X = samples().astype(np.float32)
    npz("s.npz", X=X, labels=labels)
    expected = nm.GaussianMixture.from_samples(X, labels, covariance_type or "full", 0.25)
    assert_same_inputs(inputs_from("s.npz", D, covariance_type, 0.25), expected)


def test_samples_with_labels_by_the_definition() -> None:
    with np.load(labelled()) as file:
        X, labels = file["X"], file["labels"]
    found = inputs_from("labelled.npz", D, noise_floor=0.1)
    assert isinstance(found, nm.GaussianMixture)
    for k, value in enumerate([False, True]):
        rows = X[labels == value]
        np.testing.assert_allclose(found.weights[k], len(rows) / len(X), rtol=1e-15)
        np.testing.assert_allclose(found.means[k], rows.mean(axis=0), rtol=1e-12)
        cov = np.cov(rows.T, bias=True) + 0.1 * np.eye(D)
        np.testing.assert_allclose(found.components[k].cov, cov, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("covariance_type", ["diag", "tied"])
def test_as_many_components_as_dimensions(covariance_type: Any) -> None:
    """The shape of covs does not say what they are."""
    given = {"weights": np.full(D, 1 / D), "means": np.eye(D), "covs": np.eye(D) + 1}
    npz("m.npz", **given)
    expected = nm.GaussianMixture(**given, covariance_type=covariance_type)
    assert_same_inputs(inputs_from("m.npz", D, covariance_type), expected)
    result = call("convert", write_layer(), "--inputs", "m.npz")
    assert result.status == 1
    assert f"'m.npz': covs ({D}, {D}) may be variances of {D} components in {D} dimensions" in result.refusal
    assert "--covariance-type diag or --covariance-type tied" in result.refusal


# convert


def test_convert_as_it_is_typed() -> None:
    write_layer()
    done = typed("convert", "layer.npz", "--inputs", labelled(), "--noise-floor", "1e-2", "--out", "p")
    assert (done.returncode, done.stderr) == (0, "")
    with np.load("labelled.npz") as file:
        p = nm.approximate(mlp(), nm.GaussianMixture.from_samples(file["X"], file["labels"], noise_floor=1e-2))
    found = nm.load("p")
    assert_same(found, p)
    assert isinstance(found, nm.SolvedPolynomial)
    assert "_unexplained" in vars(found), "the variance is in the file"
    assert done.stdout.splitlines() == [
        f"SolvedPolynomial(degree=2, {D} → {OUT}, relu)",
        f"  layer       MLP({D} → {N} → {OUT}, relu) from layer.npz: W_in, b_in, W_out, b_out",
        "  activation  relu(x) = Max(0, x)",
        f"  inputs      GaussianMixture(2 components, dim={D}, full covariances, noise floor 0.01) from labelled.npz",
        f"  solved      at once, {found.info.seconds:.3g} s",
        f"  FVU         {p.total_fvu:.6g}, the fraction of the variance of all outputs that is left unexplained",
        f"  by output   {'  '.join(f'{value:.5g}' for value in p.fvu)}",
        "  written     p",
    ]


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_every_degree_is_that_of_python(degree: int, covariance_type: str) -> None:
    write_layer()
    write_mixture(covariance_type=covariance_type)
    found = call("convert", "layer.npz", "--inputs", "mixture.npz", "--degree", degree, "--out", "p", "--json").json
    p = nm.approximate(mlp(), mixture(covariance_type), degree)
    assert_same(nm.load("p"), p)
    assert (found["total_fvu"], found["fvu"]) == (p.total_fvu, p.fvu.tolist())
    assert found["variance_by_degree"] == (p.variance_by_degree.tolist() if degree <= 1 else None)


def test_the_json_of_convert() -> None:
    write_layer()
    found = call("convert", "layer.npz", "--inputs", saved(mixture("tied", 0.5), "m"), "--json").json
    p = nm.approximate(mlp(), mixture("tied", 0.5))
    assert found["solved"].pop("seconds") > 0
    assert found == {
        "kind": "SolvedPolynomial",
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
        "variance_by_degree": None,
        "solved": {"iterations": 0, "converged": True, "energy_error": [0.0] * OUT, "degenerate": 0},
        "tensors": {name: name for name in MLP_NAMES},
        "out": None,
    }
    help_text = call("convert", "--help").out
    assert_documented(found, help_text)
    assert_documented(p.info.__dict__, help_text)


def test_a_gated_layer_is_converted() -> None:
    npz("glu.npz", **arrays_of(glu(), GLU_NAMES))
    call("convert", "glu.npz", "--inputs", write_mixture(), "--activation", "relu", "--out", "p", "--no-fvu")
    p = nm.load("p")
    assert_same(p, nm.approximate(glu(), mixture()))
    assert "_unexplained" not in vars(p)


def test_directions_that_do_not_vary_are_said() -> None:
    write_layer()
    write_mixture(means=np.zeros((3, D)), covs=np.ones((3, D)) * [1, 1, 0, 0])
    result = call("convert", "layer.npz", "--inputs", "mixture.npz")
    assert re.search(rf"\n  solved      at once, .* s; nothing varies in 2 of {D} directions\n", result.out)


# The iteration


def test_an_iteration_is_that_of_python() -> None:
    layer, inputs = large(), mixture("diag", d=MANY)
    arguments = ["convert", "layer.npz", "--inputs", "mixture.npz", "--no-fvu", "--out"]
    result = call(*arguments, "p")
    assert (result.status, result.err) == (0, "")
    p = nm.approximate(layer, inputs)
    assert p.info.iterations > 1
    assert_same(nm.load("p"), p)
    left = f"an estimated {p.info.energy_error.max():.1g} of the variance of an output left to gain"
    assert re.search(rf"\n  solved      in {p.info.iterations} iterations, .* s; {re.escape(left)}\n", result.out)
    found = call(*arguments, "q", "--tol", "1e-3", "--json").json
    looser = nm.Solver(inputs, tol=1e-3).solve(layer)
    assert looser.info.iterations < p.info.iterations
    assert_same(nm.load("q"), looser)
    assert found["solved"]["iterations"] == looser.info.iterations
    assert found["solved"]["energy_error"] == looser.info.energy_error.tolist()


def test_an_iteration_that_is_ended_says_so_and_goes_on() -> None:
    layer, inputs = large(), mixture("diag", d=MANY)
    arguments = ["convert", "layer.npz", "--inputs", "mixture.npz", "--no-fvu", "--checkpoint", "state", "--out", "p"]
    p = nm.approximate(layer, inputs)
    few = p.info.iterations - 1
    result = call(*arguments, "--max-iterations", few)
    assert result.status == 0
    with pytest.warns(nm.AccuracyWarning):
        ended = nm.Solver(inputs, max_iterations=few).solve(layer)
    error = f"{ended.info.energy_error.max():.1g}"
    assert result.err == (
        f"symgauss: warning: after {few} iterations {error} of the variance of an output is left to gain, more than "
        "--tol 1e-08; raise --max-iterations, and --checkpoint goes on from here\n"
    )
    assert f" s; not converged, an estimated {error} of the variance of an output left to gain\n" in result.out
    assert_same(nm.load("p"), ended)
    assert call(*arguments, "--force").err == ""
    assert_same(nm.load("p"), p)


def test_too_few_iterations_to_say_anything() -> None:
    large()
    result = call("convert", "layer.npz", "--inputs", "mixture.npz", "--max-iterations", 1, "--out", "p")
    assert result.status == 1
    assert result.refusal == (
        "after 1 iteration nothing can be said yet of how far the solution is; raise --max-iterations"
    )
    assert not Path("p").exists()


def test_an_iteration_that_comes_no_closer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    large()
    step = conjugate_gradients.step
    monkeypatch.setattr(conjugate_gradients, "step", lambda *given: len(given[2].gains) < 7 and step(*given))
    result = call("convert", "layer.npz", "--inputs", "mixture.npz")
    assert result.status == 0
    assert result.err.startswith("symgauss: warning: after 7 iterations ")
    assert result.err.endswith("--tol 1e-08; rounding lets it come no closer, a larger --noise-floor may\n")


def test_an_interrupted_iteration_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = large()
    arguments = ["convert", "layer.npz", "--inputs", "mixture.npz", "--no-fvu", "--checkpoint", "state", "--out", "p"]
    step, calls = conjugate_gradients.step, []

    def interrupted(*given: Any) -> bool:
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(*given)

    with monkeypatch.context() as patched:
        patched.setattr(conjugate_gradients, "step", interrupted)
        result = call(*arguments)
    assert (result.status, result.out, result.err) == (130, "", "symgauss: interrupted\n")
    assert not Path("p").exists()
    assert os.listdir("state")
    monkeypatch.setattr(conjugate_gradients, "step", lambda *given: calls.append(given) or step(*given))
    assert call(*arguments).status == 0
    p = nm.load("p")
    assert isinstance(p, nm.SolvedPolynomial)
    assert len(calls) == p.info.iterations + 1, "no iteration was made twice but the one that was interrupted"
    monkeypatch.undo()
    assert_same(p, nm.approximate(layer, mixture("diag", d=MANY)))


# What is refused


REFUSED_OPTIONS: dict[str, tuple[Callable[[], str], list[str], str]] = {
    "tol": (
        write_stats,
        ["--tol", "1e-3"],
        f"'stats.npz' describes Gaussian(dim={D}, full covariance), under which nothing is iterated; leave out --tol",
    ),
    "iterations": (write_stats, ["--max-iterations", "9"], "leave out --max-iterations, which takes a mixture"),
    "a folder": (write_stats, ["--checkpoint", "c"], "leave out --checkpoint, which takes a mixture"),
    "noise": (write_stats, ["--noise-floor", "0"], "'stats.npz' describes one Gaussian; --noise-floor takes a mixture"),
    "a type": (write_stats, ["--covariance-type", "full"], "--covariance-type takes a mixture: X with labels (n,)"),
    "noise of samples": (
        lambda: (np.save("s.npy", samples()), "s.npy")[1],
        ["--noise-floor", "1"],
        "'s.npy' describes one Gaussian; --noise-floor",
    ),
    "noise of ours": (lambda: saved(mixture(), "m"), ["--noise-floor", "1"], "taken as it is; leave out --noise-floor"),
    "a type of ours": (lambda: saved(mixture(), "m"), ["--covariance-type", "full"], "leave out --covariance-type"),
    "another type": (
        write_mixture,
        ["--covariance-type", "tied"],
        f"covs: expected shape ({D}, {D}) (tied) for 3 components in {D} dimensions, got (3, {D}, {D})",
    ),
    "a file": (write_mixture, ["--checkpoint", "layer.npz"], "--checkpoint: 'layer.npz' is a file; give the name of"),
    "below a file": (
        write_mixture,
        ["--checkpoint", "layer.npz/a/b"],
        "/layer.npz' is a file; give the name of a folder",
    ),
    "one name": (write_mixture, ["--checkpoint", "./p"], "--checkpoint: './p' is where --out writes the polynomial"),
}


@pytest.mark.parametrize("case", REFUSED_OPTIONS)
def test_convert_refuses_options(case: str) -> None:
    make, options, message = REFUSED_OPTIONS[case]
    inputs, layer = make(), write_layer()
    before = sorted(os.listdir())
    result = call("convert", layer, "--inputs", inputs, "--out", "p", *options)
    assert result.status == 1
    assert message in result.refusal
    assert sorted(os.listdir()) == before


def labelled_tensors() -> str:
    return safetensors("s", {"X": tensor(samples()), "labels": tensor(np.arange(50), "I64")})


REFUSED_INPUTS: dict[str, tuple[Callable[[], str], str]] = {
    "no covs": (
        lambda: npz("m.npz", weights=np.ones(1), means=np.ones((1, D))),
        "'m.npz' has means, weights; expected X (n, d), mean with cov (d, d) or (d,), mean with F (d, r), X with "
        "labels (n,), weights (K,) with means (K, d) and covs (K, d, d), (K, d) or (d, d)",
    ),
    "too much": (lambda: write_mixture(mean=np.ones(D)), "'mixture.npz' has covs, mean, means, weights; expected X"),
    "other dimensions": (lambda: write_mixture(means=np.ones((3, 2)), covs=np.ones((3, 2))), "2 coordinates, and the"),
    "other samples": (lambda: labelled(X=np.ones((50, 2))), f"samples of 2 coordinates, and the layer has {D} inputs"),
    "a wrong shape": (
        lambda: write_mixture(covs=np.ones((2, D))),
        f"'mixture.npz': covs: expected shape (3, {D}, {D}) (full) or (3, {D}) (diag) or ({D}, {D}) (tied) for 3 "
        f"components in {D} dimensions, got (2, {D})",
    ),
    "spherical": (lambda: write_mixture(covs=np.ones(3)), "dimensions, got (3)"),
    "means of one axis": (lambda: write_mixture(means=np.ones(D)), "'mixture.npz': means: expected shape (3, d)"),
    "other weights": (lambda: write_mixture(weights=np.ones(3)), "weights: expected a sum of 1, got 3; pass weights /"),
    "indefinite": (lambda: write_mixture(covs=-np.ones((3, D))), "'mixture.npz': covs[0]: expected variances ≥ 0"),
    "NaN": (lambda: write_mixture(means=np.full((3, D), np.nan)), "means: expected finite entries"),
    "labels of numbers": (lambda: labelled(labels=np.ones(50)), "labels: expected integers, strings or booleans, got"),
    "too few labels": (lambda: labelled(labels=np.arange(9)), "labels: expected shape (50,), one for each row of X"),
    "objects": (lambda: labelled(labels=np.array([{}] * 50)), "labels has Python objects in it"),
    "labels alone": (lambda: npz("m.npz", labels=np.arange(9)), "'m.npz' has labels; expected X (n, d), mean with cov"),
    "tensors of labels": (labelled_tensors, "read; save X and labels with numpy.savez"),
    "a polynomial": (
        lambda: saved(nm.approximate(mlp(), mixture()), "s"),
        f"'s' holds SolvedPolynomial(degree=2, {D} → {OUT}, relu); --inputs takes a Gaussian or a mixture, saved or as",
    ),
    "ours of other dimensions": (lambda: saved(mixture(d=2), "m"), f"2 coordinates, and the layer has {D} inputs"),
}


@pytest.mark.parametrize("case", REFUSED_INPUTS)
def test_convert_refuses_inputs(case: str) -> None:
    make, message = REFUSED_INPUTS[case]
    inputs, layer = make(), write_layer()
    before = sorted(os.listdir())
    result = call("convert", layer, "--inputs", inputs, "--out", "p")
    assert result.status == 1
    assert message in result.refusal
    assert sorted(os.listdir()) == before


def test_degrees_with_too_many_coefficients_are_refused() -> None:
    large()
    result = call("convert", "layer.npz", "--inputs", "mixture.npz", "--degree", "3", "--out", "p")
    assert result.status == 1
    assert f"degree: 3 in {MANY} variables has 14,190 features" in result.refusal
    assert not Path("p").exists()


def test_the_state_of_another_problem_is_refused() -> None:
    large()
    arguments = ["convert", "layer.npz", "--inputs", "mixture.npz", "--no-fvu", "--checkpoint", "state"]
    assert call(*arguments).status == 0
    result = call(*arguments, "--noise-floor", "0.5")
    assert result.status == 1
    assert result.refusal.startswith(
        "--checkpoint: 'state/state-000000.safetensors' holds the state of another problem"
    )
    Path("state/state-000000.safetensors").write_bytes(b"something else, as long as a header is")
    result = call(*arguments)
    assert result.status == 1
    assert "'state/state-000000.safetensors'" in result.refusal


# inspect


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_mixture_shows_what_it_has(covariance_type: str) -> None:
    inputs = mixture(covariance_type, 0.25)
    inputs.save("m")
    found = call("inspect", "m", "--json").json
    assert_documented(found, call("inspect", "--help").out)
    assert (found["kind"], found["n_components"], found["dim"]) == ("GaussianMixture", 3, D)
    assert (found["covariance"], found["noise_floor"], found["labels"]) == (covariance_type, 0.25, None)
    assert (found["weights"], found["rank_at_most"]) == ([0.5, 0.25, 0.25], D)
    assert (found["mean"], found["std"]) == (inputs.mean.tolist(), inputs.std.tolist())
    within = sum(share * np.trace(one.cov) for share, one in zip(inputs.weights, inputs.components))
    assert found["variance_within"] == pytest.approx(within, rel=1e-12)
    total = np.trace(inputs.cov)
    assert call("inspect", "m").out.splitlines() == [
        f"m: {inputs!r}",
        "  weights     0.5  0.25  0.25",
        f"  mean        {inputs.mean.min():.6g} to {inputs.mean.max():.6g}",
        f"  std         {inputs.std.min():.6g} to {inputs.std.max():.6g}",
        f"  variance    {total:.6g} in all, {1 - within / total:.2%} of it between the means of components",
        f"  rank        {D} of {D}",
    ]


def test_labels_are_shown() -> None:
    X = samples() * [1, 1, 1, 0]
    nm.GaussianMixture.from_samples(X, np.array([b"one", b"two"] * 25)).save("m")
    assert call("inspect", "m", "--json").json["labels"] == ["one", "two"]
    lines = call("inspect", "m").out.splitlines()
    assert lines[2] == "  labels      one, two"
    assert lines[4].endswith(f", 0 in 1 of {D} coordinates")
    assert lines[-1] == f"  rank        3 of {D}"
    nm.GaussianMixture.from_samples(X, np.arange(50) % 12).save("n")
    lines = call("inspect", "n").out.splitlines()
    assert re.fullmatch(r"  weights     0.08 \(component 2\) to 0.1 \(component 0\), median 0.08 of 12", lines[1])
    assert lines[2] == "  labels      0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … of 12"


def test_a_mixture_that_does_not_vary() -> None:
    nm.GaussianMixture([1.0], [[2.0]], [[0.0]], "diag").save("m")
    assert "  variance    0 in all, 0.00% of it between" in call("inspect", "m").out
    assert call("inspect", "m", "--whitened").refusal.endswith("--whitened takes a polynomial that convert made")


def by_size(values: np.ndarray) -> np.ndarray:
    return values[np.argsort(-np.abs(values))]


@pytest.mark.parametrize("whitened", [False, True])
def test_eigenvalues_and_singular_values(whitened: bool) -> None:
    """Those of the gradient and of half the Hessian, at the mean, of the quadratic itself."""
    p = solved()
    found = call("inspect", "p", "--json", *(["--whitened"] if whitened else [])).json
    metric = p.inputs.cov if whitened else np.eye(D)
    gradient = p.about(p.inputs.mean).coefficient(1)
    squares = np.linalg.eigvals(gradient @ metric @ gradient.T).real
    np.testing.assert_allclose(found["singular_values"], np.sqrt(np.sort(squares)[::-1]), rtol=1e-9)
    for output, entry in enumerate(found["spectra"]):
        values = np.linalg.eigvals(p.quadratic[output] @ metric).real
        np.testing.assert_allclose(entry["eigenvalues"], by_size(values), rtol=1e-9)
        assert (entry["output"], entry["neurons"], entry["variances"]) == (output, None, None)
    help_text = call("convert", "--help").out + call("inspect", "--help").out.replace("with --json, one object", "")
    assert_documented({**found, **found["spectra"][0]}, help_text)


def test_the_text_of_inspect() -> None:
    p = solved()
    result = call("inspect", "p")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines == [
        f"p: SolvedPolynomial(degree=2, {D} → {OUT}, relu)",
        f"  layer       MLP({D} → {N} → {OUT}, relu)",
        "  activation  relu(x) = Max(0, x)",
        f"  inputs      GaussianMixture(3 components, dim={D}, full covariances)",
        f"  solved      at once, {p.info.seconds:.3g} s",
        f"  FVU         {p.total_fvu:.6g}, the fraction of the variance of all outputs that is left unexplained",
        f"  by output   {'  '.join(f'{value:.5g}' for value in p.fvu)}",
        "  variance    by degree is not in the file; --fvu computes it",
        "",
        "singular values of the linear part, per unit of the inputs",
        "  " + "  ".join(f"{value:.5g}" for value in nm.svd(p).values),
        "",
        "eigenvalues of the degree-2 part, per unit of the inputs",
        *(f"  output {o}  " + "  ".join(f"{value:.5g}" for value in nm.spectrum(p, o).values) for o in range(OUT)),
    ]
    one = call("inspect", "p", "--output", "2", "--count", "2", "--whitened").out.splitlines()
    values = nm.spectrum(p, 2, 2, whitened=True).values
    assert one[-3:] == ["  output 2", *(f"  {value:>+11.5g}" for value in values)]


def test_the_variance_is_computed_when_asked_for() -> None:
    p = solved(fvu=False)
    assert "\n  FVU         not in the file; --fvu computes it\n" in call("inspect", "p").out
    assert call("inspect", "p", "--json").json["total_fvu"] is None
    found = call("inspect", "p", "--json", "--fvu").json
    assert (found["total_fvu"], found["variance_by_degree"]) == (p.total_fvu, p.variance_by_degree.tolist())
    first, second = p.variance_by_degree.sum(axis=1) / (p.variance_by_degree.sum() / (1 - p.total_fvu))
    assert (
        f"\n  variance    degree 1 {first:.2%}, degree 2 {second:.2%}, left {p.total_fvu:.2%}\n"
        in call("inspect", "p", "--fvu").out
    )


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_polynomials_of_other_degrees(degree: int) -> None:
    """Above 2 the parts of degree 1 and 2 are not those of an expansion in orthogonal polynomials."""
    p = solved(degree=degree)
    found = call("inspect", "p", "--json").json
    assert found["spectra"] == []
    assert (found["singular_values"] is None) == (degree != 1)
    assert found["fvu"] == p.fvu.tolist()
    text = call("inspect", "p", "--output", "0").out
    assert "eigenvalues" not in text
    assert ("cannot be told apart above degree 2 under a mixture" in text) == (degree == 3)
    assert ("  variance    by degree is not in the file" in text) == (degree == 3)


def test_inputs_that_do_not_vary() -> None:
    p = nm.approximate(mlp(), nm.GaussianMixture([1.0], np.ones((1, D)), np.zeros((1, D)), "diag"))
    _ = p.total_fvu
    p.save("p")
    for option in ([], ["--whitened"], ["--whitened", "--output", "0"]):
        assert "  variance    the outputs do not vary\n" in call("inspect", "p", "--fvu", *option).out
        assert call("inspect", "p", "--json", *option).json["total_fvu"] == 0


def test_inspect_after_convert_as_they_are_typed() -> None:
    write_layer()
    assert typed("convert", "layer.npz", "--inputs", write_mixture(), "--out", "p").returncode == 0
    done = typed("inspect", "p", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found, p = json.loads(done.stdout), nm.approximate(mlp(), mixture())
    assert (found["file"], found["kind"], found["fvu"]) == ("p", "SolvedPolynomial", p.fvu.tolist())
    np.testing.assert_array_equal(found["spectra"][1]["eigenvalues"], nm.spectrum(p, 1).values)


# Pictures


@pytest.mark.parametrize(
    ("degree", "options"),
    [
        (2, []),
        (2, ["--whitened", "--fvu", "--output", "1"]),
        (2, ["--shape", f"1,{D}", "--count", "2"]),
        (1, []),
        (3, ["--fvu"]),
    ],
)
def test_a_picture_is_drawn(degree: int, options: list[str]) -> None:
    pytest.importorskip("matplotlib")
    solved(degree=degree)
    assert call("inspect", "p", "--plot", "p.png", *options).status == 0
    assert size_of("p.png")[0] > 1000


@pytest.mark.parametrize("options", [[], ["--whitened"], ["--whitened", "--output", "0", "--fvu"]])
def test_a_picture_without_images(options: list[str]) -> None:
    """All eigenvalues of inputs that make no square, which carry no variance one by one."""
    pytest.importorskip("matplotlib")
    layer = nm.MLP(*weights(np.random.default_rng(7), 3, N, 3), "relu")
    nm.approximate(layer, mixture(d=3)).save("p")
    result = call("inspect", "p", "--plot", "p.png", *options)
    assert (result.status, result.err) == (0, "")
    assert size_of("p.png")[0] > 1000


def test_a_picture_of_nothing_is_refused() -> None:
    pytest.importorskip("matplotlib")
    solved(degree=3)
    result = call("inspect", "p", "--plot", "p.png")
    assert result.status == 1
    assert "there is nothing to draw of degree 3 without its variance; add --fvu" in result.refusal
    assert not Path("p.png").exists()
