"""Conjugate gradients until little enough is left to gain: when to look, when to stop, and what to say of failures."""

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from numeric.device.arrays import host, is_out_of_memory
from numeric.mixture import conjugate_gradients
from numeric.mixture.conjugate_gradients import State
from numeric.mixture.preconditioner import Preconditioner
from numeric.mixture.resume import Checkpoint
from numeric.progress import Progress
from numeric.special import TINY

Float64 = NDArray[np.float64]

# After how many iterations their numbers are looked at, on a device, which would have to wait each time.
_LOOK = 5
# Energies below this share of E p² are rounding.
_ROUNDING = 1e-26
# Residuals below this share of the right-hand side are rounding, and no direction to search in.
_ROUNDED = 1e-14
# By how much the approximate inverse of the normal equations may be too small.
_CONDITION = 1e3


class Iteration:
    """Solves for several right-hand sides together.

    Args:
        precondition: the approximate inverse.
        tol: what may be left to gain, relative to the variance of each solution.
        max_iterations: after which it ends anyway.
        progress: as for `Progress`.
    """

    def __init__(self, precondition: Preconditioner, tol: float, max_iterations: int, progress: bool | None) -> None:
        self._precondition, self._tol, self._max_iterations = precondition, tol, max_iterations
        self._progress = progress

    def __call__(
        self, operator: Callable[[Any], Any], right: Any, initial: Any | None, checkpoint: Checkpoint | None
    ) -> tuple[Any, Float64, int]:
        """Solutions for right-hand sides (n, F), where these are; what is left, relative, (n,); and the iterations."""
        xp = array_namespace(right)
        least = _ROUNDED * xp.max(xp.abs(right), axis=1)
        state = checkpoint.load(right) if checkpoint else None
        if state is None:
            state = conjugate_gradients.start(operator, right, initial)
        state.residual = conjugate_gradients.settled(state.residual, least)
        try:
            error = self._converge(operator, right, least, state, checkpoint)
        except RuntimeError as failure:
            if isinstance(right, np.ndarray) or is_out_of_memory(failure):
                raise
            raise _failed(failure, len(state.gains), checkpoint) from failure
        except BaseException:
            if checkpoint:
                checkpoint.save(state, now=True)
            raise
        if checkpoint:
            checkpoint.save(state, now=True)
        return state.solution, error, len(state.gains)

    def _converge(
        self, operator: Callable[[Any], Any], right: Any, least: Any, state: State, checkpoint: Checkpoint | None
    ) -> Float64:
        """Iterate, in place, until little enough is left; how much that is."""
        look = 1 if isinstance(right, np.ndarray) else _LOOK
        error = relative_error(right, state)
        with Progress("conjugate gradients", 100, self._progress) as bar:
            while (error > self._tol).any() and len(state.gains) < self._max_iterations:
                count = min(look, self._max_iterations - len(state.gains))
                if not conjugate_gradients.step(operator, self._precondition, state, count, least):
                    return np.minimum(error, self._left(right, state))
                error = relative_error(right, state)
                bar.show_done(self._percent(error))
                if checkpoint:
                    checkpoint.save(state)
        return error

    def _percent(self, error: Float64) -> int:
        """How far, of the digits asked for."""
        worst = float(min(max(error.max(), self._tol), 1.0))
        return int(100 * math.log(worst) / math.log(min(self._tol, 0.5)))

    def _left(self, right: Any, state: State) -> Float64:
        """What is left where there is nowhere to go: r·A⁻¹r of the residual, by the approximate inverse."""
        xp = array_namespace(right)
        energy = host(xp.sum(state.residual * self._precondition(state.residual, xp), axis=1))
        return _CONDITION * np.abs(energy) / np.maximum(_variance(right, state)[0], TINY)


def relative_error(right: Any, state: State) -> Float64:
    """An estimate of E(p − p*)² over Var p, (n,)."""
    variance, whole = _variance(right, state)
    estimate = state.estimate()
    # what is below the rounding of all that there is, is nothing
    estimate = np.where(estimate <= _ROUNDING * whole, 0.0, estimate)
    estimate = np.where(_largest(state.residual) == 0, 0.0, estimate)
    with np.errstate(over="ignore"):
        return np.where(estimate > 0, estimate / np.maximum(variance, TINY), 0.0)


def _variance(right: Any, state: State) -> tuple[Float64, Float64]:
    """Var p of every output, and E p² or (E f)², whichever is larger."""
    xp = array_namespace(right)
    with np.errstate(over="ignore", invalid="ignore"):
        energy = host(xp.sum(state.solution * (right + state.residual), axis=-1))
        square = host(right[:, 0]) ** 2
        refuse_overflow(energy + host(xp.sum(right * right, axis=-1)))
    return np.maximum(energy - square, 0.0), np.maximum(energy, square)


def refuse_overflow(squares: Float64) -> None:
    """Refuse mean squares of outputs that are no numbers."""
    finite = np.isfinite(squares)
    if not finite.all():
        raise OverflowError(
            f"layers: the mean square of output {int(np.argmin(finite))}, or of its start, is beyond double "
            "precision; scale the weights down"
        )


def _largest(rows: Any) -> Float64:
    """The largest magnitude in every row."""
    xp = array_namespace(rows)
    return host(xp.max(xp.abs(rows), axis=1))


def _failed(error: RuntimeError, iterations: int, checkpoint: Checkpoint | None) -> RuntimeError:
    way_on = "with out=, a folder for its state, a solve can be continued"
    if checkpoint:
        way_on = f"the same call goes on from the state in {os.fspath(checkpoint.path.parent)!r}, if one was written"
    said = (str(error) or type(error).__name__).splitlines()[0]
    return RuntimeError(f"the device failed after {iterations} iterations ({said}); {way_on}")
