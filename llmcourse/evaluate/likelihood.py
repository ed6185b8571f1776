"""Can it write? The bits per byte of whole texts, where an objective gives texts a probability.

A probability of a text needs each token predicted from what was chosen before it, and from nothing
else. A GPT does that. An XLNet does, if the order that it is told is from left to right. A decoder
does: it is asked to fill one gap, and the gap is the text. Who was trained to fill gaps on both
sides, or to compare texts, gives no text a probability, and there is nothing to measure. Not here:
the loss of a task itself (`perplexity.py`), and writing (`generate/`). Chapter 07 teaches this.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmcourse.evaluate.features import Text, of_one_length
from llmcourse.evaluate.intervals import Interval, bootstrap
from llmcourse.models.gpt import GPT
from llmcourse.models.xlnet import XLNet
from llmcourse.objectives.base import Objective
from llmcourse.objectives.span_corruption import SpanCorruption
from llmcourse.objectives.text_infilling import TextInfilling
from llmcourse.tokenizers.base import Tokenizer, byte_lengths

Rows = Int[Tensor, "B T"]
Logits = Float[Tensor, "B T V"]
Scorer = Callable[[Rows], Logits]
"""From texts to the logits of each of their tokens, given those before it."""

FRAME = 2
"""How many places of the context a text leaves to what stands around it."""


def scorer_of(objective: Objective, model: nn.Module, start_id: int) -> Scorer | None:
    """How to ask a model for the probability of a text; None if it gives texts none.

    `start_id` is what stands before a text, END_OF_TEXT as a rule.
    """
    asks: Any = model

    def shifted(rows: Rows) -> Rows:
        return behind(start_id, rows)[:, :-1]

    def from_left_to_right(rows: Rows) -> Logits:
        permutation = torch.arange(rows.size(1) + 1).expand(len(rows), -1)
        return asks(behind(start_id, rows), permutation=permutation).logits[:, 1:]

    def fills_one_gap(rows: Rows) -> Logits:
        return asks(torch.full_like(rows[:, :1], first_own_id), shifted(rows)).logits

    def fills_one_span(rows: Rows) -> Logits:
        source = torch.full_like(rows[:, :1], first_own_id)
        written = behind(start_id, behind(first_own_id, rows))[:, :-1]
        return asks(source, written).logits[:, 1:]

    if isinstance(model, GPT):
        return lambda rows: asks(shifted(rows)).logits
    if isinstance(model, XLNet):
        return from_left_to_right
    if isinstance(objective, TextInfilling | SpanCorruption):
        first_own_id = objective.vocabulary.size  # [MASK], or the first sentinel
        return fills_one_gap if isinstance(objective, TextInfilling) else fills_one_span
    return None


def behind(first_id: int, rows: Rows) -> Int[Tensor, "B S"]:
    """The rows with a token in front of each."""
    return torch.cat([torch.full_like(rows[:, :1], first_id), rows], dim=1)


@torch.no_grad()
def bits_per_byte_of_texts(
    objective: Objective,
    model: nn.Module,
    texts: Sequence[Text],
    tokenizer: Tokenizer,
    rng: np.random.Generator,
) -> Interval | None:
    """The bits per byte of texts, each begun from nothing; None if the model gives texts none.

    What goes beyond the model's context is left out. The interval is a bootstrap over texts.
    """
    score = scorer_of(objective, model, tokenizer.eot_id)
    if score is None:
        return None
    config: Any = model.config
    texts = [tuple(text[: config.context_length - FRAME]) for text in texts]
    sizes = torch.tensor(byte_lengths(tokenizer))
    bits, n_bytes = np.zeros(len(texts)), np.zeros(len(texts))
    training = model.training
    model.eval()
    for part in of_one_length(texts):
        rows = torch.tensor([texts[index] for index in part])
        nats = F.cross_entropy(score(rows).mT.double(), rows, reduction="none")
        bits[part] = nats.sum(dim=1).numpy() / math.log(2)
        n_bytes[part] = sizes[rows].sum(dim=1).numpy()
    model.train(training)
    return bootstrap(bits, n_bytes, rng)
