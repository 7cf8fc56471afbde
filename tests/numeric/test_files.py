"""What is saved comes back to the last bit, or the file is refused."""

import contextlib
import json
import os
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import numeric as nm
from numeric import files, runtime, variance
from numeric.dense import DensePolynomial
from numeric.files import BrokenFile, WrongActivation, load, save
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.polynomial import Info
from tests.numeric.problems import GatedProblem, Problem, gated_problems, gated_weights, problems, weights
from tests.numeric.safetensors_by_hand import Parts, arrays_of, parts_of, put_together, taken_apart

ROOT = Path(__file__).parents[2]
SETTINGS = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def mlp(activation: Any = "relu", dtype: type = np.float64) -> MLP:
    return MLP(*(w.astype(dtype) for w in weights(np.random.default_rng(0), 3, 5, 2)), activation)


def glu(activation: Any = "silu") -> GLU:
    return GLU(*gated_weights(np.random.default_rng(1), 3, 5, 2), activation)


def full() -> Gaussian:
    root = np.random.default_rng(2).standard_normal((3, 3))
    return Gaussian([0.5, -1.0, 2.0], root @ root.T)


def mixture() -> GaussianMixture:
    """Weights of which the sum is not 1, and noise that must not be added twice."""
    root = np.random.default_rng(4).standard_normal((3, 3))
    made = GaussianMixture(np.full(3, 1 / 3), root, [root @ root.T, np.eye(3), np.zeros((3, 3))], noise_floor=0.1)
    made.weights.flags.writeable = True
    made.weights[0] += 1e-12
    made.weights.flags.writeable = False
    return made


EXAMPLES: dict[str, Callable[[], Any]] = {
    "MLP": mlp,
    "MLP in half precision": lambda: mlp(dtype=np.float16),
    "MLP without biases": lambda: MLP([[1.0, 2.0]], None, [[3.0]], activation="sin"),
    "MLP in mixed precision": lambda: MLP(np.ones((2, 3), np.float32), None, np.ones((4, 2), np.float16)),
    "MLP in Fortran order": lambda: MLP(mlp().W_in.copy("F"), None, mlp().W_out.T.copy().T),
    "MLP with a parameter": lambda: mlp(nm.activation("leaky_relu", negative_slope=0.1 + 0.2)),
    "GLU": glu,
    "GLU without an output matrix": lambda: GLU(np.eye(3), None, np.eye(3), np.ones(3), None, np.arange(3.0)),
    "identity": lambda: Gaussian([1.0, 0.1]),
    "diagonal": lambda: Gaussian([1.0, 0.1], [0.3, 0.0]),
    "full": full,
    "samples": lambda: Gaussian.from_samples(np.random.default_rng(3).standard_normal((7, 3))),
    "rounded": lambda: Gaussian([0.0, 0.0], [[1.0, 1e-10], [1e-10, -1e-9]]),
    "factor": lambda: Gaussian.from_factor([1.0, 0.1], [[0.1], [0.7]]),
    "mixture": mixture,
    "under a mixture": lambda: nm.approximate(mlp(), mixture()),
    "gated under a mixture": lambda: nm.approximate(glu(), mixture(), 1),
    "cubic under a mixture": lambda: nm.approximate(mlp("gelu"), mixture(), 3),
    "diagonal mixture": lambda: GaussianMixture([0.1, 0.9], [[1.0], [0.1]], [[0.3], [0.0]], "diag"),
    "tied mixture": lambda: GaussianMixture([0.25, 0.75], [[1.0, 0.1], [0.2, 0.0]], np.eye(2), "tied", 1e-3),
    "single-component mixture": lambda: GaussianMixture([1.0], [[1.0]], [[[2.0]]]),
    "labelled mixture": lambda: GaussianMixture.from_samples(np.eye(3), ["b", "ä", "b"]),
    "mixture with numbers": lambda: GaussianMixture.from_samples(np.eye(3), np.array([7, 255, 7], np.uint8), "diag"),
    "mixture with truths": lambda: GaussianMixture.from_samples(np.eye(3), [True, False, True], "tied"),
    "mixture with bytes": lambda: GaussianMixture.from_samples(np.eye(3), np.array([b"\xff", b"b", b"b"])),
    "ridge": lambda: nm.approximate(mlp(), full(), 3),
    "ridge of degree 0": lambda: nm.approximate(mlp(), full(), 0),
    "ridge in single precision": lambda: nm.approximate(mlp(dtype=np.float32), Gaussian([0.0, 1.0, 2.0]), 2),
    "gated": lambda: nm.approximate(glu(), full(), 2),
    "gated of degree 0": lambda: nm.approximate(glu(), Gaussian(np.zeros(3), np.ones(3)), 0),
    "constant": lambda: DensePolynomial([1.0, 2.0], [[3.0]]),
    "dense": lambda: nm.approximate(mlp("gelu"), full(), 4).about([0.1, 0.2, 0.3]),
}


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Any:
    return EXAMPLES[request.param]()


