"""The statements of a kernel: h_0 … h_8 or g_0 … g_8 of a plan, as straight-line code.

Each family contributes K_k, its part of h_k without the power of s that the derivative brings:

    ladder      Φ(αy + β): h_k = (αs/w)^k Σ c_n I_{n−k}(u), g_k = (α/w)^k Σ c_n I_{n−k}(u)
                step:      h_k = Σ c_n I_{n−k}(z),          g_k = h_k/s^k
    kinks       as a step, on two breakpoints, in the wide or the narrow form
    wave        h_k = (ωs)^k e^{−ω²s²/2} × the k-th derivative of the sinusoid
    polynomial  h_k = s^k ∂^k E p, g_k = ∂^k E p

`d1, d2, …` are the derivatives of Φ: d_m = Φ^(m)(u) = I_{−m}(u), d_{m+1} = −u d_m − (m − 1) d_{m−1}.
"""

import sympy
from sympy import Expr, S, Symbol, factorial

from symgauss.codegen.ladder import Ladder, width
from symgauss.codegen.plan import Kinks, Plan, Wave, polynomial_mean
from symgauss.codegen.vocabulary import lower
from symgauss.symbols import mu, sigma, x

UNROLLED = 8
# Terms of the narrow form: (e max(1, |m|))^i/i! with e max(1, |m|/2) ≤ 1/8 is below 1e-17 for i > 13.
NARROW_TERMS = 13

Lines = list[str]


class Body:
    """Statements, and for each k ≤ 8 the summands of h_k (or g_k)."""

    def __init__(self, hermite: bool) -> None:
        self.hermite = hermite
        self.lines: Lines = []
        self.sums: list[list[str]] = [[] for _ in range(UNROLLED + 1)]

    def say(self, comment: str) -> None:
        self.lines.append(f"# {comment}")

    def let(self, name: str, value: Expr | str) -> None:
        self.lines.append(f"{name} = {value if isinstance(value, str) else lower(value)}")

    def add(self, k: int, summand: str) -> None:
        if summand != "0":
            self.sums[k].append(summand)

    def lifts(self, smooth: bool) -> bool:
        """Whether φ is divided by powers of s, and must not underflow before that."""
        return not self.hermite and not smooth

    def text(self) -> Lines:
        """All statements, ending in the return of nine numbers."""
        letter = "h" if self.hermite else "g"
        lines = list(self.lines)
        for k, summands in enumerate(self.sums):
            lines.append(f"{letter}{k} = {' + '.join(summands).replace('+ -', '- ') or '0.0'}")
        lines.append("return " + ", ".join(f"{letter}{k}" for k in range(UNROLLED + 1)))
        return lines


def body(plan: Plan, hermite: bool) -> Lines:
    """The statements of `hermite` or `derivatives`."""
    made = Body(hermite)
    folded = _centred_sigmoid(plan)
    if not folded:
        _polynomial(made, plan.polynomial)
    for i, wave in enumerate(plan.waves):
        _wave(made, wave, suffix_of(i, len(plan.waves)))
    for i, ladder in enumerate(plan.ladders):
        _ladder(made, ladder, suffix_of(i, len(plan.ladders)), folded)
    if plan.kinks:
        _kinks(made, plan.kinks)
    return made.text()


def suffix_of(i: int, count: int) -> str:
    """Names of the parts of a sum are numbered from 1 when there are several."""
    return "" if count == 1 else f"_{i + 1}"


def _polynomial(made: Body, polynomial: Expr) -> None:
    mean = polynomial_mean(polynomial)
    for k in range(UNROLLED + 1):
        derivative = sympy.diff(mean, mu, k)
        if derivative != 0:
            made.add(k, lower(sympy.horner(sigma**k * derivative if made.hermite else derivative)))


def _wave(made: Body, wave: Wave, suffix: str) -> None:
    omega, rate = wave.omega, (wave.omega * sigma if made.hermite else wave.omega)
    sine, cosine, damping, ratio = (Symbol(name + suffix) for name in ("sine", "cosine", "damping", "rate"))
    made.let(damping.name, sympy.exp(-(omega**2) * sigma**2 / 2))
    made.let(sine.name, damping * sympy.sin(omega * mu))
    made.let(cosine.name, damping * sympy.cos(omega * mu))
    # beyond 40 the damping is exactly 0, and an infinite power of the rate would make it NaN
    made.let(ratio.name, f"min({lower(rate)}, 40.0)" if made.hermite else rate)
    turn = wave.sine * sine + wave.cosine * cosine
    for k in range(UNROLLED + 1):
        made.add(k, lower(ratio**k * turn))
        turn = turn.subs({sine: cosine, cosine: -sine}, simultaneous=True)


