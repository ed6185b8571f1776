"""The training loop, to be read once from top to bottom. Then you know training.

`train(settings)` goes in the field's usual order: ranks, folder, data, model, optimizers, restore;
then, step after step: save, evaluate, stop?, set the rate, accumulate, clip, step, log. There are
no callbacks and no registry. A checkpoint is written *before* the evaluation of the same step, so
that what may break an evaluation (memory, a signal) costs nothing. Chapter 08 takes it apart.

Not here: what each part does. See `train/` for the corpus, the state and the record, `data/` for
windows and the sampler, `objectives/` for the loss.
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
from torch import Tensor, nn

from llmcourse.data.loader import Sampler, batch_tokens
from llmcourse.device import autocast
from llmcourse.errors import UserError
from llmcourse.evaluate.perplexity import Score
from llmcourse.models.files import save_model
from llmcourse.models.gpt import GPT
from llmcourse.randomness import (
    global_state,
    numpy_rng,
    restore_global_state,
    seed_all,
    stream_seed,
)
from llmcourse.runs.directory import RunDirectory
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.assemble import build_model, build_objective
from llmcourse.train.build import choose_precision, compiled, gradient_scaler, rows_per_process
from llmcourse.train.checkpoint import (
    TrainState,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from llmcourse.train.corpus import open_corpus, prepare_corpus
from llmcourse.train.distributed import Ranks
from llmcourse.train.evaluation import score_model
from llmcourse.train.monitor import Monitor
from llmcourse.train.optimizers import build_optimizers, build_schedule, set_lr
from llmcourse.train.progress_bar import StopSignals, signal_name
from llmcourse.train.samples import draw_sample
from llmcourse.train.settings import Settings, to_dict


class Diverged(UserError):
    """The loss or the gradient is no longer a number. Every checkpoint is from before that."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended.

    Attributes:
        run: the run directory.
        steps: optimizer steps taken.
        score: the last evaluation, if there was one.
        uniform: bits per byte of guessing every token alike.
        unigram: bits per byte of guessing by frequency.
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
    sample: str
    seconds: float
    stopped_by: int | None
    writes: bool


def train(settings: Settings) -> Result:
    """Train a model as the settings say, and leave a run directory behind.

    Raises:
        UserError: something in the settings or in the data cannot be.
        Diverged: the loss or the gradient is no longer a number; the last checkpoint is kept.
    """
    ranks = Ranks.start(settings.device)
    try:
        with open_run(settings, ranks) as run:
            return _train(settings, ranks, run)
    finally:
        ranks.stop()


