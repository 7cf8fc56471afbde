"""The symbols of Gaussian vectors: means m[i], covariances S[i, j], and one more variable X ~ N(m_x, v_x).

Indices count from 0. In the master theorem c[i] is the covariance of X with the variable number i. The members
are ordinary real symbols, made when they are asked for, so they serve as generators of polynomials.

>>> m[0], S[0, 1], S[1, 0] == S[0, 1], S[0, 12], c[3]
(m_0, S_01, True, S_0_12, c_3)
"""

import operator
from dataclasses import dataclass
from typing import Any, ClassVar

from sympy import Symbol


@dataclass(frozen=True, repr=False)
class VectorFamily:
    """The symbols `family[i]`, i = 0, 1, …"""

    name: str
    __iter__: ClassVar[None] = None  # there is no last one

    def __getitem__(self, i: int) -> Symbol:
        return Symbol(f"{self.name}_{_index(self.name, i)}", real=True)

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, repr=False)
class SymmetricFamily:
    """The symbols `family[i, j]`, where the order of i and j does not matter."""

    name: str
    __iter__: ClassVar[None] = None

    def __getitem__(self, indices: tuple[int, int]) -> Symbol:
        if not isinstance(indices, tuple) or len(indices) != 2:
            raise TypeError(f"{self.name} takes two indices, as in {self.name}[0, 1], got {indices!r}.")
        i, j = sorted(_index(self.name, k) for k in indices)
        return Symbol(f"{self.name}_{i}{'_' if j > 9 else ''}{j}", real=True)

    def __repr__(self) -> str:
        return self.name


def _index(name: str, value: Any) -> int:
    try:
        i = operator.index(value)
    except TypeError:
        raise TypeError(f"The indices of {name} are integers, got {value!r}.") from None
    if i < 0:
        raise IndexError(f"The indices of {name} count from 0, got {i}.")
    return i


m, c, S = VectorFamily("m"), VectorFamily("c"), SymmetricFamily("S")
m_x, v_x = Symbol("m_x", real=True), Symbol("v_x", positive=True)
