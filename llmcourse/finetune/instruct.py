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
from llmcourse.finetune.task import Measurement
from llmcourse.finetune.writing import LONGEST_ANSWER, ChatTask, Written
from llmcourse.models.base import Model, Output
from llmcourse.objectives.base import IGNORE, Batch, LossSum, token_loss


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
        return self.paid_by_token(model, examples, "tokens right", lambda batch: batch.targets)

    def answer(self, model: Model, example: Chat) -> str:
        """What a model answers."""
        return self.reply(model, example.turns[:-1], example.where, LONGEST_ANSWER)

    def shown(self, example: Chat) -> tuple[str, list[tuple[str, str]]]:
        """The request, and the right answer."""
        return example.turns[-2].content, [("right", example.turns[-1].content)]
