"""What Numba compiles: loops over arrays around the formulas of an evaluation."""

from collections.abc import Iterator

import sympy

from symgauss.codegen.body import beyond
from symgauss.codegen.emit import (
    NOT_THIS_FILE,
    arguments,
    function,
    imports,
    integrates_beyond,
    parameters,
)
from symgauss.codegen.evaluation import Evaluation
from symgauss.codegen.plan import Plan
from symgauss.codegen.pointwise import Pointwise
from symgauss.codegen.quadrature import Rule
from symgauss.codegen.statements import UNROLLED, Lines
from symgauss.codegen.threads import recurrence, threads
from symgauss.codegen.vocabulary import lower
from symgauss.symbols import mu, x

LOOPS_ABOUT = f'"""What Numba compiles: one module of loops per activation.\n\n{NOT_THIS_FILE}\n"""\n'
KINDS = ("hermite", "derivatives")


def loops(how: Evaluation, formulas: str) -> str:
    """The module that is compiled; `formulas` is the module it takes the formulas from."""
    sections = [_value_loop(how)]
    for kind in KINDS:
        if isinstance(how, Plan):
            sections += _block_loops(how, kind)
        if isinstance(how, Rule):
            sections += _quadrature_loops(kind, how.falls is not None)
        if isinstance(how, Plan) and how.any_order:
            sections.append(_any_order(how, kind))
        if integrates_beyond(how):
            sections.append(_integrated(how, kind))
    if isinstance(how, Plan) and how.any_order:
        sections += _at_zero(how) if not how.smooth else []
    else:
        sections += _at_zero_pointwise(how)
    for kind in KINDS:
        sections += threads(how, kind, _still(how, kind))
    code = "\n\n\n".join(sections)
    about = f'"""Loops over arrays around the formulas of `{formulas}`.\n\n{NOT_THIS_FILE}\n"""'
    names = ", ".join(sorted(_taken(how)))
    return f"{about}\n\n{imports(code, 'device', 'loop')}\nfrom {formulas} import {names}\n\n\n{code}\n"


def _taken(how: Evaluation) -> Iterator[str]:
    yield from ("FORMULA", "FORMULA_HASH", "KIND", "MAY_OVERFLOW", "NAME", "SMOOTH", "requirements", "value")
    yield from ("DEGREE", "LAST", "cuts", "jumps")
    if isinstance(how, Plan):
        yield from KINDS
    if isinstance(how, Rule):
        yield from (
            "SWITCH",
            "Z",
            "Z_WEIGHTS",
            "FINE",
            "FINE_WEIGHTS",
            "Y",
            "Y_WEIGHTS",
            "COUNTING",
            "asymptote",
            "asymptote_2",
        )
        if how.falls is not None:
            yield from ("STEP", "flat", "peak", "reference")
    if integrates_beyond(how):
        yield "pointwise"


def _value_loop(how: Evaluation) -> str:
    lines = ["for i in range(x.size):", f"    out[i] = value({arguments(how, 'x[i]')})"]
    return function("loop", "value_loop", arguments(how, "x", "out"), lines)


def _block_loops(how: Plan, name: str) -> list[str]:
    """Blocks of rows[k, i], one k after the other, then turned into the output's layout: only that vectorises."""
    found = []
    for order in (2, UNROLLED):
        targets = ", ".join(f"rows[{k}, i]" for k in range(order + 1))
        chosen = "" if order == UNROLLED else f"[:{order + 1}]"
        lines = [
            "for start in range(0, mean.size, rows.shape[1]):",
            "    m, s = mean[start : start + rows.shape[1]], std[start : start + rows.shape[1]]",
            "    for i in range(m.size):",
            f"        {targets} = {name}({arguments(how, 'm[i]', 's[i]')}){chosen}",
            "    transpose(rows, out[start : start + rows.shape[1]])",
        ]
        found.append(function("loop", f"{name}_loop_{order}", arguments(how, "mean", "std", "out", "rows"), lines))
    return found


def _quadrature_loops(name: str, follows: bool) -> list[str]:
    """Blocks again; first come the pairs of the narrow regime, then those of the wide one."""
    return [
        function("loop", f"{name}_loop_{order}", "mean, std, out, rows", _quadrature_block(name, order, follows))
        for order in (2, UNROLLED)
    ]


