"""numeric: the compiled side of symgauss. Fast Gaussian moments, and layers as polynomials.

>>> layer = MLP(W_in, b_in, W_out, b_out, activation="gelu")
>>> p = approximate(layer, Gaussian.from_samples(X), degree=2)
>>> p(x), p.linear, p.quadratic
>>> hermite_coefficients("relu", mean=0.0, std=1.0)
array([0.39894228, 0.5       , 0.39894228])
"""

from numeric.activations import Activation, UnknownActivation, activation, activation_names
from numeric.bivariate import gaussian_covariance
from numeric.convert import approximate
from numeric.dense import CoefficientsTooLarge, DensePolynomial
from numeric.gated import GatedPolynomial
from numeric.gradients import expected_derivative_gradients, hermite_coefficient_gradients
from numeric.inputs import Gaussian
from numeric.isserlis import (
    gaussian_moment,
    gaussian_moments,
    hermite_master_coefficients,
    master_coefficients,
)
from numeric.layers import GLU, MLP
from numeric.moments import AccuracyWarning, expected_derivatives, hermite_coefficients
from numeric.polynomial import RidgePolynomial

__all__ = [
    "GLU",
    "MLP",
    "AccuracyWarning",
    "Activation",
    "CoefficientsTooLarge",
    "DensePolynomial",
    "GatedPolynomial",
    "Gaussian",
    "RidgePolynomial",
    "UnknownActivation",
    "activation",
    "activation_names",
    "approximate",
    "expected_derivative_gradients",
    "expected_derivatives",
    "gaussian_covariance",
    "gaussian_moment",
    "gaussian_moments",
    "hermite_coefficient_gradients",
    "hermite_coefficients",
    "hermite_master_coefficients",
    "master_coefficients",
]
