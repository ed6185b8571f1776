"""The recurrent language model: a state of fixed size, rewritten with every token read.

Mikolov et al., 2010. In principle it remembers for ever; chapter 02 measures for how long. Not
here: the layers themselves (`nn/rnn.py`), and a model that keeps what it read instead of squeezing
it (`gpt`). Chapter 02 teaches this.
"""

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor, nn

from llmcourse.errors import UserError, nearest
from llmcourse.models.base import Model, Output
from llmcourse.models.config import at_least
from llmcourse.nn.rnn import CELLS, StateCache


@dataclass(frozen=True, kw_only=True)
class RNNLMConfig:
    """The shape of a recurrent language model.

    Attributes:
        vocab_size: how many tokens there are, V.
        context_length: how many tokens training and generation show at once. The model itself has
            no limit: a state can be carried on for ever.
        d_model: the width of a token's vector and of a state, D.
        n_layers: how many recurrent layers stand on top of each other, L.
        cell: `rnn`, `gru` or `lstm`.
        dropout: the share of activations dropped in training: of the embeddings, between layers,
            and before the head.

    Raises:
        UserError: an unknown cell, or a size out of range.
    """

    vocab_size: int
    context_length: int
    d_model: int
    n_layers: int = 1
    cell: str = "lstm"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "d_model", "n_layers"):
            at_least(1, name, getattr(self, name))
        if self.cell not in CELLS:
            raise UserError(f"unknown cell={self.cell!r}{nearest(self.cell, CELLS)}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout={self.dropout} must be at least 0 and below 1: try 0.1")

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        tables = (2 * self.d_model + 1) * self.vocab_size
        # Input and state, each a matrix D x D and a bias a gate: torch's layout has both biases.
        layer = 2 * CELLS[self.cell].n_gates * self.d_model * (self.d_model + 1)
        return tables + self.n_layers * layer

    def forward_flops(self, length: int) -> int:
        """Floating-point operations to read one row of so many tokens, and to score every place.

        A multiplication and an addition for each weight of a matrix and each token.
        """
        layer = 2 * CELLS[self.cell].n_gates * self.d_model**2
        return 2 * length * (self.n_layers * layer + self.d_model * self.vocab_size)

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations to train on one token."""
        return 3 * self.forward_flops(1)


class RNNLM(Model):
    """Embedding, recurrent layers, head.

    Attributes:
        config: what it was built from.
        token_embedding: a vector for each token, `[V, D]`.
        layers: the L recurrent layers.
        lm_head: from hidden states to logits.
    """

    generates = True

    def __init__(self, config: RNNLMConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        cell = CELLS[config.cell]
        # Each layer reads the states of the one below as if they were words.
        self.layers = nn.ModuleList(
            cell(config.d_model, config.d_model) for _ in range(config.n_layers)
        )
        self.lm_head = nn.Linear(config.d_model, config.vocab_size)

    def new_cache(self) -> StateCache:
        """The states before anything was read, to pass to `forward`."""
        return StateCache(self.config.n_layers)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        cache: StateCache | None = None,
        n_scored: int | None = None,
    ) -> Output:
        """Score every token of the vocabulary as the successor of each position.

        Args:
            ids: the tokens to read.
            cache: the states after the tokens before these, which are replaced by those after
                them; without it, reading begins with nothing.
            n_scored: score so many positions at the end only; all unless given.
        """
        hidden = self.dropout(self.token_embedding(ids))  # B T D
        for number, layer in enumerate(self.layers):
            # B T D -> B T D, one step after the other; the state is all that goes to the next call.
            hidden, state = layer(hidden, cache.get(number) if cache is not None else None)
            hidden = self.dropout(hidden)
            if cache is not None:
                cache.put(number, state, ids.size(1))
        scored = hidden if n_scored is None else hidden[:, -n_scored:]
        return Output(self.lm_head(scored), hidden)
