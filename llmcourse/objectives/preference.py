"""Losses on pairs of answers of which one was preferred: reward models, DPO, and its mends.

Bradley and Terry (1952) say how likely a preference is, given a reward for each answer; a reward
model learns the rewards. DPO (Rafailov et al., 2023) needs none: the policy's own log-probabilities
beside a frozen reference's are its rewards. Pure functions of log-probabilities, a loss a pair. Not
here: how rewards that a program can check are learned from (`policy_gradient.py`), a run
(`labs/preferring.py`). Chapter 14 teaches this.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.objectives.base import IGNORE


class SequenceLogProbs(NamedTuple):
    """Log-probability of each row's scored tokens together, in nats, and how many they are."""

    total: Float[Tensor, " B"]
    count: Int[Tensor, " B"]

    @property
    def mean(self) -> Float[Tensor, " B"]:
        """The mean for each scored token; 0 for a row without any."""
        return self.total / self.count.clamp_min(1)


class DPOResult(NamedTuple):
    """What DPO makes of each pair.

    Attributes:
        losses: one a pair, in nats.
        chosen_rewards: the implicit reward of the chosen answer, β log(π/π_ref), without gradient.
        rejected_rewards: that of the rejected one.
    """

    losses: Float[Tensor, " B"]
    chosen_rewards: Float[Tensor, " B"]
    rejected_rewards: Float[Tensor, " B"]

    @property
    def margins(self) -> Float[Tensor, " B"]:
        """By how much the chosen answer's implicit reward is the larger."""
        return self.chosen_rewards - self.rejected_rewards


def sequence_log_probs(
    logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]
) -> SequenceLogProbs:
    """Sequence log-probability: the sum of log p(target) over the positions not `IGNORE`.

    The logits at a position must be those that predict its target: the caller has shifted. With the
    prompt's targets `IGNORE` it is log p(answer | prompt).
    """
    scored = targets != IGNORE
    # Half precision cannot hold a sum of a hundred logarithms to a digit behind the point.
    full = logits.to(torch.promote_types(logits.dtype, torch.float32))
    safe = targets.masked_fill(~scored, 0)  # a place to read from; what is read there is dropped
    each = full.log_softmax(-1).gather(-1, safe[..., None]).squeeze(-1)  # B T V -> B T
    return SequenceLogProbs(each.masked_fill(~scored, 0).sum(-1), scored.sum(-1))


def bradley_terry_loss(
    chosen_rewards: Float[Tensor, " B"], rejected_rewards: Float[Tensor, " B"]
) -> Float[Tensor, " B"]:
    """Bradley-Terry loss of each pair: -log σ(reward_chosen - reward_rejected), in nats.

    What a reward model is trained on (Ouyang et al., 2022, equation 1). Only differences count: a
    constant added to all rewards changes nothing.
    """
    return -F.logsigmoid(chosen_rewards - rejected_rewards)


def dpo_loss(
    policy_chosen: Float[Tensor, " B"],
    policy_rejected: Float[Tensor, " B"],
    reference_chosen: Float[Tensor, " B"],
    reference_rejected: Float[Tensor, " B"],
    beta: float = 0.1,
) -> DPOResult:
    """Direct preference optimisation: Bradley-Terry's loss of the policy's implicit rewards.

        -log σ(β [log π(chosen)/π_ref(chosen) - log π(rejected)/π_ref(rejected)])

    Rafailov et al. (2023), equation 7. All four arguments are log-probabilities of whole answers,
    summed over their tokens. The reference's are held fixed: no gradient reaches them.

    Args:
        policy_chosen: log π of each chosen answer, given its prompt.
        policy_rejected: of each rejected one.
        reference_chosen: the same under the frozen model where training began.
        reference_rejected: the same.
        beta: β; the smaller, the further from the reference the best policy lies.

    Raises:
        UserError: β is not above 0.
    """
    _positive(beta)
    chosen = beta * (policy_chosen - reference_chosen.detach())
    rejected = beta * (policy_rejected - reference_rejected.detach())
    losses = bradley_terry_loss(chosen, rejected)
    return DPOResult(losses, chosen.detach(), rejected.detach())


def chosen_nll_loss(chosen: SequenceLogProbs) -> Float[Tensor, " B"]:
    """Negative log-likelihood of each chosen answer, in nats a token.

    Added to DPO's loss it keeps the chosen answers likely, where DPO alone asks for nothing but a
    difference: RPO (Pang et al., 2024, equation 1, with weight 1).
    """
    return -chosen.mean


def simpo_loss(
    chosen: SequenceLogProbs, rejected: SequenceLogProbs, beta: float = 2.0, gamma: float = 1.0
) -> DPOResult:
    """SimPO: a reward of β nats for each nat *a token*, and no reference.

        -log σ(β log π(chosen) / |chosen| - β log π(rejected) / |rejected| - γ)

    Meng et al. (2024), equation 6. A sum over tokens grows with an answer's length; a mean does
    not.

    Raises:
        UserError: β is not above 0.
    """
    _positive(beta)
    rewards = beta * chosen.mean, beta * rejected.mean
    losses = bradley_terry_loss(rewards[0] - gamma, rewards[1])
    return DPOResult(losses, rewards[0].detach(), rewards[1].detach())


def _positive(beta: float) -> None:
    if not beta > 0:
        raise UserError(f"beta={beta} must be above 0: try 0.1")
