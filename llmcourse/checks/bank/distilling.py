"""The exercise on soft targets: two distributions at a temperature, beside the text's own tokens.

Not here: the exercises on preferences (`preferences.py`) and on policies (`policies.py`), the
exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 14 teaches this.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.objectives.distillation import soft_target_loss

CHAPTER = "14"

# 1. Soft targets


@exercise(
    CHAPTER,
    variants=("float64", "non-contiguous", "gradients"),
    read="2. Why a temperature?",
)
def distillation_loss(
    student: Float[Tensor, "N V"],
    teacher: Float[Tensor, "N V"],
    targets: Int[Tensor, " N"],
    tau: float,
    share: float,
) -> Float[Tensor, ""]:
    """share · τ² · KL(teacher ‖ student) at τ + (1 - share) · cross-entropy, the mean over N."""
    total, count = soft_target_loss(student[None], teacher[None], targets[None], tau, share)
    return total / count


@distillation_loss.cases
def _() -> Iterator[Case]:
    three = torch.tensor([[0.7, 0.2, 0.1]]).log(), torch.tensor([[0.5, 0.25, 0.25]]).log()
    yield case("by hand", three[1], three[0], torch.tensor([0]), 1.0, 1.0)
    yield case("half and half", torch.randn(3, 5), torch.randn(3, 5), _some(3, 5), 2.0, 0.5)
    yield case("mostly labels", torch.randn(4, 3), torch.randn(4, 3), _some(4, 3), 3.0, 0.1)
    yield case("the label alone", torch.randn(2, 4), torch.randn(2, 4), _some(2, 4), 2.0, 0.0)
    yield case("the teacher alone", 2 * torch.randn(3, 4), torch.randn(3, 4), _some(3, 4), 4.0, 1.0)
    yield case("a low temperature", torch.randn(2, 6), torch.randn(2, 6), _some(2, 6), 0.5, 0.7)
    sure = torch.tensor([[300.0, 0.0, -300.0], [0.0, 200.0, 0.0]])
    yield case("a teacher that is sure", torch.randn(2, 3), sure, torch.tensor([0, 1]), 1.0, 0.6)
    yield case("a student that is sure", sure, torch.randn(2, 3), torch.tensor([0, 1]), 1.0, 0.6)
    unlikely = torch.tensor([[8.0, 0.0, 0.5], [0.0, 9.0, 1.0]])
    harsh = torch.tensor([[0.0, -60.0, -40.0], [-50.0, 0.0, -60.0]])
    yield case("small probabilities", harsh, unlikely, torch.tensor([0, 1]), 1.0, 0.8)
    same = torch.randn(5, 4)
    yield case("both say the same", same, same + 3, _some(5, 4), 2.0, 0.9)
    yield case("one token", torch.randn(1, 7), torch.randn(1, 7), torch.tensor([6]), 1.5, 0.4)
    yield case(
        "as many places as words", torch.randn(4, 4), torch.randn(4, 4), _some(4, 4), 2.5, 0.3
    )


def _some(n: int, vocab_size: int) -> Tensor:
    return torch.randint(vocab_size, (n,))


def _mixed(
    student, teacher, targets, tau, share, *, soft=None, scale=None, hard=None, weights=None
):
    """The loss with one of its parts exchanged."""
    log_q, log_p = (student / tau).log_softmax(-1), (teacher.detach() / tau).log_softmax(-1)
    soft = (log_p.exp() * (log_p - log_q)).sum(-1).mean() if soft is None else soft(log_p, log_q)
    hard = F.cross_entropy(student, targets) if hard is None else hard
    first, second = (share, 1 - share) if weights is None else weights
    return first * (tau**2 if scale is None else scale) * soft + second * hard


@distillation_loss.mistake(
    "the factor τ² left out",
    hint="Your two parts are right. Softening shrinks the first one's gradient by the square of "
    "the temperature: multiply it back.",
)
def _(student, teacher, targets, tau, share):
    return _mixed(student, teacher, targets, tau, share, scale=1)


@distillation_loss.mistake(
    "τ in place of τ²",
    hint="The chain rule brings one 1/τ, and the flattened probabilities the second. The factor is "
    "a square.",
)
def _(student, teacher, targets, tau, share):
    return _mixed(student, teacher, targets, tau, share, scale=tau)


@distillation_loss.mistake(
    "divided by τ²", hint="The divergence is small already. Multiply by the square of τ."
)
def _(student, teacher, targets, tau, share):
    return _mixed(student, teacher, targets, tau, share, scale=tau**-2)


@distillation_loss.mistake(
    "the divergence the wrong way round",
    hint="You average over the *student's* distribution. Here the teacher's probabilities weigh, "
    "the student is in the logarithm alone: KL(teacher ‖ student).",
)
def _(student, teacher, targets, tau, share):
    return _mixed(
        student, teacher, targets, tau, share,
        soft=lambda log_p, log_q: (log_q.exp() * (log_q - log_p)).sum(-1).mean(),
    )  # fmt: skip


@distillation_loss.mistake(
    "a mean over the vocabulary, too",
    hint="Of the vocabulary it is a sum, Σ p ln(p / q); the mean is over the N places alone. "
    '(`F.kl_div` with reduction="mean" divides by both: take "batchmean".)',
)
def _(student, teacher, targets, tau, share):
    return _mixed(
        student, teacher, targets, tau, share,
        soft=lambda log_p, log_q: (log_p.exp() * (log_p - log_q)).mean(),
    )  # fmt: skip


@distillation_loss.mistake(
    "a sum over the places",
    hint="Both parts are means over the N places, so that longer texts do not weigh more.",
)
def _(student, teacher, targets, tau, share):
    return len(student) * _mixed(student, teacher, targets, tau, share)


@distillation_loss.mistake(
    "the soft part is summed over the places",
    hint="The cross-entropy is a mean over the N places, and the divergence has to be one, too.",
)
def _(student, teacher, targets, tau, share):
    return _mixed(
        student, teacher, targets, tau, share,
        soft=lambda log_p, log_q: (log_p.exp() * (log_p - log_q)).sum(),
    )  # fmt: skip


@distillation_loss.mistake(
    "the labels are softened, too",
    hint="The text's own token is compared at temperature 1: the student will be used there.",
)
def _(student, teacher, targets, tau, share):
    hard = F.cross_entropy(student / tau, targets)
    return _mixed(student, teacher, targets, tau, share, hard=hard)


@distillation_loss.mistake(
    "the teacher is not softened",
    hint="Both distributions are divided by τ. A sharp teacher and a soft student cannot agree.",
)
def _(student, teacher, targets, tau, share):
    log_q, log_p = (student / tau).log_softmax(-1), teacher.detach().log_softmax(-1)
    soft = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    return _mixed(student, teacher, targets, tau, share, soft=lambda *_: soft)


@distillation_loss.mistake(
    "the student is not softened",
    hint="Both distributions are divided by τ, the student's as well.",
)
def _(student, teacher, targets, tau, share):
    log_q, log_p = student.log_softmax(-1), (teacher.detach() / tau).log_softmax(-1)
    soft = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    return _mixed(student, teacher, targets, tau, share, soft=lambda *_: soft)


@distillation_loss.mistake(
    "the shares exchanged",
    hint="`share` belongs to the teacher's part, and what is left of 1 to the labels.",
)
def _(student, teacher, targets, tau, share):
    return _mixed(student, teacher, targets, tau, share, weights=(1 - share, share))


@distillation_loss.mistake(
    "the labels are not weighed",
    hint="The two weights sum to 1: the cross-entropy has 1 − share.",
)
def _(student, teacher, targets, tau, share):
    return _mixed(student, teacher, targets, tau, share, weights=(share, 1))


@distillation_loss.mistake(
    "the cross-entropy with the teacher",
    hint="Its gradient is the same. But a student that says what the teacher says should pay 0: "
    "take the teacher's own entropy away.",
)
def _(student, teacher, targets, tau, share):
    return _mixed(
        student, teacher, targets, tau, share,
        soft=lambda log_p, log_q: -(log_p.exp() * log_q).sum(-1).mean(),
    )  # fmt: skip


@distillation_loss.mistake(
    "multiplied by the temperature",
    hint="A temperature *divides* the logits. You sharpen both distributions.",
)
def _(student, teacher, targets, tau, share):
    log_q, log_p = (student * tau).log_softmax(-1), (teacher.detach() * tau).log_softmax(-1)
    soft = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    return _mixed(student, teacher, targets, tau, share, soft=lambda *_: soft)


@distillation_loss.mistake(
    "the softmax over the places",
    hint="Each row is a distribution over the vocabulary: the last axis, V.",
)
def _(student, teacher, targets, tau, share):
    log_q, log_p = (student / tau).log_softmax(0), (teacher.detach() / tau).log_softmax(0)
    soft = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    return _mixed(student, teacher, targets, tau, share, soft=lambda *_: soft)


@distillation_loss.mistake(
    "the logarithm of a softmax",
    hint="Where somebody is sure, a probability rounds to 0, its logarithm is minus infinity, and "
    "0 times infinity is no number. Take `log_softmax`.",
)
def _(student, teacher, targets, tau, share):
    q, p = (student / tau).softmax(-1), (teacher.detach() / tau).softmax(-1)
    return _mixed(
        student, teacher, targets, tau, share,
        soft=lambda *_: (p * (p.log() - q.log())).sum(-1).mean(),
    )  # fmt: skip


@distillation_loss.mistake(
    "the teacher learns, too",
    hint="The value is right, but a gradient flows into the teacher's logits. It is given: detach.",
)
def _(student, teacher, targets, tau, share):
    log_q, log_p = (student / tau).log_softmax(-1), (teacher / tau).log_softmax(-1)
    soft = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    return _mixed(student, teacher, targets, tau, share, soft=lambda *_: soft)


@distillation_loss.mistake(
    "the squared difference of the logits",
    hint="That is what the loss tends to for very large temperatures. Here it is a divergence of "
    "two softmaxes.",
)
def _(student, teacher, targets, tau, share):
    soft = (student - teacher.detach()).square().mean() / tau**2
    return _mixed(student, teacher, targets, tau, share, soft=lambda *_: soft)


@distillation_loss.mistake(
    "τ² on both parts",
    hint="Only the softened part is made smaller by τ. The cross-entropy is at temperature 1, and "
    "needs no factor.",
)
def _(student, teacher, targets, tau, share):
    hard = tau**2 * F.cross_entropy(student, targets)
    return _mixed(student, teacher, targets, tau, share, hard=hard)


@distillation_loss.mistake(
    "the labels' part is summed over the places",
    hint="The divergence is a mean over the N places, and the cross-entropy has to be one, too.",
)
def _(student, teacher, targets, tau, share):
    hard = F.cross_entropy(student, targets, reduction="sum")
    return _mixed(student, teacher, targets, tau, share, hard=hard)


@distillation_loss.mistake(
    "divided by the temperature after the softmax",
    hint="τ divides the *logits*. Log-probabilities over τ no longer sum to a distribution.",
)
def _(student, teacher, targets, tau, share):
    log_q, log_p = student.log_softmax(-1) / tau, teacher.detach().log_softmax(-1) / tau
    soft = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    return _mixed(student, teacher, targets, tau, share, soft=lambda *_: soft)


@distillation_loss.mistake(
    "the student learns nothing from the teacher",
    hint="The value is right, but the student is detached in the divergence: the teacher's part "
    "has no gradient for it. Detach the teacher alone.",
)
def _(student, teacher, targets, tau, share):
    return _mixed(
        student, teacher, targets, tau, share,
        soft=lambda log_p, log_q: (log_p.exp() * (log_p - log_q)).sum(-1).mean().detach(),
    )  # fmt: skip


@distillation_loss.mistake(
    "a number without a graph",
    hint="The value is right, but nobody can learn from it: no `.item()`, no `no_grad`.",
)
def _(student, teacher, targets, tau, share):
    return _mixed(student, teacher, targets, tau, share).detach()


@distillation_loss.mistake(
    "no weights at all",
    hint="The two parts are weighed: share for the teacher's, 1 − share for the labels.",
)
def _(student, teacher, targets, tau, share):
    return _mixed(student, teacher, targets, tau, share, weights=(1, 1))


@distillation_loss.mistake(
    "a small number within the logarithm",
    hint="It hides the infinity and changes the loss: where the student is sure, it is far too "
    "small. `log_softmax` needs no such number.",
)
def _(student, teacher, targets, tau, share):
    q, p = (student / tau).softmax(-1), (teacher.detach() / tau).softmax(-1)
    return _mixed(
        student, teacher, targets, tau, share,
        soft=lambda *_: (p * ((p + 1e-8).log() - (q + 1e-8).log())).sum(-1).mean(),
    )  # fmt: skip


@distillation_loss.mistake(
    "the teacher's favourite as the label",
    hint="The second part is the cross-entropy with `targets`, what stood in the text.",
)
def _(student, teacher, targets, tau, share):
    hard = F.cross_entropy(student, teacher.argmax(-1))
    return _mixed(student, teacher, targets, tau, share, hard=hard)


@distillation_loss.mistake(
    "small probabilities are left out",
    hint="The sum runs over *all* words. What lies in the small probabilities is what a teacher "
    "knows that a label does not.",
)
def _(student, teacher, targets, tau, share):
    def soft(log_p, log_q):
        each = log_p.exp() * (log_p - log_q)
        return each.masked_fill(log_p < math.log(1e-3), 0.0).sum(-1).mean()

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "infinite where the student's probability is 0",
    hint="Where somebody is sure, a probability rounds to 0, and a function of probabilities says "
    "infinity (`kl_divergence` of torch.distributions does). The logarithms are finite.",
)
def _(student, teacher, targets, tau, share):
    def soft(log_p, log_q):
        each = log_p.exp() * (log_p - log_q)
        return each.masked_fill(log_q.exp() == 0, math.inf).sum(-1).mean()

    return _mixed(student, teacher, targets, tau, share, soft=soft)


@distillation_loss.mistake(
    "the divergence from the middle",
    hint="That is Jensen and Shannon's divergence. Here the student is compared with the teacher "
    "itself, KL(teacher ‖ student).",
)
def _(student, teacher, targets, tau, share):
    def soft(log_p, log_q):
        middle = torch.logaddexp(log_p, log_q) - math.log(2)
        p, q = log_p.exp(), log_q.exp()
        return ((p * (log_p - middle) + q * (log_q - middle)) / 2).sum(-1).mean()

    return _mixed(student, teacher, targets, tau, share, soft=soft)
