"""Regular expressions as automata over bytes: which texts can still be finished, byte by byte.

A small parser reads a regular expression; Thompson's construction (1968) makes a nondeterministic
automaton of it, and the subset construction a deterministic one. It works on UTF-8 bytes, because
a token may end in the middle of a character. Not here: tokens (`constrain.py`). Chapter 15 teaches
this.

What is known: characters, `.` (all but a newline), classes `[a-z]`, `[^a-z]`, `\\d \\w \\s` (ASCII)
and `\\D \\W \\S`, escapes, groups `(...)` and `(?:...)`, `|`, and `* + ? {m} {m,} {m,n}`. What is
not: anchors, look-around, back-references, lazy or possessive quantifiers; they are refused.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from llmcourse.errors import UserError

LAST = 0x10FFFF
"""The last code point."""
MOST_STATES = 20_000
"""An automaton with more states is refused: its pattern repeats too much."""
MOST_REPEATS = 1000

Range = tuple[int, int]
"""Code points from the first to the second, both included."""

_DIGIT: list[Range] = [(48, 57)]
_WORD: list[Range] = [(48, 57), (65, 90), (95, 95), (97, 122)]
_SPACE: list[Range] = [(9, 13), (32, 32)]
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "0": 0}


def only(sign: str) -> Range:
    """The range of one character."""
    return ord(sign), ord(sign)


@dataclass(frozen=True)
class DFA:
    """Deterministic automaton over bytes. State 0 is where it begins; -1 is no state.

    Attributes:
        next: the state after each state and byte.
        accepting: where a text may end.
    """

    next: Int[np.ndarray, "N 256"]
    accepting: Bool[np.ndarray, " N"]

    def accepts(self, text: str) -> bool:
        """Whether the whole text matches."""
        state = 0
        for byte in text.encode("utf-8", "surrogatepass"):
            state = int(self.next[state, byte])
            if state < 0:
                return False
        return bool(self.accepting[state])


def compile_pattern(pattern: str) -> DFA:
    """Automaton of the texts that a regular expression matches as a whole.

    Raises:
        UserError: a pattern that is wrong, uses what is not known here, or is too large.
    """
    nfa = _NFA()
    begin, end = _Parser(pattern, nfa).whole()
    return _determinise(nfa, begin, end)


class _NFA:
    """Thompson's automaton: states with silent steps, and with steps over a range of bytes."""

    def __init__(self) -> None:
        self.silent: list[list[int]] = []
        self.steps: list[list[tuple[int, int, int]]] = []

    def state(self) -> int:
        if len(self.silent) >= 20 * MOST_STATES:
            raise UserError("the pattern is too large: let it repeat less")
        self.silent.append([])
        self.steps.append([])
        return len(self.silent) - 1


Part = tuple[int, int]
"""A piece of the automaton: where it begins and where it ends."""


class _Parser:
    """Reads a pattern from left to right, and builds the automaton as it goes."""

    def __init__(self, pattern: str, nfa: _NFA) -> None:
        self.pattern, self.nfa, self.at = pattern, nfa, 0

    def whole(self) -> Part:
        part = self.alternatives()
        if self.at < len(self.pattern):
            raise self.wrong("an unmatched )")
        return part

    def alternatives(self) -> Part:
        begin, end = self.nfa.state(), self.nfa.state()
        while True:
            first, last = self.sequence()
            self.nfa.silent[begin].append(first)
            self.nfa.silent[last].append(end)
            if not self.take("|"):
                return begin, end

    def sequence(self) -> Part:
        begin = end = self.nfa.state()
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            start = self.at
            part = self.atom()
            for first, last in self.repeated(part, start):
                self.nfa.silent[end].append(first)
                end = last
        return begin, end

    def repeated(self, part: Part, start: int) -> Iterable[Part]:
        """The atom as often as a quantifier behind it says; further copies are read again."""
        low, high = self.quantifier()
        if (
            self.at < len(self.pattern)
            and self.pattern[self.at] in "*+?{"
            and (low, high) != (1, 1)
        ):
            raise self.wrong("a quantifier behind a quantifier, which is not known here")
        after = self.at
        for number in range(high if high is not None else max(low, 1)):
            if number:
                self.at = start
                part = self.atom()
            if number >= low:
                part = self.optional(part)
            if high is None and number == max(low, 1) - 1:
                part = self.looped(part)
            yield part
        self.at = after

    def optional(self, part: Part) -> Part:
        begin, end = self.nfa.state(), self.nfa.state()
        self.nfa.silent[begin] += [part[0], end]
        self.nfa.silent[part[1]].append(end)
        return begin, end

    def looped(self, part: Part) -> Part:
        begin, end = self.nfa.state(), self.nfa.state()
        self.nfa.silent[begin].append(part[0])
        self.nfa.silent[part[1]] += [part[0], end]
        return begin, end

    def quantifier(self) -> tuple[int, int | None]:
        """How often, at least and at most; None is without end."""
        for sign, bounds in {"*": (0, None), "+": (1, None), "?": (0, 1)}.items():
            if self.take(sign):
                return bounds
        if not self.take("{"):
            return 1, 1
        end = self.pattern.find("}", self.at)
        low, comma, high = self.pattern[self.at : end].partition(",")
        if end < 0 or not low.isdigit() or not (high.isdigit() or high == ""):
            raise self.wrong("a { that is no {m}, {m,} or {m,n}: write \\{ for the character")
        self.at = end + 1
        most = int(low) if not comma else int(high) if high else None
        if int(low) > MOST_REPEATS or (most is not None and not int(low) <= most <= MOST_REPEATS):
            raise self.wrong(f"a repetition that is not m <= n <= {MOST_REPEATS}")
        return int(low), most

    def atom(self) -> Part:
        sign = self.pattern[self.at]
        if self.take("("):
            if self.take("?") and not self.take(":"):
                raise self.wrong("(?, of which only (?: is known here")
            part = self.alternatives()
            if not self.take(")"):
                raise self.wrong("a ( that is not closed")
            return part
        if sign in "*+?{":
            raise self.wrong("a quantifier with nothing before it")
        if sign in "^$":
            raise self.wrong(f"{sign}, which is not needed: the whole text must match")
        return self.characters(self.ranges())

    def ranges(self) -> list[Range]:
        """The code points that one atom stands for."""
        if self.take("."):
            return _complement([(10, 10)])
        if self.take("["):
            return self.bracket()
        if self.take("\\"):
            return self.escape()
        self.at += 1
        return [only(self.pattern[self.at - 1])]

    def escape(self) -> list[Range]:
        if self.at == len(self.pattern):
            raise self.wrong("a \\ at the end")
        sign = self.pattern[self.at]
        self.at += 1
        if sign.lower() in _CLASSES:
            known = _CLASSES[sign.lower()]
            return known if sign.islower() else _complement(known)
        if sign in _CONTROLS:
            return [(_CONTROLS[sign], _CONTROLS[sign])]
        if sign.isalnum():
            raise self.wrong(f"\\{sign}, which is not known here")
        return [only(sign)]

    def bracket(self) -> list[Range]:
        negated = self.take("^")
        found: list[Range] = []
        first = True
        while first or not self.take("]"):
            first = False
            if self.at >= len(self.pattern):
                raise self.wrong("a [ that is not closed")
            low = self.escape() if self.take("\\") else self.one()
            goes_on = self.pattern[self.at : self.at + 1] == "-"
            if goes_on and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.escape() if self.take("\\") else self.one()
                alone = len(low) == len(high) == 1 and low[0][0] == low[0][1]
                if not alone or high[0][0] != high[0][1] or low[0] > high[0]:
                    raise self.wrong("a range in [ ] that does not run from a lower character up")
                low = [(low[0][0], high[0][1])]
            found += low
        return _complement(found) if negated else found

    def one(self) -> list[Range]:
        self.at += 1
        return [only(self.pattern[self.at - 1])]

    def characters(self, ranges: list[Range]) -> Part:
        begin, end = self.nfa.state(), self.nfa.state()
        for low, high in ranges:
            for path in utf8_ranges(low, high):
                here = begin
                for first, last in path[:-1]:
                    there = self.nfa.state()
                    self.nfa.steps[here].append((first, last, there))
                    here = there
                self.nfa.steps[here].append((*path[-1], end))
        return begin, end

    def take(self, sign: str) -> bool:
        if not self.pattern.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True

    def wrong(self, what: str) -> UserError:
        return UserError(f"regex {self.pattern!r}: {what}, at character {self.at}")


