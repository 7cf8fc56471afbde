"""Pictures, by what is drawn: the data of the artists against definitions, and nothing before the input is checked."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import array_api_strict as strict
import matplotlib
import numpy as np
import pytest
from matplotlib import colors, pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("Agg")

from numeric import plots
from numeric.convert import approximate
from numeric.factored import FactoredPolynomial
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.spectral import Spectrum, spectrum
from tests.numeric.problems import covariance, gated_weights, weights

pytestmark = pytest.mark.filterwarnings("error")

ROOT = Path(__file__).parents[2]
D, HIDDEN, D_OUT = 9, 12, 3
# Coordinates that never vary.
STILL = [0, 5]


@pytest.fixture(autouse=True)
def nothing_else_changes() -> Iterator[None]:
    """No settings, no backend, and no figures of other tests."""
    pyplot.close("all")
    before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
    yield
    pyplot.close("all")
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.get_backend() == backend


def converted(degree: int = 2, gated: bool = False, still: bool = True, d: int = D) -> FactoredPolynomial:
    rng = np.random.default_rng(3)
    cov = covariance(rng, d, d)
    if still:
        cov[STILL] = cov[:, STILL] = 0
    inputs = Gaussian(rng.standard_normal(d), cov)
    if gated:
        return approximate(GLU(*gated_weights(rng, d, HIDDEN, D_OUT), "silu"), inputs, degree)
    return approximate(MLP(*weights(rng, d, HIDDEN, D_OUT), "gelu"), inputs, degree)


@pytest.fixture(scope="module")
def p() -> FactoredPolynomial:
    return converted()


@pytest.fixture(scope="module")
def found(p: FactoredPolynomial) -> Spectrum:
    return spectrum(p, 1)


def pixels(ax: Axes) -> np.ma.MaskedArray:
    (image,) = ax.images
    return np.ma.asarray(image.get_array())


def assert_images(axes: np.ndarray, expected: np.ndarray, shape: tuple[int, int], hidden: Any = ()) -> None:
    """One image per axes with these data, to the last bit, and exactly the hidden coordinates masked."""
    assert len(axes) == len(expected), (len(axes), len(expected))
    mask = np.isin(np.arange(expected.shape[1]), hidden).reshape(shape)
    for ax, vector in zip(axes, expected):
        data = pixels(ax)
        assert data.shape == shape
        np.testing.assert_array_equal(np.ma.getmaskarray(data), mask)
        np.testing.assert_array_equal(data.data[~mask], vector.reshape(shape)[~mask])


def assert_one_diverging_scale(axes: np.ndarray, limit: float) -> None:
    """From −limit, blue, through white to limit, red."""
    for ax in axes:
        assert ax.images[0].get_clim() == (-limit, limit), (ax.images[0].get_clim(), limit)
    low, middle, high = (np.array(axes[0].images[0].cmap(x))[:3] for x in (0.0, 0.5, 1.0))
    assert low[2] > 2 * low[0]
    assert high[0] > 2 * high[2]
    assert middle.min() > 0.9


def bars(ax: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Heights and bottoms, (parts, outputs)."""
    parts: list[Any] = list(ax.containers)
    heights = np.array([[bar.get_height() for bar in part] for part in parts])
    return heights, np.array([[bar.get_y() for bar in part] for part in parts])


