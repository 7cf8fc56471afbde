"""What can go wrong in a command, on one line of standard error, and the exit status that says it to scripts."""

import contextlib
import os
from collections.abc import Iterator

# Where the exit statuses are defined; `symgauss --help` prints them.
DONE, REFUSED, USAGE, MISSING, BUG, INTERRUPTED, CLOSED = 0, 1, 2, 3, 70, 130, 141
STATUSES = f"""\
exit status:
  {DONE:<4} done
  {REFUSED:<4} refused: a file or a value that cannot be used, or a result that cannot be written
  {USAGE:<4} wrong usage of the command line
  {MISSING:<4} a package that belongs to an extra is not installed
  {BUG:<4} an error in symgauss itself, with its traceback; please report it
  {INTERRUPTED:<4} interrupted by Ctrl-C
  {CLOSED:<4} whoever read the output stopped reading"""


class Refused(Exception):
    """Something that was given cannot be used; the message is for the person who typed the command."""


class Missing(Exception):
    """A package is not installed that an extra brings; the message says how to install it."""


@contextlib.contextmanager
def refusing(path: str | None = None) -> Iterator[None]:
    """Errors about what was given become `Refused`, with the path before them unless it is there already.

    To be put around those calls that check what a person gave, and only those: elsewhere a ValueError is a bug.
    """
    try:
        yield
    except (ValueError, TypeError, OverflowError, OSError) as error:
        text = one_line(error)
        if path is None or path in text:
            raise Refused(text) from error
        raise Refused(f"{path!r}: {text}") from error


def one_line(error: BaseException) -> str:
    """The message without line breaks; that of the system without its number."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename!r}: {error.strerror}" if error.filename is not None else error.strerror
    elif isinstance(error, MemoryError):
        text = str(error) or "more memory is needed than there is"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())


def check_target(path: str, force: bool, sources: tuple[str, ...] = ()) -> None:
    """Refuse, before any work is done, to write where that is impossible or something would be lost.

    Args:
        path: where a result is to be written.
        force: whether a file that is there may be replaced.
        sources: files that are read, and never replaced.
    """
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise Refused(f"{path!r}: there is no folder {folder!r}; make it first")
    if os.path.isdir(path):
        raise Refused(f"{path!r} is a folder; give the name of a file in it")
    if os.path.exists(path):
        if any(os.path.exists(source) and os.path.samefile(path, source) for source in sources):
            raise Refused(f"{path!r} is read by this command, and would be lost; choose another name")
        if not os.path.isfile(path):
            raise Refused(f"{path!r} is a device or a pipe; give the name of a file")
        if not force:
            raise Refused(f"{path!r} is there already; --force replaces it")
        if not os.access(path, os.W_OK):
            raise Refused(f"{path!r} is write-protected")
    if not os.access(folder, os.W_OK):
        raise Refused(f"{path!r}: no permission to write in the folder {folder!r}")
