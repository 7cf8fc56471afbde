import numpy as np
import pytest

from tests.oracle.cases import CASES
from tests.oracle.points import MU_FACTOR, S_MAX, S_MIN, sample_points


@pytest.mark.parametrize("key", CASES)
def test_points_fill_the_domain(key):
    case = CASES[key]
    centers, lengths = case.centers_and_lengths()
    mu, s = sample_points(centers, lengths)
    assert mu.size >= 2000
    assert len(set(zip(mu, s))) == mu.size
    assert s.min() == S_MIN
    assert s.max() == S_MAX
    reach = MU_FACTOR * np.maximum(1, s)
    assert (np.abs(mu) <= reach).all()
    assert (mu == reach).any()
    assert (mu == -reach).any()
    assert (mu == 0).sum() >= 20
    for decade in range(-8, 8):
        assert ((s >= 10.0**decade) & (s <= 10.0 ** (decade + 1))).sum() > 60
    for c in centers:
        z = (c - mu) / s
        assert (mu == c).sum() >= 20
        assert ((np.abs(z) > 0) & (np.abs(z) < 8)).sum() > 300
        for side in (z, -z):
            assert ((side > 8) & (side < 40)).sum() > 50
    for length in lengths:
        assert ((s > length / 10) & (s < 10 * length)).sum() > 200


def test_points_are_the_same_every_time():
    first, again = (sample_points([0.0, 6.0], [6.0]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = sample_points([0.0, 6.0], [6.0], seed=1)
    assert not np.isin(other[0], first[0]).all()


def test_a_smaller_domain():
    mu, s = sample_points([0.0], [1.0], s_max=1e4)
    assert s.max() == 1e4
    assert np.abs(mu).max() == 5e5
