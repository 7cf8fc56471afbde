"""Kernel modules once more, for a GPU: the same text under other decorators, in one of two precisions.

A kernel module is text that was proved and checked: the GPU runs that text, and none is written for it a second time.
`module(name, precision)` reads it, leaves out most loops over arrays, and runs the rest with what CUDA has in place of
Numba's CPU target (`numeric.cuda.target`). In single precision every literal in a function becomes a float32, because
one double in a formula makes doubles of all that follow, and some definitions give way to those of the same names in
`numeric.cuda.single`. Integers become floats where they are operands (2*d4), but not where they are exponents or
indices.
"""

import ast
import builtins
import importlib
import importlib.util
import math
import types
from pathlib import Path
from typing import Any, Literal

import numpy as np

from numeric import runtime
from numeric.cuda import target

Precision = Literal["double", "single"]

# What a translated module finds in place of these.
_REPLACED = {
    "numeric.jit": {"device": target.device, "loop": target.device, "interpreted": lambda: target.SIMULATED},
    "numeric.bits": {"from_bits": target.from_bits, "to_bits": target.to_bits},
    "numeric.cuda.target": {"fma": target.fma},
}
# Modules of doubles whose integers are bits, exponents and counts.
_WITH_INTEGERS = (
    *("numeric.special", "numeric.binormal", "numeric.covariance_kernels"),
    *("numeric.halflines", "numeric.pairs"),
)
# Modules whose loops threads call, for blocks of one pair.
_WITH_LOOPS = ("numeric.pairs",)
# Formulas with larger or smaller constants than these may leave single precision on the way.
_LARGEST = 1e30

# Modules of `numeric` of which some definitions give way to those of `numeric.cuda.single`.
_IN_SINGLE = ("special", "binormal", "covariance_kernels")

_modules: dict[tuple[str, Precision], types.ModuleType] = {}


def module(name: str, precision: Precision) -> types.ModuleType:
    """The kernel module of this name, its functions compiled for CUDA when a kernel calls them."""
    if (name, precision) not in _modules:
        tree = ast.parse(_text(name))
        package, _, last = name.rpartition(".")
        if precision == "single" and package == "numeric" and last in _IN_SINGLE:
            tree = _replaced(tree, ast.parse(_text(f"numeric.cuda.single.{last}")))
        _modules[name, precision] = _translated(tree, name, precision)
    return _modules[name, precision]


def of_source(source: runtime.Source, precision: Precision) -> types.ModuleType:
    """The same of an activation that is not in the catalogue."""
    if (source.module, precision) not in _modules:
        _modules[source.module, precision] = _translated(ast.parse(source.formulas), source.module, precision)
    name = f"{source.module}_loops"
    if (name, precision) not in _modules:
        _modules[name, precision] = _translated(ast.parse(source.loops), name, precision)
    return _modules[name, precision]


def _text(name: str) -> str:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8")


def _replaced(tree: ast.Module, others: ast.Module) -> ast.Module:
    """A module with the definitions of another in place of its own of the same names; what is new there comes first."""
    given = {_defined(node): node for node in others.body}
    known = {_defined(node) for node in tree.body}
    new = [node for name, node in given.items() if name not in known]
    return ast.Module([*new, *(given.get(_defined(node), node) for node in tree.body)], [])


def _defined(node: ast.stmt) -> str:
    """What a statement defines, or all of it."""
    if isinstance(node, ast.FunctionDef):
        return node.name
    return ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node)


def _translated(tree: ast.Module, name: str, precision: Precision) -> types.ModuleType:
    if name not in _WITH_LOOPS:
        tree.body = [node for node in tree.body if not _decorated(node, "loop")]
    made = types.ModuleType(f"{name} ({precision})")
    scope = vars(made)
    scope["min"], scope["max"] = target.smaller, target.larger
    _import(tree, scope, precision)
    tree = _TwoAtATime().visit(tree)
    if precision == "single" or name not in _WITH_INTEGERS:
        converter = Literals(scope, precision)
        tree.body = [_converted(node, converter) for node in tree.body]
    # for functions that modules write out themselves
    scope["eval"] = lambda text, given=None: _evaluate(text, scope if given is None else given, "eval", precision)
    scope["exec"] = lambda text, given: _evaluate(text, given, "exec", precision)
    exec(compile(ast.fix_missing_locations(tree), f"<{made.__name__}>", "exec"), scope)
    if precision == "single":
        for key, value in list(scope.items()):
            scope[key] = _rounded(value)
    return made


