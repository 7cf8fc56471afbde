"""Activations of other packages, found by entry points and imported only when asked for.

A package adds activations to `symgauss.activation` by listing their names in its pyproject.toml:

    [project.entry-points."symgauss.activations"]
    snake = "waves.activations:snake"

The value is `module:attribute`. The attribute is a `symgauss.Activation` of that name, or several of them
in a list or other iterable, or a function without arguments that returns either.

Names are read from the metadata of what is installed; no module is imported until its own name is asked for, and
what is broken raises `BrokenPlugin` then and not before. A name in the registry, which the catalogue fills, is
never looked for here: a plugin cannot change what "relu" means.

There are two groups, because formulas need SymPy and compiled kernels must do without:

    symgauss.activations   for `symgauss.activation(name)`: an expression in `x`, read here
    symgauss.kernels       for `numeric.activation(name)`: a module of formulas and loops as `symgauss.compile`
                           writes them, read by `numeric` and never here, importing neither SymPy nor `symgauss`

A package may offer one name in either group or in both. In both, the kernels should be compiled from the
activation of that name (`symgauss.compile(act).as_module()` is their text).
"""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from symgauss.record import Activation

GROUP = "symgauss.activations"


class BrokenPlugin(ValueError):
    """An installed package promises an activation and does not deliver; the message names both."""


def names() -> tuple[str, ...]:
    """The names that installed packages offer, sorted; nothing is imported."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def find(name: str) -> Activation | None:
    """The activation that an installed package offers under this name, or None; only that package is imported.

    Raises `BrokenPlugin` when it cannot be loaded, is no activation of that name, or is offered twice.
    """
    points = tuple({(_distribution(p), p.value): p for p in entry_points(group=GROUP, name=name)}.values())
    if len(points) > 1:
        offers = " and ".join(f"{p.value!r} of {_distribution(p)}" for p in points)
        raise BrokenPlugin(f"The activation {name!r} is offered more than once: {offers}. Uninstall all but one.")
    return _loaded(points[0], _distribution(points[0])) if points else None


@cache
def _loaded(point: EntryPoint, distribution: str) -> Activation:
    where = f"The activation {point.name!r}, entry point {point.value!r} of {distribution},"
    try:
        offered = _offered(point.load())
    except Exception as error:
        raise BrokenPlugin(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
    acts = [value for value in offered if isinstance(value, Activation)]
    for stranger in (value for value in offered if not isinstance(value, Activation)):
        raise BrokenPlugin(
            f"{where} is {stranger!r} of type {type(stranger).__name__}; it must be a symgauss.Activation, "
            "an iterable of them, or a function that returns one."
        )
    for act in acts:
        if act.name == point.name:
            return act
    others = ", ".join(repr(act.name) for act in acts) or "nothing"
    raise BrokenPlugin(f"{where} gives {others}; the entry point must have the activation's own name.")


def _offered(found: Any) -> list[Any]:
    """What the attribute stands for, as a list."""
    if callable(found):
        found = found()
    return list(found) if isinstance(found, Iterable) and not isinstance(found, str) else [found]


def _distribution(point: EntryPoint) -> str:
    """Name and version of the package that an entry point belongs to."""
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unnamed distribution"
