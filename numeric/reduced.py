"""Activations without the polynomial that they are around the mean of a preactivation.

A polynomial of degree ≤ n changes no residual beyond degree n, and where μ lies on a piece of σ that is one, what
is left without it is 0 all around μ. So what a kink far out leaves has full relative accuracy: nothing of the size
of σ(μ) is ever rounded. It is taken away where μ is on a polynomial piece of a piecewise polynomial, or on a
straight piece of anything else (ELU).
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from numeric import moments
from numeric.activations import Activation
from numeric.jit import device, loop
from numeric.special import Phi_phi

Float64 = NDArray[np.float64]

_MOST_DERIVATIVES = 8
# A piecewise polynomial with pieces narrower than s/this is treated like any function.
_NARROW_PIECES = 4.0


@dataclass(frozen=True)
class Reduced:
    """σ for many neurons, each without the piece that its μ is on, where that is a polynomial of degree ≤ `harmless`.

    Attributes:
        mean: (n,), μ of every neuron.
        line: (n, 2), σ and σ′ at μ.
        taken: (n,), whether the piece at μ is taken away.
    """

    activation: Activation
    mean: Float64
    line: Float64
    taken: NDArray[np.bool_]

    @classmethod
    def around(cls, activation: Activation, mean: Float64, std: Float64, harmless: int) -> Self:
        made = cls(activation, mean, np.zeros((len(mean), 2)), np.zeros(len(mean), dtype=bool))
        if not len(mean) or (not len(made.cuts) and not made.is_spline):
            return made
        derivatives = made.derivatives(mean, made.derivatives_known)
        highest = harmless if made.is_spline else min(harmless, 1)
        taken = (derivatives[:, max(highest + 1, 0) :] == 0).all(axis=1) & (made.derivatives_known >= 2)
        if made.is_spline:
            taken &= ~made.has_narrow_pieces(std)
        return cls(activation, mean, derivatives[:, :2], taken)

    @cached_property
    def cuts(self) -> Float64:
        """Where derivatives of σ jump."""
        return np.asarray(_plain(self.activation.kernels.cuts)(*self.activation.arguments))

    @cached_property
    def jumps(self) -> Float64:
        """By how much σ, σ′, … jump at each cut."""
        return np.asarray(_plain(self.activation.kernels.jumps)(*self.activation.arguments))

    @property
    def degree(self) -> int:
        """Of the polynomials that σ is made of; −1 if it is not."""
        return self.activation.kernels.DEGREE

    @property
    def is_spline(self) -> bool:
        """Whether σ is a piecewise polynomial whose jumps are all known."""
        return 0 <= self.degree < self.jumps.shape[1] or (self.degree >= 0 and not len(self.cuts))

    def has_narrow_pieces(self, std: Float64) -> NDArray[np.bool_]:
        """Whether jumps, taken one by one, would cancel where their sum stays bounded (hardtanh)."""
        return std > _NARROW_PIECES * np.diff(self.cuts).min(initial=np.inf)

    @property
    def derivatives_known(self) -> int:
        return min(self.activation.kernels.LAST, _MOST_DERIVATIVES)

    def of(self, neurons: Any) -> "Reduced":
        """Some of the neurons."""
        return Reduced(self.activation, self.mean[neurons], self.line[neurons], self.taken[neurons])

    def values(self, y: Float64, owner: NDArray[np.int64]) -> Float64:
        """What is left of σ(y), for rows y that belong to the neurons `owner`."""
        taken = self.taken[owner]
        if not taken.any():
            return self.activation(y)
        out = np.empty_like(y)
        out[~taken] = self.activation(y[~taken])
        some = owner[taken]
        out[taken] = self._along_jumps(y[taken], some) if self.is_spline else self._beside_line(y[taken], some)
        return out

    def _along_jumps(self, y: Float64, owner: NDArray[np.int64]) -> Float64:
        """Σ_c ± Σ_i J_i (y − c)^i/i! over the cuts between μ and y."""
        mean, total = self.mean[owner, None], np.zeros_like(y)
        orders = np.array([math.factorial(i) for i in range(self.degree + 1)], dtype=np.float64)
        for c, jumps in zip(self.cuts, self.jumps):
            t = y - c
            passed = np.where((t > 0) & (mean <= c), 1.0, np.where((t <= 0) & (mean > c), -1.0, 0.0))
            total += passed * np.polynomial.polynomial.polyval(t, jumps[: self.degree + 1] / orders)
        return total

    def _beside_line(self, y: Float64, owner: NDArray[np.int64]) -> Float64:
        mean = self.mean[owner, None]
        same = np.searchsorted(self.cuts, y) == np.searchsorted(self.cuts, mean)
        line = self.line[owner, :1] + self.line[owner, 1:] * (y - mean)
        return np.where(same, 0.0, self.activation(y) - line)

    def means(self, centre: Float64, spread: Float64, owner: NDArray[np.int64], order: int) -> Float64:
        """g_0 … g_order of what is left, for Y ~ N(centre, spread²); spread has one entry for each row of centre."""
        taken = self.taken[owner]
        out = np.empty((*centre.shape, order + 1))
        if self.is_spline:
            some = np.empty((*centre[taken].shape, 3))
            _spline_means(
                centre[taken], spread[taken], self.mean[owner[taken]], self.cuts, self.jumps, self.degree, some
            )
            out[taken] = some[..., : order + 1]
            out[~taken] = _means(self.activation, centre[~taken], spread[~taken], order)
            return out
        out = _means(self.activation, centre, spread, order)
        line = np.where(taken[:, None], self.line[owner], 0.0)
        out[..., 0] -= line[:, :1] + line[:, 1:] * (centre - self.mean[owner, None])
        if order:
            out[..., 1] -= line[:, 1:]
        return out

    def derivatives(self, y: Float64, order: int) -> Float64:
        """σ, …, σ^(order) themselves at y of any shape, along a new last axis."""
        kernels, flat = self.activation.kernels, np.ascontiguousarray(y).reshape(-1)
        if not hasattr(kernels, "derivatives_at_zero"):
            return moments.expected_derivatives(self.activation, y, 0.0, order=order)
        out = np.empty((flat.size, order + 1))
        kernels.derivatives_at_zero(flat, np.zeros_like(flat), out, *self.activation.arguments)
        return out.reshape(*y.shape, order + 1)


def _plain(device: Any) -> Any:
    """A device function as plain Python: compiling it for one call would take longer."""
    return getattr(device, "py_func", device)


def _means(activation: Activation, centre: Float64, spread: Float64, order: int) -> Float64:
    if order == 0:
        return moments.hermite_coefficients(activation, centre, spread[:, None], order=0)
    return moments.expected_derivatives(activation, centre, spread[:, None], order=order)


@device
def _spline_mean(mean, std, base, cuts, jumps, degree, out):
    out[:] = 0.0
    for c in range(cuts.size):
        side = 1.0 if base <= cuts[c] else -1.0
        distance = side * (mean - cuts[c])
        u = min(max(distance / std, -40.0), 40.0)
        level, density = Phi_phi(u)
        below = density / std
        lowest = -u * below / std
        sign = side
        for i in range(degree + 1):
            height = jumps[c, i] * sign
            out[0] += height * level
            out[1] += height * below * side
            out[2] += height * lowest
            level, below, lowest = (distance * level + std * std * below) / (i + 1.0), level, below
            sign *= side


@loop
def _spline_means(mean, std, base, cuts, jumps, degree, out):
    """The mean of what is left of a piecewise polynomial, and its first two derivatives.

    Right of μ a cut at c adds Σ_i J_i E[(Y − c)₊^i]/i!, left of it −Σ_i J_i E[(Y − c)^i; Y < c]/i!. With a = |Y − c|
    counted from where it is 0, these are ladders L_0 = Φ(u), L_{−1} = φ(u)/s, (i + 1) L_{i+1} = a L_i + s² L_{i−1}, in
    which the mean goes down by one step with each derivative.
    """
    for p in range(mean.shape[0]):
        spread = max(std[p], 1e-300)
        for q in range(mean.shape[1]):
            _spline_mean(mean[p, q], spread, base[p], cuts, jumps, degree, out[p, q])