def _decorated(node: ast.stmt, name: str) -> bool:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return any(isinstance(d, ast.Name) and d.id == name for d in decorators)


def _import(tree: ast.Module, scope: dict[str, Any], precision: Precision) -> None:
    """Carry out the imports of what the rest mentions, and take them out of the tree."""
    mentioned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    rest: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module == "math" or (node.module or "").startswith("numeric")):
            wanted = [(alias.asname or alias.name, alias.name) for alias in node.names]
            for here, there in wanted:
                if here in mentioned:
                    scope[here] = _attribute(str(node.module), there, precision)
        elif isinstance(node, ast.Import) and node.names[0].name == "math":
            scope["math"] = target.mathematics
        else:
            rest.append(node)
    tree.body = rest


def _attribute(name: str, attribute: str, precision: Precision) -> Any:
    if name == "math":
        return getattr(target.mathematics, attribute)
    if name in _REPLACED:
        return _REPLACED[name][attribute]
    if "@device" not in _text(name):  # nothing to translate: a constant, or a type
        return getattr(importlib.import_module(name), attribute)
    return getattr(module(name, precision), attribute)


class _TwoAtATime(ast.NodeTransformer):
    """min(a, b, c) as min(min(a, b), c)."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        while isinstance(node.func, ast.Name) and node.func.id in ("min", "max") and len(node.args) > 2:
            node.args[:2] = [ast.copy_location(ast.Call(node.func, node.args[:2], []), node)]
        return node


class Literals(ast.NodeTransformer):
    """Makes floats of literals in functions; in single precision names of float32 numbers, which it adds to a scope.

    Numba's CUDA target has no max(0, x) of an integer and a float, among others.
    """

    def __init__(self, scope: dict[str, Any], precision: Precision) -> None:
        self.scope, self.precision = scope, precision

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            return node
        value = float(node.value)
        if self.precision == "double":
            return ast.copy_location(ast.Constant(value), node)
        if value and math.isfinite(value) and not 1 / _LARGEST < abs(value) < _LARGEST:
            self.scope["BEYOND_SINGLE"] = True
        name = f"_{value!r}".translate(str.maketrans({"-": "m", "+": "p", ".": "_"}))
        self.scope[name] = _rounded(value)
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """np.nan is a double."""
        if self.precision == "single" and ast.unparse(node) == "np.nan":
            return self.visit_Constant(ast.copy_location(ast.Constant(math.nan), node))
        node.value = self.visit(node.value)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        known = _known(node)
        if known is not None:
            return self.visit_Constant(ast.copy_location(ast.Constant(known), node))
        node.left = self.visit(node.left)
        if not (isinstance(node.op, ast.Pow) and _whole(node.right)):
            node.right = self.visit(node.right)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        node.value = self.visit(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name) and node.func.id == "range":
            return node
        node.args = [self.visit(argument) for argument in node.args]
        return node


def _known(node: ast.expr) -> float | None:
    """The value of an expression of literals, as doubles have it; 1/3 must not be made of rounded parts."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inside = _known(node.operand)
        return None if inside is None else -inside
    if isinstance(node, ast.BinOp) and None not in (_known(node.left), _known(node.right)):
        return eval(compile(ast.Expression(node), "<literal>", "eval"))
    return None


def _whole(node: ast.expr) -> bool:
    return isinstance(_known(node), int)


def _converted(node: ast.stmt, converter: Literals) -> ast.stmt:
    if not _decorated(node, "device"):
        return node
    assert isinstance(node, ast.FunctionDef)
    node.body = [converter.visit(statement) for statement in node.body]
    return node


def _evaluate(text: str, scope: dict[str, Any], mode: Literal["eval", "exec"], precision: Precision) -> Any:
    scope["min"], scope["max"] = target.smaller, target.larger
    tree: Any = ast.parse(text, mode=mode)
    if precision == "single":
        tree = ast.fix_missing_locations(Literals(scope, precision).visit(tree))
    return getattr(builtins, mode)(compile(tree, "<written out>", mode), scope)


def _rounded(value: Any) -> Any:
    """Numbers of a module in single precision; everything else as it is."""
    if isinstance(value, float):
        with np.errstate(over="ignore", under="ignore"):
            return np.float32(value)
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return value.astype(np.float32)
    if isinstance(value, tuple) and value and all(isinstance(x, float) for x in value):
        return tuple(map(np.float32, value))
    return value
