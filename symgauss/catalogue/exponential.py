"""Activations made of exp, of a line or of a downward parabola.

A factor e^{ay} shifts the mean to mu + a sigma²; a factor e^{−qy²/2} also narrows it: the new variance is
sigma²/(1 + q sigma²). Both keep the measure Gaussian, so everything else goes on as before.
"""

import sympy

from symgauss.record import Activation, register
from symgauss.symbols import x

gaussian_bump = register(Activation("gaussian_bump", sympy.exp(-(x**2) / 2)), "bump", "gaussian")
