"""Activations by name: which compiled kernels serve an activation, with which parameters.

Nothing here is written by hand per activation: names, defaults and formulas come from the generated
modules, and looking one up imports neither sympy nor any other activation.
"""

import difflib
import importlib
import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from numeric import checks
from numeric.generated import ALIASES, PARAMETERS


class UnknownActivation(ValueError):
    """No generated kernels under this name; the message suggests the nearest names."""


class Activation:
    """An activation with its parameters and kernels; get one from `activation`.

    Calling it evaluates σ elementwise, in the floating type of its argument: float16, float32 or float64;
    everything else real becomes float64.
    At a jump σ is as its formula says: step(0) = 0.
    """

    def __init__(self, name: str, parameters: Mapping[str, float]) -> None:
        self.name = name
        self.parameters = dict(parameters)

    @property
    def kernels(self) -> ModuleType:
        """The generated loops; the formulas in them are in `numeric/generated/<name>.py`."""
        return importlib.import_module(f"numeric.generated.loops.{self.name}")

    @property
    def arguments(self) -> tuple[float, ...]:
        """The parameters in the order in which the kernels take them."""
        return tuple(self.parameters.values())

    @property
    def formula(self) -> str:
        """σ(x) in SymPy's notation, with the parameters by name."""
        return self.kernels.FORMULA

    def __call__(self, x: Any) -> np.ndarray:
        array = checks.floating_array("x", x)
        work = np.float64 if array.dtype == np.float64 else np.float32
        flat = np.ascontiguousarray(array, dtype=work).reshape(-1)
        out = np.empty(flat.shape, work)
        self.kernels.value_loop(flat, out, *self.arguments)
        return out.reshape(array.shape).astype(array.dtype, copy=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and (self.name, self.parameters) == (
            other.name,
            other.parameters,
        )

    def __hash__(self) -> int:
        return hash((self.name, self.arguments))

    def __repr__(self) -> str:
        inside = "".join(f", {name}={value!r}" for name, value in self.parameters.items())
        return f"activation({self.name!r}{inside})"


def activation_names() -> tuple[str, ...]:
    """The names with generated kernels, in alphabetical order, without aliases."""
    return tuple(sorted(PARAMETERS))


def activation(activation: Any, **parameters: float) -> Activation:
    """The activation of this name, with the given parameters in place of its defaults.

    Args:
        activation: a name or alias (`"relu"`), an `Activation`, or a catalogue record of `symgauss`.
        parameters: by name, for example `negative_slope=0.2`; defaults are those of `torch.nn`.

    Raises:
        UnknownActivation: a name without kernels; the nearest names are suggested.
        TypeError: a parameter that the activation does not have, or something that is no activation.
        ValueError: a parameter that is not finite, or parameters that contradict each other.

    >>> activation("leaky_relu", negative_slope=0.2)
    activation('leaky_relu', negative_slope=0.2)
    """
    if isinstance(activation, Activation):
        return _bind(activation.name, activation.parameters, parameters) if parameters else activation
    if isinstance(activation, str):
        name = _resolve(activation)
        return _bind(name, PARAMETERS[name], parameters)
    if hasattr(activation, "name") and hasattr(activation, "expr"):
        return _from_record(activation, parameters)
    raise TypeError(
        f"activation is {type(activation).__name__}; expected a name such as 'relu', "
        "numeric.activation(...) or symgauss.activation(...)."
    )


def _resolve(name: str) -> str:
    name = ALIASES.get(name, name)
    if name in PARAMETERS:
        return name
    near = difflib.get_close_matches(name.lower(), [*PARAMETERS, *ALIASES], n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "See numeric.activation_names()."
    raise UnknownActivation(f"activation {name!r} is not known. {hint}")


def _bind(name: str, defaults: Mapping[str, float], given: Mapping[str, Any]) -> Activation:
    for key in given:
        if key not in defaults:
            known = ", ".join(defaults) or "none"
            raise TypeError(f"activation {name!r} has no parameter {key!r}; its parameters: {known}.")
    parameters = {key: _number(name, key, given.get(key, value)) for key, value in defaults.items()}
    bound = Activation(name, parameters)
    for relation, holds in bound.kernels.requirements(*bound.arguments).items():
        if not holds:
            raise ValueError(f"activation {name!r} needs {relation}; found {parameters}.")
    return bound


def _number(name: str, key: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"parameter {key!r} of activation {name!r} is {value!r}; expected a real number.") from None
    if not math.isfinite(number):
        raise ValueError(f"parameter {key!r} of activation {name!r} is {number}; expected a finite number.")
    return number


def _from_record(record: Any, parameters: Mapping[str, Any]) -> Activation:
    """The kernels of a symbolic record: same name and same formula, or none."""
    name = _resolve(record.name)
    values = {str(symbol): value for symbol, value in dict(record.parameters).items()}
    bound = _bind(name, PARAMETERS[name], {**values, **parameters})
    if str(record.expr) != bound.formula:
        raise UnknownActivation(
            f"the kernels of {name!r} were generated from σ(x) = {bound.formula}, "
            f"but this record says {record.expr}. Give it a name of its own."
        )
    return bound
