"""The best quadratics of networks on MNIST under a mixture, on a GPU: one network, a hundred, and a single iteration.

    python -m tests.benchmarks.bench_gpu_solver [--mnist FOLDER] [--device cuda] [--small] [--checkpoints 100]

Ten components, one for each digit, as in bench_mixture; a network 784 → 512 → 10 (ReLU), and checkpoints of its
training. Each iteration is two products of pixels × pixels matrices per component and output: their rate, as if
nothing else were done, is compared with that of one large product in double precision in the same run.
`--device cpu --small --checkpoints 3` runs the same code on 14 × 14 pixels without a GPU; limits are for an H200.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import numeric as nm
from numeric.demo_mnist import VARIABLE, mnist, train
from numeric.device.arrays import free_bytes, host, place
from numeric.mixture import conjugate_gradients
from numeric.mixture.arrays import NoDevice, empty_on, like, on
from numeric.mixture.expectations import placed, right_hand_side
from tests.benchmarks.timing import seconds

ONE, MANY, SHARE = 1.0, 60.0, 0.70
NOISE, EPOCH = 1e-4, 60000 // 128
REPEATS = 5


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, default=os.environ.get(VARIABLE), help=f"default: ${VARIABLE}")
    parser.add_argument("--device", default="cuda", help="default: cuda")
    parser.add_argument("--small", action="store_true", help="14 × 14 pixels")
    parser.add_argument("--checkpoints", type=int, default=100)
    options = parser.parse_args(arguments)
    try:
        template = empty_on(options.device)
    except NoDevice as error:
        print(f"skipped: {error}")
        return
    if options.mnist is None:
        print(f"skipped: no MNIST; pass --mnist FOLDER or set {VARIABLE}")
        return
    print(place(template) if options.device != "cpu" else "NumPy on the CPU")
    with on(template):
        study(template, options)


def study(template: Any, options: argparse.Namespace) -> None:
    data = mnist(options.mnist)
    images = data.train / 255.0
    if options.small:
        images = images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(images), -1)
    steps = np.unique(
        np.linspace(EPOCH // 4, EPOCH if options.small else 3 * EPOCH, options.checkpoints).astype(int)
    ).tolist()
    began = time.perf_counter()
    layers = train(images, data.train_labels, steps)
    print(f"{len(layers)} checkpoints trained in {time.perf_counter() - began:.1f} s: {layers[-1]}")
    mixture = nm.GaussianMixture.from_samples(images, data.train_labels, noise_floor=NOISE)
    began = time.perf_counter()
    solver = nm.Solver(mixture, device=options.device, method="iterative", progress=False)
    print(f"{mixture}: solver set up in {time.perf_counter() - began:.1f} s")
    solver.solve(
        nm.MLP(layers[-1].W_in[:8], None, layers[-1].W_out[:, :8], None, "relu")
    )  # libraries load, kernels compile
    print(f"share of an iteration in the products that it needs, ≥ {SHARE:.0%} on a GPU:")
    for outputs in (1, 10) if isinstance(template, np.ndarray) else (1, 10, 128):
        share(solver, template, layers, outputs)
    layers = [placed(layer, template) for layer in layers]  # and there their polynomials will be
    for chosen, limit in ((layers[-1:], ONE), (layers, MANY)):
        began = time.perf_counter()
        found = solver.solve(chosen)
        took, worst = time.perf_counter() - began, max(p.info.energy_error.max() for p in found)
        verdict = f"  < {limit:g} s  {'ok' if took < limit else 'TOO SLOW'}" if options.device != "cpu" else ""
        print(f"{len(chosen):>4} layers to 1e-8: {took:7.2f} s, {found[0].info.iterations} iterations, ", end="")
        print(f"energy error {worst:.0e}, FVU of the last {found[-1].total_fvu:.4f}{verdict}")


def share(solver: nm.Solver, template: Any, layers: list[nm.MLP], outputs: int) -> None:
    """Time of an iteration against that of its products at the rate of a large one."""
    coordinates, r = solver._coordinates, solver._coordinates.dim
    right = host(right_hand_side(layers[-1], solver._guide, coordinates, 2, template))
    right[:, 0] = 0.0
    noise = np.random.default_rng(0).standard_normal((outputs, len(right)))
    given = like(noise @ right, template)
    needed = 16 * 8 * outputs * right.shape[1]
    if not isinstance(template, np.ndarray) and needed > free_bytes(template):
        print(f"  {outputs:>4} outputs: left out, they take {needed / 2**30:.1f} GiB")
        return
    state = conjugate_gradients.start(solver._operator, given)

    def iterate() -> None:
        conjugate_gradients.step(solver._operator, solver._precondition, state, REPEATS)

    iterate()
    took = statistics.median(seconds(iterate) for _ in range(3)) / REPEATS
    flops = 4.0 * outputs * len(coordinates.weights) * r**3
    rate = matmul_rate(template)
    print(
        f"  {outputs:>4} outputs: {took * 1e3:9.2f} ms an iteration, {flops / took / 1e12:7.3f} of {rate / 1e12:7.3f} "
        f"TFLOP/s, {flops / took / rate:.0%}"
    )


def matmul_rate(template: Any) -> float:
    """Operations a second of a large product in double precision."""
    size = 2048 if isinstance(template, np.ndarray) else 8192
    A = like(np.random.default_rng(0).standard_normal((size, size)), template)

    def products(count: int) -> Callable[[], None]:
        def work() -> None:
            found = A
            for _ in range(count):
                found = A @ A
            host(found[:1, :1])  # waits for it

        return work

    products(1)()
    return 2.0 * size**3 * REPEATS / statistics.median(seconds(products(REPEATS)) for _ in range(3))


if __name__ == "__main__":
    main()
