"""Activations at preactivations on a device."""

from typing import Any

from numeric.activations import Activation
from numeric.device.arrays import cast, detached, host, moved, namespace, on_cuda


def activation_values(activation: Activation, y: Any) -> Any:
    """σ(y) elementwise, in the floating type of y."""
    y = detached(y)
    xp = namespace(y)
    dtype = y.dtype if xp.isdtype(y.dtype, "real floating") else xp.float64
    if not on_cuda(y):
        return cast(moved(activation(host(y)), y), dtype)
    from numeric.cuda import values

    return cast(values(activation, y), dtype)
