"""Right answers to the exercises of chapter 14, in the styles in which people write them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from others_answers import right_answers, wrong_answers

from llmcourse.checks.bank import distilling, policies, preferences


def by_the_library(student, teacher, targets, tau, share):
    soft = F.kl_div(
        F.log_softmax(student / tau, dim=1),
        F.log_softmax(teacher.detach() / tau, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return share * tau * tau * soft + (1.0 - share) * F.cross_entropy(student, targets)


def without_a_graph(student, teacher, targets, tau, share):
    with torch.no_grad():
        log_p = F.log_softmax(teacher / tau, -1)
        p, entropy = log_p.exp(), -(log_p.exp() * log_p).sum(-1)
    log_q = student / tau - torch.logsumexp(student / tau, -1, keepdim=True)
    soft = -(p * log_q).sum(-1) - entropy
    hard = -student.log_softmax(-1)[torch.arange(len(targets)), targets]
    return (share * tau**2 * soft + (1 - share) * hard).mean()


def place_by_place(student, teacher, targets, tau, share):
    total = 0.0
    for z, other, target in zip(student, teacher.detach(), targets, strict=True):
        log_p, log_q = (other / tau).log_softmax(0), (z / tau).log_softmax(0)
        total = total + share * tau**2 * torch.sum(log_p.exp() * (log_p - log_q))
        total = total - (1 - share) * z.log_softmax(0)[target]
    return total / len(student)


def as_two_cross_entropies(student, teacher, targets, tau, share):
    p = (teacher.detach() / tau).softmax(1)
    floor = F.cross_entropy(teacher.detach() / tau, p)
    soft = F.cross_entropy(student / tau, p) - floor
    return share * tau**2 * soft + (1 - share) * F.nll_loss(student.log_softmax(1), targets)


def by_cross_entropy(logits, targets):
    return -F.cross_entropy(
        logits.transpose(1, 2), targets, ignore_index=-100, reduction="none"
    ).sum(1)


def row_by_row(logits, targets):
    found = []
    for row, wanted in zip(logits.log_softmax(-1), targets, strict=True):
        places = [t for t in range(len(wanted)) if wanted[t] != -100]
        found.append(sum((row[t, wanted[t]] for t in places), 0.0 * row.sum()))
    return torch.stack(found)


def with_one_hot(logits, targets):
    scored = (targets != -100)[..., None]
    chosen = F.one_hot(targets.clamp(min=0), logits.size(-1)) * scored
    return (logits.log_softmax(-1) * chosen).sum((1, 2))


def with_where(logits, targets):
    each = torch.take_along_dim(logits.log_softmax(2), targets.clamp_min(0).unsqueeze(2), 2)[
        :, :, 0
    ]
    return torch.where(targets == -100, torch.zeros_like(each), each).sum(1)


def softplus(chosen, rejected):
    return F.softplus(rejected - chosen).mean()


def cross_entropy_of_two(chosen, rejected):
    both = torch.stack([chosen, rejected], dim=1)
    return F.cross_entropy(both, torch.zeros(len(both), dtype=torch.long))


def binary(chosen, rejected):
    gap = chosen - rejected
    return F.binary_cross_entropy_with_logits(gap, torch.ones_like(gap))


def logaddexp(chosen, rejected):
    gap = rejected - chosen
    return torch.logaddexp(gap, torch.zeros_like(gap)).sum() / len(gap)


def dpo_by_softplus(pc, pr, rc, rr, beta):
    with torch.no_grad():
        rewards = beta * (pc - rc), beta * (pr - rr)
    margin = beta * ((pc - pr) - (rc - rr).detach())
    return F.softplus(-margin), *rewards


def dpo_as_a_list(pc, pr, rc, rr, beta):
    chosen, rejected = (now - then.detach() for now, then in ((pc, rc), (pr, rr)))
    losses = -F.logsigmoid(beta * chosen - beta * rejected)
    return [losses, (beta * chosen).detach(), (beta * rejected).detach()]


def dpo_by_two(pc, pr, rc, rr, beta):
    rewards = beta * (torch.stack([pc, pr]) - torch.stack([rc, rr]).detach())
    return -rewards.log_softmax(0)[0], *rewards.detach()


def by_hand(rewards):
    rows = []
    for row in rewards.tolist():
        mean = sum(row) / len(row)
        deviation = math.sqrt(sum((r - mean) ** 2 for r in row) / (len(row) - 1))
        rows.append([(r - mean) / (deviation + 1e-4) for r in row])
    return torch.tensor(rows, dtype=rewards.dtype)


def in_numpy(rewards):
    found = rewards.numpy()
    centred = found - found.mean(1, keepdims=True)
    return torch.from_numpy(np.asarray(centred / (found.std(1, ddof=1, keepdims=True) + 1e-4)))


def by_the_variance(rewards):
    variance, mean = torch.var_mean(rewards, dim=-1, keepdim=True)
    return (rewards - mean) / (variance.sqrt() + 1e-4)


def transposed(rewards):
    return ((rewards.T - rewards.mean(1)) / (rewards.std(1) + 0.0001)).T


def by_log_sums(student, teacher, targets, tau, share):
    def log_p(logits, temperature=tau):
        return logits / temperature - (logits / temperature).logsumexp(-1, keepdim=True)

    with torch.no_grad():
        known = log_p(teacher)
    soft = torch.einsum("nv,nv->", known.exp(), known - log_p(student)) / len(student)
    hard = -log_p(student, 1).gather(1, targets[:, None]).mean()
    return share * tau**2 * soft + (1 - share) * hard


def by_index_add(logits, targets):
    row, place = (targets != -100).nonzero(as_tuple=True)
    each = logits.log_softmax(-1)[row, place, targets[row, place]]
    return torch.zeros(len(logits), dtype=logits.dtype).index_add(0, row, each)


def pair_by_pair(chosen, rejected):
    losses = [-F.logsigmoid(a - b) for a, b in zip(chosen, rejected, strict=True)]
    return sum(losses) / len(losses)


def dpo_in_a_loop(pc, pr, rc, rr, beta):
    rows = []
    for a, b, c, d in zip(pc, pr, rc.detach(), rr.detach(), strict=True):
        won, lost = beta * (a - c), beta * (b - d)
        rows.append((F.softplus(lost - won), won.detach(), lost.detach()))
    return tuple(torch.stack(column) for column in zip(*rows, strict=True))


def by_pairs_of_answers(rewards):
    n = rewards.size(1)
    gaps = rewards[:, :, None] - rewards[:, None, :]
    variance = gaps.square().sum((1, 2)) / (2 * n * (n - 1))
    return gaps.mean(2) / (variance.sqrt()[:, None] + 1e-4)


RIGHT = [
    *(
        (distilling.distillation_loss, answer)
        for answer in (
            by_the_library,
            without_a_graph,
            place_by_place,
            as_two_cross_entropies,
            by_log_sums,
        )
    ),
    *(
        (preferences.answer_log_prob, answer)
        for answer in (by_cross_entropy, row_by_row, with_one_hot, with_where, by_index_add)
    ),
    *(
        (preferences.preference_loss, answer)
        for answer in (softplus, cross_entropy_of_two, binary, logaddexp, pair_by_pair)
    ),
    *(
        (preferences.dpo, answer)
        for answer in (dpo_by_softplus, dpo_as_a_list, dpo_by_two, dpo_in_a_loop)
    ),
    *(
        (policies.advantages, answer)
        for answer in (by_hand, in_numpy, by_the_variance, transposed, by_pairs_of_answers)
    ),
]


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)


def test_the_experiment_rises_and_then_falls():
    """What the exercise's text says of the curve, over the five sizes that are asked for."""
    found = [policies._best_of(n) for n in (1, 4, 16, 64, 256)]
    assert found.index(max(found)) == 2
    assert found == sorted(found[:3]) + sorted(found[3:], reverse=True)