def _complement(ranges: Iterable[Range]) -> list[Range]:
    """All other code points; halves of surrogate pairs, which UTF-8 has not, are none."""
    found, begin = [], 0
    for low, high in sorted([*ranges, (0xD800, 0xDFFF)]):
        if begin < low:
            found.append((begin, low - 1))
        begin = max(begin, high + 1)
    return [*found, (begin, LAST)] if begin <= LAST else found


def utf8_ranges(low: int, high: int) -> list[list[Range]]:
    """Code points `low` to `high` as rows of ranges of bytes: each row is one shape of character.

    A row says which bytes may stand at each place, independently of each other.
    """
    if low > high:
        return []
    for border in (0x7F, 0x7FF, 0xFFFF):  # the last with one, two and three bytes
        if low <= border < high:
            return utf8_ranges(low, border) + utf8_ranges(border + 1, high)
    n_bytes = 1 + sum(low > border for border in (0x7F, 0x7FF, 0xFFFF))
    for place in range(1, n_bytes):  # all that the last bytes can say must be in the range, or one
        block = (1 << 6 * place) - 1
        if low & ~block != high & ~block:
            if low & block:
                return utf8_ranges(low, low | block) + utf8_ranges((low | block) + 1, high)
            if high & block != block:
                return utf8_ranges(low, (high & ~block) - 1) + utf8_ranges(high & ~block, high)
    return [list(zip(_utf8(low), _utf8(high), strict=True))]


def _utf8(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass")


def _determinise(nfa: _NFA, begin: int, end: int) -> DFA:
    """Subset construction: a state is a set of states that the text so far may have led to."""
    start = _closure(nfa, [begin])
    names = {start: 0}
    rows: list[np.ndarray] = []
    waiting = [start]
    for states in waiting:  # grows as new sets are met
        row = np.full(256, -1, dtype=np.int32)
        steps = [step for state in states for step in nfa.steps[state]]
        borders = sorted({low for low, _, _ in steps} | {high + 1 for _, high, _ in steps})
        for low, high in itertools.pairwise(borders):  # bytes that none tells apart
            reached = _closure(nfa, [to for first, last, to in steps if first <= low <= last])
            if not reached:
                continue
            if reached not in names:
                names[reached] = len(names)
                waiting.append(reached)
                if len(names) > MOST_STATES:
                    raise UserError(f"the pattern needs more than {MOST_STATES:,} states")
            row[low:high] = names[reached]
        rows.append(row)
    accepting = np.array([end in states for states in waiting])
    return DFA(np.stack(rows), accepting)


def _closure(nfa: _NFA, states: Iterable[int]) -> frozenset[int]:
    """All states that silent steps lead to; of those that only pass on, none is kept."""
    found, waiting = set(states), list(states)
    while waiting:
        for state in nfa.silent[waiting.pop()]:
            if state not in found:
                found.add(state)
                waiting.append(state)
    return frozenset(found)
