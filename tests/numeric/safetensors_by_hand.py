"""Files of the safetensors format taken apart and put together as its specification says, and nothing more."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CODES = {"float16": "F16", "float32": "F32", "float64": "F64"}


class Parts(NamedTuple):
    """The header without the metadata, the metadata, and the bytes after the header."""

    entries: dict[str, Any]
    metadata: dict[str, str]
    payload: bytes


def taken_apart(path: Path) -> Parts:
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + n])
    metadata = header.pop("__metadata__", {})
    return Parts(header, metadata, data[8 + n :])


def put_together(parts: Parts, *, sum_anew: bool = True) -> bytes:
    """The bytes of a file; with `sum_anew` the checksum is right whatever was changed."""
    metadata = dict(parts.metadata)
    if sum_anew:
        metadata["checksum"] = checksum(parts)
    return with_header(json.dumps({"__metadata__": metadata, **parts.entries}).encode(), parts.payload)


def with_header(header: bytes, payload: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + payload


def checksum(parts: Parts) -> str:
    """CRC-32 of the JSON of all texts but itself, and of dtype, shape and CRC-32 of every tensor."""
    texts = {name: text for name, text in parts.metadata.items() if name != "checksum"}
    tensors = {}
    for name, entry in parts.entries.items():
        begin, end = entry["data_offsets"]
        tensors[name] = [entry["dtype"], entry["shape"], zlib.crc32(parts.payload[begin:end])]
    return f"{zlib.crc32(json.dumps([texts, tensors], sort_keys=True).encode()):08x}"


def arrays_of(parts: Parts) -> dict[str, np.ndarray]:
    types = {code: np.dtype(name).newbyteorder("<") for name, code in CODES.items()}
    made = {}
    for name, entry in parts.entries.items():
        begin, end = entry["data_offsets"]
        made[name] = np.frombuffer(parts.payload[begin:end], types[entry["dtype"]]).reshape(entry["shape"])
    return made


def parts_of(metadata: dict[str, str], arrays: dict[str, np.ndarray]) -> Parts:
    entries, payload = {}, b""
    for name, array in arrays.items():
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        offsets = [len(payload), len(payload) + len(data)]
        entries[name] = {"dtype": CODES[array.dtype.name], "shape": list(array.shape), "data_offsets": offsets}
        payload += data
    return Parts(entries, dict(metadata), payload)
