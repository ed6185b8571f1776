"""Errors that speak to a person, and the one place where a command turns them into an exit.

A message says what was wrong, what was given and what to do, in one line. What a person reads goes
through `visible`, since names of files are made by strangers, and so are models: what one writes
goes to a terminal through `for_output`. Not here: `assert`, which is for what cannot happen, and
tracebacks, which are for bugs.
"""

import contextlib
import difflib
import errno
import io
import itertools
import os
import re
import signal
import sys
import threading
from collections.abc import Generator, Iterable
from typing import Any

NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system answers where there is no room, or no permission, to write."""


MOST_NAMES = 20
"""How many names a message lists."""
LONGEST_NAME = 80
"""Characters of a name that a message lists."""


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
    return f"; there are: {listed(known)}"


def listed(names: Iterable[str]) -> str:
    """Names for a message, as `a, b and 7 more`: not too many, and none too long."""
    names = list(names)
    more = len(names) - MOST_NAMES
    shown = (name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..." for name in names)
    return ", ".join(itertools.islice(shown, MOST_NAMES)) + f" and {more} more" * (more > 0)


CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What steers a terminal, or turns the letters behind it round."""
_STEERING = re.compile(rf"(?![\n\t]){CONTROLS.pattern}")


def visible(text: str) -> str:
    """The text in one line, what would steer a terminal or turn its letters round made visible.

    An escape is shown as `\\x1b`, a newline as `\\n`.
    """
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def visible_lines(text: str) -> str:
    """The same for a text of several lines, in which newlines and tabs stay as they are."""
    return _STEERING.sub(lambda found: visible(found[0]), text)


def for_output(text: str) -> str:
    """What a model wrote, as stdout is given it: in a terminal with `visible_lines`.

    A file and another program get every character as it was written.
    """
    return visible_lines(text) if sys.stdout.isatty() else text


def say(*lines: str, file: Any = None) -> None:
    """Print lines for a person, on stdout unless told otherwise, each with `visible`."""
    for line in lines:
        print(visible(line), file=file or sys.stdout, flush=True)


def complain(line: str) -> None:
    """Print a line on stderr, with `visible`."""
    say(line, file=sys.stderr)


@contextlib.contextmanager
def exit_on_user_error() -> Generator[None]:
    """Turn what is no bug into one line on stderr and an exit status.

    That is 2 for a `UserError`, for what the system refuses to do with a file, and for memory that
    is not there, and 130 for Ctrl-C. A reader of stdout that has had enough, such as `head`, is no
    failure. Every other exception passes: it is a bug, and a bug deserves its traceback. From here
    on a letter that the console cannot show (Windows' cp1252, a bare C locale) is printed as `?`.
    """
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a notebook's and a test's can show everything
            stream.reconfigure(errors="replace")
    try:
        yield
    except KeyboardInterrupt as interrupt:
        complain(str(interrupt) or "stopped")
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        line = one_line(error)
        if line is None:
            raise
        complain(f"error: {line}")
        raise SystemExit(2) from None


def one_line(error: Exception) -> str | None:
    """What a person is told of an error that is no bug; None of one that is."""
    if isinstance(error, UserError):
        return str(error)
    name = type(error).__name__
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or _is_allocation(error):
        return "there is not enough memory: try a smaller batch, model or context"
    if not isinstance(error, OSError):
        return None
    if error.errno in NOT_WRITABLE:
        where = f" at {error.filename}" if error.filename else ""
        return f"cannot write{where}: {error.strerror}; free some space or choose another folder"
    if error.filename is None or error.errno is None:
        return None
    gone = error.errno == errno.ENOENT
    advice = "was it moved or deleted?" if gone else "choose another place"
    return f"cannot use {os.fsdecode(error.filename)}: {error.strerror}; {advice}"


def _is_allocation(error: Exception) -> bool:
    """Whether PyTorch could not get memory, for which on a processor it has no type of error."""
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _open_streams() -> None:
    """Give a process that was started without standard streams (`>&-`) some that lead nowhere.

    Else the next file to be opened would take their number, and be written to.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open to the end


def end_at_once(number: int, frame: object) -> None:
    """Handle Ctrl-C while modules load: nothing has begun, and an exception may get lost there."""
    os.write(2, b"stopped: nothing had begun\n")
    os._exit(130)


def listen_to_interrupts() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` from now on; a command calls this once all is loaded."""
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGINT) is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