def _derivatives_of_Phi(made: Body, u: str, suffix: str, highest: int) -> None:
    for m in range(2, highest + 1):
        last = {2: "", 3: f" - d1{suffix}"}.get(m, f" - {m - 2}*d{m - 2}{suffix}")
        made.let(f"d{m}{suffix}", f"-{u}*d{m - 1}{suffix}{last}")


def _ladder(made: Body, ladder: Ladder, suffix: str, centred: bool) -> None:
    u, Phi_u, d1 = (f"{name}{suffix}" for name in ("u", "Phi_u", "d1"))
    gate, w = ladder.gate, Symbol(f"w{suffix}")
    if gate.smooth:
        made.let(w.name, gate.width)
        made.let(u, gate.shifted / w)
        made.let(f"rate{suffix}", gate.alpha * (sigma if made.hermite else 1) / w)
    else:
        made.say("beyond ±40 every Φ^(m) is constant; without the bounds an infinite u would give NaN")
        made.let(u, _bounded(gate.shifted))
    if made.lifts(gate.smooth):
        _lift(made, f"abs({u})", suffix)
        made.lines.append(f"{Phi_u}, {d1} = lifted_Phi_phi({u}, lifted{suffix})")
        made.let(f"phi_u{suffix}", f"{d1}*drop{suffix}")
    else:
        made.lines.append(f"{Phi_u}, {d1} = Phi_phi({u})")
    made.say(f"d_m = Φ^(m)({u})")
    _derivatives_of_Phi(made, u, suffix, UNROLLED - min(ladder.terms))
    for k in range(UNROLLED + 1):
        if k == 0 and centred:
            made.add(0, lower(ladder.terms[0] * Symbol(f"centred_Phi({u})")))
        elif gate.smooth:
            made.add(k, _smooth_term(made, ladder, k, suffix))
        else:
            made.add(k, _step_term(made, ladder, k, suffix))


def _bounded(shifted: Expr) -> str:
    return f"min(max({lower(shifted / sigma)}, -40.0), 40.0)"


def _lift(made: Body, distance: str, suffix: str = "") -> None:
    made.say("φ may be too small for a double where φ/σ^k is not: then it carries a factor 2²⁵⁶")
    made.let(f"lifted{suffix}", f"{distance} > 30.0")
    made.let(f"drop{suffix}", f"2.0**-256 if lifted{suffix} else 1.0")


def _smooth_term(made: Body, ladder: Ladder, k: int, suffix: str) -> str:
    """(αs/w)^k Σ c_n I_{n−k}(u), in two forms where that sum holds an I_1."""
    w, d1 = Symbol(f"w{suffix}"), Symbol(f"d1{suffix}")
    total = S.Zero
    for n, c in ladder.terms.items():
        factor = Symbol(f"I_1(u{suffix}, {d1})") if n - k == 1 else _descending(n - k, suffix)
        total += c.xreplace({width: w}) * factor
    value = lower(Symbol(f"rate{suffix}") ** k * sympy.factor_terms(total))
    if max(ladder.terms) <= k:
        return value
    made.say("the first form cancels for μ < 0 and wide s, the second for narrow s")
    direct = lower(_direct(ladder, suffix))
    narrow = lower(abs(ladder.gate.alpha) * sigma)
    made.let(f"mean{suffix}", f"{direct} if ({narrow} < 1.0) | (u{suffix} > 0.0) else {value}")
    return f"mean{suffix}"


def _descending(m: int, suffix: str, factor: str = "") -> Expr:
    """I_m(u) for m ≤ 0 by its name: Φ or one of its derivatives."""
    return Symbol(f"Phi_u{suffix}") if m == 0 else Symbol(f"d{-m}{suffix}{factor}")


def _step_term(made: Body, ladder: Ladder, k: int, suffix: str) -> str:
    """Σ c_n I_{n−k}(u), and for g_k its quotient by s^k with the powers of s that are there cancelled."""
    highest = max(ladder.terms)
    lifted = made.lifts(smooth=False)
    factor = f"*drop{suffix}" if lifted and k <= highest else ""
    total = S.Zero
    for n, c in ladder.terms.items():
        c = c.xreplace({width: sigma})
        if n > k:
            total += sympy.cancel(c / sigma ** (n - k)) * _ascending(ladder, n - k, suffix, lifted)
        else:
            total += c * _descending(n - k, suffix, factor)
    if made.hermite:
        return lower(sympy.factor_terms(total))
    # s² may underflow where s²/s² does not
    cancelled = min(k, *ladder.terms)
    value = _over_sigma(lower(sympy.factor_terms(sympy.expand(total / sigma**cancelled))), k - cancelled)
    return f"{value}*drop{suffix}" if lifted and k > highest else value


