"""What the kernels of E[σ(Y₁) σ(Y₂)] share: the sizes by which they judge themselves, and blocks of pairs.

Every function of Φ comes with a size, of which its error, that of its argument included, is at most a few ε. A kernel
adds up its terms, and their coefficients' absolute values times these sizes: `ROUNDING` times that is how far rounding
may have moved the sum.
"""

from numeric.binormal import association, corner, within
from numeric.jit import device, loop
from numeric.special import TINY, Phi_phi, centred_Phi

# What rounding may make of a formula, relative to the sizes of its terms: three times the most that has been seen.
ROUNDING = 2.0**-51
# Added to sizes that exponentials are multiplied by: where Φ underflows it has lost its digits.
UNDERFLOW = 1e-292
# Farther out the nodes between 0 and r lose digits of Φ₂ − ΦΦ, though none of Φ₂.
NEAR = 6.0
# Pairs of which kernels ask Φ₂ together.
BLOCK = 256


@device
def quadratic(x, y, less, more):
    """x² + y² − 2ρxy, given 1 − ρ and 1 + ρ, as a sum of two numbers that are not negative."""
    return (x - y) * (x - y) + 2.0 * less * x * y if x * y > 0.0 else (x + y) * (x + y) - 2.0 * more * x * y


@device
def Phi_phi_sized(z, extent):
    """Φ(z) and φ(z), and the sizes of which their errors are a few ε, for z with an error of a few ε of `extent`."""
    distribution, density = Phi_phi(z)
    return distribution, density, distribution + extent * density, (1.0 + abs(z) * extent) * density


@device
def centred_Phi_sized(z, extent):
    """The same for Φ(z) − ½."""
    value = centred_Phi(z)
    # φ(z) |z| ≤ |Φ(z) − ½|
    return value, abs(value) * (1.0 + extent / max(abs(z), TINY))


@device
def Phi2_sized(h, k, r, less, more):
    """Φ₂(h, k, r) and the size of which its error is at most 4 ε."""
    value, by_h, by_k, both = corner(h, k, r, less, more)
    h, k = abs(within(h)), abs(within(k))
    return value, value + h * by_h + k * by_k + (1.0 + h + k) * both


@device
def association_sized(h, k, r, less, more):
    """The same for Φ₂(h, k, r) − Φ(h) Φ(k)."""
    value = association(h, k, r, less, more)
    near = (abs(r) <= 0.5) & (max(abs(h), abs(k)) <= NEAR)
    return value, (6.0 * abs(value) if near else 1.0)


@loop
def distributions(asked, answers, n):
    """`Phi2_sized` for n columns of several (h, k, r, 1 − r, 1 + r): all values, then all sizes.

    It is a loop of its own because it takes seconds to compile. Were values and sizes to alternate, the loop would not
    be vector code: the compiler asks whether they overlap for all j together.
    """
    for j in range(answers.shape[0] // 2):
        h, k, r, less, more = asked[5 * j], asked[5 * j + 1], asked[5 * j + 2], asked[5 * j + 3], asked[5 * j + 4]
        value, size = answers[j], answers[answers.shape[0] // 2 + j]
        for i in range(n):
            value[i], size[i] = Phi2_sized(h[i], k[i], r[i], less[i], more[i])


@loop
def associations(asked, answers, n):
    """The same with `association_sized`."""
    for j in range(answers.shape[0] // 2):
        h, k, r, less, more = asked[5 * j], asked[5 * j + 1], asked[5 * j + 2], asked[5 * j + 3], asked[5 * j + 4]
        value, size = answers[j], answers[answers.shape[0] // 2 + j]
        for i in range(n):
            value[i], size[i] = association_sized(h[i], k[i], r[i], less[i], more[i])


@device
def in_order(mean_1, std_1, mean_2, std_2):
    """The narrower of two variables first, so that swapping them changes nothing."""
    turned = (std_1 > std_2) | ((std_1 == std_2) & (mean_1 > mean_2))
    return (
        mean_2 if turned else mean_1,
        std_2 if turned else std_1,
        mean_1 if turned else mean_2,
        std_1 if turned else std_2,
    )


@device
def load(work, start, mean_1, std_1, mean_2, std_2, rho):
    """The next block of pairs into the first five rows, in order; how many there are."""
    n = min(work.shape[1], rho.size - start)
    for i in range(n):
        p = start + i
        work[0, i], work[1, i], work[2, i], work[3, i] = in_order(mean_1[p], std_1[p], mean_2[p], std_2[p])
        work[4, i] = rho[p]
    return n


@device
def pair(work, i):
    """(μ₁, s₁, μ₂, s₂, ρ, 1 − ρ, 1 + ρ)."""
    rho = work[4, i]
    return work[0, i], work[1, i], work[2, i], work[3, i], rho, 1.0 - rho, 1.0 + rho


@device
def store(work, start, n, out, doubt):
    """The last two rows into the block of the output."""
    last = work.shape[0] - 1
    for i in range(n):
        out[start + i] = work[last - 1, i]
    for i in range(n):
        doubt[start + i] = work[last, i]
