"""Where compiled kernels go, and that they run without a compiler, a home, or a checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALL = (
    "import numeric as nm, numeric.jit as j; "
    "print(nm.hermite_coefficients('gelu', -0.4, 1.3, order=3).tolist(), nm.activation('relu')([-1, 2]).tolist()); "
    "print(j.CACHE_FOLDER)"
)


def run(code: str = CALL, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**{k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}, **environment},
        cwd=ROOT,
    )
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return run(XDG_CACHE_HOME=str(tmp_path_factory.mktemp("cache")))


def test_interpreted_kernels_agree_with_compiled_ones(compiled: list[str]) -> None:
    interpreted = run(NUMBA_DISABLE_JIT="1")
    values = [eval(line.split("] [")[0] + "]") for line in (interpreted[0], compiled[0])]
    assert values[0] == pytest.approx(values[1], rel=1e-14)


def test_the_cache_is_where_it_was_asked_for(tmp_path: Path) -> None:
    folder = Path(run(XDG_CACHE_HOME=str(tmp_path))[1])
    assert folder.parent == tmp_path / "symgauss"
    assert list(folder.rglob("*.nbi"))
    assert Path(
        run("import numeric.jit as j; print(j.CACHE_FOLDER)", NUMBA_CACHE_DIR=str(tmp_path / "n"))[0]
    ).parent == (tmp_path / "n")
    relative = run("import numeric.jit as j; print(j.CACHE_FOLDER)", XDG_CACHE_HOME="here", HOME=str(tmp_path))[0]
    assert Path(relative).parent == tmp_path / ".cache" / "symgauss"


def test_a_home_that_cannot_be_written(tmp_path: Path, compiled: list[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder can be made in a file")
    lines = run(XDG_CACHE_HOME=str(blocked), TMPDIR=str(tmp_path))
    assert lines[0] == compiled[0]
    assert Path(lines[1]).parent == tmp_path
    assert not Path(lines[1]).exists()


def test_the_folder_is_named_after_all_sources() -> None:
    code = (
        "import numeric.jit as j; from pathlib import Path; names = {p.name for p in j._sources()}; "
        "print(sorted(names & {'special.py', 'jit.py', 'relu.py', 'order_4.py', 'series.py', 'isserlis.py'}))"
    )
    expected = ["isserlis.py", "jit.py", "order_4.py", "relu.py", "series.py", "special.py"]
    assert eval(run(code)[0]) == expected
