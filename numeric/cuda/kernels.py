"""Grid-stride kernels around the functions of kernel modules: every thread takes a pair, a batch entry, or an element.

A kernel is ordinary Python until it is compiled: for this device when it is first launched, or to PTX by
`numeric.cuda.check`. Arrays are (columns, n), one row for each result: neighbouring threads then write to neighbouring
addresses.

Arithmetic is in the precision of the arrays, except where a formula leaves single precision on the way: orders above 2
of functions with constants beyond 10³⁰, and the covariances of `DOUBLE_COVARIANCES`. Those are computed in double
precision, and rounded.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import Any

import numpy as np
from numba import cuda, float32, float64, int64, types

from numeric.activations import Activation, activation
from numeric.cuda import translate
from numeric.cuda.translate import Precision
from numeric.generated import PARAMETERS
from numeric.generated.covariance import COMPILED
from numeric.isserlis import UNROLLED

KINDS = ("hermite", "derivatives")
ORDERS = (2, 8)
_TOGETHER = 5
REAL = {"double": float64, "single": float32}
DTYPE = {"double": np.float64, "single": np.float32}
# Covariances for which single precision ends in NaN, because exponentials that multiply Φ₂ overflow, or errs by more
# than 1e-5 √(E σ₁² E σ₂²) although the means are within three standard deviations. tests/simulator measures that, and
# that it does not for all others.
DOUBLE_COVARIANCES = ("celu", "elu", "selu", "relu2", "softshrink")
# What the arguments of a series become for the pair (a, b) alone.
_ONE_PAIR = {
    **dict.fromkeys(("alpha", "beta", "rest"), "[a : a + 1]"),
    **dict.fromkeys(("others", "other_betas", "other_rests"), "[b : b + 1]"),
    **dict.fromkeys(("g", "c12", "c21", "c22", "out"), "[a : a + 1, b : b + 1]"),
}


class NoKernel(ValueError):
    """Nothing is generated for this on a GPU; the message says what to do."""


@dataclass(frozen=True)
class Kernel:
    """A kernel before it is compiled.

    Attributes:
        name: what it computes, for messages and tables.
        precision: of its arrays, "double" or "single".
        inside: of its arithmetic.
        function: ordinary Python.
        signature: the types of its arguments.
    """

    name: str
    precision: Precision
    inside: Precision
    function: Callable
    signature: tuple[Any, ...]

    @property
    def compiled(self) -> Any:
        """For the current device; compiled once, at the first launch."""
        return _jit(self.function)


@cache
def _jit(function: Callable) -> Any:
    return cuda.jit(function)


def _array(precision: Precision, axes: int) -> Any:
    return types.Array(REAL[precision], axes, "C")


@cache
def pairs(act: Activation, kind: str, columns: tuple[int, int], precision: Precision) -> Kernel:
    """h_first … h_{stop−1}, or g_first …, of pairs: kernel(mean, std, out, parameters), out (stop − first, n)."""
    first, stop = columns
    order = ORDERS[0] if stop - 1 <= ORDERS[0] else ORDERS[1]
    inside: Precision = precision
    if precision == "single" and order > 2 and getattr(_formulas(act, precision), "BEYOND_SINGLE", False):
        inside = "double"
    function = getattr(_loops(act, inside), f"{kind}_pair_{order}", None)
    if function is None:
        raise NoKernel(f"activation: {act.name!r} is integrated adaptively, which the CPU does; hand in NumPy arrays")
    kernel = _stored("mean, std", inside, range(first, stop), function)
    real = _array(precision, 1)
    parameters = types.UniTuple(REAL[inside], len(act.arguments))
    name = f"{act.name} {kind} {first} … {stop - 1}"
    return Kernel(name, precision, inside, kernel, (real, real, _array(precision, 2), parameters))


def parts(act: Activation, columns: int) -> list[tuple[int, int]]:
    """Which columns are computed together: nine sums over nodes and as many asymptotes do not fit into registers."""
    if columns <= _TOGETHER or act.kernels.KIND != "quadrature":
        return [(0, columns)]
    return [(0, _TOGETHER), (_TOGETHER, columns)]


@cache
def values(act: Activation, precision: Precision) -> Kernel:
    """σ(x): kernel(x, out, parameters)."""
    function = _formulas(act, precision).value

    def kernel(x, out, parameters):
        for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):  # type: ignore[reportCallIssue, reportArgumentType]
            out[i] = function(x[i], *parameters)

    real = _array(precision, 1)
    parameters = types.UniTuple(REAL[precision], len(act.arguments))
    return Kernel(f"{act.name} value", precision, precision, kernel, (real, real, parameters))


@cache
def covariances(act: Activation, precision: Precision) -> Kernel:
    """E[σ(Y₁) σ(Y₂)] and how far rounding may have moved it, out (2, n).

    kernel(mean_1, std_1, mean_2, std_2, rho, out, parameters); in single precision for std up to 10⁴.
    """
    if act.source is not None or act.name not in COMPILED:
        raise NoKernel(f"activation: {act.name!r} has no proved covariance, which the CPU integrates; use NumPy arrays")
    inside: Precision = "double" if act.name in DOUBLE_COVARIANCES else precision
    function = translate.module(f"numeric.generated.covariance.{act.name}", inside).covariance_pair
    kernel = _stored("mean_1, std_1, mean_2, std_2, rho", inside, range(2), function)
    real = _array(precision, 1)
    parameters = types.UniTuple(REAL[inside], len(act.arguments))
    signature = (*[real] * 5, _array(precision, 2), parameters)
    return Kernel(f"{act.name} covariance", precision, inside, kernel, signature)


@cache
def moments(powers: tuple[int, ...], precision: Precision) -> Kernel:
    """E Π X_i^powers[i]: kernel(mean, cov, index, out); powers descend, `index` says whose they are."""
    name = "".join(map(str, powers))
    function = getattr(translate.module(f"numeric.generated.moments.order_{sum(powers)}", precision), f"moment_{name}")
    n = len(powers)
    arguments = [f"mean[i, index[{k}]]" for k in range(n)]
    arguments += [f"cov[i, index[{a}], index[{b}]]" for a, b in _covariances_in(function)]
    kernel = _written(f"out[i] = function({', '.join(arguments)})", "mean, cov, index, out", "out.size", function)
    signature = (_array(precision, 2), _array(precision, 3), types.Array(int64, 1, "C"), _array(precision, 1))
    return Kernel(f"moment {name}", precision, precision, kernel, signature)


@cache
def masters(n: int, precision: Precision) -> Kernel:
    """The coefficients of t^k in E Π (a_i + b_i t + R_i): kernel(a, b, cov, out), out (n + 1, batch)."""
    function = getattr(translate.module("numeric.generated.moments.master", precision), f"master_{n}")
    arguments = [f"{letter}[i, {k}]" for letter in "ab" for k in range(n)]
    arguments += [f"cov[i, {a}, {b}]" for a, b in _covariances_in(function)]
    lines = [f"row = function({', '.join(arguments)})", *(f"out[{k}, i] = row[{k}]" for k in range(n + 1))]
    kernel = _written("\n        ".join(lines), "a, b, cov, out", "a.shape[0]", function)
    two = _array(precision, 2)
    return Kernel(f"master {n}", precision, precision, kernel, (two, two, _array(precision, 3), two))


def _covariances_in(function: Any) -> Iterator[tuple[str, str]]:
    """The indices of the arguments S01, S12, …."""
    for name in _arguments(function):
        if name.startswith("S"):
            yield name[1], name[2]


def _arguments(function: Any) -> list[str]:
    """The names of a function's arguments, compiled or not."""
    return list(inspect.signature(getattr(function, "py_func", function)).parameters)


