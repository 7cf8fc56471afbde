"""Mutations drawn by seed: the same seed and the same sources give the same errors."""

import ast
import random
from collections.abc import Mapping

from tests.mutants.sites import KINDS, Mutation, Site, sites


def draw(sources: Mapping[str, str], count: int, seed: int) -> list[Mutation]:
    """Up to `count` mutations at different sites, the kinds in turns, each site of a kind equally likely.

    Without the turns half of all errors would sit in tables of constants.

    Args:
        sources: the text of every file by its path.
        count: how many; fewer come back when there are no more sites.
        seed: of the generator that chooses.
    """
    random_ = random.Random(seed)
    left: dict[str, list[tuple[str, Site]]] = {kind: [] for kind in KINDS}
    for path in sorted(sources):
        for site in sites(sources[path]):
            left[site.kind].append((path, site))
    drawn: list[Mutation] = []
    while len(drawn) < count and any(left.values()):
        for kind in KINDS:
            if left[kind] and len(drawn) < count:
                path, site = left[kind].pop(random_.randrange(len(left[kind])))
                mutation = Mutation(path, kind, site.start, site.end, random_.choice(site.replacements))
                if changes_something(sources[path], mutation):
                    drawn.append(mutation)
    return drawn


def changes_something(source: str, mutation: Mutation) -> bool:
    """Whether the mutated text is Python, and says something else."""
    try:
        mutated = ast.parse(mutation.apply(source))
    except SyntaxError:
        return False
    return ast.dump(mutated) != ast.dump(ast.parse(source))
