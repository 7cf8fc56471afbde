"""Polynomials, and polynomials glued at breakpoints: σ = Σ (jump of the polynomial) × 1{x > c}.

Their means are P(mu, sigma) Φ((mu − c)/sigma) + Q(mu, sigma) φ((mu − c)/sigma), one such pair per breakpoint:
the step gives Φ, and every factor y is the operator mu + sigma² ∂/∂mu.
"""

from sympy import Abs, And, Integer, Max, Min, Piecewise, Rational, Symbol

from symgauss.record import Activation, register
from symgauss.symbols import x

negative_slope = Symbol("negative_slope", real=True)
min_val = Symbol("min_val", real=True)
max_val = Symbol("max_val", real=True)
threshold = Symbol("threshold", real=True)
lambd = Symbol("lambd", nonnegative=True)

identity = register(Activation("identity", x), "linear")
square = register(Activation("square", x**2), "quadratic")
abs_ = register(Activation("abs", Abs(x)))

# step(0) = 0. The mean does not see the value at one point; at sigma = 0 we return σ as written.
step = register(Activation("step", Piecewise((Integer(1), x > 0), (Integer(0), True))), "heaviside")

relu = register(Activation("relu", Max(0, x)))
leaky_relu = register(Activation("leaky_relu", Max(0, x) + negative_slope * Min(0, x), {negative_slope: 0.01}))
relu2 = register(Activation("relu2", Max(0, x) ** 2), "squared_relu", "relu_squared")
relu6 = register(Activation("relu6", Min(Max(0, x), 6)))

# min_val = max_val, a constant, is allowed, as it is in torch.nn.functional.hardtanh.
hardtanh = register(
    Activation("hardtanh", Min(Max(min_val, x), max_val), {min_val: -1, max_val: 1}, [min_val <= max_val])
)

_gate = Min(Max(0, x / 6 + Rational(1, 2)), 1)
hardsigmoid = register(Activation("hardsigmoid", _gate))
hardswish = register(Activation("hardswish", x * _gate), "hard_swish", "hardsilu")

# The gate of sparse autoencoders; 0.001 is where its threshold usually starts (arXiv 2407.14435).
jump_relu = register(Activation("jump_relu", Piecewise((x, x > threshold), (0, True)), {threshold: 0.001}), "jumprelu")

softshrink = register(
    Activation("softshrink", Piecewise((x - lambd, x > lambd), (x + lambd, x < -lambd), (0, True)), {lambd: 0.5})
)
hardshrink = register(Activation("hardshrink", Piecewise((0, And(x >= -lambd, x <= lambd)), (x, True)), {lambd: 0.5}))
