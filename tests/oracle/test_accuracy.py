"""The error measure itself, and that the report fails when a kernel is wrong."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.oracle import accuracy
from tests.oracle.accuracy import EPSILON, kernel_worst, ratios, worst
from tests.oracle.cases import CASES
from tests.oracle.storage import load


def ratio(computed: float, hi: float, lo: float = 0.0, scale: float = 1.0, kappa: float = 0.0) -> float:
    log2_scale = np.log2(scale) if scale else -np.inf
    return float(ratios(*(np.array(v) for v in (computed, hi, lo, log2_scale, kappa))))


def test_the_error_is_measured_below_the_last_bit():
    """1/3 in doubles is too small by 1.85e-17."""
    lo = 2.0**-54  # 1/3 = fl(1/3) (1 + 2^-54)
    assert ratio(1 / 3, 1 / 3, lo) == pytest.approx(2.0**-54 / 3 / EPSILON)
    assert ratio(np.nextafter(1 / 3, 1), 1 / 3, lo) == pytest.approx((2.0**-54 - 2.0**-54 / 3) / EPSILON)


def test_an_error_of_20_epsilon_is_20():
    assert ratio(1 + 20 * EPSILON, 1.0) == pytest.approx(20, rel=0.05)
    assert ratio(1e-280 * (1 + 20 * EPSILON), 1e-280, scale=1e-280) == pytest.approx(20, rel=0.05)
    assert ratio(1 + 20 * EPSILON, 1.0, scale=4.0, kappa=4.0) == pytest.approx(1, rel=0.05)


def test_the_floor():
    assert ratio(1e-300, 0.0, scale=1e-310) == 0
    assert ratio(3e-300, 0.0, scale=1e-310) > 1e20
    assert ratio(1e-299, 0.0, scale=0.0) == np.inf
    assert ratio(0.0, 0.0, scale=0.0) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_infinitely_wrong(bad):
    assert ratio(bad, 1.0) == np.inf
    assert ratio(bad, 0.0, scale=0.0) == np.inf


def test_the_worst_is_found_with_its_place():
    table = load("gelu")
    computed = table.h_hi.copy()
    row = int(np.flatnonzero(table.s > 1)[0])
    computed[row, 3] += 20 * EPSILON * (1 + table.h_kappa[row, 3]) * np.exp2(table.h_log2_scale[row, 3])
    found = worst("h", table, computed)
    assert found.ratio == pytest.approx(20, rel=0.1)
    assert (found.k, found.mu, found.s) == (3, table.mu[row], table.s[row])
    assert found.by_order[3] == found.ratio > 1 > max(*found.by_order[:3], *found.by_order[4:])
    assert "h_3 at μ=" in str(found)


def test_bounds():
    """16 units for closed forms, 1e-14 for quadratures, 1e-12 for algebraic tails."""
    bounds = {key: CASES[key].bound * EPSILON for key in ("elu", "sigmoid", "softsign")}
    assert bounds == pytest.approx({"elu": 16 * EPSILON, "sigmoid": 1e-14, "softsign": 1e-12})


def test_shapes_must_match():
    table = load("gelu")
    with pytest.raises(ValueError, match="shape"):
        worst("g", table, table.h_hi)


def fake_numeric(spoil: float) -> SimpleNamespace:
    """The tables' own values as kernels, the last order spoiled by a factor."""

    def values(quantity):
        def kernel(activation, mean, std, order):
            assert (mean.shape, std.shape) == ((mean.size,), (mean.size,))
            result = getattr(load(activation), f"{quantity}_hi").copy()
            assert result.shape[1] == order + 1
            result[:, -1] *= spoil
            return result

        return kernel

    return SimpleNamespace(
        activation=lambda name, **parameters: "_".join([name, *(f"{v:g}" for v in parameters.values())]),
        hermite_coefficients=values("h"),
        expected_derivatives=values("g"),
    )


def test_the_report_passes_truth_and_fails_errors(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "numeric", fake_numeric(1.0))
    assert accuracy.main(["relu", "hardtanh_-0.25_3"]) == 0
    assert "all within their bounds" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "numeric", fake_numeric(1 + 1e-12))
    assert accuracy.main(["relu", "leaky_relu_0.2"]) == 1
    assert "above their bounds" in capsys.readouterr().out


def test_true_values_are_within_half_a_unit(monkeypatch):
    """Correctly rounded values err by at most half a unit: the measure adds nothing of its own."""
    monkeypatch.setitem(sys.modules, "numeric", fake_numeric(1.0))
    for key in CASES:
        assert max(result.ratio for result in kernel_worst(CASES[key])) <= 0.51
