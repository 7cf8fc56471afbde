"""On a GPU: every kernel against true values and the CPU; layers, variances and the solver against the CPU.

Most tests are those of the simulator and of other devices, with arrays that really are on a GPU.
"""

import gc
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import numeric as nm
from numeric import cuda as kernels
from numeric import variance
from numeric.device import pairs
from numeric.device.arrays import brought, host, on_device
from numeric.generated import PARAMETERS
from numeric.layers import Layer
from numeric.mixture.arrays import empty_on
from tests.gpu.libraries import LIBRARIES, Library, fill, missing
from tests.numeric import test_device as devices
from tests.numeric import test_solver_device as solvers
from tests.numeric.mixture_problems import glu, mixture, mlp
from tests.numeric.problems import covariance, gated_weights, weights
from tests.oracle.storage import load
from tests.simulator import test_kernels as simulated

DTYPES = (np.float64, np.float32)
SHAPES = ((1,), (3,), (255,), (257,), (10001,), (3, 5))
NAMES = [name for name in PARAMETERS if nm.activation(name).kernels.KIND != "integrated"]
FUNCTIONS = {"hermite": nm.hermite_coefficients, "derivatives": nm.expected_derivatives}

# The simulator's tests, on the GPU

test_true_values = simulated.test_double_precision_is_as_exact_as_on_the_cpu
test_single_precision = simulated.test_single_precision
test_activations_and_pairs_that_do_not_vary = simulated.test_activations_and_pairs_that_do_not_vary
test_covariances = simulated.test_covariances
test_covariances_in_single_precision = simulated.test_covariances_in_single_precision
test_gaussian_moments = simulated.test_gaussian_moments
test_master_coefficients = simulated.test_master_coefficients
test_series_of_residual_covariances = simulated.test_series_of_residual_covariances
test_shapes_broadcast = simulated.test_shapes_broadcast_and_strided_or_empty_arrays_are_fine
test_an_activation_of_ones_own = simulated.test_an_activation_of_ones_own
test_bad_input_of_kernels = simulated.test_bad_input


class OnGpu:
    """`numeric.cuda` for NumPy's arrays: they are moved to the GPU, and results back."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def __getattr__(self, name: str) -> Any:
        function = getattr(kernels, name)
        return function if isinstance(function, type) else lambda *given: self._call(function, *given)

    def _call(self, function: Callable, *given: Any) -> Any:
        there = [self.library.put(value) if isinstance(value, np.ndarray) else value for value in given]
        found = function(*there)
        if found is None:  # the last argument was written to
            given[-1][...] = host(there[-1])
            return None
        return tuple(map(host, found)) if isinstance(found, tuple) else host(found)


@pytest.fixture(autouse=True)
def _kernels_on_the_gpu(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whole tables, which are too slow for the simulator."""
    monkeypatch.setattr(simulated, "nc", OnGpu(library))
    monkeypatch.setattr(simulated, "chosen", lambda case: load(case.key))


# Kernels through the public functions, on odd shapes


def preactivations(shape: tuple[int, ...], dtype: type) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(sum(shape))
    return rng.uniform(-3, 3, shape).astype(dtype), rng.uniform(0.5, 2, shape).astype(dtype)


def on_cpu(function: Callable, name: str, mean: np.ndarray, std: np.ndarray, order: int) -> np.ndarray:
    return function(name, mean.astype(np.float64), std.astype(np.float64), order)


