"""An activation is a name and a formula in `x`; the registry knows the usual ones by name.

>>> snake = Activation("snake", x + sympy.sin(2 * x) ** 2 / 2)
>>> activation("leaky_relu", negative_slope=0.2).formula
Max(0, x) + Min(0, x)/5
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from keyword import iskeyword
from numbers import Real
from typing import TYPE_CHECKING, Any

import sympy
from sympy import Dict, Expr, Rational, S, Symbol
from sympy.core.relational import Relational

from symgauss.symbols import exact, mu, sigma, x

if TYPE_CHECKING:
    from symgauss.codegen.compiled import Compiled
    from symgauss.describe import Description


class UnknownActivation(ValueError):
    """The name is not in the registry; the message lists the nearest names that are."""


@dataclass(frozen=True, repr=False)
class Activation:
    """A scalar function σ: a name, an expression in `x` and real parameters, and the parameters' values.

    Parameters
    ----------
    name: an identifier (kernels are named after it).
    expr: a real SymPy expression in `symgauss.x` and the parameter symbols.
    parameters: symbol → value; a value is a number (floats become the rationals their text shows) or a real
        expression, such as the symbol itself, which keeps the parameter symbolic.
    requires: relations between parameters, such as `a <= b`, that the values must satisfy.

    Raises
    ------
    TypeError: a string or another object where an expression belongs.
    ValueError: a symbol that is neither `x` nor a declared parameter, or values that break `requires`.
    """

    name: str
    expr: Expr
    parameters: Mapping[Symbol, Any] = field(default_factory=dict)
    requires: Iterable[Relational] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier() or iskeyword(self.name):
            raise ValueError(
                f"An activation's name must be an identifier such as 'my_relu', and no keyword of Python: "
                f"modules are named after it. Got {self.name!r}."
            )
        parameters = {_parameter(k): _value(self.name, k, v) for k, v in dict(self.parameters or {}).items()}
        expr = _expression(self.name, self.expr)
        stray = sorted(map(str, expr.free_symbols - {x, *parameters}))
        if stray:
            raise ValueError(
                f"{self.name}: the expression {expr} contains {', '.join(stray)}, but an activation is a function "
                f"of symgauss.x (a real symbol) and its declared parameters"
                f"{' ' + ', '.join(map(str, parameters)) if parameters else ''}; "
                "write it in symgauss.x and declare the rest with parameters={symbol: value}."
            )
        requires = tuple(self.requires)
        for relation in requires:
            settled = relation.xreplace(parameters)
            if settled == sympy.false:
                values = ", ".join(f"{k} = {v}" for k, v in parameters.items())
                raise ValueError(f"{self.name} requires {relation}, got {values}.")
        object.__setattr__(self, "expr", expr)
        object.__setattr__(self, "parameters", Dict(parameters))
        object.__setattr__(self, "requires", requires)

    @property
    def formula(self) -> Expr:
        """The expression with the parameters' values put in."""
        return self.expr.xreplace(dict(self.parameters))

    @property
    def conditions(self) -> tuple[Relational, ...]:
        """What `requires` still says once the values are in: nothing, when they are numbers."""
        settled = (relation.xreplace(dict(self.parameters)) for relation in self.requires)
        return tuple(relation for relation in settled if isinstance(relation, Relational))

    @property
    def symbolic(self) -> "Activation":
        """The same activation with every parameter standing for itself."""
        return replace(self, parameters={k: k for k in self.parameters})

    def with_parameters(self, **values: Any) -> "Activation":
        """The same activation with other parameter values; an unknown name is a TypeError."""
        symbols = {k.name: k for k in self.parameters}
        for name in values:
            if name not in symbols:
                valid = ", ".join(sorted(symbols)) or "none"
                raise TypeError(f"{self.name} has no parameter {name!r}; its parameters are: {valid}.")
        return replace(self, parameters=dict(self.parameters) | {symbols[k]: v for k, v in values.items()})

    def compile(self) -> "Compiled":
        """Its kernels as source text, `symgauss.compile(act)`: what `numeric` asks for, without importing symgauss."""
        from symgauss.codegen.compiled import compile

        return compile(self)

    @property
    def label(self) -> str:
        """The name with the parameters' values, as messages have it: `leaky_relu(negative_slope=1/5)`."""
        if not self.parameters:
            return self.name
        values = sorted((str(k), str(v)) for k, v in self.parameters.items())
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in values)})"

    def __str__(self) -> str:
        """Formula, mean, Hermite coefficients, proof and evaluation; computed when first asked for, never raising."""
        return str(_describe(self))

    def __format__(self, spec: str) -> str:
        """In an f-string an activation is its label, so that a message stays a line."""
        return format(self.label, spec)

    def __repr__(self) -> str:
        return f"<Activation {self.label}: {self.formula}>"

    def _repr_latex_(self) -> str:
        return _describe(self).latex()