def assert_stacked(ax: Axes, heights: np.ndarray) -> None:
    """Bars of these heights, (parts, outputs), each upon the one before."""
    found, bottoms = bars(ax)
    np.testing.assert_allclose(found, heights, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(bottoms, np.cumsum(heights, axis=0) - heights, rtol=1e-12, atol=1e-15)


def assert_lines(ax: Axes, x: Any, series: Any) -> None:
    """The first lines are these, and one is drawn for each."""
    lines = ax.get_lines()
    assert len(lines) >= len(series), (len(lines), len(series))
    for line, values in zip(lines, series):
        np.testing.assert_array_equal(line.get_xdata(), x)
        np.testing.assert_array_equal(line.get_ydata(), values)


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def rendered(ax: Any) -> None:
    """Layout and text can be drawn."""
    plots._root(ax).draw_without_rendering()


def assert_apart(parts: Any) -> None:
    """These axes with all their words are within the figure and do not overlap."""
    figure = plots._root(parts[0])
    figure.draw_without_rendering()
    page, boxes = figure.bbox.padded(1), [part.get_tightbbox() for part in parts]
    for i, box in enumerate(boxes):
        assert page.x0 <= box.x0 < box.x1 <= page.x1, (i, box)
        assert page.y0 <= box.y0 < box.y1 <= page.y1, (i, box)
        assert not box.padded(-1).count_overlaps([other.padded(-1) for other in boxes[:i]]), (i, box)


def assert_bar_fits(images: np.ndarray, bar: Axes) -> None:
    """Beside the images, nearly as high as all of them, and a tenth of an inch or so wide."""
    figure = plots._root(bar)
    boxes = [ax.get_window_extent() for ax in images]
    box = bar.get_window_extent()
    assert 0.07 < box.width / figure.dpi < 0.2, box.width / figure.dpi
    height = max(image.y1 for image in boxes) - min(image.y0 for image in boxes)
    assert 0.6 < box.height / height < 1.05, box.height / height
    assert 0 < (box.x0 - max(image.x1 for image in boxes)) / figure.dpi < 0.5


def test_the_helpers_notice() -> None:
    figure = Figure()
    axes = figure.subplots(1, 4)
    data = np.arange(4.0)
    masked = np.ma.masked_array(data, [False, False, False, True]).reshape(2, 2)
    axes[0].imshow(masked, vmin=-3, vmax=3, cmap="RdBu_r")
    assert_images(axes[:1], data[None], (2, 2), [3])
    assert_one_diverging_scale(axes[:1], 3.0)
    wrong: list[Callable[[], None]] = [
        lambda: assert_images(axes[:1], data[None] + [0, 1e-16, 1e-15, 0], (2, 2), [3]),
        lambda: assert_images(axes[:1], data[None], (2, 2)),
        lambda: assert_images(axes[:1], data[None], (2, 2), [2, 3]),
        lambda: assert_images(axes[:1], data[None], (4, 1), [3]),
        lambda: assert_images(axes[:1], np.stack([data, data]), (2, 2), [3]),
        lambda: assert_one_diverging_scale(axes[:1], 3.1),
    ]
    axes[1].imshow(masked, vmin=-3, vmax=3, cmap="RdBu")
    wrong.append(lambda: assert_one_diverging_scale(axes[1:2], 3.0))
    axes[2].bar([0, 1], [0.5, 0.25])
    axes[2].bar([0, 1], [0.5, 0.75], bottom=[0.5, 0.25])
    heights = np.array([[0.5, 0.25], [0.5, 0.75]])
    assert_stacked(axes[2], heights)
    wrong.append(lambda: assert_stacked(axes[2], heights[::-1]))
    axes[3].plot([1, 2], [3, 4])
    assert_lines(axes[3], [1, 2], [[3, 4]])
    wrong += [
        lambda: assert_lines(axes[3], [1, 3], [[3, 4]]),
        lambda: assert_lines(axes[3], [1, 2], [[3, 5]]),
        lambda: assert_lines(axes[3], [1, 2], [[3, 4], [3, 4]]),
        lambda: legend(axes[3]),
    ]
    some = Figure(figsize=(6, 2), layout="constrained").subplots(1, 3)
    assert_apart(some)
    crowded = Figure(figsize=(6, 2)).subplots(1, 3)
    crowded[1].set_xlabel("far too long for the little room there is, unless fonts are tiny")
    wrong += [lambda: assert_apart(crowded), lambda: assert_apart([some[1], some[1]])]
    page = Figure(figsize=(10, 10))
    image = np.array([page.add_axes((0.1, 0.1, 0.4, 0.4))])
    assert_bar_fits(image, page.add_axes((0.52, 0.1, 0.01, 0.35)))
    for place in ((0.52, 0.1, 0.03, 0.35), (0.52, 0.1, 0.003, 0.35), (0.52, 0.1, 0.01, 0.5), (0.52, 0.1, 0.01, 0.2)):
        wrong.append(lambda place=place: assert_bar_fits(image, page.add_axes(place)))
    wrong += [lambda x=x: assert_bar_fits(image, page.add_axes((x, 0.1, 0.01, 0.35))) for x in (0.48, 0.6)]
    for check in wrong:
        with pytest.raises(AssertionError):
            check()


# Images


def test_eigenvectors_are_drawn(p: FactoredPolynomial, found: Spectrum) -> None:
    axes = plots.eigenvectors(found)
    rendered(axes)
    assert axes.shape == (8,)
    A = p.about(p.center).quadratic[1]
    drawn = np.stack([pixels(ax).data.ravel() for ax in axes])
    np.testing.assert_allclose(drawn @ A, found.values[:8, None] * drawn, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1)
    assert (np.diff(np.abs(found.values)) <= 0).all()
    assert_images(axes, drawn, (3, 3), STILL)
    # of v and −v the one whose largest entry in size is positive
    assert (drawn.max(axis=1) == np.abs(drawn).max(axis=1)).all()
    varying = np.delete(drawn, STILL, axis=1)
    assert_one_diverging_scale(axes, np.abs(varying).max())


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize("gated", [False, True])
def test_captions_are_the_eigenvalues(gated: bool, whitened: bool) -> None:
    found = spectrum(converted(3, gated), 0, whitened=whitened)
    axes = plots.eigenvectors(found, count=4)
    for ax, value in zip(axes, found.values):
        text = ax.get_xlabel()
        number = float(re.fullmatch(r"λ = ([+−].*)", text)[1].replace("−", "-"))  # type: ignore[index]
        assert number == pytest.approx(value, rel=0.006)
        red, _, blue, _ = colors.to_rgba(ax.xaxis.label.get_color())
        assert (red > blue) == (value > 0)
    assert len(axes) == 4
    np.testing.assert_array_equal(np.abs(pixels(axes[2]).data.ravel()), np.abs(found.vectors[2]))
    bar = axes[0].figure.axes[-1]
    assert ("standard" in bar.get_ylabel()) == whitened


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "+0.500"), (-0.0123456, "−0.0123"), (123.4, "+123"), (-1e-9, "−1.00e−09"), (12345.0, "+1.23e+04")],
)
def test_numbers_of_three_digits(value: float, text: str) -> None:
    assert plots._number(value) == text


