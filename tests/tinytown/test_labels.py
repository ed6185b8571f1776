import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from llmcourse.tinytown import stories as tinytown
from llmcourse.tinytown.grammar import Literal
from llmcourse.tinytown.labels import _TOKEN
from llmcourse.tinytown.lexicon import (
    _HAPPY,
    _SAD,
    BOYS,
    ENTITIES,
    FORMS,
    GIRLS,
    NAMES,
    TABLES,
    TAGS,
)
from llmcourse.tinytown.plot import GRAMMAR

STORIES = list(tinytown.stories(400, seed=9))
SENTENCES = [sentence for story in STORIES for sentence in story.sentences]
UPOS = {
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN"),
    *("NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "VERB"),
}


def sentence(text):
    return next(found for found in SENTENCES if found.text.startswith(text))


def test_sentences_make_the_text():
    for story in STORIES:
        assert " ".join(s.text for s in story.sentences) == story.text


def test_tokens_stand_where_they_say():
    for found in SENTENCES:
        assert all(found.text[t.start : t.end] == t.text for t in found.tokens)
        assert "".join(t.text for t in found.tokens) == found.text.replace(" ", "")


def test_every_word_class_is_used():
    assert {token.tag for found in SENTENCES for token in found.tokens} == UPOS


def test_the_lexicon_has_the_words_that_are_used_and_no_others():
    used = set(FORMS["cried"].values()) | {"umbrella", "scarf", "hat", "lantern"}
    used |= {said for form in FORMS if form != "kind" for said in FORMS[form].values()}
    for name in TABLES.keys() - NAMES:
        used |= {word for phrase in TABLES[name].words for word in phrase.split()}
    for beat in GRAMMAR.beats:
        for way in (way for event in beat.events for way in event.wordings):
            for piece in (p for p in way.pieces if isinstance(p, Literal)):
                own = dict(piece.tags)
                matches = [m for m in _TOKEN.finditer(piece.text) if m[0].isalnum()]
                used |= {m[0] for m in matches if m.end() not in own}
    assert {word.lower() for word in used} == set(TAGS)


def test_a_tag_of_its_own_differs_from_the_usual_one():
    for beat in GRAMMAR.beats:
        for way in (way for event in beat.events for way in event.wordings):
            for piece in (p for p in way.pieces if isinstance(p, Literal)):
                for end, tag in piece.tags:
                    assert TAGS.get(piece.text[:end].split()[-1].lower()) != tag


@pytest.mark.parametrize(
    ("beginning", "tags"),
    [
        ("One Monday it rained", "NUM PROPN PRON VERB PUNCT"),
        ("On Saturday the rain did not stop", "ADP PROPN DET NOUN AUX PART VERB PUNCT"),
        ("Nobody came to help", "PRON VERB PART VERB PUNCT"),
        ("At home they drank warm milk", "ADP NOUN PRON VERB ADJ NOUN PUNCT"),
        ("Nothing went wrong on the way", "PRON VERB ADJ ADP DET NOUN PUNCT"),
    ],
)
def test_tags_by_hand(beginning, tags):
    assert " ".join(token.tag for token in sentence(beginning).tokens) == tags


@pytest.mark.skipif("LLMCOURSE_DATA" not in os.environ, reason="LLMCOURSE_DATA is not set")
def test_the_tags_are_those_that_annotators_give():
    """Every pair of word and tag, wherever the word is frequent in UD English EWT."""
    counts = {}
    path = Path(os.environ["LLMCOURSE_DATA"]) / "ud_english_ewt" / "ewt.train.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            for word, tag in zip(row["tokens"], row["upos"], strict=True):
                counts.setdefault(word.lower(), Counter())[tag] += 1
    pairs = {(t.text.lower(), t.tag) for s in SENTENCES for t in s.tokens if t.tag != "PROPN"}
    known = {pair for pair in pairs if sum(counts.get(pair[0], Counter()).values()) >= 10}
    assert len(known) > 150
    odd = {(w, t) for w, t in known if counts[w][t] < 0.05 * sum(counts[w].values())}
    assert not odd


def test_entities_are_the_facts():
    for story in STORIES:
        for found in story.sentences:
            for kind, fact, start, end in found.entities:
                span = found.text[found.tokens[start].start : found.tokens[end - 1].end]
                assert (span, kind) == (story.facts[fact], ENTITIES[fact])


def test_every_name_in_a_story_is_an_entity():
    people = {word for name in ("hero", "pet", "giver", "friend") for word in TABLES[name].words}
    for found in SENTENCES:
        named = {
            found.text[found.tokens[e.start].start : found.tokens[e.end - 1].end]
            for e in found.entities
        }
        assert {person for person in people if f"{person} " in found.text + " "} <= named


def test_pronouns_mean_whom_they_should():
    of = {"she": GIRLS, "her": GIRLS, "he": BOYS, "him": BOYS, "his": BOYS}
    seen = Counter()
    for story in STORIES:
        for found in story.sentences:
            for referents, start, _, is_pronoun in found.mentions:
                word = found.tokens[start].text.lower()
                seen[word] += is_pronoun
                if is_pronoun and word in of:
                    assert referents == ("hero",)
                    assert story.facts["hero"] in of[word]
                elif is_pronoun and word in ("they", "them"):
                    assert referents == ("hero", "pet")
                elif is_pronoun:
                    assert word in ("it", "its")
                    assert referents in (("pet",), ("item",))
    assert all(seen[word] for word in [*of, "they", "them", "it"])


def test_no_pronoun_of_a_person_is_without_a_referent():
    personal = {"he", "she", "him", "her", "his", "they", "them", "its"}
    for found in SENTENCES:
        labelled = {m.start for m in found.mentions if m.is_pronoun}
        for index, token in enumerate(found.tokens):
            assert token.text.lower() not in personal or index in labelled


def test_sentiment_is_the_feeling_turned_by_its_negation():
    seen = Counter()
    for found in SENTENCES:
        words = {token.text for token in found.tokens}
        polarity = len(words & set(_HAPPY.words)) - len(words & set(_SAD.words))
        if polarity and found.beat in ("feeling", "ending"):
            negated = "not" in words
            assert found.sentiment == (-polarity if negated else polarity)
            seen[polarity, negated] += 1
    assert len(seen) == 4


def test_negation_is_seen():
    assert sentence("Nobody came").is_negated
    assert sentence("Nothing went wrong").is_negated
    assert sentence("Nothing went wrong").sentiment == 1
    assert not sentence("One Monday it rained").is_negated


def test_the_story_ends_as_its_last_feeling():
    for story in STORIES:
        assert next(s for s in story.sentences if s.beat == "ending").sentiment == story.sentiment


def test_find_gives_the_first_place_in_the_text():
    for story in STORIES:
        for fact in ("hero", "pet", "day", "item", "place"):
            start, end = story.find(fact)
            assert story.text[start:end] == story.facts[fact]
        assert story.find("pet")[0] == story.text.index(story.facts["pet"])
        assert story.find("nothing") is None
