"""What is said and kept while a fine-tuning run goes on: the bar, the log, the best weights.

Not here: what the loop does with the numbers (`fit.py`).
"""

import json
from dataclasses import asdict

from llmcourse.files import atomic_write_text
from llmcourse.finetune.parts import Parts, check_finite, save_adapted
from llmcourse.runs.log import End, Ending, Evaluation, MetricsLog, Training
from llmcourse.train.checkpoint import TrainState
from llmcourse.train.progress_bar import Console


class Monitor:
    """Watches one run; a context manager, so that a run that fails leaves its log whole."""

    def __init__(self, parts: Parts, state: TrainState, resumed_at: int | None) -> None:
        self.parts, self.state = parts, state
        self.ending = Ending.STOPPED
        self.seconds_before, self.tokens_before = state.seconds, state.tokens
        self.log = MetricsLog(parts.run, tensorboard=False, keep_until_step=resumed_at)
        self.console = Console(total=parts.steps, done=state.step, speak=True)
        self._introduce(resumed_at)

    def _introduce(self, resumed_at: int | None) -> None:
        parts, say = self.parts, self.console.line
        splits, most = parts.splits, parts.task.most
        say(f"run directory   {parts.run.path}")
        say(
            f"examples        {len(splits.train):,} to learn from, {len(splits.valid):,} to choose "
            f"by, {len(splits.test):,} to be measured on; {parts.task.about()}"
        )
        size = sum(parameter.numel() for parameter in parts.model.parameters())
        moving = sum(p.numel() for group in parts.groups for p in group.parameters.values())
        device = next(parts.model.parameters()).device
        say(
            f"model           {parts.base.name}, {size:,} parameters, of which {moving:,} learn, "
            f"{parts.settings.method} on {device}"
        )
        full = sum(len(row.ids) == most for row in parts.rows)
        if full:
            say(f"context         {full:,} rows are full: what is beyond {most} tokens is cut off")
        learned = len({row.example for row in parts.rows})
        if learned < len(splits.train):
            left = len(splits.train) - learned
            say(f"left out        {left:,} examples: nothing to learn of them within {most} tokens")
        if resumed_at is not None:
            say(f"resumed         at step {resumed_at} of {parts.steps}")

    def trained(self, *, rate: float, norm: float) -> None:
        """Log the steps since the last look: the mean loss, the rate, the gradient's norm.

        Raises:
            Diverged: the loss is no longer a number.
        """
        state = self.state
        loss = state.end_interval()
        check_finite(loss, state.step)
        seconds = max(state.seconds - self.seconds_before, 1e-9)
        speed = (state.tokens - self.tokens_before) / seconds
        self.console.update(state.step, loss=loss, tokens_per_second=speed)
        self.log.write(
            Training(
                step=state.step,
                tokens=state.tokens,
                loss=loss,
                lr=rate,
                grad_norm=norm,
                tokens_per_second=round(speed, 1),
                seconds=round(state.seconds, 3),
            )
        )

    def evaluate(self) -> None:
        """Judge the model on the validation split, and keep its weights if they are the best."""
        parts, state, examples = self.parts, self.state, self.parts.splits.valid
        measured = parts.task.measure(parts.model, examples)
        judged, loss = measured.judged, measured.loss
        if state.update_best(judged.badness):
            save_adapted(parts.model, parts.base, parts.run.model)
            atomic_write_text(parts.run.path / "valid.json", json.dumps(asdict(judged)) + "\n")
        self.console.line(
            f"step {state.step:>6}     validation {judged.metric} {judged.value:.3f}, "
            f"loss {loss:.3f} after {state.seconds:.0f} s"
        )
        metrics = {judged.metric: judged.value, **judged.others, **judged.in_nats}
        named = {name.replace(" ", "_"): value for name, value in metrics.items()}
        self.log.write(
            Evaluation(step=state.step, loss=loss, metrics=named, seconds=round(state.seconds, 3))
        )

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: object
    ) -> None:
        """Say how the run ended, and close the log."""
        self.console.close()
        ending = self.ending if error is None else Ending.of_error(error)
        reason = ending.value if error is None else f"failed: {error}"
        step, seconds = self.state.step, round(self.state.seconds, 3)
        self.log.write(End(step=step, seconds=seconds, ending=ending, reason=reason))
        self.log.close()
