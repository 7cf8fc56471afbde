"""A table of true Hermite coefficients, and its file.

A mantissa costs its 53 bits; everything else is stored as coarsely as a bound allows and byte after byte,
so that 2,000 points take 300 kB.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FOLDER = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class Table:
    """Truth for one activation at n points.

    Attributes:
        about: name, parameters, formulas, seed, worst disagreement met.
        mu, s: the points, shape (n,).
        h_hi, h_lo: h_k = h_hi (1 + h_lo), shape (n, 9).
        h_log2_scale, h_kappa: log2 D and κ of h_k, shape (n, 9).
        g_hi, g_lo, g_log2_scale, g_kappa: the same for g_0 … g_3, shape (n, 4).
        confirmed: the rows compared with the definition, shape (n,).
    """

    about: dict[str, Any]
    mu: Array
    s: Array
    h_hi: Array
    h_lo: Array
    h_log2_scale: Array
    h_kappa: Array
    g_hi: Array
    g_lo: Array
    g_log2_scale: Array
    g_kappa: Array
    confirmed: NDArray[np.bool_]


_PARTS = ("hi", "lo", "log2_scale", "kappa")
_LO_UNIT = 2.0**-60
_SCALE_UNIT = 2.0**-10
_KAPPA_UNIT = 2.0**-6


def save(table: Table, path: Path) -> None:
    """Write the table; column 0 of g is that of h and is left out."""
    columns: dict[str, Any] = {"mu": table.mu, "s": table.s, "confirmed": table.confirmed}
    for part in _PARTS:
        columns[f"h_{part}"] = _bytes_by_place(_ENCODE[part](getattr(table, f"h_{part}")))
        columns[f"g_{part}"] = _bytes_by_place(_ENCODE[part](getattr(table, f"g_{part}")[:, 1:]))
    columns["about"] = np.frombuffer(json.dumps(table.about, ensure_ascii=False, indent=1).encode(), dtype=np.uint8)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **columns)


def read(path: Path) -> Table:
    """Read what `save` wrote."""
    with np.load(path) as file:
        columns = {f"{c}_{part}": _DECODE[part](_from_bytes(file[f"{c}_{part}"])) for c in "hg" for part in _PARTS}
        for part in _PARTS:
            columns[f"g_{part}"] = np.concatenate([columns[f"h_{part}"][:, :1], columns[f"g_{part}"]], axis=1)
        about = json.loads(file["about"].tobytes())
        return Table(about, file["mu"], file["s"], confirmed=file["confirmed"], **columns)


def _lo_as_int8(lo: Array) -> NDArray[Any]:
    """|lo| ≤ 2**-53, except below the normal numbers, where it does not matter: 60 bits of the value in
    all."""
    return np.clip(np.round(lo / _LO_UNIT), -127, 127).astype(np.int8)


def _scale_as_int32(log2_scale: Array) -> NDArray[Any]:
    """D to 4e-4."""
    units = np.round(log2_scale / _SCALE_UNIT)
    return np.where(np.isfinite(units), units, _NO_SCALE).astype(np.int32)


def _scale_from_int32(units: NDArray[Any]) -> Array:
    return np.where(units == _NO_SCALE, -np.inf, units * _SCALE_UNIT)


def _kappa_as_uint16(kappa: Array) -> NDArray[Any]:
    """1 + κ to 1.1 %, downwards."""
    return np.floor(np.log2(1 + kappa) / _KAPPA_UNIT).astype(np.uint16)


_NO_SCALE = np.iinfo(np.int32).min
_ENCODE: dict[str, Callable[[Array], NDArray[Any]]] = {
    "hi": np.asarray,
    "lo": _lo_as_int8,
    "log2_scale": _scale_as_int32,
    "kappa": _kappa_as_uint16,
}
_DECODE: dict[str, Callable[[NDArray[Any]], Array]] = {
    "hi": np.asarray,
    "lo": lambda units: units * _LO_UNIT,
    "log2_scale": _scale_from_int32,
    "kappa": lambda units: np.exp2(units * _KAPPA_UNIT) - 1,
}
_DTYPES = {1: np.int8, 2: np.uint16, 4: np.int32, 8: np.float64}


def _bytes_by_place(values: NDArray[Any]) -> NDArray[np.uint8]:
    """All first bytes, all second bytes, …, column after column: exponents compress, mantissas do not."""
    columns = np.ascontiguousarray(values.T)
    return columns.view(np.uint8).reshape(*columns.shape, -1).transpose(0, 2, 1).copy()


def _from_bytes(places: NDArray[np.uint8]) -> NDArray[Any]:
    rows = np.ascontiguousarray(places.transpose(0, 2, 1))
    return rows.view(_DTYPES[rows.shape[-1]])[..., 0].T


@lru_cache
def load(key: str) -> Table:
    """The checked-in table of a case."""
    return read(FOLDER / f"{key}.npz")
