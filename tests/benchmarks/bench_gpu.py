"""Kernels, layers and the solver on a GPU, against what its memory and its arithmetic can do in the same run.

    python -m tests.benchmarks.bench_gpu [--mnist FOLDER] [--device cuda] [--small]

Arrays are CuPy's, or PyTorch's where CuPy cannot use the GPU. Times are medians, by a clock that waits for the GPU.
Kernels read μ and s and write h_0, h_1, h_2 of every pair; "called" is the same by `hermite_coefficients`, which looks
for bad numbers first. What is printed also goes to tests/benchmarks/results/gpu.txt. Limits are for an H200;
`--device cpu --small` runs the same code on tiny sizes with NumPy, and records nothing.
"""

import argparse
import contextlib
import importlib
import importlib.metadata
import io
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

import numeric as nm
from numeric.activations import activation
from numeric.device.arrays import place
from numeric.mixture.arrays import NoDevice, empty_on, on
from numeric.variance import explained
from tests.benchmarks import bench_gpu_solver
from tests.benchmarks.bench_gpu_solver import matmul_rate
from tests.benchmarks.timing import machine, record, seconds

NAMES = ("relu", "gelu", "silu", "tanh")
# The share of the copy bandwidth that memory-bound kernels should reach, and the time for all layers.
SHARE, AIMED = 0.70, ("relu", "gelu")
LAYERS, LAYERS_LIMIT = 32, 5.0
REPEATS = 5
Work = Callable[[], object]


class Gpu:
    """An array library on a device; NumPy stands in on the CPU."""

    def __init__(self, template: Any, small: bool) -> None:
        self.template, self.small = template, small
        name = type(template).__module__.partition(".")[0]
        self.module: Any = importlib.import_module(name)
        self.real, self.rng = name != "numpy", np.random.default_rng(0)

    def wait(self) -> None:
        """Until everything is done."""
        if self.module.__name__ == "torch":
            self.module.cuda.synchronize(self.template.device)
        elif self.real:
            self.module.cuda.Device().synchronize()

    def normal(self, *shape: int, dtype: str = "float32") -> Any:
        """Random numbers, made where they stay."""
        if self.module.__name__ == "torch":
            return self.module.randn(shape, dtype=getattr(self.module, dtype), device=self.template.device)
        if self.real:
            return self.module.random.standard_normal(shape, dtype=dtype)
        return self.rng.standard_normal(shape, dtype=getattr(np, dtype))

    def empty(self, *shape: int, dtype: str) -> Any:
        there = {"device": self.template.device} if self.module.__name__ == "torch" else {}
        return self.module.empty(shape, dtype=getattr(self.module, dtype), **there)

    def median(self, work: Work, calls: int = 1) -> float:
        """Seconds for one call, of several that are waited for together."""

        def several() -> None:
            for _ in range(calls):
                work()
            self.wait()

        several()
        return statistics.median(seconds(several) for _ in range(REPEATS)) / calls


def verdict(good: bool) -> str:
    return "ok" if good else "TOO SLOW"


def heading(gpu: Gpu) -> str:
    """The machine, the device, the driver and the versions of libraries."""
    library = [f"{gpu.module.__name__} {gpu.module.__version__}"] if gpu.real else []
    versions = [*library, *_numba_versions(), f"NumPy {np.__version__}"]
    found = f"{place(gpu.template)}: {_device_name()}, driver {_driver()}" if gpu.real else "NumPy on the CPU"
    return f"{machine()}\n{found}; {', '.join(versions)}\n"


