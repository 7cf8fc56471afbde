"""Functions of several arrays of which some are on a device: the others join them, and results lie where they do."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numeric import checks
from numeric.device.arrays import cast, check_together, floating, host, moved, namespace, on_device


def first_on_device(*values: Any) -> Any | None:
    """The first of these that is an array on a device, or None."""
    return next((value for value in values if on_device(value)), None)


def together(there: Any, **given: Any) -> list[Any]:
    """All of them where one is: those on a device as they are, integers in float64; NumPy's and numbers in its type.

    Raises:
        TypeError: complex arrays.
        ValueError: arrays of several libraries, or on several devices.
    """
    arrays = [_beside(name, value, there) for name, value in given.items()]
    check_together(**dict(zip(given, arrays)))
    return arrays


def _beside(name: str, value: Any, there: Any) -> Any:
    if on_device(value):
        return floating(name, value)
    moving = moved(checks.unconverted_array(name, value).astype(np.float64), there)
    return cast(moving, there.dtype) if namespace(there).isdtype(there.dtype, "real floating") else moving


def returned(known: np.ndarray, arrays: Sequence[Any]) -> Any:
    """A result of NumPy's where the arguments are, in float32 if all of them are."""
    single = namespace(arrays[0]).float32
    there = moved(known, arrays[0])
    return cast(there, single) if all(array.dtype == single for array in arrays) else there


def by_the_cpu(function: Callable[..., Any], arrays: Sequence[Any]) -> Any:
    """What a function of NumPy's arrays makes of arrays on a device, where these are."""
    known = function(*map(host, arrays))
    if isinstance(known, tuple):
        return tuple(returned(part, arrays) for part in known)
    return returned(known, arrays)
