"""Layers, inputs and polynomials in files: safetensors with readable metadata, from which nothing is executed.

Every file says in texts what it holds (kind, degree, sizes, activation with parameters and formula, covariance,
versions), and has the arrays under the names that they have in Python. What is loaded is equal to what was saved to
the last bit: coefficients are stored, not computed again. The same goes for the fraction of variance unexplained:
if it was known when a polynomial was saved it is in the file, and else it is computed when it is asked for.

Activations are stored by name, with their parameters and the formula, never as source text. The formula is
compared with that of the activation that has the name now.

    symgauss_format, kind, summary            "1", "RidgePolynomial", the repr
    symgauss_version, numpy_version           that saved it
    degree, d_in, n_hidden, d_out, dim        as far as there are such
    activation, activation_formula            its name and σ(x) with parameters by name
    activation_parameters, activation_key     {"negative_slope": 0.2}; of kernels compiled at run time
    covariance, inputs                        identity, diagonal, factor or full; the repr
    n_components, noise_floor, labels         of a mixture, of which the covariance is full, diag or tied; labels as
                                              {"dtype": "int64", "values": [0, 1]}
    total_fvu                                 if it was known
"""

import functools
import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric import checks
from numeric.activations import Activation, UnknownActivation
from numeric.activations import activation as resolve
from numeric.blocks import row_blocks
from numeric.covariance import Covariance, Diagonal, Factor, Full, Identity
from numeric.dense import DensePolynomial
from numeric.factored import FactoredPolynomial
from numeric.gated import GatedPolynomial
from numeric.inputs import Gaussian
from numeric.layers import GLU, MLP, Layer
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.polynomial import Info, SolvedPolynomial
from numeric.polynomial import RidgePolynomial
from numeric.safetensors_format import BrokenFile, broken, naming, read, write

__all__ = ["BrokenFile", "Savable", "Saved", "WrongActivation", "load", "save"]

Float64 = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
Savable = Layer | Gaussian | GaussianMixture | FactoredPolynomial | SolvedPolynomial | DensePolynomial
Saved = MLP | GLU | Gaussian | GaussianMixture | RidgePolynomial | GatedPolynomial | SolvedPolynomial | DensePolynomial

# Counted up when files change so that older versions cannot read them.
FORMAT_VERSION = 1

_UPGRADE = "Install the version of symgauss that wrote it, or a newer one."
_NOT_OURS = "Only files that were written by save can be loaded."


class WrongActivation(ValueError):
    """A file needs an activation that was not passed, or one with another formula than that of this name."""


def save(obj: Savable, path: str | os.PathLike[str]) -> None:
    """Write a layer, inputs or a polynomial to a safetensors file, from which `load` makes the same again.

    An existing file is replaced as a whole: a crash at any moment leaves it as it was. Dtypes and the order of the
    axes in memory are kept; a view with steps or a reversed one becomes contiguous, after which matrix products may
    round differently. `fvu` is in the file if it was computed before.

    Args:
        obj: an MLP, a GLU, a Gaussian, a GaussianMixture, or a polynomial.
        path: where to, by any name; by custom it ends in .safetensors.

    Raises:
        TypeError: something else.
        ValueError: arrays that were overwritten with NaN or infinities since the object was made.
        OSError: the folder does not exist or cannot be written to, the path is a folder, the disk is full.
    """
    _check_type("obj", obj, tuple(kind.type for kind in _KINDS.values()))
    if not isinstance(obj, Gaussian | GaussianMixture):
        obj = obj.cpu()
    arrays = _KINDS[type(obj).__name__].pack(obj)
    write(path, {**_structure(obj, arrays), **_notes(obj)}, arrays)