def _quadrature_block(name: str, order: int, follows: bool) -> Lines:
    every = range(order + 1)
    drop = "*DROP" if follows else ""
    if name == "derivatives":
        narrow = _narrow_derivatives(order)
    elif follows:
        narrow = _narrow_following(order) + (_narrow_by_derivatives(order) if order > 2 else [])
    else:
        narrow = _narrow_hermite(order)
    asymptotes = ", ".join(f"a{k}" for k in every)
    lines = [
        "size = rows.shape[1]",
        "place = np.empty(size, np.int64)",
        "mu, sigma, inverse = np.empty(size), np.empty(size), np.empty(size)",
        *(["y0, z0, top = np.empty(size), np.empty(size), np.empty(size)"] if follows else []),
        "for start in range(0, mean.size, size):",
        "    m, s = mean[start : start + size], std[start : start + size]",
        "    few, all = gather(m, s, SWITCH, place, mu, sigma, inverse)",
        "    rows[:, :all] = 0.0",
        *narrow,
        "    # views, because an index that does not start at 0 might be negative, and nothing would vectorise",
        "    m, s, r = mu[few:all], sigma[few:all], inverse[few:all]",
        *(f"    wide{k} = rows[{k}, few:all]" for k in every),
        *(_wide_following(name) if follows else _wide_nodes()),
        *(f"            {line}" for line in recurrence("p", order)),
        *(f"            wide{k}[i] += p{k}" for k in every),
        "    for i in range(m.size):",
        f"        {asymptotes} = asymptote{'' if order == UNROLLED else '_2'}(m[i], s[i])",
        *(f"        wide{k}[i] = {_over_sigma(f'wide{k}[i]{drop} + a{k}', k, name)}" for k in every),
        "    scatter(rows, place, out[start : start + size])",
    ]
    return lines


def _wide_nodes() -> Lines:
    """z and p_0 = R_j φ(z)/s at every node."""
    return [
        "    for j in range(Y.size):",
        "        y, weight = Y[j], Y_WEIGHTS[j]*INV_SQRT_2PI",
        "        for i in range(m.size):",
        "            z = (y - m[i])*r[i]",
        "            p0 = weight*r[i]*gauss(z)",
    ]


def _wide_following(name: str) -> Lines:
    """The same by φ at a point of reference: the factor that all nodes share then has no rounding of z² in it.

    That factor may underflow where h_8 does not, and so is carried along with 2²⁵⁶.
    """
    return [
        "    for i in range(m.size):",
        "        y0[i] = reference(m[i], s[i])",
        "        z0[i] = (y0[i] - m[i])/s[i]",
        "        exact = 1.0 - abs(z0[i])*slip(z0[i], y0[i], m[i], s[i])",
        "        top[i] = INV_SQRT_2PI*r[i]*lifted_gauss(z0[i])*exact",
        f"    for j in range({'COUNTING' if name == 'hermite' else 'Y.size'}):",
        "        y, weight = Y[j], Y_WEIGHTS[j]",
        "        for i in range(m.size):",
        "            t = (y - y0[i])*r[i]",
        "            p0 = weight*top[i]*exp(-t*(z0[i] + 0.5*t))",
        "            z = z0[i] + t",
    ]


def _over_sigma(value: str, k: int, name: str) -> str:
    return value if name == "hermite" or k == 0 else f"({value})" + "*r[i]" * k


def _narrow_hermite(order: int) -> Lines:
    """Σ w_j σ(μ + s z_j) He_k(z_j)."""
    return [
        "    for j in range(Z.size):",
        "        z, w0 = Z[j], Z_WEIGHTS[j]",
        *(f"        {line}" for line in recurrence("w", order)),
        "        for i in range(few):",
        "            f = value(mu[i] + sigma[i]*z)",
        *(f"            rows[{k}, i] += w{k}*f" for k in range(order + 1)),
    ]


def _narrow_following(order: int) -> Lines:
    """The same around the peak of each pair."""
    return [
        "    for i in range(few):",
        "        inverse[i] = STEP*floor(peak(mu[i], sigma[i])/STEP + 0.5)",
        "    for j in range(Z.size):",
        "        node, weight = Z[j], STEP*INV_SQRT_2PI",
        "        for i in range(few):",
        "            z = inverse[i] + node",
        "            p0 = weight*gauss(z)*value(mu[i] + sigma[i]*z)",
        *(f"            {line}" for line in recurrence("p", order)),
        *(f"            rows[{k}, i] += p{k}" for k in range(order + 1)),
    ]


def _narrow_by_derivatives(order: int) -> Lines:
    """s^k Σ w_j σ^(k)(μ + s z_j): where σ falls off steeply, rounding μ + s z_j would show in Σ σ He_k."""
    every = range(order + 1)
    return [
        "    for i in range(few):",
        "        if flat(mu[i], sigma[i]):",
        "            rows[:, i] = 0.0",
        "            for j in range(FINE.size):",
        f"                {', '.join(f'f{k}' for k in every)} = pointwise(mu[i] + sigma[i]*FINE[j])",
        "                weight = FINE_WEIGHTS[j]",
        *(f"                rows[{k}, i] += weight*f{k}" for k in every),
        "            power = 1.0",
        *(
            line
            for k in range(1, order + 1)
            for line in ("            power *= sigma[i]", f"            rows[{k}, i] *= power")
        ),
    ]


def _narrow_derivatives(order: int) -> Lines:
    """Σ w_j σ^(k)(μ + s z_j)."""
    every = range(order + 1)
    chosen = "" if order == UNROLLED else f"[:{order + 1}]"
    return [
        "    for j in range(FINE.size):",
        "        z, weight = FINE[j], FINE_WEIGHTS[j]",
        "        for i in range(few):",
        f"            {', '.join(f'f{k}' for k in every)} = pointwise(mu[i] + sigma[i]*z){chosen}",
        *(f"            rows[{k}, i] += weight*f{k}" for k in every),
    ]


