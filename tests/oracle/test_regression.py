"""The regression accepts the best polynomial and refuses others, at the rates it promises."""

import numpy as np

from tests.oracle.regression import regress_residual

PHI = 1 / np.sqrt(2 * np.pi)
SAMPLES = 100_000


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x[:, :1], 0.0)


def best_quadratic(x: np.ndarray) -> np.ndarray:
    z = x[:, :1]
    return PHI / 2 + z / 2 + PHI / 2 * z**2


def judge(p, seed: int = 0):
    return regress_residual(relu, p, np.zeros(2), np.eye(2), 2, SAMPLES, seed)


def test_accepts_the_best() -> None:
    p_values = np.array([judge(best_quadratic, seed).p_values[0] for seed in range(20)])
    assert p_values.min() > 1e-4
    assert 0.2 < p_values.mean() < 0.8
    assert np.abs(judge(best_quadratic).z_scores).max() < 4


def test_refuses_a_wrong_coefficient() -> None:
    for term in (lambda x: x[:, :1] * 0 + 1, lambda x: x[:, 1:], lambda x: x[:, :1] * x[:, 1:]):
        wrong = judge(lambda x, term=term: best_quadratic(x) + 0.01 * term(x))
        assert np.abs(wrong.z_scores).max() > 6
        assert wrong.p_values[0] < 1e-6
