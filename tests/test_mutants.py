"""The tool that plants errors: each error is one change of valid Python, and verdicts are right."""

import ast
import textwrap
from pathlib import Path

import pytest

from tests.mutants.draw import changes_something, draw
from tests.mutants.sites import KINDS, Mutation, sites
from tests.mutants.targets import ROOT, modules, suite
from tests.mutants.workspace import Workspace

MODULE = textwrap.dedent('''
    """A docstring: 1 + 2."""

    def area(width: tuple[int, ...], height=3):
        if width[0] < 0:
            raise ValueError(f"{width[0] + 1} is less than {0}")
        return width[0] * height


    def unused(x):
        y = x + 0.0
        return y
''').lstrip()


def mutants(source: str, kind: str) -> set[str]:
    """All texts that errors of this kind make of a source."""
    return {
        Mutation("m.py", site.kind, site.start, site.end, text).apply(source)
        for site in sites(source)
        if site.kind == kind
        for text in site.replacements
    }


@pytest.mark.parametrize(
    ("source", "kind", "expected"),
    [
        ("a - b", "sign", {"a + b"}),
        ("-a", "sign", {"+a"}),
        ("a += b", "sign", {"a -= b"}),
        ("(μ) + (σ)", "sign", {"(μ) - (σ)"}),
        ("'μ: ' + x", "sign", set()),
        ("f(2)", "constant", {"f(3)", "f(1)"}),
        ("2.0", "constant", {"2.002"}),
        ("0.0", "constant", {"0.001"}),
        ("True", "constant", set()),
        ("a[0]", "index", {"a[1]", "a[-1]"}),
        ("a[i, 1:]", "index", {"a[i + 1, 1:]", "a[i - 1, 1:]", "a[i, 2:]", "a[i, 0:]"}),
        ("a['key']", "index", set()),
        ("a < b", "operator", {"a <= b"}),
        ("a >= b == c", "operator", {"a > b == c", "a >= b != c"}),
        ("a * b", "operator", {"a / b"}),
        ("a and (b) and c", "operator", {"a or (b) and c", "a and (b) or c"}),
        ("np.max(a)", "operator", {"np.min(a)"}),
        ("a + b", "term", {"a", "b"}),
        ("x * (a - b)", "term", {"x", "(a - b)", "x * (a)", "x * (-b)"}),
        ("a / b", "term", {"a"}),
        ("a if b or c else d", "condition", {"a if not (b or c) else d"}),
        ("[i for i in a if i]", "condition", {"[i for i in a if not (i)]"}),
        ("raise ValueError(1 - x[0])", "constant", set()),
        ("x: Literal[1] = y", "index", set()),
        ("def f(x: a[0] = 1) -> a[1]: return x", "index", set()),
        ("if __name__ == '__main__': f(1)", "operator", set()),
    ],
)
def test_the_errors_of_a_kind(source: str, kind: str, expected: set[str]) -> None:
    assert mutants(source, kind) == expected


def test_all_sites_of_the_repository_give_one_change_of_valid_python() -> None:
    sources = {path: (ROOT / path).read_text(encoding="utf-8") for path in modules()}
    assert {path.split("/")[0] for path in sources} == {"symgauss", "numeric"}
    drawn = draw(sources, 120, seed=3)
    assert [sum(m.kind == kind for m in drawn) for kind in KINDS] == [20] * len(KINDS)
    for m in drawn:
        source, mutated = sources[m.path].encode(), m.apply(sources[m.path]).encode()
        ast.parse(mutated)
        assert mutated[: m.start] == source[: m.start]
        assert mutated[m.start :] == m.text.encode() + source[m.end :]
        assert mutated != source
        where, rest = m.describe(sources[m.path]).split("  ", 1)
        assert where == f"{m.path}:{source[: m.start].count(10) + 1}"
        before, after = rest.split("  →  ")
        assert before != after


def test_the_seed_decides() -> None:
    sources = {"a.py": MODULE, "b.py": MODULE.replace("area", "volume")}
    assert draw(sources, 8, seed=1) == draw(dict(reversed(sources.items())), 8, seed=1)
    assert draw(sources, 8, seed=1) != draw(sources, 8, seed=2)
    everything = draw(sources, 10**6, seed=0)
    assert len({(m.path, m.kind, m.start, m.end) for m in everything}) == len(everything)


def test_what_says_the_same_is_no_error() -> None:
    assert changes_something("a * 1", Mutation("m.py", "term", 0, 5, "a"))
    assert not changes_something("a * 1", Mutation("m.py", "term", 0, 5, "(a * 1)"))
    assert not changes_something("a * 1", Mutation("m.py", "term", 0, 5, "a *"))


def test_generated_code_and_lists_of_names_are_left_alone() -> None:
    assert not [path for path in modules() if "generated" in path or path.endswith("__init__.py")]
    assert modules(only=["numeric/special.py", "numeric/jit.py"]) == ["numeric/jit.py", "numeric/special.py"]
    assert modules(only=["numeric/"]) == [path for path in modules() if path.startswith("numeric/")]


def test_every_module_has_tests_and_its_own_come_first() -> None:
    for module in modules():
        files = suite(module)
        assert files
        assert len(set(files)) == len(files)
        assert all((ROOT / file).is_file() for file in files)
    assert suite("numeric/special.py")[0] == "tests/numeric/test_special.py"
    assert suite("symgauss/terms.py")[0] == "tests/symgauss/test_pieces_and_terms.py"
    assert suite("numeric/cuda/launch.py") == ["tests/simulator/test_kernels.py"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A copy of a repository with one module and one test."""
    test = "from symgauss.shapes import area\n\ndef test_area():\n    assert area((2,), 5) == 10\n"
    for name, text in {"symgauss/__init__.py": "", "symgauss/shapes.py": MODULE, "tests/test_shapes.py": test}.items():
        path = tmp_path / "original" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Workspace(tmp_path / "job", tmp_path / "original")


def test_verdicts(workspace: Workspace, tmp_path: Path) -> None:
    def verdict(before: str, after: str, limit: float = 60.0) -> bool:
        assert MODULE.count(before) == 1
        text = MODULE.replace(before, after)
        return workspace.run_with("symgauss/shapes.py", text, ["tests/test_shapes.py"], limit).noticed

    assert not workspace.run(["tests/test_shapes.py"], 60.0).noticed
    assert verdict("* height", "/ height")
    assert not verdict("x + 0.0", "x + 0.001")
    assert verdict("return width[0]", "while True: pass\n    return width[0]", limit=3.0)
    for copy in ("original", "job/repository"):
        assert (tmp_path / copy / "symgauss" / "shapes.py").read_text(encoding="utf-8") == MODULE
    with pytest.raises(RuntimeError, match="pytest did not run"):
        workspace.run(["tests/test_absent.py"], 60.0)
