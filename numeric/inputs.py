"""What a layer is fed with: a Gaussian with any mean and any covariance, singular ones included."""

import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks
from numeric.blocks import row_blocks
from numeric.covariance import Covariance, Diagonal, Factor, Full, Identity, smallest_relative_eigenvalue

Float64 = NDArray[np.float64]


class Gaussian:
    """Inputs x ~ N(mean, Σ) in d dimensions.

    >>> Gaussian([0.0, 1.0])                              # Σ = I
    Gaussian(dim=2, identity covariance)
    >>> Gaussian([0.0, 1.0], [4.0, 0.0])                  # variances; the second coordinate is constant
    Gaussian(dim=2, diagonal covariance)
    >>> Gaussian([0.0, 1.0], [[4.0, 2.0], [2.0, 1.0]])    # a full Σ, here a singular one
    Gaussian(dim=2, full covariance)

    All arrays are copied and read-only: a Gaussian does not change.

    Args:
        mean: (d,).
        cov: None for the identity, variances (d,), or a covariance matrix (d, d). A matrix must be
            symmetric up to √ε·max|Σ|, and semidefinite up to rounding: no eigenvalue below −√ε·λ_max,
            where ε is the machine epsilon of the dtype given (√ε is 1.5e-8 for float64, 3.5e-4 for
            float32). It is stored as its symmetric part in float64.

    Raises:
        ValueError: wrong shapes, NaN or infinite entries, negative variances, an asymmetric or indefinite
            matrix.
        TypeError: complex, object or other non-real dtypes.
    """

    __slots__ = ("_covariance", "_mean")

    _covariance: Covariance
    _mean: Float64

    def __init__(self, mean: ArrayLike, cov: ArrayLike | None = None) -> None:
        mean = _mean_vector(mean)
        covariance = Identity(len(mean)) if cov is None else _covariance_from_array(cov, len(mean))
        self._mean, self._covariance = mean, covariance

    @classmethod
    def from_samples(cls, X: ArrayLike) -> Self:
        """The Gaussian with the mean and the covariance (divided by n: ddof = 0) of the rows of X.

        X is read twice, in chunks, and summed in float64 about its first row and then about its mean, so
        that large offsets cost no digits and a coordinate that never varies gets a variance of exactly
        zero. Singular covariances, n ≤ d included, are fine.

        Args:
            X: (n, d), of any real dtype; it may be a memory map.

        Raises:
            ValueError: wrong shapes, NaN or infinite entries.
            TypeError: complex, object or other non-real dtypes.
        """
        samples = checks.unconverted_array("X", X)
        checks.check_shape("X", samples, (None, None))
        with np.errstate(over="ignore", invalid="ignore"):
            mean, matrix = _sample_moments(samples)
        return cls._from_parts(mean, Full(_frozen(matrix)))

    @classmethod
    def from_factor(cls, mean: ArrayLike, F: ArrayLike) -> Self:
        """The Gaussian of x = mean + F z, z ~ N(0, I): Σ = F Fᵀ.

        A thin factor (r < d, a singular Σ) is cheaper than the matrix and more accurate. The d×d matrix
        is formed only when `.cov` asks for it.

        Args:
            mean: (d,).
            F: (d, r), any r ≥ 1.

        Raises:
            ValueError: wrong shapes, NaN or infinite entries.
            TypeError: complex, object or other non-real dtypes.
        """
        mean = _mean_vector(mean)
        factor = checks.real_array("F", F, (len(mean), None))
        return cls._from_parts(mean, Factor(_frozen(np.array(factor, dtype=np.float64, order="C"))))

    @classmethod
    def _from_parts(cls, mean: Float64, covariance: Covariance) -> Self:
        result = cls.__new__(cls)
        result._mean, result._covariance = _frozen(mean), covariance
        return result

    @property
    def dim(self) -> int:
        """The number of coordinates d."""
        return len(self._mean)

    @property
    def mean(self) -> Float64:
        """The mean, shape (d,)."""
        return self._mean

    @property
    def cov(self) -> Float64:
        """The covariance matrix Σ, shape (d, d); formed on request unless it was given in full."""
        return _frozen(self._covariance.dense())

    @property
    def std(self) -> Float64:
        """The standard deviation of every coordinate, √Σ_jj, shape (d,)."""
        return self._covariance.deviations()

    def sample(self, n: int, rng: np.random.Generator | int) -> Float64:
        """n independent draws, shape (n, d), on the support m + range Σ when Σ is singular.

        Args:
            n: how many, an integer ≥ 0.
            rng: a NumPy generator, or an integer seed.
        """
        n = checks.non_negative_integer("n", n)
        return self._mean + self._covariance.coloured(
            np.random.default_rng(rng).standard_normal((n, self._covariance.rank))
        )

    def project(self, W: NDArray[Any], b: NDArray[Any] | None = None) -> tuple[Float64, Float64]:
        """Mean and standard deviation of every component of W x + b, each of shape (rows of W,).

        The mean is W m + b and the standard deviation √diag(W Σ Wᵀ), both in float64 whatever the dtype
        of W. Where wᵀΣw is at the level of its own rounding error it is zero, for then Σ does not say more:
        below 8 ε q² under a full Σ and below (8 ε q)² under a factor, q = Σ_j |w_j| √Σ_jj.
        """
        return self._project_mean(W, b), self._covariance.standard_deviations(W)

    def project_pairs(
        self, V: NDArray[Any], a: NDArray[Any] | None, W: NDArray[Any], b: NDArray[Any] | None
    ) -> tuple[Float64, Float64, Float64, Float64]:
        """What a gated layer needs of the components (y_i, z_i) of V x + a and W x + b.

        Returns:
            Mean and standard deviation of y, as `project` gives them; the mean of z; and Cov(y, z)/Std(y), the
            covariance of z with the standardised y, which is 0 where y does not vary. Each has shape
            (rows of V,). A full Σ costs one d×d by d×n product in all.
        """
        std, coupling = self._covariance.couplings(V, W)
        return self._project_mean(V, a), std, self._project_mean(W, b), np.where(std > 0, coupling, 0.0)

    @property
    def covariance(self) -> Covariance:
        """Σ in the form it was given in: `numeric.covariance`."""
        return self._covariance

    def _project_mean(self, W: NDArray[Any], b: NDArray[Any] | None) -> Float64:
        mean = product_with_vector(W, self._mean)
        return mean if b is None else mean + b

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a safetensors file, from which `numeric.load` makes the same again; see `numeric.files.save`."""
        from numeric import files  # which needs this module

        files.save(self, path)

    def __repr__(self) -> str:
        return f"Gaussian(dim={self.dim}, {self._covariance})"


def product_with_vector(W: NDArray[Any], v: Float64) -> Float64:
    """W v in float64, without a float64 copy of W."""
    result = np.empty(len(W))
    for rows in row_blocks(*W.shape):
        result[rows] = W[rows].astype(np.float64, copy=False) @ v
    return result


def _mean_vector(mean: ArrayLike) -> Float64:
    return _frozen(np.array(checks.real_array("mean", mean, (None,)), dtype=np.float64))


def _covariance_from_array(cov: ArrayLike, dim: int) -> Diagonal | Full:
    array = checks.floating_array("cov", cov)
    if array.shape not in ((dim,), (dim, dim)):
        raise ValueError(
            f"cov: expected None, variances of shape ({dim},) or a matrix of shape ({dim}, {dim}) "
            f"to match mean, got {array.shape}"
        )
    checks.check_finite("cov", array)
    if array.ndim == 1:
        return Diagonal(_variances(array))
    return Full(_symmetric_semidefinite(array))


def _variances(array: NDArray[Any]) -> Float64:
    worst = int(np.argmin(array))
    if array[worst] < 0:
        raise ValueError(f"cov: expected variances ≥ 0, got {array[worst]} at index {worst}")
    return _frozen(np.array(array, dtype=np.float64))


def _symmetric_semidefinite(array: NDArray[Any]) -> Float64:
    tolerance = float(np.sqrt(np.finfo(array.dtype).eps))
    matrix = np.array(array, dtype=np.float64, order="C")
    difference = np.abs(matrix - matrix.T)
    worst = float(difference.max())
    if worst > tolerance * float(np.abs(matrix).max()):
        i, j = (int(k) for k in np.unravel_index(int(difference.argmax()), matrix.shape))
        raise ValueError(
            f"cov: expected a symmetric matrix, got cov[{i}, {j}] = {array[i, j]} "
            f"and cov[{j}, {i}] = {array[j, i]}; pass (cov + cov.T) / 2 if that is what you mean"
        )
    if worst > 0:
        matrix = 0.5 * matrix + 0.5 * matrix.T
    smallest = smallest_relative_eigenvalue(matrix, tolerance)
    if smallest < -tolerance:
        raise ValueError(
            f"cov: expected a positive semidefinite matrix, got one whose smallest eigenvalue is "
            f"{smallest:.3g} times the largest in magnitude; a covariance has none below "
            f"{-tolerance:.1g} times that"
        )
    return _frozen(matrix)


def _sample_moments(samples: NDArray[Any]) -> tuple[Float64, Float64]:
    """Mean and ddof = 0 covariance of the rows, in two passes over chunks."""
    n, d = samples.shape
    blocks = list(row_blocks(n, d))
    origin = samples[0].astype(np.float64)
    total = np.zeros(d)
    for rows in blocks:
        chunk = samples[rows].astype(np.float64)
        checks.check_finite(f"X[{rows.start}:{rows.stop}]", chunk)
        total += (chunk - origin).sum(axis=0)
    # Sums about the first row: the mean of a coordinate that never varies is its value to the last bit, and
    # what is left of it below is exactly zero.
    mean = origin + total / n
    gram = np.zeros((d, d))
    drift = np.zeros(d)
    for rows in blocks:
        chunk = samples[rows].astype(np.float64)
        chunk -= mean
        gram += chunk.T @ chunk
        drift += chunk.sum(axis=0)
    drift /= n
    matrix = gram / n - np.outer(drift, drift)
    if not np.isfinite(matrix).all():
        raise ValueError("X: the covariance overflows double precision; rescale the samples")
    return mean + drift, matrix


def _frozen(array: Float64) -> Float64:
    array.flags.writeable = False
    return array
