"""The picture of symgauss inspect --plot."""

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numeric as nm
from numeric import plots
from tests.numeric.command import (  # noqa: F401
    N,
    call,
    converted,
    gaussian,
    mlp,
    size_of,
    somewhere_else,
)
from tests.numeric.problems import weights

pytestmark = pytest.mark.usefixtures("somewhere_else")


def drawn(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[tuple[str, Any]]:
    """Which functions of `plots` were called, and with which shape or None."""
    calls: list[tuple[str, Any]] = []

    def spy(name: str) -> None:
        original = getattr(plots, name)

        def called(*given: Any, **options: Any) -> Any:
            calls.append(
                (name, given[2] if name == "eigenvectors" else given[1] if name.startswith("linear") else None)
            )
            return original(*given, **options)

        monkeypatch.setattr(plots, name, called)

    with monkeypatch.context():
        for name in ("linear_coefficients", "eigenvectors", "spectrum", "variance_by_degree"):
            spy(name)
        result = call("inspect", "p", *arguments)
    assert (result.status, result.err) == (0, "")
    return calls


@pytest.mark.parametrize(
    ("d", "arguments", "expected"),
    [
        (4, [], [("linear_coefficients", (2, 2)), *[("eigenvectors", (2, 2))] * 3, ("variance_by_degree", None)]),
        (3, [], [*[("spectrum", None)] * 3, ("variance_by_degree", None)]),
        (
            3,
            ["--shape", "1,3", "--output", "2"],
            [("linear_coefficients", (1, 3)), ("eigenvectors", (1, 3)), ("variance_by_degree", None)],
        ),
        (3, ["--whitened", "--output", "0"], [("spectrum", None), ("variance_by_degree", None)]),
    ],
)
def test_a_picture_shows_what_there_is(
    d: int, arguments: list[str], expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    layer = nm.MLP(*weights(np.random.default_rng(7), d, N, 3), "relu")
    p = nm.approximate(layer, nm.Gaussian(np.zeros(d)))
    _ = p.total_fvu
    p.save("p")
    assert drawn(monkeypatch, "--plot", "p.png", *arguments) == expected
    width, height = size_of("p.png")
    assert 1000 < width < 3000
    assert 400 < height < 4000


@pytest.mark.parametrize(
    ("d", "arguments"),
    [
        (9, []),
        (9, ["--output", "1", "--count", "1"]),
        (12, ["--shape", "2,6"]),
        (12, ["--shape", "6,2", "--count", "12"]),
    ],
)
def test_images_lie_side_by_side_from_the_left(d: int, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    figures: list[Any] = []
    monkeypatch.setattr(plots, "save", lambda figure, _: figures.append(figure))
    nm.approximate(nm.MLP(*weights(np.random.default_rng(8), d, N, 3), "relu"), nm.Gaussian(np.zeros(d))).save("p")
    assert call("inspect", "p", "--plot", "p.png", *arguments).status == 0
    (figure,) = figures
    figure.draw_without_rendering()
    images = [ax.get_window_extent() for ax in figure.get_axes() if ax.images]
    width, height = figure.get_size_inches() * figure.dpi
    rows: dict[int, list[Any]] = {}
    for box in images:
        rows.setdefault(round(box.y0), []).append(box)
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
        assert min(box.width, box.height) > 0.2 * figure.dpi
    for boxes in rows.values():
        assert boxes[0].x0 < 0.2 * width
        assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))
    bottoms = sorted((min(box.y0 for box in boxes), max(box.y1 for box in boxes)) for boxes in rows.values())
    assert all(below[1] < above[0] for below, above in itertools.pairwise(bottoms))


def test_pictures_are_replaced_only_by_force() -> None:
    pytest.importorskip("matplotlib")
    p = nm.approximate(mlp(), gaussian(), 1)
    p.save("p")
    Path("p.png").write_text("precious")
    assert call("inspect", "p", "--plot", "p.png").refusal == "'p.png' is there already; --force replaces it"
    result = call("inspect", "p", "--plot", "p.png", "--force")
    assert result.out.endswith("\n\nwritten to p.png\n")
    assert size_of("p.png")[0] > 500
    assert call("inspect", "p", "--plot", "q.svg", "--json").json["plot"] == "q.svg"


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    converted()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = call("inspect", "p", "--plot", "p.png")
    assert result.status == 3
    assert 'pip install "symgauss[plots]"' in result.refusal
    assert not Path("p.png").exists()
