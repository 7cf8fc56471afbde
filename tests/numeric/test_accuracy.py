"""Every kernel against the whole table of its activation."""

import pytest

from tests.oracle.accuracy import kernel_worst
from tests.oracle.cases import CASES


@pytest.mark.parametrize("key", CASES)
def test_errors_stay_within_their_bound(key):
    """η ≤ bound · ε (1 + κ) for h_0 … h_8 and g_0 … g_3."""
    for result in kernel_worst(CASES[key]):
        assert result.ratio <= CASES[key].bound, str(result)
