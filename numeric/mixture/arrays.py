"""Where arrays live: NumPy's on the CPU, CuPy's or PyTorch's on a device. The solver's code is the same for all."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def empty_on(name: str) -> Any:
    """An empty float64 array on a device: "cpu" is NumPy's; "cuda", "cuda:1" CuPy's, or PyTorch's if there is no CuPy.

    Raises:
        ValueError: a device of another name.
        ImportError: neither CuPy nor PyTorch is installed.
    """
    if name == "cpu":
        return np.zeros(0)
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number == "" or number.isdigit()):
        raise ValueError(f'device: expected "cpu", "cuda" or "cuda:1", got {name!r}')
    try:
        import cupy  # type: ignore[import-not-found]

        with cupy.cuda.Device(int(number or 0)):
            return cupy.zeros(0)
    except ImportError:
        pass
    try:
        import torch  # type: ignore[import-not-found]
    except ImportError:
        raise ImportError(f"device: {name!r} needs CuPy or PyTorch, and neither is installed") from None
    return torch.zeros(0, dtype=torch.float64, device=name)


def like(array: Float64, other: Any) -> Any:
    """The array in the library and on the device of another."""
    if isinstance(other, np.ndarray):
        return array
    return array_namespace(other).asarray(array, device=device(other))


def numpy_of(array: Any) -> Float64:
    """The array in NumPy."""
    if isinstance(array, np.ndarray):
        return array
    for move in ("cpu", "get"):  # PyTorch's name for it, and CuPy's
        if hasattr(array, move):
            array = getattr(array, move)()
    return np.asarray(array)
