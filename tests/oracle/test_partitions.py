"""The definition counts what it should count."""

from fractions import Fraction

import pytest

from tests.oracle.partitions import moment_of_factors, moment_table, partitions


@pytest.mark.parametrize(("n", "involutions"), list(enumerate([1, 1, 2, 4, 10, 26, 76, 232, 764])))
def test_partitions_are_counted_by_involutions(n, involutions):
    found = list(partitions(list(range(n))))
    assert len(found) == involutions
    assert len({tuple(sorted(p)) for p in found}) == involutions
    pairings = [p for p in found if all(len(block) == 2 for block in p)]
    double_factorial = 1
    for k in range(n - 1, 0, -2):
        double_factorial *= k
    assert len(pairings) == (double_factorial if n % 2 == 0 else 0)


def test_moments_of_one_variable():
    mean, cov = [Fraction(2)], [[Fraction(3)]]
    assert moment_of_factors([0] * 4, mean, cov) == 2**4 + 6 * 4 * 3 + 3 * 9
    assert moment_of_factors([], mean, cov) == 1


def test_the_table_counts_the_same_partitions():
    mean, cov = [Fraction(2, 3), Fraction(-1, 2)], [[Fraction(5, 4), Fraction(1, 3)], [Fraction(1, 3), Fraction(2)]]
    table = moment_table((4, 3), mean, cov)
    for a in range(5):
        for b in range(4):
            assert table[a][b] == moment_of_factors([0] * a + [1] * b, mean, cov)
