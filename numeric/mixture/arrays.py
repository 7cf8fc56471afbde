"""Where arrays live: NumPy's on the CPU, CuPy's or PyTorch's on a device. The solver's code is the same for all."""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


class NoDevice(RuntimeError):
    """A GPU was asked for, and there is none that CuPy or PyTorch could use; the message says what is missing."""


def empty_on(name: Any) -> Any:
    """An empty float64 array on a device: "cpu" is NumPy's; "cuda", "cuda:1" CuPy's, or PyTorch's if CuPy has no GPU.

    Args:
        name: the device; or an array, for one where it is.

    Raises:
        ValueError: a device of another name, or a number that is too high.
        NoDevice: no GPU to be used.
    """
    if not isinstance(name, str) and is_array_api_obj(name):
        xp = array_namespace(name)
        return xp.zeros(0, dtype=xp.float64, device=device(name))
    if name == "cpu":
        return np.zeros(0)
    kind, colon, number = name.partition(":") if isinstance(name, str) else ("", "", "")
    if kind != "cuda" or not (colon == "" or (number.isascii() and number.isdigit())):
        raise ValueError(f'device: expected "cpu", "cuda" or "cuda:1", or an array, got {name!r}')
    missing = []
    for library, make in (("cupy", _cupy_array), ("torch", _torch_array)):
        try:
            return make(importlib.import_module(library), int(number or 0), name)
        except ModuleNotFoundError as error:
            shown = {"cupy": "CuPy", "torch": "PyTorch"}[library]
            known = (error.name or "").partition(".")[0] == library
            missing.append(f"{shown} is not installed" if known else f"{shown} cannot be imported ({error})")
        except (ImportError, NoDevice) as error:
            missing.append(str(error))
    raise NoDevice(
        f"device: {name!r} needs an NVIDIA GPU with its driver, and CuPy or PyTorch for CUDA: {'; '.join(missing)}. "
        "pip install 'symgauss[cuda]' brings CuPy; device=\"cpu\" needs none of this"
    )


def _cupy_array(cupy: Any, number: int, name: str) -> Any:
    try:
        _check_number(number, cupy.cuda.runtime.getDeviceCount(), name)
        with cupy.cuda.Device(number):
            return cupy.zeros(0)
    except RuntimeError as error:  # as all of CUDA's are
        raise NoDevice(f"CuPy finds no GPU that it can use ({_first_line(error)})") from error


def _torch_array(torch: Any, number: int, name: str) -> Any:
    if torch.version.cuda is None:
        raise NoDevice("PyTorch is installed without CUDA")
    if not torch.cuda.is_available():
        raise NoDevice("PyTorch finds no GPU, or no driver that is new enough")
    _check_number(number, torch.cuda.device_count(), name)
    return torch.zeros(0, dtype=torch.float64, device=f"cuda:{number}")


def _check_number(number: int, count: int, name: str) -> None:
    if number >= count > 0:
        last = "" if count == 1 else f" to cuda:{count - 1}"
        raise ValueError(f"device: expected cuda:0{last}, of which there are {count}, got {name!r}")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


@contextlib.contextmanager
def on(template: Any) -> Iterator[None]:
    """Work on the device of an array: CuPy computes on a current device, whatever that of the arrays is."""
    if type(template).__module__.partition(".")[0] == "cupy":
        with template.device:
            yield
    else:
        yield


def like(array: Float64, other: Any) -> Any:
    """The array in the library and on the device of another."""
    if isinstance(other, np.ndarray):
        return array
    # PyTorch may share memory, and warns of what cannot be written to; it has no reversed arrays
    if not array.flags.writeable or any(step < 0 for step in array.strides):
        array = array.copy()
    return array_namespace(other).asarray(array, device=device(other))


def numpy_of(array: Any) -> Float64:
    """The array in NumPy."""
    if isinstance(array, np.ndarray):
        return array
    for move in ("cpu", "get"):  # PyTorch's name for it, and CuPy's
        if hasattr(array, move):
            array = getattr(array, move)()
    return np.asarray(array)
