"""Where there is no GPU everything here is skipped, and says why in one line.

make test-gpu
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from numeric import solver as solving
from tests.gpu.libraries import LIBRARIES, Library, missing, no_gpu
from tests.numeric.test_solver_device import named

_why_not, _missing = cache(no_gpu), cache(missing)


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
