"""Hermite series of many neurons at once: evaluated at their preactivations, or turned into powers.

Neuron i carries q_i(u) = Σ_{k≤n} a_ik/k! He_k(u/s_i), u = y − μ_i its centred preactivation; where
s_i = 0 it is the constant a_i0. In a gated neuron the coefficients are linear in z, the value of its other
projection: a_ik = b_ik z + c_ik.

All is kept in the orthonormal polynomials he_k = He_k/√k!, whose coefficients a_k/√k! are at most √E[q²] and
never overflow, and summed by Clenshaw's recurrence for √(k+1) he_{k+1} = t he_k − √k he_{k−1}.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numeric.device.arrays import cast, double, host, moved, namespace
from numeric.jit import loop

Float64 = NDArray[np.float64]

# Neurons carried through the recurrence together: their work rows stay in the first-level cache.
_CHUNK = 512


class HermiteSeries:
    """The series with constant coefficients, ready to be evaluated.

    Args:
        coefficients: (neurons, n + 1), a_ik.
        std: (neurons,), s_i.
    """

    def __init__(self, coefficients: Float64, std: Float64) -> None:
        self._coefficients = _orthonormal(coefficients)
        self._unit = _unit(std)
        self._up, self._down = _recurrence(self._coefficients.shape[0])

    def __call__(self, u: NDArray[Any], neurons: slice) -> NDArray[Any]:
        """Replace u of shape (batch, neurons of the slice), float32 or float64, by the values q(u)."""
        coefficients, unit = self._coefficients[:, neurons], self._unit[neurons]
        if not isinstance(u, np.ndarray):
            values = _clenshaw_on_device(double(u) / unit, lambda k: coefficients[k, :], self._up, self._down)
            return cast(values, u.dtype)
        _clenshaw(u, unit, np.ascontiguousarray(coefficients), self._up, self._down)
        return u


class GatedSeries:
    """The series with coefficients linear in z, at the price of one addition per order more.

    Args:
        slopes: (neurons, n + 1), b_ik.
        intercepts: (neurons, n + 1), c_ik.
        std: (neurons,), s_i.
        mean: (neurons,), the means ν_i of z.
    """

    def __init__(self, slopes: Float64, intercepts: Float64, std: Float64, mean: Float64) -> None:
        self._slopes = _orthonormal(slopes)
        self._intercepts = _orthonormal(intercepts)
        self._unit, self._mean = _unit(std), mean
        self._up, self._down = _recurrence(self._slopes.shape[0])

    def __call__(self, u: NDArray[Any], w: NDArray[Any], neurons: slice) -> NDArray[Any]:
        """Replace u of shape (batch, neurons of the slice) by the values q(u, ν + w); w has its shape and type."""
        slopes, intercepts = self._slopes[:, neurons], self._intercepts[:, neurons]
        unit, mean = self._unit[neurons], self._mean[neurons]
        if not isinstance(u, np.ndarray):
            z = double(w) + mean
            t = double(u) / unit
            values = _clenshaw_on_device(t, lambda k: slopes[k, :] * z + intercepts[k, :], self._up, self._down)
            return cast(values, u.dtype)
        slopes, intercepts = np.ascontiguousarray(slopes), np.ascontiguousarray(intercepts)
        _gated_clenshaw(u, w, unit, mean, slopes, intercepts, self._up, self._down)
        return u


def _orthonormal(coefficients: Float64) -> Float64:
    """a_k/√k!, with the orders first."""
    order = np.arange(coefficients.shape[1], dtype=np.float64)
    normalisation = np.cumprod(1.0 / np.sqrt(np.maximum(order, 1.0)))
    return moved(np.ascontiguousarray((host(coefficients) * normalisation).T), coefficients)


def _unit(std: Float64) -> Float64:
    # A neuron without variance has only its constant: any unit does.
    known = host(std)
    return moved(np.where(known > 0, known, 1.0), std)


def _recurrence(orders: int) -> tuple[Float64, Float64]:
    order = np.arange(orders, dtype=np.float64)
    return 1.0 / np.sqrt(order + 1.0), np.sqrt((order + 1.0) / (order + 2.0))


def _clenshaw_on_device(t: Any, coefficient: Callable[[int], Any], up: Float64, down: Float64) -> Any:
    """Σ_k a_k he_k(t), with a_k = coefficient(k), in the library of t."""
    last = namespace(t).zeros_like(t)
    value = coefficient(len(up) - 1) + last
    for k in range(len(up) - 2, -1, -1):
        value, last = coefficient(k) + (float(up[k]) * t) * value - float(down[k]) * last, value
    return value


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


@loop
def _gated_clenshaw(u, w, unit, mean, slopes, intercepts, up, down):
    batch, n = u.shape
    degree = len(slopes) - 1
    t = np.empty(_CHUNK)
    z = np.empty(_CHUNK)
    value = np.empty(_CHUNK)
    last = np.empty(_CHUNK)
    for row in range(batch):
        for start in range(0, n, _CHUNK):
            width = min(_CHUNK, n - start)
            for j in range(width):
                t[j] = u[row, start + j] / unit[start + j]
                z[j] = w[row, start + j] + mean[start + j]
                value[j] = slopes[degree, start + j] * z[j] + intercepts[degree, start + j]
                last[j] = 0.0
            for k in range(degree - 1, -1, -1):
                for j in range(width):
                    previous = value[j]
                    coefficient = slopes[k, start + j] * z[j] + intercepts[k, start + j]
                    value[j] = coefficient + (up[k] * t[j]) * previous - down[k] * last[j]
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
