"""A closed form is proved, not trusted: `prove_mean` puts a formula for E σ(mu + sigma Z) to the test.

The theorem and its three conditions are in `heat.py`. A proof is *proved* when all three hold, *refuted* when
a point is found at which the formula is wrong, and *unproved* otherwise (the method does not cover it).
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

import sympy
from sympy import Basic, Expr
from sympy.concrete.expr_with_limits import ExprWithLimits

from symgauss import witness
from symgauss.heat import MeanForm
from symgauss.mean import gaussian_mean
from symgauss.pieces import NoClosedForm
from symgauss.record import Activation, as_activation
from symgauss.surds import Outside
from symgauss.symbols import exact, mu, sigma, x
from symgauss.verdict import Proof, Step


def prove_mean(act: Activation | Expr | str, mean: Expr | None = None) -> Proof:
    """Prove or refute that `mean` (by default `gaussian_mean(act)`) is E σ(mu + sigma Z).

    Parameters that the activation holds as symbols stay symbols: the proof is for all their values. Raises
    `NoClosedForm` when there is no formula to test, `GrowsTooFast` when there is no mean, TypeError or ValueError
    when `mean` is not an expression in mu, sigma and the activation's symbolic parameters.

    >>> prove_mean("relu").status, prove_mean("relu", mu / 2).status
    ('proved', 'refuted')
    """
    act = as_activation(act)
    mean = gaussian_mean(act) if mean is None else _checked(act, mean)
    steps = _conditions(act, mean)
    if any(step.status != "proved" for step in steps):
        with suppress(NoClosedForm):
            gaussian_mean(act)  # refuses what has no mean at all
        steps = _with_witness(act, mean, steps)
    return Proof(f"{act.label}: mean", mean, tuple(steps))


def _checked(act: Activation, mean: Expr) -> Expr:
    if isinstance(mean, (int, float)):
        mean = sympy.sympify(mean)
    if not isinstance(mean, Expr):
        raise TypeError(f"The mean must be a SymPy expression in symgauss.mu and symgauss.sigma, got {mean!r}.")
    stray = sorted(map(str, mean.free_symbols - {mu, sigma} - (act.formula.free_symbols - {x})))
    if stray:
        raise ValueError(
            f"The mean {mean} contains {', '.join(stray)}; write it in symgauss.mu (real), symgauss.sigma (positive) "
            "and the symbolic parameters of the activation."
        )
    if any(part in (sympy.I, sympy.nan, sympy.zoo, sympy.oo, -sympy.oo) for part in _visible(mean)):
        raise ValueError(f"The mean of a real activation is real and finite, got {mean}; write it without I and oo.")
    return exact(mean)


def _visible(expr: Basic) -> Iterator[Basic]:
    """All parts of an expression, but not the inside of integrals, sums and limits, where oo has its place."""
    yield expr
    if not isinstance(expr, (ExprWithLimits, sympy.Limit)):
        for part in expr.args:
            yield from _visible(part)


def _conditions(act: Activation, mean: Expr) -> list[Step]:
    limit = str(act.formula).replace("**", "^").replace("*", " ").replace("^", "**")
    names = ("heat equation", "growth", "initial value")
    claims = (
        "∂M/∂sigma = sigma ∂²M/∂mu²",
        "no negative power of sigma remains",
        f"M → {limit} as sigma → 0+",
    )
    reasons = ("difference is 0", "|M| ≤ A exp(a mu²) for 0 < sigma ≤ S", "almost everywhere")
    latex = (
        r"\partial_\sigma M = \sigma\,\partial_\mu^2 M",
        r"\text{no negative power of } \sigma \text{ remains: } |M| \le A e^{a\mu^2},\ 0 < \sigma \le S",
        rf"M \to {sympy.latex(act.formula)} \text{{ as }} \sigma \to 0^+",
    )
    outcomes = _outcomes(act, mean)
    return [
        Step(name, claim, failure or reason, "unproved" if failure else "proved", tex)
        for name, claim, reason, failure, tex in zip(names, claims, reasons, outcomes, latex)
    ]


def _outcomes(act: Activation, mean: Expr) -> tuple[str | None, ...]:
    """Per condition: None when it holds, else what stands in the way."""
    try:
        form = MeanForm(mean)
    except Outside as reason:
        return (f"not on the list of smooth functions: {reason}", "not in normal form", "not in normal form")

    return (
        _attempt(form.check_heat_equation),
        _attempt(form.check_growth),
        _attempt(lambda: form.check_initial_value(act)),
    )


def _attempt(check: Callable[[], None]) -> str | None:
    try:
        check()
    except Outside as reason:
        return str(reason)
    return None


def _with_witness(act: Activation, mean: Expr, steps: list[Step]) -> list[Step]:
    """The steps, refuted where a point shows that the formula is wrong."""
    values = witness.values_for(act)
    if values is None:
        return steps
    heat, clock = steps[0], witness.Clock()
    if heat.status != "proved" and (found := witness.against_heat_equation(mean, values, clock)):
        return [Step(heat.name, heat.claim, found, "refuted", heat.latex), *steps[1:]]
    if found := witness.against_definition(act, mean, values, clock):
        tex = r"M = \mathrm{E}\,\sigma(\mu + \sigma Z)"
        return [*steps, Step("definition", "M = E activation(mu + sigma Z)", found, "refuted", tex)]
    return steps
