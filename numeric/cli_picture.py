"""The picture of `symgauss inspect --plot`: linear part, eigenvectors, and what each degree explains."""

import math
from typing import Any

from numeric import plots
from numeric.cli_convert import Converted, known_by_degree
from numeric.cli_errors import Missing, Refused, one_line, refusing
from numeric.spectral import Spectrum

# Images in a row; inches of the figure, of an image, the words around it and the bar beside.
_ACROSS, _WIDTH = 10, 11.0
_IMAGE, _WORDS, _BAR = 1.5, 0.8, 1.3


def check(path: str) -> None:
    """Refuse before any work: no matplotlib (`Missing`), or a name that no picture can have."""
    try:
        plots.require("plots", "matplotlib", purpose="A picture")
    except plots.MissingExtra as error:
        raise Missing(one_line(error)) from error
    with refusing(path):
        plots.picture_format(path)


def draw(p: Converted, spectra: dict[int, Spectrum], options: Any, linear: bool) -> None:
    """Draw and save it: images where the inputs make some, else eigenvalues; the variance where it is known.

    Args:
        p: the polynomial.
        spectra: of some of its outputs.
        options: as the parser of `numeric.cli` makes them.
        linear: whether it has a linear part that can be told apart.
    """
    shape = _shape(p, options.shape)
    parts = _parts(p, spectra, shape, options.output, linear)
    if not parts:
        raise Refused(
            f"{options.file!r}: there is nothing to draw of degree {p.degree} without its variance; add --fvu"
        )
    from matplotlib.figure import Figure

    heights = [height for height, _, _ in parts]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    figure.suptitle(repr(p), x=0.01, ha="left")
    panels = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
    for panel, (_, title, drawn) in zip(panels, parts):
        panel.suptitle(title, fontsize="medium", x=0.01, ha="left")
        drawn(panel)
    with refusing(options.plot):
        plots.save(figure, options.plot)


def _parts(
    p: Converted, spectra: dict[int, Spectrum], shape: tuple[int, int] | None, output: int | None, linear: bool
) -> list[tuple[float, str, Any]]:
    """Height, title, and what draws it into a figure, of each part."""
    parts: list[tuple[float, str, Any]] = []
    outputs = list(range(min(p.d_out, _ACROSS))) if output is None else [output]
    if shape is not None and linear:
        parts.append(
            (
                _height(len(outputs), shape),
                "linear part",
                lambda on: plots.linear_coefficients(
                    p, shape, outputs, columns=len(outputs), figure=_left(on, len(outputs), shape)
                ),
            )
        )
    for number, found in spectra.items():
        title = f"output {number}: the degree-2 part{', whitened' if found.whitened else ''}"
        if shape is not None:
            count = min(len(found.values), _ACROSS)
            parts.append(
                (
                    _height(count, shape),
                    title,
                    lambda on, f=found, n=count: plots.eigenvectors(f, n, shape, columns=n, figure=_left(on, n, shape)),
                )
            )
        else:
            parts.append((2.8, title, lambda on, f=found: plots.spectrum(f, on.subplots())))
    if known_by_degree(p):
        parts.append((3.2, "variance by degree", lambda on: plots.variance_by_degree(p, on.subplots())))
    return parts


def _height(count: int, shape: tuple[int, int]) -> float:
    """Of a row of so many images."""
    return min(_WIDTH / (count + 1), _IMAGE) * min(max(shape[0] / shape[1], 0.2), 4.0) + _WORDS


def _left(figure: Any, count: int, shape: tuple[int, int]) -> Any:
    """As much of it as a row of so many images takes."""
    width = count * _IMAGE * min(max(shape[1] / shape[0], 0.25), 5.0) + _BAR
    return figure if width >= _WIDTH else figure.subfigures(1, 2, width_ratios=[width, _WIDTH - width])[0]


def _shape(p: Converted, given: tuple[int, int] | None) -> tuple[int, int] | None:
    """Of the images; None where the inputs make none."""
    if given is not None:
        if math.prod(given) != p.d_in:
            raise Refused(f"--shape {given[0]},{given[1]} makes images of {math.prod(given)} pixels, not of {p.d_in}")
        return given
    side = math.isqrt(p.d_in)
    return (side, side) if side > 1 and side**2 == p.d_in else None
