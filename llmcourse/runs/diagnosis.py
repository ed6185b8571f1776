"""What is wrong with a run, told from nothing but its own metrics.

`diagnose(RunHistory.read("runs/mine"))` looks for signs that can be measured in a log: the loss,
the gradient's norm, the evaluations, the baselines. Each illness is a small function from a
`RunHistory` to the evidence for it, or None; the first that finds some names the cause. The
thresholds are meant to be argued with. Not here: the curves (`history.py`), and runs to try it on
(`labs/faulty_runs.py`). Chapter 08 teaches this.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from llmcourse.runs.history import RunHistory
from llmcourse.runs.log import Ending, Training

FEWEST = 8
"""With fewer records of the training loss nothing is said."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What is likely wrong with a run.

    Attributes:
        cause: the name of the illness; or `healthy`, or `not there yet` where a healthy run ended
            before it was any good, or `too short` to say.
        evidence: the numbers that speak for it, in a sentence.
        advice: what to do.
    """

    cause: str
    evidence: str
    advice: str

    @property
    def healthy(self) -> bool:
        """Whether nothing was found that is wrong."""
        return self.cause in ("healthy", "not there yet")

    def __str__(self) -> str:
        return f"{self.cause}: {self.evidence} {self.advice}"


# --- the illnesses: each returns its evidence, or None --------------------------------------------


def diverged(run: RunHistory) -> str | None:
    """A loss or a gradient that is no number any more."""
    lost = [each.step for each in run.of(Training) if math.isnan(each.loss)]
    if not lost and run.ending is not Ending.DIVERGED:
        return None
    when = f"by step {lost[0]} " if lost else ""
    before = (
        f" (it was {run.losses[-1]:.2f} at step {run.steps[-1]:.0f})" if len(run.losses) else ""
    )
    return f"{when}the loss or the gradient is no longer a number{before}."


def vanished_gradients(run: RunHistory) -> str | None:
    """Gradients of exactly zero: what fp16 makes of all that is too small for it."""
    zeros = float((run.norms == 0).mean())
    if zeros < 0.5 or run.losses.max() > 1.1 * run.first_loss:
        return None
    return (
        f"the gradient's norm is exactly 0 in {zeros:.0%} of the records, and the loss stays at "
        f"{run.last_loss:.2f}."
    )


def leakage(run: RunHistory) -> str | None:
    """A loss that no honest model has: the answer can be seen."""
    if not run.held_out or run.unigram is None:
        return None
    step, loss = run.held_out[-1]
    if loss > 0.03 * run.unigram:
        return None
    return (
        f"the held-out loss is {loss:.3f} at step {step}, {loss / run.unigram:.1%} of what "
        f"guessing by frequency costs ({run.unigram:.2f}); real text is never so easy."
    )


def rate_too_high(run: RunHistory) -> str | None:
    """A loss that is above where it began for long, or that rises again and stays up."""
    above = float((run.losses > 1.03 * run.first_loss).mean())
    if above >= 0.15 and run.predicts_text:
        return (
            f"the loss is above its first value ({run.first_loss:.2f}) in {above:.0%} of the "
            f"records; the highest is {run.losses.max():.2f}."
        )
    lowest = smooth(run.losses).min()
    if run.last_loss < 1.25 * lowest or len(run.losses) < 2 * FEWEST:
        return None
    return f"the training loss had come down to {lowest:.2f} and ends at {run.last_loss:.2f}."


def data_in_order(run: RunHistory) -> str | None:
    """A training loss that goes up and down with a fixed period: the data come in blocks."""
    waves = without_trend(run.losses[len(run.losses) // 4 :])
    if len(waves) < 24 or waves.std() < 0.03 * run.last_loss:
        return None
    lags = range(4, len(waves) // 2)
    found = np.array([likeness(waves, lag) for lag in lags])
    best = int(found.argmax())
    period = lags[best]
    if found[best] < 0.5 or likeness(waves, period // 2) > 0.1:
        return None
    steps = period * float(np.median(np.diff(run.steps)))
    return (
        f"the training loss repeats every {steps:.0f} steps or so (correlation "
        f"{found[best]:.2f}), up and down by {waves.std():.2f}."
    )


def exploding_gradients(run: RunHistory) -> str | None:
    """A few gradients many times as long as the others, each followed by a worse loss."""
    nonzero = run.norms[run.norms > 0]
    usual = float(np.median(nonzero)) if len(nonzero) else math.inf
    for place in np.flatnonzero(run.norms > 8 * usual):
        before = run.losses[max(0, place - 5) : place + 1].min()
        after = run.losses[place : place + 6].max()
        if after > 1.1 * before and after - before > 0.1 * run.first_loss:
            return (
                f"at step {run.steps[place]:.0f} the gradient's norm was {run.norms[place]:.3g} "
                f"(usually it is {usual:.2g}), and the loss rose from {before:.2f} to {after:.2f}."
            )
    return None


def overfitting(run: RunHistory) -> str | None:
    """Held-out text gets worse while the training text gets better."""
    if len(run.held_out) < 3:
        return None
    step, best = min(run.held_out, key=lambda pair: pair[1])
    final = run.held_out[-1][1]
    then = run.loss_around(step)
    if final < 1.03 * best or run.last_loss > 0.95 * then:
        return None
    return (
        f"the held-out loss was best at step {step} ({best:.2f}) and ends at {final:.2f}, while "
        f"the training loss went on falling, from {then:.2f} to {run.last_loss:.2f}."
    )


def gradients_pile_up(run: RunHistory) -> str | None:
    """A norm that grows and grows: each step adds its gradients to those of all before it."""
    norms = run.norms[np.isfinite(run.norms)]
    if len(norms) < FEWEST:
        return None
    early, late = np.median(norms[: len(norms) // 4]), np.median(norms[-(len(norms) // 4) :])
    rising = np.corrcoef(np.arange(len(norms)), norms)[0, 1] if norms.std() else 0.0
    still_falling = run.last_loss < 0.9 * run.losses_between(0.25, 0.5).mean()
    if late < 3 * early or rising < 0.9 or still_falling:
        return None
    return f"the gradient's norm grows all the time, from {early:.2g} to {late:.2g}."


def rate_too_low(run: RunHistory) -> str | None:
    """A loss that hardly falls, and steadily: the way is right, the steps are too small."""
    if run.unigram is None or run.first_loss <= run.unigram:
        return None
    fraction = (run.first_loss - run.last_loss) / (run.first_loss - run.unigram)
    if fraction > 0.6:
        return None
    return (
        f"the loss fell from {run.first_loss:.2f} to {run.last_loss:.2f} in {run.steps[-1]:.0f} "
        f"steps, {max(fraction, 0.0):.0%} of the way to what mere frequencies give "
        f"({run.unigram:.2f})."
    )


def targets_misaligned(run: RunHistory) -> str | None:
    """A loss that stops where the frequencies of tokens stop: inputs say nothing about targets."""
    if run.unigram is None:
        return None
    if abs(run.last_loss / run.unigram - 1) > 0.05 or run.falling > 0.02:
        return None
    return (
        f"the loss stopped at {run.last_loss:.2f}, where guessing by frequency stands "
        f"({run.unigram:.2f}); over the last quarter it fell by {max(0.0, run.falling):.1%}."
    )


def not_learning(run: RunHistory) -> str | None:
    """Worse than guessing by frequency, no longer falling, and none of the known signs."""
    if not run.worse_than_unigram or run.falling > 0.02:
        return None
    return (
        f"the held-out loss ends at {run.held_out[-1][1]:.2f}, guessing by frequency costs "
        f"{run.unigram:.2f}, and the training loss falls no more."
    )


def smooth(values: Float[np.ndarray, " N"]) -> Float[np.ndarray, " n"]:
    """Means over an eighth of the values at each place."""
    width = max(3, len(values) // 8)
    return np.convolve(values, np.ones(width) / width, mode="valid")


def without_trend(values: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """What is left of a curve without its best parabola."""
    if len(values) < 4:
        return np.zeros(0)
    places = np.linspace(-1, 1, len(values))
    return values - np.polyval(np.polyfit(places, values, 2), places)


def likeness(waves: Float[np.ndarray, " N"], lag: int) -> float:
    """The correlation of a curve with itself, `lag` records later."""
    one, other = waves[:-lag], waves[lag:]
    if not (one.std() and other.std()):
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


class Illness(NamedTuple):
    """A cause, how to find it, and what helps."""

    cause: str
    find: Callable[[RunHistory], str | None]
    advice: str


ILLNESSES = (
    Illness(
        "vanished gradients",
        vanished_gradients,
        "Small gradients become 0 in fp16: scale the loss, or use bf16 (--precision bf16).",
    ),
    Illness(
        "leakage",
        leakage,
        "The model can see what it should say: check the shift of the targets and the causal mask, "
        "by changing a later token and looking at earlier outputs.",
    ),
    Illness(
        "learning rate too high",
        rate_too_high,
        "Try a third of the rate (--optimizer.lr, --optimizer.matrix-lr) and a longer warm-up.",
    ),
    Illness(
        "data in order",
        data_in_order,
        "The data come in the same order each epoch, or sorted: shuffle the windows.",
    ),
    Illness(
        "exploding gradients",
        exploding_gradients,
        "Clip them (--optimizer.clip 1), warm up for longer, and look at the batch of that step.",
    ),
    Illness(
        "overfitting",
        overfitting,
        "Stop at the best evaluation (its weights are kept), get more text, or drop and decay.",
    ),
    Illness(
        "gradients pile up",
        gradients_pile_up,
        "Forget them after each step: optimizer.zero_grad().",
    ),
    Illness(
        "learning rate too low",
        rate_too_low,
        "Try three and ten times the rate; look for a parameter group whose rate stays at zero.",
    ),
    Illness(
        "targets misaligned",
        targets_misaligned,
        "What is read says nothing about what is asked: print one row of ids and targets, decoded. "
        "(Models that fill in hidden words rest there for a while, too: train those for longer.)",
    ),
    Illness(
        "not learning",
        not_learning,
        "Train longer; if that does not help, make it overfit a single batch, and look from there.",
    ),
)
"""In the order in which they are looked for: what explains the others comes first."""


def diagnose(run: RunHistory) -> Diagnosis:
    """Name the likeliest cause of a run's trouble; what its log does not hold is not missed.

    A run with fewer than `FEWEST` records of its training loss is `too short` to be judged.
    """
    if found := diverged(run):
        return Diagnosis(
            cause="diverged",
            evidence=found,
            advice="Try a third of the rate first, then clipping (--optimizer.clip 1), a longer "
            "warm-up (--optimizer.warmup), and another precision.",
        )
    if len(run.losses) < FEWEST:
        return Diagnosis(
            cause="too short",
            evidence=f"the log holds {len(run.losses)} records of the training loss.",
            advice="Train for longer, or log more often (--log-every).",
        )
    for illness in ILLNESSES:
        if found := illness.find(run):
            return Diagnosis(cause=illness.cause, evidence=found, advice=illness.advice)
    evidence = f"the loss fell from {run.first_loss:.2f} to {run.last_loss:.2f}."
    if run.worse_than_unigram:
        advice = "That is still worse than guessing by frequency, and still falling: train longer."
        return Diagnosis(cause="not there yet", evidence=evidence, advice=advice)
    return Diagnosis(cause="healthy", evidence=evidence, advice="None of the known signs is there.")


def bad_end(run: RunHistory) -> Diagnosis | None:
    """The diagnosis of a run that finished, or failed, and not well; None for all other runs.

    A run that somebody stopped has not ended, one that was out of patience ended in time, and of a
    short one there is nothing to say.
    """
    if run.ending in (None, Ending.STOPPED):
        return None
    found = diagnose(run)
    in_time = found.cause == "overfitting" and run.ending is Ending.EARLY_STOPPED
    well = found.cause in ("healthy", "too short")
    return None if well or in_time else found
