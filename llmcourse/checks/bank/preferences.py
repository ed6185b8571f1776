"""The exercises on preferences: what an answer's probability is, Bradley and Terry's loss, DPO.

Not here: soft targets (`distilling.py`), advantages and rewards with a hole (`policies.py`), the
exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 14 teaches this.
"""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.objectives import preference
from llmcourse.objectives.base import IGNORE

CHAPTER = "14"
PAIRS = "5. What do people prefer?"
DPO = "6. Can you do without a reward model?"
ALL = ("float64", "non-contiguous", "gradients")

# 2. How likely is an answer?


@exercise(CHAPTER, axes="B", variants=ALL, read=DPO)
def answer_log_prob(
    logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]
) -> Float[Tensor, " B"]:
    """The sum of log p(target) over the targets of each row that are not -100."""
    return preference.sequence_log_probs(logits, targets).total


@answer_log_prob.cases
def _() -> Iterator[Case]:
    odds = torch.tensor([[[1.0, 1.0], [3.0, 1.0], [1.0, 1.0]]]).log()
    yield case("by hand", odds, torch.tensor([[IGNORE, 1, 0]]))
    yield case(
        "two rows", torch.randn(2, 4, 5), _targets([[IGNORE, 1, 2, 3], [IGNORE, 0, 4, IGNORE]])
    )
    yield case("all scored", torch.randn(3, 3, 4), torch.randint(4, (3, 3)))
    yield case(
        "a row without an answer", torch.randn(2, 3, 4), _targets([[IGNORE] * 3, [IGNORE, 2, 3]])
    )
    yield case(
        "filler behind", torch.randn(2, 4, 3), _targets([[0, 1, IGNORE, IGNORE], [2, 2, 2, 1]])
    )
    yield case("logits of 1000", 1000 * torch.randn(2, 3, 4), _targets([[1, 0, 2], [IGNORE, 3, 3]]))
    yield case("the first token is the answer's", torch.randn(1, 2, 3), torch.tensor([[0, IGNORE]]))
    yield case("the last word of the vocabulary", torch.randn(1, 3, 3), _targets([[2, IGNORE, 2]]))
    yield case(
        "as many rows as places",
        torch.randn(3, 3, 3),
        _targets([[0, 1, 2], [2, IGNORE, 1], [IGNORE, 0, 0]]),
    )


def _targets(rows: list[list[int]]) -> Tensor:
    return torch.tensor(rows)


