"""From an objective's name to the two halves of a run that hang on it: the task, and its model.

| objective | the task | the model |
| --- | --- | --- |
| `clm` | say the next token | GPT |
| `mlm` | fill in hidden tokens | BERT |
| `nsp`, `sop` | tell whether one sentence follows another; which of two came first | BERT |
| `mlm-nsp`, `mlm-sop` | both, as BERT and as ALBERT were trained | BERT |
| `plm` | say tokens in any order | XLNet |
| `span-corruption`, `denoising` | write what was cut out; write the whole text again | two stacks |
| `contrastive` | tell two views of a text from other texts | dual encoder |

Not here: the tasks (`objectives/`) and the models (`models/`). Chapter 07 compares them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from llmcourse.errors import UserError
from llmcourse.models.bert import BERT, BERTConfig
from llmcourse.models.dual_encoder import DualEncoder, DualEncoderConfig
from llmcourse.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.models.xlnet import XLNet, XLNetConfig
from llmcourse.objectives.base import Objective
from llmcourse.objectives.clm import CausalLM
from llmcourse.objectives.contrastive import Contrastive
from llmcourse.objectives.mlm import MaskedLM
from llmcourse.objectives.plm import PermutationLM
from llmcourse.objectives.sentence_pair import SentencePairs
from llmcourse.objectives.span_corruption import SpanCorruption
from llmcourse.objectives.text_infilling import TextInfilling
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.train.settings import ObjectiveName, Settings

RATE = 0.15
"""The share of tokens hidden, unless given (Devlin et al., 2018)."""
DENOISING_RATE = 0.3
"""The same for denoising (Lewis et al., 2019)."""

Model = GPT | BERT | XLNet | EncoderDecoder | DualEncoder
"""What a run trains."""


def build_objective(settings: Settings, tokenizer: Tokenizer) -> Objective:
    """The task that the settings name, over a tokenizer's tokens.

    Raises:
        UserError: settings of the task that cannot be.
    """
    task, vocabulary = settings.task, Vocabulary.of(tokenizer)
    rate = RATE if task.rate is None else task.rate
    match settings.objective:
        case "clm":
            return CausalLM(tokenizer.eot_id if settings.data.separate_documents else None)
        case "plm":
            return PermutationLM(vocabulary, predict=task.predict)
        case "span-corruption":
            context = settings.model.context_length
            return SpanCorruption(vocabulary, context, mask_rate=rate, mean_span=task.mean_span)
        case "denoising":
            rate = DENOISING_RATE if task.rate is None else task.rate
            return TextInfilling(vocabulary, mask_rate=rate, mean_span=task.mean_span)
        case "contrastive":
            if task.views == "dropout" and not settings.model.dropout:
                raise UserError(
                    "task.views=dropout with model.dropout=0.0 makes both views the same: "
                    "add --model.dropout 0.1, or choose --task.views crop"
                )
            return Contrastive(vocabulary, temperature=task.temperature, views=task.views)
    masking = MaskedLM(vocabulary, mask_rate=rate, unit=task.unit, mean_span=task.mean_span)
    if settings.objective == "mlm":
        return masking
    kind = "nsp" if settings.objective.endswith("nsp") else "sop"
    hides = settings.objective.startswith("mlm")
    return SentencePairs(vocabulary, kind=kind, masking=masking if hides else None)


def build_model(settings: Settings, vocab_size: int) -> Model:
    """The model for the settings' objective, freshly initialised from the global generator.

    `vocab_size` counts the tokens that the objective adds.

    Raises:
        UserError: sizes that do not go together, or parts that the family does not know.
    """
    config, model, further = _FAMILIES[settings.objective]
    shape = dataclasses.asdict(settings.model)
    built = model(config(vocab_size=vocab_size, **shape, **further))
    reader = built.encoder if isinstance(built, DualEncoder) else built
    if settings.objective in ("nsp", "sop", "contrastive") and isinstance(reader, BERT):
        _freeze_token_heads(reader)
    return built


def _freeze_token_heads(bert: BERT) -> None:
    """Keep what only hidden tokens would train as it is: processes wait for every other gradient.

    A matrix that also embeds the tokens is trained as that.
    """
    for head in (bert.lm_head, bert.mlm_transform):
        for parameter in head.parameters():
            parameter.requires_grad_(parameter is bert.token_embedding.weight)


_ENCODER = (BERTConfig, BERT, {"n_segments": 0, "pooler": False})
_PAIRS = (BERTConfig, BERT, {"n_segments": 2, "pooler": True, "n_pair_labels": 2})
_TWO_STACKS = (EncoderDecoderConfig, EncoderDecoder, {"scale_embeddings": True})
_FAMILIES: dict[ObjectiveName, tuple[Callable[..., Any], Callable[..., Model], dict[str, Any]]] = {
    "clm": (GPTConfig, GPT, {}),
    "mlm": _ENCODER,
    "nsp": _PAIRS,
    "sop": _PAIRS,
    "mlm-nsp": _PAIRS,
    "mlm-sop": _PAIRS,
    "plm": (XLNetConfig, XLNet, {}),
    "span-corruption": _TWO_STACKS,
    "denoising": _TWO_STACKS,
    "contrastive": (DualEncoderConfig, DualEncoder, _ENCODER[2]),
}
