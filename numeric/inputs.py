"""What a layer is fed with: a Gaussian with any mean and any covariance, singular ones included."""

import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks
from numeric.blocks import row_blocks
from numeric.covariance import Covariance, Diagonal, Factor, Full, Identity, smallest_relative_eigenvalue
from numeric.device import projections
from numeric.device.arrays import double, empty, moved, namespace, on_device

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
        return cls._from_parts(mean, Full(frozen(matrix)))

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
        return cls._from_parts(mean, Factor(frozen(np.array(factor, dtype=np.float64, order="C"))))

    @classmethod
    def _from_parts(cls, mean: Float64, covariance: Covariance) -> Self:
        result = cls.__new__(cls)
        result._mean, result._covariance = frozen(mean), covariance
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
        return frozen(self._covariance.dense())

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

        Where W and b are on a device, the results are there too; Σ is moved there once.
        """
        if on_device(W):
            std = projections.standard_deviations(self._covariance, W)
        else:
            std = self._covariance.standard_deviations(W)
        return self._project_mean(W, b), moved(std, W)

    def project_pairs(
        self, V: NDArray[Any], a: NDArray[Any] | None, W: NDArray[Any], b: NDArray[Any] | None
    ) -> tuple[Float64, Float64, Float64, Float64]:
        """What a gated layer needs of the components (y_i, z_i) of V x + a and W x + b.

        Returns:
            Mean and standard deviation of y, as `project` gives them; the mean of z; and Cov(y, z)/Std(y), the
            covariance of z with the standardised y, which is 0 where y does not vary. Each has shape
            (rows of V,). A full Σ costs one d×d by d×n product in all.
        """
        if on_device(V):
            std, coupling = projections.couplings(self._covariance, V, W)
        else:
            std, coupling = self._covariance.couplings(V, W)
        coupling = np.where(std > 0, coupling, 0.0)
        return self._project_mean(V, a), moved(std, V), self._project_mean(W, b), moved(coupling, V)

    @property
    def covariance(self) -> Covariance:
        """Σ in the form it was given in: `numeric.covariance`."""
        return self._covariance

    def _project_mean(self, W: NDArray[Any], b: NDArray[Any] | None) -> Float64:
        mean = product_with_vector(W, self._mean)
        return mean if b is None else mean + double(b)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a safetensors file, from which `numeric.load` makes the same again; see `numeric.files.save`."""
        from numeric import files  # which needs this module

        files.save(self, path)

    def __repr__(self) -> str:
        return f"Gaussian(dim={self.dim}, {self._covariance})"


def product_with_vector(W: NDArray[Any], v: Float64) -> Float64:
    """W v in float64, without a float64 copy of W, where W is; v is a vector, or a matrix of column vectors."""
    there, result = moved(v, W), empty((W.shape[0], *v.shape[1:]), namespace(W).float64, W)
    for rows in row_blocks(*W.shape):
        result[rows, ...] = double(W[rows, :]) @ there
    return result


def _mean_vector(mean: ArrayLike) -> Float64:
    return frozen(np.array(checks.real_array("mean", mean, (None,)), dtype=np.float64))


def _covariance_from_array(cov: ArrayLike, dim: int) -> Diagonal | Full:
    array = checks.floating_array("cov", cov)
    if array.shape not in ((dim,), (dim, dim)):
        raise ValueError(
            f"cov: expected None, variances of shape ({dim},) or a matrix of shape ({dim}, {dim}) "
            f"to match mean, got {array.shape}"
        )
    checks.check_finite("cov", array)
    if array.ndim == 1:
        check_variances("cov", array)
        return Diagonal(frozen(np.array(array, dtype=np.float64)))
    return Full(frozen(symmetric_semidefinite("cov", array)))


def check_variances(name: str, array: NDArray[Any]) -> None:
    """Refuse negative entries in a vector of variances."""
    worst = int(np.argmin(array))
    if array[worst] < 0:
        raise ValueError(f"{name}: expected variances ≥ 0, got {array[worst]} at index {worst}")


