"""How weights begin. A bad beginning costs more than a bad learning rate.

Not here: Xavier and Kaiming initialisation. Chapter 05 teaches this, by measuring how a signal's
size changes with depth.
"""

import torch
from torch import nn

RESIDUAL_OUTPUTS = ("o_proj", "down_proj")
"""The projections whose output is added to the residual stream."""


def normal_(model: nn.Module, std: float = 0.02) -> None:
    """Draw every matrix and embedding from a normal distribution, and set biases to zero.

    As in GPT-2 (Radford et al., 2019). Norms keep the ones and zeros that they begin with.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def scale_residual_outputs_(model: nn.Module, n_layers: int) -> None:
    """Divide the projections that write to the residual stream by `sqrt(2 L)`.

    Each of L layers adds twice, and variances of independent terms add up; so the stream ends as
    large as it would after one addition (Radford et al., 2019, section 2.3).
    """
    for module in _residual_outputs(model):
        module.weight.div_((2 * n_layers) ** 0.5)


@torch.no_grad()
def zero_residual_outputs_(model: nn.Module) -> None:
    """Set the projections that write to the residual stream to zero: each block begins as identity.

    Zhang et al., 2019 (Fixup); Bachlechner et al., 2020 (ReZero) reach the same with a zero gate.
    """
    for module in _residual_outputs(model):
        module.weight.zero_()


def _residual_outputs(model: nn.Module) -> list[nn.Linear]:
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in RESIDUAL_OUTPUTS
    ]
