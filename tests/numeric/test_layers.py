"""Layers compute what their formulas say, in the dtypes they promise."""

import pickle

import numpy as np
import pytest

from numeric.layers import GLU, MLP
from tests.numeric.problems import ACTIVATIONS, GATES, assert_close, gated_weights, textbook, weights


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_formula(name: str) -> None:
    rng = np.random.default_rng(0)
    W_in, b_in, W_out, b_out = weights(rng, 3, 5, 2)
    x = rng.standard_normal((4, 6, 3))
    sigma, _ = textbook(name)
    layer = MLP(W_in, b_in, W_out, b_out, activation=name)
    assert_close(layer(x), sigma(x @ W_in.T + b_in) @ W_out.T + b_out, 10.0, 1e-14)
    bare = MLP(W_in, None, W_out, activation=name)
    assert_close(bare(x), sigma(x @ W_in.T) @ W_out.T, 10.0, 1e-14)


@pytest.mark.parametrize("name", GATES)
def test_gated_formula(name: str) -> None:
    rng = np.random.default_rng(0)
    G, b, U, c, W, e = gated_weights(rng, 3, 5, 2)
    x = rng.standard_normal((4, 6, 3))
    sigma, _ = textbook(name)
    products = sigma(x @ G.T + b) * (x @ U.T + c)
    assert_close(GLU(G, b, U, c, W, e, name)(x), products @ W.T + e, 10.0, 1e-14)
    assert_close(GLU(G, b, U, c, activation=name)(x), products, 10.0, 1e-14)
    assert_close(GLU(G, b, U, c, None, c, name)(x), products + c, 10.0, 1e-14)
    bare = sigma(x @ G.T) * (x @ U.T)
    assert_close(GLU(G, None, U, None, W, activation=name)(x), bare @ W.T, 10.0, 1e-14)


def test_sizes_and_repr() -> None:
    layer = MLP(np.ones((5, 3)), None, np.ones((2, 5)), activation="relu")
    assert (layer.d_in, layer.n_hidden, layer.d_out) == (3, 5, 2)
    assert repr(layer) == "MLP(3 → 5 → 2, relu)"
    assert MLP(np.ones((5, 3)), None, np.ones((2, 5))).activation.name == "gelu"
    layer = GLU(np.ones((5, 3)), None, np.ones((5, 3)), None, np.ones((2, 5)), activation="relu")
    assert (layer.d_in, layer.n_hidden, layer.d_out) == (3, 5, 2)
    assert repr(layer) == "GLU(3 → 5 → 2, relu)"
    layer = GLU(np.ones((5, 3)), None, np.ones((5, 3)), None)
    assert (layer.d_in, layer.n_hidden, layer.d_out) == (3, 5, 5)
    assert repr(layer) == "GLU(3 → 5, silu)"


def both(rng: np.random.Generator, dtype: type = np.float64) -> list[MLP | GLU]:
    """An MLP, and GLUs with and without an output matrix, with weights of a dtype and float64 biases."""
    G, b, U, c, W, e = gated_weights(rng, 3, 50, 2)
    G, U, W = G.astype(dtype), U.astype(dtype), W.astype(dtype)
    return [MLP(G, b, W, e), GLU(G, b, U, c, W, e), GLU(G, b, U, c, None, b)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_result_type(dtype: type) -> None:
    for layer in both(np.random.default_rng(4), dtype):
        for x_dtype in (np.float16, np.float32, np.float64):
            assert layer(np.ones((4, 3), x_dtype)).dtype == np.result_type(x_dtype, dtype)
        for integers in (np.ones((4, 3), np.int8), np.ones((4, 3), bool), [[1, 2, 3]]):
            assert layer(integers).dtype == np.float64


def test_mixed_dtypes_of_the_weights() -> None:
    single, double = np.ones((5, 3), np.float32), np.ones((5, 3))
    for layer in (GLU(single, None, double, None), GLU(double, None, single, None)):
        assert layer(np.ones((4, 3), np.float32)).dtype == np.float64
    assert GLU(single, np.ones(5), single, np.ones(5))(np.ones((4, 3), np.float32)).dtype == np.float32


def test_shapes() -> None:
    for layer in both(np.random.default_rng(5)):
        for batch in ((), (0,), (7,), (2, 0), (2, 3)):
            assert layer(np.ones((*batch, 3))).shape == (*batch, layer.d_out)


def test_weights_are_kept_as_given() -> None:
    W_in, W_out = np.ones((5, 3), np.float32), np.ones((2, 5), np.float32)
    layer = MLP(W_in, None, W_out)
    assert layer.W_in is W_in
    assert layer.W_out is W_out
    gated = GLU(W_in, None, W_in, None, W_out)
    assert gated.W_gate is W_in
    assert gated.W_up is W_in
    assert gated.W_out is W_out
    assert MLP([[1, 2]], [1], [[1]], [1]).W_in.dtype == np.float64
    assert GLU([[1, 2]], [1], [[1, 2]], [1], [[1]], [1]).W_up.dtype == np.float64


def test_evaluation_leaves_x_alone() -> None:
    x = np.ones((4, 3))
    for layer in both(np.random.default_rng(6)):
        layer(x)
    assert np.all(x == 1)


def test_no_identity_in_place_of_a_missing_output_matrix() -> None:
    wide = np.ones((300_000, 1))  # whose identity would take 670 GiB
    assert GLU(wide, None, wide, None, activation="relu")([[2.0]]).sum() == 4.0 * len(wide)


def test_any_memory_layout() -> None:
    rng = np.random.default_rng(1)
    G, b, U, c, W, e = gated_weights(rng, 3, 5, 2)
    x = rng.standard_normal((6, 3))
    strided = np.asfortranarray(G), np.repeat(b, 2)[::2], W[:, ::-1][:, ::-1], np.repeat(e, 3)[::3]
    pairs = [
        (MLP(G, b, W, e), MLP(*strided)),
        (GLU(G, b, U, c, W, e), GLU(*strided[:2], np.asfortranarray(U), np.repeat(c, 2)[::2], *strided[2:])),
        (GLU(G, b, U, c), GLU(*strided[:2], np.asfortranarray(U), np.repeat(c, 2)[::2])),
    ]
    for plain, layer in pairs:
        expected = plain(x)
        assert_close(layer(np.asfortranarray(x)), expected, 10.0, 1e-15)
        assert_close(layer(np.repeat(x, 2, axis=0)[::2]), expected, 10.0, 1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((40, 3)).astype(dtype)
    layers = both(rng, np.float32)
    expected = [layer(x) for layer in layers]
    monkeypatch.setattr("numeric.ridge.row_blocks", lambda n, *_: (slice(i, i + 7) for i in range(0, n, 7)))
    for layer, values in zip(layers, expected):
        assert_close(layer(x), values, 30.0, 2 * float(np.finfo(dtype).eps))


def test_nan_propagates_in_its_row_only() -> None:
    for layer in both(np.random.default_rng(7)):
        values = layer([[np.nan, 0, 0], [1, 0, 0]])
        assert np.isnan(values[0]).all()
        assert np.isfinite(values[1]).all()


def test_pickles() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((6, 3))
    for layer in both(rng):
        copy = pickle.loads(pickle.dumps(layer))
        np.testing.assert_array_equal(copy(x), layer(x))
        assert repr(copy) == repr(layer)
