"""The libraries whose arrays lie on a GPU, and the few things that each calls by a name of its own."""

import importlib
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numba import cuda

from numeric.cuda.target import SIMULATED
from numeric.device.arrays import is_out_of_memory
from numeric.mixture.arrays import NoDevice, _cupy_array, _torch_array

_SMALLEST = 2**20


class Torch:
    """PyTorch on the first GPU."""

    name = "torch"

    def __init__(self) -> None:
        self.module: Any = importlib.import_module("torch")

    def put(self, array: Any) -> Any:
        """A NumPy array as one on the GPU."""
        return self.module.asarray(np.array(array), device="cuda:0")

    def bytes(self, count: int) -> Any:
        return self.module.empty(count, dtype=self.module.uint8, device="cuda:0")

    def stream(self) -> AbstractContextManager[Any]:
        """A stream of its own, which waits for no other, and becomes the current one."""
        return self.module.cuda.stream(self.module.cuda.Stream())

    def wait(self) -> None:
        """Until the GPU has done all that it was given."""
        self.module.cuda.synchronize()

    def give_back(self) -> None:
        """What the library holds in reserve goes back to the driver."""
        self.module.cuda.empty_cache()


class CuPy:
    """CuPy on the first GPU."""

    name = "cupy"

    def __init__(self) -> None:
        self.module: Any = importlib.import_module("cupy")

    def put(self, array: Any) -> Any:
        return self.module.asarray(np.array(array))

    def bytes(self, count: int) -> Any:
        return self.module.empty(count, dtype=self.module.uint8)

    def stream(self) -> AbstractContextManager[Any]:
        return self.module.cuda.Stream(non_blocking=True)

    def wait(self) -> None:
        self.module.cuda.Device().synchronize()

    def give_back(self) -> None:
        self.module.get_default_memory_pool().free_all_blocks()


Library = Torch | CuPy
LIBRARIES: dict[str, type[Library]] = {"torch": Torch, "cupy": CuPy}
_SHOWN = {"torch": "PyTorch", "cupy": "CuPy"}
_ARRAYS = {"torch": _torch_array, "cupy": _cupy_array}


def missing(name: str) -> str:
    """Why a library cannot use a GPU; empty if it can."""
    try:
        _ARRAYS[name](importlib.import_module(name), 0, "cuda")
    except ModuleNotFoundError:
        return f"{_SHOWN[name]} is not installed"
    except (ImportError, NoDevice) as error:
        return str(error)
    return ""


def no_gpu() -> str:
    """Why nothing can run on a GPU here; empty if something can."""
    if SIMULATED:
        return "no CUDA GPU, but Numba's simulator (NUMBA_ENABLE_CUDASIM)"
    if not cuda.is_available():
        return "no CUDA GPU that Numba can use"
    reasons = [missing(name) for name in LIBRARIES]
    return "" if "" in reasons else f"no library for arrays on a GPU: {'; '.join(reasons)}"


def fill(library: Library) -> list[Any]:
    """Take nearly all memory that is free, until the list is dropped."""
    library.give_back()
    taken, size = [], 2**40
    while size >= _SMALLEST:
        try:
            taken.append(library.bytes(size))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            size //= 2
    return taken
