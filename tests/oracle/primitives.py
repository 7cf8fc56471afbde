"""Where the constants of `numeric/special.py` come from: near-minimax polynomials, recomputed from definitions.

Each function returns the polynomial's coefficients, highest power first, rounded to double, together with
its largest relative error over the interval it serves. `python -m tests.oracle.primitives` prints them as
they stand in `special.py`.
"""

from collections.abc import Callable

from mpmath import atanh, chebyfit, erf, erfc, exp, hyperu, log, mp, mpf, pi, sqrt

Polynomial = tuple[tuple[float, ...], float]

# The Gaussian tail is needed up to |z| = 40, where φ is below the smallest double.
SHIFT = 4
FARTHEST = 40
# The first tail whose ratio to its predecessor starts the ladder, the last one that it returns, and what
# stands under the root that measures how far out an argument is: 52 takes the fewest terms.
TOP = 10
SPREAD = 52
# From here on T_k(v) is v^(−k−1) to rounding.
POWER_LAW = 2**31


def _fit(function: Callable, low, high, degree: int) -> Polynomial:
    coefficients, error = chebyfit(function, [low, high], degree + 1, error=True)
    smallest = min(abs(function(low + (high - low) * i / 40)) for i in range(41))
    return tuple(float(c) for c in coefficients), float(error / smallest)


def _tail_argument(t):
    """x = y/√2 from t = (x − 4)/(x + 4)."""
    return SHIFT * (1 + t) / (1 - t)


def _tail_interval():
    x = FARTHEST / sqrt(mpf(2))
    return mpf(-1), (x - SHIFT) / (x + SHIFT)


def mills_ratio(y):
    """R(y) = Φ(−y)/φ(y)."""
    return sqrt(pi / 2) * exp(y * y / 2) * erfc(y / sqrt(mpf(2)))


def mills() -> Polynomial:
    """(1 + 2x) R(√2 x) as a polynomial in t."""
    return _fit(lambda t: (1 + 2 * _tail_argument(t)) * mills_ratio(sqrt(mpf(2)) * _tail_argument(t)),
                *_tail_interval(), 24)  # fmt: skip


def ladder(n: int) -> Polynomial:
    """(1 + x)^(n+1) I_n(−√2 x)/φ(√2 x) as a polynomial in t, I_n(z) = E (z + Z)₊ⁿ/n!, n = 1 or 2."""

    def scaled(t):
        x = _tail_argument(t)
        y = sqrt(mpf(2)) * x
        first = 1 - y * mills_ratio(y)
        second = ((1 + y * y) * mills_ratio(y) - y) / 2
        return (1 + x) ** (n + 1) * (first if n == 1 else second)

    return _fit(scaled, *_tail_interval(), 26)


def scaled_tail(k: int, v):
    """T_k(v) = ∫_0^∞ tᵏ/k! e^(−vt − t²/2) dt = I_k(−v)/φ(v), v ≥ 0, by Tricomi's function."""
    return mpf(2) ** (-mpf(k + 1) / 2) * hyperu(mpf(k + 1) / 2, mpf(1) / 2, mpf(v) ** 2 / 2)


def ladder_top() -> Polynomial:
    """T_10(v)/T_9(v)/(μ − v) with μ = √(v² + 52), as a polynomial in v/μ."""

    def ratio(p):
        v = sqrt(SPREAD / (1 - p * p)) * p
        # 1/(μ − v) = (μ + v)/52
        return scaled_tail(TOP, v) / scaled_tail(TOP - 1, v) * (sqrt(v * v + SPREAD) + v) / SPREAD

    return _fit(ratio, mpf(0), POWER_LAW / sqrt(mpf(POWER_LAW) ** 2 + SPREAD), 18)


def centred() -> Polynomial:
    """(Φ(z) − ½)/z as a polynomial in z², for |z| ≤ 1.2."""

    def ratio(square):
        z = sqrt(square)
        return erf(z / sqrt(mpf(2))) / (2 * z) if z > mpf("1e-20") else 1 / sqrt(2 * pi)

    return _fit(ratio, mpf(0), mpf("1.44"), 11)


def exponential() -> Polynomial:
    """(e^r − 1 − r)/r² as a polynomial in r, for |r| ≤ ½ log 2."""

    def ratio(r):
        return (exp(r) - 1 - r) / r**2 if abs(r) > mpf("1e-20") else mpf(1) / 2

    half = log(mpf(2)) / 2 * mpf("1.0001")
    return _fit(ratio, -half, half, 10)


def logarithm() -> Polynomial:
    """(log((1 + s)/(1 − s)) − 2s)/s³ as a polynomial in s², for (1 + s)/(1 − s) between √½ and √2."""

    def ratio(square):
        s = sqrt(square)
        return 2 * (atanh(s) - s) / s**3 if s > mpf("1e-15") else mpf(2) / 3

    root = sqrt(mpf(2)) * mpf("1.0001")
    return _fit(ratio, mpf(0), ((root - 1) / (root + 1)) ** 2, 7)


def log2_split() -> tuple[float, float]:
    """log 2 as a 32-bit head, whose product with an exponent is exact, and a tail."""
    with mp.workdps(60):
        head = float(mp.floor(log(mpf(2)) * 2**32) / 2**32)
        return head, float(log(mpf(2)) - mpf(head))


POLYNOMIALS = {
    "MILLS": mills,
    "FIRST_LADDER": lambda: ladder(1),
    "SECOND_LADDER": lambda: ladder(2),
    "CENTRED": centred,
    "EXPONENTIAL": exponential,
    "LOGARITHM": logarithm,
    "LADDER_TOP": ladder_top,
}


def main() -> None:
    """Print the constants as they stand in numeric/special.py."""
    with mp.workdps(60):
        for name, make in POLYNOMIALS.items():
            coefficients, error = make()
            body = "".join(f"    {c!r},\n" for c in coefficients)
            print(f"# relative error {error:.1e}\n{name} = (\n{body})")
        print("LOG2_HEAD, LOG2_TAIL =", log2_split())


if __name__ == "__main__":
    main()
