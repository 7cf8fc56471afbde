"""Gaussian moments by their definition as a sum over partitions, in exact rational arithmetic."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

Blocks = list[tuple[int, ...]]


def partitions(elements: Sequence[int]) -> Iterator[Blocks]:
    """All partitions into singletons and pairs."""
    if not elements:
        yield []
        return
    first, *rest = elements
    for others in partitions(rest):
        yield [(first,), *others]
    for k, partner in enumerate(rest):
        for others in partitions(rest[:k] + rest[k + 1 :]):
            yield [(first, partner), *others]


def moment_of_factors(factors: Sequence[int], mean: Sequence[Fraction], cov: Sequence[Sequence[Fraction]]) -> Fraction:
    """E Π X_f over the factors, repeated ones included."""
    total = Fraction(0)
    for blocks in partitions(list(range(len(factors)))):
        product = Fraction(1)
        for block in blocks:
            i, *j = (factors[b] for b in block)
            product *= cov[i][j[0]] if j else mean[i]
        total += product
    return total


def moment_table(
    powers: tuple[int, int], mean: Sequence[Fraction], cov: Sequence[Sequence[Fraction]]
) -> list[list[Fraction]]:
    """E X^a Y^b for a ≤ powers[0], b ≤ powers[1], by counting partitions instead of listing them.

    Of the partitions of a X's and b Y's, those with i pairs XX, k pairs XY and j pairs YY number
    a! b!/(2^i i! 2^j j! k! (a − 2i − k)! (b − 2j − k)!).
    """
    factorial = [Fraction(1)]
    for n in range(1, max(powers) + 1):
        factorial.append(factorial[-1] * n)

    def entry(a: int, b: int) -> Fraction:
        total = Fraction(0)
        for k in range(min(a, b) + 1):
            for i in range((a - k) // 2 + 1):
                for j in range((b - k) // 2 + 1):
                    p, q = a - k - 2 * i, b - k - 2 * j
                    count = factorial[a] * factorial[b]
                    count /= 2 ** (i + j) * factorial[i] * factorial[j] * factorial[k] * factorial[p] * factorial[q]
                    weight = cov[0][0] ** i * cov[1][1] ** j * cov[0][1] ** k * mean[0] ** p * mean[1] ** q
                    total += count * weight
        return total

    return [[entry(a, b) for b in range(powers[1] + 1)] for a in range(powers[0] + 1)]
