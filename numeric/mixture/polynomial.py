"""What the solver returns: the polynomial that is best under a mixture, and how well it was solved for."""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numeric.activations import Activation
from numeric.dense import DensePolynomial
from numeric.device.arrays import moved, on_device, where
from numeric.layers import GLU, MLP
from numeric.mixture.inputs import GaussianMixture
from numeric.samples import Samples

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Info:
    """How a polynomial was solved for.

    Attributes:
        iterations: applications of the normal equations.
        energy_error: (d_out,), an estimate of E(p − p*)², p* the best polynomial, in units of the variance of p; 0
            where there is a closed form, or all equations were solved at once with no more than rounding lost.
        seconds: of the solve, without what `Solver` sets up once.
        converged: whether every `energy_error` is at most the tolerance.
        degenerate: how many directions the inputs do not vary in; coefficients along them are zero.
    """

    iterations: int
    energy_error: Float64
    seconds: float
    converged: bool
    degenerate: int

    def __repr__(self) -> str:
        if not self.iterations and self.converged:
            return f"Info(solved at once, {self.seconds:.3g} s)"
        worst = float(self.energy_error.max(initial=0.0))
        ended = "" if self.converged else ", not converged"
        return (
            f"Info({self.iterations} iterations, energy error {worst:.0e} of the variance, {self.seconds:.3g} s{ended})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class SolvedPolynomial:
    """The polynomial p of a total degree that minimises E‖f(x) − p(x)‖² under a Gaussian mixture, or on data.

    Where the layer's weights are on a device, so are p's coefficients, values and fractions of variance; `cpu()` has
    all of it in NumPy.

    Attributes:
        layer: f, the layer that p approximates.
        inputs: the mixture, or the data.
        polynomial: p by its coefficients about the mixture's mean.
        info: how it was solved for.
    """

    layer: MLP | GLU
    inputs: GaussianMixture | Samples
    polynomial: DensePolynomial
    info: Info

    @property
    def degree(self) -> int:
        """n, whether or not the terms of order n vanish."""
        return self.polynomial.degree

    @property
    def d_in(self) -> int:
        """The number of inputs."""
        return self.polynomial.d_in

    @property
    def d_out(self) -> int:
        """The number of outputs."""
        return self.polynomial.d_out

    @property
    def n_hidden(self) -> int:
        """The number of neurons of the layer."""
        return self.layer.n_hidden

    @property
    def activation(self) -> Activation:
        """The activation σ of the layer."""
        return self.layer.activation

    @property
    def center(self) -> Float64:
        """The mean of the inputs, shape (d_in,)."""
        return self.inputs.mean

    @property
    def spread(self) -> Float64:
        """The standard deviations of the inputs, shape (d_in,)."""
        return self.inputs.std

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """p(x) for x of shape (…, d_in): shape (…, d_out), float64. NaN and infinities propagate.

        Where the coefficients are on a device, x must be there, and so is the result.
        """
        return self.polynomial(x)

    @property
    def constant(self) -> Float64:
        """p(0), shape (d_out,)."""
        return self._about_origin.coefficient(0)

    @property
    def linear(self) -> Float64:
        """The coefficients of x, shape (d_out, d_in): the gradient at the origin."""
        return self._about_origin.coefficient(1)

    @property
    def quadratic(self) -> Float64:
        """Q_o of xᵀ Q_o x, shape (d_out, d_in, d_in), symmetric: half the Hessians at the origin."""
        return self._about_origin.coefficient(2)

    def coefficient(self, k: int) -> Float64:
        """The symmetric tensors of order k about the origin, shape (d_out,) + (d_in,)·k; zeros above the degree."""
        return self._about_origin.coefficient(k)

    def about(self, center: ArrayLike) -> DensePolynomial:
        """The same polynomial by its coefficients about a point: p(x) = Σ_k C_k[(x − center)^{⊗k}]."""
        return self.polynomial.about(center)

    @cached_property
    def _about_origin(self) -> DensePolynomial:
        return self.polynomial.about(np.zeros(self.d_in))

    @property
    def fvu(self) -> Float64:
        """The fraction of variance unexplained, E(f_o − p_o)²/Var f_o under the inputs: shape (d_out,), exact.

        0/0 counts as 0: an output that does not vary is approximated perfectly.
        """
        return moved(self._unexplained.fvu, self.polynomial.constant)

    @property
    def total_fvu(self) -> float:
        """The fraction for all outputs together: E‖f − p‖² over the sum of the Var f_o."""
        return self._unexplained.total_fvu

    @cached_property
    def variance_by_degree(self) -> Float64:
        """What the best polynomials of degree 1, …, n explain beyond that of the degree before, (degree, d_out).

        Absolute; with the variance left unexplained they add up to Var f_o. Each costs a solve of its own degree.
        """
        from numeric.mixture.variance import by_degree

        return moved(by_degree(self), self.polynomial.constant)

    @cached_property
    def _unexplained(self):
        from numeric.mixture.variance import unexplained  # which needs polynomials to be defined

        return unexplained(self.layer, self.inputs, self.polynomial)

    def cpu(self) -> "SolvedPolynomial":
        """The same polynomial with all arrays in NumPy: itself, unless they are on a device. Kept once made."""
        return self._on_cpu if on_device(self.polynomial.constant) else self

    @cached_property
    def _on_cpu(self) -> "SolvedPolynomial":
        made = SolvedPolynomial(self.layer.cpu(), self.inputs, self.polynomial.cpu(), self.info)
        if "_unexplained" in vars(self):
            vars(made)["_unexplained"] = self._unexplained
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a safetensors file, from which `numeric.load` makes the same again; see `numeric.files.save`."""
        from numeric import files  # which needs this module

        files.save(self, path)

    def __repr__(self) -> str:
        place = where(self.polynomial.constant)
        return f"SolvedPolynomial(degree={self.degree}, {self.d_in} → {self.d_out}, {self.activation.name}{place})"
