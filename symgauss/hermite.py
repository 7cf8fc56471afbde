"""Hermite coefficients and expected derivatives, by differentiating the mean.

h_k = E[σ(mu + sigma Z) He_k(Z)] = sigma^k ∂^k M/∂mu^k and g_k = ∂^k M/∂mu^k, which is E σ^(k)(mu + sigma Z)
where σ^(k) is a function.
Source: our derivation, Stein and Hermite; integrate by parts k times (Rodrigues' formula for He_k).
"""

from collections.abc import Iterator
from operator import index
from typing import SupportsIndex

import sympy
from sympy import Dummy, Expr, exp

from symgauss.mean import gaussian_mean
from symgauss.normal import tidy
from symgauss.record import Activation
from symgauss.symbols import Phi, mu, phi, sigma

_offset = Dummy("d", real=True)


def expected_derivatives(act: Activation | Expr | str, order: SupportsIndex) -> tuple[Expr, ...]:
    """(g_0, …, g_order), g_k = ∂^k M/∂mu^k, collected on Φ, φ, exp, sin and cos.

    Raises `NoClosedForm` where `gaussian_mean` does, TypeError for an order that is no integer, ValueError for one
    below 0.

    >>> expected_derivatives("relu", 2)
    (mu*Phi(mu/sigma) + sigma*phi(mu/sigma), Phi(mu/sigma), phi(mu/sigma)/sigma)
    """
    return tuple(map(_about_centers, _derivatives(gaussian_mean(act), _checked(order))))


def hermite_coefficients(act: Activation | Expr | str, order: SupportsIndex) -> tuple[Expr, ...]:
    """(h_0, …, h_order), h_k = sigma^k ∂^k M/∂mu^k; errors as `expected_derivatives`.

    >>> hermite_coefficients("relu", 2)
    (mu*Phi(mu/sigma) + sigma*phi(mu/sigma), sigma*Phi(mu/sigma), sigma*phi(mu/sigma))
    """
    derivatives = _derivatives(gaussian_mean(act), _checked(order))
    return tuple(_about_centers(tidy(sigma**k * g)) for k, g in enumerate(derivatives))


def _checked(order: SupportsIndex) -> int:
    if isinstance(order, bool) or not isinstance(order, SupportsIndex):
        raise TypeError(f"order must be an integer ≥ 0, got {order!r} of type {type(order).__name__}.")
    if index(order) < 0:
        raise ValueError(f"order must be an integer ≥ 0, got {order!r}.")
    return index(order)


def _derivatives(value: Expr, order: int) -> Iterator[Expr]:
    yield value
    for _ in range(order):
        # Collecting after every step keeps the expression from doubling each time.
        value = tidy(value.diff(mu))
        yield value


def _about_centers(value: Expr) -> Expr:
    """The coefficient of φ((mu − c)/…) in powers of mu − c, as Hermite polynomials want to be seen."""
    return sympy.Add(*map(_about_center, sympy.Add.make_args(value)))


def _about_center(term: Expr) -> Expr:
    coefficient, function = term.as_independent(Phi, phi, exp, as_Add=False)
    if not isinstance(function, phi):
        return term
    argument = sympy.expand(function.args[0])
    center = sympy.cancel(-argument.coeff(mu, 0) / argument.coeff(mu, 1))
    if center == 0 or center.has(mu, sigma):
        return term
    return tidy(coefficient.xreplace({mu: _offset + center})).xreplace({_offset: mu - center}) * function
