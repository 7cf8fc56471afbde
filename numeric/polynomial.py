"""A converted MLP: the MLP itself, with σ replaced by one small polynomial per neuron."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.device.arrays import host, moved, namespace
from numeric.factored import FactoredPolynomial, Float64
from numeric.layers import MLP
from numeric.series import HermiteSeries, powers_about


@dataclass(frozen=True, eq=False, repr=False)
class RidgePolynomial(FactoredPolynomial):
    """p(x) = W_out q(W_in x + b_in) + b_out, with one polynomial per neuron,

        q_i(y) = Σ_{k≤n} h_ik/k! · He_k((y − μ_i)/s_i),    q_i = h_i0 where s_i = 0.

    Made by `numeric.approximate`. It is evaluated in this form, as fast as the network. The preactivation
    enters as y − μ = W_in (x − m), m the mean of the inputs, which loses nothing to a large mean or bias.

    Coefficients of monomials are made on request, in float64:

    >>> p.constant, p.linear, p.quadratic                # p(x) = c + L x + xᵀ Q x + …, about the origin
    >>> p.about(inputs.mean).linear                      # … = C_0 + C_1 (x − m) + …, about another point

    A request that needs more memory than there is raises `CoefficientsTooLarge` (a `MemoryError`) at
    once. Constant, linear and quadratic part are kept once made; pickles leave them out.

    Where the inputs have a singular covariance the best polynomial is unique only on their support
    m + range Σ; this is its natural extension off it. Compare values there, not coefficients.

    Attributes:
        layer: the MLP it came from; its arrays are not copied.
        inputs: the Gaussian it was made for.
        preactivation_mean, preactivation_std: (n_hidden,), μ and s.
        hermite: (n_hidden, degree + 1), h_ik = E[σ(μ_i + s_i Z) He_k(Z)].
    """

    layer: MLP

    @property
    def degree(self) -> int:
        return self.hermite.shape[1] - 1

    @property
    def W_in(self) -> NDArray[Any]:
        """(n_hidden, d_in), of the layer."""
        return self.layer.W_in

    def _pointwise(self, neurons: slice, *centred: NDArray[Any]) -> NDArray[Any]:
        (u,) = centred
        series = self._series if u.dtype == namespace(u).float64 else self._series_in_single
        return series(u, neurons)

    @cached_property
    def _series(self) -> HermiteSeries:
        return HermiteSeries(self.hermite, self.preactivation_std)

    @cached_property
    def _series_in_single(self) -> HermiteSeries:
        """The series without the neurons that float32 cannot follow, of which the mean is left."""
        lost = self._lost_in_single
        if not lost.any():
            return self._series
        hermite, std = host(self.hermite).copy(), np.where(lost, 0.0, host(self.preactivation_std))
        hermite[lost, 1:] = 0.0
        return HermiteSeries(moved(hermite, self.hermite), moved(std, self.hermite))

    def _powers(self, shifts: Sequence[Float64]) -> tuple[Float64, ...]:
        return (powers_about(self._derivatives, host(self.preactivation_std), shifts[0]),)

    def __repr__(self) -> str:
        return self._describe("ridges")
