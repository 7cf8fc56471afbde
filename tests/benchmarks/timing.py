"""Times as ratios: two pieces of work taken in turns in one process, the median over the repeats."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
Times = list[tuple[float, float]]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(work: Callable[[], object], floor: Callable[[], object], repeats: int) -> Times:
    """Times of both, taken in turns after one run of each."""
    work()
    floor()
    return [(seconds(work), seconds(floor)) for _ in range(repeats)]


def line(label: str, times: Times, limit: float | None, unit: float = 1.0, name: str = "s") -> str:
    """One row: median times of both, the median ratio, its range, and the limit it has to keep."""
    ratios = [a / b for a, b in times]
    ours, floor = (statistics.median(column) / unit for column in zip(*times))
    ratio = statistics.median(ratios)
    verdict = "" if limit is None else f"  ≤ {limit}  {'ok' if ratio <= limit else 'TOO SLOW'}"
    return (
        f"{label:<44} {ours:8.3f} {name} {floor:8.3f} {name}   {ratio:5.3f}  "
        f"[{min(ratios):.3f}, {max(ratios):.3f}]{verdict}"
    )


def heading(unit: str = "") -> str:
    return f"{'':<44} {'ours':>10} {'floor':>{11 + len(unit)}}   ratio  [range]"


def machine() -> str:
    """Date and machine, for the head of a results file."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x.split(":")[1].strip() for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = f"{names[0]}, {len(names)} processors" if names else model
    return f"{date.today().isoformat()}, {model}, Python {platform.python_version()}"


def record(name: str, report: str) -> None:
    """Write results/<name>.txt, whole or not at all."""
    RESULTS.mkdir(exist_ok=True)
    temporary = RESULTS / f"{name}.tmp"
    temporary.write_text(report, encoding="utf-8")
    os.replace(temporary, RESULTS / f"{name}.txt")
