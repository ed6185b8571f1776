"""Lines for the person who waits: what is read, how, and what was decided on the way.

Not here: the bars (`corpus.bytes_bar`), what is kept of it (`report.py`).
"""

import sys
from collections import Counter

from tqdm import tqdm

from llmcourse.errors import visible

MOST = 3
"""How many lines about one thing are shown; of a thousand files, the rest are counted."""


class Notes:
    """Lines on stderr, above any bar: `notes("encoding", "a.txt is read as ...")`."""

    def __init__(self) -> None:
        self._said: Counter[str] = Counter()

    def __call__(self, about: str, line: str) -> None:
        """Say a line, unless there were enough about that."""
        self._said[about] += 1
        if self._said[about] <= MOST:
            tqdm.write(visible(f"{about:<15} {line}"), file=sys.stderr)

    def close(self) -> None:
        """Say how many lines were not shown."""
        for about, count in self._said.items():
            if count > MOST:
                tqdm.write(f"{about:<15} ... and {count - MOST:,} more like that", file=sys.stderr)
        self._said.clear()
