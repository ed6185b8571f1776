"""Prompts that no words spell: vectors that are trained, in front of a model that is held still.

`SoftPrompt` puts them where embeddings are (prompt tuning: Lester et al., 2021), `Prefix` where
every layer's keys and values are (prefix tuning: Li and Liang, 2021). Neither needs another
forward: the first is reached by ids that the vocabulary has not, the second is a cache. Not here:
adapters of the matrices (`lora.py`). Chapter 13 teaches this.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import Parameter

from llmcourse.errors import UserError, require
from llmcourse.nn.cache import KVCache


class SoftPrompt(nn.Module):
    """Embedding with a small table behind the large one: ids V ... V+P-1 are the soft prompt's.

    Only the small table learns. A row that begins with `virtual_ids` is prefixed by the prompt.

    Args:
        embedding: the model's own, `[V, D]`, held still from now on.
        length: P, how many vectors.
        like: the tokens whose embeddings the vectors begin as, repeated or cut to P of them;
            tokens drawn from the global generator, unless given.

    Attributes:
        prompt: the vectors, `[P, D]`.

    Raises:
        UserError: P below 1, no token to begin as, or one that the vocabulary has not.
    """

    def __init__(
        self, embedding: nn.Embedding, length: int, like: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        require(length >= 1, f"a soft prompt of length={length} is none: give at least 1")
        size = embedding.num_embeddings
        if like is None:
            like = torch.randint(size, (length,)).tolist()
        fits = bool(like) and all(0 <= i < size for i in like)
        require(fits, f"a soft prompt begins as tokens of a vocabulary of {size}: {list(like)[:8]}")
        self.embedding = embedding.requires_grad_(False)
        begin = torch.tensor([like[place % len(like)] for place in range(length)])
        rows = embedding.weight[begin.to(embedding.weight.device)]
        self.prompt = Parameter(rows.detach().clone())

    @property
    def virtual_ids(self) -> Int[Tensor, " P"]:
        """The ids of the prompt, V ... V+P-1, to be put in front of a row."""
        size = self.embedding.num_embeddings
        return torch.arange(size, size + len(self.prompt), device=self.prompt.device)

    def forward(self, ids: Int[Tensor, "*B"]) -> Float[Tensor, "*B D"]:
        """The vectors of tokens and of the soft prompt."""
        size = self.embedding.num_embeddings
        is_prompt = ids >= size
        # Both tables are asked for every place, each for a row that it has.
        words = self.embedding(ids.masked_fill(is_prompt, 0))
        prompt = self.prompt[(ids - size).clamp(min=0)]
        return torch.where(is_prompt.unsqueeze(-1), prompt, words)


def add_soft_prompt(
    model: Any, length: int, like: Sequence[int] | None = None
) -> Int[Tensor, " P"]:
    """Give a model's `token_embedding` a soft prompt, and hold all else still; returns its ids.

    Raises:
        UserError: the model has one already, or the arguments are not `SoftPrompt`'s.
    """
    embedding = model.token_embedding
    if not isinstance(embedding, nn.Embedding):
        raise UserError("this model has a soft prompt already: call remove_soft_prompt first")
    soft = SoftPrompt(embedding, length, like)
    model.requires_grad_(False)
    soft.prompt.requires_grad_(True)
    model.token_embedding = soft
    return soft.virtual_ids


def remove_soft_prompt(model: Any) -> Parameter:
    """Put the model's own embedding back; returns the soft prompt's vectors.

    Raises:
        UserError: the model has none.
    """
    soft = model.token_embedding
    if not isinstance(soft, SoftPrompt):
        raise UserError("this model has no soft prompt: call add_soft_prompt first")
    model.token_embedding = soft.embedding
    return soft.prompt


class Prefix(nn.Module):
    """Keys and values of P positions that nobody wrote, for every layer: `[L, G, P, K]` each.

    With `mlp_width` they are what a small network makes of P vectors, as in the paper, which
    trains more steadily; `flattened` drops the network when training is over.

    Args:
        n_layers: L.
        n_kv_heads: G.
        head_dim: K.
        length: P.
        mlp_width: the width of the network's hidden layer; None for no network.

    Raises:
        UserError: P below 1.
    """

    def __init__(
        self,
        *,
        n_layers: int,
        n_kv_heads: int,
        head_dim: int,
        length: int,
        mlp_width: int | None = None,
    ) -> None:
        super().__init__()
        require(length >= 1, f"a prefix of length={length} is none: give at least 1")
        self.n_layers, self.length = n_layers, length
        self.shape = (2, n_layers, n_kv_heads, length, head_dim)  # keys, values
        if mlp_width is None:
            self.table = Parameter(0.02 * torch.randn(self.shape))
            self.network = None
        else:
            width = n_kv_heads * head_dim
            self.table = Parameter(torch.randn(length, width))
            self.network = nn.Sequential(
                nn.Linear(width, mlp_width),
                nn.Tanh(),
                nn.Linear(mlp_width, 2 * n_layers * width),
            )

    def keys_and_values(self) -> Float[Tensor, "2 L G P K"]:
        """The keys, and the values, of every layer."""
        if self.network is None:
            return self.table
        _, n_layers, n_kv_heads, length, head_dim = self.shape
        made = self.network(self.table)  # P (2 L G K)
        made = made.view(length, 2, n_layers, n_kv_heads, head_dim)
        return made.permute(1, 2, 3, 0, 4)  # 2 L G P K

    def cache(self, batch_size: int) -> KVCache:
        """A cache that holds the prefix for each row; gradients flow through it."""
        keys, values = self.keys_and_values()
        cache = KVCache(self.n_layers)
        for layer, (k, v) in enumerate(zip(keys, values, strict=True)):
            # G P K -> B G P K
            cache.update(layer, k.expand(batch_size, *k.shape), v.expand(batch_size, *v.shape))
        return cache

    @torch.no_grad()
    def flattened(self) -> "Prefix":
        """The same prefix without its network."""
        _, n_layers, n_kv_heads, length, head_dim = self.shape
        prefix = Prefix(
            n_layers=n_layers, n_kv_heads=n_kv_heads, head_dim=head_dim, length=length
        ).to(self.table)
        prefix.table.copy_(self.keys_and_values())
        return prefix


def prefix_for(
    model: Any, length: int, mlp_width: int | None = None, like: Sequence[int] | None = None
) -> Prefix:
    """Prefix of the shape that a model's attention has; the model is held still from now on.

    With `like`, it begins as the keys and values of these tokens, repeated or cut to P of them:
    of real words rather than of noise, which trains better (Li and Liang, 2021, section 7.4).

    Raises:
        UserError: P below 1, a token that the vocabulary has not, or both a network and `like`.
    """
    config = model.config
    prefix = Prefix(
        n_layers=config.n_layers,
        n_kv_heads=config.kv_heads,
        head_dim=config.head_width,
        length=length,
        mlp_width=mlp_width,
    ).to(next(model.parameters()))
    model.requires_grad_(False)
    if like is None:
        return prefix
    require(mlp_width is None, "a prefix begins as tokens, or is made by a network: leave one out")
    fits = bool(like) and all(0 <= i < config.vocab_size for i in like)
    require(fits, f"a prefix begins as tokens of a vocabulary of {config.vocab_size}")
    ids = torch.tensor([[like[place % len(like)] for place in range(length)]])
    cache = model.new_cache()
    with torch.no_grad():
        model(ids.to(prefix.table.device), cache=cache)
        for layer in range(config.n_layers):
            for half, tensor in enumerate(cache.get(layer)):
                prefix.table[half, layer] = tensor[0]
    return prefix
