"""The helpers of the conversion tests are tested: with wrong values too."""

import numpy as np
import pytest

from tests.numeric.problems import ACTIVATIONS, assert_close, covariance, monomial_sum, textbook


def test_assert_close_refuses_wrong_values() -> None:
    assert_close(np.ones(3), np.ones(3) + 1e-12, 1.0, 1e-11)
    for wrong in (np.array([1.0, 1.0, 1.0 + 1e-10]), np.array([1.0, 1.0, np.nan]), np.ones((3, 1))):
        with pytest.raises(AssertionError):
            assert_close(wrong, np.ones(3), 1.0, 1e-11)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_textbook_at_its_breakpoints(name: str) -> None:
    sigma, breaks = textbook(name)
    y = np.array([-2.0, *breaks, 2.0])
    assert np.isfinite(sigma(y)).all()
    if name == "step":
        assert list(sigma(y)) == [0.0, 0.0, 1.0]


def test_covariance_has_the_rank_it_says() -> None:
    matrix = covariance(np.random.default_rng(0), 4, 2)
    assert np.linalg.matrix_rank(matrix, tol=1e-12) == 2


def test_monomial_sum_by_hand() -> None:
    z = np.array([[2.0, 3.0]])
    tensors = [np.array([1.0]), np.array([[0.5, -1.0]]), np.array([[[1.0, 2.0], [2.0, -1.0]]])]
    value, scale = monomial_sum(tensors, z)
    assert value.item() == 1 + (1 - 3) + (4 + 2 * 2 * 6 - 9)
    assert scale.item() == 1 + (1 + 3) + (4 + 24 + 9)
