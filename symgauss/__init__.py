"""symgauss: Gaussian expectations of activation functions, derived by operators and proved.

>>> gaussian_mean(activation("relu"))
mu*Phi(mu/sigma) + sigma*phi(mu/sigma)
>>> prove_mean("relu").status
'proved'
"""

from symgauss import catalogue
from symgauss.hermite import expected_derivatives, hermite_coefficients
from symgauss.mean import gaussian_mean
from symgauss.pieces import NoClosedForm
from symgauss.proof import Proof, Step, prove_mean
from symgauss.record import Activation, UnknownActivation, activation, activation_names, register
from symgauss.symbols import He, Phi, mu, mu_1, mu_2, phi, rho, sigma, sigma_1, sigma_2, x

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "He",
    "NoClosedForm",
    "Phi",
    "Proof",
    "Step",
    "UnknownActivation",
    "activation",
    "activation_names",
    "catalogue",
    "expected_derivatives",
    "gaussian_mean",
    "hermite_coefficients",
    "mu",
    "mu_1",
    "mu_2",
    "phi",
    "prove_mean",
    "register",
    "rho",
    "sigma",
    "sigma_1",
    "sigma_2",
    "x",
]
