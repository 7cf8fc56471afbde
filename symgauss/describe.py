"""What `print(act)` and a notebook show of an activation: formula, mean, Hermite coefficients, proof, evaluation.

All of it is computed when it is first shown, and kept. What cannot be computed becomes a line that says why:
showing an activation never raises.
"""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import sympy
from sympy import Expr

from symgauss.codegen.evaluation import evaluation
from symgauss.codegen.plan import Plan
from symgauss.codegen.quadrature import Rule
from symgauss.hermite import hermite_coefficients
from symgauss.mean import gaussian_mean
from symgauss.pieces import NoClosedForm
from symgauss.proof import prove_mean
from symgauss.record import Activation

WIDTH = 120
# What the tests hold rules of fixed cost to, relative to the size and the condition of the problem.
RULES_BOUND = "1e-14"

Value = Expr | str


@dataclass(frozen=True)
class Description:
    """A formula, and rows of a name and an expression or a text; `str` and `latex` lay them out."""

    name: str
    formula: Value
    rows: tuple[tuple[str, Value], ...]

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows)
        lines = _wrapped(f"{self.name}(x) = ", self.formula, 4)
        for name, value in self.rows:
            lines += _wrapped(f"  {name:<{width}}  ", value, width + 4)
        return "\n".join(lines)

    def latex(self) -> str:
        """One array, for a notebook; long sums and texts take several of its lines."""
        head, *more = _latex_lines(self.formula)
        lines = [rf"\operatorname{{{_escaped(self.name)}}}(x) = {head}", *(rf"\qquad {line}" for line in more)]
        rows = []
        for name, value in self.rows:
            left = f"h_{{{name[2:]}}}" if name.startswith("h_") else rf"\text{{{_escaped(name)}}}"
            for line in _latex_lines(value):
                rows.append(f"{left} & {line}")
                left = ""
        return rf"$\displaystyle {_array('l', [*lines, _array('ll', rows)])}$"


@cache
def description(act: Activation, order: int = 2) -> Description:
    """What there is to say about an activation, with Hermite coefficients up to `order`."""
    return Description(act.name, _said(lambda: act.formula), tuple(_rows(act, order)))


def _rows(act: Activation, order: int) -> Iterator[tuple[str, Value]]:
    if act.parameters:
        yield "parameters", ", ".join(sorted(str(k) if k == v else f"{k} = {v}" for k, v in act.parameters.items()))
    if act.conditions:
        yield "requires", ", ".join(map(str, act.conditions))
    try:
        mean = gaussian_mean(act)
    except NoClosedForm as reason:
        why = str(reason).removeprefix(f"{act.label}: ")
        yield "mean", f"no closed form: {why}"
        yield "proof", "none: there is no formula to prove"
        yield "evaluation", _said(lambda: _evaluation(act, why))
    except ValueError as refusal:
        known = (f"{act.label} = {act.formula} ", f"{act.formula} ")
        yield "mean", f"none: the function {_without(str(refusal), *known)}"
        yield "evaluation", "none: there is no mean to compute"
    except Exception as error:
        yield "mean", _failure(error)
        yield "evaluation", _said(lambda: _evaluation(act))
    else:
        yield "mean", mean
        for k in range(1, order + 1):
            yield f"h_{k}", _said(lambda k=k: hermite_coefficients(act, order)[k])
        yield "proof", _said(lambda: _proof(act))
        yield "evaluation", _said(lambda: _evaluation(act))


def _said(what: Callable[[], Value]) -> Value:
    """A value, or the reason why it could not be found."""
    try:
        return what()
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> str:
    return f"could not be found: {type(error).__name__}: {error}"


def _proof(act: Activation) -> str:
    proof = prove_mean(act)
    if proof.holds:
        return f"proved ({', '.join(step.name for step in proof.steps)})"
    open_ones = (f"{step.name} {step.status}: {step.reason}" for step in proof.steps if step.status != "proved")
    return f"{proof.status}; {'; '.join(open_ones)}"


