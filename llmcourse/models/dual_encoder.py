"""A dual encoder: a BERT that turns a text into one vector, so that texts can be compared.

Both texts of a pair go through the same encoder, each by itself. A million texts are thus encoded
once, and searched by a product of vectors. Sentence-BERT (Reimers and Gurevych, 2019), SimCSE (Gao
et al., 2021). Not here: the encoder (`models/bert.py`), which texts belong together
(`objectives/contrastive.py`), files (`models/files.py`). Chapter 07 trains it.
"""

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.models.base import Model
from llmcourse.models.bert import BERT, BERTConfig
from llmcourse.nn.init import normal_


class DualOutput(NamedTuple):
    """A forward pass.

    Attributes:
        logits: what the BERT says about each token of the first text, for training words beside
            texts; comparing texts does not ask for it.
        hidden: the final hidden states of the first text.
        anchors: a vector for each first text.
        others: a vector for each second text.
    """

    logits: Float[Tensor, "B T V"]
    hidden: Float[Tensor, "B T D"]
    anchors: Float[Tensor, "B D"]
    others: Float[Tensor, "B D"]


@dataclass(frozen=True, kw_only=True)
class DualEncoderConfig(BERTConfig):
    """The shape of the BERT, and of what stands on it.

    Attributes:
        projection: whether a linear map follows the mean of the hidden states.

    Raises:
        UserError: an unknown part, or sizes that do not go together.
    """

    projection: bool = False

    @property
    def encoder(self) -> BERTConfig:
        """The BERT's own part of the config."""
        return BERTConfig(**{item.name: getattr(self, item.name) for item in fields(BERTConfig)})

    @property
    def n_parameters(self) -> int:
        """Number of parameters, the BERT's heads among them, tied ones once."""
        return super().n_parameters + self.projection * self.d_model * (self.d_model + self.bias)

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations to train on one token of `ids`, in rows of `context_length`.

        Each row is read twice, or has a second row beside it; the BERT's heads see the first.
        """
        return 3 * self.pair_flops(self.context_length) / self.context_length

    def pair_flops(self, length: int) -> int:
        """Floating-point operations of a forward pass over two texts of one length."""
        projections = 4 * self.d_model**2 * self.projection
        return self.forward_flops(length) + self.encoding_flops(length) + projections


def dual_encoder_recipe(**sizes: Any) -> DualEncoderConfig:
    """A config of parts of today; `sizes` are any of its fields.

    The recipe of `bert.modern_bert_recipe`, with the dropout of 0.1 that makes two views of a text
    in SimCSE (Gao et al., 2021).

    Raises:
        UserError: sizes that do not go together.
    """
    recipe: dict[str, Any] = {
        "norm": "layernorm",
        "qk_norm": False,
        "n_segments": 0,
        "pooler": False,
        "tie_embeddings": True,
        "dropout": 0.1,
    }
    return DualEncoderConfig(**{**recipe, **sizes})


def mean_pool(
    hidden: Float[Tensor, "B T D"], mask: Bool[Tensor, "#B 1 1 T"] | None = None
) -> Float[Tensor, "B D"]:
    """The mean hidden state of each row, over the positions that `mask` shows; 0 if it shows none.

    Reimers and Gurevych, 2019, section 6, compare it with the first position's state.
    """
    if mask is None:
        return hidden.mean(dim=1)
    # Padding has hidden states, too: a plain mean would depend on how long other rows are.
    weights = mask[:, 0, 0, :, None].to(hidden.dtype)  # B 1 1 T -> B T 1
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class DualEncoder(Model):
    """A vector for each text, initialised from the global generator.

    Attributes:
        config: what it was built from.
        encoder: the BERT; one that was trained already can be loaded into it.
        projection: what follows the mean of its hidden states: a linear map, or the identity.
    """

    def __init__(self, config: DualEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = BERT(config.encoder)
        self.projection: nn.Module = nn.Identity()
        if config.projection:
            self.projection = nn.Linear(config.d_model, config.d_model, bias=config.bias)
            normal_(self.projection, std=config.d_model**-0.5)

    def step_flops(self, ids: Int[Tensor, "B T"], **extras: Any) -> int:
        """Floating-point operations of one forward and backward pass over these pairs.

        The BERT's own heads are computed for the first texts, and nothing flows back from them.
        """
        config, length = self.config, ids.size(1)
        # Forward only: without a loss on the logits, autograd never visits the heads.
        heads = config.forward_flops(length) - config.encoding_flops(length)
        return len(ids) * (3 * config.pair_flops(length) - 2 * heads)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        others: Int[Tensor, "B S"] | None = None,
        mask: Bool[Tensor, "#B 1 1 T"] | None = None,
        others_mask: Bool[Tensor, "#B 1 1 S"] | None = None,
    ) -> DualOutput:
        """Turn both texts of each pair into vectors.

        Args:
            ids: the first texts.
            others: the second texts. Without, the first are read again: in training, dropout makes
                that another view of the same text (Gao et al., 2021); in evaluation it is the same.
            mask: True where the first texts are text, not padding, as `masks.padding` makes it.
            others_mask: the same for the second texts.

        Raises:
            UserError: more tokens than the context is long, or two views that cannot differ.
        """
        if others is None:
            if self.training and not self.config.dropout:
                raise UserError(
                    "without dropout both views of a text are the same: "
                    "build the model with dropout=0.1, or give it other texts"
                )
            # Another pass through dropout makes another view of the same text.
            others, others_mask = ids, mask
        first = self.encoder(ids, mask=mask)
        # The same weights for both sides, so anchors and others lie in one space: B T D -> B D.
        return DualOutput(
            logits=first.logits,
            hidden=first.hidden,
            anchors=self.projection(mean_pool(first.hidden, mask)),
            others=self.embed(others, others_mask),
        )

    def hidden_states(
        self,
        ids: Int[Tensor, "B T"],
        segments: Int[Tensor, "B T"] | None = None,
        mask: Bool[Tensor, "#B 1 1 T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The encoder's final hidden states; a text is read alone, so there are no segments."""
        return self.encoder.encode(ids, mask=mask)

    def freeze_token_heads(self) -> None:
        """Keep what only hidden tokens would train as it is: see `BERT.freeze_token_heads`."""
        self.encoder.freeze_token_heads()

    def embed(
        self, ids: Int[Tensor, "B T"], mask: Bool[Tensor, "#B 1 1 T"] | None = None
    ) -> Float[Tensor, "B D"]:
        """A vector for each text.

        Raises:
            UserError: more tokens than the context is long.
        """
        return self.projection(mean_pool(self.encoder.encode(ids, mask=mask), mask))
