"""A grammar that tells stories: beats, events, wordings; how to draw from it and how to read back.

A story is a row of *beats* (opening, weather, errand, ...). In each beat one *event* happens, drawn
by weight from those that fit the *facts* so far; it is told in one of its *wordings*, all equally
likely; and each fresh slot of the wording draws a word, which becomes a fact. Facts are set once
and never change, so facts and events together are the whole story.

Every choice leaves its trace in the text, so a text can be read back to the choices that made it,
and its probability is their product. Not here: the words (`tinytown.lexicon`), the plot
(`tinytown.plot`), sums over all stories (`tinytown.entropy`). Chapter 02 teaches what it is for.
"""

import bisect
import functools
import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Facts = dict[str, str]
"""What is known at a point of a story, such as `{"hero": "Mia", "weather": "rain"}`."""

_SLOT = re.compile(r"\{(\+?)(\w+)(?:\.(\w+))?\}")
_TAG = re.compile(r"(?<=\w)/([A-Z]+)")
_SENTENCE = re.compile(r'[^.!?]+[.!?]"?')


class Literal(NamedTuple):
    """Fixed text, with the part-of-speech tags that its words have here against their custom."""

    text: str
    tags: tuple[tuple[int, str], ...]
    """Pairs of (offset of the word's end in `text`, tag)."""


class Slot(NamedTuple):
    """A gap for a fact: `{+pet}` draws it, `{pet}` repeats it, `{pet.its}` says a form of it."""

    fact: str
    form: str
    fresh: bool


@dataclass(frozen=True)
class Wording:
    """One way to say what happens: literals and slots in turn."""

    pieces: tuple[Literal | Slot, ...]

    @functools.cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The gaps of this wording, in the order of the text."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Slot))

    @functools.cached_property
    def fresh(self) -> tuple[str, ...]:
        """The facts that this wording draws, in the order of the text."""
        return tuple(slot.fact for slot in self.slots if slot.fresh)


def wording(source: str) -> Wording:
    """Read `{+hero} had a {+look} {+animal}.`; a word may carry its own tag, as in `to/PART`."""
    pieces: list[Literal | Slot] = []
    end = 0
    for match in _SLOT.finditer(source):
        pieces += _literal(source[end : match.start()])
        pieces.append(Slot(match[2], match[3] or "", bool(match[1])))
        end = match.end()
    return Wording(tuple(pieces + _literal(source[end:])))


def _literal(source: str) -> list[Literal | Slot]:
    tags, removed = [], 0
    for match in _TAG.finditer(source):
        tags.append((match.start() - removed, match[1]))
        removed += len(match[0])
    return [Literal(_TAG.sub("", source), tuple(tags))] if source else []


@dataclass(frozen=True)
class Event:
    """One thing that may happen in a beat.

    Attributes:
        weight: how likely it is beside the other events that fit.
        wordings: the ways to say it; none at all where nothing is said.
        when: for each fact (or form of one, `item.kind`), the values under which this may happen;
            the empty string stands for a fact that is not set.
        sets: the facts that are true from here on.
        mood: -1, 0 or 1, the sentiment of the sentence.
    """

    weight: int
    wordings: tuple[Wording, ...]
    when: Mapping[str, tuple[str, ...]]
    sets: Mapping[str, str]
    mood: int = 0


def event(weight: int, *sources: str, when: str = "", sets: str = "", mood: int = 0) -> Event:
    """An event in short: `when="weather=rain|fog geared=no"`, `sets="trouble=wet"`."""
    conditions = (part.split("=") for part in when.split())
    return Event(
        weight=weight,
        wordings=tuple(wording(source) for source in sources),
        when={name: tuple(values.split("|")) for name, values in conditions},
        sets=dict(part.split("=") for part in sets.split()),
        mood=mood,
    )