# The comparison


def contents(obj: Any) -> Iterator[tuple[str, Any]]:
    """Everything an object is made of."""
    if isinstance(obj, MLP | GLU):
        names = ["W_in", "b_in"] if isinstance(obj, MLP) else ["W_gate", "b_gate", "W_up", "b_up"]
        yield from ((name, getattr(obj, name)) for name in (*names, "W_out", "b_out", "activation"))
    elif isinstance(obj, Gaussian):
        yield "mean", obj.mean
        yield "form", type(obj.covariance)
        yield from vars(obj.covariance).items()
    elif isinstance(obj, GaussianMixture):
        names = ("weights", "means", "covariance_type", "noise_floor", "labels", "components")
        yield from ((name, getattr(obj, name)) for name in names)
    elif isinstance(obj, DensePolynomial):
        yield "center", obj.center
        yield from ((f"{k}", tensor) for k, tensor in enumerate(obj.coefficients))
    else:
        yield from ((name, getattr(obj, name)) for name in obj.__dataclass_fields__)


def assert_same(actual: Any, expected: Any) -> None:
    """Equal types, dtypes, shapes, memory orders, permissions to write and bits, all the way down."""
    assert type(actual) is type(expected)
    if isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        assert actual.tobytes() == expected.tobytes()
        assert actual.flags.f_contiguous == expected.flags.f_contiguous
        assert actual.flags.writeable == expected.flags.writeable
    elif isinstance(expected, tuple):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected):
            assert_same(one, other)
    elif isinstance(
        expected,
        MLP
        | GLU
        | Gaussian
        | GaussianMixture
        | DensePolynomial
        | nm.RidgePolynomial
        | nm.GatedPolynomial
        | nm.SolvedPolynomial
        | Info,
    ):
        found, wanted = dict(contents(actual)), dict(contents(expected))
        found.pop("_root", None), wanted.pop("_root", None)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert_same(found[name], value)
        assert repr(actual) == repr(expected)
    else:
        assert actual == expected


def nudged(array: np.ndarray) -> np.ndarray:
    """Another by one unit in the last place of its last entry."""
    changed = array.copy("A")
    changed[(-1,) * array.ndim] = np.nextafter(changed[(-1,) * array.ndim], np.inf)
    return changed


def test_the_comparison_notices() -> None:
    assert_same(mlp(), mlp())
    assert_same(full(), full())
    wrong = [
        (MLP(nudged(mlp().W_in), mlp().b_in, mlp().W_out, mlp().b_out, "relu"), mlp()),
        (mlp("gelu"), mlp()),
        (mlp(dtype=np.float32), mlp()),
        (EXAMPLES["MLP without biases"](), mlp()),
        (MLP(mlp().W_in.copy("F"), mlp().b_in, mlp().W_out, mlp().b_out, "relu"), mlp()),
        (mlp(), glu()),
        (Gaussian(nudged(full().mean), full().cov), full()),
        (Gaussian(full().mean, nudged(full().cov)), full()),
        (Gaussian([0.0, 0.0], [1.0, 1.0]), Gaussian([0.0, 0.0])),
        (DensePolynomial([0.0], [[1.0], [[2.0]]]), DensePolynomial([0.0], [[1.0]])),
        (DensePolynomial([0.0], [[-0.0]]), DensePolynomial([0.0], [[0.0]])),
        (nm.approximate(mlp(), full(), 2), nm.approximate(mlp(), full(), 3)),
        (nm.approximate(mlp(), Gaussian(full().mean), 2), nm.approximate(mlp(), full(), 2)),
    ]
    for actual, expected in wrong:
        with pytest.raises(AssertionError):
            assert_same(actual, expected)


def saved(obj: Any, path: Path) -> Any:
    save(obj, path)
    return load(path)


# What comes back


