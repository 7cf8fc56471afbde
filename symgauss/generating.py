"""Moments from their generating function E e^{t·X} = exp(t·m + t·St/2), read off as a coefficient of its series.

No partitions and no recurrence: the exponential series itself, so that formulas found by those can be judged.
A series in t is a dictionary from the powers of t to coefficients, which are polynomials of one ring.
"""

from collections.abc import Callable, Sequence
from math import factorial, prod
from typing import Any

from sympy.polys.rings import PolyElement, PolyRing

Powers = tuple[int, ...]
Series = dict[Powers, PolyElement]


def moment_by_series(
    powers: Powers, means: Sequence[PolyElement], covariance: Callable[[int, int], PolyElement], ring: PolyRing
) -> Any:
    """Π (∂/∂t_i)^powers[i] of exp(t·means + t·St/2) at t = 0; `covariance(i, j)` is asked for i ≤ j only."""
    size = len(powers)
    half = ring.domain(1, 2)
    linear = {unit(size, i): means[i] for i in range(size) if powers[i]}
    quadratic = {
        unit(size, i, j): covariance(i, j) * (half if i == j else 1)
        for j in range(size)
        for i in range(j + 1)
        if powers[i] and powers[j] and (i < j or powers[i] > 1)
    }
    from_means, from_covariances = (_exponential(q, powers, ring) for q in (linear, quadratic))
    total = ring.zero
    for power, coefficient in from_means.items():
        rest = tuple(p - q for p, q in zip(powers, power))
        if rest in from_covariances:
            total += coefficient * from_covariances[rest]
    return total * prod(map(factorial, powers))


def unit(size: int, *places: int) -> Powers:
    """How often each of 0, …, size − 1 stands in `places`."""
    return tuple(places.count(i) for i in range(size))


def _exponential(exponent: Series, highest: Powers, ring: PolyRing) -> Series:
    """Σ exponent^k / k!, without the powers of t above `highest`."""
    term: Series = {unit(len(highest)): ring.one}
    total = dict(term)
    k = 0
    while term:
        k += 1
        term = {power: value * ring.domain(1, k) for power, value in _product(term, exponent, highest).items()}
        for power, value in term.items():
            total[power] = total.get(power, ring.zero) + value
    return total


def _product(left: Series, right: Series, highest: Powers) -> Series:
    result: Series = {}
    for p, a in left.items():
        for q, b in right.items():
            power = tuple(map(int.__add__, p, q))
            if all(r <= h for r, h in zip(power, highest)):
                result[power] = result[power] + a * b if power in result else a * b
    return result
