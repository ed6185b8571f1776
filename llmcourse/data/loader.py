"""Which window comes when, and the batches made of them.

The order is drawn without replacement: in an epoch every window comes once. Where the sampler
stands is three numbers, so that a run resumes exactly. Not here: what a window is (`windows`) and
what the model is asked about it (`objectives`). Chapter 08 teaches this.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from llmcourse.data.windows import Windows
from llmcourse.errors import UserError
from llmcourse.randomness import numpy_rng


class Draw(NamedTuple):
    """One window to read: in which pass over the data, and which one."""

    epoch: int
    index: int


class Sampler:
    """Draws windows without replacement, in a fresh seeded order each epoch, for ever.

    The order of an epoch is a function of the seed and the epoch alone, so the state is a position
    and no permutation is ever saved.
    """

    def __init__(self, n_windows: int, seed: int):
        if n_windows < 1:
            raise UserError(f"there is nothing to sample from: n_windows={n_windows}")
        self.n_windows = n_windows
        self.seed = seed
        self._move_to(epoch=0, position=0)

    def take(self, n: int) -> list[Draw]:
        """The next `n` draws, over as many epochs as that takes."""
        draws: list[Draw] = []
        while len(draws) < n:
            end = min(self._position + n - len(draws), self.n_windows)
            indices = self._order[self._position : end].tolist()
            draws += [Draw(self._epoch, index) for index in indices]
            if end == self.n_windows:
                self._move_to(self._epoch + 1, 0)
            else:
                self._position = end
        return draws

    def state(self) -> dict[str, int]:
        """Where the sampler stands, as plain JSON values."""
        return {
            "n_windows": self.n_windows,
            "seed": self.seed,
            "epoch": self._epoch,
            "position": self._position,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where the sampler with this state would have.

        Raises:
            UserError: the state is of other data or of another seed.
        """
        for name in ("n_windows", "seed"):
            was, now = state[name], getattr(self, name)
            if was != now:
                raise UserError(
                    f"the data order was saved with {name}={was} and is now {name}={now}: "
                    "resume with the same data and seed"
                )
        self._move_to(state["epoch"], state["position"])

    def _move_to(self, epoch: int, position: int) -> None:
        self._epoch, self._position = epoch, position
        self._order = numpy_rng(self.seed, "sampler", epoch).permutation(self.n_windows)


def epoch_offset(seed: int, epoch: int, stride: int) -> int:
    """By how many ids (0 to `stride - 1`) every window is moved in this epoch.

    So no two epochs cut the text at the same places: what stood at a window's beginning, without
    context, stands somewhere in the middle the next time.
    """
    return int(numpy_rng(seed, "offset", epoch).integers(stride))


def batch_tokens(windows: Windows, sampler: Sampler, n_windows: int) -> Int64[np.ndarray, "B N"]:
    """The sampler's next `n_windows` windows, stacked.

    Processes that train together each draw the whole batch, and take their own rows once it has
    been corrupted or shifted (`objectives/`): together they see what one would have seen.
    """
    stacked: list[np.ndarray] = []
    epoch = offset = -1
    for draw in sampler.take(n_windows):
        if draw.epoch != epoch:  # once a batch, or twice where an epoch ends within it
            epoch, offset = draw.epoch, epoch_offset(sampler.seed, draw.epoch, windows.stride)
        stacked.append(windows.window(draw.index, offset))
    return np.stack(stacked)