def load(path: str | os.PathLike[str], activation: Any = None) -> Saved:
    """What `save` wrote: an object equal to the saved one to the last bit.

    Nothing in the file is executed, and none of it is believed unchecked. It is read once; no more memory is taken
    than it has bytes, and some for checking one array at a time.

    Args:
        path: the file.
        activation: for a layer or polynomial with an activation that is not in the catalogue: that activation, as
            `numeric.activation` accepts it. Its parameters are those in the file.

    Raises:
        BrokenFile: a file that is damaged, incomplete, from a newer version, or not one of ours.
        WrongActivation: an activation that has to be passed, or whose formula is not the one in the file.
        OSError: no such file, a folder, no permission.

    >>> layer.save("layer.safetensors")
    >>> load("layer.safetensors")
    MLP(784 → 512 → 10, gelu)
    """
    metadata, arrays = read(path, _accept)
    with naming(path):
        return _made(os.fspath(path), metadata, arrays, activation)


def _accept(metadata: Mapping[str, str]) -> None:
    """Refuse what is not one of our files, or is of a version that is not known yet."""
    text = metadata.get("symgauss_format")
    if text is None:
        raise broken("its metadata have no entry symgauss_format", "a file of symgauss", _NOT_OURS)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise broken(f"its format is {text!r}", "a version number")
    if int(text) != FORMAT_VERSION:
        found = f"its format is version {int(text)}, of symgauss {metadata.get('symgauss_version', 'unknown')}"
        raise broken(found, f"version {FORMAT_VERSION}, which symgauss {_version()} reads", _UPGRADE)
    if metadata.get("kind") not in _KINDS:
        raise broken(f"it holds a {metadata.get('kind')!r}", "one of " + ", ".join(_KINDS), _UPGRADE)


def _made(path: str, metadata: Mapping[str, str], arrays: Arrays, given: Any) -> Saved:
    kind = _KINDS[metadata["kind"]]
    if kind.has_activation:
        act = _activation(path, metadata, given)
    elif given is None:
        act = None
    else:
        raise WrongActivation(f"{path!r}: it holds a {metadata['kind']}, which has no activation; load it without")
    names, tensors = set(arrays), _Tensors(arrays)
    try:
        obj = kind.unpack(metadata, tensors, act)
    except BrokenFile:
        raise
    except (ValueError, TypeError) as error:
        raise broken(f"it does not hold a {metadata['kind']}: {error}", f"a {metadata['kind']}") from error
    tensors.refuse_others()
    expected = _structure(obj, names)
    for name in _STRUCTURE:
        if metadata.get(name) != expected.get(name):
            raise broken(f"its entry {name} is {metadata.get(name)!r}", f"{expected.get(name)!r}, as its arrays say")
    return obj


def _check_type(name: str, value: object, types: tuple[type, ...]) -> None:
    """A subclass may have more to it than would be saved."""
    if type(value) not in types:
        names = " or ".join(kind.__name__ for kind in types)
        raise TypeError(f"{name}: expected {names}, got {type(value).__name__}")


# What the texts say

_SIZES = ("degree", "d_in", "n_hidden", "d_out", "dim", "n_components")
_STRUCTURE = ("symgauss_format", "kind", *_SIZES, "covariance", "noise_floor", "labels", "info", "total_fvu")


def _structure(obj: Savable, arrays: Collection[str]) -> dict[str, str]:
    """What follows from the object itself and the names of its arrays; in a file it has to agree with them."""
    found = {"symgauss_format": str(FORMAT_VERSION), "kind": type(obj).__name__}
    for name in _SIZES:
        if hasattr(obj, name):
            found[name] = str(getattr(obj, name))
    if isinstance(obj, Gaussian):
        found["covariance"] = _form(obj)
    mixture = obj.inputs if isinstance(obj, SolvedPolynomial) else obj
    if isinstance(mixture, GaussianMixture):
        found |= {"covariance": mixture.covariance_type, "noise_floor": repr(mixture.noise_floor)}
        if mixture.labels is not None:
            found["labels"] = _labels_text(mixture.labels)
    if isinstance(obj, SolvedPolynomial):
        found["info"] = _info_text(obj.info)
        if f"fvu.{_UNEXPLAINED[0]}" in arrays:
            found["total_fvu"] = repr(obj.total_fvu)
    if isinstance(obj, FactoredPolynomial):
        found["covariance"] = _form(obj.inputs)
        # Asked of the arrays, because another thread may just have computed it.
        if f"fvu.{_EXPLAINED[0]}" in arrays:
            found["total_fvu"] = repr(obj.total_fvu)
    return found


