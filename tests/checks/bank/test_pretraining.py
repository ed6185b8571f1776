"""Right answers to the exercises on pairs and batches, in the styles in which people write them."""

import pytest
import torch
import torch.nn.functional as F

from llmcourse.checks.bank import pretraining


def with_a_bool(first, second, swap, cls_id, sep_id):
    pair = [second, first] if swap else [first, second]
    ids, segments = [cls_id], [0]
    for number, sentence in enumerate(pair):
        ids = ids + sentence + [sep_id]
        segments = segments + [number] * (len(sentence) + 1)
    return ids, segments, not swap


def exchanged(first, second, swap, cls_id, sep_id):
    if swap:
        first, second = second, first
    ids = [cls_id] + first + [sep_id] + second + [sep_id]  # noqa: RUF005
    border = ids.index(sep_id, 1 + len(first))
    return ids, [int(place > border) for place in range(len(ids))], 1 - swap


def as_a_list(first, second, swap, cls_id, sep_id):
    left = first if not swap else second
    right = second if not swap else first
    ids = [cls_id]
    ids.extend(left)
    ids.append(sep_id)
    middle = len(ids)
    ids.extend(right)
    ids.append(sep_id)
    return ids, [0] * middle + [1] * (len(ids) - middle), 0 if swap else 1


def in_loops(anchors, others, temperature):
    total = 0
    for i in range(len(anchors)):
        weights = [
            torch.exp(torch.cosine_similarity(anchors[i], other, dim=0) / temperature)
            for other in others
        ]
        total = total - torch.log(weights[i] / sum(weights))
    return total / len(anchors)


def by_einsum(anchors, others, temperature):
    a = anchors / anchors.pow(2).sum(1, keepdim=True).sqrt()
    b = others / others.pow(2).sum(1, keepdim=True).sqrt()
    scores = torch.einsum("id,jd->ij", a, b) / temperature
    return (torch.logsumexp(scores, 1) - (a * b).sum(1) / temperature).mean()


def by_cross_entropy(anchors, others, temperature):
    cosines = F.cosine_similarity(anchors[:, None], others[None], dim=-1)
    return F.cross_entropy(cosines / temperature, torch.arange(anchors.shape[0]))


def divided_after(anchors, others, temperature):
    lengths = anchors.norm(dim=1)[:, None] * others.norm(dim=1)[None]
    p = torch.softmax(anchors.double() @ others.double().T / lengths / temperature, dim=1)
    return (-p.diag().log().sum() / len(p)).reshape(1)


RIGHT = [
    *((pretraining.pair_row, f) for f in (with_a_bool, exchanged, as_a_list)),
    *((pretraining.info_nce, f) for f in (in_loops, by_einsum, by_cross_entropy, divided_after)),
]


@pytest.mark.parametrize(
    ("check", "answer"), RIGHT, ids=[f"{c.name}-{a.__name__}" for c, a in RIGHT]
)
def test_a_right_answer_in_another_style_passes(check, answer):
    assert check.verdict(answer).text.startswith("✓")


@pytest.mark.parametrize("windows", [2000, 2000.0, 300 / 0.15, 1999, torch.tensor(2000)])
def test_a_number_of_windows_may_be_a_whole_one_or_not(windows):
    assert pretraining.windows_for_as_many_answers.verdict(windows).status == "passed"
