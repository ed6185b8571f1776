"""Policy gradient for rewards that a program can check: GRPO, with a group as its own baseline.

The policy answers each prompt several times, a function gives each answer a reward, and what did
better than its group becomes likelier (Shao et al., 2024). No value network, no reward model. Pure
functions of rewards and log-probabilities. Not here: sampling, and a run (`labs/rewarding.py`);
preferences between given answers (`preference.py`). Chapter 14 teaches this.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.objectives.base import LossSum

TINY = 1e-4
"""Added to a group's standard deviation: a group whose rewards are all equal teaches nothing."""


def group_advantages(rewards: Float[Tensor, "B N"], *, scale: bool = True) -> Float[Tensor, "B N"]:
    """Group advantages: each reward less its group's mean, in standard deviations of the group.

        A_i = (r_i - mean(r)) / (std(r) + 1e-4)

    A row holds the rewards of N answers to one prompt; the deviation is the sample's (N - 1). Not
    scaled, prompts that are nearly always or nearly never answered right weigh less, as they do in
    the gradient of the expected reward (Dr. GRPO; Liu et al., 2025).

    Raises:
        UserError: a group has fewer than 2 answers.
    """
    if rewards.size(1) < 2:
        raise UserError(
            f"a group of {rewards.size(1)} has nothing to be compared with: sample at least 2"
        )
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    return centred / (rewards.std(dim=1, keepdim=True) + TINY) if scale else centred


def kl_estimate(
    log_probs: Float[Tensor, "B T"], reference_log_probs: Float[Tensor, "B T"]
) -> Float[Tensor, "B T"]:
    """KL estimate k3 at each sampled token: ρ - log ρ - 1 with ρ = π_ref / π.

    Its mean over tokens that the policy drew is KL(π ‖ π_ref), and no single value is negative
    (Schulman, 2020).
    """
    log_ratio = reference_log_probs - log_probs
    return log_ratio.exp() - log_ratio - 1


def grpo_loss(
    log_probs: Float[Tensor, "B T"],
    old_log_probs: Float[Tensor, "B T"],
    reference_log_probs: Float[Tensor, "B T"],
    advantages: Float[Tensor, " B"],
    mask: Bool[Tensor, "B T"],
    clip: float = 0.2,
    kl_weight: float = 0.04,
) -> LossSum:
    """GRPO's loss: a mean over the tokens of each answer, summed over the answers.

        -min(ρ A, clamp(ρ, 1 - clip, 1 + clip) A) + kl_weight · k3,   ρ = π / π_old

    Shao et al. (2024), equation 3. As long as the policy is the one that sampled, ρ is 1 and the
    gradient is that of -A log π. The clip takes the gradient away once a token's probability has
    moved far enough in the wanted direction. Its count is that of the answers with any token.

    Args:
        log_probs: of the sampled tokens, under the policy that is trained.
        old_log_probs: under the policy that sampled; no gradient reaches it.
        reference_log_probs: under the model where training began; no gradient reaches it.
        advantages: one an answer, from `group_advantages(...).flatten()`.
        mask: which tokens are the answer's: neither the prompt's nor those after its end.
        clip: how far the ratio may move.
        kl_weight: what each nat away from the reference costs.

    Raises:
        UserError: the clip or the weight is below 0.
    """
    if clip < 0 or kl_weight < 0:
        raise UserError(f"clip={clip} and kl_weight={kl_weight} must not be below 0")
    # What stands outside the answers may be anything, infinite too, and infinity times 0 is no 0.
    now, old, reference = (
        each.masked_fill(~mask, 0)
        for each in (log_probs, old_log_probs.detach(), reference_log_probs.detach())
    )
    ratio = (now - old).exp()
    gain = advantages.detach()[:, None]  # B -> B 1: every token of an answer gets its credit
    wanted = torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain)
    each = (kl_weight * kl_estimate(now, reference) - wanted) * mask
    lengths = mask.sum(dim=1)
    return LossSum((each.sum(dim=1) / lengths.clamp_min(1)).sum(), (lengths > 0).sum())
