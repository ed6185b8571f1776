"""Pre-tokens, roughly words: a text is cut into them before pieces are learned within each.

Not here: the learning (`bpe`). Chapter 01 teaches this.
"""

import functools
import re
import sys
from collections.abc import Iterable
from unicodedata import category


def pre_tokens(text: str) -> list[str]:
    """Cut a text into the stretches within which pieces may form; joined, they are the text.

    GPT-2's pattern: an English contraction's ending; letters, digits or other signs, each with the
    space before them; and white space, whose last blank goes with the word that follows.
    """
    return _pattern().findall(text)


@functools.cache
def _pattern() -> re.Pattern[str]:
    r"""GPT-2's pattern in the standard library's dialect, which lacks \p{L} and \p{N}.

    Python's \w is letters, numbers and the underscore, but its \d only the decimal digits. What
    lies between, such as ½ and Ⅷ, is read from the Unicode tables that Python carries. And its \s
    counts four control characters as white space that Unicode does not.
    """
    between = _ranges(c for c in range(sys.maxunicode + 1) if category(chr(c)) in ("Nl", "No"))
    letter, number = rf"[^\W\d_{between}]", rf"[\d{between}]"
    space = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    other = rf"(?:_|[^\w{space}])"
    return re.compile(
        rf"'s|'t|'re|'ve|'m|'ll|'d| ?{letter}+| ?{number}+| ?{other}+"
        rf"|[{space}]+(?![^{space}])|[{space}]+"
    )


def _ranges(codes: Iterable[int]) -> str:
    """Ascending code points as the inside of a character class."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in runs)
