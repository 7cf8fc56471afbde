"""The safetensors format: named arrays and readable text in one file, in which nothing can be executed.

    8 bytes            N, the length of the header, little-endian
    N bytes            JSON: {name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …,
                       "__metadata__": {text: text}}, padded with spaces
    the other bytes    the arrays, little-endian, in C order, one after the other without holes; offsets count from
                       where they begin

Written and read here are floating arrays: F16, F32, F64. Readers of the format read what `write` wrote. `read`
demands more than the format does, so that what it accepts is what was saved; `read_tensors` reads the files of
others, where there may be BF16 too, and tensors of other types that nobody asks for. Two entries of the metadata are
ours,

    checksum           of all names, types, shapes, contents and texts, in whatever order they are
    fortran_order      the names of arrays that were in Fortran order in memory and will be again: matrix products
                       round otherwise, and values would change in their last digit

Arrays are read once, into memory of their own. They are not mapped: a file that is cut while it is mapped kills
the process that looks at it.

Source: the specification at https://github.com/huggingface/safetensors.
"""

import contextlib
import json
import math
import os
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numeric import checks
from numeric.atomic import replacing
from numeric.blocks import row_blocks

DTYPES = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
# Ours are some kilobytes. JSON of a megabyte takes some 30 MB to parse, whatever is in it.
MAX_HEADER = 2**20
# That of a model of a hundred thousand tensors.
MAX_FOREIGN_HEADER = 2**23
CHECKSUM, FORTRAN_ORDER = "checksum", "fortran_order"

_METADATA = "__metadata__"
_KEYS = {"dtype", "shape", "data_offsets"}
# NumPy has no bfloat16: two bytes, the upper half of a float32.
_BFLOAT16 = "BF16"
_FOREIGN_DTYPES = {**DTYPES, _BFLOAT16: np.dtype("<u2")}
# What is written, read and summed at a time: it stays in the cache from one to the next.
_BLOCK = 2**16
_AGAIN = "Copy or save it again."
_ONLY_OURS = "Only files that were written by save can be loaded; nothing is ever unpickled."
_SIGNATURES = {
    b"PK\x03\x04": "a zip archive, as torch.save and numpy.savez write",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x93NUMPY": "an array of numpy.save",
    b"\x89HDF": "an HDF5 file",
}


class BrokenFile(ValueError):
    """A file that is damaged, or is not one of ours; the message says what was found and what was expected."""


def broken(found: str, expected: str, remedy: str = _AGAIN) -> BrokenFile:
    """The error to raise; `naming` adds the path."""
    return BrokenFile(f"{found}; expected {expected}. {remedy}")


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the path before the message of any `BrokenFile` from within."""
    try:
        yield
    except BrokenFile as error:
        raise BrokenFile(f"{os.fspath(path)!r}: {error}") from error.__cause__


@dataclass(frozen=True)
class _Entry:
    """Where an array is, in bytes after the header."""

    name: str
    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


# Writing


def write(path: str | os.PathLike[str], metadata: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Replace the file at `path`, as a whole, by one with these texts and arrays.

    Args:
        path: where to.
        metadata: texts by name. `checksum` and `fortran_order` are added.
        arrays: by name, of any shape and memory layout, float16, float32 or float64. No large copies are made.

    Raises:
        ValueError: an entry that is not finite, a header of more than `MAX_HEADER` bytes.
        TypeError: another dtype.
        OSError: as `numeric.atomic.replacing`.
    """
    for name, array in arrays.items():
        if _code(array.dtype) is None:
            raise TypeError(f"{name}: expected dtype float16, float32 or float64, got {array.dtype}")
        checks.check_finite(name, array)
    # The widest first, so that every array begins at a multiple of its item size.
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize))
    texts = dict(metadata)
    fortran = [name for name, array in arrays.items() if _is_fortran(array)]
    if fortran:
        texts[FORTRAN_ORDER] = json.dumps(fortran)
    texts[CHECKSUM] = _checksum(texts, {name: (array, _summed(array)) for name, array in arrays.items()})
    header = _header_bytes(texts, arrays)
    with replacing(path) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for array in arrays.values():
            for block in _blocks(array):
                file.write(_bytes(block))


