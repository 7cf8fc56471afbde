"""Inputs from several Gaussians: x ~ Σ_k π_k N(m_k, S_k), with any weights, means and covariances.

Moments of the mixture are sums over components, taken about one of the means: with m = Σ_k π_k m_k the total
covariance is Σ_k π_k (S_k + (m_k − m)(m_k − m)ᵀ), and neither a common offset of all means nor the rounding of m
costs it any digits.
"""

import math
import os
from collections.abc import Iterator
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks
from numeric.blocks import row_blocks
from numeric.covariance import Diagonal, Full
from numeric.inputs import (
    Gaussian,
    MomentSums,
    check_no_overflow,
    check_variances,
    finite_rows,
    frozen,
    product_with_vector,
    symmetric_semidefinite,
)

Float64 = NDArray[np.float64]
CovarianceType = Literal["full", "diag", "tied"]

# What weights may sum to besides 1; narrower types are allowed their own rounding.
_WEIGHT_TOLERANCE = 1e-8


class GaussianMixture:
    """Inputs x ~ Σ_k π_k N(m_k, S_k) in d dimensions, k = 1, …, K.

    >>> GaussianMixture([0.5, 0.5], [[0.0], [3.0]], [[[1.0]], [[4.0]]])
    GaussianMixture(2 components, dim=1, full covariances)
    >>> GaussianMixture([0.5, 0.5], [[0.0], [3.0]], [[1.0], [4.0]], "diag")       # variances
    GaussianMixture(2 components, dim=1, diagonal covariances)
    >>> GaussianMixture([0.5, 0.5], [[0.0], [3.0]], [[1.0]], "tied", noise_floor=0.1)
    GaussianMixture(2 components, dim=1, tied covariance, noise floor 0.1)

    All arrays are copied and read-only: a mixture does not change. Components may coincide, be singular or have
    weight 0.

    Args:
        weights: π, (K,), none below 0. They sum to 1 up to 1e-8 (up to 8 ε in float32 and float16), and are then
            divided by their sum.
        means: m, (K, d).
        covs: "full": matrices (K, d, d). "diag": variances (K, d). "tied": one matrix (d, d) for all components.
            Every matrix has to be a covariance as for `Gaussian`: symmetric up to √ε·max|S|, no eigenvalue below
            −√ε·λ_max.
        covariance_type: which of these.
        noise_floor: c ≥ 0; c·I is added to the covariance of every component, as independent noise would.

    Raises:
        ValueError: wrong shapes, NaN or infinite entries, negative weights or variances, weights with another sum,
            asymmetric or indefinite matrices, an unknown covariance_type, total variances beyond double precision.
        TypeError: complex, object or other non-real dtypes.
    """

    __slots__ = (
        "_components",
        "_cov",
        "_covariance_type",
        "_labels",
        "_mean",
        "_means",
        "_noise_floor",
        "_std",
        "_weights",
    )

    _weights: Float64
    _means: Float64
    _covariance_type: CovarianceType
    _noise_floor: float
    _labels: NDArray[Any] | None
    _components: tuple[Gaussian, ...]
    _mean: Float64
    _std: Float64
    _cov: Float64 | None

    def __init__(
        self,
        weights: ArrayLike,
        means: ArrayLike,
        covs: ArrayLike,
        covariance_type: CovarianceType = "full",
        noise_floor: float = 0.0,
    ) -> None:
        _check_type(covariance_type)
        noise_floor = _checked_noise_floor(noise_floor)
        weights = _normalised_weights(weights)
        means = np.array(_checked_means(means, len(weights)), dtype=np.float64, order="C")
        covariances = _given_covariances(covs, covariance_type, means.shape, noise_floor)
        self._set(weights, means, covariances, covariance_type, noise_floor, None)

    @classmethod
    def from_samples(
        cls,
        X: ArrayLike,
        labels: ArrayLike,
        covariance_type: CovarianceType = "full",
        noise_floor: float = 0.0,
    ) -> Self:
        """One component for each distinct label, with the share, mean and covariance (ddof = 0) of its rows of X.

        X is read twice, in chunks, and summed in float64 about the first row of every class and then about its mean,
        as by `Gaussian.from_samples`. In memory are the K covariances and a chunk. A class of a single row has
        covariance zero.

        Args:
            X: (n, d), of any real dtype; it may be a memory map.
            labels: (n,), integers, strings or booleans. The distinct ones, sorted, are `labels` of the result.
            covariance_type: "full"; "diag", variances alone; or "tied", the mean of the covariances of the classes,
                weighted by their shares.
            noise_floor: c ≥ 0; c·I is added to the covariance of every component.

        Raises:
            ValueError: wrong shapes, NaN or infinite entries, an unknown covariance_type.
            TypeError: dtypes of X that are not real, labels of other types, such as floats.
        """
        _check_type(covariance_type)
        noise_floor = _checked_noise_floor(noise_floor)
        samples = checks.unconverted_array("X", X)
        checks.check_shape("X", samples, (None, None))
        values, first, codes, counts = np.unique(
            _checked_labels(labels, len(samples)), return_index=True, return_inverse=True, return_counts=True
        )
        with np.errstate(over="ignore", invalid="ignore"):
            means, covs = _class_moments(samples, first, codes, covariance_type)
        covariances = _with_noise(covs, covariance_type, noise_floor)
        return cls._from_parts(counts / len(samples), means, covariances, covariance_type, noise_floor, values)

    @classmethod
    def from_sklearn(cls, gm: Any, noise_floor: float = 0.0) -> Self:
        """What a fitted `sklearn.mixture.GaussianMixture` or `BayesianGaussianMixture` of any covariance_type says.

        "spherical" becomes "diag". Scikit-learn itself is not needed: the attributes weights_, means_, covariances_
        and covariance_type are.

        Args:
            gm: the fitted mixture.
            noise_floor: c ≥ 0; c·I is added to every covariance. (What its reg_covar added while fitting is already
                in its covariances.)

        Raises:
            TypeError: something else.
            ValueError: one that is not fitted, and as the constructor.
        """
        weights, means, covs, covariance_type = _fitted_parameters(gm)
        if covariance_type == "spherical":
            covs = np.repeat(np.asarray(covs)[:, None], np.shape(means)[1], axis=1)
            covariance_type = "diag"
        return cls(weights, means, covs, covariance_type, noise_floor)

    @classmethod
    def _from_parts(cls, *parts: Any) -> Self:
        """Of what `_set` takes, unchecked."""
        result = cls.__new__(cls)
        result._set(*parts)
        return result

    def _set(
        self,
        weights: Float64,
        means: Float64,
        covariances: tuple[Diagonal | Full, ...],
        covariance_type: CovarianceType,
        noise_floor: float,
        labels: NDArray[Any] | None,
    ) -> None:
        """All attributes. Covariances, which have the noise in them already, are one per component, or one for all."""
        self._weights, self._means, self._labels = frozen(weights), frozen(means), labels
        if labels is not None:
            labels.flags.writeable = False
        self._covariance_type, self._noise_floor = covariance_type, noise_floor
        shared = covariances * len(means) if covariance_type == "tied" else covariances
        self._components = tuple(Gaussian._from_parts(mean, covariance) for mean, covariance in zip(means, shared))
        with np.errstate(over="ignore", invalid="ignore"):
            self._mean, self._std = self._total_mean_and_std()
        self._cov = None

    @property
    def n_components(self) -> int:
        """The number of components K."""
        return len(self._weights)

    @property
    def dim(self) -> int:
        """The number of coordinates d."""
        return self._means.shape[1]

    @property
    def weights(self) -> Float64:
        """π, shape (K,)."""
        return self._weights

    @property
    def means(self) -> Float64:
        """The means of the components, shape (K, d)."""
        return self._means

    @property
    def components(self) -> tuple[Gaussian, ...]:
        """The K Gaussians, noise floor included. Tied ones have the same `covariance` object."""
        return self._components

    @property
    def covariance_type(self) -> CovarianceType:
        """ "full", "diag" or "tied"."""
        return self._covariance_type

    @property
    def noise_floor(self) -> float:
        """What was added to all variances of all components."""
        return self._noise_floor

    @property
    def labels(self) -> NDArray[Any] | None:
        """The labels of the components, shape (K,), if they were made by `from_samples`."""
        return self._labels

    @property
    def mean(self) -> Float64:
        """The mean of the mixture, m = Σ_k π_k m_k, shape (d,)."""
        return self._mean

    @property
    def std(self) -> Float64:
        """The standard deviation of every coordinate under the mixture, shape (d,)."""
        return self._std

    @property
    def cov(self) -> Float64:
        """The covariance of the mixture, Σ_k π_k (S_k + (m_k − m)(m_k − m)ᵀ), shape (d, d); computed when first used.

        An entry (i, j) is right to some ε √(Σ_ii Σ_jj), whatever offset the means have in common.
        """
        if self._cov is None:
            self._cov = frozen(self._total_cov())
        return self._cov

    def moment_matched(self) -> Gaussian:
        """The Gaussian with the mean and the covariance of the mixture; of one component, that component."""
        if self.n_components == 1:
            return self._components[0]
        return Gaussian._from_parts(self._mean, Full(self.cov))

    def sample(self, n: int, rng: np.random.Generator | int) -> Float64:
        """n independent draws, shape (n, d).

        Args:
            n: how many, an integer ≥ 0.
            rng: a NumPy generator, or an integer seed.
        """
        return self.sample_with_components(n, rng)[0]

    def sample_with_components(self, n: int, rng: np.random.Generator | int) -> tuple[Float64, NDArray[np.intp]]:
        """The draws of `sample`, shape (n, d), and the index of the component that each is from, shape (n,)."""
        n = checks.non_negative_integer("n", n)
        rng = np.random.default_rng(rng)
        indices = rng.choice(self.n_components, size=n, p=self._weights)
        draws = np.empty((n, self.dim))
        for k, rows in _members(indices):
            draws[rows] = self._components[k].sample(len(rows), rng)
        return draws, indices

    def project(self, W: NDArray[Any], b: NDArray[Any] | None = None) -> tuple[Float64, Float64]:
        """Means and standard deviations of the components of W x + b under every N(m_k, S_k).

        As `Gaussian.project` gives them for each: the means W m_k + b and the standard deviations √diag(W S_k Wᵀ), in
        float64 whatever the dtype of W.

        Returns:
            Both of shape (K, rows of W). Standard deviations under a tied covariance are computed once.
        """
        means = np.ascontiguousarray(product_with_vector(W, self._means.T).T)
        stds = np.empty_like(means)
        if self._covariance_type == "tied":
            stds[:] = self._components[0].covariance.standard_deviations(W)
        else:
            for k, component in enumerate(self._components):
                stds[k] = component.covariance.standard_deviations(W)
        return means if b is None else means + b, stds

    def _deviations(self) -> tuple[int, Float64, Float64]:
        """The heaviest component o, m − m_o, and m_k − m, shape (K, d).

        All without m itself, whose rounding is that of the offset. Differences from the heaviest mean, of weight
        ≥ 1/K, are at most √K standard deviations of the mixture larger than those from m: rounding them is harmless.
        """
        heaviest = int(np.argmax(self._weights))
        differences = self._means - self._means[heaviest]
        shift = self._weights @ differences
        return heaviest, shift, differences - shift

    def _total_mean_and_std(self) -> tuple[Float64, Float64]:
        heaviest, shift, deviations = self._deviations()
        variances = np.einsum("ij,ij->j", self._weights[:, None] * deviations, deviations)
        for weight, component in zip(self._shares(), self._components):
            variances += weight * _variances(component)
        # No covariance is larger than the larger variance.
        if not np.isfinite(variances).all():
            j = int(np.argmin(np.isfinite(variances)))
            raise ValueError(
                f"means, covs: expected a mixture with variances in double precision, got an overflow in "
                f"coordinate {j}; rescale the inputs"
            )
        return frozen(self._means[heaviest] + shift), frozen(np.sqrt(variances))

    def _total_cov(self) -> Float64:
        _, _, deviations = self._deviations()
        matrix = (self._weights[:, None] * deviations).T @ deviations
        # So that it is symmetric to the last bit, which a matrix product need not be.
        matrix = 0.5 * matrix + 0.5 * matrix.T
        diagonal = np.einsum("ii->i", matrix)
        for weight, component in zip(self._shares(), self._components):
            match component.covariance:
                case Full(S):
                    matrix += weight * S
                case _:
                    diagonal += weight * _variances(component)
        return matrix

    def _shares(self) -> Float64:
        """The weights with which covariances are summed: that of a tied one is taken once."""
        return np.ones(1) if self._covariance_type == "tied" else self._weights

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a safetensors file, from which `numeric.load` makes the same again; see `numeric.files.save`."""
        from numeric import files  # which needs this module

        files.save(self, path)

    def __getstate__(self) -> dict[str, Any]:
        # Components are views of what is here, and would bring copies of it.
        covs = [_parameters(component) for component in self._components]
        return {
            "weights": self._weights,
            "means": self._means,
            "covs": covs[:1] if self._covariance_type == "tied" else covs,
            "covariance_type": self._covariance_type,
            "noise_floor": self._noise_floor,
            "labels": self._labels,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        form = Diagonal if state["covariance_type"] == "diag" else Full
        covariances = tuple(form(frozen(array)) for array in state.pop("covs"))
        self._set(covariances=covariances, **state)

    def __repr__(self) -> str:
        components = "1 component" if self.n_components == 1 else f"{self.n_components} components"
        many = self.n_components > 1
        covariances = {
            "full": "full covariances" if many else "full covariance",
            "diag": "diagonal covariances" if many else "diagonal covariance",
            "tied": "tied covariance",
        }[self._covariance_type]
        noise = f", noise floor {self._noise_floor:g}" if self._noise_floor else ""
        return f"GaussianMixture({components}, dim={self.dim}, {covariances}{noise})"


# What is given


def _check_type(covariance_type: Any) -> None:
    if not isinstance(covariance_type, str) or covariance_type not in ("full", "diag", "tied"):
        hint = "; for spherical ones pass variances of shape (K, d) as 'diag'" if covariance_type == "spherical" else ""
        raise ValueError(f"covariance_type: expected 'full', 'diag' or 'tied', got {covariance_type!r}{hint}")


def _checked_noise_floor(value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"noise_floor: expected a real number ≥ 0, got {value!r} of type {type(value).__name__}")
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"noise_floor: expected a finite number ≥ 0, got {value}")
    return float(value)


def _normalised_weights(weights: ArrayLike) -> Float64:
    array = checks.real_array("weights", weights, (None,))
    worst = int(np.argmin(array))
    if array[worst] < 0:
        raise ValueError(f"weights: expected none below 0, got {array[worst]} at index {worst}")
    with np.errstate(over="ignore"):
        total = float(array.sum(dtype=np.float64))
    if abs(total - 1) > max(_WEIGHT_TOLERANCE, 8 * float(np.finfo(array.dtype).eps)):
        remedy = "pass weights / weights.sum() if they are in proportion" if total > 0 else "one has to be above 0"
        raise ValueError(f"weights: expected a sum of 1, got {total:.17g}; {remedy}")
    return array.astype(np.float64) / total


def _checked_means(means: ArrayLike, n_components: int) -> NDArray[Any]:
    array = checks.floating_array("means", means)
    if array.ndim != 2 or len(array) != n_components:
        raise ValueError(f"means: expected shape ({n_components}, d), a row for each of the weights, got {array.shape}")
    return checks.real_array("means", array, (None, None))


def _given_covariances(
    covs: ArrayLike, covariance_type: CovarianceType, shape: tuple[int, ...], noise_floor: float
) -> tuple[Diagonal | Full, ...]:
    """Checked copies with noise, one per component or, of a tied one, a single one."""
    array = checks.floating_array("covs", covs)
    _check_covs_shape(array.shape, covariance_type, *shape)
    # What is the matter with one component is said of that one, and temporaries are of the size of one.
    named = [("covs", array)] if covariance_type == "tied" else [(f"covs[{k}]", S) for k, S in enumerate(array)]
    for name, S in named:
        checks.check_finite(name, S)
    if covariance_type == "diag":
        for name, S in named:
            check_variances(name, S)
        checked = np.array(array, dtype=np.float64, order="C")
    else:
        checked = [symmetric_semidefinite(name, S) for name, S in named]
    return _with_noise(checked, covariance_type, noise_floor)


def _check_covs_shape(found: tuple[int, ...], covariance_type: CovarianceType, n_components: int, dim: int) -> None:
    shapes = {"full": (n_components, dim, dim), "diag": (n_components, dim), "tied": (dim, dim)}
    if found == shapes[covariance_type]:
        return
    others = [f"covariance_type={name!r}" for name, shape in shapes.items() if shape == found]
    hint = f"; pass {' or '.join(others)} if that is what they are" if others else ""
    raise ValueError(
        f"covs: expected shape {shapes[covariance_type]} for {n_components} components in {dim} dimensions with "
        f"covariance_type={covariance_type!r}, got {found}{hint}"
    )


def _with_noise(
    covs: list[Float64] | Float64, covariance_type: CovarianceType, noise_floor: float
) -> tuple[Diagonal | Full, ...]:
    """The covariances, to whose variances `noise_floor` is added in place, frozen."""
    if covariance_type == "diag":
        variances = np.asarray(covs)
        variances += noise_floor
        return tuple(Diagonal(row) for row in frozen(variances))
    for matrix in covs:
        np.einsum("ii->i", matrix)[:] += noise_floor
    return tuple(Full(frozen(matrix)) for matrix in covs)


def _fitted_parameters(gm: Any) -> tuple[Any, Any, Any, Any]:
    names = ("weights_", "means_", "covariances_", "covariance_type")
    if not isinstance(gm, type) and all(hasattr(gm, name) for name in names):
        return gm.weights_, gm.means_, gm.covariances_, gm.covariance_type
    kind = type(gm).__name__
    if not isinstance(gm, type) and hasattr(gm, "covariance_type") and hasattr(gm, "fit"):
        raise ValueError(f"gm: expected a fitted mixture, got {kind} without weights_; call its fit(X) first")
    found = f"the class {gm.__name__}" if isinstance(gm, type) else kind
    raise TypeError(
        f"gm: expected a fitted sklearn.mixture.GaussianMixture or BayesianGaussianMixture, got {found}; of other "
        f"mixtures pass weights, means and covs to GaussianMixture"
    )


# What components have


def _parameters(component: Gaussian) -> Float64:
    match component.covariance:
        case Diagonal(variances):
            return variances
        case covariance:
            return covariance.dense()


def _variances(component: Gaussian) -> Float64:
    """diag S_k. Where rounding has left S_k a negative one it is 0."""
    match component.covariance:
        case Diagonal(variances):
            return variances
        case covariance:
            return np.maximum(np.diagonal(covariance.dense()), 0.0)


def _members(codes: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """For every number among the codes, where it is, in order."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    ends = np.cumsum(counts)
    for k in np.flatnonzero(counts):
        yield int(k), order[ends[k] - counts[k] : ends[k]]


