"""A converted layer: the layer itself, with σ replaced by one small polynomial per neuron."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric import checks, moments
from numeric.activations import Activation
from numeric.blocks import row_blocks
from numeric.dense import DensePolynomial, check_memory, symmetrise
from numeric.inputs import product_with_vector
from numeric.ridge import evaluate_ridges
from numeric.series import HermiteSeries, powers_about

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class RidgePolynomial:
    """p(x) = W_out q(W_in x + b_in) + b_out, with one polynomial per neuron,

        q_i(y) = Σ_{k≤n} h_ik/k! · He_k((y − μ_i)/s_i),    q_i = h_i0 where s_i = 0.

    Made by `numeric.approximate`. It is evaluated in this form, as fast as the network. The preactivation
    enters as y − μ = W_in (x − center), center the mean of the inputs, which loses nothing to a large
    mean or bias.

    Coefficients of monomials are made on request, in float64:

    >>> p.constant, p.linear, p.quadratic                # p(x) = c + L x + xᵀ Q x + …, about the origin
    >>> p.about(inputs.mean).linear                      # … = C_0 + C_1 (x − m) + …, about another point

    A request that needs more memory than there is raises `CoefficientsTooLarge` (a `MemoryError`) at
    once. Constant, linear and quadratic part are kept once made; pickles leave them out.

    Where the inputs have a singular covariance the best polynomial is unique only on their support
    m + range Σ; this is its natural extension off it. Compare values there, not coefficients.

    Attributes:
        W_in, W_out, b_out: the layer's own arrays, not copies; b_out may be None.
        center: (d_in,), the mean m of the inputs.
        spread: (d_in,), their standard deviations.
        preactivation_mean, preactivation_std: (n_hidden,), μ and s.
        hermite: (n_hidden, degree + 1), h_ik = E[σ(μ_i + s_i Z) He_k(Z)].
        activation: the activation σ it came from.
    """

    W_in: NDArray[Any]
    W_out: NDArray[Any]
    b_out: NDArray[Any] | None
    center: Float64
    spread: Float64
    preactivation_mean: Float64
    preactivation_std: Float64
    hermite: Float64
    activation: Activation

    @property
    def degree(self) -> int:
        """n, whether or not the terms of order n vanish."""
        return self.hermite.shape[1] - 1

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
        """The number of ridges, one per neuron."""
        return self.W_in.shape[0]

    @property
    def info(self) -> None:
        """How the polynomial was solved for. It was not: it has a closed form."""
        return None

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """p(x) for x of shape (…, d_in): shape (…, d_out), in `result_type(x, W_in, W_out)`.

        Integer x counts as float64. NaN and infinities propagate. In single precision a neuron counts as
        constant if its preactivation varies by less than single precision resolves.
        """
        points = checks.points("x", x, self.d_in)
        return evaluate_ridges(points, self.W_in, None, self.W_out, self.b_out, self._evaluate, center=self.center)

    def _evaluate(self, u: NDArray[Any], neurons: slice) -> NDArray[Any]:
        series = self._series if u.dtype == np.float64 else self._series_in_single
        return series(u, neurons)

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
        check_memory(self.d_out, self.d_in, [k], max_bytes)
        if k > self.degree:
            return np.zeros((self.d_out, *(self.d_in,) * k))
        return self._tensor(k, self._powers(np.zeros(self.d_in)))

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
        check_memory(self.d_out, self.d_in, orders, max_bytes)
        powers = self._powers(point)
        return DensePolynomial._from_symmetric(point, [self._tensor(k, powers) for k in orders])

    def dense(self, max_bytes: int | None = None) -> DensePolynomial:
        """The same polynomial by all its coefficients about the origin: `about(0)`."""
        return self.about(np.zeros(self.d_in), max_bytes)

    @cached_property
    def _series(self) -> HermiteSeries:
        return HermiteSeries(self.hermite, self.preactivation_std)

    @cached_property
    def _series_in_single(self) -> HermiteSeries:
        """The series without the neurons that float32 cannot follow: y/s would be nothing but rounding."""
        scale = product_with_vector(np.abs(self.W_in), self.spread)
        lost = self.preactivation_std <= 8 * float(np.finfo(np.float32).eps) * scale
        if not lost.any():
            return self._series
        hermite = self.hermite.copy()
        hermite[lost, 1:] = 0.0
        return HermiteSeries(hermite, np.where(lost, 0.0, self.preactivation_std))

    @cached_property
    def _derivatives(self) -> Float64:
        """g_ik = E σ^{(k)}; zero for k > 0 where the preactivation does not vary."""
        derivatives = np.zeros_like(self.hermite)
        derivatives[:, 0] = self.hermite[:, 0]
        varies = self.preactivation_std > 0
        if varies.any():
            mean, std = self.preactivation_mean[varies], self.preactivation_std[varies]
            derivatives[varies] = moments.expected_derivatives(self.activation, mean, std, order=self.degree)
        overflown = np.flatnonzero(~np.isfinite(derivatives).all(axis=1))
        if len(overflown):
            i = int(overflown[0])
            raise OverflowError(
                f"monomial coefficients overflow at {len(overflown)} neurons, first at neuron {i} with "
                f"standard deviation {self.preactivation_std[i]}; evaluating p(x) needs none"
            )
        return derivatives

    def _powers(self, point: Float64) -> Float64:
        """Coefficients of powers of w_i·(x − point) for every neuron, shape (n_hidden, degree + 1)."""
        shift = product_with_vector(self.W_in, point - self.center)
        return powers_about(self._derivatives, self.preactivation_std, shift)

    def _tensor(self, k: int, powers: Float64) -> Float64:
        """Σ_i W_out[o, i] powers[i, k] w_i^{⊗k} for every output o.

        The k copies of w are split in two halves, so that each output is one matrix product.
        """
        d, left, right = self.d_in, (k + 1) // 2, k // 2
        tensor = np.zeros((self.d_out, *(d,) * k))
        matrices = tensor.reshape(self.d_out, d**left, d**right)
        for neurons in row_blocks(self.n_hidden, max(d**left, self.d_out)):
            W = self.W_in[neurons].astype(np.float64)
            weights = self.W_out[:, neurons] * powers[neurons, k]
            rows = _row_power(W, left)
            if right == 0:
                matrices[:, :, 0] += weights @ rows
                continue
            columns = _row_power(W, right)
            for matrix, weight in zip(matrices, weights):
                matrix += (rows * weight[:, None]).T @ columns
        if k == 0 and self.b_out is not None:
            tensor += self.b_out
        return symmetrise(tensor)

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return (
            f"RidgePolynomial(degree={self.degree}, {self.d_in} → {self.d_out}, "
            f"{self.n_hidden} ridges, {self.activation.name})"
        )


def _row_power(W: Float64, k: int) -> Float64:
    """w^{⊗k} flattened, for every row w: shape (rows, d^k)."""
    power = np.ones((len(W), 1))
    for _ in range(k):
        power = (power[:, :, None] * W[:, None, :]).reshape(len(W), -1)
    return power


def _read_only(array: Float64) -> Float64:
    array.flags.writeable = False
    return array