def _train(settings: Settings, ranks: Ranks, run: RunDirectory) -> Result:
    # Data: text becomes two files of tokens, once; the objective says how long a window is.
    if ranks.first:
        prepare_corpus(settings, run.data, fresh=not settings.resume)
    ranks.wait()
    tokenizer = load_tokenizer(run.path)
    objective = build_objective(settings, tokenizer)
    context = settings.model.context_length
    window = objective.window(context)
    corpus = open_corpus(tokenizer, run.data, length=window, overlap=max(0, window - context))
    sampler = Sampler(len(corpus.train), settings.seed)

    # Model: the same weights in every process, then each its own chance in dropout.
    seed_all(settings.seed)
    vocab_size = tokenizer.vocab_size + len(objective.special_tokens)
    model = build_model(settings, vocab_size).to(ranks.device)
    seed_all(stream_seed(settings.seed, "dropout", ranks.rank))
    runner = ranks.wrap(compiled(model, settings.compile, ranks.device))
    precision = choose_precision(settings.precision, ranks.device)
    share, micro = rows_per_process(settings, ranks, objective)

    # Optimizers.
    optimizers = build_optimizers(model, settings.optimizer)
    schedule = build_schedule(settings.optimizer)
    scaler = gradient_scaler(precision, ranks.device, micro * context)

    # Restore.
    state, saved_at = TrainState(), None
    for path in list_checkpoints(run.checkpoints)[-1:]:
        state = load_checkpoint(path, model, optimizers)
        saved_at = state.step
        sampler.restore(state.sampler)
        scaler.load_state_dict(state.scaler)
        restore_global_state(state.rng[min(ranks.rank, len(state.rng) - 1)])
    if ranks.first:
        run.write_config(to_dict(settings))
        run.write_environment()

    started, norm, score, sample = time.monotonic() - state.seconds, torch.zeros(()), None, ""
    with (
        StopSignals() as signals,
        Monitor(settings, ranks, run, corpus, model, state, resumed_at=saved_at) as monitor,
    ):
        while True:
            # Save, evaluate, stop?
            state.seconds, signal = ranks.from_first((time.monotonic() - started, signals.received))
            over = state.step >= settings.steps or state.seconds >= settings.seconds_allowed
            stop = over or signal is not None
            if (stop or state.step % settings.save_every == 0) and state.step not in (0, saved_at):
                check_finite(state, norm, scaler, run)
                state.sampler, state.scaler = sampler.state(), scaler.state_dict()
                state.rng = ranks.gather(global_state())
                if ranks.first:
                    save_checkpoint(run.checkpoints, model, optimizers, state, settings.keep_last)
                saved_at = state.step
            if over or (state.step % settings.evaluate_every == 0 and signal is None):
                score = score_model(model, objective, corpus, settings, ranks, precision, micro)
                better = state.scored(score.headline)
                if ranks.first:
                    if better:
                        save_model(model, run.model)
                    sample = draw_sample(model, objective, corpus, settings, state.step)
                    monitor.evaluated(score, sample)
                if 0 < settings.patience <= state.stale:
                    reason = f"finished: no better in {state.stale} evaluations"
                    break
            if stop:
                reason = "finished" if over else f"stopped by {signal_name(signal)}"
                break
            monitor.start_step()

            # Set the rate: tied to the steps, or to the clock where there is a budget.
            progress = max(
                (state.step + 0.5) / settings.steps, state.seconds / settings.seconds_allowed
            )
            rate = set_lr(optimizers, schedule(progress))

            # Accumulate: every process draws the whole batch, and takes its own rows of it.
            tokens = torch.from_numpy(batch_tokens(corpus.train, sampler, settings.batch_size))
            rng = numpy_rng(settings.seed, "objective", state.step)
            batch = objective.prepare(tokens, rng).rows(ranks.share(settings.batch_size))
            sums = torch.zeros(
                2, device=ranks.device
            )  # the loss, and how many positions it is over
            for start in range(0, share, micro):
                part = batch.rows(slice(start, start + micro)).to(ranks.device)
                with ranks.no_sync(runner, last=start + micro == share):
                    with autocast(ranks.device, precision):
                        loss = objective.loss(runner(ids=part.ids, **part.extras), part)
                    scaler.scale(loss.total).backward()
                sums += torch.stack([loss.total.detach(), loss.count])
            sums = ranks.sum(sums)

            # Clip, after the one division by the global count.
            for optimizer in optimizers:
                scaler.unscale_(optimizer)
            norm = divide_and_clip(model, sums[1] / ranks.world, settings.optimizer.clip)

            # Step.
            for optimizer in optimizers:
                scaler.step(optimizer)
                optimizer.zero_grad(set_to_none=True)
            scaler.update()
            state.took_step(sums, tokens=settings.batch_size * corpus.train.stride)

            # Log.
            monitor.end_step()
            if state.step % settings.log_every == 0:
                check_finite(state, norm, scaler, run)
                monitor.trained(loss=state.end_interval(), rate=rate, norm=float(norm))
        ranks.wait()  # nobody leaves while another still writes
        monitor.ended(reason)
    return Result(
        run=run.path,
        steps=state.step,
        score=score,
        uniform=corpus.uniform,
        unigram=corpus.unigram,
        sample=sample,
        seconds=state.seconds,
        stopped_by=signal,
        writes=isinstance(model, GPT),
    )


@contextlib.contextmanager
def open_run(settings: Settings, ranks: Ranks) -> Generator[RunDirectory]:
    """The run's folder: locked by the first process, known to all, gone if nothing began in it."""
    name = f"{settings.preset}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    path = Path(ranks.from_first(settings.out or str(Path("runs", name))))
    if not ranks.first:
        yield RunDirectory(path)
        return
    was_there = path.exists()
    with RunDirectory.create(path, resume=settings.resume) as run:
        try:
            yield run
        finally:
            if not run.holds_a_run and not was_there:
                shutil.rmtree(path, ignore_errors=True)


def divide_and_clip(model: nn.Module, count: Tensor, clip: float) -> Tensor:
    """Turn gradients of a sum into those of a mean, and shorten them to the norm `clip`, if any.

    Returns the norm before it was shortened.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    torch._foreach_div_(gradients, count)
    return nn.utils.clip_grad_norm_(model.parameters(), clip or math.inf)


def check_finite(
    state: TrainState, norm: Tensor, scaler: torch.amp.GradScaler, run: RunDirectory
) -> None:
    """Stop a run whose numbers have become none, before they reach a checkpoint.

    With fp16 an infinite gradient is the scaler's business: it skips the step and halves the scale.

    Raises:
        Diverged: says when, what is left, and what to look at.
    """
    loss = state.settle()
    if math.isfinite(loss) and (scaler.is_enabled() or math.isfinite(float(norm))):
        return
    what = "the loss" if not math.isfinite(loss) else "the gradient"
    saved = list_checkpoints(run.checkpoints)
    left = (
        f"checkpoint {saved[-1].name} is from before that" if saved else "no checkpoint was due yet"
    )
    raise Diverged(
        f"{what} is no longer a number by step {state.step}; {left}. Look at the learning rate "
        "first (--optimizer.lr and --optimizer.matrix-lr, try a third), then at --optimizer.clip, "
        f"--optimizer.warmup and --precision; go on with --out {run.path} --resume"
    )
