"""Where there is no GPU everything here is skipped, and says why in one line.

make test-gpu                               all of it, in two runs, about four minutes on a new machine with 16 cores
make test-gpu ARGS="-k 'relu or solver'"    a short one
python -m pytest tests/gpu -m kernels       values of kernels one by one
python -m pytest tests/gpu -m "not kernels" layers, variances, the solver, memory, streams, with every library

Values of kernels are the same whichever library holds the arrays: they are tested with the first that can use the GPU.
Compiling the kernels takes one process six minutes or so. So several share them, `-n 8`, and tests of the same kernels
come one after the other, for most of them to be compiled in one process only. The other tests fill the GPU's memory,
and run one at a time.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from numeric import solver as solving
from tests.gpu.libraries import LIBRARIES, Library, missing, no_gpu
from tests.numeric.test_solver_device import named
from tests.oracle.cases import CASES

_why_not, _missing = cache(no_gpu), cache(missing)

# Of tests/gpu/test_gpu.py, and the argument that says which kernels a case needs.
KERNELS = {
    "test_true_values": "key",
    "test_single_precision": "key",
    "test_activations_and_pairs_that_do_not_vary": "name",
    "test_covariances": "name",
    "test_gaussian_moments": "order",
    "test_master_coefficients": "n",
    "test_odd_shapes": "name",
}


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Mark the tests of kernels, put together those of the same, and leave them to one library."""
    first = next((name for name in LIBRARIES if not _missing(name)), "")
    kernels, others, left_out = [], [], []
    for item in items:
        group = _kernels_of(item)
        if not group:
            others.append(item)
            continue
        item.add_marker(pytest.mark.kernels)
        if _why_not() or item.callspec.params["library"] == first:
            kernels.append((group, item))
        else:
            left_out.append(item)
    # pytest-xdist hands out neighbours; its own groups do nothing since pytest 9.2
    kernels.sort(key=lambda pair: pair[0])
    items[:] = [*(item for _, item in kernels), *others]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def _kernels_of(item: Any) -> str:
    """The activation, whatever its parameters, or the order, whose kernels are tested; empty if none are."""
    argument = KERNELS.get(getattr(item, "originalname", "")) if item.path.parent.name == "gpu" else None
    if argument is None:
        return ""
    value = item.callspec.params[argument]
    return CASES[value].name if argument == "key" else str(value)


def pytest_runtest_setup(item: Any) -> None:
    reason = _why_not() or _missing(item.callspec.params["library"])
    if reason:
        pytest.skip(reason)


@pytest.fixture(params=["no GPU"] if _why_not() else LIBRARIES, autouse=True)
def library(request: pytest.FixtureRequest) -> Library:
    """Each library that can use the GPU; of one that cannot, it is said why."""
    return LIBRARIES[request.param]()


@pytest.fixture
def to(library: Library) -> Callable[[np.ndarray], Any]:
    """NumPy's arrays to the GPU."""
    return library.put


@pytest.fixture
def template(library: Library, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty array of the library, which the solver's device "cuda" then is."""
    made = library.put(np.zeros(0))
    monkeypatch.setattr(solving, "empty_on", named(made))
    return made
