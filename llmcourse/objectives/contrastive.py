"""Contrastive learning: two views of one text belong together, those of other texts do not.

SimCSE (Gao et al., 2021) with the loss of van den Oord et al. (2018), InfoNCE. What a view must be
told from are the other texts of its batch: nothing is labelled, and each row's loss depends on all
rows. Not here: the model (`models/dual_encoder.py`). Chapter 07 teaches this.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.errors import UserError, nearest
from llmcourse.models.dual_encoder import DualOutput
from llmcourse.objectives.base import IGNORE, Batch, LossSum, Objective
from llmcourse.objectives.vocabulary import Vocabulary

VIEWS = ("dropout", "crop")


class Contrastive(Objective):
    """Contrastive objective (InfoNCE): find a text's second view among those of the whole batch.

        loss = -sum_i log( exp(s_ii / temperature) / sum_j exp(s_ij / temperature) )

    where `s_ij` is the cosine between the first view of text `i` and the second of text `j`. The
    sum runs over first views alone, as in SimCSE: both views are drawn in the same way, so the
    other half would say the same. Special tokens are no text: nobody looks at them, and they do not
    count in a mean.

    Args:
        vocabulary: the tokens.
        temperature: what cosines, which end at 1, are divided by. The smaller it is, the more the
            nearest of the wrong texts matter.
        views: `dropout`: the same text twice, under another dropout (in evaluation, which has none,
            both are the same, and the loss only says how far apart texts are); `crop`: two
            stretches of the text, drawn independently (Giorgi et al., 2020; Izacard et al., 2021).
        crop: how long each stretch is, as a fraction of the text.

    Raises:
        UserError: an unknown kind of view, or a number that cannot be.
    """

    rows_are_independent = False

    def __init__(
        self,
        vocabulary: Vocabulary,
        temperature: float = 0.05,
        views: str = "dropout",
        crop: float = 0.5,
    ) -> None:
        if views not in VIEWS:
            raise UserError(f"unknown views={views!r}{nearest(views, VIEWS)}")
        if temperature <= 0:
            raise UserError(f"temperature={temperature} must be above 0: try 0.05")
        if not 0 < crop <= 1:
            raise UserError(f"crop={crop} must be above 0 and at most 1: a fraction of the text")
        self.vocabulary = vocabulary
        self.temperature = temperature
        self.views = views
        self.crop = crop

    def prepare(self, tokens: Int[Tensor, "B T"], rng: np.random.Generator) -> Batch:
        """Make the views: the model reads `ids`, and then `extras["others"]`, or `ids` again."""
        is_text = self.vocabulary.is_text(tokens)
        if self.views == "dropout":
            first, extras = View(tokens, is_text), {}
        else:
            draw = (tokens, is_text, self.crop, self.vocabulary.blank_id, rng)
            first, second = draw_crop(*draw), draw_crop(*draw)
            extras = {"others": second.tokens, "others_mask": second.is_text[:, None, None]}
        return Batch(
            ids=first.tokens,
            targets=torch.full_like(first.tokens, IGNORE),
            extras={"mask": first.is_text[:, None, None], **extras},  # B T -> B 1 1 T
        )

    def loss(self, output: DualOutput, batch: Batch) -> LossSum:
        """The nats that it takes to name the second view of each text, summed over the texts."""
        scores = similarities(output.anchors, output.others) / self.temperature
        # Text i belongs to text i: the right answers are the diagonal of B x B scores.
        right = torch.arange(len(scores), device=scores.device)
        total = F.cross_entropy(scores, right, reduction="sum")
        return LossSum(total, torch.tensor(len(scores), device=scores.device))

    def metrics(self, output: DualOutput, batch: Batch) -> dict[str, LossSum]:
        """`pair accuracy`: how many first views are nearest to their own second view."""
        scores = similarities(output.anchors, output.others)
        right = scores.argmax(dim=1) == torch.arange(len(scores), device=scores.device)
        count = torch.tensor(len(scores), device=scores.device)
        return {"pair accuracy": LossSum(right.float().sum(), count)}


class View(NamedTuple):
    """View, what is shown of each text.

    Attributes:
        tokens: the tokens, as wide as the longest view.
        is_text: which of them stand for text.
    """

    tokens: Int[Tensor, "B T"]
    is_text: Bool[Tensor, "B T"]


def draw_crop(
    tokens: Int[Tensor, "B T"],
    is_text: Bool[Tensor, "B T"],
    fraction: float,
    blank_id: int,
    rng: np.random.Generator,
) -> View:
    """Random crop: a stretch of each text, all equally likely, moved to the row's beginning.

    A text reaches from the first token that is text to the last one; a stretch has a `fraction`
    of that, rounded up. A row without text gives one without.
    """
    begins = is_text.int().argmax(dim=1)
    # argmax finds the first True: of the row, and of the row read backwards.
    lengths = tokens.size(1) - is_text.flip(1).int().argmax(dim=1) - begins
    kept = (lengths * fraction).ceil().long()
    starts = begins + torch.from_numpy(rng.integers(0, (lengths - kept + 1).numpy()))
    steps = torch.arange(int(np.ceil(tokens.size(1) * fraction)))
    shown = steps < kept[:, None]
    # B 1 + M -> B M; what is clamped lies behind the stretch, and is blanked out below.
    places = (starts[:, None] + steps).clamp(max=tokens.size(1) - 1)
    return View(
        tokens=tokens.gather(1, places).masked_fill(~shown, blank_id),
        is_text=is_text.gather(1, places) & shown,
    )


def similarities(
    anchors: Float[Tensor, "B D"], others: Float[Tensor, "N D"]
) -> Float[Tensor, "B N"]:
    """Cosine of each of the first vectors with each of the second, in float32 at least."""
    # Divided by a temperature of 0.05, an error of bfloat16 (1/256) would grow twentyfold.
    dtype = torch.promote_types(anchors.dtype, torch.float32)
    return F.normalize(anchors.to(dtype), dim=1) @ F.normalize(others.to(dtype), dim=1).T
