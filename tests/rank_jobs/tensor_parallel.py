"""What the processes of `tests/parallel/test_tensor_parallel.py` do."""

import small_world
import torch
from torch import Tensor, nn

from llmcourse.parallel.tensor_parallel import (
    ColumnLinear,
    RowLinear,
    copy_to_ranks,
    tensor_parallel,
    vocabulary_loss,
)
from llmcourse.parallel.world import Channel

CASES = {
    "modern": {"n_layers": 2},
    "llama": {"n_layers": 1, "mlp": "swiglu", "n_kv_heads": 3, "n_heads": 6},
    "gpt2": {
        "n_layers": 1,
        "norm": "layernorm",
        "mlp": "gelu_tanh",
        "positions": "learned",
        "qk_norm": False,
        "bias": True,
        "tie_embeddings": True,
    },
}
CUT = {  # along which axis a parameter is cut; the others are whole
    "q_proj.weight": 0,
    "k_proj.weight": 0,
    "v_proj.weight": 0,
    "o_proj.weight": 1,
    "gate_proj.weight": 0,
    "up_proj.weight": 0,
    "down_proj.weight": 1,
    "q_proj.bias": 0,
    "k_proj.bias": 0,
    "v_proj.bias": 0,
    "up_proj.bias": 0,
    "token_embedding.weight": 0,
    "lm_head.weight": 0,
}


def learn(channel: Channel, steps: int, **changes) -> dict:
    """Losses, the first step's gradients and traffic, and the last weights."""
    model = tensor_parallel(small_world.gpt(**changes), channel)
    optimizer = small_world.adamw(model.parameters())
    losses, first = [], {}
    for step in range(steps):
        ids, targets = small_world.rows(step)
        before = channel.sent
        optimizer.zero_grad()
        total, count = vocabulary_loss(
            model(ids).logits, targets, channel, model.token_embedding.start
        )
        mean = total / count
        mean.backward()
        spent = channel.sent - before
        losses.append(mean.item())
        first = first or {"spent": spent, "gradients": gradients(model)}
        optimizer.step()
    return {"losses": losses, **first, "weights": weights(model)}


def named(model) -> dict[str, Tensor]:
    return {name.replace(".local", ""): value for name, value in model.named_parameters()}


def gradients(model) -> dict[str, Tensor]:
    return {name: value.grad.clone() for name, value in named(model).items()}


def weights(model) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in named(model).items()}


def whole(pieces: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The pieces of all ranks put together; what is whole already must be the same everywhere."""
    found = {}
    for name in pieces[0]:
        every = [of[name] for of in pieces]
        axis = next((axis for end, axis in CUT.items() if name.endswith(end)), None)
        if axis is None:
            assert all(torch.equal(every[0], other) for other in every), name
        found[name] = every[0] if axis is None else torch.cat(every, dim=axis)
    return found


def two_layers(channel: Channel) -> dict[str, Tensor]:
    """The pair by itself, widths that do not divide; the bias must be added once."""
    torch.manual_seed(0)
    first, second = nn.Linear(5, 7).double(), nn.Linear(7, 3).double()
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    column, row = ColumnLinear(first, channel), RowLinear(second, channel)
    y = row(column(copy_to_ranks(x, channel)).relu())
    y.square().sum().backward()
    return {"y": y.detach(), "x": x.grad, "bias": row.bias.grad}


def everything(channel: Channel) -> dict:
    found = {"two layers": two_layers(channel)}
    for name, changes in CASES.items():
        found[name] = learn(channel, small_world.STEPS if name == "modern" else 1, **changes)
    return found


def heads(channel: Channel) -> None:
    tensor_parallel(small_world.gpt(n_layers=1, n_kv_heads=3), channel)


def biased(channel: Channel) -> None:
    tensor_parallel(small_world.gpt(n_layers=1, positions="alibi"), channel)


def crowd(channel: Channel) -> None:
    ColumnLinear(nn.Linear(5, 1), channel)
