"""The fine-tuning loop: the training loop's own steps, over labelled examples.

`fit(settings)` goes as `train` does: folder, examples, base, head, optimizer, restore; then, step
after step: save, evaluate, stop?, let layers move, set the rates, forward and backward, clip, step.
What a step consists of is `train/loop.py`'s; what is asked is the task's. Not here: how the parts
are built and kept (`parts.py`), the report (`report.py`). Chapter 11 teaches this.
"""

import datetime
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from llmcourse.device import choose_device
from llmcourse.errors import require
from llmcourse.files import atomic_write_text, read_file
from llmcourse.finetune.base import fresh, load_base
from llmcourse.finetune.encode import drop_words
from llmcourse.finetune.methods import move
from llmcourse.finetune.monitor import Monitor
from llmcourse.finetune.parts import (
    Parts,
    build_parts,
    load_adapted,
    restore,
    save,
    write_settings,
)
from llmcourse.finetune.registry import TASKS
from llmcourse.finetune.report import Finding, write_report
from llmcourse.finetune.settings import Settings
from llmcourse.finetune.task import Judged
from llmcourse.nn.int8 import is_quantized
from llmcourse.objectives.base import Batch
from llmcourse.plain import parse_json
from llmcourse.randomness import numpy_rng
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.log import Ending
from llmcourse.train.checkpoint import TrainState
from llmcourse.train.loop import divide_and_clip, forward_backward, saying_what_is_kept
from llmcourse.train.optimizers import set_lr
from llmcourse.train.progress_bar import StopSignals

LOG_EVERY = 10
"""Steps between two records of the training loss."""
SAMPLES = 6
"""How many answers to the test split the report shows, where answers are texts."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended.

    Attributes:
        run: the run directory.
        steps: optimizer steps taken.
        valid: how good the best weights are on the validation split; None for a run that was
            stopped, as the next two.
        test: how good they are on the test split, which was looked at once.
        baselines: how good those are who know little, on the test split.
        stopped_by: the number of the signal that ended the run, or None.
    """

    run: Path
    steps: int
    valid: Judged | None
    test: Judged | None
    baselines: dict[str, Judged]
    stopped_by: int | None


def fit(settings: Settings) -> Result:
    """Fine-tune as the settings say, and leave a run directory behind.

    Raises:
        UserError: something in the settings, the examples or the base cannot be.
        Diverged: the loss is no longer a number.
    """
    device = choose_device(settings.device)
    splits = TASKS[settings.task].task.read(settings)
    base = load_base(settings.base)
    require(
        not is_quantized(base.model),
        f"{settings.base} is in int8, whose rounded weights cannot learn: name the run it is of",
    )
    if settings.untrained:
        base = fresh(base, settings.seed)
    name = f"finetune-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    path = Path(settings.out or Path("runs", name))
    with (
        RunDirectory.create(path, resume=settings.resume) as run,
        saying_what_is_kept(run, "finetune"),
    ):
        parts = build_parts(settings, run, base, splits, device)
        state = restore(parts)
        write_settings(parts)
        signal = learn(parts, state)
        return conclude(parts, state, signal)


def learn(parts: Parts, state: TrainState) -> int | None:
    """Go on until the steps are taken, nothing gets better, or a signal comes; returns that."""
    settings, model, objective = parts.settings, parts.model, parts.objective
    every = max(1, parts.steps // settings.evaluations)
    resumed_at = state.step or None
    started = time.monotonic() - state.seconds
    with StopSignals() as signals, Monitor(parts, state, resumed_at) as monitor:
        while True:
            # Save, evaluate, stop? A checkpoint comes before the evaluation of the same step.
            state.seconds, signal = time.monotonic() - started, signals.received
            over = state.step >= parts.steps
            due = state.step > 0 and (over or state.step % every == 0)
            if (due or signal) and state.step not in (0, resumed_at):
                parts.run.check_in_place()
                save(parts, state)
            if due and not signal:
                monitor.evaluate()
                if 0 < settings.patience <= state.stale:
                    monitor.ending = Ending.EARLY_STOPPED
                    return None
            if over and not signal:
                monitor.ending = Ending.FINISHED
                return None
            if signal:
                return signal

            progress = (state.step + 0.5) / parts.steps
            move(parts.groups, parts.method(progress, len(parts.groups)))
            rate = set_lr([parts.optimizer], parts.schedule(progress))
            batch = next_batch(parts, state.step)
            model.train()
            sums = forward_backward(model, objective, batch, parts.passes)
            norm = divide_and_clip(model, sums[1], settings.clip)
            parts.optimizer.step()
            parts.optimizer.zero_grad(set_to_none=True)
            state.count_step(sums, tokens=batch.ids.numel())
            if state.step % LOG_EVERY == 0 or state.step == parts.steps:
                monitor.trained(rate=rate, norm=float(norm))


def next_batch(parts: Parts, step: int) -> Batch:
    """The batch of a step, by the sampler's order; words are dropped by a chance of its own."""
    draws = parts.sampler.take(parts.settings.batch_size)
    batch = parts.task.collate([parts.rows[draw.index] for draw in draws])
    rng = numpy_rng(parts.settings.seed, "word dropout", step)
    return drop_words(batch, parts.settings.word_dropout, parts.base.blank, rng)


@torch.no_grad()
def conclude(parts: Parts, state: TrainState, signal: int | None) -> Result:
    """Measure the best weights on the test split, once, and write the report."""
    run, task, test = parts.run, parts.task, parts.splits.test
    if signal is not None:
        return Result(
            run=run.path, steps=state.step, valid=None, test=None, baselines={}, stopped_by=signal
        )
    load_adapted(parts.model, parts.base, run.model)
    measured = task.measure(parts.model, test, SAMPLES)
    rivals = task.rivals(parts.splits.train, test, SAMPLES)
    baselines = {name: one.judged for name, one in rivals.items()}
    valid = Judged(**parse_json(read_file(run.path / "valid.json")))
    figures = {
        "valid": asdict(valid),
        "test": asdict(measured.judged),
        "baselines": {name: asdict(one) for name, one in baselines.items()},
    }
    atomic_write_text(run.path / "results.json", json.dumps(figures, indent=2) + "\n")
    write_report(run, Finding(task, test, measured, rivals, valid))
    return Result(
        run=run.path,
        steps=state.step,
        valid=valid,
        test=measured.judged,
        baselines=baselines,
        stopped_by=None,
    )
