import random

import pytest
import seqeval.metrics
from seqeval import scheme as schemes
from seqeval.metrics import sequence_labeling

from llmcourse.errors import UserError
from llmcourse.evaluate.spans import (
    SCHEMES,
    Span,
    forbidden_pairs,
    span_scores,
    spans_of,
    to_tags,
    valid_spans_of,
)

LABELS = ("PER", "LOC", "ORG")


def random_spans(rng: random.Random, length: int) -> list[Span]:
    spans, place = [], 0
    while place < length:
        if rng.random() < 0.4:
            end = min(length, place + rng.randint(1, 4))
            spans.append(Span(rng.choice(LABELS), place, end))
            place = end
        else:
            place += 1
    return spans


def random_tags(rng: random.Random, prefixes: str, length: int) -> list[str]:
    tags = ["O", *(f"{prefix}-{label}" for prefix in prefixes for label in LABELS)]
    return [rng.choice(tags) for _ in range(length)]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_spans_become_tags_and_come_back(scheme):
    rng = random.Random(0)
    for _ in range(300):
        length = rng.randint(0, 12)
        spans = random_spans(rng, length)
        tags = to_tags(spans, length, scheme)
        assert spans_of(tags) == valid_spans_of(tags, scheme) == spans


def test_by_hand():
    spans = [Span("PER", 0, 2), Span("LOC", 3, 4), Span("LOC", 4, 5)]
    assert to_tags(spans, 6) == ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "O"]
    assert to_tags(spans, 6, "IOBES") == ["B-PER", "E-PER", "O", "S-LOC", "S-LOC", "O"]
    broken = ["I-PER", "I-LOC", "O", "I-LOC"]
    assert spans_of(broken) == [Span("PER", 0, 1), Span("LOC", 1, 2), Span("LOC", 3, 4)]
    assert valid_spans_of(broken) == []
    assert valid_spans_of(["B-PER", "I-LOC"]) == [Span("PER", 0, 1)]


@pytest.mark.parametrize("prefixes", ["BI", "BIES"])
def test_the_same_spans_and_scores_as_seqeval(prefixes):
    rng = random.Random(1)
    lengths = [rng.randint(1, 15) for _ in range(300)]
    gold, predicted = ([random_tags(rng, prefixes, n) for n in lengths] for _ in range(2))
    for tags in gold:
        theirs = [
            (label, start, end + 1) for label, start, end in sequence_labeling.get_entities(tags)
        ]
        assert [tuple(span) for span in spans_of(tags)] == theirs
    scores = span_scores(*([spans_of(tags) for tags in side] for side in (gold, predicted)))
    assert scores.micro.f1 == pytest.approx(seqeval.metrics.f1_score(gold, predicted))
    assert scores.micro.precision == pytest.approx(seqeval.metrics.precision_score(gold, predicted))
    assert scores.micro.recall == pytest.approx(seqeval.metrics.recall_score(gold, predicted))
    assert scores.macro_f1 == pytest.approx(
        seqeval.metrics.f1_score(gold, predicted, average="macro")
    )


@pytest.mark.parametrize("scheme", ["IOB2", "IOBES"])
def test_the_same_valid_spans_as_seqeval_in_strict_mode(scheme):
    rng = random.Random(2)
    for _ in range(500):
        tags = random_tags(rng, "".join(dict.fromkeys(SCHEMES[scheme])), rng.randint(1, 9))
        (entities,) = schemes.Entities([tags], getattr(schemes, scheme)).entities
        wanted = [(entity.tag, entity.start, entity.end) for entity in entities]
        assert [tuple(span) for span in valid_spans_of(tags, scheme)] == wanted


@pytest.mark.parametrize("scheme", SCHEMES)
def test_forbidden_pairs_are_those_that_break_a_scheme(scheme):
    """A sequence without a forbidden pair is the tags of its own spans, and no other is."""
    prefixes = dict.fromkeys(SCHEMES[scheme])
    tags = ["O", *(f"{prefix}-{label}" for prefix in prefixes for label in ("X", "Y"))]
    forbidden = forbidden_pairs(tags, scheme)
    rng = random.Random(3)
    for _ in range(2000):
        places = [rng.randrange(len(tags)) for _ in range(rng.randint(1, 4))]
        pairs = list(zip([None, *places], [*places, None], strict=True))
        sequence = [tags[place] for place in places]
        whole = to_tags(valid_spans_of(sequence, scheme), len(sequence), scheme) == sequence
        assert whole == (not forbidden.intersection(pairs)), sequence


def test_scores_of_nothing_and_of_everything():
    spans = [Span("A", 0, 1)]
    assert span_scores([], []).micro.f1 == 0
    assert span_scores([spans], [[]]).micro.precision == 0
    assert span_scores([[]], [spans]).micro.recall == 0
    assert span_scores([spans], [spans]).micro.f1 == 1
    assert span_scores([spans], [[Span("B", 0, 1)]]).macro_f1 == 0
    assert list(span_scores([spans], [[Span("B", 0, 1)]]).by_label) == ["A", "B"]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: to_tags([], 3, "IOB1"), "no scheme of tags is called 'IOB1'"),
        (lambda: to_tags([Span("A", 1, 4)], 3), "does not lie within the 3 words"),
        (lambda: to_tags([Span("A", 0, 2), Span("B", 1, 3)], 3), "overlaps another span"),
        (lambda: spans_of(["B-"]), "'B-' is no tag"),
        (lambda: spans_of(["X-PER"]), "'X-PER' is no tag"),
        (lambda: span_scores([[]], []), "1 texts have right spans and 0 predicted ones"),
    ],
)
def test_bad_input_is_one_line(made, said):
    with pytest.raises(UserError, match=said):
        made()
