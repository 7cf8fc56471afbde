"""Kernels of E[σ(Y₁) σ(Y₂)]: the proved formula term by term, and with it how good the value is.

A covariance is a sum of terms, each a coefficient times an exponential times Φ₂, or times Φ and φ. Far in the tails, or
for narrow functions of wide variables, the sum is much smaller than its terms. So a kernel adds up their sizes as well
(`rounding`) and says how far rounding may have moved the value; where that is too far, `numeric.bivariate` integrates.

What would cancel by itself is written otherwise: 1 − rho² as (1 − rho)(1 + rho), (k − rho h)/√(1 − rho²) and
x² − 2 rho x y + y² by functions of their own, 1 − r² of other correlations r by its own formula, and
Φ₂ − Φ/2 − Φ/2 + ¼ as (Φ₂ − ΦΦ) + (Φ − ½)(Φ − ½).
"""

import ast
import hashlib
from dataclasses import dataclass, field

import sympy
from sympy import Add, Expr, Mul, Rational, S

from symgauss.codegen import store
from symgauss.codegen.emit import GENERATOR_VERSION, NOT_THIS_FILE, _wrapped, function
from symgauss.codegen.plan import NoKernel
from symgauss.codegen.rounding import in_one_piece, root, size, steady, with_squares
from symgauss.codegen.statements import Lines, verbatim
from symgauss.codegen.vocabulary import MATH, lower, used
from symgauss.covariance import gaussian_covariance
from symgauss.covariance_proof import prove_covariance
from symgauss.pieces import NoClosedForm
from symgauss.record import Activation, activation, registered_names
from symgauss.symbols import Phi, Phi2, phi, rho

FOLDER = "covariance"
VARIABLES = "mu_1, sigma_1, mu_2, sigma_2, rho, less, more"
_COLUMNS = ("mean_1", "std_1", "mean_2", "std_2", "rho")
# What a single pair calls in place of a loop over blocks.
_SIZED = {"distributions": "Phi2_sized", "associations": "association_sized"}
_BINORMAL = ("complements", "conditional", "within")
_SHARED = (
    *("Phi2_sized", "association_sized", "associations", "distributions", "in_order", "load", "pair", "store"),
    *("Phi_phi_sized", "centred_Phi_sized", "quadratic"),
)


@dataclass(frozen=True)
class Term:
    """coefficient · e^exponent · the functions; Φ₂ is one of them, or Φ and φ are."""

    coefficient: Expr
    exponent: Expr
    functions: tuple[Expr, ...]


class association(sympy.Function):
    """Φ₂(h, k, r) − Φ(h) Φ(k)."""


class centred(sympy.Function):
    """Φ(z) − ½."""


def parts(formula: Expr) -> list[Term]:
    """The terms of a covariance; `NoKernel` when it does not come apart like this.

    >>> parts(2 * rho * Phi(rho))
    [Term(coefficient=2*rho, exponent=0, functions=(Phi(rho),))]
    """
    found = [_term(part) for part in Add.make_args(sympy.expand_trig(formula))]
    return _centred(sorted(found, key=lambda t: sympy.default_sort_key(t.coefficient * Mul(*t.functions))))


def _term(part: Expr) -> Term:
    coefficient, exponent, functions = S.One, S.Zero, []
    for factor in Mul.make_args(part):
        if isinstance(factor, (Phi, phi, Phi2)):
            functions.append(factor)
        elif isinstance(factor, sympy.exp):
            exponent += factor.args[0]
        elif factor.has(Phi, phi, Phi2, sympy.exp):
            raise NoKernel(f"{factor} is no product of a coefficient, an exponential, and Φ₂, Φ and φ.")
        else:
            coefficient *= factor
    return Term(coefficient, exponent, tuple(functions))


def _centred(terms: list[Term]) -> list[Term]:
    """c Φ₂(h, k, r) − c/2 Φ(h) − c/2 Φ(k) + c/4 for a number c by association and centred distribution functions."""
    for term in terms:
        c = term.coefficient
        if c.is_number and term.exponent == 0 and len(term.functions) == 1 and isinstance(term.functions[0], Phi2):
            h, k, r = term.functions[0].args
            rest = [Term(-c / 2, S.Zero, (Phi(h),)), Term(-c / 2, S.Zero, (Phi(k),)), Term(c / 4, S.Zero, ())]
            if all(other in terms for other in rest):
                kept = [other for other in terms if other not in (term, *rest)]
                product = Term(c, S.Zero, (centred(h), centred(k)))
                return [*kept, Term(c, S.Zero, (association(h, k, r),)), product]
    return terms


