"""Activations made of the normal distribution function.

One identity does all the work: for independent standard normals Y and Z, Φ(ay + b) = P(Z < ay + b), so the
mean of Φ(aY + b) under Y ~ N(mu, sigma²) is P(Z − aY < b) = Φ((a mu + b)/√(1 + a² sigma²)).
"""

import sympy

from symgauss.record import Activation, register
from symgauss.symbols import Phi, x

# The exact GELU of torch.nn.GELU(approximate="none"); the tanh imitation is another activation.
gelu = register(Activation("gelu", x * Phi(x)), "gelu_erf")

# erf(x) = 2Φ(√2 x) − 1.
erf = register(Activation("erf", sympy.erf(x)))
