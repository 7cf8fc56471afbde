"""Hermite series of many neurons at once: evaluated at their preactivations, or turned into powers.

Neuron i carries q_i(u) = Σ_{k≤n} h_ik/k! He_k(u/s_i), u = y − μ_i its centred preactivation; where
s_i = 0 it is the constant h_i0.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.jit import loop

Float64 = NDArray[np.float64]

# Neurons carried through the recurrence together: their three work rows stay in the first-level cache.
_CHUNK = 512


class HermiteSeries:
    """The series above, ready to be evaluated.

    It is kept in the orthonormal polynomials he_k = He_k/√k!, whose coefficients h_k/√k! are at most
    √E[σ²] and never overflow, and summed by Clenshaw's recurrence for
    √(k+1) he_{k+1} = t he_k − √k he_{k−1}.
    """

    def __init__(self, hermite: Float64, std: Float64) -> None:
        order = np.arange(hermite.shape[1], dtype=np.float64)
        normalisation = np.cumprod(1.0 / np.sqrt(np.maximum(order, 1.0)))
        self._coefficients = np.ascontiguousarray((hermite * normalisation).T)
        # A neuron without variance has only its constant: any unit does.
        self._unit = np.where(std > 0, std, 1.0)
        self._up = 1.0 / np.sqrt(order + 1.0)
        self._down = np.sqrt((order + 1.0) / (order + 2.0))

    def __call__(self, u: NDArray[Any], neurons: slice) -> NDArray[Any]:
        """Replace u of shape (batch, neurons of the slice), float32 or float64, by the values q(u)."""
        coefficients = np.ascontiguousarray(self._coefficients[:, neurons])
        _clenshaw(u, self._unit[neurons], coefficients, self._up, self._down)
        return u


@loop
def _clenshaw(u, unit, coefficients, up, down):
    batch, n = u.shape
    degree = len(coefficients) - 1
    t = np.empty(_CHUNK)
    value = np.empty(_CHUNK)
    last = np.empty(_CHUNK)
    for row in range(batch):
        for start in range(0, n, _CHUNK):
            width = min(_CHUNK, n - start)
            for j in range(width):
                t[j] = u[row, start + j] / unit[start + j]
                value[j] = coefficients[degree, start + j]
                last[j] = 0.0
            for k in range(degree - 1, -1, -1):
                for j in range(width):
                    previous = value[j]
                    value[j] = coefficients[k, start + j] + (up[k] * t[j]) * previous - down[k] * last[j]
                    last[j] = previous
            for j in range(width):
                u[row, start + j] = value[j]


def powers_about(derivatives: Float64, std: Float64, shift: Float64) -> Float64:
    """Coefficients c_m of q(v + shift) = Σ_m c_m v^m, of the shape of `derivatives`.

    `derivatives` holds g_k = E σ^{(k)}, shape (neurons, n + 1). From q(u) = Σ_k g_k/k! H_k(u; s²) and
    ∂_u H_k = k H_{k−1} follows c_m = 1/m! Σ_{k≥m} g_k/(k−m)! H_{k−m}(shift; s²), in which nothing is
    divided by s.
    """
    n = derivatives.shape[1]
    variance = std**2
    # H_j(shift; s²)/j! by the three-term recurrence
    heat = [np.ones_like(shift)]
    for j in range(1, n):
        below = heat[j - 2] * variance if j > 1 else 0.0
        heat.append((shift * heat[j - 1] - below) / j)
    powers = np.zeros_like(derivatives)
    factorial = 1.0
    for m in range(n):
        for k in range(m, n):
            powers[:, m] += derivatives[:, k] * heat[k - m]
        factorial *= max(m, 1)
        powers[:, m] /= factorial
    return powers
