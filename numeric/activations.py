"""Activations by name: which compiled kernels serve an activation, with which parameters.

Nothing here is written by hand per activation: names, defaults and formulas come from the generated
modules, and looking one up imports neither sympy nor any other activation. Kernels that are not checked in
come as source text: from `symgauss.compile`, or from an installed package by an entry point of the group
`symgauss.kernels`, whose value is anything with the attributes name, parameters, key, formulas and loops.
"""

import difflib
import importlib
import math
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import numpy as np

from numeric import checks, runtime
from numeric.device.arrays import on_device
from numeric.generated import ALIASES, PARAMETERS


class UnknownActivation(ValueError):
    """No generated kernels under this name; the message suggests the nearest names."""


class Activation:
    """An activation with its parameters and kernels; get one from `activation`.

    Calling it evaluates σ elementwise, in the floating type of its argument: float16, float32 or float64;
    everything else real becomes float64.
    At a jump σ is as its formula says: step(0) = 0.
    """

    def __init__(self, name: str, parameters: Mapping[str, float], source: runtime.Source | None = None) -> None:
        self.name = name
        self.parameters = dict(parameters)
        self.source = source

    @property
    def kernels(self) -> ModuleType:
        """The generated loops; the formulas in them are in `numeric/generated/<name>.py`, or in `source`."""
        if self.source is not None:
            return runtime.load(self.source)
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
        if on_device(x):
            from numeric.device.values import activation_values  # which needs moments, and these activations

            return activation_values(self, x)
        array = checks.floating_array("x", x)
        work = np.float64 if array.dtype == np.float64 else np.float32
        flat = np.ascontiguousarray(array, dtype=work).reshape(-1)
        out = np.empty(flat.shape, work)
        self.kernels.value_loop(flat, out, *self.arguments)
        return out.reshape(array.shape).astype(array.dtype, copy=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and (self.name, self.parameters, self.source) == (
            other.name,
            other.parameters,
            other.source,
        )

    def __hash__(self) -> int:
        return hash((self.name, self.arguments))

    def __repr__(self) -> str:
        inside = "".join(f", {name}={value!r}" for name, value in self.parameters.items())
        return f"activation({self.name!r}{inside})"


GROUP = "symgauss.kernels"


def activation_names() -> tuple[str, ...]:
    """The names with kernels, generated or of installed packages, in alphabetical order, without aliases."""
    return tuple(sorted({*PARAMETERS, *entry_points(group=GROUP).names}))


def activation(activation: Any, **parameters: float) -> Activation:
    """The activation of this name, with the given parameters in place of its defaults.

    Args:
        activation: a name or alias (`"relu"`), an `Activation`, a record of `symgauss` (of its catalogue, or any
            `symgauss.Activation`, which is then compiled), or what `symgauss.compile` returned.
        parameters: by name, for example `negative_slope=0.2`; defaults are those of `torch.nn`.

    Raises:
        UnknownActivation: a name without kernels; the nearest names are suggested.
        TypeError: a parameter that the activation does not have, or something that is no activation.
        ValueError: a parameter that is not finite, or parameters that contradict each other.

    >>> activation("leaky_relu", negative_slope=0.2)
    activation('leaky_relu', negative_slope=0.2)
    """
    if isinstance(activation, Activation):
        return _bind(activation, parameters) if parameters else activation
    if isinstance(activation, str):
        return _bind(_by_name(activation), parameters)
    if hasattr(activation, "formulas") and hasattr(activation, "loops"):
        return _bind(_from_text(activation), parameters)
    if hasattr(activation, "name") and hasattr(activation, "expr"):
        return _from_record(activation, parameters)
    raise TypeError(
        f"activation is {type(activation).__name__}; expected a name such as 'relu', "
        "numeric.activation(...), symgauss.Activation(...) or symgauss.compile(...)."
    )


def _by_name(name: str) -> Activation:
    known = ALIASES.get(name, name)
    if known in PARAMETERS:
        return Activation(known, PARAMETERS[known])
    for entry in entry_points(group=GROUP, name=name):
        return _from_text(_loaded(entry))
    near = difflib.get_close_matches(name.lower(), [*activation_names(), *ALIASES], n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "See numeric.activation_names()."
    raise UnknownActivation(f"activation {name!r} is not known. {hint}")


def _loaded(entry: EntryPoint) -> Any:
    """What an installed package offers; whatever is wrong with it is said with its name."""
    package = entry.dist.name if entry.dist else "an unknown package"
    try:
        kernels = entry.load()
    except Exception as error:
        raise UnknownActivation(
            f"the kernels of {entry.name!r} could not be imported from {entry.value} of {package}: {error!r}."
        ) from error
    missing = [part for part in ("name", "parameters", "key", "formulas", "loops") if not hasattr(kernels, part)]
    if missing:
        raise UnknownActivation(
            f"{entry.value} of {package} has no {', '.join(missing)}; an entry point of {GROUP} names what "
            "symgauss.compile(...) returns, or a module with the same attributes."
        )
    return kernels


def _from_text(compiled: Any) -> Activation:
    return Activation(compiled.name, compiled.parameters, runtime.source_of(compiled))


def _bind(act: Activation, given: Mapping[str, Any]) -> Activation:
    """The activation with these parameters in place of its own."""
    for key in given:
        if key not in act.parameters:
            known = ", ".join(act.parameters) or "none"
            raise TypeError(f"activation {act.name!r} has no parameter {key!r}; its parameters: {known}.")
    values = {key: _number(act.name, key, given.get(key, value)) for key, value in act.parameters.items()}
    bound = Activation(act.name, values, act.source)
    for relation, holds in bound.kernels.requirements(*bound.arguments).items():
        if not holds:
            raise ValueError(f"activation {act.name!r} needs {relation}; found {values}.")
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
    """The generated kernels of a symbolic record of the catalogue; any other is compiled."""
    if parameters:
        record = record.with_parameters(**parameters)
    if record.name in PARAMETERS:
        values = {str(symbol): value for symbol, value in dict(record.parameters).items()}
        generated = Activation(record.name, PARAMETERS[record.name])
        if str(record.expr) == generated.formula and values.keys() == generated.parameters.keys():
            return _bind(generated, values)
    return _bind(_from_text(record.compile()), {})