class Table(NamedTuple):
    """The words that a slot may draw, with whole-number weights."""

    words: tuple[str, ...]
    weights: tuple[int, ...]

    def probability(self, word: str) -> float:
        """The chance of drawing `word`; zero where it is not in the table."""
        if word not in self.words:
            return 0.0
        return self.weights[self.words.index(word)] / sum(self.weights)


class Beat(NamedTuple):
    """A place in the plot, and what may happen there."""

    name: str
    events: tuple[Event, ...]


class Choice(NamedTuple):
    """What happened in a beat: the event, and which of its wordings was used."""

    beat: str
    event: Event
    wording: Wording | None


class Derivation(NamedTuple):
    """Everything that was drawn for one story, and the probability of drawing exactly that."""

    choices: tuple[Choice, ...]
    facts: Facts
    log_probability: float


@dataclass(frozen=True)
class Grammar:
    """A plot, the words for its slots, and the forms of those words.

    Attributes:
        beats: what happens, in order.
        tables: for each fact that is drawn, its words and weights.
        forms: for each form (`he`, `its`, `kind`), what it makes of a word.
        given: facts that hold before the first beat.
    """

    beats: tuple[Beat, ...]
    tables: Mapping[str, Table]
    forms: Mapping[str, Mapping[str, str]]
    given: Mapping[str, str] = field(default_factory=dict)

    def look_up(self, facts: Mapping[str, str], key: str) -> str:
        """A fact's value, or for `item.kind` a form of it; empty where the fact is not set.

        A form may also be known by itself, without the word: `tinytown.entropy` sums the words out.
        """
        if key in facts:
            return facts[key]
        fact, _, form = key.partition(".")
        value = facts.get(fact, "")
        return self.forms[form][value] if form and value else value

    def fitting(self, beat: Beat, facts: Mapping[str, str]) -> tuple[Event, ...]:
        """The events of a beat that may happen, given the facts."""
        return tuple(
            event
            for event in beat.events
            if all(self.look_up(facts, key) in values for key, values in event.when.items())
        )

    def say(self, piece: Literal | Slot, facts: Mapping[str, str]) -> str:
        """The text of one piece of a wording."""
        if isinstance(piece, Literal):
            return piece.text
        value = facts[piece.fact]
        return self.forms[piece.form][value] if piece.form else value

    def render(self, choice: Choice, facts: Mapping[str, str]) -> str:
        """The sentence that tells a choice; empty where nothing is said."""
        pieces = choice.wording.pieces if choice.wording else ()
        return "".join([self.say(piece, facts) for piece in pieces])


class Sampler:
    """Draws derivations. It prepares its tables once, so that a story takes some 50 microseconds.

    The draws use `random.Random.random` and whole-number weights alone, whose results Python
    guarantees, so a seed gives the same stories on every machine and in every version.
    """

    def __init__(self, grammar: Grammar, rng: random.Random):
        self.grammar = grammar
        self.rng = rng
        self._events: dict[tuple[str, ...], tuple[tuple[Event, ...], list[int]]] = {}
        self._words = {
            name: (table.words, list(itertools.accumulate(table.weights)))
            for name, table in grammar.tables.items()
        }
        self._reads = [_facts_read(beat) for beat in grammar.beats]

    def pick(self, cumulative: list[int]) -> int:
        """An index, drawn with the weights whose running sums are given."""
        return bisect.bisect_right(cumulative, self.rng.random() * cumulative[-1])

    def draw(self) -> Derivation:
        """One story's choices and facts."""
        facts: Facts = dict(self.grammar.given)
        choices, log_probability = [], 0.0
        for beat, reads in zip(self.grammar.beats, self._reads, strict=True):
            event, weight = self._event(beat, reads, facts)
            facts.update(event.sets)
            told = None
            if event.wordings:
                told = event.wordings[self.pick(list(range(1, len(event.wordings) + 1)))]
                weight /= len(event.wordings)
                for name in told.fresh:
                    facts[name], share = self._word(name)
                    weight *= share
            log_probability += math.log(weight)
            choices.append(Choice(beat.name, event, told))
        return Derivation(tuple(choices), facts, log_probability)

    def _event(self, beat: Beat, reads: tuple[str, ...], facts: Facts) -> tuple[Event, float]:
        key = (beat.name, *[self.grammar.look_up(facts, name) for name in reads])
        if key not in self._events:
            events = self.grammar.fitting(beat, facts)
            self._events[key] = events, list(itertools.accumulate(e.weight for e in events))
        events, cumulative = self._events[key]
        event = events[self.pick(cumulative)]
        return event, event.weight / cumulative[-1]

    def _word(self, name: str) -> tuple[str, float]:
        words, cumulative = self._words[name]
        index = self.pick(cumulative)
        share = cumulative[index] - (cumulative[index - 1] if index else 0)
        return words[index], share / cumulative[-1]


