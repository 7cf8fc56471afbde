"""Compile every kernel for a GPU, without one: to PTX by Numba and NVVM, and to machine code where there is ptxas.

    python -m numeric.cuda check [--only TEXT] [--capability 9.0] [--processes N]

One line for each kernel: its arrays' precision, the registers and the bytes spilled per thread, and its stack frame.
Kernels of Hermite coefficients must not spill. The exit status is 1 if anything fails, and 0, with one line that says
so, where NVVM is not installed.
"""

import argparse
import functools
import importlib
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from numba import cuda

from numeric.cuda.kernels import Kernel, catalogue
from numeric.cuda.target import SIMULATED


@dataclass(frozen=True)
class Compiled:
    """A kernel in machine code, or why it is not."""

    name: str
    precision: str
    inside: str
    registers: int | None = None
    spilled: int | None = None
    frame: int | None = None
    failure: str = ""

    @property
    def failed(self) -> bool:
        """Whether it does not compile, or spills although it is one of Hermite coefficients."""
        return bool(self.failure) or (" hermite " in self.name and bool(self.spilled))

    def __str__(self) -> str:
        precision = self.precision if self.precision == self.inside else f"{self.precision} ({self.inside} inside)"
        start = f"{self.name:<28} {precision:<24}"
        if self.failure:
            return f"{start} FAILED: {self.failure}"
        if self.registers is None:
            return f"{start} PTX"
        spills = f"{self.spilled} bytes spilled" + (": FAILED, none are allowed" if self.failed else "")
        return f"{start} {self.registers:3d} registers, {spills}, frame {self.frame}"


def why_not() -> str:
    """Why nothing can be compiled here; empty if it can."""
    if SIMULATED:
        return "the simulator (NUMBA_ENABLE_CUDASIM) compiles nothing"
    from numba.cuda.cudadrv.nvvm import NVVM

    try:
        NVVM()
    except Exception as error:  # of another class in every version
        first = str(error).strip().splitlines()[0]
        return (
            f"no NVVM ({first}); it comes with the CUDA toolkit, whose folder CUDA_HOME names, and with the "
            "package nvidia-cuda-nvcc"
        )
    return ""


@contextmanager
def _stand_in(capability: tuple[int, int]) -> Iterator[None]:
    """Kernels that call functions ask for the current device, of which only the compute capability matters."""
    dispatcher: Any = importlib.import_module("numba.cuda.dispatcher")
    known = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        dispatcher.get_current_device = known


def ptx(kernel: Kernel, capability: tuple[int, int] = (9, 0)) -> str:
    """The kernel as PTX."""
    with _stand_in(capability):
        compile_ptx: Any = vars(cuda)["compile_ptx"]
        return compile_ptx(kernel.function, kernel.signature, cc=capability)[0]


def compiled(recipe: Callable[[], Kernel], capability: tuple[int, int] = (9, 0), ptxas: str | None = None) -> Compiled:
    """The kernel, compiled as far as it can be here."""
    name, precision, inside = _described(recipe), "", ""
    try:
        kernel = recipe()
        name, precision, inside = kernel.name, kernel.precision, kernel.inside
        text = ptx(kernel, capability)
        if inside == "single" and (doubles := _doubles(text)):
            return Compiled(name, precision, inside, failure=f"{doubles} operations in double precision")
        if ptxas is None:
            return Compiled(name, precision, inside)
        return Compiled(name, precision, inside, *_assembled(text, capability, ptxas))
    except Exception as error:  # whatever a compiler raises is its answer
        return Compiled(name, precision, inside, failure=" ".join(str(error).split())[:300])


def _doubles(text: str) -> int:
    """Operations in double precision, but for one in the library's sine and cosine of large arguments."""
    found = re.findall(r"^\s*(?:add|sub|mul|fma|div)\S*\.f64.*", text, re.M)
    return sum("0d3BF921FB54442D19" not in line for line in found)


def _described(recipe: Callable[[], Kernel]) -> str:
    if isinstance(recipe, functools.partial):
        return f"{recipe.func.__name__} {recipe.args}"
    return getattr(recipe, "__name__", str(recipe))


def _assembled(text: str, capability: tuple[int, int], ptxas: str) -> tuple[int, int, int]:
    """Registers, bytes spilled and stack frame, from what ptxas reports."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(text)
        command = [ptxas, f"-arch=sm_{capability[0]}{capability[1]}", "-v", str(source), "-o", os.devnull]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"ptxas ended with status {done.returncode}")
    frame, stores, loads = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)", done.stderr)[-1]
    return int(re.findall(r"Used (\d+) registers", done.stderr)[-1]), int(stores) + int(loads), int(frame)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m numeric.cuda check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="kernels whose name contains this, such as 'gelu hermite'")
    parser.add_argument("--capability", default="9.0", help="the compute capability, such as 8.6")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return 0
    ptxas = shutil.which("ptxas")
    print("to machine code by " + ptxas if ptxas else "to PTX only: there is no ptxas, which comes with the toolkit")
    major, _, minor = options.capability.partition(".")
    compile_one = functools.partial(compiled, capability=(int(major), int(minor or 0)), ptxas=ptxas)
    recipes = [recipe for recipe in catalogue() if options.only in _named(recipe, options.only)]
    failures = 0
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=spawned) as pool:
        for one in pool.map(compile_one, recipes, chunksize=4):
            print(one, flush=True)
            failures += one.failed
    print(f"{len(recipes)} kernels, {failures} failed")
    return 1 if failures or not recipes else 0


def _named(recipe: Callable[[], Kernel], wanted: str) -> str:
    """The kernel's name, for which it is made only if one was asked for."""
    return recipe().name if wanted else ""


if __name__ == "__main__":
    sys.exit(main())
