"""The package from outside: what it exports, what it must not load."""

import subprocess
import sys
from importlib.resources import files

import symgauss

PUBLIC = [
    "x",
    "mu",
    "sigma",
    "mu_1",
    "sigma_1",
    "mu_2",
    "sigma_2",
    "rho",
    "Phi",
    "phi",
    "He",
    "Activation",
    "activation",
    "activation_names",
    "gaussian_mean",
    "hermite_coefficients",
    "expected_derivatives",
    "prove_mean",
    "Phi2",
    "gaussian_covariance",
    "prove_covariance",
    "m",
    "S",
    "c",
    "m_x",
    "v_x",
    "isserlis_partitions",
    "gaussian_moment",
    "prove_moment",
    "master_coefficients",
    "hermite_master_coefficients",
    "prove_master_theorem",
    "prove_hermite_master_theorem",
    "NoClosedForm",
    "UnknownActivation",
    "Proof",
    "Step",
]


def test_public_names():
    assert set(PUBLIC) <= set(symgauss.__all__)
    assert all(hasattr(symgauss, name) for name in symgauss.__all__)
    assert symgauss.gaussian_mean.__module__ != "symgauss.gaussian_mean"
    assert (files("symgauss") / "py.typed").is_file()


def test_no_module_has_the_name_of_an_export():
    modules = {p.name.removesuffix(".py") for p in files("symgauss").iterdir()}
    exported = {n for n in symgauss.__all__ if callable(getattr(symgauss, n))}
    assert not modules & exported


def test_neither_numba_nor_numeric_is_loaded():
    code = (
        "import symgauss, sys; symgauss.prove_mean('gelu'); symgauss.hermite_coefficients('relu6', 3); "
        "print([m for m in ('numba', 'numeric', 'llvmlite') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
