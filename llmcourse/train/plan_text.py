"""A plan in words: what will be trained, why, how long it takes, and the command that does it.

Not here: how it is found (`plan.py`). Chapter 09 teaches this.
"""

import shlex
import textwrap

from llmcourse.train.plan import KEPT_BACK, MOST_EPOCHS, Choice, Plan, is_capped
from llmcourse.train.presets import PRESETS
from llmcourse.train.saved_settings import leaves
from llmcourse.train.settings import Settings


def told(plan: Plan) -> str:
    """The plan as lines, a heading before each."""
    run, best = plan.best.settings, plan.best
    lines = {
        "machine": _machine(plan),
        "model": f"{_shape(best)}: {best.parameters:,} parameters, "
        f"{best.flops_per_token / 1e6:.1f} million operations to train on a token",
        "tokens": f"{best.tokens:,} in {best.steps:,} steps of {run.batch_size} windows of "
        f"{run.model.context_length}; {_epochs(plan)}",
        "memory": _memory(plan),
        "time": f"{_duration(best.seconds)} of training, and up to {KEPT_BACK:.0%} of the budget "
        "for evaluations, samples and checkpoints; reading the text comes before",
        "loss": _loss(plan),
        "why": _why(plan),
        "run it": command_of(run),
    }
    return "\n".join(
        # A command is copied: it stays in one line.
        f"{name:<9}{line}"
        if name == "run it"
        else textwrap.fill(f"{name:<9}{line}", 88, subsequent_indent=" " * 9)
        for name, line in lines.items()
    )


def command_of(settings: Settings) -> str:
    """The command line that asks for these settings."""
    preset = leaves(PRESETS[settings.preset]())
    words = ["python", "-m", "llmcourse.train", "--preset", settings.preset]
    for name, value in leaves(settings).items():
        if value == preset[name] or name in ("preset", "plan", "resume") or value is None:
            continue
        part, dot, leaf = name.replace("_", "-").rpartition(".")
        if isinstance(value, bool):
            words.append(f"--{part}{dot}{'' if value else 'no-'}{leaf}")
        else:
            words += [f"--{part}{dot}{leaf}", str(value)]
    return shlex.join(words)


def _machine(plan: Plan) -> str:
    small, large = plan.speeds
    measured = [small] if small == large else [small, large]
    at = " and ".join(
        f"{speed.flops / 1e9:,.1f} billion operations a second with {speed.parameters / 1e6:.1f} "
        "million parameters"
        for speed in measured
    )
    return f"{at}; {plan.free / 1e9:.1f} GB of memory free"


def _shape(choice: Choice) -> str:
    model = choice.settings.model
    return f"{model.n_layers} layers, {model.d_model} wide"


def _epochs(plan: Plan) -> str:
    if plan.epochs is None or plan.unique is None:
        return "how large the text is, is known once it is read"
    said = f"{plan.epochs:.1f} times the text's {plan.unique:,}"
    if is_capped(plan.best, plan.unique):
        said += (
            f". More than {MOST_EPOCHS} times teach little: this text is worth no more time. "
            "Name a larger --data.source, or keep the rest of the budget"
        )
    elif plan.epochs > 4:
        said += "; from the fifth time on, each is worth less"
    return said


def _memory(plan: Plan) -> str:
    memory = plan.memory
    parts = ("weights", "gradients", "optimizer", "activations")
    said = ", ".join(f"{name} {_megabytes(getattr(memory, name))}" for name in parts)
    rows = plan.best.settings.micro_batch_size
    return f"{_megabytes(memory.total)} ({said}), with {rows} windows in a forward pass"


def _loss(plan: Plan) -> str:
    if plan.interval is None or plan.best.loss is None:
        return "not foreseen: no runs of about this length were measured on this text for this task"
    low, high = plan.interval
    return f"{plan.best.loss:.2f} bits per byte, in nine of ten cases {low:.2f} to {high:.2f}"


def _why(plan: Plan) -> str:
    if plan.asked_for:
        return "the model is the one that was asked for; without, the plan would choose its size"
    said = [
        f"{each.settings.model.d_model} wide would read {each.tokens / 1e6:,.1f} million tokens"
        + ("" if each.loss is None else f" and come to {each.loss:.2f}")
        for each in plan.others
    ]
    return "of all sizes the lowest expected loss; " + ", ".join(said)


def _megabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
