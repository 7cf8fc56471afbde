"""What the loops of quadrature kernels share: the trapezoidal rule, and blocks ordered by regime."""

import numpy as np

from numeric.jit import device


def trapezoidal(step: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes z_j = j·step for |j| ≤ count, and weights step·φ(z_j)."""
    nodes = step * np.arange(-count, count + 1)
    return nodes, step * np.exp(-nodes * nodes / 2) / np.sqrt(2 * np.pi)


@device
def gather(mean, std, switch, place, mu, sigma, inverse):
    """Copy a block, pairs with s < switch first, place[i] being where i came from: how many those are, and all."""
    few = 0
    for i in range(mean.size):
        few += np.int64(std[i] < switch)
    narrow, wide = 0, few
    for i in range(mean.size):
        if std[i] < switch:
            j, narrow = narrow, narrow + 1
        else:
            j, wide = wide, wide + 1
        place[j], mu[j], sigma[j] = i, mean[i], std[i]
        inverse[j] = 1.0 / std[i]
    return few, mean.size


@device
def scatter(rows, place, block):
    """block[place[i], k] = rows[k, i]."""
    for i in range(block.shape[0]):
        for k in range(block.shape[1]):
            block[place[i], k] = rows[k, i]
