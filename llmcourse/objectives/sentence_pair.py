"""Pairs of sentences: does one follow the other, and which of the two came first?

Next sentence prediction, which BERT was trained with beside masked words (Devlin et al., 2018), and
sentence order prediction, by which ALBERT replaced it (Lan et al., 2019): two texts on different
subjects are told apart by their words, two halves of one text are not. Not here: what is hidden
(`mlm.py`), and the model's head for pairs (`models/bert.py`). Chapter 07 teaches this.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.errors import UserError, nearest
from llmcourse.models.bert import BERTOutput
from llmcourse.objectives.base import IGNORE, Batch, LossSum, Objective, token_loss
from llmcourse.objectives.mlm import MaskedLM
from llmcourse.objectives.vocabulary import Vocabulary

KINDS = ("nsp", "sop")
"""Next sentence prediction, and sentence order prediction."""

Pair = tuple[Tensor, Tensor]
Paired = tuple[list[Pair], Tensor]
"""Pairs, and their labels."""

N_EXTRA = 3
"""`[CLS]` and two `[SEP]`: what a row holds besides its two halves."""


class Cut(NamedTuple):
    """Where a window is cut.

    Attributes:
        start: where its first half begins.
        middle: where that ends, and its second half begins.
        end: where that ends.
        whole: whether both halves are whole sentences.
    """

    start: int
    middle: int
    end: int
    whole: bool


class SentencePairs(Objective):
    """Sentence pairs: do two halves belong together, and what is hidden in them?

    A row is `[CLS] A [SEP] B [SEP]`. A and B are whole sentences on both sides of a cut, and half a
    window long at the most. Label 1: B follows A. Else, which is as likely, B is the second half of
    another row of the batch (`nsp`), or A and B have changed places (`sop`). Where no other row is
    to be had, a row keeps its own half.

    Args:
        vocabulary: the tokens, and where sentences end.
        kind: `nsp` or `sop`.
        masking: what to hide in A and B, to be filled in besides; None to ask about pairs alone.
        pair_weight: how many hidden tokens a pair counts for in the loss; unless given, as many as
            a full row is expected to hide, so that both tasks weigh alike, as in BERT.

    Raises:
        UserError: an unknown kind, or a weight below 1.
    """

    special_tokens = ("[MASK]", "[CLS]", "[SEP]")

    def __init__(
        self,
        vocabulary: Vocabulary,
        kind: str = "nsp",
        masking: MaskedLM | None = None,
        pair_weight: int | None = None,
    ) -> None:
        if kind not in KINDS:
            raise UserError(f"unknown kind={kind!r}{nearest(kind, KINDS)}")
        if pair_weight is not None and pair_weight < 1:
            raise UserError(f"pair_weight={pair_weight} must be at least 1")
        self.vocabulary, self.kind = vocabulary, kind
        self.masking, self.pair_weight = masking, pair_weight
        self.cls_id, self.sep_id = vocabulary.size + 1, vocabulary.size + 2

    def window(self, context_length: int) -> int:
        """The special tokens need room, too.

        Raises:
            UserError: nothing is left that could be cut in two.
        """
        if context_length < N_EXTRA + 2:
            raise UserError(
                f"context_length={context_length} is too short for a pair of texts and the "
                f"{N_EXTRA} tokens around them: give at least {N_EXTRA + 2}"
            )
        return context_length - N_EXTRA

    def prepare(self, tokens: Int[Tensor, "B N"], rng: np.random.Generator) -> Batch:
        """Cut each window in two, pair the halves, and hide some tokens.

        Raises:
            UserError: windows too short to be cut.
        """
        if tokens.size(1) < 2:
            raise UserError(f"a window of {tokens.size(1)} tokens cannot be cut in two: give more")
        cuts = self.cuts(tokens)
        halves = [
            (row[cut.start : cut.middle], row[cut.middle : cut.end])
            for row, cut in zip(tokens, cuts, strict=True)
        ]
        choose = self._swap if self.kind == "sop" else self._exchange
        pairs, labels = choose(halves, np.array([cut.whole for cut in cuts]), rng)
        ids, segments, shown = self._join(pairs, tokens.size(1) + N_EXTRA)
        batch = Batch(ids=ids, targets=torch.full_like(ids, IGNORE))
        if self.masking is not None:
            text = shown & self.vocabulary.is_text(ids)
            batch = self.masking.hide(ids, self.masking.choose(ids, rng, text), rng)
        mask = shown[:, None, None, :]  # B T -> B 1 1 T
        extras = {"segments": segments, "mask": mask}
        return Batch(ids=batch.ids, targets=batch.targets, extras=extras, labels=labels)

    def cuts(self, tokens: Int[Tensor, "B N"]) -> list[Cut]:
        """Where to cut each window: at the end of a sentence, as near to the middle as can be.

        What lies beyond half a window from the cut is left out, and so are sentences cut short by
        the window's ends: were they kept, a half that begins or ends in mid-sentence would give
        away which came first. No cut is made between two documents. Where that leaves nothing, all
        of the window is kept and cut in the very middle, whatever stands there.
        """
        ends = self.vocabulary.sentence_ends(tokens).numpy()
        text = self.vocabulary.is_text(tokens).numpy()
        return [self._cut(*row) for row in zip(ends, text, strict=True)]

    def loss(self, output: BERTOutput, batch: Batch) -> LossSum:
        """The nats of the labels; where tokens are hidden, with a weight, and beside theirs.

        `total = tokens + w * pairs` over `count = n_hidden + w * n_rows`.
        """
        pairs = pair_loss(output.pair_logits, labels_of(batch))
        if self.masking is None:
            return pairs
        hidden = token_loss(output.logits, batch.targets)
        # A pair is one answer a row, beside many hidden tokens: weighted, both tasks count alike.
        weight = self.weight(batch.ids.size(1))
        return LossSum(hidden.total + weight * pairs.total, hidden.count + weight * pairs.count)

    def weight(self, length: int) -> int:
        """How many hidden tokens a pair counts for, in rows of so many tokens."""
        if self.masking is None or self.pair_weight is not None:
            return self.pair_weight or 1
        return max(1, round(self.masking.mask_rate * (length - N_EXTRA)))

    def metrics(self, output: BERTOutput, batch: Batch) -> dict[str, LossSum]:
        """The two parts of the loss, and the fraction of pairs that were told right."""
        pairs = pair_loss(output.pair_logits, labels_of(batch))
        right = (output.pair_logits.argmax(-1) == labels_of(batch)).sum().float()
        metrics = {"pair loss": pairs, "pair accuracy": LossSum(right, pairs.count)}
        if self.masking is not None:
            metrics = {"token loss": token_loss(output.logits, batch.targets), **metrics}
        return metrics

    def _cut(self, ends: np.ndarray, text: np.ndarray) -> Cut:
        """One window's cut; a place `p` lies between tokens `p - 1` and `p`."""
        length = len(text)
        half = length // 2
        end = np.r_[False, ends]
        behind, ahead = np.r_[True, text], np.r_[text, True]  # what is beyond the window is text
        # A sentence starts before text, behind an end or a special token; it stops behind text, at
        # an end or before a special token. In the middle both halves have to be text.
        starts = np.flatnonzero(ahead & (end | ~behind))
        stops = np.flatnonzero(behind & (end | ~ahead))
        middles = np.flatnonzero(end & behind & ahead)
        # The nearest to the middle that leaves whole sentences on both sides wins.
        for middle in sorted(middles, key=lambda place: abs(2 * place - length)):
            before = starts[(middle - half <= starts) & (starts < middle)]
            after = stops[(middle < stops) & (stops <= middle + half)]
            if len(before) and len(after):
                return Cut(int(before[0]), int(middle), int(after[-1]), True)
        return Cut(0, half, length, False)

    def _swap(self, halves: list[Pair], whole: np.ndarray, rng: np.random.Generator) -> Paired:
        """Turn half of the pairs around."""
        kept = rng.random(len(halves)) < 0.5
        pairs = [pair if keep else pair[::-1] for pair, keep in zip(halves, kept, strict=True)]
        return pairs, torch.from_numpy(kept).long()

    def _exchange(self, halves: list[Pair], whole: np.ndarray, rng: np.random.Generator) -> Paired:
        """Give half of the rows another's second half, cut as their own is.

        Else the clean start of one behind the torn end of the other would tell.
        """
        kept = rng.random(len(halves)) < 0.5
        pairs = []
        for row, (first, _) in enumerate(halves):
            others = np.flatnonzero(whole == whole[row])
            others = others[others != row]
            kept[row] |= not len(others)
            pairs.append((first, halves[row if kept[row] else rng.choice(others)][1]))
        return pairs, torch.from_numpy(kept).long()

    def _join(
        self, pairs: list[Pair], length: int
    ) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
        """Rows of `[CLS] A [SEP] B [SEP]` and padding: tokens, segments, and what is no padding."""
        ids = torch.full((len(pairs), length), self.vocabulary.blank_id)
        segments = torch.zeros_like(ids)
        shown = torch.zeros_like(ids, dtype=torch.bool)
        cls, sep = torch.tensor([self.cls_id]), torch.tensor([self.sep_id])
        for row, (first, second) in enumerate(pairs):
            whole = torch.cat([cls, first, sep, second, sep])
            ids[row, : len(whole)] = whole
            # [CLS] A [SEP] is segment 0; B and its [SEP], from len(A) + 2 on, segment 1.
            segments[row, len(first) + 2 : len(whole)] = 1
            shown[row, : len(whole)] = True
        return ids, segments, shown


def pair_loss(logits: Float[Tensor, "B P"], labels: Int[Tensor, " B"]) -> LossSum:
    """The cross-entropy of the rows' labels in nats, summed.

    Raises:
        UserError: the model has no head for pairs.
    """
    if not logits.size(1):
        raise UserError("this model has no head for pairs: build it with n_pair_labels=2")
    scores = logits.to(torch.promote_types(logits.dtype, torch.float32))
    total = F.cross_entropy(scores, labels, reduction="sum")
    return LossSum(total, torch.tensor(len(labels), device=labels.device))


def labels_of(batch: Batch) -> Int[Tensor, " B"]:
    """The rows' labels, which `prepare` has set."""
    assert batch.labels is not None
    return batch.labels
