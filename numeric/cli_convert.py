"""symgauss convert: a layer and its inputs from files, their best polynomial to a file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.cli_errors import Refused, check_target, one_line, refusing
from numeric.cli_files import inputs_from, layer_from
from numeric.convert import approximate
from numeric.factored import FactoredPolynomial

# As many numbers as a person reads one by one.
_FEW = 10


def run(options: Any) -> tuple[dict[str, Any], list[str]]:
    """What `symgauss convert` prints: as facts, for JSON, and as lines. The file is written before.

    Args:
        options: as the parser of `numeric.cli` makes them.
    """
    sources = (options.file, options.inputs)
    if options.out is not None:
        check_target(options.out, options.force, sources)
    layer, names = layer_from(options.file, options.activation, dict(options.parameter), dict(options.tensor))
    inputs = inputs_from(options.inputs, layer.d_in)
    with refusing():
        p = approximate(layer, inputs, options.degree)
    if options.fvu:
        _explain(p)
    if options.out is not None:
        check_target(options.out, options.force, sources)  # it may have come into being since
        with refusing(options.out):
            p.save(options.out)
    facts = {**polynomial_facts(p), "tensors": names, "out": options.out}
    return facts, _lines(p, facts, options)


def _explain(p: FactoredPolynomial) -> None:
    """Computes the variance, so that it is known from now on, and saved."""
    try:
        _ = p.total_fvu
    except OverflowError as error:
        raise Refused(f"{one_line(error).rstrip('.')}; --no-fvu converts without computing the variance") from error


def known_variance(p: FactoredPolynomial) -> bool:
    """Whether the variance is known without computing it."""
    return "_explained" in vars(p)


def polynomial_facts(p: FactoredPolynomial) -> dict[str, Any]:
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
        "variance_by_degree": p.variance_by_degree if known else None,
    }


def fvu_lines(p: FactoredPolynomial) -> list[str]:
    """The fraction of variance unexplained: of all outputs together, and of each, or of many the range."""
    return [
        f"  FVU         {p.total_fvu:.6g}, the fraction of the variance of all outputs that is left unexplained",
        f"  by output   {_summarised(p.fvu)}",
    ]


def _summarised(fvu: NDArray[np.float64]) -> str:
    if len(fvu) <= _FEW:
        return "  ".join(f"{value:.5g}" for value in fvu)
    least, most = int(fvu.argmin()), int(fvu.argmax())
    return (
        f"{fvu[least]:.5g} (output {least}) to {fvu[most]:.5g} (output {most}), "
        f"median {float(np.median(fvu)):.5g} of {len(fvu)}"
    )


def _lines(p: FactoredPolynomial, facts: dict[str, Any], options: Any) -> list[str]:
    names = facts["tensors"]
    called = ", ".join(ours if ours == theirs else f"{ours}={theirs}" for ours, theirs in names.items())
    return [
        facts["summary"],
        f"  layer       {facts['layer']} from {options.file}: {called}",
        f"  activation  {p.activation.name}(x) = {facts['activation_formula']}{parameters_text(p.activation)}",
        f"  inputs      {facts['inputs']} from {options.inputs}",
        *(fvu_lines(p) if known_variance(p) else ["  FVU         not computed"]),
        *([f"  written     {options.out}"] if options.out is not None else []),
    ]


def parameters_text(activation: Any) -> str:
    """The values of parameters, to go behind a formula; nothing when there are none."""
    if not activation.parameters:
        return ""
    return f"   with {', '.join(f'{name} = {value:g}' for name, value in activation.parameters.items())}"
