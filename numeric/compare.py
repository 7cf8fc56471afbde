"""How well one function stands in for another on data: the sampled counterpart of what `numeric.variance` computes.

>>> comparison(layer, p, X_test)
Comparison(n=10000, total_fvu=0.013147, kl=0.0213 ± 0.0009, agreement=98.4%)
>>> accuracy(p, X_test, labels)
0.976

Everything works on two functions (…, d) → (…, d_out) and points x, or on arrays of values (…, d_out) that have been
computed already, or on one of each. Data are taken in chunks: x and arrays of values may be memory maps of any
length, and all sums are in float64. Integer points reach the functions as float64, float32 stays what it is.

The class of a point is its largest output; of several that are equally large it is the first, as in `numpy.argmax`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks
from numeric.blocks import row_blocks

Float64 = NDArray[np.float64]
Function = Callable[[NDArray[Any]], Any]
Values = Function | ArrayLike

# Chunks: 16 MiB of points at most, and few enough that wide hidden layers of functions fit as well.
_ELEMENTS = 2**21
_MOST_POINTS = 2**13
# Below this exp(t) is a double, and so are sums of them.
_EXPONENT = 500.0


class Estimate(NamedTuple):
    """A mean over data, and its standard error.

    Attributes:
        mean: the mean.
        standard_error: the standard deviation of the terms (ddof = 1) over √n; NaN for a single point.
    """

    mean: float
    standard_error: float


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `comparison` finds.

    Attributes:
        n: the number of points.
        fvu: (d_out,), the fraction of variance unexplained, Σ(f_o − p_o)²/Σ(f_o − mean f_o)².
        total_fvu: the same for all outputs together, the ratio of the sums.
        kl: the mean of KL(softmax f ‖ softmax p), in nats.
        kl_standard_error: its standard error; NaN for a single point.
        agreement: the fraction of points where f and p choose the same class.
    """

    n: int
    fvu: Float64
    total_fvu: float
    kl: float
    kl_standard_error: float
    agreement: float

    @property
    def r_squared(self) -> Float64:
        """1 − fvu, shape (d_out,)."""
        return 1.0 - self.fvu

    @property
    def total_r_squared(self) -> float:
        """1 − total_fvu."""
        return 1.0 - self.total_fvu

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.fvu.flags.writeable = False

    def __repr__(self) -> str:
        kl = f"{self.kl:.3g} ± {self.kl_standard_error:.1g}"
        return f"Comparison(n={self.n}, total_fvu={self.total_fvu:.5g}, kl={kl}, agreement={self.agreement:.1%})"


def comparison(true: Values, approximation: Values, x: ArrayLike | None = None) -> Comparison:
    """Every measure of this module at once; the functions are evaluated once.

    >>> comparison(layer, p, X_test)
    >>> comparison(logits, p, X_test)                       # values of f that have been computed already
    >>> comparison(logits, logits_of_p)

    Args:
        true: f, a function (…, d) → (…, d_out), or its values (…, d_out).
        approximation: p, likewise.
        x: the points, (…, d); not needed if values are given for both.

    Raises:
        ValueError: shapes that do not fit together, no points, NaN or infinite points or values.
        TypeError: complex, object or other non-real dtypes; a function and no points.
        OverflowError: values whose squares, or whose differences, are beyond double precision.
    """
    data = Data(x, true=true, approximation=approximation)
    variance, divergence, equal = _Unexplained(), _Moments(), 0
    for f, p in data:
        variance.add(f, p)
        divergence.add(_divergences(f, p))
        equal += _agreements(f, p)
    kl = _estimate(divergence)
    by_output, total = variance.fractions()
    by_output.flags.writeable = False
    return Comparison(data.n, by_output, total, kl.mean, kl.standard_error, equal / data.n)


