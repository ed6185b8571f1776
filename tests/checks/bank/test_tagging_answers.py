"""Right answers to the exercises on tags, spans and pieces, in the styles in which people write."""

import itertools
import re

import numpy as np
import torch
from others_answers import right_answers

from llmcourse.checks.bank import tagging
from llmcourse.evaluate.spans import Span, spans_of


def word_by_word(spans, n_words):
    tags = []
    for word in range(n_words):
        tag = "O"
        for label, start, end in spans:
            if not start <= word < end:
                continue
            first, last = word == start, word == end - 1
            tag = f"{'S' if first and last else 'B' if first else 'E' if last else 'I'}-{label}"
        tags.append(tag)
    return tags


def pieces_of_lists(spans, n_words):
    tags = []
    for label, start, end in sorted(spans, key=lambda span: span[1]):
        tags += ["O"] * (start - len(tags))
        n = end - start
        letters = "S" if n == 1 else "B" + "I" * (n - 2) + "E"
        tags += [f"{letter}-{label}" for letter in letters]
    return tags + ["O"] * (n_words - len(tags))


def from_iob2(spans, n_words):
    tags = ["O"] * n_words
    for label, start, end in spans:
        tags[start:end] = ["B-" + label] + ["I-" + label] * (end - start - 1)
    swap = {"B": "S", "I": "E"}
    for label, _, end in spans:
        tags[end - 1] = f"{swap[tags[end - 1][0]]}-{label}"
    return tags


def two_pointers(tags):
    spans, at = [], 0
    while at < len(tags):
        if tags[at] == "O":
            at += 1
            continue
        label, end = tags[at].split("-", 1)[1], at + 1
        while end < len(tags) and tags[end] == f"I-{label}":
            end += 1
        spans.append((label, at, end))
        at = end
    return spans


def with_an_open_span(tags):
    spans, open_one = [], None
    for at, tag in enumerate([*tags, "O"]):
        prefix, _, label = tag.partition("-")
        if open_one and not (prefix == "I" and label == open_one[0]):
            spans.append((*open_one, at))
            open_one = None
        if prefix != "O" and open_one is None:
            open_one = (label, at)
    return spans


def as_lists(tags):
    return [[span.label, span.start, span.end] for span in spans_of(tags)]


def named(tags):
    return [Span(*span) for span in two_pointers(tags)]


def with_groups(word_ids, tags):
    found = []
    for word, group in itertools.groupby(word_ids):
        n = len(list(group))
        found += [-100] * n if word is None else [tags[word]] + [-100] * (n - 1)
    return found


def with_a_set(word_ids, tags):
    seen, found = set(), []
    for word in word_ids:
        found.append(tags[word] if word is not None and word not in seen else -100)
        seen.add(word)
    return found


def looking_back(word_ids, tags):
    return [
        tags[word] if word is not None and (p == 0 or word_ids[p - 1] != word) else -100
        for p, word in enumerate(word_ids)
    ]


def as_a_tensor(word_ids, tags):
    return torch.tensor(looking_back(word_ids, tags), dtype=torch.long).tolist()


def harmonic(gold, predicted):
    right = sum(span in g for g, p in zip(gold, predicted, strict=True) for span in p)
    said, there = sum(map(len, predicted)), sum(map(len, gold))
    precision = right / said if said else 0
    recall = right / there if there else 0
    return 2 * precision * recall / (precision + recall) if right else 0


def with_places(gold, predicted):
    ours, theirs = (
        {(n, *span) for n, text in enumerate(texts) for span in text} for texts in (gold, predicted)
    )
    return np.float64(2 * len(ours & theirs) / max(1, len(ours) + len(theirs)))


def errors_counted(gold, predicted):
    right = wrong = missed = 0
    for g, p in zip(gold, predicted, strict=True):
        right += len([span for span in p if span in g])
        wrong += len([span for span in p if span not in g])
        missed += len([span for span in g if span not in p])
    return torch.tensor(right / (right + (wrong + missed) / 2) if right else 0.0)


RIGHT = [
    *((tagging.iobes_tags, f) for f in (word_by_word, pieces_of_lists, from_iob2)),
    *((tagging.spans_from_tags, f) for f in (two_pointers, with_an_open_span, as_lists, named)),
    *((tagging.piece_targets, f) for f in (with_groups, with_a_set, looking_back, as_a_tensor)),
    *((tagging.span_f1, f) for f in (harmonic, with_places, errors_counted)),
]


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)


def test_hints_give_no_line_away():
    for check in (tagging.iobes_tags, tagging.span_f1):
        assert all(not re.search(r"\bfor \w+ in\b", m.hint) for m in check.mistakes)
