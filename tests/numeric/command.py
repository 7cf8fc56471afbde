"""What the tests of the command share: how it is called, and examples of the files that it takes."""

import contextlib
import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import numeric as nm
from numeric import cli
from tests.numeric.problems import covariance, gated_weights, weights

ROOT = Path(__file__).parents[2]
MLP_NAMES = ("W_in", "b_in", "W_out", "b_out")
GLU_NAMES = ("W_gate", "b_gate", "W_up", "b_up", "W_out", "b_out")
# Inputs, neurons and outputs of the examples.
D, N, OUT = 4, 6, 3


@pytest.fixture
def somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, without waiting for the disk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.delenv("SYMGAUSS_DEBUG", raising=False)


class Result(SimpleNamespace):
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """What was printed, if it is one line with one object, and nothing was said besides."""
        assert (self.status, self.err) == (0, "")
        assert self.out.count("\n") == 1

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        return json.loads(self.out, parse_constant=refuse)

    @property
    def refusal(self) -> str:
        """What was said on the one line of an error."""
        assert self.out == ""
        assert self.err.count("\n") == 1
        assert self.err.startswith("symgauss: error: "), self.err
        return self.err.removeprefix("symgauss: error: ").rstrip("\n")


def call(*arguments: Any) -> Result:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main([str(argument) for argument in arguments])
    return Result(status=status, out=out.getvalue(), err=err.getvalue())


def typed(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "numeric.cli", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": ""} | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


# Examples


def mlp(activation: Any = "relu") -> nm.MLP:
    return nm.MLP(*weights(np.random.default_rng(0), D, N, OUT), activation)


def glu(activation: Any = "relu") -> nm.GLU:
    return nm.GLU(*gated_weights(np.random.default_rng(1), D, N, OUT), activation)


def arrays_of(layer: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: getattr(layer, name) for name in names}


def mean_and_cov() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {"mean": rng.standard_normal(D), "cov": covariance(rng, D, D)}


def samples() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((50, D)) + 0.5


def write_layer(path: str = "layer.npz", **others: Any) -> str:
    np.savez(path, **{**arrays_of(mlp(), MLP_NAMES), "activation": np.array("relu"), **others})
    return path


def write_stats(path: str = "stats.npz", **others: Any) -> str:
    np.savez(path, **{**mean_and_cov(), **others})
    return path


def safetensors(path: str, tensors: dict[str, tuple[str, Any, bytes]], **texts: str) -> str:
    """A file put together by hand: dtype, shape and bytes by name."""
    header: dict[str, Any] = {"__metadata__": texts} if texts else {}
    payload = b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(payload), len(payload) + len(data)]}
        payload += data
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + payload)
    return path


def tensor(array: np.ndarray, dtype: str = "F64") -> tuple[str, tuple[int, ...], bytes]:
    """As it is in a file."""
    if dtype == "BF16":  # the upper half of a float32
        return dtype, array.shape, (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return dtype, array.shape, array.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8"}[dtype]).tobytes()


def gaussian() -> nm.Gaussian:
    return nm.Gaussian(**mean_and_cov())


def mixture(covariance_type: Any = "full", noise_floor: float = 0.0, d: int = D) -> nm.GaussianMixture:
    """Of three components."""
    return nm.GaussianMixture(
        **mixture_arrays(covariance_type, d), covariance_type=covariance_type, noise_floor=noise_floor
    )


def mixture_arrays(covariance_type: str = "full", d: int = D) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(9)
    covs = {
        "full": lambda: np.stack([size * covariance(rng, d, d) for size in (0.5, 1.0, 1.5)]),
        "diag": lambda: rng.uniform(0.3, 1.5, (3, d)),
        "tied": lambda: covariance(rng, d, d),
    }
    return {
        "weights": np.array([0.5, 0.25, 0.25]),
        "means": rng.standard_normal((3, d)),
        "covs": covs[covariance_type](),
    }


def labelled(path: str = "labelled.npz", **others: Any) -> str:
    """Samples of two classes."""
    X = samples()
    labels = np.arange(len(X)) % 3 > 0
    X[labels] += 1.5
    np.savez(path, **{"X": X, "labels": labels, **others})
    return path


def converted(path: str = "p", degree: int = 2, layer: Any = None, fvu: bool = True) -> nm.RidgePolynomial:
    """Saved, with its variance."""
    p = nm.approximate(layer or mlp(), gaussian(), degree)
    if fvu:
        _ = p.total_fvu
    p.save(path)
    return p


# Files that are not what they should be


def pickled(path: str) -> str:
    Path(path).write_bytes(pickle.dumps({"W_in": [1.0]}))
    return path


def zipped(path: str, *names: str) -> str:
    """What torch.save makes, as far as anyone looks."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, pickle.dumps(1))
    return path


def objects(path: str) -> str:
    np.savez(path, W_in=np.array([{"a": 1}], dtype=object))
    return path


def saved(obj: Any, path: str) -> str:
    obj.save(path)
    return path


def npz(path: str, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return path


def npy(path: str, array: Any) -> str:
    np.save(path, array)
    return path


def pipe(path: str) -> str:
    os.mkfifo(path)
    return path


def only(*names: str) -> dict[str, np.ndarray]:
    every = arrays_of(mlp(), MLP_NAMES) | arrays_of(glu(), GLU_NAMES)
    return {name: every[name] for name in names}


def many_tensors() -> str:
    return safetensors("model", {f"blocks.{i}.weight": tensor(np.ones((2, 3))) for i in range(40)})


# What comes out


def assert_documented(found: dict[str, Any], help_text: str) -> None:
    _, _, keys = help_text.partition("with --json, one object")
    assert keys
    for key in found:
        assert re.search(rf"\b{key}\b", keys), key


def size_of(path: str) -> tuple[int, int]:
    content = Path(path).read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    return width, height
