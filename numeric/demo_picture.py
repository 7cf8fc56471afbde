"""The demo's pictures: what the polynomial of degree 2 adds up for each class, and a reading of the one of degree 4.

In standardised pixels z_j = (x_j − m_j)/s_j a polynomial of degree 2 reads c + a·z + zᵀQz, per class. Shown are the
class's mean image, the linear coefficients a, and the eigenvectors v of Q with the largest and the smallest
eigenvalue λ, which add λ (v·z)² to the logit. A pixel that never varies has s_j = 0: its coefficients mean
nothing, and it is left grey.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric import plots
from numeric.polynomial import RidgePolynomial
from numeric.spectral import spectrum

Float64 = NDArray[np.float64]

# Of the class whose quadratic part is read.
CLASS = 1
_CAPTION = (
    "Each logit is  c + a·z + Σ λ (v·z)²,  with pixels standardised over the training images, "
    "z = (pixel − mean)/standard deviation; grey pixels never vary.\n"
    "v has length 1 in z, and its sign is chosen to point towards the class's mean. One colour scale per row."
)


def draw_classes(polynomial: RidgePolynomial, images: Float64, labels: NDArray[Any], path: Path) -> None:
    """Saves the picture of the polynomial of degree 2."""
    from matplotlib.figure import Figure

    inputs = polynomial.inputs
    std = inputs.std
    about = polynomial.about(inputs.mean)
    means = np.stack([images[labels == label].mean(axis=0) for label in np.unique(labels)])
    standardised = np.divide(means - inputs.mean, std, out=np.zeros_like(means), where=std > 0)
    values, vectors = extreme_eigenvectors(about.quadratic * np.outer(std, std), standardised)
    captions = [[f"λ = {value:+.2f}".replace("-", "−") for value in column] for column in values.T]
    rows = [
        plots.Row(means, "mean image\nof the class", unit="ink", signed=False),
        plots.Row(about.linear * std, "linear part\n$a$", unit="logit per standard\ndeviation"),
        plots.Row(vectors[:, 1], "quadratic part:\nleading positive $v$", captions[1], "entry of $v$"),
        plots.Row(vectors[:, 0], "quadratic part:\nleading negative $v$", captions[0], "entry of $v$"),
    ]
    figure = Figure(figsize=(12.6, 6.3), layout="constrained")
    axes = plots.images(rows, titles=[str(label) for label in range(len(means))], mask=std == 0, figure=figure)
    for ax in axes[0]:
        ax.title.set(fontsize=14, fontweight="bold")
    figure.suptitle("A network that reads digits, as its best polynomial of degree 2", fontsize=14)
    figure.supxlabel(_CAPTION, fontsize=9, color="0.25")
    plots.save(figure, path, dpi=110)


def extreme_eigenvectors(quadratic: Float64, towards: Float64) -> tuple[Float64, Float64]:
    """Smallest and largest eigenvalue, (outputs, 2), and their unit vectors, (outputs, 2, d).

    `quadratic` is (outputs, d, d); the vectors of an output make an acute angle with its row of `towards`.
    """
    values, vectors = np.linalg.eigh(quadratic)
    values, vectors = values[:, [0, -1]], vectors[:, :, [0, -1]].transpose(0, 2, 1)
    signs = np.where(np.einsum("ord,od->or", vectors, towards) < 0, -1, 1)
    return values, vectors * signs[:, :, None]


def draw_reading(polynomial: RidgePolynomial, curves: dict[str, Float64], path: Path) -> None:
    """Saves the picture of variance by degree, of the eigenvalues of one class, and of attacks."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.6, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    plots.variance_by_degree(polynomial, left).set(title="What each degree explains", xlabel="class")
    plots.spectrum(spectrum(polynomial, CLASS, whitened=True), middle).set_title(
        f"Eigenvalues of degree 2, class {CLASS}"
    )
    plots.attack_curves(list(curves.values()), list(curves), right, chance=1 / polynomial.d_out).set_title(
        "Without what the linear part looks at"
    )
    plots.save(figure, path, dpi=110)
