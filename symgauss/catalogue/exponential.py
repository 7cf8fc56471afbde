"""Activations made of exp, of a line or of a downward parabola.

A factor e^{ay} shifts the mean to mu + a sigma²; a factor e^{−qy²/2} also narrows it: the new variance is
sigma²/(1 + q sigma²). Both keep the measure Gaussian, so everything else goes on as before.
"""

import sympy
from sympy import Piecewise, Rational, Symbol

from symgauss.record import Activation, register
from symgauss.symbols import x

alpha = Symbol("alpha", real=True)
# celu divides by its alpha, and its mean needs e^{x/alpha} to fall off to the left
positive_alpha = Symbol("alpha", positive=True)

gaussian_bump = register(Activation("gaussian_bump", sympy.exp(-(x**2) / 2)), "bump", "gaussian")

exp = register(Activation("exp", sympy.exp(x)))

elu = register(Activation("elu", Piecewise((x, x > 0), (alpha * (sympy.exp(x) - 1), True)), {alpha: 1}))
celu = register(
    Activation(
        "celu",
        Piecewise((x, x > 0), (positive_alpha * (sympy.exp(x / positive_alpha) - 1), True)),
        {positive_alpha: 1},
    )
)

# The two constants make mean 0 and variance 1 a fixed point (Klambauer et al., arXiv 1706.02515); digits as in torch.
SELU_ALPHA = Rational("1.6732632423543772848170429916717")
SELU_SCALE = Rational("1.0507009873554804934193349852946")
selu = register(Activation("selu", SELU_SCALE * Piecewise((x, x > 0), (SELU_ALPHA * (sympy.exp(x) - 1), True))))
