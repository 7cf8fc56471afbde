"""The truth for Gaussian vectors, from the definition: X = m + A Z with independent standard normals Z, exactly.

Polynomials in Z are dictionaries from powers to rational coefficients, and E Z^k is 1·3·5···(k − 1) for even k.
Nothing of symgauss is used to compute; its symbols serve to put numbers into its formulas.
"""

import re
from fractions import Fraction
from functools import cache, reduce
from itertools import permutations, product
from math import prod

import sympy

import symgauss as sg

Vector = list[Fraction]
Matrix = list[Vector]
Polynomial = dict[tuple[int, ...], Fraction]


def times(left: Polynomial, right: Polynomial) -> Polynomial:
    result: Polynomial = {}
    for (p, a), (q, b) in product(left.items(), right.items()):
        power = tuple(map(sum, zip(p, q)))
        result[power] = result.get(power, Fraction(0)) + a * b
    return result


def standard_normal_moment(k: int) -> int:
    """E Z^k, by parts: E Z^k = (k − 1) E Z^{k−2}."""
    return 1 if k == 0 else 0 if k == 1 else (k - 1) * standard_normal_moment(k - 2)


def expectation(polynomial: Polynomial) -> Fraction:
    return sum((c * prod(map(standard_normal_moment, power)) for power, c in polynomial.items()), Fraction(0))


def affine(constant: Fraction, slopes: Vector) -> Polynomial:
    size = len(slopes)
    return {(0,) * size: constant} | {tuple(int(i == j) for j in range(size)): s for i, s in enumerate(slopes)}


def moment(powers: tuple[int, ...], mean: Vector, factor: Matrix) -> Fraction:
    """E Π (mean + factor Z)_i^powers[i]."""
    one = {(0,) * max(map(len, factor), default=0): Fraction(1)}
    rows = [affine(mean[i], factor[i]) for i, p in enumerate(powers) for _ in range(p)]
    return expectation(reduce(times, rows, one))


def covariance(factor: Matrix) -> Matrix:
    return [[sum((a * b for a, b in zip(u, v)), Fraction(0)) for v in factor] for u in factor]


def at(mean: Vector, cov: Matrix) -> dict[sympy.Symbol, sympy.Rational]:
    """The symbols of N(m, S) and their values."""
    values = {sg.m[i]: a for i, a in enumerate(mean)}
    values |= {sg.S[i, j]: cov[i][j] for i in range(len(mean)) for j in range(i, len(mean))}
    return {symbol: rational(a) for symbol, a in values.items()}


def at_with_x(mean: Vector, cov: Matrix) -> dict[sympy.Symbol, sympy.Rational]:
    """The symbols of the master theorem, with X the first variable, and their values."""
    values = at(mean[1:], [row[1:] for row in cov[1:]])
    values |= {sg.c[i]: rational(a) for i, a in enumerate(cov[0][1:])}
    return values | {sg.m_x: rational(mean[0]), sg.v_x: rational(cov[0][0])}


def rational(a: Fraction) -> sympy.Rational:
    return sympy.Rational(a.numerator, a.denominator)


def value(formula: sympy.Expr, where: dict[sympy.Symbol, sympy.Rational]) -> Fraction:
    number = sympy.sympify(formula).xreplace(where)
    return Fraction(int(number.p), int(number.q))


def witness(reason: str) -> tuple[dict[str, Fraction], Fraction, Fraction]:
    """The point in the text of a refutation, what the formula gives there, and what is said to be true."""
    place, claimed, true = re.fullmatch(r"at (.*) the formula gives (\S+), the \w+ (\S+)", reason).groups()
    point = dict(entry.split(" = ") for entry in place.split(", "))
    return {name: Fraction(a) for name, a in point.items()}, Fraction(claimed), Fraction(true)


def matrix(point: dict[str, Fraction], size: int) -> Matrix:
    """The covariance in a witness."""
    return [[point[str(sg.S[i, j])] for j in range(size)] for i in range(size)]


def is_positive_definite(cov: Matrix) -> bool:
    return sympy.Matrix([[rational(a) for a in row] for row in cov]).is_positive_definite


def by_involutions(mean: Vector, cov: Matrix) -> Fraction:
    """E Π X_i as a sum over involutions of the variables: a fixed point is a mean, an exchanged pair a covariance."""
    n = len(mean)
    terms = (prod(mean[i] if p[i] == i else cov[i][p[i]] for i in range(n) if i <= p[i]) for p in involutions(n))
    return sum(terms, Fraction(0))


@cache
def involutions(n: int) -> list[tuple[int, ...]]:
    """The permutations p with p(p(i)) = i."""
    return [p for p in permutations(range(n)) if all(p[p[i]] == i for i in range(n))]
