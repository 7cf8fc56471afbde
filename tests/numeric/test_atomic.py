"""Files are replaced as a whole, or not at all."""

import errno
import io
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from numeric import atomic
from numeric.atomic import replacing

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def put(path: Any, data: bytes = b"new", between: Callable[[], None] | None = None) -> None:
    with replacing(path) as file:
        file.write(data)
        if between is not None:
            between()


def assert_untouched(path: Path) -> None:
    """The old contents, and nothing beside it."""
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_check_notices(path: Path) -> None:
    assert_untouched(path)
    (path.parent / ".more").touch()
    with pytest.raises(AssertionError):
        assert_untouched(path)
    (path.parent / ".more").unlink()
    path.write_bytes(b"oLd")
    with pytest.raises(AssertionError):
        assert_untouched(path)


def test_replacing(path: Path) -> None:
    put(path)
    assert path.read_bytes() == b"new"
    put(str(path), b"newer")
    put(path.with_name("other"), b"x" * 100_000)
    assert path.read_bytes() == b"newer"
    assert sorted(os.listdir(path.parent)) == ["file", "other"]


def test_the_old_file_stays_until_the_end(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"x" * 10**6)
        assert path.read_bytes() == b"old"
        others = [p for p in path.parent.iterdir() if p != path]
        assert len(others) == 1
        assert others[0].name.startswith(".symgauss-")
    assert path.stat().st_size == 10**6


def test_it_is_on_the_disk_before_it_is_renamed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    sync, replace = os.fsync, os.replace

    def watched_sync(handle: int) -> None:
        size = os.fstat(handle).st_size
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{size} bytes")
        sync(handle)

    def watched_replace(*names: str) -> None:
        done.append("renamed")
        replace(*names)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(os, "replace", watched_replace)
    put(path, b"12345")
    assert done == ["5 bytes", "renamed", "folder"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
@pytest.mark.parametrize("step", ["open", "write", "flush", "fsync", "replace", "chmod", "block"])
def test_an_exception_at_any_step(path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    class Failing(io.BufferedWriter):
        pass

    def opened(name: str, mode: str) -> Any:
        return Failing(io.FileIO(name, mode.replace("b", "")))

    with monkeypatch.context() as patched:
        if step == "open":
            patched.setattr("builtins.open", fail)
        elif step in ("write", "flush"):
            patched.setattr(atomic, "open", opened, raising=False)
            patched.setattr(Failing, step, fail)
        elif step != "block":
            patched.setattr(os, step, fail)
        with pytest.raises(type(error)) as caught:
            put(path, between=fail if step == "block" else None)
    if isinstance(error, OSError):
        assert str(caught.value) == f"[Errno {errno.ENOSPC}] No space left on device: '{path}'"
        assert caught.value.__cause__ is error
    else:
        assert caught.value is error
    assert_untouched(path)
    put(path)
    assert path.read_bytes() == b"new"


KILLED = """
import os, signal, sys
from numeric.atomic import replacing

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def killed(point):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    replace = os.replace
    if point == 'fsync':
        os.fsync = die
    if point == 'replace':
        os.replace = die
    if point == 'renamed':
        os.replace = lambda *names: (replace(*names), die())
    with replacing(sys.argv[1]) as file:
        if point == 'opened':
            die()
        file.write(b'n' * 100_000)
        if point == 'written':
            die()
    os._exit(0)

for point in ('opened', 'written', 'fsync', 'replace', 'renamed', 'never'):
    print(point, killed(point), open(sys.argv[1], 'rb').read()[:3].decode(), os.stat(sys.argv[1]).st_size)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_killed_at_any_point(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    kill = int(signal.SIGKILL)
    assert done.stdout.splitlines() == [
        f"opened {kill} old 3",
        f"written {kill} old 3",
        f"fsync {kill} old 3",
        f"replace {kill} old 3",
        f"renamed {kill} nnn 100000",
        "never 0 nnn 100000",
    ]


def test_permissions(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        put(tmp_path / "new")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        (tmp_path / "new").chmod(0o600)
        put(tmp_path / "new")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    finally:
        os.umask(previous)


def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to(path)
    put(link)
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert os.listdir(folder) == ["link"]


def test_what_cannot_be_replaced(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError, match=f"No such folder, make it first with os.makedirs.*'{missing}'"):
        put(missing / "file")
    assert not missing.exists()
    with pytest.raises(NotADirectoryError, match=f"Not a folder, so that no file can be saved in it: '{path}'"):
        put(path / "file")
    with pytest.raises(IsADirectoryError, match=f"This is a folder, give the name of a file in it: '{tmp_path}'"):
        put(tmp_path)
    with pytest.raises(IsADirectoryError):
        put("")
    with pytest.raises(OSError, match=r"a device or a pipe is not replaced: '/dev/null'"):
        put("/dev/null")
    with pytest.raises(OSError) as caught:
        put(tmp_path / ("x" * 300))
    assert caught.value.errno == errno.ENAMETOOLONG
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(PermissionError, match=f"The existing file is write-protected: '{path}'"):
        put(path)
    assert_untouched(path)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=f"Permission denied: '{path.with_name('new')}'"):
            put(path.with_name("new"))
    finally:
        path.parent.chmod(0o700)
    assert_untouched(path)


@pytest.mark.parametrize("bad", [b"file", 3, None, 1.5])
def test_what_is_no_path(bad: Any) -> None:
    with pytest.raises(TypeError):
        put(bad)


def test_folders_that_cannot_be_synchronised(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", fail)
    put(path)
    assert path.read_bytes() == b"new"
