import math
import random
from dataclasses import replace

import pytest

from llmcourse.tinytown.entropy import (
    chunks,
    entropy,
    enumerate_stories,
    expected,
    situations,
    table_entropy,
)
from llmcourse.tinytown.grammar import Parser, Sampler, Table
from llmcourse.tinytown.plot import GRAMMAR


def reduced(grammar):
    """A grammar small enough to list: two kinds of weather, two heroes, two items, few wordings."""
    keep_two = {"hero": ("Mia", "Tom"), "item": ("pot of soup", "letter")}
    tables = {}
    for name, table in grammar.tables.items():
        chosen = keep_two.get(name, table.words[:1])
        weights = tuple(table.weights[table.words.index(word)] for word in chosen)
        tables[name] = Table(chosen, weights)
    beats = []
    for beat in grammar.beats:
        events = [replace(e, wordings=e.wordings[:1]) for e in beat.events]
        if beat.name == "opening":
            events = [replace(e, wordings=e.wordings[:2]) for e in beat.events]
        elif beat.name == "weather":
            events = [e for e in events if e.sets["weather"] in ("rain", "fog")]
        elif beat.name == "gear":
            events = events[1:]
        elif beat.name in ("walk", "coda"):
            events = events[:2]
        elif beat.name == "errand":
            events = events[:1]
        beats.append(beat._replace(events=tuple(events)))
    return replace(grammar, beats=tuple(beats), tables=tables)


SMALL = reduced(GRAMMAR)
EVERYTHING = list(enumerate_stories(SMALL))


def text(grammar, story):
    return " ".join(t for c in story.choices if (t := grammar.render(c, story.facts)))


@pytest.fixture(scope="module")
def texts():
    return [text(SMALL, story) for story in EVERYTHING]


def test_the_probabilities_of_all_stories_sum_to_one():
    assert len(EVERYTHING) > 2_000
    assert math.fsum(math.exp(s.log_probability) for s in EVERYTHING) == pytest.approx(1, abs=1e-12)


def test_all_stories_differ(texts):
    assert len(set(texts)) == len(EVERYTHING)


def test_the_parser_gives_the_enumerated_probability(texts):
    parser = Parser(SMALL)
    for index in random.Random(0).sample(range(len(texts)), 200):
        story = EVERYTHING[index]
        (found,) = parser.derivations(texts[index])
        assert found.log_probability == pytest.approx(story.log_probability, abs=1e-10)
        assert (found.choices, found.facts) == (story.choices, story.facts)


def test_entropy_is_that_of_the_enumeration():
    brute = -math.fsum(math.exp(s.log_probability) * s.log_probability for s in EVERYTHING)
    assert entropy(SMALL) == pytest.approx(brute, abs=1e-10)


@pytest.mark.parametrize("measure", [len, lambda chunk: 1, lambda chunk: chunk.count("o")])
def test_expected_lengths_are_those_of_the_enumeration(measure, texts):
    brute = math.fsum(
        math.exp(story.log_probability) * sum(map(measure, chunks(said)))
        for story, said in zip(EVERYTHING, texts, strict=True)
    )
    assert expected(SMALL, measure) == pytest.approx(brute, abs=1e-9)


def test_chunks_lose_nothing(texts):
    assert all("".join(chunks(said)) == said for said in texts[::100])


def test_the_whole_grammar_agrees_with_its_samples():
    n = 1_500
    sampler = Sampler(GRAMMAR, random.Random(0))
    stories = [sampler.draw() for _ in range(n)]
    surprises = [-story.log_probability for story in stories]
    lengths = [len(text(GRAMMAR, story)) for story in stories]
    for values, exact in ((surprises, entropy(GRAMMAR)), (lengths, expected(GRAMMAR, len))):
        mean = sum(values) / n
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / n)
        assert abs(mean - exact) < 4 * spread / math.sqrt(n)


def test_each_beat_happens_once():
    mass = {}
    for found in situations(GRAMMAR):
        mass[found.beat] = mass.get(found.beat, 0) + found.probability
    assert mass == pytest.approx(dict.fromkeys(range(len(GRAMMAR.beats)), 1), abs=1e-12)


def test_entropy_of_one_draw():
    assert table_entropy(Table(("a", "b"), (1, 1))) == pytest.approx(math.log(2), abs=1e-12)
    assert table_entropy(Table(("a",), (7,))) == 0
