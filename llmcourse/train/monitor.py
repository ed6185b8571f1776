"""What is said and kept while a run goes on: the bar, the log, TensorBoard, the report.

Only the first process says anything. Not here: what the loop does with the numbers.
"""

import contextlib
import time

from llmcourse.device import peak_flops
from llmcourse.evaluate.perplexity import Score
from llmcourse.models.base import Model
from llmcourse.models.registry import class_of
from llmcourse.objectives.base import Batch
from llmcourse.runs.diagnosis import bad_end
from llmcourse.runs.history import RunHistory
from llmcourse.runs.log import Baseline, End, Ending, Evaluation, MetricsLog, Sample, Training
from llmcourse.runs.report import write_report
from llmcourse.train.checkpoint import TrainState
from llmcourse.train.corpus import Corpus
from llmcourse.train.parts import Parts
from llmcourse.train.progress_bar import Console


class Monitor:
    """Watches one run; a context manager, so that a run that fails leaves a report too."""

    def __init__(
        self,
        parts: Parts,
        state: TrainState,
        *,
        resumed_at: int | None,
    ) -> None:
        settings, ranks, run = parts.settings, parts.ranks, parts.run
        self.settings, self.ranks, self.run, self.state = settings, ranks, run, state
        self.model = parts.model
        self.ending, self.reason = Ending.STOPPED, "unknown"
        self.seconds_in_steps, self.step_began = 0.0, 0.0
        # Since the last record: speed is what it is now, not what it was on average.
        self.tokens_in_steps, self.flops_in_steps = 0, 0
        self.tokens_per_window = parts.corpus.train.stride
        self.peak_flops = peak_flops(ranks.device)
        self.log = (
            MetricsLog(run, tensorboard=settings.tensorboard, keep_until_step=resumed_at)
            if ranks.is_main
            else None
        )
        by_clock = settings.budget is not None
        self.console = Console(
            total=settings.seconds_allowed if by_clock else settings.steps,
            done=state.seconds if by_clock else state.step,
            unit="s" if by_clock else "step",
            speak=ranks.is_main,
        )
        self._introduce(parts.corpus, parts.model, resumed_at)

    def _introduce(self, corpus: Corpus, model: Model, resumed_at: int | None) -> None:
        """Say what is about to happen, and put the baselines into the log."""
        say = self.console.line
        say(f"run directory   {self.run.path}")
        say(
            f"model           {class_of(model).__name__}, {model.n_parameters:,} parameters on "
            f"{self.ranks.device} "
            f"({self.ranks.world_size} process{'es' if self.ranks.world_size > 1 else ''})"
        )
        say(
            f"text            {len(corpus.train.tokens):,} tokens to learn from, "
            f"{len(corpus.valid.tokens):,} held out"
        )
        known = "" if corpus.entropy is None else f", entropy {corpus.entropy:.3f}"
        say(
            f"baselines       uniform {corpus.uniform:.3f}, "
            f"unigram {corpus.unigram:.3f}{known} bits per byte"
        )
        if resumed_at is not None:
            say(f"resumed         at step {resumed_at} of {self.settings.steps}")
        if self.log and resumed_at is None:
            self.log.write(
                Baseline(
                    step=0,
                    uniform_bits_per_byte=corpus.uniform,
                    unigram_bits_per_byte=corpus.unigram,
                    entropy_bits_per_byte=corpus.entropy,
                    parameters=model.n_parameters,
                    vocab_size=model.config.vocab_size,
                    train_tokens=len(corpus.train.tokens),
                    valid_tokens=len(corpus.valid.tokens),
                )
            )

    def start_step(self) -> None:
        """A step begins."""
        self.step_began = time.monotonic()

    def end_step(self, batch: Batch) -> None:
        """A step over this process's rows is over."""
        # Steps alone: the time that saving and evaluating takes would hide how fast training is.
        self.seconds_in_steps += time.monotonic() - self.step_began
        rows = len(batch.ids) * self.ranks.world_size
        self.tokens_in_steps += rows * self.tokens_per_window
        if self.peak_flops is not None:
            self.flops_in_steps += self.model.step_flops(batch.ids, **batch.extras)

    def trained(self, *, loss: float, rate: float, norm: float) -> None:
        """Log an interval of steps: the mean loss, the rate and the gradient's norm of the last."""
        speed = self.tokens_in_steps / max(self.seconds_in_steps, 1e-9)
        mfu = None
        if self.peak_flops is not None:  # of one device: every process has rows of one shape
            mfu = self.flops_in_steps / max(self.seconds_in_steps, 1e-9) / self.peak_flops
        self.seconds_in_steps, self.tokens_in_steps, self.flops_in_steps = 0.0, 0, 0
        done = self.state.seconds if self.settings.budget else self.state.step
        self.console.update(done, loss=loss, tokens_per_second=speed)
        if self.log:
            self.log.write(
                Training(
                    step=self.state.step,
                    tokens=self.state.tokens,
                    loss=loss,
                    lr=rate,
                    grad_norm=norm,
                    tokens_per_second=round(speed, 1),
                    seconds=round(self.state.seconds, 3),
                    mfu=mfu,
                )
            )

    def evaluated(self, score: Score, sample: str) -> None:
        """Log an evaluation and its sample."""
        state = self.state
        means = {name: metric.mean for name, metric in score.metrics.items()}
        said = [f"loss {score.loss:.3f}", *(f"{name} {mean:.3f}" for name, mean in means.items())]
        if score.bytes:
            said.insert(0, f"{score.bits_per_byte:.3f} bits per byte")
        self.console.line(
            f"step {state.step:>6}     validation {', '.join(said)} after {state.seconds:.0f} s"
        )
        if self.log:
            self.log.write(
                Evaluation(
                    step=state.step,
                    tokens=state.tokens,
                    loss=score.loss,
                    bits_per_byte=score.bits_per_byte if score.bytes else None,
                    perplexity=score.perplexity if score.bytes else None,
                    metrics={name.replace(" ", "_"): mean for name, mean in means.items()},
                    seconds=round(state.seconds, 3),
                )
            )
            if sample:
                self.log.write(Sample(step=state.step, text=sample))

    def ended(self, ending: Ending, reason: str) -> None:
        """Say how the loop was left, and why in words."""
        self.ending, self.reason = ending, reason

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: object
    ) -> None:
        """Close the log, write the report, and say what was wrong with a run that ended badly.

        What went wrong before matters more than what goes wrong here.
        """
        self.console.close()
        if self.log is None:
            return
        # The loop said how it ended, unless an error came first.
        if error is not None:
            self.ending = Ending.of_error(error)
            self.reason = f"failed: {str(error) or type(error).__name__}"
        # A full disk may be why the run ended: to fail here again would hide that.
        with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
            seconds = round(self.state.seconds, 3)
            end = End(step=self.state.step, seconds=seconds, ending=self.ending, reason=self.reason)
            self.log.write(end)
            self.log.close()
            write_report(self.run)
            found = bad_end(RunHistory.read(self.run.path))
            if found is not None:
                self.console.line(f"diagnosis       {found}")
