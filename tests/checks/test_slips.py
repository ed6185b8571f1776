"""Slips: what each does to a right answer, in words; and that a verdict says so."""

import pytest
import torch

from llmcourse.checks.bank import counting, normalisation, recurrence, transformer
from llmcourse.checks.guesses import Kept, guesses_of
from llmcourse.checks.references import Reference

NUMBERS = """\
def scaled(total: float, count: int, eps: float) -> float:
    ### BEGIN SOLUTION
    share = (total + eps) / count
    return share * 2 + 3 * 2
    ### END SOLUTION
"""
ROWS = """\
def normed(x: Tensor, start: int) -> Tensor:
    ### BEGIN SOLUTION
    i, f = x.chunk(2, dim=-1)
    kept = (i.square() + 1).sqrt() * f.sigmoid() + i.sigmoid()
    above = torch.where(f == start, kept, f)
    return above - above.mean(dim=-1, keepdim=True)
    ### END SOLUTION
"""
AROUND = ("import torch", "from torch import Tensor")


def results(source, *args):
    made = {}
    for guess in guesses_of(Reference(source.split("(")[0].split()[1], source, AROUND)):
        try:
            made.setdefault(guess.cause, guess.answer()(*args))
        except Exception:  # a slip may not run at all
            continue
    return made


@pytest.mark.parametrize(
    ("cause", "result"),
    [
        ("brackets around what is before `count` were missing", 2 * (6 + 1 / 2) + 6),
        ("2 were 4 throughout", 3.5 * 4 + 3 * 4),
        ("2 were 4", 3.5 * 4 + 6),
        ("3 were 6", 3.5 * 2 + 12),
        ("`count` stood where `eps` is meant", 4 * 2 + 6),
        ("the square of `total` were taken", 18.5 * 2 + 6),
        ("`total` were divided by `count`", 2 * 2 + 6),
    ],
)
def test_a_slip_among_numbers_does_what_it_says(cause, result):
    assert results(NUMBERS, 6.0, 2, 1.0)[cause] == pytest.approx(result)


def joined(i, f, kept=None, same=torch.eq):
    kept = (i.square() + 1).sqrt() * f.sigmoid() + i.sigmoid() if kept is None else kept
    return torch.where(same(f, 0), kept, f)


def centred(above):
    return above - above.mean(-1, keepdim=True)


@pytest.mark.parametrize(
    ("cause", "wrong"),
    [
        ("1 were added after the root, not before",
         lambda i, f: centred(joined(i, f, (i.abs() + 1) * f.sigmoid() + i.sigmoid()))),
        ("the sigmoid were left out throughout",
         lambda i, f: centred(joined(i, f, (i.square() + 1).sqrt() * f + i))),
        ("parts 1 and 2 of what comes from `x` were exchanged",
         lambda i, f: centred(joined(f, i))),
        ("at least stood where equal is meant",
         lambda i, f: centred(joined(i, f, same=torch.ge))),
        ("it were divided by one less than there are, where a mean is meant",
         lambda i, f: joined(i, f) - joined(i, f).sum(-1, keepdim=True)),
        ("it were done over everything at once",
         lambda i, f: joined(i, f) - joined(i, f).mean()),
    ],
)  # fmt: skip
def test_a_slip_among_tensors_does_what_it_says(cause, wrong):
    x = torch.tensor([[0.5, -1.0, 2.0, 0.0], [1.5, 0.0, 0.0, 1.0]])
    right = Reference("normed", ROWS, AROUND).made()(x, 0)
    assert torch.allclose(right, centred(joined(*x.chunk(2, -1))))
    made = results(ROWS, x, 0)[cause]
    assert torch.allclose(made, wrong(*x.chunk(2, -1)))
    assert not torch.allclose(made, right)


def test_a_variable_is_told_by_what_it_is_made_from():
    assert "the root of what comes from `x` were taken" in results(ROWS, torch.rand(2, 4), 0)


def test_guesses_are_made_once_and_only_as_far_as_somebody_asks():
    made = []
    kept = Kept(made.append(n) or n for n in range(5))
    assert next(iter(kept)) == 0
    assert made == [0]
    assert list(kept) == list(kept) == [0, 1, 2, 3, 4]
    assert made == [0, 1, 2, 3, 4]


def eps_outside(hidden, weight, eps=1e-5):
    return hidden / (hidden.square().amax(-1, keepdim=True) + eps).sqrt() * weight


def a_relu(gates, cell):
    i, f, g, o = gates.chunk(4, -1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.relu()
    return o.sigmoid() * cell.tanh(), cell


def one_place_back(hidden, U, gradient, steps):
    dx = torch.zeros_like(hidden)
    for t in range(len(hidden) - 1, max(0, len(hidden) - steps) - 1, -1):
        dx[t] = gradient * (1 - hidden[t - 1] ** 2)
        gradient = U.T @ dx[t]
    return dx


def the_stream_comes_along(hidden, gate, up, down):
    return hidden + (torch.nn.functional.silu(hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT


@pytest.mark.parametrize(
    ("check", "answer", "said"),
    [
        (normalisation.rms_norm, eps_outside, "the largest stood where the mean is meant"),
        (recurrence.lstm_step, a_relu, "a ReLU stood where tanh is meant"),
        (recurrence.gradient_through_time, one_place_back, "you looked one place further back"),
        (transformer.swiglu, the_stream_comes_along, "the right one plus `hidden`"),
        (counting.add_k_row, lambda counts, k: (counts + 2 * k) / (counts + 2 * k).sum(),
         "`counts` were half as large"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("known_to_end")
def test_a_verdict_names_what_no_bank_holds(check, answer, said):
    assert said in check.verdict(answer).title
