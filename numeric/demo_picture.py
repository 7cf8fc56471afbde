"""The demo's picture: for each class, what the polynomial of degree 2 adds up.

In standardised pixels z_j = (x_j − m_j)/s_j the polynomial reads c + a·z + zᵀQz, per class. Shown are the
class's mean image, the linear coefficients a, and the eigenvectors v of Q with the largest and the smallest
eigenvalue λ, which add λ (v·z)² to the logit. A pixel that never varies has s_j = 0: its coefficients mean
nothing, and it is left grey.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.inputs import Gaussian
from numeric.polynomial import RidgePolynomial

Float64 = NDArray[np.float64]

_SIDE = 8
_GREY = "0.8"
_CAPTION = (
    "Each logit is  c + a·z + Σ λ (v·z)²,  with pixels standardised over the training images, "
    "z = (pixel − mean)/standard deviation; grey pixels never vary.\n"
    "v has length 1 in z, and its sign is chosen to point towards the class's mean. One colour scale per row."
)


@dataclass(frozen=True)
class Group:
    """A row of the picture: one image per class on a shared scale."""

    title: str
    images: Float64
    unit: str
    eigenvalues: Float64 | None = None
    signed: bool = True


def draw(polynomial: RidgePolynomial, inputs: Gaussian, images: Float64, labels: NDArray[Any], path: Path) -> None:
    """Saves the picture, by renaming a finished file."""
    std = np.sqrt(np.diag(inputs.cov))
    about = polynomial.about(inputs.mean)
    means = np.stack([images[labels == label].mean(axis=0) for label in np.unique(labels)])
    standardised = np.divide(means - inputs.mean, std, out=np.zeros_like(means), where=std > 0)
    values, vectors = extreme_eigenvectors(about.quadratic * np.outer(std, std), standardised)
    groups = [
        Group("mean image\nof the class", means, "ink", signed=False),
        Group("linear part\n$a$", about.linear * std, "logit per standard\ndeviation"),
        Group("quadratic part:\nleading positive $v$", vectors[:, 1], "entry of $v$", values[:, 1]),
        Group("quadratic part:\nleading negative $v$", vectors[:, 0], "entry of $v$", values[:, 0]),
    ]
    _save(_figure(groups, std == 0), path)


def extreme_eigenvectors(quadratic: Float64, towards: Float64) -> tuple[Float64, Float64]:
    """Smallest and largest eigenvalue, (outputs, 2), and their unit vectors, (outputs, 2, d).

    `quadratic` is (outputs, d, d); the vectors of an output make an acute angle with its row of `towards`.
    """
    values, vectors = np.linalg.eigh(quadratic)
    values, vectors = values[:, [0, -1]], vectors[:, :, [0, -1]].transpose(0, 2, 1)
    signs = np.where(np.einsum("ord,od->or", vectors, towards) < 0, -1, 1)
    return values, vectors * signs[:, :, None]


def _figure(groups: list[Group], constant: NDArray[np.bool_]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.6, 6.3), dpi=110, layout="constrained")
    axes = figure.subplots(len(groups), len(groups[0].images))
    for line, group in zip(axes, groups):
        _draw_row(figure, list(line), group, constant)
    for label, axis in enumerate(axes[0]):
        axis.set_title(str(label), fontsize=14, fontweight="bold")
    figure.suptitle("A network that reads digits, as its best polynomial of degree 2", fontsize=14)
    figure.supxlabel(_CAPTION, fontsize=9, color="0.25")
    return figure


def _draw_row(figure: Any, axes: list[Any], group: Group, constant: NDArray[np.bool_]) -> None:
    from matplotlib import colormaps

    if group.signed:
        limit = float(np.abs(group.images[:, ~constant]).max())
        scale = {"cmap": colormaps["RdBu_r"].with_extremes(bad=_GREY), "vmin": -limit, "vmax": limit}
    else:
        scale = {"cmap": "Greys", "vmin": 0, "vmax": float(group.images.max())}
    hidden = np.broadcast_to(constant & group.signed, group.images.shape)
    images = np.ma.masked_array(group.images, hidden).reshape(-1, _SIDE, _SIDE)
    drawn = [axis.imshow(image, **scale) for axis, image in zip(axes, images)]
    for label, axis in enumerate(axes):
        axis.set(xticks=[], yticks=[])
        if group.eigenvalues is not None:
            axis.set_xlabel(f"$\\lambda = {group.eigenvalues[label]:+.2f}$", fontsize=10)
    bar = figure.colorbar(drawn[0], ax=axes, fraction=0.012, pad=0.01, aspect=10, shrink=0.85)
    bar.set_label(group.unit, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    axes[0].set_ylabel(group.title, rotation=0, ha="right", va="center", labelpad=10, fontsize=11)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            figure.savefig(file, format="png")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