def _device_name() -> str:
    name = cuda.get_current_device().name  # type: ignore[reportAttributeAccessIssue]
    return name.decode() if isinstance(name, bytes) else str(name)


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def _numba_versions() -> list[str]:
    found = []
    for name in ("numba", "numba-cuda"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return found


def copy_bandwidth(gpu: Gpu) -> float:
    """Bytes a second, read and written, of the copy of a large array."""
    count = 2**22 if gpu.small else 2**28
    source, target = gpu.normal(count), gpu.empty(count, dtype="float32")

    def copy() -> None:
        target[...] = source

    return 2 * 4 * count / gpu.median(copy, 10)


def kernel_call(gpu: Gpu, name: str, mean: Any, std: Any) -> Work:
    """The kernel of h_0 … h_2 alone, in single or double precision."""
    act, count = activation(name), mean.shape[0]
    if not gpu.real:
        found = np.empty((count, 3))
        return lambda: nm.hermite_coefficients(act, mean, std, 2, out=found)
    from numeric.cuda import kernels, launch

    precision = launch.precision_of(mean, std)
    kernel, out = kernels.pairs(act, "hermite", (0, 3), precision), launch.empty((3, count), precision, mean)
    parameters = tuple(kernels.DTYPE[kernel.inside](value) for value in act.arguments)
    return lambda: launch.launch(kernel, count, mean, std, out, parameters)


def study_kernels(gpu: Gpu, bandwidth: float) -> None:
    count = 10**5 if gpu.small else 10**8
    print(f"h_0 … h_2 of {count:.0e} pairs, ≥ {SHARE:.0%} of the copy bandwidth for {' and '.join(AIMED)}:")
    for dtype, size in (("float64", 8), ("float32", 4)):
        mean, std = gpu.normal(count, dtype=dtype), abs(gpu.normal(count, dtype=dtype)) + 0.5
        for name in NAMES:
            print(f"  {name:<6} {dtype}  {kernel_line(gpu, name, mean, std, 5 * size * count / bandwidth)}")


def kernel_line(gpu: Gpu, name: str, mean: Any, std: Any, floor: float) -> str:
    """Times of the kernel and of the function, and the share of the first that copying as much would take."""
    took = gpu.median(kernel_call(gpu, name, mean, std), 10)
    called = gpu.median(lambda: nm.hermite_coefficients(name, mean, std, 2))
    said = f"  {verdict(floor / took >= SHARE)}" if gpu.real and name in AIMED else ""
    return f"{took * 1e3:9.3f} ms  {floor / took:6.1%}{said:<10}  called {called * 1e3:9.3f} ms"


def random_layer(gpu: Gpu, d: int, n: int) -> nm.GLU:
    """A gated layer d → n → d, silu."""
    return nm.GLU(gpu.normal(n, d) / d**0.5, None, gpu.normal(n, d) / d**0.5, None, gpu.normal(d, n) / n**0.5)


def study_layers(gpu: Gpu) -> None:
    d, n = (48, 160) if gpu.small else (4096, 14336)
    index, rng = np.arange(d), np.random.default_rng(20)
    inputs = nm.Gaussian(rng.standard_normal(d), np.exp(-np.abs(index[:, None] - index) / 8.0))
    warm = nm.approximate(random_layer(gpu, 8, 20), nm.Gaussian(np.zeros(8), np.eye(8)), 2)  # kernels compile
    _ = warm.fvu
    times = []
    for _ in range(LAYERS):
        layer = random_layer(gpu, d, n)
        gpu.wait()
        times.append(seconds(lambda layer=layer: _converted(gpu, layer, inputs)))
    total, said = sum(times), f"  < {LAYERS_LIMIT:g} s  {verdict(sum(times) < LAYERS_LIMIT)}" if gpu.real else ""
    print(
        f"{LAYERS} gated layers {d} → {n} → {d}, silu, float32, full covariance, degree 2: {total:.2f} s in all{said}"
    )
    print(f"  the first {times[0]:.3f} s, with the covariance moved there; median {statistics.median(times):.4f} s")
    study_variance(gpu, nm.approximate(random_layer(gpu, d, n), inputs, 2))


def _converted(gpu: Gpu, layer: nm.GLU, inputs: nm.Gaussian) -> None:
    nm.approximate(layer, inputs, 2)
    gpu.wait()


def study_variance(gpu: Gpu, p: nm.GatedPolynomial) -> None:
    took = seconds(lambda: explained(p, progress=False))
    again = gpu.median(lambda: explained(p, progress=False)) if took < 60 else took
    found = p.total_fvu
    print(f"exact FVU of one such layer: {again:.3f} s, the first time {took:.3f} s; FVU {found:.6f}\n", flush=True)


def study(gpu: Gpu, options: argparse.Namespace) -> None:
    print(heading(gpu))
    bandwidth, rate = copy_bandwidth(gpu), matmul_rate(gpu.template)
    print(f"floors: copy {bandwidth / 1e9:.1f} GB/s, matrix products in float64 {rate / 1e12:.2f} TFLOP/s\n")
    study_kernels(gpu, bandwidth)
    print(flush=True)
    study_layers(gpu)
    print("the solver:")
    given = ["--device", options.device, *(["--small", "--checkpoints", "3"] if options.small else [])]
    bench_gpu_solver.main([*given, *(["--mnist", options.mnist] if options.mnist else [])])


def unavailable(device: str) -> str:
    """Why there is nothing to measure; empty if there is."""
    try:
        empty_on(device)
    except NoDevice as error:
        return str(error)
    return "" if device == "cpu" or cuda.is_available() else "Numba finds no CUDA GPU that it can use"


class Tee(io.StringIO):
    """Keeps what is printed, and prints it."""

    def write(self, text: str) -> int:
        sys.__stdout__.write(text)  # type: ignore[union-attr]
        sys.__stdout__.flush()  # type: ignore[union-attr]
        return super().write(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", help="a folder; without one, and without the variable, the solver is left out")
    parser.add_argument("--device", default="cuda", help="default: cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes")
    options = parser.parse_args()
    reason = unavailable(options.device)
    if reason:
        print(f"skipped: {reason}")
        return
    template, printed = empty_on(options.device), Tee()
    with contextlib.redirect_stdout(printed), on(template):
        study(Gpu(template, options.small), options)
    if options.device != "cpu" and not options.small:
        record("gpu", printed.getvalue())


if __name__ == "__main__":
    main()