def _evaluation(act: Activation, known: str = "") -> str:
    """How E σ will be computed; `known` is the reason that was given above already."""
    how = evaluation(act)
    if isinstance(how, Plan):
        return f"closed form: {'; '.join(family.describe() for family in how.families) or 'zero'}"
    if isinstance(how, Rule):
        return f"quadrature of fixed cost, to {RULES_BOUND}; {how.about}"
    reason = _without(how.reason, f"{known}; ") if how.reason != known else ""
    return f"adaptive integration, with an estimate of its error{reason and f'; {reason}'}"


def _without(text: str, *beginnings: str) -> str:
    """The text without the first of the beginnings that it has."""
    return text.removeprefix(next((b for b in beginnings if text.startswith(b)), ""))


def _wrapped(start: str, value: Value, indent: int) -> list[str]:
    """Lines of at most WIDTH characters; a formula is broken where that disturbs least."""
    lines = [start]
    if len(start) > WIDTH // 2:  # a long name leaves no room beside it
        lines = [start.rstrip(), " " * indent]
    text = " ".join(str(value).split())
    splits = ("any",) if isinstance(value, str) else _SPLITS
    for part in _parts(text, WIDTH - max(indent, len(lines[-1])), splits):
        if len(lines[-1]) + len(part) > WIDTH:
            lines.append(" " * indent + part.lstrip())
        else:
            lines[-1] += part
    return [line.rstrip() for line in lines]


def _parts(text: str, room: int, splits: Sequence[str]) -> Iterator[str]:
    """The text in parts with room on a line; where one split leaves a part too long, the next takes it apart."""
    if len(text) <= room:
        yield text
    elif splits:
        for part in _split(text, splits[0]):
            yield from _parts(part, room, splits[1:])
    else:
        yield from (text[i : i + room] for i in range(0, len(text), room))


# Where a formula may be broken: at the signs and commas outside all parentheses, at those inside, before factors.
_SPLITS = ("outer", "any", "factors")


def _split(text: str, where: str) -> list[str]:
    """The text cut before its spaces, only those outside parentheses or any, or before its factors."""
    depth, start, parts = 0, 0, []
    for i, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if where == "factors":
            cut = character in "*/" and "*" not in (text[i - 1 : i], text[i + 1 : i + 2])
        else:
            # A sign stays with the term behind it.
            cut = character == " " and text[i - 1] not in "+-<>=&|" and (depth == 0 or where == "any")
        if cut and i > start:
            parts.append(text[start:i])
            start = i
    return [*parts, text[start:]]


def _array(columns: str, rows: list[str]) -> str:
    inside = r" \\ ".join(rows)
    return rf"\begin{{array}}{{{columns}}} {inside} \end{{array}}"


def _latex_lines(value: Value) -> list[str]:
    if isinstance(value, str):
        return [rf"\text{{{_escaped(line)}}}" for line in textwrap.wrap(value, WIDTH, break_on_hyphens=False)]
    try:
        return _sum(value) if value.is_Add and len(str(value)) > WIDTH else [sympy.latex(value)]
    except Exception:
        return _latex_lines(str(value))


def _sum(total: Expr) -> list[str]:
    """The LaTeX of a long sum, as many terms to a line as have room."""
    lines, room = [""], WIDTH
    for term in total.as_ordered_terms():
        negative = term.could_extract_minus_sign()
        size = len(str(term)) + 3
        if size > room and lines[-1]:
            lines.append("")
            room = WIDTH
        room -= size
        sign = "- " if negative else "+ " if lines != [""] else ""
        lines[-1] += f" {sign}{sympy.latex(-term if negative else term)}"
    return [line.strip() for line in lines]


def _escaped(text: str) -> str:
    r"""Plain text for \text{…} as MathJax has it, where ^ is an ordinary character."""
    text = text.replace("\\", r"\backslash ").replace("**", "^")
    for character in "_&%#{}$":
        text = text.replace(character, rf"\{character}")
    return text
