"""The best polynomials under a Gaussian mixture, of many layers that share their inputs.

>>> solver = Solver(GaussianMixture.from_samples(X, labels, noise_floor=1e-4))
>>> p = solver.solve(layer)
>>> p
MixturePolynomial(degree=2, 784 → 10, gelu)
>>> p.info
Info(58 iterations, energy error 7e-09 of the variance, 190 s)
>>> later = solver.solve(later_layer, start=p)        # the next checkpoint takes fewer
"""

import math
import time
import warnings
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from numeric import checks
from numeric.dense import DensePolynomial, available_memory, check_memory
from numeric.layers import GLU, MLP
from numeric.mixture import conjugate_gradients
from numeric.mixture.coordinates import Coordinates
from numeric.mixture.expectations import right_hand_side
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.operator import ROOT_2, MomentOperator
from numeric.mixture.polynomial import Info, MixturePolynomial
from numeric.mixture.preconditioner import Preconditioner
from numeric.moments import AccuracyWarning
from numeric.normal_equations import MOST_FEATURES, least_squares
from numeric.progress import Progress
from numeric.special import TINY

Float64 = NDArray[np.float64]
Layer = MLP | GLU

# Arrays of the size of all unknowns that an iteration holds.
_ARRAYS = 8
# Energies below this share of E p² are rounding.
_ROUNDING = 1e-26


