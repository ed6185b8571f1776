"""Rarer mistakes of the exercises on preferences. Chapter 14 teaches this."""

import math

import torch
import torch.nn.functional as F

from llmcourse.checks.bank.preferences import answer_log_prob, dpo, preference_loss


def _said(logits, targets, *, ignored=-100, read=None):
    scored = targets != ignored
    places = targets.where(scored, 0)[..., None]
    log_p = read(logits) if read else logits.log_softmax(-1)
    return log_p.gather(-1, places)[..., 0].where(scored, 0.0), scored


@answer_log_prob.mistake(
    "divided by the root of the length",
    hint="You divide by the root of the number of scored places. The plain sum is asked for.",
)
def _(logits, targets):
    each, scored = _said(logits, targets)
    return each.sum(1) / scored.sum(1).clamp(min=1).sqrt()


@answer_log_prob.mistake(
    "divided by a penalty on the length",
    hint="You divide by ((5 + length) / 6)^0.6, as some beam searches do. The plain sum is asked "
    "for.",
)
def _(logits, targets):
    each, scored = _said(logits, targets)
    return each.sum(1) / ((5 + scored.sum(1)) / 6) ** 0.6


@answer_log_prob.mistake(
    "the least likely place",
    hint="You return the smallest log-probability of a row. All scored places are added up.",
)
def _(logits, targets):
    return _said(logits, targets)[0].amin(1)


@answer_log_prob.mistake(
    "the likeliest place",
    hint="You return the largest log-probability of a row's scored places. They are added up.",
)
def _(logits, targets):
    each, scored = _said(logits, targets)
    best = each.where(scored, -torch.inf).amax(1)
    return best.where(scored.any(1), 0.0)


@answer_log_prob.mistake(
    "the first scored place alone",
    hint="You stop after the first scored place of a row. All of them count.",
)
def _(logits, targets):
    each, scored = _said(logits, targets)
    return each.where(scored.cumsum(1) == 1, 0.0).sum(1)


@answer_log_prob.mistake(
    "the first scored place left out",
    hint="The first scored place of each row is missing in your sum: nothing is left to shift.",
)
def _(logits, targets):
    each, scored = _said(logits, targets)
    return each.where(scored.cumsum(1) > 1, 0.0).sum(1)


@answer_log_prob.mistake(
    "the last scored place left out",
    hint="The last scored place of each row, the answer's end, is missing in your sum.",
)
def _(logits, targets):
    each, scored = _said(logits, targets)
    left = scored.flip(1).cumsum(1).flip(1)
    return each.where(left > 1, 0.0).sum(1)


@answer_log_prob.mistake(
    "all behind the first scored place counts",
    hint="You begin at the first scored place and score everything behind it, with word 0 where "
    "the target is −100. A gap or filler is not scored.",
)
def _(logits, targets):
    begun = (targets != -100).cumsum(1) > 0
    log_p = logits.log_softmax(-1)
    each = log_p.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return each.where(begun, 0.0).sum(1)


@answer_log_prob.mistake(
    "stops at the first gap",
    hint="You stop where the first scored stretch ends. Scored places may come again behind it.",
)
def _(logits, targets):
    each, scored = _said(logits, targets)
    gone = (~scored & (scored.cumsum(1) > 0)).cumsum(1) > 0
    return each.where(~gone, 0.0).sum(1)


@answer_log_prob.mistake(
    "the prompt in it, as its most likely words",
    hint="Where the target is −100 you add the largest log-probability. Such places add nothing.",
)
def _(logits, targets):
    each, scored = _said(logits, targets)
    return each.where(scored, logits.log_softmax(-1).amax(-1)).sum(1)


@answer_log_prob.mistake(
    "the expected log-probability",
    hint="You add up Σ p ln p, minus the entropy of each place. Read the target's entry alone.",
)
def _(logits, targets):
    log_p = logits.log_softmax(-1)
    return (log_p.exp() * log_p).sum(-1).where(targets != -100, 0.0).sum(1)


@answer_log_prob.mistake(
    "the logarithm of the mean probability",
    hint="You take the mean of the probabilities, then the logarithm. The probability of an "
    "answer is a product: add up the logarithms.",
)
def _(logits, targets):
    each, scored = _said(logits, targets)
    n = scored.sum(1).clamp(min=1)
    return (each.exp().where(scored, 0.0).sum(1) / n).where(scored.any(1), 1.0).log()


