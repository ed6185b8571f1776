import itertools
import math
import random
import re
from collections import Counter

import pytest

from llmcourse.tinytown.entropy import situations
from llmcourse.tinytown.grammar import (
    Beat,
    Choice,
    Grammar,
    Literal,
    Parser,
    Sampler,
    Slot,
    Table,
    event,
    sentences,
    wording,
)
from llmcourse.tinytown.plot import GRAMMAR

COIN = Grammar(
    beats=(
        Beat("who", (event(1, "{+name} came.", "Here came {+name}."),)),
        Beat("luck", (event(3), event(1, "{name.He} fell.", sets="luck=bad"))),
        Beat("end", (event(1, "Poor {name}!", when="luck=bad"), event(1, "Good.", when="luck="))),
    ),
    tables={"name": Table(("Ann", "Bob"), (3, 1))},
    forms={"He": {"Ann": "She", "Bob": "He"}},
)


@pytest.mark.parametrize(
    ("text", "probability"),
    [
        ("Ann came. Good.", 3 / 4 * 1 / 2 * 3 / 4),
        ("Here came Bob. He fell. Poor Bob!", 1 / 4 * 1 / 2 * 1 / 4),
        ("Bob came. She fell. Poor Bob!", 0),
        ("Bob came. He fell. Poor Ann!", 0),
        ("Bob came. He fell. Good.", 0),
        ("Bob came. Good. ", 0),
        ("Bob came.  Good.", 0),
        ("Bob came. Good. Good.", 0),
        ("Bob came.", 0),
        ("", 0),
    ],
)
def test_probability_by_hand(text, probability):
    found = Parser(COIN).derivations(text)
    assert sum(math.exp(d.log_probability) for d in found) == pytest.approx(probability, abs=1e-12)


def test_an_ambiguous_grammar_shows_by_two_derivations():
    twice = Grammar((Beat("b", (event(1, "Hi."), event(1, "Hi."))),), tables={}, forms={})
    assert len(Parser(twice).derivations("Hi.")) == 2


def test_a_wording_is_read_into_literals_and_slots():
    way = wording("To/PART {+x} {y.his} hat.")
    assert way.pieces == (
        Literal("To ", ((2, "PART"),)),
        Slot("x", "", True),
        Literal(" ", ()),
        Slot("y", "his", False),
        Literal(" hat.", ()),
    )
    assert way.fresh == ("x",)


def test_sentences_cut_only_what_they_can_put_together_again():
    assert sentences("One. Two! Three?") == ["One.", "Two!", "Three?"]
    assert sentences("One.  Two.") is None
    assert sentences("One. two") is None


def test_sampled_frequencies_match_the_exact_ones():
    n = 4_000
    sampler = Sampler(GRAMMAR, random.Random(1))
    drawn = Counter()
    for _ in range(n):
        for index, choice in enumerate(sampler.draw().choices):
            drawn[index, id(choice.event)] += 1
    exact = Counter()
    for found in situations(GRAMMAR):
        exact[found.beat, id(found.event)] += found.probability
    assert drawn.keys() == exact.keys()  # every event is reached
    for key, p in exact.items():
        assert abs(drawn[key] / n - p) < 5 * math.sqrt(p * (1 - p) / n), key


def test_sampled_words_match_their_weights():
    n = 4_000
    sampler = Sampler(GRAMMAR, random.Random(2))
    drawn = Counter(sampler.draw().facts["pet"] for _ in range(n))
    for word in GRAMMAR.tables["pet"].words:
        p = GRAMMAR.tables["pet"].probability(word)
        assert abs(drawn[word] / n - p) < 5 * math.sqrt(p * (1 - p) / n)


# The proof that no text has two derivations, in four steps. First: a text is cut into sentences in
# one way only. Second: a sentence fits one wording only. Third: a wording reads its words in one
# way only. Fourth: of the events that say nothing, at most one may happen at a time.


def ways():
    for beat in GRAMMAR.beats:
        for happening in beat.events:
            for way in happening.wordings:
                yield happening, way


def words(text):
    return tuple(re.findall(r"\w+|[^\w\s]", text))


def alternatives(happening, way):
    """For each piece of a wording, everything that it can say, as tuples of words."""
    for piece in way.pieces:
        if isinstance(piece, Literal):
            yield {words(piece.text)}
        elif piece.fact in happening.sets:
            yield {words(happening.sets[piece.fact])}
        elif piece.form:
            yield {words(said) for said in GRAMMAR.forms[piece.form].values()}
        elif piece.fact in GRAMMAR.tables:
            yield {words(said) for said in GRAMMAR.tables[piece.fact].words}
        else:
            sets = (e.sets for beat in GRAMMAR.beats for e in beat.events)
            yield {words(s[piece.fact]) for s in sets if piece.fact in s}


def overlap(a, b, left=()):
    """Whether two rows of alternatives can say the same; `left` is what `a` has said beyond `b`."""
    if not a and not b:
        return not left
    if not left and a:
        return any(overlap(a[1:], b, said) if said else overlap(a[1:], b) for said in a[0])
    if not b:
        return False
    for said in b[0]:
        common = min(len(said), len(left))
        if said[:common] != left[:common]:
            continue
        if len(said) > common:
            if overlap(b[1:], a, said[common:]):
                return True
        elif overlap(a, b[1:], left[common:]):
            return True
    return False


def test_one_a_full_stop_stands_at_the_end_of_a_sentence_only():
    for happening, way in ways():
        for said in itertools.chain(*alternatives(happening, way)):
            assert not {".", "!", "?"} & set(said[:-1])
        assert way.pieces[-1].text[-1] in ".!?"
        assert sentences(way.pieces[-1].text) == [way.pieces[-1].text.strip()] or way.pieces[
            -1
        ].text.startswith((" ", "."))


def test_two_no_sentence_fits_two_wordings():
    rows = [list(alternatives(happening, way)) for happening, way in ways()]
    assert overlap(rows[0], rows[0])  # the comparison can see that two are the same
    for a, b in itertools.combinations(rows, 2):
        assert not overlap(a, b), (a, b)


def test_three_no_entry_of_a_table_begins_another():
    for table in GRAMMAR.tables.values():
        assert len(set(table.words)) == len(table.words) == len(table.weights)
        for one, other in itertools.permutations(map(words, table.words), 2):
            assert other[: len(one)] != one


def test_four_at_most_one_silent_event_may_happen():
    for index, beat in enumerate(GRAMMAR.beats):
        for found in situations(GRAMMAR):
            if found.beat == index - 1:
                silent = [e for e in GRAMMAR.fitting(beat, found.facts) if not e.wordings]
                assert len(silent) <= 1


def test_the_wordings_of_an_event_draw_the_same_words():
    for beat in GRAMMAR.beats:
        for happening in beat.events:
            assert len({frozenset(way.fresh) for way in happening.wordings}) <= 1
            assert all(len(set(way.fresh)) == len(way.fresh) for way in happening.wordings)
            assert happening.weight > 0


def test_a_fact_is_set_once_and_before_it_is_said():
    sampler = Sampler(GRAMMAR, random.Random(3))
    for _ in range(2000):
        known = dict(GRAMMAR.given)
        for choice in sampler.draw().choices:
            new = {**choice.event.sets}
            for slot in choice.wording.slots if choice.wording else ():
                if slot.fresh:
                    new[slot.fact] = "drawn"
                assert slot.fact in known or slot.fact in new
            assert not new.keys() & known.keys()
            known |= new


def test_rendering_a_silent_choice_gives_nothing():
    assert GRAMMAR.render(Choice("walk", event(1), None), {}) == ""
