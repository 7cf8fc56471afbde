"""Every kernel of a GPU, as the simulator runs it, against the tables of true values and against the CPU's kernels.

Errors are in units of ε (1 + κ) D, D = E[|σ|(|He_k| + k|He_{k−1}|)]: the bounds of the CPU's kernels in double
precision, and 1e-5 with ε = 2⁻²⁴ in single.
"""

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

import numeric as nm
import numeric.cuda as nc
from numeric import bivariate, isserlis
from numeric.cuda import kernels, translate
from numeric.generated import PARAMETERS
from numeric.generated.covariance import COMPILED
from tests.oracle.accuracy import worst
from tests.oracle.cases import CASES, Case
from tests.oracle.storage import Table, load

SINGLE = 1e-5 * 2.0**24
# What single precision cannot hold, with the margin that the floor of 1e-300 leaves in double.
FLOOR = 1e-30
KEYS = [key for key, case in CASES.items() if nm.activation(case.name).kernels.KIND != "integrated"]
ORDERS = (2, 8)


def some(table: Table, rows: NDArray[np.intp]) -> Table:
    """These rows of a table."""
    columns = {f.name: getattr(table, f.name) for f in fields(table) if f.name != "about"}
    return replace(table, **{name: column[rows] for name, column in columns.items()})


def chosen(case: Case, count: int = 24) -> Table:
    table = load(case.key)
    return some(table, np.random.default_rng(0).permutation(len(table.mu))[:count])


def units(got: NDArray, want: NDArray, log2_scale: NDArray, kappa: NDArray) -> NDArray:
    """|got − want| in units of 2⁻²⁴ (1 + κ) D."""
    with np.errstate(all="ignore"):
        error = np.maximum(np.abs(got.astype(np.float64) - want) - FLOOR, 0)
        return np.where(error == 0, 0, error / (2.0**-24 * (1 + kappa) * np.exp2(log2_scale)))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("key", KEYS)
def test_double_precision_is_as_exact_as_on_the_cpu(key: str, order: int) -> None:
    case, table = CASES[key], chosen(CASES[key])
    act = nm.activation(case.name, **case.parameters)
    for letter, kind, highest in (("h", "hermite", order), ("g", "derivatives", min(order, 3))):
        columns = {f"{letter}_{part}": getattr(table, f"{letter}_{part}")[:, : highest + 1] for part in PARTS}
        computed = nc.evaluate(kind, act, table.mu, table.s, highest)
        assert computed.dtype == np.float64
        found = worst(letter, replace(table, **columns), computed)
        assert found.ratio <= case.bound, str(found)


PARTS = ("hi", "lo", "log2_scale", "kappa")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("key", KEYS)
def test_single_precision(key: str, order: int) -> None:
    case, table = CASES[key], load(CASES[key].key)
    act = nm.activation(case.name, **case.parameters)
    good = (table.s > 1e-6) & (table.s < 1e6) & (np.abs(table.mu) < 1e6)
    rows = np.random.default_rng(1).permutation(np.flatnonzero(good))[:24]
    table = some(table, rows)
    mean, std = table.mu.astype(np.float32), table.s.astype(np.float32)
    for letter, kind, highest, exact in (
        ("h", "hermite", order, nm.hermite_coefficients),
        ("g", "derivatives", min(order, 3), nm.expected_derivatives),
    ):
        want = exact(act, mean.astype(np.float64), std.astype(np.float64), highest)
        fits = np.abs(want).max(axis=1) < 1e37
        got = nc.evaluate(kind, act, mean[fits], std[fits], highest)
        assert got.dtype == np.float32
        scale, kappa = (getattr(table, f"{letter}_{part}")[fits, : highest + 1] for part in PARTS[2:])
        found = units(got, want[fits], scale, kappa)
        assert found.max(initial=0.0) <= SINGLE
        assert units(got + 1e-3 * np.exp2(scale), want[fits], scale, kappa).max() > SINGLE / (1 + kappa.max())


def roundings(got: NDArray, want: NDArray) -> float:
    """The largest relative error in units of 2⁻²⁴, where float32 has normal numbers."""
    normal = np.abs(want) > 1.2e-38
    return float((np.abs(got.astype(np.float64) - want) / np.abs(want) * 2.0**24)[normal].max())


