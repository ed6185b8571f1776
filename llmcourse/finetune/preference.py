"""Preference tuning by DPO: the better of two answers becomes the likelier one.

Not here: the loss itself (`objectives/preference.py`), what tasks with texts share (`writing.py`).
Chapter 14 teaches this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import require
from llmcourse.finetune.base import Base
from llmcourse.finetune.chats import Pair, read_pairs
from llmcourse.finetune.examples import Splits, read_unlabelled
from llmcourse.finetune.heads import Adapted
from llmcourse.finetune.settings import Settings
from llmcourse.finetune.task import Judged, Measurement
from llmcourse.finetune.writing import LONGEST_ANSWER, ChatTask, Written, filled
from llmcourse.models.base import Model
from llmcourse.objectives.base import IGNORE, Batch, LossSum
from llmcourse.objectives.preference import DPOResult, dpo_loss, sequence_log_probs


@dataclass(frozen=True)
class PairRow:
    """A pair of answers in tokens, each behind what was said before.

    Attributes:
        chosen: the better one.
        rejected: the worse one.
        reference: the log-probabilities of both under the base as it was, in nats.
        example: the number of the example.
    """

    chosen: Written
    rejected: Written
    reference: tuple[float, float]
    example: int

    @property
    def ids(self) -> tuple[int, ...]:
        """The longer one's tokens."""
        return max(self.chosen.ids, self.rejected.ids, key=len)


class PairLogProbs(NamedTuple):
    """Log-probabilities of both answers of each pair, in nats."""

    chosen: Float[Tensor, " B"]
    rejected: Float[Tensor, " B"]


class PairWriter(Adapted):
    """A model that says how likely two answers are: nothing is put on it."""

    reads_own_head = True

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        targets: Int[Tensor, "B T"],
        rejected_ids: Int[Tensor, "B S"],
        rejected_targets: Int[Tensor, "B S"],
        reference: Float[Tensor, "B 2"] | None = None,
    ) -> PairLogProbs:
        """The log-probability of each answer; the reference's are for the loss alone."""
        chosen = sequence_log_probs(self.backbone(ids).logits, targets)
        rejected = sequence_log_probs(self.backbone(rejected_ids).logits, rejected_targets)
        return PairLogProbs(chosen.total, rejected.total)


class Preference(ChatTask):
    """Pairs of answers, of which one was preferred."""

    def __init__(self, settings: Settings, base: Base, labels: Sequence[str] = ()) -> None:
        super().__init__(settings, base, labels)
        self._said_before: dict[tuple[Written, Written], tuple[float, float]] = {}

    @staticmethod
    def read(settings: Settings) -> Splits:
        """Pairs from a table, in three splits.

        Raises:
            UserError: see `read_pairs` and `read_unlabelled`.
        """
        return read_unlabelled(read_pairs, settings.data, settings.seed)

    def build(self) -> Adapted:
        """The base as a writer of pairs."""
        return PairWriter(self.base.model)

    def rows(self, examples: Sequence[Pair]) -> list[PairRow]:
        """A row for each pair that differs within the context, with what the reference says.

        Raises:
            UserError: none does.
        """
        found = []
        for number, pair in enumerate(examples):
            both = [self.row(pair.chat(better=b), pair.where, number) for b in (True, False)]
            scored = all(any(t != IGNORE for t in one.targets) for one in both)
            if scored and both[0].ids != both[1].ids:
                found.append((both[0], both[1]))
        require(
            bool(found),
            f"no two answers differ within {self.most} tokens: give shorter chats, or a base with "
            "a longer context",
        )
        self._ask_reference([pair for pair in found if pair not in self._said_before])
        return [PairRow(*pair, self._said_before[pair], pair[0].example) for pair in found]

    @torch.no_grad()
    def _ask_reference(self, pairs: Sequence[tuple[Written, Written]]) -> None:
        """Note what the reference says of pairs: no step changes it, so once is enough."""
        model, rows = PairWriter(self.reference), [PairRow(*p, (0.0, 0.0), 0) for p in pairs]
        found: list[tuple[float, float]] = []
        for batch in self.batches(rows, next(model.parameters()).device):
            said = model(ids=batch.ids, **batch.extras)
            found += zip(said.chosen.tolist(), said.rejected.tolist(), strict=True)
        self._said_before.update(zip(pairs, found, strict=True))

    def collate(self, rows: Sequence[PairRow]) -> Batch:
        """A batch of pairs, a pair a row."""
        targets = filled([row.chosen.targets for row in rows], IGNORE)
        extras = {
            "targets": targets,
            "rejected_ids": filled([row.rejected.ids for row in rows], 0),
            "rejected_targets": filled([row.rejected.targets for row in rows], IGNORE),
            "reference": torch.tensor([row.reference for row in rows]),
        }
        return Batch(ids=filled([r.chosen.ids for r in rows], 0), targets=targets, extras=extras)

    def compare(self, output: PairLogProbs, batch: Batch) -> DPOResult:
        """What DPO makes of a batch."""
        before = batch.extras["reference"]
        beta = self.settings.beta
        return dpo_loss(output.chosen, output.rejected, before[:, 0], before[:, 1], beta)

    def loss(self, model: Adapted, output: PairLogProbs, batch: Batch) -> LossSum:
        """DPO's loss, a decision a pair."""
        losses = self.compare(output, batch).losses
        return LossSum(losses.sum(), torch.tensor(len(losses), device=losses.device))

    def assess(self, model: Adapted, examples: Sequence[Pair]) -> Measurement:
        """The share of pairs whose better answer gained more, and by how much."""
        losses, margins, drift = [], [], []
        device = next(model.parameters()).device
        for batch in self.batches(self.rows(examples), device):
            output = model(ids=batch.ids, **batch.extras)
            result = self.compare(output, batch)
            losses += result.losses.tolist()
            margins += result.margins.tolist()
            drift += (output.chosen - batch.extras["reference"][:, 0]).tolist()
        count = len(losses)
        judged = Judged(
            metric="pairs with a margin above 0",
            value=sum(margin > 0 for margin in margins) / count,
            in_nats={
                "mean margin": sum(margins) / count,
                "change of the better answer": sum(drift) / count,
            },
        )
        return Measurement(judged=judged, loss=sum(losses) / count, said=())

    def answer(self, model: Model, example: Pair) -> str:
        """What a model answers."""
        return self.reply(model, example.turns, example.where, LONGEST_ANSWER)

    def shown(self, example: Pair) -> tuple[str, list[tuple[str, str]]]:
        """The request, and the answers that people compared."""
        answers = [("preferred", example.chosen), ("not preferred", example.rejected)]
        return example.turns[-1].content, answers

    def rivals(
        self, train: Sequence[Pair], test: Sequence[Pair], samples: int = 0
    ) -> dict[str, Measurement]:
        """Those who take the longer answer, or the one that the base alone finds likelier."""
        rows = self.rows(test)
        longer = sum(len(row.chosen.ids) > len(row.rejected.ids) for row in rows) / len(rows)
        likelier = sum(row.reference[0] > row.reference[1] for row in rows) / len(rows)
        said = [self.answer(self.reference, example) for example in test[:samples]]

        def judged(value: float, said: Sequence[str] = ()) -> Measurement:
            one = Judged(metric="pairs with a margin above 0", value=value)
            return Measurement(judged=one, loss=0.0, said=said)

        return {
            "the longer one": judged(longer),
            "the base alone": judged(likelier, said),
        }