def _form(inputs: Gaussian) -> str:
    return type(inputs.covariance).__name__.lower()


def _notes(obj: Savable) -> dict[str, str]:
    """What is there for the reader, and the activation."""
    notes = {"summary": repr(obj), "symgauss_version": _version(), "numpy_version": np.__version__}
    if isinstance(obj, FactoredPolynomial | SolvedPolynomial):
        notes["inputs"] = repr(obj.inputs)
    if isinstance(obj, Layer | FactoredPolynomial | SolvedPolynomial):
        act = obj.activation
        notes["activation"] = act.name
        notes["activation_formula"] = act.formula
        notes["activation_parameters"] = json.dumps({name: float(value) for name, value in act.parameters.items()})
        if act.source is not None:
            notes["activation_key"] = act.source.key
    return notes


def _version() -> str:
    try:
        return version("symgauss")
    except PackageNotFoundError:  # in a checkout that is not installed
        return "unknown"


# Activations


def _activation(path: str, metadata: Mapping[str, str], given: Any) -> Activation:
    name, formula, parameters = _stored_activation(metadata)
    about = f"{path!r}: it was made with the activation {_described(name, formula, parameters)}"
    pass_it = f"Pass that one: load({path!r}, activation=…)"
    try:
        act = resolve(name if given is None else given)
    except UnknownActivation as error:
        if given is not None:
            raise
        raise WrongActivation(f"{about}; none of this name is known. {pass_it}.") from error
    if (act.name, act.formula, act.parameters.keys()) != (name, formula, parameters.keys()):
        found = _described(act.name, act.formula, act.parameters)
        whose = "that of this name" if given is None else "the one passed"
        raise WrongActivation(f"{about}; {whose} is {found}. {pass_it}, or convert the layer again.")
    try:
        return resolve(act, **parameters)
    except (ValueError, TypeError) as error:
        raise broken(f"it has impossible parameters: {error}", f"parameters of {name}") from error


def _described(name: str, formula: str, parameters: Mapping[str, float]) -> str:
    return f"{name!r}, σ(x) = {formula}, parameters: {', '.join(parameters) or 'none'}"


def _stored_activation(metadata: Mapping[str, str]) -> tuple[str, str, dict[str, float]]:
    """Name, formula and parameters."""
    for name in ("activation", "activation_formula", "activation_parameters"):
        if name not in metadata:
            raise broken(f"its metadata have no entry {name}", "name, formula and parameters of an activation")
    text = metadata["activation_parameters"]
    try:
        parameters = json.loads(text)
    except (ValueError, RecursionError):
        parameters = None
    if not isinstance(parameters, dict) or not all(type(value) is float for value in parameters.values()):
        raise broken(f"its entry activation_parameters is {text[:80]!r}", "an object of numbers")
    return metadata["activation"], metadata["activation_formula"], parameters


# What the arrays are: `pack` takes an object apart, `unpack` makes it again


