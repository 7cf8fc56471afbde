# The public names and where they live: `numeric/__init__.py` reads them here.

from numeric.activations import Activation, UnknownActivation, activation, activation_names
from numeric.attacks import Projection, attack_curve, eigenvector_attack, project_out, svd_attack
from numeric.bivariate import gaussian_covariance
from numeric.compare import Comparison, accuracy, agreement, comparison, fvu, kl_divergence, r_squared, total_fvu
from numeric.convert import approximate
from numeric.dense import CoefficientsTooLarge, DensePolynomial
from numeric.files import BrokenFile, WrongActivation, load
from numeric.gated import GatedPolynomial
from numeric.gradients import expected_derivative_gradients, hermite_coefficient_gradients
from numeric.inputs import Gaussian
from numeric.isserlis import gaussian_moment, gaussian_moments, hermite_master_coefficients, master_coefficients
from numeric.layers import GLU, MLP
from numeric.mixture.inputs import GaussianMixture
from numeric.mixture.polynomial import SolvedPolynomial
from numeric.moments import AccuracyWarning, expected_derivatives, hermite_coefficients
from numeric.polynomial import RidgePolynomial
from numeric.samples import Samples
from numeric.solver import Solver
from numeric.spectral import SingularVectors, Spectrum, linear_part, spectrum, svd

__all__ = [
    "GLU",
    "MLP",
    "AccuracyWarning",
    "Activation",
    "BrokenFile",
    "CoefficientsTooLarge",
    "Comparison",
    "DensePolynomial",
    "GatedPolynomial",
    "Gaussian",
    "GaussianMixture",
    "Projection",
    "RidgePolynomial",
    "Samples",
    "SingularVectors",
    "SolvedPolynomial",
    "Solver",
    "Spectrum",
    "UnknownActivation",
    "WrongActivation",
    "accuracy",
    "activation",
    "activation_names",
    "agreement",
    "approximate",
    "attack_curve",
    "comparison",
    "eigenvector_attack",
    "expected_derivative_gradients",
    "expected_derivatives",
    "fvu",
    "gaussian_covariance",
    "gaussian_moment",
    "gaussian_moments",
    "hermite_coefficient_gradients",
    "hermite_coefficients",
    "hermite_master_coefficients",
    "kl_divergence",
    "linear_part",
    "load",
    "master_coefficients",
    "project_out",
    "r_squared",
    "spectrum",
    "svd",
    "svd_attack",
    "total_fvu",
]
