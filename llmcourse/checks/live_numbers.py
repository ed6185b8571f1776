"""How many numbers a piece of code holds at once in the tensors that it makes.

Some exercises are about memory: the right numbers are not enough if a matrix that was to be avoided
stood in between, whole or in pieces. Not here: the exercises (one module a concept). No chapter
teaches this.
"""

from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode


class LiveNumbers(TorchFunctionMode):
    """Counts, after each torch function or method within its `with` block, the numbers still alive.

    What a view shows is counted once, with what it is a view of; what was there before the block
    does not count. Neither do numbers outside of tensors, nor those that a function holds while it
    runs and lets go, but for the scores in the library's attention.

    Attributes:
        peak: the largest such count so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._held: dict[int, tuple[StorageWeakRef, int]] = {}
        self._known: dict[int, StorageWeakRef] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for tensor in _tensors((*args, *kwargs.values())):
            storage = _storage(tensor)
            if storage is not None and storage[0].cdata not in self._held:
                self._known[storage[0].cdata] = storage[0]  # made before the block
        result = func(*args, **kwargs)
        inside = 0
        if func is scaled_dot_product_attention:
            q, k = _tensors((*args, *kwargs.values()))[:2]
            inside = q.numel() // q.size(-1) * k.size(-2)
        for tensor in _tensors(result):
            self._count(tensor, inside)
        return result

    def _count(self, tensor: Tensor, inside: int) -> None:
        storage = _storage(tensor)
        if storage is not None and storage[0].cdata not in self._known:
            self._held[storage[0].cdata] = storage
        held = self._held.items()
        self._held = {key: pair for key, pair in held if not pair[0].expired()}
        alive = sum(numbers for _, numbers in self._held.values())
        self.peak = max(self.peak, alive + inside)


def _storage(tensor: Tensor) -> tuple[StorageWeakRef, int] | None:
    """What holds a tensor's numbers, and how many there are; None where nothing does."""
    try:
        storage = tensor.untyped_storage()
        return StorageWeakRef(storage), storage.nbytes() // tensor.element_size()
    except (RuntimeError, NotImplementedError):  # within vmap, or sparse
        return None


def _tensors(values: Any) -> list[Tensor]:
    """The tensors that a function takes or gives, also in lists."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, tuple | list):
        return [tensor for value in values for tensor in _tensors(value)]
    return []
