"""The exam about tinytown: what is right is right, what is wrong is wrong in one point."""

import math

import numpy as np
import pytest
import torch

from llmcourse.evaluate.scoring import NGramScorer
from llmcourse.evaluate.tinytown_exam import (
    agreement_pairs,
    asked_questions,
    gaps,
    is_valid,
    story_bits,
    write_stories,
)
from llmcourse.models.base import Output
from llmcourse.models.ngram import NGram
from llmcourse.models.ngram_counts import count_ngrams
from llmcourse.tinytown import stories as tinytown
from llmcourse.tinytown.lexicon import TABLES
from llmcourse.tinytown.tasks import questions
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer


def test_pairs_come_in_turn_and_only_one_is_a_story():
    pairs = list(agreement_pairs(30, seed=3))
    assert pairs == list(agreement_pairs(30, seed=3)) != list(agreement_pairs(30, seed=4))
    assert [pair.kind for pair in pairs[:4]] == ["pronoun", "name", "order", "pronoun"]
    for good, bad, kind in pairs:
        assert is_valid(good)
        assert not is_valid(bad)
        same = sum(a == b for a, b in zip(good.split(), bad.split(), strict=False))
        if kind == "order":
            assert sorted(good.split()) == sorted(bad.split())
        else:  # as long, and differing in some words alone
            assert len(good.split()) == len(bad.split())
            assert same >= len(good.split()) - 9
        if kind == "pronoun":
            changed = {(a, b) for a, b in zip(good.split(), bad.split(), strict=True) if a != b}
            words = {w.strip('.,"').lower() for pair in changed for w in pair}
            assert words <= {"he", "she", "him", "her", "his"}


def test_a_gap_asks_for_what_was_said_before():
    told = list(tinytown.stories(200, 3))
    for (context,), answers, right in gaps(40, seed=3):
        word = answers[right]
        assert word in context
        assert len(set(answers)) == 4
        assert not any(other in context for other in answers if other != word)
        fact = next(f for f in TABLES if set(answers) <= set(TABLES[f].words))
        whole = next(s for s in told if s.text.startswith(f"{context} {word}"))
        assert whole.facts[fact] == word


def test_questions_have_the_right_answer_among_four():
    known = {story.text: story for story in tinytown.stories(200, 3)}
    for (context,), answers, right in asked_questions(40, seed=3):
        told, asked = context.split("\n")
        assert {q.text: q.answer for q in questions(known[told])}[asked] == answers[right]
        assert not any(other in told for n, other in enumerate(answers) if n != right)
    places = np.bincount([q.right for q in asked_questions(200, seed=3)], minlength=4)
    assert places.min() > 30  # no place is the right one more often than chance has it


def test_bits_beside_the_exact_ones():
    tokenizer = ByteTokenizer()
    some = list(tinytown.stories(5, 1))
    ids = [[tokenizer.eot_id, *tokenizer.encode(s.text), tokenizer.eot_id] for s in some]
    model = NGram(count_ngrams(ids, 3, tokenizer.vocab_size))
    found = story_bits(NGramScorer(model), tokenizer, some)
    for n, story in enumerate(some):
        nats = -model.token_log_probabilities(torch.tensor(ids[n : n + 1])).sum().item()
        assert found.bits[n] == pytest.approx(nats / math.log(2))
        exact = tinytown.log_probability(story.text) / math.log(2)
        assert found.exact[n] == pytest.approx(-exact)
        assert found.bytes[n] == len(story.text)


class Script(torch.nn.Module):
    """A language model that writes given texts, a row each."""

    def __init__(self, tokenizer, texts):
        super().__init__()
        self.rows = [[*tokenizer.encode(text), tokenizer.eot_id] for text in texts]
        self.end, self.size = tokenizer.eot_id, tokenizer.vocab_size
        self.config = type("Config", (), {"context_length": 1000})

    def forward(self, ids):
        logits = torch.full((*ids.shape, self.size), -1e9)
        for n, row in enumerate(self.rows):
            at = ids.size(1) - 1
            logits[n, -1, row[at] if at < len(row) else self.end] = 0.0
        return Output(logits, logits[..., :0])


def test_written_texts_end_where_they_end():
    tokenizer, story = ByteTokenizer(), next(iter(tinytown.stories(1))).text
    texts = [story, "No story.", ""]
    dice = torch.Generator().manual_seed(0)
    written = write_stories(Script(tokenizer, texts), tokenizer, 3, dice, max_new_tokens=900)
    assert written == texts
    assert [is_valid(text) for text in written] == [True, False, False]
    short = write_stories(Script(tokenizer, texts), tokenizer, 3, dice, max_new_tokens=5)
    assert short == [story[:5], "No st", ""]
    assert write_stories(Script(tokenizer, [""]), tokenizer, 1, dice) == [""]
