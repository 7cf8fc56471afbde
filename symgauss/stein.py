"""Stein's identity for a whole vector, and what it needs to know of a neuron: E f, E ∇f and E ∇²f.

For x ~ N(m, S) in any dimension, S singular or not, and e = E f, G = E ∇f, H = E ∇²f,

    E[f x] = m e + S G,    E[f x xᵀ] = e (S + m mᵀ) + (S G) mᵀ + m (S G)ᵀ + S H S,

and so on: E[f Π x_i] is the sum over sets A of variables of E Π_{i∉A} x_i · E[Π_{i∈A} (S ∇)_i f]. Of a neuron with
y = w·x + b, and u = v·x + a if it is gated,

    f = σ(y)      e = g_0              G = g_1 w                          H = g_2 w wᵀ
    f = σ(y) u    e = ν g_0 + κ g_1    G = (ν g_1 + κ g_2) w + g_0 v      H = (ν g_2 + κ g_3) w wᵀ + g_1 (w vᵀ + v wᵀ)

with g_k = ∂^k/∂μ^k E σ(y), μ = E y, ν = E u, κ = Cov(y, u) = wᵀ S v. (Our derivation: derivations/mixture.md.)

Both are proved by exponentials. The weight e^{t·x}/E e^{t·x} moves the mean of x to m + S t and leaves S as it is. With
a = S t, the first is for f = e^{t·x} E Π (x_i + a_i) = Σ_A E Π_{i∉A} x_i · Π_{i∈A} a_i. All that is left of S is a_i
and S_ij: they are free symbols, and the dimension does not matter. In the same way σ(y) = e^{ty} moves the means of u,
x_i and x_j by t times their covariance with y, which for x is S w. So E[σ(y) u x_i x_j]/E σ(y) is a polynomial in t,
and as t^k = g_k/g_0, it says what the expectation is for every σ: linear in the g_k.

Exponentials are enough. Where S is regular, both sides are integrals of f (of σ, over y) against polynomials times the
density; equality for all exponentials is equality of two Laplace transforms, hence of the polynomials. A singular S is
the image of a regular one: x = m + R ξ with ξ ~ N(0, I), S G = R E ∇_ξ f and S H S = R E[∇_ξ² f] Rᵀ. And if y does not
vary, S w and κ are 0, and both sides are σ(μ) times a moment of u and x.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from math import prod
from typing import Any

from sympy import QQ, Dummy, Expr, Integer, Symbol, latex
from sympy.polys.rings import PolyRing

from symgauss.families import S, VectorFamily, m
from symgauss.generating import moment_by_series
from symgauss.identity import Identity, Point, checked, gaussians, judged
from symgauss.isserlis import gaussian_moment, natural
from symgauss.verdict import Proof, Step

# g[k] = E σ^(k)(y); weights of y and u; E u and Cov(y, u)
g, w, v = VectorFamily("g"), VectorFamily("w"), VectorFamily("v")
nu, kappa = Symbol("nu", real=True), Symbol("kappa", real=True)

_t = Dummy("t", real=True)


def stein_coefficients(n: int) -> tuple[Expr, ...]:
    """The 2ⁿ coefficients of E[f(x) x_0 … x_{n−1}] = Σ_A coefficient · E[Π_{i∈A} (S ∇)_i f], for x ~ N(m, S).

    Sets A of variables in order of size: for n = 2 those of E f, (S G)_0, (S G)_1 and (S H S)_01, with G = E ∇f and
    H = E ∇²f. Variables may coincide: put S[0, 0] for S[0, 1] and m[0] for m[1].

    >>> stein_coefficients(2)
    (S_01 + m_0*m_1, m_1, m_0, 1)
    """
    n = natural(n, "n")
    return tuple(gaussian_moment([int(i not in chosen) for i in range(n)]) for chosen in _sets(n))


def _sets(n: int) -> Iterator[tuple[int, ...]]:
    return (chosen for k in range(n + 1) for chosen in combinations(range(n), k))


def prove_stein(n: int, coefficients: Sequence[Expr] | None = None) -> Proof:
    """Prove or refute E[f(x) x_0 … x_{n−1}] = Σ_A coefficient · E[Π_{i∈A} (S ∇)_i f] for every f, in every dimension.

    `coefficients` are 2ⁿ, by default `stein_coefficients(n)`. A refutation shows a positive definite S and a = S t at
    which the sides differ for f(x) = e^{t·x}/E e^{t·x}. Raises TypeError or ValueError when the coefficients are too
    many, too few, or not expressions in the means and covariances of these variables.

    >>> prove_stein(2).status, prove_stein(1, [m[0], S[0, 0]]).status
    ('proved', 'refuted')
    """
    n = natural(n, "n")
    coefficients = stein_coefficients(n) if coefficients is None else _coefficients(n, coefficients)
    moved = [Dummy(f"a_{i}", real=True) for i in range(n)]
    ring = PolyRing([*moved, *_symbols(n)], QQ)
    of = dict(zip(ring.symbols, ring.gens))
    truth = moment_by_series((1,) * n, [of[m[i]] + of[moved[i]] for i in range(n)], lambda i, j: of[S[i, j]], ring)
    weights = [prod((of[moved[i]] for i in chosen), start=ring.one) for chosen in _sets(n)]
    claim = "Σ_A coefficient Π_A a_i = E Π(x_i + a_i)"
    tex = r"\sum_A \beta_A \prod_{i \in A} a_i = \mathrm{E} \prod_i (x_i + a_i),\ a = S t"
    steps = judged(
        Identity(ring, weights, truth),
        coefficients,
        _gaussian_points(n, moved),
        _form("polynomials in m and S"),
        Step("f = exp(t·x)", claim, "difference is 0, with a = S t", "proved", tex),
        "expectation",
    )
    product = " ".join(f"x_{{{i}}}" for i in range(n))
    right = r"\sum_A \beta_A \mathrm{E} \prod_{i \in A} (S \nabla)_i f"
    return Proof(f"Stein's identity of order {n}", coefficients, steps, rf"\mathrm{{E}}[f(x) {product}] = {right}")


def _form(form: str) -> Step:
    return Step("form", form, "rational coefficients", "proved", rf"\text{{{form}}}".replace("_", r"\_"))


def _symbols(n: int) -> list[Symbol]:
    return [*(m[i] for i in range(n)), *(S[i, j] for i in range(n) for j in range(i, n))]


def _coefficients(n: int, coefficients: Sequence[Expr]) -> tuple[Expr, ...]:
    if isinstance(coefficients, (str, Expr)) or not isinstance(coefficients, Iterable):
        raise TypeError(f"coefficients is a sequence of expressions, one for each set, got {coefficients!r}.")
    where = f"sg.m[i] and sg.S[i, j], 0 ≤ i ≤ j < {n}"
    found = tuple(checked(formula, _symbols(n), where) for formula in coefficients)
    if len(found) != 2**n:
        raise ValueError(f"coefficients has one expression for each of the {2**n} sets of variables, got {len(found)}.")
    return found


def _gaussian_points(n: int, moved: Sequence[Symbol]) -> Iterator[Point]:
    for mean, cov in gaussians(n + 1):
        values = [*mean[1:], *(cov[i][j] for i in range(1, n + 1) for j in range(i, n + 1))]
        yield dict(zip(_symbols(n), values)) | dict(zip(moved, cov[0][1:]))


def neuron_expectations(gated: bool = False) -> tuple[Expr, Expr, Expr]:
    """(e, G_0, H_01): E f, one entry of E ∇f and one of E ∇²f, for a neuron f = σ(y), or σ(y) u if it is gated.

    y = w·x + b and u = v·x + a, with g[k] = E σ^(k)(y), nu = E u and kappa = Cov(y, u). Other entries have other
    indices, equal ones too. By the product rule and E[σ^(k)(y) u] = nu g[k] + kappa g[k + 1]. Where σ has jumps or
    kinks, g[k] is the k-th derivative of E σ(y) by the mean of y, and G and H are what E[f x] and E[f x xᵀ] need.

    >>> neuron_expectations()
    (g_0, g_1*w_0, g_2*w_0*w_1)
    >>> neuron_expectations(gated=True)[1]
    g_0*v_0 + w_0*(g_1*nu + g_2*kappa)
    """
    if not gated:
        return g[0], g[1] * w[0], g[2] * w[0] * w[1]
    with_u = [nu * g[k] + kappa * g[k + 1] for k in range(3)]
    crossed = w[0] * v[1] + v[0] * w[1]
    return with_u[0], with_u[1] * w[0] + g[0] * v[0], with_u[2] * w[0] * w[1] + g[1] * crossed


def prove_neuron_expectations(gated: bool = False, expectations: Sequence[Expr] | None = None) -> Proof:
    """Prove or refute that these e, G and H give E f, E[f x] and E[f x xᵀ] of a neuron, for every σ, m and S.

    `expectations` are e, G_0 and H_01, by default `neuron_expectations(gated)`. The proof is for all dimensions and for
    singular S: w_i and v_i are read as (S w)_i and (S v)_i, which turns G and H into S G and S H S because they are
    linear in w and v; nothing else passes. A refutation shows numbers at which the sides differ, with S = I, where
    g_0, g_1, … may be any numbers, those of a polynomial σ. Raises TypeError or ValueError when these are not three
    expressions in the symbols of `neuron_expectations`.

    >>> prove_neuron_expectations(gated=True).status
    'proved'
    >>> prove_neuron_expectations(expectations=[g[0], g[1] * w[0], g[2] * w[0] * w[1] / 2]).status
    'refuted'
    """
    expectations = neuron_expectations(gated) if expectations is None else _expectations(gated, expectations)
    symbols = [*_shared(gated), *_entries(gated, 0, 1), m[0], m[1]]
    ring = PolyRing([_t, *symbols, S[0, 1]], QQ)
    form = _form("polynomials in " + ("g_k, nu, kappa, w_i and v_i" if gated else "g_k and w_i"))
    steps: list[Step] = []
    for identity, formulas, step in _identities(gated, expectations, ring):
        as_read, became = judged(identity, formulas, _plane_points(symbols), form, step, "expectation")
        form = as_read if form.status == "proved" else form
        steps.append(became)
    name = "gated neuron" if gated else "neuron"
    left = (r"f", r"\partial_0 f", r"\partial_0 \partial_1 f")
    tex = r",\ ".join(rf"\mathrm{{E}} {of} = {latex(formula)}" for of, formula in zip(left, expectations))
    return Proof(f"{name}: expectations", expectations, (form, *steps), tex)


def _expectations(gated: bool, expectations: Sequence[Expr]) -> tuple[Expr, ...]:
    if isinstance(expectations, (str, Expr)) or not isinstance(expectations, Iterable):
        raise TypeError(f"expectations is a sequence of three expressions, e, G_0 and H_01, got {expectations!r}.")
    found = tuple(expectations)
    if len(found) != 3:
        raise ValueError(f"expectations has three expressions, e, G_0 and H_01, got {len(found)}.")
    named = f"sg.g[0], …, sg.g[{3 if gated else 2}]" + (", sg.nu, sg.kappa" if gated else "")
    inside = [[], [0], [0, 1]]
    return tuple(
        checked(formula, [*_shared(gated), *_entries(gated, *indices)], ", ".join([named, *_written(gated, indices)]))
        for formula, indices in zip(found, inside)
    )


def _shared(gated: bool) -> list[Symbol]:
    return [*(g[k] for k in range(4 if gated else 3)), *([nu, kappa] if gated else [])]


def _entries(gated: bool, *indices: int) -> list[Symbol]:
    return [family[i] for family in ((w, v) if gated else (w,)) for i in indices]


def _written(gated: bool, indices: Sequence[int]) -> list[str]:
    return [f"sg.{name}[{i}]" for name in ("wv" if gated else "w") for i in indices]


def _identities(
    gated: bool, expectations: Sequence[Expr], ring: PolyRing
) -> Iterator[tuple[Identity, tuple[Expr, ...], Step]]:
    """E f, E[f x_0] and E[f x_0 x_1] by Stein's identity, and by moments; w_i stands for (S w)_i = Cov(y, x_i)."""
    e, gradient, hessian = expectations
    other = gradient.xreplace({w[0]: w[1], v[0]: v[1]})
    of = dict(zip(ring.symbols, ring.gens))
    m_0, m_1, S_01, one = of[m[0]], of[m[1]], of[S[0, 1]], ring.one
    truths = [_truth((int(gated), *powers), of, ring) for powers in ((0, 0), (1, 0), (1, 1))]
    weights = [[one], [m_0, one], [S_01 + m_0 * m_1, m_1, m_0, one]]
    formulas = [(e,), (e, gradient), (e, gradient, other, hessian)]
    identities = [Identity(ring, weight, truth) for weight, truth in zip(weights, truths)]
    return zip(identities, formulas, _steps())


