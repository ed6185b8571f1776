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
from llmcourse.prepare.notes import Notes
from llmcourse.randomness import seed_all, stream_seed
from llmcourse.runs.directory import RunDirectory
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.assemble import build_model, build_objective, check_model, fit_context
from llmcourse.train.corpus import Corpus, fewest_tokens, known_entropy, open_corpus, prepare_corpus
from llmcourse.train.distributed import SINGLE, Ranks
from llmcourse.train.optimizers import build_optimizers, build_schedule
from llmcourse.train.precision import choose_precision, compiled, gradient_scaler
from llmcourse.train.saved_settings import to_dict
from llmcourse.train.settings import Settings


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
    check_model(settings)
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
        reason = f"a side of the split has {fewest}"
        Notes()("context", f"{context} tokens in place of {wanted}: {reason}")
    window = objective.window(context)
    corpus = open_corpus(tokenizer, run.data, length=window, overlap=max(0, window - context))
    corpus = dataclasses.replace(corpus, entropy=known_entropy(settings))

    # Model: the same parameters in every process, then each its own chance in dropout.
    seed_all(settings.seed)
    vocab_size = tokenizer.vocab_size + len(objective.special_tokens)
    model = build_model(settings, vocab_size).to(ranks.device)
    seed_all(stream_seed(settings.seed, "dropout", ranks.rank))
    precision = choose_precision(settings.precision, ranks.device)
    # Gradients add up, so how many rows fit into memory changes no result.
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
    rows = settings.batch_size // ranks.world_size
    micro = settings.micro_batch_size or rows
    if rows % micro:
        raise UserError(
            f"micro_batch_size={micro} does not divide the {rows} windows that each process has "
            f"in a step: try {max(n for n in range(1, micro + 1) if rows % n == 0)}"
        )
    if not objective.rows_are_independent and micro < settings.batch_size:
        raise UserError(
            f"objective.name={settings.objective.name} compares each window with all others of its "
            f"batch, so {settings.batch_size} windows cannot be cut into parts of {micro}: use one "
            "process and no micro_batch_size, or a smaller batch_size"
        )
    return micro