def fvu(true: Values, approximation: Values, x: ArrayLike | None = None) -> Float64:
    """The fraction of variance unexplained of each output, shape (d_out,).

    Σ(f_o − p_o)²/Σ(f_o − mean f_o)² over the points: the residual is not centred, the variance of f is (ddof = 0).
    0/0 counts as 0, an output that does not vary and is met exactly; one that does not vary and is missed has ∞.
    Under inputs drawn from the Gaussian of p it is an estimate of `p.fvu`. Arguments and errors as in `comparison`.
    """
    return _unexplained(true, approximation, x).fractions()[0]


def total_fvu(true: Values, approximation: Values, x: ArrayLike | None = None) -> float:
    """The fraction of variance unexplained of all outputs together: Σ‖f − p‖²/Σ‖f − mean f‖².

    An estimate of `p.total_fvu`. Arguments and errors as in `comparison`, 0/0 as in `fvu`.
    """
    return _unexplained(true, approximation, x).fractions()[1]


def r_squared(true: Values, approximation: Values, x: ArrayLike | None = None) -> Float64:
    """The coefficient of determination R² = 1 − fvu of each output, shape (d_out,); arguments as in `comparison`."""
    return 1.0 - fvu(true, approximation, x)


def kl_divergence(true: Values, approximation: Values, x: ArrayLike | None = None) -> Estimate:
    """The mean of KL(P ‖ Q) = Σ_o P_o log(P_o/Q_o), in nats, P = softmax f and Q = softmax p, and its standard error.

    Never negative, and accurate for small divergences and for huge logits alike: with t = p − f − E_P(p − f) it is
    log E_P e^t = log(1 + E_P[e^t − 1 − t]), a sum of terms ≥ 0. Arguments and errors as in `comparison`.
    """
    divergence = _Moments()
    for f, p in Data(x, true=true, approximation=approximation):
        divergence.add(_divergences(f, p))
    return _estimate(divergence)


def agreement(true: Values, approximation: Values, x: ArrayLike | None = None) -> float:
    """The fraction of points where f and p have their largest output at the same place.

    Of several largest outputs the first counts, in f and in p. Arguments and errors as in `comparison`.
    """
    data = Data(x, true=true, approximation=approximation)
    return sum(_agreements(f, p) for f, p in data) / data.n


def accuracy(function: Values, x: ArrayLike | None, labels: ArrayLike) -> float:
    """The fraction of points whose largest output (the first, if there are several) is the one of their label.

    Args:
        function: (…, d) → (…, d_out), or its values (…, d_out).
        x: the points, (…, d); None if values are given.
        labels: (…,), integers 0 … d_out − 1.

    Raises:
        ValueError: shapes that do not fit together, no points, NaN or infinite points or values, labels out of range.
        TypeError: labels that are not integers, non-real dtypes, a function and no points.
    """
    data = Data(x, function=function)
    classes = checked_labels(labels, data.shape, data.d_out)
    right = sum(correct(values, classes[rows]) for rows, (values,) in zip(data.chunks, data))
    return right / data.n


def correct(values: Float64, labels: NDArray[Any]) -> int:
    """How many of the points with these outputs, (m, d_out), are given their label."""
    return int(np.count_nonzero(values.argmax(axis=1) == labels))


