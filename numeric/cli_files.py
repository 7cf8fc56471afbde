"""Layers from files: NumPy's .npz, safetensors whoever wrote them, and our own. Inputs are in `numeric.cli_inputs`.

What a file is its first bytes say, not its name. Nothing is ever unpickled.
"""

import contextlib
import difflib
import errno
import os
import stat
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from numeric import safetensors_format
from numeric.activations import Activation, UnknownActivation, activation_names
from numeric.activations import activation as resolve
from numeric.cli_errors import Refused, one_line, refusing
from numeric.files import Saved, WrongActivation, load
from numeric.layers import GLU, MLP
from numeric.safetensors_format import Described

# The arrays of the layers, and which of them must be there.
KINDS: dict[type[MLP | GLU], tuple[str, ...]] = {
    MLP: ("W_in", "b_in", "W_out", "b_out"),
    GLU: ("W_gate", "b_gate", "W_up", "b_up", "W_out", "b_out"),
}
_REQUIRED = {MLP: ("W_in", "W_out"), GLU: ("W_gate", "W_up")}
# As much as fits a few lines of a terminal.
_MOST_LISTED = 12
_PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))


# What a file is


def signature(path: str) -> str:
    """ "npz", "npy" or "safetensors", by the first bytes; a pickle is refused, and what is none of the three."""
    with refusing(path):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "this is a folder", path)
        if not stat.S_ISREG(mode):  # which would be waited for
            raise Refused(f"{path!r} is a device or a pipe; copy it to a file first")
        with open(path, "rb") as file:
            start = file.read(8)
    if start.startswith(_PICKLES):
        raise Refused(f"{path!r} is a pickle, which could execute anything and is never read; save arrays instead")
    if start.startswith(b"PK"):
        return "npz"
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if int.from_bytes(start, "little") > safetensors_format.MAX_FOREIGN_HEADER:
        raise Refused(f"{path!r} is neither .npz nor .npy nor safetensors{safetensors_format.looks_like(start)}")
    return "safetensors"


class Archive(ABC):
    """Named arrays in a file, read when they are asked for.

    Attributes:
        path: the file.
        arrays: dtype and shape by name.
    """

    path: str
    arrays: Mapping[str, Described]

    @abstractmethod
    def read(self, names: Collection[str]) -> dict[str, NDArray[Any]]:
        """The arrays of these names, all of which are there."""

    def missing(self, what: str) -> Refused:
        """The error that says what was looked for, and what there is."""
        shown = [f"{name} {shape_text(shape)}" for name, (_, shape) in list(self.arrays.items())[:_MOST_LISTED]]
        more = len(self.arrays) - len(shown)
        return Refused(
            f"{self.path!r} has no {what}; there {'is' if len(self.arrays) == 1 else 'are'} "
            f"{', '.join(shown) or 'no arrays at all'}{f' and {more} more' if more else ''}"
        )


def shape_text(shape: tuple[int, ...]) -> str:
    """(3, 4), without a comma in (3)."""
    return f"({', '.join(map(str, shape))})"


class Npz(Archive):
    """What `numpy.savez` wrote, compressed or not."""

    def __init__(self, path: str) -> None:
        self.path = path
        with damaged(path), zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if any(not name.endswith(".npy") for name in members):
                raise Refused(
                    f"{path!r} is a zip archive, but not one of numpy.savez; a model of torch.save can be saved "
                    "again with safetensors.torch.save_file(model.state_dict(), path)"
                )
            self.arrays = {name.removesuffix(".npy"): _member(path, archive, info) for name, info in members.items()}

    def read(self, names: Collection[str]) -> dict[str, NDArray[Any]]:
        with damaged(self.path), np.load(self.path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}


