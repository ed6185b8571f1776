"""Quality of a text, whether it is worth learning from: statistics, and rules about them.

The statistics are those by which Gopher's training text was chosen (Rae et al., 2021, table A1),
and one after C4's (Raffel et al., 2020). They were made for English web pages; here a Chinese
character counts as a word, rules about blanks do not apply to it, and the shortest length is that
of a poem. Not here: mending a text (`repair`), and comparing it with others (`dedup`). Chapter 01
teaches this.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt64

from llmcourse.cleaning.language import language
from llmcourse.cleaning.words import n_unspaced, words

STOP_WORDS = frozenset(["the", "be", "to", "of", "and", "that", "have", "with"])
"""Gopher's: English prose of any length holds two of them."""

LONG_WORD = 200
"""Characters. What is longer and has no blank is no word: data, a link, a line without blanks."""

CHARACTERS_PER_WORD = 2
"""How many Chinese characters say about as much as an English word, where words in a row count."""

_BULLET = re.compile(r"\s*[-*•●▪‣◦·■]\s")
_ELLIPSIS = re.compile(r"(?:\.\.\.|…)\s*$")
_ENDING = re.compile(r"[.!?;:,。！？；：，…—-]['\"”’」』)）]*\s*$")
_SYMBOL = re.compile(r"#|…|\.\.\.")
_GARBAGE = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff]")
_LETTER = re.compile(r"[^\W\d_]")
_TOP_LENGTHS = (2, 3, 4)
_REPEATED_LENGTHS = (5, 6, 7, 8, 9, 10)


@dataclass(frozen=True, kw_only=True)
class QualityRules:
    """Quality rules: thresholds, as fractions from 0 to 1 where nothing else is said.

    The defaults are set so that of books, textbooks, children's tales and Chinese verse next to
    nothing is dropped; `GOPHER` has the paper's, which were meant for pages of the web.
    """

    max_garbage: float = 0.02
    """The most characters that are none: controls, U+FFFD, private use (ours)."""
    min_words: int = 10
    """The fewest words, or Chinese characters."""
    max_words: int = 1_000_000
    """The most words, or Chinese characters."""
    max_long_words: float = 0.2
    """The most characters in words of more than 200: data, or lines without blanks (ours)."""
    min_word_length: float = 2.5
    """The least mean length of a word; for text with blanks."""
    max_word_length: float = 12.0
    """The greatest mean length of a word; for text with blanks."""
    max_symbols: float = 0.3
    """The most hash signs and ellipses, per word."""
    max_bullets: float = 0.9
    """The most lines that begin with a bullet."""
    max_ellipses: float = 0.7
    """The most lines that end in an ellipsis."""
    min_letters: float = 0.6
    """The fewest words with a letter in them."""
    min_stop_words: int = 1
    """The fewest different stop words; for what passes for English, from 50 words on."""
    max_stub_lines: float = 0.8
    """The most lines of under three words and no full stop, of five lines or more (after C4)."""
    max_repeated_lines: float = 0.5
    """The most lines that were there before, by number; by characters two thirds of it."""
    max_top_ngram: float = 0.4
    """The most characters in the most frequent pair of words; a little less for 3 and 4."""
    max_repeated_ngrams: float = 0.6
    """The most characters in five words that were there before; a little less for 6 to 10."""


GOPHER = QualityRules(
    min_words=50,
    max_words=100_000,
    min_word_length=3,
    max_word_length=10,
    max_symbols=0.1,
    max_bullets=0.9,
    max_ellipses=0.3,
    min_letters=0.8,
    min_stop_words=2,
    max_repeated_lines=0.3,
    max_top_ngram=0.2,
    max_repeated_ngrams=0.15,
)
"""The thresholds of table A1 in Rae et al. (2021), where it has any."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Statistics of a text, as `measure` finds them: see the rules of like names."""

    garbage: float
    n_words: int
    long_words: float
    word_length: float | None
    symbols: float
    bullets: float
    ellipses: float
    letters: float
    stop_words: int | None
    stub_lines: float | None
    repeated_lines: float
    repeated_line_characters: float
    top_ngrams: tuple[float, ...]
    repeated_ngrams: tuple[float, ...]


def measure(text: str) -> Statistics:
    """All statistics of one text."""
    units, lines = words(text), [line for line in text.split("\n") if line.strip()]
    has_blanks = n_unspaced(text) * 2 < len(units)
    lengths = np.fromiter(map(len, units), dtype=np.int64, count=len(units))
    ids = np.fromiter(map(hash, units), dtype=np.int64, count=len(units))
    repeated_lines, repeated_characters = repeated_line_fractions(lines)
    scale = 1 if has_blanks else CHARACTERS_PER_WORD
    is_prose = has_blanks and len(units) >= 50 and language(text) == "en"
    return Statistics(
        garbage=garbage_fraction(text),
        n_words=len(units),
        long_words=float(lengths[lengths > LONG_WORD].sum() / max(1, lengths.sum())),
        word_length=float(lengths.mean()) if has_blanks else None,
        symbols=len(_SYMBOL.findall(text)) / max(1, len(units)),
        bullets=_fraction(_BULLET.match, lines),
        ellipses=_fraction(_ELLIPSIS.search, lines),
        letters=_fraction(_LETTER.search, units),
        stop_words=len(STOP_WORDS.intersection(map(str.lower, units))) if is_prose else None,
        stub_lines=_fraction(_stub, lines) if len(lines) >= 5 else None,
        repeated_lines=repeated_lines,
        repeated_line_characters=repeated_characters,
        top_ngrams=top_ngram_fractions(ids, lengths, [n * scale for n in _TOP_LENGTHS]),
        repeated_ngrams=repeated_ngram_fractions(
            ids, lengths, [n * scale for n in _REPEATED_LENGTHS]
        ),
    )


