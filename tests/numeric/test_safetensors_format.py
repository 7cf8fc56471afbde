"""The file format: what is written is what the specification says, and nothing else is read."""

import json
import os
import pickle
import re
import struct
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numeric import safetensors_format
from numeric.safetensors_format import (
    MAX_FOREIGN_HEADER,
    MAX_HEADER,
    BrokenFile,
    broken,
    described,
    naming,
    read,
    read_tensors,
    write,
)
from tests.numeric.safetensors_by_hand import (
    Parts,
    arrays_of,
    checksum,
    parts_of,
    put_together,
    taken_apart,
    with_header,
)

SETTINGS = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXTS = {"kind": "a test", "σ": "x → x²", "empty": ""}
ARRAYS = {
    "half": np.array([[1, -0.0, 6e-8]], np.float16),
    "F": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "double": np.array([1 / 3, 5e-324]),
    "none": np.zeros((0, 3)),
    "number": np.array(2.5),
}


def accept(_: Mapping[str, str]) -> None:
    pass


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def assert_same_bits(actual: np.ndarray, expected: np.ndarray) -> None:
    """Same type, shape, contents to the last bit."""
    assert actual.dtype == expected.dtype.newbyteorder("<")
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.astype(actual.dtype).tobytes()


def test_the_comparison_notices() -> None:
    a = np.array([[1.0, 0.0]])
    assert_same_bits(a, a.copy())
    assert_same_bits(a, a.astype(">f8"))
    for wrong in (np.array([[np.nextafter(1, 2), 0.0]]), np.array([[1.0, -0.0]]), a.astype(np.float32), a[0]):
        with pytest.raises(AssertionError):
            assert_same_bits(wrong, a)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with all of the above."""
    path = tmp_path / "some.safetensors"
    write(path, TEXTS, ARRAYS)
    return path


def refused(path: Path, data: bytes, match: str | None = None) -> str:
    """The message of the refusal of these bytes, which names the path."""
    path.write_bytes(data)
    with pytest.raises(BrokenFile, match=match) as caught:
        read(path, accept)
    message = str(caught.value)
    assert message.startswith(f"'{path}': ")
    assert "; expected " in message
    return message


# What is written


def test_the_file_is_what_the_specification_says(path: Path) -> None:
    parts = taken_apart(path)
    assert {name: text for name, text in parts.metadata.items() if name in TEXTS} == TEXTS
    assert parts.metadata["fortran_order"] == '["F"]'
    assert parts.metadata["checksum"] == checksum(parts)
    assert set(parts.metadata) == {*TEXTS, "fortran_order", "checksum"}
    found = arrays_of(parts)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert_same_bits(found[name], array)
    # without holes or overlaps, every array where its type is aligned
    position = 0
    for entry, array in zip(parts.entries.values(), found.values()):
        begin, end = entry["data_offsets"]
        assert begin == position
        assert begin % array.dtype.itemsize == 0
        position = end
    assert position == len(parts.payload)
    assert (path.stat().st_size - position) % 8 == 0


def test_nothing_at_all_is_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "nothing"
    write(path, {}, {})
    texts, arrays = read(path, accept)
    assert texts.keys() == {"checksum"}
    assert arrays == {}


@pytest.mark.parametrize("dtype", [np.int64, np.complex128, np.longdouble, object, bool])
def test_other_dtypes_are_not_written(tmp_path: Path, dtype: Any) -> None:
    with pytest.raises(TypeError, match="W: expected dtype float16, float32 or float64, got"):
        write(tmp_path / "a", {}, {"W": np.zeros(2, dtype)})
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_loaded_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"W: expected finite entries, got 1 .* nan at index \(1,\)"):
        write(tmp_path / "a", {}, {"W": np.array([0, np.nan])})
    with pytest.raises(ValueError, match=f"metadata: expected at most {MAX_HEADER} bytes of text"):
        write(tmp_path / "a", {"long": "x" * MAX_HEADER}, {})
    assert list(tmp_path.iterdir()) == []


# What is read


@st.composite
def layouts(draw: st.DrawFn) -> np.ndarray:
    """Arrays in all types, byte orders and layouts, finite."""
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    bits = np.dtype(dtype).itemsize * 8
    elements = st.floats(allow_nan=False, allow_infinity=False, width=bits)  # type: ignore[arg-type]
    array = draw(hnp.arrays(dtype, shape, elements=elements))
    match draw(st.sampled_from(["C", "F", "big", "reversed", "steps"])):
        case "F":
            return np.asfortranarray(array)
        case "big":
            return array.astype(array.dtype.newbyteorder(">"))
        case "reversed" if array.ndim:
            return array[::-1]
        case "steps" if array.ndim:
            return array[..., ::2]
    return array


@SETTINGS
@given(arrays=st.dictionaries(st.text(max_size=5), layouts(), max_size=4), texts=st.dictionaries(st.text(), st.text()))
def test_what_was_written_is_read(tmp_path: Path, arrays: dict[str, np.ndarray], texts: dict[str, str]) -> None:
    arrays = {name: array for name, array in arrays.items() if name != "__metadata__"}
    texts = {name: text for name, text in texts.items() if name not in ("checksum", "fortran_order")}
    path = tmp_path / "a"
    if any(0xD800 <= ord(c) < 0xE000 for text in (*texts, *texts.values(), *arrays) for c in text):
        with pytest.raises(UnicodeEncodeError):
            write(path, texts, arrays)
        return
    write(path, texts, arrays)
    found_texts, found = read(path, accept)
    assert {name: found_texts[name] for name in texts} == texts
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert_same_bits(found[name], array)
        assert found[name].flags.writeable
        if array.flags.c_contiguous or array.flags.f_contiguous:
            assert found[name].flags.f_contiguous == array.flags.f_contiguous
            assert found[name].flags.c_contiguous == array.flags.c_contiguous


def test_memory_order_of_a_part_of_a_larger_array(tmp_path: Path) -> None:
    larger = np.arange(20.0).reshape(4, 5)
    write(tmp_path / "a", {}, {"rows": larger[:, 1:3], "columns": larger[:, 1:3].T})
    _, found = read(tmp_path / "a", accept)
    assert found["rows"].flags.c_contiguous
    assert found["columns"].flags.f_contiguous
    assert_same_bits(found["columns"], larger[:, 1:3].T)


def test_arrays_of_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "C": rng.standard_normal((37, 5)),
        "F": np.asfortranarray(rng.standard_normal((37, 5)).astype(np.float32)),
    }
    monkeypatch.setattr(safetensors_format, "_BLOCK", 20)
    write(tmp_path / "a", {}, arrays)
    monkeypatch.setattr(safetensors_format, "_BLOCK", 35)  # blocks are no part of the format
    _, found = read(tmp_path / "a", accept)
    for name, array in arrays.items():
        assert_same_bits(found[name], array)
        assert found[name].flags.f_contiguous == array.flags.f_contiguous


def test_peak_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {"C": rng.standard_normal((1500, 1000)), "F": np.asfortranarray(rng.standard_normal((1500, 1000)))}
    size = sum(array.nbytes for array in arrays.values())
    tracemalloc.start()
    try:
        write(tmp_path / "a", {}, arrays)
        _, written = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        found = read(tmp_path / "a", accept)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written < 0.25 * size
    assert size < peak - before < 1.15 * size
    assert len(found[1]) == 2


# Against the reference implementation


def test_the_reference_implementation_reads_ours(path: Path) -> None:
    reference = pytest.importorskip("safetensors")
    with reference.safe_open(path, "np") as file:
        texts = file.metadata()
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert {name: texts[name] for name in TEXTS} == TEXTS
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert_same_bits(found[name], array)


def test_we_read_what_the_reference_implementation_writes(path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    texts, arrays = read(path, accept)
    copies = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    reference.save_file(copies, path, texts)
    again, found = read(path, accept)
    assert again == texts
    for name, array in ARRAYS.items():
        assert_same_bits(found[name], array)
    reference.save_file({**copies, "double": np.array([1 / 3, 1e-323])}, path, texts)
    with pytest.raises(BrokenFile, match="it was changed after it was saved"):
        read(path, accept)


def test_the_reference_implementation_refuses_the_same(path: Path) -> None:
    """Of what is no safetensors file by the specification, without our checksum."""
    reference = pytest.importorskip("safetensors.numpy")
    error = pytest.importorskip("safetensors").SafetensorError
    good = path.read_bytes()
    reference.load(good)
    for data in (good[:-1], good + b"\0", good[:7], b"", *(with_header(h, p) for h, p, _ in BAD_LAYOUTS)):
        with pytest.raises(error):
            reference.load(data)
        refused(path, data)


# What is not read


def test_a_file_cut_at_any_byte(path: Path) -> None:
    data = path.read_bytes()
    for n in range(len(data)):
        refused(path, data[:n])


@pytest.mark.parametrize("more", [b"\0", b" ", b"\0" * 8, b"x" * 1000])
def test_a_file_with_more_in_it(path: Path, more: bytes) -> None:
    refused(path, path.read_bytes() + more, "it has .* bytes of data; expected .*, as its header says")


def test_any_changed_byte_is_noticed_or_means_nothing(path: Path) -> None:
    data = path.read_bytes()
    read_before = read(path, accept)
    silent = 0
    for position in range(len(data)):
        for change in (0x01, 0x29):
            changed = bytearray(data)
            changed[position] ^= change
            path.write_bytes(changed)
            try:
                texts, arrays = read(path, accept)
            except BrokenFile:
                continue
            silent += 1
            assert texts == read_before[0]
            for name, array in arrays.items():
                assert_same_bits(array, read_before[1][name])
    assert silent < 40  # JSON allows tabs where there are spaces


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def header(**entries: Any) -> bytes:
    return json.dumps(entries).encode()


EIGHT = b"\0" * 8
# Header, payload, what the message says. These are not safetensors files by the specification.
BAD_LAYOUTS: list[tuple[bytes, bytes, str]] = [
    (b"", b"", "header begins with b''; expected '{'"),
    (b"[]", b"", r"header begins with b'\[\]'"),
    (b"\xef\xbb\xbf{}", b"", "header begins with"),
    (b"{", b"", "header cannot be read"),
    (b"{} x", b"", "header cannot be read: Extra data"),
    (b'{"\xff": 1}', b"", "header cannot be read: 'utf-8' codec"),
    (b'{"a": NaN}', b"", "NaN is not JSON"),
    ('{"a": 1}'.encode("utf-16-le"), b"", "header begins with|header cannot be read"),
    (b'{"a":' * 10000, b"", "header cannot be read: maximum recursion"),
    (header(a=1), b"", "tensor 'a' is described by 1; expected dtype, shape and data_offsets"),
    (header(a={}), b"", "'a' is described by {}"),
    (header(a=entry("F128")), EIGHT, "'a' has dtype 'F128'; expected one of F16, F32, F64"),
    (header(a=entry(7)), EIGHT, "'a' has dtype 7"),
    (header(a=entry(None)), EIGHT, "'a' has dtype None"),
    (header(a=entry(["F32"])), EIGHT, "'a' has dtype "),
    (header(a=entry(shape=2)), EIGHT, "'a' has shape 2; expected a list"),
    (header(a=entry(shape=[-2])), EIGHT, r"'a' has shape \[-2\]"),
    (header(a=entry(shape=[2.0])), EIGHT, r"'a' has shape \[2.0\]"),
    (header(a=entry(shape=[True, 2])), EIGHT, r"'a' has shape \[True, 2\]"),
    (header(a=entry(shape=[2**62, 4], offsets=[0, 0])), b"", "'a' has shape"),
    (header(a=entry(shape=[10**4000], offsets=[0, 0])), b"", "'a' has shape"),
    (header(a=entry(shape=[3])), EIGHT, r"takes the bytes from 0 to 8; expected 12 bytes for shape \(3,\) of F32"),
    (header(a=entry(shape=[1])), EIGHT, "takes the bytes from 0 to 8; expected 4 bytes"),
    (header(a=entry(offsets=[8, 0])), EIGHT, "takes the bytes from 8 to 0"),
    (header(a=entry(offsets=[-8, 0])), EIGHT, "two integers"),
    (header(a=entry(offsets=[0])), EIGHT, "two integers"),
    (header(a=entry(offsets=[0, 8, 8])), EIGHT, "two integers"),
    (header(a=entry(offsets="08")), EIGHT, "two integers"),
    (header(a=entry(offsets=[0.0, 8.0])), EIGHT, "two integers"),
    (header(a=entry(offsets=[8, 16])), EIGHT * 2, "'a' begins at byte 8; expected 0"),
    (header(a=entry(), b=entry()), EIGHT, "'b' begins at byte 0; expected 8"),
    (header(a=entry(), b=entry(offsets=[4, 12])), EIGHT * 2, "'b' begins at byte 4; expected 8"),
    (header(a=entry(), b=entry(offsets=[16, 24])), EIGHT * 3, "'b' begins at byte 16; expected 8"),
    (header(a=entry(offsets=[2**60, 2**60 + 8])), EIGHT, "begins at byte"),
    (header(a=entry(shape=[2**50], offsets=[0, 2**52])), EIGHT, f"8 bytes of data; expected {2**52}"),
    (header(a=entry()), EIGHT[:7], "7 bytes of data; expected 8"),
    (header(__metadata__=[]), b"", r"metadata are \[\]; expected an object of texts"),
    (header(__metadata__={"a": 1}), b"", "metadata are {'a': 1}"),
]
# These might be, or are taken for one by the reference implementation, and are not ours.
NOT_OURS: list[tuple[bytes, bytes, str]] = [
    (b" {}", b"", "header begins with b' {}'"),
    (b'{"a":1,"a":1}', b"", "'a' is there more than once"),
    (header(a=entry(more=1)), EIGHT, "'a' is described by"),
    (header(a=entry("BF16", [4])), EIGHT, "'a' has dtype 'BF16'"),
    (header(a=entry("I64", [1])), EIGHT, "'a' has dtype 'I64'"),
    (header(a=entry(shape=[1] * 33 + [2])), EIGHT, "at most 32 lengths"),
    (header(a=entry(shape=[0, 2**62], offsets=[0, 0])), b"", "'a' has shape"),
    (header(a=entry()), EIGHT, "its contents have the checksum .*; expected None"),
    (header(__metadata__={"checksum": "00000000"}), b"", "checksum .*; expected 00000000: it was changed after"),
]


@pytest.mark.parametrize(("text", "payload", "message"), BAD_LAYOUTS + NOT_OURS)
def test_bad_headers(tmp_path: Path, text: bytes, payload: bytes, message: str) -> None:
    found = refused(tmp_path / "a", with_header(text, payload), message)
    assert len(found) < 500


@pytest.mark.parametrize("text", ["[", "7", '"F"', '["F", "G"]', "[1]", "[[]]", "[" * 10000])
def test_bad_lists_of_arrays_in_fortran_order(path: Path, text: str) -> None:
    parts = taken_apart(path)
    changed = parts._replace(metadata={**parts.metadata, "fortran_order": text})
    refused(path, put_together(changed), "its entry fortran_order is")


@pytest.mark.parametrize("length", [2**20 + 1, 2**31, 2**32, 2**60, 2**63, 2**64 - 1])
def test_a_huge_header_is_not_made_room_for(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a"
    tracemalloc.start()
    try:
        refused(path, struct.pack("<Q", length) + b"{}", f"that {length} bytes of header follow")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_headers_that_take_long_to_look_at(tmp_path: Path) -> None:
    """As much as fits into a header: it is refused soon."""
    numbers = {f"{i:x}": 0 for i in range(90_000)}
    twice = json.dumps(numbers)[:-1] + ', "15f8f": 1}'
    assert len(twice) < MAX_HEADER
    long = header(a=entry(shape=[9] * 300_000, offsets=[0, 0]))
    wide = header(a=entry(shape=[10**18] * 32, offsets=[0, 0]))
    listed = header(__metadata__={"fortran_order": "[" * 500_000})
    for text in (twice.encode(), long, wide, listed, b'{"a":[' + b"[]," * 300_000 + b"[]]}"):
        start = time.process_time()
        refused(tmp_path / "a", with_header(text))
        assert time.process_time() - start < 2


class Bomb:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path, exploded = tmp_path / "a.safetensors", tmp_path / "exploded"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        refused(path, pickle.dumps([Bomb(exploded), "x" * 99], protocol), "its first bytes say|expected")
    refused(path, pickle.dumps([Bomb(exploded)] * 9), r"looks like a pickle\).* nothing is ever unpickled")
    with open(path, "wb") as file:
        np.savez(file, a=np.array([Bomb(exploded)]))
    refused(path, path.read_bytes(), r"looks like a zip archive, as torch.save and numpy.savez write\)")
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    refused(path, path.read_bytes(), r"looks like an array of numpy.save\)")
    assert not exploded.exists()
    pickle.loads(pickle.dumps(Bomb(exploded)))
    assert exploded.exists()


@SETTINGS
@given(data=st.binary(max_size=300))
def test_random_bytes(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path / "a", data)
    refused(tmp_path / "a", with_header(data))
    refused(tmp_path / "a", with_header(b"{" + data))


@SETTINGS
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda s: st.lists(s) | st.dictionaries(st.text(), s),
    ),
    place=st.sampled_from(["header", "a", "dtype", "shape", "data_offsets", "__metadata__"]),
)
def test_random_headers(tmp_path: Path, value: Any, place: str) -> None:
    whole: Any = {"a": entry(), "__metadata__": {}}
    if place == "header":
        whole = value
    elif place in whole:
        whole[place] = value
    else:
        whole["a"][place] = value
    refused(tmp_path / "a", with_header(json.dumps(whole).encode(), EIGHT))


def test_texts_are_accepted_before_arrays_are_looked_at(path: Path) -> None:
    seen = []

    def refuse(texts: Mapping[str, str]) -> None:
        seen.append(texts["kind"])
        raise broken("it is a test", "something else", "Take another.")

    parts = taken_apart(path)
    path.write_bytes(put_together(parts)[:-3])
    with pytest.raises(BrokenFile) as caught:
        read(path, refuse)
    assert str(caught.value) == f"'{path}': it is a test; expected something else. Take another."
    assert seen == ["a test"]


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        read(tmp_path / "missing", accept)
    with pytest.raises(IsADirectoryError):
        read(tmp_path, accept)
    with pytest.raises(BrokenFile, match="it is a device or a pipe; expected a file"):
        read("/dev/zero", accept)


def test_a_file_that_shrinks_while_it_is_read(path: Path) -> None:
    def cut(_: Mapping[str, str]) -> None:
        with open(path, "r+b") as file:
            file.truncate(path.stat().st_size - 1)

    # larger than what was read ahead
    write(path, {}, {"a": np.zeros(2**17)})
    with pytest.raises(BrokenFile, match="it became shorter while it was read"):
        read(path, cut)


def test_naming_adds_the_path_once() -> None:
    with pytest.raises(BrokenFile, match=r"^'p': found; expected this\. Copy or save it again\.$"), naming("p"):
        raise broken("found", "this")
    with pytest.raises(KeyError), naming("p"):
        raise KeyError("other")


def test_files_made_by_hand_are_read(tmp_path: Path) -> None:
    """So that the refusals above are for the reasons given."""
    parts = parts_of({"kind": "a test"}, ARRAYS)
    assert isinstance(parts, Parts)
    (tmp_path / "a").write_bytes(put_together(parts))
    _, found = read(tmp_path / "a", accept)
    for name, array in ARRAYS.items():
        assert_same_bits(found[name], array)
    refused(tmp_path / "a", put_together(parts, sum_anew=False), re.escape("expected None"))


# Files of others


def foreign(path: Path, tensors: dict[str, tuple[str, list[int], bytes]], texts: Any = None) -> Path:
    """A file of these dtypes, shapes and bytes."""
    header: dict[str, Any] = {} if texts is None else {"__metadata__": texts}
    payload = b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(payload), len(payload) + len(data)]}
        payload += data
    path.write_bytes(with_header(json.dumps(header).encode(), payload))
    return path


def refused_by_both(path: Path, match: str) -> None:
    for reader in (described, lambda path: read_tensors(path, ["a"])):
        with pytest.raises(BrokenFile, match=match) as caught:
            reader(path)
        assert str(caught.value).startswith(f"'{path}': ")


def test_tensors_of_others_are_read_when_asked_for(tmp_path: Path) -> None:
    tensors = {
        "steps": ("I64", [], struct.pack("<q", 7)),
        "half": ("F16", [1, 2], np.array([1.5, -0.0], "<f2").tobytes()),
        "mask": ("F8_E4M3", [3], b"abc"),
        "single": ("F32", [2], np.array([1 / 3, np.nan], "<f4").tobytes()),
        "none": ("F64", [0, 2], b""),
        "bits": ("SOME_DAY", [8], b"x"),
        "double": ("F64", [], np.array(0.1, "<f8").tobytes()),
    }
    path = foreign(tmp_path / "a", tensors, {"format": "pt"})
    texts, found = described(path)
    assert texts == {"format": "pt"}
    assert found == {name: (dtype, tuple(shape)) for name, (dtype, shape, _) in tensors.items()}
    arrays = read_tensors(path, ["double", "half", "none", "single"])
    assert list(arrays) == ["double", "half", "none", "single"]
    for name, array in arrays.items():
        dtype, shape, data = tensors[name]
        assert_same_bits(array, np.frombuffer(data, safetensors_format.DTYPES[dtype]).reshape(shape))
        assert array.flags.writeable
    assert read_tensors(path, []) == {}
    for name, message in {
        "steps": "tensor 'steps' has dtype 'I64'; expected one of F16, F32, F64, BF16. Convert it",
        "bits": "tensor 'bits' has dtype 'SOME_DAY'; expected one of",
        "gone": "it has no tensor 'gone'; expected one",
    }.items():
        with pytest.raises(BrokenFile, match=re.escape(message)):
            read_tensors(path, ["double", name])


def test_every_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    """All 65536 of them: sign, eight bits of exponent and seven of mantissa."""
    bits = np.arange(2**16, dtype=np.uint16)
    path = foreign(tmp_path / "a", {"a": ("BF16", [256, 256], bits.astype("<u2").tobytes())})
    found = read_tensors(path, ["a"])["a"]
    assert (found.dtype, found.shape) == (np.float32, (256, 256))
    sign, exponent, mantissa = bits >> 15, (bits >> 7) & 255, (bits & 127).astype(float)
    ordinary = exponent < 255
    subnormal = exponent == 0
    scale = np.ldexp(1.0, np.where(subnormal, -126, exponent.astype(int) - 127))
    expected = np.where(sign, -1.0, 1.0) * scale * (np.where(subnormal, 0.0, 1.0) + mantissa / 128)
    np.testing.assert_array_equal(found.reshape(-1)[ordinary], expected[ordinary])
    assert np.isnan(found.reshape(-1)[~ordinary & (mantissa > 0)]).all()
    assert np.isinf(found.reshape(-1)[~ordinary & (mantissa == 0)]).all()
    assert read_tensors(foreign(path, {"a": ("BF16", [], b"\x80\x3f")}), ["a"])["a"] == 1.0


def test_our_own_files_are_read_as_those_of_others(path: Path) -> None:
    assert described(path)[0].items() >= TEXTS.items()
    for name, array in read_tensors(path, list(ARRAYS)).items():
        assert_same_bits(array, ARRAYS[name])


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 9]}, "takes the bytes from 0 to 9; expected 8 bytes"),
        ({"dtype": "BF16", "shape": [2], "data_offsets": [0, 8]}, "takes the bytes from 0 to 8; expected 4 bytes"),
        ({"dtype": "I8", "shape": [2], "data_offsets": [8, 0]}, "takes the bytes from 8 to 0; expected 0 bytes"),
        ({"dtype": 5, "shape": [8], "data_offsets": [0, 8]}, "has dtype 5; expected one of F16, F32, F64, BF16"),
        ({"dtype": "I8", "shape": [-8], "data_offsets": [0, 8]}, "has shape"),
        ({"dtype": "I8", "shape": [8], "data_offsets": [1, 8]}, "begins at byte 1; expected 0"),
        ({"dtype": "I8", "shape": [8], "data_offsets": [0, 7]}, "it has 8 bytes of data; expected 7"),
        ({"dtype": "I8", "shape": [8]}, "expected dtype, shape and data_offsets"),
    ],
)
def test_files_of_others_must_be_whole_too(entry: dict[str, Any], match: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(with_header(json.dumps({"a": entry}).encode(), bytes(8)))
    refused_by_both(path, match)


def test_files_of_others_may_have_longer_headers(tmp_path: Path) -> None:
    path = foreign(tmp_path / "a", {"a": ("F64", [1], bytes(8))}, {"long": "x" * MAX_HEADER})
    assert described(path)[1] == {"a": ("F64", (1,))}
    refused(path, path.read_bytes(), f"expected a safetensors file with at most {MAX_HEADER}")
    path.write_bytes(struct.pack("<Q", MAX_FOREIGN_HEADER + 1) + bytes(16))
    refused_by_both(path, f"at most {MAX_FOREIGN_HEADER}. Nothing is ever unpickled")
    path.write_bytes(pickle.dumps([1.0, "abc"]))
    refused_by_both(path, "it looks like a pickle")


def test_files_of_others_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        described(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        read_tensors(tmp_path, ["a"])
    refused_by_both(Path("/dev/zero"), "it is a device or a pipe")