class Solver:
    """Finds the polynomial p of total degree ≤ `degree` that minimises E‖f(x) − p(x)‖² under a Gaussian mixture.

    Degree 1 is closed: f's mean, and its covariance with x. In degree 2 there are (d + 1)(d + 2)/2 unknowns per output;
    their normal equations are applied, never formed, and solved by conjugate gradients for all outputs of all layers
    together (`numeric.mixture`). Higher degrees go by the explicit normal equations, where features are few. What
    depends on the inputs alone is done once, here.

    Args:
        inputs: a GaussianMixture.
        degree: an integer ≥ 0.
        tol: what may be left to gain, E(p − p*)² with p* the best polynomial, relative to the variance of every output
            of p.
        max_iterations: after which the solution is returned with an AccuracyWarning.
        progress: whether to show a bar after two seconds; default: if standard error is a terminal.

    Raises:
        TypeError: inputs that are no mixture, a degree that is no integer.
        ValueError: a degree above 2 with more than 5000 features; a tolerance that is not positive.
        CoefficientsTooLarge: quadratics that do not fit into memory.

    Source: our derivation, derivations/mixture.md.
    """

    def __init__(
        self,
        inputs: GaussianMixture,
        degree: int = 2,
        tol: float = 1e-8,
        max_iterations: int = 200,
        progress: bool | None = None,
    ) -> None:
        if not isinstance(inputs, GaussianMixture):
            raise TypeError(
                f"inputs: expected a GaussianMixture, got {type(inputs).__name__}; under a Gaussian, "
                "approximate(layer, inputs) needs no solver"
            )
        if not tol > 0:
            raise ValueError(f"tol: expected a number > 0, got {tol}")
        self.inputs, self.degree, self.tol = inputs, checks.non_negative_integer("degree", degree), float(tol)
        self.max_iterations = checks.non_negative_integer("max_iterations", max_iterations)
        self.progress = progress
        self._refuse_degree()
        self._coordinates: Coordinates | None = None
        if self.degree <= 2:
            self._prepare()

    def _refuse_degree(self) -> None:
        dim, features = self.inputs.dim, math.comb(self.inputs.dim + self.degree, self.degree)
        if self.degree > 2 and features > MOST_FEATURES:
            raise ValueError(
                f"degree: {self.degree} in {dim} variables has {features:,} features; the explicit normal equations "
                f"take at most {MOST_FEATURES:,}; degree 2 is solved without forming them, and under the Gaussian "
                "inputs.moment_matched() every degree has a closed form"
            )
        check_memory(max(self.inputs.n_components, 1), dim, [2 if self.degree == 2 else 0])

    def _prepare(self) -> None:
        self._coordinates = coordinates = Coordinates.of(self.inputs)
        parts = (coordinates.weights, coordinates.means, coordinates.covariances)
        self._operator = MomentOperator(*parts)
        self._precondition = Preconditioner(coordinates, like=coordinates.covariances)

    @overload
    def solve(self, layers: Layer, start: Any = None) -> MixturePolynomial: ...
    @overload
    def solve(self, layers: Sequence[Layer], start: Any = None) -> list[MixturePolynomial]: ...
    def solve(self, layers: Layer | Sequence[Layer], start: Any = None) -> MixturePolynomial | list[MixturePolynomial]:
        """The best polynomial of a layer, or of each of several; searching together, they take fewer iterations.

        Args:
            layers: an MLP, a GLU, or a list of them, with `d_in == inputs.dim`.
            start: a polynomial near the solution, such as that of an earlier checkpoint: anything with `about`; or a
                list, as many as there are layers. Only degree 2 makes use of it.

        Raises:
            TypeError: something that is no layer.
            ValueError: dimensions that differ.
        """
        single = isinstance(layers, MLP | GLU)
        chosen = [layers] if single else list(layers)
        starts = [start] if single or start is None else list(start)
        self._refuse(chosen)
        if self.degree > 2:
            solved = [self._explicit(layer) for layer in chosen]
        else:
            solved = self._solve(chosen, starts * len(chosen) if start is None else starts)
        return solved[0] if single else solved

    def _refuse(self, layers: list[Any]) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, MLP | GLU):
                raise TypeError(f"layers[{i}]: expected an MLP or a GLU, got {type(layer).__name__}")
            if layer.d_in != self.inputs.dim:
                raise ValueError(f"layers[{i}]: expected d_in {self.inputs.dim} to match inputs.dim, got {layer.d_in}")

    def _explicit(self, layer: Layer) -> MixturePolynomial:
        began = time.perf_counter()
        pairs = list(zip(self.inputs.weights.tolist(), self.inputs.components))
        p = least_squares(layer, pairs, self.degree)
        none = int(np.count_nonzero(self.inputs.std == 0))
        return MixturePolynomial(
            layer, self.inputs, p, Info(0, np.zeros(layer.d_out), time.perf_counter() - began, True, none)
        )

    def _solve(self, layers: list[Layer], starts: list[Any]) -> list[MixturePolynomial]:
        began = time.perf_counter()
        assert self._coordinates is not None
        right = np.concatenate(
            [right_hand_side(layer, self.inputs, self._coordinates, self.degree) for layer in layers]
        )
        initial = None
        if any(start is not None for start in starts) and self.degree == 2:
            initial = np.concatenate([self._rows(start, layer.d_out) for start, layer in zip(starts, layers)])
        solutions, errors, iterations = self._iterate(right, initial)
        info = {
            "iterations": iterations,
            "seconds": time.perf_counter() - began,
            "degenerate": self.inputs.dim - self._coordinates.dim,
        }
        results, first = [], 0
        for layer in layers:
            rows = slice(first, first := first + layer.d_out)
            error = errors[rows]
            made = Info(energy_error=error, converged=bool((error <= self.tol).all()), **info)
            results.append(MixturePolynomial(layer, self.inputs, self._polynomial(solutions[rows]), made))
        return results

    def _iterate(self, right: Float64, initial: Float64 | None) -> tuple[Float64, Float64, int]:
        """Solutions, relative errors, and the most iterations; as many right-hand sides together as fit into memory."""
        if self.degree < 2:  # z is white: there is nothing to solve
            return right, np.zeros(len(right)), 0
        together = max(1, int(available_memory() / 2 / (8 * _ARRAYS * right.shape[1])))
        solutions, errors, iterations = [], [], 0
        for first in range(0, len(right), together):
            rows = slice(first, first + together)
            state = conjugate_gradients.start(self._operator, right[rows], None if initial is None else initial[rows])
            error = self._run(right[rows], state)
            solutions.append(state.solution)
            errors.append(error)
            iterations = max(iterations, len(state.gains))
        return np.concatenate(solutions), np.concatenate(errors), iterations

    def _run(self, right: Float64, state: conjugate_gradients.State) -> Float64:
        error = self._relative_error(right, state)
        with Progress("conjugate gradients", 100, self.progress) as bar:
            while (error > self.tol).any() and len(state.gains) < self.max_iterations:
                if not conjugate_gradients.step(self._operator, self._precondition, state):
                    break
                error = self._relative_error(right, state)
                bar.done = self._share(error)
                bar.advance(0)
        if (error > self.tol).any():
            warnings.warn(
                f"{len(state.gains)} iterations leave an energy error of {error.max():.1e} of the variance, more than "
                f"tol {self.tol:g}; raise max_iterations, or continue from the result with start=",
                AccuracyWarning,
                stacklevel=5,
            )
        return error

    def _share(self, error: Float64) -> int:
        """How far, in percent of the digits asked for."""
        worst = float(min(max(error.max(), self.tol), 1.0))
        return int(100 * math.log(worst) / math.log(min(self.tol, 0.5)))

    def _relative_error(self, right: Float64, state: conjugate_gradients.State) -> Float64:
        energy = np.einsum("oi,oi->o", state.solution, right + state.residual)
        variance = np.maximum(energy - right[:, 0] ** 2, 0.0)
        estimate = state.estimate()
        # what is below the rounding of all that there is, is nothing
        estimate = np.where(estimate <= _ROUNDING * np.maximum(energy, right[:, 0] ** 2), 0.0, estimate)
        with np.errstate(over="ignore"):
            return np.where(estimate > 0, estimate / np.maximum(variance, TINY), 0.0)

    def _rows(self, start: Any, d_out: int) -> Float64:
        """A polynomial in the unknowns of `MomentOperator`."""
        coordinates = self._coordinates
        assert coordinates is not None
        if start is None:
            return np.zeros((d_out, self._operator.size))
        about = start.about(coordinates.center)
        if (about.d_in, about.d_out) != (self.inputs.dim, d_out):
            raise ValueError(
                f"start: expected a polynomial {self.inputs.dim} → {d_out}, got {about.d_in} → {about.d_out}"
            )
        R = coordinates.outward
        B = R.T @ about.coefficient(2) @ R
        return self._operator.joined(
            about.constant + np.trace(B, axis1=1, axis2=2), about.coefficient(1) @ R, ROOT_2 * B
        )

    def _polynomial(self, rows: Float64) -> DensePolynomial:
        coordinates = self._coordinates
        assert coordinates is not None
        T, r = coordinates.inward, coordinates.dim
        tensors = [rows[:, 0]]
        if self.degree >= 1:
            tensors.append(rows[:, 1 : 1 + r] @ T)
        if self.degree == 2:
            B = rows[:, 1 + r :].reshape(-1, r, r)
            tensors[0] = tensors[0] - np.trace(B, axis1=1, axis2=2) / ROOT_2
            tensors.append(T.T @ (B / ROOT_2) @ T)
        return DensePolynomial(coordinates.center, tensors)
