"""Initialisation, how weights begin. A bad beginning costs more than a bad learning rate.

First the rules for one matrix, from what it should do to the size of a signal; then what is done to
a whole model; last how a rule found at one width carries over to another. A matrix is stored as
`nn.Linear` stores it, `[fan_out, fan_in]`. Not here: how the size of a signal is measured
(`nn/propagation.py`). Chapter 05 teaches this.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llmcourse.errors import UserError, nearest

RESIDUAL_OUTPUTS = ("o_proj", "down_proj")
"""The projections whose output is added to the residual stream."""

RELU_GAIN = math.sqrt(2.0)
"""ReLU throws half of the signal away: `E[relu(z)^2] = 1/2`."""


# --- one matrix ----------------------------------------------------------------------------------


def gain(activation: Callable[[Tensor], Tensor]) -> float:
    """Gain of an activation: by what to multiply a signal so that its size stays as it was.

    `1 / sqrt(E[f(z)^2])` for a standard normal `z`, summed over a fine grid. It is sqrt(2) for
    ReLU and 1.59 for tanh, where torch's table has 5/3, a rule of thumb.

    Raises:
        UserError: the activation leaves nothing, or no finite number.
    """
    # Beyond 10 standard deviations the density is below 1e-22.
    z = torch.linspace(-10, 10, 20_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    mean_square = torch.trapezoid(activation(z).square() * density, z).item()
    if not 0 < mean_square < math.inf:
        raise UserError(
            f"the activation's mean square is {mean_square:g}: give one whose output is finite "
            "and not always zero, such as torch.relu"
        )
    return mean_square**-0.5


def xavier_std(fan_in: int, fan_out: int, gain: float = 1.0) -> float:
    """Xavier deviation, `gain * sqrt(2 / (fan_in + fan_out))`: between the two passes' wishes.

    Glorot and Bengio, 2010, equation 12.
    """
    return gain * math.sqrt(2.0 / (fan_in + fan_out))


def kaiming_std(fan: int, gain: float = RELU_GAIN) -> float:
    """Kaiming deviation, `gain / sqrt(fan)`.

    The fan-in keeps the signal's size, the fan-out the gradient's (He et al., 2015, equations 10
    and 14).
    """
    return gain / math.sqrt(fan)


@torch.no_grad()
def xavier_uniform_(
    weight: Float[Tensor, "M N"], gain: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Fill a matrix evenly between `-sqrt(3) std` and `sqrt(3) std`, of deviation `xavier_std`.

    Glorot and Bengio, 2010, equation 16.
    """
    # Even between -b and b has the deviation b / sqrt(3). Rows are fan_out, columns fan_in.
    bound = math.sqrt(3.0) * xavier_std(weight.size(1), weight.size(0), gain)
    return weight.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def xavier_normal_(
    weight: Float[Tensor, "M N"], gain: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Fill a matrix from a normal distribution of deviation `xavier_std`."""
    std = xavier_std(weight.size(1), weight.size(0), gain)
    return weight.normal_(std=std, generator=generator)


@torch.no_grad()
def kaiming_uniform_(
    weight: Float[Tensor, "M N"],
    gain: float = RELU_GAIN,
    fan: str = "in",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill a matrix evenly between `-sqrt(3) std` and `sqrt(3) std`, of deviation `kaiming_std`.

    Raises:
        UserError: `fan` is neither `in`, which keeps the signal, nor `out`, which keeps gradients.
    """
    bound = math.sqrt(3.0) * kaiming_std(_fan(weight, fan), gain)
    return weight.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def kaiming_normal_(
    weight: Float[Tensor, "M N"],
    gain: float = RELU_GAIN,
    fan: str = "in",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill a matrix from a normal distribution of deviation `kaiming_std` (He et al., 2015).

    Raises:
        UserError: `fan` is neither `in`, which keeps the signal, nor `out`, which keeps gradients.
    """
    return weight.normal_(std=kaiming_std(_fan(weight, fan), gain), generator=generator)


def _fan(weight: Tensor, fan: str) -> int:
    """How many terms the sums have that must keep their size: forward (in) or backward (out)."""
    axes = {"in": 1, "out": 0}
    if fan not in axes:
        raise UserError(f"unknown fan={fan!r}{nearest(fan, axes)}")
    return weight.size(axes[fan])


# --- a whole model -------------------------------------------------------------------------------


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
        # 2 L terms of variance s^2 / (2 L) add up to s^2.
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


# --- another width -------------------------------------------------------------------------------


class Multipliers(NamedTuple):
    """What a deviation and a learning rate found at the base width are multiplied by."""

    std: float
    lr: float


def mup(role: str, ratio: float) -> Multipliers:
    """The maximal update parametrisation for Adam: what changes when a model gets wider.

    With `m = width / base width` (Yang et al., 2022, table 3):

        input    std 1         lr 1       embeddings, biases, gains: their fan-in does not grow
        hidden   std m^-1/2    lr 1 / m   width in, width out
        output   std 1 / m     lr 1 / m   width in, logits out

    Then every coordinate of every activation moves by as much in a step at any width, so the best
    learning rate stays where it was. (The paper's scores are divided by K, too, not by sqrt(K).)

    Args:
        role: `input`, `hidden` or `output`.
        ratio: `m`, above 0.

    Raises:
        UserError: an unknown role, or a ratio that is not above 0.
    """
    if not 0 < ratio < math.inf:
        raise UserError(f"ratio={ratio} must be above 0: it is the width over the base width")
    # Hidden: m^-1/2 keeps a sum over m times as many entries as large as it was. Output: 1 / m, for
    # features that learned together point the same way, and their sum grows with m itself.
    table = {
        "input": Multipliers(1.0, 1.0),
        "hidden": Multipliers(ratio**-0.5, 1 / ratio),
        "output": Multipliers(1 / ratio, 1 / ratio),
    }
    if role not in table:
        raise UserError(f"unknown role={role!r}{nearest(role, table)}")
    return table[role]
