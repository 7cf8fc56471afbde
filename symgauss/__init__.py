"""symgauss: Gaussian expectations of activation functions, derived by operators and proved.

>>> gaussian_mean(activation("relu"))
mu*Phi(mu/sigma) + sigma*phi(mu/sigma)
>>> prove_mean("relu").status
'proved'
"""

from symgauss import catalogue
from symgauss.codegen.compiled import Compiled, compile
from symgauss.covariance import gaussian_covariance
from symgauss.covariance_proof import prove_covariance
from symgauss.families import S, c, m, m_x, v_x
from symgauss.growth import GrowsTooFast, check_growth
from symgauss.hermite import expected_derivatives, hermite_coefficients
from symgauss.isserlis import gaussian_moment, isserlis_partitions, prove_moment
from symgauss.master import (
    hermite_master_coefficients,
    master_coefficients,
    prove_hermite_master_theorem,
    prove_master_theorem,
)
from symgauss.mean import gaussian_mean
from symgauss.pieces import NoClosedForm
from symgauss.plugins import BrokenPlugin
from symgauss.proof import prove_mean
from symgauss.record import Activation, UnknownActivation, activation, activation_names, register
from symgauss.stein import (
    g,
    kappa,
    neuron_expectations,
    nu,
    prove_neuron_expectations,
    prove_stein,
    stein_coefficients,
    v,
    w,
)
from symgauss.symbols import He, Phi, Phi2, mu, mu_1, mu_2, phi, rho, sigma, sigma_1, sigma_2, x
from symgauss.verdict import Proof, Step

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "BrokenPlugin",
    "Compiled",
    "GrowsTooFast",
    "He",
    "NoClosedForm",
    "Phi",
    "Phi2",
    "Proof",
    "S",
    "Step",
    "UnknownActivation",
    "activation",
    "activation_names",
    "c",
    "catalogue",
    "check_growth",
    "compile",
    "expected_derivatives",
    "g",
    "gaussian_covariance",
    "gaussian_mean",
    "gaussian_moment",
    "hermite_coefficients",
    "hermite_master_coefficients",
    "isserlis_partitions",
    "kappa",
    "m",
    "m_x",
    "master_coefficients",
    "mu",
    "mu_1",
    "mu_2",
    "neuron_expectations",
    "nu",
    "phi",
    "prove_covariance",
    "prove_hermite_master_theorem",
    "prove_master_theorem",
    "prove_mean",
    "prove_moment",
    "prove_neuron_expectations",
    "prove_stein",
    "register",
    "rho",
    "sigma",
    "sigma_1",
    "sigma_2",
    "stein_coefficients",
    "v",
    "v_x",
    "w",
    "x",
]