class _Tensors:
    """The arrays of a file, each of which must be asked for."""

    def __init__(self, arrays: Arrays, prefix: str = "") -> None:
        self._left, self._prefix = arrays, prefix

    def within(self, prefix: str) -> "_Tensors":
        """Those whose names begin so."""
        return _Tensors(self._left, self._prefix + prefix)

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._left

    def take(self, name: str) -> NDArray[Any]:
        """An array that must be there."""
        if name not in self:
            raise broken(f"it has no tensor {self._prefix + name!r}", "one")
        return self._left.pop(self._prefix + name)

    def take_if_there(self, name: str) -> NDArray[Any] | None:
        return self.take(name) if name in self else None

    def doubles(self, name: str, shape: tuple[int | None, ...], *, empty: bool = False) -> Float64:
        """An array of this shape that must be there, finite and float64; `empty` if it may be."""
        array = self.take(name)
        if array.dtype != np.float64:
            raise broken(f"tensor {self._prefix + name!r} has dtype {array.dtype}", "float64")
        if empty and array.shape == shape and array.size == 0:
            return array
        return checks.real_array(self._prefix + name, array, shape)

    def refuse_others(self) -> None:
        if self._left:
            names = ", ".join(map(repr, list(self._left)[:5]))
            raise broken(f"it has {len(self._left)} tensors that are not known: {names}", "none of those")


def _pack_layer(layer: Layer) -> Arrays:
    _check_type("layer", layer, (MLP, GLU))
    arrays = {name: getattr(layer, name) for name in _LAYERS[type(layer).__name__]}
    return {name: array for name, array in arrays.items() if array is not None}


def _unpack_layer(kind: type[MLP | GLU], _: Mapping[str, str], tensors: _Tensors, act: Activation | None) -> MLP | GLU:
    arrays: dict[str, Any] = {
        name: tensors.take(name) if required else tensors.take_if_there(name)
        for name, required in _LAYERS[kind.__name__].items()
    }
    return kind(**arrays, activation=act)


# The arrays of layers, and whether they must be there.
_LAYERS = {
    "MLP": {"W_in": True, "b_in": False, "W_out": True, "b_out": False},
    "GLU": {"W_gate": True, "b_gate": False, "W_up": True, "b_up": False, "W_out": False, "b_out": False},
}


def _pack_inputs(inputs: Gaussian) -> Arrays:
    _check_type("inputs", inputs, (Gaussian,))
    match inputs.covariance:
        case Identity():
            return {"mean": inputs.mean}
        case Diagonal(variances):
            return {"mean": inputs.mean, "variances": variances}
        case Factor(F):
            return {"mean": inputs.mean, "F": F}
        case Full(matrix):
            return {"mean": inputs.mean, "cov": matrix}


def _unpack_inputs(metadata: Mapping[str, str], tensors: _Tensors, _: Activation | None = None) -> Gaussian:
    # Not by the constructors, which copy, and make a covariance symmetric that is so only up to rounding.
    mean = tensors.doubles("mean", (None,))
    return Gaussian._from_parts(mean, _covariance(metadata.get("covariance"), tensors, len(mean)))


def _covariance(form: str | None, tensors: _Tensors, dim: int) -> Covariance:
    match form:
        case "identity":
            return Identity(dim)
        case "diagonal":
            variances = tensors.doubles("variances", (dim,))
            if variances.min() < 0:
                raise broken(f"a variance is {variances.min()}", "variances ≥ 0")
            return Diagonal(_frozen(variances))
        case "factor":
            return Factor(_frozen(tensors.doubles("F", (dim, None))))
        case "full":
            return Full(_frozen(_symmetric(tensors.doubles("cov", (dim, dim)))))
        case _:
            raise broken(f"its entry covariance is {form!r}", "identity, diagonal, factor or full")


def _symmetric(matrix: Float64) -> Float64:
    """Up to rounding. That it is semidefinite was checked when it was made, and the checksum says that it is that."""
    tolerance = float(np.sqrt(np.finfo(np.float64).eps)) * max(float(matrix.max()), -float(matrix.min()))
    for rows in row_blocks(len(matrix), len(matrix), 2**20):
        difference = np.abs(matrix[rows] - matrix[:, rows].T)
        if difference.max() > tolerance:
            raise broken("its covariance is not symmetric", "a symmetric matrix")
    return matrix


