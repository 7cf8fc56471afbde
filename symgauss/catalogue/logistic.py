"""Activations made of the logistic function 1/(1 + e^{−x}), and softsign.

They have no closed form: their means are integrated, by rules of fixed cost that `symgauss.codegen` makes and
checks. Why the rules see everything is in `derivations/quadrature.md`.
"""

from sympy import Abs, Rational, exp, log, pi, sqrt, tanh

from symgauss.record import Activation, register
from symgauss.symbols import x

_gate = 1 / (1 + exp(-x))

sigmoid = register(Activation("sigmoid", _gate), "logistic")
logsigmoid = register(Activation("logsigmoid", -log(1 + exp(-x))), "log_sigmoid")
tanh_ = register(Activation("tanh", tanh(x)))
tanhshrink = register(Activation("tanhshrink", x - tanh(x)))
silu = register(Activation("silu", x * _gate), "swish")
softplus = register(Activation("softplus", log(1 + exp(x))))
mish = register(Activation("mish", x * tanh(log(1 + exp(x)))))
quick_gelu = register(Activation("quick_gelu", x / (1 + exp(-Rational("1.702") * x))), "gelu_quick")

# The tanh imitation of GELU, torch.nn.GELU(approximate="tanh").
gelu_tanh = register(
    Activation("gelu_tanh", x / 2 * (1 + tanh(sqrt(2 / pi) * (x + Rational("0.044715") * x**3)))),
    "gelu_new",
    "gelu_pytorch_tanh",
)

softsign = register(Activation("softsign", x / (1 + Abs(x))))
