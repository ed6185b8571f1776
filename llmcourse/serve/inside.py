"""A look inside: what would come next, and where the last token looks. No part of OpenAI's API.

Not here: how tokens are taken (`writing.py`). Chapter 03 teaches what the weights mean.
"""

from collections.abc import Sequence

import torch

from llmcourse.errors import UserError
from llmcourse.models.base import Model
from llmcourse.nn.capture import capture
from llmcourse.serve.answers import token_text
from llmcourse.serve.protocol import NextAnswer, NextToken
from llmcourse.tokenizers.base import Tokenizer

DIGITS = 5
"""Weights are told with so many digits behind the point."""


def look(
    model: Model, *, tokenizer: Tokenizer, ids: Sequence[int], top: int, layer: int
) -> NextAnswer:
    """The likeliest next tokens, and one layer's attention of the last token, head by head.

    Raises:
        UserError: there is no such layer.
    """
    n_layers = int(getattr(model.config, "n_layers", 1))
    if layer >= n_layers:
        raise UserError(f"layer={layer} is none of {n_layers}: the first is 0, the last -1")
    layer = n_layers - 1 if layer < 0 else layer
    name = f"blocks.{layer}.attention.weights"
    row = torch.tensor([ids], device=next(model.parameters()).device)
    attention = None
    if any(module == name for module, _ in model.named_modules()):
        with capture(model, name) as seen:
            logits = model(row).logits[0, -1]
        # 1 H T S -> H S: the last token alone
        attention = [
            [round(weight, DIGITS) for weight in head]
            for head in seen[name][0, :, -1].float().tolist()
        ]
    else:
        logits = model(row).logits[0, -1]
    best = logits.float().softmax(-1).topk(min(top, logits.size(-1)))
    return NextAnswer(
        tokens=[token_text(tokenizer, token) for token in ids],
        next=[
            NextToken(id=token, token=token_text(tokenizer, token), probability=probability)
            for token, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ],
        layer=layer,
        n_layers=n_layers,
        attention=attention,
    )
