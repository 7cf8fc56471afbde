"""make book: executes the derivations and notebooks and renders them as book/index.html.

`python derivations/book.py --save` also writes the outputs back into the notebooks, where they are committed.
"""

import os
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"
ORDER = ("heat_equation", "stein", "halflines", "quadrature", "price")
ORDER += ("isserlis", "master", "ridge", "gated", "variance", "mixture", "spectra")
DERIVATIONS = tuple(ROOT / "derivations" / f"{name}.md" for name in ORDER)
NOTEBOOKS = tuple(ROOT / "notebooks" / f"{name}.ipynb" for name in ("tour", "reading", "new_activation"))


# Needs MNIST, and minutes: `make book` shows the outputs that are committed, unless SYMGAUSS_MNIST says where it is.
MIXTURE = ROOT / "notebooks" / "mixture.ipynb"


def execute(path: Path) -> Any:
    """The document as a notebook, run from top to bottom in a fresh kernel; raises at the first error."""
    notebook = jupytext.read(path)
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources=where,
        extra_arguments=["--log-level=40"],
    )
    return client.execute(env=os.environ | {"PYTHONPATH": str(ROOT)})


def title(notebook: Any) -> str:
    """The text of its first heading."""
    lines = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown").splitlines()
    return next(line.removeprefix("# ") for line in lines if line.startswith("# "))


def save(path: Path, notebook: Any) -> None:
    """Writes a notebook with its outputs and nothing that changes from run to run."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", nbformat.from_dict({})
    nbformat.write(notebook, path)


def html(notebook: Any, name: str) -> str:
    """The page; links to the list of derivations lead to the book's index."""
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(notebook, {"metadata": {"name": name}})
    return page.replace("../derivations/README.md", "index.html")


def main(arguments: list[str]) -> None:
    """Executes everything, then writes the pages."""
    BOOK.mkdir(exist_ok=True)
    entries = ["# symgauss", "The derivations and notebooks, executed.\n"]
    for path in (*NOTEBOOKS, MIXTURE, *DERIVATIONS):
        there = path != MIXTURE or "SYMGAUSS_MNIST" in os.environ
        notebook = execute(path) if there else jupytext.read(path)
        if "--save" in arguments and path.suffix == ".ipynb" and there:
            save(path, notebook)
        heading = title(notebook)
        (BOOK / f"{path.stem}.html").write_text(html(notebook, heading), encoding="utf-8")
        entries.append(f"- [{heading}]({path.stem}.html)")
        print(f"{path.relative_to(ROOT)}: {heading}")
    index = new_notebook(cells=[new_markdown_cell("\n".join(entries))])
    (BOOK / "index.html").write_text(html(index, "symgauss"), encoding="utf-8")
    print(BOOK / "index.html")


if __name__ == "__main__":
    main(sys.argv[1:])
