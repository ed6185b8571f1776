"""What every model returns, what it declares that it can do, and what its config counts.

A model returns never a loss, and never a type that depends on the arguments. Nobody asks a model
for its class: who needs something of a model reads what it declares here. Not here: the families
themselves, whose table is in `registry.py`.
"""

from typing import Any, ClassVar, NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Output(NamedTuple):
    """A forward pass.

    Attributes:
        logits: unnormalised log-probabilities of each token of the vocabulary.
        hidden: the final hidden states, after the last norm.
    """

    logits: Float[Tensor, "B T V"]
    hidden: Float[Tensor, "B T D"]


class Model(nn.Module):
    """Base of every family: what it can do, and its size, which its config counts.

    Attributes:
        config: what the model was built from.
        generates: whether it goes on with a text, so that `llmcourse.generate` can use it.
        reads_source: whether it reads one text (`encode`) and writes another (`decode`).
        stands_alone: whether it is a model by itself, and not one with something in front of it.
        calls_layers: whether it calls its layers whole, and not parts of them one by one.
        batches_ragged: whether rows of different lengths can share one `KVCache`, filled up on the
            left, if `forward` is given a `mask` and `positions`.
    """

    config: Any
    # What a family can do stands in its class; nobody asks a model what type it is.
    generates: ClassVar[bool] = False
    reads_source: ClassVar[bool] = False
    stands_alone: ClassVar[bool] = True
    calls_layers: ClassVar[bool] = True
    batches_ragged: ClassVar[bool] = False

    def hidden_states(
        self,
        ids: Int[Tensor, "B T"],
        segments: Int[Tensor, "B T"] | None = None,
        mask: Bool[Tensor, "#B 1 1 T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """What the model makes of each token, its final hidden state; of an encoder if it has one.

        Args:
            ids: the tokens to read.
            segments: which of two texts a token belongs to, for models that are told.
            mask: True where a row is text, not the padding at its end, as `masks.padding` makes it;
                of no use to models whose tokens see what is before them alone.
        """
        return self(ids).hidden

    @property
    def hidden_width(self) -> int:
        """How wide the final hidden states are, D for most families."""
        return self.config.d_model

    def step_flops(self, ids: Int[Tensor, "B T"], **extras: Any) -> int:
        """Floating-point operations of one forward and backward pass over these rows.

        `extras` are the further arguments of `forward`: they count where they are text, too.
        """
        # Backward takes two products for each of forward's: for the inputs and for the weights.
        return 3 * len(ids) * self.config.forward_flops(ids.size(1))

    @property
    def n_parameters(self) -> int:
        """Number of parameters, tied or shared matrices counted once."""
        return self.config.n_parameters

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations to train on one token, in rows of `context_length`."""
        return self.config.flops_per_token
