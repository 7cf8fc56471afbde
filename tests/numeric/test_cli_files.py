"""Layers and inputs from files of every origin, whole and damaged."""

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numeric as nm
from numeric.cli_files import layer_from
from numeric.cli_inputs import inputs_from
from tests.numeric.command import (  # noqa: F401
    GLU_NAMES,
    MLP_NAMES,
    OUT,
    D,
    N,
    arrays_of,
    call,
    gaussian,
    glu,
    many_tensors,
    mean_and_cov,
    mlp,
    npy,
    npz,
    objects,
    only,
    pickled,
    pipe,
    safetensors,
    samples,
    saved,
    somewhere_else,
    tensor,
    write_layer,
    write_stats,
    zipped,
)

pytestmark = pytest.mark.usefixtures("somewhere_else")


# convert: layers of every origin


def layers_found(path: str, mapped: dict[str, str] | None = None, activation: str | None = "relu") -> nm.MLP | nm.GLU:
    return layer_from(path, activation, {}, mapped or {})[0]


def assert_arrays(layer: Any, expected: Mapping[str, np.ndarray | None]) -> None:
    """Equal to the last bit, and of the same dtype."""
    for name, array in expected.items():
        found = getattr(layer, name)
        if array is None:
            assert found is None
        else:
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("dtype", ["F16", "F32", "F64", "BF16"])
def test_tensors_of_others_are_read_exactly(dtype: str) -> None:
    wide = arrays_of(mlp(), MLP_NAMES)
    safetensors("layer", {name: tensor(array, dtype) for name, array in wide.items()}, format="pt")
    numbers = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
    if dtype == "BF16":
        expected = {
            name: (array.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
            for name, array in wide.items()
        }
    else:
        expected = {name: array.astype(numbers[dtype]) for name, array in wide.items()}
    assert_arrays(layers_found("layer"), expected)


def test_a_state_dict_with_other_names() -> None:
    layer = mlp()
    safetensors(
        "model.safetensors",
        {
            "step": tensor(np.array(7), "I64"),
            "fc1.weight": tensor(layer.W_in, "F32"),
            "fc1.bias": tensor(np.asarray(layer.b_in), "F32"),
            "c_proj.weight": tensor(np.ascontiguousarray(layer.W_out.T), "F64"),
            "norm": ("F8_E4M3", [3], b"\0\0\0"),
        },
    )
    names = ["W_in=fc1.weight", "b_in=fc1.bias", "W_out=c_proj.weight.T"]
    mapped = [part for name in names for part in ("--tensor", name)]
    arguments = [
        "convert",
        "model.safetensors",
        "--inputs",
        write_stats(),
        "--activation",
        "relu",
        *mapped,
        "--out",
        "p",
    ]
    found = call(*arguments, "--json").json
    assert found["tensors"] == dict(name.split("=") for name in names)
    assert ": W_in=fc1.weight, b_in=fc1.bias, W_out=c_proj.weight.T\n" in call(*arguments, "--force").out
    saved = nm.load("p")
    assert isinstance(saved, nm.RidgePolynomial)
    assert_arrays(
        saved.layer,
        {
            "W_in": layer.W_in.astype(np.float32),
            "b_in": np.asarray(layer.b_in, np.float32),
            "W_out": layer.W_out,
            "b_out": None,
        },
    )
    wanted = nm.approximate(nm.MLP(saved.W_in, saved.layer.b_in, layer.W_out, activation="relu"), gaussian())
    assert found["total_fvu"] == pytest.approx(wanted.total_fvu, rel=1e-12)


def test_safetensors_of_the_library_itself() -> None:
    library = pytest.importorskip("safetensors.numpy")
    arrays = arrays_of(glu(), GLU_NAMES)
    library.save_file({f"mlp.{name}": array for name, array in arrays.items()}, "glu")
    layer = layers_found("glu", {name: f"mlp.{name}" for name in arrays})
    assert isinstance(layer, nm.GLU)
    assert_arrays(layer, arrays)


def test_a_name_that_ends_in_T_may_be_a_name() -> None:
    arrays = {"a": np.ones((N, D)), "a.T": np.arange(N * D, dtype=np.float64).reshape(N, D), "W_out": np.ones((OUT, N))}
    safetensors("layer", {name: tensor(array) for name, array in arrays.items()})
    assert_arrays(layers_found("layer", {"W_in": "a.T"}), {"W_in": arrays["a.T"]})


def test_a_layer_that_was_saved() -> None:
    layer = mlp(nm.activation("leaky_relu", negative_slope=0.3))
    layer.save("renamed.npz")
    for activation in (None, "leaky_relu"):
        found = layers_found("renamed.npz", activation=activation)
        assert found.activation == layer.activation
        assert_arrays(found, arrays_of(layer, MLP_NAMES))


def test_what_a_file_is_is_what_is_in_it() -> None:
    write_layer()
    write_stats()
    np.save("samples.npy", samples())
    for path, other in (("layer.npz", "layer.safetensors"), ("stats.npz", "a"), ("samples.npy", "b.npz")):
        os.rename(path, other)
    for inputs in ("a", "b.npz"):
        assert call("convert", "layer.safetensors", "--inputs", inputs).status == 0


def test_an_alias_of_the_activation_in_the_file() -> None:
    write_layer(activation="linear")
    arguments = ["convert", "layer.npz", "--inputs", write_stats(), "--json", "--no-fvu"]
    assert call(*arguments, "--activation", "identity").json["activation"] == "identity"


# convert: inputs of every origin


def same(found: Any, expected: nm.Gaussian) -> bool:
    return repr(found) == repr(expected) and all(
        np.array_equal(*pair) for pair in ((found.mean, expected.mean), (found.cov, expected.cov))
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint8, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_samples_are_mapped(dtype: Any, order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    X = (10 * samples() + 50).astype(dtype, order=order)
    np.save("X.npy", X)
    np.savez("X.npz", X=X)
    seen: list[type] = []
    original = nm.Gaussian.from_samples

    def spy(found: Any) -> nm.Gaussian:
        seen.append(type(found))
        return original(found)

    monkeypatch.setattr(nm.Gaussian, "from_samples", spy)
    for path in ("X.npy", "X.npz"):
        assert same(inputs_from(path, D), original(X))
    assert seen == [np.memmap, np.ndarray]


@pytest.mark.parametrize("form", ["npz", "foreign", "ours"])
@pytest.mark.parametrize("kind", ["full", "diagonal", "factor"])
def test_statistics_of_every_form(form: str, kind: str) -> None:
    given = mean_and_cov()
    if kind == "diagonal":
        given["cov"] = np.diag(given["cov"]).copy()
    if kind == "factor":
        given = {"mean": given["mean"], "F": given["cov"][:, :2].copy()}
    inputs = nm.Gaussian.from_factor(**given) if kind == "factor" else nm.Gaussian(**given)
    if form == "npz":
        os.rename(npz("stats.npz", **given), "stats")
    elif form == "foreign":
        safetensors("stats", {name: tensor(array) for name, array in given.items()})
    else:
        inputs.save("stats")
    found = inputs_from("stats", D)
    assert same(found, inputs)
    assert isinstance(found, nm.Gaussian)
    assert type(found.covariance) is type(inputs.covariance)


def test_half_precision_statistics() -> None:
    X = samples()
    safetensors("X", {"X": tensor(X, "BF16")})
    rounded = (X.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert same(inputs_from("X", D), nm.Gaussian.from_samples(rounded))


# What is refused


W = np.ones((2, 3))
REFUSED_LAYERS: dict[str, tuple[Callable[[], Any], list[str], str]] = {
    "missing": (lambda: "none.npz", [], "'none.npz': No such file or directory"),
    "a folder": (lambda: os.mkdir("f") or "f", [], "'f': this is a folder"),
    "a pipe": (lambda: pipe("f"), [], "'f' is a device or a pipe; copy it to a file first"),
    "empty": (lambda: (Path("f").touch(), "f")[1], [], "'f': it ends after 0 bytes; expected 8 bytes"),
    "text": (lambda: Path("f").write_text("hello, world") and "f", [], "'f' is neither .npz nor .npy nor safetensors"),
    "HDF5": (lambda: Path("f").write_bytes(b"\x89HDF\r\n\x1a\n") and "f", [], "(it looks like an HDF5 file)"),
    "a pickle": (lambda: pickled("f.safetensors"), [], "'f.safetensors' is a pickle, which could execute anything"),
    "a pickle called npz": (lambda: pickled("f.npz"), [], "'f.npz' is a pickle"),
    "torch.save": (
        lambda: zipped("f.pt", "f/data.pkl", "f/version"),
        [],
        "not one of numpy.savez; a model of torch.save",
    ),
    "a zip of pickles": (lambda: zipped("f.npz", "W_in.npy"), [], "'f.npz' is damaged: "),
    "an empty zip": (lambda: zipped("f.npz"), [], "there are no arrays at all"),
    "objects": (
        lambda: objects("f.npz"),
        [],
        "'f.npz': W_in has Python objects in it, which would have to be unpickled",
    ),
    "a single array": (lambda: npy("f.npy", W), [], "'f.npy' is a single array; a layer has several"),
    "a Gaussian": (
        lambda: saved(gaussian(), "g"),
        [],
        f"'g' holds Gaussian(dim={D}, full covariance); convert takes a",
    ),
    "tensors of ours": (lambda: saved(mlp(), "m"), ["--tensor", "W_in=a"], "leave out --tensor"),
    "another activation": (lambda: saved(mlp(), "m"), ["--activation", "gelu"], "says that its activation is relu;"),
    "parameters of ours": (lambda: saved(mlp(), "m"), ["--parameter", "a=1"], "says that its activation is relu;"),
    "other names": (
        lambda: npz("f.npz", weight=W, bias=np.ones(2)),
        [],
        "'f.npz' has no W_in and W_out, nor W_gate and W_up; --tensor W_in=NAME, for each, says what they are called "
        "here; there are weight (2, 3), bias (2)",
    ),
    "many other names": (many_tensors, [], "blocks.11.weight (2, 3) and 28 more"),
    "no such tensor": (many_tensors, ["--tensor", "W_in=block.7.weight"], "no array 'block.7.weight' for W_in (is it "),
    "no W_out": (lambda: npz("f.npz", **only("W_in", "b_in")), [], "has no W_out, which belongs to W_in;"),
    "no W_up": (lambda: npz("f.npz", **only("W_gate")), [], "has no W_up, which belongs to W_gate;"),
    "two layers": (lambda: npz("f.npz", **only("W_in", "W_out", "W_up")), [], "expected those of an MLP, W_in, b_in,"),
    "integers": (
        lambda: safetensors("f", {"W_in": tensor(W, "I64"), "W_out": tensor(W)}),
        ["--activation", "relu"],
        "tensor 'W_in' has dtype 'I64'; expected one of F16, F32, F64, BF16",
    ),
    "NaN": (lambda: write_layer(b_in=np.full(N, np.nan)), [], "'layer.npz': b_in: expected finite entries, got 6"),
    "a wrong shape": (lambda: write_layer(b_in=np.ones(N + 1)), [], f"b_in: expected shape ({N},), got ({N + 1},)"),
    "complex": (lambda: write_layer(W_in=np.ones((N, D)) * 1j), [], "W_in: expected an array of real numbers"),
    "texts": (lambda: write_layer(W_in=np.array([["a"]])), [], "W_in: expected an array of real numbers"),
    "no activation": (
        lambda: npz("f.npz", **only(*MLP_NAMES)),
        [],
        "'f.npz' does not say its activation; --activation",
    ),
    "an activation that is none": (lambda: write_layer(activation=3.0), [], "activation: expected a text"),
    "an unknown activation": (lambda: write_layer(activation="gellu"), [], "'gellu' is not known. Did you mean 'gelu'"),
    "a strange activation": (
        lambda: write_layer(activation="zzzz"),
        [],
        "'zzzz' is not known. Known are abs, celu, cos,",
    ),
    "two activations": (
        write_layer,
        ["--activation", "gelu"],
        "says that its activation is relu, and --activation says",
    ),
    "an unknown parameter": (write_layer, ["--parameter", "a=1"], "activation 'relu' has no parameter 'a'"),
    "a wrong parameter": (
        lambda: npz("f.npz", **only(*MLP_NAMES)),
        ["--activation", "hardtanh", "--parameter", "min_val=2"],
        "activation 'hardtanh' needs",
    ),
    "too large": (lambda: write_layer(W_in=np.full((N, D), 1e308)), [], "overflow"),
    "a variance that is too large": (
        lambda: write_layer(W_in=np.full((N, D), 1e300)),
        [],
        "--no-fvu converts without computing the variance",
    ),
}


@pytest.mark.parametrize("case", REFUSED_LAYERS)
def test_convert_refuses_layers(case: str) -> None:
    make, options, message = REFUSED_LAYERS[case]
    path, stats = make(), write_stats()
    before = sorted(os.listdir())
    result = call("convert", path, "--inputs", stats, "--out", "p", *options)
    assert result.status == 1
    assert message in result.refusal
    assert len(result.refusal) < 500
    assert sorted(os.listdir()) == before


REFUSED_INPUTS: dict[str, tuple[Callable[[], str], str]] = {
    "missing": (lambda: "none", "'none': No such file or directory"),
    "a pickle": (lambda: pickled("s.npy"), "'s.npy' is a pickle"),
    "objects": (lambda: npy("s.npy", np.array([{}], dtype=object)), "'s.npy' is damaged: "),
    "other samples": (
        lambda: npy("s.npy", np.ones((7, D + 1))),
        f"samples of {D + 1} coordinates, and the layer has {D}",
    ),
    "other samples in npz": (
        lambda: npz("s.npz", X=np.ones((7, D + 1))),
        f"samples of {D + 1} coordinates, and the layer",
    ),
    "other dimensions": (
        lambda: npz("s.npz", mean=np.ones(3), cov=np.ones(3)),
        f"3 coordinates, and the layer has {D}",
    ),
    "ours of other dimensions": (
        lambda: saved(nm.Gaussian([0.0]), "s"),
        f"1 coordinates, and the layer has {D} inputs",
    ),
    "no samples": (lambda: npz("s.npz", X=np.ones((0, D))), "expected at least one entry"),
    "samples of one axis": (lambda: npy("s.npy", np.ones(D)), "'s.npy': X: expected shape (any, any), got (4,)"),
    "samples with NaN": (lambda: npy("s.npy", np.full((9, D), np.nan)), "expected finite entries"),
    "only a mean": (lambda: npz("s.npz", mean=np.ones(D)), "'s.npz' has mean; expected X (n, d), mean with cov"),
    "too much": (
        lambda: write_stats("s.npz", X=samples()),
        "'s.npz' has X, cov, mean; expected X (n, d), mean with cov",
    ),
    "nothing": (lambda: npz("s.npz", data=samples()), "has no statistics of inputs: X (n, d), mean with cov"),
    "asymmetric": (
        lambda: write_stats("s.npz", cov=np.arange(D * D).reshape(D, D)),
        "cov: expected a symmetric matrix",
    ),
    "negative": (lambda: write_stats("s.npz", cov=np.full(D, -1.0)), "cov: expected variances ≥ 0"),
    "indefinite": (lambda: write_stats("s.npz", cov=-np.eye(D)), "cov: expected a positive semidefinite matrix"),
    "a wrong covariance": (lambda: write_stats("s.npz", cov=np.eye(2)), "cov: expected None, variances of shape"),
    "a wrong factor": (lambda: npz("s.npz", mean=np.ones(D), F=np.eye(2)), "F: expected shape (4, any), got (2, 2)"),
    "a layer": (lambda: saved(mlp(), "s"), f"'s' holds MLP({D} → {N} → {OUT}, relu); --inputs takes a Gaussian"),
}


@pytest.mark.parametrize("case", REFUSED_INPUTS)
def test_convert_refuses_inputs(case: str) -> None:
    make, message = REFUSED_INPUTS[case]
    stats, layer = make(), write_layer()
    before = sorted(os.listdir())
    result = call("convert", layer, "--inputs", stats, "--out", "p")
    assert result.status == 1
    assert message in result.refusal
    assert sorted(os.listdir()) == before


# Damaged files: refused on one line wherever they are cut or changed, or as good as before


def damaged_examples() -> dict[str, bytes]:
    made = {}
    small = {"W_in": np.ones((2, 3)), "W_out": np.ones((1, 2)), "activation": np.array("relu")}
    for name, write in (("npz", np.savez), ("compressed", np.savez_compressed)):
        buffer = io.BytesIO()
        write(buffer, **small)
        made[name] = buffer.getvalue()
    nm.MLP(small["W_in"], None, small["W_out"], activation="relu").save("ours")
    made["ours"] = Path("ours").read_bytes()
    safetensors("foreign", {name: tensor(small[name], "F32") for name in ("W_in", "W_out")})
    made["foreign"] = Path("foreign").read_bytes()
    return made


@pytest.mark.parametrize("form", ["npz", "compressed", "ours", "foreign"])
def test_files_cut_at_any_byte_are_refused(form: str) -> None:
    data = damaged_examples()[form]
    np.save("s.npy", samples()[:, :3])
    activation = ["--activation", "relu"] if form == "foreign" else []
    for length in range(0, len(data), max(1, len(data) // 150)):
        Path("f").write_bytes(data[:length])
        result = call("convert", "f", "--inputs", "s.npy", "--no-fvu", *activation)
        assert result.status == 1, length
        assert "'f'" in result.refusal
    Path("f").write_bytes(data)
    assert call("convert", "f", "--inputs", "s.npy", "--no-fvu", *activation).status == 0


@pytest.mark.parametrize("form", ["npz", "compressed", "ours", "foreign"])
def test_files_with_changed_bytes_are_no_bug(form: str) -> None:
    data = damaged_examples()[form]
    np.save("s.npy", samples()[:, :3])
    rng = np.random.default_rng(5)
    for position in rng.choice(len(data), 150):
        changed = bytearray(data)
        changed[position] ^= 1 << rng.integers(8)
        Path("f").write_bytes(changed)
        activation = ["--activation", "relu"] if form == "foreign" else []
        result = call("convert", "f", "--inputs", "s.npy", "--no-fvu", *activation)
        assert result.status in (0, 1), result.err
        if result.status:
            assert result.refusal


def test_samples_cut_at_any_byte_are_refused() -> None:
    np.save("whole.npy", samples()[:3])
    data = Path("whole.npy").read_bytes()
    write_layer()
    for length in range(0, len(data), 3):
        Path("s.npy").write_bytes(data[:length])
        result = call("convert", "layer.npz", "--inputs", "s.npy", "--no-fvu")
        assert result.status == 1, length
        assert "'s.npy'" in result.refusal


def test_an_array_that_says_it_is_enormous_takes_no_memory() -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**20, 2**20)})
    with zipfile.ZipFile("f.npz", "w") as archive:
        archive.writestr("W_in.npy", header.getvalue() + bytes(16))
    assert "'f.npz' is damaged: W_in.npy has 16 bytes of data for shape" in (
        call("convert", "f.npz", "--inputs", write_stats()).refusal
    )
