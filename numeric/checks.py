"""Validation shared by the public entry points: one clear error, before any work.

Every message names the argument, says what was expected and what was found, and, where it is not
obvious, the way out. A wrong kind of thing is a `TypeError`, a wrong value or shape a `ValueError`.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_REAL_KINDS = "biuf"


def real_array(name: str, value: ArrayLike, shape: tuple[int | None, ...] | None = None) -> NDArray[Any]:
    """`value` as a floating array of a real dtype, every entry finite.

    `shape` gives the expected length of each axis, `None` for any. Integers become float64, as does
    anything wider than a double; float16, float32 and float64 are kept, without a copy.
    """
    array = floating_array(name, value)
    if shape is not None:
        check_shape(name, array, shape)
    check_finite(name, array)
    return array


def floating_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """`value` as a floating array of a real dtype; the entries are not looked at."""
    array = unconverted_array(name, value)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return array


def unconverted_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """`value` as an array of whatever real dtype it has, integers included; only what is on a device is copied."""
    from numeric.device.arrays import detached, host, on_device  # which needs this module

    value = host(value) if on_device(value) else detached(value)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: expected a rectangular array of real numbers; {error}") from None
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected an array without a mask; fill it first, for example with .filled(0)")
    if array.dtype.kind not in _REAL_KINDS:
        hint = "; take .real if the imaginary part is zero" if array.dtype.kind == "c" else ""
        raise TypeError(f"{name}: expected an array of real numbers, got dtype {array.dtype}{hint}")
    return array


def check_shape(name: str, array: Any, shape: tuple[int | None, ...]) -> None:
    """Refuse an array whose number of axes or whose axis lengths differ from `shape`, or that is empty."""
    matches = array.ndim == len(shape) and all(
        wanted is None or found == wanted for found, wanted in zip(array.shape, shape)
    )
    if not matches:
        raise ValueError(f"{name}: expected shape {_pattern(shape)}, got {tuple(array.shape)}")
    if 0 in array.shape:
        raise ValueError(f"{name}: expected at least one entry along every axis, got shape {tuple(array.shape)}")


def check_finite(name: str, array: NDArray[Any]) -> None:
    """Refuse NaN and infinite entries, and say how many there are and where the first is."""
    finite = np.isfinite(array)
    if finite.all():
        return
    bad = np.argwhere(~finite)
    first = tuple(int(i) for i in bad[0])
    raise ValueError(
        f"{name}: expected finite entries, got {len(bad)} that are not; the first is {array[first]} at index {first}"
    )


def non_negative_integer(name: str, value: Any) -> int:
    """`value` as an `int` ≥ 0. Booleans and floats are refused, `2.0` included."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an integer ≥ 0, got {value!r} of type {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{name}: expected an integer ≥ 0, got {value}")
    return int(value)


def points(name: str, value: ArrayLike, dim: int) -> NDArray[Any]:
    """`value` as real points of shape (…, dim). NaN and infinities pass, and propagate."""
    array = floating_array(name, value)
    check_points(name, array, dim)
    return array


def check_points(name: str, array: Any, dim: int) -> None:
    """Refuse an array that is not of shape (…, dim)."""
    if array.ndim == 0 or array.shape[-1] != dim:
        raise ValueError(f"{name}: expected shape (…, {dim}), got {tuple(array.shape)}")


def _pattern(shape: tuple[int | None, ...]) -> str:
    inside = ", ".join("any" if n is None else str(n) for n in shape)
    return f"({inside},)" if len(shape) == 1 else f"({inside})"
