"""What every model returns, and what a transformer says of its size.

A model returns never a loss, and never a type that depends on the arguments.
"""

from typing import Any, ClassVar, NamedTuple

from jaxtyping import Float, Int
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
        generates: whether it goes on with a text, so that `llmcourse.generate` can use it.
    """

    config: Any
    generates: ClassVar[bool] = False

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