def complaint(text: str, rules: QualityRules | None = None) -> str | None:
    """The name of the first rule that a text breaks, or None for a good text."""
    rules = rules or QualityRules()
    found = measure(text)
    broken = {
        "garbage": found.garbage > rules.max_garbage,
        "too short": found.n_words < rules.min_words,
        "too long": found.n_words > rules.max_words,
        "long words": found.long_words > rules.max_long_words,
        "word length": found.word_length is not None
        and not rules.min_word_length <= found.word_length <= rules.max_word_length,
        "symbols": found.symbols > rules.max_symbols,
        "bullets": found.bullets > rules.max_bullets,
        "ellipses": found.ellipses > rules.max_ellipses,
        "few letters": found.letters < rules.min_letters,
        "no stop words": found.stop_words is not None and found.stop_words < rules.min_stop_words,
        "stub lines": found.stub_lines is not None and found.stub_lines > rules.max_stub_lines,
        "repeated lines": found.repeated_lines > rules.max_repeated_lines
        or found.repeated_line_characters > rules.max_repeated_lines * 2 / 3,
        "frequent phrase": any(
            fraction > rules.max_top_ngram * factor
            for fraction, factor in zip(found.top_ngrams, (1, 0.9, 0.8), strict=True)
        ),
        "repeated phrases": any(
            fraction > rules.max_repeated_ngrams * (1 - step / 15)  # 0.15, 0.14, ... 0.10
            for step, fraction in enumerate(found.repeated_ngrams)
        ),
    }
    return next((name for name, is_broken in broken.items() if is_broken), None)


def garbage_fraction(text: str) -> float:
    """The fraction of characters that no text consists of, as in a file that is none.

    Ask before `normalize`, which takes the control characters out.
    """
    return len(_GARBAGE.findall(text)) / max(1, len(text))


def repeated_line_fractions(lines: Sequence[str]) -> tuple[float, float]:
    """The fraction of lines that were there before, by number and by characters."""
    counts = Counter(line.strip() for line in lines)
    again = sum(count - 1 for count in counts.values())
    characters = sum(count * len(line) for line, count in counts.items())
    repeated = sum((count - 1) * len(line) for line, count in counts.items())
    return again / max(1, len(lines)), repeated / max(1, characters)


def top_ngram_fractions(
    ids: Int64[np.ndarray, " words"], lengths: Int64[np.ndarray, " words"], sizes: Sequence[int]
) -> tuple[float, ...]:
    """For each size n, from small to large: the fraction of characters in the likeliest n words.

    A stretch that occurs once does not count.

    Args:
        ids: a number for each word, equal for equal words.
        lengths: how many characters each word has.
        sizes: how many words a stretch has.
    """
    before: list[float] = []
    for n in sizes:
        found = 0.0
        if len(ids) > n and (not before or before[-1] > 0):  # no repeated pair, no repeated three
            _, first, counts = np.unique(_ngrams(ids, n), return_index=True, return_counts=True)
            top = counts.max()
            if top > 1:
                sizes_there = np.convolve(lengths, np.ones(n, dtype=np.int64), "valid")
                found = float(min(1, top * sizes_there[first[counts == top]].max() / lengths.sum()))
        before.append(found)
    return tuple(before)


def repeated_ngram_fractions(
    ids: Int64[np.ndarray, " words"], lengths: Int64[np.ndarray, " words"], sizes: Sequence[int]
) -> tuple[float, ...]:
    """For each size, the fraction of characters in stretches of so many words seen before.

    Of equal stretches the first does not count, and no character counts twice.
    """
    before: list[float] = []
    for n in sizes:
        found = 0.0
        if len(ids) > n and (not before or before[-1] > 0):  # no repeated five, no repeated six
            grams = _ngrams(ids, n)
            again = np.ones(len(grams), dtype=bool)
            again[np.unique(grams, return_index=True)[1]] = False
            covered = np.convolve(again, np.ones(n, dtype=np.int64)) > 0
            found = float(lengths[covered].sum() / lengths.sum())
        before.append(found)
    return tuple(before)


def _ngrams(ids: Int64[np.ndarray, " words"], n: int) -> UInt64[np.ndarray, " ngrams"]:
    """A number for each stretch of `n` words: a polynomial in the words' numbers, modulo 2^64."""
    found = np.zeros(len(ids) - n + 1, dtype=np.uint64)
    for start in range(n):
        found *= np.uint64(0x9E3779B97F4A7C15)
        found += ids[start : len(ids) - n + 1 + start].astype(np.uint64)
    return found


def _stub(line: str) -> str | None:
    """A line that is a scrap, as of a menu or a table: under three words, and no full stop."""
    return line if len(words(line)) < 3 and not _ENDING.search(line) else None


def _fraction(test: Callable[[str], object], items: Sequence[str]) -> float:
    """The fraction of items that a test finds something in; 0 of none."""
    return 1 - list(map(test, items)).count(None) / len(items) if items else 0.0
