"""The training loop, to be read once from top to bottom. Then you know training.

`train(settings)` goes in the field's usual order: ranks, folder, data, model, optimizers, restore;
then, step after step: save, evaluate, stop?, set the learning rate, forward and backward, clip,
step, log. There are no callbacks and no registry. What a step consists of stands below it, in the
order in which it is called. Chapter 08 takes it apart.

Not here: how the parts are built (`parts.py`), what each of them does (`data/` for windows and the
sampler, `objectives/` for the loss, `checkpoint.py`, `runs/` for what is left behind).
"""

import contextlib
import datetime
import math
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from llmcourse.data.loader import batch_tokens
from llmcourse.device import autocast
from llmcourse.evaluate.perplexity import Score
from llmcourse.models.files import save_model
from llmcourse.objectives.base import Batch, ScoresBatches
from llmcourse.randomness import global_state, numpy_rng, restore_global_state
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.log import Diverged, Ending
from llmcourse.train.checkpoint import (
    TrainState,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from llmcourse.train.distributed import Ranks
from llmcourse.train.evaluation import score_model
from llmcourse.train.monitor import Monitor
from llmcourse.train.optimizers import set_lr
from llmcourse.train.parts import Parts, Passes, build_parts, write_settings
from llmcourse.train.progress_bar import StopSignals, signal_name
from llmcourse.train.samples import draw_sample
from llmcourse.train.settings import Settings


class Interrupted(KeyboardInterrupt):
    """A second signal: the run was left at once; the message says what is kept."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended.

    Attributes:
        run: the run directory.
        steps: optimizer steps taken.
        score: the last evaluation, if there was one.
        uniform: bits per byte of guessing every token alike.
        unigram: bits per byte of guessing by frequency.
        entropy: bits per byte that no model can beat; None where nobody knows.
        sample: the last sample.
        seconds: wall-clock time of the loop.
        stopped_by: the number of the signal that ended the run, or None.
        writes: whether the model goes on with a text, so that `llmcourse.generate` can use it.
    """

    run: Path
    steps: int
    score: Score | None
    uniform: float
    unigram: float
    entropy: float | None
    sample: str
    seconds: float
    stopped_by: int | None
    writes: bool


def train(settings: Settings) -> Result:
    """Train a model as the settings say, and leave a run directory behind.

    Raises:
        UserError: something in the settings or in the data cannot be.
        Diverged: the loss or the gradient is no longer a number; the last checkpoint is kept.
        Interrupted: a second signal came before the first had taken effect.
    """
    with Ranks.start(settings.device) as ranks, open_run(settings, ranks) as run:
        parts = build_parts(settings, ranks, run)  # data, model, optimizers
        state, resumed_at = restore(parts)
        write_settings(parts)  # from now on the folder holds a run
        started, norm, score, sample = time.monotonic() - state.seconds, torch.zeros(()), None, ""
        with StopSignals() as signals, Monitor(parts, state, resumed_at=resumed_at) as monitor:
            while True:
                # Save, evaluate, stop? A checkpoint comes before the evaluation of the same step,
                # so that what may break an evaluation (memory, a signal) costs nothing.
                clock = time.monotonic() - started, signals.received
                state.seconds, signal = ranks.broadcast(clock)
                over = is_over(state, settings)
                ending = Ending.FINISHED if over else Ending.STOPPED if signal else None
                if ending or state.step % settings.save_every == 0:
                    save(parts, state, norm, resumed_at)
                if over or (not ending and state.step % settings.evaluate_every == 0):
                    score, sample = evaluate(parts, state, monitor)
                    ending = out_of_patience(state, settings) or ending
                if ending:
                    break

                monitor.start_step()
                lr = set_lr(parts.optimizers, parts.schedule(progress(state, settings)))
                batch = next_batch(parts, state.step)
                sums = forward_backward(parts.wrapped_model, parts.objective, batch, parts.passes)
                for optimizer in parts.optimizers:
                    parts.scaler.unscale_(optimizer)
                # DDP has averaged the gradients over processes, so the count is averaged too.
                count = sums[1] / ranks.world_size
                norm = divide_and_clip(parts.model, count, settings.optimizer.clip)
                step(parts.optimizers, parts.scaler)
                state.count_step(sums, tokens=settings.batch_size * parts.corpus.train.stride)
                monitor.end_step(batch)

                if state.step % settings.log_every == 0:
                    check_finite(parts, state, norm)
                    monitor.trained(loss=state.end_interval(), rate=lr, norm=float(norm))
            ranks.barrier()  # nobody leaves while another still writes
            monitor.ended(ending, reason_for(ending, state, signal))
        result = conclude(parts, state, score, sample, signal)
        del parts  # the processes' group ends once nothing holds the wrapped model any more
    return result


# --- what a step consists of ----------------------------------------------------------------------


def progress(state: TrainState, settings: Settings) -> float:
    """How far through the run a step is, in [0, 1]: by the steps, or by the clock if that leads."""
    return max((state.step + 0.5) / settings.steps, state.seconds / settings.seconds_allowed)


def next_batch(parts: Parts, step: int) -> Batch:
    """This process's rows of the global batch.

    Every process draws all of it, so that a step's text and chance do not depend on how many
    processes there are. The objective turns windows into questions and answers: for a causal
    model `ids = tokens[:, :-1]` and `targets = tokens[:, 1:]`, the same text shifted by one.
    """
    settings = parts.settings
    # Windows as long as the objective asks: for a causal model T + 1 ids, one more to predict.
    windows = batch_tokens(parts.corpus.train, parts.sampler, settings.batch_size)
    rng = numpy_rng(settings.seed, "objective", step)
    batch = parts.objective.prepare(torch.from_numpy(windows), rng)
    return batch.rows(parts.ranks.rows_of(settings.batch_size))


def forward_backward(
    model: nn.Module,
    objective: ScoresBatches,
    batch: Batch,
    passes: Passes = Passes(),  # noqa: B008 - frozen
) -> Float[Tensor, " 2"]:
    """Forward and backward pass over a batch, one micro-batch at a time; gradients add up.

    The gradient is that of the *summed* loss. Returns that sum, in nats, and how many positions it
    is over, from all processes: `divide_and_clip` divides by the count, once.
    """
    rows = len(batch.ids)
    size, ranks, scaler = passes.micro_batch_size or rows, passes.ranks, passes.scaler
    sums = torch.zeros(2, device=ranks.device)
    for start in range(0, rows, size):
        micro_batch = batch.rows(slice(start, start + size), ranks.device)
        # Gradients are exchanged between processes once, with the last micro-batch.
        with ranks.no_sync(model, last=start + size >= rows):
            with autocast(ranks.device, passes.precision):
                output = model(ids=micro_batch.ids, **micro_batch.extras)
                loss = objective.loss(output, micro_batch)
            (loss.total if scaler is None else scaler.scale(loss.total)).backward()
        sums += torch.stack([loss.total.detach(), loss.count])
    return ranks.all_reduce(sums)


def divide_and_clip(model: nn.Module, count: Tensor, clip: float) -> Tensor:
    """Turn gradients of a sum into those of a mean, and shorten them to the norm `clip`, if any.

    Returns the norm before it was shortened.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    # One division, by the number of scored positions of all processes and micro-batches together.
    # A mean of means would weigh a padded row's few tokens too much.
    torch._foreach_div_(gradients, count)
    return nn.utils.clip_grad_norm_(model.parameters(), clip or math.inf)


def step(optimizers: list[Optimizer], scaler: torch.amp.GradScaler) -> None:
    """Let the optimizers move the parameters (in fp16: unless a gradient overflowed), and reset."""
    for optimizer in optimizers:
        scaler.step(optimizer)
        # None, not zeros: memory is free until the next backward pass, which then writes, not adds.
        optimizer.zero_grad(set_to_none=True)
    scaler.update()


# --- between steps --------------------------------------------------------------------------------


def is_over(state: TrainState, settings: Settings) -> bool:
    """Whether the steps are taken, or the budget's seconds used."""
    return state.step >= settings.steps or state.seconds >= settings.seconds_allowed


def out_of_patience(state: TrainState, settings: Settings) -> Ending | None:
    """`EARLY_STOPPED` once so many evaluations brought no better score; else None."""
    return Ending.EARLY_STOPPED if 0 < settings.patience <= state.stale else None


def reason_for(ending: Ending, state: TrainState, signal: int | None) -> str:
    """Why the loop was left, in words, for the log and the report."""
    if ending is Ending.EARLY_STOPPED:
        return f"finished: no better in {state.stale} evaluations"
    return "finished" if signal is None or ending.complete else f"stopped by {signal_name(signal)}"


def evaluate(parts: Parts, state: TrainState, monitor: Monitor) -> tuple[Score, str]:
    """Score the validation text, keep the model if it is the best so far, and draw a sample."""
    score, sample = score_model(parts), ""
    better = state.update_best(score.selection_metric)
    if parts.ranks.is_main:
        if better:
            save_model(parts.model, parts.run.model)
        sample = draw_sample(parts.model, parts.objective, parts.corpus, parts.settings, state.step)
        monitor.evaluated(score, sample)
    return score, sample


def save(parts: Parts, state: TrainState, norm: Tensor, resumed_at: int | None) -> None:
    """Write a checkpoint of everything that a restart needs, but for a step that has one.

    Raises:
        Diverged: there is a number in it that is none.
    """
    if state.step in (0, resumed_at):
        return
    check_finite(parts, state, norm)
    state.sampler, state.scaler = parts.sampler.state(), parts.scaler.state_dict()
    state.rng = parts.ranks.all_gather(global_state())
    if parts.ranks.is_main:
        save_checkpoint(
            parts.run.checkpoints, parts.model, parts.optimizers, state, parts.settings.keep_last
        )


def restore(parts: Parts) -> tuple[TrainState, int | None]:
    """The state of the newest checkpoint, put back into all parts, and its step; or a fresh one."""
    checkpoints = list_checkpoints(parts.run.checkpoints)
    if not checkpoints:
        return TrainState(), None
    state = load_checkpoint(checkpoints[-1], parts.model, parts.optimizers)
    parts.sampler.restore(state.sampler)
    parts.scaler.load_state_dict(state.scaler)
    restore_global_state(state.rng[min(parts.ranks.rank, len(state.rng) - 1)])
    return state, state.step


def conclude(
    parts: Parts, state: TrainState, score: Score | None, sample: str, signal: int | None
) -> Result:
    """What `train` returns."""
    return Result(
        run=parts.run.path,
        steps=state.step,
        score=score,
        uniform=parts.corpus.uniform,
        unigram=parts.corpus.unigram,
        entropy=parts.corpus.entropy,
        sample=sample,
        seconds=state.seconds,
        stopped_by=signal,
        writes=parts.model.generates,
    )


def check_finite(parts: Parts, state: TrainState, norm: Tensor) -> None:
    """Stop a run whose numbers have become none, before they reach a checkpoint.

    With fp16 an infinite gradient is the scaler's business: it skips the step and halves the scale.

    Raises:
        Diverged: says when, what is left, and what to look at.
    """
    loss = state.flush_losses()
    if math.isfinite(loss) and (parts.scaler.is_enabled() or math.isfinite(float(norm))):
        return
    what = "the loss" if not math.isfinite(loss) else "the gradient"
    saved = list_checkpoints(parts.run.checkpoints)
    left = (
        f"checkpoint {saved[-1].name} is from before that" if saved else "no checkpoint was due yet"
    )
    raise Diverged(
        f"{what} is no longer a number by step {state.step}; {left}. Look at the learning rate "
        "first (--optimizer.lr and --optimizer.matrix-lr, try a third), then at --optimizer.clip, "
        f"--optimizer.warmup and --precision; go on with --out {parts.run.path} --resume"
    )


# --- the run's folder -----------------------------------------------------------------------------


@contextlib.contextmanager
def open_run(settings: Settings, ranks: Ranks) -> Generator[RunDirectory]:
    """The run's folder: locked by the first process, known to all, gone if nothing began in it."""
    name = f"{settings.preset}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    path = Path(ranks.broadcast(settings.out or str(Path("runs", name))))
    if not ranks.is_main:
        yield RunDirectory(path)
        return
    was_there = path.exists()
    with RunDirectory.create(path, resume=settings.resume) as run:
        try:
            yield run
        except KeyboardInterrupt:
            raise Interrupted(what_is_kept(run)) from None
        finally:
            if not run.holds_a_run and not was_there:
                shutil.rmtree(path, ignore_errors=True)


def what_is_kept(run: RunDirectory) -> str:
    """What a run that was left at once leaves behind, and how to go on."""
    saved = list_checkpoints(run.checkpoints)
    if not saved:
        return "stopped before the first checkpoint: nothing was kept"
    return (
        f"stopped at once: checkpoint {saved[-1].name} is kept; go on with: "
        f"python -m llmcourse.train --out {run.path} --resume"
    )
