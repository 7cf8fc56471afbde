"""The normal equations of a quadratic under a mixture, as a map: p ↦ (E p, E[p z], E[p (zzᵀ − I)]/√2).

A quadratic is a row of numbers: c, a (r), B (r·r, symmetric), and stands for

    p(z) = c + a·z + ⟨B, zzᵀ − I⟩/√2,

whose norm in these coefficients is √E p² if z ~ N(0, I). Under a component N(μ, C) with e = E p and g = E ∇p = a +
√2 B μ, Stein's identity gives

    E[p z] = e μ + C g,    E[p zzᵀ] = e (C + μμᵀ) + (C g) μᵀ + μ (C g)ᵀ + √2 C B C.

The last term is the work: two products of r × r matrices for every component and output. Arrays may be NumPy's, or
those of any library that follows the array API standard. (Our derivation: derivations/mixture.md.)
"""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

ROOT_2 = float(np.sqrt(2.0))

# Columns of C B C made at a time: it is symmetric, so only the rows down to them are.
_PANEL = 128
# Elsewhere than in NumPy two products make C B C of all outputs together, and keep so many numbers between.
TOGETHER = 2**26


class MomentOperator:
    """E over a mixture Σ_k π_k N(μ_k, C_k) of quadratics with 1, z and (zzᵀ − I)/√2, for many of them at once.

    Args:
        weights, means, covariances: (K,), (K, r), (K, r, r).
    """

    def __init__(self, weights: Any, means: Any, covariances: Any) -> None:
        self.weights, self.means = weights, means
        self.n_components, self.dim = means.shape
        # √2 π_k goes into both C of C B C
        self.root = self.xp.sqrt(ROOT_2 * weights)
        self.scaled = covariances * self.root[:, None, None]
        self.tall = self.xp.reshape(self.scaled, (-1, self.dim))

    @property
    def xp(self) -> Any:
        """The arrays' library; not kept, because a module cannot be pickled."""
        return array_namespace(self.means)

    @property
    def size(self) -> int:
        """1 + r + r², the numbers of a quadratic."""
        return 1 + self.dim + self.dim**2

    def parts(self, rows: Any) -> tuple[Any, Any, Any]:
        """c (n,), a (n, r) and B (n, r, r) of quadratics (n, size)."""
        r = self.dim
        return rows[:, 0], rows[:, 1 : 1 + r], self.xp.reshape(rows[:, 1 + r :], (-1, r, r))

    def joined(self, c: Any, a: Any, B: Any) -> Any:
        """The opposite of `parts`."""
        return self.xp.concat([c[:, None], a, self.xp.reshape(B, (B.shape[0], -1))], axis=1)

    def __call__(self, rows: Any) -> Any:
        """The images of quadratics (n, size), of the same shape."""
        xp, pi, mu = self.xp, self.weights, self.means
        e, Cg = self.expectations(rows)
        weighted = e * pi
        constant = xp.sum(weighted, axis=1)
        linear = weighted @ mu + xp.sum(Cg * pi[:, None, None], axis=0)
        # (C g) μᵀ + ½ e μμᵀ, and its transpose
        beside = (Cg + 0.5 * xp.permute_dims(e, (1, 0))[:, :, None] * mu[:, None, :]) * pi[:, None, None]
        outer = xp.permute_dims(beside, (1, 2, 0)) @ mu
        quadratic = self.sandwich(self.parts(rows)[2])
        quadratic += outer
        quadratic += xp.permute_dims(outer, (0, 2, 1))
        flat = xp.reshape(quadratic, (rows.shape[0], -1))
        flat += (weighted / self.root) @ xp.reshape(self.scaled, (self.n_components, -1))
        flat[:, :: self.dim + 1] -= constant[:, None]
        flat /= ROOT_2
        return xp.concat([constant[:, None], linear, flat], axis=1)

    def expectations(self, rows: Any) -> tuple[Any, Any]:
        """E p, (n, K), and C E ∇p, (K, n, r), under every component."""
        xp, mu, r = self.xp, self.means, self.dim
        c, a, B = self.parts(rows)
        flat = rows[:, 1 + r :]
        towards = xp.reshape(xp.reshape(B, (-1, r)) @ xp.permute_dims(mu, (1, 0)), (rows.shape[0], r, -1))  # B μ
        spread = flat @ xp.permute_dims(xp.reshape(self.scaled, (self.n_components, -1)), (1, 0)) / self.root
        squares = xp.sum(towards * xp.permute_dims(mu, (1, 0)), axis=1)
        trace = xp.sum(flat[:, :: r + 1], axis=1)
        e = (c - trace / ROOT_2)[:, None] + a @ xp.permute_dims(mu, (1, 0)) + (spread + squares) / ROOT_2
        g = a[None, :, :] + ROOT_2 * xp.permute_dims(towards, (2, 0, 1))
        return e, (g @ self.scaled) / self.root[:, None, None]

    def sandwich(self, B: Any) -> Any:
        """√2 Σ_k π_k C_k B C_k for matrices (n, r, r)."""
        if not is_numpy_array(B):
            return self._large_products(B)
        r, result = self.dim, np.empty_like(B)
        buffer = np.empty((r, self.n_components, r))
        for o in range(len(B)):
            beside = np.matmul(self.scaled, B[o], out=buffer.transpose(1, 0, 2)).transpose(1, 0, 2).reshape(r, -1)
            for start in range(0, r, _PANEL):
                stop = min(start + _PANEL, r)
                panel = beside[:stop] @ self.tall[:, start:stop]
                result[o, :stop, start:stop] = panel
                result[o, start:stop, :start] = panel[:start].T
        return result

    def _large_products(self, B: Any) -> Any:
        """The same in two products for many matrices: a device is kept busy, which is worth more than symmetry."""
        xp, r = self.xp, self.dim
        count = max(1, TOGETHER // (self.n_components * r * r))
        parts = []
        for first in range(0, B.shape[0], count):
            columns = xp.reshape(B[first : min(first + count, B.shape[0]), :, :], (-1, r)).T
            beside = xp.reshape(self.tall @ columns, (self.n_components, r, -1, r))
            beside = xp.reshape(xp.permute_dims(beside, (2, 1, 0, 3)), (-1, self.n_components * r))
            parts.append(xp.reshape(beside @ self.tall, (-1, r, r)))
        return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
