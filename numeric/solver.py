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
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from numeric import checks
from numeric.dense import DensePolynomial, available_memory, check_memory
from numeric.device.arrays import free_bytes, host, is_out_of_memory
from numeric.layers import GLU, MLP
from numeric.mixture import conjugate_gradients
from numeric.mixture.arrays import empty_on, like, on
from numeric.mixture.coordinates import Coordinates, whitening
from numeric.mixture.direct import DIRECT, DirectSolver
from numeric.mixture.empirical import SampleOperator
from numeric.mixture.expectations import right_hand_side
from numeric.mixture.explicit import explicit_least_squares
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.operator import ROOT_2, TOGETHER, MomentOperator
from numeric.mixture.polynomial import Info, SolvedPolynomial
from numeric.mixture.preconditioner import Preconditioner
from numeric.mixture.resume import Checkpoint, digest, saved_outputs
from numeric.moments import AccuracyWarning
from numeric.normal_equations import MOST_FEATURES
from numeric.progress import Progress
from numeric.samples import Samples
from numeric.special import TINY

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
# After how many iterations their numbers are looked at, on a device, which would have to wait each time.
_LOOK = 5
# Energies below this share of E p² are rounding.
_ROUNDING = 1e-26
# Residuals below this share of the right-hand side are rounding, and no direction to search in.
_ROUNDED = 1e-14
# By how much the approximate inverse of the normal equations may be too small.
_CONDITION = 1e3


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
            Set-up, and systems small enough to be solved directly, are done on the CPU. Weights of layers may be
            anywhere; polynomials are NumPy's, wherever they were solved for.
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
        device: str = "cpu",
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
        the polynomials of layers, and None where there is none yet.

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
            solved = list(map(self._explicit, chosen))
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

    def _explicit(self, layer: Layer) -> SolvedPolynomial:
        assert isinstance(self.inputs, GaussianMixture)
        began, layer = time.perf_counter(), layer.cpu()
        found = explicit_least_squares(layer, self.inputs, self.degree)
        degenerate = self.inputs.dim - len(whitening(self.inputs)[0])
        good = bool((found.error <= self.tol).all())
        error = np.zeros(layer.d_out) if good else found.error
        if not good:
            self._warn_of_rounding(found.error)
        return SolvedPolynomial(
            layer, self.inputs, found.polynomial, Info(0, error, time.perf_counter() - began, good, degenerate)
        )

    def _warn_of_rounding(self, error: Float64) -> None:
        loss = "all digits of some terms" if np.isinf(error).any() else f"{error.max():.1e} of the variance"
        warnings.warn(
            f"degree {self.degree}: the components are so many widths apart that rounding costs {loss}, more than tol "
            f"{self.tol:g}; choose a lower degree, inputs.moment_matched(), or a polynomial for each component: "
            "approximate(layer, inputs.components[k], degree)",
            AccuracyWarning,
            stacklevel=4,
        )

    def _solve(
        self, layers: list[Layer], starts: list[Any], out: str | os.PathLike[str] | None
    ) -> list[SolvedPolynomial]:
        began = time.perf_counter()
        try:
            found = self._solutions(layers, starts, out)
        except _Stopped as stopped:
            error = stopped.error
            known = self._results(layers, *stopped.found, began)
            error.solved = [*known, *[None] * (len(layers) - len(known))]  # type: ignore[attr-defined]
            error.add_note(f"{len(known)} of {len(layers)} layers are solved: the attribute .solved of this has them")
            raise error from error.__cause__
        return self._results(layers, *found, began)

    def _results(
        self, layers: list[Layer], solutions: Float64, errors: Float64, iterations: int, began: float
    ) -> list[SolvedPolynomial]:
        """Of all layers, or of the first ones where there are fewer solutions."""
        seconds, degenerate = time.perf_counter() - began, self.inputs.dim - self._coordinates.dim
        results, first = [], 0
        for layer in layers:
            rows = slice(first, first := first + layer.d_out)
            if first > len(solutions):
                break
            info = Info(iterations, errors[rows], seconds, bool((errors[rows] <= self.tol).all()), degenerate)
            results.append(SolvedPolynomial(layer.cpu(), self.inputs, self._polynomial(solutions[rows]), info))
        return results

    def _solutions(
        self, layers: list[Layer], starts: list[Any], out: str | os.PathLike[str] | None
    ) -> tuple[Float64, Float64, int]:
        """Solutions and relative errors of all outputs, and the most iterations that any of them took."""
        degree = self.degree if self._coordinates.dim else 0  # inputs that do not vary
        initial, right = None, np.concatenate([self._right_hand_side(layer, degree) for layer in layers])
        # set aside, because it may be large beside all that varies
        constant = right[:, 0].copy()
        right[:, 0] = 0.0
        if degree < 2:
            found = self._linear([layer.cpu() for layer in layers], right, constant, degree)
        else:
            if any(start is not None for start in starts):
                initial = np.concatenate([self._rows(start, layer.d_out) for start, layer in zip(starts, layers)])
                initial[:, 0] -= constant
            try:
                found = self._quadratic(layers, right, constant, initial, out)
            except _Stopped as stopped:
                stopped.found[0][:, 0] += constant[: len(stopped.found[0])]
                raise
        found[0][:, 0] += constant
        return found

    def _right_hand_side(self, layer: Layer, degree: int) -> Float64:
        """By the mixture, or the one that guides; on the CPU where the device has no memory left for it."""
        try:
            return host(right_hand_side(layer, self._guide, self._coordinates, degree, self._template))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        return right_hand_side(layer.cpu(), self._guide, self._coordinates, degree)

    def _quadratic(
        self,
        layers: list[Layer],
        right: Float64,
        constant: Float64,
        initial: Float64 | None,
        out: str | os.PathLike[str] | None,
    ) -> tuple[Float64, Float64, int]:
        direct = self._direct
        if isinstance(self._operator, SampleOperator):
            if initial is None:
                initial = direct(right) if direct else self._iterate(self._guided, right, None, out)[0]
            parts = np.split(constant, np.cumsum([layer.d_out for layer in layers])[:-1])
            operator, pairs = self._operator, zip(layers, parts)
            right = np.concatenate([host(operator.right_hand_side(layer.cpu(), part)) for layer, part in pairs])
        elif direct:
            return direct(right), np.zeros(len(right)), 0
        found = self._iterate(self._operator, right, initial, out)
        if (found[1] > self.tol).any():
            self._warn(found[1], found[2])
        return found

    def _linear(
        self, layers: list[Layer], guided: Float64, constant: Float64, degree: int
    ) -> tuple[Float64, Float64, int]:
        """Degrees 0 and 1. In z a mixture is white; data are, up to the noise floor of the mixture that guides."""
        if isinstance(self.inputs, Samples):
            count = 1 + degree * self._coordinates.dim
            gram, guided = np.zeros((count, count)), np.zeros_like(guided)
            for x in self.inputs.chunks():
                z = (x - self._coordinates.center) @ self._coordinates.inward.T
                features = np.concatenate([np.ones((len(x), 1)), z], axis=1)[:, :count]
                gram += features.T @ features
                values = np.concatenate([layer(x).astype(np.float64) for layer in layers], axis=1) - constant
                guided += values.T @ features
            guided = np.linalg.lstsq(gram, guided.T, rcond=None)[0].T.astype(np.float64)
        return guided, np.zeros(len(guided)), 0

    def _iterate(
        self, operator: Any, right: Float64, initial: Float64 | None, out: str | os.PathLike[str] | None
    ) -> tuple[Float64, Float64, int]:
        """As many right-hand sides together as fit into memory."""
        most = self._together(right.shape[1])
        last = operator is self._operator
        problem = "" if out is None else digest(self._coordinates, right, initial, self.inputs if last else self._guide)
        parts, first = [], 0
        while first < len(right):
            path = None if out is None else Path(out) / f"{'state' if last else 'guide'}-{first:06}.safetensors"
            # an interrupted solve goes on with as many as there were, however much memory is free by now
            rows = slice(first, first + ((path and saved_outputs(path)) or most))
            given, begin = right[rows], None if initial is None else initial[rows]
            checkpoint = Checkpoint(path, f"{problem}, from output {first}") if path else None
            try:
                parts.append(self._run(operator, given, begin, checkpoint))
            except BaseException as error:
                if is_out_of_memory(error) and len(given) > 1:
                    most = len(given) // 2
                    if path:
                        path.unlink(missing_ok=True)
                    continue
                told = self._too_large(error, right.shape[1]) if is_out_of_memory(error) else error
                if last and parts:
                    raise _Stopped(told, _joined(parts)) from None
                if told is error:
                    raise
                raise told from error
            first += len(given)
        return _joined(parts)

    def _together(self, size: int) -> int:
        """How many right-hand sides of so many numbers fit into memory."""
        if isinstance(self._template, np.ndarray):
            most = available_memory() / 2 / (8 * _ARRAYS * size)
        else:
            # what two large products have between them, and once more in another order
            beside = 16 * max(TOGETHER, self._guided.n_components * self._guided.dim**2)
            most = (_SHARE * free_bytes(self._template) - beside) / (8 * _ARRAYS_ON_DEVICE * size)
        return min(max(1, int(most)), max(_BLOCK, self._coordinates.dim // 2))

    def _run(
        self, operator: Any, right: Float64, initial: Float64 | None, checkpoint: Checkpoint | None
    ) -> tuple[Float64, Float64, int]:
        given = like(right, self._template)
        least = like(_ROUNDED * np.abs(right).max(axis=1), self._template)
        state = checkpoint.load(self._template) if checkpoint else None
        if state is None:
            begin = None if initial is None else like(initial, self._template)
            state = conjugate_gradients.start(operator, given, begin)
        state.residual = conjugate_gradients.settled(state.residual, least)
        try:
            error = self._converge(operator, given, least, state, checkpoint)
        except RuntimeError as failure:
            if isinstance(self._template, np.ndarray) or is_out_of_memory(failure):
                raise
            raise _failed(failure, len(state.gains), checkpoint) from failure
        except BaseException:
            if checkpoint:
                checkpoint.save(state, now=True)
            raise
        if checkpoint:
            checkpoint.save(state, now=True)
        return host(state.solution), error, len(state.gains)

    def _converge(
        self, operator: Any, right: Any, least: Any, state: conjugate_gradients.State, checkpoint: Checkpoint | None
    ) -> Float64:
        """Iterate, in place, until little enough is left; how much that is."""
        look = 1 if isinstance(right, np.ndarray) else _LOOK
        error = self._relative_error(right, state)
        with Progress("conjugate gradients", 100, self.progress) as bar:
            while (error > self.tol).any() and len(state.gains) < self.max_iterations:
                count = min(look, self.max_iterations - len(state.gains))
                if not conjugate_gradients.step(operator, self._precondition, state, count, least):
                    return np.minimum(error, self._left(right, state))
                error = self._relative_error(right, state)
                bar.show_done(self._percent(error))
                if checkpoint:
                    checkpoint.save(state)
        return error

    def _too_large(self, error: BaseException, size: int) -> BaseException:
        needed = 8 * _ARRAYS_ON_DEVICE * size / 2**30
        told = MemoryError(
            f"device: the iteration for one output takes about {needed:.2g} GiB and the mixture's covariances besides; "
            f'{free_bytes(self._template) / 2**30:.2g} GiB are free; free some, or choose device="cpu"'
        )
        told.__cause__ = error
        return told

    def _warn(self, error: Float64, iterations: int) -> None:
        way_on = "raise max_iterations, or continue from the result with start="
        if iterations < self.max_iterations:
            way_on = 'rounding lets it come no closer; method="direct" may, and so may a (larger) noise_floor'
        warnings.warn(
            f"{iterations} iterations leave an energy error of {error.max():.1e} of the variance, more than tol "
            f"{self.tol:g}; {way_on}",
            AccuracyWarning,
            stacklevel=6,
        )

    def _percent(self, error: Float64) -> int:
        """How far, of the digits asked for."""
        worst = float(min(max(error.max(), self.tol), 1.0))
        return int(100 * math.log(worst) / math.log(min(self.tol, 0.5)))

    def _variance(self, right: Any, state: conjugate_gradients.State) -> tuple[Float64, Float64]:
        """Var p of every output, and E p² or (E f)², whichever is larger."""
        xp = array_namespace(right)
        with np.errstate(over="ignore", invalid="ignore"):
            energy = host(xp.sum(state.solution * (right + state.residual), axis=-1))
            square = host(right[:, 0]) ** 2
            finite = np.isfinite(energy + host(xp.sum(right * right, axis=-1)))
        if not finite.all():
            raise OverflowError(
                f"layers: the mean square of output {int(np.argmin(finite))}, or of its start, is beyond double "
                "precision; scale the weights down"
            )
        return np.maximum(energy - square, 0.0), np.maximum(energy, square)

    def _relative_error(self, right: Any, state: conjugate_gradients.State) -> Float64:
        variance, whole = self._variance(right, state)
        estimate = state.estimate()
        # what is below the rounding of all that there is, is nothing
        estimate = np.where(estimate <= _ROUNDING * whole, 0.0, estimate)
        estimate = np.where(_largest(state.residual) == 0, 0.0, estimate)
        with np.errstate(over="ignore"):
            return np.where(estimate > 0, estimate / np.maximum(variance, TINY), 0.0)

    def _left(self, right: Any, state: conjugate_gradients.State) -> Float64:
        """What is left where there is nowhere to go: r·A⁻¹r of the residual, by the approximate inverse."""
        xp = array_namespace(right)
        energy = host(xp.sum(state.residual * self._precondition(state.residual, xp), axis=1))
        return _CONDITION * np.abs(energy) / np.maximum(self._variance(right, state)[0], TINY)

    def _rows(self, start: Any, d_out: int) -> Float64:
        """A polynomial in the unknowns of `MomentOperator`."""
        coordinates, r = self._coordinates, self._coordinates.dim
        if start is None:
            return np.zeros((d_out, self._guided.size))
        about = start.about(coordinates.center)
        R = coordinates.outward
        B = R.T @ about.coefficient(2) @ R
        constant = about.constant + np.trace(B, axis1=1, axis2=2)
        return np.concatenate([constant[:, None], about.coefficient(1) @ R, ROOT_2 * B.reshape(-1, r * r)], axis=1)

    def _polynomial(self, rows: Float64) -> DensePolynomial:
        T, r = self._coordinates.inward, self._coordinates.dim
        tensors = [rows[:, 0]]
        if self.degree >= 1:
            tensors.append(rows[:, 1 : 1 + r] @ T)
        if self.degree == 2 and r == 0:
            tensors.append(np.zeros((len(rows), *(self.inputs.dim,) * 2)))
        elif self.degree == 2:
            B = rows[:, 1 + r :].reshape(len(rows), r, r)
            tensors[0] = tensors[0] - np.trace(B, axis1=1, axis2=2) / ROOT_2
            there = like(T, self._template)
            tensors.append(np.empty((len(rows), *(self.inputs.dim,) * 2)))
            for first in range(0, len(rows), _PULLED_BACK):
                some = slice(first, first + _PULLED_BACK)
                tensors[-1][some] = host(there.T @ like(B[some] / ROOT_2, self._template) @ there)
        return DensePolynomial(self._coordinates.center, tensors)


def _make_folder(out: str | os.PathLike[str]) -> None:
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(errno.ENOTDIR, "out: expected a folder, found a file", os.fspath(out)) from None


class _Stopped(Exception):
    """An error after some of the right-hand sides were solved."""

    def __init__(self, error: BaseException, found: tuple[Float64, Float64, int]) -> None:
        super().__init__(str(error))
        self.error, self.found = error, found


def _joined(parts: list[tuple[Float64, Float64, int]]) -> tuple[Float64, Float64, int]:
    solutions, errors, counts = zip(*parts)
    return np.concatenate(solutions), np.concatenate(errors), max(counts)


def _failed(error: RuntimeError, iterations: int, checkpoint: Checkpoint | None) -> RuntimeError:
    way_on = "with out=, a folder for its state, a solve can be continued"
    if checkpoint:
        way_on = f"the same call goes on from the state in {os.fspath(checkpoint.path.parent)!r}, if one was written"
    said = (str(error) or type(error).__name__).splitlines()[0]
    return RuntimeError(f"the device failed after {iterations} iterations ({said}); {way_on}")


def _largest(rows: Any) -> Float64:
    """The largest magnitude in every row."""
    xp = array_namespace(rows)
    return host(xp.max(xp.abs(rows), axis=1))
