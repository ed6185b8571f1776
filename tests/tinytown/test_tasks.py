import math
import random
from collections import Counter

import pytest

from llmcourse.tinytown import stories as tinytown
from llmcourse.tinytown import tasks

STORIES = list(tinytown.stories(120, seed=4))


@pytest.mark.parametrize(
    "task",
    [
        tasks.sentiment_sentences,
        tasks.next_sentence_pairs,
        tasks.sentence_order_pairs,
        tasks.paraphrase_pairs,
        tasks.instruction_examples,
        tasks.preferences,
    ],
)
def test_a_seed_gives_the_same_examples(task):
    assert list(task(20, seed=1)) == list(task(20, seed=1))
    assert list(task(20, seed=1)) != list(task(20, seed=2))
    assert len(list(task(20))) == 20


def test_sentiment_needs_more_than_counting_words():
    examples = list(tasks.sentiment_sentences(400))
    assert {label for _, label in examples} == {-1, 1}
    negated = [label for text, label in examples if " not " in text]
    assert len(negated) > 40
    assert 10 < negated.count(1) < len(negated) - 10


def test_what_follows_follows():
    texts = [story.text for story in tinytown.stories(201, seed=0)]
    for text, pair in zip(texts, tasks.next_sentence_pairs(200, seed=0), strict=False):
        assert (f"{pair.first} {pair.second}" in text) == pair.label


def test_order_pairs_are_neighbours():
    pairs = list(tasks.sentence_order_pairs(200, seed=0))
    texts = [story.text for story in tinytown.stories(200, seed=0)]
    for text, (first, second, label) in zip(texts, pairs, strict=True):
        assert (f"{first} {second}" if label else f"{second} {first}") in text
    assert 70 < sum(pair.label for pair in pairs) < 130


def test_a_paraphrase_says_the_same_in_other_words():
    for story in STORIES:
        other = tasks.paraphrase(story, random.Random(0))
        assert other.facts == story.facts
        assert tinytown.parse(other.text) == other
        assert [c.event for c in other.choices] == [c.event for c in story.choices]
        pairs = zip(story.sentences, other.sentences, strict=True)
        assert all(before.text != after.text for before, after in pairs)
        labels = [(s.sentiment, {e.fact for e in s.entities}) for s in other.sentences]
        assert len(labels) == len(story.sentences)


@pytest.mark.parametrize("fact", ["hero", "pet", "animal", "item", "place", "day"])
def test_with_another_fact_all_else_stays(fact):
    for story in STORIES[:40]:
        other = tasks.with_other(story, fact, random.Random(1))
        changed = {name for name in story.facts if story.facts[name] != other.facts[name]}
        assert changed == {fact}
        assert tinytown.parse(other.text) == other


def test_paraphrase_pairs_differ_in_nothing_or_in_one_fact():
    for first, second, same in tasks.paraphrase_pairs(100):
        one, other = tinytown.parse(first), tinytown.parse(second)
        changed = [name for name in one.facts if one.facts[name] != other.facts[name]]
        assert first != second
        assert len(changed) == (0 if same else 1)


def test_answers_stand_where_the_span_says():
    kinds = Counter()
    for story in STORIES:
        for question in tasks.questions(story):
            kinds[question.kind] += 1
            if question.span:
                start, end = question.span
                assert story.text[start:end] == question.answer
    assert set(kinds) == {"who", "what", "where", "when", "how", "yes/no"}


def test_questions_by_hand():
    text = (
        "Mia had a small dog named Biscuit. It was a rainy Monday. Grandma asked Mia to bring a "
        "cake to the library. She forgot the umbrella. Soon they were wet from nose to tail. Then "
        "Doctor Finch came by and shared an umbrella. At the library Mia was happy again."
    )
    answers = {q.text: q.answer for q in tasks.questions(tinytown.parse(text))}
    assert answers == {
        "Who had the dog?": "Mia",
        "What was the name of the dog?": "Biscuit",
        "What kind of animal was Biscuit?": "dog",
        "On which day did it happen?": "Monday",
        "What was Mia to bring?": "cake",
        "Where was she to bring the cake?": "library",
        "Who sent Mia to the library?": "Grandma",
        "Whom did Mia and Biscuit meet?": "Doctor Finch",
        "What was the weather like?": "rainy",
        "Was Mia ready for it?": "no",
        "Did the story end well?": "yes",
        "Was the trouble put right?": "yes",
    }


def test_responses_are_right():
    for story in STORIES:
        write, ask, go_on, reword, rename, names, verdict = tasks.instructions(
            story, random.Random(2)
        )
        assert write.response == story.text
        assert all(story.facts[fact] in write.instruction for fact in ("hero", "pet", "animal"))
        assert ask.response in {question.answer for question in tasks.questions(story)}
        assert f"{go_on.given} {go_on.response}" == story.text
        assert tinytown.parse(reword.response).facts == story.facts
        new = rename.instruction.removeprefix("Call the pet ").removesuffix(".")
        assert rename.response == story.text.replace(story.facts["pet"], new)
        assert set(names.response.split(", ")) <= set(story.facts.values())
        assert ("not" in verdict.response) == (story.sentiment < 0)


def test_the_worse_response_is_worse_for_the_reason_given():
    seen = Counter()
    for prompt, chosen, rejected, reason in tasks.preferences(200):
        seen[reason] += 1
        assert chosen != rejected
        assert tasks.request(tinytown.parse(chosen)) == prompt
        if reason == "ignores the request":
            assert tasks.request(tinytown.parse(rejected)) != prompt
        else:
            assert tinytown.log_probability(rejected) == -math.inf
    assert set(seen) == set(tasks.FLAWS)


def test_triples_hold_the_same_story_and_one_with_a_single_other_fact():
    for text, same, near_miss in tasks.paraphrase_triples(40, seed=3):
        story, again, other = (tinytown.parse(told) for told in (text, same, near_miss))
        assert story is not None
        assert again is not None
        assert other is not None
        assert again.facts == story.facts
        assert sum(other.facts[fact] != story.facts[fact] for fact in story.facts) == 1
        assert story.choices not in (again.choices, other.choices)  # both are reworded
