"""Names of activations for tests of orders that are integrated: compiling an integrator takes seconds for each."""

import pytest

import numeric as nm

# One of each sort: half-lines, a rule, a rule that follows its peak, integrated at every order.
REPRESENTATIVE = ("elu", "silu", "gelu_tanh", "softsign")


def integrates_beyond(name: str) -> bool:
    """Whether orders above 8 are integrated."""
    return not hasattr(nm.activation(name).kernels, "hermite_loop_any")


NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if integrates_beyond(name) and name not in REPRESENTATIVE else name
    for name in nm.activation_names()
]
