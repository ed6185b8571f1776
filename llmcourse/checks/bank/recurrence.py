"""The exercises on recurrent networks: an LSTM step, a fading memory, gradients through time.

Not here: the exercises on counting (`counting.py`), the exercises' texts (`solutions/`), and how
checking works (`harness.py`). Chapter 02 teaches this.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.answers import value
from llmcourse.checks.harness import DEFAULT_VARIANTS, Case, case, exercise

CHAPTER = "02"


# 5. A step of the LSTM


@exercise(CHAPTER, axes=("B D", "B D"), variants=(*DEFAULT_VARIANTS, "gradients"))
def lstm_step(
    gates: Float[Tensor, "B gatesD"], cell: Float[Tensor, "B D"]
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
    """The new hidden vector and cell, from the four gates i, f, g, o before their squashing."""
    enter, forget, new, out = gates.chunk(4, dim=-1)
    cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
    return out.sigmoid() * cell.tanh(), cell


@lstm_step.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[100.0, 0.0, 100.0, 100.0]]), torch.tensor([[2.0]]))
    yield case("a batch", torch.randn(3, 20), torch.randn(3, 5))
    keep = torch.cat([torch.full((1, 3), -50.0), torch.full((1, 3), 50.0), torch.randn(1, 6)], 1)
    yield case("keep everything", keep, torch.randn(1, 3))
    yield case("an empty cell", torch.randn(2, 8), torch.zeros(2, 2))


@lstm_step.mistake(
    "the cell is not squashed on its way out",
    hint="The cell may grow beyond 1. What the others get to see of it is o times tanh(c).",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell, cell


@lstm_step.mistake(
    "the gates in another order: i, f, o, g",
    hint="The four stand in torch's order: i, f, g, o. The third is the new material, with a tanh.",
)
def _(gates, cell):
    i, f, o, g = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "all four through a sigmoid",
    hint="g is material, not a gate: it must be able to be negative. Give it a tanh.",
)
def _(gates, cell):
    i, f, g, o = gates.sigmoid().chunk(4, dim=-1)
    cell = f * cell + i * g
    return o * cell.tanh(), cell


@lstm_step.mistake(
    "nothing is ever forgotten",
    hint="The old cell has to pass the forget gate: f times c. (The LSTM of 1997 had none!)",
)
def _(gates, cell):
    i, _, g, o = gates.chunk(4, dim=-1)
    cell = cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "the hidden vector is made of the old cell",
    hint="First the new cell, then the hidden vector from it.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    return o.sigmoid() * cell.tanh(), f.sigmoid() * cell + i.sigmoid() * g.tanh()


@lstm_step.mistake(
    "cell and hidden the wrong way round",
    hint="Return the hidden vector first, then the cell.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return cell, o.sigmoid() * cell.tanh()


# 6. How long does a memory last?


@value(CHAPTER, unit="steps")
def steps_to_forget() -> int:
    """After how many steps less than a hundredth is left, with a forget gate of 0.9."""
    return math.ceil(math.log(0.01) / math.log(0.9))


@steps_to_forget.mistake(
    "one over what is lost",
    hint="A tenth of the *beginning* at a time would be gone after 10 steps. But each step takes a "
    "tenth of what is left: after 10 steps that is still a third.",
)
def _():
    return 10


@steps_to_forget.mistake(
    "rounded down",
    hint="After 43 steps there is still a little more than a hundredth left: 0.9 ** 43 = 0.0108.",
)
def _():
    return 43


@steps_to_forget.mistake(
    "down to a tenth",
    hint="After 22 steps a tenth is left: 0.9 ** 22 = 0.098. A hundredth takes longer.",
)
def _():
    return 22


# 7. Gradients through time


@exercise(CHAPTER, axes="T D")
def gradient_through_time(
    hidden: Float[Tensor, "T D"], U: Float[Tensor, "D D"], gradient: Float[Tensor, " D"], steps: int
) -> Float[Tensor, "T D"]:
    """The gradient with respect to each x of `h_t = tanh(x_t + U h_(t-1))`, cut after `steps`.

    With `g` the gradient at `h_t`, `dx_t = g (1 - h_t²)` and, one step further back,
    `g ← U^T dx_t` (Werbos, 1990; truncated: Williams and Peng, 1990).
    """
    found = torch.zeros_like(hidden)
    for t in range(len(hidden) - 1, max(-1, len(hidden) - 1 - steps), -1):
        found[t] = gradient * (1 - hidden[t] ** 2)
        gradient = U.mT @ found[t]
    return found


@gradient_through_time.cases
def _() -> Iterator[Case]:
    one = torch.tensor([[0.5], [0.0]])
    yield case("by hand", one, torch.tensor([[0.8]]), torch.tensor([1.0]), 2)
    yield case("all the way back", *_run(6, 4), 6)
    yield case("cut after three steps", *_run(6, 4), 3)
    yield case("more steps than words", *_run(3, 2), 10)
    yield case("no steps at all", *_run(3, 2), 0)


def _run(length: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """States of a random network, its matrix, and a gradient at the last state."""
    U = torch.randn(width, width) / width**0.5
    h, states = torch.zeros(width), []
    for x in torch.randn(length, width):
        h = torch.tanh(x + U @ h)
        states.append(h)
    return torch.stack(states), U, torch.randn(width)


@gradient_through_time.mistake(
    "U instead of its transpose",
    hint="Forward, the state goes through U. Backward, the gradient goes through it the other way: "
    "U transposed.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U.mT, gradient, steps)


@gradient_through_time.mistake(
    "the slope of tanh is missing",
    hint="On its way from h to what is inside the tanh, the gradient is multiplied by the slope "
    "there, 1 - h².",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, slope=torch.ones_like(hidden))


@gradient_through_time.mistake(
    "tanh taken twice",
    hint="The states h are already tanh of something, so the slope is 1 - h². You took 1 - "
    "tanh(h)².",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, slope=1 - hidden.tanh() ** 2)


@gradient_through_time.mistake(
    "U is skipped on the way back",
    hint="Between one step and the one before stands the matrix U: multiply by its transpose.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, torch.eye(len(U)).to(U), gradient, steps)


@gradient_through_time.mistake(
    "never cut",
    hint="`steps` says how many words back the gradient may travel. Before those stand zeros.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, len(hidden))


@gradient_through_time.mistake(
    "one step too many",
    hint="With steps = 1, only the last word gets a gradient. Yours gives one to the word before "
    "it as well.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps + 1)


def _back(
    hidden: Tensor, U: Tensor, gradient: Tensor, steps: int, slope: Tensor | None = None
) -> Tensor:
    """The right loop, with a matrix or a slope that may be wrong."""
    slope = 1 - hidden**2 if slope is None else slope
    found = torch.zeros_like(hidden)
    for t in reversed(range(max(0, len(hidden) - steps), len(hidden))):
        found[t] = gradient * slope[t]
        gradient = U.mT @ found[t]
    return found
