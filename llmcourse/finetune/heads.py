"""Task heads on a backbone: a label for a text, or a label for each of its words.

A backbone is any model of this course; of it the final hidden states are read, and its own output
head is left alone. A head is one linear map, as in BERT (Devlin et al., 2018): what it needs to
know, the backbone should. Not here: which parameters move (`methods.py`), how texts become rows
(`encode.py`), the CRF (`nn/crf.py`). Chapters 11 and 12 teach this.
"""

from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.errors import require
from llmcourse.models.base import Model
from llmcourse.nn.crf import LinearChainCRF

Pooling = Literal["mean", "first", "last"]


class HeadOutput(NamedTuple):
    """A forward pass with a head.

    Attributes:
        logits: unnormalised log-probabilities of each label; of each text, or of each of its words.
        hidden: the backbone's final hidden states.
    """

    logits: Float[Tensor, "... C"]
    hidden: Float[Tensor, "B T D"]


def pool(
    hidden: Float[Tensor, "B T D"], mask: Bool[Tensor, "B 1 1 T"], how: Pooling
) -> Float[Tensor, "B D"]:
    """One vector for each text: the mean of its tokens' states, or that of its first or last token.

    The last token is the last one of the text, not of the row: what fills a row up means nothing.
    """
    real = mask[:, 0, 0, :]  # B 1 1 T -> B T
    if how == "first":
        return hidden[:, 0]
    lengths = real.sum(dim=1)
    if how == "last":
        return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]
    # Padding has hidden states, too: a plain mean would depend on how long other rows are.
    return (hidden * real[..., None]).sum(dim=1) / lengths[:, None]


class Adapted(nn.Module):
    """Base of a backbone with what a task puts on it; `forward` takes a batch's ids and extras.

    Attributes:
        backbone: the model that was trained before.
        reads_own_head: whether the backbone's own output head is asked.
    """

    reads_own_head: ClassVar[bool] = False

    def __init__(self, backbone: Model) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def own_parts(self) -> dict[str, nn.Module]:
        """What was put on the backbone and is learned, by name."""
        parts = dict(self.named_children())
        return {name: part for name, part in parts.items() if name not in ("backbone", "dropout")}


class Headed(Adapted):
    """Base of a backbone with a linear head.

    Attributes:
        dropout: in front of the head.
        head: from hidden states to labels, `[C, D]`.
    """

    def __init__(self, backbone: Model, n_labels: int, dropout: float = 0.0) -> None:
        super().__init__(backbone)
        require(n_labels > 0, f"n_labels={n_labels} must be at least 1")
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(backbone.hidden_width, n_labels)
        # Small, so that at first all labels are about as likely, and the first gradients that
        # reach the backbone are small, too.
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)


class Classifier(Headed):
    """A label for each text.

    Attributes:
        pooling: how the states of a text become one vector. An encoder's states have all seen the
            whole text; of a model that looks backwards only the last one has.
    """

    def __init__(
        self, backbone: Model, n_labels: int, *, pooling: Pooling = "mean", dropout: float = 0.0
    ) -> None:
        super().__init__(backbone, n_labels, dropout)
        self.pooling: Pooling = pooling

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        mask: Bool[Tensor, "B 1 1 T"],
        segments: Int[Tensor, "B T"] | None = None,
    ) -> HeadOutput:
        """Score the labels of each text: logits `[B, C]`."""
        hidden = self.backbone.hidden_states(ids, segments, mask)
        pooled = pool(hidden, mask, self.pooling)  # B T D -> B D
        return HeadOutput(self.head(self.dropout(pooled)), hidden)


class Tagger(Headed):
    """A tag for each word, decided at one of its pieces; alone, or together by a CRF.

    Attributes:
        crf: scores neighbouring tags, too; None where each word is decided alone.
    """

    def __init__(
        self,
        backbone: Model,
        n_labels: int,
        *,
        crf: LinearChainCRF | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(backbone, n_labels, dropout)
        self.crf = crf

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        mask: Bool[Tensor, "B 1 1 T"],
        segments: Int[Tensor, "B T"] | None = None,
        words: Int[Tensor, "B W"] | None = None,
    ) -> HeadOutput:
        """Score the tags: logits `[B, W, C]`, of the tokens at the places `words`.

        Without `words`, of every token. A place below 0 fills up a row with fewer words.
        """
        hidden = self.backbone.hidden_states(ids, segments, mask)
        states = hidden
        if words is not None:  # B T D -> B W D: one piece speaks for its word
            places = words.clamp(min=0)[..., None].expand(-1, -1, hidden.size(-1))
            states = hidden.gather(1, places)
        return HeadOutput(self.head(self.dropout(states)), hidden)