def test_eigenvectors_point_where_one_says(found: Spectrum) -> None:
    towards = np.random.default_rng(0).standard_normal(D)
    drawn = np.stack([pixels(ax).data.ravel() for ax in plots.eigenvectors(found, 9, towards=towards)])
    assert (drawn @ towards > 0).all()
    np.testing.assert_array_equal(np.abs(drawn), np.abs(found.vectors))
    away = np.stack([pixels(ax).data.ravel() for ax in plots.eigenvectors(found, 9, towards=-towards)])
    np.testing.assert_array_equal(away, -drawn)


def test_eigenvectors_of_other_shapes(found: Spectrum) -> None:
    figure = Figure()
    axes = plots.eigenvectors(found, 5, shape=(1, 9), columns=2, figure=figure)
    rendered(axes)
    assert all(pixels(ax).shape == (1, 9) for ax in axes)
    assert all(ax.figure is figure for ax in axes)
    assert not pyplot.get_fignums()
    places = [ax.get_position() for ax in axes]
    assert len({round(place.x0, 3) for place in places}) == 2
    assert len({round(place.y0, 3) for place in places}) == 3


def test_linear_coefficients_are_slopes() -> None:
    """Of a polynomial of degree 1: differences of its values."""
    p = converted(1)
    slopes = (p(np.eye(D)) - p(np.zeros((1, D)))).T
    axes = plots.linear_coefficients(p)
    rendered(axes)
    drawn = np.stack([pixels(ax).data.ravel() for ax in axes])
    np.testing.assert_allclose(drawn, slopes, atol=1e-13)
    assert_images(axes, drawn, (3, 3), STILL)
    assert_one_diverging_scale(axes, np.abs(np.delete(drawn, STILL, axis=1)).max())
    assert [ax.get_title() for ax in axes] == ["output 0", "output 1", "output 2"]
    spread = np.sqrt(np.diag(p.inputs.cov))
    (chosen,) = plots.linear_coefficients(p, outputs=[2], standardised=True)
    assert chosen.get_title() == "output 2"
    np.testing.assert_allclose(pixels(chosen).data.ravel(), slopes[2] * spread, atol=1e-13)


def test_of_many_outputs_the_first_are_drawn() -> None:
    rng = np.random.default_rng(0)
    p = approximate(MLP(*weights(rng, 4, 5, 30), "gelu"), Gaussian(np.zeros(4)), 1)
    axes = plots.linear_coefficients(p)
    assert axes.shape == (20,)
    assert axes[-1].get_title() == "output 19"
    assert len(plots.linear_coefficients(p, outputs=range(10, 30))) == 20


def test_rows_have_scales_of_their_own() -> None:
    rng = np.random.default_rng(0)
    signed, other, ink = rng.standard_normal((2, 4)), 10 * rng.standard_normal((2, 4)), 3 + rng.random((2, 4))
    mask = np.array([False, True, False, False])
    signed[0, 1] = 100.0
    rows = [
        plots.Row(signed, "signed", ["a", "b"], "unit"),
        plots.Row(other.astype(np.float32), "other"),
        plots.Row(ink, "ink", signed=False),
    ]
    figure = Figure(layout="constrained")
    axes = plots.images(rows, titles=["left", "right"], mask=mask, figure=figure)
    rendered(axes)
    assert axes.shape == (3, 2)
    assert_images(axes[0], signed, (2, 2), [1])
    assert_one_diverging_scale(axes[0], np.abs(signed[:, ~mask]).max())
    assert_images(axes[1], other.astype(np.float32), (2, 2), [1])
    assert_one_diverging_scale(axes[1], float(np.abs(other.astype(np.float32)[:, ~mask]).max()))
    assert_images(axes[2], ink, (2, 2))
    assert {ax.images[0].get_clim() for ax in axes[2]} == {(0.0, ink.max())}
    assert [ax.get_xlabel() for ax in axes[0]] == ["a", "b"]
    assert [ax.get_title() for ax in axes.flat] == ["left", "right", "", "", "", ""]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["signed", "other", "ink"]
    colour_bars = figure.axes[6:]
    assert [bar.get_ylabel() for bar in colour_bars] == ["unit", "", ""]
    grey = axes[0, 0].images[0].cmap(np.ma.masked_array([0.0], [True]))[0][:3]
    assert np.ptp(grey) == 0
    assert 0.6 < grey[0] < 0.95