def _stored(names: str, inside: Precision, columns: range, function: Any) -> Callable:
    """The arguments in the precision in which the function computes, and these columns of what it returns."""
    given = ", ".join(f"np.{DTYPE[inside].__name__}({name}[i])" for name in names.split(", "))
    lines = [f"row = function({given}, *parameters)"]
    lines += [f"out[{k - columns.start}, i] = row[{k}]" for k in columns]
    first = names.split(",")[0]
    return _written("\n        ".join(lines), f"{names}, out, parameters", f"{first}.size", function)


def _written(body: str, arguments: str, size: str, function: Any) -> Callable:
    """A grid-stride loop as text: rows of results of any length, with nothing that is indexed at run time."""
    text = f"def kernel({arguments}):\n    for i in range(cuda.grid(1), {size}, cuda.gridsize(1)):\n        {body}\n"
    scope = {"cuda": cuda, "np": np, "function": function}
    exec(text, scope)
    return scope["kernel"]


def _loops(act: Activation, precision: Precision) -> ModuleType:
    if act.source is not None:
        return translate.of_source(act.source, precision)
    return translate.module(f"numeric.generated.loops.{act.name}", precision)


def _formulas(act: Activation, precision: Precision) -> ModuleType:
    if act.source is not None:
        translate.of_source(act.source, precision)
        return translate.module(act.source.module, precision)
    return translate.module(f"numeric.generated.{act.name}", precision)


def catalogue() -> Iterator[Callable[[], Kernel]]:
    """Recipes for every kernel of the activations that are checked in, in both precisions, and of Gaussian moments."""
    for precision in ("double", "single"):
        for name in PARAMETERS:
            yield from _of_activation(activation(name), precision)
        for order in range(1, UNROLLED + 1):
            for powers in partitions(order):
                yield partial(moments, powers, precision)
            yield partial(masters, order, precision)
    yield ungated_series
    yield gated_series


def _of_activation(act: Activation, precision: Precision) -> Iterator[Callable[[], Kernel]]:
    yield partial(values, act, precision)
    if act.kernels.KIND != "integrated":
        for kind in KINDS:
            for order in ORDERS:
                for columns in parts(act, order + 1):
                    yield partial(pairs, act, kind, columns, precision)
    if act.name in COMPILED:
        yield partial(covariances, act, precision)


def partitions(n: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """All ways to write n as a sum of descending positive integers."""
    if n == 0:
        yield ()
    for first in range(min(n, largest or n), 0, -1):
        for rest in partitions(n - first, first):
            yield (first, *rest)


@cache
def ungated_series() -> Kernel:
    """`numeric.pairs.ungated`, a thread for every pair; the arguments are the same."""
    return _series("residual series", "ungated")


@cache
def gated_series() -> Kernel:
    """`numeric.pairs.gated`, a thread for every pair; the arguments are the same."""
    return _series("residual series, gated", "gated")


def _series(name: str, loop: str) -> Kernel:
    """A loop of `numeric.pairs`, of which every thread gets blocks of one pair."""
    function = getattr(translate.module("numeric.pairs", "double"), loop)
    names = _arguments(function)
    taken = ", ".join(argument + _ONE_PAIR.get(argument, "") for argument in names)
    kernel = _written(f"a, b = divmod(i, g.shape[1])\n        function({taken})", ", ".join(names), "g.size", function)
    known = {"terms": types.Array(int64, 1, "C"), "first": int64}
    known |= dict.fromkeys(("rest", "other_rests", "reach"), _array("double", 1))
    signature = tuple(known.get(argument, _array("double", 2)) for argument in names)
    return Kernel(name, "double", "double", kernel, signature)