def _truth(powers: tuple[int, int, int], of: dict[Symbol, Any], ring: PolyRing) -> Any:
    """E[σ(y) u^powers[0] x_0^powers[1] x_1^powers[2]], powers 0 or 1: by σ(y) = e^{ty}, with g_k in place of t^k."""
    means = [of[nu] + of[_t] * of[kappa] if powers[0] else ring.zero]
    means += [of[m[i]] + of[_t] * of[w[i]] for i in range(2)]
    moved = moment_by_series(powers, means, lambda i, j: of[v[j - 1]] if i == 0 else of[S[0, 1]], ring)
    place = ring.symbols.index(_t)
    total = ring.zero
    for exponents, coefficient in moved.terms():
        without_t = ring({(*exponents[:place], 0, *exponents[place + 1 :]): coefficient})
        total += of[g[exponents[place]]] * without_t
    return total


def _steps() -> list[Step]:
    """What is to be proved, as if it were."""
    done = Step("", "", "difference is 0 in every g_k", "proved")
    return [
        replace(done, name="E f", claim="e", latex=r"\mathrm{E} f = e"),
        replace(done, name="E f x_0", claim="m_0 e + (SG)_0", latex=r"\mathrm{E}[f x_0] = m_0 e + (SG)_0"),
        replace(
            done,
            name="E f x_0 x_1",
            claim="(S_01 + m_0 m_1) e + m_1 (SG)_0 + m_0 (SG)_1 + (SHS)_01",
            latex=r"\mathrm{E}[f x_0 x_1] = (S_{01} + m_0 m_1) e + m_1 (SG)_0 + m_0 (SG)_1 + (SHS)_{01}",
        ),
    ]


def _plane_points(symbols: Sequence[Symbol]) -> Iterator[Point]:
    """Numbers with S = I, where (S w)_i is w_i; further coordinates of w and v make kappa anything."""
    for values, _ in gaussians(len(symbols)):
        yield dict(zip(symbols, values)) | {S[0, 1]: Integer(0)}
