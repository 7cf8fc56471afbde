"""An activation as source text, for `numeric` to compile: what is checked in for the catalogue, made at run time."""

import hashlib
from dataclasses import asdict, dataclass, field, replace
from functools import cache

import sympy

from symgauss.codegen import store
from symgauss.codegen.emit import NOT_THIS_FILE, formulas, parameters
from symgauss.codegen.evaluation import Integrated, evaluation
from symgauss.codegen.loops import loops
from symgauss.codegen.plan import Plan
from symgauss.codegen.quadrature import Rule
from symgauss.record import Activation, as_activation

MADE_BY = "Made by symgauss.compile."


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

    def as_module(self) -> str:
        """Everything as the text of one module, for a package that offers it to `numeric`, which then needs no SymPy.

        The entry point goes into the group `symgauss.kernels`, under the activation's name.
        """
        fields = (f"{name} = {value!r}" for name, value in asdict(self).items())
        return "\n".join([f'"""Kernels of {self.name}. {MADE_BY}"""', "", *fields, ""])


def compile(act: "Activation | str") -> Compiled:
    """The source text of an activation's kernels; nothing is compiled before it is called.

    Derives and proves the mean, or makes and checks a quadrature rule, or falls back on adaptive integration; the
    header of `.formulas` says which and why. The answer is kept between processes.

    Raises `GrowsTooFast` when there is no Gaussian mean, ValueError where σ is not a finite real number,
    `NoClosedForm` when it cannot be found where σ switches pieces, as in Abs(sin(x)) (write a Piecewise), and
    `NotInVocabulary` for a function that no kernel can call.

    >>> compile("relu").kind
    'closed form'
    """
    return _compile(as_activation(act))


@cache
def _compile(act: Activation) -> Compiled:
    question = "\n".join([act.name, *map(sympy.srepr, (act.expr, act.parameters, sympy.Tuple(*act.requires)))])
    kept = store.recall(question)
    if kept is not None:
        return Compiled(**kept)
    made = _made(act)
    store.keep(question, asdict(made))
    return made


def _made(act: Activation) -> Compiled:
    how = evaluation(act)
    text = formulas(how).replace(NOT_THIS_FILE, MADE_BY)
    values = {p.name: float(act.parameters[p]) for p in parameters(how)}
    kinds = {Plan: "closed form", Rule: "quadrature", Integrated: "integrated"}
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    first = Compiled(act.name, kinds[type(how)], values, key, text, "")
    return replace(first, loops=loops(how, first.module).replace(NOT_THIS_FILE, MADE_BY))
