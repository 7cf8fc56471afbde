"""Conjugate gradients for several right-hand sides together, until little seems to be left to gain.

All right-hand sides share one operator, and each searches in the directions of all (O'Leary, Linear Algebra Appl.
29, 1980): ten of them take about half the iterations of one alone. The directions p_i of an iteration are made
orthonormal, p_i·A p_j = δ_ij, and those that are combinations of the others are dropped. A right-hand side b then
gains Σ_i (p_i·r)² of energy, in E(p) = ½ p·A p − b·p twice that with the sign turned: 2(E_before − E_after).

What is left to gain is 2(E − min E) = E(p − p*)², the mean squared distance of p from the best polynomial: what all
later iterations gain. Before the last d iterations it was that and what they gained. So what the last d gained bounds
what is left, as soon as the distance halves in d iterations. How long halving takes is seen at earlier iterations;
since convergence may slow down, d is twice the longest that it ever took (an adaptive delay, as in Meurant, Papež &
Tichý, Numer. Algorithms 88, 2021, with this rule in place of theirs). It is an estimate: as a rule several times too
large, but too small where convergence resumes after a plateau, as with components of few dimensions under a tiny
noise floor.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from numeric.device.arrays import host

Float64 = NDArray[np.float64]

_SHORTEST = 2
# Directions whose part that the others do not have is smaller, squared, are dropped.
_DEPENDENT = 1e-13
# Gains that grow so much again come from rounding: nothing is left that double precision can gain.
_LOST = 1e6


@dataclass
class State:
    """Where the iteration is; everything that it needs to go on.

    Attributes:
        solution, residual: (n, F).
        directions, images: (m, F), p and A p of the last iteration; rows of zeros in place of those dropped.
        gains: one array (n,) per iteration, what it took from E(p − p*)².
    """

    solution: Any
    residual: Any
    directions: Any
    images: Any
    gains: list[Float64] = field(default_factory=list)

    def estimate(self) -> Float64:
        """An estimate of E(p − p*)², (n,), as described above; infinite where nothing can be said yet."""
        return remaining(np.array(self.gains)) if self.gains else np.full(self.residual.shape[0], np.inf)


def start(operator: Callable[[Any], Any], right: Any, solution: Any | None = None) -> State:
    """Begin at zero, or at a solution of something similar."""
    xp = array_namespace(right)
    if solution is None:
        return State(xp.zeros_like(right), xp.asarray(right, copy=True), right[:0, :], right[:0, :])
    return State(xp.asarray(solution, copy=True), right - operator(solution), right[:0, :], right[:0, :])


def step(
    operator: Callable[[Any], Any],
    precondition: Callable[[Any, Any], Any],
    state: State,
    count: int = 1,
    least: Any | None = None,
) -> bool:
    """So many iterations, in place; False if no direction is left to go, or only such that rounding has made up.

    Their numbers are looked at after the last of them: nothing between waits for a device, but for PyTorch's `eigh`,
    which looks whether it has converged. There are fewer where the next would make no sense. An interruption at any
    moment leaves the state before them or that after them, never one between.

    Args:
        least: (n,), the magnitudes below which a residual is rounding; see `settled`.
    """
    after, rows = _iterations(operator, precondition, state, count, least)
    good, exhausted = _sensible(rows, state.gains)
    if good == 0 and exhausted:
        # where the system is singular an approximate inverse can point along what nothing depends on
        after, rows = _iterations(operator, lambda residual, _: residual, state, 1, least)
        good, _ = _sensible(rows, state.gains)
    elif 0 < good < count:
        after, rows = _iterations(operator, precondition, state, good, least)
    if good == 0:
        return False
    after.gains = [*state.gains, *rows[:good, :-1]]
    vars(state).update(vars(after))  # one call, which Python does not interrupt
    return True


def settled(residual: Any, least: Any | None) -> Any:
    """Residuals, those set to zero that are no larger than `least`.

    As a direction what is rounding would be any, also one that nothing depends on, along which steps have no limit.
    """
    if least is None:
        return residual
    xp = array_namespace(residual)
    matters = xp.max(xp.abs(residual), axis=1) > least
    return residual * xp.astype(matters, residual.dtype)[:, None]


def _iterations(
    operator: Callable[[Any], Any],
    precondition: Callable[[Any, Any], Any],
    state: State,
    count: int,
    least: Any | None,
) -> tuple[State, Float64]:
    """The state after them, but for its gains; these and whether there were directions, (count, n + 1)."""
    xp, rows = array_namespace(state.residual), []
    for _ in range(count):
        directions, images, kept = _directions(operator, precondition(state.residual, xp), state)
        lengths = directions @ state.residual.T
        rows.append(xp.concat([xp.sum(lengths * lengths, axis=0), xp.max(kept, keepdims=True)]))
        solution = lengths.T @ directions
        solution += state.solution
        residual = -(lengths.T) @ images
        residual += state.residual
        state = State(solution, settled(residual, least), directions, images)
    return state, host(xp.stack(rows))


def _sensible(rows: Float64, gains: list[Float64]) -> tuple[int, bool]:
    """How many iterations make sense, and whether the next had no direction at all."""
    smallest = min((float(before.max()) for before in gains), default=float("inf"))
    for number, row in enumerate(rows):
        largest = float(row[:-1].max())
        if row[-1] == 0 or largest > _LOST * smallest:
            return number, bool(row[-1] == 0)
        smallest = min(smallest, largest)
    return len(rows), False


def _directions(operator: Callable[[Any], Any], fresh: Any, state: State) -> tuple[Any, Any, Any]:
    """Orthonormal directions and their images, conjugate to the last ones; 1 for each that there is, or 0, (m,)."""
    if state.directions.shape[0]:
        fresh = fresh - (fresh @ state.images.T) @ state.directions
    images = operator(fresh)
    mixing, kept = _orthonormalising(fresh @ images.T)
    return mixing @ fresh, mixing @ images, kept


def _orthonormalising(gram: Any) -> tuple[Any, Any]:
    """T with T gram Tᵀ = I, in which directions that depend on others are zero; 1 for each that does not, or 0."""
    xp = array_namespace(gram)
    gram = 0.5 * (gram + gram.T)
    scale = _inverse_roots(xp.linalg.diagonal(gram), 0.0)
    values, vectors = xp.linalg.eigh(scale[:, None] * gram * scale)
    mixing = (vectors * _inverse_roots(values, _DEPENDENT)).T * scale
    return mixing, xp.astype(values > _DEPENDENT, gram.dtype)


def _inverse_roots(values: Any, least: float) -> Any:
    """1/√ of values above `least`, and 0 for the others."""
    xp = array_namespace(values)
    above = values > least
    return xp.where(above, 1.0 / xp.sqrt(xp.where(above, values, xp.ones_like(values))), xp.zeros_like(values))


def remaining(gains: Float64) -> Float64:
    """An estimate of what is left to gain after the last iteration, (n,), from the gains (iterations, n)."""
    return np.array([_remaining(column) for column in gains.T])


def _remaining(gains: Float64) -> float:
    count, halving = len(gains), _SHORTEST
    # what was left before every iteration, as far as is known by now
    left = np.cumsum(gains[::-1])[::-1]
    for t in range(count):
        halved = np.flatnonzero(left[t:] <= 0.5 * left[t])
        halving = max(halving, int(halved[0]) if len(halved) else 0)
    delay = 2 * halving
    return float(gains[-delay:].sum()) if count >= delay + _SHORTEST else float("inf")
