"""Memory of a rank: what it holds of a model that many ranks share, before anything has run.

The tests hold these to what the ranks really held. Not here: what travels (`costs.py`), and
activations (`planning/memory.py`). Chapter 10 teaches this.
"""

from dataclasses import dataclass

from llmcourse.errors import UserError
from llmcourse.models.counts import (
    attention_parameters,
    key_matrices,
    mlp_parameters,
    norm_parameters,
    position_parameters,
    query_matrices,
)
from llmcourse.models.gpt import GPTConfig
from llmcourse.nn.parts import MLPS
from llmcourse.parallel.costs import chunk_lengths


@dataclass(frozen=True)
class Memory:
    """Memory of one rank in bytes, without activations.

    Attributes:
        parameters: the model's weights.
        gradients: theirs.
        optimizer_state: what the optimizer remembers; AdamW two numbers for each weight.
    """

    parameters: float
    gradients: float
    optimizer_state: float

    @property
    def total(self) -> float:
        """All three together."""
        return self.parameters + self.gradients + self.optimizer_state


def zero_memory(
    n_parameters: int, n: int, stage: int, *, element: int = 4, state: int = 8
) -> Memory:
    """Memory of a mean rank with ZeRO; stage 0 is plain data parallelism.

    Rajbhandari et al., 2020, figure 1. `element` bytes for a weight and for its gradient, `state`
    for what the optimizer remembers of it. In mixed precision these are 2 and 12: the state then
    holds the weight in full precision, too.

    Raises:
        UserError: there is no such stage.
    """
    if stage not in (0, 1, 2, 3):
        raise UserError(f"ZeRO has no stage {stage}: choose 1, 2 or 3, or 0 to share nothing")
    whole, part = float(n_parameters), n_parameters / n
    return Memory(
        element * (part if stage >= 3 else whole),
        element * (part if stage >= 2 else whole),
        state * (part if stage >= 1 else whole),
    )


def tensor_parallel_parameters(config: GPTConfig, rank: int, n: int) -> int:
    """Parameters of one rank of `tensor_parallel`: the matrices cut, the vectors of width D not."""
    d_model, width = config.d_model, config.head_width
    heads, hidden = config.n_heads + 2 * config.kv_heads, chunk_lengths(config.ff_width, n)[rank]
    # Biases of what is cut are cut; those added after a sum are whole, as norms are.
    attention = (query_matrices(config) + key_matrices(config)) // n
    attention += config.bias * (heads * width // n + d_model) + config.qk_norm * 2 * width
    n_matrices = MLPS[config.mlp].n_matrices
    mlp = n_matrices * d_model * hidden + config.bias * ((n_matrices - 1) * hidden + d_model)
    norm = norm_parameters(config)
    tables = 1 if config.tie_embeddings else 2
    vocabulary = tables * d_model * chunk_lengths(config.vocab_size, n)[rank]
    blocks = config.n_layers * (attention + mlp + 2 * norm)
    return blocks + vocabulary + norm * (config.residual == "pre") + position_parameters(config)


def stage_parameters(config: GPTConfig, rank: int, n: int) -> int:
    """Parameters of one stage of a pipeline: its layers, and a table at either end."""
    norm = norm_parameters(config)
    block = sum(attention_parameters(config)) + sum(mlp_parameters(config)) + 2 * norm
    total = chunk_lengths(config.n_layers, n)[rank] * block
    table = config.vocab_size * config.d_model
    if rank == 0:
        total += table + position_parameters(config)
    if rank == n - 1:
        total += table + norm * (config.residual == "pre")
    return total
