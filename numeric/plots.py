"""Pictures of what a polynomial looks for, and of how well it stands in for its network. They need matplotlib.

>>> from numeric import plots
>>> plots.eigenvectors(nm.spectrum(p, output=3))                        # as 28×28 images, for 784 inputs
>>> ax = plots.variance_by_degree(p)
>>> plots.save(ax, "variance.pdf")

Each function makes a pyplot figure, which a notebook shows, or draws into `ax` or `figure` where one is given, and then
pyplot is left alone: `ax=matplotlib.figure.Figure().subplots()` needs no display. Input is checked before anything is
drawn, and no settings of matplotlib are changed.
"""

import contextlib
import importlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks
from numeric.atomic import replacing
from numeric.device.arrays import host
from numeric.factored import FactoredPolynomial
from numeric.spectral import Polynomial, SolvedQuadraticPart, Spectrum, linear_part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Float64 = NDArray[np.float64]

FORMATS = ("png", "pdf", "svg")

# The ends of the diverging scale: red adds, blue takes away. Told apart by colour-blind readers, too.
_SCALE, _PLUS, _MINUS = "RdBu_r", "#b2182b", "#2166ac"
# Okabe & Ito's palette, and markers, so that no series is known by its colour alone.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#000000", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_GREY, _PALE = "0.4", "0.8"
# Inches.
_PLOT = (6.4, 4.0)
_BAR = 0.14
_LINE = 8  # images
_MOST = 20  # images that nobody has asked for one by one


class MissingExtra(ImportError):
    """A package that only an extra of symgauss brings is not installed."""


