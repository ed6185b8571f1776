"""How a source is to be read, and who is told what about it.

Not here: the reading itself (`sources`, `local`, `hub`).
"""

import codecs
from collections.abc import Callable
from dataclasses import dataclass

from llmcourse.data.documents import OnError, raise_unless_skipped
from llmcourse.errors import UserError

Say = Callable[[str, str], None]
"""Takes a line for the person who waits: what it is about, in a word or two, and what there is."""


def say_nothing(about: str, line: str) -> None:
    """The line, heard by nobody: the default."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a reader is told beside the name of its source.

    Attributes:
        encoding: how bytes become text; found out for each file unless given.
        column: the column of a table that is read; found out for each table unless given.
        option: how the command's options for those two begin, for messages.
        on_error: is told of a place that cannot be read; if it returns, reading goes on behind it.
        say: is told of what the reader has decided by itself.
    """

    encoding: str | None = None
    column: str | None = None
    option: str = "--data."
    on_error: OnError = raise_unless_skipped
    say: Say = say_nothing

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
                "".encode(self.encoding)  # some codecs, like hex, are not about text
            except (LookupError, UnicodeError):
                raise UserError(
                    f"{self.option}encoding {self.encoding} is no encoding that Python knows: "
                    "try utf-8, utf-16, cp1252, gb18030 or shift_jis"
                ) from None

    def refuse(self, *names: str, what: str) -> None:
        """Complain of options that somebody has given and that `what` has no use for.

        Raises:
            UserError: names the first of them.
        """
        for name in names:
            if getattr(self, name) is not None:
                raise UserError(f"{self.option}{name} does nothing with {what}: leave it out")