@answer_log_prob.mistake(
    "less than what would have been likeliest",
    hint="You take the best word's log-probability off at each place. Nothing is taken off.",
)
def _(logits, targets):
    return _said(logits, targets, read=lambda z: z - z.amax(-1, keepdim=True))[0].sum(1)


@answer_log_prob.mistake(
    "the logarithm of the sum of the probabilities",
    hint="You add up the probabilities, then take the logarithm. The probability of an answer is a "
    "product: add up the logarithms.",
)
def _(logits, targets):
    each, scored = _said(logits, targets)
    total = each.masked_fill(~scored, -1e9).logsumexp(1)
    return total.where(scored.any(1), 0.0)


@answer_log_prob.mistake(
    "log-odds",
    hint="You take ln(p / (1 − p)). Asked for is ln p.",
)
def _(logits, targets):
    each, scored = _said(logits, targets)
    return (each - torch.log(-torch.expm1(each))).where(scored, 0.0).sum(1)


@answer_log_prob.mistake(
    "a sigmoid for each word",
    hint="You take ln σ(z) of the target's logit, as if each word were a question of its own. "
    "The words of a place share one softmax.",
)
def _(logits, targets):
    return _said(logits, targets, read=F.logsigmoid)[0].sum(1)


@answer_log_prob.mistake(
    "probabilities no smaller than a millionth",
    hint="You keep probabilities above a small number. An unlikely answer costs what it costs.",
)
def _(logits, targets):
    return _said(logits, targets, read=lambda z: z.softmax(-1).clamp(min=1e-6).log())[0].sum(1)


@answer_log_prob.mistake(
    "logits one place late",
    hint="You read the logits of the place *behind* each target. Those at place t predict the "
    "target at t.",
)
def _(logits, targets):
    return _said(logits.roll(-1, 1), targets)[0].sum(1)


@answer_log_prob.mistake(
    "later places count less",
    hint="You weigh places less, the later they come. Each scored place counts alike.",
)
def _(logits, targets):
    each, _ = _said(logits, targets)
    return (each * 0.99 ** torch.arange(each.size(1), dtype=each.dtype)).sum(1)


@preference_loss.mistake(
    "the squared distance to a margin of one",
    hint="You pull every margin to 1 by a square (as IPO does). The loss is −ln σ of the margin.",
)
def _(chosen, rejected):
    return ((chosen - rejected - 1) ** 2).mean()


@preference_loss.mistake(
    "the squared distance to half",
    hint="You pull the margin to ½ by a square (IPO). The loss is −ln σ of the margin.",
)
def _(chosen, rejected):
    return ((chosen - rejected - 0.5) ** 2).mean()


@preference_loss.mistake(
    "an exponential loss",
    hint="You take e to the minus margin (as boosting does). The loss is ln(1 + e to the minus "
    "margin), which grows like a line.",
)
def _(chosen, rejected):
    return torch.exp(rejected - chosen).mean()


@preference_loss.mistake(
    "a normal distribution's curve",
    hint="You use the normal distribution's curve (Thurstone). Bradley and Terry take the sigmoid.",
)
def _(chosen, rejected):
    return -torch.special.log_ndtr(chosen - rejected).mean()


@preference_loss.mistake(
    "a normal distribution's curve, of differences",
    hint="You use the normal curve of a difference with spread √2 (Thurstone). Bradley and Terry "
    "take the sigmoid.",
)
def _(chosen, rejected):
    return -torch.special.log_ndtr((chosen - rejected) / math.sqrt(2)).mean()


@preference_loss.mistake(
    "Elo's scale",
    hint="You divide the difference by 400 and take powers of ten (Elo). Bradley and Terry take "
    "the difference as it is.",
)
def _(chosen, rejected):
    return -F.logsigmoid((chosen - rejected) * math.log(10) / 400).mean()


@preference_loss.mistake(
    "a focal weight",
    hint="You weigh each pair by how wrong it is (a focal loss). All pairs count alike.",
)
def _(chosen, rejected):
    gap = chosen - rejected
    return -(torch.sigmoid(-gap) ** 2 * F.logsigmoid(gap)).mean()