def require(extra: str, *modules: str, purpose: str) -> None:
    """Refuse to begin where modules that `extra` brings are not installed.

    Raises:
        MissingExtra: one of them is not; the message has the command that installs it.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f'{purpose} needs {error.name}, which is not installed: pip install "symgauss[{extra}]", '
                f'or pip install ".[{extra}]" in a checkout.',
                name=error.name,
            ) from None


# Images


@dataclass(frozen=True, eq=False)
class Row:
    """Images that share a colour scale.

    Attributes:
        images: (n, d), an image per row.
        title: at the left of the first.
        captions: n texts, below the images.
        unit: what the entries are, beside the colour bar.
        signed: whether the scale is diverging, with white for 0; else it is grey, with white for 0 or the least.
    """

    images: ArrayLike
    title: str = ""
    captions: Sequence[str] | None = None
    unit: str = ""
    signed: bool = True


def images(
    rows: ArrayLike | Row | Sequence[Row],
    shape: tuple[int, int] | None = None,
    titles: Sequence[str] | None = None,
    mask: ArrayLike | None = None,
    columns: int | None = None,
    figure: "Figure | SubFigure | None" = None,
) -> NDArray[Any]:
    """Vectors as images, one colour scale and colour bar for each `Row`.

    >>> plots.images(nm.svd(p).vectors, shape=(28, 28))
    >>> plots.images([plots.Row(means, "mean", signed=False), plots.Row(nm.linear_part(p), "linear")])

    Args:
        rows: (n, d), an image per row on one signed scale, broken into lines; or a `Row`; or several, a line each.
        shape: (height, width) with height · width = d; default: square.
        titles: n texts, above the images (of the first `Row`).
        mask: (d,), true for coordinates that are left grey where the scale is signed, because they never vary.
        columns: places in a line; default: at most 8, or all n for several rows. More than n leave the last ones free.
        figure: an empty figure, or part of one; default: a new pyplot figure.

    Returns:
        The axes of the images, an object array (n,), or (number of rows, n) for a sequence of `Row`.

    Raises:
        ValueError: d that is no square and no `shape`, shapes that do not fit together, NaN or infinite entries.
        TypeError: arrays that are not real, a mask that is not boolean.
        MissingExtra: there is no matplotlib.
    """
    several = isinstance(rows, Sequence) and len(rows) > 0 and all(isinstance(row, Row) for row in rows)
    given = list(rows) if several else [rows if isinstance(rows, Row) else Row(rows)]  # type: ignore[arg-type]
    checked = _checked_rows(given, "rows[{}]." if several else "rows." if isinstance(rows, Row) else "")
    n, d = checked[0].images.shape  # type: ignore[union-attr]
    height, width = _shape(shape, d)
    names = _texts("titles", titles, n, "image")
    hidden = _mask(mask, d)
    columns = _columns(columns, n, several)
    _check_figure(figure)
    lines = math.ceil(n / columns)
    with _figure(figure, _size(checked, lines, columns, height / width, names is not None)) as drawn_on:
        grid = drawn_on.subplots(lines * len(checked), columns, squeeze=False)
        axes = grid.reshape(len(checked), -1)
        for unused in axes[:, n:].flat:
            unused.remove()
        axes = axes[:, :n]
        for line, row in zip(axes, checked):
            image = _draw_row(line, row, hidden, (height, width))
            _colour_bar(drawn_on, line, image, row.unit, lines / columns * height / width, 1 / len(checked))
        for ax, name in zip(axes[0], names or []):
            ax.set_title(name)
    return axes if several else axes[0]


def _draw_row(axes: NDArray[Any], row: Row, hidden: NDArray[np.bool_], shape: tuple[int, int]) -> Any:
    """The images, the first of which is returned."""
    values = np.asarray(row.images)
    masked = np.ma.masked_array(values, np.broadcast_to(hidden & row.signed, values.shape))
    scale = _scale(masked, row.signed)
    for i, (ax, image) in enumerate(zip(axes, masked.reshape(-1, *shape))):
        ax.imshow(image, interpolation="nearest", **scale)
        ax.set(xticks=[], yticks=[])
        if row.captions is not None:
            ax.set_xlabel(row.captions[i])
    axes[0].set_ylabel(row.title, rotation=0, ha="right", va="center", labelpad=10)
    return axes[0].images[0]


def _colour_bar(figure: Any, axes: NDArray[Any], image: Any, unit: str, aspect: float, share: float) -> None:
    """As wide in every figure, and as high as the images: lines of this height over width, in a share of the figure."""
    across, up = figure.bbox.width / figure.dpi, figure.bbox.height / figure.dpi
    fraction = _BAR / (across * min(1.0, len(axes) / axes[0].get_gridspec().ncols))
    height = min(0.9 * across * aspect, 0.8 * up * share)
    bar = figure.colorbar(
        image, ax=list(axes), fraction=fraction, pad=fraction, aspect=max(height / _BAR, 4), shrink=0.9
    )
    bar.set_label(unit, fontsize="small")
    bar.ax.tick_params(labelsize="small")


def _scale(values: Any, signed: bool) -> dict[str, Any]:
    from matplotlib import colormaps

    if signed:
        limit = float(np.ma.max(np.abs(values), fill_value=0.0)) if values.count() else 0.0
        return {"cmap": colormaps[_SCALE].with_extremes(bad=_PALE), "vmin": -(limit or 1.0), "vmax": limit or 1.0}
    least, largest = min(0.0, float(values.min())), float(values.max())
    return {"cmap": colormaps["Greys"], "vmin": least, "vmax": largest if largest > least else least + 1.0}


def _size(rows: list[Row], lines: int, columns: int, aspect: float, titled: bool) -> tuple[float, float]:
    """Inches: images that are large enough to read, and room for the words around them."""
    side = min(max(10.0 / columns, 1.15), 1.7)
    left = 0.1 * max(len(line) for row in rows for line in row.title.split("\n"))
    words = 0.3 * len(rows) * any(row.captions is not None for row in rows) + 0.3 * titled
    height = side * min(max(aspect, 0.2), 4.0) + 0.12
    return columns * side + left + 1.3, lines * (len(rows) * height + words)


def eigenvectors(
    spectrum: Spectrum,
    count: int | None = None,
    shape: tuple[int, int] | None = None,
    towards: ArrayLike | None = None,
    columns: int | None = None,
    figure: "Figure | SubFigure | None" = None,
) -> NDArray[Any]:
    """Eigenvectors as images on one diverging scale, by decreasing |λ|; below each its λ, red for + and blue for −.

    An eigenvector v and −v are the same. Drawn is the one whose largest entry in size is positive, or which points
    towards something: v · towards ≥ 0. Coordinates that never vary are grey.

    Args:
        spectrum: what `numeric.spectrum` returned.
        count: how many; default: 8, or all there are.
        shape: (height, width) of an image; default: square.
        towards: (d,), such as a class's mean minus the mean of all inputs.
        columns, figure: as in `images`.

    Returns:
        The axes, (count,).

    Raises:
        ValueError: a count that is too large, d that is no square and no `shape`, a `towards` of another shape.
        TypeError: something that is no Spectrum, a count that is no integer.
        MissingExtra: there is no matplotlib.
    """
    _check_spectrum(spectrum)
    there = len(spectrum.values)
    number = min(8, there) if count is None else checks.non_negative_integer("count", count)
    if not 1 <= number <= there:
        more = "" if spectrum.complete else f"; numeric.spectrum(p, output, count={number}) finds more"
        raise ValueError(f"count: expected 1 … {there}, as many as the spectrum has, got {number}{more}")
    values = spectrum.values[:number]
    row = Row(
        _oriented(spectrum.vectors[:number], towards),
        captions=[f"λ = {_number(value)}" for value in values],
        unit="entry of $v$" if not spectrum.whitened else "entry of $v$, one standard\ndeviation long",
    )
    axes = images(row, shape, mask=spectrum._quadratic.polynomial.spread == 0, columns=columns, figure=figure)
    for ax, value in zip(axes, values):
        ax.xaxis.label.set_color(_PLUS if value >= 0 else _MINUS)
    return axes


def _oriented(vectors: Float64, towards: ArrayLike | None) -> Float64:
    if towards is None:
        largest = np.abs(vectors).argmax(axis=1)
        signs = np.take_along_axis(vectors, largest[:, None], axis=1)
    else:
        signs = vectors @ checks.real_array("towards", towards, vectors.shape[1:]).astype(np.float64)[:, None]
    return np.where(signs < 0, -vectors, vectors)


def linear_coefficients(
    p: Polynomial,
    shape: tuple[int, int] | None = None,
    outputs: Sequence[int] | None = None,
    standardised: bool = False,
    columns: int | None = None,
    figure: "Figure | SubFigure | None" = None,
) -> NDArray[Any]:
    """The linear part E ∇f of outputs as images, on one diverging scale. Coordinates that never vary are grey.

    Args:
        p: what `numeric.approximate` returned, of degree ≥ 1.
        shape: (height, width) of an image; default: square.
        outputs: which; default: all, or the first 20.
        standardised: per standard deviation of every coordinate, instead of per unit.
        columns, figure: as in `images`.

    Returns:
        The axes, (number of outputs,).

    Raises:
        ValueError: a polynomial of degree 0, d that is no square and no `shape`, outputs that there are not.
        TypeError: something that is no polynomial, outputs that are no integers.
        MissingExtra: there is no matplotlib.
    """
    linear = linear_part(p)
    chosen = _outputs(outputs, p.d_out)
    spread = p.spread
    values, unit = linear[chosen], "output per unit"
    if standardised:
        values, unit = values * spread, "output per standard\ndeviation"
    titles = [f"output {o}" for o in chosen]
    return images(Row(values, unit=unit), shape, titles, spread == 0, columns, figure)


def _outputs(outputs: Sequence[int] | None, d_out: int) -> list[int]:
    if outputs is None:
        return list(range(min(d_out, _MOST)))
    chosen = checks.unconverted_array("outputs", outputs)
    if chosen.dtype.kind not in "iu" or chosen.ndim != 1 or not len(chosen):
        raise TypeError(f"outputs: expected a list of integers 0 … {d_out - 1}, got {outputs!r}")
    outside = (chosen < 0) | (chosen >= d_out)
    if outside.any():
        raise ValueError(f"outputs: expected 0 … {d_out - 1}, got {chosen[outside.argmax()]}")
    return chosen.tolist()


# Numbers


def spectrum(spectrum: Spectrum, ax: "Axes | None" = None) -> "Axes":
    """Eigenvalues by rank, positive ones red and upwards, negative ones blue and downwards.

    Whitened and complete, a line of text says how many of them carry 90% of the variance of degree 2, Σ 2λ². Under a
    mixture they do not carry it one by one, and there is no such line.

    Args:
        spectrum: what `numeric.spectrum` returned.
        ax: where to draw; default: a new pyplot figure.

    Raises:
        TypeError: something that is no Spectrum, or no Axes.
        MissingExtra: there is no matplotlib.
    """
    _check_spectrum(spectrum)
    values = spectrum.values
    checks.check_finite("spectrum.values", values)
    with _axes(ax) as axes:
        ranks = np.arange(1, len(values) + 1)
        for chosen, colour, marker in ((values >= 0, _PLUS, "o"), (values < 0, _MINUS, "s")):
            axes.vlines(ranks[chosen], 0, values[chosen], colors=colour, linewidth=1.2)
            axes.plot(ranks[chosen], values[chosen], marker, color=colour, markersize=_marker_size(len(values)))
        axes.axhline(0, color=_GREY, linewidth=0.8)
        axes.set(xlabel="rank by |λ|", ylabel="eigenvalue λ")
        _integers(axes)
        carried = spectrum.whitened and not isinstance(spectrum._quadratic, SolvedQuadraticPart)
        if carried and spectrum.complete and values.any():
            text = f"{_leading(spectrum.variance)} of {len(values)} carry 90% of\nthe variance of degree 2"
            axes.text(0.97, 0.95, text, ha="right", va="top", transform=axes.transAxes)
    return axes


def _leading(variance: Float64, share: float = 0.9) -> int:
    """How many of the first carry this share of the sum."""
    sums = np.cumsum(variance)
    return int(np.argmax(sums >= share * sums[-1])) + 1


def variance_by_degree(p: Polynomial, ax: "Axes | None" = None, labels: Sequence[str] | None = None) -> "Axes":
    """What each degree explains of the variance of every output, stacked, and on top what is left: fractions, exact.

    An output that does not vary has no bar.

    Args:
        p: what `numeric.approximate` returned.
        ax: where to draw; default: a new pyplot figure.
        labels: (d_out,) texts below the bars; default: their numbers.

    Raises:
        ValueError: labels of another number.
        TypeError: something that is no polynomial, or no Axes.
        MissingExtra: there is no matplotlib.
    """
    if not isinstance(p, Polynomial):
        raise TypeError(f"p: expected what numeric.approximate returned, got {type(p).__name__}")
    names = _texts("labels", labels, p.d_out, "output")
    left = p._explained.residual if isinstance(p, FactoredPolynomial) else p._unexplained.residual
    parts = np.vstack([host(p.variance_by_degree), left])
    total = parts.sum(axis=0)
    shares = np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)
    bottoms = np.cumsum(shares, axis=0) - shares
    with _axes(ax) as axes:
        from matplotlib import colormaps

        colours = [*colormaps["viridis"](np.linspace(0.1, 0.95, max(p.degree, 2)))[: p.degree], _PALE]
        names_of_parts = [*(f"degree {k}" for k in range(1, p.degree + 1)), "left"]
        for share, bottom, colour, name in zip(shares, bottoms, colours, names_of_parts):
            axes.bar(np.arange(p.d_out), share, bottom=bottom, color=colour, label=name)
        # A few bars as narrow as many.
        middle, half = (p.d_out - 1) / 2, max(p.d_out, 6) / 2 + 0.2
        axes.set(xlabel="output", ylabel="share of the variance", xlim=(middle - half, middle + half), ylim=(0, 1))
        _percent(axes)
        if names is not None or p.d_out <= _MOST:
            axes.set_xticks(np.arange(p.d_out), names or [str(o) for o in range(p.d_out)])
        else:
            _integers(axes)
        _legend(axes, reverse=True)
    return axes


def fvu_over_checkpoints(
    steps: ArrayLike, fvu: ArrayLike, ax: "Axes | None" = None, labels: Sequence[str] | str | None = None
) -> "Axes":
    """The fraction of variance unexplained against training steps, both on logarithmic scales.

    Where there is a step 0 or a fraction 0 its scale goes on to 0, linearly, below the last power of ten.

    Args:
        steps: (t,), increasing, ≥ 0.
        fvu: (t,), or (number of series, t), such as one for every degree; ≥ 0.
        ax: where to draw; default: a new pyplot figure.
        labels: a text for every series; default: none, and no legend.

    Raises:
        ValueError: NaN, infinite or negative numbers, steps that do not increase, lengths that differ, no points.
        TypeError: something that is no real number, or no Axes.
        MissingExtra: there is no matplotlib.
    """
    x = checks.real_array("steps", steps, (None,)).astype(np.float64)
    if x[0] < 0 or (np.diff(x) <= 0).any():
        raise ValueError(f"steps: expected increasing numbers ≥ 0, got {_few(x)}; sort them, and fvu along with them")
    series, names = _series("fvu", fvu, labels, len(x))
    if series.min() < 0:
        raise ValueError(f"fvu: expected fractions ≥ 0, got {series.min():.6g}")
    with _axes(ax) as axes:
        _draw_series(axes, x, series, names)
        if names is not None:
            _legend(axes)
        _logarithmic(axes.set_xscale, axes.xaxis, x)
        _logarithmic(axes.set_yscale, axes.yaxis, series)
        axes.set(xlabel="training step", ylabel="fraction of variance unexplained")
    return axes


def attack_curves(
    curves: ArrayLike | Sequence[ArrayLike],
    labels: Sequence[str] | str,
    ax: "Axes | None" = None,
    chance: float | None = None,
) -> "Axes":
    """Accuracy after removing the first 0, 1, …, k directions of an attack, a curve for every function.

    >>> plots.attack_curves(nm.attack_curve([layer, p], attack, X, y), ["network", "degree 2"], chance=0.1)

    Args:
        curves: (number of functions, k + 1), fractions, as `numeric.attack_curve` returns them; or (k + 1,) for one.
        labels: a text for every function.
        ax: where to draw; default: a new pyplot figure.
        chance: the accuracy of guessing, a dotted line.

    Raises:
        ValueError: NaN, fractions outside 0 … 1, curves of different lengths, labels of another number, no curves.
        TypeError: something that is no real number, or no Axes.
        MissingExtra: there is no matplotlib.
    """
    series, names = _series("curves", curves, labels, None)
    if names is None:
        raise TypeError("labels: expected a list of texts, one for each series, got None")
    _check_fractions("curves", series)
    if chance is not None:
        _check_fractions("chance", checks.real_array("chance", chance, ()))
    with _axes(ax) as axes:
        _draw_series(axes, np.arange(series.shape[1]), series, names)
        if chance is not None:
            axes.axhline(chance, color=_GREY, linestyle=":", label="chance")
        axes.set(xlabel="directions removed", ylabel="accuracy", ylim=(0, 1.02))
        _legend(axes)
        _integers(axes)
        _percent(axes)
    return axes


def _draw_series(ax: "Axes", x: NDArray[Any], series: Float64, names: list[str] | None) -> None:
    for i, values in enumerate(series):
        style: dict[str, Any] = {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}
        style["linestyle"] = "-" if i < len(_COLOURS) else "--"
        # A point at 0 is half below the axis.
        ax.plot(x, values, markersize=5, clip_on=False, label=None if names is None else names[i], **style)


def _logarithmic(set_scale: Callable[..., None], axis: Any, values: Float64) -> None:
    """A logarithmic scale, which goes on to 0 where a value is 0; numbers along it are 0.01 rather than 10⁻²."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, SymmetricalLogLocator

    positive = values[values > 0]
    if not len(positive):
        return
    to_zero = values.min() == 0
    # Below 1e-100 matplotlib's inverse overflows.
    least = max(math.log10(positive.min()), -100.0)
    threshold, decades = 10.0 ** math.floor(least), math.log10(positive.max()) - least
    if to_zero:
        set_scale("symlog", linthresh=threshold, linscale=0.4)
    else:
        set_scale("log")
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axis.set_major_formatter(plain)
    # Few powers of ten are not enough; within a factor of 3 matplotlib finds better ones than 1, 2, 5.
    if decades < 2 and to_zero:
        axis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=threshold, subs=(1, 2, 5)))
    elif 0.5 <= decades < 2:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_formatter(plain if decades < 0.5 and not to_zero else NullFormatter())


