"""An activation as source text, for `numeric` to compile: what is checked in for the catalogue, made at run time."""

import hashlib
from dataclasses import dataclass, field
from functools import cache

from symgauss.codegen.emit import formulas, parameters
from symgauss.codegen.evaluation import evaluation
from symgauss.codegen.loops import loops
from symgauss.record import Activation, as_activation


@dataclass(frozen=True)
class Compiled:
    """Two modules of source text and what is needed to call them; accepted wherever `numeric` takes an activation.

    Attributes:
        name: the activation's.
        kind: "closed form", "quadrature" or "integrated".
        parameters: the kernels' parameters with their values.
        key: identifies the text; modules and their compiled code are cached under it.
        formulas: σ, and what h_k and g_k of one pair are made of: the module to read.
        loops: the module that is compiled; it imports from `module`.
    """

    name: str
    kind: str
    parameters: dict[str, float]
    key: str
    formulas: str = field(repr=False)
    loops: str = field(repr=False)

    @property
    def module(self) -> str:
        """The name under which the loops import the formulas."""
        return f"symgauss_kernels_{self.name}_{self.key}"


def compile(act: "Activation | str") -> Compiled:
    """The source text of an activation's kernels; nothing is compiled before it is called.

    Derives and proves the mean, or makes and checks a quadrature rule, or falls back on adaptive integration; the
    header of `.formulas` says which and why. Raises `GrowsTooFast` when there is no Gaussian mean, and
    `NotInVocabulary` for a function that no kernel can call.

    >>> compile("relu").kind
    'closed form'
    """
    return _compile(as_activation(act))


@cache
def _compile(act: Activation) -> Compiled:
    how = evaluation(act)
    text = formulas(how)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    values = {p.name: float(act.parameters[p]) for p in parameters(how)}
    kinds = {"Plan": "closed form", "Rule": "quadrature", "Integrated": "integrated"}
    made = Compiled(act.name, kinds[type(how).__name__], values, key, text, "")
    return Compiled(act.name, made.kind, values, key, text, loops(how, made.module))
