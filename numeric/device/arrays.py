"""Where arrays are, and the few steps between there and NumPy.

On a device means: PyTorch's or CuPy's, and not on the CPU. (array_api_strict has devices to test with.)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from numeric import checks
from numeric.mixture.arrays import Float64, like, numpy_of

_LIBRARIES = {"torch": "PyTorch", "cupy": "CuPy", "array_api_strict": "array_api_strict"}
# What may be taken where nobody knows how much is free.
_UNKNOWN_FREE = 2**31


def on_device(value: Any) -> bool:
    """Whether something is an array that stays where it is; anything else becomes NumPy's."""
    return not isinstance(value, np.ndarray) and bool(_library(value)) and not _on_cpu(value.device)


def _library(value: Any) -> str:
    """By name, so that nothing is imported to find out; also of classes derived, as PyTorch's parameters are."""
    for kind in type(value).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in _LIBRARIES:
            return root
    return ""


def on_cuda(array: Any) -> bool:
    """Whether kernels can read an array where it is; that of a parameter of PyTorch must be detached."""
    return hasattr(detached(array), "__cuda_array_interface__")


def _on_cpu(where: Any) -> bool:
    return "cpu" in str(where).lower()


def place(value: Any) -> str:
    """In words: the library and the device of an array."""
    return f"{_LIBRARIES[_library(value)]} on {value.device}" if on_device(value) else "NumPy on the CPU"


def where(value: Any) -> str:
    """For representations: the device, if there is one."""
    return f", on {value.device}" if on_device(value) else ""


def namespace(array: Any) -> Any:
    """The array's library as the array API standard has it."""
    return np if isinstance(array, np.ndarray) else array_namespace(array)


def cast(array: Any, dtype: Any) -> Any:
    """The array in another type, itself if it is of that."""
    if isinstance(array, np.ndarray):
        return array.astype(dtype, copy=False)
    return array_namespace(array).astype(array, dtype, copy=False)


def double(array: Any) -> Any:
    """The array in float64, itself if it is of that."""
    return cast(array, namespace(array).float64)


def empty(shape: Sequence[int], dtype: Any, other: Any) -> Any:
    """An array to be written to, where another one is."""
    return namespace(other).empty(tuple(shape), dtype=dtype, device=device(other))


def contiguous(array: Any) -> Any:
    """The array in C order in NumPy, where products of others may be slow; on a device as it is."""
    return np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array


def some_rows(array: Any, rows: Any) -> Any:
    """The rows of a slice, or those of a NumPy array of numbers."""
    if isinstance(rows, slice) or isinstance(array, np.ndarray):
        return array[rows, ...]
    return namespace(array).take(array, moved(rows, array), axis=0)


def detached(array: Any) -> Any:
    """PyTorch's parameters without their history: nothing here has gradients."""
    return array.detach() if hasattr(array, "detach") else array


def host(array: Any) -> NDArray[Any]:
    """The array in NumPy; of PyTorch's bfloat16, which NumPy does not have, in float32."""
    if isinstance(array, np.ndarray):
        return array
    array = _known_elsewhere(detached(array))
    if _library(array) == "array_api_strict":
        array = array.to_device(array_namespace(array).Device("CPU_DEVICE"))
    return numpy_of(array)


def _known_elsewhere(array: Any) -> Any:
    """The array in a type that other libraries have as well."""
    return cast(array, namespace(array).float32) if "bfloat16" in str(array.dtype) else array


def moved(array: Float64 | NDArray[Any], other: Any) -> Any:
    """A NumPy array where another one is."""
    if isinstance(other, np.ndarray):
        return array
    return like(np.asarray(array, order="C"), other)  # PyTorch has no reversed arrays


def brought(array: Any, other: Any) -> Any:
    """An array where another one is: itself, or in the other's library on the same GPU (nothing is copied), or a copy.

    PyTorch's bfloat16 becomes float32 wherever it has to leave PyTorch.
    """
    if isinstance(other, np.ndarray) or isinstance(array, np.ndarray):
        return moved(host(array), other)
    if namespace(array) is namespace(other) and place(array) == place(other):
        return array
    number = _gpu(array)
    if number is None or number != _gpu(other):
        return moved(host(array), other)
    return namespace(other).from_dlpack(_known_elsewhere(detached(array)))


def _gpu(array: Any) -> int | None:
    """The number of the GPU that an array is on; PyTorch and CuPy each have a name for it."""
    if not on_cuda(array):
        return None
    there = device(detached(array))
    return int(there.index if hasattr(there, "index") else there.id)


def real_array(name: str, value: Any, shape: tuple[int | None, ...]) -> Any:
    """As `checks.real_array`; an array on a device stays there."""
    if not on_device(value):
        return checks.real_array(name, value, shape)
    array = floating(name, value)
    checks.check_shape(name, array, shape)
    if not bool(namespace(array).all(namespace(array).isfinite(array))):
        checks.check_finite(name, host(array))
    return array


def points(name: str, value: Any, dim: int, weights: Any) -> Any:
    """As `checks.points`, refused unless they are where the weights are."""
    if place(value) != place(weights):
        hint = "; .cpu() has the same with weights in NumPy" if on_device(weights) else ""
        raise ValueError(f"{name}: expected an array where the weights are, {place(weights)}, got {place(value)}{hint}")
    if not on_device(value):
        return checks.points(name, value, dim)
    array = floating(name, value)
    checks.check_points(name, array, dim)
    return array


def floating(name: str, value: Any) -> Any:
    """As `checks.floating_array`, of an array on a device, which stays there."""
    array = detached(value)
    xp = namespace(array)
    if xp.isdtype(array.dtype, "complex floating"):
        raise TypeError(f"{name}: expected an array of real numbers, got dtype {array.dtype}")
    return array if xp.isdtype(array.dtype, "real floating") else double(array)


def check_together(**given: Any) -> None:
    """Refuse arrays of which some are on a device and not all are on the same; None and numbers are anywhere."""
    places: dict[str, list[str]] = {}
    for name, array in given.items():
        if array is not None:
            places.setdefault(place(array), []).append(name)
    if len(places) > 1:
        found = "; ".join(f"{', '.join(names)}: {there}" for there, names in places.items())
        raise ValueError(f"expected all arrays in one library and on one device, got {found}")


def free_bytes(array: Any) -> int:
    """The memory free on the device of an array, what its library keeps in reserve included."""
    if _library(array) == "torch" and array.device.type == "cuda":
        import torch  # type: ignore[import-not-found]

        reserve = torch.cuda.memory_reserved(array.device) - torch.cuda.memory_allocated(array.device)
        return int(torch.cuda.mem_get_info(array.device)[0]) + int(reserve)
    if _library(array) == "cupy":
        import cupy  # type: ignore[import-not-found]

        with array.device:
            return int(array.device.mem_info[0]) + int(cupy.get_default_memory_pool().free_bytes())
    return _UNKNOWN_FREE


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library says that its device has no memory left."""
    return type(error).__name__ == "OutOfMemoryError"
