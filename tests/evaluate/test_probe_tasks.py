"""Tasks: no text stands on both sides, and answers are counted as they should be."""

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.evaluate.features import CountReader
from llmcourse.evaluate.probe_tasks import make_task
from llmcourse.evaluate.tinytown_probes import AMBIGUOUS, tinytown_probes, word_span
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer

READER = CountReader(8)


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train([s.text for s in tinytown.stories(60)], vocab_size=400)


def test_repeats_are_left_out_and_the_first_answer_counts():
    examples = [((n // 2,), n % 2) for n in range(16)]  # each text twice, with both answers
    task = make_task("x", "text", examples, n_train=3, n_test=4)
    assert task.train.inputs == [(0,), (1,), (2,)]
    assert task.test.inputs == [(3,), (4,), (5,), (6,)]
    assert task.classes == ("0",)


def test_too_few_examples_are_refused():
    with pytest.raises(UserError, match="x has 2 different examples, not 3"):
        make_task("x", "text", [((1,), 0), ((2,), 1), ((1,), 1)], n_train=2, n_test=1)


@pytest.mark.parametrize(("n_train", "n_test"), [(0, 1), (1, 0)])
def test_both_sides_need_an_example(n_train, n_test):
    with pytest.raises(UserError, match="give at least 1 of each"):
        make_task("x", "text", [((1,), 0)], n_train=n_train, n_test=n_test)


def test_an_answer_that_was_never_seen_is_always_wrong():
    examples = [((1,), "a"), ((2,), "b"), ((1, 1), "a"), ((2, 2), "c")]
    task = make_task("x", "text", examples, n_train=2, n_test=2)
    assert task.classes == ("a", "b")
    assert task.test.labels.tolist() == [0, -1]
    assert task.measure(READER).value == 0.5


def test_the_majority_is_that_of_the_training_examples():
    examples = [((n,), n in (0, 5, 6, 7)) for n in range(8)]  # mostly False, then mostly True
    task = make_task("x", "text", examples, n_train=4, n_test=4)
    assert task.majority().value == 0.25


def test_pairs_are_told_by_who_stands_where():
    examples = [(((1,) * n, (2,)), 1) for n in range(1, 11)]
    examples += [(((2,), (1,) * n), 0) for n in range(1, 11)]
    mixed = [examples[n // 2 + 10 * (n % 2)] for n in range(20)]
    task = make_task("x", "pair", mixed, n_train=10, n_test=10)
    assert task.measure(READER).value == 1.0


def test_similar_pairs_lie_above_a_threshold():
    same = [(((n, n), (n,)), 1) for n in range(8)]
    other = [(((n, n), ((n + 1) % 8,)), 0) for n in range(8)]
    mixed = [pair for two in zip(same, other, strict=True) for pair in two]
    task = make_task("x", "similarity", mixed, n_train=8, n_test=8)
    assert task.measure(READER).value == 1.0


def test_of_three_the_nearer_is_the_answer():
    right = [(((n, 5), (n,), (n + 1,)), 1) for n in range(3)]
    turned = [(((n, 5), (n + 1,), (n,)), 0) for n in range(3)]
    wrong = [(((n, 6), (n + 1,), (n,)), 1) for n in range(2)]
    task = make_task("x", "triple", [turned[0], *right, *turned[1:], *wrong], n_train=2, n_test=6)
    assert task.measure(READER).value == pytest.approx(4 / 6)


def test_words_are_asked_within_their_text():
    examples = [(((1, 2, n), 0, 1), "x") for n in range(3, 6)]
    examples += [(((1, 2, n), 1, 2), "y") for n in range(3, 6)]
    mixed = [examples[n // 2 + 3 * (n % 2)] for n in range(6)]
    task = make_task("x", "word", mixed, n_train=4, n_test=2)
    assert task.measure(READER).value == 1.0


@pytest.mark.parametrize("make", [ByteTokenizer, None], ids=["bytes", "bpe"])
def test_a_words_tokens_are_those_that_hold_its_letters(make, tokenizer):
    tokenizer = make() if make else tokenizer
    for text, start, end in [("Tom had a cat.", 4, 7), ("Öl und Tüte", 7, 11), ("ab", 0, 2)]:
        ids, first, last = word_span(tokenizer, text, start, end)
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(ids[first:last]).strip() == text[start:end]
        assert text[start:end] not in tokenizer.decode(ids[:first])


def test_a_word_begins_with_its_own_first_byte():
    assert word_span(ByteTokenizer(), "abc", 1, 2) == (tuple(b"abc"), 1, 2)


def test_tinytowns_questions(tokenizer):
    tasks = tinytown_probes(tokenizer, n_train=60, n_test=80)
    assert set(tasks) == {"tagging", "sentiment", "order", "similarity"}
    for task in tasks.values():
        assert len(task.test.inputs) == len(task.test.labels) == 80
        assert not set(task.train.inputs) & set(task.test.inputs)
        assert 0.3 < task.majority().value < 0.75
    for ids, start, end in tasks["tagging"].test.inputs:
        assert tokenizer.decode(ids[start:end]).strip().lower() in AMBIGUOUS
    bag = {name: t.measure(CountReader(tokenizer.vocab_size)).value for name, t in tasks.items()}
    assert bag["tagging"] < 0.9  # a word alone does not tell
    assert bag["sentiment"] > 0.75
    assert bag["similarity"] > 0.8
    assert torch.equal(
        tinytown_probes(tokenizer, 60, 80)["order"].test.labels, tasks["order"].test.labels
    )