def _legend(ax: "Axes", reverse: bool = False) -> None:
    """Beside the axes, where it hides nothing."""
    ax.legend(reverse=reverse, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _marker_size(count: int) -> float:
    return min(max(240.0 / count, 1.5), 6.0)


def _integers(ax: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))


def _percent(ax: "Axes") -> None:
    from matplotlib.ticker import PercentFormatter

    ax.yaxis.set_major_formatter(PercentFormatter(1.0))


# Files


def save(figure: Any, path: str | os.PathLike[str], dpi: float = 150) -> None:
    """Write a figure to a file; an older one is replaced only when the new one is complete.

    Args:
        figure: a figure, or axes of one.
        path: a name that ends in .png, .pdf or .svg.
        dpi: pixels per inch, for .png.

    Raises:
        ValueError: another ending.
        TypeError: something that is no figure.
        OSError: as from `numeric.atomic.replacing`; the folder must exist.
    """
    kind, root = picture_format(path), _root(figure)
    with replacing(path) as file:
        root.savefig(file, format=kind, dpi=dpi)


def picture_format(path: str | os.PathLike[str]) -> str:
    """The format that the end of a name stands for: png, pdf or svg; ValueError for any other.

    For refusing a name before there is anything to save.
    """
    kind = os.path.splitext(os.fspath(path))[1].lower().removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"path: expected a name that ends in .png, .pdf or .svg, got {os.fspath(path)!r}")
    return kind