@preference_loss.mistake(
    "labels that are not sure",
    hint="You let a tenth of the labels be wrong. Each label counts as it is.",
)
def _(chosen, rejected):
    gap = chosen - rejected
    return -(0.9 * F.logsigmoid(gap) + 0.1 * F.logsigmoid(-gap)).mean()


@preference_loss.mistake(
    "a penalty on large rewards",
    hint="You add a small penalty on the squares of the rewards. Only their difference counts.",
)
def _(chosen, rejected):
    penalty = 0.01 * (chosen**2 + rejected**2).mean()
    return -F.logsigmoid(chosen - rejected).mean() + penalty


@preference_loss.mistake(
    "the difference divided by its spread",
    hint="You bring the differences to spread 1 first. They are taken as they are.",
)
def _(chosen, rejected):
    gap = chosen - rejected
    spread = gap.std() if len(gap) > 1 else torch.ones(())
    return -F.logsigmoid(gap / (spread + 1e-8)).mean()


@preference_loss.mistake(
    "the rewards brought to mean 0 and spread 1",
    hint="You standardise the rewards of the batch first. They are taken as they are.",
)
def _(chosen, rejected):
    both = torch.cat([chosen, rejected])
    return -F.logsigmoid((chosen - rejected) / (both.std() + 1e-8)).mean()


@preference_loss.mistake(
    "the worst pair",
    hint="You return the largest loss of a pair. Asked for is the mean over the pairs.",
)
def _(chosen, rejected):
    return -F.logsigmoid(chosen - rejected).amin()


@preference_loss.mistake(
    "sigmoids compared",
    hint="You take the sigmoid of each reward, and then their difference. The sigmoid is taken of "
    "the difference of rewards.",
)
def _(chosen, rejected):
    return -F.logsigmoid(torch.sigmoid(chosen) - torch.sigmoid(rejected)).mean()


@preference_loss.mistake(
    "the difference of the sigmoids' logarithms",
    hint="You take ln σ of each reward and subtract. The logarithm is taken of the sigmoid of the "
    "difference.",
)
def _(chosen, rejected):
    return -(F.logsigmoid(chosen) - F.logsigmoid(rejected)).mean()


@preference_loss.mistake(
    "the mean of the entropies",
    hint="You have −p ln p of each pair. The logarithm stands there without a weight.",
)
def _(chosen, rejected):
    gap = chosen - rejected
    return -(torch.sigmoid(gap) * F.logsigmoid(gap)).mean()


@preference_loss.mistake(
    "no loss for what is told right",
    hint="You return max(0, −difference). A pair told right still costs something, less and less.",
)
def _(chosen, rejected):
    return (rejected - chosen).clamp(min=0).mean()


@preference_loss.mistake(
    "the squared hinge",
    hint="You take the square of max(0, 1 − difference). The loss is −ln σ of the difference.",
)
def _(chosen, rejected):
    return ((1 - chosen + rejected).clamp(min=0) ** 2).mean()


def _dpo(pc, pr, rc, rr, beta, *, loss=None, reward=None):
    rc, rr = rc.detach(), rr.detach()
    reward = reward or (lambda p, r: beta * (p - r))
    won, lost = reward(pc, rc), reward(pr, rr)
    found = loss(pc - rc, pr - rr) if loss else -F.logsigmoid(won - lost)
    return found, won.detach(), lost.detach()


