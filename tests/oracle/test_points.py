import numpy as np
import pytest

from tests.oracle.cases import CASES, below_overflow
from tests.oracle.points import MU_FACTOR, S_MIN, sample_points


@pytest.mark.parametrize("key", CASES)
def test_points_fill_the_domain(key):
    case = CASES[key]
    centers, lengths = case.centers_and_lengths()
    mu, s = case.points()
    assert mu.size >= 2000
    assert len(set(zip(mu, s))) == mu.size
    assert s.min() == S_MIN
    assert s.max() == case.s_max
    reach = MU_FACTOR * np.maximum(1, s)
    assert (np.abs(mu) <= reach).all()
    assert (mu == reach).any()
    assert (mu == -reach).any()
    assert (mu == 0).sum() >= 20
    for decade in range(-8, int(np.log10(case.s_max))):
        assert ((s >= 10.0**decade) & (s <= 10.0 ** (decade + 1))).sum() > 60
    for c in centers:
        z = (c - mu) / s
        assert (mu == c).sum() >= 20
        assert ((np.abs(z) > 0) & (np.abs(z) < 8)).sum() > 300
        for side in (z, -z):
            assert ((side > 8) & (side < 40)).sum() > 50
    for length in lengths:
        assert ((s > length / 10) & (s < 10 * length)).sum() > 200
    assert ((s > 0.3) & (s < 4)).sum() > (500 if case.rates else 180)
    for rate in case.rates:
        for peak in (mu + rate * s * s, -mu + rate * s * s):
            assert ((peak < -2) & (s > 2) & (s < 40)).sum() > 20
            assert ((np.abs(peak) < 4) & (s > 2)).sum() > 10


def test_points_are_the_same_every_time():
    first, again = (sample_points([0.0, 6.0], [6.0]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = sample_points([0.0, 6.0], [6.0], seed=1)
    assert not np.isin(other[0], first[0]).all()


def test_nothing_overflows():
    mu, s = CASES["exp"].points()
    assert (mu + s * s / 2 + 8 * np.log(np.maximum(1, s)) <= 690 * (1 + 1e-15)).all()
    assert (mu + s * s / 2 > 600).sum() > 5
    kept = below_overflow(np.array([-50.0, 3.0]), np.array([1.0, 30.0]), 111.0)
    np.testing.assert_array_equal(kept, [-50.0, 3.0])
    (moved,) = below_overflow(np.array([1500.0]), np.array([30.0]), 111.0)
    assert moved == pytest.approx(690 - 450 - 8 * np.log(30))
    with pytest.raises(ValueError, match="nothing is allowed"):
        below_overflow(np.array([0.0]), np.array([1.0]), 112.0)


def test_a_smaller_domain():
    mu, s = sample_points([0.0], [1.0], s_max=1e4)
    assert s.max() == 1e4
    assert np.abs(mu).max() == 5e5
