"""The documents run: every derivation, the notebooks with the outputs committed, and the README's examples."""

import doctest
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from derivations import book
from numeric import demo
from numeric.demo_mnist import VARIABLE

README = (book.ROOT / "README.md").read_text(encoding="utf-8")


def text_outputs(notebook: Any) -> Iterator[tuple[str, list[str]]]:
    """The source of every code cell, and what it printed or returned as text."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield cell.source, [text for output in cell.outputs for text in output_texts(output)]


def output_texts(output: Any) -> list[str]:
    if output.output_type == "stream":
        return [output.text] if output.name == "stdout" else []
    return [output.data[kind] for kind in ("text/plain", "text/latex") if kind in output.data]


@pytest.mark.parametrize("path", book.DERIVATIONS, ids=lambda path: path.stem)
def test_a_derivation_runs_and_checks_a_number_by_sampling(path: Path) -> None:
    cells = dict(text_outputs(book.execute(path)))
    scores = [float(z) for texts in cells.values() for z in re.findall(r"z = ([+-][\d.]+)", "".join(texts))]
    assert len(scores) == 1
    assert abs(scores[0]) < 4
    assert sum("assert " in source for source in cells) >= 3


def test_every_derivation_is_listed() -> None:
    documents = {path.name for path in (book.ROOT / "derivations").glob("*.md")} - {"README.md"}
    assert documents == {path.name for path in book.DERIVATIONS}
    listed = (book.ROOT / "derivations" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^- \[(\w+\.md)\]\(\1\)", listed, re.MULTILINE)) == documents


@pytest.mark.parametrize("path", book.NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_the_outputs_that_are_committed(path: Path) -> None:
    committed = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in committed.cells if cell.cell_type == "code"] == list(
        range(1, 1 + sum(cell.cell_type == "code" for cell in committed.cells))
    )
    fresh = list(text_outputs(book.execute(path)))
    assert list(text_outputs(committed)) == fresh, "run `python derivations/book.py --save`"


@pytest.mark.slow
@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"needs MNIST in the folder that {VARIABLE} names")
def test_the_notebook_on_mixtures_runs() -> None:
    printed = "".join("".join(texts) for _, texts in text_outputs(book.execute(book.MIXTURE)))
    assert printed.count("True") == 5
    assert "False" not in printed


def test_a_document_becomes_a_page() -> None:
    notebook = nbformat.read(book.NOTEBOOKS[0], as_version=4)
    page = book.html(notebook, book.title(notebook))
    assert "<title>symgauss in ten minutes</title>" in page
    assert "difference is 0" in page
    assert "../derivations" not in page


def test_the_readme_tells_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # it saves a file
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "README.md", "README.md", 0)
    assert len(examples.examples) > 10
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(examples, out=report.append)
    assert not runner.summarize(verbose=False).failed, "".join(report)


def test_the_readme_shows_the_table_of_the_demo() -> None:
    for line in demo.table([], 0.0).splitlines()[:2]:
        assert line in README


def test_links_lead_somewhere() -> None:
    for document in (book.ROOT / "README.md", book.ROOT / "derivations" / "README.md", *book.DERIVATIONS):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
