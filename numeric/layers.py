"""The layers that can be converted."""

import os
from abc import ABC, abstractmethod
from typing import Any, Self

from numpy.typing import ArrayLike, NDArray

from numeric.activations import Activation
from numeric.activations import activation as resolve
from numeric.device.arrays import check_together, host, on_device, points, real_array, where
from numeric.mixture.arrays import on
from numeric.ridge import Projection, evaluate_ridges


class Layer(ABC):
    """What `MLP` and `GLU` have in common: f(x) = W_out g(V_1 x + a_1, …) + b_out, with g pointwise."""

    __slots__ = ("W_out", "activation", "b_out")

    W_out: Any  # a matrix, or in a GLU None for the identity
    b_out: NDArray[Any] | None
    activation: Activation

    @property
    @abstractmethod
    def projections(self) -> tuple[Projection, ...]:
        """The pairs (V, a): V (n_hidden, d_in), a (n_hidden,) or None. The first goes through σ."""

    @abstractmethod
    def _pointwise(self, neurons: slice, *projected: NDArray[Any]) -> NDArray[Any]:
        """g, which may overwrite its arguments."""

    @property
    def d_in(self) -> int:
        """The number of inputs."""
        return self.projections[0][0].shape[1]

    @property
    def d_out(self) -> int:
        """The number of outputs."""
        return self.n_hidden if self.W_out is None else self.W_out.shape[0]

    @property
    def n_hidden(self) -> int:
        """The number of neurons."""
        return self.projections[0][0].shape[0]

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """f(x) for x of shape (…, d_in): shape (…, d_out), in the result type of x and the weight matrices.

        Integer x counts as float64. NaN and infinities propagate. Where the weights are on a device, x must be there,
        and so is the result.
        """
        checked = points("x", x, self.d_in, self.projections[0][0])
        with on(checked):
            return evaluate_ridges(checked, self.projections, self.W_out, self.b_out, self._pointwise)

    def cpu(self) -> Self:
        """The same layer with weights in NumPy: itself, unless they are on a device. bfloat16 becomes float32."""
        return self._on_cpu() if on_device(self.projections[0][0]) else self

    @abstractmethod
    def _on_cpu(self) -> Self:
        """With all arrays moved."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a safetensors file, from which `numeric.load` makes the same again; see `numeric.files.save`."""
        from numeric import files  # which needs this module

        files.save(self, path)

    def __repr__(self) -> str:
        sizes = (self.d_in, self.n_hidden) if self.W_out is None else (self.d_in, self.n_hidden, self.d_out)
        place = where(self.projections[0][0])
        return f"{type(self).__name__}({' → '.join(map(str, sizes))}, {self.activation.name}{place})"


class MLP(Layer):
    """f(x) = W_out σ(W_in x + b_in) + b_out.

    Weights are kept as given: float16, float32 and float64 arrays are neither copied nor converted, so
    that two large matrices are not held twice. Integers become float64. Do not write into them later.

    Arrays of PyTorch or CuPy that are on a device stay there, and what is made of the layer is there too; all of them
    must be on the same. Those on the CPU become views of NumPy.

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
        ValueError: shapes that do not fit together, NaN or infinite entries, an unknown activation, arrays of which
            some are on a device and not all on the same.
        TypeError: complex, object or other non-real dtypes.
    """

    __slots__ = ("W_in", "b_in")

    W_in: NDArray[Any]
    b_in: NDArray[Any] | None
    W_out: NDArray[Any]

    def __init__(
        self,
        W_in: ArrayLike,
        b_in: ArrayLike | None,
        W_out: ArrayLike,
        b_out: ArrayLike | None = None,
        activation: Any = "gelu",
    ) -> None:
        self.activation = resolve(activation)
        check_together(W_in=W_in, b_in=b_in, W_out=W_out, b_out=b_out)
        self.W_in = real_array("W_in", W_in, (None, None))
        n_hidden = self.W_in.shape[0]
        self.b_in = _optional("b_in", b_in, (n_hidden,))
        self.W_out = real_array("W_out", W_out, (None, n_hidden))
        self.b_out = _optional("b_out", b_out, (self.d_out,))

    def _on_cpu(self) -> "MLP":
        return MLP(host(self.W_in), _host(self.b_in), host(self.W_out), _host(self.b_out), self.activation)

    @property
    def projections(self) -> tuple[Projection, ...]:
        """The one pair (W_in, b_in)."""
        return ((self.W_in, self.b_in),)

    def _pointwise(self, neurons: slice, *projected: NDArray[Any]) -> NDArray[Any]:  # noqa: ARG002
        return self.activation(projected[0])