def _pack_mixture(mixture: GaussianMixture) -> Arrays:
    _check_type("mixture", mixture, (GaussianMixture,))
    arrays: Arrays = {"weights": mixture.weights, "means": mixture.means}
    packed = [_pack_inputs(component) for component in mixture.components]
    match mixture.covariance_type:
        case "full":
            return arrays | {f"covs.{k}": component["cov"] for k, component in enumerate(packed)}
        case "diag":
            return arrays | {"variances": np.stack([component["variances"] for component in packed])}
        case "tied":
            return arrays | {"cov": packed[0]["cov"]}


def _unpack_mixture(metadata: Mapping[str, str], tensors: _Tensors, _: Activation | None) -> GaussianMixture:
    # Not by the constructor, which divides by the sum of the weights and adds the noise once more.
    weights = tensors.doubles("weights", (None,))
    if weights.min() < 0 or abs(weights.sum() - 1) > 1e-8:
        raise broken(f"its weights are at least {weights.min()} and sum to {weights.sum()}", "≥ 0, and a sum of 1")
    means = tensors.doubles("means", (len(weights), None))
    noise_floor = float(metadata.get("noise_floor", ""))
    if not 0 <= noise_floor < np.inf:
        raise broken(f"its noise floor is {noise_floor}", "a finite number ≥ 0")
    form, labels = metadata.get("covariance"), _labels(metadata.get("labels"))
    if labels is not None and len(labels) != len(weights):
        raise broken(f"it has {len(labels)} labels", f"{len(weights)}, one for each component")
    covariances = _mixture_covariances(form, tensors, *means.shape)
    return GaussianMixture._from_parts(weights, means, covariances, form, noise_floor, labels)


def _mixture_covariances(form: str | None, tensors: _Tensors, n_components: int, dim: int) -> tuple[Covariance, ...]:
    match form:
        case "full":
            matrices = (tensors.doubles(f"covs.{k}", (dim, dim)) for k in range(n_components))
            return tuple(Full(_frozen(_symmetric(matrix))) for matrix in matrices)
        case "diag":
            variances = tensors.doubles("variances", (n_components, dim))
            if variances.min() < 0:
                raise broken(f"a variance is {variances.min()}", "variances ≥ 0")
            return tuple(Diagonal(row) for row in _frozen(variances))
        case "tied":
            return (_covariance("full", tensors, dim),)
        case _:
            raise broken(f"its entry covariance is {form!r}", "full, diag or tied")


def _pack_mixture_polynomial(p: SolvedPolynomial) -> Arrays:
    if not isinstance(p.inputs, GaussianMixture):
        raise TypeError(
            f"obj: expected inputs that a file can hold, got {p.inputs}; save p.polynomial, the coefficients alone"
        )
    arrays = {f"layer.{name}": array for name, array in _pack_layer(p.layer).items()}
    arrays |= {f"inputs.{name}": array for name, array in _pack_mixture(p.inputs).items()}
    arrays |= {f"polynomial.{name}": array for name, array in _pack_dense(p.polynomial).items()}
    # a file holds finite numbers: -1 stands for an error of which nothing is known
    arrays["energy_error"] = np.where(np.isinf(p.info.energy_error), -1.0, p.info.energy_error)
    known = vars(p).get("_unexplained")
    if known is not None and all(np.isfinite(getattr(known, name)).all() for name in _UNEXPLAINED):
        arrays |= {f"fvu.{name}": getattr(known, name) for name in _UNEXPLAINED}
    return arrays


_UNEXPLAINED = ("residual", "total")


