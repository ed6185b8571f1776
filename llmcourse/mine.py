"""Your own machine: the functions of the exercises in the package's places, and trained.

    mine.keep(merge, bpe_encode)      at the end of a notebook: hands the finished ones over
    mine.train()                      trains chapter 00's tiny model on what there is of yours
    mine.machine()                    which parts are yours

A function is kept if its check passes; until then the check's own answer, with the package behind
it, stands in its place. Not here: how functions outlive their notebook (`own_code.py`), and the
machine itself (`labs/own_machine.py`).
"""

import functools
from dataclasses import dataclass
from typing import Any

from llmcourse import own_code
from llmcourse.checks.catalog import all_checks
from llmcourse.checks.harness import Check
from llmcourse.errors import UserError, nearest, require
from llmcourse.labs import own_machine
from llmcourse.labs.own_machine import OwnParts, Trained
from llmcourse.notebook import Card, wrapped
from llmcourse.notebook import show as display

STEPS = 60
N_COMPARED = 10
TOLERANCE = 1e-3
"""Nats: so near to the package's are the first losses of a machine that is right."""

NOTHING = "nothing of yours yet: do an exercise, then run this cell again"
PLACES = {
    "merge": "joins a pair, 767 times: the vocabulary",
    "bpe_encode": "turns words into tokens",
    "next_token_pairs": "sets the questions and the answers",
    "split_heads": "cuts the width into heads",
    "causal_mask": "hides the future",
    "scaled_dot_product_attention": "lets tokens look at each other",
    "merge_heads": "puts the heads together",
    "rope": "tells tokens where they stand",
    "rms_norm": "keeps the stream's copies in size",
    "swiglu": "thinks, token by token",
    "block": "joins attention and MLP to the stream",
    "log_softmax": "turns scores into what they cost",
    "accumulated_loss": "divides once",
    "clip": "shortens wild gradients",
    "warmup_cosine": "moves the learning rate",
    "adamw_step": "moves the weights",
    "write": "writes the story",
}
"""What each part does, in the order in which the machine meets them."""


@dataclass(frozen=True)
class Machine:
    """What of the machine is yours; shows itself as a table."""

    yours: frozenset[str]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Chapter, function, what it does, and whose it is."""
        return [
            (checks()[name].chapter, name, does, "yours" if name in self.yours else "the package's")
            for name, does in PLACES.items()
        ]

    def summary(self) -> str:
        """How much of it is yours, in a sentence."""
        if not self.yours:
            return NOTHING
        if len(self.yours) == len(PLACES):
            return "every line of this model is yours"
        return f"{len(self.yours)} of {len(PLACES)} parts are yours"

    def __repr__(self) -> str:
        """The table in plain text; the sentence alone while nothing is yours."""
        if not self.yours:
            return self.summary()
        width = max(map(len, PLACES))
        lines = [f"{number}  {name:{width}}  {whose}" for number, name, _, whose in self.rows()]
        return "\n".join([*lines, self.summary()])

    def _repr_html_(self) -> str:
        if not self.yours:
            return f"<p>{self.summary()}</p>"
        head = "".join(f"<th>{word}</th>" for word in ("chapter", "function", "what it does", ""))
        body = "".join(
            f"<tr><td>{number}</td><td><code>{name}</code></td><td>{does}</td>"
            f"<td>{f'<strong>{whose}</strong>' if whose == 'yours' else whose}</td></tr>"
            for number, name, does, whose in self.rows()
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"{table}<p>{self.summary()}</p>"


def keep(*functions: Any) -> None:
    """Hand finished functions over to your machine, and say what became of each.

    One that is unfinished, or whose check does not pass, is not taken; what was kept before stays.

    Raises:
        UserError: the machine has no place for a function of this name.
    """
    lines = []
    for function in functions:
        name = getattr(function, "__name__", repr(function))
        if name not in PLACES:
            raise UserError(f"your machine has no place for {name!r}{nearest(name, PLACES)}")
        match checks()[name].verdict(function).status:
            case "passed":
                lines.append(_kept(function))
            case "wrong":
                lines.append(f"{name} does not pass its check yet")
    text = "\n".join([*lines, machine().summary()])
    display(
        Card("plain" if _yours() else "open", "Your machine", text, lines=tuple(text.split("\n")))
    )


def _kept(function: Any) -> str:
    """Keep a function; what became of it, in a sentence."""
    try:
        own_code.save(function)
    except UserError as error:
        return f"{function.__name__} is right, and could not be kept: {error}"
    return f"{function.__name__} is in your machine"


def machine() -> Machine:
    """Which parts of your machine are yours."""
    return Machine(_yours())


def parts() -> OwnParts:
    """The machine's functions: yours where there are any, the package's elsewhere.

    Raises:
        UserError: a function that was kept no longer runs.
    """
    package = {name: check.right for name, check in checks().items()}
    package["block"] = own_machine.pre_norm_block  # the check's own is for whole modules
    return OwnParts(**(package | {name: own_code.load(name) for name in _yours()}))


def train(steps: int = STEPS) -> Trained | None:
    """Train chapter 00's tiny model by your parts, and compare its first losses with the package's.

    Prints whose each part is, what came of it, and a story. None while nothing is yours.

    Raises:
        UserError: no steps to take, or a function that was kept no longer runs.
    """
    require(steps >= 1, f"steps={steps} must be at least 1")
    if not _yours():
        display(Card("open", "Your machine", NOTHING, lines=(NOTHING,)))
        return None
    display(machine())
    trained = own_machine.train(parts(), steps)
    theirs = own_machine.package_losses(min(steps, N_COMPARED), of=steps)
    lines = (
        f"{steps} steps: from {trained.losses[0]:.1f} to {trained.losses[-1]:.1f} nats a token",
        _compared(trained.losses, theirs),
        wrapped(trained.story),
    )
    display(Card("plain", "Trained", "\n".join(lines), lines=lines))
    return trained


def _compared(yours: list[float], theirs: list[float]) -> str:
    """Whether the machine's first losses are the package's, in a sentence."""
    steps = zip(yours, theirs, strict=False)
    apart = [n for n, (one, other) in enumerate(steps, 1) if not abs(one - other) < TOLERANCE]
    if apart:
        return f"from step {apart[0]} on the losses are not those of the package's machine"
    return f"the first {len(theirs)} losses are those of the package's machine"


@functools.cache
def checks() -> dict[str, Check]:
    """The check of each part."""
    return {check.name: check for check in all_checks() if check.name in PLACES}


def _yours() -> frozenset[str]:
    return frozenset(name for name in own_code.names() if name in PLACES)
