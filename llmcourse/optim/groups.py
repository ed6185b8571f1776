"""Which parameters are treated how: who decays, and who is a matrix in Muon's sense.

Not here: the optimizers themselves (`adam.py`, `muon.py`). Chapter 06 teaches this.
"""

from collections.abc import Iterable

from torch import nn
from torch.nn import Parameter

NOT_HIDDEN = ("embedding", "lm_head", "pair_head", "position_bias")
"""What in a name tells of a table of tokens, labels or positions: no map of hidden states."""


def decay_groups(
    parameters: Iterable[Parameter], weight_decay: float
) -> list[dict[str, list[Parameter] | float]]:
    """Parameter groups, two of them: matrices and tables decay, biases and norms' gains do not.

    Decay pulls towards zero, which makes a smaller map of a matrix; a gain of zero silences its
    channel, which is nobody's aim (Loshchilov and Hutter, 2019, for the decay itself). A parameter
    that appears twice (tied embeddings) is taken once; a group without members is left out.
    """
    # By identity: a tied parameter has two names, and is to be stepped once.
    unique = list({id(p): p for p in parameters if p.requires_grad}.values())
    # By shape: biases and gains have one axis, matrices and tables two.
    matrices = [p for p in unique if p.ndim >= 2]
    vectors = [p for p in unique if p.ndim < 2]
    groups: list[dict[str, list[Parameter] | float]] = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def split_for_muon(model: nn.Module) -> tuple[list[Parameter], list[Parameter]]:
    """The hidden matrices, for Muon, and everything else, for AdamW (Jordan et al., 2024).

    Embeddings and the output head are tables with a row for each token, most rows without a
    gradient in a given step: to orthogonalise their update would move rows that saw nothing.
    """
    matrices: list[Parameter] = []
    rest: list[Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        # A table has two axes as well: only its name tells it from a map between hidden states.
        hidden = parameter.ndim == 2 and not any(part in name for part in NOT_HIDDEN)
        (matrices if hidden else rest).append(parameter)
    return matrices, rest