def _ascending(ladder: Ladder, m: int, suffix: str, lifted: bool) -> Expr:
    """σ^m I_m(u) for m = 1, 2: polynomials in σ and u σ = μ − c, which need no bounds."""
    shifted = ladder.gate.shifted
    Phi_u, density = Symbol(f"Phi_u{suffix}"), Symbol(f"phi_u{suffix}" if lifted else f"d1{suffix}")
    first = shifted * Phi_u + sigma * density
    if m == 1:
        return first
    right = lower((shifted * first + sigma**2 * Phi_u) / 2)
    u = f"u{suffix}"
    return Symbol(f"({right} if {u} > 0.0 else {lower(sigma**2)}*I_2({u}, {density}))")


def _over_sigma(value: str, k: int) -> str:
    """value/s^k, one division at a time, so that 0/s never meets an infinite power."""
    if value == "0" or k == 0:
        return value
    return (value if value.isidentifier() else f"({value})") + "/sigma" * k


def _direct(ladder: Ladder, suffix: str) -> Expr:
    """c_1 I_1 + c_0 I_0 + c_−1 I_−1 as the textbook has it: in μ, s, Φ and φ, with w² − 1 written α²s²."""
    gate = ladder.gate
    Phi_u, d1, w, v = Symbol(f"Phi_u{suffix}"), Symbol(f"d1{suffix}"), Symbol(f"w{suffix}"), Symbol("v")
    c = {n: ladder.terms.get(n, S.Zero) for n in (1, 0, -1)}
    on_Phi = sympy.cancel(c[1] / width) * gate.shifted + c[0]
    on_phi = sympy.cancel((c[1] + c[-1]) * width).xreplace({width: v})
    on_phi = sympy.expand(on_phi.subs(v, sympy.sqrt(1 + gate.alpha**2 * sigma**2)))
    return on_Phi * Phi_u + on_phi * d1 / w


def _centred_sigmoid(plan: Plan) -> bool:
    """Whether σ = c (Φ(αy + β) − ½), which Φ − ½ evaluates without cancellation."""
    if len(plan.ladders) != 1 or plan.waves or plan.kinks or not plan.ladders[0].gate.smooth:
        return False
    terms = plan.ladders[0].terms
    return set(terms) == {0} and sympy.expand(terms[0] / 2 + plan.polynomial) == 0


def _kinks(made: Body, kinks: Kinks) -> None:
    if made.hermite:
        for k, value in enumerate(_kink_values(made, kinks, first=0)):
            made.add(k, value)
        return
    made.lines.append(f"h0, h1 = hermite({arguments(kinks)})[:2]")
    made.add(0, "h0")
    made.add(1, "h1/sigma")
    for k, value in enumerate(_kink_values(made, kinks, first=2), start=2):
        made.add(k, _over_sigma(value, k) + "*drop")


def arguments(kinks: Kinks) -> str:
    """What `hermite` is called with: μ, s and the parameters."""
    parameters = set().union(*(p.free_symbols for p in (*kinks.breakpoints, *kinks.smooth))) - {x}
    return ", ".join(["mu", "sigma", *sorted(map(str, parameters))])


def _kink_values(made: Body, kinks: Kinks, first: int) -> list[str]:
    """K_first … K_8: the wide form, and with two breakpoints the narrow one where they are near.

    In `derivatives`, where first = 2, both carry the factor of `lifted`.
    """
    two = len(kinks.breakpoints) == 2
    names = [f"u{suffix}" for suffix in KINK_SUFFIXES[len(kinks.breakpoints)]]
    for name, c in zip(names, kinks.breakpoints):
        made.let(name, _bounded(mu - c))
    if two:
        a, b = kinks.breakpoints
        made.let("m", _bounded(mu - (a + b) / 2))
    if made.lifts(smooth=False):
        distances = [f"abs({name})" for name in (*names, *(["m"] if two else []))]
        _lift(made, f"min({', '.join(distances)})" if two else distances[0])
    wide = _wide(made, kinks)
    if not two:
        return wide[first:]
    near = _narrow(made, kinks, first)
    for k in range(first, UNROLLED + 1):
        made.let(f"k{k}", f"{near[k - first]} if narrow else {wide[k]}")
    return [f"k{k}" for k in range(first, UNROLLED + 1)]


