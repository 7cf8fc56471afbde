"""The paths of a GPU at sizes of real layers, on one that is not there: places, types, looks at numbers, and memory.

What is asserted of memory is what the solver and the exact variance assume before they begin, which a GPU would
otherwise refute by running out of it.
"""

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import numeric as nm

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="PyTorch is not installed, whose fake tensors stand in for a GPU")

from numeric import cuda, variance  # noqa: E402
from numeric import solver as solving  # noqa: E402
from numeric.cuda import kernels  # noqa: E402
from numeric.device import arrays, pairs  # noqa: E402
from numeric.device.arrays import host  # noqa: E402
from numeric.inputs import Full  # noqa: E402
from numeric.layers import GLU, MLP  # noqa: E402
from numeric.mixture import conjugate_gradients, preconditioner  # noqa: E402
from numeric.mixture.arrays import like  # noqa: E402
from numeric.mixture.coordinates import Coordinates  # noqa: E402
from numeric.mixture.empirical import SampleOperator  # noqa: E402
from numeric.mixture.expectations import right_hand_side  # noqa: E402
from numeric.mixture.operator import TOGETHER, MomentOperator  # noqa: E402
from numeric.mixture.preconditioner import Preconditioner  # noqa: E402
from numeric.ridge import _BLOCK  # noqa: E402
from tests.numeric.fake_cuda import FakeGpu, OutOfMemoryError, fake_gpu, on_gpu  # noqa: E402

MNIST, COMPONENTS, HIDDEN = 784, 10, 512
WIDTH, WIDER = 4096, 14336
GIB = 2**30
FLOATS = [torch.float32, torch.float16, torch.bfloat16]
DOUBLE = torch.float64


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    with fake_gpu(monkeypatch) as made:
        monkeypatch.setattr(solving, "free_bytes", made.free)
        monkeypatch.setattr(solving, "empty_on", lambda _: made.array(0))
        yield made


# The stand-in itself


def test_arrays_elsewhere_are_refused(gpu: FakeGpu) -> None:
    there, here = gpu.array(3), torch.empty(3, dtype=DOUBLE)
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    on_gpu(there, DOUBLE, 3)
    for array, dtype, shape in ((here, DOUBLE, (3,)), (there, torch.float32, (3,)), (there, DOUBLE, (4,))):
        with pytest.raises(AssertionError):
            on_gpu(array, dtype, *shape)


def test_looks_and_moves_are_counted(gpu: FakeGpu) -> None:
    there = gpu.array(3)
    with gpu.counted() as seen:
        assert bool(there[0] > 0)
        assert float(there[1]) == 1.0
        np.testing.assert_array_equal(host(there[:2]), np.ones(2))
    assert (seen.looks, seen.moves) == (2, 1)
    with pytest.raises(RuntimeError, match="numpy"):
        np.asarray(there)
    with pytest.raises(RuntimeError):
        there.tolist()


def test_bytes_are_counted_until_they_are_given_back(gpu: FakeGpu) -> None:
    kept = gpu.array(1024)
    with gpu.peak_above() as peak:
        view = kept[10:, None]
        assert peak() == 0
        other = (kept * 2.0) + 1.0  # the first of the two is gone
        assert (peak(), gpu.live) == (2 * 8192, 2 * 8192)
        del other, kept
        gc.collect()
        assert gpu.live == 8192  # of which there is a view
        del view
        assert gpu.live == 0
        square = gpu.array(8, 8, 8)
        assert torch.permute(square, (2, 1, 0))[..., ::2].shape == (8, 8, 4)
        _ = torch.permute(square, (0, 1, 2))[:, :, ::2] @ gpu.array(4, 4)
    assert peak() >= 8 * (512 + 256 + 256)  # cuBLAS reads a copy
    gpu.capacity = gpu.live + 100
    with pytest.raises(OutOfMemoryError):
        gpu.array(13)
    assert arrays.is_out_of_memory(OutOfMemoryError())


