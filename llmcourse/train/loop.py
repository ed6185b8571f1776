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
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from llmcourse.data.loader import batch_tokens
from llmcourse.device import autocast, held_here, whole
from llmcourse.errors import complain
from llmcourse.evaluate.perplexity import Score
from llmcourse.models.files import save_model, unique_state
from llmcourse.objectives.base import Batch, ScoresBatches
from llmcourse.randomness import global_state, numpy_rng, restore_global_state
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.log import Diverged, Ending
from llmcourse.train.budget import Budget, Clock
from llmcourse.train.checkpoint import (
    TrainState,
    list_checkpoints,
    load_checkpoint,
    newest_whole,
    save_checkpoint,
)
from llmcourse.train.distributed import PeerLost, Ranks, is_loss_of_peer, is_sharded
from llmcourse.train.evaluation import score_model
from llmcourse.train.monitor import Monitor
from llmcourse.train.optimizers import set_lr
from llmcourse.train.parts import Parts, Passes, build_parts, write_settings
from llmcourse.train.progress_bar import StopSignals, ignore_termination, signal_name
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


def train(settings: Settings, clock: Clock = time.monotonic) -> Result:
    """Train a model as the settings say, and leave a run directory behind.

    A budget counts the seconds of `clock`.

    Raises:
        UserError: something in the settings or in the data cannot be.
        Diverged: the loss or the gradient is no longer a number; the last checkpoint is kept.
        Interrupted: a second signal came before the first had taken effect.
    """
    with Ranks.start(settings.device) as ranks, open_run(settings, ranks) as run:
        parts = build_parts(settings, ranks, run)  # data, model, optimizers
        state, resumed_at = restore(parts)
        write_settings(parts)  # from now on the folder holds a run
        budget, norm, score, sample = Budget(state, clock), torch.zeros(()), None, ""
        with StopSignals() as signals, Monitor(parts, state, resumed_at=resumed_at) as monitor:
            while True:
                # Save, evaluate, stop? A checkpoint comes before the evaluation of the same step,
                # so that what may break an evaluation (memory, a signal) costs nothing.
                seen = state.seconds, state.reserve, signals.received
                state.seconds, state.reserve, signal = ranks.broadcast(seen)
                over = is_over(state, settings)
                ending = Ending.FINISHED if over else Ending.STOPPED if signal else None
                if ending or state.step % settings.save_every == 0:
                    save(parts, state, norm, resumed_at)
                    budget.lap("checkpoint")
                if over or (not ending and state.step % settings.evaluate_every == 0):
                    score, sample = evaluate(parts, state, monitor)
                    ending = out_of_patience(state, settings) or ending
                    budget.lap("evaluation")
                if ending:
                    break

                monitor.start_step()
                lr = set_lr(parts.optimizers, parts.schedule(progress(state, settings)))
                batch = next_batch(parts, state)
                sums = forward_backward(parts.wrapped_model, parts.objective, batch, parts.passes)
                for optimizer in parts.optimizers:
                    parts.scaler.unscale_(optimizer)
                # DDP has averaged the gradients over processes, so the count is averaged too.
                count = sums[1] / ranks.world_size
                norm = divide_and_clip(parts.model, count, settings.optimizer.clip)
                step(parts.optimizers, parts.scaler)
                state.count_step(sums, tokens=tokens_read(batch, parts))
                monitor.end_step(batch)

                if state.step % settings.log_every == 0:
                    check_finite(parts, state, norm)
                    monitor.trained(loss=state.end_interval(), rate=lr, norm=float(norm))
                budget.lap("step")
            ranks.barrier()  # nobody leaves while another still writes
            monitor.ended(ending, reason_for(ending, state, signal))
        result = conclude(parts, state, score, sample, signal)
        del parts  # the processes' group ends once nothing holds the wrapped model any more
    return result


# --- what a step consists of ----------------------------------------------------------------------


def progress(state: TrainState, settings: Settings) -> float:
    """How far through the run a step is, in [0, 1]: by the steps, or by the clock if that leads.

    The clock is through when what is left of the budget is needed for the end.
    """
    by_clock = state.seconds / seconds_for_steps(state, settings)
    return max((state.step + 0.5) / settings.steps, min(by_clock, 1.0))


def rows_in_a_step(parts: Parts, progress: float) -> int:
    """How many windows the global batch has: `batch_size`, or, on the ramp to it, fewer.

    The ramp goes from one micro-batch a process straight up to all of them, by whole micro-batches:
    early gradients agree so well that few rows show the way (Geiping and Goldstein, 2022).
    """
    settings = parts.settings
    at_once = parts.micro_batch_size * parts.ranks.world_size
    most = settings.batch_size // at_once
    done = 1.0 if progress >= settings.ramp else progress / settings.ramp
    return at_once * max(1, math.ceil(done * most))


