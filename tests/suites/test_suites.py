"""What each suite measures, against the functions that it is made of and against counting."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from llmcourse.errors import UserError
from llmcourse.evaluate.paired import mcnemar
from llmcourse.suites import pairs, questions, text, tinytown
from llmcourse.suites.base import Asked, Figure, ratio, share
from llmcourse.suites.subject import load_subject
from llmcourse.suites.table import as_json, compared, number, table
from llmcourse.tinytown.stories import stories


@pytest.fixture(scope="module")
def subject(run):
    return load_subject(run, "cpu")


@pytest.fixture(scope="module")
def rival(other):
    return load_subject(other, "cpu")


@pytest.fixture(scope="module")
def examined(subject, rival):
    """What both models know of tinytown."""
    return [{"tinytown": tinytown.measure(one, Asked(n=12))} for one in (subject, rival)]


def test_bits_per_byte_of_a_file(subject, tmp_path):
    told = [story.text for story in stories(4, seed=9)]
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(json.dumps({"text": one}) for one in told))
    bits, perplexity = text.measure(subject, Asked(data=path, stride=320))
    nats = n_tokens = 0
    for one in told:  # each fits into the context, so one pass has it all
        ids = torch.tensor([[subject.begin, *subject.encode(one)]])
        with torch.no_grad():
            logits = subject.model(ids[:, :-1]).logits
        nats += F.cross_entropy(logits[0], ids[0, 1:], reduction="sum").item()
        n_tokens += ids.size(1) - 1
    size = sum(map(len, told))
    assert bits.interval.value == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    assert perplexity.interval.value == pytest.approx(math.exp(nats / n_tokens), rel=1e-5)
    assert bits.baselines["uniform"] == pytest.approx(n_tokens * math.log2(400) / size)
    assert bits.baselines["trigram"] < bits.baselines["unigram"] < bits.baselines["uniform"]
    assert bits.interval.low < bits.interval.value < bits.interval.high
    assert bits.lower_is_better


def test_the_runs_own_held_out_text(subject, rival):
    (bits, _) = text.measure(subject, Asked())
    told = [story.text for story in stories(60)][50:]
    assert bits.counts.sum() == sum(map(len, told))
    (less, _) = text.measure(subject, Asked(limit=1))
    assert less.counts.sum() == 1000
    with pytest.raises(UserError, match="keeps no held-out text"):
        text.measure(rival, Asked())


def test_pairs_by_kind(subject, rival, tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"sentence_good": a, "sentence_bad": b, "UID": uid}
        for a, b, uid in [("Mia ran.", "Ran Mia.", "order"), ("a cat", "an cat", "article")] * 3
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    found = pairs.measure(subject, Asked(data=path))
    assert [figure.name for figure in found] == ["accuracy", "  article", "  order"]
    assert [figure.n for figure in found] == [6, 3, 3]
    assert set(found[0].baselines) == {"uniform", "unigram", "trigram"}
    assert set(pairs.measure(rival, Asked(data=path))[0].baselines) == {"uniform"}
    with pytest.raises(UserError, match="--data minimal_pairs=PATH"):
        pairs.measure(subject, Asked())


def test_questions_by_each_way(subject, tmp_path):
    path = tmp_path / "asked.jsonl"
    rows = [{"query": "Mia had a", "choices": ["cat", "dog", "box"], "gold": g} for g in (0, 1, 1)]
    path.write_text("\n".join(map(json.dumps, rows)))
    found = questions.measure(subject, Asked(data=path, normalisation="token"))
    assert [figure.name for figure in found] == [
        "accuracy (by token)", "accuracy (sum)", "accuracy (by byte)",
        "accuracy (by unconditional)",
    ]  # fmt: skip
    assert found[0].baselines["uniform"] == pytest.approx(1 / 3)
    assert found[0].baselines["majority"] == pytest.approx(2 / 3)
    for figure in found:  # the same question three times: one choice, right once, twice or never
        assert figure.interval.value * 3 == pytest.approx(round(figure.interval.value * 3))
        assert figure.totals[1] == figure.totals[2]


@pytest.mark.slow
def test_tinytown_needs_nothing(examined):
    found = {figure.name: figure for figure in examined[0]["tinytown"]}
    assert list(found) == [
        "bits per byte", "bits above the entropy", "agreement", "  name", "  order", "  pronoun",
        "gaps (by byte)", "questions (by byte)", "valid stories",
    ]  # fmt: skip
    bits, above = found["bits per byte"], found["bits above the entropy"]
    exact = bits.baselines["entropy"]
    assert 0.1 < exact < 0.3
    assert above.interval.value == pytest.approx(bits.interval.value - exact)
    assert above.baselines["trigram"] > 0  # nobody is below the entropy
    assert found["valid stories"].interval.value == 0
    assert found["gaps (by byte)"].baselines["uniform"] == 0.25


@pytest.mark.slow
def test_comparisons_pair_what_is_the_same(examined):
    found = compared(*examined)
    assert ("tinytown", "bits per byte") in found  # the bytes are the same, whatever the tokens
    ours, theirs = (next(f for f in one["tinytown"] if f.name == "agreement") for one in examined)
    agreement = found["tinytown", "agreement"]
    assert agreement.p == mcnemar(ours.totals, theirs.totals)
    assert agreement.difference.value == pytest.approx(ours.interval.value - theirs.interval.value)
    shown = table(examined[0], found)
    assert "difference" in shown
    assert "entropy" in shown
    assert len(as_json(examined[0], found)["against"]) == len(found)


def test_figures_that_differ_in_what_they_count_are_not_compared():
    rng = np.random.default_rng(0)
    one = {"a": [ratio("x", rng.random(5), np.ones(5), 0), share("y", [1, 0])]}
    other = {"a": [ratio("x", rng.random(5), np.full(5, 2), 0), share("y", [1, 0, 1])]}
    assert compared(one, other) == {}
    plain = Figure(name="x", interval=one["a"][0].interval, n=5)
    assert compared({"a": [plain]}, {"a": [plain]}) == {}


@pytest.mark.parametrize(
    ("value", "is_share", "shown"),
    [
        (0.5, True, "50.0 %"),
        (1.23456, False, "1.235"),
        (4096.2, False, "4096"),
        (1, True, "100.0 %"),
    ],
)
def test_numbers_are_short(value, is_share, shown):
    assert number(value, is_share) == shown
    assert number(value, is_share, sign=True) == f"+{shown}"
