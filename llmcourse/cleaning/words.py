"""Words for counting, in scripts with blanks between words and in scripts without.

Counting needs units: how long is this text, how much of it repeats, how much does it share with
another? English writes blanks between its words. Chinese and Japanese write none, and there each
character counts as a word of its own. Not here: the pieces that a model reads (`pretokens`, `bpe`).
Chapter 01 teaches this.
"""

import re

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
"""The ranges of Chinese characters, to stand inside a character class."""

KANA = "\u3041-\u3096\u309d-\u30fa\u30fc-\u30ff"
"""The ranges of the Japanese syllabaries, to stand inside a character class."""

_UNSPACED = re.compile(f"[{HAN}{KANA}]")
_CUT = re.compile(f"[{HAN}{KANA}]|[^\\s{HAN}{KANA}\u3000-\u303f\uff01-\uff0f\uff1a-\uff1f“”‘’…—]+")
_LETTERS = re.compile(f"[{HAN}{KANA}]|[^\\W_{HAN}{KANA}]+")


def words(text: str) -> list[str]:
    """Words, what blanks divide; in Chinese and Japanese single characters, no punctuation.

    `words("It rains.")` is `["It", "rains."]`, and `words("下雨了。")` is `["下", "雨", "了"]`.
    """
    return _CUT.findall(text) if _UNSPACED.search(text) else text.split()


def bare_words(text: str) -> list[str]:
    """The words in small letters and without punctuation, so that trifles do not tell texts apart.

    `bare_words("It rains.")` is `["it", "rains"]`.
    """
    return _LETTERS.findall(text.lower())


def n_unspaced(text: str) -> int:
    """How many characters of a text, each a word, are of a script that writes no blanks."""
    return len(_UNSPACED.findall(text))
