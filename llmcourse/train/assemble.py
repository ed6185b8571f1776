"""From settings to the two halves of a run: the objective, and the model that learns by it.

Both are named in tables: `objectives/registry.py` and `models/registry.py`. Not here: the
objectives and the models themselves. Chapter 07 compares them.
"""

import dataclasses
import inspect
from pkgutil import resolve_name
from typing import Any

from llmcourse.errors import UserError
from llmcourse.models.base import Model
from llmcourse.models.registry import FAMILIES
from llmcourse.objectives.base import Objective
from llmcourse.objectives.registry import OBJECTIVES, ObjectiveEntry
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.train.presets import PRESETS
from llmcourse.train.settings import Settings

SHORTEST_CONTEXT = 8
"""Tokens: what sees less at once learns nothing worth the name."""


def build_objective(settings: Settings, tokenizer: Tokenizer) -> Objective:
    """The objective that the settings name, over a tokenizer's tokens.

    Raises:
        UserError: settings of the task that cannot be.
    """
    context = {
        "vocabulary": Vocabulary.of(tokenizer),
        "context_length": settings.model.context_length,
        "separator": tokenizer.eot_id if settings.data.separate_documents else None,
    }
    return _build(
        OBJECTIVES[settings.objective.name], context, dataclasses.asdict(settings.objective)
    )


def fit_context(settings: Settings, tokenizer: Tokenizer, n_tokens: int) -> Settings:
    """The settings, their context halved until a window fits into so many tokens.

    Raises:
        UserError: not even a context of `SHORTEST_CONTEXT` does.
    """
    context = settings.model.context_length
    fitted = settings
    while build_objective(fitted, tokenizer).window(context) > n_tokens:
        context //= 2
        if context < SHORTEST_CONTEXT:
            raise UserError(
                f"there is too little text: {n_tokens} tokens on one side of the split are less "
                f"than a window of context_length={SHORTEST_CONTEXT}; give more text, hold out "
                "more or less (--data.held-out, or as you prepare), or name a --data.valid"
            )
        fitted = dataclasses.replace(
            settings, model=dataclasses.replace(settings.model, context_length=context)
        )
    return fitted


def _build(entry: ObjectiveEntry, context: dict[str, Any], task: dict[str, Any]) -> Any:
    """An objective, and what is done beside it, given what its class asks for."""
    kind = resolve_name(entry.kind)
    # The class's own signature says what it needs; so its entry in the table is one line.
    asked = inspect.signature(kind).parameters
    options = {name: value for name, value in context.items() if name in asked}
    options |= {name: task[name] for name in entry.settings if task[name] is not None}
    if entry.masking is not None:
        options["masking"] = _build(entry.masking, context, task)
    return kind(**options, **entry.fixed)


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
    return family.config(
        vocab_size=vocab_size, **{**shape, **family.learns[settings.objective.name]}
    )


def check_model(settings: Settings) -> None:
    """Refuse, before any text is read, what the model's family cannot do.

    Raises:
        UserError: as `build_config`, or documents are to be kept apart from a model without a mask.
    """
    # V is not known before the tokenizer is; nothing that is checked here depends on it.
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
    if not OBJECTIVES[settings.objective.name].scores_tokens:
        # Parameters without a gradient would let other processes wait for it for ever.
        model.freeze_token_heads()
    return model
