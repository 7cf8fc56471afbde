"""symgauss convert: a layer and its inputs from files, their best polynomial to a file."""

import os
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.cli_errors import Refused, check_target, one_line, refusing
from numeric.cli_files import layer_from
from numeric.cli_inputs import Inputs, inputs_from, option_name
from numeric.convert import approximate
from numeric.factored import FactoredPolynomial
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.polynomial import Info, SolvedPolynomial

Converted = FactoredPolynomial | SolvedPolynomial

# As many numbers as a person reads one by one.
_FEW = 10
# Options of the iteration, by which only mixtures are solved.
_SOLVING = ("tol", "max_iterations", "checkpoint")


def run(options: Any) -> tuple[dict[str, Any], list[str]]:
    """What `symgauss convert` prints: as facts, for JSON, and as lines. The file is written before.

    Args:
        options: as the parser of `numeric.cli` makes them.
    """
    sources = (options.file, options.inputs)
    if options.out is not None:
        check_target(options.out, options.force, sources)
    if options.checkpoint is not None:
        _check_folder(options.checkpoint, options.out)
    layer, names = layer_from(options.file, options.activation, dict(options.parameter), dict(options.tensor))
    inputs = inputs_from(options.inputs, layer.d_in, options.covariance_type, options.noise_floor)
    p = _converted(layer, inputs, options)
    if options.fvu:
        _explain(p)
    if options.out is not None:
        check_target(options.out, options.force, sources)  # it may have come into being since
        with refusing(options.out):
            p.save(options.out)
    facts = {**polynomial_facts(p), "tensors": names, "out": options.out}
    return facts, _lines(p, facts, options)


def _check_folder(path: str, out: str | None) -> None:
    """Refuse, before any work is done, a folder for the state of the iteration that cannot be one."""
    there = os.path.realpath(path)
    while not os.path.exists(there):
        there = os.path.dirname(there)
    shown = path if there == os.path.realpath(path) else there
    if not os.path.isdir(there):
        raise Refused(f"--checkpoint: {shown!r} is a file; give the name of a folder, which is made if there is none")
    if not os.access(there, os.W_OK):
        raise Refused(f"--checkpoint: no permission to write in the folder {shown!r}")
    if out is not None and os.path.realpath(path) == os.path.realpath(out):
        raise Refused(f"--checkpoint: {path!r} is where --out writes the polynomial; choose another name")


def _converted(layer: MLP | GLU, inputs: Inputs, options: Any) -> Converted:
    if isinstance(inputs, GaussianMixture):
        return _solved(layer, inputs, options)
    _refuse_solving(inputs, options)
    with refusing():
        return approximate(layer, inputs, options.degree)


def _refuse_solving(inputs: Gaussian, options: Any) -> None:
    for name in _SOLVING:
        if getattr(options, name) is not None:
            raise Refused(
                f"{options.inputs!r} describes {inputs}, under which nothing is iterated; "
                f"leave out {option_name(name)}, which takes a mixture"
            )


def _solved(layer: MLP | GLU, inputs: GaussianMixture, options: Any) -> SolvedPolynomial:
    """Under a mixture; what the iteration has to say of itself is said in the words of the command line."""
    from numeric.solver import Solver  # which needs more than most conversions do

    chosen = {name: getattr(options, name) for name in ("tol", "max_iterations")}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\d+ iterations leave")
        try:
            with refusing():
                solver = Solver(
                    inputs, options.degree, **{name: value for name, value in chosen.items() if value is not None}
                )
                p = solver.solve(layer, out=options.checkpoint)
        except Refused as error:
            argument, colon, said = str(error).partition("out: ")
            raise Refused(f"--checkpoint: {said}" if colon and not argument else str(error)) from error
    if not p.info.converged:
        _say_not_converged(p.info, solver.tol, _way_on(p.info, solver.max_iterations, options))
    return p


def _way_on(info: Info, most: int, options: Any) -> str:
    if info.iterations < most:
        return "rounding lets it come no closer, a larger --noise-floor may"
    return "raise --max-iterations" + (", and --checkpoint goes on from here" if options.checkpoint is not None else "")


def _say_not_converged(info: Info, tol: float, way_on: str) -> None:
    """A warning; of too few iterations nothing can be said, and nothing is written."""
    number = _iterations(info)
    if not np.isfinite(info.energy_error).all():
        raise Refused(f"after {number} nothing can be said yet of how far the solution is; {way_on}")
    left = float(info.energy_error.max())
    warnings.warn(
        f"after {number} {left:.1g} of the variance of an output is left to gain, more than --tol {tol:g}; {way_on}",
        stacklevel=1,
    )


