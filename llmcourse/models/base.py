"""What every model returns. Never a loss, and never a type that depends on the arguments."""

from typing import NamedTuple

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
