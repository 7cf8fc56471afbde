"""Activations that are compiled at run time: from formulas, from text, and from installed packages."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sympy

import numeric as nm
import symgauss as sg
from numeric import activations, jit, runtime
from tests.oracle.panels import by_integration

ROOT = Path(__file__).parents[2]
x = sg.x
SLOPE = sympy.Symbol("slope", real=True)
SNAKE = sg.Activation("snake", x + sympy.sin(x) ** 2)
BENT = sg.Activation("bent", sympy.Piecewise((x, x > 0), (SLOPE * x, True)), {SLOPE: 0.25})
# What a process does that must come without sympy
BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('sympy', 'symgauss'):
            raise ImportError(f'{name} is blocked')
sys.meta_path.insert(0, Block())
"""


def snake(y):
    return y + np.sin(y) ** 2


def run(code: str, cache: Path, *, folders: tuple[Path, ...] = ()) -> str:
    """The output of a process that has its own cache folder and cannot import sympy."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}
    path = os.pathsep.join(map(str, (*folders, ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + code],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": path},
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder for one test."""
    monkeypatch.setattr(jit, "CACHE_FOLDER", str(tmp_path))
    return tmp_path / "activations"


def source(name: str, formulas: str = "VALUE = 1\n", loops: str = "LOOPS = 1\n", key: str = "0") -> runtime.Source:
    return runtime.Source(name, key, formulas, loops)


@pytest.fixture(autouse=True)
def forget() -> Any:
    """Modules of made-up sources do not outlive their test."""
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        if name.startswith("symgauss_kernels_made_up"):
            del sys.modules[name]


# --- any formula -----------------------------------------------------------------------------------------


def test_an_invented_activation() -> None:
    mu, s = np.array([0.4, -2.0]), np.array([1.3, 0.7])
    h = nm.hermite_coefficients(SNAKE, mu, s, order=4)
    g = nm.expected_derivatives(SNAKE, mu, s, order=4)
    for i in range(2):
        true = by_integration(snake, mu[i], s[i], 4)
        assert np.allclose(h[i], true, rtol=0, atol=1e-13)
        assert not np.allclose(h[i] + 1e-12, true, rtol=0, atol=1e-13)
        assert np.allclose(g[i], true / s[i] ** np.arange(5), rtol=0, atol=1e-12)
    act = nm.activation(SNAKE)
    assert np.allclose(act(mu), snake(mu), rtol=1e-14)
    assert act.formula == "x + sin(x)**2"
    assert repr(act) == "activation('snake')"


def test_what_compile_returns_is_the_same_activation() -> None:
    compiled = sg.compile(SNAKE)
    assert compiled.kind == "closed form"
    one, two = nm.activation(SNAKE), nm.activation(compiled)
    assert one == two
    assert hash(one) == hash(two)
    assert len({one, two, nm.activation("relu")}) == 2
    assert np.array_equal(nm.hermite_coefficients(compiled, 1, 2), nm.hermite_coefficients(SNAKE, 1, 2))
    assert pickle.loads(pickle.dumps(one)) == one
    assert pickle.loads(pickle.dumps(compiled)) == compiled
    for name in ("alpha", "formula"):
        with pytest.raises(TypeError, match=r"'snake' has no parameter .*; its parameters: none"):
            nm.activation(compiled, **{name: 1.0})


def test_inside_a_layer() -> None:
    rng = np.random.default_rng(0)
    W_in, W_out = rng.normal(size=(5, 3)), rng.normal(size=(2, 5))
    layer = nm.MLP(W_in, None, W_out, activation=SNAKE)
    points = rng.normal(size=(7, 3))
    assert np.allclose(layer(points), snake(points @ W_in.T) @ W_out.T, rtol=1e-13, atol=1e-13)
    assert repr(layer) == "MLP(3 → 5 → 2, snake)"
    p = nm.approximate(layer, nm.Gaussian(np.zeros(3)), 1)
    s = np.linalg.norm(W_in, axis=1)
    h = np.array([by_integration(snake, 0.0, d, 1) for d in s])
    assert np.allclose(p(np.zeros((1, 3)))[0], W_out @ h[:, 0], rtol=1e-12)
    assert np.allclose(p.linear, (W_out * (h[:, 1] / s)) @ W_in, rtol=1e-12)
    assert pickle.loads(pickle.dumps(layer)).activation == layer.activation


