"""The master theorem: E[g(X) Y_0 … Y_{n−1}] for jointly Gaussian X, Y_i and any g, from n + 1 numbers about g.

X ~ N(m_x, v_x), Y_i has mean m[i], Cov(X, Y_i) = c[i], Cov(Y_i, Y_j) = S[i, j]. Variables may coincide: put
S[0, 0] for S[0, 1] and so on. Two forms, the same theorem:

    E[g(X) Π Y_i] = Σ_k α_k E[g(X) X^k]       the paper's form, for v_x > 0
    E[g(X) Π Y_i] = Σ_k β_k E g^(k)(X)        the Hermite form, for v_x ≥ 0, nothing divided

Both are proved by g(x) = e^{tx}, for which g(X) only moves the mean of Y to m + t c. Equality for these g is
equality of Laplace transforms of two densities times polynomials, hence of the densities, hence for every g.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from sympy import QQ, Add, Dummy, Expr, Integer, Mul, Symbol
from sympy.polys.rings import PolyRing

from symgauss.families import S, c, m, m_x, v_x
from symgauss.generating import moment_by_series
from symgauss.identity import Identity, Point, checked, gaussians, judged
from symgauss.isserlis import Partition, isserlis_partitions, natural
from symgauss.verdict import Proof, Step

_t, _inverse = Dummy("t", real=True), Dummy("1/v_x", positive=True)


def master_coefficients(n: int) -> tuple[Expr, ...]:
    """(α_0, …, α_n) with E[g(X) Y_0 … Y_{n−1}] = Σ_k α_k E[g(X) X^k], for v_x > 0.

    Regression on X splits Y_i = a_i + b_i X + R_i, with the residuals independent of X; Isserlis' theorem for
    the residuals leaves a polynomial in X. Here b_i = c[i]/v_x, a_i = m[i] − b_i m_x, and
    Cov(R_i, R_j) = S[i, j] − c[i] c[j]/v_x.

    >>> master_coefficients(1)
    (-c_0*m_x/v_x + m_0, c_0/v_x)
    """
    n = natural(n, "n")
    slope = [c[i] / v_x for i in range(n)]
    intercept = [m[i] - slope[i] * m_x for i in range(n)]
    residual = {(i, j): S[i, j] - c[i] * c[j] / v_x for i, j in combinations(range(n), 2)}
    return _by_degree(n, slope, intercept, residual)


def hermite_master_coefficients(n: int) -> tuple[Expr, ...]:
    """(β_0, …, β_n) with E[g(X) Y_0 … Y_{n−1}] = Σ_k β_k E g^(k)(X), for v_x ≥ 0.

    β_k is the sum over the sets A of k variables of Π_{i∈A} c[i] · E Π_{i∉A} Y_i: an expanded polynomial. Where g
    has jumps or kinks, E g^(k)(X) is the derivative of E g(X) by the mean of X.

    >>> hermite_master_coefficients(2)
    (S_01 + m_0*m_1, c_0*m_1 + c_1*m_0, c_0*c_1)
    """
    n = natural(n, "n")
    covariance = {(i, j): S[i, j] for i, j in combinations(range(n), 2)}
    return _by_degree(n, [c[i] for i in range(n)], [m[i] for i in range(n)], covariance)


def _by_degree(
    n: int, slope: Sequence[Expr], intercept: Sequence[Expr], covariance: dict[tuple[int, int], Expr]
) -> tuple[Expr, ...]:
    """The coefficients of u^0, …, u^n in the sum over partitions with means intercept + slope u."""
    terms: list[list[Expr]] = [[] for _ in range(n + 1)]
    for partition in isserlis_partitions(n):
        singles, pairs = _sorted(partition)
        for k in range(len(singles) + 1):
            for chosen in combinations(singles, k):
                factors = [slope[i] if i in chosen else intercept[i] for i in singles]
                terms[k].append(Mul(*factors, *(covariance[pair] for pair in pairs)))
    return tuple(Add(*found) for found in terms)


def _sorted(partition: Partition) -> tuple[list[int], list[tuple[int, int]]]:
    """Its singletons and its pairs."""
    return [b[0] for b in partition if len(b) == 1], [b for b in partition if len(b) == 2]


def prove_master_theorem(n: int, coefficients: Sequence[Expr] | None = None) -> Proof:
    """Prove or refute E[g(X) Y_0 … Y_{n−1}] = Σ_k α_k E[g(X) X^k] for every g, with v_x > 0.

    `coefficients` are α_0, α_1, …, by default `master_coefficients(n)`. A refutation shows a positive definite
    covariance and a t at which the sides differ for g(x) = e^{tx}/E e^{tX}. Raises TypeError or ValueError when
    the coefficients are not expressions in the symbols of this theorem.

    >>> prove_master_theorem(3).status, prove_master_theorem(3, master_coefficients(2)).status
    ('proved', 'refuted')
    """
    n = natural(n, "n")
    coefficients = master_coefficients(n) if coefficients is None else _checked(n, coefficients)
    ring = _ring(n, _inverse)
    t, mean, variance = (ring.gens[ring.symbols.index(symbol)] for symbol in (_t, m_x, v_x))
    weights = [ring.one]  # e^{−K} ∂_t^k e^K
    while len(weights) < len(coefficients):
        weights.append(weights[-1].diff(t) + (mean + variance * t) * weights[-1])
    steps = judged(
        Identity(ring, weights, _shifted_moment(n, ring), {v_x: _inverse}),
        coefficients,
        _points(n),
        *_steps("polynomials in m, c, S, m_x, v_x and 1/v_x", "Σ α_k ∂_t^k e^K", r"\sum_k \alpha_k \partial_t^k e^K"),
        "expectation",
    )
    equation = _equation(n, r"\sum_k \alpha_k \mathrm{E}[g(X) X^k]")
    return Proof(f"master theorem of order {n}", coefficients, steps, equation)


def prove_hermite_master_theorem(n: int, coefficients: Sequence[Expr] | None = None) -> Proof:
    """Prove or refute E[g(X) Y_0 … Y_{n−1}] = Σ_k β_k E g^(k)(X) for every g, with v_x ≥ 0.

    As `prove_master_theorem`, with β_0, β_1, … = `hermite_master_coefficients(n)` by default.

    >>> prove_hermite_master_theorem(2).status, prove_hermite_master_theorem(1, [m[0], c[0] / 2]).status
    ('proved', 'refuted')
    """
    n = natural(n, "n")
    coefficients = hermite_master_coefficients(n) if coefficients is None else _checked(n, coefficients)
    ring = _ring(n)
    t = ring.gens[ring.symbols.index(_t)]
    steps = judged(
        Identity(ring, [t**k for k in range(len(coefficients))], _shifted_moment(n, ring)),
        coefficients,
        _points(n),
        *_steps("polynomials in m, c, S, m_x and v_x", "Σ β_k t^k e^K", r"\sum_k \beta_k t^k e^K"),
        "expectation",
    )
    equation = _equation(n, r"\sum_k \beta_k \mathrm{E} g^{(k)}(X)")
    return Proof(f"Hermite master theorem of order {n}", coefficients, steps, equation)


def _steps(form: str, left: str, tex: str) -> tuple[Step, Step]:
    """What is to be proved, as if it were."""
    right = r"e^K \mathrm{E} \prod_i (Y_i + t c_i),\ K = m_x t + \tfrac12 v_x t^2"
    return (
        Step("form", form, "rational coefficients", "proved", rf"\text{{{form}}}".replace("_", r"\_")),
        Step(
            "g = exp(t x)",
            f"{left} = e^K E Π(Y_i + t c_i)",
            "difference is 0, with K = m_x t + v_x t²/2",
            "proved",
            f"{tex} = {right}",
        ),
    )


def _ring(n: int, *more: Symbol) -> PolyRing:
    return PolyRing([_t, *more, *_symbols(n)], QQ)


def _symbols(n: int) -> list[Symbol]:
    indices = range(n)
    pairs = [S[i, j] for i in indices for j in indices if i <= j]
    return [m_x, v_x, *(m[i] for i in indices), *(c[i] for i in indices), *pairs]


def _checked(n: int, coefficients: Sequence[Expr]) -> tuple[Expr, ...]:
    if isinstance(coefficients, (str, Expr)) or not isinstance(coefficients, Iterable):
        raise TypeError(f"coefficients is a sequence of expressions, lowest order first, got {coefficients!r}.")
    where = f"sg.m_x, sg.v_x, sg.m[i], sg.c[i] and sg.S[i, j], 0 ≤ i ≤ j < {n}"
    return tuple(checked(formula, _symbols(n), where) for formula in coefficients)


def _shifted_moment(n: int, ring: PolyRing) -> Any:
    """E Π (Y_i + t c_i) = e^{−K} E[e^{tX} Π Y_i], K = m_x t + v_x t²/2; by the series, not by partitions."""
    symbol = dict(zip(ring.symbols, ring.gens))
    means = [symbol[m[i]] + symbol[_t] * symbol[c[i]] for i in range(n)]
    return moment_by_series((1,) * n, means, lambda i, j: symbol[S[i, j]], ring)


def _points(n: int) -> Iterator[Point]:
    for t, (mean, cov) in enumerate(gaussians(n + 1), start=2):
        values = [mean[0], cov[0][0], *mean[1:], *cov[0][1:]]
        values += [cov[i][j] for i in range(1, n + 1) for j in range(i, n + 1)]
        yield dict(zip(_symbols(n), values)) | {_t: Integer(t)}


def _equation(n: int, right: str) -> str:
    product = " ".join(f"Y_{{{i}}}" for i in range(n))
    return rf"\mathrm{{E}}[g(X) {product}] = {right}"