def test_one_row_is_broken_into_lines() -> None:
    values = np.random.default_rng(0).standard_normal((10, 4))
    for given in (values, plots.Row(values), values.tolist()):
        axes = plots.images(given)
        assert_images(axes, values, (2, 2))
        assert_one_diverging_scale(axes, np.abs(values).max())
        figure = axes[0].figure
        assert len(figure.axes) == 11, "ten images, no empty axes, a colour bar"
        assert figure.axes[-1].get_position().height > 1.2 * axes[0].get_position().height
        rendered(axes)
    assert plots.images([plots.Row(values)]).shape == (1, 10)


@pytest.mark.parametrize(("n", "shape"), [(1, (28, 28)), (3, (2, 12)), (8, (8, 8)), (20, (12, 4))])
def test_nothing_overlaps(n: int, shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).standard_normal((n, shape[0] * shape[1]))
    words = ["λ = −1.23e−05"] * n
    one = plots.images(plots.Row(values, "title", words, "unit\nof all"), shape, titles=["output 123"] * n)
    assert_apart(one[0].figure.axes)
    if shape[0] > 2:
        assert_bar_fits(one, one[0].figure.axes[-1])
    rows = [plots.Row(values[:10], "first\ntitle", words[:10], "unit"), plots.Row(values[:10], "second", words[:10])]
    assert_apart(plots.images(rows, shape)[0, 0].figure.axes)


def test_free_places_keep_the_size_of_images() -> None:
    values = np.random.default_rng(0).standard_normal((8, 16))
    panels = Figure(figsize=(12, 5), layout="constrained").subfigures(2, 1)
    many = plots.images(values, figure=panels[0])
    few = plots.images(values[:2], columns=8, figure=panels[1])
    rendered(many)
    assert len(panels[1].axes) == 3, "two images and a colour bar"
    assert few[1].get_position().width == pytest.approx(many[1].get_position().width, rel=0.1)
    for axes, panel in ((many, panels[0]), (few, panels[1])):
        assert_bar_fits(axes, panel.axes[-1])


def test_a_grey_scale_reaches_down_to_negative_entries() -> None:
    (ax,) = plots.images(plots.Row([[-2.0, 0.0, 1.0, 3.0]], signed=False))
    assert ax.images[0].get_clim() == (-2.0, 3.0)


@pytest.mark.parametrize("signed", [False, True])
def test_images_without_contrast(signed: bool) -> None:
    for values, mask in ((np.zeros((1, 4)), None), (np.ones((1, 4)), np.ones(4, bool))):
        (ax,) = plots.images(plots.Row(values, signed=signed), mask=mask)
        low, high = ax.images[0].get_clim()
        assert low < high
        rendered(ax)