def _member(path: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Described:
    """What the header of an array says, compared with the size it has in the archive."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        # Versions 2 and 3 differ in how the names of fields are encoded.
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise Refused(
                f"{path!r}: {info.filename.removesuffix('.npy')} has Python objects in it, which would have to be "
                "unpickled; save it as an array of numbers"
            )
        size = info.file_size - file.tell()
        if size != dtype.itemsize * int(np.prod([*shape, 1], dtype=object)):
            raise ValueError(f"{info.filename} has {size} bytes of data for shape {shape} of {dtype}")
    return Described(dtype.str, shape)


class Tensors(Archive):
    """A safetensors file; `texts` are its metadata."""

    def __init__(self, path: str) -> None:
        self.path = path
        with refusing(path):
            self.texts, self.arrays = safetensors_format.described(path)

    @property
    def ours(self) -> bool:
        """Whether `save` wrote it."""
        return "symgauss_format" in self.texts

    def read(self, names: Collection[str]) -> dict[str, NDArray[Any]]:
        with refusing(self.path):
            return safetensors_format.read_tensors(self.path, names)


def archive_of(path: str, kind: str) -> Npz | Tensors:
    """Its arrays, if `signature` has said that it is "npz" or "safetensors"."""
    return Npz(path) if kind == "npz" else Tensors(path)


@contextlib.contextmanager
def damaged(path: str) -> Iterator[None]:
    """Around the parsers of NumPy and zipfile, which raise about anything for bytes that were changed."""
    try:
        yield
    except (Refused, OSError, MemoryError) as error:
        if isinstance(error, OSError) and error.filename is None:  # of a decompressor
            raise Refused(f"{path!r} is damaged: {one_line(error)}") from error
        if isinstance(error, OSError):
            raise Refused(one_line(error)) from error
        raise
    except Exception as error:
        raise Refused(f"{path!r} is damaged: {one_line(error)}") from error


def loaded(path: str) -> Saved:
    """What `numeric.load` makes of one of our files."""
    try:
        with refusing(path):
            return load(path)
    except Refused as error:
        if isinstance(error.__cause__, WrongActivation):
            about, _, _ = str(error).partition(" Pass that one:")
            raise Refused(
                f"{about} The command line knows activations by name: those of the catalogue and of installed "
                f"packages. In Python: numeric.load({path!r}, activation=…)"
            ) from error.__cause__
        raise


# Layers


def layer_from(
    path: str, activation: str | None, parameters: Mapping[str, float], mapped: Mapping[str, str]
) -> tuple[MLP | GLU, dict[str, str]]:
    """The layer that a file holds, and the name in the file of each of its arrays.

    Args:
        path: an .npz or safetensors file.
        activation: its name, unless the file says it.
        parameters: of the activation.
        mapped: names in the file by ours, such as {"W_in": "fc1.weight"}; with .T behind them for the transpose.
    """
    kind = signature(path)
    if kind == "npy":
        raise Refused(f"{path!r} is a single array; a layer has several: save them with numpy.savez")
    archive = archive_of(path, kind)
    if isinstance(archive, Tensors) and archive.ours:
        return _ours(path, activation, parameters, mapped)
    names = _matched(archive, mapped)
    cls = _kind(archive, names)
    act = _activation(archive, activation, parameters)
    arrays = _taken(archive, names)
    with refusing(path):
        given: dict[str, Any] = {name: arrays.get(name) for name in KINDS[cls]}
        return cls(**given, activation=act), names


def _ours(
    path: str, activation: str | None, parameters: Mapping[str, float], mapped: Mapping[str, str]
) -> tuple[MLP | GLU, dict[str, str]]:
    layer = loaded(path)
    if not isinstance(layer, MLP | GLU):
        raise Refused(f"{path!r} holds {layer}; convert takes a layer")
    if mapped:
        raise Refused(f"{path!r} was written by symgauss, which knows its tensors; leave out --tensor")
    if parameters or (activation is not None and _known(activation, {}).name != layer.activation.name):
        raise Refused(f"{path!r} says that its activation is {_called(layer.activation)}; leave out what says it again")
    return layer, {name: name for name in KINDS[type(layer)] if getattr(layer, name) is not None}


def _called(act: Activation) -> str:
    return " ".join([act.name, *(f"{name}={value!r}" for name, value in act.parameters.items())])


def _matched(archive: Archive, mapped: Mapping[str, str]) -> dict[str, str]:
    """Names in the file by ours: those that were mapped, and those that are the same."""
    for ours, theirs in mapped.items():
        if theirs.removesuffix(".T") not in archive.arrays and theirs not in archive.arrays:
            near = difflib.get_close_matches(theirs, archive.arrays, n=3, cutoff=0.6)
            hint = f" (is it {' or '.join(near)}?)" if near else ""
            raise archive.missing(f"array {theirs!r} for {ours}{hint}")
    every = dict.fromkeys(name for names in KINDS.values() for name in names)
    return {name: mapped.get(name, name) for name in every if name in mapped or name in archive.arrays}


def _kind(archive: Archive, names: Mapping[str, str]) -> type[MLP | GLU]:
    """Which layer has arrays of these names."""
    fitting = [cls for cls, required in _REQUIRED.items() if required[0] in names]
    if not fitting:
        raise archive.missing(
            "W_in and W_out, nor W_gate and W_up; --tensor W_in=NAME, for each, says what they are called here"
        )
    cls = fitting[0]
    strange = [name for name in names if name not in KINDS[cls]]
    if strange:
        raise Refused(
            f"{archive.path!r} has {', '.join(names)}; expected those of an MLP, {', '.join(KINDS[MLP])}, "
            f"or of a gated layer, {', '.join(KINDS[GLU])}"
        )
    for required in _REQUIRED[cls]:
        if required not in names:
            raise archive.missing(
                f"{required}, which belongs to {_REQUIRED[cls][0]}; --tensor {required}=NAME names it"
            )
    return cls


def _taken(archive: Archive, names: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Arrays by our names. A name that ends in .T and is none of the file's own stands for a transpose."""
    plain = {ours: name if name in archive.arrays else name.removesuffix(".T") for ours, name in names.items()}
    arrays = archive.read(set(plain.values()))
    return {ours: arrays[name].T if name != names[ours] else arrays[name] for ours, name in plain.items()}


def _activation(archive: Archive, given: str | None, parameters: Mapping[str, float]) -> Activation:
    said = _said(archive)
    if given is None and said is None:
        raise Refused(f"{archive.path!r} does not say its activation; --activation gelu, for example, does")
    act = _known(cast(str, said if given is None else given), parameters)
    if said is not None and _known(said, {}).name != act.name:
        raise Refused(f"{archive.path!r} says that its activation is {said}, and --activation says {given}")
    return act


def _said(archive: Archive) -> str | None:
    """What a file says by an array of one text."""
    if not isinstance(archive, Npz) or "activation" not in archive.arrays:
        return None
    array = archive.read(["activation"])["activation"]
    if array.dtype.kind != "U" or array.size != 1:
        raise Refused(
            f"{archive.path!r}: activation: expected a text, as in numpy.savez(…, activation='gelu'), "
            f"got {shape_text(array.shape)} of {array.dtype}"
        )
    return str(array.item())


def _known(name: str, parameters: Mapping[str, float]) -> Activation:
    try:
        with refusing():
            return resolve(name, **parameters)
    except Refused as error:
        if isinstance(error.__cause__, UnknownActivation):
            known = f"Known are {', '.join(activation_names())}."
            raise Refused(str(error).replace("See numeric.activation_names().", known)) from error.__cause__
        raise