def _root(figure: Any) -> Any:
    """The figure that something drawn is part of."""
    found = figure.flat[0] if isinstance(figure, np.ndarray) and figure.size else figure
    while found is not None and not hasattr(found, "savefig"):
        found = getattr(found, "figure", None)
    if found is None:
        raise TypeError(f"figure: expected a matplotlib figure or its axes, got {type(figure).__name__}")
    return found


# Checks


def _checked_rows(rows: list[Row], prefix: str) -> list[Row]:
    """With arrays of one shape, and as many captions."""
    checked: list[Row] = []
    for i, row in enumerate(rows):
        name = f"{prefix.format(i)}images" if prefix else "rows"
        array = checks.real_array(name, row.images, (None, None)).astype(np.float64)
        if checked and array.shape != np.shape(checked[0].images):
            raise ValueError(f"{name}: expected shape {np.shape(checked[0].images)} as before, got {array.shape}")
        captions = _texts(f"{prefix.format(i)}captions", row.captions, len(array), "image")
        checked.append(replace(row, images=array, captions=captions))
    return checked


def _shape(shape: tuple[int, int] | None, d: int) -> tuple[int, int]:
    if shape is None:
        side = math.isqrt(d)
        if side**2 != d:
            raise ValueError(
                f"shape: {d} coordinates make no square image; pass shape=(height, width), for example (1, {d})"
            )
        return side, side
    if not isinstance(shape, Sequence) or len(shape) != 2:
        raise ValueError(
            f"shape: expected (height, width), got {shape!r}; draw the channels of a colour image one by one"
        )
    height, width = (checks.non_negative_integer("shape", size) for size in shape)
    if height * width != d:
        raise ValueError(f"shape: expected (height, width) with height · width = {d}, got {tuple(shape)}")
    return height, width