def test_indexing_is_that_of_numpy(gpu: FakeGpu) -> None:
    shape = (3, 4, 5)
    true, there = np.zeros(shape), gpu.array(*shape)
    for key in (1, -1, np.s_[1:], np.s_[:, None], np.s_[..., None], np.s_[0, ..., ::2], np.s_[:, 1:2, -1], ...):
        assert tuple(there[key].shape) == true[key].shape
    there[:, 0] += there[:, 1]
    there[..., 0] = 1.0
    with pytest.raises(TypeError, match="advanced indexing"):
        there[[0, 1]]


def test_arguments_that_a_kernel_is_not_compiled_for_are_refused(gpu: FakeGpu) -> None:
    kernel = kernels.pairs(nm.activation("relu"), "hermite", (0, 3), "double")
    mean, out = gpu.array(7), gpu.array(3, 7)
    gpu.launch(kernel, 7, mean, mean, out, ())
    for wrong in (
        (mean, mean, out),
        (gpu.array(7, dtype=torch.float32), mean, out, ()),
        (gpu.array(14)[::2], mean, out, ()),
        (torch.empty(7, dtype=DOUBLE), mean, out, ()),
        (mean, mean, gpu.array(7), ()),
        (mean, mean, out, (1.0,)),
        (mean, np.zeros(7), out, ()),
    ):
        with pytest.raises(AssertionError):
            gpu.launch(kernel, 7, *wrong)


# The functions of numeric.cuda


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("name", ["relu", "silu", "gelu_tanh", "leaky_relu"])
def test_kernels_are_handed_what_they_are_compiled_for(gpu: FakeGpu, name: str, dtype: Any) -> None:
    mean, std = gpu.array(300, 200, dtype=dtype), gpu.array(200, 300, dtype=dtype).T[:, ::2]
    mean = mean[:, :100]
    for function in (nm.hermite_coefficients, nm.expected_derivatives):
        for order in (2, 8):
            with gpu.counted() as seen:
                found = function(name, mean, std, order)
            on_gpu(found, dtype, 300, 100, order + 1)
            assert (seen.looks, seen.moves) == (2, 0)  # whether there are bad numbers
    on_gpu(cuda.values(name, mean), dtype, 300, 100)
    assert {count for _, count in gpu.launched} == {30000}


def test_other_kernels_are_handed_what_they_are_compiled_for(gpu: FakeGpu) -> None:
    row = gpu.array(50)
    for found in cuda.gaussian_covariance("gelu", row, row[:1], row, row, row):
        on_gpu(found, DOUBLE, 50)
    on_gpu(cuda.gaussian_moment(gpu.array(50, 3), gpu.array(50, 3, 3), (2, 0, 1)), DOUBLE, 50)
    found = cuda.hermite_master_coefficients(gpu.array(50, 4), gpu.array(50, 4, 4), gpu.array(50, 4))
    on_gpu(found, DOUBLE, 50, 5)
    assert nm.hermite_coefficients("exp", row, row).shape == (50, 3)
    assert [count for _, count in gpu.launched] == [50] * 4


@pytest.mark.parametrize("dtype", FLOATS)
def test_activations_keep_the_type(gpu: FakeGpu, dtype: Any) -> None:
    with gpu.counted() as seen:
        on_gpu(nm.activation("silu")(gpu.array(5, 7, dtype=dtype)), dtype, 5, 7)
    assert (seen.looks, seen.moves) == (0, 0)


# Layers


def parts(gpu: FakeGpu, kind: type, d: int, n: int, out: int, dtype: Any) -> list[Any]:
    one = [gpu.array(n, d, dtype=dtype), gpu.array(n, dtype=dtype)]
    return [*one, *(one if kind is GLU else []), gpu.array(out, n, dtype=dtype), gpu.array(out, dtype=dtype)]


