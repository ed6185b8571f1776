"""The exercises at the bedside: which part did a resume forget, and what ails three runs.

Not here: the exercises on the loop itself (`loop.py`), the exercises' texts (`solutions/`), and the
doctor (`runs/diagnosis.py`). Chapter 08 teaches this.
"""

import copy
import functools
from collections.abc import Iterable

import torch

from llmcourse.checks.answers import choice
from llmcourse.labs.faulty_runs import ShiftedRows, TinyRun, read, tiny_gpt, train_tiny
from llmcourse.models.gpt import GPT
from llmcourse.objectives.clm import CausalLM
from llmcourse.randomness import seed_all
from llmcourse.runs.history import RunHistory

CHAPTER = "08"


@functools.cache
def three_patients() -> dict[str, RunHistory]:
    """The histories of three small runs, each with one thing wrong: look at them, not in here."""
    return {
        "X": train_tiny(TinyRun(zero_grad=False, clip=None)),
        "Y": train_tiny(TinyRun(optimizer="sgd", lr=0.7, clip=None, seed=6)),
        "Z": train_tiny(TinyRun(objective=ShiftedRows(), seed=1)),
    }


def resumed_run() -> dict[str, list[float]]:
    """The losses of four steps after a checkpoint, of a run that went on and of a resumed one."""
    text = read("stories")
    seed_all(0)
    model = tiny_gpt(len(text.lengths))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    _losses(model, optimizer, range(12))
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    whole = _losses(model, optimizer, range(12, 16))
    model.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    return {"never stopped": whole, "resumed": _losses(model, optimizer, range(4))}


def _losses(model: GPT, optimizer: torch.optim.Optimizer, batches: Iterable[int]) -> list[float]:
    objective, windows, losses = CausalLM(), read("stories").train, []
    for number in batches:
        batch = objective.prepare(windows[8 * number : 8 * number + 8])
        total, count = objective.loss(model(batch.ids), batch)
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
        losses.append((total / count).item())
    return losses


which_part = choice(
    CHAPTER,
    "which_part",
    right=(
        "c",
        "The very first loss differs, and is no fresh model's: other windows were read, the first "
        "ones once more. Their first losses are lower, because the model has met them.",
    ),
    wrong={
        "a": "Without the weights the very first loss would be that of a fresh model, about 6.",
        "b": "Without the optimizer's memory the first loss is right: it is computed before the "
        "first step. Only the second one would differ.",
        "d": "Chance would show in dropout, and there is none in this model: nothing draws.",
    },
    read="6. What must a checkpoint hold?",
)

patient_x = choice(
    CHAPTER,
    "patient_x",
    right=(
        "c",
        "The norm climbs from the first step to the last, because each step adds its gradient to "
        "all before it. (On the logarithmic axis the climb is a bend.) The cure is one line, "
        "optimizer.zero_grad().",
    ),
    wrong={
        "a": "Then the loss would leap above its start. It falls at first, and then hardly moves.",
        "b": "The loss does end near the frequencies. But a misaligned run has a calm norm: look "
        "at the right panel.",
        "d": "Explosions are single spikes of the norm. This one climbs all the time.",
    },
    read="When it goes wrong: the clinic",
)

patient_y = choice(
    CHAPTER,
    "patient_y",
    right=(
        "d",
        "Spikes of the norm, each followed by a jump of the loss. Clipping is the cure, or a "
        "longer warm-up.",
    ),
    wrong={
        "a": "Not a bad guess: a lower rate helps here, too. But the loss is not above its start "
        "for long; a few single steps do the damage, and the norm shows them.",
        "b": "Frequencies are not where it stops: it still falls, slowly.",
        "c": "Then the norm would climb all the time. Here it spikes and comes down.",
    },
    read="When it goes wrong: the clinic",
)

patient_z = choice(
    CHAPTER,
    "patient_z",
    right=(
        "b",
        "It stops where frequencies stop, and everything is calm: the inputs say nothing about the "
        "targets.",
    ),
    wrong={
        "a": "A rate that is too high shakes the curve. This one is calm.",
        "c": "Then the norm would climb all the time.",
        "d": "There is no spike in the norm.",
    },
    read="When it goes wrong: the clinic",
)
