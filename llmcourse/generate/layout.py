"""How a model's matrices lie in memory while it writes on a CPU.

One new token is one row, and a row times a matrix takes as long as the matrix takes to be read: no
number of it is used twice. A processor reads ahead best along long stretches, so a matrix should
lie along its longer side. `nn.Linear` stores `[out, in]` with `in` running fastest, which is the
short side of everything that widens: of the way into the MLP, of Q, K and V together, of the output
head above all. Three matrices that meet the same row are one that widens, if they lie side by side.
The numbers, their shape and their meaning stay. Not here: the loops that write (`decode.py`).
Chapter 15 measures what it is worth.
"""

import torch
from torch import nn

from llmcourse.nn.attention import Attention


@torch.no_grad()
def lay_out_for_writing(model: nn.Module) -> None:
    """Let each matrix that does not narrow lie along its output; in place, on a CPU only.

    Those of attention's queries, keys and values lie side by side, and are multiplied as one where
    no gradient is asked for. A tied matrix stays tied: it is the same tensor, laid out anew.
    Training such a model works, but is not what it is for.
    """
    for module in model.modules():
        if isinstance(module, Attention):
            module.join_projections()
        elif type(module) is nn.Linear and module.out_features >= module.in_features:
            weight = module.weight
            if weight.device.type == "cpu" and weight.is_contiguous():
                weight.data = weight.data.t().contiguous().t()
