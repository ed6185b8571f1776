"""How large the tensors are that a piece of code makes on its way.

Some exercises are about memory: the right numbers are not enough if a matrix that was to be avoided
stood in between. Not here: the exercises (one module a concept). No chapter teaches this.
"""

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class LargestTensor(TorchDispatchMode):
    """Watches every operation within its `with` block.

    Attributes:
        numel: how many numbers the largest result held.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result
