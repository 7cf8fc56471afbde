"""What the demo prints of its polynomials, as text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numeric.polynomial import RidgePolynomial

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """How well one polynomial stands in for the network; everything but `seconds` is a fraction."""

    degree: int
    fvu: float
    fvu_sampled: float
    fvu_on_images: float
    agreement: float
    accuracy: float
    seconds: float


def table(rows: list[Row], of_network: float) -> str:
    """The rows as text, below the network's own accuracy."""
    lines = [
        "degree   fraction of variance unexplained   same class       right on          time",
        "           exact    sampled     held-out     as the network   held-out images   to convert",
        f"network                                                       {of_network:8.1%}",
    ]
    lines += [
        f"{r.degree:>4}    {r.fvu:9.6f}   {r.fvu_sampled:8.6f}   {r.fvu_on_images:8.6f}     {r.agreement:8.1%}"
        f"         {r.accuracy:8.1%}          {r.seconds * 1e3:.2f} ms"
        for r in rows
    ]
    return "\n".join(lines)


def variance_table(polynomial: RidgePolynomial) -> str:
    """What each degree explains of the variance of every class's logit, and what is left, in per cent."""
    variance = polynomial.variance_by_degree
    shares = variance / variance.sum(axis=0) * (1 - polynomial.fvu)
    names = [f"degree {k}" for k in range(1, polynomial.degree + 1)]
    return _percentages("class", range(polynomial.d_out), [*names, "left"], [*shares, polynomial.fvu], decimals=2)


def attack_table(curves: dict[str, Float64]) -> str:
    """Accuracies after removing 0, 1, … directions, in per cent."""
    removed = range(len(next(iter(curves.values()))))
    return _percentages("removed", removed, list(curves), list(curves.values()), decimals=1)


def _percentages(corner: str, head: range, names: Sequence[str], rows: Sequence[Float64], decimals: int) -> str:
    width = max(len(name) for name in (corner, *names)) + 1
    lines = [f"{corner:<{width}}" + "".join(f"{number:6}" for number in head)]
    lines += [f"{name:<{width}}" + "".join(f"{100 * x:6.{decimals}f}" for x in row) for name, row in zip(names, rows)]
    return "\n".join(lines)