def _header_bytes(texts: Mapping[str, str], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    header: dict[str, Any] = {_METADATA: dict(texts)}
    position = 0
    for name, array in arrays.items():
        end = position + array.nbytes
        header[name] = {"dtype": _code(array.dtype), "shape": list(array.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) + 7 > MAX_HEADER:
        raise ValueError(f"metadata: expected at most {MAX_HEADER} bytes of text and names, got {len(text)}")
    return text + b" " * (-len(text) % 8)


def _code(dtype: np.dtype[Any]) -> str | None:
    """The format's name of a dtype, in whatever byte order it is."""
    return next((code for code, known in DTYPES.items() if dtype.newbyteorder("<") == known), None)


def _is_fortran(array: NDArray[Any]) -> bool:
    """Whether the first axis is the one along which memory is contiguous, also in a part of a larger array."""
    if array.flags.c_contiguous:
        return False
    return array.flags.f_contiguous or (array.ndim == 2 and abs(array.strides[0]) < abs(array.strides[1]))


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Views of some rows at a time."""
    array = np.atleast_1d(array)
    if array.size:
        for rows in row_blocks(len(array), array.size // len(array), _BLOCK):
            yield array[rows]


def _bytes(block: NDArray[Any]) -> memoryview:
    """As they are in the file; a copy only where they are not in memory."""
    return np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("<")).data.cast("B")


def _summed(array: NDArray[Any]) -> int:
    """CRC-32 of the bytes in the file."""
    checksum = 0
    for block in _blocks(array):
        checksum = zlib.crc32(_bytes(block), checksum)
    return checksum


def _checksum(texts: Mapping[str, str], arrays: Mapping[str, tuple[NDArray[Any], int]]) -> str:
    """Of the texts, and of names, dtypes, shapes and contents of arrays; their order does not matter."""
    kept = {name: text for name, text in texts.items() if name != CHECKSUM}
    contents = {name: [_code(array.dtype), array.shape, crc] for name, (array, crc) in arrays.items()}
    return f"{zlib.crc32(json.dumps([kept, contents], sort_keys=True).encode()):08x}"


# Reading


def read(
    path: str | os.PathLike[str], accept: Callable[[Mapping[str, str]], None]
) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """The texts and the arrays of a file that `write` wrote.

    Nothing is believed that the file says of itself: memory is taken for no more than its size.

    Args:
        path: the file.
        accept: called with the texts before any array is looked at; raises `BrokenFile` to refuse them.

    Raises:
        BrokenFile: a file that is not of this format, is incomplete, has more in it, or was changed since.
        OSError: no such file, a folder, no permission.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        header, start = _header(file, MAX_HEADER, _ONLY_OURS)
        texts = _texts(header.pop(_METADATA, {}))
        accept(texts)
        entries = _in_order([_entry(name, value) for name, value in header.items()], size - start)
        return texts, _arrays(file, entries, texts)


class Described(NamedTuple):
    """What a file says of a tensor: its dtype as the format calls it, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def described(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, Described]]:
    """The texts of any safetensors file, and what tensors there are; these are not read.

    Raises:
        BrokenFile: a file that is not of this format, is incomplete, or has more in it.
        OSError: no such file, a folder, no permission.
    """
    with _opened(path) as file:
        texts, entries, _ = _foreign(file)
        return texts, {entry.name: Described(entry.code, entry.shape) for entry in entries}


def read_tensors(path: str | os.PathLike[str], names: Collection[str]) -> dict[str, NDArray[Any]]:
    """These tensors of any safetensors file, whoever wrote it: float16, float32, float64; BF16 as float32, exactly.

    Nothing is believed that the file says of itself, but unlike in `read` there is no checksum to compare with.

    Raises:
        BrokenFile: as `described`; a tensor that is not there, or of another dtype.
        OSError: no such file, a folder, no permission.
    """
    with _opened(path) as file:
        _, entries, start = _foreign(file)
        there = {entry.name: entry for entry in entries}
        for name in names:
            if name not in there:
                raise broken(f"it has no tensor {name!r}", "one")
            if there[name].code not in _FOREIGN_DTYPES:
                raise broken(
                    f"tensor {name!r} has dtype {_short(there[name].code)}",
                    "one of " + ", ".join(_FOREIGN_DTYPES),
                    "Convert it and save it again.",
                )
        return {name: _read_tensor(file, start, there[name]) for name in names}


def _read_tensor(file: BinaryIO, start: int, entry: _Entry) -> NDArray[Any]:
    array = np.empty(entry.shape, _FOREIGN_DTYPES[entry.code])
    file.seek(start + entry.begin)
    _filled(file, array)
    if entry.code != _BFLOAT16:
        return array
    wide = array.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def _foreign(file: BinaryIO) -> tuple[dict[str, str], list[_Entry], int]:
    """The texts, where the arrays are, and the position of the first byte after the header."""
    size = os.fstat(file.fileno()).st_size
    header, start = _header(file, MAX_FOREIGN_HEADER, "Nothing is ever unpickled.")
    texts = _texts(header.pop(_METADATA, {}))
    entries = [_entry(name, value, _FOREIGN_DTYPES, others=True) for name, value in header.items()]
    return texts, _in_order(entries, size - start), start


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    with naming(path):
        mode = os.stat(path).st_mode
        # A pipe would be waited for; a folder gets the system's own error.
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise broken("it is a device or a pipe", "a file", "Copy it to a file first.")
        with open(path, "rb") as file:
            yield file


def _header(file: BinaryIO, limit: int, remedy: str) -> tuple[dict[str, Any], int]:
    """The parsed header, and the position of the first byte after it."""
    start = file.read(8)
    if len(start) < 8:
        raise broken(f"it ends after {len(start)} bytes", "8 bytes with the length of a header")
    length = int.from_bytes(start, "little")
    if length > limit:
        raise broken(
            f"its first bytes say that {length} bytes of header follow{looks_like(start)}",
            f"a safetensors file with at most {limit}",
            remedy,
        )
    data = file.read(length)
    if len(data) < length:
        raise broken(f"it ends after {8 + len(data)} bytes, within the header", f"{length} bytes of header")
    if not data.startswith(b"{"):
        raise broken(f"its header begins with {data[:8]!r}", "'{'")
    try:
        header = json.loads(data.decode("utf-8"), object_pairs_hook=_without_repetition, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise broken(f"its header cannot be read: {error}", "JSON in UTF-8") from error
    return header, 8 + length


def looks_like(start: bytes) -> str:
    """What begins with these bytes, in parentheses to go into a message; nothing if that is not known."""
    kinds = [kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)]
    return f" (it looks like {kinds[0]})" if kinds else ""


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{_short(name)} is there more than once")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise broken(f"its metadata are {_short(value)}", "an object of texts")
    return value


def _entry(name: str, value: Any, known: Mapping[str, np.dtype[Any]] = DTYPES, *, others: bool = False) -> _Entry:
    """Where a tensor is. With `others` it may have a dtype that is not known, and then any number of bytes."""
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise broken(f"tensor {name!r} is described by {_short(value)}", "dtype, shape and data_offsets")
    code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(code, str) or not (code in known or others):
        raise broken(f"tensor {name!r} has dtype {_short(code)}", "one of " + ", ".join(known))
    # 32 axes and 2^63 bytes, empty axes left out, are the most that NumPy can make.
    if not _are_sizes(shape) or len(shape) > 32 or math.prod(max(n, 1) for n in shape) >= 2**59:
        raise broken(f"tensor {name!r} has shape {_short(shape)}", "a list of at most 32 lengths that fit into memory")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise broken(f"tensor {name!r} has data_offsets {_short(offsets)}", "two integers ≥ 0")
    begin, end = offsets
    size = math.prod(shape) * known[code].itemsize if code in known else max(end - begin, 0)
    if end - begin != size:
        raise broken(
            f"tensor {name!r} takes the bytes from {begin} to {end}", f"{size} bytes for shape {tuple(shape)} of {code}"
        )
    return _Entry(name, code, tuple(shape), begin, end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _in_order(entries: list[_Entry], size: int) -> list[_Entry]:
    """As they are in the file, where every byte after the header belongs to exactly one array."""
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    position = 0
    for entry in entries:
        if entry.begin != position:
            raise broken(f"tensor {entry.name!r} begins at byte {entry.begin}", f"{position}, the next that is free")
        position = entry.end
    if position != size:
        raise broken(f"it has {size} bytes of data", f"{position}, as its header says")
    return entries


def _arrays(file: BinaryIO, entries: list[_Entry], texts: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    fortran = _fortran_order(texts, {entry.name for entry in entries})
    made: dict[str, tuple[NDArray[Any], int]] = {}
    for entry in entries:
        array = np.empty(entry.shape, DTYPES[entry.code], order="F" if entry.name in fortran else "C")
        made[entry.name] = (array, _filled(file, array))
    found, expected = _checksum(texts, made), texts.get(CHECKSUM)
    if found != expected:
        raise broken(f"its contents have the checksum {found}", f"{expected}: it was changed after it was saved")
    return {name: array for name, (array, _) in made.items()}


def _fortran_order(texts: Mapping[str, str], names: Collection[str]) -> list[str]:
    text = texts.get(FORTRAN_ORDER, "[]")
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(name, str) and name in names for name in listed):
        raise broken(f"its entry {FORTRAN_ORDER} is {_short(text)}", "a list of names of tensors")
    return listed


def _filled(file: BinaryIO, array: NDArray[Any]) -> int:
    """Fill the array from the file; the CRC-32 of what was read."""
    checksum = 0
    for block in _blocks(array):
        part = block if block.flags.c_contiguous else np.empty(block.shape, block.dtype)
        # Typeshed does not know readinto of a plain binary stream.
        if file.readinto(part.data.cast("B")) != part.nbytes:  # type: ignore[attr-defined]
            raise broken("it became shorter while it was read", "a file that nobody writes to", "Load it again.")
        checksum = zlib.crc32(part.data.cast("B"), checksum)
        if part is not block:
            block[...] = part
    return checksum
