"""symgauss inspect: what is in a file that was saved, and what a polynomial in it looks for."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.cli_convert import (
    Converted,
    fvu_lines,
    head_lines,
    known_by_degree,
    known_variance,
    parameters_text,
    polynomial_facts,
    summarised,
)
from numeric.cli_errors import Refused, check_target, refusing
from numeric.cli_files import KINDS, Tensors, loaded, signature
from numeric.dense import DensePolynomial
from numeric.factored import FactoredPolynomial
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.polynomial import SolvedPolynomial
from numeric.spectral import Spectrum, spectrum, svd

# Outputs whose eigenvalues are shown when none was chosen.
_MOST_OUTPUTS = 10
# Of larger layers only the first output is looked at, unless one was chosen: that can take a minute.
_LARGE = 2**22
# Up to here singular values take seconds.
_SMALL = 1500
# Neurons shown for each eigenvalue.
_NEURONS = 5
# Labels of components shown.
_MOST_LABELS = 10

Facts = dict[str, Any]


def run(options: Any) -> tuple[Facts, list[str]]:
    """What `symgauss inspect` prints: as facts, for JSON, and as lines. The picture is drawn before.

    Args:
        options: as the parser of `numeric.cli` makes them.
    """
    if options.plot is not None:
        from numeric.cli_picture import check

        check_target(options.plot, options.force, (options.file,))
        check(options.plot)
    obj, texts = _loaded(options.file)
    about = {"file": options.file, "written_by": texts.get("symgauss_version")}
    if isinstance(obj, Converted):
        facts, lines = _polynomial(obj, options)
    else:
        _refuse_options(obj, options)
        facts, lines = _described(obj)
    return {**about, **facts}, [f"{options.file}: {lines[0]}", *lines[1:]]


def _loaded(path: str) -> tuple[Any, dict[str, str]]:
    kind = signature(path)
    if kind != "safetensors":
        raise Refused(
            f"{path!r} is an .{kind} file; inspect reads what convert and .save wrote, and convert takes .{kind} files"
        )
    archive = Tensors(path)
    if not archive.ours:
        raise Refused(
            f"{path!r} was not written by symgauss; inspect reads what convert and .save wrote, "
            "and convert takes the files of others"
        )
    return loaded(path), archive.texts


def _refuse_options(obj: Any, options: Any) -> None:
    """Those that ask for what only a converted layer has."""
    for name in ("output", "count", "whitened", "fvu", "plot", "shape"):
        given = getattr(options, name)
        if given is not None and given is not False:  # an output may be 0
            raise Refused(f"{options.file!r} holds {obj}; --{name} takes a polynomial that convert made")


# Everything but converted layers


def _described(obj: Any) -> tuple[Facts, list[str]]:
    for kind, describe in _KINDS.items():
        if isinstance(obj, kind):
            return describe(obj)
    return {"kind": type(obj).__name__, "summary": repr(obj)}, [repr(obj)]


def _layer(layer: MLP | GLU) -> tuple[Facts, list[str]]:
    act = layer.activation
    arrays = {name: getattr(layer, name) for name in KINDS[type(layer)] if getattr(layer, name) is not None}
    facts = {
        "kind": type(layer).__name__,
        "summary": repr(layer),
        "d_in": layer.d_in,
        "n_hidden": layer.n_hidden,
        "d_out": layer.d_out,
        "activation": act.name,
        "activation_parameters": act.parameters,
        "activation_formula": act.formula,
        "arrays": {name: {"dtype": str(array.dtype), "shape": array.shape} for name, array in arrays.items()},
    }
    lines = [repr(layer), f"  activation  {act.name}(x) = {act.formula}{parameters_text(act)}"]
    return facts, lines + [_array_line(name, array) for name, array in arrays.items()]


def _array_line(name: str, array: NDArray[Any]) -> str:
    shape = " × ".join(map(str, array.shape))
    root = float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
    return f"  {name:<10}  {shape}, {array.dtype}, root mean square {root:.4g}"


def _gaussian(inputs: Gaussian) -> tuple[Facts, list[str]]:
    std = inputs.std
    facts = {
        "kind": "Gaussian",
        "summary": repr(inputs),
        "dim": inputs.dim,
        "covariance": type(inputs.covariance).__name__.lower(),
        "rank_at_most": inputs.covariance.rank,
        "mean": inputs.mean,
        "std": std,
    }
    return facts, [repr(inputs), *_moment_lines(inputs)]


def _moment_lines(inputs: Gaussian | GaussianMixture) -> list[str]:
    std = inputs.std
    constant = int(np.sum(std == 0))
    return [
        f"  mean        {_range(inputs.mean)}",
        f"  std         {_range(std)}{f', 0 in {constant} of {inputs.dim} coordinates' if constant else ''}",
        f"  variance    {float(std @ std):.6g} in all",
    ]


def _mixture(mixture: GaussianMixture) -> tuple[Facts, list[str]]:
    total, within = float(mixture.std @ mixture.std), _variance_within(mixture)
    labels = None if mixture.labels is None else [_label(label) for label in mixture.labels.tolist()]
    facts = {
        "kind": "GaussianMixture",
        "summary": repr(mixture),
        "n_components": mixture.n_components,
        "dim": mixture.dim,
        "covariance": mixture.covariance_type,
        "noise_floor": mixture.noise_floor,
        "weights": mixture.weights,
        "labels": labels,
        "rank_at_most": mixture.moment_matched().covariance.rank,
        "mean": mixture.mean,
        "std": mixture.std,
        "variance_within": within,
    }
    *moments, variance = _moment_lines(mixture)
    # never below 0: the variance between components may be rounding
    between = max(1 - within / total, 0.0) if total > 0 else 0.0
    return facts, [
        repr(mixture),
        f"  weights     {summarised(mixture.weights, 'component')}",
        *([] if labels is None else [f"  labels      {_listed(labels)}"]),
        *moments,
        f"{variance}, {between:.2%} of it between the means of components",
        f"  rank        {facts['rank_at_most']} of {mixture.dim}",
    ]


def _variance_within(mixture: GaussianMixture) -> float:
    """What the components have by themselves of the variance of all coordinates."""
    variances = [float(component.std @ component.std) for component in mixture.components]
    return float(mixture.weights @ np.array(variances))


def _label(label: Any) -> Any:
    """As JSON has it."""
    return label.decode("latin-1") if isinstance(label, bytes) else label


def _listed(labels: list[Any]) -> str:
    shown = ", ".join(str(label) for label in labels[:_MOST_LABELS])
    return shown if len(labels) <= _MOST_LABELS else f"{shown}, … of {len(labels)}"


def _range(values: NDArray[np.float64]) -> str:
    return f"{values.min():.6g}" if values.min() == values.max() else f"{values.min():.6g} to {values.max():.6g}"


def _dense(p: DensePolynomial) -> tuple[Facts, list[str]]:
    norms = [float(np.linalg.norm(tensor)) for tensor in p.coefficients]
    facts = {
        "kind": "DensePolynomial",
        "summary": repr(p),
        "degree": p.degree,
        "d_in": p.d_in,
        "d_out": p.d_out,
        "center": p.center,
        "norms": norms,
    }
    shapes = (" × ".join(map(str, tensor.shape)) for tensor in p.coefficients)
    rows = [f"  order {k:<6}  {shape}, norm {norm:.6g}" for k, (shape, norm) in enumerate(zip(shapes, norms))]
    return facts, [repr(p), f"  center      {_range(p.center)}", *rows]


_KINDS: dict[type, Any] = {
    MLP: _layer,
    GLU: _layer,
    Gaussian: _gaussian,
    GaussianMixture: _mixture,
    DensePolynomial: _dense,
}


# Converted layers


def _polynomial(p: Converted, options: Any) -> tuple[Facts, list[str]]:
    _check_output(p, options)
    if options.fvu:
        with refusing(options.file):
            _ = p.total_fvu, p.variance_by_degree
    with refusing(options.file):
        values = _singular_values(p, options.count, options.whitened)
        spectra = _spectra(p, options)
    if options.plot is not None:
        from numeric.cli_picture import draw

        draw(p, spectra, options, linear=_has_part(p, 1))
    facts = {
        **polynomial_facts(p),
        "whitened": options.whitened,
        "singular_values": values,
        "spectra": [_spectrum_facts(p, output, found) for output, found in spectra.items()],
        "plot": options.plot,
    }
    return facts, list(_polynomial_lines(p, facts, spectra, options))


def _check_output(p: Converted, options: Any) -> None:
    if options.output is not None and options.output >= p.d_out:
        raise Refused(f"{options.file!r} has the outputs 0 to {p.d_out - 1}; there is no output {options.output}")


def _has_part(p: Converted, degree: int) -> bool:
    """Whether the part of this degree can be told from the others; above 2 it cannot under a mixture."""
    return p.degree >= degree and (isinstance(p, FactoredPolynomial) or p.degree <= 2)


def _singular_values(p: Converted, count: int | None, whitened: bool) -> NDArray[np.float64] | None:
    """The largest; None for a polynomial without linear part, and for a large one unless they were asked for."""
    if not _has_part(p, 1):
        return None
    if count is None and min(p.d_in, p.d_out) > _SMALL:  # minutes
        return None
    values = svd(p, whitened=whitened).values
    return values[: count or 10]


def _spectra(p: Converted, options: Any) -> dict[int, Spectrum]:
    """Of the degree-2 part of the output that was chosen, or of the first ones."""
    rank = _rank(p) if options.whitened else p.d_in
    if not _has_part(p, 2) or rank == 0:
        return {}
    single = options.output is not None
    most = 1 if p.d_in * p.n_hidden > _LARGE else _MOST_OUTPUTS
    outputs = [options.output] if single else range(min(p.d_out, most))
    count = min(options.count or (10 if single else 5), rank)
    return {output: spectrum(p, output, count, options.whitened) for output in outputs}


def _rank(p: Converted) -> int:
    inputs = p.inputs.moment_matched() if isinstance(p, SolvedPolynomial) else p.inputs
    return inputs.covariance.rank


def _spectrum_facts(p: Converted, output: int, found: Spectrum) -> Facts:
    """Under a mixture eigenvalues are no sums over neurons, and carry no variance of their own."""
    summed = isinstance(p, FactoredPolynomial)
    return {
        "output": output,
        "eigenvalues": found.values,
        "variances": found.variance if found.whitened and summed else None,
        "neurons": [_neuron_facts(found, i) for i in range(len(found.values))] if summed else None,
    }


def _neuron_facts(found: Spectrum, index: int) -> list[Facts]:
    pairs = zip(*found.neurons(index, _NEURONS))
    return [{"neuron": int(neuron), "contribution": float(amount)} for neuron, amount in pairs]


def _polynomial_lines(p: Converted, facts: Facts, spectra: dict[int, Spectrum], options: Any) -> Iterator[str]:
    yield facts["summary"]
    yield from head_lines(p, facts)
    if known_variance(p):
        yield from fvu_lines(p)
        yield f"  variance    {_shares(p) if known_by_degree(p) else 'by degree is not in the file; --fvu computes it'}"
    else:
        yield "  FVU         not in the file; --fvu computes it"
    if p.degree > 2 and not _has_part(p, 1):
        yield "  parts       of degree 1 and 2 cannot be told apart above degree 2 under a mixture; convert to degree 2"
    metric = "per standard deviation of the inputs" if options.whitened else "per unit of the inputs"
    if facts["singular_values"] is not None:
        yield f"\nsingular values of the linear part, {metric}"
        yield f"  {_numbers(facts['singular_values'])}"
    if spectra:
        summed = isinstance(p, FactoredPolynomial)
        more = ", and the neurons that contribute most" if summed else ""
        yield f"\neigenvalues of the degree-2 part, {metric}{more}"
        if options.output is not None:
            yield from _single_lines(options.output, spectra[options.output], summed)
        else:
            yield from _table(spectra, summed)
            if len(spectra) < p.d_out:
                yield f"  … of {p.d_out} outputs; --output N shows another"
    if options.plot is not None:
        yield f"\nwritten to {options.plot}"


def _shares(p: Converted) -> str:
    """What each degree explains of the variance of all outputs together."""
    variance = p._explained if isinstance(p, FactoredPolynomial) else p._unexplained
    total = float(variance.total.sum())
    if total <= 0:
        return "the outputs do not vary"
    by_degree = p.variance_by_degree.sum(axis=1) / total
    parts = [f"degree {k} {share:.2%}" for k, share in enumerate(by_degree, 1)]
    return ", ".join([*parts, f"left {p.total_fvu:.2%}"])


def _table(spectra: dict[int, Spectrum], summed: bool) -> Iterator[str]:
    """A line for every output: its eigenvalues, and the neurons of the first where it is a sum over neurons."""
    rows = [(f"output {output}", _numbers(found.values)) for output, found in spectra.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for (name, values), found in zip(rows, spectra.values()):
        neurons = f"  the first from {_neurons(found, 0, 3)}" if summed else ""
        yield f"  {name:<{widths[0]}}  {values:<{widths[1]}}{neurons}".rstrip()


def _single_lines(output: int, found: Spectrum, summed: bool) -> Iterator[str]:
    """A line for every eigenvalue of one output."""
    yield f"  output {output}"
    variances = found.variance if found.whitened and summed else None
    for i, value in enumerate(found.values):
        carried = "" if variances is None else f"  variance {variances[i]:<10.4g}"
        yield f"  {value:>+11.5g}{carried}{f'  from {_neurons(found, i)}' if summed else ''}"


def _neurons(found: Spectrum, index: int, count: int = _NEURONS) -> str:
    numbers, amounts = found.neurons(index, count)
    return ", ".join(f"{number} ({amount:+.3g})" for number, amount in zip(numbers, amounts))


def _numbers(values: NDArray[np.float64]) -> str:
    return "  ".join(f"{value:.5g}" for value in values)