def test_primitives_in_single_precision() -> None:
    """Against those of the CPU at the same numbers, to the errors that `numeric.cuda.single` claims."""
    single, double = translate.module("numeric.special", "single"), translate.module("numeric.special", "double")
    rng = np.random.default_rng(7)
    z = np.concatenate([rng.uniform(-13, 13, 200), rng.uniform(-2, 2, 200), [1.2, 1e-6]]).astype(np.float32)
    for name, columns, bound in (("gauss", 1, 8), ("centred_Phi", 1, 4), ("Phi_phi", 2, 8), ("scaled_ladder", 10, 8)):
        x = np.abs(z) ** 2 if name == "scaled_ladder" else z
        rows = np.array([getattr(single, name)(v) for v in x]).reshape(len(x), columns)
        want = np.array([getattr(double, name)(v) for v in x.astype(np.float64)]).reshape(len(x), columns)
        assert rows.dtype == np.float32
        assert roundings(rows, want) <= bound, name
        assert roundings(rows * np.float32(1 + 1e-6), want) > bound
    for name in ("I_1", "I_2"):
        given = [(y, single.gauss(y)) for y in -np.abs(z)]
        rows = np.array([getattr(single, name)(*pair) for pair in given])
        want = np.array([getattr(double, name)(*map(float, pair)) for pair in given])
        assert rows.dtype == np.float32
        assert roundings(rows, want) <= 8, name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PARAMETERS)
