"""Activations nobody has prepared anything for: how they are invented, their truth, and their text run as plain Python.

Truth is the definition, in 30 digits or more: h_k = ∫ σ(μ + sz) He_k(z) φ(z) dz by 24-point Gauss-Legendre sums,
σ evaluated by mpmath as SymPy prints it; g_k is h_k/s^k. Errors are relative to D_k = E[|σ| (|He_k| + k |He_(k−1)|)].
"""

import contextlib
import itertools
import sys
import types
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import sympy
from hypothesis import strategies as st
from mpmath.calculus.quadrature import GaussLegendre

import numeric
import symgauss as sg
from symgauss import Phi, phi, x

Number = Any  # an mpmath.mpf; Any because mpmath has no types
FARTHEST = 40


# --- the truth -------------------------------------------------------------------------------------------------------


def in_mpmath(expr: sympy.Expr) -> Any:
    """σ as a function of mpmath numbers."""
    plain = {f: sympy.Function(f.__name__) for f in (Phi, phi)}
    for known, opaque in plain.items():
        expr = expr.replace(known, opaque)
    tails = {"Phi": lambda z: mpmath.erfc(-z / mpmath.sqrt(2)) / 2, "phi": mpmath.npdf}
    return sympy.lambdify(x, expr, [tails, "mpmath"])


def cuts_by_hand(expr: sympy.Expr) -> set[sympy.Rational]:
    """Every number in the expression and its negative: more cuts than needed do no harm."""
    found = {number for number in expr.atoms(sympy.Rational) if abs(number) < 30}
    return {sympy.S.Zero} | found | {-number for number in found}


@cache
def _legendre(digits: int) -> list[tuple[Number, Number]]:
    with mpmath.workdps(digits):
        return GaussLegendre(mpmath.mp).calc_nodes(4, mpmath.mp.prec + 10)


def _edges(expr: sympy.Expr, mean: Number, std: Number, graded: bool) -> list[Number]:
    """Ends of panels in z: half units of z; of y around 0 half units too, and everywhere units if σ oscillates."""
    ends = [mpmath.mpf(i) / 2 for i in range(-2 * FARTHEST, 2 * FARTHEST + 1)]
    places = {mpmath.mpf(c.p) / c.q for c in cuts_by_hand(expr)}
    if std > 0.5:
        places |= {mpmath.mpf(i) / 2 for i in range(-16, 17)}
        places |= {sign * mpmath.mpf(2) ** j for sign in (1, -1) for j in range(4, 14)}
    if std > 0.5 and expr.has(sympy.sin, sympy.cos):
        farthest = int(abs(mean) + 13 * std)
        places |= set(map(mpmath.mpf, range(-farthest, farthest)))
    if graded:
        places |= {sign * mpmath.mpf(4) ** -j for sign in (1, -1) for j in range(1, 30)}
    ends += [(place - mean) / std for place in places]
    return sorted({end for end in ends if abs(end) <= FARTHEST})


def truth(
    expr: sympy.Expr, mean: float, std: float, order: int, digits: int = 30, graded: bool = False
) -> tuple[list[Number], list[Number]]:
    """h_0 … h_order and D_0 … D_order; `graded` for a σ that is singular at 0."""
    function = in_mpmath(expr)
    with mpmath.workdps(digits):
        m, s = mpmath.mpf(mean), mpmath.mpf(std)

        def density(z: Number) -> Number:
            return function(m + s * z) * mpmath.npdf(z)

        panels = list(itertools.pairwise(_edges(expr, m, s, graded)))
        probes = (mpmath.mpf("0.01"), mpmath.mpf("0.47"), mpmath.mpf("0.99"))
        sizes = [(b - a) * max(abs(density(a + (b - a) * t)) for t in probes) for a, b in panels]
        h, d = [mpmath.mpf(0)] * (order + 1), [mpmath.mpf(0)] * (order + 1)
        for (a, b), size in zip(panels, sizes):
            if size <= max(sizes) * mpmath.mpf(10) ** -22:
                continue
            for node, weight in _legendre(digits):
                z = (a + b) / 2 + (b - a) / 2 * node
                value = weight * (b - a) / 2 * density(z)
                before, now = mpmath.mpf(0), mpmath.mpf(1)
                for k in range(order + 1):
                    h[k] += value * now
                    d[k] += abs(value) * (abs(now) + k * abs(before))
                    before, now = now, z * now - k * before
        return h, d


def error(found: Sequence[float], true: Sequence[Number], size: Sequence[Number]) -> float:
    """The largest |found_k − true_k|/D_k; 0/0 is 0, and what is no number is infinitely wrong."""
    worst = 0.0
    for value, t, d in zip(found, true, size, strict=True):
        difference = abs(mpmath.mpf(float(value)) - t)
        if not difference < mpmath.inf:
            return float("inf")
        if difference > 0:
            worst = max(worst, float(difference / d) if d else float("inf"))
    return worst


