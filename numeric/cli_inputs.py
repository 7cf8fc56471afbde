"""Inputs from files: samples, with labels or without, the statistics of a Gaussian or of a mixture, and what was saved.

What a file is its first bytes say, and what it holds the names of its arrays. Nothing is ever unpickled.
"""

from typing import Any, get_args

import numpy as np

from numeric.cli_errors import Refused, refusing
from numeric.cli_files import Npz, Tensors, archive_of, damaged, loaded, shape_text, signature
from numeric.inputs import Gaussian
from numeric.mixture.inputs import CovarianceType, GaussianMixture

Inputs = Gaussian | GaussianMixture

# The arrays that describe inputs, and what they describe.
_GAUSSIANS = {
    frozenset({"X"}): "X (n, d)",
    frozenset({"mean", "cov"}): "mean with cov (d, d) or (d,)",
    frozenset({"mean", "F"}): "mean with F (d, r)",
}
_MIXTURES = {
    frozenset({"X", "labels"}): "X with labels (n,)",
    frozenset({"weights", "means", "covs"}): "weights (K,) with means (K, d) and covs (K, d, d), (K, d) or (d, d)",
}
_FORMS = _GAUSSIANS | _MIXTURES
_NAMES = frozenset().union(*_FORMS)
_OF_A_MIXTURE = " or ".join(_MIXTURES.values())


def inputs_from(
    path: str, dim: int, covariance_type: CovarianceType | None = None, noise_floor: float | None = None
) -> Inputs:
    """The Gaussian or the mixture that a file describes.

    Args:
        path: samples in an .npy file, which is mapped and not loaded; any of `_FORMS` in an .npz or safetensors file;
            or a Gaussian or a mixture that was saved.
        dim: how many dimensions it must have. Samples of another number are refused before they are read.
        covariance_type: of a mixture; default: what the shape of its covariances says, of labelled samples "full".
        noise_floor: of a mixture; default: none.
    """
    chosen = {"covariance_type": covariance_type, "noise_floor": noise_floor}
    given = {name: value for name, value in chosen.items() if value is not None}
    kind = signature(path)
    if kind == "npy":
        _refuse_options(path, given)
        with damaged(path):
            samples = np.load(path, mmap_mode="r", allow_pickle=False)
        _refuse_misfit(path, samples.shape, dim)
        with refusing(path):
            return Gaussian.from_samples(samples)
    archive = archive_of(path, kind)
    if isinstance(archive, Tensors) and archive.ours:
        inputs = _saved(path, given)
    else:
        inputs = _described(archive, dim, given)
    if inputs.dim != dim:
        raise Refused(f"{path!r} has {inputs.dim} coordinates, and the layer has {dim} inputs")
    return inputs


def option_name(name: str) -> str:
    """--noise-floor of noise_floor."""
    return f"--{name.replace('_', '-')}"


def _refuse_options(path: str, given: dict[str, Any]) -> None:
    """Those that only a mixture has."""
    for name in given:
        raise Refused(f"{path!r} describes one Gaussian; {option_name(name)} takes a mixture: {_OF_A_MIXTURE}")


def _saved(path: str, given: dict[str, Any]) -> Inputs:
    inputs = loaded(path)
    if not isinstance(inputs, Inputs):
        raise Refused(
            f"{path!r} holds {inputs}; --inputs takes a Gaussian or a mixture, saved or as {', '.join(_FORMS.values())}"
        )
    for name in given:
        raise Refused(f"{path!r} holds {inputs}, which is taken as it is; leave out {option_name(name)}")
    return inputs


def _described(archive: Npz | Tensors, dim: int, given: dict[str, Any]) -> Inputs:
    path, names = archive.path, _NAMES.intersection(archive.arrays)
    if not names:
        raise archive.missing(f"statistics of inputs: {', '.join(_FORMS.values())}")
    if names not in _FORMS:
        raise Refused(f"{path!r} has {', '.join(sorted(names))}; expected {', '.join(_FORMS.values())}")
    if names in _GAUSSIANS:
        _refuse_options(path, given)
    if "labels" in names and isinstance(archive, Tensors):
        raise Refused(
            f"{path!r} has labels, which are integers or texts, and from safetensors only floating-point numbers are "
            "read; save X and labels with numpy.savez"
        )
    if "X" in names:
        _refuse_misfit(path, archive.arrays["X"].shape, dim)
    if "covs" in names:
        shapes = {name: tuple(archive.arrays[name].shape) for name in ("means", "covs")}
        given = given | {"covariance_type": _covariance_type(path, **shapes, chosen=given.get("covariance_type"))}
    arrays = archive.read(names)
    with refusing(path):
        return _made(arrays, given)


def _made(arrays: dict[str, Any], given: dict[str, Any]) -> Inputs:
    match arrays:
        case {"X": X, "labels": labels}:
            return GaussianMixture.from_samples(X, labels, **given)
        case {"X": X}:
            return Gaussian.from_samples(X)
        case {"F": F}:
            return Gaussian.from_factor(arrays["mean"], F)
        case {"cov": cov}:
            return Gaussian(arrays["mean"], cov)
    return GaussianMixture(arrays["weights"], arrays["means"], arrays["covs"], **given)


def _refuse_misfit(path: str, shape: tuple[int, ...], dim: int) -> None:
    """Samples of another dimension; those of a wrong shape are refused by what is made of them."""
    if len(shape) == 2 and shape[1] != dim:
        raise Refused(f"{path!r} has samples of {shape[1]} coordinates, and the layer has {dim} inputs")


def _covariance_type(
    path: str, means: tuple[int, ...], covs: tuple[int, ...], chosen: CovarianceType | None
) -> CovarianceType:
    """That of covariances of this shape."""
    if len(means) != 2:  # which the mixture refuses
        return "full"
    K, d = means
    shapes: dict[CovarianceType, tuple[int, ...]] = {"full": (K, d, d), "diag": (K, d), "tied": (d, d)}
    fitting = [name for name in get_args(CovarianceType) if shapes[name] == covs and chosen in (None, name)]
    if not fitting:
        known = " or ".join(f"{shape_text(shape)} ({name})" for name, shape in shapes.items() if chosen in (None, name))
        raise Refused(
            f"{path!r}: covs: expected shape {known} for {K} components in {d} dimensions, got {shape_text(covs)}"
        )
    if len(fitting) > 1:
        raise Refused(
            f"{path!r}: covs {shape_text(covs)} may be variances of {K} components in {d} dimensions, or one matrix "
            "for all of them; --covariance-type diag or --covariance-type tied says which"
        )
    return fitting[0]
