"""A GPU that is not there: PyTorch's fake tensors carry device, type and shape through its dispatch, and no numbers.

They refuse arrays of different devices, as CUDA does, and whatever would look at a number. `FakeGpu` counts the bytes
that are alive, so that a model of memory is checked at sizes that cost nothing here, and it records what goes to the
host, what is looked at, and what kernels are handed. What it cannot know: the workspaces of cuBLAS and cuSOLVER,
fragmentation, and numbers, in place of which the host gets ones.
"""

import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numba import types
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from numeric.cuda import launch
from numeric.device import arrays, pairs

DEVICE = torch.device("cuda:0")
DTYPES = {np.float64: torch.float64, np.float32: torch.float32, np.int64: torch.int64}
# For which PyTorch waits by itself, as its documentation says: it looks whether they have converged.
_WAITS = {"_linalg_eigh"}
_PRODUCTS = {"mm", "bmm", "addmm", "baddbmm", "mv", "addmv"}
_LOOKS = ("__bool__", "__float__", "__int__", "__index__")


class OutOfMemoryError(RuntimeError):
    """By this name PyTorch has it."""


@dataclass
class FakeGpu:
    """What has happened on the GPU that is not there.

    Attributes:
        capacity: in bytes.
        live, peak: bytes of all arrays that are alive, and the most that there were.
        moved: (shape, type) of every array that went to the host.
        looks: how often a number was asked for otherwise.
        waits: how often PyTorch waited for the GPU by itself.
        launched: (name of the kernel, elements) of every launch.
        answer: what `bool` of an array says.
    """

    capacity: float = math.inf
    live: int = 0
    peak: int = 0
    moved: list[tuple[tuple[int, ...], Any]] = field(default_factory=list)
    looks: int = 0
    waits: int = 0
    launched: list[tuple[str, int]] = field(default_factory=list)
    answer: bool = True

    def free(self, _: Any = None) -> int:
        """As `numeric.device.arrays.free_bytes`."""
        return int(min(self.capacity, 2**60)) - self.live

    @contextmanager
    def peak_above(self) -> Iterator[Callable[[], int]]:
        """The bytes by which what is alive has exceeded, since this began, what was alive then."""
        before = self.peak = self.live
        yield lambda: self.peak - before

    @contextmanager
    def counted(self) -> Iterator[SimpleNamespace]:
        """How many looks, moves and waits there are from here on."""
        before, found = (self.looks, len(self.moved), self.waits), SimpleNamespace(looks=0, moves=0, waits=0)
        yield found
        after = (self.looks, len(self.moved), self.waits)
        found.looks, found.moves, found.waits = (b - a for a, b in zip(before, after))

    def array(self, *shape: int, dtype: Any = torch.float64) -> Any:
        """An array on the GPU."""
        return torch.empty(shape, dtype=dtype, device=DEVICE)

    def host(self, array: Any) -> Any:
        """In place of `numpy_of`: ones."""
        if not isinstance(array, FakeTensor):
            return array
        self.moved.append((tuple(array.shape), array.dtype))
        kind = {torch.bool: np.bool_, torch.float16: np.float16}.get(array.dtype)
        kind = kind or next(k for k, dtype in DTYPES.items() if dtype == array.dtype)
        return np.ones(tuple(array.shape), kind)

    def launch(self, kernel: Any, count: int, *arguments: Any) -> None:
        """In place of `numeric.cuda.launch.launch`: the arguments must be those that the kernel is compiled for."""
        check_arguments(kernel.signature, arguments)
        self.launched.append((kernel.name, count))

    def looked(self) -> None:
        self.looks += 1

    def allocated(self, storage: Any, size: int) -> None:
        """Bytes that are alive until the storage is not."""
        self.passing(size)
        self.live += size
        weakref.finalize(storage, self._freed, size)

    def passing(self, size: int) -> None:
        """Bytes that a library needs while an operation lasts."""
        if self.live + size > self.capacity:
            raise OutOfMemoryError(f"{size} bytes more than {self.live} of {self.capacity}")
        self.peak = max(self.peak, self.live + size)

    def _freed(self, size: int) -> None:
        self.live -= size


