"""`numeric.binormal` in single precision: rules of 7 nodes in place of 14, and e^(−y) − 1 of the CUDA library.

The rules leave out 3e-7 of what a ray sees at R = 1.5, less farther out, and 3e-13 near the origin. The constants are
derived in `tests/oracle/binormal.py`, as those in double precision are.

    quantity             error, in units of 2⁻²⁴
    Phi2                 5 absolutely, 8 of the size that `Phi2_sized` gives with it
    φ(h) Φ(k′), …        2 absolutely
    association          6 of the size that `association_sized` gives with it
"""

from numeric.jit import device
from numeric.special import expm1

# Stands for √(1 − r²) = 0, and for p² + q²v² = 0.
NOTHING = 1e-30

# Gauss-Legendre on [0, 1]
NEAR_NODES = (
    0.0254460443,
    0.129234403,
    0.297077417,
    0.5,
    0.702922583,
    0.870765567,
    0.974553943,
)
NEAR_WEIGHTS = (
    0.0647424832,
    0.139852703,
    0.190915018,
    0.208979592,
    0.190915018,
    0.139852703,
    0.0647424832,
)
# The Gaussian rule of ∫_0^∞ f(x) e^{−x − 3x²/500} dx; its weights divided by e^{−x − 3x²/500}
FAR_NODES = (
    0.17887935,
    0.947417855,
    2.351964,
    4.43902922,
    7.30182648,
    11.1420269,
    16.5183678,
)
FAR_WEIGHTS = (
    0.459607005,
    1.08125389,
    1.73525,
    2.45358062,
    3.30284595,
    4.45523643,
    6.61640644,
)
# asin(s)/(π s) in s² for s² ≤ ½; relative error 4.6e-8
ARC = (
    0.0349103138,
    -0.0286753327,
    0.0240450501,
    0.00532576628,
    0.0147953136,
    0.0238354094,
    0.0530525632,
    0.318309873,
)


@device
def _one_node(x, first, p_squared, q, c, y_0, y_1, y_2):
    """(first − e^{−y})/(p² + (q + cx)²) with y = y_0 + y_1 x + y_2 x² ≥ 0; 1 − e^{−y} does not cancel."""
    t = q + c * x
    return ((first - 1.0) - expm1(-(y_0 + x * (y_1 + x * y_2)))) / (p_squared + t * t)
