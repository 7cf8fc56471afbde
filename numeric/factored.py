"""What converted layers have in common: a layer with one small polynomial per neuron in place of its activation."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks, moments
from numeric.activations import Activation
from numeric.blocks import row_blocks
from numeric.dense import DensePolynomial, check_memory, symmetrise, zeros
from numeric.device.arrays import double, host, moved, namespace, on_device, points, where
from numeric.inputs import Gaussian, product_with_vector
from numeric.layers import Layer
from numeric.mixture.arrays import on
from numeric.ridge import evaluate_ridges

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class FactoredPolynomial(ABC):
    """p(x) = W_out q(V_1 (x − m), …) + b_out, with one polynomial q_i per neuron, m the mean of the inputs.

    Kinds of layers differ in q: `RidgePolynomial`, `GatedPolynomial`. A kind says how q is evaluated, and what
    the coefficients of its powers are; the rest is here.

    Where the layer's weights are on a device, so are all arrays of p, its values, its fractions of variance and its
    coefficients of monomials; `cpu()` has all of it in NumPy.

    Attributes:
        layer: the layer that p approximates; its arrays are not copied.
        inputs: what the layer is fed with.
        preactivation_mean, preactivation_std: (n_hidden,), μ and s of what goes through σ.
        hermite: (n_hidden, orders), h_ik = E[σ(μ_i + s_i Z) He_k(Z)].
    """

    layer: Layer
    inputs: Gaussian
    preactivation_mean: Float64
    preactivation_std: Float64
    hermite: Float64

    @property
    @abstractmethod
    def degree(self) -> int:
        """n, whether or not the terms of order n vanish."""

    @abstractmethod
    def _pointwise(self, neurons: slice, *centred: NDArray[Any]) -> NDArray[Any]:
        """q, from the projections of x − m; it may overwrite them."""

    @abstractmethod
    def _powers(self, shifts: Sequence[Float64]) -> tuple[Float64, ...]:
        """One array (n_hidden, n + 1) per projection, in NumPy: q about the point whose projections are `shifts`.

        With v_1, v_2, … the projections of x less that point, q = Σ_k c_k v_1^k + Σ_{k≥1} e_k v_1^{k−1} v_2 + …
        for the arrays c, e, ….
        """

    @property
    def d_in(self) -> int:
        """The number of inputs."""
        return self.layer.d_in

    @property
    def d_out(self) -> int:
        """The number of outputs."""
        return self.layer.d_out

    @property
    def n_hidden(self) -> int:
        """The number of neurons."""
        return self.layer.n_hidden

    @property
    def activation(self) -> Activation:
        """The activation σ of the layer."""
        return self.layer.activation

    @property
    def W_out(self) -> NDArray[Any] | None:
        """(d_out, n_hidden), of the layer; None stands for the identity."""
        return self.layer.W_out

    @property
    def b_out(self) -> NDArray[Any] | None:
        """(d_out,) or None, of the layer."""
        return self.layer.b_out

    @property
    def center(self) -> Float64:
        """The mean m of the inputs, shape (d_in,)."""
        return self.inputs.mean

    @property
    def spread(self) -> Float64:
        """The standard deviations of the inputs, shape (d_in,)."""
        return self.inputs.std

    @property
    def info(self) -> None:
        """How the polynomial was solved for. It was not: it has a closed form."""
        return None

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """p(x) for x of shape (…, d_in): shape (…, d_out), in the result type of x and the weight matrices.

        Integer x counts as float64. NaN and infinities propagate. In single precision an activation counts as
        constant if its preactivation varies by less than single precision resolves. Where the weights are on a
        device, x must be there, and so is the result.
        """
        checked = points("x", x, self.d_in, self._matrices[0])
        projections = [(V, None) for V in self._matrices]
        with on(checked):
            return evaluate_ridges(checked, projections, self.W_out, self.b_out, self._pointwise, center=self.center)

    @property
    def fvu(self) -> Float64:
        """The fraction of variance unexplained, E(f_o − p_o)²/Var f_o under the inputs: shape (d_out,).

        Exact, not sampled. 0/0 counts as 0: an output that does not vary is approximated perfectly.
        """
        return moved(self._explained.fvu, self.hermite)

    @property
    def total_fvu(self) -> float:
        """The fraction for all outputs together: E‖f − p‖² over the sum of the Var f_o."""
        return self._explained.total_fvu

    @property
    def variance_by_degree(self) -> Float64:
        """The variance that each degree from 1 to n adds to each output, shape (degree, d_out).

        Absolute, in the squared units of the outputs. Its sum over degrees is Var p_o, and with the variance
        left unexplained it adds up to Var f_o.
        """
        return moved(self._explained.by_degree, self.hermite)

    @cached_property
    def _explained(self):
        from numeric.variance import explained  # which needs polynomials to be defined

        return explained(self)

    @cached_property
    def constant(self) -> Float64:
        """p(0), shape (d_out,)."""
        return _read_only(self.coefficient(0))

    @cached_property
    def linear(self) -> Float64:
        """The coefficients of x, shape (d_out, d_in): the gradient at the origin."""
        return _read_only(self.coefficient(1))

    @cached_property
    def quadratic(self) -> Float64:
        """Q_o of xᵀ Q_o x, shape (d_out, d_in, d_in), symmetric: half the Hessians at the origin."""
        return _read_only(self.coefficient(2))

    def coefficient(self, k: int, max_bytes: int | None = None) -> Float64:
        """The symmetric tensors of order k about the origin, shape (d_out,) + (d_in,)·k.

        Zeros above the degree. Computed anew at each call.

        Args:
            k: an integer ≥ 0.
            max_bytes: the most they may take; default: the memory available.

        Raises:
            CoefficientsTooLarge: at once, if they take more.
        """
        k = checks.non_negative_integer("k", k)
        check_memory(self.d_out, self.d_in, [k], max_bytes, like=self.hermite)
        with on(self.hermite):
            if k > self.degree:
                return zeros((self.d_out, *(self.d_in,) * k), self.hermite)
            return self._tensor(k, self._powers_about(np.zeros(self.d_in)))

    def about(self, center: ArrayLike, max_bytes: int | None = None) -> DensePolynomial:
        """The same polynomial by all its coefficients about a point: p(x) = Σ_k C_k[(x − center)^{⊗k}].

        Args:
            center: (d_in,).
            max_bytes: the most all coefficients may take; default: the memory available.

        Raises:
            CoefficientsTooLarge: at once, if they take more.
            OverflowError: coefficients beyond double precision.
        """
        point = checks.real_array("center", center, (self.d_in,)).astype(np.float64)
        orders = range(self.degree + 1)
        check_memory(self.d_out, self.d_in, orders, max_bytes, like=self.hermite)
        with on(self.hermite):
            powers = self._powers_about(point)
            return DensePolynomial._from_symmetric(point, [self._tensor(k, powers) for k in orders])

    def dense(self, max_bytes: int | None = None) -> DensePolynomial:
        """The same polynomial by all its coefficients about the origin: `about(0)`."""
        return self.about(np.zeros(self.d_in), max_bytes)

    def cpu(self) -> Self:
        """The same polynomial with all arrays in NumPy: itself, unless they are on a device. Kept once made."""
        return self._on_cpu if on_device(self.hermite) else self

    @cached_property
    def _on_cpu(self) -> Self:
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        arrays = {name: host(value) for name, value in fields.items() if on_device(value)}
        made = replace(self, layer=self.layer.cpu(), **arrays)  # type: ignore[arg-type]
        if "_explained" in vars(self):
            vars(made)["_explained"] = self._explained
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a safetensors file, from which `numeric.load` makes the same again; see `numeric.files.save`."""
        from numeric import files  # which needs this module

        files.save(self, path)

    @property
    def _matrices(self) -> list[NDArray[Any]]:
        return [V for V, _ in self.layer.projections]

    @cached_property
    def _lost_in_single(self) -> NDArray[np.bool_]:
        """Neurons that float32 cannot follow: their y/s would be nothing but rounding."""
        first = self._matrices[0]
        scale = host(product_with_vector(namespace(first).abs(first), self.spread))
        return host(self.preactivation_std) <= 8 * float(np.finfo(np.float32).eps) * scale

    @cached_property
    def _derivatives(self) -> Float64:
        """g_ik = E σ^{(k)}, of the shape of `hermite`, in NumPy; zero for k > 0 where nothing varies."""
        hermite, mean, std = map(host, (self.hermite, self.preactivation_mean, self.preactivation_std))
        derivatives = np.zeros_like(hermite)
        derivatives[:, 0] = hermite[:, 0]
        varies = std > 0
        if varies.any():
            order = hermite.shape[1] - 1
            derivatives[varies] = moments.expected_derivatives(self.activation, mean[varies], std[varies], order)
        overflown = np.flatnonzero(~np.isfinite(derivatives).all(axis=1))
        if len(overflown):
            i = int(overflown[0])
            raise OverflowError(
                f"monomial coefficients overflow at {len(overflown)} neurons, first at neuron {i} with "
                f"standard deviation {std[i]}; evaluating p(x) needs none"
            )
        return derivatives

    def _powers_about(self, point: Float64) -> tuple[Float64, ...]:
        """`_powers` where the weights are."""
        shifts = [host(product_with_vector(V, point - self.center)) for V in self._matrices]
        return tuple(moved(power, self.hermite) for power in self._powers(shifts))

    def _tensor(self, k: int, powers: tuple[Float64, ...]) -> Float64:
        """The terms of order k of all neurons, weighted by W_out, as symmetric tensors.

        The term of neuron i is v_i^{⊗(k−1)} ⊗ u_i, with v_i its row of the first matrix and u_i its rows of
        all matrices mixed by `powers`. The k factors are split in two halves, so that each output is one
        matrix product.
        """
        d, left, right = self.d_in, (k + 1) // 2, k // 2
        matrices = zeros((self.d_out, d**left, d**right), self.hermite)
        for neurons in row_blocks(self.n_hidden, max(d**left, self.d_out)):
            rows, columns = self._halves(k, neurons, powers)
            if self.W_out is None:
                matrices[neurons, :, :] = rows[:, :, None] * columns[:, None, :]
                continue
            weights = double(self.W_out[:, neurons])
            if right == 0:
                matrices[:, :, 0] += weights @ rows
                continue
            for o in range(self.d_out):
                matrices[o, :, :] += (rows * weights[o, :][:, None]).T @ columns
        tensor = namespace(matrices).reshape(matrices, (self.d_out, *(d,) * k))
        if k == 0 and self.b_out is not None:
            tensor += double(self.b_out)
        return symmetrise(tensor)

    def _halves(self, k: int, neurons: slice, powers: tuple[Float64, ...]) -> tuple[Float64, Float64]:
        """The first and the second half of the k factors, flattened, for every neuron of the slice."""
        if k == 0:
            constants = powers[0][neurons, :1]
            return constants, namespace(constants).ones_like(constants)
        first, *others = [c[neurons, k][:, None] * double(V[neurons, :]) for c, V in zip(powers, self._matrices)]
        last: Any = sum(others, first)
        if k == 1:
            return last, namespace(last).ones_like(last[:, :1])
        V = double(self._matrices[0][neurons, :])
        return _row_power(V, (k + 1) // 2), _row_products(_row_power(V, k // 2 - 1), last)

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def _describe(self, neurons: str) -> str:
        sizes = f"degree={self.degree}, {self.d_in} → {self.d_out}, {self.n_hidden} {neurons}"
        return f"{type(self).__name__}({sizes}, {self.activation.name}{where(self.hermite)})"


def _row_power(V: Float64, k: int) -> Float64:
    """v^{⊗k} flattened, for every row v: shape (rows, d^k)."""
    power = namespace(V).ones_like(V[:, :1])
    for _ in range(k):
        power = _row_products(power, V)
    return power


def _row_products(A: Float64, B: Float64) -> Float64:
    """a ⊗ b flattened, for the rows of two matrices."""
    return namespace(A).reshape(A[:, :, None] * B[:, None, :], (A.shape[0], -1))


def _read_only(array: Float64) -> Float64:
    if isinstance(array, np.ndarray):
        array.flags.writeable = False
    return array