def _mask(mask: ArrayLike | None, d: int) -> NDArray[np.bool_]:
    if mask is None:
        return np.zeros(d, bool)
    array = checks.unconverted_array("mask", mask)
    if array.dtype != bool:
        raise TypeError(f"mask: expected booleans, true for what is left grey, got dtype {array.dtype}")
    checks.check_shape("mask", array, (d,))
    return array


def _columns(columns: int | None, n: int, several: bool) -> int:
    if columns is None:
        # lines of nearly the same length
        return n if several else math.ceil(n / math.ceil(n / _LINE))
    columns = checks.non_negative_integer("columns", columns)
    if columns == 0:
        raise ValueError("columns: expected an integer ≥ 1, got 0")
    return columns


def _texts(name: str, texts: Sequence[str] | None, count: int, what: str) -> list[str] | None:
    if texts is None:
        return None
    found = None if isinstance(texts, str) else list(texts)
    if found is None or not all(isinstance(text, str) for text in found):
        raise TypeError(f"{name}: expected a list of texts, one for each {what}, got {texts!r}")
    if len(found) != count:
        raise ValueError(f"{name}: expected {count}, one for each {what}, got {len(found)}")
    return found


def _series(
    name: str, values: Any, labels: Sequence[str] | str | None, length: int | None
) -> tuple[Float64, list[str] | None]:
    """One or several series of one length, as (number, length), and their labels."""
    lengths = {np.shape(row) for row in values} if isinstance(values, Sequence) else set()
    if len(lengths) > 1 and all(len(shape) == 1 for shape in lengths):
        found = " and ".join(str(n) for (n,) in sorted(lengths))
        raise ValueError(f"{name}: expected series of one length, got lengths {found}")
    array = np.atleast_2d(checks.real_array(name, values).astype(np.float64))
    if array.ndim != 2 or array.size == 0 or length not in (None, array.shape[1]):
        each = "any" if length is None else str(length)
        hint = "" if length is None else ", a number for each step"
        raise ValueError(f"{name}: expected shape ({each},) or (any, {each}){hint}, got {np.shape(values)}")
    texts = [labels] if isinstance(labels, str) else labels
    return array, _texts("labels", texts, len(array), "series")


