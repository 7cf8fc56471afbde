"""A plan as statements: h_0 … h_8 or g_0 … g_8 in straight-line code, and the same sums for any order."""

from symgauss.codegen.plan import Plan
from symgauss.codegen.statements import Beyond, Body, Lines


def body(plan: Plan, hermite: bool) -> Lines:
    """The statements of `hermite` or `derivatives`."""
    made = Body(hermite)
    for family, suffix in plan.numbered:
        family.unrolled(made, suffix)
    return made.text()


def beyond(plan: Plan, hermite: bool) -> Beyond:
    """Statements once per pair, and the summands of h_k (or g_k) for k > 8."""
    more = Beyond(hermite)
    for family, suffix in plan.numbered:
        family.beyond(more, suffix)
    return more