def test_a_pickle_needs_no_sympy(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "snake.pickle"
    file.write_bytes(pickle.dumps(nm.activation(SNAKE)))
    code = f"""
import pickle, numeric as nm
act = pickle.load(open({str(file)!r}, 'rb'))
print(nm.hermite_coefficients(act, 0.4, 1.3).tolist())
print(any(name.split('.')[0] in ('sympy', 'symgauss') for name in sys.modules))
"""
    values, imported = run(code, cache).splitlines()
    assert np.allclose(eval(values), nm.hermite_coefficients(SNAKE, 0.4, 1.3), rtol=1e-14)
    assert imported == "False"
    with pytest.raises(AssertionError, match="sympy is blocked"):
        run("import sympy", cache)


def test_a_second_process_compiles_nothing(tmp_path: Path, cache: Path) -> None:
    """The same call again: nothing in the cache folder is new or touched, and Numba counts hits only."""
    file = tmp_path / "snake.pickle"
    file.write_bytes(pickle.dumps(nm.activation(SNAKE)))
    code = f"""
import pickle, numeric as nm
act = pickle.load(open({str(file)!r}, 'rb'))
nm.hermite_coefficients(act, 0.4, 1.3)
stats = act.kernels.hermite_loop_2.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
    run(code, cache)
    before = {p: p.stat().st_mtime_ns for p in cache.rglob("*") if p.is_file()}
    assert any("snake" in p.name and p.suffix == ".nbc" for p in before)
    assert run(code, cache).split() == ["1", "0"]
    assert {p: p.stat().st_mtime_ns for p in cache.rglob("*") if p.is_file()} == before
    fresh = tmp_path / "elsewhere"
    assert run(code, fresh).split() == ["0", "1"]


def test_one_name_and_two_formulas() -> None:
    other = sg.Activation("snake", x + sympy.cos(x) ** 2)
    assert nm.activation(other) != nm.activation(SNAKE)
    assert len({nm.activation(other), nm.activation(SNAKE)}) == 2
    # E cos² = 1 − E sin²
    h, g = nm.hermite_coefficients(other, 0.0, 1.0), nm.hermite_coefficients(SNAKE, 0.0, 1.0)
    assert h[0] + g[0] == pytest.approx(1.0, rel=1e-14)
    assert abs(h[0] - g[0]) > 0.1
    assert np.array_equal(nm.hermite_coefficients(SNAKE, 0.0, 1.0), g)


def test_what_has_no_mean_or_no_kernel_says_so() -> None:
    with pytest.raises(sg.GrowsTooFast):
        nm.hermite_coefficients(sg.Activation("explodes", sympy.exp(x**2)), 0.0, 1.0)
    with pytest.raises(ValueError, match="airyai"):
        nm.activation(sg.Activation("airy", sympy.airyai(x)))


# --- parameters ------------------------------------------------------------------------------------------


def test_parameters_of_an_invented_activation() -> None:
    compiled = sg.compile(BENT)
    act = nm.activation(compiled)
    assert act.parameters == {"slope": 0.25}
    assert act([-4.0, 2.0]).tolist() == [-1.0, 2.0]
    for given in (nm.activation(compiled, slope=0.5), nm.activation(BENT, slope=0.5), nm.activation(act, slope=0.5)):
        assert given.parameters == {"slope": 0.5}
        assert np.allclose(
            nm.hermite_coefficients(given, 0.3, 1.2),
            nm.hermite_coefficients(nm.activation("leaky_relu", negative_slope=0.5), 0.3, 1.2),
            rtol=1e-14,
        )
    assert nm.activation(BENT, slope=0.5).kernels is act.kernels
    with pytest.raises(TypeError, match="'bent' has no parameter 'alpha'; its parameters: slope"):
        nm.activation(compiled, alpha=1.0)
    with pytest.raises(TypeError, match="bent has no parameter 'alpha'; its parameters are: slope"):
        nm.activation(BENT, alpha=1.0)
    with pytest.raises(ValueError, match="parameter 'slope' of activation 'bent' is nan"):
        nm.activation(compiled, slope=np.nan)
    with pytest.raises(TypeError, match="parameter 'slope' of activation 'bent' is 'x'; expected a real number"):
        nm.activation(compiled, slope="x")


def test_requirements_are_checked() -> None:
    low, high = sympy.symbols("low high", real=True)
    clip = sg.Activation(
        "clip", sympy.Piecewise((low, x < low), (high, x > high), (x, True)), {low: -2, high: 2}, [sympy.Le(low, high)]
    )
    compiled = sg.compile(clip)
    assert nm.activation(compiled, high=3)([-9, 9]).tolist() == [-2.0, 3.0]
    with pytest.raises(ValueError, match=r"'clip' needs low <= high; found \{'high': -3.0, 'low': -2.0\}"):
        nm.activation(compiled, high=-3)


def test_parameters_of_a_rule_are_its_constants() -> None:
    """A quadrature rule holds for one value of beta: there is none to bind, and another value is another rule."""
    beta = sympy.Symbol("beta", positive=True)
    swish = sg.Activation("scaled_swish", x / (1 + sympy.exp(-beta * x)), {beta: 2})
    compiled = sg.compile(swish)
    if compiled.kind != "quadrature":
        assert compiled.parameters == {"beta": 2.0}
    other = sg.compile(swish.with_parameters(beta=1))
    y = np.array([-2.0, 0.5, 3.0])
    for made, b in ((nm.activation(compiled), 2), (nm.activation(other), 1)):
        assert np.allclose(made(y), y / (1 + np.exp(-b * y)), rtol=1e-14)
    if compiled.kind == "quadrature":
        assert compiled.key != other.key
        with pytest.raises(TypeError, match="no parameter 'beta'"):
            nm.activation(compiled, beta=1.0)


# --- names of the catalogue ------------------------------------------------------------------------------


def test_records_of_the_catalogue_use_the_generated_kernels() -> None:
    for name in ("relu", "silu", "elu", "gelu"):
        act = nm.activation(sg.activation(name))
        assert act == nm.activation(name)
        assert act.source is None
        assert act.kernels.__name__ == f"numeric.generated.loops.{name}"
    assert nm.activation(sg.activation("leaky_relu", negative_slope=0.2)).arguments == (0.2,)


def test_a_name_of_the_catalogue_with_another_formula() -> None:
    own = nm.activation(sg.Activation("relu", x**2))
    assert own.source is not None
    assert own != nm.activation("relu")
    assert nm.hermite_coefficients(own, 3.0, 0.5).tolist() == [9.25, 3.0, 0.5]
    assert nm.activation(sg.activation("relu")) == nm.activation("relu")
    assert nm.hermite_coefficients("relu", 0.0, 1.0)[1] == 0.5


# --- files -----------------------------------------------------------------------------------------------


def test_files_are_complete_or_absent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash before the renaming leaves no module behind."""

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    made = source("made_up_crash")
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            runtime.load(made)
    assert not list(folder.glob("*.py"))
    assert runtime.load(made).LOOPS == 1
    assert sorted(p.name for p in folder.glob("*.py")) == [f"{made.module}.py", f"{made.module}_loops.py"]
    assert (folder / f"{made.module}.py").read_text() == made.formulas


@pytest.mark.parametrize("damage", ["", "VALUE", "VALUE = 2\n", "VALUE = 1\n# and more\n"])
def test_damaged_files_are_replaced(folder: Path, damage: str) -> None:
    made = source("made_up_damage")
    folder.mkdir()
    path = folder / f"{made.module}.py"
    path.write_text(damage)
    runtime.load(made)
    assert path.read_text() == made.formulas
    assert sys.modules[made.module].VALUE == 1


def test_files_that_are_right_stay(folder: Path) -> None:
    made = source("made_up_same")
    runtime.load(made)
    before = {p: p.stat().st_mtime_ns for p in folder.glob("*.py")}
    for name in (made.module, f"{made.module}_loops"):
        del sys.modules[name]
    runtime.load(made)
    assert {p: p.stat().st_mtime_ns for p in folder.glob("*.py")} == before
    assert len(before) == 2


def test_a_module_that_fails_is_not_kept(folder: Path) -> None:
    made = source("made_up_broken", loops="raise RuntimeError('broken')\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            runtime.load(made)
    assert f"{made.module}_loops" not in sys.modules
    assert folder.exists()


# --- installed packages ----------------------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a distribution on the path: a module's text, and entry points as name → value."""

    def made(name: str, text: str, points: dict[str, str]) -> Path:
        place = tmp_path / name
        info = place / f"{name}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = "".join(f"{point} = {value}\n" for point, value in points.items())
        (info / "entry_points.txt").write_text(f"[symgauss.kernels]\n{lines}")
        (place / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(str(place))
        return place

    yield made
    for module in [m for m in sys.modules if m.startswith("kernels_of_")]:
        del sys.modules[module]


def offered() -> str:
    """A module that offers snake, without sympy."""
    c = sg.compile(SNAKE)
    parts = {"name": c.name, "parameters": c.parameters, "key": c.key, "formulas": c.formulas, "loops": c.loops}
    lines = "".join(f"{name} = {value!r}\n" for name, value in parts.items())
    wave = f"wave = SimpleNamespace(**{{n: globals()[n] for n in {list(parts)}}})\n"
    return f"from types import SimpleNamespace\n{lines}{wave}"


def test_kernels_of_a_package_are_found_by_name(install: Any, cache: Path) -> None:
    place = install("kernels_of_waves", offered(), {"snake": "kernels_of_waves", "wave": "kernels_of_waves:wave"})
    code = """
import numeric as nm
print('snake' in nm.activation_names(), 'wave' in nm.activation_names(), 'kernels_of_waves' in sys.modules)
print(nm.hermite_coefficients('snake', 0.4, 1.3).tolist())
print(nm.hermite_coefficients('wave', 0.4, 1.3).tolist())
print(any(name.split('.')[0] in ('sympy', 'symgauss') for name in sys.modules))
"""
    names, *values, imported = run(code, cache, folders=(place,)).splitlines()
    assert names == "True True False"
    for line in values:
        assert np.allclose(eval(line), nm.hermite_coefficients(SNAKE, 0.4, 1.3), rtol=1e-14)
    assert imported == "False"
    assert nm.activation("snake") == nm.activation(SNAKE)
    assert {"snake", "wave", "relu"} <= set(nm.activation_names())
    assert list(nm.activation_names()) == sorted(nm.activation_names())


def test_the_catalogue_cannot_be_overridden(install: Any) -> None:
    install(
        "kernels_of_thieves", "raise RuntimeError('imported')\n", dict.fromkeys(("relu", "swish"), "kernels_of_thieves")
    )
    assert nm.activation("relu").source is None
    assert nm.activation("swish").name == "silu"
    assert nm.activation_names().count("relu") == 1


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        (
            "raise RuntimeError('no luck')\n",
            "kernels_of_bad",
            r"'odd' could not be imported .* RuntimeError\('no luck'\)",
        ),
        ("import a_module_that_is_missing\n", "kernels_of_bad", "a_module_that_is_missing"),
        ("", "kernels_of_bad:nothing", "'odd' could not be imported from kernels_of_bad:nothing of kernels_of_bad"),
        ("", "kernels_of_bad", "kernels_of_bad of kernels_of_bad has no name, parameters, key, formulas, loops"),
        (
            "name = key = formulas = 'a'\nparameters = {}\n",
            "kernels_of_bad",
            "has no loops; an entry point of symgauss.k",
        ),
    ],
)
def test_broken_packages(install: Any, text: str, value: str, message: str) -> None:
    install("kernels_of_bad", text, {"odd": value})
    with pytest.raises(nm.UnknownActivation, match=message) as caught:
        nm.hermite_coefficients("odd", 0.0, 1.0)
    assert "kernels_of_bad" in str(caught.value)
    assert nm.hermite_coefficients("relu", 0.0, 1.0)[1] == 0.5


def test_a_name_is_suggested_from_packages_too(install: Any) -> None:
    install("kernels_of_waves", offered(), {"snake": "kernels_of_waves"})
    with pytest.raises(nm.UnknownActivation, match=r"'snkae' is not known\. Did you mean 'snake'"):
        nm.activation("snkae")


def test_anything_with_the_text_is_accepted() -> None:
    c = sg.compile(SNAKE)
    same = SimpleNamespace(name=c.name, parameters={}, key=c.key, formulas=c.formulas, loops=c.loops)
    assert activations.activation(same) == nm.activation(SNAKE)
