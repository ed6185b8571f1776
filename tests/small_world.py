"""A small GPT, its rows, and the steps that one process takes: what several have to equal."""

import torch
from torch import Tensor

from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.objectives.base import IGNORE, LossSum, token_loss

STEPS = 5
PATIENCE = 280.0
"""Seconds for a world that takes some, on a machine that has a lot else to do."""
SIZES = {"vocab_size": 23, "context_length": 8, "d_model": 24, "n_layers": 4, "n_heads": 6}
# Not the identity at first, as a fresh modern GPT is: there a wrong gradient could hide.
EXACT = {"zero_init_outputs": False}


def gpt(seed: int = 0, **changes) -> GPT:
    """In double precision: what differs is then the order of sums alone."""
    torch.manual_seed(seed)
    return GPT(GPTConfig(**{**SIZES, **EXACT, **changes})).double()


def rows(step: int, n_rows: int = 12) -> tuple[Tensor, Tensor]:
    """Ids and targets of a global batch; every row has another number of scored positions."""
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(SIZES["vocab_size"], (n_rows, 9), generator=generator)
    targets = ids[:, 1:].clone()
    for row in range(n_rows):
        targets[row, 8 - row % 7 :] = IGNORE
    return ids[:, :-1], targets


def adamw(parameters) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1)


def share(tensor: Tensor, part: int, parts: int) -> Tensor:
    return tensor.chunk(parts)[part]


def one_process(**changes) -> tuple[list[float], dict[str, Tensor]]:
    """The losses of five steps of AdamW, and the weights after them."""
    model = gpt(**changes)
    optimizer = adamw(model.parameters())
    losses = []
    for step in range(STEPS):
        ids, targets = rows(step)
        optimizer.zero_grad()
        loss: LossSum = token_loss(model(ids).logits, targets)
        mean = loss.total / loss.count
        mean.backward()
        optimizer.step()
        losses.append(mean.item())
    return losses, weights(model)


def weights(model) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
