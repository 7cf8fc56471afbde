"""The closed set of functions a kernel may call, and how SymPy expressions are written in it.

Anything outside is refused by name: a kernel never falls back on a library call whose accuracy and
vectorisation nobody has looked at.
"""

import re

import sympy
from sympy import Expr, S, Symbol
from sympy.core.function import Application
from sympy.logic.boolalg import BooleanFunction
from sympy.printing.pycode import PythonCodePrinter

from symgauss.symbols import Phi, phi

# What the generated modules import, and from where.
PRIMITIVES = ("I_1", "I_2", "Phi_phi", "lifted_Phi_phi", "centred_Phi", "exp", "gauss")
MATH = ("cos", "sin", "sqrt")


FUNCTIONS = (
    *(sympy.exp, sympy.sin, sympy.cos, Phi, phi, sympy.erf, sympy.erfc, sympy.Abs, sympy.sign),
    *(sympy.Max, sympy.Min, sympy.Piecewise, BooleanFunction),
)


class NotInVocabulary(ValueError):
    """A function that no kernel can call; the message names it."""


def _refuse(name: str) -> NotInVocabulary:
    return NotInVocabulary(
        f"{name} is not in the vocabulary of generated kernels: +, −, ×, ÷, powers, sqrt, exp, sin, cos, "
        "Phi, phi, erf, erfc, Abs, Max, Min, sign, Piecewise."
    )


class _Lowering(PythonCodePrinter):
    """Python text for real scalar arithmetic; the printer of SymPy handles precedence and division."""

    # Φ and φ know how to print themselves for SciPy; a kernel calls its own primitives instead.
    printmethod = "_symgauss_kernel"

    def __init__(self) -> None:
        super().__init__({"fully_qualified_modules": False})

    def _call(self, name: str, expr: Expr) -> str:
        return f"{name}({', '.join(self._print(a) for a in expr.args)})"

    def _print_Phi(self, expr: Expr) -> str:
        return f"Phi_phi({self._print(expr.args[0])})[0]"

    def _print_phi(self, expr: Expr) -> str:
        return f"Phi_phi({self._print(expr.args[0])})[1]"

    def _print_erf(self, expr: Expr) -> str:
        return f"2.0*centred_Phi({self._print(sympy.sqrt(2) * expr.args[0])})"

    def _print_erfc(self, expr: Expr) -> str:
        return f"2.0*Phi_phi({self._print(-sympy.sqrt(2) * expr.args[0])})[0]"

    def _print_sin(self, expr: Expr) -> str:
        return self._call("sin", expr)

    def _print_cos(self, expr: Expr) -> str:
        return self._call("cos", expr)

    def _print_exp(self, expr: Expr) -> str:
        # exp(−y²/2) keeps its relative accuracy only if y² enters in two parts
        squared = _root_of_gaussian(expr.args[0])
        return f"gauss({self._print(squared)})" if squared is not None else self._call("exp", expr)

    def _print_Abs(self, expr: Expr) -> str:
        return self._call("abs", expr)

    def _print_sign(self, expr: Expr) -> str:
        inside = self._print(expr.args[0])
        return f"(1.0 if {inside} > 0 else (-1.0 if {inside} < 0 else 0.0))"

    def _print_Pow(self, expr: Expr, rational: bool = False) -> str:  # noqa: ARG002
        base, power = expr.base, expr.exp
        if power == S.Half:
            return f"sqrt({self._print(base)})"
        if power == -S.Half:
            return f"1.0/sqrt({self._print(base)})"
        if power.is_Integer:
            return super()._print_Pow(expr, rational=False)
        raise _refuse(f"the power {expr}")

    def _print_Symbol(self, expr: Symbol) -> str:
        return expr.name

    def _print_Rational(self, expr: Expr) -> str:
        return f"{expr.p}/{expr.q}"

    def _print_NumberSymbol(self, expr: Expr) -> str:
        return repr(float(expr))

    _print_Pi = _print_Exp1 = _print_NumberSymbol


def _root_of_gaussian(exponent: Expr) -> Expr | None:
    """y with exponent = −y²/2 for y proportional to a symbol, else None."""
    symbols = exponent.free_symbols
    if len(symbols) != 1:
        return None
    (y,) = symbols
    ratio = sympy.cancel(-2 * exponent / y**2)
    return sympy.sqrt(ratio) * y if ratio.is_Rational and ratio.is_positive else None


def lower(expr: Expr) -> str:
    """The expression as Python text in the vocabulary.

    >>> from symgauss.symbols import x
    >>> lower(x * Phi(x))
    'x*Phi_phi(x)[0]'

    Raises `NotInVocabulary`, naming the function, for anything else.
    """
    for part in sympy.preorder_traversal(expr):
        if isinstance(part, Application) and not isinstance(part, FUNCTIONS):
            raise _refuse(str(part.func))
        if part in (sympy.I, sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
            raise _refuse(str(part))
    return str(_Lowering().doprint(sympy.sympify(expr)))


def used(text: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of `names` the text calls."""
    return tuple(name for name in names if re.search(rf"\b{name}\(", text))
