"""A formula typed as text, such as "x*tanh(x)", as an expression; nothing in the text is ever executed.

The text is taken apart by Python's own parser into numbers, names, operators and calls, and put together again
from a list of known functions. Everything else (attributes, strings, indices, lambdas, names that are not on
the list) is refused by name.

>>> expression("x/(1 + exp(-1.702*x))")
x/(1 + exp(-851*x/500))
"""

import ast
import difflib
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any

import sympy
from sympy import Expr, Rational, Symbol
from sympy.logic.boolalg import Boolean

from symgauss.record import activation, registered_names
from symgauss.symbols import Phi, phi, x

_LONGEST, _LARGEST_POWER, _MOST_BITS, _MOST_DIGITS = 2000, 1000, 20000, 400

_CONSTANTS: dict[str, Expr] = {"x": x, "pi": sympy.pi, "E": sympy.E}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (sympy.exp, sympy.log, sympy.sqrt, sympy.sin, sympy.cos, sympy.tan, sympy.atan)},
    **{f.__name__: f for f in (sympy.sinh, sympy.cosh, sympy.tanh, sympy.sech, sympy.asinh)},
    **{f.__name__: f for f in (sympy.Abs, sympy.Max, sympy.Min, sympy.sign, sympy.Heaviside)},
    **{f.__name__: f for f in (sympy.erf, sympy.erfc, Phi, phi)},
    **{"abs": sympy.Abs, "max": sympy.Max, "min": sympy.Min, "ln": sympy.log},
}
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: _power(a, b),
}
_LOGIC: dict[type, Callable[..., Any]] = {
    **{ast.And: sympy.And, ast.BitAnd: sympy.And, ast.Or: sympy.Or, ast.BitOr: sympy.Or},
    **{ast.Lt: sympy.Lt, ast.LtE: sympy.Le, ast.Gt: sympy.Gt, ast.GtE: sympy.Ge},
}


class NotAnExpression(ValueError):
    """The text is no formula in x and the known functions; the message says where."""


def expression(text: str, parameters: Mapping[str, Symbol] | None = None) -> Expr:
    """The expression that the text stands for, in `x`, `parameters` and the known functions.

    Known are exp, log, sqrt, sin, cos, tan, atan, sinh, cosh, tanh, sech, asinh, Abs, Max, Min, sign, Heaviside,
    erf, erfc, Phi, phi, Piecewise((value, condition), …), pi, E, and every registered activation as a function.
    Decimal numbers are taken exactly. Raises `NotAnExpression`.
    """
    names = {**_CONSTANTS, **(parameters or {})}
    for name in parameters or {}:
        if name in _CONSTANTS or name in _functions():
            raise NotAnExpression(f"{name} has a meaning of its own and cannot be a parameter; choose another name.")
    text = text.strip()
    if len(text) > _LONGEST:
        raise NotAnExpression(f"A formula of {len(text)} characters; at most {_LONGEST} are read.")
    try:
        value = _Builder(text, names).build(ast.parse(text, mode="eval").body)
    except NotAnExpression:
        raise
    except (RecursionError, MemoryError):
        raise NotAnExpression("The formula is nested too deeply.") from None
    except (SyntaxError, TypeError, ValueError, ArithmeticError) as error:
        # Python's for what it cannot read, SymPy's for what cannot be, such as sin(x, x) or Max(0, sqrt(-1)).
        reason = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        raise NotAnExpression(f"{text!r} is not a formula: {reason.rstrip('.')}.") from None
    if not isinstance(value, Expr):
        raise NotAnExpression(f"{text!r} is a condition; an activation is a real number for every x.")
    return value


@cache
def _functions() -> dict[str, Callable[..., Any]]:
    """The functions by name: SymPy's, and the registered activations with their default parameters."""
    found = dict(_FUNCTIONS)
    for name in registered_names():
        found.setdefault(name, sympy.Lambda(x, activation(name).formula))
    return found


