"""Attacks on a network that are read off its weights: inputs without the directions that a polynomial looks along.

Belrose & Rigg (arXiv 2502.01032, section 4.4) approximate a network by a polynomial, which takes no data, and remove
from every test image its components along the leading right singular vectors of the linear part. The network's
accuracy collapses, although no example was ever put through it:

>>> attack = svd_attack(p, 10)
>>> attack
Projection(removes 10 of 784 directions)
>>> accuracy(layer, attack(X_test), labels)
>>> attack_curve([layer, p], attack, X_test, labels)     # after removing 0, 1, …, 10 of them: shape (2, 11)

What is removed is the component of x itself, as in the paper. With `center=p.center` it is that of x − m: it takes on
its mean instead of zero, which tells what was lost of the variation between inputs from what a shift of all of them
does. For comparison with chance, remove random directions: `Projection(rng.standard_normal((10, 784)))`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks
from numeric.blocks import row_blocks
from numeric.compare import Data, Function, checked_labels, correct, evaluated
from numeric.spectral import Polynomial, linear_part, spectrum, svd

Float64 = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Projection:
    """x ↦ x − Σ_i v_i v_iᵀ (x − c): x without its components along some directions, orthonormal v_1, v_2, ….

    Args:
        directions: (k, d), or (d,) for a single one, of any lengths. They are made orthonormal in their order, so that
            the first j of `.directions` span what the first j of these do. A direction that is zero, or up to
            rounding (of its dtype) a combination of those before it, is left out.
        center: c, (d,); None for the origin.

    Attributes:
        directions: (k, d), orthonormal rows.
        center: (d,) or None.

    Raises:
        ValueError: wrong shapes, NaN or infinite entries.
        TypeError: complex, object or other non-real dtypes.
    """

    directions: Float64
    center: Float64 | None

    def __init__(self, directions: ArrayLike, center: ArrayLike | None = None) -> None:
        given = checks.floating_array("directions", directions)
        if given.ndim not in (1, 2) or given.shape[-1] == 0:
            raise ValueError(f"directions: expected shape (k, d), or (d,) for a single one, got {given.shape}")
        checks.check_finite("directions", given)
        basis = _orthonormal(np.atleast_2d(given))
        object.__setattr__(self, "directions", _frozen(basis))
        if center is not None:
            center = _frozen(np.array(checks.real_array("center", center, given.shape[-1:]), dtype=np.float64))
        object.__setattr__(self, "center", center)

    @property
    def dim(self) -> int:
        """The number of coordinates d."""
        return self.directions.shape[1]

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """x of shape (…, d) without the directions: a new array of the same shape and floating dtype.

        Computed in float64, in chunks; integers become float64, and x may be a memory map.

        Raises:
            ValueError: a wrong shape, NaN or infinite entries.
            TypeError: complex, object or other non-real dtypes.
        """
        points = checks.unconverted_array("x", x)
        if points.ndim == 0 or points.shape[-1] != self.dim:
            raise ValueError(f"x: expected shape (…, {self.dim}), got {points.shape}")
        narrow = points.dtype.kind == "f" and points.dtype.itemsize <= 8
        out = np.empty(points.shape, points.dtype if narrow else np.float64)
        rows, results = points.reshape(-1, self.dim), out.reshape(-1, self.dim)
        for some in row_blocks(*rows.shape):
            chunk = rows[some].astype(np.float64)
            checks.check_finite(f"x[{some.start}:{some.stop}]", chunk)
            results[some] = chunk - self.components(chunk) @ self.directions
        return out

    def components(self, x: Float64) -> Float64:
        """v_iᵀ (x − c) for points x of shape (m, d): shape (m, k)."""
        return (x if self.center is None else x - self.center) @ self.directions.T

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: None if value is None else _frozen(value) for name, value in state.items()})

    def __repr__(self) -> str:
        about = "" if self.center is None else ", about a center"
        return f"Projection(removes {len(self.directions)} of {self.dim} directions{about})"


def project_out(x: ArrayLike, directions: ArrayLike, center: ArrayLike | None = None) -> NDArray[Any]:
    """x without its components along the span of some directions: `Projection(directions, center)(x)`.

    >>> project_out([[1.0, 2.0, 3.0]], [0.0, 0.0, 2.0])
    array([[1., 2., 0.]])

    Args:
        x: (…, d).
        directions: (k, d), or (d,) for a single one; they need not be orthonormal, nor independent.
        center: (d,), of which the components are kept; None for the origin.

    Raises:
        ValueError: wrong shapes, NaN or infinite entries.
        TypeError: complex, object or other non-real dtypes.
    """
    return Projection(directions, center)(x)


def svd_attack(p: Polynomial, count: int, whitened: bool = False, center: ArrayLike | None = None) -> Projection:
    """Removes what the linear part of p looks at most.

    The linear part is E ∇f, that of degree 1 in the Hermite sense, whatever the degree of p. Its singular value
    decomposition is Σ_i s_i o_i v_iᵀ, and the directions removed are v_1, v_2, …. Whitened, it is that of
    E ∇f (x − m) = Σ_i s_i o_i ζ_i with uncorrelated ζ_i of variance 1: s_i² is the variance that the outputs owe to
    ζ_i. The directions are those along which ζ_1, ζ_2, … are measured, ∇ζ_i = (E ∇f)ᵀ o_i/s_i, and without them these
    do not vary.

    Args:
        p: what `numeric.approximate` returned, of degree ≥ 1.
        count: how many directions, at most the rank of the linear part; 0 leaves x as it is.
        whitened: whether components count by the variance they have under the inputs of p.
        center: (d,), see `Projection`; `p.center` removes what differs from the mean input.

    Raises:
        ValueError: a polynomial of degree 0, a count above the rank.
        TypeError: something else than a polynomial, a count that is no integer.

    Source: Belrose & Rigg, arXiv 2502.01032, section 4.4, for whitened=False and center=None.
    """
    count = checks.non_negative_integer("count", count)
    linear = linear_part(p)
    if count == 0:
        return Projection(np.zeros((0, p.d_in)), center)
    parts = svd(p, whitened=whitened)
    _check_rank(parts.values, count, max(linear.shape), "linear")
    directions = parts.outputs[:count] @ linear if whitened else parts.vectors[:count]
    return Projection(directions, center)


def eigenvector_attack(
    p: Polynomial,
    output: int | ArrayLike,
    count: int,
    whitened: bool = False,
    center: ArrayLike | None = None,
) -> Projection:
    """Removes what the quadratic part of one output of p looks at most.

    The quadratic part is (x − m)ᵀ A (x − m), A = ½ E ∇²f, that of degree 2 in the Hermite sense, whatever the degree of
    p. The directions removed are the eigenvectors of A with the largest |λ|. Whitened, it is Σ_i λ_i ζ_i² with
    uncorrelated ζ_i of variance 1: 2 λ_i² is the variance that the output owes to ζ_i. The directions are those along
    which ζ_1, ζ_2, … are measured, ∇ζ_i, and without them these do not vary.

    Args:
        p: what `numeric.approximate` returned, of degree ≥ 2.
        output: the number of an output, or a direction (d_out,) in output space.
        count: how many directions, at most the rank of the quadratic part; 0 leaves x as it is.
        whitened: whether components count by the variance they have under the inputs of p.
        center: (d,), see `Projection`; `p.center` removes what differs from the mean input.

    Raises:
        ValueError: a polynomial of degree 0 or 1, an output that there is not, a count above the rank.
        TypeError: something else than a polynomial, a count that is no integer.
    """
    count = checks.non_negative_integer("count", count)
    found = spectrum(p, output, max(count, 1), whitened=whitened)
    if count == 0:
        return Projection(np.zeros((0, p.d_in)), center)
    _check_rank(found.values, count, p.d_in, "quadratic")
    # A v is λ times the gradient of ζ, and without whitening λ v
    directions = np.stack([found._quadratic(v) for v in found.vectors]) if whitened else found.vectors
    return Projection(directions, center)


def attack_curve(
    functions: Function | Sequence[Function], attack: Projection, x: ArrayLike, labels: ArrayLike
) -> Float64:
    """The accuracy of functions after removing the first 0, 1, …, k directions of an attack, in one pass over x.

    >>> of_layer, of_p = attack_curve([layer, p], svd_attack(p, 10), X_test, labels)

    Args:
        functions: (…, d) → (…, d_out); several, or one.
        attack: `svd_attack`, `eigenvector_attack` or any `Projection`, with k directions.
        x: (…, d).
        labels: (…,), integers 0 … d_out − 1.

    Returns:
        Fractions, (number of functions, k + 1), or (k + 1,) for one that is not in a list. Of several outputs that are
        largest the first counts, as in `accuracy`.

    Raises:
        ValueError: shapes that do not fit together, no points, NaN or infinite points or values, labels out of range.
        TypeError: an attack that is no `Projection`, labels that are not integers, non-real dtypes.
    """
    if not isinstance(attack, Projection):
        raise TypeError(
            f"attack: expected a Projection, such as svd_attack returns, got {type(attack).__name__}; "
            "Projection(directions) makes one of an array"
        )
    single = callable(functions)
    named = _named([functions] if single else functions)
    if np.ndim(x) == 0 or np.shape(x)[-1] != attack.dim:
        raise ValueError(f"x: expected shape (…, {attack.dim}) to match the attack, got {np.shape(x)}")
    data = Data(x, **named)
    classes = checked_labels(labels, data.shape, data.d_out)
    right = np.zeros((len(named), len(attack.directions) + 1), np.intp)
    for rows in data.chunks:
        for k, points in enumerate(_attacked(attack, data.points(rows))):
            for i, (name, function) in enumerate(named.items()):
                right[i, k] += correct(evaluated(name, function, points, data.d_out), classes[rows])
    fractions = right / data.n
    return fractions[0] if single else fractions


def _attacked(attack: Projection, points: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The points without the first 0, 1, …, k directions, in their dtype."""
    left = points.astype(np.float64)
    yield points
    for component, direction in zip(attack.components(left).T, attack.directions):
        left -= np.outer(component, direction)
        yield left.astype(points.dtype)


