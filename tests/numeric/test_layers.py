"""The MLP computes what its formula says, in the dtype it promises."""

import pickle

import numpy as np
import pytest

from numeric.layers import MLP
from tests.numeric.problems import ACTIVATIONS, assert_close, textbook, weights


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


def test_sizes_and_repr() -> None:
    layer = MLP(np.ones((5, 3)), None, np.ones((2, 5)), activation="relu")
    assert (layer.d_in, layer.n_hidden, layer.d_out) == (3, 5, 2)
    assert repr(layer) == "MLP(3 → 5 → 2, relu)"
    assert MLP(np.ones((5, 3)), None, np.ones((2, 5))).activation.name == "gelu"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_result_type(dtype: type) -> None:
    layer = MLP(np.ones((5, 3), dtype), [0.0] * 5, np.ones((2, 5), dtype), [0.0] * 2, activation="relu")
    for x_dtype in (np.float16, np.float32, np.float64):
        assert layer(np.ones((4, 3), x_dtype)).dtype == np.result_type(x_dtype, dtype)
    for integers in (np.ones((4, 3), np.int8), np.ones((4, 3), bool), [[1, 2, 3]]):
        assert layer(integers).dtype == np.float64


def test_shapes() -> None:
    layer = MLP(np.ones((5, 3)), None, np.ones((2, 5)), activation="relu")
    for batch in ((), (0,), (7,), (2, 0), (2, 3)):
        assert layer(np.ones((*batch, 3))).shape == (*batch, 2)


def test_weights_are_kept_as_given() -> None:
    W_in, W_out = np.ones((5, 3), np.float32), np.ones((2, 5), np.float32)
    layer = MLP(W_in, None, W_out)
    assert layer.W_in is W_in
    assert layer.W_out is W_out
    assert MLP([[1, 2]], [1], [[1]], [1]).W_in.dtype == np.float64


def test_any_memory_layout() -> None:
    rng = np.random.default_rng(1)
    W_in, b_in, W_out, b_out = weights(rng, 3, 5, 2)
    x = rng.standard_normal((6, 3))
    expected = MLP(W_in, b_in, W_out, b_out)(x)
    strided = MLP(np.asfortranarray(W_in), np.repeat(b_in, 2)[::2], W_out[:, ::-1][:, ::-1], np.repeat(b_out, 3)[::3])
    assert_close(strided(np.asfortranarray(x)), expected, 10.0, 1e-15)
    assert_close(strided(np.repeat(x, 2, axis=0)[::2]), expected, 10.0, 1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, dtype: type) -> None:
    rng = np.random.default_rng(2)
    W_in, b_in, W_out, b_out = weights(rng, 3, 50, 2)
    layer = MLP(W_in.astype(np.float32), b_in, W_out.astype(np.float32), b_out)
    x = rng.standard_normal((40, 3)).astype(dtype)
    expected = layer(x)
    monkeypatch.setattr("numeric.ridge.row_blocks", lambda n, *_: (slice(i, i + 7) for i in range(0, n, 7)))
    assert_close(layer(x), expected, 30.0, 2 * float(np.finfo(dtype).eps))


def test_nan_propagates_in_its_row_only() -> None:
    layer = MLP(np.ones((5, 3)), None, np.ones((2, 5)))
    values = layer([[np.nan, 0, 0], [1, 0, 0]])
    assert np.isnan(values[0]).all()
    assert np.isfinite(values[1]).all()


def test_pickles() -> None:
    rng = np.random.default_rng(3)
    layer = MLP(*weights(rng, 3, 5, 2), activation="erf")
    x = rng.standard_normal((6, 3))
    copy = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(copy(x), layer(x))
    assert repr(copy) == repr(layer)