@dataclass
class Kernel:
    """The statements of a kernel while they are written."""

    terms: list[Term]
    given: str = VARIABLES
    corners: list[Expr] = field(default_factory=list)
    lines: Lines = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found = {f for term in self.terms for f in term.functions if isinstance(f, (Phi2, association))}
        self.corners = sorted(found, key=sympy.default_sort_key)
        kinds = {type(f) for f in found}
        if len(kinds) > 1:
            raise NoKernel("Φ₂ as it is and without ΦΦ in one formula.")
        self.answers = "associations" if kinds == {association} else "distributions"
        self.values, self.sizes = zip(*map(self._text_of, self.terms))

    def questions(self) -> list[str]:
        """Functions that return what every Φ₂ is asked: h, k, r, 1 − r and 1 + r."""
        functions = []
        for number, corner in enumerate(self.corners):
            h, k, r = corner.args
            if r in (rho, -rho):
                lines, names = [], "rho, less, more" if r == rho else "-rho, more, less"
            else:
                lines, names = [f"r = {_lowered(r)}"], f"r, *complements(r, {_lowered(1 - r**2)})"
            lines.append(f"return {_lowered(h)}, {_lowered(k)}, {names}")
            functions.append(function("device", f"corner_{number}", self.given, [*_abbreviations(lines), *lines]))
        return functions

    def body(self) -> Lines:
        """Statements that return the value and how far rounding may have moved it."""
        lines = [*self.lines, *_summed("value", self.values)]
        lines += ["# the same terms, everything in them with its absolute value", *_summed("size", self.sizes)]
        return [*_abbreviations(lines), *lines, "return value, ROUNDING*size"]

    def _text_of(self, term: Term) -> tuple[str, str]:
        """A term and its size."""
        coefficient = with_squares(steady(term.coefficient))
        value, large = [lower(coefficient)], [lower(size(coefficient))]
        if term.exponent != 0:
            exponent = with_squares(steady(term.exponent))
            weight = self._let("w", f"exp({lower(exponent)})")
            value.append(weight)
            large.append(f"{weight}*({lower(1 + size(exponent))})")
        for f in term.functions:
            known, extent = self._function(f)
            value.append(known)
            large.append(extent if term.exponent == 0 else f"({extent} + UNDERFLOW)")
        return _times(value), _times(large)

    def _function(self, f: Expr) -> tuple[str, str]:
        """The names of a function's value and of its size."""
        if f in self.corners:
            name = f"P_{self.corners.index(f)}"
            return name, f"{name}_size"
        # φ is even, and has one name for both signs
        argument = -f.args[0] if isinstance(f, phi) and f.args[0].could_extract_minus_sign() else f.args[0]
        text, extent = self._argument(argument)
        z = self._let("z", f"within({text})")
        name = f.func.__name__ + z.removeprefix("z")
        both = [name] if isinstance(f, centred) else [g.__name__ + z.removeprefix("z") for g in (Phi, phi)]
        made = "centred_Phi_sized" if isinstance(f, centred) else "Phi_phi_sized"
        line = f"{', '.join(both)}, {', '.join(f'{n}_size' for n in both)} = {made}({z}, {extent or f'abs({z})'})"
        if line not in self.lines:
            self.lines.append(line)
        return name, f"{name}_size"

    def _argument(self, argument: Expr) -> tuple[str, str]:
        """The text of an argument of Φ and φ, and of its size if that is not its absolute value."""
        if known := self._of_a_corner(argument):
            return known, ""
        parts = [self._conditional(part) for part in Add.make_args(in_one_piece(argument))]
        return lower(Add(*parts)), lower(size(Add(*parts))) if len(parts) > 1 else ""

    def _of_a_corner(self, argument: Expr) -> str:
        """An argument as Φ₂ has it: h, k, (k − rh)/√(1 − r²), and with h and k exchanged; for r other than ±rho."""
        for number, corner in enumerate(self.corners):
            h, k, r = corner.args
            if r in (rho, -rho):
                continue
            names = [f"{letter}_{number}" for letter in ("h", "k", "r", "less", "more")]
            first, second, *rest = names
            to_k, to_h = ((b - r * a) / sympy.sqrt(1 - r**2) for a, b in ((h, k), (k, h)))
            texts = {
                h: first,
                k: second,
                to_k: f"conditional(within({second}), within({first}), {', '.join(rest)})",
                to_h: f"conditional(within({first}), within({second}), {', '.join(rest)})",
            }
            found = next((text for expr, text in texts.items() if _agree(argument, expr)), "")
            if found:
                line = f"{', '.join(names)} = corner_{number}({self.given})"
                if line not in self.lines:
                    self.lines.append(line)
                return found
        return ""

    def _conditional(self, part: Expr) -> Expr:
        """(a + b rho)/root as a call of `conditional`, with bounded arguments."""
        numerator = part * root
        if numerator.has(root):
            return part
        k, h = numerator.xreplace({rho: S.Zero}), -numerator.diff(rho)
        if h.has(rho) or sympy.expand(numerator - k + h * rho) != 0:
            raise NoKernel(f"{part} is not of the form (k − rho h)/√(1 − rho²).")
        first, second = (self._let("z", f"within({lower(a)})") for a in (k, h))
        return verbatim(f"conditional({first}, {second}, rho, less, more)")

    def _let(self, letter: str, text: str) -> str:
        """The name of a text, which is given one when it has none."""
        if text not in self.names:
            self.names[text] = f"{letter}_{1 + sum(name.startswith(letter) for name in self.names.values())}"
            self.lines.append(f"{self.names[text]} = {text}")
        return self.names[text]


