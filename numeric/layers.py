"""The layers that can be converted."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks
from numeric.activations import Activation
from numeric.activations import activation as resolve
from numeric.ridge import evaluate_ridges


class MLP:
    """f(x) = W_out σ(W_in x + b_in) + b_out.

    Weights are kept as given: float16, float32 and float64 arrays are neither copied nor converted, so
    that two large matrices are not held twice. Integers become float64. Do not write into them later.

    >>> layer = MLP([[1.0, -1.0]], None, [[2.0], [3.0]], activation="relu")
    >>> layer
    MLP(2 → 1 → 2, relu)
    >>> layer([3.0, 1.0])
    array([4., 6.])

    Args:
        W_in: (n_hidden, d_in), [out, in] as in `torch.nn.Linear`.
        b_in: (n_hidden,) or None.
        W_out: (d_out, n_hidden).
        b_out: (d_out,) or None.
        activation: a name or alias, or whatever else `numeric.activation` accepts.

    Raises:
        ValueError: shapes that do not fit together, NaN or infinite entries, an unknown activation.
        TypeError: complex, object or other non-real dtypes.
    """

    __slots__ = ("W_in", "W_out", "activation", "b_in", "b_out")

    W_in: NDArray[Any]
    b_in: NDArray[Any] | None
    W_out: NDArray[Any]
    b_out: NDArray[Any] | None
    activation: Activation

    def __init__(
        self,
        W_in: ArrayLike,
        b_in: ArrayLike | None,
        W_out: ArrayLike,
        b_out: ArrayLike | None = None,
        activation: Any = "gelu",
    ) -> None:
        self.activation = resolve(activation)
        self.W_in = checks.real_array("W_in", W_in, (None, None))
        n_hidden = len(self.W_in)
        self.b_in = None if b_in is None else checks.real_array("b_in", b_in, (n_hidden,))
        self.W_out = checks.real_array("W_out", W_out, (None, n_hidden))
        self.b_out = None if b_out is None else checks.real_array("b_out", b_out, (self.d_out,))

    @property
    def d_in(self) -> int:
        """The number of inputs."""
        return self.W_in.shape[1]

    @property
    def d_out(self) -> int:
        """The number of outputs."""
        return self.W_out.shape[0]

    @property
    def n_hidden(self) -> int:
        """The number of neurons."""
        return self.W_in.shape[0]

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """f(x) for x of shape (…, d_in): shape (…, d_out), in `result_type(x, W_in, W_out)`.

        Integer x counts as float64. NaN and infinities propagate.
        """
        points = checks.points("x", x, self.d_in)
        return evaluate_ridges(points, self.W_in, self.b_in, self.W_out, self.b_out, self._activate)

    def _activate(self, y: NDArray[Any], _neurons: slice) -> NDArray[np.floating[Any]]:
        return self.activation(y)

    def __repr__(self) -> str:
        return f"MLP({self.d_in} → {self.n_hidden} → {self.d_out}, {self.activation.name})"
