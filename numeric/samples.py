"""Data as they are, instead of a Gaussian or a mixture: means over the rows of an array."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks
from numeric.blocks import row_blocks
from numeric.inputs import Gaussian
from numeric.mixture.coordinates import whitening
from numeric.mixture.inputs import GaussianMixture, _checked_noise_floor

Float64 = NDArray[np.float64]

# Rows at a time: what an iteration makes of them stays below 100 MiB for ten outputs of 784 inputs.
_ELEMENTS = 2**19


class Samples:
    """The inputs that are the rows of X, each with the same weight: E g(x) = Σ_i g(x_i)/n.

    Nothing is assumed of them. The best quadratic is then ordinary least squares over the data, exactly, and is found
    like that under a mixture, which is where the iteration begins and what it is preconditioned with.

    >>> p = approximate(layer, Samples(X, labels, noise_floor=1e-4))

    Args:
        X: (n, d), of any real dtype; or several such arrays, which stand one below the other. They are kept as given,
            and read in chunks as often as there are iterations: memory maps are fine (several are put together in
            memory once, for their moments). Do not write into them.
        labels: (n,), of which every value has a component in the mixture that guides the iteration; None for one
            Gaussian.
        noise_floor: c ≥ 0, added to the variances of the components of the mixture that guides, though never more
            than X itself varies: for classes that vary in fewer directions than X. On the rows the result does not
            depend on it.

    Raises:
        ValueError: wrong shapes, NaN or infinite entries.
        TypeError: complex, object or other non-real dtypes.
    """

    mixture: GaussianMixture

    def __init__(
        self, X: ArrayLike | Sequence[ArrayLike], labels: ArrayLike | None = None, noise_floor: float = 0.0
    ) -> None:
        several = isinstance(X, list | tuple) and len(X) > 0 and all(isinstance(part, np.ndarray) for part in X)
        parts: list[Any] = list(X) if several else [X]  # type: ignore[arg-type]
        named = [(f"X[{i}]" if several else "X", part) for i, part in enumerate(parts)]
        self._parts = [checks.unconverted_array(name, part) for name, part in named]
        for (name, _), part in zip(named, self._parts):
            checks.check_shape(name, part, (None, self._parts[0].shape[1] if self._parts[0].ndim == 2 else None))
        whole = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        labels = np.zeros(len(whole), int) if labels is None else labels
        self._own = GaussianMixture.from_samples(whole, labels)
        noise_floor = _checked_noise_floor(noise_floor)
        self.mixture = _with_noise(self._own, noise_floor) if noise_floor else self._own

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    @property
    def dim(self) -> int:
        """The number of coordinates d."""
        return self._parts[0].shape[1]

    @property
    def mean(self) -> Float64:
        """The mean of the rows, shape (d,)."""
        return self._own.mean

    @property
    def std(self) -> Float64:
        """The standard deviation of every coordinate (ddof = 0), shape (d,)."""
        return self._own.std

    @property
    def cov(self) -> Float64:
        """The covariance (ddof = 0), shape (d, d)."""
        return self._own.cov

    def moment_matched(self) -> Gaussian:
        """The Gaussian with the mean and covariance of the rows."""
        return self._own.moment_matched()

    def chunks(self) -> Iterator[Float64]:
        """The rows in float64, some at a time."""
        for part in self._parts:
            for rows in row_blocks(len(part), self.dim, _ELEMENTS):
                yield part[rows].astype(np.float64)

    def sample(self, n: int, rng: np.random.Generator | int) -> Float64:
        """n rows drawn with replacement, shape (n, d)."""
        n = checks.non_negative_integer("n", n)
        chosen = np.random.default_rng(rng).integers(len(self), size=n)
        out, first = np.empty((n, self.dim)), 0
        for part in self._parts:
            here = (chosen >= first) & (chosen < first + len(part))
            out[here] = part[chosen[here] - first]
            first += len(part)
        return out

    def __repr__(self) -> str:
        return f"Samples({len(self)} rows, dim={self.dim})"


def _with_noise(mixture: GaussianMixture, noise_floor: float) -> GaussianMixture:
    """The mixture with noise of variance `noise_floor`, but nowhere more than its total covariance Σ.

    More would hide from the iteration what the data say: features that vary little would weigh next to nothing. With
    Σ = R Rᵀ, T R = I and T Tᵀ = U diag(s²) Uᵀ, noise c I on the support is R U diag(c s²) Uᵀ Rᵀ, and no entry of the
    diagonal may be larger than 1.
    """
    inward, outward = whitening(mixture)
    directions, sizes, _ = np.linalg.svd(inward, full_matrices=False)
    root = (outward @ directions) * np.minimum(math.sqrt(noise_floor) * sizes, 1.0)
    covs = [component.cov + root @ root.T for component in mixture.components]
    return GaussianMixture(mixture.weights, mixture.means, covs)