class GLU(Layer):
    """f(x) = W_out [σ(W_gate x + b_gate) ⊙ (W_up x + b_up)] + b_out, a gated linear unit.

    Any activation may be the gate: sigmoid (the original GLU), silu (SwiGLU), gelu (GEGLU), relu (ReGLU),
    identity (a bilinear layer), or one of your own. Without `W_out` the gated products are the outputs.
    Weights are kept as given, as those of an `MLP`.

    >>> layer = GLU([[1.0, -1.0]], None, [[0.5, 0.0]], None, [[2.0], [3.0]], activation="relu")
    >>> layer
    GLU(2 → 1 → 2, relu)
    >>> layer([3.0, 1.0])
    array([6., 9.])

    Args:
        W_gate: (n_hidden, d_in), [out, in] as in `torch.nn.Linear`.
        b_gate: (n_hidden,) or None.
        W_up: (n_hidden, d_in).
        b_up: (n_hidden,) or None.
        W_out: (d_out, n_hidden), or None for the identity, d_out = n_hidden.
        b_out: (d_out,) or None.
        activation: the gate σ, a name or alias, or whatever else `numeric.activation` accepts.

    Raises:
        ValueError: shapes that do not fit together, NaN or infinite entries, an unknown activation, arrays of which
            some are on a device and not all on the same.
        TypeError: complex, object or other non-real dtypes.
    """

    __slots__ = ("W_gate", "W_up", "b_gate", "b_up")

    W_gate: NDArray[Any]
    b_gate: NDArray[Any] | None
    W_up: NDArray[Any]
    b_up: NDArray[Any] | None
    W_out: NDArray[Any] | None

    def __init__(
        self,
        W_gate: ArrayLike,
        b_gate: ArrayLike | None,
        W_up: ArrayLike,
        b_up: ArrayLike | None,
        W_out: ArrayLike | None = None,
        b_out: ArrayLike | None = None,
        activation: Any = "silu",
    ) -> None:
        self.activation = resolve(activation)
        check_together(W_gate=W_gate, b_gate=b_gate, W_up=W_up, b_up=b_up, W_out=W_out, b_out=b_out)
        self.W_gate = real_array("W_gate", W_gate, (None, None))
        self.W_up = real_array("W_up", W_up, self.W_gate.shape)
        n_hidden = self.W_gate.shape[0]
        self.b_gate = _optional("b_gate", b_gate, (n_hidden,))
        self.b_up = _optional("b_up", b_up, (n_hidden,))
        self.W_out = _optional("W_out", W_out, (None, n_hidden))
        self.b_out = _optional("b_out", b_out, (self.d_out,))

    def _on_cpu(self) -> "GLU":
        arrays = (self.W_gate, self.b_gate, self.W_up, self.b_up, self.W_out, self.b_out)
        return GLU(*map(_host, arrays), self.activation)  # type: ignore[arg-type]

    @property
    def projections(self) -> tuple[Projection, ...]:
        """The pairs (W_gate, b_gate) and (W_up, b_up)."""
        return (self.W_gate, self.b_gate), (self.W_up, self.b_up)

    def _pointwise(self, neurons: slice, *projected: NDArray[Any]) -> NDArray[Any]:  # noqa: ARG002
        gate, up = projected
        up *= self.activation(gate)
        return up


def _optional(name: str, value: ArrayLike | None, shape: tuple[int | None, ...]) -> NDArray[Any] | None:
    return None if value is None else real_array(name, value, shape)


def _host(array: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if array is None else host(array)
