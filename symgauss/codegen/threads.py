"""One pair (mu, sigma) at a time: what a thread of a GPU calls, and the same numbers that the loops make of blocks."""

from symgauss.codegen.emit import arguments, function, parameters
from symgauss.codegen.evaluation import Evaluation, Integrated
from symgauss.codegen.plan import Plan
from symgauss.codegen.quadrature import Rule
from symgauss.codegen.statements import UNROLLED, Lines

ORDERS = (2, UNROLLED)


def threads(how: Evaluation, name: str, still: list[str]) -> list[str]:
    """The functions hermite_pair_2 and hermite_pair_8, or derivatives_…; none where every pair is integrated.

    `still` are h_0 … h_8 (or g_0, …) of a pair that does not vary; `every` there is what `pointwise` returns.
    """
    if isinstance(how, Integrated):
        return []
    found = []
    for order in ORDERS:
        if isinstance(how, Rule):
            found += [_narrow(how, name, order), _wide(how, name, order)]
        lines = [
            "if sigma < TINY:",
            *([f"    every = pointwise({arguments(how, 'mu')})"] if "every[1]" in still else []),
            f"    return {', '.join(still[: order + 1])}",
            *(_closed(how, name, order) if isinstance(how, Plan) else _by_regime(how, name, order)),
        ]
        found.append(function("device", f"{name}_pair_{order}", arguments(how, "mu", "sigma"), lines))
    return found


def _closed(how: Plan, name: str, order: int) -> Lines:
    chosen = "" if order == UNROLLED else f"[:{order + 1}]"
    return [f"return {name}({arguments(how, 'mu', 'sigma')}){chosen}"]


def _by_regime(how: Rule, name: str, order: int) -> Lines:
    assert not parameters(how)
    return [
        "if sigma < SWITCH:",
        f"    return {name}_narrow_{order}(mu, sigma)",
        f"return {name}_wide_{order}(mu, sigma)",
    ]


def _narrow(how: Rule, name: str, order: int) -> str:
    if name == "derivatives":
        lines = _sums(order) + _by_derivatives(order)
    elif how.falls is None:
        lines = _sums(order) + _around_mean(order)
    else:
        lines = _sums(order) + (_where_flat(order) if order > 2 else []) + _around_peak(order)
    return function("device", f"{name}_narrow_{order}", "mu, sigma", [*lines, f"return {_every('h', order)}"])


def _wide(how: Rule, name: str, order: int) -> str:
    follows = how.falls is not None
    drop = "*DROP" if follows else ""
    lines = [
        *_sums(order),
        "r = 1.0/sigma",
        *(_nodes_following(name) if follows else _nodes()),
        *(f"    {line}" for line in recurrence("p", order)),
        *(f"    h{k} += p{k}" for k in range(order + 1)),
        f"{_every('a', order)} = asymptote{'' if order == UNROLLED else '_2'}(mu, sigma)",
    ]
    values = [f"h{k}{drop} + a{k}" for k in range(order + 1)]
    if name == "derivatives":
        values = [f"({value})" + "*r" * k if k else value for k, value in enumerate(values)]
    return function("device", f"{name}_wide_{order}", "mu, sigma", [*lines, f"return {', '.join(values)}"])


def _every(letter: str, order: int) -> str:
    return ", ".join(f"{letter}{k}" for k in range(order + 1))


def _sums(order: int) -> Lines:
    return [f"{' = '.join(f'h{k}' for k in range(order + 1))} = 0.0"]


def recurrence(letter: str, order: int) -> Lines:
    """p_{k+1} = z p_k − k p_{k−1}, from p_0."""
    last = {0: "", 1: f" - {letter}0"}
    return [f"{letter}{k + 1} = z*{letter}{k}{last.get(k, f' - {k}.0*{letter}{k - 1}')}" for k in range(order)]


def _around_mean(order: int) -> Lines:
    return [
        "for j in range(Z.size):",
        "    z = Z[j]",
        "    p0 = Z_WEIGHTS[j]*value(mu + sigma*z)",
        *(f"    {line}" for line in recurrence("p", order)),
        *(f"    h{k} += p{k}" for k in range(order + 1)),
    ]


def _around_peak(order: int) -> Lines:
    return [
        "middle = STEP*floor(peak(mu, sigma)/STEP + 0.5)",
        "for j in range(Z.size):",
        "    z = middle + Z[j]",
        "    p0 = STEP*INV_SQRT_2PI*gauss(z)*value(mu + sigma*z)",
        *(f"    {line}" for line in recurrence("p", order)),
        *(f"    h{k} += p{k}" for k in range(order + 1)),
    ]


def _by_derivatives(order: int) -> Lines:
    chosen = "" if order == UNROLLED else f"[:{order + 1}]"
    return [
        "for j in range(FINE.size):",
        "    weight = FINE_WEIGHTS[j]",
        f"    {_every('f', order)} = pointwise(mu + sigma*FINE[j]){chosen}",
        *(f"    h{k} += weight*f{k}" for k in range(order + 1)),
    ]


def _where_flat(order: int) -> Lines:
    scaled = ", ".join(f"h{k}" + "*sigma" * k for k in range(order + 1))
    return [
        "if flat(mu, sigma):",
        *(f"    {line}" for line in _by_derivatives(order)),
        f"    return {scaled}",
    ]


def _nodes() -> Lines:
    return [
        "for j in range(Y.size):",
        "    z = (Y[j] - mu)*r",
        "    p0 = Y_WEIGHTS[j]*INV_SQRT_2PI*r*gauss(z)",
    ]


def _nodes_following(name: str) -> Lines:
    return [
        "y0 = reference(mu, sigma)",
        "z0 = (y0 - mu)/sigma",
        "top = INV_SQRT_2PI*r*lifted_gauss(z0)*(1.0 - abs(z0)*slip(z0, y0, mu, sigma))",
        f"for j in range({'COUNTING' if name == 'hermite' else 'Y.size'}):",
        "    t = (Y[j] - y0)*r",
        "    weight = Y_WEIGHTS[j]",
        "    # in single precision weights underflow where the exponential overflows",
        "    p0 = weight*top*exp(-t*(z0 + 0.5*t)) if weight != 0.0 else 0.0",
        "    z = z0 + t",
    ]
