"""Generation, one token after another: the naive way, and with a cache of what was read before.

Both give the same tokens. The naive way reads the whole text again for each token; the cache reads
only the new one. Not here: which token is taken (`sampling.py`), and how an encoder-decoder takes
part (`seq2seq.py`). Chapter 15 teaches this.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.generate.sampling import sample
from llmcourse.models.base import Output
from llmcourse.nn.cache import KVCache

TokenSampler = Callable[[Float[Tensor, "B V"]], Int[Tensor, " B"]]
"""Takes the next token of each row from its logits: `greedy`, `sample`, or a composition."""


@runtime_checkable
class LanguageModel(Protocol):
    """Language model, what can write: it scores the successors of a text's tokens.

    Attributes:
        config: has the `context_length`, how many tokens the model sees at once.
    """

    config: Any

    def __call__(self, ids: Int[Tensor, "B T"]) -> Output:
        """Score every token of the vocabulary as the successor of each position."""
        ...


@runtime_checkable
class CachingModel(Protocol):
    """A language model that can remember what it read, in a cache that has a `length`."""

    config: Any

    def new_cache(self) -> Any:
        """A cache of nothing."""
        ...

    def __call__(
        self, ids: Int[Tensor, "B T"], *, cache: Any = None, n_scored: int | None = None
    ) -> Output:
        """Read the tokens that follow those in the cache, add them to it, and score the last."""
        ...


def generate(
    model: LanguageModel,
    ids: Int[Tensor, "B T"],
    *,
    max_new_tokens: int,
    sampler: TokenSampler = sample,
    use_cache: bool = True,
    stop_ids: Collection[int] = (),
) -> Iterator[Int[Tensor, " B"]]:
    """Generate: yield the next token of every row, again and again.

    A text longer than the model's context is seen through a window of its last `context_length`
    tokens, whose positions are counted from the window's beginning. Every position has then moved,
    so the cache starts afresh for each token: from there on it saves nothing.

    Args:
        model: scores tokens; put it in evaluation mode first if it has dropout.
        ids: what to go on from, at least one token.
        max_new_tokens: how many tokens at the most.
        sampler: takes a token from the logits: `greedy`, `sample`, or a composition such as
            `lambda logits: sample(top_k(apply_temperature(logits, 0.8), 40), generator)`.
        use_cache: read only what is new, if the model can keep a cache.
        stop_ids: stop before the token with which every row has come to one of these.

    Raises:
        UserError: there is nothing to go on from.
    """
    if ids.size(1) == 0:
        raise UserError("there is nothing to go on from: give at least one token")
    caches = use_cache and isinstance(model, CachingModel)
    room = min(model.config.context_length, ids.size(1) + max_new_tokens)
    read = _Reader(model, room) if caches else _read_all(model)
    stops = torch.tensor(sorted(stop_ids), dtype=ids.dtype, device=ids.device)
    ended = torch.zeros(ids.size(0), dtype=torch.bool, device=ids.device)
    for _ in range(max_new_tokens):
        with torch.no_grad():
            token = sampler(read(ids[:, -model.config.context_length :]))
        ended |= torch.isin(token, stops)
        if ended.all():
            return
        yield token
        ids = torch.cat([ids, token[:, None]], dim=1)


def _read_all(model: LanguageModel) -> Callable[[Int[Tensor, "B T"]], Float[Tensor, "B V"]]:
    """The naive way, and the oracle of the other: scores after reading everything again."""
    return lambda ids: model(ids).logits[:, -1]


class _Reader:
    """Scores after reading what was not read before."""

    def __init__(self, model: CachingModel, room: int) -> None:
        self.model, self.room = model, room
        self.cache = self._new_cache()

    def _new_cache(self) -> Any:
        cache = self.model.new_cache()
        # How long the text will be is known here, so what would grow is made once.
        return cache.with_room(self.room) if type(cache) is KVCache else cache

    def __call__(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B V"]:
        if self.cache.length >= ids.size(1):  # the window has moved, and every position with it
            self.cache = self._new_cache()
        out = self.model(ids[:, self.cache.length :], cache=self.cache, n_scored=1)
        return out.logits[:, -1]