def symmetric_semidefinite(name: str, array: NDArray[Any]) -> Float64:
    """A float64 copy of a finite square matrix, refused unless it is a covariance up to rounding; see `Gaussian`."""
    tolerance = float(np.sqrt(np.finfo(array.dtype).eps))
    matrix = np.array(array, dtype=np.float64, order="C")
    difference = np.abs(matrix - matrix.T)
    worst = float(difference.max())
    if worst > tolerance * float(np.abs(matrix).max()):
        i, j = (int(k) for k in np.unravel_index(int(difference.argmax()), matrix.shape))
        raise ValueError(
            f"{name}: expected a symmetric matrix, got {name}[{i}, {j}] = {array[i, j]} "
            f"and {name}[{j}, {i}] = {array[j, i]}; pass ({name} + {name}.T) / 2 if that is what you mean"
        )
    if worst > 0:
        matrix = 0.5 * matrix + 0.5 * matrix.T
    smallest = smallest_relative_eigenvalue(matrix, tolerance)
    if smallest < -tolerance:
        raise ValueError(
            f"{name}: expected a positive semidefinite matrix, got one whose smallest eigenvalue is "
            f"{smallest:.3g} times the largest in magnitude; a covariance has none below "
            f"{-tolerance:.1g} times that"
        )
    return matrix


class MomentSums:
    """Mean and ddof = 0 covariance of samples that come in blocks, each of them twice: `add`, then `add_about_mean`.

    Sums about one of the samples: the mean of a coordinate that never varies is its value to the last bit, and what
    is left of it about the mean is exactly zero.

    Args:
        origin: one of the samples, (d,).
        gram: zeros, to which the sums of products are added: (d, d), or (d,) for squares alone. Several sets of
            samples, each about its own mean, may add to the same.
    """

    def __init__(self, origin: Float64, gram: Float64) -> None:
        self.gram = gram
        self.count = 0
        self._origin, self._total, self._drift = origin, np.zeros(len(origin)), np.zeros(len(origin))

    def add(self, block: Float64) -> None:
        """Samples (any, d), for the mean."""
        self.count += len(block)
        self._total += (block - self._origin).sum(axis=0)

    def add_about_mean(self, block: Float64) -> None:
        """The same samples once more, for the covariance; `block` is overwritten."""
        block -= self._computed_mean
        self.gram += np.einsum("ij,ij->j", block, block) if self.gram.ndim == 1 else block.T @ block
        self._drift += block.sum(axis=0)

    @property
    def mean(self) -> Float64:
        """The mean of all samples, (d,), after both passes."""
        return self._computed_mean + self._mean_drift

    def subtract_drift(self, share: float = 1.0) -> None:
        """Take from the gram, divided by then, `share` times what comes of the rounding of the mean it is about."""
        drift = self._mean_drift
        self.gram -= share * (drift**2 if self.gram.ndim == 1 else np.outer(drift, drift))

    @property
    def _computed_mean(self) -> Float64:
        return self._origin + self._total / self.count

    @property
    def _mean_drift(self) -> Float64:
        return self._drift / self.count


def finite_rows(samples: NDArray[Any], rows: slice) -> Float64:
    """These rows of X in float64, refused unless they are finite."""
    chunk = samples[rows].astype(np.float64)
    checks.check_finite(f"X[{rows.start}:{rows.stop}]", chunk)
    return chunk


def check_no_overflow(covariance: Float64) -> None:
    """Refuse a covariance of samples X that is not finite."""
    if not np.isfinite(covariance).all():
        raise ValueError("X: the covariance overflows double precision; rescale the samples")


def _sample_moments(samples: NDArray[Any]) -> tuple[Float64, Float64]:
    """Mean and ddof = 0 covariance of the rows, in two passes over chunks."""
    n, d = samples.shape
    blocks = list(row_blocks(n, d))
    sums = MomentSums(samples[0].astype(np.float64), np.zeros((d, d)))
    for rows in blocks:
        sums.add(finite_rows(samples, rows))
    for rows in blocks:
        sums.add_about_mean(samples[rows].astype(np.float64))
    sums.gram /= n
    sums.subtract_drift()
    check_no_overflow(sums.gram)
    return sums.mean, sums.gram


def frozen(array: Float64) -> Float64:
    """The same array, which cannot be written to any more."""
    array.flags.writeable = False
    return array
