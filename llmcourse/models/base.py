"""What every model returns, and what a transformer says of its size.

A model returns never a loss, and never a type that depends on the arguments.
"""

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor


class Output(NamedTuple):
    """A forward pass.

    Attributes:
        logits: unnormalised log-probabilities of each token of the vocabulary.
        hidden: the final hidden states, after the last norm.
    """

    logits: Float[Tensor, "B T V"]
    hidden: Float[Tensor, "B T D"]


class CountsFromConfig:
    """Mixin of models whose config counts for them: parameters, and operations for each token.

    Attributes:
        config: what the model was built from.
    """

    config: Any

    @property
    def n_parameters(self) -> int:
        """Number of parameters, tied or shared matrices counted once."""
        return self.config.n_parameters

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations to train on one token, in rows of `context_length`."""
        return self.config.flops_per_token
