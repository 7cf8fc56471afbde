"""A line on the terminal for what takes longer than a few seconds."""

import sys
import threading
import time
from typing import Self

_PATIENCE = 2.0
_EVERY = 0.2
_WIDTH = 30


class Progress:
    """Shows how much of the work is done, on standard error, once two seconds have passed.

    With `show=None` only where a person is looking: standard error is a terminal. Threads may call `advance`.
    """

    def __init__(self, about: str, total: int, show: bool | None = None) -> None:
        self.about, self.total = about, max(total, 1)
        self.show = sys.stderr.isatty() if show is None else show
        self.done = 0
        self._start = self._last = time.monotonic()
        self._shown = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def advance(self, amount: int = 1) -> None:
        """Say that so much more is done."""
        with self._lock:
            self.done += amount
            now = time.monotonic()
            if self.show and now - self._start > _PATIENCE and now - self._last > _EVERY:
                self._last = now
                self._write(now)

    def show_done(self, done: int) -> None:
        """Say how much is done in all, which may be less than before."""
        self.advance(done - self.done)

    def _write(self, now: float) -> None:
        share = min(self.done / self.total, 1.0)
        left = (now - self._start) * (1 / share - 1) if share > 0 else 0.0
        bar = "━" * round(_WIDTH * share) + "─" * (_WIDTH - round(_WIDTH * share))
        sys.stderr.write(f"\r{self.about} {bar} {share:4.0%}, {left:.0f} s left ")
        sys.stderr.flush()
        self._shown = True

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
