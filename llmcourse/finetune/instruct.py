"""Instruction tuning: answers to requests, of which the assistant's tokens alone are learned.

Not here: how a chat becomes a text (`tokenizers/chat.py`), what tasks with texts share
(`writing.py`). Chapter 13 teaches this.
"""

from collections.abc import Sequence

from llmcourse.errors import require
from llmcourse.finetune.chats import Chat, read_chats
from llmcourse.finetune.examples import Splits, read_unlabelled
from llmcourse.finetune.heads import Adapted
from llmcourse.finetune.settings import Settings
from llmcourse.finetune.task import Judged, Measurement
from llmcourse.finetune.writing import ChatTask, Written
from llmcourse.models.base import Model, Output
from llmcourse.objectives.base import IGNORE, Batch, LossSum, token_loss
from llmcourse.runs.html import section, table

LONGEST_ANSWER = 80
"""Tokens of an answer that the report shows."""


class Instruct(ChatTask):
    """Answers to requests."""

    @staticmethod
    def read(settings: Settings) -> Splits:
        """Chats from a table, in three splits.

        Raises:
            UserError: see `read_chats` and `read_unlabelled`.
        """
        return read_unlabelled(read_chats, settings.data, settings.seed)

    def rows(self, examples: Sequence[Chat]) -> list[Written]:
        """A row for each chat whose answer begins within the context.

        Raises:
            UserError: none does.
        """
        rows = [self.row(chat.turns, chat.where, n) for n, chat in enumerate(examples)]
        kept = [row for row in rows if any(target != IGNORE for target in row.targets)]
        require(
            bool(kept),
            f"no answer begins within {self.most} tokens: give shorter chats, or a base with a "
            "longer context",
        )
        return kept

    def loss(self, model: Adapted, output: Output, batch: Batch) -> LossSum:
        """Cross-entropy of the assistant's tokens."""
        return token_loss(output.logits, batch.targets)

    def assess(self, model: Adapted, examples: Sequence[Chat]) -> Measurement:
        """The nats of an answer's token, and how many of them are the likeliest."""
        total = count = right = 0.0
        device = next(model.parameters()).device
        for batch in self.batches(self.rows(examples), device):
            output = model(ids=batch.ids)
            loss = self.loss(model, output, batch)
            total, count = total + float(loss.total), count + float(loss.count)
            right += float((output.logits.argmax(-1) == batch.targets).sum())
        judged = Judged(
            metric="nats a token",
            value=total / count,
            others={"tokens right": right / count},
            lower_is_better=True,
        )
        return Measurement(judged=judged, loss=total / count, said=())

    def answer(self, model: Model, example: Chat) -> str:
        """What a model answers."""
        return self.reply(model, example.turns[:-1], example.where, LONGEST_ANSWER)

    def sections(
        self, examples: Sequence[Chat], measured: Measurement, rivals: dict[str, Measurement]
    ) -> list[str]:
        """The first answers, before and after."""
        found = []
        for number, said in enumerate(measured.said):
            chat = examples[number]
            rows = [("right", chat.turns[-1].content), ("this model", said)]
            rows += [(name, one.said[number]) for name, one in rivals.items() if one.said]
            found.append(table(chat.turns[-2].content[:300], rows))
        return [section("Before and after", "".join(found))] if found else []