def _unpack_mixture_polynomial(
    metadata: Mapping[str, str], tensors: _Tensors, act: Activation | None
) -> SolvedPolynomial:
    inputs = _unpack_mixture(metadata, tensors.within("inputs."), None)
    kind = GLU if "layer.W_gate" in tensors else MLP
    layer = _unpack_layer(kind, metadata, tensors.within("layer."), act)
    polynomial = _unpack_dense(metadata, tensors.within("polynomial."), None)
    sizes = (inputs.dim, polynomial.d_in, polynomial.d_out)
    if sizes != (layer.d_in, layer.d_in, layer.d_out):
        raise broken(f"its inputs have {sizes[0]} dimensions and its polynomial is {sizes[1]} → {sizes[2]}", f"{layer}")
    p = SolvedPolynomial(layer, inputs, polynomial, _info(metadata.get("info"), tensors, layer.d_out))
    parts = tensors.within("fvu.")
    if any(name in parts for name in _UNEXPLAINED):
        from numeric.mixture.variance import Unexplained  # a later stage than files

        known = [parts.doubles(name, (layer.d_out,)) for name in _UNEXPLAINED]
        if min(part.min() for part in known) < 0:
            raise broken("a variance is negative", "variances ≥ 0")
        vars(p)["_unexplained"] = Unexplained(*known)
    return p


def _info_text(info: Info) -> str:
    return json.dumps({name: getattr(info, name) for name in _INFO})


_INFO = {"iterations": int, "seconds": float, "converged": bool, "degenerate": int}


def _info(text: str | None, tensors: _Tensors, d_out: int) -> Info:
    try:
        entry = json.loads(text or "")
        if entry.keys() != _INFO.keys() or any(type(entry[name]) is not kind for name, kind in _INFO.items()):
            raise ValueError
    except (ValueError, AttributeError, RecursionError):
        raise broken(f"its entry info is {(text or '')[:80]!r}", "how it was solved for") from None
    error = tensors.doubles("energy_error", (d_out,))
    return Info(energy_error=np.where(error < 0, np.inf, error), **entry)


# Labels of components: strings are stored without the width of their array, which may be any.
_LABEL_DTYPES = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "str", "bytes")


def _labels_text(labels: NDArray[Any]) -> str:
    name = {"U": "str", "S": "bytes"}.get(labels.dtype.kind, labels.dtype.name)
    values = [value.decode("latin-1") for value in labels.tolist()] if name == "bytes" else labels.tolist()
    return json.dumps({"dtype": name, "values": values})


def _labels(text: str | None) -> NDArray[Any] | None:
    if text is None:
        return None
    try:
        entry = json.loads(text)
        name, values = entry["dtype"], entry["values"]
        kind = {"str": str, "bytes": str, "bool": bool}.get(name, int)
        if name not in _LABEL_DTYPES or not all(type(value) is kind for value in values):
            raise ValueError
        return np.array([value.encode("latin-1") for value in values] if name == "bytes" else values, dtype=name)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise broken(f"its entry labels is {text[:80]!r}", "a dtype and values of it") from None


def _pack_factored(p: FactoredPolynomial) -> Arrays:
    arrays = {f"layer.{name}": array for name, array in _pack_layer(p.layer).items()}
    arrays |= {f"inputs.{name}": array for name, array in _pack_inputs(p.inputs).items()}
    arrays |= {name: getattr(p, name) for name in (*_OF_NEURONS, "hermite")}
    if isinstance(p, GatedPolynomial):
        arrays |= {name: getattr(p, name) for name in _OF_GATES}
    known = _known_variance(p)
    if known is not None:
        arrays |= {f"fvu.{name}": getattr(known, name) for name in _EXPLAINED}
    return arrays


def _known_variance(p: FactoredPolynomial) -> Any:
    """The `Explained` of p if it was asked for before: computing it can take longer than everything else."""
    known = vars(p).get("_explained")
    if known is None or not all(np.isfinite(getattr(known, name)).all() for name in _EXPLAINED):
        return None
    return known


_OF_NEURONS = ("preactivation_mean", "preactivation_std")
_OF_GATES = ("up_mean", "coupling")
_EXPLAINED = ("by_degree", "residual", "error")


