"""How large the tensors are that a piece of code makes on its way.

Some exercises are about memory: the right numbers are not enough if a matrix that was to be avoided
stood in between. Not here: the exercises (one module a concept). No chapter teaches this.
"""

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


class LargestTensor(TorchFunctionMode):
    """Watches every call of a torch function or tensor method within its `with` block.

    What a function makes inside and does not return is not seen.

    Attributes:
        numel: how many numbers the largest result held.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result
