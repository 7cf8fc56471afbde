"""The normal equations of a quadratic over data: means over rows in place of expectations under components.

Quadratics are rows of numbers as in `MomentOperator`, in the coordinates z of the mixture that guides the iteration.
With values p(z_i) at the data, the image of p is (mean p, mean p z, mean p (zzᵀ − I)/√2): four products of data and
matrices per output.
"""

from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from numeric.device.arrays import brought, double
from numeric.layers import GLU, MLP
from numeric.mixture.arrays import like
from numeric.mixture.coordinates import Coordinates
from numeric.mixture.expectations import placed
from numeric.mixture.operator import ROOT_2
from numeric.samples import Samples

Float64 = NDArray[np.float64]


class SampleOperator:
    """Means over data of quadratics with 1, z and (zzᵀ − I)/√2, for many of them at once.

    Args:
        samples: the data.
        coordinates: z.
        template: an array of the library and on the device where it is applied.
    """

    def __init__(self, samples: Samples, coordinates: Coordinates, template: Any) -> None:
        self.samples, self.template = samples, template
        self.dim = coordinates.dim
        self._center, self._inward = like(coordinates.center, template), like(coordinates.inward, template)

    @property
    def xp(self) -> Any:
        """The arrays' library; not kept, because a module cannot be pickled."""
        return array_namespace(self.template)

    @property
    def size(self) -> int:
        """1 + r + r², the numbers of a quadratic."""
        return 1 + self.dim + self.dim**2

    def __call__(self, rows: Any) -> Any:
        """The images of quadratics (n, size), of the same shape."""
        return self._products(lambda _, z: self._values(rows, z), rows.shape[0])

    def right_hand_side(self, layer: MLP | GLU, constant: Float64) -> Any:
        """The same of a layer less a constant for every output; its weights may be anywhere."""
        there, constants = placed(layer, self.template), like(constant, self.template)
        W = there.projections[0][0]
        return self._products(
            lambda x, _: brought(double(there(brought(x, W))), self.template) - constants, layer.d_out
        )

    def _values(self, rows: Any, z: Any) -> Any:
        """p(z), (points, n)."""
        r, xp = self.dim, self.xp
        out = z @ rows[:, 1 : 1 + r].T
        for o in range(rows.shape[0]):
            B = xp.reshape(rows[o, 1 + r :], (r, r))
            squares = xp.sum((z @ B) * z, axis=-1) - xp.sum(rows[o, 1 + r :: r + 1])
            out[:, o] += rows[o, 0] + squares / ROOT_2
        return out

    def _products(self, values: Any, count: int) -> Any:
        """Sums of values with the features, over all data."""
        r = self.dim
        total = like(np.zeros((count, self.size)), self.template)
        for x in self.samples.chunks():
            x = like(x, self.template)
            z = (x - self._center) @ self._inward.T
            f = values(x, z)
            total[:, 0] += self.xp.sum(f, axis=0)
            total[:, 1 : 1 + r] += f.T @ z
            for o in range(count):
                total[o, 1 + r :] += self.xp.reshape(z.T @ (f[:, o][:, None] * z), (-1,))
        total[:, 1 + r :: r + 1] -= total[:, :1]
        total[:, 1 + r :] /= ROOT_2
        total /= len(self.samples)
        return total
