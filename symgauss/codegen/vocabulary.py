"""The closed set of functions a kernel may call, and how SymPy expressions are written in it.

Anything outside is refused by name: a kernel never falls back on a library call whose accuracy and
vectorisation nobody has looked at.
"""

import re
from typing import Any

import sympy
from sympy import Expr, S, Symbol
from sympy.core.function import Application
from sympy.logic.boolalg import BooleanFunction
from sympy.printing.pycode import PythonCodePrinter

from symgauss.symbols import Phi, phi

# What the generated modules import, and from where.
PRIMITIVES = (
    *("I_1", "I_2", "Phi_phi", "lifted_Phi_phi", "centred_Phi"),
    *("slip", "gate_slip"),
    *("exp", "exp_tilted", "expm1", "log1p", "tanh", "gauss", "lifted_gauss"),
)
HALF_LINES = (
    *("half_line", "half_line_2", "half_line_less_one", "half_line_times_t", "half_line_times_t_2", "tilt_rest"),
)
MATH = ("asinh", "atan", "cos", "cosh", "floor", "log", "sin", "sinh", "sqrt")


class _Expm1(sympy.Function):
    """e^z − 1, as a kernel calls it."""


class _Log1p(sympy.Function):
    """log(1 + z), as a kernel calls it."""


class _Logistic(sympy.Function):
    """1/(1 + e^−z). Its derivative is a product: nothing overflows, and both tails keep their digits."""

    def fdiff(self, argindex: int = 1) -> Expr:  # noqa: ARG002 (SymPy's signature)
        return self * _Logistic(-self.args[0])


class _Softplus(sympy.Function):
    """log(1 + e^z)."""

    def fdiff(self, argindex: int = 1) -> Expr:  # noqa: ARG002
        return _Logistic(self.args[0])


class _Tanh(sympy.Function):
    """tanh, of which 1 − tanh² would have no tails."""

    def fdiff(self, argindex: int = 1) -> Expr:  # noqa: ARG002
        return 4 * _Logistic(2 * self.args[0]) * _Logistic(-2 * self.args[0])


FUNCTIONS = (
    *(sympy.exp, sympy.sin, sympy.cos, Phi, phi, sympy.erf, sympy.erfc, sympy.Abs, sympy.sign),
    *(sympy.tanh, sympy.sinh, sympy.cosh, sympy.log, sympy.atan, sympy.asinh, _Expm1, _Log1p),
    *(_Logistic, _Softplus, _Tanh),
    *(sympy.Max, sympy.Min, sympy.Piecewise, BooleanFunction),
)


class NotInVocabulary(ValueError):
    """A function that no kernel can call; the message names it."""


def _refuse(name: str) -> NotInVocabulary:
    return NotInVocabulary(
        f"{name} is not in the vocabulary of generated kernels: +, −, ×, ÷, powers, sqrt, exp, log, sin, cos, sinh, "
        "cosh, tanh, asinh, atan, Phi, phi, erf, erfc, Abs, Max, Min, sign, Piecewise."
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
        return self._call(str(expr.func), expr)

    _print_cos = _print_sinh = _print_cosh = _print_tanh = _print_log = _print_atan = _print_asinh = _print_sin

    def _print__Expm1(self, expr: Expr) -> str:
        return self._call("expm1", expr)

    def _print__Log1p(self, expr: Expr) -> str:
        return self._call("log1p", expr)

    def _print__Softplus(self, expr: Expr) -> str:
        # which must not overflow
        z = self._print(expr.args[0])
        return f"(max({z}, 0.0) + log1p(exp(-abs({z}))))"

    def _print__Logistic(self, expr: Expr) -> str:
        return f"(1.0/(1.0 + exp({self._print(-expr.args[0])})))"

    def _print__Tanh(self, expr: Expr) -> str:
        return f"tanh({self._print(expr.args[0])})"

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
        if power.is_Rational:
            return f"({self._print(base)})**({power.p}/{power.q})"
        raise _refuse(f"the power {expr}")

    def _print_Symbol(self, expr: Symbol) -> str:
        return expr.name

    def _print_Rational(self, expr: Expr) -> str:
        return f"{expr.p}/{expr.q}" if max(abs(expr.p), expr.q) < 2**53 else repr(float(expr))

    def _print_Integer(self, expr: Expr) -> str:
        return str(expr) if abs(expr.p) < 2**53 else repr(float(expr))

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


def accurate(expr: Any) -> Any:
    """c eᶻ − c as c expm1(z), log(1 + z) as log1p(z), aᶻ as e^(z log a): what loses no digits near zero."""
    if not expr.args:
        return expr
    expr = expr.func(*map(accurate, expr.args))
    if expr.is_Add:
        return _with_expm1(expr)
    if isinstance(expr, sympy.log) and expr.args[0].is_Add and S.One in expr.args[0].args:
        return _Log1p(expr.args[0] - 1)
    if expr.is_Pow and expr.exp.free_symbols and expr.base != sympy.E:
        return sympy.exp(expr.exp * sympy.log(expr.base))
    return expr


def steady(expr: Any) -> Any:
    """1/(1 + eᶻ), log(1 + eᶻ) and tanh as functions whose values and derivatives do not overflow."""
    if not expr.args:
        return expr
    expr = expr.func(*map(steady, expr.args))
    if isinstance(expr, sympy.tanh):
        return _Tanh(expr.args[0])
    if isinstance(expr, sympy.log) and (z := _beside_one(expr.args[0])) is not None:
        return _Softplus(z)
    if expr.is_Pow and expr.exp.is_Integer and expr.exp < 0 and (z := _beside_one(expr.base)) is not None:
        return _Logistic(-z) ** -expr.exp
    return _with_logistic(expr) if expr.is_Mul else expr


def _beside_one(total: Expr) -> Expr | None:
    """z of 1 + eᶻ, else None."""
    rest = total - 1
    return rest.args[0] if total.is_Add and isinstance(rest, sympy.exp) else None


def _with_logistic(product: Expr) -> Expr:
    """e⁻ᵐᶻ/(1 + e⁻ᶻ)ⁿ, where infinities may meet, as 1/(1 + eᶻ)ᵐ (1 + e⁻ᶻ)ⁿ⁻ᵐ for 0 < m ≤ n."""
    for factor in product.args:
        base, n = factor.as_base_exp()
        for power in product.atoms(sympy.exp) & set(product.args) if isinstance(base, _Logistic) else ():
            m = sympy.cancel(-power.args[0] / base.args[0])
            if m.is_Integer and 0 < m <= n:
                return product / factor / power * base ** (n - m) * _Logistic(-base.args[0]) ** m
    return product


def _with_expm1(total: Expr) -> Expr:
    for term in total.args:
        height, power = term.as_coeff_Mul() if not term.free_symbols else term.as_independent(sympy.exp)
        if isinstance(power, sympy.exp) and -height in total.args:
            return total - term + height + height * _Expm1(power.args[0])
    return total


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
    return str(_Lowering().doprint(accurate(steady(sympy.sympify(expr)))))


def used(text: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of `names` the text calls."""
    return tuple(name for name in names if re.search(rf"\b{name}\(", text))


def mentioned(text: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of `names` the text mentions; `np.nan` does not mention `nan`, and a comment mentions nothing."""
    code = re.sub(r"#.*", "", text)
    return tuple(name for name in names if re.search(rf"(?<![\w.]){name}\b", code))