def _each(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The log-probability at each place, of token 0 where nothing is scored, and what is."""
    scored = targets != IGNORE
    at = targets.masked_fill(~scored, 0)[..., None]
    return logits.log_softmax(-1).gather(-1, at).squeeze(-1), scored


@answer_log_prob.mistake(
    "the places that are not scored count, too",
    hint="Where the target is −100 nothing is asked: its term has to be 0, not that of some token.",
)
def _(logits, targets):
    return _each(logits, targets)[0].sum(-1)


@answer_log_prob.mistake(
    "a mean over the tokens",
    hint="The probability of an answer is a product, so its logarithm is a *sum* over its tokens.",
)
def _(logits, targets):
    each, scored = _each(logits, targets)
    return (each * scored).sum(-1) / scored.sum(-1).clamp_min(1)


@answer_log_prob.mistake(
    "one number for all rows", hint="Each row is an answer of its own: sum over T alone."
)
def _(logits, targets):
    each, scored = _each(logits, targets)
    return (each * scored).sum()


@answer_log_prob.mistake(
    "the loss",
    hint="The cross-entropy is the *negative* log-probability. A log-probability is ≤ 0.",
)
def _(logits, targets):
    each, scored = _each(logits, targets)
    return -(each * scored).sum(-1)


@answer_log_prob.mistake(
    "the probability", hint="That is the product of probabilities. Wanted is its logarithm."
)
def _(logits, targets):
    each, scored = _each(logits, targets)
    return (each * scored).sum(-1).exp()


@answer_log_prob.mistake(
    "the logits themselves",
    hint="A logit is no log-probability: subtract the log-sum-exp over the vocabulary.",
)
def _(logits, targets):
    scored = targets != IGNORE
    at = targets.masked_fill(~scored, 0)[..., None]
    return (logits.gather(-1, at).squeeze(-1) * scored).sum(-1)


@answer_log_prob.mistake(
    "shifted once more",
    hint="The targets are shifted already: the logits at place t predict `targets[:, t]`.",
)
def _(logits, targets):
    each, scored = _each(logits[:, :-1], targets[:, 1:])
    return (each * scored).sum(-1)


@answer_log_prob.mistake(
    "the softmax over the places",
    hint="Each place has a distribution over the vocabulary: the last axis.",
)
def _(logits, targets):
    scored = targets != IGNORE
    at = targets.masked_fill(~scored, 0)[..., None]
    return (logits.log_softmax(1).gather(-1, at).squeeze(-1) * scored).sum(-1)


@answer_log_prob.mistake(
    "the logarithm of a softmax",
    hint="A hopeless token's probability rounds to 0, and log 0 is minus infinity: `log_softmax`.",
)
def _(logits, targets):
    scored = targets != IGNORE
    at = targets.masked_fill(~scored, 0)[..., None]
    each = logits.softmax(-1).log().gather(-1, at).squeeze(-1)
    return each.masked_fill(~scored, 0).sum(-1)


def _scored_by(logits: Tensor, targets: Tensor, scored: Tensor) -> Tensor:
    """The sum over other places than those that are scored."""
    return (_each(logits, targets)[0] * scored).sum(-1)


@answer_log_prob.mistake(
    "the first word of the vocabulary is not scored",
    hint="Word 0 is a word like any other. Left out is −100 alone: `targets != -100`.",
)
def _(logits, targets):
    return _scored_by(logits, targets, targets > 0)


@answer_log_prob.mistake(
    "shifted backwards",
    hint="You score each target by the logits of the *next* place. Both stand at the same place t.",
)
def _(logits, targets):
    each, scored = _each(logits[:, 1:], targets[:, :-1])
    return (each * scored).sum(-1)


@answer_log_prob.mistake(
    "the logarithm of a product",
    hint="A product of many probabilities rounds to 0. Add up their logarithms instead.",
)
def _(logits, targets):
    scored = targets != IGNORE
    at = targets.masked_fill(~scored, 0)[..., None]
    each = logits.softmax(-1).gather(-1, at).squeeze(-1)
    return each.masked_fill(~scored, 1).prod(-1).log()


@answer_log_prob.mistake(
    "the likeliest word in place of the target",
    hint="Asked is how likely *this* answer is: read the entry of the target, not the largest.",
)
def _(logits, targets):
    return (logits.log_softmax(-1).amax(-1) * (targets != IGNORE)).sum(-1)


@answer_log_prob.mistake(
    "the last scored place alone", hint="All scored places of a row count: sum over T."
)
def _(logits, targets):
    scored = targets != IGNORE
    later = scored.flip(1).cumsum(1).flip(1)
    return _scored_by(logits, targets, scored & (later == 1))


@answer_log_prob.mistake(
    "the filler is thought to stand in front",
    hint="Filler may stand behind the answer, or within. Ask of each place whether it is scored.",
)
def _(logits, targets):
    n = (targets == IGNORE).sum(1, keepdim=True)
    return _scored_by(logits, targets, torch.arange(targets.size(1)) >= n)


@answer_log_prob.mistake(
    "−100 counted from behind",
    hint="−100 is no index, and what it picks is not to be scored: drop it after reading.",
)
def _(logits, targets):
    at = targets.remainder(logits.size(-1))[..., None]
    return logits.log_softmax(-1).gather(-1, at).squeeze(-1).sum(-1)


@answer_log_prob.mistake(
    "the first place is left out",
    hint="The first place is scored like the others, unless its target is −100.",
)
def _(logits, targets):
    return _scored_by(logits[:, 1:], targets[:, 1:], targets[:, 1:] != IGNORE)


@answer_log_prob.mistake(
    "the last place is left out",
    hint="The targets are as many as the places: the last one is scored as well.",
)
def _(logits, targets):
    return _scored_by(logits[:, :-1], targets[:, :-1], targets[:, :-1] != IGNORE)


@answer_log_prob.mistake(
    "no gradient",
    hint="The values are right, but a policy cannot learn from them: no `.item()`, no `no_grad`, "
    "no `detach()`.",
)
def _(logits, targets):
    return _scored_by(logits, targets, targets != IGNORE).detach()


@answer_log_prob.mistake(
    "no number for a row without an answer",
    hint="A mean over no places is 0 / 0. A row without any scored place has the sum 0.",
)
def _(logits, targets):
    found = _scored_by(logits, targets, targets != IGNORE)
    return found.masked_fill((targets == IGNORE).all(1), math.nan)


# 3. Bradley and Terry


@exercise(CHAPTER, variants=ALL, read=PAIRS)
def preference_loss(
    chosen: Float[Tensor, " B"], rejected: Float[Tensor, " B"]
) -> Float[Tensor, ""]:
    """The mean over the pairs of -ln σ(chosen - rejected)."""
    return preference.bradley_terry_loss(chosen, rejected).mean()


@preference_loss.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([3.0]).log(), torch.tensor([0.0]))
    yield case("four pairs", torch.randn(4), torch.randn(4))
    yield case("all alike", torch.zeros(3), torch.zeros(3))
    yield case("shifted far", torch.randn(3) + 50, torch.randn(3) + 50)
    yield case("far apart, and right", torch.tensor([500.0, 1.0]), torch.tensor([-500.0, 0.0]))
    yield case("far apart, and wrong", torch.tensor([-500.0, 1.0]), torch.tensor([500.0, 0.0]))
    yield case("one pair, the wrong way", torch.tensor([-2.0]), torch.tensor([1.0]))


@preference_loss.mistake(
    "the sigmoid as it stands",
    hint="On paper it is right. For a difference of −1000 the sigmoid is 0, and its logarithm "
    "minus infinity. Look for a function that does both steps.",
)
def _(chosen, rejected):
    return -torch.log(torch.sigmoid(chosen - rejected)).mean()


@preference_loss.mistake(
    "chosen and rejected exchanged",
    hint="It should become *smaller* when the chosen answer's reward rises.",
)
def _(chosen, rejected):
    return -F.logsigmoid(rejected - chosen).mean()


@preference_loss.mistake("the sign is missing", hint="A log-probability is below 0, a loss is not.")
def _(chosen, rejected):
    return F.logsigmoid(chosen - rejected).mean()


@preference_loss.mistake(
    "the probability", hint="That is how likely the preferences are. The loss is −ln of that."
)
def _(chosen, rejected):
    return torch.sigmoid(chosen - rejected).mean()


@preference_loss.mistake("a sum over the pairs", hint="Wanted is the mean over the pairs.")
def _(chosen, rejected):
    return -F.logsigmoid(chosen - rejected).sum()


@preference_loss.mistake("one loss a pair", hint="Wanted is one number, the mean over the pairs.")
def _(chosen, rejected):
    return -F.logsigmoid(chosen - rejected)


@preference_loss.mistake(
    "the difference of the means",
    hint="Take the loss of each *pair*, and then the mean. σ of a mean is another number.",
)
def _(chosen, rejected):
    return -F.logsigmoid(chosen.mean() - rejected.mean())


@preference_loss.mistake(
    "each side by itself",
    hint="That asks for a large reward here and a small one there. Only the *difference* says "
    "anything about a preference.",
)
def _(chosen, rejected):
    return -(F.logsigmoid(chosen) + F.logsigmoid(-rejected)).mean()


@preference_loss.mistake(
    "a hinge",
    hint="That is the margin loss, max(0, 1 − difference). Bradley and Terry have a sigmoid.",
)
def _(chosen, rejected):
    return (1 - (chosen - rejected)).clamp_min(0).mean()


def _of_gap(name: str, hint: str, loss: Callable[[Tensor], Tensor]) -> None:
    """Catalogue a mistake that is another function of the differences."""

    @preference_loss.mistake(name, hint=hint)
    def _(chosen, rejected):
        return loss(chosen - rejected)


_of_gap(
    "a small number within the logarithm",
    "It hides the infinity and changes the loss: a difference of −1000 costs 1000, not 18.",
    lambda gap: -torch.log(torch.sigmoid(gap) + 1e-8).mean(),
)
_of_gap(
    "the difference cut off",
    "It hides the infinity and changes the loss: a difference of −1000 costs 1000, whatever it is "
    "cut to.",
    lambda gap: -F.logsigmoid(gap.clamp(-50, 50)).mean(),
)
_of_gap(
    "the loss cut off",
    "It hides the infinity and changes the loss: a difference of −1000 costs 1000, not 100.",
    lambda gap: (-F.logsigmoid(gap)).clamp_max(100).mean(),
)
_of_gap(
    "the logarithm of the mean",
    "First the logarithm of each pair's σ, then the mean.",
    lambda gap: -gap.sigmoid().mean().log(),
)
_of_gap(
    "the probability of the other answer",
    "1 − σ is how likely the *other* choice was. The loss is −ln σ.",
    lambda gap: (1 - gap.sigmoid()).mean(),
)
_of_gap(
    "no logarithm",
    "You negate the probability. The loss is its negative *logarithm*.",
    lambda gap: -gap.sigmoid().mean(),
)
_of_gap(
    "the pairs told right alone",
    "Every pair counts: those that are told wrong are what the model learns from.",
    lambda gap: -F.logsigmoid(gap)[gap > 0].mean(),
)
_of_gap(
    "the pairs told wrong alone",
    "Every pair counts: −ln σ is above 0 for a pair that is told right, too.",
    lambda gap: -F.logsigmoid(gap)[gap < 0].mean(),
)
_of_gap(
    "the share of pairs told right",
    "That is an accuracy, from which nothing can be learned. Wanted is the mean of −ln σ.",
    lambda gap: (gap > 0).to(gap.dtype).mean(),
)
_of_gap(
    "both answers win",
    "The chosen answer won, the rejected one did not: only −ln σ(chosen − rejected) counts.",
    lambda gap: -(F.logsigmoid(gap) + F.logsigmoid(-gap)).mean(),
)
_of_gap(
    "divided by one pair less",
    "The mean divides by the number of pairs.",
    lambda gap: -F.logsigmoid(gap).sum() / max(1, len(gap) - 1),
)
_of_gap(
    "twice the difference",
    "(tanh x + 1) / 2 is σ(2 x). The sigmoid is 1 / (1 + e^−x).",
    lambda gap: -F.logsigmoid(2 * gap).mean(),
)
_of_gap(
    "a kink at equal rewards",
    "The values are right, but where both rewards are equal the gradient is not: `clamp`, `abs` "
    "and `max` have a kink there. A reward model begins with equal rewards.",
    lambda gap: ((-gap).clamp_min(0) + torch.log1p(torch.exp(-gap.abs()))).mean(),
)


@preference_loss.mistake(
    "exponentials of the rewards",
    hint="On paper it is right. But e^500 is infinite. Only the difference counts: look for a "
    "function that takes the logarithm of its sigmoid.",
)
def _(chosen, rejected):
    return -(chosen.exp() / (chosen.exp() + rejected.exp())).log().mean()


@preference_loss.mistake(
    "every chosen one with every rejected one",
    hint="A chosen answer is compared with the rejected one of its own pair alone.",
)
def _(chosen, rejected):
    return -F.logsigmoid(chosen[:, None] - rejected).mean()


@preference_loss.mistake(
    "a quotient of rewards", hint="Only the *difference* of two rewards means something."
)
def _(chosen, rejected):
    return -F.logsigmoid(chosen / rejected).mean()


@preference_loss.mistake(
    "no gradient",
    hint="The value is right, but a reward model cannot learn from it: no `.item()`, no `no_grad`.",
)
def _(chosen, rejected):
    return -F.logsigmoid(chosen - rejected).mean().detach()


@preference_loss.mistake(
    "the rejected answer's reward does not learn",
    hint="The value is right, but the rejected side is detached: its reward is to fall, too.",
)
def _(chosen, rejected):
    return -F.logsigmoid(chosen - rejected.detach()).mean()


# 4. DPO


def _as_tuple(answer, policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    """Three results in a list are as good as in a tuple."""
    found = answer(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta)
    return tuple(found) if isinstance(found, list) else found


@exercise(CHAPTER, axes=("B", "B", "B"), call=_as_tuple, variants=ALL, read=DPO)
def dpo(
    policy_chosen: Float[Tensor, " B"],
    policy_rejected: Float[Tensor, " B"],
    reference_chosen: Float[Tensor, " B"],
    reference_rejected: Float[Tensor, " B"],
    beta: float,
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"], Float[Tensor, " B"]]:
    """The loss of each pair, and the implicit rewards of both sides, these without a gradient."""
    return tuple(
        preference.dpo_loss(
            policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta
        )
    )


@dpo.cases
def _() -> Iterator[Case]:
    two = ([-10.0, -12.0], [-31.0, -30.0], [-11.0, -12.0], [-30.0, -30.0])
    yield case("by hand", *map(torch.tensor, two), 0.5)
    yield case("four pairs", *(-20 * torch.rand(4) for _ in range(4)), 0.1)
    same = -9 * torch.rand(3), -9 * torch.rand(3)
    yield case("the policy is the reference", *same, *(s.clone() for s in same), 0.1)
    yield case("one pair", *(-5 * torch.rand(1) for _ in range(4)), 2.0)
    far = ([-900.0, -1.0], [-1.0, -900.0], [-1.0, -900.0], [-900.0, -1.0])
    yield case("far from the reference", *map(torch.tensor, far), 1.0)
    both = ([-60.0, -70.0], [-90.0, -95.0], [-50.0, -50.0], [-60.0, -60.0])
    yield case("both have fallen", *map(torch.tensor, both), 0.3)
    yield case("a tiny beta", *(-20 * torch.rand(5) for _ in range(4)), 0.01)


def _dpo(pc, pr, rc, rr, beta, *, margin=None, losses=None, rewards=None):
    """DPO with one of its parts exchanged."""
    rc, rr = rc.detach(), rr.detach()
    chosen, rejected = beta * (pc - rc), beta * (pr - rr)
    margin = chosen - rejected if margin is None else margin
    losses = -F.logsigmoid(margin) if losses is None else losses
    first, second = (chosen, rejected) if rewards is None else rewards
    return losses, first.detach(), second.detach()


@dpo.mistake(
    "no reference in the loss",
    hint="Without the reference, the loss asks for a likely answer, not for one that has become "
    "likelier *than it was*. Both sides are measured from the reference.",
)
def _(pc, pr, rc, rr, beta):
    return _dpo(pc, pr, rc, rr, beta, margin=beta * (pc - pr))


@dpo.mistake(
    "no reference anywhere",
    hint="The implicit reward is β ln(π / π_ref): subtract the reference's log-probability.",
)
def _(pc, pr, rc, rr, beta):
    return _dpo(pc, pr, rc, rr, beta, margin=beta * (pc - pr), rewards=(beta * pc, beta * pr))


@dpo.mistake("no β in the loss", hint="β stands inside the sigmoid, in front of the difference.")
def _(pc, pr, rc, rr, beta):
    rc, rr = rc.detach(), rr.detach()
    return _dpo(pc, pr, rc, rr, beta, margin=(pc - rc) - (pr - rr))


@dpo.mistake("no β in the rewards", hint="The implicit reward has a β, too: β ln(π / π_ref).")
def _(pc, pr, rc, rr, beta):
    return _dpo(pc, pr, rc, rr, beta, rewards=(pc - rc, pr - rr))


@dpo.mistake("no β anywhere", hint="β is missing, in the loss and in the rewards.")
def _(pc, pr, rc, rr, beta):
    rc, rr = rc.detach(), rr.detach()
    return _dpo(pc, pr, rc, rr, beta, margin=(pc - rc) - (pr - rr), rewards=(pc - rc, pr - rr))


@dpo.mistake(
    "β outside the logarithm",
    hint="−β ln σ(x) is not −ln σ(βx). β stands inside, in front of the difference.",
)
def _(pc, pr, rc, rr, beta):
    losses = -beta * F.logsigmoid((pc - rc.detach()) - (pr - rr.detach()))
    return _dpo(pc, pr, rc, rr, beta, losses=losses)


@dpo.mistake(
    "chosen and rejected exchanged",
    hint="The loss should fall when the chosen answer becomes likelier.",
)
def _(pc, pr, rc, rr, beta):
    rc, rr = rc.detach(), rr.detach()
    return _dpo(pc, pr, rc, rr, beta, margin=beta * ((pr - rr) - (pc - rc)))


@dpo.mistake(
    "policy and reference exchanged",
    hint="It is ln π − ln π_ref, the policy's first: what has become likelier has a reward above "
    "0.",
)
def _(pc, pr, rc, rr, beta):
    rc, rr = rc.detach(), rr.detach()
    now = beta * (rc - pc), beta * (rr - pr)
    return _dpo(pc, pr, rc, rr, beta, margin=now[0] - now[1], rewards=now)


@dpo.mistake(
    "the sigmoid as it stands",
    hint="Far from the reference the sigmoid is 0, and its logarithm minus infinity. Look for a "
    "function that does both steps.",
)
def _(pc, pr, rc, rr, beta):
    margin = beta * ((pc - rc.detach()) - (pr - rr.detach()))
    return _dpo(pc, pr, rc, rr, beta, losses=-torch.log(torch.sigmoid(margin)))


@dpo.mistake(
    "the mean loss", hint="Wanted is a loss for each pair. The mean comes later, in the loop."
)
def _(pc, pr, rc, rr, beta):
    losses, chosen, rejected = _dpo(pc, pr, rc, rr, beta)
    return losses.mean(), chosen, rejected


@dpo.mistake(
    "the loss alone", hint="Three things are to be returned: losses, chosen and rejected rewards."
)
def _(pc, pr, rc, rr, beta):
    return _dpo(pc, pr, rc, rr, beta)[0]


@dpo.mistake(
    "the rewards carry a gradient",
    hint="The values are right. The rewards are to look at: detach them.",
)
def _(pc, pr, rc, rr, beta):
    chosen, rejected = beta * (pc - rc.detach()), beta * (pr - rr.detach())
    return -F.logsigmoid(chosen - rejected), chosen, rejected


@dpo.mistake(
    "the reference learns, too",
    hint="The values are right, but a gradient flows into the reference. It is frozen: detach.",
)
def _(pc, pr, rc, rr, beta):
    chosen, rejected = beta * (pc - rc), beta * (pr - rr)
    return -F.logsigmoid(chosen - rejected), chosen.detach(), rejected.detach()


@dpo.mistake(
    "a ratio of log-probabilities",
    hint="ln(π / π_ref) is a *difference* of logarithms, not their quotient.",
)
def _(pc, pr, rc, rr, beta):
    now = beta * (pc / rc.detach()), beta * (pr / rr.detach())
    return _dpo(pc, pr, rc, rr, beta, margin=now[0] - now[1], rewards=now)


@dpo.mistake(
    "the sign of the loss", hint="A logarithm of a probability is below 0; a loss is its negative."
)
def _(pc, pr, rc, rr, beta):
    margin = beta * ((pc - rc.detach()) - (pr - rr.detach()))
    return _dpo(pc, pr, rc, rr, beta, losses=F.logsigmoid(margin))


@dpo.mistake(
    "the margin in place of the rewards",
    hint="Wanted are two rewards, one for each side. Their difference is the margin.",
)
def _(pc, pr, rc, rr, beta):
    losses, chosen, rejected = _dpo(pc, pr, rc, rr, beta)
    return losses, chosen - rejected, rejected - chosen


@dpo.mistake(
    "rewards as ratios of probabilities",
    hint="exp of a log-ratio is the ratio. The implicit reward is β times its *logarithm*.",
)
def _(pc, pr, rc, rr, beta):
    now = beta * (pc - rc).exp(), beta * (pr - rr).exp()
    return _dpo(pc, pr, rc, rr, beta, rewards=now)


def _of_margin(name: str, hint: str, losses: Callable[[Tensor], Tensor]) -> None:
    """Catalogue a mistake whose losses are another function of β times the margin."""

    @dpo.mistake(name, hint=hint)
    def _(pc, pr, rc, rr, beta):
        margin = beta * ((pc - rc.detach()) - (pr - rr.detach()))
        return _dpo(pc, pr, rc, rr, beta, losses=losses(margin))


_of_margin(
    "a small number within the logarithm",
    "It hides the infinity and changes the loss: far from the reference it stays at 18.",
    lambda margin: -torch.log(torch.sigmoid(margin) + 1e-8),
)
_of_margin(
    "the margin cut off",
    "It hides the infinity and changes the loss: a policy far away is to pay for all of it.",
    lambda margin: -F.logsigmoid(margin.clamp(-100, 100)),
)
_of_margin(
    "no logarithm",
    "You negate the probability. The loss is its negative *logarithm*.",
    lambda margin: -margin.sigmoid(),
)
_of_margin(
    "a hinge",
    "That is a margin loss, max(0, 1 − difference). DPO has a sigmoid.",
    lambda margin: (1 - margin).clamp_min(0),
)
_of_margin(
    "no gradient",
    "The values are right, but the losses come from detached rewards. Detach the rewards when you "
    "return them, after the loss was made from them.",
    lambda margin: -F.logsigmoid(margin.detach()),
)
_of_margin(
    "labels that are not sure",
    "Smoothed labels are a variant (cDPO). Here each pair is certain: −ln σ of the margin.",
    lambda margin: -0.9 * F.logsigmoid(margin) - 0.1 * F.logsigmoid(-margin),
)


@dpo.mistake("β squared in the loss", hint="The rewards have their β already: one is enough.")
def _(pc, pr, rc, rr, beta):
    rc, rr = rc.detach(), rr.detach()
    return _dpo(pc, pr, rc, rr, beta, margin=beta**2 * ((pc - rc) - (pr - rr)))


@dpo.mistake(
    "a β of 0.1 in the loss", hint="0.1 is a usual β. Here it is handed over: use the argument."
)
def _(pc, pr, rc, rr, beta):
    rc, rr = rc.detach(), rr.detach()
    return _dpo(pc, pr, rc, rr, beta, margin=0.1 * ((pc - rc) - (pr - rr)))


@dpo.mistake(
    "the rejected answer does not learn",
    hint="The values are right, but the rejected side is detached in the loss: it is to fall, too.",
)
def _(pc, pr, rc, rr, beta):
    margin = beta * ((pc - rc.detach()) - (pr - rr).detach())
    return _dpo(pc, pr, rc, rr, beta, margin=margin)


@dpo.mistake(
    "a sign in the reference's difference",
    hint="(π_w − ref_w) − (π_l − ref_l): without the brackets, the last one is *added*.",
)
def _(pc, pr, rc, rr, beta):
    return _dpo(pc, pr, rc, rr, beta, margin=beta * (pc - rc.detach() - pr - rr.detach()))


@dpo.mistake(
    "the rewards of the policy alone",
    hint="The loss is right. A reward is measured from the reference: β (ln π − ln π_ref).",
)
def _(pc, pr, rc, rr, beta):
    return _dpo(pc, pr, rc, rr, beta, rewards=(beta * pc, beta * pr))


@dpo.mistake(
    "a logarithm of log-probabilities",
    hint="You have been handed logarithms: the logarithm of the quotient is their difference.",
)
def _(pc, pr, rc, rr, beta):
    now = beta * (pc / rc.detach()).log(), beta * (pr / rr.detach()).log()
    return _dpo(pc, pr, rc, rr, beta, margin=now[0] - now[1], rewards=now)


@dpo.mistake(
    "probabilities of whole answers",
    hint="On paper it is right. But e^−900 is 0, and 0 / 0 no number: stay with logarithms.",
)
def _(pc, pr, rc, rr, beta):
    now = [beta * (p.exp() / r.detach().exp()).log() for p, r in ((pc, rc), (pr, rr))]
    return _dpo(pc, pr, rc, rr, beta, margin=now[0] - now[1], rewards=now)


@dpo.mistake(
    "one reference for both answers",
    hint="Each answer is measured from its own probability under the reference.",
)
def _(pc, pr, rc, rr, beta):
    middle = (rc + rr) / 2
    return _dpo(pc, pr, middle, middle, beta)


@dpo.mistake(
    "the rewards exchanged", hint="The order is: losses, rewards of the chosen, of the rejected."
)
def _(pc, pr, rc, rr, beta):
    losses, chosen, rejected = _dpo(pc, pr, rc, rr, beta)
    return losses, rejected, chosen


@dpo.mistake(
    "the margin and the rejected reward",
    hint="The second result is the reward of the chosen answer, not the margin.",
)
def _(pc, pr, rc, rr, beta):
    losses, chosen, rejected = _dpo(pc, pr, rc, rr, beta)
    return losses, chosen - rejected, rejected


@dpo.mistake(
    "the mean rewards", hint="Wanted are rewards for each pair. A mean comes later, in the report."
)
def _(pc, pr, rc, rr, beta):
    losses, chosen, rejected = _dpo(pc, pr, rc, rr, beta)
    return losses, chosen.mean(), rejected.mean()


@dpo.mistake(
    "names in place of an order", hint="Return a tuple of three tensors, not a dictionary."
)
def _(pc, pr, rc, rr, beta):
    return dict(zip(("losses", "chosen", "rejected"), _dpo(pc, pr, rc, rr, beta), strict=True))


@dpo.mistake(
    "the rewards' sign", hint="What has become likelier has a reward *above* 0: ln π − ln π_ref."
)
def _(pc, pr, rc, rr, beta):
    return _dpo(pc, pr, rc, rr, beta, rewards=(beta * (rc - pc), beta * (rr - pr)))


@dpo.mistake(
    "the loss summed over the pairs", hint="Wanted is a loss for each pair: nothing is added up."
)
def _(pc, pr, rc, rr, beta):
    losses, chosen, rejected = _dpo(pc, pr, rc, rr, beta)
    return losses.sum(), chosen, rejected
