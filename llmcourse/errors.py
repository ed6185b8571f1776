"""Errors that speak to a person, and the one place where a command turns them into an exit.

A message says what was wrong, what was given and what to do, in one line. Not here: `assert`, which
is for what cannot happen, and tracebacks, which are for bugs.
"""

import contextlib
import difflib
import errno
import io
import sys
from collections.abc import Generator, Iterable

NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system answers where there is no room, or no permission, to write."""


MOST_NAMES = 20
"""How many names a message lists."""


class UserError(ValueError):
    """What was asked for cannot be done. The message is one line: what, where, and what to do."""


def require(condition: bool, message: str) -> None:
    """Complain unless a condition holds.

    Raises:
        UserError: it does not.
    """
    if not condition:
        raise UserError(message)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint to append to "unknown name": `; did you mean 'x'?`, or the list of what there is.

    Of a long list only the beginning, so that the message stays a line.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    more = len(known) - MOST_NAMES
    return f"; there are: {', '.join(known[:MOST_NAMES])}" + f" and {more} more" * (more > 0)


@contextlib.contextmanager
def exit_on_user_error() -> Generator[None]:
    """Turn a `UserError`, or a disk without room, into one line on stderr and exit status 2.

    Every other exception passes: it is a bug, and a bug deserves its traceback. From here on a
    letter that the console cannot show (Windows' cp1252, a bare C locale) is printed as `?`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook's and a test's can show everything
            stream.reconfigure(errors="replace")
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        where = f" at {error.filename}" if error.filename else ""
        print(
            f"error: cannot write{where}: {error.strerror}; "
            "free some space or choose another folder",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