def _describe(act: Activation) -> "Description":
    from symgauss.describe import description  # everything else is built on this module

    return description(act)


def _parameter(symbol: Any) -> Symbol:
    if not isinstance(symbol, Symbol) or not symbol.is_real or symbol in (x, mu, sigma):
        raise ValueError(
            f"A parameter must be a real symbol other than x, mu and sigma, got {symbol!r}; "
            "write sympy.Symbol('a', real=True)."
        )
    return symbol


def _value(name: str, symbol: Symbol, value: Any) -> Expr:
    """A parameter value as an exact real expression."""
    if isinstance(value, Real) and not isinstance(value, Rational):
        value = sympy.Integer(value) if isinstance(value, int) else float(value)
    if not isinstance(value, (float, Expr)):
        raise TypeError(f"{name}: the value of {symbol} must be a real number or a SymPy expression, got {value!r}.")
    value = exact(value) if not isinstance(value, float) or math.isfinite(value) else S.NaN
    if not value.is_real or value.has(x, mu, sigma):
        raise ValueError(f"{name}: the value of {symbol} must be finite, real and free of x, got {value}.")
    if symbol.is_positive and value.is_positive is False:
        raise ValueError(f"{name}: {symbol} must be positive, got {value}.")
    return value


def _expression(name: str, expr: Any) -> Expr:
    if isinstance(expr, (int, float)) and not isinstance(expr, bool):
        expr = sympy.sympify(expr)
    if not isinstance(expr, Expr):
        raise TypeError(
            f"{name}: the formula must be a SymPy expression in symgauss.x, got {expr!r} of type "
            f"{type(expr).__name__}; write for example symgauss.x * symgauss.Phi(symgauss.x)."
        )
    expr = exact(expr)
    if expr.has(sympy.I, sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        raise ValueError(f"{name}: the formula must be real and finite, got {expr}.")
    return expr


_registry: dict[str, Activation] = {}
_aliases: dict[str, str] = {}


def register(record: Activation, *aliases: str) -> Activation:
    """Make `record` known by its name and `aliases`; a name already taken by something else is a ValueError."""
    for name in (record.name, *aliases):
        holder = _registry.get(_aliases.get(name, name))
        if holder is not None and holder != record:
            raise ValueError(f"The name {name!r} is taken by {holder!r}; choose another.")
    _registry[record.name] = record
    _aliases.update(dict.fromkeys(aliases, record.name))
    return record


def registered_names() -> tuple[str, ...]:
    """The names in the registry, sorted, without aliases: the catalogue and what `register` was given."""
    return tuple(sorted(_registry))


def activation_names() -> tuple[str, ...]:
    """The names that `activation` knows, sorted, without aliases: the registry's and those of installed plugins."""
    from symgauss import plugins

    return tuple(sorted({*_registry, *plugins.names()} - set(_aliases)))


def aliases() -> dict[str, str]:
    """Alias → registered name."""
    return dict(sorted(_aliases.items()))


def activation(name: str | Activation, **parameters: Any) -> Activation:
    """The activation called `name` (or an alias), with parameter values if given.

    An `Activation` comes back as it is (with `parameters` put in). Names in the registry, the catalogue's first of
    all, win over those of installed packages (see `symgauss.plugins`), which are imported only when asked for.

    Raises
    ------
    UnknownActivation: no such name; the message suggests the nearest.
    BrokenPlugin: an installed package promises the name and does not keep it.
    TypeError: a parameter that the activation does not have.
    """
    if isinstance(name, Activation):
        return name.with_parameters(**parameters) if parameters else name
    if not isinstance(name, str):
        raise TypeError(f"activation() takes a name or an Activation, got {name!r} of type {type(name).__name__}.")
    record = _registry.get(_aliases.get(name, name)) or _plugged_in(name)
    if record is None:
        near = difflib.get_close_matches(name.lower(), [*activation_names(), *_aliases], n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(activation_names())}."
        raise UnknownActivation(
            f"There is no activation {name!r}; {hint} Define your own with symgauss.Activation(name, expression in x)."
        )
    return record.with_parameters(**parameters) if parameters else record


def _plugged_in(name: str) -> Activation | None:
    from symgauss import plugins  # on demand: most names are in the registry

    return plugins.find(name)


def as_activation(act: "str | Activation | Expr") -> Activation:
    """A name, an Activation, or a plain expression in `x` (which gets the name "expression")."""
    return Activation("expression", act) if isinstance(act, Expr) else activation(act)
