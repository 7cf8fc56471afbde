"""The best polynomials under a Gaussian mixture, of many layers that share their inputs.

>>> solver = Solver(GaussianMixture.from_samples(X, labels, noise_floor=1e-4))
>>> p = solver.solve(layer)
>>> p
SolvedPolynomial(degree=2, 784 → 10, gelu)
>>> p.info
Info(58 iterations, energy error 7e-09 of the variance, 190 s)
>>> later = solver.solve(later_layer, start=p)        # the next checkpoint takes fewer
"""

import errno
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from numeric import checks
from numeric.dense import DensePolynomial, available_memory, check_memory, symmetrise, zeros
from numeric.device.arrays import brought, free_bytes, host, is_out_of_memory
from numeric.layers import GLU, MLP
from numeric.mixture.arrays import empty_on, like, on
from numeric.mixture.batches import Found, Piece, joined, of_outputs, pieces
from numeric.mixture.coordinates import Coordinates, whitening
from numeric.mixture.direct import DIRECT, DirectSolver
from numeric.mixture.empirical import SampleOperator
from numeric.mixture.expectations import right_hand_side
from numeric.mixture.explicit import explicit_least_squares
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.iteration import Iteration, refuse_overflow
from numeric.mixture.operator import ROOT_2, TOGETHER, MomentOperator
from numeric.mixture.polynomial import Info, SolvedPolynomial
from numeric.mixture.preconditioner import Preconditioner
from numeric.mixture.resume import States, digest
from numeric.moments import warn_of_accuracy
from numeric.normal_equations import MOST_FEATURES
from numeric.samples import Samples

Float64 = NDArray[np.float64]
Layer = MLP | GLU
Method = Literal["auto", "direct", "iterative"]

# Arrays of the size of all unknowns that an iteration holds; on a device, where several are begun before any is kept.
_ARRAYS, _ARRAYS_ON_DEVICE = 8, 16
# The most right-hand sides that share their directions, if not half as many as coordinates are more: 400 together take
# a third fewer iterations than 128, but then most of the work is to make their directions orthonormal.
_BLOCK = 128
# How many quadratics are brought into the coordinates of the inputs at a time.
_PULLED_BACK = 32
# The share of the free memory of a device that may be filled.
_SHARE = 0.9


