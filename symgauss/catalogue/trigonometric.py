"""Sine and cosine: a tilt by an imaginary amount, E e^{iwY} = e^{iw mu − w² sigma²/2}.

The wave comes out unchanged, damped by exp(−w² sigma²/2): they are eigenfunctions of the heat equation.
"""

import sympy

from symgauss.record import Activation, register
from symgauss.symbols import x

sin = register(Activation("sin", sympy.sin(x)))
cos = register(Activation("cos", sympy.cos(x)))