def test_a_figure_that_could_not_be_drawn_is_closed(found: Spectrum, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(Axes, "imshow", fail)
    monkeypatch.setattr(Axes, "axhline", fail)
    for call in (lambda: plots.eigenvectors(found), lambda: plots.spectrum(found)):
        with pytest.raises(RuntimeError, match="no ink"):
            call()
        assert not pyplot.get_fignums()


# Numbers


def test_spectrum_by_rank(found: Spectrum) -> None:
    ax = plots.spectrum(found)
    rendered(ax)
    positive, negative = (found.values >= 0), (found.values < 0)
    assert positive.any()
    assert negative.any()
    ranks = np.arange(1, D + 1)
    for line, chosen in zip(ax.get_lines(), (positive, negative)):
        np.testing.assert_array_equal(line.get_xdata(), ranks[chosen])
        np.testing.assert_array_equal(line.get_ydata(), found.values[chosen])
    first, second = (line.get_color() for line in ax.get_lines()[:2])
    assert first != second
    assert not ax.texts
    assert len(ax.figure.axes) == 1


def test_spectrum_says_how_many_carry_most_of_the_variance(p: FactoredPolynomial) -> None:
    found = spectrum(p, 1, whitened=True)
    ax = plots.spectrum(found)
    (text,) = ax.texts
    count, of = re.match(r"(\d+) of (\d+) carry 90%", text.get_text()).groups()  # type: ignore[union-attr]
    total = p.variance_by_degree[1, 1]
    carried = np.cumsum(2 * found.values**2)
    assert int(of) == len(found.values) == D - len(STILL)
    assert carried[int(count) - 1] >= 0.9 * total
    assert int(count) == 1 or carried[int(count) - 2] < 0.9 * total
    assert not plots.spectrum(spectrum(p, 1, 3, whitened=True)).texts, "the rest is not known"


def test_a_spectrum_of_zeros() -> None:
    layer = MLP(np.eye(4), None, np.eye(4), None, "identity")
    for whitened in (False, True):
        ax = plots.spectrum(spectrum(approximate(layer, Gaussian(np.zeros(4)), 2), 0, whitened=whitened))
        rendered(ax)
        assert not ax.texts


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("degree", [0, 1, 3])
def test_variance_is_stacked_to_one(degree: int, gated: bool) -> None:
    p = converted(degree, gated)
    ax = plots.variance_by_degree(p)
    rendered(ax)
    left = p.fvu
    explained = p.variance_by_degree / np.maximum(p.variance_by_degree.sum(axis=0), 1e-300) * (1 - left)
    assert_stacked(ax, np.vstack([explained, left]))
    np.testing.assert_allclose(bars(ax)[0].sum(axis=0), 1.0, rtol=1e-12)
    assert legend(ax) == ["left", *(f"degree {k}" for k in range(degree, 0, -1))]
    colours = {bar[0].get_facecolor() for bar in ax.containers}
    assert len(colours) == degree + 1
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2"]
    legend_box, low_high = ax.get_legend().get_window_extent(), ax.get_xlim()
    assert legend_box.x0 > ax.get_window_extent().x1
    assert low_high == pytest.approx((-2.2, 4.2)), "room for six bars, these in the middle"


def test_an_output_that_does_not_vary_has_no_bar() -> None:
    W = np.array([[1.0, 0.0], [0.0, 0.0]])
    p = approximate(MLP(W, None, np.eye(2), None, "relu"), Gaussian(np.zeros(2)), 2)
    ax = plots.variance_by_degree(p, labels=["first", "second"])
    rendered(ax)
    np.testing.assert_allclose(bars(ax)[0].sum(axis=0), [1.0, 0.0], rtol=1e-12)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["first", "second"]


def test_many_outputs_are_not_all_numbered() -> None:
    rng = np.random.default_rng(0)
    ax = plots.variance_by_degree(approximate(MLP(*weights(rng, 4, 5, 300), "gelu"), Gaussian(np.zeros(4)), 1))
    rendered(ax)
    assert len(ax.get_xticks()) < 20


def test_variances_of_a_polynomial_on_a_device(p: FactoredPolynomial) -> None:
    W_in, b_in, W_out, b_out = (
        strict.asarray(a, device=strict.Device("device1"))  # type: ignore[arg-type]
        for a in (p.layer.W_in, p.layer.b_in, p.W_out, p.b_out)  # type: ignore[attr-defined]
    )
    there = approximate(MLP(W_in, b_in, W_out, b_out, "gelu"), p.inputs, p.degree)
    heights = [[bar.get_height() for bar in plots.variance_by_degree(q).patches] for q in (p, there)]
    np.testing.assert_allclose(heights[1], heights[0], atol=1e-12)


@pytest.mark.parametrize("smallest", [1e-3, 5e-324])
def test_checkpoints_on_logarithmic_scales(smallest: float) -> None:
    steps = [0, 1, 8, 64, 512, 4096]
    fvu = np.array([[1.0, 0.8, 0.5, 0.2, 0.1, 0.05], [0.0, 0.0, smallest, 0.01, 0.1, 0.2]])
    ax = plots.fvu_over_checkpoints(steps, fvu, labels=["degree 1", "degree 2"])
    rendered(ax)
    assert_lines(ax, steps, fvu)
    assert legend(ax) == ["degree 1", "degree 2"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("symlog", "symlog")
    across = ax.transData.transform(np.stack([steps, fvu[0]], axis=1))[:, 0]
    assert (np.diff(across) > 20).all(), "every step, the first included, has a place of its own"
    np.testing.assert_allclose(np.diff(across[1:]), np.diff(across[1:]).mean(), rtol=1e-6)
    lowest, above = ax.transData.transform([[1, 0.0], [1, smallest]])[:, 1]
    assert above >= lowest
    ax = plots.fvu_over_checkpoints(steps[1:], fvu[0, 1:])
    rendered(ax)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_legend() is None
    assert_lines(ax, steps[1:], fvu[:1, 1:])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e-5, 0.1], {"0.0001", "0.001", "0.01"}),
        ([0.0, 1e-3, 1.0], {"0", "0.001", "0.01", "0.1", "1"}),
        ([0.02, 0.4], {"0.02", "0.05", "0.1", "0.2"}),
        ([0.2, 0.5], {"0.2", "0.3", "0.4", "0.5"}),
        ([0.0, 0.2, 0.22], {"0", "0.1", "0.2"}),
        ([0.0, 0.0], {"0.00"}),
    ],
)
def test_numbers_along_logarithmic_scales_are_plain(values: list[float], expected: set[str]) -> None:
    ax = plots.fvu_over_checkpoints(np.arange(1, len(values) + 1), values)
    rendered(ax)
    axis = ax.yaxis
    written = {label.get_text() for minor in (False, True) for label in axis.get_ticklabels(minor)} - {""}
    assert expected <= written
    assert not any("mathdefault" in text for text in written)


def test_attack_curves_are_drawn() -> None:
    curves = np.array([[0.97, 0.5, 0.2], [0.9, 0.4, 0.1]])
    ax = plots.attack_curves(curves, ["network", "degree 2"], chance=0.1)
    rendered(ax)
    assert_lines(ax, [0, 1, 2], curves)
    assert legend(ax) == ["network", "degree 2", "chance"]
    np.testing.assert_array_equal(ax.get_lines()[2].get_ydata(), [0.1, 0.1])
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylim()[1] >= 1
    (one,) = plots.attack_curves(curves[0], "network").get_lines()
    np.testing.assert_array_equal(one.get_ydata(), curves[0])
    assert_lines(plots.attack_curves(list(curves), ["a", "b"]), [0, 1, 2], curves)


