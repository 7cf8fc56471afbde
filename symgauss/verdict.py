"""What comes of putting a formula to the test: a Proof, made of Steps."""

from dataclasses import dataclass
from typing import Literal

import sympy
from sympy import Expr

Status = Literal["proved", "refuted", "unproved"]


@dataclass(frozen=True)
class Step:
    """One condition: what is claimed, why it holds or fails, and how that ended."""

    name: str
    claim: str
    reason: str
    status: Status
    latex: str = ""


@dataclass(frozen=True)
class Proof:
    """What came of putting a formula to the test; `print` it, or let a notebook render it.

    `equation` is LaTeX for what is claimed; without it a notebook shows M = formula.
    """

    subject: str
    formula: Expr | tuple[Expr, ...]
    steps: tuple[Step, ...]
    equation: str = ""

    @property
    def status(self) -> Status:
        found = {step.status for step in self.steps}
        return "refuted" if "refuted" in found else "unproved" if found != {"proved"} else "proved"

    @property
    def holds(self) -> bool:
        """True for "proved" only."""
        return self.status == "proved"

    def __str__(self) -> str:
        width = max(34, *(len(step.claim) for step in self.steps)) + 4
        lines = [f"{self.subject} {self.status}"]
        for step in self.steps:
            verdict = "" if step.status == "proved" else f"{step.status}: "
            lines.append(f"  {step.name:<13}   {step.claim:<{width}} {verdict}{step.reason}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Proof: {self.subject} {self.status}>"

    def _repr_latex_(self) -> str:
        rows = []
        for step in self.steps:
            verdict = step.status if step.status == "proved" else f"{step.status}: {step.reason}"
            rows.append(rf"\text{{{step.name}}} & {step.latex} & \text{{{_escape(verdict)}}}")
        table = r" \\ ".join(rows)
        equation = self.equation or f"M = {sympy.latex(self.formula)}"
        head = rf"\text{{{_escape(self.subject)} {self.status}:}}\quad {equation}"
        body = rf"\begin{{array}}{{lll}} {table} \end{{array}}"
        return rf"$\displaystyle \begin{{array}}{{l}} {head} \\ {body} \end{{array}}$"


def _escape(text: str) -> str:
    """Plain text for \\text{…} as MathJax has it, where ^ is an ordinary character."""
    for character in "_&%#":
        text = text.replace(character, rf"\{character}")
    return text.replace("**", "^")
