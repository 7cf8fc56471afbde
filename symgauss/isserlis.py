"""Moments of a Gaussian vector N(m, S): sums over partitions into singletons (means) and pairs (covariances)."""

import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from sympy import QQ, Expr, Symbol, latex
from sympy.polys.rings import PolyRing

from symgauss.families import S, m
from symgauss.generating import Powers, moment_by_series
from symgauss.identity import Identity, Point, checked, gaussians, judged
from symgauss.verdict import Proof, Step

Partition = tuple[tuple[int] | tuple[int, int], ...]


def isserlis_partitions(n: int) -> tuple[Partition, ...]:
    """All partitions of 0, …, n − 1 into singletons and pairs, in lexicographic order.

    There are 1, 1, 2, 4, 10, 26, 76, 232, 764, … of them (as many as involutions). E[X_0 … X_{n−1}] is the sum
    over them of the product of means m[i] and covariances S[i, j].

    >>> isserlis_partitions(3)
    (((0,), (1,), (2,)), ((0,), (1, 2)), ((0, 1), (2,)), ((0, 2), (1,)))
    """
    return tuple(_partitions(tuple(range(natural(n, "n")))))


def _partitions(elements: tuple[int, ...]) -> Iterator[Partition]:
    if not elements:
        yield ()
        return
    first, rest = elements[0], elements[1:]
    for others in _partitions(rest):
        yield ((first,), *others)
    for k, partner in enumerate(rest):
        for others in _partitions(rest[:k] + rest[k + 1 :]):
            yield ((first, partner), *others)


def gaussian_moment(powers: Sequence[int]) -> Expr:
    """E Π X_i^powers[i] for X ~ N(m, S), as an expanded polynomial in m[i] and S[i, j], i ≤ j.

    >>> gaussian_moment([1, 1])
    S_01 + m_0*m_1
    >>> gaussian_moment([4])
    3*S_00**2 + 6*S_00*m_0**2 + m_0**4
    """
    powers = checked_powers(powers)
    return _by_stein(powers, _ring([i for i, p in enumerate(powers) if p])).as_expr()


def _ring(indices: Sequence[int]) -> PolyRing:
    return PolyRing(_symbols(indices), QQ)


def _symbols(indices: Sequence[int]) -> list[Symbol]:
    return [*(m[i] for i in indices), *(S[i, j] for i in indices for j in indices if i <= j)]


def _by_stein(powers: Powers, ring: PolyRing) -> Any:
    """The moment by Stein's identity E[X_i f(X)] = m_i E f + Σ_j S_ij E ∂_j f, upwards from E 1 = 1."""
    symbol = dict(zip(ring.symbols, ring.gens))
    table: dict[Powers, Any] = {}
    for power in product(*(range(p + 1) for p in powers)):
        i = next((i for i, p in enumerate(power) if p), None)
        if i is None:
            table[power] = ring.one
            continue
        rest = _lowered(power, i)
        table[power] = symbol[m[i]] * table[rest]
        for j, p in enumerate(rest):
            if p:
                table[power] += p * symbol[S[i, j]] * table[_lowered(rest, j)]
    return table[powers]


def _lowered(powers: Powers, i: int) -> Powers:
    return (*powers[:i], powers[i] - 1, *powers[i + 1 :])


def prove_moment(powers: Sequence[int], moment: Expr | None = None) -> Proof:
    """Prove or refute that `moment` (by default `gaussian_moment(powers)`) is E Π X_i^powers[i] for X ~ N(m, S).

    The judge is the generating function, of which the moment is a coefficient, for all m and S at once, singular
    S included. A refutation shows a mean and a positive definite covariance at which the formula is wrong. Raises
    TypeError or ValueError when `moment` is not an expression in the means and covariances of these variables.

    >>> prove_moment([2]).status, prove_moment([2], m[0] ** 2 - S[0, 0]).status
    ('proved', 'refuted')
    """
    powers = checked_powers(powers)
    where = f"sg.m[i] and sg.S[i, j], 0 ≤ i ≤ j < {len(powers)}"
    formula = gaussian_moment(powers) if moment is None else checked(moment, _symbols(range(len(powers))), where)
    involved = [i for i, p in enumerate(powers) if p or formula.free_symbols & _about(i, len(powers))]
    ring = _ring(involved)
    symbol = dict(zip(ring.symbols, ring.gens))
    truth = moment_by_series(
        tuple(powers[i] for i in involved),
        [symbol[m[i]] for i in involved],
        lambda a, b: symbol[S[involved[a], involved[b]]],
        ring,
    )
    identity = Identity(ring, [ring.one], truth)
    steps = judged(identity, (formula,), _points(involved), *_steps(powers), "moment")
    name = _product("X", powers, "**") or "1"
    return Proof(f"{name}: moment", formula, steps, rf"\mathrm{{E}}[{_tex(name)}] = {latex(formula)}")


def _about(i: int, size: int) -> set[Symbol]:
    """The symbols of variable i."""
    return {m[i], *(S[i, j] for j in range(size))}


def _steps(powers: Powers) -> tuple[Step, Step]:
    """What is to be proved, as if it were."""
    polynomial = "a polynomial in m[i] and S[i, j]"
    form = Step("form", polynomial, "rational coefficients", "proved", r"\text{a polynomial in } m_i, S_{ij}")
    derivatives = _product("∂", powers, "^")
    claim = " ".join(["moment =", *([derivatives] if derivatives else []), "exp(t·m + t·St/2) at t = 0"])
    tex = rf"{_tex(derivatives)}\, e^{{t \cdot m + \frac12 t \cdot S t}} \big|_{{t = 0}}"
    return form, Step("coefficient", claim, "difference is 0", "proved", tex)


def _product(name: str, powers: Powers, power: str) -> str:
    """X_0**2 X_1 or ∂_0^2 ∂_1."""
    return " ".join(f"{name}_{i}" + (f"{power}{p}" if p > 1 else "") for i, p in enumerate(powers) if p)


def _tex(product: str) -> str:
    """The same in LaTeX."""
    return re.sub(r"_(\d+)(?:(?:\*\*|\^)(\d+))?", _index_and_power, product).replace("∂", r"\partial")


def _index_and_power(found: re.Match[str]) -> str:
    return f"_{{{found[1]}}}" + (f"^{{{found[2]}}}" if found[2] else "")


def _points(indices: Sequence[int]) -> Iterator[Point]:
    for mean, cov in gaussians(len(indices)):
        means = {m[i]: value for i, value in zip(indices, mean)}
        yield means | {S[i, j]: cov[a][b] for a, i in enumerate(indices) for b, j in enumerate(indices) if i <= j}


def checked_powers(powers: Sequence[int]) -> Powers:
    """Powers that were handed in, as plain integers."""
    if isinstance(powers, str) or not isinstance(powers, Iterable):
        raise TypeError(f"powers is a sequence with one integer per variable, such as (2, 1), got {powers!r}.")
    return tuple(natural(p, "every power") for p in powers)


def natural(value: Any, name: str) -> int:
    """An integer ≥ 0 that was handed in."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}.") from None
    if number < 0:
        raise ValueError(f"{name} must be at least 0, got {number}.")
    return number
