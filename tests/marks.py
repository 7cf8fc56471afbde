"""Which members of a family of tests are in the fast suite."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def mostly_slow(members: Iterable[Any], *, fast: Collection[Any]) -> list[Any]:
    """The members as parameters of a test, all but the fast ones marked slow."""
    return [member if member in fast else pytest.param(member, marks=pytest.mark.slow) for member in members]
