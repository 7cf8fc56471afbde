"""What families of terms write into: the statements of a kernel, and the summands of every h_k (or g_k).

`Body` is straight-line code for k ≤ 8; `Beyond` holds the same sums with the order k at run time.
"""

import re
from collections.abc import Sequence

from sympy import Expr, Symbol

from symgauss.codegen.vocabulary import lower
from symgauss.symbols import sigma

UNROLLED = 8
Lines = list[str]


def verbatim(text: str) -> Symbol:
    """Ready text as a part of an expression."""
    return Symbol(text)


class Body:
    """Statements, and for each k ≤ order the summands of h_k (`hermite`) or of g_k."""

    def __init__(self, hermite: bool, order: int = UNROLLED) -> None:
        self.hermite = hermite
        self.order = order
        self.lines: Lines = []
        self.sums: list[list[str]] = [[] for _ in range(UNROLLED + 1)]

    def say(self, comment: str) -> None:
        self.lines.append(f"# {comment}")

    def let(self, name: str, value: Expr | str) -> None:
        self.lines.append(f"{name} = {value if isinstance(value, str) else lower(value)}")

    def add(self, k: int, summand: str) -> None:
        if summand != "0":
            self.sums[k].append(summand)

    def lift(self, distance: str, suffix: str = "") -> None:
        """φ(u)/s^k must not underflow before the division: from here on φ carries a factor where u is far."""
        self.say("φ may be too small for a double where φ/σ^k is not: then it carries a factor 1/DROP")
        self.let(f"lifted{suffix}", f"{distance} > LIFTED_FROM")
        self.let(f"drop{suffix}", f"DROP if lifted{suffix} else 1.0")

    def derivatives_of_Phi(self, u: str, suffix: str, highest: int) -> None:
        """d2, …, d_highest after d1: d_m = Φ^(m)(u) = I_{−m}(u), d_{m+1} = −u d_m − (m − 1) d_{m−1}."""
        for m in range(2, highest + 1):
            last = {2: "", 3: f" - d1{suffix}"}.get(m, f" - {m - 2}*d{m - 2}{suffix}")
            self.let(f"d{m}{suffix}", f"-{u}*d{m - 1}{suffix}{last}")

    def text(self) -> Lines:
        """The statements that are needed, ending in the return of order + 1 numbers."""
        names = [f"{'h' if self.hermite else 'g'}{k}" for k in range(self.order + 1)]
        lines = list(self.lines)
        for name, summands in zip(names, self.sums):
            lines.append(f"{name} = {' + '.join(summands).replace('+ -', '- ') or '0.0'}")
        return [*_needed(lines, set(names)), f"return {', '.join(names)}"]


def _needed(lines: Lines, names: set[str]) -> Lines:
    """Without the assignments whose targets are not used; comments stay."""
    kept: Lines = []
    for line in reversed(lines):
        if not line.startswith("#"):
            targets, value = line.split(" = ", 1)
            if names.isdisjoint(targets.split(", ")):
                continue
            names |= set(re.findall(r"[A-Za-z_]\w*", value))
        kept.append(line)
    return kept[::-1]


class Beyond:
    """For k > 8: statements once per pair, summands in k, and the names of the arrays they fill."""

    def __init__(self, hermite: bool) -> None:
        self.hermite = hermite
        self.lines: Lines = []
        self.summands: list[str] = []
        self.arrays: list[str] = []

    def derivatives_of_Phi(self, suffix: str) -> None:
        """d[m] = Φ^(m)(u)."""
        self.arrays.append(f"d{suffix}")
        self.lines.append(f"derivatives_of_Phi(u{suffix}, d{suffix})")

    def add(self, value: str, over_sigma: bool) -> None:
        """A summand of h_k, whose quotient by s^k is one of g_k if `over_sigma`."""
        self.summands.append(f"over_power({value}, sigma, k)" if over_sigma and not self.hermite else value)


def bounded(shifted: Expr) -> str:
    """(μ − c)/s: beyond ±FARTHEST every Φ^(m) is constant, and without the bounds an infinite u would give NaN."""
    return f"min(max({lower(shifted / sigma)}, -FARTHEST), FARTHEST)"


def over_sigma(value: str, k: int) -> str:
    """value/s^k, one division at a time, so that 0/s never meets an infinite power."""
    if value == "0" or k == 0:
        return value
    return (value if value.isidentifier() else f"({value})") + "/sigma" * k


def choose(options: Sequence[Expr], tests: Sequence[str]) -> str:
    """The first option whose test holds, else the last; equal neighbours are joined."""
    *earlier, last = (lower(p) for p in options)
    choice = last
    for value, test in reversed(list(zip(earlier, tests))):
        choice = f"({value} if {test} else {choice})" if value != choice else choice
    return choice
