"""One layer of a transformer: attention, then feed-forward, each added to what came in.

Not here: the parts themselves, which are passed in, and the stack of blocks (`models/`). Chapter 05
teaches this.
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from llmcourse.nn.attention import Attention


class Block(nn.Module):
    """A pre-norm residual block: `x + attention(norm1(x))`, then `x + mlp(norm2(x))`.

    The norm stands on the branch, so the residual stream runs through unchanged and gradients reach
    the first layer undiminished (Xiong et al., 2020). The tap point `hidden` sees what comes out.
    """

    def __init__(
        self,
        norm1: nn.Module,
        attention: Attention,
        norm2: nn.Module,
        mlp: nn.Module,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = norm1
        self.attention = attention
        self.norm2 = norm2
        self.mlp = mlp
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Identity()

    def forward(self, hidden: Float[Tensor, "B T D"], **looking: Any) -> Float[Tensor, "B T D"]:
        """Transform the residual stream; `looking` is what `Attention.forward` takes by keyword."""
        hidden = hidden + self.dropout(self.attention(self.norm1(hidden), **looking))
        hidden = hidden + self.dropout(self.mlp(self.norm2(hidden)))
        return self.hidden(hidden)
