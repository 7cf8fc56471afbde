"""Put a formula for E[σ(Y₁) τ(Y₂)] to the test.

The theorem and its conditions are in `price.py`. A proof is *proved* when all of them hold, *refuted* when a point is
found at which the formula is wrong, and *unproved* otherwise (the method does not cover it).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import sympy
from sympy import Expr

from symgauss import covariance_witness as witness
from symgauss.covariance import gaussian_covariance
from symgauss.identity import checked
from symgauss.mean import gaussian_mean
from symgauss.pieces import NoClosedForm
from symgauss.price import SYMBOLS, CovarianceForm
from symgauss.proof import prove_mean
from symgauss.record import Activation, as_activation
from symgauss.surds import Outside
from symgauss.symbols import mu, mu_1, mu_2, sigma, sigma_1, sigma_2, x
from symgauss.verdict import Proof, Step
from symgauss.witness import Clock

_WHERE = (
    "symgauss.mu_1, symgauss.sigma_1, symgauss.mu_2, symgauss.sigma_2, symgauss.rho and the symbolic parameters of the "
    "activation"
)


def prove_covariance(
    act: Activation | Expr | str, covariance: Expr | None = None, other: Activation | Expr | str | None = None
) -> Proof:
    """Prove or refute that `covariance` (by default `gaussian_covariance(act, other)`) is E[σ(Y₁) τ(Y₂)].

    `act` is σ, `other` is τ, by default the same. Parameters held as symbols stay symbols: the proof is for all their
    values, all means, all standard deviations > 0 and −1 < rho < 1. Raises `NoClosedForm` when there is no formula to
    test, `GrowsTooFast` when there is no mean, TypeError or ValueError when `covariance` is not an expression in mu_1,
    sigma_1, mu_2, sigma_2, rho and the symbolic parameters.

    >>> prove_covariance("relu").status, prove_covariance("step", mu_1 * mu_2).status
    ('proved', 'refuted')
    """
    left = as_activation(act)
    right = left if other is None else as_activation(other)
    formula = gaussian_covariance(left, right) if covariance is None else _checked(left, right, covariance)
    mean = _mean(left)
    means = mean, mean if left == right else _mean(right)
    steps = [_mean_step(means), *_conditions(formula, means, same=left == right)]
    if any(step.status != "proved" for step in steps):
        steps = _with_witness(left, right, means, formula, steps)
    name = left.label if left == right else f"{left.label} and {right.label}"
    return Proof(f"{name}: covariance", formula, tuple(steps), f"u = {sympy.latex(formula)}")


class _Mean(NamedTuple):
    """The mean of one side, and why it does not count as proved, if it does not."""

    formula: Expr | None
    failure: str | None

    @property
    def proved(self) -> Expr | None:
        return None if self.failure else self.formula


def _mean(act: Activation) -> _Mean:
    try:
        formula = gaussian_mean(act)
    except NoClosedForm as reason:
        return _Mean(None, str(reason))
    proof = prove_mean(act, formula)
    return _Mean(formula, None if proof.holds else f"{proof.subject} {proof.status}")


def _checked(left: Activation, right: Activation, covariance: Expr) -> Expr:
    parameters = (left.formula.free_symbols | right.formula.free_symbols) - {x}
    formula = checked(covariance, {*SYMBOLS, *parameters}, _WHERE)
    if formula.has(sympy.I, sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        raise ValueError(f"A covariance is real and finite, got {formula}; write it without I and oo.")
    return formula


def _mean_step(means: tuple[_Mean, _Mean]) -> Step:
    failures = dict.fromkeys(mean.failure for mean in means if mean.failure)
    return Step(
        "mean",
        "M = E activation(mu + sigma Z)",
        "; ".join(failures) or "proved by the heat equation",
        "unproved" if failures else "proved",
        r"M = \mathrm{E}\,\sigma(\mu + \sigma Z)",
    )


def _conditions(formula: Expr, means: tuple[_Mean, _Mean], same: bool) -> list[Step]:
    """Price's equation, the start at C = 0 and analyticity, each proved or with what stands in the way."""
    second = "M" if same else "N"
    steps = [
        Step(
            "Price",
            "∂u/∂C = ∂²u/∂mu_1∂mu_2, C = rho sigma_1 sigma_2",
            "difference is 0",
            "proved",
            r"\partial_C u = \partial_{\mu_1} \partial_{\mu_2} u,\ C = \rho \sigma_1 \sigma_2",
        ),
        Step(
            "start",
            f"u = M(mu_1, sigma_1) {second}(mu_2, sigma_2) at C = 0",
            "difference is 0",
            "proved",
            rf"u|_{{C=0}} = M(\mu_1, \sigma_1)\,{second}(\mu_2, \sigma_2)",
        ),
        Step(
            "analyticity",
            "u is analytic for |C| < sigma_1 sigma_2",
            "made of analytic functions, |rho| < 1",
            "proved",
            r"u \text{ is analytic for } |C| < \sigma_1 \sigma_2",
        ),
    ]
    return [
        replace(step, reason=failure, status="unproved") if failure else step
        for step, failure in zip(steps, _outcomes(formula, means))
    ]


def _outcomes(formula: Expr, means: tuple[_Mean, _Mean]) -> tuple[str | None, ...]:
    """Per condition: None when it holds, else what stands in the way."""
    try:
        form = CovarianceForm(formula)
    except Outside as reason:
        return "not in normal form", "not in normal form", f"not on the list of analytic functions: {reason}"
    sides = [
        None if mean.formula is None else mean.formula.xreplace(place)
        for mean, place in zip(means, ({mu: mu_1, sigma: sigma_1}, {mu: mu_2, sigma: sigma_2}))
    ]
    if sides[0] is None or sides[1] is None:
        start = "there is no closed mean to compare with"
    else:
        product = sides[0] * sides[1]
        start = _attempt(lambda: form.check_start(product))
    return _attempt(form.check_price), start, _attempt(form.check_analytic)


def _attempt(check: Callable[[], None]) -> str | None:
    try:
        check()
    except Outside as reason:
        return str(reason)
    return None


def _with_witness(
    left: Activation, right: Activation, means: tuple[_Mean, _Mean], formula: Expr, steps: list[Step]
) -> list[Step]:
    """The steps, refuted where a point shows that the formula is wrong."""
    values = witness.parameters_for(left, right)
    if values is None:
        return steps
    clock = Clock(witness.SECONDS)
    price = steps[1]
    if price.status != "proved" and (found := witness.against_price(formula, values, clock)):
        return [steps[0], replace(price, reason=found, status="refuted"), *steps[2:]]
    if found := witness.against_definition(left, right, means[1].proved, formula, values, clock):
        claim, tex = "u = E[activation(Y_1) activation(Y_2)]", r"u = \mathrm{E}[\sigma(Y_1)\,\tau(Y_2)]"
        return [*steps, Step("definition", claim, found, "refuted", tex)]
    return steps