class _Builder:
    def __init__(self, text: str, names: Mapping[str, Expr]) -> None:
        self.text, self.names = text, names

    def build(self, node: ast.expr) -> Any:
        """The value of a node: an Expr, or a Boolean for a condition."""
        match node:
            case ast.Constant(value=bool() as truth):
                return sympy.true if truth else sympy.false
            case ast.Constant(value=int() | float()):
                return _number(self.source(node))
            case ast.Name(id=name) if name in self.names:
                return self.names[name]
            case ast.Name(id=name):
                raise self.unknown(name, "a function that is not called" if name in _functions() else "unknown")
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                value = self.number(operand)
                return -value if isinstance(node.op, ast.USub) else value
            case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
                return sympy.Not(self.condition(operand))
            case ast.BinOp(op=op, left=left, right=right) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](self.number(left), self.number(right))
            case ast.BinOp(op=op, left=left, right=right) if type(op) in _LOGIC:
                return _LOGIC[type(op)](self.condition(left), self.condition(right))
            case ast.BinOp(op=ast.BitXor()):
                raise NotAnExpression(f"{self.source(node)!r}: write ** for powers.")
            case ast.BoolOp(op=op, values=values):
                return _LOGIC[type(op)](*map(self.condition, values))
            case ast.Compare(ops=ops) if all(type(op) in _LOGIC for op in ops):
                sides = [self.number(side) for side in (node.left, *node.comparators)]
                return sympy.And(*(_LOGIC[type(op)](a, b) for op, a, b in zip(ops, sides, sides[1:])))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self.call(name, args)
        raise NotAnExpression(
            f"{self.source(node)!r} has no place in a formula; write it with numbers, x, + - * / **, comparisons "
            "and the known functions."
        )

    def call(self, name: str, arguments: list[ast.expr]) -> Expr:
        if name == "Piecewise":
            return sympy.Piecewise(*map(self.branch, arguments))
        if name not in _functions():
            raise self.unknown(name, "a number and no function" if name in self.names else "unknown")
        return _functions()[name](*map(self.number, arguments))

    def branch(self, node: ast.expr) -> tuple[Expr, Boolean]:
        match node:
            case ast.Tuple(elts=[value, condition]):
                return self.number(value), self.condition(condition)
        raise NotAnExpression(f"{self.source(node)!r}: Piecewise takes pairs (value, condition).")

    def number(self, node: ast.expr) -> Expr:
        value = self.build(node)
        if not isinstance(value, Expr):
            raise NotAnExpression(f"{self.source(node)!r} is a condition where a number belongs.")
        return value

    def condition(self, node: ast.expr) -> Boolean:
        value = self.build(node)
        if isinstance(value, Expr):  # a Symbol is both in SymPy
            raise NotAnExpression(f"{self.source(node)!r} is a number where a condition belongs.")
        return value

    def unknown(self, name: str, what: str) -> NotAnExpression:
        near = difflib.get_close_matches(name, [*self.names, *_functions(), "Piecewise"], n=3, cutoff=0.6)
        hint = f"; did you mean {' or '.join(near)}?" if near and what == "unknown" else "."
        return NotAnExpression(f"In the formula {self.text!r}, {name} is {what}{hint}")

    def source(self, node: ast.expr) -> str:
        return ast.get_source_segment(self.text, node) or ast.unparse(node)


def _number(text: str) -> Expr:
    try:
        value = Decimal(text)
    except ArithmeticError:  # 0x10, 0b1
        return sympy.Integer(int(text, 0))
    if value and abs(value.adjusted()) > _MOST_DIGITS:
        raise NotAnExpression(f"{text} is beyond what is computed here.")
    return Rational(str(value))


def _power(base: Expr, exponent: Expr) -> Expr:
    """The power, unless writing it out would take long."""
    if base.is_number and exponent.is_number:
        bits = max((max(abs(n.p), n.q).bit_length() for n in base.atoms(Rational)), default=1)
        if not abs(exponent) <= _LARGEST_POWER or bits * abs(exponent) > _MOST_BITS:
            raise NotAnExpression("A power of numbers in the formula is too large to compute.")
    return base**exponent
