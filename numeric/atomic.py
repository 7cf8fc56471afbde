"""Replacing a file as a whole: whoever looks sees the old file or the new one, at every moment."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A stream whose contents become the file at `path` when the block ends without an exception.

    They are written under a temporary name in the same folder, flushed and synchronised with the disk, and renamed.
    When the process is killed before that, the old file is as it was, and a hidden file `.symgauss-….tmp` may be
    left beside it; an exception leaves nothing. The file that a symbolic link points to is replaced, not the link.
    Its permissions are kept.

    Raises:
        OSError: the folder does not exist or cannot be written to, `path` is a folder or a device, the existing file
            is write-protected, the disk is full. `.filename` is the path.
    """
    target = os.path.realpath(_text(path))
    mode = _permissions(target)
    temporary = os.path.join(os.path.dirname(target), f".symgauss-{secrets.token_hex(8)}.tmp")
    try:
        try:
            # "x": never a file that is there already. Not tempfile, which ignores the user's umask.
            with open(temporary, "xb") as file:
                if mode is not None:
                    os.chmod(temporary, mode)
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        # Of the path, not of the temporary name, which says nothing to anyone.
        raise OSError(error.errno, error.strerror, target) from error
    _synchronise_folder(os.path.dirname(target))


def _text(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"path: expected a str or a path, got {type(path).__name__}; os.fsdecode(path) makes a str")
    return text


def _permissions(target: str) -> int | None:
    """Of the file to be replaced; None when there is none. Refuses what must not be replaced."""
    folder = os.path.dirname(target)
    if not os.path.exists(folder):
        raise FileNotFoundError(errno.ENOENT, "No such folder, make it first with os.makedirs(folder)", folder)
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, "Not a folder, so that no file can be saved in it", folder)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "This is a folder, give the name of a file in it", target)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Neither a file nor a new name; a device or a pipe is not replaced", target)
    # Renaming would replace it all the same.
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "The existing file is write-protected", target)
    return stat.S_IMODE(mode)


def _synchronise_folder(folder: str) -> None:
    """The renaming is on the disk, too; where folders cannot be opened it is left to the system."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
