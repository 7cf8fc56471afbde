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

from numeric.mixture.arrays import like, numpy_of

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
        directions, images: (m, F), p and A p of the last iteration.
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


def step(operator: Callable[[Any], Any], precondition: Callable[[Any, Any], Any], state: State) -> bool:
    """One iteration, in place; False if there is no direction left to go, or only such that rounding has made up.

    An interruption at any moment leaves the state before the iteration or that after it, never one between them.
    """
    xp = array_namespace(state.residual)
    found = _directions(operator, precondition(state.residual, xp), state)
    if found is None:  # where the system is singular an approximate inverse can point along what nothing depends on
        found = _directions(operator, state.residual, state)
    if found is None:
        return False
    directions, images = found
    lengths = directions @ state.residual.T
    gained = np.sum(numpy_of(lengths) ** 2, axis=0)
    if state.gains and gained.max() > _LOST * min(gains.max() for gains in state.gains):
        return False
    solution = lengths.T @ directions
    solution += state.solution
    residual = -(lengths.T) @ images
    residual += state.residual
    after = State(solution, residual, directions, images, [*state.gains, gained])
    vars(state).update(vars(after))  # one call, which Python does not interrupt
    return True


def _directions(operator: Callable[[Any], Any], fresh: Any, state: State) -> tuple[Any, Any] | None:
    """Orthonormal directions and their images, conjugate to the last ones; None if there are none."""
    if state.directions.shape[0]:
        fresh = fresh - (fresh @ state.images.T) @ state.directions
    images = operator(fresh)
    mixing = _orthonormalising(numpy_of(fresh @ images.T))
    if not len(mixing):
        return None
    mixing = like(mixing, fresh)
    return mixing @ fresh, mixing @ images


def _orthonormalising(gram: Float64) -> Float64:
    """T with T gram Tᵀ = I, of as many rows as there are independent directions."""
    gram = 0.5 * (gram + gram.T)
    lengths = np.diagonal(gram)
    scale = np.divide(1.0, np.sqrt(np.abs(lengths)), out=np.zeros(len(gram)), where=lengths > 0)
    values, vectors = np.linalg.eigh(scale[:, None] * gram * scale)
    kept = values > _DEPENDENT
    return (vectors[:, kept] / np.sqrt(values[kept])).T * scale


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
