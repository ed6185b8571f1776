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
import inspect
from typing import Any

from llmcourse.errors import UserError
from llmcourse.models.base import Model
from llmcourse.models.registry import FAMILIES
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
from llmcourse.train.presets import PRESETS
from llmcourse.train.settings import Settings

RATE = 0.15
"""The share of tokens hidden, unless given (Devlin et al., 2018)."""
DENOISING_RATE = 0.3
"""The same for denoising (Lewis et al., 2019)."""


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
            return SpanCorruption(vocabulary, context, rate=rate, mean_span=task.mean_span)
        case "denoising":
            rate = DENOISING_RATE if task.rate is None else task.rate
            return TextInfilling(vocabulary, rate=rate, mean_span=task.mean_span)
        case "contrastive":
            if task.views == "dropout" and not settings.model.dropout:
                raise UserError(
                    "task.views=dropout with model.dropout=0.0 makes both views the same: "
                    "add --model.dropout 0.1, or choose --task.views crop"
                )
            return Contrastive(vocabulary, temperature=task.temperature, views=task.views)
    masking = MaskedLM(vocabulary, rate=rate, unit=task.unit, mean_span=task.mean_span)
    if settings.objective == "mlm":
        return masking
    kind = "nsp" if settings.objective.endswith("nsp") else "sop"
    hides = settings.objective.startswith("mlm")
    return SentencePairs(vocabulary, kind=kind, masking=masking if hides else None)


def build_config(settings: Settings, vocab_size: int) -> Any:
    """The config of the settings' family: what they say of it, and what the objective needs.

    Raises:
        UserError: sizes that do not go together, parts that the family does not know, or a setting
            that somebody asked for (the preset is nobody) and it has no use for.
    """
    family = FAMILIES[settings.family]
    fields = {field.name for field in dataclasses.fields(family.config)}
    preset = PRESETS.get(settings.preset, Settings)().model
    shape: dict[str, Any] = {}
    for name, value in dataclasses.asdict(settings.model).items():
        if name in fields:
            shape[name] = value
        elif name != "family" and value != getattr(preset, name):
            raise UserError(
                f"model.{name}={value} does nothing with model.family={settings.family}: "
                "leave it out"
            )
    return family.config(vocab_size=vocab_size, **shape, **family.learns[settings.objective])


def check_model(settings: Settings) -> None:
    """Refuse, before any text is read, what the model's family cannot do.

    Raises:
        UserError: as `build_config`, or documents are to be kept apart from a model without a mask.
    """
    build_config(settings, vocab_size=1)
    reads = inspect.signature(FAMILIES[settings.family].model.forward).parameters
    if settings.data.separate_documents and "mask" not in reads:
        raise UserError(
            f"data.separate_documents needs a mask, and model.family={settings.family} takes none: "
            "leave it out"
        )


def build_model(settings: Settings, vocab_size: int) -> Model:
    """The settings' model, freshly initialised from the global generator.

    `vocab_size` counts the tokens that the objective adds.

    Raises:
        UserError: as `build_config`.
    """
    model = FAMILIES[settings.family].model(build_config(settings, vocab_size))
    if settings.objective in ("nsp", "sop", "contrastive"):
        model.freeze_token_heads()
    return model