@dpo.mistake(
    "the squared distance of IPO",
    hint="You have the loss of IPO: a margin pulled to 1 / (2β) by a square. DPO takes −ln σ.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(*four, beta, loss=lambda w, x: (w - x - 1 / (2 * beta)) ** 2)


@dpo.mistake(
    "an exponential loss",
    hint="You take e to the minus margin. The loss is minus the logarithm of a sigmoid.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(*four, beta, loss=lambda w, x: torch.exp((beta * (x - w)).clamp(max=80)))


@dpo.mistake(
    "each answer by itself",
    hint="You push the chosen reward up and the rejected one down, each by its own sigmoid. The "
    "loss has one sigmoid, of their difference.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(*four, beta, loss=lambda w, x: -F.logsigmoid(beta * w) - F.logsigmoid(-beta * x))


@dpo.mistake(
    "the loss of KTO, without its baseline",
    hint="You have 1 − σ of each reward (KTO). DPO compares the two answers of a pair with each "
    "other.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(
        *four, beta, loss=lambda w, x: 2 - torch.sigmoid(beta * w) - torch.sigmoid(-beta * x)
    )


@dpo.mistake(
    "one minus the sigmoid",
    hint="You return 1 − σ of the difference. The loss is minus its logarithm.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(*four, beta, loss=lambda w, x: torch.sigmoid(beta * (x - w)))


@dpo.mistake(
    "the loss divided by β",
    hint="You divide each loss by β, so that its slope at 0 does not depend on it. It is not in "
    "the formula.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(*four, beta, loss=lambda w, x: -F.logsigmoid(beta * (w - x)) / beta)


@dpo.mistake(
    "the difference divided by β",
    hint="You divide by β in the loss. An implicit reward is β *times* the logarithm.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(*four, beta, loss=lambda w, x: -F.logsigmoid((w - x) / beta))


@dpo.mistake(
    "a penalty where the chosen answer becomes less likely",
    hint="You take a penalty off the margin where the policy finds the chosen answer less likely "
    "than the reference (DPO-positive). The plain loss is asked for.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(
        *four, beta, loss=lambda w, x: -F.logsigmoid(beta * (w - x - 5 * (-w).clamp(min=0)))
    )


@dpo.mistake(
    "no reference, and a margin of one half",
    hint="You compare the policy's log-probabilities with a margin between them (as SimPO does). "
    "DPO measures both from the reference.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    _, *rewards = _dpo(*four, beta)
    return -F.logsigmoid(beta * (policy_chosen - policy_rejected) - 0.5), *rewards


@dpo.mistake(
    "log odds in place of log-probabilities",
    hint="You take ln(p / (1 − p)) of each answer (as ORPO does). The reward compares p of the "
    "policy with p of the reference.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected

    def odds(x):
        return x - torch.log1p(-torch.exp(x.clamp(max=-1e-6)))

    return _dpo(*map(odds, four), beta)


@dpo.mistake(
    "the rewards' difference to spread one",
    hint="You divide the margins by their spread over the batch. Each pair's margin is taken as "
    "it is.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    def loss(won, lost):
        gap = beta * (won - lost)
        return -F.logsigmoid(gap / (gap.std() + 1e-6) if len(gap) > 1 else gap)

    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(*four, beta, loss=loss)


@dpo.mistake(
    "the chosen reward alone in the loss",
    hint="You take the sigmoid of the chosen answer's reward alone. The loss compares it with the "
    "rejected one's.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(*four, beta, loss=lambda w, x: -F.logsigmoid(beta * w) + 0 * x)


@dpo.mistake(
    "the rejected reward alone in the loss",
    hint="You take the sigmoid of minus the rejected answer's reward. The chosen one's belongs "
    "into it.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(*four, beta, loss=lambda w, x: -F.logsigmoid(-beta * x) + 0 * w)


@dpo.mistake(
    "losses that stop at a margin of one",
    hint="You cut the margin off at 1. A pair that is told well goes on costing less and less.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    return _dpo(*four, beta, loss=lambda w, x: -F.logsigmoid((beta * (w - x)).clamp(-1, 1)))


@dpo.mistake(
    "a focal weight",
    hint="You weigh each pair's loss by how wrong it is. It is −ln σ with no weight.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected

    def loss(won, lost):
        gap = beta * (won - lost)
        return -torch.sigmoid(-gap) * F.logsigmoid(gap)

    return _dpo(*four, beta, loss=loss)


@dpo.mistake(
    "rewards after the sigmoid",
    hint="You return the rewards after a sigmoid. They are β ln(π / π_ref) as they are.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    losses, won, lost = _dpo(*four, beta)
    return losses, torch.sigmoid(won), torch.sigmoid(lost)


@dpo.mistake(
    "which reward is larger in place of the rewards",
    hint="You return whether each pair is told right as the second result. The rewards themselves "
    "are asked for.",
)
def _(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    four = policy_chosen, policy_rejected, reference_chosen, reference_rejected
    losses, won, lost = _dpo(*four, beta)
    return losses, (won > lost).to(won.dtype), won - lost
