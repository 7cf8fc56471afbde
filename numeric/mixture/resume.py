"""The state of an iteration in a file, so that an interrupted solve goes on where it was.

The file belongs to one problem, which is known by a digest of the right-hand sides and of the inputs. It is written
whole or not at all, and what is read is equal to what was written to the last bit: an interrupted solve ends like one
that was not.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from numeric.device.arrays import host
from numeric.mixture.arrays import like
from numeric.mixture.conjugate_gradients import State
from numeric.mixture.coordinates import Coordinates
from numeric.mixture.inputs import GaussianMixture
from numeric.safetensors_format import BrokenFile, broken, described, naming, read, write
from numeric.samples import Samples

Float64 = NDArray[np.float64]

_EVERY = 60.0
_KIND = "state of conjugate gradients"
_NAMES = ("solution", "residual", "directions", "images", "gains")


class Checkpoint:
    """Writes the state of one problem to a file, about once a minute, and reads it back.

    Args:
        path: the file.
        problem: what `digest` says of the problem.

    Raises:
        BrokenFile: a file of that name that is damaged or something else.
        ValueError: a file that holds the state of another problem.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.path, self.problem = path, problem
        self._last = time.monotonic()

    def load(self, template: object) -> State | None:
        """The state, in the library and on the device of `template`; None if there is no file."""
        if not self.path.exists():
            return None
        with _expendable():
            metadata, arrays = read(self.path, _accept)
        with naming(self.path):
            if set(arrays) != set(_NAMES):
                raise broken(f"its arrays are {', '.join(sorted(arrays))}", ", ".join(_NAMES))
        if metadata.get("problem") != self.problem:
            raise ValueError(
                f"out: {os.fspath(self.path)!r} holds the state of another problem (other layers, inputs or start); "
                "choose another folder, or delete the file"
            )
        solution, residual, directions, images = (like(arrays[name], template) for name in _NAMES[:4])
        return State(solution, residual, directions, images, list(arrays["gains"]))

    def save(self, state: State, now: bool = False) -> None:
        """Write the state, unless it was done less than a minute ago."""
        if not now and time.monotonic() - self._last < _EVERY:
            return
        arrays = {name: np.ascontiguousarray(host(getattr(state, name))) for name in _NAMES[:4]}
        gains = np.array(state.gains).reshape(len(state.gains), state.residual.shape[0])
        write(self.path, {"symgauss_state": _KIND, "problem": self.problem}, arrays | {"gains": gains})
        self._last = time.monotonic()


class States:
    """The files of one batch of outputs: its state, and on data that under the mixture which guides.

    Args:
        folder: where they are.
        first: the number of the first output, all layers counted through.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self._first = first
        self._state, self._guide = (folder / f"{name}-{first:06}.safetensors" for name in ("state", "guide"))

    def state(self, problem: str) -> Checkpoint:
        """For the solution itself."""
        return Checkpoint(self._state, f"{problem}, from output {self._first}")

    def guide(self, problem: str) -> Checkpoint:
        """For where a solution on data begins."""
        return Checkpoint(self._guide, f"{problem}, from output {self._first}")

    def outputs(self) -> int:
        """How many outputs the batch has, if it was begun before, or 0."""
        return saved_outputs(self._state) or saved_outputs(self._guide)

    def discard(self) -> None:
        """Without these, the batch may become a smaller one."""
        for path in (self._state, self._guide):
            path.unlink(missing_ok=True)


def digest(coordinates: Coordinates, right: Float64, start: Float64 | None, inputs: GaussianMixture | Samples) -> str:
    """Of everything that the iteration depends on."""
    parts = [coordinates.weights, coordinates.means, coordinates.covariances, right]
    found = hashlib.sha256(repr(inputs).encode())
    for array in parts if start is None else [*parts, start]:
        found.update(repr(array.shape).encode())
        found.update(np.ascontiguousarray(array).data)
    if isinstance(inputs, Samples):  # of which the right-hand sides do not know the fourth moments
        for rows in inputs.chunks():
            found.update(np.ascontiguousarray(rows).data)
    return found.hexdigest()


def saved_outputs(path: Path) -> int:
    """How many outputs a state is of; 0 where there is no file, or one that `Checkpoint.load` will refuse."""
    with _expendable():
        gains = described(path)[1].get("gains") if path.exists() else None
    return gains.shape[1] if gains and len(gains.shape) == 2 else 0


@contextlib.contextmanager
def _expendable() -> Iterator[None]:
    """Adds to the message of any `BrokenFile` what to do without the file."""
    try:
        yield
    except BrokenFile as error:
        raise BrokenFile(f"{error} Or delete it: the solve begins anew.") from error.__cause__


def _accept(metadata: object) -> None:
    assert isinstance(metadata, dict)
    if metadata.get("symgauss_state") != _KIND:
        raise broken("it is something else", "the state of an interrupted solve")
