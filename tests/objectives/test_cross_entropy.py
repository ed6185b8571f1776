"""Cross-entropy written out, against the library's, by hand, and where naive versions overflow."""

import math

import pytest
import torch
import torch.nn.functional as F
from numerics import close

from llmcourse.errors import UserError
from llmcourse.objectives.base import IGNORE, token_loss
from llmcourse.objectives.cross_entropy import cross_entropy, log_softmax, log_sum_exp


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_targets(*shape, seed=0):
    targets = torch.randint(7, shape, generator=torch.Generator().manual_seed(seed))
    targets.view(-1)[::5] = IGNORE
    return targets


@pytest.mark.parametrize("shape", [(7,), (4, 7), (2, 3, 7)])
def test_log_softmax_equals_the_librarys(shape):
    logits = 5 * random(*shape)
    close(log_softmax(logits), logits.log_softmax(-1), largest=1)
    close(log_sum_exp(logits), logits.logsumexp(-1), largest=1)


def test_log_softmax_by_hand():
    found = log_softmax(torch.tensor([math.log(1.0), math.log(3.0)], dtype=torch.float64))
    close(found.exp(), torch.tensor([0.25, 0.75], dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_numbers_at_the_formats_end_give_no_overflow(dtype):
    top = torch.finfo(dtype).max / 2
    for row in ([top, 0.0, -top], [-top, -top, -top], [top, top, top]):
        logits = torch.tensor(row, dtype=dtype)
        found = log_softmax(logits)
        assert found.dtype == dtype
        assert not found.isnan().any()
        expected = logits.double().log_softmax(-1)
        torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=1e-2)


def test_what_is_impossible_stays_impossible():
    logits = torch.tensor([[0.0, -math.inf], [-math.inf, -math.inf]])
    assert log_sum_exp(logits).tolist() == [0.0, -math.inf]
    assert log_softmax(logits[0]).tolist() == [0.0, -math.inf]


@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
def test_temperature_divides(temperature):
    logits = random(3, 7)
    close(log_softmax(logits, temperature), F.log_softmax(logits / temperature, -1), largest=1)


def test_the_limits_of_temperature():
    logits = torch.tensor([1.0, 2.0, 1.5])
    close(log_softmax(logits, 1e6).exp(), torch.full((3,), 1 / 3))
    close(log_softmax(logits, 1e-3).exp(), torch.tensor([0.0, 1.0, 0.0]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 1.0])
def test_it_equals_the_librarys_with_label_smoothing(smoothing):
    logits, targets = 3 * random(4, 5, 7), some_targets(4, 5)
    total, count = cross_entropy(logits, targets, label_smoothing=smoothing)
    options = {"label_smoothing": smoothing, "ignore_index": IGNORE}
    flat = logits.flatten(0, 1), targets.flatten()
    close(total, F.cross_entropy(*flat, reduction="sum", **options), largest=10)
    close(total / count, F.cross_entropy(*flat, **options))
    assert int(count) == 16


def test_it_equals_what_a_run_uses():
    logits, targets = random(4, 5, 7), some_targets(4, 5)
    for ours, theirs in zip(
        cross_entropy(logits, targets), token_loss(logits, targets), strict=True
    ):
        close(ours.double(), theirs.double())


def test_smoothing_is_the_cross_entropy_with_the_smoothed_target():
    """The definition, as the library takes targets that are whole distributions."""
    logits, targets = random(6, 7), torch.tensor([0, 1, 2, 3, 4, 6])
    wanted = 0.8 * F.one_hot(targets, 7).double() + 0.2 / 7
    close(
        cross_entropy(logits, targets, label_smoothing=0.2).total,
        F.cross_entropy(logits, wanted, reduction="sum"),
    )


def test_z_loss_by_hand():
    logits = torch.tensor([[math.log(1.0), math.log(3.0)]], dtype=torch.float64)  # log Z = log 4
    targets = torch.tensor([1])
    plain = cross_entropy(logits, targets).total
    with_z = cross_entropy(logits, targets, z_loss=0.1).total
    assert plain.item() == pytest.approx(-math.log(0.75))
    assert (with_z - plain).item() == pytest.approx(0.1 * math.log(4) ** 2)


def test_z_loss_alone_sees_that_all_logits_are_shifted():
    logits, targets = random(5, 7), torch.tensor([0, 1, 2, 3, 4])
    close(cross_entropy(logits + 3, targets).total, cross_entropy(logits, targets).total)
    shifted = cross_entropy(logits + 3, targets, z_loss=0.1).total
    assert (shifted - cross_entropy(logits, targets, z_loss=0.1).total).abs() > 1


def test_the_gradient_of_all_terms_is_the_librarys():
    logits, targets = random(5, 7).requires_grad_(), some_targets(5)
    ours = cross_entropy(logits, targets, label_smoothing=0.1, z_loss=0.01).total
    scored = targets != IGNORE
    theirs = F.cross_entropy(
        logits, targets, reduction="sum", label_smoothing=0.1, ignore_index=IGNORE
    )
    theirs = theirs + 0.01 * logits.logsumexp(-1)[scored].square().sum()
    close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)), largest=0.1)


def test_parts_add_up():
    logits, targets = random(6, 7), some_targets(6)
    whole = cross_entropy(logits, targets, label_smoothing=0.1, z_loss=0.1)
    parts = [
        cross_entropy(logits[p], targets[p], label_smoothing=0.1, z_loss=0.1)
        for p in (slice(2), slice(2, 6))
    ]
    close(whole.total, parts[0].total + parts[1].total)
    assert whole.count == parts[0].count + parts[1].count


def test_nothing_to_score_is_zero_of_zero():
    total, count = cross_entropy(random(2, 7), torch.full((2,), IGNORE))
    assert (total.item(), count.item()) == (0.0, 0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda z, t: log_softmax(z, 0.0), "temperature=0"),
        (lambda z, t: log_softmax(z, math.nan), "temperature=nan"),
        (lambda z, t: cross_entropy(z, t, label_smoothing=1.5), "label_smoothing=1.5"),
        (lambda z, t: cross_entropy(z, t, label_smoothing=-0.1), "label_smoothing=-0.1"),
        (lambda z, t: cross_entropy(z, t, z_loss=-1.0), "z_loss=-1"),
    ],
)
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(UserError, match=said):
        call(random(2, 7), torch.tensor([0, 1]))
