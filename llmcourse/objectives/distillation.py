"""Losses of distillation: a student learns from all that a teacher says, not from its best guess.

Soft targets at a temperature (Hinton et al., 2015), and hidden states that follow the teacher's
(FitNets: Romero et al., 2015; TinyBERT: Jiao et al., 2020). Pure functions on tensors, sums and
counts as everywhere: whoever holds both models reads the text with each, and hands over what they
said. Not here: the teacher, and a run (`labs/distilling.py`). Chapter 14 teaches this.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.errors import UserError, require
from llmcourse.objectives.base import IGNORE, LossSum


def soft_target_loss(
    student_logits: Float[Tensor, "B T V"],
    teacher_logits: Float[Tensor, "B T _"],
    targets: Int[Tensor, "B T"],
    temperature: float = 2.0,
    share: float = 0.5,
) -> LossSum:
    """Soft-target loss in nats, summed over the positions whose target is not `IGNORE`.

        share · τ² · KL(p_teacher ‖ p_student)  +  (1 - share) · -log p_student(target)

    where both distributions of the first term are softmax(logits / τ). The gradient of that
    divergence shrinks like 1/τ², which the factor takes back (Hinton et al., 2015, section 2.1).
    The teacher gets no gradient.

    Args:
        student_logits: what the student says at each position.
        teacher_logits: what the teacher says about the same tokens.
        targets: the token that followed, or `IGNORE`.
        temperature: τ; the larger, the more the unlikely tokens count.
        share: how much of the loss is the teacher's; 1 needs no right answers but their places.

    Raises:
        UserError: the vocabularies differ, the temperature is not above 0, or the share is not in
            [0, 1].
    """
    sizes = student_logits.size(-1), teacher_logits.size(-1)
    if sizes[0] != sizes[1]:
        raise UserError(
            f"the student scores {sizes[0]} tokens and the teacher {sizes[1]}: "
            "soft targets need one vocabulary, so give both the same tokenizer"
        )
    require(temperature > 0, f"temperature={temperature} must be above 0: try 2")
    require(0 <= share <= 1, f"share={share} must lie between 0 and 1: try 0.5")
    scored = targets != IGNORE
    student, teacher = _full(student_logits[scored]), _full(teacher_logits[scored].detach())
    # B T V -> N V: positions without a target are left out before anything is computed of them.
    soft = F.kl_div(
        (student / temperature).log_softmax(-1),
        (teacher / temperature).log_softmax(-1),
        reduction="sum",
        log_target=True,
    )
    hard = F.cross_entropy(student, targets[scored], reduction="sum")
    return LossSum(share * temperature**2 * soft + (1 - share) * hard, scored.sum())


def hidden_state_loss(
    student_hidden: Float[Tensor, "B T D"],
    teacher_hidden: Float[Tensor, "B T E"],
    projection: Float[Tensor, "_ _"],
    mask: Bool[Tensor, "B T"],
) -> LossSum:
    """Hidden-state loss: the squared distance to the teacher's states, summed where `mask` is True.

        mean over the E features of (hidden_student @ projection - hidden_teacher)²

    A narrower student cannot equal the teacher; `projection`, which is trained along and thrown
    away afterwards, asks only that the teacher's states can be read off the student's. The teacher
    gets no gradient.

    Raises:
        UserError: the projection does not lead from the student's width to the teacher's.
    """
    widths = student_hidden.size(-1), teacher_hidden.size(-1)
    if tuple(projection.shape) != widths:
        raise UserError(
            f"a projection of shape {list(projection.shape)} does not lead from the student's "
            f"width {widths[0]} to the teacher's {widths[1]}: make it {list(widths)}"
        )
    student, teacher = _full(student_hidden[mask]), _full(teacher_hidden[mask].detach())
    distance = (student @ projection.to(student.dtype) - teacher).square().mean(-1)  # N E -> N
    return LossSum(distance.sum(), mask.sum())


def _full(numbers: Float[Tensor, "N X"]) -> Float[Tensor, "N X"]:
    """At least float32: sums over a vocabulary in half precision lose their digits."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))