# Names of the parts that belong to a breakpoint.
KINK_SUFFIXES = {1: ("",), 2: ("_a", "_b")}


def _wide(made: Body, kinks: Kinks) -> list[str]:
    """K_0 … K_8 as the piece that μ is in, and the tails beyond the breakpoints."""
    suffixes = KINK_SUFFIXES[len(kinks.breakpoints)]
    made.say("the piece that μ is in, and the tails beyond the breakpoints, which cannot cancel")
    for suffix in suffixes:
        if made.lifts(smooth=False):
            made.lines.append(f"_, d1{suffix} = lifted_Phi_phi(u{suffix}, lifted)")
        else:
            _tails(made, f"u{suffix}", suffix)
        _derivatives_of_Phi(made, f"u{suffix}", suffix, UNROLLED - 1)

    def tails(name: str) -> str:
        return lower(sigma * sum((q * Symbol(f"{name}{s}") for q, s in zip(kinks.jumps, suffixes)), S.Zero))

    # by u and not by μ, so that piece and tail agree where u underflows to 0
    tests = [f"u{suffix} <= 0.0" for suffix in suffixes]
    at_mu = [p.xreplace({x: mu}) for p in kinks.smooth]
    return [
        f"{_choose(at_mu, tests)} + {tails('tail')}",
        f"{_choose([sigma * s for s in kinks.slopes], tests)} + {tails('side')}",
        *(tails(f"d{k - 1}") for k in range(2, UNROLLED + 1)),
    ]


def _tails(made: Body, u: str, suffix: str) -> None:
    """I_1(−|u|), and Φ(u) less the 1 that belongs to the piece on the right."""
    made.lines.append(f"Phi{suffix}, d1{suffix} = Phi_phi(-abs({u}))")
    made.let(f"tail{suffix}", f"d1{suffix} - abs({u})*Phi{suffix}")
    made.let(f"side{suffix}", f"Phi{suffix} if {u} <= 0.0 else -Phi{suffix}")


def _narrow(made: Body, kinks: Kinks, first: int) -> list[str]:
    """K_first … K_8 as Taylor series of Σ q_j I_1(m ± e) about the middle, from the piece that m is beside."""
    (a, b), (q_a, q_b) = kinks.breakpoints, kinks.jumps
    made.say("narrow: q_a I_1(m + e) + q_b I_1(m − e) as a Taylor series about the middle m, e half the width")
    made.let("e", (b - a) / (2 * sigma))
    if made.lifts(smooth=False):
        made.lines.append("_, d1_m = lifted_Phi_phi(m, lifted)")
    else:
        _tails(made, "m", "_m")
    _derivatives_of_Phi(made, "m", "_m", UNROLLED + NARROW_TERMS - 1)
    made.let("narrow", "e*max(1.0, 0.5*abs(m)) < 0.125")
    made.let("e2", "e*e")
    odd, even = sympy.expand(q_a - q_b), sympy.expand(q_a + q_b)
    outer = (kinks.smooth[0], kinks.smooth[-1])
    values = []
    for k in range(first, UNROLLED + 1):
        base = _choose([sigma**k * sympy.diff(p, x, k).xreplace({x: mu}) for p in outer], ["m <= 0.0"])
        series = f"sigma*({_series(k, odd, even)})"
        values.append(series if base == "0" else f"{base} + {series}")
    return values


def _choose(options: list[Expr], tests: list[str]) -> str:
    """The first option whose test holds, else the last; equal neighbours are joined."""
    *earlier, last = (lower(p) for p in options)
    choice = last
    for value, test in reversed(list(zip(earlier, tests))):
        choice = f"({value} if {test} else {choice})" if value != choice else choice
    return choice


def _series(k: int, odd: Expr, even: Expr) -> str:
    """Σ_i I_{1−k−i}(m) e^i (q_a ± q_b)/i!, odd and even i apart, by Horner's rule in e²."""
    parts = []
    for first, q in ((1, odd), (0, even)):
        if q == 0:
            continue
        rule = ""
        for i in reversed(range(first, NARROW_TERMS + 1, 2)):
            name = {-1: "tail_m", 0: "side_m"}.get(k + i - 1, f"d{k + i - 1}_m")
            term = f"{name}/{factorial(i)}" if i > 1 else name
            rule = f"{term} + e2*({rule})" if rule else term
        parts.append(f"{lower(q if first == 0 else q * Symbol('e'))}*({rule})")
    return " + ".join(parts) or "0.0"