def test_series_differ_by_more_than_colour() -> None:
    lines = plots.attack_curves(np.full((9, 2), 0.5), [str(i) for i in range(9)]).get_lines()
    looks = {(line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == 9


def test_axes_that_are_given_are_used(p: FactoredPolynomial, found: Spectrum) -> None:
    calls: list[Callable[[Axes], Axes]] = [
        lambda ax: plots.spectrum(found, ax),
        lambda ax: plots.variance_by_degree(p, ax),
        lambda ax: plots.fvu_over_checkpoints([1, 2], [0.1, 0.2], ax),
        lambda ax: plots.attack_curves([[0.5, 0.2]], ["network"], ax),
    ]
    for call, ax in zip(calls, Figure().subplots(1, 4)):
        assert call(ax) is ax
    assert not pyplot.get_fignums()


def test_without_axes_there_is_a_new_figure_for_each(p: FactoredPolynomial, found: Spectrum) -> None:
    plots.spectrum(found)
    plots.variance_by_degree(p)
    plots.images(np.ones((1, 4)))
    assert len(pyplot.get_fignums()) == 3


# Bad input


class Never(Figure):
    """A figure on which nothing may be drawn."""

    def subplots(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("drawing began")


def refused(kind: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(kind, match="^" + message):
        call()
    assert not pyplot.get_fignums(), "nothing is left behind"


def test_images_that_are_none() -> None:
    good, nan = np.ones((2, 4)), np.array([[1.0, np.nan, 0.0, 0.0]])
    row = plots.Row(good)
    calls: dict[str, tuple[Any, dict[str, Any]]] = {
        r"rows: expected shape \(any, any\), got \(4,\)": (np.ones(4), {}),
        r"rows: expected at least one entry": (np.ones((0, 4)), {}),
        r"rows: expected shape \(any, any\), got \(0,\)": ([], {}),
        r"rows: expected finite entries, got 1 .* at index \(0, 1\)": (nan, {}),
        r"rows\.images: expected finite": (plots.Row(nan), {}),
        r"rows\[1\]\.images: expected finite": ([row, plots.Row(nan)], {}),
        r"rows\[1\]\.images: expected shape \(2, 4\) as before, got \(3, 4\)": ([row, plots.Row(np.ones((3, 4)))], {}),
        r"rows\[0\]\.captions: expected 2, one for each image, got 1": ([plots.Row(good, captions=["a"])], {}),
        r"shape: 6 coordinates make no square image; pass shape=\(height, width\)": (np.ones((2, 6)), {}),
        r"shape: expected \(height, width\) with height · width = 4, got \(3, 2\)": (good, {"shape": (3, 2)}),
        r"shape: expected \(height, width\), got \(2, 2, 1\); draw the channels": (good, {"shape": (2, 2, 1)}),
        r"shape: expected \(height, width\), got 2": (good, {"shape": 2}),
        r"titles: expected 2, one for each image, got 3": (good, {"titles": ["a", "b", "c"]}),
        r"mask: expected shape \(4,\), got \(2, 2\)": (good, {"mask": np.ones((2, 2), bool)}),
        r"columns: expected an integer ≥ 1, got 0": (good, {"columns": 0}),
    }
    for message, (rows, options) in calls.items():
        refused(ValueError, message, lambda: plots.images(rows, **options))  # noqa: B023
        refused(ValueError, message, lambda: plots.images(rows, **options, figure=Never()))  # noqa: B023
    refused(TypeError, r"rows: expected an array of real numbers", lambda: plots.images(good + 1j))
    refused(TypeError, r"mask: expected booleans, .* got dtype int64", lambda: plots.images(good, mask=[0, 1, 0, 0]))
    refused(TypeError, r"titles: expected a list of texts, .* got 'ab'", lambda: plots.images(good, titles="ab"))
    refused(TypeError, r"titles: expected a list of texts", lambda: plots.images(good, titles=[1, 2]))  # type: ignore[list-item]
    refused(TypeError, r"shape: expected an integer", lambda: plots.images(good, shape=(2.0, 2)))  # type: ignore[arg-type]
    refused(TypeError, r"columns: expected an integer", lambda: plots.images(good, columns=1.5))  # type: ignore[arg-type]
    refused(TypeError, r"figure: expected a matplotlib Figure, got str", lambda: plots.images(good, figure="f"))  # type: ignore[arg-type]


def test_spectra_that_are_none(p: FactoredPolynomial, found: Spectrum) -> None:
    for count in (0, 10):
        message = rf"count: expected 1 … 9, as many as the spectrum has, got {count}$"
        refused(ValueError, message, lambda: plots.eigenvectors(found, count))  # noqa: B023
    some = spectrum(p, 1, 3)
    message = r"count: expected 1 … 3, .* got 5; numeric.spectrum\(p, output, count=5\) finds more"
    refused(ValueError, message, lambda: plots.eigenvectors(some, 5))
    refused(TypeError, r"count: expected an integer", lambda: plots.eigenvectors(found, 2.0))  # type: ignore[arg-type]
    refused(ValueError, r"towards: expected shape \(9,\)", lambda: plots.eigenvectors(found, towards=np.ones(8)))
    refused(ValueError, r"shape: expected", lambda: plots.eigenvectors(found, shape=(2, 2)))
    for call in (plots.eigenvectors, plots.spectrum):
        message = (
            r"spectrum: expected what numeric.spectrum returned, got RidgePolynomial; numeric.spectrum\(p, output\)"
        )
        refused(TypeError, message, lambda: call(p))  # type: ignore[arg-type]  # noqa: B023
    odd = spectrum(converted(2, still=False, d=6), 0)
    refused(ValueError, r"shape: 6 coordinates make no square image", lambda: plots.eigenvectors(odd))


def test_polynomials_that_are_none(p: FactoredPolynomial) -> None:
    for call in (plots.linear_coefficients, plots.variance_by_degree):
        message = r"p: expected what numeric.approximate returned, got MLP"
        refused(TypeError, message, lambda: call(p.layer))  # type: ignore[arg-type]  # noqa: B023
    refused(ValueError, r"p: degree 0 has no linear part", lambda: plots.linear_coefficients(converted(0)))
    refused(ValueError, r"outputs: expected 0 … 2, got 3", lambda: plots.linear_coefficients(p, outputs=[0, 3]))
    refused(ValueError, r"outputs: expected 0 … 2, got -1", lambda: plots.linear_coefficients(p, outputs=[-1]))
    for outputs in ([], [1.0], 1, [True]):
        message = r"outputs: expected a list of integers 0 … 2"
        refused(TypeError, message, lambda: plots.linear_coefficients(p, outputs=outputs))  # type: ignore[arg-type]  # noqa: B023
    message = r"labels: expected 3, one for each output, got 1"
    refused(ValueError, message, lambda: plots.variance_by_degree(p, labels=["a"]))


def test_checkpoints_that_are_none() -> None:
    calls: dict[str, tuple[Any, Any]] = {
        r"steps: expected shape \(any,\), got \(\)": (1, [0.1]),
        r"steps: expected at least one entry": ([], []),
        r"steps: expected finite entries": ([0, np.nan], [0.1, 0.1]),
        r"steps: expected increasing numbers ≥ 0, got 2, 1; sort them": ([2, 1], [0.1, 0.1]),
        r"steps: expected increasing numbers ≥ 0, got 1, 1; ": ([1, 1], [0.1, 0.1]),
        r"steps: expected increasing numbers ≥ 0, got -1, 1; ": ([-1, 1], [0.1, 0.1]),
        r"fvu: expected shape \(2,\) or \(any, 2\), a number for each step, got \(3,\)": ([1, 2], [0.1, 0.1, 0.1]),
        r"fvu: expected shape \(2,\) or \(any, 2\), .* got \(2, 3\)": ([1, 2], np.ones((2, 3))),
        r"fvu: expected shape \(2,\) or \(any, 2\), .* got \(1, 1, 2\)": ([1, 2], np.ones((1, 1, 2))),
        r"fvu: expected shape .* got \(\)": ([1, 2], 0.1),
        r"fvu: expected shape .* got \(0, 2\)": ([1, 2], np.ones((0, 2))),
        r"fvu: expected series of one length, got lengths 1 and 2": ([1, 2], [[0.1], [0.1, 0.2]]),
        r"fvu: expected finite entries, got 1 .* inf": ([1, 2], [0.1, np.inf]),
        r"fvu: expected fractions ≥ 0, got -0.1": ([1, 2], [0.1, -0.1]),
    }
    for message, (steps, fvu) in calls.items():
        refused(ValueError, message, lambda: plots.fvu_over_checkpoints(steps, fvu))  # noqa: B023
        refused(ValueError, message, lambda: plots.fvu_over_checkpoints(steps, fvu, ax=Never().add_subplot()))  # noqa: B023
    message = r"labels: expected 1, one for each series, got 2"
    refused(ValueError, message, lambda: plots.fvu_over_checkpoints([1], [0.1], labels=["a", "b"]))


def test_curves_that_are_none() -> None:
    calls: dict[str, tuple[Any, Any]] = {
        r"curves: expected series of one length, got lengths 2 and 3": ([[0.5, 0.4], [0.5, 0.4, 0.3]], ["a", "b"]),
        r"curves: expected shape \(any,\) or \(any, any\), got \(0,\)": ([], []),
        r"curves: expected finite entries": ([0.5, np.nan], "a"),
        r"curves: expected fractions from 0 to 1, got 96.9": ([96.9, 50.0], "a"),
        r"curves: expected fractions from 0 to 1, got -0.1": ([0.9, -0.1], "a"),
        r"labels: expected 2, one for each series, got 1": (np.ones((2, 2)), ["a"]),
        r"labels: expected 1, one for each series, got 2": (np.ones(2), ["a", "b"]),
    }
    for message, (curves, labels) in calls.items():
        refused(ValueError, message, lambda: plots.attack_curves(curves, labels))  # noqa: B023
    refused(TypeError, r"labels: expected a list of texts", lambda: plots.attack_curves([0.5], None))  # type: ignore[arg-type]
    for chance, kind in ((1.5, ValueError), (np.nan, ValueError), ("a", TypeError), ([0.1, 0.2], ValueError)):
        refused(kind, r"chance: expected", lambda: plots.attack_curves([0.5], "a", chance=chance))  # type: ignore[arg-type]  # noqa: B023
    unequal = [np.ones(2), np.ones(3)]
    refused(ValueError, r"curves: expected series of one length", lambda: plots.attack_curves(unequal, ["a", "b"]))


def test_axes_that_are_none(p: FactoredPolynomial, found: Spectrum) -> None:
    bad: Any = Figure()
    calls: list[Callable[[], Any]] = [
        lambda: plots.spectrum(found, bad),
        lambda: plots.variance_by_degree(p, bad),
        lambda: plots.fvu_over_checkpoints([1], [0.1], bad),
        lambda: plots.attack_curves([0.5], "a", bad),
    ]
    for call in calls:
        refused(TypeError, r"ax: expected matplotlib Axes, got Figure; figure.subplots\(\) makes some", call)


# Files


@pytest.mark.parametrize(("name", "begin"), [("a.png", b"\x89PNG"), ("b.PDF", b"%PDF"), ("c.x.svg", b"<?xml")])
def test_saving(tmp_path: Path, found: Spectrum, name: str, begin: bytes) -> None:
    path = tmp_path / name
    ax = plots.spectrum(found)
    axes = plots.eigenvectors(found)
    part = Figure().subfigures(1, 2)[0]
    for figure in (ax, ax.figure, axes, axes[:, None], part, part.subplots()):
        plots.save(figure, path)
        assert path.read_bytes().startswith(begin)
        path.unlink()
    plots.save(ax, str(path))
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_resolution(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1))
    figure.add_subplot()
    plots.save(figure, tmp_path / "a.png", dpi=50)
    assert pyplot.imread(tmp_path / "a.png").shape[:2] == (50, 100)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    figure = Figure()

    def fail(file: Any, **_: Any) -> None:
        file.write(b"half")
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(RuntimeError, match="on fire"):
        plots.save(figure, path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_what_cannot_be_saved(tmp_path: Path, found: Spectrum) -> None:
    figure = Figure()
    for name in ("a.jpg", "a", ".png", "png", "a.png.txt"):
        message = r"path: expected a name that ends in .png, .pdf or .svg, got "
        for call in (lambda: plots.save(figure, tmp_path / name), lambda: plots.picture_format(name)):  # noqa: B023
            with pytest.raises(ValueError, match="^" + message):
                call()
    for other in (None, found, np.zeros(3), np.zeros(0), "a"):
        with pytest.raises(TypeError, match=r"^figure: expected a matplotlib figure or its axes, got "):
            plots.save(other, tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match="No such folder"):
        plots.save(figure, tmp_path / "none" / "a.png")
    assert not list(tmp_path.iterdir())


# matplotlib


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_matplotlib_is_imported_by_the_first_picture() -> None:
    code = "import sys; from numeric import plots; print({'matplotlib', 'symgauss', 'sympy'} & set(sys.modules))"
    assert run(code) == "set()"


def test_with_axes_of_ones_own_pyplot_is_not_imported(tmp_path: Path) -> None:
    code = f"""
import sys, numpy as np
from matplotlib.figure import Figure
from numeric import plots
ax = plots.attack_curves([0.5, 0.2], "network", ax=Figure().subplots())
plots.images(np.ones((2, 4)), figure=Figure())
plots.save(ax, {str(tmp_path / "a.png")!r})
print("matplotlib.pyplot" in sys.modules)
"""
    assert run(code) == "False"


def test_a_missing_matplotlib_is_named(p: FactoredPolynomial, found: Spectrum, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    calls: list[Callable[[], Any]] = [
        lambda: plots.images(np.ones((1, 4))),
        lambda: plots.eigenvectors(found),
        lambda: plots.linear_coefficients(p),
        lambda: plots.spectrum(found),
        lambda: plots.variance_by_degree(p),
        lambda: plots.fvu_over_checkpoints([1], [0.1]),
        lambda: plots.attack_curves([0.5], "a"),
    ]
    for call in calls:
        with pytest.raises(plots.MissingExtra, match=r'needs matplotlib.*pip install "symgauss\[plots\]"') as caught:
            call()
        assert isinstance(caught.value, ImportError)
        assert caught.value.name == "matplotlib"


def test_a_broken_package_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("raise ImportError('built for another NumPy')")
    (tmp_path / "incomplete_package.py").write_text("import part_that_there_is_not")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match="built for another NumPy") as caught:
        plots.require("plots", "broken_package", purpose="A picture")
    assert not isinstance(caught.value, plots.MissingExtra)
    with pytest.raises(plots.MissingExtra, match=r"^The demo needs part_that_there_is_not, .*symgauss\[demo\]"):
        plots.require("demo", "sys", "incomplete_package", purpose="The demo")
    plots.require("plots", "sys", "os", purpose="A picture")