class Solver:
    """Finds the polynomial p of total degree ≤ `degree` that minimises E‖f(x) − p(x)‖² under a mixture, or on data.

    Degree 1 is closed under a mixture: f's mean, and its covariance with x. In degree 2 there are (d + 1)(d + 2)/2
    unknowns per output; where they are many, their normal equations are applied, never formed, and solved by
    conjugate gradients for all outputs of all layers together (`numeric.mixture`). Higher degrees go by the explicit
    normal equations, where features are few. What depends on the inputs alone is done once, here.

    Args:
        inputs: a GaussianMixture, or Samples (degrees 0 to 2).
        degree: an integer ≥ 0.
        device: where the iteration runs: "cpu", "cuda", "cuda:1". On a GPU it uses CuPy, or PyTorch if CuPy cannot.
            Or an array, for its library and device. Set-up, and systems small enough to be solved directly, are done
            on the CPU. Weights of layers may be anywhere, and their polynomials will be there.
        tol: what may be left to gain, E(p − p*)² with p* the best polynomial, relative to the variance of every
            output of p.
        max_iterations: after which the solution is returned with an AccuracyWarning.
        progress: whether to show a bar after two seconds; default: if standard error is a terminal.
        method: how quadratics under a mixture are found: "iterative"; "direct", by all the normal equations, which
            are F × F for F = (r + 1)(r + 2)/2; "auto" is direct for r up to 40.

    Raises:
        TypeError: inputs of another type, a degree that is no integer.
        ValueError: a degree above 2 with more than 5000 features, or on data; a tolerance that is not positive.
        CoefficientsTooLarge: quadratics that do not fit into memory; with "direct", the normal equations.
        NoDevice: a RuntimeError; there is no GPU, or nothing installed that can use it.

    Source: our derivation, derivations/mixture.md.
    """

    def __init__(
        self,
        inputs: GaussianMixture | Samples,
        degree: int = 2,
        device: Any = "cpu",
        tol: float = 1e-8,
        max_iterations: int = 200,
        progress: bool | None = None,
        method: Method = "auto",
    ) -> None:
        if not isinstance(inputs, GaussianMixture | Samples):
            raise TypeError(
                f"inputs: expected a GaussianMixture or Samples, got {type(inputs).__name__}; under a Gaussian, "
                "approximate(layer, inputs) needs no solver"
            )
        if isinstance(tol, bool) or not isinstance(tol, int | float | np.floating):
            raise TypeError(f"tol: expected a number between 0 and 1, got {tol!r} of type {type(tol).__name__}")
        if not 0 < tol < 1:
            raise ValueError(f"tol: expected a number between 0 and 1, got {tol!r}")
        if method not in get_args(Method):
            raise ValueError(f"method: expected one of {', '.join(get_args(Method))}, got {method!r}")
        self.method: Method = method
        self.inputs, self.degree, self.tol = inputs, checks.non_negative_integer("degree", degree), float(tol)
        self.max_iterations = checks.non_negative_integer("max_iterations", max_iterations)
        self.progress = progress
        self._refuse_degree()
        self._template = empty_on(device)
        if self.degree <= 2:
            with on(self._template):
                self._prepare()

    def _refuse_degree(self) -> None:
        dim, features = self.inputs.dim, math.comb(self.inputs.dim + self.degree, self.degree)
        if self.degree > 2 and isinstance(self.inputs, Samples):
            raise ValueError(f"degree: expected at most 2 on data, got {self.degree}")
        if self.degree > 2 and features > MOST_FEATURES:
            raise ValueError(
                f"degree: {self.degree} in {dim} variables has {features:,} features; the explicit normal equations "
                f"take at most {MOST_FEATURES:,}; degree 2 is solved without forming them, and under the Gaussian "
                "inputs.moment_matched() every degree has a closed form"
            )
        check_memory(3 * self._guide.n_components + 4, dim, [2 if self.degree else 1])

    @property
    def _guide(self) -> GaussianMixture:
        return self.inputs.mixture if isinstance(self.inputs, Samples) else self.inputs

    def _prepare(self) -> None:
        self._coordinates = coordinates = Coordinates.of(self._guide)
        self._direct: DirectSolver | None = None
        if not coordinates.dim or self.degree < 2:
            return
        parts = (coordinates.weights, coordinates.means, coordinates.covariances)
        if self.method == "direct" or (self.method == "auto" and coordinates.dim <= DIRECT):
            self._direct = DirectSolver(MomentOperator(*parts))
        self._guided = MomentOperator(*(like(part, self._template) for part in parts))
        self._precondition = Preconditioner(coordinates, self._template)
        self._operator: MomentOperator | SampleOperator = self._guided
        if isinstance(self.inputs, Samples):
            self._operator = SampleOperator(self.inputs, coordinates, self._template)

    @overload
    def solve(
        self, layers: Layer, start: Any = None, out: str | os.PathLike[str] | None = None
    ) -> SolvedPolynomial: ...
    @overload
    def solve(
        self, layers: Sequence[Layer], start: Any = None, out: str | os.PathLike[str] | None = None
    ) -> list[SolvedPolynomial]: ...
    def solve(
        self, layers: Layer | Sequence[Layer], start: Any = None, out: str | os.PathLike[str] | None = None
    ) -> SolvedPolynomial | list[SolvedPolynomial]:
        """The best polynomial of a layer, or of each of several; searching together, they take fewer iterations.

        As many outputs are iterated together as fit into memory, at most 128 or d/2. If that ends with an error or is
        interrupted, outputs that were solved before are not lost: the exception's attribute `solved` is a list with
        the polynomials of layers, and None where there is none yet. (Of a device that has failed arrays may be lost
        with it; `out` keeps states on disk.)

        Args:
            layers: an MLP, a GLU, or a list of them, with `d_in == inputs.dim`; their weights may be on a device.
            start: a polynomial near the solution, such as that of an earlier checkpoint: anything with `about`,
                `d_in` and `d_out`; of several layers a list, as many as there are layers, with None where nothing is
                known. Only degree 2 makes use of it.
            out: a folder for the state of the iteration, written about once a minute and when the solve is
                interrupted or ends. The same call with the same folder goes on from there, without loss. It has to
                be on the same kind of machine, with as many threads: what is rounded otherwise counts as another
                problem.

        Raises:
            TypeError: something that is no layer.
            ValueError: dimensions that differ; a folder that holds the state of another problem.
            OverflowError: expectations beyond double precision.
            MemoryError: a device on which not even one output fits.
            RuntimeError: a device that fails.
            OSError: `out` cannot be written to.
        """
        single = isinstance(layers, MLP | GLU)
        if not single and not isinstance(layers, Sequence):
            raise TypeError(f"layers: expected an MLP, a GLU or a list of them, got {type(layers).__name__}")
        chosen = [layers] if single else list(layers)
        if not (single or start is None or isinstance(start, Sequence)):
            raise TypeError(f"start: expected a list, one polynomial for each layer, got {type(start).__name__}")
        starts = [start] * len(chosen) if single or start is None else list(start)
        self._refuse(chosen, starts)
        if not chosen:
            return []
        if out is not None:
            _make_folder(out)
        if self.degree > 2:
            solved = self._solve_explicitly(chosen)
        else:
            with on(self._template):
                solved = self._solve(chosen, starts, out)
        return solved[0] if single else solved

    def _refuse(self, layers: list[Any], starts: list[Any]) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, MLP | GLU):
                raise TypeError(f"layers[{i}]: expected an MLP or a GLU, got {type(layer).__name__}")
            if layer.d_in != self.inputs.dim:
                raise ValueError(f"layers[{i}]: expected d_in {self.inputs.dim} to match inputs.dim, got {layer.d_in}")
        if len(starts) != len(layers):
            raise ValueError(f"start: expected one polynomial for each of {len(layers)} layers, got {len(starts)}")
        for one, layer in zip(starts, layers):
            if one is None:
                continue
            if not hasattr(one, "about"):
                raise TypeError(f"start: expected a polynomial for each layer, got {type(one).__name__}")
            if (one.d_in, one.d_out) != (layer.d_in, layer.d_out):
                raise ValueError(
                    f"start: expected a polynomial {layer.d_in} → {layer.d_out}, got {one.d_in} → {one.d_out}"
                )

    def _solve_explicitly(self, layers: list[Layer]) -> list[SolvedPolynomial]:
        solved: list[Any] = [None] * len(layers)
        try:
            for number, layer in enumerate(layers):
                solved[number] = self._explicit(layer)
            error = np.concatenate([p.info.energy_error for p in solved])
            if (error > self.tol).any():
                self._warn_of_rounding(error)
        except BaseException as failure:
            _keep(failure, solved)
            raise
        return solved

    def _explicit(self, layer: Layer) -> SolvedPolynomial:
        assert isinstance(self.inputs, GaussianMixture)
        began = time.perf_counter()
        found = explicit_least_squares(layer.cpu(), self.inputs, self.degree)
        degenerate = self.inputs.dim - len(whitening(self.inputs)[0])
        good = bool((found.error <= self.tol).all())
        error = np.zeros(layer.d_out) if good else found.error
        info = Info(0, error, time.perf_counter() - began, good, degenerate)
        tensors = [brought(tensor, layer.projections[0][0]) for tensor in found.polynomial.coefficients]
        polynomial = DensePolynomial._from_symmetric(found.polynomial.center, tensors)
        return SolvedPolynomial(layer, self.inputs, polynomial, info)

    def _warn_of_rounding(self, error: Float64) -> None:
        loss = "all digits of some terms" if np.isinf(error).any() else f"{error.max():.1e} of the variance"
        warn_of_accuracy(
            f"degree {self.degree}: the components are so many widths apart that rounding costs {loss}, more than tol "
            f"{self.tol:g}; choose a lower degree, inputs.moment_matched(), or a polynomial for each component: "
            "approximate(layer, inputs.components[k], degree)"
        )

    def _solve(
        self, layers: list[Layer], starts: list[Any], out: str | os.PathLike[str] | None
    ) -> list[SolvedPolynomial]:
        began, found = time.perf_counter(), [Found(layer.d_out) for layer in layers]
        try:
            self._stream(layers, starts, out, found)
            results = [self._result(layer, one, began) for layer, one in zip(layers, found)]
            worst = max(results, key=lambda p: p.info.energy_error.max())
            if not worst.info.converged:
                self._warn(worst.info)
        except BaseException as error:
            _keep(
                error, [self._result(layer, one, began) if one.complete else None for layer, one in zip(layers, found)]
            )
            raise
        return results

    def _result(self, layer: Layer, found: Found, began: float) -> SolvedPolynomial:
        tensors, error, iterations = found.whole()
        degenerate, converged = self.inputs.dim - self._coordinates.dim, bool((error <= self.tol).all())
        info = Info(iterations, error, time.perf_counter() - began, converged, degenerate)
        return SolvedPolynomial(
            layer, self.inputs, DensePolynomial._from_symmetric(self._coordinates.center, tensors), info
        )

    def _stream(
        self, layers: list[Layer], starts: list[Any], out: str | os.PathLike[str] | None, found: list[Found]
    ) -> None:
        """As many outputs together as fit into memory, one batch after the other; fills `found`."""
        counts = [layer.d_out for layer in layers]
        first, most = 0, sum(counts)
        while first < sum(counts):
            states = None if out is None else States(Path(out), first)
            # an interrupted solve goes on with as many as there were, however much memory is free by now
            left = sum(counts) - first
            count = min((states and states.outputs()) or _share(left, min(most, self._together())), left)
            try:
                for piece, solved in self._batch(layers, starts, pieces(counts, first, first + count), states):
                    found[piece.number].add(*solved)
            except BaseException as error:
                if not is_out_of_memory(error):
                    raise
                if count == 1:
                    raise self._too_large() from error
                most = count // 2
                if states:
                    states.discard()
                continue
            first += count
            for one in found:  # now: after an error the device may not be able to
                one.gather()

    def _batch(
        self, layers: list[Layer], starts: list[Any], chosen: list[Piece], states: States | None
    ) -> list[tuple[Piece, tuple[list[Any], Float64, int]]]:
        """For every piece its coefficients, where the layer's weights are, what is left to gain, and the iterations."""
        degree = self.degree if self._coordinates.dim else 0  # inputs that do not vary
        some = [of_outputs(layers[piece.number], piece.rows) for piece in chosen]
        right = joined([self._right_hand_side(layer, degree) for layer in some])
        # set aside, because it may be large beside all that varies
        constant = host(right[:, 0]).copy()
        right[:, 0] = 0.0
        if degree < 2:
            solution, error, iterations = self._linear(some, host(right), constant, degree), np.zeros(len(constant)), 0
        else:
            initial = self._initial(starts, chosen, constant)
            solution, error, iterations = self._quadratic(some, right, constant, initial, states)
        solution[:, 0] += like(constant, solution)
        parts, first = [], 0
        for piece, layer in zip(chosen, some):
            rows = slice(first, first := first + layer.d_out)
            tensors = [brought(tensor, layer.projections[0][0]) for tensor in self._tensors(solution[rows, :])]
            parts.append((piece, (tensors, error[rows], iterations)))
        return parts

    def _right_hand_side(self, layer: Layer, degree: int) -> Any:
        """By the mixture, or the one that guides; made on the CPU where the device has no memory left for it."""
        try:
            return right_hand_side(layer, self._guide, self._coordinates, degree, self._template)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        return like(right_hand_side(layer.cpu(), self._guide, self._coordinates, degree), self._template)

    def _quadratic(
        self, layers: list[Layer], right: Any, constant: Float64, initial: Any | None, states: States | None
    ) -> tuple[Any, Float64, int]:
        direct, operator = self._direct, self._operator
        iterate = Iteration(self._precondition, self.tol, self.max_iterations, self.progress)
        if isinstance(operator, SampleOperator):
            if initial is None and direct:
                initial = like(direct(host(right)), self._template)
            elif initial is None:
                checkpoint = states and states.guide(digest(self._coordinates, host(right), None, self._guide))
                initial = iterate(self._guided, right, None, checkpoint)[0]
            parts = np.split(constant, np.cumsum([layer.d_out for layer in layers])[:-1])
            right = joined([operator.right_hand_side(layer, part) for layer, part in zip(layers, parts)])
        elif direct:
            known = host(right)
            with np.errstate(over="ignore"):
                refuse_overflow((known**2).sum(axis=1))
            return direct(known), np.zeros(len(constant)), 0
        checkpoint = None
        if states:
            begin = None if initial is None else host(initial)
            checkpoint = states.state(digest(self._coordinates, host(right), begin, self.inputs))
        return iterate(operator, right, initial, checkpoint)

    def _linear(self, layers: list[Layer], guided: Float64, constant: Float64, degree: int) -> Float64:
        """Degrees 0 and 1. In z a mixture is white; data are, up to the noise floor of the mixture that guides."""
        if isinstance(self.inputs, GaussianMixture):
            return guided
        count = 1 + degree * self._coordinates.dim
        gram, sums, plain = np.zeros((count, count)), np.zeros_like(guided), [layer.cpu() for layer in layers]
        for x in self.inputs.chunks():
            z = (x - self._coordinates.center) @ self._coordinates.inward.T
            features = np.concatenate([np.ones((len(x), 1)), z], axis=1)[:, :count]
            gram += features.T @ features
            values = np.concatenate([layer(x).astype(np.float64) for layer in plain], axis=1) - constant
            sums += values.T @ features
        return np.linalg.lstsq(gram, sums.T, rcond=None)[0].T.astype(np.float64)

    def _together(self) -> int:
        """How many right-hand sides fit into memory."""
        size = self._coordinates.size(self.degree)
        if isinstance(self._template, np.ndarray):
            most = available_memory() / 2 / (8 * _ARRAYS * size)
        else:
            # what two large products have between them, and once more in another order
            beside = 16 * max(TOGETHER, self._coordinates.covariances.size)
            most = (_SHARE * free_bytes(self._template) - beside) / (8 * _ARRAYS_ON_DEVICE * size)
        return min(max(1, int(most)), max(_BLOCK, self._coordinates.dim // 2))

    def _too_large(self) -> MemoryError:
        needed = 8 * _ARRAYS_ON_DEVICE * self._coordinates.size(self.degree) / 2**30
        return MemoryError(
            f"device: the iteration for one output takes about {needed:.2g} GiB and the mixture's covariances besides; "
            f'{free_bytes(self._template) / 2**30:.2g} GiB are free; free some, or choose device="cpu"'
        )

    def _warn(self, info: Info) -> None:
        way_on = "raise max_iterations, or continue from the result with start="
        if info.iterations < self.max_iterations:
            way_on = 'rounding lets it come no closer; method="direct" may, and so may a (larger) noise_floor'
        warn_of_accuracy(
            f"{info.iterations} iterations leave an energy error of {info.energy_error.max():.1e} of the variance, "
            f"more than tol {self.tol:g}; {way_on}"
        )

    def _initial(self, starts: list[Any], chosen: list[Piece], constant: Float64) -> Any | None:
        """What is known already, less the constants; None if nothing is."""
        if all(starts[piece.number] is None for piece in chosen):
            return None
        initial = joined([self._rows(starts[piece.number], piece.rows) for piece in chosen])
        initial[:, 0] -= like(constant, initial)
        return initial

    def _rows(self, start: Any, rows: slice) -> Any:
        """Some outputs of a polynomial in the unknowns of `MomentOperator`."""
        coordinates, r, there = self._coordinates, self._coordinates.dim, self._template
        if start is None:
            return like(np.zeros((rows.stop - rows.start, coordinates.size(2))), there)
        about = start.about(coordinates.center)
        constant, linear, quadratic = (brought(about.coefficient(k)[rows, ...], there) for k in range(3))
        R, xp = like(coordinates.outward, there), array_namespace(there)
        B = xp.reshape(R.T @ quadratic @ R, (-1, r * r))
        constant = constant + xp.sum(B[:, :: r + 1], axis=1)
        return xp.concat([constant[:, None], linear @ R, ROOT_2 * B], axis=1)

    def _tensors(self, rows: Any) -> list[Any]:
        """The coefficients about the mean of polynomials in the unknowns of `MomentOperator`, where these are."""
        xp, (n, r, d) = array_namespace(rows), (rows.shape[0], self._coordinates.dim, self.inputs.dim)
        T, constant = like(self._coordinates.inward, rows), xp.asarray(rows[:, 0], copy=True)
        if self.degree == 0:
            return [constant]
        linear = rows[:, 1 : 1 + r] @ T
        if self.degree == 1:
            return [constant, linear]
        quadratic = zeros((n, d, d), rows)
        if r == 0:
            return [constant, linear, quadratic]
        B = xp.reshape(rows[:, 1 + r :], (n, r, r))
        for first in range(0, n, _PULLED_BACK):
            some = slice(first, min(first + _PULLED_BACK, n))
            quadratic[some, :, :] = symmetrise(T.T @ (B[some, :, :] / ROOT_2) @ T)
        trace = xp.sum(rows[:, 1 + r :: r + 1], axis=1)
        return [constant - trace / ROOT_2, linear, quadratic]


def _share(left: int, most: int) -> int:
    """The first of as few batches as can be, of about the same size: few outputs alone take more iterations."""
    return math.ceil(left / math.ceil(left / most))


def _keep(error: BaseException, solved: list[SolvedPolynomial | None]) -> None:
    """Let an error carry what has been solved before it."""
    known = sum(p is not None for p in solved)
    if known:
        error.solved = solved  # type: ignore[attr-defined]
        error.add_note(f"{known} of {len(solved)} layers are solved: the attribute .solved has them")


def _make_folder(out: str | os.PathLike[str]) -> None:
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(errno.ENOTDIR, "out: expected a folder, found a file", os.fspath(out)) from None