def _unpack_factored(
    kind: type[RidgePolynomial | GatedPolynomial],
    metadata: Mapping[str, str],
    tensors: _Tensors,
    act: Activation | None,
) -> FactoredPolynomial:
    gated = kind is GatedPolynomial
    inputs = _unpack_inputs(metadata, tensors.within("inputs."))
    layer = _unpack_layer(GLU if gated else MLP, metadata, tensors.within("layer."), act)
    if inputs.dim != layer.d_in:
        raise broken(f"its inputs have {inputs.dim} dimensions", f"{layer.d_in}, as its layer has")
    n = layer.n_hidden
    mean, std = (tensors.doubles(name, (n,)) for name in _OF_NEURONS)
    if std.min() < 0:
        raise broken(f"a standard deviation is {std.min()}", "standard deviations ≥ 0")
    hermite = tensors.doubles("hermite", (n, None))
    if gated and hermite.shape[1] < 2:
        raise broken("its Hermite coefficients are of one order", "those of at least two")
    others = [tensors.doubles(name, (n,)) for name in _OF_GATES] if gated else []
    parts: list[Any] = [layer, inputs, mean, std, hermite, *others]
    p = kind(*parts)
    _restore_explained(p, tensors.within("fvu."))
    return p


def _restore_explained(p: FactoredPolynomial, tensors: _Tensors) -> None:
    """The variance that was known when p was saved, to the last bit."""
    if not any(name in tensors for name in _EXPLAINED):
        return
    from numeric.variance import Explained  # a later stage than files: most that load never ask for it

    shapes = ((p.degree, p.d_out), (p.d_out,), (p.d_out,))
    parts = [tensors.doubles(name, shape, empty=True) for name, shape in zip(_EXPLAINED, shapes)]
    if any(part.min(initial=0.0) < 0 for part in parts):
        raise broken("a variance is negative", "variances ≥ 0")
    vars(p)["_explained"] = Explained(*parts)


def _pack_dense(p: DensePolynomial) -> Arrays:
    return {"center": p.center, **{f"coefficients.{k}": tensor for k, tensor in enumerate(p.coefficients)}}


def _unpack_dense(_: Mapping[str, str], tensors: _Tensors, __: Activation | None) -> DensePolynomial:
    center = tensors.doubles("center", (None,))
    coefficients = [tensors.doubles("coefficients.0", (None,))]
    while f"coefficients.{len(coefficients)}" in tensors:
        k = len(coefficients)
        tensor = tensors.doubles(f"coefficients.{k}", (len(coefficients[0]), *(len(center),) * k))
        # Neighbours exchanged make all permutations.
        if not all(np.array_equal(tensor, tensor.swapaxes(i, i + 1)) for i in range(1, k)):
            raise broken(f"its coefficients of order {k} are not symmetric", "symmetric tensors")
        coefficients.append(tensor)
    return DensePolynomial._from_symmetric(center, coefficients)


def _frozen(array: Float64) -> Float64:
    array.flags.writeable = False
    return array


@dataclass(frozen=True)
class _Kind:
    """A type of which objects are saved."""

    type: type
    pack: Callable[[Any], Arrays]
    unpack: Callable[[Mapping[str, str], _Tensors, Activation | None], Any]
    has_activation: bool


_KINDS = {
    kind.type.__name__: kind
    for kind in (
        _Kind(MLP, _pack_layer, functools.partial(_unpack_layer, MLP), True),
        _Kind(GLU, _pack_layer, functools.partial(_unpack_layer, GLU), True),
        _Kind(Gaussian, _pack_inputs, _unpack_inputs, False),
        _Kind(GaussianMixture, _pack_mixture, _unpack_mixture, False),
        _Kind(RidgePolynomial, _pack_factored, functools.partial(_unpack_factored, RidgePolynomial), True),
        _Kind(GatedPolynomial, _pack_factored, functools.partial(_unpack_factored, GatedPolynomial), True),
        _Kind(SolvedPolynomial, _pack_mixture_polynomial, _unpack_mixture_polynomial, True),
        _Kind(DensePolynomial, _pack_dense, _unpack_dense, False),
    )
}
