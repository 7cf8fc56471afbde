"""The activations that come with the package, one file per family; importing this registers them all."""

from symgauss.catalogue import erf, exponential, logistic, piecewise, trigonometric

__all__ = ["erf", "exponential", "logistic", "piecewise", "trigonometric"]