def _agree(one: Expr, other: Expr) -> bool:
    """Whether two expressions with square roots are equal: their squares are, and their signs at a point."""
    if one == other:
        return True
    symbols = sorted(one.free_symbols | other.free_symbols, key=str)
    point = {s: Rational(3 + i, 17) for i, s in enumerate(symbols)}
    ratio = (one / other).xreplace(point).evalf(20)
    return abs(ratio - 1) < 1e-10 and sympy.cancel(sympy.expand(one**2) - sympy.expand(other**2)) == 0


def _abbreviations(lines: Lines) -> Lines:
    """1 − rho² and its root, where they are used."""
    text = "\n".join(lines)
    first = ["apart = less*more"] if "apart" in text or "root" in text else []
    return [*first, "root = sqrt(apart)"] if "root" in text else first


def _lowered(expr: Expr) -> str:
    return lower(steady(sympy.sympify(expr)))


def _times(factors: list[str]) -> str:
    """A product of texts."""
    kept = [f if f.replace("_", "").isalnum() or _is_product(f) else f"({f})" for f in factors if f != "1"]
    return "*".join(kept) or "1.0"


def _is_product(text: str) -> bool:
    """Whether a text may stand in a product as it is."""
    tree = ast.parse(text, mode="eval").body
    return not isinstance(tree, ast.BinOp) or isinstance(tree.op, (ast.Mult, ast.Div, ast.Pow))


def _summed(name: str, texts: tuple[str, ...]) -> Lines:
    """name = Σ texts, a line for each."""
    first, *others = texts
    return [f"{name} = {first}", *(f"{name} -= {t[1:]}" if t.startswith("-") else f"{name} += {t}" for t in others)]


# --- modules ---------------------------------------------------------------------------------------------


def catalogue() -> dict[str, str]:
    """The modules of `numeric/generated/covariance/` by name: one per formula, and which there are."""
    files = {}
    for name in registered_names():
        if (text := _kept(activation(name).symbolic)) is not None:
            files[f"{FOLDER}/{name}.py"] = text
    known = "".join(f"    {path.split('/')[1].removesuffix('.py')!r},\n" for path in files)
    about = '"""Which covariances E[σ(Y₁) σ(Y₂)] are compiled from a proved formula.'
    return {f"{FOLDER}/__init__.py": f'{about}\n\n{NOT_THIS_FILE}\n"""\n\nCOMPILED = (\n{known})\n', **files}


def _kept(act: Activation) -> str | None:
    """The module, kept between processes, because proofs take seconds."""
    question = "\n".join(["covariance", act.name, *map(sympy.srepr, (act.expr, act.parameters))])
    kept = store.recall(question)
    if kept is None:
        kept = {"text": _made(act)}
        store.keep(question, kept)
    return kept["text"]


def _made(act: Activation) -> str | None:
    try:
        return module(act)
    except NoClosedForm:
        return None


def module(act: Activation) -> str:
    """The text of the kernel's module.

    Raises `NoClosedForm` when there is no formula, `NoKernel` when it is not proved or does not come apart into terms.
    """
    formula = gaussian_covariance(act)
    proof = prove_covariance(act)
    if not proof.holds:
        raise NoKernel(f"{act.name}: its covariance is {proof.status}, not proved; no kernel is generated from it.")
    names = [p.name for p in sorted(act.parameters, key=str)]
    kernel = Kernel(parts(formula), ", ".join([VARIABLES, *names]))
    code = "\n\n\n".join(_functions(kernel, names))
    identity = _hash(act, formula)
    facts = [
        ("Formula", str(formula)),
        ("Proved", f"by symgauss.prove_covariance: {', '.join(step.name for step in proof.steps)}"),
        ("Kernel", _about(kernel)),
        ("Cost", _cost(kernel)),
        ("Source", f"formula {identity}, generator {GENERATOR_VERSION}"),
    ]
    header = "\n".join(line for label, text in facts for line in _wrapped(f"{label:<9}", text))
    about = f'"""E[σ(Y₁) σ(Y₂)] of {act.name}(x) = {act.expr}\n\n{header}\n\n{NOT_THIS_FILE}\n"""'
    return f"{about}\n\n{_imports(code)}\n\nNAME = {act.name!r}\nFORMULA_HASH = {identity!r}\n\n\n{code}\n"


