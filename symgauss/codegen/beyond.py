"""Orders above 8: the same sums as in `body`, with the order k at run time and Φ^(m) from an array.

`hermite_loop_any` and `derivatives_loop_any` take the first nine values from the unrolled function and
fill the rest of each row from the recurrence of Φ^(m); no order is special.
"""

import sympy
from sympy import Expr, S, Symbol, factorial

from symgauss.codegen.body import KINK_SUFFIXES, NARROW_TERMS, suffix_of
from symgauss.codegen.ladder import Ladder, width
from symgauss.codegen.plan import Kinks, Plan, Wave
from symgauss.codegen.vocabulary import lower
from symgauss.symbols import mu, sigma

Lines = list[str]


def beyond(plan: Plan, hermite: bool) -> tuple[Lines, list[str]]:
    """Statements once per pair, and the summands of h_k (or g_k) for k > 8."""
    lines: Lines = []
    summands: list[str] = []
    for i, wave in enumerate(plan.waves):
        _wave(lines, summands, wave, suffix_of(i, len(plan.waves)), hermite)
    for i, ladder in enumerate(plan.ladders):
        _ladder(lines, summands, ladder, suffix_of(i, len(plan.ladders)), hermite)
    if plan.kinks:
        _kinks(lines, summands, plan.kinks, hermite)
    return lines, summands


def arrays(plan: Plan) -> list[str]:
    """Names of the arrays of Φ^(m) that the statements fill, one per argument."""
    names = [f"d{suffix_of(i, len(plan.ladders))}" for i in range(len(plan.ladders))]
    kinked = {0: [], 1: ["d"], 2: ["d_a", "d_b", "d_m"]}
    return [*names, *kinked[len(plan.kinks.breakpoints) if plan.kinks else 0]]


def _wave(lines: Lines, summands: list[str], wave: Wave, suffix: str, hermite: bool) -> None:
    omega = wave.omega
    sine, cosine = Symbol(f"sine{suffix}"), Symbol(f"cosine{suffix}")
    lines.append(f"damping{suffix} = {lower(sympy.exp(-(omega**2) * sigma**2 / 2))}")
    lines.append(f"sine{suffix}, cosine{suffix} = {lower(sympy.sin(omega * mu))}, {lower(sympy.cos(omega * mu))}")
    turn, cycle = wave.sine * sine + wave.cosine * cosine, []
    for _ in range(4):
        cycle.append(lower(turn))
        turn = turn.subs({sine: cosine, cosine: -sine}, simultaneous=True)
    rate = f"min({lower(omega * sigma)}, 40.0)" if hermite else f"({lower(omega)})"
    summands.append(f"damping{suffix}*{rate}**k*({', '.join(cycle)})[k % 4]")


def _ladder(lines: Lines, summands: list[str], ladder: Ladder, suffix: str, hermite: bool) -> None:
    gate, w = ladder.gate, Symbol(f"w{suffix}")
    if gate.smooth:
        lines.append(f"w{suffix} = {lower(gate.width)}")
        lines.append(f"u{suffix} = {lower(gate.shifted / w)}")
        lines.append(f"rate{suffix} = {lower(gate.alpha * (sigma if hermite else 1) / w)}")
    else:
        lines.append(f"u{suffix} = min(max({lower(gate.shifted / sigma)}, -40.0), 40.0)")
    lines.append(f"derivatives_of_Phi(u{suffix}, d{suffix})")
    total = S.Zero
    for n, c in ladder.terms.items():
        index = f"k - {n}" if n > 0 else (f"k + {-n}" if n < 0 else "k")
        total += c.xreplace({width: w if gate.smooth else sigma}) * Symbol(f"d{suffix}[{index}]")
    if gate.smooth:
        summands.append(f"rate{suffix}**k*({lower(total)})")
    else:
        summands.append(_over_sigma(lower(total), hermite))


def _over_sigma(value: str, hermite: bool) -> str:
    return value if hermite else f"over_power({value}, sigma, k)"


def _kinks(lines: Lines, summands: list[str], kinks: Kinks, hermite: bool) -> None:
    suffixes = KINK_SUFFIXES[len(kinks.breakpoints)]
    places = list(zip(suffixes, kinks.breakpoints))
    if len(places) == 2:
        places.append(("_m", (kinks.breakpoints[0] + kinks.breakpoints[1]) / 2))
    for suffix, point in places:
        lines.append(f"u{suffix} = min(max({lower((mu - point) / sigma)}, -40.0), 40.0)")
        lines.append(f"derivatives_of_Phi(u{suffix}, d{suffix})")
    tails = sum((q * Symbol(f"d{suffix}[k - 1]") for q, suffix in zip(kinks.jumps, suffixes)), S.Zero)
    value = lower(sigma * tails)
    if len(suffixes) == 2:
        (a, b), (q_a, q_b) = kinks.breakpoints, kinks.jumps
        lines.append(f"e = {lower((b - a) / (2 * sigma))}")
        narrow = _series(sympy.expand(q_a - q_b), sympy.expand(q_a + q_b))
        value = f"(sigma*({narrow}) if e*max(1.0, 0.5*abs(u_m)) < 0.125 else {value})"
    summands.append(_over_sigma(value, hermite))


def _series(odd: Expr, even: Expr) -> str:
    """Σ_i I_{1−k−i} e^i (q_a ± q_b)/i! with the derivatives read from `d_m`."""
    parts = []
    for first, q in ((1, odd), (0, even)):
        if q != 0:
            terms = (f"d_m[k + {i - 1}]*e**{i}/{factorial(i)}" for i in range(first, NARROW_TERMS + 1, 2))
            parts.append(f"({lower(q)})*({' + '.join(terms)})")
    return " + ".join(parts).replace("[k + -1]", "[k - 1]").replace("[k + 0]", "[k]")
