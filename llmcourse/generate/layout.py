"""How a model's matrices lie in memory while it writes on a CPU.

One new token is one row, and a row times a matrix takes as long as the matrix takes to be read: no
number of it is used twice. A processor reads ahead best along long stretches, so a matrix should
lie along its longer side. `nn.Linear` stores `[out, in]` with `in` running fastest, which is the
short side of everything that widens: of the way into the MLP, of Q, K and V together, of the output
head above all. The numbers, their shape and their meaning stay. Not here: the loops that write
(`decode.py`). Chapter 15 measures what it is worth.
"""

import torch
from torch import nn


@torch.no_grad()
def lay_out_for_writing(model: nn.Module) -> None:
    """Let each matrix that widens, `out > in`, lie along its output; in place, on a CPU only.

    A tied matrix stays tied: it is the same tensor, laid out anew. Training such a model works, but
    is not what it is for.
    """
    for module in model.modules():
        if type(module) is nn.Linear and module.out_features > module.in_features:
            weight = module.weight
            if weight.device.type == "cpu":
                weight.data = weight.data.t().contiguous().t()