def test_activations_and_pairs_that_do_not_vary(name: str, dtype: type) -> None:
    """σ itself; and at s = 0 the σ^(k) that the CPU has there."""
    act = nm.activation(name)
    x = np.array([-30.0, -1.5, -0.25, 0.0, 0.002, 0.5, 2.0, 7.0], dtype)
    np.testing.assert_allclose(nc.values(act, x), act(x), rtol=4e-6 if dtype == np.float32 else 1e-14, atol=1e-12)
    if act.kernels.KIND == "integrated":
        with pytest.raises(nc.NoKernel, match="integrated adaptively"):
            nc.evaluate("hermite", act, x, 0 * x)
        return
    for kind, exact in (("hermite", nm.hermite_coefficients), ("derivatives", nm.expected_derivatives)):
        for order in ORDERS:
            got, want = nc.evaluate(kind, act, x, 0 * x, order), exact(act, x.astype(float), 0.0 * x, order)
            scale = np.abs(want).max(axis=0, initial=1.0)
            np.testing.assert_allclose(got / scale, want / scale, rtol=0, atol=1e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("name", sorted(COMPILED))
def test_covariances(name: str) -> None:
    """In double precision: the CPU's values."""
    rng = np.random.default_rng(3)
    mean_1, mean_2 = rng.standard_normal((2, 12))
    std_1, std_2 = np.exp(0.5 * rng.standard_normal((2, 12)))
    rho = np.concatenate([rng.uniform(-1, 1, 8), [0.0, 1.0, -1.0, 0.99999]])
    arrays = [mean_1, std_1, mean_2, std_2, rho]
    value, doubt = nc.gaussian_covariance(name, *arrays)
    assert value.dtype == doubt.dtype == np.float64
    want, size = covariances(name, arrays)
    assert not beyond(value, doubt, want, size, 1e-12).any()


def covariances(name: str, arrays: list[NDArray]) -> tuple[NDArray, NDArray]:
    """The CPU's E σ₁σ₂, and √(E σ₁² E σ₂²), at the same numbers."""
    mean_1, std_1, mean_2, std_2, rho = (array.astype(np.float64) for array in arrays)
    squares = [nm.gaussian_covariance(name, m, s, m, s, 1.0) for m, s in ((mean_1, std_1), (mean_2, std_2))]
    return nm.gaussian_covariance(name, mean_1, std_1, mean_2, std_2, rho), np.sqrt(squares[0]) * np.sqrt(squares[1])


def beyond(value: NDArray, doubt: NDArray, want: NDArray, size: NDArray, tolerance: float) -> NDArray[np.bool_]:
    """Where a covariance errs by more than it says, and by more than `tolerance` of its size; NaN does."""
    error = np.maximum(np.abs(value.astype(np.float64) - want) - FLOOR, 0)
    return ~(error <= np.maximum(doubt, tolerance * size))


def wide(name: str, count: int = 48) -> list[NDArray[np.float32]]:
    """Pairs in float32 of means to ±5, deviations from 0.05 to 20, and correlations among which are the extremes."""
    rng = np.random.default_rng(13)
    means = rng.uniform(-5, 5, (2, count))
    # e^y exceeds float32 where it is wider
    stds = np.exp(rng.uniform(np.log(0.05), np.log(4 if nm.activation(name).kernels.MAY_OVERFLOW else 20), (2, count)))
    rho = rng.uniform(-1, 1, count)
    rho[:8] = 0.0, 1.0, -1.0, 0.99999, -0.99999, 1 - 1e-7, -1 + 1e-7, 1e-3
    means[:, 4:6], stds[:, 4:6] = means[:1, 4:6], stds[:1, 4:6]
    return [array.astype(np.float32) for array in (means[0], stds[0], means[1], stds[1], rho)]


def ordinary(count: int = 32) -> list[NDArray[np.float32]]:
    """Means within three deviations and ±3, deviations from 0.2 to 5, and half of the correlations close to 1."""
    rng = np.random.default_rng(11)
    stds = np.exp(rng.uniform(np.log(0.2), np.log(5), (2, count)))
    means = rng.uniform(-3, 3, (2, count)) * np.minimum(1, stds)
    rho = np.concatenate([rng.uniform(-1, 1, count // 2), 1 - 10 ** rng.uniform(-7, 0, count - count // 2)])
    return [array.astype(np.float32) for array in (means[0], stds[0], means[1], stds[1], rho)]


@pytest.mark.parametrize("name", sorted(COMPILED))
def test_covariances_in_single_precision(name: str) -> None:
    """1e-5 of the size, or what they say themselves, which is what they say in double precision but for the ε."""
    arrays = wide(name)
    value, doubt = nc.gaussian_covariance(name, *arrays)
    assert value.dtype == doubt.dtype == np.float32
    want, size = covariances(name, arrays)
    assert not beyond(value, doubt, want, size, 1e-5).any()
    wrong = beyond(value + 1e-4 * size + 2 * doubt, doubt, want, size, 1e-5)
    assert wrong[size > 1e10 * FLOOR].all()
    doubled = nc.gaussian_covariance(name, *(array.astype(np.float64) for array in arrays))[1]
    # associations say more, by the exponents of their densities
    ratio = 2.0**31 * (10 if name == "erf" else 1.5)
    assert (doubt <= ratio * doubled + 1e-6 * size + FLOOR).all()


@pytest.mark.parametrize("name", sorted(COMPILED))
def test_single_precision_is_kept_where_it_holds(name: str) -> None:
    """The text in single precision, also of what kernels compute in double: which is so because of these pairs."""
    fails = name in kernels.DOUBLE_COVARIANCES
    arrays = unfit(name) if fails else ordinary()
    act = nm.activation(name)
    function = translate.module(f"numeric.generated.covariance.{name}", "single").covariance_pair
    with np.errstate(all="ignore"):
        value = np.array([function(*row, *map(np.float32, act.arguments))[0] for row in zip(*arrays)])
    assert value.dtype == np.float32
    want, size = covariances(name, arrays)
    assert beyond(value, np.zeros_like(value), want, size, 1e-5).any() == fails
    expected = "double" if fails else "single"
    assert kernels.covariances(act, "single").inside == expected


def unfit(name: str) -> list[NDArray[np.float32]]:
    """Pairs at which single precision ends in NaN, or at −3 deviations, or in the dead zone of softshrink, cancels."""
    rho = np.linspace(-0.9, 0.9, 24)
    means, stds = {"relu2": ((-0.75, -1.37), (0.25, 0.46)), "softshrink": ((0.0, 0.1), (0.2, 0.2))}.get(
        name, ((1.0, 1.0), (20.0, 20.0))
    )
    columns = (np.full(24, means[0]), np.full(24, stds[0]), np.full(24, means[1]), np.full(24, stds[1]), rho)
    return [column.astype(np.float32) for column in columns]


def test_distribution_of_two_normals_in_single_precision() -> None:
    """Φ₂, its densities and its excess over ΦΦ, to the errors that `numeric.cuda.single.binormal` claims."""
    from numeric.binormal import corner_loop

    rng = np.random.default_rng(17)
    n = 400
    h, k = (rng.standard_normal((2, n)) * 10 ** rng.uniform(-2, 0.9, n)).astype(np.float32)
    rho = (np.sign(rng.uniform(-1, 1, n)) * (1 - 10 ** rng.uniform(-7, 0, n))).astype(np.float32)
    rho[:4] = 0, 1, -1, 0.5
    want = np.empty((5, n))
    doubles = [array.astype(np.float64) for array in (h, k, rho)]
    corner_loop(*doubles, 1 - doubles[2], 1 + doubles[2], want)
    sized = translate.module("numeric.covariance_kernels", "single")
    corner = translate.module("numeric.binormal", "single").corner
    asked = list(zip(h, k, rho, np.float32(1) - rho, np.float32(1) + rho))
    found = np.array([corner(*one) for one in asked]).T
    assert found.dtype == np.float32
    absolute = np.abs(found - want[:4]).max(axis=1) * 2.0**24
    assert (absolute <= [5, 2, 2, 2]).all()
    for name, true in (("Phi2_sized", want[0]), ("association_sized", want[4])):
        value, size = np.array([getattr(sized, name)(*one) for one in asked], np.float64).T
        assert (np.abs(value - true) <= 8 * 2.0**-24 * size + FLOOR).all()
        assert not (np.abs(1.00001 * value - true) <= 8 * 2.0**-24 * size + FLOOR).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", range(1, 9))
def test_gaussian_moments(order: int, dtype: type) -> None:
    rng = np.random.default_rng(order)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for powers in kernels.partitions(order):
        n = len(powers) + 1
        factor = rng.standard_normal((4, n, n))
        cov = (factor @ factor.transpose(0, 2, 1) / n).astype(dtype)
        cov = 0.5 * (cov + cov.transpose(0, 2, 1))
        mean = rng.standard_normal((4, n)).astype(dtype)
        asked = rng.permutation([*powers, 0])
        got = nc.gaussian_moment(mean, cov, asked.tolist())
        assert got.dtype == dtype
        want = nm.gaussian_moment(mean.astype(float), cov.astype(float), asked.tolist())
        size = nm.gaussian_moment(np.abs(mean.astype(float)), np.abs(dominant(cov.astype(float))), asked.tolist())
        assert (np.abs(got - want) <= tolerance * size).all()


def dominant(cov: NDArray[np.float64]) -> NDArray[np.float64]:
    """|S_ij| as a covariance of which every moment is the sum of the terms' absolute values or more."""
    root = np.sqrt(np.einsum("bii->bi", cov))
    return root[:, :, None] * root[:, None, :]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", range(1, 9))
def test_master_coefficients(n: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    factor = rng.standard_normal((5, n, n))
    cov = (factor @ factor.transpose(0, 2, 1) / n).astype(dtype)
    cov = 0.5 * (cov + cov.transpose(0, 2, 1))
    mean, along = rng.standard_normal((2, 5, n)).astype(dtype)
    got = nc.hermite_master_coefficients(mean, cov, along)
    assert got.dtype == dtype
    want = nm.hermite_master_coefficients(mean.astype(float), cov.astype(float), along.astype(float))
    arrays = (np.abs(mean.astype(float)), dominant(cov.astype(float)), np.abs(along.astype(float)))
    size = nm.hermite_master_coefficients(*arrays)
    assert (np.abs(got - want) <= (1e-5 if dtype == np.float32 else 1e-12) * size).all()


@pytest.mark.parametrize("first", [1, 2, 3])
@pytest.mark.parametrize("gated", [False, True])
def test_series_of_residual_covariances(gated: bool, first: int) -> None:
    """Against the CPU's loops, the pairs among them that are left out included."""
    from numeric import pairs

    rng = np.random.default_rng(5)
    terms, reach = np.array([8, 16, 24]), np.array([0.2, 0.5, 0.8])
    rows, columns = 5, 7
    arrays = [rng.standard_normal((n, 24)) / 1.5 ** np.arange(24) for n in (rows, rows, columns, columns)]
    rest, others = rng.uniform(0, 1e-5, rows), rng.uniform(0, 1e-5, columns)
    g = rng.uniform(-1, 1, (rows, columns))
    found, want = np.empty_like(g), np.empty_like(g)
    if gated:
        crossed = rng.uniform(-0.5, 0.5, (3, rows, columns))
        given = (*arrays, rest, others, g, *crossed, terms, reach, first)
        nc.gated_series(*given, found)
        pairs.gated(*given, want)
    else:
        given = (arrays[0], arrays[2], rest, others, g, terms, reach, first)
        nc.ungated_series(*given, found)
        pairs.ungated(*given, want)
    assert np.isnan(want).any()
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-14)


def test_shapes_broadcast_and_strided_or_empty_arrays_are_fine() -> None:
    mean, std = np.linspace(-2, 2, 24).reshape(3, 8)[:, ::2], np.array([[0.5], [1.0], [2.0]])
    np.testing.assert_allclose(
        nc.evaluate("hermite", "gelu", mean, std), nm.hermite_coefficients("gelu", mean, std), atol=1e-15
    )
    assert nc.evaluate("hermite", "relu", np.zeros((0, 3)), np.ones((0, 3))).shape == (0, 3, 3)
    mixed = nc.evaluate("hermite", "relu", mean.astype(np.float32), std)
    assert mixed.dtype == np.float64


def test_an_activation_of_ones_own() -> None:
    """The text that symgauss makes at run time serves GPUs as well."""
    import symgauss as sg

    own = sg.Activation("own_softplus_step", sg.x * sg.Phi(2 * sg.x) + sg.x**2 / 3)
    mean, std = np.linspace(-3, 3, 7), np.full(7, 0.8)
    want = nm.hermite_coefficients(own, mean, std, 4)
    np.testing.assert_allclose(nc.evaluate("hermite", own, mean, std, 4), want, rtol=1e-12, atol=1e-14)
    single = nc.evaluate("hermite", own, mean.astype(np.float32), std.astype(np.float32), 4)
    np.testing.assert_allclose(single, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_covariances_that_no_formula_is_good_enough_for(dtype: type) -> None:
    """And those of pairs that do not vary: by the CPU, as all of them would be there."""
    rng = np.random.default_rng(8)
    mean_1, mean_2, rho = rng.uniform(-1, 1, (3, 9)).astype(dtype)
    std_1, std_2 = np.exp(rng.standard_normal((2, 9))).astype(dtype)
    std_1[:2], std_2[2], mean_1[3], rho[4] = 0.0, 0.0, -30.0, 1.0
    given, doubtful = [mean_1, std_1, mean_2, std_2, rho], []

    def doubted(*arguments: NDArray) -> tuple[NDArray, NDArray]:
        value, doubt = nc.gaussian_covariance(*arguments)
        doubt[6:] = np.inf
        doubtful.append(value[6:].copy())
        value[6:] = np.nan
        return value, doubt

    for name in ("relu", "elu", "erf"):
        act = nm.activation(name)
        found = bivariate.by_kernel(act, given, doubted)
        want = nm.gaussian_covariance(act, *(array.astype(np.float64) for array in given))
        size = np.abs(want).max()
        assert found.dtype == dtype
        assert (np.abs(found - want) <= (1e-5 if dtype == np.float32 else 1e-12) * size).all()
    assert all(np.isfinite(value).all() for value in doubtful)
    act, one = nm.activation("relu"), np.ones(3, dtype)
    with pytest.raises(ValueError, match="std_2 has 1 bad of 3 entries"):
        bivariate.by_kernel(act, [one, one, one, np.array([1, -1, 0], dtype), 0 * one], nc.gaussian_covariance)
    with pytest.raises(ValueError, match=r"do not broadcast together: mean_1 \(3,\), std_1 \(2,\)"):
        bivariate.by_kernel(act, [one, one[:2], one, one, one], nc.gaussian_covariance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_moments_of_the_public_functions(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leading axes broadcast; what has no kernel, and what is wrong, goes to the CPU."""
    rng, calls = np.random.default_rng(9), []
    mean = rng.standard_normal((2, 1, 3)).astype(dtype)
    factor = rng.standard_normal((5, 3, 3))
    cov = (factor @ factor.transpose(0, 2, 1)).astype(dtype)
    cov = 0.5 * (cov + cov.transpose(0, 2, 1))
    for name in ("gaussian_moment", "hermite_master_coefficients"):
        real = getattr(nc, name)
        monkeypatch.setattr(nc, name, lambda *given, real=real: calls.append(1) or real(*given))
    monkeypatch.setattr(isserlis, "on_cuda", lambda _: True)
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    for powers, count in (((2, 0, 1), 1), ((0, 0, 0), 0), ((4, 4, 1), 0)):
        calls.clear()
        found = isserlis._moment_on_device([mean, cov], powers)
        assert (found.dtype, found.shape, len(calls)) == (dtype, (2, 5), count)
        want = nm.gaussian_moment(mean.astype(float), cov.astype(float), powers)
        np.testing.assert_allclose(found, want, rtol=tolerance, atol=tolerance * np.abs(want).max())
    calls.clear()
    given = [mean, cov, mean[0]]
    found = isserlis._hermite_master_on_device(given)
    want = nm.hermite_master_coefficients(*(array.astype(float) for array in given))
    assert (found.dtype, found.shape, len(calls)) == (dtype, (2, 5, 4), 1)
    np.testing.assert_allclose(found, want, rtol=tolerance, atol=tolerance * np.abs(want).max())
    for wrong, message in (
        ([mean, -cov], "expected a covariance"),
        ([mean, cov[:, :2, :2]], "cov: expected shape"),
        ([mean[..., :0], cov], "mean: expected shape"),
        ([np.repeat(mean, 4, axis=1), cov], "do not broadcast"),
        ([mean * np.nan, cov], "mean"),
        ([mean, cov + np.eye(3, k=1, dtype=dtype)], "symmetric"),
    ):
        with pytest.raises(ValueError, match=message):
            isserlis._moment_on_device(wrong, (1, 1, 1))
    with pytest.raises(ValueError, match="powers: expected 3 integers"):
        isserlis._moment_on_device([mean, cov], (1, 1))


def test_bad_input() -> None:
    good = np.ones(3)
    for mean, std, message in (
        (np.array([0.0, np.nan, 1.0]), good, "mean has 1 bad of 3 entries; expected finite numbers."),
        (good, np.array([-1.0, 1.0, np.inf]), "std has 2 bad of 3 entries; expected finite numbers ≥ 0."),
    ):
        with pytest.raises(ValueError, match=message.replace(".", r"\.")):
            nc.evaluate("hermite", "relu", mean, std)
    with pytest.raises(ValueError, match="order: expected at most 8 on a GPU, got 9"):
        nc.evaluate("hermite", "relu", good, good, 9)
    with pytest.raises(OverflowError, match="beyond single precision"):
        nc.evaluate("hermite", "exp", good.astype(np.float32), 50 * good.astype(np.float32))
    with pytest.raises(ValueError, match="rho has entries outside"):
        nc.gaussian_covariance("relu", good, good, good, good, 2 * good)
    with pytest.raises(ValueError, match="std_2 has entries that are 0"):
        nc.gaussian_covariance("relu", good, good, good, 0 * good, good)
    with pytest.raises(nc.NoKernel, match="no proved covariance"):
        nc.gaussian_covariance("silu", good, good, good, good, good)
    with pytest.raises(ValueError, match="powers: expected a sum from 1 to 8"):
        nc.gaussian_moment(np.zeros((1, 1)), np.ones((1, 1, 1)), (9,))
    with pytest.raises(ValueError, match=r"expected \(n, d\)"):
        nc.gaussian_moment(np.zeros((1, 2)), np.ones((1, 1, 1)), (1, 1))
    with pytest.raises(ValueError, match="n from 1 to 8"):
        nc.hermite_master_coefficients(np.zeros((1, 9)), np.ones((1, 9, 9)), np.zeros((1, 9)))
