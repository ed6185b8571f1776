"""What a budget buys: a model, its tokens, the time and the loss, before anything is trained.

`python -m llmcourse.train --plan --budget 10m` measures how fast this machine trains
(`calibrate.py`), takes each size of model in turn, asks how many tokens it could read in the time,
and by a law of measured runs (`planning/recorded.py`) what its loss would be. The lowest is chosen.
Not here: the words in which a plan is told (`plan_text.py`). Chapter 09 teaches this.
"""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from llmcourse.data.prepared import is_prepared, read_description
from llmcourse.device import choose_device
from llmcourse.errors import UserError
from llmcourse.planning.laws import Fit, effective_tokens
from llmcourse.planning.machine import free_bytes
from llmcourse.planning.memory import Memory
from llmcourse.planning.recorded import LADDERS
from llmcourse.train.assemble import build_config
from llmcourse.train.calibrate import (
    Speed,
    calibrate,
    flops_at,
    speed_of_steps,
    stand_in_objective,
    vocab_size_of,
)
from llmcourse.train.parts import memory_of, rows_that_fit
from llmcourse.train.presets import PRESETS
from llmcourse.train.settings import Settings
from llmcourse.train.sizes import check_before_reading

SHAPES = (
    *((32, 2, 2), (64, 2, 2), (96, 3, 3), (128, 4, 4), (192, 6, 6), (256, 8, 8)),
    *((384, 8, 6), (512, 10, 8), (768, 12, 12), (1024, 16, 16)),
)
"""Width, layers and heads of the models that a plan compares."""
SIZES = ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_ff")
"""Settings that make a model larger: one that was asked for is kept."""
KEPT_BACK = 0.05
"""The share of the budget for evaluations, samples and checkpoints."""
MOST_EPOCHS = 16
"""A text that was read more often has little more to teach (Muennighoff et al., 2023)."""
OFF = 1.25
"""By what factor the tokens may be wrong: no machine is equally fast for long."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A model that the budget could go to.

    Attributes:
        settings: the run.
        parameters: the model's size, N.
        flops_per_token: operations to train on a token.
        tokens: how many it reads, D.
        seconds: how long that takes.
        loss: in bits per byte, by the law; None where there is none.
    """

    settings: Settings
    parameters: int
    flops_per_token: float
    tokens: int
    seconds: float
    loss: float | None

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return self.tokens // tokens_in_a_step(self.settings)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done with a budget.

    Attributes:
        best: the model chosen; its settings are those of the run.
        others: the next smaller and the next larger one, as far as there are.
        speeds: what was measured here.
        free: bytes of memory that were free.
        memory: what a step takes.
        unique: tokens in the text; None where nobody knows before it is read.
        interval: within which nine in ten of the ladder's resampled laws see the loss; or None.
        asked_for: whether the shape was asked for, not chosen.
    """

    best: Choice
    others: tuple[Choice, ...]
    speeds: tuple[Speed, ...]
    free: float
    memory: Memory
    unique: int | None
    interval: tuple[float, float] | None
    asked_for: bool

    @property
    def epochs(self) -> float | None:
        """How often the text is read."""
        return None if self.unique is None else self.best.tokens / self.unique


def make_plan(
    settings: Settings, speeds: list[Speed] | None = None, free: float | None = None
) -> Plan:
    """Choose what to train within the settings' budget.

    Speeds and free memory are measured unless they are given.

    Raises:
        UserError: there is no budget, or not enough for a step.
    """
    if settings.budget is None:
        raise UserError("--plan needs a budget to spend: add --budget 10m")
    device = choose_device(settings.device)
    check_before_reading(settings, device)
    asked_for = shape_is_asked_for(settings)
    if speeds is None:
        spent = min(16.0, settings.seconds_allowed / 4)
        speeds = (
            2 * [speed_of_steps(settings, device, spent / 2)]
            if asked_for
            else calibrate(settings, device, spent)
        )
    unique, fit = unique_tokens(settings), fit_for(settings)
    shapes = [settings] if asked_for else [with_shape(settings, *shape) for shape in SHAPES]
    choices = [affordable(each, speeds, unique, fit) for each in shapes]
    best, others = choose(choices, default_law() if fit is None else fit, unique)
    free = free_bytes(device) if free is None else free
    objective = stand_in_objective(best.settings)
    vocab_size = vocab_size_of(best.settings, objective)
    rows = rows_that_fit(best.settings, vocab_size, objective, device)
    run = for_the_run(best, rows, capped=is_capped(best, unique))
    return Plan(
        best=dataclasses.replace(best, settings=run),
        others=others,
        speeds=tuple(speeds),
        free=free,
        memory=memory_of(run, vocab_size, objective, rows),
        unique=unique,
        interval=interval_of(best, fit, unique) if fit is not None and best.loss else None,
        asked_for=asked_for,
    )


def affordable(
    settings: Settings, speeds: list[Speed], unique: int | None, fit: Fit | None
) -> Choice:
    """What a model could read in the time, and what its loss would be."""
    objective = stand_in_objective(settings)
    config = build_config(settings, vocab_size_of(settings, objective))
    flops = config.flops_per_token
    per_second = flops_at(speeds, flops) / flops
    affords = settings.seconds_allowed * (1 - KEPT_BACK) * per_second
    if unique is not None:
        affords = min(affords, MOST_EPOCHS * unique)
    at_once = tokens_in_a_step(settings)
    tokens = int(affords // at_once) * at_once
    loss, shortest = None, min(rung.tokens for rung in LADDERS["pydocs"].rungs)
    if fit is not None and tokens >= shortest / 2:  # below, no law holds
        loss = fit.law.loss(config.n_parameters, worth(tokens, unique))
    return Choice(
        settings=settings,
        parameters=config.n_parameters,
        flops_per_token=flops,
        tokens=tokens,
        seconds=tokens / per_second,
        loss=loss,
    )


def choose(
    choices: list[Choice], fit: Fit, unique: int | None
) -> tuple[Choice, tuple[Choice, ...]]:
    """The choice with the lowest loss by the law, and its neighbours in size.

    A model with more parameters than it would read tokens is out of the question: there the law,
    and what repeated text is worth, were never measured.

    Raises:
        UserError: none of them could take a step.
    """
    possible = [choice for choice in choices if choice.steps >= 1]
    if not possible:
        smallest = choices[0].settings
        raise UserError(
            f"budget {smallest.budget} is too short for one step of {smallest.batch_size} windows "
            f"of {smallest.model.context_length} tokens: give more time, or a smaller batch_size"
        )
    possible = [each for each in possible if each.parameters <= each.tokens] or possible[:1]
    losses = [fit.law.loss(each.parameters, worth(each.tokens, unique)) for each in possible]
    at = losses.index(min(losses))
    return possible[at], tuple(possible[n] for n in (at - 1, at + 1) if 0 <= n < len(possible))


def is_capped(choice: Choice, unique: int | None) -> bool:
    """Whether the text is worth less time than there is."""
    return (
        unique is not None
        and choice.tokens + tokens_in_a_step(choice.settings) > MOST_EPOCHS * unique
    )


def for_the_run(choice: Choice, rows: int, *, capped: bool) -> Settings:
    """The settings of the run itself: ten evaluations, and steps enough for the clock to decide."""
    every = max(1, choice.steps // 10)
    return dataclasses.replace(
        choice.settings,
        plan=False,
        steps=choice.steps if capped else 10 * choice.steps,
        micro_batch_size=rows,
        evaluate_every=every,
        save_every=every,
        log_every=max(1, min(choice.settings.log_every, every // 2)),
    )


def interval_of(choice: Choice, fit: Fit, unique: int | None) -> tuple[float, float]:
    """Where the loss will be: chance in the ladder, and tokens that are off by `OFF`."""
    few, many = (worth(choice.tokens * factor, unique) for factor in (1 / OFF, OFF))
    return fit.interval(choice.parameters, many)[0], fit.interval(choice.parameters, few)[1]


def fit_for(settings: Settings) -> Fit | None:
    """The law of runs on this source, with its tokenizer, by this objective; or None."""
    ladder = LADDERS.get(settings.data.source)
    usual = None if ladder is None else PRESETS[ladder.preset]()
    same = usual is not None and (settings.family, settings.data, settings.objective) == (
        usual.family,
        usual.data,
        usual.objective,
    )
    return ladder.fit() if same and ladder is not None else None


def default_law() -> Fit:
    """The law by which sizes are compared where none was measured: that of the default source."""
    return LADDERS["pydocs"].fit(resamplings=1)


def unique_tokens(settings: Settings) -> int | None:
    """How many tokens there are to learn from, as far as that is known before the text is read."""
    source = settings.data.source
    if fit_for_source := LADDERS.get(source):
        return fit_for_source.unique
    if is_prepared(source):
        return read_description(source).train.tokens
    path = Path(source).expanduser()
    if path.is_file():  # about four bytes a token
        return max(1, int(os.path.getsize(path) * (1 - settings.data.held_out) / 4))
    return None


def shape_is_asked_for(settings: Settings) -> bool:
    """Whether the model's size differs from the preset's, or is not one that can be scaled."""
    preset = PRESETS.get(settings.preset, Settings)().model
    sized = any(getattr(settings.model, name) != getattr(preset, name) for name in SIZES)
    return sized or settings.preset != "laptop" or settings.family != "gpt"


def with_shape(settings: Settings, width: int, layers: int, heads: int) -> Settings:
    """The settings with a model of another size."""
    shape = {"d_model": width, "n_layers": layers, "n_heads": heads}
    return dataclasses.replace(settings, model=dataclasses.replace(settings.model, **shape))


def tokens_in_a_step(settings: Settings) -> int:
    """Tokens that one optimizer step reads."""
    return settings.batch_size * settings.model.context_length


def worth(tokens: float, unique: int | None) -> float:
    """What so many tokens are worth, in fresh ones."""
    return tokens if unique is None else effective_tokens(tokens, unique)