def _any_order(how: Plan, name: str) -> str:
    more = beyond(how, hermite=name == "hermite")
    first = ", ".join(f"out[i, {k}]" for k in range(UNROLLED + 1))
    lines = [f"{array} = np.empty(out.shape[1] + 16)" for array in more.arrays]
    lines += [
        "for i in range(mean.size):",
        "    mu, sigma = mean[i], std[i]",
        f"    {first} = {name}({arguments(how, 'mu', 'sigma')})",
        *(f"    {line}" for line in more.lines),
        f"    for k in range({UNROLLED + 1}, out.shape[1]):",
        f"        out[i, k] = {' + '.join(more.summands) or '0.0'}",
    ]
    return function("loop", f"{name}_loop_any", arguments(how, "mean", "std", "out"), lines)


def _integrated(how: Evaluation, name: str) -> str:
    """Adaptive integration of every pair, with the estimated error of each."""
    inside = ", ".join(p.name for p in parameters(how))
    values = f"({inside},)" if inside else "()"
    by_value = f"integrate(value, {values}, mean[i], std[i], cut, out[i], work)"
    lines = [f"cut = cuts({inside})", "work = workspace(out.shape[1], 1, cut)"]
    if name == "hermite":
        lines += ["for i in range(mean.size):", f"    errors[i] = {by_value}"]
    else:
        lines += [
            f"height = jumps({inside})",
            "more = workspace(out.shape[1], LAST + 1, cut)",
            "for i in range(mean.size):",
            "    errors[i] = integrate_slopes(",
            f"        value, pointwise, {values}, mean[i], std[i], cut, height, out[i], work, more",
            "    )",
        ]
    return function("loop", f"{name}_integrated", arguments(how, "mean", "std", "out", "errors"), lines)


_STILL = ["for i in range(mean.size):", "    if std[i] < TINY:", "        mu = mean[i]", "        out[i, :] = 0.0"]


def _still(how: Evaluation, name: str) -> list[str]:
    """h_0 … h_8 (or g_0, …) at σ = 0, one text each."""
    first = f"value({arguments(how, 'mu')})"
    if name == "hermite":
        return [first] + ["0.0"] * UNROLLED
    if isinstance(how, Plan) and how.any_order:
        more = _derivatives_at_zero(how)
        return [first, *more, *["0.0"] * (UNROLLED - len(more))]
    last = _last(how)
    return [first, *(f"every[{k}]" if k <= last else "nan" for k in range(1, UNROLLED + 1))]


def _derivatives_at_zero(how: Plan) -> list[str]:
    """σ′(mu), …, of the piece that mu is in, up to the last that is not 0 everywhere."""
    derivatives = []
    for piece in how.split.smooth:
        values = [lower(sympy.diff(piece, x, k).xreplace({x: mu})) for k in range(1, UNROLLED + 1)]
        while values and values[-1] == "0":
            values.pop()
        derivatives.append(values)
    points = [lower(c) for c in how.split.breakpoints]
    found = []
    for k in range(max(map(len, derivatives))):
        at = [values[k] if k < len(values) else "0.0" for values in derivatives]
        choice = at[-1]
        for c, value in reversed(list(zip(points, at))):
            choice = f"{value} if mu <= {c} else ({choice})" if choice != value else choice
        found.append(choice)
    return found


def _at_zero(how: Plan) -> list[str]:
    """Rows with σ = 0: σ(μ) as written, and for g_k the derivatives of the piece that μ is in."""
    start = [*_STILL, f"        out[i, 0] = value({arguments(how, 'mu')})"]
    lines = list(start)
    for k, choice in enumerate(_derivatives_at_zero(how), start=1):
        lines += [f"        if out.shape[1] > {k}:", f"            out[i, {k}] = {choice}"]
    return [_zero_loop(how, "hermite", start), _zero_loop(how, "derivatives", lines)]


def _at_zero_pointwise(how: Evaluation) -> list[str]:
    """The same with the derivatives that integration uses; of those beyond the eighth nothing is known."""
    first = f"        out[i, 0] = value({arguments(how, 'mu')})"
    lines = [
        *_STILL,
        f"        every = pointwise({arguments(how, 'mu')})",
        *(
            line
            for k in range(1, _last(how) + 1)
            for line in (f"        if out.shape[1] > {k}:", f"            out[i, {k}] = every[{k}]")
        ),
        "        out[i, LAST + 1 :] = np.nan",
        first,
    ]
    return [_zero_loop(how, "hermite", [*_STILL, first]), _zero_loop(how, "derivatives", lines)]


def _last(how: Evaluation) -> int:
    return (Pointwise(how.activation) if isinstance(how, Plan) else how.pointwise).order


def _zero_loop(how: Evaluation, name: str, lines: Lines) -> str:
    return function("loop", f"{name}_at_zero", arguments(how, "mean", "std", "out"), lines)
