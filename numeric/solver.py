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
from numeric.layers import GLU, MLP
from numeric.mixture import conjugate_gradients
from numeric.mixture.arrays import empty_on, like, numpy_of
from numeric.mixture.coordinates import Coordinates, whitening
from numeric.mixture.direct import DIRECT, DirectSolver
from numeric.mixture.empirical import SampleOperator
from numeric.mixture.expectations import right_hand_side
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.operator import ROOT_2, MomentOperator
from numeric.mixture.polynomial import Info, SolvedPolynomial
from numeric.mixture.preconditioner import Preconditioner
from numeric.mixture.resume import Checkpoint, digest, saved_outputs
from numeric.moments import AccuracyWarning
from numeric.normal_equations import MOST_FEATURES, least_squares
from numeric.progress import Progress
from numeric.samples import Samples
from numeric.special import TINY

Float64 = NDArray[np.float64]
Layer = MLP | GLU
Method = Literal["auto", "direct", "iterative"]

# Arrays of the size of all unknowns that an iteration holds.
_ARRAYS = 8
# Energies below this share of E p² are rounding.
_ROUNDING = 1e-26
# Residuals below this share of the right-hand side are rounding, and no direction to search in.
_ROUNDED = 1e-14
# Where there is nowhere left to go, residuals below this share are.
_SOLVED = 1e-12


