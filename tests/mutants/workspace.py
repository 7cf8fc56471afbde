"""A copy of the repository in which one file at a time is changed and the tests are run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.mutants.targets import ROOT, SIMULATOR

# The score can be repeated: random tests draw the same examples for every mutant.
PYTEST = ("-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "--hypothesis-seed=1", "--no-header", "--tb=no")
# A mutant may ask for any amount of memory; it gets this much address space.
MEMORY = 12 * 2**30
_RUN = (
    "import resource, sys, pytest; "
    f"resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY})); "
    "sys.exit(pytest.main(sys.argv[1:]))"
)
_NOT_COPIED = (".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "book", "build", "dist", "out")
_USAGE_ERROR, _NO_TESTS = 4, 5


class Outcome(NamedTuple):
    noticed: bool
    seconds: float
    output: str


class Workspace:
    """A copy of the repository under `folder`, with caches of its own.

    Compiled kernels are cached by the path of their source, so every copy fills its own cache: run the tests
    once without an error. Kernels compiled for a mutant are forgotten afterwards.
    """

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        self.root = folder / "repository"
        self.cache = folder / "cache"
        shutil.copytree(root, self.root, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        self.cache.mkdir()
        # Bytecode is told apart by seconds and size, and mutants follow one another faster than that.
        self.environment = os.environ | {
            "PYTHONPATH": str(self.root),
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_CACHE_HOME": str(self.cache),
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.environment.pop("NUMBA_CACHE_DIR", None)

    def run_with(self, path: str, text: str, tests: list[str], limit: float) -> Outcome:
        """Run the tests with `text` in the place of the file `path`; the file is put back."""
        target = self.root / path
        original, times = target.read_bytes(), target.stat()
        kernels = self._kernel_folders()
        target.write_text(text, encoding="utf-8")
        try:
            return self.run(tests, limit)
        finally:
            target.write_bytes(original)
            os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
            for folder in self._kernel_folders() - kernels:
                shutil.rmtree(folder)
            shutil.rmtree(self.root / ".hypothesis", ignore_errors=True)

    def run(self, tests: list[str], limit: float) -> Outcome:
        """Whether a test fails, crashes, or takes longer than `limit` seconds; the simulator in its own process."""
        ordinary = [test for test in tests if test != SIMULATOR]
        outcome = self._run(ordinary, self.environment, limit) if ordinary else Outcome(False, 0.0, "")
        if outcome.noticed or SIMULATOR not in tests:
            return outcome
        return self._run([SIMULATOR], self.environment | {"NUMBA_ENABLE_CUDASIM": "1"}, limit)

    def _run(self, tests: list[str], environment: dict[str, str], limit: float) -> Outcome:
        command = [sys.executable, "-c", _RUN, *PYTEST, *tests]
        start = time.perf_counter()
        with subprocess.Popen(
            command,
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return Outcome(True, time.perf_counter() - start, f"no end after {limit:.0f} s")
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode in (_USAGE_ERROR, _NO_TESTS):
            raise RuntimeError(f"pytest did not run {' '.join(tests)}:\n{output}")
        return Outcome(process.returncode != 0, time.perf_counter() - start, output)

    def _kernel_folders(self) -> set[Path]:
        return set(self.cache.glob("symgauss/kernels-*"))