def _functions(kernel: Kernel, names: list[str]) -> list[str]:
    """The texts of the functions; `names` are those of the activation's parameters."""
    number = range(len(kernel.corners))
    answered = ", ".join([kernel.given, *(f"P_{j}" for j in number), *(f"P_{j}_size" for j in number)])
    columns = ", ".join([*_COLUMNS, "out", "doubt", *names])
    return [
        *kernel.questions(),
        function("device", "covariance", answered, kernel.body()),
        function("device", "covariance_pair", ", ".join([*_COLUMNS, *names]), _thread(kernel, names)),
        function("loop", "covariance_loop", columns, _loop(kernel, names)),
    ]


def _hash(act: Activation, formula: Expr) -> str:
    """Identifies what was compiled."""
    compiled = (act.expr, act.parameters, formula)
    return hashlib.sha256("\n".join(map(sympy.srepr, compiled)).encode()).hexdigest()[:16]


def _about(kernel: Kernel) -> str:
    terms = f"{len(kernel.terms)} term{'s' if len(kernel.terms) > 1 else ''}"
    beside = "without its independent part, " if kernel.answers == "associations" else ""
    corners = f"Φ₂ {beside}at {len(kernel.corners)} corner{'s' if len(kernel.corners) > 1 else ''}; "
    return f"{corners if kernel.corners else ''}the sum of {terms}, with what rounding may have made of it"


def _cost(kernel: Kernel) -> str:
    trees = [ast.parse(line.removeprefix("return ")) for line in kernel.body()]
    counted = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Compare, ast.AugAssign)
    count = sum(isinstance(node, counted) for tree in trees for node in ast.walk(tree))
    return f"{f'{len(kernel.corners)} Φ₂ and ' if kernel.corners else ''}{count} operations, sizes included"


def _loop(kernel: Kernel, names: list[str]) -> Lines:
    """Blocks of pairs: what Φ₂ is asked for all of them, its answers, and the formula with these."""
    count = len(kernel.corners)
    answers, results = 5 + 5 * count, 5 + 7 * count
    taken = "m_1, s_1, m_2, s_2, r, less, more"
    given = ", ".join([taken, *names])
    lines = [
        "# one array for all of a block: then it is seen that nothing overlaps, and the loops are vector code",
        f"work = np.empty(({results + 2}, BLOCK))",
        "for start in range(0, out.size, BLOCK):",
        f"    n = load(work, start, {', '.join(_COLUMNS)})",
    ]
    if count:
        lines += ["    for i in range(n):", f"        {taken} = pair(work, i)"]
        for j in range(count):
            targets = ", ".join(f"work[{5 + 5 * j + row}, i]" for row in range(5))
            lines.append(f"        {targets} = corner_{j}({given})")
        lines.append(f"    {kernel.answers}(work[5:{answers}], work[{answers}:{results}], n)")
    answered = ", ".join([given, *(f"work[{row}, i]" for row in range(answers, results))])
    return [
        *lines,
        "    for i in range(n):",
        f"        {taken} = pair(work, i)",
        f"        work[{results}, i], work[{results + 1}, i] = covariance({answered})",
        "    store(work, start, n, out, doubt)",
    ]


def _thread(kernel: Kernel, names: list[str]) -> Lines:
    """One pair at a time: what a thread of a GPU calls."""
    taken = "m_1, s_1, m_2, s_2, rho, 1.0 - rho, 1.0 + rho"
    given = ", ".join([taken, *names])
    number = range(len(kernel.corners))
    asked = [f"P_{j}, size_{j} = {_SIZED[kernel.answers]}(*corner_{j}({given}))" for j in number]
    answered = ", ".join([given, *(f"P_{j}" for j in number), *(f"size_{j}" for j in number)])
    return [
        "m_1, s_1, m_2, s_2 = in_order(mean_1, std_1, mean_2, std_2)",
        *asked,
        f"return covariance({answered})",
    ]


def _imports(code: str) -> str:
    math = used(code, MATH)
    lines = [f"from math import {', '.join(math)}", ""] if math else []
    lines += ["import numpy as np", ""] if "np." in code else []
    if binormal := used(code, _BINORMAL):
        lines.append(f"from numeric.binormal import {', '.join(binormal)}")
    constants = tuple(name for name in ("BLOCK", "ROUNDING", "UNDERFLOW") if name in code)
    lines.append(f"from numeric.covariance_kernels import {', '.join(sorted((*constants, *used(code, _SHARED))))}")
    lines.append("from numeric.jit import device, loop")
    lines += [f"from numeric.special import {name}" for name in used(code, ("exp",))]
    return "\n".join(lines)
