"""Sums over *all* stories of a grammar, exact, without listing them.

A grammar has more stories than there is time to list. But what may happen next depends on a few
facts only (the weather, the trouble; not the names), so it is enough to carry the probability of
each combination of those from beat to beat: the forward algorithm. By linearity of expectation, the
entropy is the sum of what each choice adds, and a length is the sum of what each piece adds.
Not here: the probability of one story (`tinytown_grammar.Parser`). Chapter 02 teaches entropy;
chapter 12 the forward algorithm, for another purpose.
"""

import functools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from llmcourse.tinytown.grammar import (
    Beat,
    Choice,
    Derivation,
    Event,
    Facts,
    Grammar,
    Literal,
    Slot,
    Table,
    Wording,
)

State = tuple[tuple[str, str], ...]
"""Some facts, sorted by name, as a key: `(("trouble", "wet"), ("weather", "rain"))`."""


class Situation(NamedTuple):
    """An event with the facts under which it is told.

    Attributes:
        beat: the number of the beat.
        event: what happens.
        share: the probability of the event, given the facts before it.
        facts: the kept facts once the event has set and drawn its own.
        probability: of all of this together.
    """

    beat: int
    event: Event
    share: float
    facts: Facts
    probability: float


def situations(grammar: Grammar, keep: frozenset[str] = frozenset()) -> Iterator[Situation]:
    """Every event of every beat with its exact probability, split by the facts in `keep`.

    Beside those, a fact is carried along while a later beat asks for it; the rest is summed out.
    """
    reads = [_read_by(beat) for beat in grammar.beats]
    states: dict[State, float] = {_state(grammar.given, keep.union(*reads)): 1.0}
    for index, beat in enumerate(grammar.beats):
        kept = keep.union(*reads[index + 1 :])
        following: dict[State, float] = defaultdict(float)
        for state, mass in states.items():
            events = grammar.fitting(beat, dict(state))
            weights = sum(event.weight for event in events)
            for event in events:
                share = event.weight / weights
                for facts, chance in _outcomes(grammar, event, dict(state), kept):
                    probability = mass * share * chance
                    yield Situation(index, event, share, facts, probability)
                    following[_state(facts, kept)] += probability
        states = following


def _state(facts: Mapping[str, str], keep: frozenset[str]) -> State:
    return tuple(sorted((name, value) for name, value in facts.items() if name in keep))


def _outcomes(
    grammar: Grammar, event: Event, facts: Facts, keep: frozenset[str]
) -> list[tuple[Facts, float]]:
    """The facts after an event with their probabilities, one for each kept draw that differs."""
    outcomes = [({**facts, **event.sets}, 1.0)]
    for name in _fresh(event):
        draws = _draws(grammar, name, keep)
        outcomes = [({**known, **new}, p * q) for known, p in outcomes for new, q in draws]
    return outcomes


def _draws(grammar: Grammar, name: str, keep: frozenset[str]) -> list[tuple[Facts, float]]:
    """What is kept of one slot's word (the word, a form of it, nothing) and how likely that is."""
    kept = [key for key in sorted(keep) if key.partition(".")[0] == name]
    chances: dict[State, float] = defaultdict(float)
    table = grammar.tables[name]
    for word in table.words:
        known = tuple((key, grammar.look_up({name: word}, key)) for key in kept)
        chances[known] += table.probability(word)
    return [(dict(known), chance) for known, chance in chances.items()]


def _fresh(event: Event) -> tuple[str, ...]:
    """What an event draws: the same facts in whichever wording."""
    return event.wordings[0].fresh if event.wordings else ()