class _Allocations(TorchDispatchMode):
    """Sees every operation that is left once PyTorch has taken composite ones apart, and the storage it makes."""

    def __init__(self, gpu: FakeGpu) -> None:
        super().__init__()
        self.gpu, self.seen = gpu, weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(found):
            if isinstance(tensor, FakeTensor) and tensor.is_cuda:
                storage = tensor.untyped_storage()
                if storage not in self.seen:
                    self.seen.add(storage)
                    self.gpu.allocated(storage, storage.nbytes())
        self.gpu.waits += func.overloadpacket.__name__ in _WAITS
        if func.overloadpacket.__name__ in _PRODUCTS:
            self.gpu.passing(sum(copied_by_blas(a) for a in args if isinstance(a, FakeTensor)))
        return found


def copied_by_blas(matrix: Any) -> int:
    """The bytes of a copy where neither of the last two axes is contiguous, which cuBLAS cannot read."""
    if matrix.ndim < 2 or 1 in matrix.stride()[-2:] or 0 in matrix.shape:
        return 0
    return matrix.numel() * matrix.element_size()


def check_arguments(signature: tuple[Any, ...], arguments: tuple[Any, ...]) -> None:
    """Refuse arguments that a kernel of this signature is not compiled for."""
    assert len(signature) == len(arguments)
    for kind, given in zip(signature, arguments):
        if isinstance(kind, types.Array):
            assert isinstance(given, FakeTensor)
            assert given.device == DEVICE
            assert given.dtype == DTYPES[getattr(np, str(kind.dtype))]
            assert given.ndim == kind.ndim
            assert given.is_contiguous()
        elif isinstance(kind, types.UniTuple):
            assert len(given) == kind.count
            assert all(type(value) is getattr(np, str(kind.dtype)) for value in given)
        else:
            assert isinstance(given, int)


def on_gpu(array: Any, dtype: Any, *shape: int) -> None:
    """Assert where an array is, its type and its shape."""
    assert isinstance(array, FakeTensor)
    assert array.device == DEVICE
    assert array.dtype == dtype
    assert tuple(array.shape) == shape


def _indexed(array: Any, key: Any) -> Any:
    """Basic indexing, which PyTorch without CUDA refuses for want of a device to make current."""
    keys = key if isinstance(key, tuple) else (key,)
    left = array.ndim - sum(k is not None and k is not Ellipsis for k in keys)
    axis = 0
    for k in keys:
        if k is Ellipsis:
            axis += left
        elif k is None:
            array, axis = torch.unsqueeze(array, axis), axis + 1
        elif isinstance(k, slice):
            array, axis = torch.ops.aten.slice.Tensor(array, axis, k.start, k.stop, k.step or 1), axis + 1
        elif isinstance(k, int):
            array = torch.select(array, axis, k)
        else:
            raise TypeError(f"advanced indexing with {type(k).__name__}")
    return array


def _set(array: Any, key: Any, value: Any) -> None:
    there = _indexed(array, key)
    if isinstance(value, torch.Tensor):
        torch.ops.aten.copy_.default(there, value)
    else:
        torch.ops.aten.fill_.Scalar(there, value)


def _contiguous(array: Any) -> Any:
    return array if array.is_contiguous() else torch.clone(array, memory_format=torch.contiguous_format)


def _is_on_cuda(array: Any) -> dict:
    if not array.is_cuda:
        raise AttributeError("__cuda_array_interface__")
    return {}


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    """The device "cuda:0" of PyTorch, without a GPU."""
    gpu = FakeGpu()

    def look(kind: type) -> Callable[[Any], Any]:
        return lambda _: gpu.looked() or (gpu.answer if kind is bool else kind(1))

    for name, kind in zip(_LOOKS, (bool, float, int, int)):
        monkeypatch.setattr(FakeTensor, name, look(kind), raising=False)
    monkeypatch.setattr(FakeTensor, "__getitem__", _indexed, raising=False)
    monkeypatch.setattr(FakeTensor, "__setitem__", _set, raising=False)
    monkeypatch.setattr(FakeTensor, "contiguous", _contiguous, raising=False)
    monkeypatch.setattr(FakeTensor, "__cuda_array_interface__", property(_is_on_cuda), raising=False)
    monkeypatch.setattr(arrays, "numpy_of", gpu.host)
    monkeypatch.setattr(launch, "launch", gpu.launch)
    for module in (arrays, pairs):
        monkeypatch.setattr(module, "free_bytes", gpu.free)
    with FakeTensorMode(), _Allocations(gpu):
        yield gpu
