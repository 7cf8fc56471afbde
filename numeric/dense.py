"""Polynomials given by all their coefficients, and the memory those take."""

import os
from collections.abc import Iterable
from math import comb
from pathlib import Path
from typing import Any, Self

import numpy as np
from array_api_compat import device
from numpy.typing import ArrayLike, NDArray

from numeric import checks
from numeric.blocks import row_blocks
from numeric.device.arrays import (
    check_together,
    double,
    empty,
    free_bytes,
    host,
    moved,
    namespace,
    on_device,
    points,
    real_array,
    where,
)
from numeric.mixture.arrays import on

Float64 = NDArray[np.float64]


class CoefficientsTooLarge(MemoryError):
    """Dense coefficients were asked for that do not fit into memory; `bytes` says what they take."""

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message, size)
        self.bytes = size

    def __str__(self) -> str:
        return self.args[0]


class DensePolynomial:
    """p(x) = Σ_k C_k[(x − center)^{⊗k}], with all coefficients in memory.

    >>> p = DensePolynomial([1.0], ([0.0], [[2.0]], [[[3.0]]]))     # 2 (x − 1) + 3 (x − 1)²
    >>> p
    DensePolynomial(degree=2, 1 → 1)
    >>> p([2.0])
    array([5.])
    >>> p.about([0.0]).linear
    array([[-4.]])

    Coefficients on a device stay there, and so do values and the coefficients about other points.

    Args:
        center: (d,), the point the coefficients are about; it is kept in NumPy.
        coefficients: C_0, …, C_n: C_k has shape (d_out, d, …, d) with k trailing axes, and is made
            symmetric in them, which does not change the polynomial.

    Raises:
        ValueError: shapes that do not fit together, NaN or infinite entries, no coefficients at all, coefficients of
            which some are on a device and not all on the same.
        TypeError: complex, object or other non-real dtypes.
    """

    __slots__ = ("_center", "_coefficients")

    def __init__(self, center: ArrayLike, coefficients: Iterable[ArrayLike]) -> None:
        center = checks.real_array("center", center, (None,))
        given = list(coefficients)
        if not given:
            raise ValueError("coefficients: expected at least the constant C_0, got none")
        check_together(**{f"coefficients[{k}]": value for k, value in enumerate(given)})
        constant = real_array("coefficients[0]", given[0], (None,))
        tensors = []
        for k, value in enumerate(given):
            shape = (constant.shape[0], *(len(center),) * k)
            tensor = real_array(f"coefficients[{k}]", value, shape)
            tensors.append(_read_only(symmetrise(_copied(tensor))))
        self._center = _read_only(np.array(center, dtype=np.float64))
        self._coefficients = tuple(tensors)

    @classmethod
    def _from_symmetric(cls, center: Float64, coefficients: Iterable[Float64]) -> Self:
        result = cls.__new__(cls)
        result._center = _read_only(np.array(center, dtype=np.float64))
        result._coefficients = tuple(_read_only(tensor) for tensor in coefficients)
        return result

    @property
    def center(self) -> Float64:
        """The point the coefficients are about, shape (d,)."""
        return self._center

    @property
    def coefficients(self) -> tuple[Float64, ...]:
        """C_0, …, C_n."""
        return self._coefficients

    @property
    def degree(self) -> int:
        """n, whether or not C_n is zero."""
        return len(self._coefficients) - 1

    @property
    def d_in(self) -> int:
        return len(self._center)

    @property
    def d_out(self) -> int:
        return self._coefficients[0].shape[0]

    @property
    def constant(self) -> Float64:
        """C_0, shape (d_out,): the value at `center`."""
        return self.coefficient(0)

    @property
    def linear(self) -> Float64:
        """C_1, shape (d_out, d): the gradient at `center`."""
        return self.coefficient(1)

    @property
    def quadratic(self) -> Float64:
        """C_2, shape (d_out, d, d), symmetric: half the Hessian at `center`."""
        return self.coefficient(2)

    def coefficient(self, k: int) -> Float64:
        """C_k, shape (d_out,) + (d,)·k: about `center`, zeros above the degree."""
        k = checks.non_negative_integer("k", k)
        if k <= self.degree:
            return self._coefficients[k]
        check_memory(self.d_out, self.d_in, [k], like=self._coefficients[0])
        return zeros((self.d_out, *(self.d_in,) * k), self._coefficients[0])

    def about(self, center: ArrayLike) -> "DensePolynomial":
        """The same polynomial with its coefficients about another point."""
        point = checks.real_array("center", center, (self.d_in,)).astype(np.float64)
        shift = moved(point - self._center, self._coefficients[0])
        with on(shift):
            shifted = [namespace(tensor).zeros_like(tensor) for tensor in self._coefficients]
            for k, tensor in enumerate(self._coefficients):
                # C_k[(z + shift)^{⊗k}] = Σ_m C(k, m) C_k[shift^{⊗(k−m)}, z^{⊗m}]
                for m in range(k, -1, -1):
                    shifted[m] += comb(k, m) * tensor
                    if m:
                        tensor = tensor @ shift
            return DensePolynomial._from_symmetric(point, map(symmetrise, shifted))

    def __call__(self, x: ArrayLike) -> Float64:
        """p(x) for x of shape (…, d): shape (…, d_out), float64. NaN and infinities propagate.

        Where the coefficients are on a device, x must be there, and so is the result.
        """
        checked = points("x", x, self.d_in, self._coefficients[0])
        xp = namespace(checked)
        with on(checked):
            z = xp.reshape(double(checked), (-1, self.d_in)) - moved(self._center, checked)
            out = empty((z.shape[0], self.d_out), xp.float64, z)
            for rows in row_blocks(z.shape[0], self.d_out * self.d_in ** max(self.degree - 1, 0)):
                out[rows, :] = self._evaluate(z[rows, :])
            return xp.reshape(out, (*checked.shape[:-1], self.d_out))

    def _evaluate(self, z: Float64) -> Float64:
        """Horner's rule, one tensor axis at a time."""
        xp, (n, d) = namespace(z), z.shape
        top = self._coefficients[-1]
        if self.degree == 0:
            return xp.broadcast_to(top, (n, self.d_out))
        # The first contraction is a matrix product; after it, every point has a tensor of its own.
        value = z @ xp.reshape(top, (-1, d)).T
        for tensor in self._coefficients[-2:0:-1]:
            value = (xp.reshape(value + xp.reshape(tensor, (-1,)), (n, -1, d)) @ z[:, :, None])[:, :, 0]
        return value + self._coefficients[0]

    def cpu(self) -> "DensePolynomial":
        """The same polynomial with coefficients in NumPy: itself, unless they are on a device."""
        if not on_device(self._coefficients[0]):
            return self
        return DensePolynomial._from_symmetric(self._center, map(host, self._coefficients))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a safetensors file, from which `numeric.load` makes the same again; see `numeric.files.save`."""
        from numeric import files  # which needs this module

        files.save(self, path)

    def __repr__(self) -> str:
        place = where(self._coefficients[0])
        return f"DensePolynomial(degree={self.degree}, {self.d_in} → {self.d_out}{place})"


def check_memory(d_out: int, d_in: int, orders: Iterable[int], max_bytes: int | None = None, like: Any = None) -> None:
    """Raise `CoefficientsTooLarge` if the coefficients of these orders take more than `max_bytes`.

    `None` stands for the memory available now, where the array `like` is. Counted are the float64 tensors themselves
    and the tables of their shape that make them symmetric, one output at a time; `.bytes` is the size of the tensors.
    """
    orders = list(orders)
    size = sum(8 * d_out * d_in**k for k in orders)
    working = max((8 * (k + 4 if k > 2 else 1) * d_in**k for k in orders), default=0)
    limit = _available(like) if max_bytes is None else max_bytes
    if size + working <= limit:
        return
    names = ", ".join(str(k) for k in orders)
    raise CoefficientsTooLarge(
        f"the dense coefficients of order {names} for {d_in} inputs and {d_out} outputs take {_bytes(size)}, and "
        f"{_bytes(working)} more while they are made; that is more than the {limit:,} bytes "
        f"{'available' if max_bytes is None else 'allowed by max_bytes'}; "
        "evaluate the factored polynomial instead, or convert a layer with fewer outputs",
        size,
    )


def _bytes(size: int) -> str:
    # Python refuses to print integers of thousands of digits.
    return f"{size:,} bytes" if size.bit_length() < 200 else f"about 2^{size.bit_length()} bytes"


def _available(like: Any) -> int:
    return free_bytes(like) if on_device(like) else available_memory()


def available_memory() -> int:
    """Bytes that can be allocated without swapping, as far as the system tells; else half of its memory."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return 4 * 2**30


