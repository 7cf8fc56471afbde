"""Standard deviations and couplings of the rows of weight matrices on a device: `numeric.covariance` there.

The same formulas, and the same rule for what is nothing but rounding. Of each row a few numbers are taken to the CPU,
so that it is scaled by the same powers of two; results are NumPy's.
"""

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from array_api_compat import device

from numeric.blocks import row_blocks
from numeric.covariance import NOISE, Covariance, Diagonal, Factor, Float64, Full, ratio
from numeric.device.arrays import double, host, moved, namespace


class Sigma:
    """Σ on the device of some array; `left` and `right` as in `numeric.covariance`."""

    def __init__(self, covariance: Covariance, other: Any) -> None:
        self.deviations = moved(covariance.deviations(), other)
        self.matrix = moved(covariance.matrix, other) if isinstance(covariance, Full) else None
        self.factor = moved(covariance.F, other) if isinstance(covariance, Factor) else None
        self.root = None  # of a full matrix, R with Σ = R Rᵀ, made when it is needed
        self._scales = isinstance(covariance, Diagonal)

    def left(self, W: Any) -> Any:
        return self.right(W) if self.matrix is None else W @ self.matrix

    def right(self, W: Any) -> Any:
        if self.factor is not None:
            return W @ self.factor
        return W * self.deviations if self._scales else W


_made: WeakKeyDictionary[Covariance, dict[Any, Sigma]] = WeakKeyDictionary()


def sigma_on(covariance: Covariance, other: Any) -> Sigma:
    """Σ where another array is; moved once, and kept there as long as the covariance itself is."""
    there = _made.setdefault(covariance, {})
    key = namespace(other).__name__, str(device(other))
    if key not in there:
        there[key] = Sigma(covariance, other)
    return there[key]


def against_root(covariance: Covariance, V: Any) -> Any:
    """V R with Σ = R Rᵀ, where V is."""
    if isinstance(V, np.ndarray):
        return covariance.against_root(V)
    sigma = sigma_on(covariance, V)
    if not isinstance(covariance, Full):
        return sigma.right(V)
    if sigma.root is None:
        sigma.root = moved(covariance.root, V)
    return V @ sigma.root


def standard_deviations(covariance: Covariance, W: Any) -> Float64:
    """√(wᵀ Σ w) for every row of W; 0 where it is at the level of its rounding error."""
    sigma, result = sigma_on(covariance, W), np.empty(W.shape[0])
    for rows in row_blocks(*W.shape):
        result[rows] = _projected(sigma, double(W[rows, :]), None)[0]
    return result


def couplings(covariance: Covariance, V: Any, W: Any) -> tuple[Float64, Float64]:
    """The standard deviations of the rows of V, and vᵀ Σ w / √(vᵀ Σ v); see `numeric.covariance`."""
    sigma, norms, couplings = sigma_on(covariance, V), np.empty(V.shape[0]), np.empty(V.shape[0])
    for rows in row_blocks(*V.shape):
        norms[rows], couplings[rows] = _projected(sigma, double(V[rows, :]), double(W[rows, :]))
    return norms, couplings


def _projected(sigma: Sigma, V: Any, W: Any) -> tuple[Float64, Float64]:
    """Both for a block of rows; no couplings without W."""
    xp = namespace(V)
    if sigma.matrix is None:
        (v, outer), (w, inner) = _transformed(sigma, V), (None, None) if W is None else _transformed(sigma, W)
        product, variances = v, xp.vecdot(v, v)
    else:
        (v, outer), (w, inner) = _scaled(V), (None, None) if W is None else _scaled(W)
        product = v @ sigma.matrix
        variances = xp.vecdot(product, v)
        noise = NOISE * (xp.abs(v) @ sigma.deviations) ** 2
        variances = xp.where(variances <= noise, xp.zeros_like(variances), variances)
    roots = np.sqrt(host(variances))
    norms = np.ldexp(roots, outer)
    if sigma.factor is not None:
        norms[norms <= NOISE * host(xp.abs(V) @ sigma.deviations)] = 0.0
    if w is None or inner is None:
        return norms, norms
    return norms, np.ldexp(ratio(host(xp.vecdot(product, w)), roots), inner)


def _transformed(sigma: Sigma, W: Any) -> tuple[Any, Any]:
    block, outer = _scaled(W)
    block, inner = _scaled(sigma.right(block))
    return block, outer + inner


def _scaled(W: Any) -> tuple[Any, Any]:
    """Rows divided by a power of two near their largest entry, and the exponents, which are NumPy's."""
    xp = namespace(W)
    largest = host(xp.max(xp.abs(W), axis=1))
    exponents = np.clip(np.frexp(largest)[1], -1000, 1000)
    return W * moved(np.ldexp(1.0, -exponents), W)[:, None], exponents