def _facts_read(beat: Beat) -> tuple[str, ...]:
    return tuple(sorted({key for event in beat.events for key in event.when}))


def sentences(text: str) -> list[str] | None:
    """Cut a text after each full stop; None where that does not give back exactly the text."""
    found = [match[0].strip() for match in _SENTENCE.finditer(text)]
    return found if " ".join(found) == text else None


class Parser:
    """Reads a text back to the derivations that would have produced it: none, or one.

    It tries every event that fits in every beat and keeps all that lead to the end of the text, so
    an ambiguous grammar would show by two derivations.
    """

    def __init__(self, grammar: Grammar):
        self.grammar = grammar
        self._patterns: dict[Wording, re.Pattern[str]] = {}

    def derivations(self, text: str) -> list[Derivation]:
        """Every way in which the grammar produces exactly this text."""
        told = sentences(text)
        return [] if told is None else list(self._read(told, 0, (), dict(self.grammar.given), 0.0))

    def _read(
        self, told: list[str], at: int, choices: tuple[Choice, ...], facts: Facts, total: float
    ) -> Iterator[Derivation]:
        if len(choices) == len(self.grammar.beats):
            if at == len(told):
                yield Derivation(choices, facts, total)
            return
        beat = self.grammar.beats[len(choices)]
        events = self.grammar.fitting(beat, facts)
        weights = sum(event.weight for event in events)
        for event in events:
            known = {**facts, **event.sets}
            for way in event.wordings or (None,):
                sentence = "" if way is None else told[at] if at < len(told) else None
                match = self._match(way, sentence, known)
                if match is None:
                    continue
                learned, share = match
                share *= event.weight / weights / max(1, len(event.wordings))
                step = Choice(beat.name, event, way)
                yield from self._read(
                    told, at + (way is not None), (*choices, step), learned, total + math.log(share)
                )

    def _match(
        self, way: Wording | None, sentence: str | None, facts: Facts
    ) -> tuple[Facts, float] | None:
        """The facts after a sentence and the chance of its fresh words; None where it differs."""
        if way is None:
            return facts, 1.0
        match = self._pattern(way).fullmatch(sentence) if sentence else None
        if match is None:
            return None
        facts = {**facts, **{name: match[name] for name in way.fresh}}
        if "".join(self.grammar.say(piece, facts) for piece in way.pieces) != sentence:
            return None
        shares = (self.grammar.tables[name].probability(facts[name]) for name in way.fresh)
        return facts, math.prod(shares, start=1.0)

    def _pattern(self, way: Wording) -> re.Pattern[str]:
        """A regular expression with a named group for each fresh slot."""
        if way not in self._patterns:
            self._patterns[way] = re.compile("".join(self._expression(p) for p in way.pieces))
        return self._patterns[way]

    def _expression(self, piece: Literal | Slot) -> str:
        if isinstance(piece, Literal):
            return re.escape(piece.text)
        if not piece.fresh:
            return r"[\w ]+"
        words = "|".join(re.escape(word) for word in self.grammar.tables[piece.fact].words)
        return f"(?P<{piece.fact}>{words})"