@pytest.mark.parametrize("handed_in", [0.1, "d"])
def test_wrong_measurements_and_reasons_are_told(handed_in):
    check = policies.true_of_256 if isinstance(handed_in, float) else policies.why_it_falls
    assert check.verdict(handed_in).status == "wrong"


def infinite(student, teacher, targets, tau, share):
    made = torch.distributions.Categorical
    soft = torch.distributions.kl_divergence(
        made(logits=teacher.detach() / tau), made(logits=student / tau)
    )
    hard = -made(logits=student).log_prob(targets)
    return (share * tau**2 * soft + (1 - share) * hard).mean()


def likely_words_alone(student, teacher, targets, tau, share):
    p = (teacher.detach() / tau).softmax(-1)
    each = p * (p.clamp_min(1e-30).log() - (student / tau).log_softmax(-1))
    soft = torch.where(p < 1e-3, 0.0, each).sum(-1).mean()
    return share * tau**2 * soft + (1 - share) * F.cross_entropy(student, targets)


def squared_on_both(student, teacher, targets, tau, share):
    return tau**2 * by_the_library(student / tau, teacher / tau, targets, 1.0, share) + tau**2 * (
        1 - share
    ) * (F.cross_entropy(student, targets) - F.cross_entropy(student / tau, targets))