class Data:
    """Points, and functions or arrays of their values, checked, to be read chunk by chunk.

    Iterating gives one list per chunk: the values (m, d_out) of every source, finite and in float64. All that can be
    known without evaluating the functions is checked first, and they are tried out on the first point.

    Attributes:
        shape: of the data, without the last axis.
        d_out: the number of outputs.
        chunks: slices of the points, in the order of `x.reshape(-1, d)`.
    """

    def __init__(self, x: ArrayLike | None, **sources: Values) -> None:
        given = sources if x is None else {"x": x, **sources}
        arrays = {name: _array(name, value) for name, value in given.items() if not callable(value)}
        self._functions = {name: value for name, value in sources.items() if callable(value)}
        if x is None and self._functions:
            name = next(iter(self._functions))
            raise TypeError(f"x: expected points (…, d), because {name} is a function; got None")
        self.shape = _common_shape(arrays)
        self._arrays = {name: array.reshape(-1, array.shape[-1]) for name, array in arrays.items()}
        self._names = list(sources)
        self.n = len(next(iter(self._arrays.values())))
        width = max(array.shape[1] for array in self._arrays.values())
        self.chunks = list(row_blocks(self.n, max(width, _ELEMENTS // _MOST_POINTS), _ELEMENTS))
        for name, array in self._arrays.items():
            for rows in self.chunks:
                checks.check_finite(f"{name}[{rows.start}:{rows.stop}]", array[rows])
        self.d_out = 0  # any, until the functions have been tried
        self.d_out = self._outputs()

    def _outputs(self) -> int:
        found = {name: self._values(name, slice(0, 1)).shape[1] for name in self._names}
        (first, d_out), *others = found.items()
        for name, other in others:
            if other != d_out:
                raise ValueError(f"{name}: expected {d_out} outputs, as many as {first} has, got {other}")
        return d_out

    def _values(self, name: str, rows: slice) -> Float64:
        if name in self._functions:
            return evaluated(name, self._functions[name], self.points(rows), self.d_out)
        return self._arrays[name][rows].astype(np.float64)

    def points(self, rows: slice) -> NDArray[Any]:
        """Some of the points, (m, d), as a floating array."""
        return checks.floating_array("x", self._arrays["x"][rows])

    def __iter__(self) -> Iterator[list[Float64]]:
        for rows in self.chunks:
            yield [self._values(name, rows) for name in self._names]


def evaluated(name: str, function: Function, points: NDArray[Any], d_out: int = 0) -> Float64:
    """The values of a function at points (m, d): (m, d_out), finite, in float64; d_out = 0 stands for any."""
    values = checks.unconverted_array(f"{name}(x)", function(points))
    matches = values.ndim == 2 and len(values) == len(points) and values.shape[1] > 0
    if not matches or d_out not in (0, values.shape[1]):
        expected = f"({len(points)}, {d_out or 'any'})"
        hint = "; return values[..., None] for a single output" if values.ndim == 1 else ""
        raise ValueError(
            f"{name}(x): expected shape {expected} for x of shape {points.shape}, got {values.shape}{hint}"
        )
    values = values.astype(np.float64)
    checks.check_finite(f"{name}(x)", values)
    return values


def checked_labels(labels: ArrayLike, shape: tuple[int, ...], d_out: int) -> NDArray[Any]:
    """Labels of this shape, flattened: integers 0 … d_out − 1."""
    array = checks.unconverted_array("labels", labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels: expected integers, got dtype {array.dtype}; convert with .astype(int) if they are")
    if array.shape != shape:
        one_hot = array.shape == (*shape, d_out)
        hint = "; one-hot labels become integers by .argmax(axis=-1)" if one_hot else ""
        raise ValueError(f"labels: expected shape {shape}, one for each point, got {array.shape}{hint}")
    flat = array.reshape(-1)
    outside = (flat < 0) | (flat >= d_out)
    if outside.any():
        i = int(outside.argmax())
        raise ValueError(f"labels: expected 0 … {d_out - 1}, one for each output, got {flat[i]} at index {i}")
    return flat


def _array(name: str, value: Any) -> NDArray[Any]:
    """An array (…, any) that is not empty."""
    array = checks.unconverted_array(name, value)
    if array.ndim == 0:
        raise ValueError(f"{name}: expected shape (…, any), got ()")
    if array.size == 0:
        raise ValueError(f"{name}: expected at least one point and one entry for each, got shape {array.shape}")
    return array


def _common_shape(arrays: dict[str, NDArray[Any]]) -> tuple[int, ...]:
    """The leading shape that x and all arrays of values have."""
    (first, array), *others = arrays.items()
    shape = array.shape[:-1]
    for name, other in others:
        if other.shape[:-1] != shape:
            raise ValueError(
                f"{name}: expected shape {_open(shape)} to match {first}, got {other.shape}: "
                "outputs along the last axis, and one such row for each point"
            )
    return shape


def _open(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{', ' if shape else ''}any)"


class _Moments:
    """Mean and sum of squared deviations of rows that come in chunks, merged as Chan, Golub & LeVeque (1983) do.

    Rows are taken about the first one: what does not vary has deviations of exactly zero.
    """

    def __init__(self) -> None:
        self.n = 0
        self._origin: Any = 0.0
        self._mean: Any = 0.0
        self.squares: Any = 0.0

    def add(self, values: Float64) -> None:
        """(m, …), m ≥ 1."""
        if self.n == 0:
            self._origin = values[0].copy()
        m = len(values)
        values = values - self._origin
        mean = values.mean(axis=0)
        apart = mean - self._mean
        self.squares = self.squares + ((values - mean) ** 2).sum(axis=0) + apart**2 * (self.n / (self.n + m) * m)
        self._mean = self._mean + apart * (m / (self.n + m))
        self.n += m

    @property
    def mean(self) -> Any:
        return self._origin + self._mean


class _Unexplained:
    """Σ(f − p)² and Σ(f − mean f)² of every output."""

    def __init__(self) -> None:
        self.true = _Moments()
        self.residual: Any = 0.0

    def add(self, f: Float64, p: Float64) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            self.true.add(f)
            self.residual = self.residual + ((f - p) ** 2).sum(axis=0)

    def fractions(self) -> tuple[Float64, float]:
        """By output, and the total."""
        with np.errstate(over="ignore"):
            sums = np.append(self.residual, self.residual.sum()), np.append(self.true.squares, self.true.squares.sum())
        if not np.isfinite(sums).all():
            raise OverflowError("true, approximation: squares of values are beyond double precision; rescale both")
        residual, variance = sums
        fractions = np.where(residual > 0, np.inf, 0.0)
        np.divide(residual, variance, out=fractions, where=variance > 0)
        return fractions[:-1].copy(), float(fractions[-1])


def _unexplained(true: Values, approximation: Values, x: ArrayLike | None) -> _Unexplained:
    sums = _Unexplained()
    for f, p in Data(x, true=true, approximation=approximation):
        sums.add(f, p)
    return sums


def _agreements(f: Float64, p: Float64) -> int:
    return int(np.count_nonzero(f.argmax(axis=1) == p.argmax(axis=1)))


def _estimate(terms: _Moments) -> Estimate:
    mean, n = float(terms.mean), terms.n
    error = float(np.sqrt(terms.squares / (n - 1) / n)) if n > 1 else float("nan")
    return Estimate(mean, error)


def _divergences(f: Float64, p: Float64) -> Float64:
    """KL(softmax f ‖ softmax p) of every row: log E_P e^t, t = p − f − E_P(p − f), E_P t = 0."""
    top = f.argmax(axis=1)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        shifted = f - np.take_along_axis(f, top, axis=1)
        t = p - f
        t -= np.take_along_axis(t, top, axis=1)
        weights = np.exp(shifted)
        sums = weights.sum(axis=1, keepdims=True)
        weights /= sums
        t -= (weights * t).sum(axis=1, keepdims=True)
    if not np.isfinite(t).all():
        raise OverflowError("true, approximation: differences of logits are beyond double precision; rescale both")
    result = np.log1p((weights * _beyond_linear(np.minimum(t, _EXPONENT))).sum(axis=1))
    large = np.flatnonzero(t.max(axis=1) > _EXPONENT)
    if len(large):
        logarithms = shifted[large] - np.log(sums[large]) + t[large]
        result[large] = np.maximum(np.logaddexp.reduce(logarithms, axis=1), 0.0)
    return result


def _beyond_linear(t: Float64) -> Float64:
    """e^t − 1 − t ≥ 0, without cancellation near 0."""
    s = np.clip(t, -1e-3, 1e-3)
    series = 0.5 * s**2 * (1.0 + s / 3.0 * (1.0 + s / 4.0 * (1.0 + s / 5.0)))
    return np.where(s == t, series, np.expm1(t) - t)
