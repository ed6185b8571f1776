"""The parts of a run, built once before its first step: data, model, objective, optimizers.

Not here: what is done with them (`loop.py`), and where a run stands (`checkpoint.TrainState`).
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from llmcourse.data.loader import Sampler
from llmcourse.errors import UserError
from llmcourse.models.base import Model
from llmcourse.objectives.base import Objective
from llmcourse.planning.machine import FILLED, free_bytes
from llmcourse.planning.memory import Memory, largest_micro_batch, step_memory
from llmcourse.prepare.notes import Notes
from llmcourse.randomness import seed_all, stream_seed
from llmcourse.runs.directory import RunDirectory
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.assemble import build_model, build_objective, fit_context
from llmcourse.train.corpus import Corpus, fewest_tokens, known_entropy, open_corpus, prepare_corpus
from llmcourse.train.distributed import SINGLE, Ranks
from llmcourse.train.optimizers import build_optimizers, build_schedule
from llmcourse.train.precision import choose_precision, compiled, gradient_scaler
from llmcourse.train.saved_settings import to_dict
from llmcourse.train.settings import Settings
from llmcourse.train.sizes import check_before_reading, check_sizes


@dataclass(frozen=True, kw_only=True)
class Passes:
    """How forward and backward passes over a batch are run; unless given, whole, in fp32, alone.

    Attributes:
        micro_batch_size: rows in one forward pass; all unless given.
        precision: the number format of matrix products.
        scaler: keeps fp16 gradients from vanishing.
        ranks: the processes whose gradients and losses are summed.
    """

    micro_batch_size: int | None = None
    precision: str = "fp32"
    scaler: torch.amp.GradScaler | None = None
    ranks: Ranks = SINGLE


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run is made of.

    Attributes:
        settings: what was asked for.
        ranks: this process among those that train together.
        run: the folder of all that is left behind.
        corpus: the text, as windows of tokens, and the tokenizer.
        sampler: the order in which windows are drawn.
        objective: what the model is asked, and how it is scored.
        model: what is trained, saved and evaluated.
        wrapped_model: the same parameters, compiled and averaging gradients over processes.
        optimizers: who moves the parameters.
        schedule: the multiplier of the learning rates over the run's progress.
        scaler: keeps fp16 gradients from vanishing.
        precision: the number format of matrix products.
        micro_batch_size: rows in one forward pass of one process.
    """

    settings: Settings
    ranks: Ranks
    run: RunDirectory
    corpus: Corpus
    sampler: Sampler
    objective: Objective
    model: Model
    wrapped_model: nn.Module
    optimizers: list[Optimizer]
    schedule: Callable[[float], float]
    scaler: torch.amp.GradScaler
    precision: str
    micro_batch_size: int

    @functools.cached_property
    def passes(self) -> Passes:
        """How this run's forward and backward passes are run."""
        return Passes(
            micro_batch_size=self.micro_batch_size,
            precision=self.precision,
            scaler=self.scaler,
            ranks=self.ranks,
        )


