"""Launching kernels on arrays of CuPy or PyTorch, which share memory by the CUDA array interface.

Everything that depends on Numba's way of launching is here. In the simulator arrays are NumPy's.
"""

import warnings
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_cupy_array, is_torch_array
from numba import cuda

from numeric.cuda.kernels import DTYPE, Kernel
from numeric.cuda.target import SIMULATED
from numeric.cuda.translate import Precision

_THREADS = 256
# Blocks per multiprocessor that are enough to hide latencies; a thread of the grid takes every n-th element.
_BLOCKS = 16
# Numba warns of fewer; those that have nothing to do cost next to nothing.
_FEWEST = 128


def on_cuda(array: Any) -> bool:
    """Whether kernels can read it where it is."""
    return isinstance(array, np.ndarray) if SIMULATED else hasattr(_plain(array), "__cuda_array_interface__")


def refuse_elsewhere(**given: Any) -> None:
    """Refuse arrays that are not on a GPU.

    Raises:
        TypeError: naming the first of them.
    """
    for name, array in given.items():
        if not on_cuda(array):
            raise TypeError(
                f"{name}: expected an array of PyTorch or CuPy on a GPU, got {type(array).__name__}; "
                "the functions of `numeric` itself take arrays of NumPy"
            )


def launch(kernel: Kernel, count: int, *arguments: Any) -> None:
    """Run a kernel over `count` elements, in the current stream of the library whose arrays are passed."""
    if not count:
        return
    if SIMULATED:
        with warnings.catch_warnings():
            # every thread of the simulator has NumPy's error state of its own
            warnings.simplefilter("ignore", RuntimeWarning)
            kernel.compiled[1, 1](*arguments)
        return
    first = next(a for a in arguments if on_cuda(a))
    with _device_of(first):
        stream = _stream(first)
        seen = [cuda.as_cuda_array(_plain(a), sync=False) if on_cuda(a) else a for a in arguments]
        wave = cuda.get_current_device().MULTIPROCESSOR_COUNT * _BLOCKS
        blocks = max(_FEWEST, min(-(-count // _THREADS), wave))
        kernel.compiled[blocks, _THREADS, stream](*seen)


def empty(shape: tuple[int, ...], precision: Precision, other: Any) -> Any:
    """An array of the library and on the device of another."""
    xp = array_namespace(other)
    if SIMULATED:
        return np.empty(shape, DTYPE[precision])
    return xp.empty(shape, dtype=xp.float64 if precision == "double" else xp.float32, device=device(other))


def precision_of(*arrays: Any) -> Precision:
    """Single if all are float32, else double."""
    return "single" if all(str(array.dtype).endswith("float32") for array in arrays) else "double"


def contiguous(array: Any, precision: Precision) -> Any:
    """In C order and in this precision, copied only if it is not."""
    if SIMULATED:
        return np.ascontiguousarray(array, DTYPE[precision])
    xp = array_namespace(array)
    array = xp.astype(array, xp.float64 if precision == "double" else xp.float32, copy=False)
    return array.contiguous() if hasattr(array, "contiguous") else xp.asarray(array, order="C")


def _plain(array: Any) -> Any:
    """PyTorch does not lend the memory of tensors that want gradients."""
    return array.detach() if hasattr(array, "detach") else array


def _device_of(array: Any) -> Any:
    """Kernels are launched where their arrays are."""
    where = device(array)
    number = getattr(where, "index", None) if hasattr(where, "index") else getattr(where, "id", None)
    return cuda.gpus[number or 0]


def _stream(array: Any) -> Any:
    """What the library has begun must have ended before the kernel reads it, and the library must see what it wrote."""
    if is_torch_array(array):
        import torch  # type: ignore[import-not-found]

        return cuda.external_stream(torch.cuda.current_stream(array.device).cuda_stream)
    if is_cupy_array(array):
        import cupy  # type: ignore[import-not-found]

        return cuda.external_stream(cupy.cuda.get_current_stream().ptr)
    return cuda.default_stream()


def integers(values: list[int], other: Any) -> Any:
    """A few integers on the device of another array."""
    array = np.array(values, dtype=np.int64)
    return array if SIMULATED else array_namespace(other).asarray(array, device=device(other))
