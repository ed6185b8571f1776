"""Sequence to sequence: an encoder-decoder writes by the loop that every model writes by.

Once its source is read, what is left of it is a model of the target alone (`EncodedSource`), and
`generate` needs not know. Not here: that loop (`decode.py`), beam search. Chapter 05 uses this.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from llmcourse.generate.decode import TokenSampler, generate
from llmcourse.generate.sampling import greedy
from llmcourse.models.base import Output
from llmcourse.models.encoder_decoder import EncoderDecoder
from llmcourse.nn.cache import KVCache


class EncodedSource:
    """An encoder-decoder whose source has been read: it scores targets as a `GPT` does.

    The source is read once, and its keys and values are computed once, for all that is written.

    Args:
        model: reads and writes.
        source: a text for each row that will be written.
        source_mask: True where the source is text, not padding, as `masks.padding` makes it.

    Raises:
        UserError: a source longer than the context.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        source: Int[Tensor, "B S"],
        source_mask: Bool[Tensor, "#B 1 1 S"] | None = None,
    ) -> None:
        self.model = model
        self.config = model.config
        with torch.no_grad():
            self.memory = model.encode(source, source_mask)
        self.memory_mask = source_mask
        self.memory_cache = KVCache(model.config.decoder_layers)

    def new_cache(self) -> KVCache:
        """A cache of no target."""
        return KVCache(self.config.decoder_layers)

    @torch.no_grad()
    def __call__(
        self, ids: Int[Tensor, "B T"], *, cache: KVCache | None = None, n_scored: int | None = None
    ) -> Output:
        """Score the successors of each position, or of so many at the end."""
        out = self.model.decode(
            ids,
            self.memory,
            memory_mask=self.memory_mask,
            memory_cache=self.memory_cache,
            cache=cache,
        )
        return out._replace(logits=out.logits[:, -(n_scored or 0) :])


def generate_from_source(
    model: EncoderDecoder,
    source: Int[Tensor, "B S"],
    *,
    start_id: int,
    stop_id: int,
    max_new_tokens: int,
    source_mask: Bool[Tensor, "#B 1 1 S"] | None = None,
    sampler: TokenSampler = greedy,
) -> list[list[int]]:
    """Write a target for each row of `source`, all rows at once; each ends where it stops.

    Rows do not see each other, so one that has ended can go on unread until the last has.

    Args:
        model: put it in evaluation mode first if it has dropout.
        source: the texts to read, padded to one length.
        start_id: what every target begins with; it is not returned.
        stop_id: what ends a target; it is not returned.
        max_new_tokens: how many tokens a target has at the most.
        source_mask: True where the source is text, not padding, as `masks.padding` makes it.
        sampler: takes a token from the logits, as in `generate`.

    Raises:
        UserError: a source longer than the context.
    """
    ids = source.new_full((source.size(0), 1), start_id)
    tokens = generate(
        EncodedSource(model, source, source_mask),
        ids,
        max_new_tokens=max_new_tokens,
        sampler=sampler,
        stop_ids=(stop_id,),
    )
    rows = torch.stack([ids[:, 0], *tokens], dim=1).tolist()
    return [_until(row[1:], stop_id) for row in rows]


def _until(row: list[int], stop_id: int) -> list[int]:
    return row[: row.index(stop_id)] if stop_id in row else row
