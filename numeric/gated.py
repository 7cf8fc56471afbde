"""A converted GLU: the GLU itself, with each gated product replaced by one small polynomial in two projections."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.device.arrays import host, moved, namespace
from numeric.factored import FactoredPolynomial, Float64
from numeric.layers import GLU
from numeric.series import GatedSeries, powers_about


@dataclass(frozen=True, eq=False, repr=False)
class GatedPolynomial(FactoredPolynomial):
    """p(x) = W_out q(W_gate x + b_gate, W_up x + b_up) + b_out, with one polynomial of y and z per neuron,

        q_i(y, z) = z Σ_{k<n} h_ik/k! · He_k(Z) + (ν_i h_in + r_i h_i,n+1)/n! · He_n(Z) + r_i h_in/(n−1)! · He_{n−1}(Z),

    Z = (y − μ_i)/s_i, linear in z (our derivation: derivations/gated.md). For n = 0 it is ν_i h_i0 + r_i h_i1, and
    for n > 0 it is h_i0 z where s_i = 0.

    Made by `numeric.approximate`. It is evaluated in this form, as fast as the network. The projections
    enter as W_gate (x − m) and W_up (x − m), m the mean of the inputs, which loses nothing to a large mean or
    bias.

    Coefficients of monomials are made on request, in float64, as those of a `RidgePolynomial`:

    >>> p.constant, p.linear, p.quadratic                # p(x) = c + L x + xᵀ Q x + …, about the origin
    >>> p.about(inputs.mean).linear                      # … = C_0 + C_1 (x − m) + …, about another point

    Where the inputs have a singular covariance the best polynomial is unique only on their support
    m + range Σ; this is its natural extension off it. Compare values there, not coefficients.

    Attributes:
        layer: the GLU it came from; its arrays are not copied.
        inputs: the Gaussian it was made for.
        preactivation_mean, preactivation_std: (n_hidden,), μ and s of the gate's preactivation y.
        hermite: (n_hidden, degree + 2), h_ik = E[σ(μ_i + s_i Z) He_k(Z)].
        up_mean: (n_hidden,), ν, the mean of z.
        coupling: (n_hidden,), r = Cov(y, z)/s, and 0 where s = 0.
    """

    layer: GLU
    up_mean: Float64
    coupling: Float64

    @property
    def degree(self) -> int:
        return self.hermite.shape[1] - 2

    @property
    def cross_covariance(self) -> Float64:
        """Cov(y, z), shape (n_hidden,)."""
        return self.coupling * self.preactivation_std

    @property
    def W_gate(self) -> NDArray[Any]:
        """(n_hidden, d_in), of the layer."""
        return self.layer.W_gate

    @property
    def W_up(self) -> NDArray[Any]:
        """(n_hidden, d_in), of the layer."""
        return self.layer.W_up

    def _pointwise(self, neurons: slice, *centred: NDArray[Any]) -> NDArray[Any]:
        u, w = centred
        series = self._series if u.dtype == namespace(u).float64 else self._series_in_single
        return series(u, w, neurons)

    @cached_property
    def _series(self) -> GatedSeries:
        slopes, intercepts = self._coefficients(host(self.hermite), host(self.coupling))
        return self._series_of(slopes, intercepts, host(self.preactivation_std))

    def _series_of(self, slopes: Float64, intercepts: Float64, std: Float64) -> GatedSeries:
        slopes, intercepts, std = (moved(array, self.hermite) for array in (slopes, intercepts, std))
        return GatedSeries(slopes, intercepts, std, self.up_mean)

    @cached_property
    def _series_in_single(self) -> GatedSeries:
        """The series without the gates that float32 cannot follow, of which h_0 z + r h_1 is left, with their mean."""
        lost = self._lost_in_single
        if not lost.any() or self.degree == 0:
            return self._series
        hermite, coupling = host(self.hermite), host(self.coupling)
        slopes, intercepts = self._coefficients(hermite, coupling)
        slopes[lost, 1:] = intercepts[lost, 1:] = 0.0
        intercepts[lost, 0] = coupling[lost] * hermite[lost, 1]
        return self._series_of(slopes, intercepts, np.where(lost, 0.0, host(self.preactivation_std)))

    def _coefficients(self, h: Float64, r: Float64) -> tuple[Float64, Float64]:
        """b and c of q = Σ_k (b_k z + c_k)/k! He_k(Z), each (n_hidden, n + 1).

        The same in derivatives: from g_k = h_k/s^k and Cov(y, z) = r s the coefficients of H_k(y − μ; s²).
        """
        n = self.degree
        slopes, intercepts = h[:, :-1].copy(), np.zeros((self.n_hidden, n + 1))
        slopes[:, n] = 0.0
        intercepts[:, n] = host(self.up_mean) * h[:, n] + r * h[:, n + 1]
        if n > 0:
            intercepts[:, n - 1] = r * h[:, n]
        return slopes, intercepts

    def _powers(self, shifts: Sequence[Float64]) -> tuple[Float64, ...]:
        (gate, up), std = shifts, host(self.preactivation_std)
        slopes, intercepts = self._coefficients(self._derivatives, host(self.cross_covariance))
        # z = ν + the shift + what is left, which takes one factor of the term
        free = intercepts + (host(self.up_mean) + up)[:, None] * slopes
        multiplied = np.roll(powers_about(slopes, std, gate), 1, axis=1)
        return powers_about(free, std, gate), multiplied

    def __repr__(self) -> str:
        return self._describe("gated ridges")
