"""The neural n-gram: the same few words of context, but as vectors that a network has learned.

Bengio et al., 2003. A table of counts knows a context or it does not. Here similar words get
similar vectors, so what is learned about one context helps in all that are like it. Not here: a
memory that reaches further than the context (`rnn_lm`), or chooses from it (`gpt`). Chapter 02
teaches this.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmcourse.models.base import Model, Output
from llmcourse.models.config import at_least


@dataclass(frozen=True, kw_only=True)
class MLPLMConfig:
    """The shape of a neural n-gram.

    Attributes:
        vocab_size: how many tokens there are, V.
        context_length: how many tokens the model looks at, its n less one.
        d_model: the width of a token's vector, D.
        d_ff: the width of the hidden layer, F; 4 D unless given.

    Raises:
        UserError: a size below 1.
    """

    vocab_size: int
    context_length: int
    d_model: int
    d_ff: int | None = None

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "d_model", "d_ff"):
            at_least(1, name, getattr(self, name))

    @property
    def ff_width(self) -> int:
        """The width of the hidden layer, F."""
        return 4 * self.d_model if self.d_ff is None else self.d_ff

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        hidden = (self.context_length * self.d_model + 1) * self.ff_width
        return self.vocab_size * self.d_model + hidden + (self.ff_width + 1) * self.vocab_size

    def forward_flops(self, length: int) -> int:
        """Floating-point operations to read one row of so many tokens, and to score every place.

        A multiplication and an addition for each weight of a matrix and each token.
        """
        return 2 * length * self.ff_width * (self.context_length * self.d_model + self.vocab_size)

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations to train on one token."""
        return 3 * self.forward_flops(1)


class MLPLM(Model):
    """`logits = W tanh(H [e(w_1); ...; e(w_n)] + d) + b` (Bengio et al., 2003, equation 1).

    Without the direct connections from vectors to logits, which the paper has as an option.

    Attributes:
        config: what it was built from.
        token_embedding: a vector for each token, `[V, D]`.
        hidden_proj: from the context's vectors, side by side, to the hidden layer.
        lm_head: from the hidden layer to logits.
    """

    generates = True

    def __init__(self, config: MLPLMConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.hidden_proj = nn.Linear(config.context_length * config.d_model, config.ff_width)
        self.lm_head = nn.Linear(config.ff_width, config.vocab_size)

    @property
    def hidden_width(self) -> int:
        """How wide the final hidden states are, F."""
        return self.config.ff_width

    def forward(self, ids: Int[Tensor, "B T"]) -> Output:
        """Score every token as the successor of each position, from the last `context_length` ones.

        A text may be of any length. Before its beginning stand vectors of zeros.
        """
        # B T -> B T D -> B T (N D): side by side, so each of N places has weights of its own.
        context = self.contexts(self.token_embedding(ids))
        hidden = torch.tanh(self.hidden_proj(context))
        return Output(self.lm_head(hidden), hidden)

    def contexts(self, vectors: Float[Tensor, "B T D"]) -> Float[Tensor, "B T ND"]:
        """At each position the vectors of the last `context_length` tokens, oldest first."""
        n = self.config.context_length
        # N - 1 zeros before the text, so that its first position has a context, too.
        padded = F.pad(vectors, (0, 0, n - 1, 0))
        return padded.unfold(1, n, 1).transpose(2, 3).flatten(2)  # B T D N -> B T (N D)