def _iterations(info: Info) -> str:
    return "1 iteration" if info.iterations == 1 else f"{info.iterations} iterations"


def _explain(p: Converted) -> None:
    """Computes the variance, so that it is known from now on, and saved."""
    try:
        _ = p.total_fvu
    except OverflowError as error:
        raise Refused(f"{one_line(error).rstrip('.')}; --no-fvu converts without computing the variance") from error


def known_variance(p: Converted) -> bool:
    """Whether the fraction of variance unexplained is known without computing it."""
    return "_explained" in vars(p) or "_unexplained" in vars(p)


def known_by_degree(p: Converted) -> bool:
    """Whether the variance of each degree is: under a mixture every lower degree is another solve."""
    free = isinstance(p, FactoredPolynomial) or p.degree <= 1
    return known_variance(p) and (free or "variance_by_degree" in vars(p))


def polynomial_facts(p: Converted) -> dict[str, Any]:
    """What can be said about a polynomial without computing more than is known."""
    known = known_variance(p)
    return {
        "kind": type(p).__name__,
        "summary": repr(p),
        "degree": p.degree,
        "d_in": p.d_in,
        "n_hidden": p.n_hidden,
        "d_out": p.d_out,
        "layer": repr(p.layer),
        "activation": p.activation.name,
        "activation_parameters": p.activation.parameters,
        "activation_formula": p.activation.formula,
        "inputs": repr(p.inputs),
        "total_fvu": p.total_fvu if known else None,
        "fvu": p.fvu if known else None,
        "variance_by_degree": p.variance_by_degree if known_by_degree(p) else None,
        **({"solved": _info_facts(p.info)} if isinstance(p, SolvedPolynomial) else {}),
    }


def _info_facts(info: Info) -> dict[str, Any]:
    return {
        "iterations": info.iterations,
        "converged": info.converged,
        "energy_error": info.energy_error,
        "seconds": info.seconds,
        "degenerate": info.degenerate,
    }


def head_lines(p: Converted, facts: dict[str, Any], layer: str = "", inputs: str = "") -> list[str]:
    """What was approximated, under what, and how it was solved; `layer` and `inputs` say where these are from."""
    return [
        f"  layer       {facts['layer']}{layer}",
        f"  activation  {p.activation.name}(x) = {facts['activation_formula']}{parameters_text(p.activation)}",
        f"  inputs      {facts['inputs']}{inputs}",
        *([f"  solved      {_solved_text(p)}"] if isinstance(p, SolvedPolynomial) else []),
    ]


def _solved_text(p: SolvedPolynomial) -> str:
    info = p.info
    iterated = info.iterations > 0 or not info.converged
    parts = [f"{f'in {_iterations(info)}' if iterated else 'at once'}, {info.seconds:.3g} s"]
    if iterated:
        left = float(info.energy_error.max(initial=0.0))
        ended = "" if info.converged else "not converged, "
        parts.append(f"{ended}an estimated {left:.1g} of the variance of an output left to gain")
    if info.degenerate:
        parts.append(f"nothing varies in {info.degenerate} of {p.d_in} directions")
    return "; ".join(parts)


def fvu_lines(p: Converted) -> list[str]:
    """The fraction of variance unexplained: of all outputs together, and of each, or of many the range."""
    return [
        f"  FVU         {p.total_fvu:.6g}, the fraction of the variance of all outputs that is left unexplained",
        f"  by output   {summarised(p.fvu, 'output')}",
    ]


def summarised(values: NDArray[np.float64], what: str) -> str:
    """A few numbers, or of many, each of one `what`, the range."""
    if len(values) <= _FEW:
        return "  ".join(f"{value:.5g}" for value in values)
    least, most = int(values.argmin()), int(values.argmax())
    return (
        f"{values[least]:.5g} ({what} {least}) to {values[most]:.5g} ({what} {most}), "
        f"median {float(np.median(values)):.5g} of {len(values)}"
    )


def _lines(p: Converted, facts: dict[str, Any], options: Any) -> list[str]:
    names = facts["tensors"]
    called = ", ".join(ours if ours == theirs else f"{ours}={theirs}" for ours, theirs in names.items())
    return [
        facts["summary"],
        *head_lines(p, facts, f" from {options.file}: {called}", f" from {options.inputs}"),
        *(fvu_lines(p) if known_variance(p) else ["  FVU         not computed"]),
        *([f"  written     {options.out}"] if options.out is not None else []),
    ]


def parameters_text(activation: Any) -> str:
    """The values of parameters, to go behind a formula; nothing when there are none."""
    if not activation.parameters:
        return ""
    return f"   with {', '.join(f'{name} = {value:g}' for name, value in activation.parameters.items())}"
