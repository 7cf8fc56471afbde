"""Activations that installed packages add by entry points."""

import subprocess
import sys
from pathlib import Path

import pytest

import symgauss as sg
from symgauss import plugins, x

GOOD = "import symgauss as sg\nimport sympy\nx = sg.x\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution on the path: a module's text, and entry points as name → value."""

    def made(name: str, text: str, points: dict[str, str], version: str = "1.2") -> Path:
        folder = tmp_path / name
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = "".join(f"{point} = {value}\n" for point, value in points.items())
        (info / "entry_points.txt").write_text(f"[symgauss.activations]\n{lines}")
        (folder / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    yield made
    for module in [m for m in sys.modules if m.startswith("plugin_")]:
        del sys.modules[module]


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        ("act", "act = sg.Activation('wavy', x + sympy.sin(x))"),
        ("acts", "acts = [sg.Activation('other', x), sg.Activation('wavy', x + sympy.sin(x))]"),
        ("make", "def make(): return sg.Activation('wavy', x + sympy.sin(x))"),
        ("make", "def make():\n    yield sg.Activation('wavy', x + sympy.sin(x))"),
        ("a.b", "class a: b = sg.Activation('wavy', x + sympy.sin(x))"),
    ],
)
def test_an_activation_comes_from_a_package(install, attribute, text):
    install("plugin_a", GOOD + text, {"wavy": f"plugin_a:{attribute}"})
    assert "wavy" in sg.activation_names()
    assert "plugin_a" not in sys.modules
    wavy = sg.activation("wavy")
    assert wavy.name == "wavy"
    assert sg.activation("wavy") is wavy
    assert "cos" not in str(sg.gaussian_mean("wavy"))
    assert sg.prove_mean("wavy").holds


def test_parameters_are_taken(install):
    text = GOOD + "b = sympy.Symbol('b', real=True)\nact = sg.Activation('sloped', b * x, {b: 1})"
    install("plugin_b", text, {"sloped": "plugin_b:act"})
    assert sg.activation("sloped", b=3).formula == 3 * x
    with pytest.raises(TypeError, match="sloped has no parameter 'c'"):
        sg.activation("sloped", c=3)


def test_only_the_one_asked_for_is_imported(install):
    install("plugin_c", GOOD + "act = sg.Activation('wanted', x)", {"wanted": "plugin_c:act"})
    install("plugin_d", "raise RuntimeError('must not be imported')", {"unwanted": "plugin_d:act"})
    assert {"wanted", "unwanted"} <= set(sg.activation_names())
    assert sg.activation("wanted").formula == x
    with pytest.raises(sg.UnknownActivation, match="did you mean unwanted"):
        sg.activation("unwantet")
    assert "plugin_d" not in sys.modules


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("1/0", "plugin_e:act", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("", "plugin_e:act", "cannot be loaded: AttributeError"),
        ("", "plugin_nowhere:act", "cannot be loaded: ModuleNotFoundError: No module named 'plugin_nowhere'"),
        ("", "not a value", "cannot be loaded: "),
        ("def act(): raise KeyError('k')", "plugin_e:act", "cannot be loaded: KeyError: 'k'"),
        ("def act(n): return n", "plugin_e:act", "cannot be loaded: TypeError"),
        ("act = 'x**2'", "plugin_e:act", "is 'x**2' of type str; it must be a symgauss.Activation"),
        ("act = sg.x**2", "plugin_e:act", "is x**2 of type Pow"),
        ("act = [sg.activation('relu'), 3]", "plugin_e:act", "is 3 of type int"),
        ("act = []", "plugin_e:act", "gives nothing; the entry point must have the activation's own name"),
        ("act = sg.activation('relu')", "plugin_e:act", "gives 'relu'; the entry point must have"),
    ],
)
def test_a_broken_plugin_is_named_when_it_is_asked_for(install, text, value, reason):
    install("plugin_e", GOOD + text, {"broken": value})
    assert "broken" in sg.activation_names()
    assert sg.activation("relu").name == "relu"
    with pytest.raises(sg.BrokenPlugin) as caught:
        sg.activation("broken")
    message = str(caught.value)
    assert message.startswith(f"The activation 'broken', entry point {value!r} of plugin_e 1.2,")
    assert reason in message
    assert isinstance(caught.value, ValueError)


def test_the_catalogue_wins(install):
    install("plugin_f", "raise RuntimeError", {"relu": "plugin_f:act", "bump": "plugin_f:act"})
    assert sg.activation("relu").formula == sg.activation("relu").expr
    assert sg.activation("bump").name == "gaussian_bump"
    assert "bump" not in sg.activation_names()
    assert sg.activation_names().count("relu") == 1
    assert "plugin_f" not in sys.modules


def test_a_name_offered_twice_is_no_guess(install):
    for name in ("plugin_g", "plugin_h"):
        install(name, GOOD + "act = sg.Activation('twice', x)", {"twice": f"{name}:act"})
    with pytest.raises(sg.BrokenPlugin, match=r"offered more than once: .*plugin_. 1\.2 and .*plugin_. 1\.2"):
        sg.activation("twice")


def test_a_repaired_plugin_works_without_a_restart(install):
    folder = install("plugin_i", "", {"repaired": "plugin_i:act"})
    with pytest.raises(sg.BrokenPlugin, match="AttributeError"):
        sg.activation("repaired")
    del sys.modules["plugin_i"]
    (folder / "plugin_i.py").write_text(GOOD + "act = sg.Activation('repaired', x**2)")
    for cached in (folder / "__pycache__").glob("*.pyc"):
        cached.unlink()
    assert sg.activation("repaired").formula == x**2


def test_without_plugins_there_are_none():
    assert plugins.find("no such name") is None
    assert sg.activation_names() == tuple(sorted({*sg.activation_names()}))


def test_importing_symgauss_reads_and_imports_no_plugin(install):
    folder = install("plugin_j", "raise RuntimeError('imported')", {"loud": "plugin_j:act"})
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "import symgauss as sg\n"
        "sg.activation('relu'); assert 'symgauss.plugins' in sys.modules\n"
        "assert 'loud' in sg.activation_names(); assert 'plugin_j' not in sys.modules\n"
        "try: sg.activation('loud')\n"
        "except sg.BrokenPlugin as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "plugin_j 1.2, cannot be loaded: RuntimeError: imported" in done.stdout


def test_kernels_are_another_group(install):
    folder = install("plugin_k", "raise RuntimeError", {})
    (folder / "plugin_k-1.2.dist-info" / "entry_points.txt").write_text("[symgauss.kernels]\nfast = plugin_k:act\n")
    assert "fast" not in sg.activation_names()
    with pytest.raises(sg.UnknownActivation):
        sg.activation("fast")