def _named(functions: Any) -> dict[str, Function]:
    if not isinstance(functions, Sequence) or not functions or not all(callable(function) for function in functions):
        raise TypeError(f"functions: expected a function (…, d) → (…, d_out), or a list of them, got {functions!r}")
    return {f"functions[{i}]": function for i, function in enumerate(functions)}


def _check_rank(values: Float64, count: int, size: int, part: str) -> None:
    """Refuse directions that stand for nothing but rounding: singular values or eigenvalues by decreasing size."""
    sizes = np.abs(values)
    rank = int(np.count_nonzero(sizes > size * _EPSILON * sizes[0]))
    if rank < count:
        raise ValueError(f"count: expected at most {rank}, the rank of the {part} part of p, got {count}")


def _orthonormal(directions: NDArray[Any]) -> Float64:
    """An orthonormal basis of nested spans, (rank, d): Gram-Schmidt, each row twice, which is enough.

    A row is left out if what remains of it is no longer than its rounding error: that of its own entries, and those of
    the basis vectors taken off it, which are large where little remained of the row that they came from.
    """
    k, d = directions.shape
    rounding = 4.0 * float(np.finfo(directions.dtype).eps) + 8.0 * np.sqrt(d) * _EPSILON
    basis, errors, rank = np.empty((min(k, d), d)), np.empty(min(k, d)), 0
    for row in directions.astype(np.float64):
        size = np.abs(row).max()
        if size == 0 or rank == d:
            continue
        row = row / size
        row /= np.linalg.norm(row)
        components = basis[:rank] @ row
        row = row - components @ basis[:rank]
        row = row - (basis[:rank] @ row) @ basis[:rank]
        length = np.linalg.norm(row)
        error = np.hypot(rounding, np.linalg.norm(components * errors[:rank]))
        if length > error:
            basis[rank], errors[rank] = row / length, error / length
            rank += 1
    return basis[:rank].copy()


def _frozen(array: Float64) -> Float64:
    array.flags.writeable = False
    return array
