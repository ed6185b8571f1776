"""Config shared by the transformers: a block's sizes and the names of its parts, checked.

What sets a family apart stands in its own file (`gpt.py`, `bert.py`, `encoder_decoder.py`,
`xlnet.py`). Not here: how a config becomes modules (`assemble.py`), what it counts (`counts.py`),
and the tables of parts by name (`nn/parts.py`). Chapter 05 teaches this.
"""

from dataclasses import dataclass
from typing import ClassVar

from llmcourse.errors import UserError, nearest
from llmcourse.nn.attention import check_heads
from llmcourse.nn.parts import FORMER_NAMES, MLPS, NORMS, RESIDUALS
from llmcourse.nn.positions import offsets, relative_buckets, sinusoids
from llmcourse.nn.rope_scaling import SCALINGS, scaling_of


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """The sizes of a stack of blocks and the names of its parts.

    What is None follows from the rest: `kv_heads`, `head_width` and `ff_width` say what it became.

    Attributes:
        vocab_size: how many tokens there are, V.
        context_length: how many tokens the model sees at once.
        d_model: the width of the residual stream, D.
        n_layers: how many blocks, L.
        n_heads: how many query heads, H.
        n_kv_heads: how many key/value heads, G; H unless given.
        head_dim: the width of a head, K; `D / H` unless given.
        d_ff: the feed-forward width, F; the MLP's usual one unless given.
        norm: `layernorm` or `rmsnorm`.
        mlp: a name in `nn.parts.MLPS`, such as `relu`, `gelu_tanh` (GPT-2's), `gelu_exact` (BERT's
            and nanoGPT's), `geglu` (in the tanh form) or `swiglu`. What older files call `gelu` is
            `gelu_tanh`.
        residual: where the norm stands: on the branch, `pre`, or on the stream, `post`.
        positions: `none`, `sinusoidal`, `learned`, `relative` (T5's bias, one table for all layers
            of a stack), `rope`, or, where a text is read in one direction, `alibi`.
        rope_theta: the base of the rotary frequencies.
        rope_scaling: how rotations are slowed down for a context longer than the weights were
            trained on: `none`, `linear`, `ntk`, `yarn` or `llama3`.
        rope_factor: by how much.
        rope_original_length: the context that the weights were trained on; `context_length /
            rope_factor` unless given.
        relative_buckets: into how many buckets relative distances fall.
        relative_distance: from which distance on all fall into the last one.
        norm_eps: what keeps a norm from dividing by zero.
        qk_norm: whether queries and keys are normalised before they meet (Henry et al., 2020).
        bias: whether linear layers and norms have biases.
        tie_embeddings: whether one matrix reads tokens and predicts them (Press and Wolf, 2017).
        zero_init_outputs: whether what a block adds begins at zero.
        dropout: the share of activations dropped in training.

    Raises:
        UserError: an unknown part, or sizes that do not go together.
    """

    known_positions: ClassVar[tuple[str, ...]] = (
        "none",
        "sinusoidal",
        "learned",
        "relative",
        "rope",
    )
    """Without ALiBi, which knows distances alone: a stack that looks both ways could not tell a
    text from its mirror image."""

    vocab_size: int
    context_length: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int | None = None
    head_dim: int | None = None
    d_ff: int | None = None
    norm: str = "rmsnorm"
    mlp: str = "geglu"
    residual: str = "pre"
    positions: str = "rope"
    rope_theta: float = 10_000.0
    rope_scaling: str = "none"
    rope_factor: float = 1.0
    rope_original_length: int | None = None
    relative_buckets: int = 32
    relative_distance: int = 128
    norm_eps: float = 1e-5
    qk_norm: bool = True
    bias: bool = False
    tie_embeddings: bool = False
    zero_init_outputs: bool = True
    dropout: float = 0.0

    # At the door: a wrong size found here costs a line, in a forward pass a traceback.
    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "d_model", "n_layers", "n_heads"):
            at_least(1, name, getattr(self, name))
        for name in ("n_kv_heads", "head_dim", "d_ff", "rope_original_length"):
            at_least(1, name, getattr(self, name))
        object.__setattr__(self, "mlp", FORMER_NAMES.get(self.mlp, self.mlp))
        # Names are looked up here, so that a misspelt one fails with the nearest that there is.
        tables = {"norm": NORMS, "mlp": MLPS, "residual": RESIDUALS}
        others = {"positions": self.known_positions, "rope_scaling": ("none", *SCALINGS)}
        for name, known in (tables | others).items():
            word = getattr(self, name)
            if word not in known:
                raise UserError(f"unknown {name}={word!r}{nearest(word, known)}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout={self.dropout} must be at least 0 and below 1: try 0.1")
        for name in ("rope_theta", "norm_eps"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name}={getattr(self, name)} must be above 0")
        check_heads(self.d_model, self.n_heads, self.n_kv_heads, self.head_dim)
        self._check_positions()

    def _check_positions(self) -> None:
        """Refuse positions that do not fit the sizes, and a scaling that would scale nothing."""
        if self.positions == "rope" and self.head_width % 2:
            raise UserError(
                f"a head of width {self.head_width} is odd: rotary positions turn pairs, "
                "so choose d_model and n_heads (or head_dim) that make it even"
            )
        if self.positions == "sinusoidal":
            sinusoids(1, self.d_model)  # it and the next complain of sizes that do not fit
        if self.positions == "relative":
            relative_buckets(offsets(1, 1), self.relative_buckets, self.relative_distance, True)
        if self.positions != "rope" and self.rope_scaling != "none":
            raise UserError(
                f"rope_scaling={self.rope_scaling!r} needs positions='rope', not {self.positions!r}"
            )
        if self.rope_scaling == "none" and self.rope_factor != 1:
            raise UserError(
                f"rope_factor={self.rope_factor} does nothing without rope_scaling: "
                f"choose one of {', '.join(SCALINGS)}"
            )
        scaling_of(self.rope_scaling, self.rope_factor, self.rope_trained_length)

    @property
    def kv_heads(self) -> int:
        """How many key/value heads there are, G."""
        return check_heads(self.d_model, self.n_heads, self.n_kv_heads, self.head_dim)[0]

    @property
    def head_width(self) -> int:
        """The width of a head, K."""
        return check_heads(self.d_model, self.n_heads, self.n_kv_heads, self.head_dim)[1]

    @property
    def ff_width(self) -> int:
        """The feed-forward width, F."""
        return MLPS[self.mlp].default_width(self.d_model) if self.d_ff is None else self.d_ff

    @property
    def rope_trained_length(self) -> int:
        """The context that the weights were trained on, which rotations were made for."""
        # A scaling by `factor` was meant to make the trained context so many times as long.
        derived = round(self.context_length / max(self.rope_factor, 1))
        return derived if self.rope_original_length is None else self.rope_original_length


def at_least(least: int, name: str, value: int | None) -> None:
    """Refuse a size that is too small; None, which is derived, passes.

    Raises:
        UserError: it is.
    """
    if value is not None and value < least:
        raise UserError(f"{name}={value} must be at least {least}")


def check_length(length: int, context_length: int) -> None:
    """Refuse more tokens than a model sees at once.

    Raises:
        UserError: there are more.
    """
    if length > context_length:
        raise UserError(
            f"{length} tokens do not fit into the context_length of {context_length}: "
            f"give {context_length} at the most"
        )
