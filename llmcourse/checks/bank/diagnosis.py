"""The exercises at the bedside: which part did a resume forget, and what ails three runs.

Not here: the exercises on the loop itself (`loop.py`), the exercises' texts (`solutions/`), and the
doctor (`runs/diagnosis.py`). Chapter 08 teaches this.
"""

from llmcourse.checks.answers import choice
from llmcourse.labs.faulty_runs import ShiftedRows, TinyRun, train_tiny
from llmcourse.runs.history import RunHistory

CHAPTER = "08"


def three_patients() -> dict[str, RunHistory]:
    """The histories of three small runs, each with one thing wrong: look at them, not in here."""
    return {
        "X": train_tiny(TinyRun(zero_grad=False, clip=None)),
        "Y": train_tiny(TinyRun(optimizer="sgd", lr=0.7, clip=None, seed=6)),
        "Z": train_tiny(TinyRun(objective=ShiftedRows(), seed=1)),
    }


which_part = choice(
    CHAPTER,
    "which_part",
    right=(
        "c",
        "The first loss is right: weights, data and chance were there. The step after it was taken "
        "with an empty memory of gradients.",
    ),
    wrong={
        "a": "Without the weights the very first loss would be that of a fresh model, about 6.",
        "b": "Without the sampler's position the first batch would be another one, and with it the "
        "first loss.",
        "d": "Without the state of chance, dropout would fall elsewhere at once: the first loss "
        "would differ.",
    },
)

patient_x = choice(
    CHAPTER,
    "patient_x",
    right=(
        "c",
        "The norm climbs in a straight line: each step adds its gradient to all before it. The "
        "cure is one line, optimizer.zero_grad().",
    ),
    wrong={
        "a": "Then the loss would leap above its start. It falls at first, and then hardly moves.",
        "b": "The loss does end near the frequencies. But a misaligned run has a calm norm: look "
        "at the right panel.",
        "d": "Explosions are single spikes of the norm. This one climbs all the time.",
    },
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
)
