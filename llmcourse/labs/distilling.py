"""Distillation in miniature: a small GPT that learns from a larger one, and its twin without.

Both students begin with the same weights and read the same few texts in the same order. One is told
which token followed; the other also hears what a teacher thought of every token that could have.
The losses are `objectives/distillation.py`'s. Not here: the teacher's own training
(`finetune/stages.py`), a run on real data (`python -m llmcourse.finetune`). Chapter 14 teaches it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmcourse.errors import require
from llmcourse.models.base import Model
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.objectives.base import IGNORE, LossSum, token_loss
from llmcourse.objectives.distillation import hidden_state_loss, soft_target_loss
from llmcourse.optim.schedules import linear
from llmcourse.randomness import numpy_rng, seed_all
from llmcourse.tinytown.stories import log_probability
from llmcourse.tokenizers.base import Tokenizer


class TextRows(NamedTuple):
    """Texts, one a row, each between two END_OF_TEXTs.

    Attributes:
        ids: what a model reads.
        targets: what follows each token, or `IGNORE` behind a text's end.
    """

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]

    def rows(self, chosen: Sequence[int]) -> "TextRows":
        """Some of the rows."""
        return TextRows(self.ids[chosen], self.targets[chosen])


def text_rows(texts: Sequence[str], tokenizer: Tokenizer) -> TextRows:
    """Texts as rows, filled up behind their ends."""
    end = tokenizer.eot_id
    rows = [torch.tensor([end, *tokenizer.encode(text), end]) for text in texts]
    pad = nn.utils.rnn.pad_sequence
    return TextRows(
        pad([row[:-1] for row in rows], batch_first=True, padding_value=end),
        pad([row[1:] for row in rows], batch_first=True, padding_value=IGNORE),
    )


class Taught(NamedTuple):
    """What a teacher says about some texts, computed once: it does not change.

    Attributes:
        logits: its scores of every token at each position.
        hidden: its final hidden states.
    """

    logits: Float[Tensor, "B T V"]
    hidden: Float[Tensor, "B T D"]


@torch.no_grad()
def listen(teacher: Model, texts: TextRows, n_rows: int = 32) -> Taught:
    """What a teacher says about all of the texts."""
    parts = [teacher(ids) for ids in texts.ids.split(n_rows)]
    return Taught(torch.cat([p.logits for p in parts]), torch.cat([p.hidden for p in parts]))


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """How a student learns.

    Attributes:
        share: how much of the loss are the teacher's soft targets; 0 for a student alone.
        temperature: at which both are compared.
        hidden: the weight of the distance to the teacher's hidden states.
        steps: how many.
        batch_size: rows in a step.
        lr: the peak of AdamW's rate.
    """

    share: float = 0.0
    temperature: float = 1.0
    hidden: float = 0.0
    steps: int = 48
    batch_size: int = 4
    lr: float = 1.5e-2


def student_of(
    config: GPTConfig, texts: TextRows, taught: Taught, lesson: Lesson, seed: int = 0
) -> GPT:
    """A student of this shape, trained on the texts; `seed` is of its weights and their order.

    Two lessons with one seed differ in nothing but what they say.

    Raises:
        UserError: fewer texts than rows in a batch.
    """
    n = len(texts.ids)
    require(n >= lesson.batch_size, f"{n} texts are fewer than a batch of {lesson.batch_size}")
    seed_all(seed)
    student = GPT(config).train()
    # Read off the student's states; trained along, and thrown away when the student is done.
    projection = nn.Parameter(torch.empty(config.d_model, taught.hidden.size(-1)))
    nn.init.normal_(projection, std=config.d_model**-0.5)
    optimizer = torch.optim.AdamW([*student.parameters(), projection], lesson.lr)
    rng, schedule, order = numpy_rng(seed, "student"), linear(warmup=0.1), []
    for step in range(lesson.steps):
        if len(order) < lesson.batch_size:
            order = rng.permutation(n).tolist()
        chosen, order = order[: lesson.batch_size], order[lesson.batch_size :]
        for group in optimizer.param_groups:
            group["lr"] = lesson.lr * schedule((step + 0.5) / lesson.steps)
        heard = Taught(taught.logits[chosen], taught.hidden[chosen])
        total, count = lesson_loss(student, projection, texts.rows(chosen), heard, lesson)
        (total / count).backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return student.eval()


def lesson_loss(
    student: Model, projection: Tensor, texts: TextRows, taught: Taught, lesson: Lesson
) -> LossSum:
    """The loss of a lesson: of targets, soft and hard, and of hidden states where asked for."""
    output = student(texts.ids)
    total, count = soft_target_loss(
        output.logits, taught.logits, texts.targets, lesson.temperature, lesson.share
    )
    if lesson.hidden:
        scored = texts.targets != IGNORE
        apart, _ = hidden_state_loss(output.hidden, taught.hidden, projection, scored)
        total = total + lesson.hidden * apart
    return LossSum(total, count)


@torch.no_grad()
def nats_per_token(model: Model, texts: TextRows, n_rows: int = 32) -> float:
    """The cross-entropy of the texts under a model, in nats a token."""
    pairs = zip(texts.ids.split(n_rows), texts.targets.split(n_rows), strict=True)
    parts = [token_loss(model(ids).logits, targets) for ids, targets in pairs]
    total = sum(part.total.item() for part in parts)
    return total / sum(int(part.count) for part in parts)


def entropy_of(stories: Sequence[str], texts: TextRows) -> float:
    """The least that stories cost, in nats a token of their rows: -log p by their own grammar.

    A row may begin with a request for its story. The story settles the request, so both together
    are as likely as the story alone.
    """
    nats = -sum(log_probability(story) for story in stories)
    return nats / int((texts.targets != IGNORE).sum())