class Solver:
    """Finds the polynomial p of total degree ≤ `degree` that minimises E‖f(x) − p(x)‖² under a mixture, or on data.

    Degree 1 is closed under a mixture: f's mean, and its covariance with x. In degree 2 there are (d + 1)(d + 2)/2
    unknowns per output; where they are many, their normal equations are applied, never formed, and solved by
    conjugate gradients for all outputs of all layers together (`numeric.mixture`). Higher degrees go by the explicit
    normal equations, where features are few. What depends on the inputs alone is done once, here.

    Args:
        inputs: a GaussianMixture, or Samples (degrees 0 to 2).
        degree: an integer ≥ 0.
        device: "cpu", or "cuda" for CuPy's arrays, or PyTorch's where there is no CuPy. Set-up is done on the CPU.
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
        self._guided = MomentOperator(*(like(part, self._template) for part in parts))
        self._precondition = Preconditioner(coordinates, self._template)
        self._operator: MomentOperator | SampleOperator = self._guided
        if isinstance(self.inputs, Samples):
            self._operator = SampleOperator(self.inputs, coordinates, self._template)
        if self.method == "direct" or (self.method == "auto" and coordinates.dim <= DIRECT):
            self._direct = DirectSolver(MomentOperator(*parts))

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

        Args:
            layers: an MLP, a GLU, or a list of them, with `d_in == inputs.dim`.
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
        solved = [self._explicit(layer) for layer in chosen] if self.degree > 2 else self._solve(chosen, starts, out)
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
        began = time.perf_counter()
        pairs = list(zip(self.inputs.weights.tolist(), self.inputs.components))
        inward = whitening(self.inputs)[0]  # units of the coordinates do not matter
        p = least_squares(layer, pairs, self.degree, inward if len(inward) else None)
        degenerate = self.inputs.dim - len(inward)
        info = Info(0, np.zeros(layer.d_out), time.perf_counter() - began, True, degenerate)
        return SolvedPolynomial(layer, self.inputs, p, info)

    def _solve(
        self, layers: list[Layer], starts: list[Any], out: str | os.PathLike[str] | None
    ) -> list[SolvedPolynomial]:
        began = time.perf_counter()
        solutions, errors, iterations = self._solutions(layers, starts, out)
        seconds, degenerate = time.perf_counter() - began, self.inputs.dim - self._coordinates.dim
        results, first = [], 0
        for layer in layers:
            rows = slice(first, first := first + layer.d_out)
            info = Info(iterations, errors[rows], seconds, bool((errors[rows] <= self.tol).all()), degenerate)
            results.append(SolvedPolynomial(layer, self.inputs, self._polynomial(solutions[rows]), info))
        return results

    def _solutions(
        self, layers: list[Layer], starts: list[Any], out: str | os.PathLike[str] | None
    ) -> tuple[Float64, Float64, int]:
        """Solutions and relative errors of all outputs, and the most iterations that any of them took."""
        degree = self.degree if self._coordinates.dim else 0  # inputs that do not vary
        guided = [right_hand_side(layer, self._guide, self._coordinates, degree) for layer in layers]
        right, initial = np.concatenate(guided), None
        # set aside, because it may be large beside all that varies
        constant = right[:, 0].copy()
        right[:, 0] = 0.0
        if degree < 2:
            found = self._linear(layers, right, constant, degree)
        else:
            if any(start is not None for start in starts):
                initial = np.concatenate([self._rows(start, layer.d_out) for start, layer in zip(starts, layers)])
                initial[:, 0] -= constant
            found = self._quadratic(layers, right, constant, initial, out)
        found[0][:, 0] += constant
        return found

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
            right = np.concatenate([numpy_of(operator.right_hand_side(layer, part)) for layer, part in pairs])
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
        together = max(1, int(available_memory() / 2 / (8 * _ARRAYS * right.shape[1])))
        last = operator is self._operator
        problem = "" if out is None else digest(self._coordinates, right, initial, self.inputs if last else self._guide)
        parts, first = [], 0
        while first < len(right):
            path = None if out is None else Path(out) / f"{'state' if last else 'guide'}-{first:06}.safetensors"
            # an interrupted solve goes on with as many as there were, however much memory is free by now
            rows = slice(first, first + ((path and saved_outputs(path)) or together))
            given, begin = right[rows], None if initial is None else initial[rows]
            checkpoint = Checkpoint(path, f"{problem}, from output {first}") if path else None
            parts.append(self._run(operator, given, begin, checkpoint))
            first += len(given)
        solutions, errors, counts = zip(*parts)
        return np.concatenate(solutions), np.concatenate(errors), max(counts)

    def _run(
        self, operator: Any, right: Float64, initial: Float64 | None, checkpoint: Checkpoint | None
    ) -> tuple[Float64, Float64, int]:
        given = like(right, self._template)
        state = checkpoint.load(self._template) if checkpoint else None
        if state is None:
            begin = None if initial is None else like(initial, self._template)
            state = conjugate_gradients.start(operator, given, begin)
        _settle(given, state)
        error = self._relative_error(given, state)
        try:
            with Progress("conjugate gradients", 100, self.progress) as bar:
                while (error > self.tol).any() and len(state.gains) < self.max_iterations:
                    if not conjugate_gradients.step(operator, self._precondition, state):
                        error = np.where(_solved(given, state), 0.0, error)
                        break
                    _settle(given, state)
                    error = self._relative_error(given, state)
                    bar.show_done(self._percent(error))
                    if checkpoint:
                        checkpoint.save(state)
        finally:
            if checkpoint:
                checkpoint.save(state, now=True)
        return numpy_of(state.solution), error, len(state.gains)

    def _warn(self, error: Float64, iterations: int) -> None:
        warnings.warn(
            f"{iterations} iterations leave an energy error of {error.max():.1e} of the variance, more than tol "
            f"{self.tol:g}; raise max_iterations, or continue from the result with start=",
            AccuracyWarning,
            stacklevel=6,
        )

    def _percent(self, error: Float64) -> int:
        """How far, of the digits asked for."""
        worst = float(min(max(error.max(), self.tol), 1.0))
        return int(100 * math.log(worst) / math.log(min(self.tol, 0.5)))

    def _relative_error(self, right: Any, state: conjugate_gradients.State) -> Float64:
        xp = array_namespace(right)
        with np.errstate(over="ignore", invalid="ignore"):
            energy = numpy_of(xp.sum(state.solution * (right + state.residual), axis=-1))
            square = numpy_of(right[:, 0]) ** 2
            finite = np.isfinite(energy + numpy_of(xp.sum(right * right, axis=-1)))
        if not finite.all():
            raise OverflowError(
                f"layers: the mean square of output {int(np.argmin(finite))}, or of its start, is beyond double "
                "precision; scale the weights down"
            )
        variance = np.maximum(energy - square, 0.0)
        estimate = state.estimate()
        # what is below the rounding of all that there is, is nothing
        estimate = np.where(estimate <= _ROUNDING * np.maximum(energy, square), 0.0, estimate)
        estimate = np.where(_largest(state.residual) == 0, 0.0, estimate)
        with np.errstate(over="ignore"):
            return np.where(estimate > 0, estimate / np.maximum(variance, TINY), 0.0)

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
            tensors.append(T.T @ (B / ROOT_2) @ T)
        return DensePolynomial(self._coordinates.center, tensors)


def _make_folder(out: str | os.PathLike[str]) -> None:
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(errno.ENOTDIR, "out: expected a folder, found a file", os.fspath(out)) from None


def _settle(right: Any, state: conjugate_gradients.State) -> None:
    """Set to zero what is left of outputs where it is rounding.

    As a direction it would be any, also one that nothing depends on, along which steps have no limit.
    """
    left, given = _largest(state.residual), _largest(right)
    settled = (left <= _ROUNDED * given) & (left > 0)
    if settled.any():
        state.residual = state.residual * like(np.where(settled, 0.0, 1.0)[:, None], state.residual)


def _solved(right: Any, state: conjugate_gradients.State) -> NDArray[np.bool_]:
    """Of which outputs nothing is left but rounding."""
    return _largest(state.residual) <= _SOLVED * _largest(right)


def _largest(rows: Any) -> Float64:
    """The largest magnitude in every row."""
    xp = array_namespace(rows)
    return numpy_of(xp.max(xp.abs(rows), axis=1))