def entropy(grammar: Grammar) -> float:
    r"""The expected $-\log p$ of a story, in nats: the sum of what all its choices add.

    $H = \sum_e P(e)\,[-\log P(e \mid \text{facts}) + \log W_e + \sum_{s} H(s)]$ over events $e$,
    each with $W_e$ wordings and fresh slots $s$ (Shannon, 1948: the chain rule). It is the entropy
    of the *texts*, since no text has two derivations.
    """
    total = 0.0
    for _, event, share, _, probability in situations(grammar):
        drawn = sum(table_entropy(grammar.tables[name]) for name in _fresh(event))
        ways = math.log(max(1, len(event.wordings)))
        total += probability * (-math.log(share) + ways + drawn)
    return total


def table_entropy(table: Table) -> float:
    """The entropy of one draw from a table, in nats."""
    total = sum(table.weights)
    return -sum(w / total * math.log(w / total) for w in table.weights)


_CHUNK = re.compile(r" ?\w+| ?[^\s\w]+")


def chunks(text: str) -> list[str]:
    """Cut a text into words and runs of punctuation, each with the space before it."""
    return _CHUNK.findall(text)


def expected(grammar: Grammar, measure: Callable[[str], float]) -> float:
    """The exact expectation of a measure of stories that adds up over `chunks(story)`.

    With `measure=len` it is the expected number of characters (of bytes, for ASCII). A drawn word
    that decides nothing is independent of all that happens, so its table's mean stands for it.
    """
    deciding = {key.partition(".")[0] for beat in grammar.beats for key in _read_by(beat)}
    independent = grammar.tables.keys() - deciding
    ways = [way for beat in grammar.beats for event in beat.events for way in event.wordings]
    said = frozenset(slot.fact for way in ways for slot in way.slots)
    length = functools.cache(lambda text: float(sum(measure(chunk) for chunk in chunks(text))))

    @functools.cache
    def mean(space: str, slot: Slot) -> float:
        table = grammar.tables[slot.fact]
        texts = [(space + grammar.say(slot, {slot.fact: word}), word) for word in table.words]
        return sum(table.probability(word) * length(text) for text, word in texts)

    total = 0.0
    for beat, event, _, facts, probability in situations(grammar, said - independent):
        for way in event.wordings:
            for space, piece in _spaced(way, first=beat == 0):
                free = isinstance(piece, Slot) and piece.fact in independent
                part = mean(space, piece) if free else length(space + grammar.say(piece, facts))
                total += probability / len(event.wordings) * part
    return total


def _read_by(beat: Beat) -> set[str]:
    """The facts (or forms of facts) that decide what may happen in a beat."""
    return {key for event in beat.events for key in event.when}


@functools.cache
def _spaced(wording: Wording, first: bool) -> tuple[tuple[str, Literal | Slot], ...]:
    """The pieces, with the space between two of them given to the second, as `chunks` does."""
    space = "" if first else " "
    found: list[tuple[str, Literal | Slot]] = []
    for piece in wording.pieces:
        text = piece.text.rstrip(" ") if isinstance(piece, Literal) else None
        found.append((space if text != "" else "", piece if text is None else Literal(text, ())))
        space = " " if isinstance(piece, Literal) and text != piece.text else ""
    return tuple(found)


def enumerate_stories(grammar: Grammar) -> Iterator[Derivation]:
    """Every story of a (small!) grammar: the brute force that the sums above are tested against."""
    partial = [Derivation((), dict(grammar.given), 0.0)]
    for beat in grammar.beats:
        partial = [longer for story in partial for longer in _extended(grammar, beat, story)]
    yield from partial


def _extended(grammar: Grammar, beat: Beat, story: Derivation) -> Iterator[Derivation]:
    events = grammar.fitting(beat, story.facts)
    weights = sum(event.weight for event in events)
    for event in events:
        share = event.weight / weights / max(1, len(event.wordings))
        outcomes = _outcomes(grammar, event, story.facts, frozenset(_fresh(event)))
        for way in event.wordings or (None,):
            for facts, chance in outcomes:
                total = story.log_probability + math.log(share * chance)
                step = Choice(beat.name, event, way)
                yield Derivation((*story.choices, step), facts, total)
