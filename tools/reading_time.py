"""How long a chapter takes to read, counted and not guessed; `tools/navigation.py` writes it down.

180 words a minute for people whose language is another one, 20 seconds for a code cell and what it
shows, two minutes for a prediction. The exercises take what they say. Not here: how long the
chapter runs, which `make chapters` prints.
"""

import re
from typing import Any

WORDS_A_MINUTE = 180
MINUTES_A_CELL = 1 / 3
MINUTES_A_PREDICTION = 2
STEP = 5
"""Minutes to which a time is rounded up: nobody reads to the minute."""

STATED = re.compile(
    r"(?m)^(\| \*\*It takes\*\* \| )about \d+ minutes to read(?:, \d+ for the exercises)?"
)


def minutes_to_read(cells: list[dict[str, Any]]) -> int:
    """The minutes that these cells of a notebook take to read, rounded up to five."""
    minutes = 0.0
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            minutes += words_in(source) / WORDS_A_MINUTE
        elif re.search(r"\bpredict\.ask\(", source):
            minutes += MINUTES_A_PREDICTION  # its answer included
        elif not re.search(r"\bpredict\.answer\(", source):
            minutes += MINUTES_A_CELL
    return -int(-minutes // STEP) * STEP


def words_in(markdown: str) -> int:
    """The words of a text: what a reader reads of it, without addresses and rulers of tables."""
    shown = re.sub(r"\]\([^)]*\)", "]", markdown)
    return sum(any(letter.isalnum() for letter in word) for word in shown.split())


def stated(source: str, to_read: int, exercises: int) -> str:
    """The title cell with these minutes in the line that says how long the chapter takes."""
    said = f"about {to_read} minutes to read" + f", {exercises} for the exercises" * (exercises > 0)
    return STATED.sub(lambda found: found[1] + said, source)