def full_gaussian(d: int) -> nm.Gaussian:
    """Without the check of a large covariance, which takes longer than all else here."""
    return nm.Gaussian._from_parts(np.zeros(d), Full(np.eye(d)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", [MLP, GLU])
def test_large_layers_and_their_polynomials(gpu: FakeGpu, kind: type, dtype: Any) -> None:
    layer = kind(*parts(gpu, kind, WIDTH, WIDER, WIDTH, dtype), "relu")
    with gpu.counted() as seen:
        p = nm.approximate(layer, full_gaussian(WIDTH))
    assert seen.looks == 2
    rows = [numbers_in(shape) for shape, _ in gpu.moved]
    assert max(rows) <= 4 * WIDER  # a few numbers of every neuron, and no weights
    on_gpu(p.hermite, DOUBLE, WIDER, 4 if kind is GLU else 3)
    on_gpu(p.preactivation_std, DOUBLE, WIDER)
    points = 2000
    for f in (layer, p):
        f(gpu.array(2, WIDTH, dtype=dtype))  # series are made
        x = gpu.array(points, WIDTH, dtype=dtype)
        with gpu.counted() as seen, gpu.peak_above() as peak:
            found = f(x)
        on_gpu(found, dtype, points, WIDTH)
        assert (seen.looks, seen.moves) == (0, 0)
        # Clenshaw's recurrence holds seven arrays of a block's preactivations in float64, or of weights in float32
        assert peak() - found.nbytes <= 7 * 8 * _BLOCK


def numbers_in(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


@pytest.mark.parametrize("kind", [MLP, GLU])
def test_memory_of_the_exact_variance(gpu: FakeGpu, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 6144
    layer = kind(*parts(gpu, kind, WIDTH, n, WIDTH, torch.float32), "relu")
    p = nm.approximate(layer, full_gaussian(WIDTH))
    needed = []
    real = pairs.bytes_needed
    monkeypatch.setattr(pairs, "bytes_needed", lambda *given: needed.append(real(*given)) or needed[-1])
    gpu.answer = False  # no series is too long
    for free, size in ((64 * GIB, 2048), (2 * GIB, 1024)):
        gpu.launched.clear()
        gpu.capacity = gpu.live + free
        with gpu.peak_above() as peak:
            found = variance.explained(p)
        assert found.residual.shape == (WIDTH,)
        assert 0.5 * needed[-1] <= peak() <= needed[-1] <= 0.5 * free
        blocks = n // size
        assert len(gpu.launched) == blocks * (blocks + 1) // 2


# The iteration


@pytest.fixture
def coordinates(monkeypatch: pytest.MonkeyPatch) -> Coordinates:
    """Of ten classes of MNIST, whose inverses are not worth their time here."""
    monkeypatch.setattr(preconditioner, "_inverse", lambda gram: gram)
    monkeypatch.setattr(preconditioner, "_inverse_correlation", lambda _, seconds: seconds[0])
    return white(MNIST, COMPONENTS)


def white(d: int, n_components: int) -> Coordinates:
    groups = tuple(slice(i, min(i + d // 16, d)) for i in range(0, d, d // 16))
    weights, means = np.full(n_components, 1 / n_components), np.zeros((n_components, d))
    covariances = np.broadcast_to(np.eye(d), (n_components, d, d))
    return Coordinates(np.zeros(d), np.eye(d), np.eye(d), weights, means, covariances, np.arange(n_components), groups)


def operators(made: Coordinates, template: Any) -> tuple[MomentOperator, Preconditioner]:
    given = (made.weights, made.means, made.covariances)
    return MomentOperator(*(like(part, template) for part in given)), Preconditioner(made, template)


def allowed(n: int, size: int) -> int:
    """What the solver takes n right-hand sides to need; see `Solver._together`."""
    return 8 * solving._ARRAYS_ON_DEVICE * n * size + 16 * TOGETHER


@pytest.mark.parametrize("n", [1, 10, 128])
def test_several_iterations(gpu: FakeGpu, coordinates: Coordinates, n: int) -> None:
    operator, precondition = operators(coordinates, gpu.array(0))
    size = operator.size
    with gpu.peak_above() as peak:
        state = conjugate_gradients.start(operator, gpu.array(n, size))
        with gpu.counted() as seen:
            assert conjugate_gradients.step(operator, precondition, state, 4, gpu.array(n))
    assert (seen.looks, seen.moves, seen.waits) == (0, 1, 4)
    assert gpu.moved[-1] == ((4, n + 1), DOUBLE)
    for name in ("solution", "residual", "directions", "images"):
        on_gpu(getattr(state, name), DOUBLE, n, size)
    assert len(state.gains) == 4
    assert 0.1 * allowed(n, size) < peak() <= allowed(n, size)


def test_iterations_that_are_done_again(
    gpu: FakeGpu, coordinates: Coordinates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the state that made no sense is still there, as are that before and that which is being made."""
    operator, precondition = operators(coordinates, gpu.array(0))
    monkeypatch.setattr(conjugate_gradients, "_sensible", lambda *_: (2, False))
    with gpu.peak_above() as peak:
        state = conjugate_gradients.start(operator, gpu.array(64, operator.size))
        for _ in range(2):
            conjugate_gradients.step(operator, precondition, state, 3, gpu.array(64))
    assert peak() <= allowed(64, operator.size)


def test_means_over_data(gpu: FakeGpu, coordinates: Coordinates) -> None:
    X = np.zeros((700, MNIST))
    samples: Any = type("Rows", (), {"chunks": lambda _: iter((X, X[:3])), "__len__": lambda _: 703})()
    operator, n = SampleOperator(samples, coordinates, gpu.array(0)), 10
    rows = gpu.array(n, operator.size)
    with gpu.counted() as seen, gpu.peak_above() as peak:
        found = operator(rows)
    on_gpu(found, DOUBLE, n, operator.size)
    assert (seen.looks, seen.moves) == (0, 0)
    assert peak() <= 8 * 4 * n * operator.size


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", [MLP, GLU])
def test_right_hand_sides(gpu: FakeGpu, coordinates: Coordinates, kind: type, dtype: Any) -> None:
    layer = kind(*parts(gpu, kind, MNIST, HIDDEN, 10, dtype), "relu")
    with gpu.counted() as seen, gpu.peak_above() as peak:
        found = right_hand_side(layer, mixture(MNIST), coordinates, 2, gpu.array(0))
    on_gpu(found, DOUBLE, 10, 1 + MNIST + MNIST**2)
    assert seen.looks == 2 * COMPONENTS  # whether standard deviations are bad numbers
    assert max(numbers_in(shape) for shape, _ in gpu.moved) <= 4 * HIDDEN
    assert peak() <= 8 * 8 * 10 * MNIST**2 + 16 * TOGETHER


def mixture(d: int) -> nm.GaussianMixture:
    shape = (COMPONENTS, d)
    weights = np.full(COMPONENTS, 1 / COMPONENTS)
    return nm.GaussianMixture(weights, np.zeros(shape), np.ones(shape), covariance_type="diag")


@pytest.mark.parametrize(("free", "parts_of_it"), [(64.0, 1), (1.7, 2)])
def test_a_whole_solve_stays_within_the_memory_that_is_free(
    gpu: FakeGpu,
    coordinates: Coordinates,
    free: float,
    parts_of_it: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Coordinates, "of", lambda _: coordinates)
    made = nm.Solver(mixture(MNIST), device="cuda", method="iterative", max_iterations=3, progress=False)
    layer = MLP(*parts(gpu, MLP, MNIST, HIDDEN, 10, torch.float32), "relu")
    gpu.capacity, counts = gpu.live + int(free * GIB), []
    step = conjugate_gradients.step
    monkeypatch.setattr(
        conjugate_gradients, "step", lambda *given: counts.append(len(given[2].residual)) or step(*given)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nm.AccuracyWarning)  # three iterations of ones
        on_gpu(made.solve(layer).polynomial.coefficients[2], DOUBLE, 10, MNIST, MNIST)
    assert (len(counts), sum(counts)) == (parts_of_it, 10)