def slopes(true: Sequence[Number], std: float) -> list[Number]:
    """h_k/s^k, and likewise of D_k: g_k and its size."""
    return [value / mpmath.mpf(std) ** k for k, value in enumerate(true)]


# --- the emitted text as plain Python --------------------------------------------------------------------------------

_NUMERIC = Path(numeric.__file__).parent
# In the order in which they import each other.
_PARTS = ("bits", "special", "halflines", "quadrature", "adaptive")


@cache
def _interpreted() -> dict[str, types.ModuleType]:
    """What kernels import from `numeric`, its own sources run once more with decorators that do nothing."""
    jit = types.ModuleType("numeric.jit")
    vars(jit).update(device=lambda f: f, loop=lambda f: f, interpreted=lambda: True)
    modules = {"numeric.jit": jit}
    with _in_place_of(modules):
        for name in _PARTS:
            path = _NUMERIC / f"{name}.py"
            module = types.ModuleType(f"numeric.{name}")
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
            modules[module.__name__] = sys.modules[module.__name__] = module
    return modules


@contextlib.contextmanager
def _in_place_of(modules: dict[str, types.ModuleType]) -> Iterator[None]:
    names = {f"numeric.{name}" for name in ("jit", *_PARTS)} | set(modules)
    saved = {name: sys.modules.pop(name, None) for name in names}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in saved.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


def as_plain_python(compiled: sg.Compiled) -> dict[str, Any]:
    """The names in the two modules of an activation, nothing of them compiled."""
    formulas = types.ModuleType(compiled.module)
    with _in_place_of(_interpreted() | {compiled.module: formulas}):
        exec(compiled.formulas, vars(formulas))
        scope = dict(vars(formulas))
        exec(compiled.loops, scope)
    return scope


def run(scope: dict[str, Any], kind: str, mean: float, std: float, order: int, *parameters: float) -> np.ndarray:
    """h_0 … h_order ("hermite") or g_0 … ("derivatives") of one pair, order ≤ 8, by the loop `numeric` would call."""
    means, stds, out = np.array([mean]), np.array([std]), np.full((1, order + 1), np.nan)
    with np.errstate(all="ignore"):
        if scope["KIND"] == "integrated":
            scope[f"{kind}_integrated"](means, stds, out, np.zeros(1), *parameters)
        else:
            unrolled = 2 if order <= 2 else 8
            scope[f"{kind}_loop_{unrolled}"](means, stds, out, np.empty((unrolled + 1, 4)), *parameters)
    return out[0]


# --- inventing -------------------------------------------------------------------------------------------------------

_numbers = st.sampled_from([sympy.Rational(p, 2) for p in range(-4, 5)])
_scales = st.sampled_from([sympy.Rational(p, q) for p, q in ((1, 2), (1, 1), (3, 2), (2, 1), (-1, 1), (-3, 1))])
_lines = st.tuples(_scales, _numbers).map(lambda a: a[0] * x + a[1])

atoms = st.one_of(
    st.just(x),
    _numbers.filter(bool),
    st.sampled_from([x**2, x**3, sympy.Max(0, x) ** 2, sympy.Max(0, x) ** 3]),
    _scales.map(lambda a: sympy.exp(a * x / 2)),
    st.just(sympy.exp(-sympy.Abs(x))),
    st.tuples(st.sampled_from([sympy.tanh, sympy.sin, sympy.cos, Phi, phi, sympy.erf]), _lines).map(
        lambda a: a[0](a[1])
    ),
    _scales.map(lambda a: 1 / (1 + sympy.exp(-a * x))),
    st.just(sympy.log(1 + sympy.exp(x))),
    _numbers.map(lambda c: sympy.Abs(x - c)),
    st.tuples(_numbers, _numbers).map(lambda ends: sympy.Min(sympy.Max(x, min(ends)), max(ends) + 1)),
    st.sampled_from([sympy.sqrt(1 + x**2), sympy.atan(x), sympy.log(1 + x**2), sympy.sign(x)]),
)


def _glued(parts: tuple[list[sympy.Expr], list[sympy.Rational]]) -> sympy.Expr:
    """The expressions one after the other, cut at the places; discontinuous unless by chance."""
    exprs, places = parts
    *first, last = exprs[: len(places) + 1]
    return sympy.Piecewise(*((e, x < c) for e, c in zip(first, sorted(places))), (last, True))


products = st.lists(atoms, min_size=1, max_size=2).map(sympy.prod)
smooth = st.lists(products, min_size=1, max_size=2).map(sum)
glued = st.tuples(
    st.lists(products, min_size=4, max_size=4),
    st.lists(st.sampled_from([sympy.Rational(p, 3) for p in range(-7, 8)]), min_size=1, max_size=3, unique=True),
).map(_glued)
expressions = st.one_of(smooth, products, glued).filter(lambda e: e.has(x))