def word_zero_is_filler(logits, targets):
    return by_cross_entropy(logits, targets.masked_fill(targets == 0, -100))


def product_first(logits, targets):
    p = logits.softmax(-1).gather(-1, targets.clamp_min(0)[..., None])[..., 0]
    return torch.where(targets < 0, torch.ones_like(p), p).prod(1).log()


def with_a_kink(chosen, rejected):
    gap = rejected - chosen
    return (gap.clamp(min=0) + (1 + (-gap.abs()).exp()).log()).mean()


def by_exponentials(chosen, rejected):
    both = torch.stack([chosen, rejected]).exp()
    return -(both[0] / both.sum(0)).log().mean()


def without_beta(pc, pr, rc, rr, beta):
    losses = dpo_by_softplus(pc, pr, rc, rr, 1.0)[0]
    return losses, *dpo_by_softplus(pc, pr, rc, rr, beta)[1:]


def the_wrong_way_round(pc, pr, rc, rr, beta):
    return dpo_by_softplus(pr, pc, rr, rc, beta)[0], *dpo_by_softplus(pc, pr, rc, rr, beta)[1:]


def rewards_detached_first(pc, pr, rc, rr, beta):
    _, chosen, rejected = dpo_by_softplus(pc, pr, rc, rr, beta)
    return F.softplus(rejected - chosen), chosen, rejected


def cut_at_two(rewards):
    return by_the_variance(rewards).clip(-2.0, 2.0)


def squares_less_the_square(rewards):
    n, mean = rewards.size(1), rewards.mean(1, keepdim=True)
    variance = (rewards.pow(2).sum(1, keepdim=True) - n * mean**2) / (n - 1)
    return (rewards - mean) / (variance.clamp(min=0).sqrt() + 1e-4)


def a_tiny_number(rewards):
    spread, mean = torch.std_mean(rewards, 1, keepdim=True)
    return (rewards - mean) / (spread + 1e-8)


WRONG = [
    (distilling.distillation_loss, infinite, "infinite where the student's probability is 0"),
    (distilling.distillation_loss, likely_words_alone, "small probabilities are left out"),
    (distilling.distillation_loss, squared_on_both, "τ² on both parts"),
    (preferences.answer_log_prob, word_zero_is_filler, "the first word of the vocabulary"),
    (preferences.answer_log_prob, product_first, "the logarithm of a product"),
    (preferences.preference_loss, with_a_kink, "a kink at equal rewards"),
    (preferences.preference_loss, by_exponentials, "exponentials of the rewards"),
    (preferences.dpo, without_beta, "no β in the loss"),
    (preferences.dpo, the_wrong_way_round, "chosen and rejected exchanged"),
    (preferences.dpo, rewards_detached_first, "no gradient"),
    (policies.advantages, cut_at_two, "clipped"),
    (policies.advantages, squares_less_the_square, "the variance as a difference of squares"),
    (policies.advantages, a_tiny_number, "next to nothing is added"),
]


test_a_wrong_answer_hears_its_cause = wrong_answers(WRONG)


def test_groups_of_what_are_no_neighbours_are_told():
    proxy, true = (rewards.view(256, 256) for rewards in policies.answers())
    found = true.gather(0, proxy.argmax(0, keepdim=True)).mean()
    assert policies.true_of_256.verdict(found).mistake.name == "groups of every 256th"
