"""Can it write? The bits per byte of whole texts, where an objective gives texts a probability.

A probability of a text needs each token predicted from what was chosen before it, and from nothing
else. How a model is asked for that is its objective's business (`Objective.text_logits`): a GPT
does it by itself, an XLNet if the order that it is told is from left to right, a decoder if it is
to fill one gap, and the gap is the text. Who was trained to fill gaps on both sides, or to compare
texts, gives no text a probability, and there is nothing to measure. Not here: the loss of a task
itself (`perplexity.py`), and writing (`generate/`). Chapter 07 teaches this.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from llmcourse.evaluate.features import Text, of_one_length
from llmcourse.evaluate.intervals import Interval, bootstrap
from llmcourse.models.base import Model
from llmcourse.objectives.base import Objective
from llmcourse.tokenizers.base import Tokenizer, byte_lengths

FRAME = 2
"""How many places of the context a text leaves to what stands around it."""


@torch.no_grad()
def bits_per_byte_of_texts(
    objective: Objective,
    model: Model,
    texts: Sequence[Text],
    tokenizer: Tokenizer,
    rng: np.random.Generator,
) -> Interval | None:
    """The bits per byte of texts, each begun from nothing; None if the objective gives them none.

    What goes beyond the model's context is left out. The interval is a bootstrap over texts.
    """
    if not objective.scores_text:
        return None
    texts = [tuple(text[: model.config.context_length - FRAME]) for text in texts]
    sizes = torch.tensor(byte_lengths(tokenizer))
    bits, n_bytes = np.zeros(len(texts)), np.zeros(len(texts))
    training = model.training
    model.eval()
    for part in of_one_length(texts):
        rows = torch.tensor([texts[index] for index in part])
        logits = objective.text_logits(model, rows, tokenizer.eot_id)
        nats = F.cross_entropy(logits.mT.double(), rows, reduction="none")
        bits[part] = nats.sum(dim=1).numpy() / math.log(2)
        n_bytes[part] = sizes[rows].sum(dim=1).numpy()
    model.train(training)
    return bootstrap(bits, n_bytes, rng)
