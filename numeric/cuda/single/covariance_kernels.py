"""`numeric.covariance_kernels` in single precision: the sizes by which kernels judge themselves."""

from numeric.binormal import association, within
from numeric.jit import device

# Three times the most that rounding has been seen to make of a formula, as in double precision.
ROUNDING = 2.0**-20
UNDERFLOW = 2e-31
NEAR = 9.0


@device
def association_sized(h, k, r, less, more):
    """Φ₂(h, k, r) − Φ(h) Φ(k) and its size, to which the exponent of the density adds its own rounding."""
    value = association(h, k, r, less, more)
    h, k = within(h), within(k)
    near = (abs(r) <= 0.5) & (max(abs(h), abs(k)) <= NEAR)
    return value, ((6.0 + h * h + k * k) * abs(value) if near else 1.0)