def assert_near(kind: str, found: Any, want: np.ndarray, std: np.ndarray, dtype: type) -> None:
    """Relative to √k! times the size of σ, and for derivatives 1/s^k of that."""
    found, order = host(found), want.shape[-1] - 1
    assert found.dtype == dtype
    assert found.shape == want.shape
    size = np.abs(want[..., :3]).max(initial=1.0)
    scale = size * np.sqrt([math.factorial(k) for k in range(order + 1)])
    if kind == "derivatives":
        scale = scale / np.minimum(std.astype(np.float64), 1.0)[..., None] ** np.arange(order + 1)
    error = np.abs(found - want) / scale
    assert error.max(initial=0.0) <= (2e-5 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_odd_shapes(library: Library, name: str, kind: str, dtype: type) -> None:
    for shape in SHAPES:
        mean, std = preactivations(shape, dtype)
        for order in (2, 8):
            found = FUNCTIONS[kind](name, library.put(mean), library.put(std), order)
            assert on_device(found)
            assert_near(kind, found, on_cpu(FUNCTIONS[kind], name, mean, std, order), std, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_arrays_in_pieces_and_empty_ones(library: Library, kind: str, dtype: type) -> None:
    function = FUNCTIONS[kind]
    mean, std = preactivations((6, 10), dtype)
    there = library.put(mean), library.put(std)
    for part in (np.s_[::2, 1:], np.s_[:, ::3], np.s_[1], np.s_[:0], np.s_[..., :0]):
        found = function("gelu", there[0][part], there[1][part], 3)
        assert_near(kind, found, on_cpu(function, "gelu", mean[part], std[part], 3), std[part], dtype)
    found = function("gelu", there[0].T, there[1].T, 3)
    assert_near(kind, found, on_cpu(function, "gelu", mean.T, std.T, 3), std.T, dtype)
    found = function("gelu", there[0], there[1][:1, :], 3)
    assert_near(kind, found, on_cpu(function, "gelu", mean, std[:1], 3), np.broadcast_to(std[:1], mean.shape), dtype)


def test_single_precision_goes_in_and_out(library: Library) -> None:
    mean, std = (library.put(array) for array in preactivations((9,), np.float32))
    for given, expected in (((mean, std), "float32"), ((mean, 1.0), "float32"), ((mean, host(std)), "float32")):
        assert str(nm.hermite_coefficients("gelu", *given).dtype).endswith(expected)
    assert str(nm.hermite_coefficients("gelu", mean, library.put(np.ones(9))).dtype).endswith("float64")
    assert str(nm.hermite_coefficients("softsign", mean, std).dtype).endswith("float32")  # by the CPU
    assert str(nm.hermite_coefficients("gelu", mean, std, 11).dtype).endswith("float32")
    assert str(nm.activation("silu")(mean).dtype).endswith("float32")
    half = nm.activation("silu")(library.put(np.linspace(-3, 3, 7, dtype=np.float16)))
    assert str(half.dtype).endswith("float16")


test_moments_are_where_the_arrays_are = devices.test_moments_are_where_the_arrays_are


def test_bad_input(library: Library) -> None:
    mean, std = library.put(np.zeros(3)), library.put(np.array([1.0, -1.0, np.nan]))
    with pytest.raises(ValueError, match="std has 2 bad of 3 entries"):
        nm.hermite_coefficients("gelu", mean, std)
    with pytest.raises(ValueError, match="out: expected None for arrays on a device"):
        nm.hermite_coefficients("gelu", mean, 1.0, out=np.zeros((3, 3)))


# Layers

test_polynomials_are_those_of_numpy = devices.test_polynomials_are_those_of_numpy
test_parts_may_be_missing = devices.test_biases_and_the_output_matrix_may_be_missing
test_single_precision_weights = devices.test_single_precision_weights
test_neurons_that_single_precision_cannot_follow = devices.test_neurons_that_single_precision_cannot_follow
test_layers_are_evaluated_where_they_are = devices.test_layers_are_evaluated_where_they_are
test_cpu_gives_the_ordinary_polynomial = devices.test_cpu_gives_the_ordinary_polynomial
test_a_variance_that_is_known_goes_along = devices.test_a_variance_that_is_known_goes_along
test_representations_say_where = devices.test_representations_say_where
test_the_covariance_is_moved_once_and_forgotten = devices.test_the_covariance_is_moved_once_and_forgotten
test_noise_counts_as_none = devices.test_the_noise_of_cancelled_rows_counts_as_none
test_weights_of_any_size = devices.test_weights_of_any_size
test_pairs_that_are_integrated = devices.test_several_blocks_and_pairs_that_are_integrated
test_coefficients = devices.test_coefficients_are_made_where_the_weights_are
test_dense_polynomials = devices.test_dense_polynomials_live_on_a_device
test_inputs_are_copied = devices.test_inputs_on_a_device_are_copied
test_too_little_memory_is_said = devices.test_too_little_memory_is_said_and_changes_nothing
test_memory_that_runs_out_on_the_way = devices.test_memory_that_runs_out_on_the_way_is_said_in_the_same_words
test_weights_in_different_places = devices.test_weights_in_different_places
test_points_in_another_place = devices.test_points_in_another_place
test_weights_that_numpy_would_refuse = devices.test_weights_that_numpy_would_refuse_are_refused
test_overflows_name_the_neuron = devices.test_overflows_name_the_neuron


def larger(kind: type[Layer], dtype: type = np.float32) -> tuple[list[np.ndarray], nm.Gaussian]:
    """Weights of a layer 67 → 301 → 13, and inputs with a full covariance."""
    rng = np.random.default_rng(6)
    made = (gated_weights if kind is nm.GLU else weights)(rng, 67, 301, 13)
    return [part.astype(dtype) for part in made], nm.Gaussian(rng.standard_normal(67), covariance(rng, 67, 67))


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
@pytest.mark.parametrize("kind", [nm.MLP, nm.GLU])
def test_larger_layers(library: Library, kind: type[Layer], activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_LARGEST", 128)  # several blocks
    parts, inputs = larger(kind)
    layer, there = devices.both(kind, parts, library.put, activation)
    for degree in (1, 2, 4):
        p, q = nm.approximate(layer, inputs, degree), nm.approximate(there, inputs, degree)
        devices.assert_equal(p, q, inputs.sample(257, 0), library.put)
    x = inputs.sample(257, 0).astype(np.float32)
    assert str(q(library.put(x)).dtype).endswith("float32")
    devices.same(there(library.put(x)), layer(x), 1e-5, library.put(x))


def test_bfloat16_of_pytorch(library: Library) -> None:
    if library.name != "torch":
        pytest.skip("bfloat16 is PyTorch's")
    parts, inputs = larger(nm.GLU)
    layer = nm.GLU(*(library.put(part).to(library.module.bfloat16) for part in parts))
    p, q = nm.approximate(layer.cpu(), inputs), nm.approximate(layer, inputs)
    devices.same(q.fvu, p.fvu, 1e-12, q.hermite)
    x = library.put(inputs.sample(5, 0)).to(library.module.bfloat16)
    assert q(x).dtype == layer(x).dtype == library.module.bfloat16


# The solver

test_right_hand_sides = solvers.test_right_hand_sides
test_products_of_several_outputs_together = solvers.test_products_of_several_outputs_together
test_the_same_polynomials_in_as_many_iterations = solvers.test_the_same_polynomials_in_as_many_iterations
test_on_data = solvers.test_on_data
test_other_degrees = solvers.test_other_degrees
test_outputs_that_depend_on_each_other = solvers.test_outputs_that_depend_on_each_other
test_an_interrupted_solve_goes_on = solvers.test_an_interrupted_solve_goes_on_without_loss
test_few_outputs_together = solvers.test_few_outputs_together


@pytest.mark.parametrize("block", [128, 4])
def test_the_solver_where_it_finds_a_gpu_itself(library: Library, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Energies of layers that are anywhere; polynomials are where the layers are."""
    monkeypatch.setattr(solvers.solving, "_BLOCK", block)
    assert on_device(empty_on("cuda"))
    inputs, layers = mixture(1, 3, 48), [mlp(2, 48, "relu", 90, 10), glu(3, 48, "gelu", 70, 5)]
    there = [
        type(layer)(*(None if part is None else library.put(part) for part in parts_in_order(layer)), layer.activation)
        for layer in layers
    ]
    expected = solvers.solver(inputs, "cpu", tol=1e-14).solve(layers)
    x = inputs.sample(7, 0)
    for given, at in ((layers, x), (there, library.put(x))):
        for device in ("cpu", "cuda", library.put(np.zeros(1))):
            for p, q in zip(solvers.solver(inputs, device, tol=1e-14).solve(given), expected):
                assert type(p.quadratic) is type(p(at)) is type(at)
                solvers.assert_same(p.cpu(), q)
                np.testing.assert_allclose(host(p.fvu), q.fvu, rtol=1e-9)
                np.testing.assert_allclose(host(p(at)), q(x), rtol=1e-6, atol=1e-6)
    for p, q in zip(solvers.solver(inputs, "cuda").solve(there, start=expected), expected):
        assert p.info.iterations < q.info.iterations / 2


def test_approximate_solves_on_the_gpu(library: Library) -> None:
    inputs, layer = mixture(1, 3, 48), mlp(2, 48, "relu", 90, 10)
    there = nm.MLP(*(None if part is None else library.put(part) for part in parts_in_order(layer)), "relu")
    p = nm.approximate(there, inputs)
    assert on_device(p.constant)
    solvers.assert_same(p.cpu(), nm.approximate(layer, inputs), 1e-7)


def test_libraries_share_the_memory_of_a_gpu(library: Library) -> None:
    for name, kind in LIBRARIES.items():
        if name == library.name or missing(name):
            continue
        array, other = library.put(np.arange(5.0)), kind().put(np.zeros(1))
        lent = brought(array, other)
        assert type(lent) is type(other)
        array[0] = 7.0
        library.wait()
        np.testing.assert_array_equal(host(lent), [7.0, 1.0, 2.0, 3.0, 4.0])


def parts_in_order(layer: Any) -> list[Any]:
    projected = [part for projection in layer.projections for part in projection]
    return [*projected, layer.W_out, layer.b_out]


# Memory


@pytest.fixture
def filled(library: Library) -> Any:
    """Takes nearly all memory when called, until the test ends."""
    taken: list[Any] = []
    yield lambda: taken.append(fill(library))
    taken.clear()
    gc.collect()
    library.give_back()


def test_variances_without_memory(library: Library, filled: Callable[[], None]) -> None:
    W = np.random.default_rng(0).standard_normal((1024, 4096), dtype=np.float32) / 64
    inputs = nm.Gaussian(np.zeros(4096))
    _ = nm.approximate(nm.MLP(library.put(W), None, library.put(W[:16, :1024])), inputs).fvu  # libraries load
    q = nm.approximate(nm.MLP(library.put(W), None, library.put(W[:16, :1024])), inputs)
    filled()
    with pytest.raises(MemoryError, match=r"the exact variance takes about .* free some, or ask \.cpu\(\)"):
        _ = q.fvu
    assert q.cpu().fvu.shape == (16,)


def test_moments_without_memory(library: Library, filled: Callable[[], None]) -> None:
    """The library's own error, which says it."""
    mean = library.put(np.zeros(2**25))
    nm.hermite_coefficients("gelu", mean[:3], mean[:3])  # the kernel is compiled and loaded
    filled()
    with pytest.raises(Exception, match=r"(?i)out of memory"):
        nm.hermite_coefficients("gelu", mean, mean)


@pytest.mark.usefixtures("template")
def test_a_solver_without_memory(filled: Callable[[], None]) -> None:
    made, layer = solvers.solver(mixture(1, 2, 600)), mlp(2, 600, "relu", 9, 3)
    made.solve(layer)  # libraries load
    filled()
    with pytest.raises(MemoryError, match=r'device: the iteration for one output takes about .*"cpu"'):
        made.solve(layer)


# Streams


def test_streams(library: Library) -> None:
    """A kernel waits for what its stream was given before, and what follows waits for the kernel."""
    root = np.random.default_rng(0).standard_normal((2048, 2048)) / 45

    def work() -> list[np.ndarray]:
        product = there
        for _ in range(20):
            product = product @ there
        found = nm.hermite_coefficients("gelu", product, abs(product) + 0.5)
        return [host(found), host(found * 2.0)]

    there = library.put(root)
    expected = work()
    library.wait()
    with library.stream():
        found = work()
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [nm.MLP, nm.GLU])
def test_layers_in_streams(library: Library, kind: type[Layer]) -> None:
    parts, inputs = larger(kind, np.float64)
    there = kind(*map(library.put, parts), activation="gelu")
    x = library.put(inputs.sample(99, 0))
    library.wait()

    def work() -> list[np.ndarray]:
        q = nm.approximate(there, inputs)
        return [host(there(x)), host(q(x)), host(q.hermite), variance.explained(q).residual]

    expected = work()
    with library.stream():
        found = work()
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13 * np.abs(b).max())