def build_parts(settings: Settings, ranks: Ranks, run: RunDirectory) -> Parts:
    """Data, model and optimizers, as the settings say.

    Raises:
        UserError: something in the settings or in the data cannot be.
    """
    check_before_reading(settings, ranks.device, ranks.world_size)
    # Data: text becomes two files of tokens, once; the objective says how long a window is.
    if ranks.is_main:
        prepare_corpus(settings, run.data, fresh=not settings.resume)
    # The others wait until the first process has written the files that all of them map.
    ranks.barrier()
    tokenizer = load_tokenizer(run.path)
    wanted, fewest = settings.model.context_length, fewest_tokens(run.data)
    settings = fit_context(settings, tokenizer, fewest)
    objective = build_objective(settings, tokenizer)
    context = settings.model.context_length
    if context < wanted and ranks.is_main:
        Notes()("context", f"{context} tokens in place of {wanted}: one side has but {fewest}")
    window = objective.window(context)
    corpus = open_corpus(tokenizer, run.data, length=window, overlap=max(0, window - context))
    corpus = dataclasses.replace(corpus, entropy=known_entropy(settings))

    # Model: the same parameters in every process, then each its own chance in dropout.
    seed_all(settings.seed)
    vocab_size = tokenizer.vocab_size + len(objective.special_tokens)
    check_sizes(settings, ranks.device, vocab_size, ranks.world_size)
    model = ranks.place(build_model(settings, vocab_size), settings.parallel)
    seed_all(stream_seed(settings.seed, "dropout", ranks.rank))
    precision = choose_precision(settings.precision, ranks.device)
    # Gradients add up, so how many rows fit into memory changes no result.
    if settings.micro_batch_size == "auto":
        share = dataclasses.replace(settings, batch_size=settings.batch_size // ranks.world_size)
        fits = rows_that_fit(share, vocab_size, objective, ranks.device)
        settings = dataclasses.replace(settings, micro_batch_size=ranks.broadcast(fits))
    micro_batch_size = rows_in_a_forward_pass(settings, ranks, objective)
    return Parts(
        settings=settings,
        ranks=ranks,
        run=run,
        corpus=corpus,
        sampler=Sampler(len(corpus.train), settings.seed),
        objective=objective,
        model=model,
        wrapped_model=ranks.wrap(compiled(model, settings.compile, ranks.device)),
        optimizers=build_optimizers(model, settings.optimizer),
        schedule=build_schedule(settings.optimizer),
        scaler=gradient_scaler(precision, ranks.device, micro_batch_size * context),
        precision=precision,
        micro_batch_size=micro_batch_size,
    )


def write_settings(parts: Parts) -> None:
    """Write settings and environment; from now on the folder holds a run."""
    if parts.ranks.is_main:
        parts.run.write_config(to_dict(parts.settings))
        parts.run.write_environment()


def rows_in_a_forward_pass(settings: Settings, ranks: Ranks, objective: Objective) -> int:
    """The size of a micro-batch: what is asked for, or all rows that a process has in a step.

    Raises:
        UserError: the global batch cannot be divided so, or, for this objective, not at all.
    """
    if settings.batch_size % ranks.world_size:
        raise UserError(
            f"batch_size={settings.batch_size} cannot be shared by {ranks.world_size} processes: "
            f"try {max(1, settings.batch_size // ranks.world_size) * ranks.world_size}"
        )
    if settings.ramp and settings.micro_batch_size is None:
        raise UserError(
            f"ramp={settings.ramp} needs micro-batches to grow by: add --micro-batch-size"
        )
    rows = settings.batch_size // ranks.world_size
    micro = settings.micro_batch_size or rows
    assert isinstance(micro, int)
    if rows % micro:
        raise UserError(
            f"micro_batch_size={micro} does not divide the {rows} windows that each process has "
            f"in a step: try {next(n for n in range(min(micro, rows), 0, -1) if rows % n == 0)}"
        )
    if not objective.rows_are_independent and micro < settings.batch_size:
        raise UserError(
            f"objective.name={settings.objective.name} compares each window with all others of its "
            f"batch, so {settings.batch_size} windows cannot be cut into parts of {micro}: use one "
            "process and no micro_batch_size, or a smaller batch_size"
        )
    return micro


def rows_that_fit(
    settings: Settings, vocab_size: int, objective: Objective, device: torch.device
) -> int:
    """The largest micro-batch that is likely to fit into the device's free memory.

    It divides `batch_size`. Of an objective that compares rows it is all of them.
    """
    if not objective.rows_are_independent:
        return settings.batch_size
    one = memory_of(settings, vocab_size, objective, rows=1)
    free = FILLED * free_bytes(device)
    return largest_micro_batch(one.fixed, one.activations, settings.batch_size, free)


def memory_of(settings: Settings, vocab_size: int, objective: Objective, rows: int) -> Memory:
    """What a step by these settings takes, with so many rows in a forward pass."""
    with torch.device("meta"):  # shapes without memory
        model = build_model(settings, vocab_size)
    return step_memory(model, objective, rows, settings.optimizer.name)
