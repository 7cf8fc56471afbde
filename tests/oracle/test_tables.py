"""The checked-in tables: complete, and random rows of them true.

ORACLE_SEED=n rechecks other rows, ORACLE_ROWS=n more of them (whole tables, if there are fewer).
"""

import dataclasses
import os

import mpmath
import numpy as np
import pytest
from flint import arb

from tests.marks import mostly_slow
from tests.oracle import cases, tables
from tests.oracle.accuracy import EPSILON
from tests.oracle.arb import precision
from tests.oracle.cases import CASES
from tests.oracle.recheck import recheck
from tests.oracle.storage import FOLDER, Table, load, read, save
from tests.oracle.truth import disagreement, source

SEED = int(os.environ.get("ORACLE_SEED", "0"))
ROWS = int(os.environ.get("ORACLE_ROWS", "8"))


@pytest.mark.parametrize("key", CASES)
def test_a_table_is_complete(key):
    table = load(key)
    n = table.mu.size
    assert n >= 2000
    assert table.confirmed.sum() >= 200
    assert table.about["activation"] == CASES[key].name
    assert table.about["parameters"] == CASES[key].parameters
    for part in ("hi", "lo", "kappa"):
        assert getattr(table, f"h_{part}").shape == (n, 9)
        assert getattr(table, f"g_{part}").shape == (n, 4)
        assert np.isfinite(getattr(table, f"h_{part}")).all()
        assert np.isfinite(getattr(table, f"g_{part}")).all()
    assert not np.isnan(table.h_log2_scale).any()
    assert not np.isnan(table.g_log2_scale).any()
    assert (table.h_kappa >= 0).all()
    assert (table.g_kappa >= 0).all()
    assert (FOLDER / f"{key}.npz").stat().st_size < 350_000


@pytest.mark.parametrize("key", CASES)
def test_values_do_not_exceed_their_scales(key):
    """|h_k| ≤ D_k and |g_k| ≤ D(g_k): an inequality for any σ."""
    table = load(key)
    for quantity in "hg":
        scale = np.exp2(getattr(table, f"{quantity}_log2_scale"))
        assert (np.abs(getattr(table, f"{quantity}_hi")) <= scale * (1 + 1e-3) + 1e-305).all()


def test_there_are_no_other_tables():
    assert {path.stem for path in FOLDER.iterdir()} == set(CASES)


# With other parameters the formulas are proved anew, for seconds; the definitions are the same.
AT_DEFAULTS = [key for key, case in CASES.items() if not case.parameters]


@pytest.mark.parametrize("key", mostly_slow(CASES, fast=AT_DEFAULTS))
def test_random_rows_are_true(key):
    print(f"ORACLE_SEED={SEED}")  # shown when a row is wrong
    table = load(key)
    rng = np.random.default_rng([SEED, *key.encode()])
    rows = rng.choice(table.mu.size, min(ROWS, table.mu.size), replace=False)
    assert sum(recheck(CASES[key], table, row) for row in rows) >= 1 or ROWS < 8


def changed(table: Table, column: str, place: tuple[int, int], factor: float) -> Table:
    values = getattr(table, column).copy()
    values[place] *= factor
    return dataclasses.replace(table, **{column: values})


@pytest.mark.parametrize(
    ("column", "factor"),
    [
        ("h_hi", 1 + 20 * EPSILON),
        ("g_hi", 1 + 20 * EPSILON),
        ("h_hi", 1 + EPSILON),
        ("h_lo", -1),
        ("h_kappa", 1.1),
        ("g_kappa", 1.1),
        ("h_log2_scale", 1.01),
        ("g_log2_scale", 1.01),
    ],
)
def test_a_wrong_entry_is_noticed(column, factor):
    table = load("relu")
    row = int(np.flatnonzero((table.s > 0.5) & (table.s < 2) & (table.mu < -1) & (table.mu > -5))[0])
    recheck(CASES["relu"], table, row)
    with pytest.raises(AssertionError):
        recheck(CASES["relu"], changed(table, column, (row, 2), factor), row)