def _check_fractions(name: str, values: NDArray[Any]) -> None:
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise ValueError(f"{name}: expected fractions from 0 to 1, got {values[outside][0]:.6g}")


def _check_spectrum(spectrum: Any) -> None:
    if not isinstance(spectrum, Spectrum):
        raise TypeError(
            f"spectrum: expected what numeric.spectrum returned, got {type(spectrum).__name__}; "
            "numeric.spectrum(p, output) makes one of a polynomial"
        )


def _number(value: float) -> str:
    return f"{value:+#.3g}".rstrip(".").replace("-", "−")


def _few(values: Float64) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:6])
    return f"{shown}, …" if len(values) > 6 else shown


# Where to draw


def _check_figure(figure: Any) -> None:
    require("plots", "matplotlib", purpose="A picture")
    from matplotlib.figure import FigureBase

    if figure is not None and not isinstance(figure, FigureBase):
        raise TypeError(f"figure: expected a matplotlib Figure, got {type(figure).__name__}")


@contextlib.contextmanager
def _figure(figure: Any, size: tuple[float, float]) -> Iterator[Any]:
    """The figure given, or a new one of pyplot's, which is closed when drawing fails."""
    if figure is not None:
        yield figure
        return
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=size, layout="constrained")
    try:
        yield figure
    except BaseException:
        pyplot.close(figure)
        raise


@contextlib.contextmanager
def _axes(ax: Any) -> Iterator[Any]:
    """The axes given, or those of a new figure."""
    require("plots", "matplotlib", purpose="A picture")
    from matplotlib.axes import Axes

    if ax is None:
        with _figure(None, _PLOT) as figure:
            yield figure.subplots()
    elif isinstance(ax, Axes):
        yield ax
    else:
        raise TypeError(f"ax: expected matplotlib Axes, got {type(ax).__name__}; figure.subplots() makes some")