def next_batch(parts: Parts, state: TrainState) -> Batch:
    """This process's rows of the global batch.

    Every process draws all of it, so that a step's text and chance do not depend on how many
    processes there are. The objective turns windows into questions and answers: for a causal
    model `ids = tokens[:, :-1]` and `targets = tokens[:, 1:]`, the same text shifted by one.
    """
    settings = parts.settings
    rows = rows_in_a_step(parts, progress(state, settings))
    # Windows as long as the objective asks: for a causal model T + 1 ids, one more to predict.
    windows = batch_tokens(parts.corpus.train, parts.sampler, rows)
    rng = numpy_rng(settings.seed, "objective", state.step)
    batch = parts.objective.prepare(torch.from_numpy(windows), rng)
    return batch.rows(parts.ranks.rows_of(rows))


def tokens_read(batch: Batch, parts: Parts) -> int:
    """How many tokens of text all processes' rows of a batch take up."""
    return len(batch.ids) * parts.ranks.world_size * parts.corpus.train.stride


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
    gradients = [held_here(p.grad) for p in model.parameters() if p.grad is not None]
    # One division, by the number of scored positions of all processes and micro-batches together.
    # A mean of means would weigh a padded row's few tokens too much.
    torch._foreach_div_(gradients, count)
    return whole(nn.utils.clip_grad_norm_(model.parameters(), clip or math.inf))


def step(optimizers: list[Optimizer], scaler: torch.amp.GradScaler) -> None:
    """Let the optimizers move the parameters (in fp16: unless a gradient overflowed), and reset."""
    for optimizer in optimizers:
        scaler.step(optimizer)
        # None, not zeros: memory is free until the next backward pass, which then writes, not adds.
        optimizer.zero_grad(set_to_none=True)
    scaler.update()


# --- between steps --------------------------------------------------------------------------------


def is_over(state: TrainState, settings: Settings) -> bool:
    """Whether the steps are taken, or the budget's seconds used, but for what the end needs."""
    return state.step >= settings.steps or state.seconds >= seconds_for_steps(state, settings)


def seconds_for_steps(state: TrainState, settings: Settings) -> float:
    """The budget less what the end will need; at the least half of it, infinite without one."""
    return max(settings.seconds_allowed - state.reserve, settings.seconds_allowed / 2)


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
    parts.run.check_in_place()
    score, sample = score_model(parts), ""
    better = state.update_best(score.selection_metric)
    if better:
        save_best(parts)
    # A model in slices writes only if all processes do, each the same.
    if parts.ranks.is_main or is_sharded(parts.model):
        sample = draw_sample(parts.model, parts.objective, parts.corpus, parts.settings, state.step)
    if parts.ranks.is_main:
        monitor.evaluated(score, sample)
    return score, sample


def save_best(parts: Parts) -> None:
    """Keep the model as it is now; of one in slices all processes put each tensor together."""
    tensors = {}
    for name, tensor in unique_state(parts.model).items():
        one = whole(tensor)
        if parts.ranks.is_main:  # the others let go of it at once
            tensors[name] = one.cpu() if is_sharded(parts.model) else one
    if parts.ranks.is_main:
        save_model(parts.model, parts.run.model, tensors)


def save(parts: Parts, state: TrainState, norm: Tensor, resumed_at: int | None) -> None:
    """Write a checkpoint of everything that a restart needs, but for a step that has one.

    Raises:
        Diverged: there is a number in it that is none.
    """
    if state.step in (0, resumed_at):
        return
    parts.run.check_in_place()
    check_finite(parts, state, norm)
    state.sampler, state.scaler = parts.sampler.state(), parts.scaler.state_dict()
    state.rng = parts.ranks.all_gather(global_state())
    keep, folder = parts.settings.keep_last, parts.run.checkpoints
    save_checkpoint(folder, parts.model, parts.optimizers, state, keep, parts.ranks)


def restore(parts: Parts) -> tuple[TrainState, int | None]:
    """The state of the newest checkpoint, put back into all parts, and its step; or a fresh one."""
    found = newest_whole(parts.run.checkpoints, complain) if parts.ranks.is_main else None
    path = parts.ranks.broadcast(found)  # one choice for all processes
    if path is None:
        return TrainState(), None
    state = load_checkpoint(path, parts.model, parts.optimizers, checked=True)
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
        with saying_what_is_kept(RunDirectory(path)) as run:
            yield run
        return
    with RunDirectory.create(path, resume=settings.resume) as run, saying_what_is_kept(run):
        yield run


@contextlib.contextmanager
def saying_what_is_kept(run: RunDirectory, command: str = "train") -> Generator[RunDirectory]:
    """Who is interrupted, or left alone by another process, says what there is to go on from."""
    try:
        yield run
    except KeyboardInterrupt:
        raise Interrupted(what_is_kept(run, command)) from None
    except RuntimeError as error:
        if not is_loss_of_peer(error):
            raise
        ignore_termination()  # torchrun now ends whoever is left; the message is to come first
        raise PeerLost(f"another process has gone; {what_is_kept(run)}") from None


def what_is_kept(run: RunDirectory, command: str = "train") -> str:
    """What a run that was left at once leaves behind, and how to go on."""
    saved = list_checkpoints(run.checkpoints)
    if not saved:
        return "stopped before the first checkpoint: nothing was kept"
    return (
        f"stopped at once: checkpoint {saved[-1].name} is kept; go on with: "
        f"python -m llmcourse.{command} --out {run.path} --resume"
    )