def test_everything_comes_back(example: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    loaded = saved(example, path)
    assert_same(loaded, example)
    assert os.listdir(tmp_path) == [path.name]
    if not isinstance(example, Gaussian | GaussianMixture):
        rng = np.random.default_rng(0)
        for x in (rng.standard_normal(loaded.d_in), rng.standard_normal((4, loaded.d_in)).astype(np.float32)):
            assert_same(loaded(x), example(x))
    assert_same(pickle.loads(pickle.dumps(loaded)), pickle.loads(pickle.dumps(example)))
    first = path.read_bytes()
    path.unlink()
    loaded.save(path)
    assert path.read_bytes() == first
    assert nm.load is load


@SETTINGS
@given(problem=st.one_of(problems(("relu", "gelu")), gated_problems(("silu",))), degree=st.integers(0, 4))
def test_any_polynomial_comes_back(tmp_path: Path, problem: Problem | GatedProblem, degree: int) -> None:
    p = nm.approximate(*problem, degree)
    loaded = saved(p, tmp_path / "a")
    assert_same(loaded, p)
    x = np.random.default_rng(0).standard_normal((3, p.d_in))
    assert_same(loaded(x), p(x))
    for k in range(3):
        assert_same(loaded.coefficient(k), p.coefficient(k))
    assert_same(saved(p.about(x[0]), tmp_path / "a"), p.about(x[0]))


def test_big_endian_weights_become_native(tmp_path: Path) -> None:
    swapped = MLP(mlp().W_in.astype(">f8"), mlp().b_in, mlp().W_out, mlp().b_out, "relu")
    assert_same(saved(swapped, tmp_path / "a"), mlp())


def test_inputs_sample_the_same(tmp_path: Path) -> None:
    for name in ("identity", "diagonal", "full", "factor"):
        inputs = EXAMPLES[name]()
        assert_same(saved(inputs, tmp_path / "a").sample(5, 0), inputs.sample(5, 0))
        assert_same(saved(inputs, tmp_path / "a").cov, inputs.cov)


def test_metadata_say_what_it_is(tmp_path: Path) -> None:
    p = nm.approximate(mlp(nm.activation("leaky_relu", negative_slope=0.2)), full(), 3)
    save(p, tmp_path / "a")
    found = taken_apart(tmp_path / "a")
    assert found.metadata.pop("symgauss_version")
    assert found.metadata.pop("checksum")
    assert found.metadata == {
        "symgauss_format": "1",
        "kind": "RidgePolynomial",
        "summary": "RidgePolynomial(degree=3, 3 → 2, 5 ridges, leaky_relu)",
        "numpy_version": np.__version__,
        "degree": "3",
        "d_in": "3",
        "n_hidden": "5",
        "d_out": "2",
        "inputs": "Gaussian(dim=3, full covariance)",
        "covariance": "full",
        "activation": "leaky_relu",
        "activation_formula": "negative_slope*Min(0, x) + Max(0, x)",
        "activation_parameters": '{"negative_slope": 0.2}',
    }
    layer = {f"layer.{name}" for name in ("W_in", "b_in", "W_out", "b_out")}
    own = {"inputs.mean", "inputs.cov", "preactivation_mean", "preactivation_std", "hermite"}
    assert found.entries.keys() == layer | own
    np.testing.assert_array_equal(arrays_of(found)["layer.W_in"], p.W_in)
    np.testing.assert_array_equal(arrays_of(found)["hermite"], p.hermite)


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(mlp(), "a")
    save(glu(), "a")
    assert_same(load(os.path.join(".", "a")), glu())
    with pytest.raises(FileNotFoundError, match="No such folder"):
        save(mlp(), tmp_path / "missing" / "a")
    with pytest.raises(IsADirectoryError, match="This is a folder"):
        save(mlp(), tmp_path)
    with pytest.raises(FileNotFoundError, match="b"):
        load("b")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)
    assert os.listdir(tmp_path) == ["a"]


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    class Own(MLP):
        pass

    own = Own(mlp().W_in, None, mlp().W_out)
    names = "MLP or GLU or Gaussian or GaussianMixture or RidgePolynomial or GatedPolynomial or SolvedPolynomial or "
    names += "DensePolynomial"
    for bad in (3, None, mlp().W_in, Own, own):
        with pytest.raises(TypeError, match=f"obj: expected {names}, got {type(bad).__name__}"):
            save(bad, tmp_path / "a")
    with pytest.raises(TypeError, match="layer: expected MLP or GLU, got Own"):
        save(nm.approximate(own, full()), tmp_path / "a")
    p = nm.approximate(mlp(), full())
    p.layer.W_in[0, 1] = np.nan
    with pytest.raises(ValueError, match=r"layer.W_in: expected finite entries, got 1 .* at index \(0, 1\)"):
        save(p, tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_peak_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    layer = MLP(rng.standard_normal((600, 1000)), None, rng.standard_normal((400, 600)).T.copy().T, activation="relu")
    root = rng.standard_normal((1000, 1000))
    path = tmp_path / "a"
    save(nm.approximate(layer, Gaussian(np.zeros(1000), root @ root.T)), path)
    tracemalloc.start()
    try:
        p = load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(p, nm.RidgePolynomial)
    assert peak < 1.35 * path.stat().st_size + 2**24  # blocks in which symmetry is checked


# The fraction of variance unexplained


@pytest.mark.parametrize("name", ["ridge", "gated", "ridge of degree 0", "gated of degree 0"])
def test_fvu(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    p = EXAMPLES[name]()
    path = tmp_path / "a"
    monkeypatch.setattr(variance, "explained", None)
    unknown = saved(p, path)  # nothing is computed for a file
    assert "total_fvu" not in taken_apart(path).metadata
    monkeypatch.undo()
    fvu, total, by_degree = p.fvu, p.total_fvu, p.variance_by_degree
    np.testing.assert_allclose(unknown.fvu, fvu, rtol=1e-12)
    monkeypatch.setattr(variance, "explained", None)  # it is not computed again
    known = saved(p, path)
    assert_same(known.fvu, fvu)
    assert known.total_fvu == total
    assert_same(known.variance_by_degree, by_degree)
    assert float(taken_apart(path).metadata["total_fvu"]) == total
    assert_same(known._explained.error, p._explained.error)
    assert_same(known, p)


def test_fvu_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    p = nm.approximate(mlp(), full(), 1)
    vars(p)["_explained"] = variance.Explained(p.variance_by_degree, p.fvu, np.array([np.inf, 0.0]))
    assert "_explained" not in vars(saved(p, tmp_path / "a"))


# Activations

KERNELS = """
import numpy as np
FORMULA = {formula!r}
def value_loop(x, out, slope):
    out[:] = np.where(x > 0, x, slope * x)
def requirements(slope):
    return {{'slope < 1': slope < 1}}
"""


def made_up(name: str = "bent", formula: str = "Max(x, slope*x)", key: str = "0", **parameters: float) -> Any:
    """What symgauss.compile returns, without compiling."""
    return SimpleNamespace(
        name=name,
        parameters=parameters or {"slope": 0.25},
        key=f"{key}{abs(hash(formula))}",
        formulas="",
        loops=KERNELS.format(formula=formula),
    )


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runtime.jit, "CACHE_FOLDER", str(tmp_path / "cache"))
    return tmp_path / "a.safetensors"


def test_parameters_come_back_to_the_last_bit(path: Path) -> None:
    for name in nm.activation_names():
        act = nm.activation(name)
        act = nm.activation(name, **{key: value * (1 + 1e-15) for key, value in act.parameters.items()})
        assert saved(mlp(act), path).activation == act
    assert saved(mlp("swish"), path).activation == nm.activation("silu")


def test_an_activation_of_ones_own_has_to_be_passed(path: Path) -> None:
    act = nm.activation(made_up(), slope=0.5)
    layer = mlp(act)
    save(layer, path)
    found = taken_apart(path)
    assert found.metadata["activation_key"] == act.source.key  # type: ignore[union-attr]
    assert b"value_loop" not in path.read_bytes()  # no source text
    message = (
        rf"'{path}': it was made with the activation 'bent', σ\(x\) = Max\(x, slope\*x\), parameters: slope; "
        rf"none of this name is known. Pass that one: load\('{path}', activation=…\)\."
    )
    with pytest.raises(WrongActivation, match=message):
        load(path)
    for passed in (made_up(), act, nm.activation(made_up(), slope=-3.0)):
        assert_same(load(path, activation=passed), layer)
    # kernels of another version, of the same formula
    other = load(path, activation=made_up(key="1"))
    assert isinstance(other, MLP)
    x = np.array([1.0, -2.0, 0.5])
    assert_same(other(x), layer(x))


@pytest.mark.parametrize(
    "wrong",
    [
        made_up(formula="Max(x, slope*x) + 0"),
        made_up(name="bend"),
        made_up(kink=0.25),
        "relu",
        "leaky_relu",
    ],
)
def test_another_activation_is_refused(path: Path, wrong: Any) -> None:
    save(mlp(made_up()), path)
    with pytest.raises(WrongActivation, match=r"made with the activation 'bent'.*; the one passed is '\w+', σ\(x\) = "):
        load(path, activation=wrong)


def test_what_is_no_activation_is_refused(path: Path) -> None:
    save(mlp(made_up()), path)
    with pytest.raises(TypeError, match="activation is function; expected a name"):
        load(path, activation=test_what_is_no_activation_is_refused)
    with pytest.raises(nm.UnknownActivation, match="Did you mean 'relu'"):
        load(path, activation="rellu")


def test_a_name_that_means_something_else_now(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    act = nm.activation(made_up("relu", "x**2"))
    save(mlp(act), path)
    with pytest.raises(WrongActivation, match=r"'relu', σ\(x\) = x\*\*2, .*; that of this name is 'relu', σ\(x\) = "):
        load(path)
    assert_same(load(path, activation=act), mlp(act))
    save(mlp("gelu"), path)
    assert_same(load(path), mlp("gelu"))
    monkeypatch.setattr(nm.activation("gelu").kernels, "FORMULA", "x*Phi(2*x)")
    with pytest.raises(
        WrongActivation, match=r"σ\(x\) = x\*Phi\(x\), .* that of this name is 'gelu', .*x\*Phi\(2\*x\)"
    ):
        load(path)


def test_activations_where_there_are_none(path: Path) -> None:
    for name in ("full", "dense"):
        save(EXAMPLES[name](), path)
        with pytest.raises(WrongActivation, match="which has no activation; load it without"):
            load(path, activation="relu")
    save(mlp(), path)
    assert_same(load(path, activation="relu"), mlp())


def test_a_polynomial_with_an_invented_activation(tmp_path: Path) -> None:
    """From the formula to the file and back, in a process that has no SymPy."""
    sympy, sg = pytest.importorskip("sympy"), pytest.importorskip("symgauss")
    act = sg.Activation("snake", sg.x + sympy.sin(sg.x) ** 2)
    p = nm.approximate(mlp(act), full(), 2)
    path = tmp_path / "a"
    save(p, path)
    assert_same(load(path, activation=act), p)
    (tmp_path / "act").write_bytes(pickle.dumps(nm.activation(act)))
    code = f"""
import pickle, sys
from numeric import files
for name in ('sympy', 'symgauss', 'safetensors'):
    sys.modules[name] = None
act = pickle.load(open({str(tmp_path / "act")!r}, 'rb'))
p = files.load({str(path)!r}, activation=act)
print(p([0.5, -1.0, 2.0]).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == p([0.5, -1.0, 2.0]).tolist()


# Files that are not right


def known(name: str) -> Any:
    p = EXAMPLES[name]()
    if hasattr(p, "total_fvu"):
        _ = p.total_fvu
    return p


def forge(
    path: Path,
    obj: Any,
    arrays: dict[str, np.ndarray | None] | None = None,
    metadata: dict[str, str | None] | None = None,
) -> None:
    """Save with some arrays and texts exchanged, or left out, and a checksum that is right."""
    save(obj, path)
    parts = taken_apart(path)
    changed = {**arrays_of(parts), **(arrays or {})}
    texts = {**parts.metadata, **(metadata or {})}
    made = parts_of(
        {name: text for name, text in texts.items() if text is not None},
        {name: array for name, array in changed.items() if array is not None},
    )
    path.write_bytes(put_together(made))


def refused(path: Path, match: str | None = None) -> None:
    with pytest.raises(BrokenFile, match=match) as caught:
        load(path)
    assert str(caught.value).startswith(f"'{path}': ")
    assert "; expected " in str(caught.value)


@pytest.mark.parametrize("name", ["ridge", "gated", "full", "dense", "gated of degree 0"])
def test_forging_nothing_changes_nothing(path: Path, name: str) -> None:
    forge(path, known(name))
    assert_same(load(path), EXAMPLES[name]())


NAN = np.array([0.0, np.nan, 1.0])
FORGED: list[tuple[str, dict[str, np.ndarray | None], str]] = [
    ("MLP", {"W_in": None}, "it has no tensor 'W_in'"),
    ("MLP", {"W_in": np.full((5, 3), np.nan)}, "it does not hold a MLP: W_in: expected finite entries, got 15"),
    ("MLP", {"W_in": np.ones((3, 5))}, r"b_in: expected shape \(3,\), got \(5,\)"),
    ("MLP", {"W_in": np.ones(3)}, "W_in: expected shape"),
    ("MLP", {"W_in": np.ones((0, 3))}, "W_in: expected at least one entry"),
    ("MLP", {"b_out": np.ones(())}, "b_out: expected shape"),
    ("mixture", {"weights": np.array([1.5, -0.5, 0.0])}, "its weights are at least -0.5 and sum to 1.0; expected ≥ 0"),
    ("mixture", {"weights": np.full(3, 0.5)}, "its weights are at least 0.5 and sum to 1.5"),
    ("mixture", {"weights": np.array([1.0])}, r"means: expected shape \(1, any\), got \(3, 3\)"),
    ("mixture", {"covs.1": None}, "it has no tensor 'covs.1'"),
    ("mixture", {"covs.2": np.eye(3) + np.eye(3, k=1)}, "its covariance is not symmetric"),
    ("mixture", {"covs.3": np.eye(3)}, "not known: 'covs.3'"),
    ("diagonal mixture", {"variances": np.array([[1.0], [-1.0]])}, "a variance is -1.0; expected variances ≥ 0"),
    ("diagonal mixture", {"means": np.array([[1e200], [-1e200]])}, "does not hold a GaussianMixture: means, covs: "),
    ("MLP", {"more": np.ones(3)}, "it has 1 tensors that are not known: 'more'"),
    ("MLP", {"layer.W_in": np.ones(3)}, "not known: 'layer.W_in'"),
    ("MLP", {"W_in": np.ones((5, 4))}, "its entry d_in is '3'; expected '4'"),
    ("MLP", {"W_out": np.ones((1, 5)), "b_out": None}, "its entry d_out is '2'; expected '1'"),
    ("GLU", {"W_up": None}, "it has no tensor 'W_up'"),
    ("GLU", {"W_up": np.ones((5, 2))}, r"W_up: expected shape \(5, 3\)"),
    ("GLU", {"b_gate": np.array([np.inf] * 5)}, "b_gate: expected finite"),
    ("identity", {"mean": None}, "no tensor 'mean'"),
    ("identity", {"mean": np.zeros(0)}, "mean: expected at least one"),
    ("identity", {"mean": np.ones(2, np.float32)}, "'mean' has dtype float32; expected float64"),
    ("identity", {"cov": np.eye(2)}, "not known: 'cov'"),
    ("diagonal", {"variances": np.array([1.0, -1e-300])}, "a variance is -1e-300"),
    ("diagonal", {"variances": np.ones(3)}, r"variances: expected shape \(2,\)"),
    ("diagonal", {"variances": None, "F": np.eye(2)}, "no tensor 'variances'"),
    ("factor", {"F": np.ones((2, 0))}, "F: expected at least one"),
    ("full", {"mean": NAN}, "mean: expected finite"),
    ("full", {"cov": np.triu(np.ones((3, 3)))}, "its covariance is not symmetric"),
    ("full", {"cov": np.ones((3, 2))}, "cov: expected shape"),
    ("ridge", {"hermite": None}, "no tensor 'hermite'"),
    ("ridge", {"hermite": np.ones((5, 4), np.float32)}, "'hermite' has dtype float32"),
    ("ridge", {"hermite": np.ones((4, 4))}, r"hermite: expected shape \(5, any\)"),
    ("ridge", {"hermite": np.ones((5, 3)), "fvu.by_degree": np.ones((2, 2))}, "entry degree is '3'; expected '2'"),
    ("ridge", {"hermite": np.ones((5, 0))}, "hermite: expected at least one"),
    ("ridge", {"hermite": np.full((5, 4), np.nan)}, "hermite: expected finite"),
    ("ridge", {"preactivation_mean": np.ones(4)}, "preactivation_mean: expected shape"),
    ("ridge", {"preactivation_std": -np.ones(5)}, "a standard deviation is -1.0"),
    ("ridge", {"inputs.mean": np.ones(4), "inputs.cov": np.eye(4)}, "its inputs have 4 dimensions; expected 3"),
    ("ridge", {"inputs.cov": None}, "no tensor 'inputs.cov'"),
    ("ridge", {"layer.W_out": None}, "no tensor 'layer.W_out'"),
    ("ridge", {"up_mean": np.ones(5)}, "not known: 'up_mean'"),
    ("ridge", {"fvu.error": None}, "no tensor 'fvu.error'"),
    ("ridge", {"fvu.residual": np.ones(3)}, "fvu.residual: expected shape"),
    ("ridge", {"fvu.residual": -np.ones(2)}, "a variance is negative"),
    ("ridge", {"fvu.residual": np.ones(2)}, "its entry total_fvu is"),
    ("ridge", {"fvu.by_degree": None, "fvu.residual": None, "fvu.error": None}, "total_fvu is '.*'; expected None"),
    ("gated", {"up_mean": None}, "no tensor 'up_mean'"),
    ("gated", {"coupling": np.array([1.0, 2, 3, 4, np.inf])}, "coupling: expected finite"),
    ("gated", {"hermite": np.ones((5, 1))}, "its Hermite coefficients are of one order"),
    ("gated of degree 0", {"fvu.by_degree": np.zeros((0, 3))}, "fvu.by_degree: expected shape"),
    ("gated of degree 0", {"fvu.by_degree": np.zeros((1, 2))}, "fvu.by_degree: expected shape"),
    ("dense", {"center": np.ones(2)}, r"coefficients.1: expected shape \(2, 2\)"),
    ("dense", {"coefficients.0": None}, "no tensor 'coefficients.0'"),
    ("dense", {"coefficients.2": None}, "2 tensors that are not known: 'coefficients.3', 'coefficients.4'"),
    ("dense", {"coefficients.4": None}, "its entry degree is '4'; expected '3'"),
    ("dense", {"coefficients.2": np.triu(np.ones((2, 3, 3)))}, "of order 2 are not symmetric"),
    ("dense", {"coefficients.3": np.arange(54.0).reshape(2, 3, 3, 3)}, "of order 3 are not symmetric"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "arrays", "message"), FORGED)
def test_forged_arrays(path: Path, name: str, arrays: dict[str, np.ndarray | None], message: str) -> None:
    forge(path, known(name), arrays)
    refused(path, message)


TEXTS: list[tuple[str, dict[str, str | None], str]] = [
    ("MLP", {"symgauss_format": None}, "no entry symgauss_format; expected a file of symgauss. Only files"),
    ("MLP", {"symgauss_format": "2", "symgauss_version": "9.1"}, "version 2, of symgauss 9.1; .* Install the version"),
    ("MLP", {"symgauss_format": "0"}, "is version 0"),
    ("MLP", {"symgauss_format": "1.0"}, "its format is '1.0'; expected a version number"),
    ("MLP", {"symgauss_format": "01"}, "its entry symgauss_format is '01'; expected '1'"),
    ("MLP", {"symgauss_format": "²"}, "its format is '²'"),
    ("MLP", {"symgauss_format": "9" * 5000}, "its format is '9"),
    ("MLP", {"kind": "CNN"}, "it holds a 'CNN'; expected one of MLP, GLU, Gaussian, "),
    ("MLP", {"kind": None}, "it holds a None"),
    ("MLP", {"kind": "GLU"}, "no tensor 'W_gate'"),
    ("MLP", {"kind": "Gaussian"}, "no tensor 'mean'"),
    ("ridge", {"kind": "GatedPolynomial"}, "no tensor 'layer.W_gate'"),
    ("MLP", {"degree": "3"}, "its entry degree is '3'; expected None"),
    ("MLP", {"d_in": None}, "its entry d_in is None; expected '3'"),
    ("ridge", {"degree": "2"}, "its entry degree is '2'; expected '3'"),
    ("ridge", {"total_fvu": None}, "its entry total_fvu is None"),
    ("full", {"covariance": None}, "its entry covariance is None; expected identity, diagonal"),
    ("full", {"covariance": "diagonal"}, "no tensor 'variances'"),
    ("full", {"covariance": "identity"}, "not known: 'cov'"),
    ("mixture", {"covariance": "tied"}, "no tensor 'cov'"),
    ("mixture", {"covariance": None}, "its entry covariance is None; expected full, diag or tied"),
    ("mixture", {"noise_floor": None}, "it does not hold a GaussianMixture: could not convert"),
    ("mixture", {"noise_floor": "-1.0"}, "its noise floor is -1.0; expected a finite number ≥ 0"),
    ("mixture", {"noise_floor": "0.10"}, "its entry noise_floor is '0.10'; expected '0.1'"),
    ("mixture", {"n_components": "2"}, "its entry n_components is '2'; expected '3'"),
    ("labelled mixture", {"labels": "{}"}, "its entry labels is '{}'; expected a dtype and values of it"),
    ("labelled mixture", {"labels": '{"dtype": "object", "values": [1, 2]}'}, "its entry labels is"),
    ("labelled mixture", {"labels": '{"dtype": "int8", "values": [1, 200]}'}, "its entry labels is"),
    ("labelled mixture", {"labels": '{"dtype": "str", "values": ["a"]}'}, "it has 1 labels; expected 2, one for each"),
    ("MLP", {"activation": None}, "no entry activation; expected name, formula and parameters"),
    ("MLP", {"activation_formula": None}, "no entry activation_formula"),
    ("MLP", {"activation_parameters": None}, "no entry activation_parameters"),
    ("MLP", {"activation_parameters": "{"}, "its entry activation_parameters is '{'"),
    ("MLP", {"activation_parameters": "[" * 9999}, r"its entry activation_parameters is '\["),
    ("MLP", {"activation_parameters": "[]"}, "its entry activation_parameters is"),
    ("MLP with a parameter", {"activation_parameters": '{"negative_slope": "1"}'}, "entry activation_parameters is"),
    ("MLP with a parameter", {"activation_parameters": '{"negative_slope": 1e999}'}, "impossible parameters: .*finite"),
    ("MLP with a parameter", {"activation_parameters": '{"negative_slope": NaN}'}, "impossible parameters: .*finite"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "texts", "message"), TEXTS)
def test_forged_texts(path: Path, name: str, texts: dict[str, str | None], message: str) -> None:
    forge(path, known(name), None, texts)
    refused(path, message)


def test_forged_activations(path: Path) -> None:
    for texts in (
        {"activation": "os.system"},
        {"activation": "gelu"},
        {"activation_formula": "__import__('os')"},
        {"activation_parameters": '{"slope": 1.0}'},
    ):
        forge(path, mlp(), None, texts)  # type: ignore[arg-type]
        with pytest.raises(WrongActivation, match=f"'{path}': it was made with the activation"):
            load(path)


def test_of_a_newer_version_nothing_else_is_looked_at(path: Path) -> None:
    forge(path, mlp(), None, {"symgauss_format": "7"})
    path.write_bytes(path.read_bytes()[:-1])
    refused(path, "its format is version 7")


def test_a_file_cut_at_any_byte(path: Path) -> None:
    save(EXAMPLES["ridge in single precision"](), path)
    data = path.read_bytes()
    for n in range(len(data)):
        path.write_bytes(data[:n])
        refused(path)


@SETTINGS
@given(data=st.data())
def test_random_changes(tmp_path: Path, data: st.DataObject) -> None:
    """With the checksum as it was, and with one that fits what was changed."""
    name = data.draw(
        st.sampled_from(["MLP with a parameter", "ridge", "gated", "full", "factor", "dense", "labelled mixture"])
    )
    path = tmp_path / "a"
    original = known(name)
    save(original, path)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    parts = taken_apart(path)
    path.write_bytes(whole)
    with contextlib.suppress(BrokenFile):
        assert_same(load(path), original)  # white space
    payload = bytearray(parts.payload)
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    key = data.draw(st.sampled_from(sorted(parts.metadata)))
    text = data.draw(st.sampled_from([parts.metadata[key], "", "1", "MLP", "diagonal", "[]", "{}"]))
    forged = Parts(parts.entries, {**parts.metadata, key: text}, bytes(payload))
    path.write_bytes(put_together(forged))
    try:
        loaded = load(path)
    except (BrokenFile, WrongActivation):
        return
    assert_valid(loaded)


def assert_valid(obj: Any) -> None:
    """Finite throughout, and it can be used."""
    for _, value in contents(obj):
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            assert np.isfinite(value).all()
        elif isinstance(value, MLP | GLU | Gaussian):
            assert_valid(value)
    if isinstance(obj, GaussianMixture):
        assert np.isfinite(obj.std).all()
        for component in obj.components:
            assert_valid(component)
    elif isinstance(obj, Gaussian):
        assert obj.project(np.ones((1, obj.dim)))[1][0] >= 0
    else:
        with np.errstate(all="ignore"):
            assert obj(np.zeros(obj.d_in)).shape == (obj.d_out,)


def test_the_check_of_validity_notices() -> None:
    layer = mlp()
    assert_valid(layer)
    assert_valid(nm.approximate(layer, full()))
    layer.W_out[0, 0] = np.nan
    with pytest.raises(AssertionError):
        assert_valid(layer)


@pytest.mark.parametrize("write", [pickle.dump, lambda obj, file: np.savez(file, a=obj.W_in)])
def test_other_files_under_the_right_name(path: Path, write: Callable[[Any, Any], None]) -> None:
    with open(path, "wb") as file:
        write(mlp(), file)
    refused(path, r"its first bytes say that .* bytes of header follow \(it looks like a")


def test_a_file_of_weights_by_another_program(path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    reference.save_file({"mlp.up.weight": np.ones((4, 3), np.int8)}, path, {"format": "pt"})
    refused(path, "no entry symgauss_format; expected a file of symgauss. Only files that were written by save")


def test_the_reference_implementation_reads_ours(path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    p = EXAMPLES["gated"]()
    save(p, path)
    found = reference.load_file(path)
    np.testing.assert_array_equal(found["layer.W_up"], p.W_up)
    np.testing.assert_array_equal(found["coupling"], p.coupling)


def test_a_failed_save_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(mlp(), path)

    def full_disk(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        save(glu(), path)
    assert_same(load(path), mlp())
    assert os.listdir(path.parent) == [path.name]


def test_the_format_version_is_what_the_files_say(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FORMAT_VERSION", 2)
    save(mlp(), path)
    assert taken_apart(path).metadata["symgauss_format"] == "2"
    assert_same(load(path), mlp())