def test_formula_and_definition_must_agree(monkeypatch):
    """A row confirmed against another activation's definition differs by about D."""
    table = load("relu")
    row = int(np.flatnonzero(table.confirmed & (table.s > 0.5) & (table.s < 2))[0])
    with precision(200):
        found = [arb(float(v)) for v in table.h_hi[row]]
    worst = tables.row_disagreement(CASES["abs"], table.mu[row], table.s[row], found, table.h_log2_scale[row])
    assert worst > 1e-3
    monkeypatch.setattr(tables, "row_disagreement", lambda *_: 1.1e-25)
    monkeypatch.setattr(cases, "sample_points", few_points)
    with pytest.raises(AssertionError, match=r"differ by 1\.1e-25"):
        tables.build(CASES["relu"], confirm=5)


def few_points(centers, lengths, seed, s_max, rates):
    del lengths, s_max, rates
    rng = np.random.default_rng(seed)
    s = 10 ** rng.uniform(-8, 8, 40)
    return centers[0] + s * rng.uniform(-9, 9, 40), s


def test_disagreement_is_an_upper_bound():
    with precision(200):
        one = arb(1)
        assert disagreement(one * (1 + arb(2) ** -70), one, 0.0) == pytest.approx(2.0**-70)
        assert disagreement(arb(1, 1e-3), one, -10.0) == pytest.approx(1.024, rel=1e-6)


def test_a_table_made_again_is_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(cases, "sample_points", few_points)
    paths = [tmp_path / "first.npz", tmp_path / "second.npz"]
    made = [tables.build(CASES["hardtanh_-0.25_3"], confirm=10) for _ in paths]
    for path, table in zip(paths, made):
        save(table, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    back = read(paths[0])
    assert back.about == made[0].about
    assert back.confirmed.sum() == 10
    for quantity in "hg":
        for part, tolerance in (("hi", 0), ("log2_scale", 2.0**-11), ("lo", 2.0**-61)):
            column = f"{quantity}_{part}"
            np.testing.assert_allclose(getattr(back, column), getattr(made[0], column), rtol=0, atol=tolerance)
        kappa = getattr(back, f"{quantity}_kappa")
        np.testing.assert_array_less(kappa, getattr(made[0], f"{quantity}_kappa") + 1e-300)
        np.testing.assert_allclose(1 + kappa, 1 + getattr(made[0], f"{quantity}_kappa"), rtol=0.011)


def test_without_a_closed_form_a_quadrature_is_the_truth(monkeypatch):
    """E[tanh(Z) Z] = 0.605705… and odd orders only at μ = 0."""
    points = (np.array([0.0, 2.0, 0.0]), np.array([1.0, 0.5, 1e-8]))
    monkeypatch.setattr(cases, "sample_points", lambda *_, **__: points)
    table = tables.build(CASES["tanh"], confirm=3)
    assert table.confirmed.all()
    with mpmath.workdps(30):
        true = 2 * mpmath.quad(lambda z: mpmath.tanh(z) * z * mpmath.npdf(z), [0, 1, 2, 4, 8, 16])
    assert table.h_hi[0, 1] == float(true)
    np.testing.assert_allclose(table.h_hi[0, ::2], 0, atol=1e-26)
    np.testing.assert_allclose(table.g_hi[2], [0, 1, 0, -2], rtol=1e-15, atol=1e-26)
    assert all(recheck(CASES["tanh"], table, row) for row in range(3))
    with pytest.raises(AssertionError, match="h_1"):
        recheck(CASES["tanh"], changed(table, "h_hi", (0, 1), 1 + EPSILON), 0)
    with pytest.raises(AssertionError, match="g_3"):
        recheck(CASES["tanh"], changed(table, "g_hi", (2, 3), 1 + EPSILON), 2)


def test_slopes_are_confirmed_apart():
    """At s = 1e-8 a wrong h_3 is 1e-26 D(h_3) away, but as far as D(g_3) from the mean of σ‴."""
    case, mu, s = CASES["sigmoid"], 0.5, 1e-8
    h_scale, g_scale = (scale[0] for scale in tables.scales(case, np.array([mu]), np.array([s])))
    found = source(case)(mu, s)
    assert tables.row_disagreement(case, mu, s, found, h_scale, g_scale) < 1e-26
    found[3] *= 1.5
    assert tables.row_disagreement(case, mu, s, found, h_scale) < 1e-24
    assert tables.row_disagreement(case, mu, s, found, h_scale, g_scale) > 0.1


def test_an_unknown_table_is_refused():
    with pytest.raises(SystemExit, match="no such table: rleu"):
        tables.main(["rleu"])