def zeros(shape: tuple[int, ...], like: Any) -> Any:
    """Zeros in float64 where another array is."""
    return namespace(like).zeros(shape, dtype=namespace(like).float64, device=device(like))


def symmetrise(tensor: Any) -> Any:
    """Replace each tensor[o] by its symmetric part in the trailing axes, symmetric to the last bit.

    In place, so that the largest coefficients need no second copy; other libraries' than NumPy as a new array.
    """
    k = tensor.ndim - 1
    if k < 2:
        return tensor
    if not isinstance(tensor, np.ndarray):
        if k == 2:
            return 0.5 * (tensor + namespace(tensor).permute_dims(tensor, (0, 2, 1)))
        return moved(symmetrise(np.array(host(tensor))), tensor)
    if k == 2:
        for matrix in tensor:
            matrix[:] = 0.5 * (matrix + matrix.T)
        return tensor
    d = tensor.shape[1]
    indices = np.indices((d,) * k).reshape(k, -1)
    indices.sort(axis=0)
    canonical = np.ravel_multi_index(tuple(indices), (d,) * k)
    counts = np.maximum(np.bincount(canonical, minlength=d**k), 1)
    for row in tensor.reshape(len(tensor), -1):
        row[:] = (np.bincount(canonical, weights=row, minlength=d**k) / counts)[canonical]
    return tensor


def _copied(tensor: Any) -> Any:
    if isinstance(tensor, np.ndarray):
        return np.array(tensor, dtype=np.float64, order="C")
    return namespace(tensor).asarray(double(tensor), copy=True)


def _read_only(array: Any) -> Any:
    if isinstance(array, np.ndarray):
        array.flags.writeable = False
    return array
