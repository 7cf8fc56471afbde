"""Errors planted at random places of both packages, to see whether the tests notice: `make mutants`.

    python -m tests.mutants [--count 150] [--seed 0] [--jobs 2] [--only PATH …] [--list]

Nothing is changed in the working tree: each job has a copy. First the tests run without an error, which
also compiles the kernels. Then one error at a time; it is noticed when a test fails, crashes or does not
end. What survives is listed: either no test looks there, or the change makes no difference. There is no
list of survivors to ignore; the score counts them all.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.draw import draw
from tests.mutants.sites import Mutation
from tests.mutants.targets import ROOT, modules, suite
from tests.mutants.workspace import Outcome, Workspace

REQUIRED = 0.85
BASELINE_LIMIT = 1800.0


def prepare(workspace: Workspace, selection: list[str]) -> float:
    """Compile the kernels and see that the tests pass; the seconds it took."""
    outcome = workspace.run(selection, BASELINE_LIMIT)
    if outcome.noticed:
        raise SystemExit(f"the tests fail without any planted error:\n{outcome.output}")
    return outcome.seconds


def run_all(mutations: list[Mutation], sources: dict[str, str], jobs: int) -> Iterable[tuple[Mutation, Outcome]]:
    """Every mutation with its outcome, in the order in which they end."""
    selection = sorted({test for m in mutations for test in suite(m.path)})
    compiling = [test for test in selection if test.startswith("tests/numeric/")]
    free: SimpleQueue[Workspace] = SimpleQueue()

    def one(mutation: Mutation, limit: float) -> tuple[Mutation, Outcome]:
        workspace = free.get()
        try:
            text = mutation.apply(sources[mutation.path])
            return mutation, workspace.run_with(mutation.path, text, suite(mutation.path, workspace.root), limit)
        finally:
            free.put(workspace)

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(jobs) as pool:
        print(f"{len(selection)} test files without an error, in {jobs} copies of the repository …", flush=True)
        workspaces = [Workspace(Path(folder) / str(job)) for job in range(jobs)]
        first = pool.submit(prepare, workspaces[0], selection)
        others = [pool.submit(prepare, workspace, compiling) for workspace in workspaces[1:] if compiling]
        limit = 30 + max(ready.result() for ready in (first, *others))
        for workspace in workspaces:
            free.put(workspace)
        running = [pool.submit(one, mutation, limit) for mutation in mutations]
        try:
            for done in as_completed(running):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def table(title: str, names: list[str], noticed: list[bool]) -> str:
    total, seen = Counter(names), Counter(name for name, hit in zip(names, noticed) if hit)
    return "\n".join([title, *(f"  {name:<32} {seen[name]:3d} of {total[name]:3d}" for name in sorted(total))])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m tests.mutants"
    )
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--only", default=[], nargs="+", metavar="PATH", help="files or folders of symgauss/ or numeric/"
    )
    parser.add_argument("--list", action="store_true", help="print the mutants and run nothing")
    arguments = parser.parse_args()
    sources = {path: (ROOT / path).read_text(encoding="utf-8") for path in modules(only=arguments.only)}
    mutations = draw(sources, arguments.count, arguments.seed)
    if not mutations:
        raise SystemExit(f"no place for an error in {' '.join(arguments.only) or 'symgauss/ and numeric/'}")
    if arguments.list:
        print("\n".join(f"{m.kind:<10} {m.describe(sources[m.path])}" for m in mutations))
        return
    results: list[tuple[Mutation, Outcome]] = []
    for mutation, outcome in run_all(mutations, sources, arguments.jobs):
        results.append((mutation, outcome))
        verdict = "noticed " if outcome.noticed else "SURVIVED"
        where = mutation.describe(sources[mutation.path])
        print(f"[{len(results):3d}/{len(mutations)}] {verdict} {outcome.seconds:5.0f} s  {where}", flush=True)
    noticed = [outcome.noticed for _, outcome in results]
    score = sum(noticed) / len(noticed)
    print()
    print(table("by module", [m.path for m, _ in results], noticed))
    print(table("by kind", [m.kind for m, _ in results], noticed))
    survivors = sorted(m.describe(sources[m.path]) for m, outcome in results if not outcome.noticed)
    print(f"\n{len(survivors)} survivors" if survivors else "\nno survivors")
    print("".join(f"  {line}\n" for line in survivors))
    print(f"score {score:.1%} of {len(noticed)} mutants, seed {arguments.seed}; required {REQUIRED:.0%}")
    sys.exit(score < REQUIRED)


if __name__ == "__main__":
    main()
