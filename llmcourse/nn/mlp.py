"""The feed-forward part of a block: each position by itself, up to a wider space and back.

Six kinds, from the first transformer's to today's: they differ in what bends the line between two
matrices, and in whether a third one gates. Not here: who mixes positions (`nn/attention.py`).
Chapter 05 teaches this.
"""

from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class _UpAndDown(nn.Module):
    """Two matrices; what stands between them is the subclass's."""

    n_matrices: ClassVar[int] = 2

    def __init__(self, d_model: int, d_ff: int, *, bias: bool = False) -> None:
        super().__init__()
        self.up_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.down_proj = nn.Linear(d_ff, d_model, bias=bias)

    @staticmethod
    def default_width(d_model: int) -> int:
        """The usual feed-forward width: four times the model's."""
        return 4 * d_model


class ReLUMLP(_UpAndDown):
    """ReLU MLP, `down(relu(up(x)))`, the first transformer's (Vaswani et al., 2017, equation 2)."""

    def forward(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Transform each position."""
        return self.down_proj(F.relu(self.up_proj(hidden)))


class GELUMLP(_UpAndDown):
    """GELU MLP, `down(gelu(up(x)))` in the tanh form, as GPT-2 (Hendrycks and Gimpel, 2016).

    Not what PyTorch and nanoGPT call GELU, which is `ExactGELUMLP`.
    """

    def forward(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Transform each position."""
        return self.down_proj(F.gelu(self.up_proj(hidden), approximate="tanh"))


class ExactGELUMLP(_UpAndDown):
    """Exact GELU MLP, `down(gelu(up(x)))` with `gelu(x) = x P(z < x)` for a normal `z`, as BERT.

    What `torch.nn.GELU()` computes unless told otherwise, and so nanoGPT.

    It differs from the tanh form by less than a thousandth, which is too much to load its weights.
    """

    def forward(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Transform each position."""
        return self.down_proj(F.gelu(self.up_proj(hidden)))


class SquaredReLU(_UpAndDown):
    """Squared ReLU MLP, `down(relu(up(x))^2)` (So et al., 2021, Primer): cheap, and sparse."""

    def forward(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Transform each position."""
        active = F.relu(self.up_proj(hidden))
        return self.down_proj(active * active)  # on a CPU backward is faster than square's


class _Gated(nn.Module):
    """Three matrices: one branch decides how much of the other passes (Shazeer, 2020)."""

    n_matrices: ClassVar[int] = 3

    def __init__(self, d_model: int, d_ff: int, *, bias: bool = False) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.up_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.down_proj = nn.Linear(d_ff, d_model, bias=bias)

    @staticmethod
    def default_width(d_model: int) -> int:
        """Two thirds of four times the model's width, so that three matrices cost what two did.

        Rounded up to a multiple of 32, which processors multiply faster.
        """
        return -(-8 * d_model // (3 * 32)) * 32  # 2/3 * 4 D = 8 D / 3; two minus signs round up


class SwiGLU(_Gated):
    """SwiGLU, `down(silu(gate(x)) * up(x))`, as Llama (Shazeer, 2020)."""

    def forward(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Transform each position."""
        return self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class GEGLU(_Gated):
    """GEGLU, `down(gelu(gate(x)) * up(x))` in the tanh form, as T5 v1.1 (Shazeer, 2020)."""

    def forward(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Transform each position."""
        return self.down_proj(
            F.gelu(self.gate_proj(hidden), approximate="tanh") * self.up_proj(hidden)
        )