# Moments of labelled samples


def _checked_labels(labels: ArrayLike, n: int) -> NDArray[Any]:
    if isinstance(labels, np.ma.MaskedArray):
        raise TypeError("labels: expected an array without a mask; leave out what is masked, in X too")
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise ValueError(f"labels: expected one for each row of X; {error}") from None
    if array.dtype.kind in "OT" and all(isinstance(label, str) for label in array.flat):
        array = array.astype(np.str_)
    if array.dtype.kind not in "biuUS":
        remedy = "; round them, as with .astype(int), if they are numbers of classes" if array.dtype.kind == "f" else ""
        raise TypeError(f"labels: expected integers, strings or booleans, got dtype {array.dtype}{remedy}")
    if array.shape != (n,):
        raise ValueError(f"labels: expected shape ({n},), one for each row of X, got {array.shape}")
    return array


def _class_moments(
    samples: NDArray[Any], first: NDArray[np.intp], codes: NDArray[np.intp], covariance_type: CovarianceType
) -> tuple[Float64, list[Float64] | Float64]:
    """Means (K, d) and ddof = 0 covariances of the classes, in two passes over chunks.

    Args:
        samples: (n, d).
        first: (K,), a row of each class.
        codes: (n,), the class of each row.
        covariance_type: for which of them the covariances are: a list of K, an array (K, d), or a list of one.
    """
    n, d = samples.shape
    grams = _zeros(len(first), d, covariance_type)
    tied = covariance_type == "tied"
    sums = [MomentSums(samples[row].astype(np.float64), grams[0 if tied else k]) for k, row in enumerate(first)]
    blocks = list(row_blocks(n, d))
    for rows in blocks:
        chunk = finite_rows(samples, rows)
        for k, members in _members(codes[rows]):
            sums[k].add(chunk[members])
    for rows in blocks:
        chunk = samples[rows].astype(np.float64)
        for k, members in _members(codes[rows]):
            sums[k].add_about_mean(chunk[members])
    if tied:
        grams[0] /= n
    for k, of_class in enumerate(sums):
        if not tied:
            grams[k] /= of_class.count
        of_class.subtract_drift(of_class.count / n if tied else 1.0)
    for gram in grams:
        check_no_overflow(gram)
    return np.stack([of_class.mean for of_class in sums]), grams


def _zeros(n_components: int, dim: int, covariance_type: CovarianceType) -> list[Float64] | Float64:
    match covariance_type:
        case "full":
            return [np.zeros((dim, dim)) for _ in range(n_components)]
        case "diag":
            return np.zeros((n_components, dim))
        case "tied":
            return [np.zeros((dim, dim))]
