"""Distillation: a student learns from all that a teacher says about the next token of any text.

Not here: the loss itself (`objectives/distillation.py`), what tasks with texts share
(`writing.py`). Chapter 14 teaches this.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from llmcourse.errors import UserError, require
from llmcourse.finetune.base import Base, load_base
from llmcourse.finetune.chats import Text, read_texts
from llmcourse.finetune.examples import Splits, read_unlabelled
from llmcourse.finetune.heads import Adapted
from llmcourse.finetune.settings import Settings
from llmcourse.finetune.task import Measurement
from llmcourse.finetune.writing import Writer, WritingTask, Written
from llmcourse.models.base import Model, Output
from llmcourse.objectives.base import Batch, LossSum
from llmcourse.objectives.distillation import soft_target_loss

BEGINNING, LONGEST = 12, 60
"""Tokens of a text from which the report lets a model go on, and how far."""
PROBES = ("The cat sat on 12 mats, didn't it?", "naïve 你好\n\n", "def f(x):\n    return x**2\n")
"""Texts that two tokenizers must read alike to be taken for one."""


class Distill(WritingTask):
    """What a teacher says of texts."""

    def __init__(self, settings: Settings, base: Base, labels: Sequence[str] = ()) -> None:
        super().__init__(settings, base, labels)
        self._teacher: Model | None = None

    @staticmethod
    def read(settings: Settings) -> Splits:
        """Texts from files, in three splits.

        Raises:
            UserError: see `read_texts` and `read_unlabelled`.
        """
        require(
            bool(settings.teacher), "there is no teacher: name a run or a directory (--teacher)"
        )
        return read_unlabelled(read_texts, settings.data, settings.seed)

    @property
    def teacher(self) -> Model:
        """The teacher, which nothing trains; read once.

        Raises:
            UserError: there is none, or it reads in other tokens.
        """
        if self._teacher is None:
            found = load_base(self.settings.teacher)
            ours, theirs = self.base.model.config.vocab_size, found.model.config.vocab_size
            probe = [text for text in PROBES if found.encode(text) != self.base.encode(text)]
            if ours != theirs or probe:
                raise UserError(
                    f"the teacher in {found.folder} has another vocabulary ({theirs:,} tokens) "
                    f"than the base in {self.base.folder} ({ours:,}): take two of one tokenizer"
                )
            device = next(self.base.model.parameters()).device
            self._teacher = found.model.to(device).requires_grad_(False)
        return self._teacher

    def rows(self, examples: Sequence[Text]) -> list[Written]:
        """Rows of the context's length, or of the teacher's if that is shorter; of all tokens."""
        most = min(self.most, self.teacher.config.context_length)
        return [row for n, text in enumerate(examples) for row in self._cut(text, n, most)]

    def _cut(self, example: Text, number: int, most: int) -> Iterator[Written]:
        end = self.tokenizer.eot_id
        ids = (end, *self.tokenizer.encode(example.text), end)
        for start in range(0, len(ids) - 1, most):
            part = ids[start : start + most + 1]
            yield Written(part[:-1], part[1:], number)

    def loss(self, model: Adapted, output: Output, batch: Batch) -> LossSum:
        """The teacher's soft targets, and the tokens that followed."""
        with torch.no_grad():
            taught = self.teacher(batch.ids).logits
        settings = self.settings
        return soft_target_loss(
            output.logits, taught, batch.targets, settings.temperature, settings.soft_share
        )

    def assess(self, model: Adapted, examples: Sequence[Text]) -> Measurement:
        """The nats of a token, and how often student and teacher expect the same one."""
        return self.paid_by_token(
            model,
            examples,
            "expects what the teacher expects",
            lambda batch: self.teacher(batch.ids).logits.argmax(-1),
        )

    def answer(self, model: Model, example: Text) -> str:
        """How a model goes on with a text's beginning."""
        ids = [self.tokenizer.eot_id, *self.tokenizer.encode(example.text)[:BEGINNING]]
        return self.write(model, ids, LONGEST)

    def use(self, model: Adapted, lines: Sequence[str]) -> Iterator[dict[str, Any]]:
        """How the model goes on with each line."""
        for line in lines:
            ids = [self.tokenizer.eot_id, *self.tokenizer.encode(line)]
            yield {"text": line + self.write(model.backbone, ids, LONGEST)}

    def rivals(
        self, train: Sequence[Text], test: Sequence[Text], samples: int = 0
    ) -> dict[str, Measurement]:
        """The base as it was, and the teacher."""
        teacher = self.measure(Writer(self.teacher), test, samples)
        return super().rivals(train, test, samples) | {"the teacher": teacher}

    def shown(self, example: Text) -> tuple[str, list[tuple[str, str]]]:
        """The beginning that models go on with."""
        return self.tokenizer.decode(self.tokenizer.encode(example.text)[:BEGINNING]), []

    def about(self) -> str:
        """Who teaches."""
        return f"taught by {self.settings.teacher}"
