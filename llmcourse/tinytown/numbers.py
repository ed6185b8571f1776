"""Numbers in English words and in Chinese numerals: translation with exactly one right answer.

`two hundred and five` is `二百零五`. The two languages cut numbers at different places (thousands
and myriads) and treat empty places differently (`and`, `零`), so a model has to work out the value,
not swap words one by one. Chapter 05 trains an encoder and decoder on it. Not here: 两, the
everyday form of 二 before a measure; formal numerals keep 二.
"""

from collections.abc import Iterator
from typing import NamedTuple

from llmcourse.errors import UserError
from llmcourse.randomness import python_rng

LIMIT = 100_000_000
"""Numbers below this have both names (above it, Chinese needs 亿)."""

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_DIGITS = "零一二三四五六七八九"
_PLACES = ((1000, "千"), (100, "百"), (10, "十"), (1, ""))


class NumberPair(NamedTuple):
    """One number in two languages."""

    value: int
    english: str
    chinese: str


def english(value: int) -> str:
    """The number in British words, with `and` before the last two digits: `two hundred and five`.

    Raises:
        UserError: the number is negative, or not below `LIMIT`.
    """
    _check(value)
    if value == 0:
        return _SMALL[0]
    groups = [(value // 1_000_000, "million"), (value // 1000 % 1000, "thousand")]
    words = [f"{_below_thousand(count)} {name}" for count, name in groups if count]
    rest = value % 1000
    if words and 0 < rest < 100:
        words.append("and")
    return " ".join([*words, _below_thousand(rest)] if rest else words)


def _below_thousand(value: int) -> str:
    hundreds, rest = divmod(value, 100)
    if hundreds:
        tail = f" and {_below_thousand(rest)}" if rest else ""
        return f"{_SMALL[hundreds]} hundred{tail}"
    if value < 20:
        return _SMALL[value]
    tens, ones = divmod(value, 10)
    return f"{_TENS[tens]}-{_SMALL[ones]}" if ones else _TENS[tens]


def chinese(value: int) -> str:
    """The number in Chinese numerals: `二百零五`.

    Empty places between digits are read as one `零`, those at the end not at all, and a number that
    starts with `一十` drops the `一`.

    Raises:
        UserError: the number is negative, or not below `LIMIT`.
    """
    _check(value)
    if value == 0:
        return _DIGITS[0]
    myriads, rest = divmod(value, 10_000)
    text = f"{_below_myriad(myriads)}万" if myriads else ""
    if rest:
        text += ("零" if myriads and rest < 1000 else "") + _below_myriad(rest)
    return text.removeprefix("一") if text.startswith("一十") else text


def _below_myriad(value: int) -> str:
    text, skipped = "", False
    for size, place in _PLACES:
        digit = value // size % 10
        if digit:
            text += ("零" if skipped and text else "") + _DIGITS[digit] + place
        skipped = digit == 0
    return text


def _check(value: int) -> None:
    if not 0 <= value < LIMIT:
        raise UserError(f"{value} has no name here: try a whole number from 0 to {LIMIT - 1}")


def number_pairs(n: int, seed: int = 0, limit: int = 10_000) -> Iterator[NumberPair]:
    """`n` numbers below `limit`, each length equally likely, in both languages.

    Raises:
        UserError: `limit` is not between 1 and `LIMIT`.
    """
    if not 1 <= limit <= LIMIT:
        raise UserError(f"limit={limit} is out of range: try 10000, at most {LIMIT}")
    rng = python_rng(seed, "tinytown", "numbers")
    lengths = len(str(limit - 1))
    for _ in range(n):
        top = min(limit, 10 ** (1 + int(rng.random() * lengths)))
        value = int(rng.random() * top)
        yield NumberPair(value, english(value), chinese(value))
