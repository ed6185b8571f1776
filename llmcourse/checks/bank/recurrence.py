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


@exercise(
    CHAPTER,
    axes=("B D", "B D"),
    variants=(*DEFAULT_VARIANTS, "gradients"),
    read="7. How far back does the gradient reach?",
)
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
    yield case("a full cell", torch.randn(2, 12), 3 * torch.randn(2, 3))


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


@lstm_step.mistake(
    "input and forget gate exchanged",
    hint="Torch's order is i, f, g, o: the *second* gate multiplies the old cell, the first what "
    "comes in.",
)
def _(gates, cell):
    f, i, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "the gates cut out in turns",
    hint="The four stand one after the other, D numbers each: i i i f f f g g g o o o. You took "
    "every fourth number.",
)
def _(gates, cell):
    i, f, g, o = (gates[:, n::4] for n in range(4))
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "tanh over the product",
    hint="First squash the cell, then let the output gate decide: o times tanh(c), not tanh(o c).",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return (o.sigmoid() * cell).tanh(), cell


@lstm_step.mistake(
    "the cell is returned squashed",
    hint="The cell itself stays as it is, and may grow beyond 1. Only the hidden vector sees its "
    "tanh.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell.tanh()


@lstm_step.mistake(
    "what is new is not gated",
    hint="The new material passes the input gate: i times tanh(g).",
)
def _(gates, cell):
    _, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "one gate for forgetting and entering",
    hint="That is the GRU's bargain: what is not forgotten may not enter. An LSTM has two gates, "
    "and both may be open.",
)
def _(gates, cell):
    _, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + (1 - f.sigmoid()) * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "no gate goes through a sigmoid",
    hint="Not yet squashed: i, f and o still have to go through a sigmoid, to lie between 0 and 1.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f * cell + i * g.tanh()
    return o * cell.tanh(), cell


@lstm_step.mistake(
    "the forget gate says how much is forgotten",
    hint="Despite its name, the forget gate says how much is *kept*: f times c, not 1 - f.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = (1 - f.sigmoid()) * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "all four through a tanh",
    hint="A gate opens from 0 to 1: i, f and o go through a sigmoid. Only g is material.",
)
def _(gates, cell):
    i, f, g, o = gates.tanh().chunk(4, dim=-1)
    cell = f * cell + i * g
    return o * cell.tanh(), cell


@lstm_step.mistake(
    "the old cell is squashed before it is kept",
    hint="The old cell passes through the forget gate and nothing else. A tanh on that way would "
    "wear it down at every step.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell.tanh() + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "the old cell is returned",
    hint="Return the *new* cell: the next step goes on from it.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    new = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * new.tanh(), cell


@lstm_step.mistake(
    "forget and output gate exchanged",
    hint="The second of the four multiplies the old cell, the last lets the hidden vector out.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = o.sigmoid() * cell + i.sigmoid() * g.tanh()
    return f.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "input gate and material exchanged",
    hint="The first of the four is the gate, with a sigmoid; the third is what comes "
    "in, with a tanh.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + g.sigmoid() * i.tanh()
    return o.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "what is new is forgotten as well",
    hint="The forget gate is for the old cell alone: multiply first, then add what is new.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * (cell + i.sigmoid() * g.tanh())
    return o.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "a softmax for a gate",
    hint="The entries of a gate do not compete: each opens by itself, through a sigmoid.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f.softmax(-1) * cell + i.softmax(-1) * g.tanh()
    return o.softmax(-1) * cell.tanh(), cell


@lstm_step.mistake(
    "1 is added to the forget gate",
    hint="A bias of 1 for the forget gate belongs into the layer's parameters. These "
    "gates are complete: only squash them.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = (f + 1).sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


@lstm_step.mistake(
    "sigmoid and tanh exchanged at the output",
    hint="The output gate goes through a sigmoid, the cell through a tanh. You have "
    "it the other way round.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.tanh() * cell.sigmoid(), cell


@lstm_step.mistake(
    "only what is not kept may enter",
    hint="You open the input gate only where the forget gate is shut. The two gates "
    "know nothing of each other.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    cell = f.sigmoid() * cell + (1 - f.sigmoid()) * i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


# 6. How long does a memory last?


@value(CHAPTER, unit="steps", read="7. How far back does the gradient reach?")
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


@steps_to_forget.mistake(
    "not a whole number",
    hint="Right so far: that is where the curve crosses a hundredth. Steps are whole: after how "
    "many is less left?",
)
def _():
    return 43.7


@steps_to_forget.mistake(
    "one step too many",
    hint="After one step less, there is already less than a hundredth: 0.9 ** 44 = 0.0097.",
)
def _():
    return 45


@steps_to_forget.mistake(
    "the rate taken for the logarithm",
    hint="ln 100 / 0.1 = 46 takes ln 0.9 for -0.1. It is -0.105: near, and two steps off.",
)
def _():
    return 46


@steps_to_forget.mistake(
    "the sign of the logarithm",
    hint="Both logarithms are negative, so their quotient is not. A number of steps cannot be.",
)
def _():
    return -44


@steps_to_forget.mistake(
    "a hundredth, so a hundred steps",
    hint="Less is left after each step by a *factor*, not by a hundredth. Try 0.9 ** 100.",
)
def _():
    return 100


@steps_to_forget.mistake(
    "a tenth is lost at a time",
    hint="1, 0.9, 0.8 ... would be a straight line. A tenth of what is *left* goes at each step.",
)
def _():
    return 9


@steps_to_forget.mistake(
    "down to a half",
    hint="After 7 steps half is left. Asked is for a hundredth.",
)
def _():
    return 7


@steps_to_forget.mistake(
    "down to a thousandth",
    hint="After 66 steps a thousandth is left: 0.9 ** 66 = 0.00096. A hundredth comes earlier.",
)
def _():
    return 66


@steps_to_forget.mistake(
    "with a gate of 0.99",
    hint="A gate at 0.99 would need 459 steps. Here it stands at 0.9.",
)
def _():
    return 459


@steps_to_forget.mistake(
    "with a gate of 0.1",
    hint="A gate at 0.1 keeps a tenth, and two steps would do. At 0.9 nine tenths are *kept*.",
)
def _():
    return 2


# 7. Gradients through time


@exercise(CHAPTER, axes="T D", read="7. How far back does the gradient reach?")
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
    yield case("the last word alone", *_run(5, 3), 1)
    yield case("four of seven", *_run(7, 3), 4)
    yield case("two steps more than words", *_run(4, 2), 6)


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


@gradient_through_time.mistake(
    "the slope of the step before",
    hint="At step t the gradient passes the tanh that made h_t: its slope is 1 - h_t², with the "
    "same t.",
)
def _(hidden, U, gradient, steps):
    slope = 1 - torch.cat([torch.zeros_like(hidden[:1]), hidden[:-1]]) ** 2
    return _back(hidden, U, gradient, steps, slope=slope)


@gradient_through_time.mistake(
    "the slope is not carried on",
    hint="What goes back to the step before is U transposed times dx_t, the slope included. You "
    "sent on the gradient from before the tanh.",
)
def _(hidden, U, gradient, steps):
    found = torch.zeros_like(hidden)
    for t in _steps(hidden, steps):
        found[t] = gradient * (1 - hidden[t] ** 2)
        gradient = U.mT @ gradient
    return found


@gradient_through_time.mistake(
    "the wrong end is cut",
    hint="You give gradients to the *first* words. The walk begins at the last one, and only the "
    "last `steps` get any.",
)
def _(hidden, U, gradient, steps):
    found = _back(hidden, U, gradient, len(hidden))
    found[steps:] = 0
    return found


@gradient_through_time.mistake(
    "the last words are left out, not the first",
    hint="You zeroed the last `steps` words. Those are the ones that get a gradient.",
)
def _(hidden, U, gradient, steps):
    found = _back(hidden, U, gradient, len(hidden))
    found[max(0, len(hidden) - steps) :] = 0
    return found


@gradient_through_time.mistake(
    "one step too few",
    hint="With steps = 1, the last word gets its gradient. Yours gets none.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, max(0, steps - 1))


@gradient_through_time.mistake(
    "the gradient of the states",
    hint="You hand back the gradients with respect to h_t. Those of x_t lie inside the tanh: "
    "multiply by its slope before you store them.",
)
def _(hidden, U, gradient, steps):
    found = torch.zeros_like(hidden)
    for t in _steps(hidden, steps):
        found[t] = gradient
        gradient = U.mT @ (gradient * (1 - hidden[t] ** 2))
    return found


@gradient_through_time.mistake(
    "U before the slope",
    hint="First into the tanh, then through U. You went through U before the first tanh.",
)
def _(hidden, U, gradient, steps):
    found = torch.zeros_like(hidden)
    for t in _steps(hidden, steps):
        found[t] = (U.mT @ gradient) * (1 - hidden[t] ** 2)
        gradient = found[t]
    return found


@gradient_through_time.mistake(
    "a loss at every step",
    hint="The loss hangs on the *last* state alone. You add its gradient again at every step.",
)
def _(hidden, U, gradient, steps):
    found, back = torch.zeros_like(hidden), torch.zeros_like(gradient)
    for t in _steps(hidden, steps):
        found[t] = (gradient + back) * (1 - hidden[t] ** 2)
        back = U.mT @ found[t]
    return found


@gradient_through_time.mistake(
    "the same gradient at every step",
    hint="On its way back the gradient changes: through each slope and through U. You started anew "
    "with g at every step.",
)
def _(hidden, U, gradient, steps):
    found = torch.zeros_like(hidden)
    for t in _steps(hidden, steps):
        found[t] = gradient * (1 - hidden[t] ** 2)
    return found


@gradient_through_time.mistake(
    "added up on the way",
    hint="Each dx_t is the gradient of its own word. You add those of the later words to it.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps).flip(0).cumsum(0).flip(0) * _walked(hidden, steps)


@gradient_through_time.mistake(
    "forwards instead of backwards",
    hint="You begin at the first word. The gradient comes in at the *last* state, and walks back.",
)
def _(hidden, U, gradient, steps):
    found = torch.zeros_like(hidden)
    for t in reversed(_steps(hidden, steps)):
        found[t] = gradient * (1 - hidden[t] ** 2)
        gradient = U.mT @ found[t]
    return found


@gradient_through_time.mistake(
    "the slope without the square",
    hint="The slope of tanh is 1 - h². You took 1 - |h| or 1 - h.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, slope=1 - hidden)


@gradient_through_time.mistake(
    "divided by the slope",
    hint="Going back through the tanh the gradient grows smaller: multiply by 1 - h², do not "
    "divide.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, slope=1 / (1 - hidden**2))


@gradient_through_time.mistake(
    "a sigmoid's slope",
    hint="h (1 - h) is the slope of a sigmoid. These states are a tanh: 1 - h².",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, slope=hidden * (1 - hidden))


@gradient_through_time.mistake(
    "the words before the cut get the last gradient",
    hint="Before the last `steps` words stand zeros: the gradient stops there.",
)
def _(hidden, U, gradient, steps):
    found = _back(hidden, U, gradient, steps)
    cut = max(0, len(hidden) - steps)
    found[:cut] = found[cut] if steps else gradient
    return found


@gradient_through_time.mistake(
    "a way around the step",
    hint="You add the gradient itself to what comes back, as in a residual network. "
    "Here the only way back is through the tanh and U.",
)
def _(hidden, U, gradient, steps):
    found = torch.zeros_like(hidden)
    for t in _steps(hidden, steps):
        slope = 1 - hidden[t] ** 2
        found[t] = gradient * slope
        gradient = U.mT @ found[t] + gradient
    return found


@gradient_through_time.mistake(
    "U already in the step's own gradient",
    hint="x_t stands beside U h_(t-1), not behind it: its gradient is that inside "
    "the tanh, without U.",
)
def _(hidden, U, gradient, steps):
    found = torch.zeros_like(hidden)
    for t in _steps(hidden, steps):
        slope = 1 - hidden[t] ** 2
        found[t] = U.mT @ (gradient * slope)
        gradient = found[t]
    return found


@gradient_through_time.mistake(
    "the inverse of U",
    hint="Back through a matrix goes its *transpose*. The inverse would undo it, and "
    "blow up what it shrank.",
)
def _(hidden, U, gradient, steps):
    found = torch.zeros_like(hidden)
    for t in _steps(hidden, steps):
        slope = 1 - hidden[t] ** 2
        found[t] = gradient * slope
        gradient = torch.linalg.pinv(U.double()).to(U) @ found[t]
    return found


@gradient_through_time.mistake(
    "the slope twice",
    hint="The slope of the tanh is multiplied in once a step. You have it squared.",
)
def _(hidden, U, gradient, steps):
    found = torch.zeros_like(hidden)
    for t in _steps(hidden, steps):
        slope = 1 - hidden[t] ** 2
        found[t] = gradient * slope * slope
        gradient = U.mT @ found[t]
    return found


@gradient_through_time.mistake(
    "h squared for the slope",
    hint="The slope of tanh is 1 - h²: steep where h is 0, flat where it is near 1. "
    "You have the opposite.",
)
def _(hidden, U, gradient, steps):
    found = torch.zeros_like(hidden)
    for t in _steps(hidden, steps):
        found[t] = gradient * hidden[t] ** 2
        gradient = U.mT @ found[t]
    return found


@gradient_through_time.mistake(
    "only U's diagonal",
    hint="Every entry of a state feeds every entry of the next. You let each one feed "
    "itself alone: it takes a matrix product.",
)
def _(hidden, U, gradient, steps):
    found = torch.zeros_like(hidden)
    for t in _steps(hidden, steps):
        slope = 1 - hidden[t] ** 2
        found[t] = gradient * slope
        gradient = U.diagonal() * found[t]
    return found


@gradient_through_time.mistake(
    "the cut counted from the beginning",
    hint="You stop at position `steps`. It says how many words back from the *end* get a gradient.",
)
def _(hidden, U, gradient, steps):
    found = _back(hidden, U, gradient, len(hidden))
    found[:steps] = 0
    return found


@gradient_through_time.mistake(
    "only the words that get a gradient",
    hint="The result has a row for every word, [T, D]: zeros where the gradient does not come.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps)[max(0, len(hidden) - steps) :]


def _steps(hidden: Tensor, steps: int) -> list[int]:
    """The positions that get a gradient, last first."""
    return list(reversed(range(max(0, len(hidden) - steps), len(hidden))))


def _walked(hidden: Tensor, steps: int) -> Tensor:
    """1 at the positions that get a gradient, 0 elsewhere, [T, 1]."""
    return (torch.arange(len(hidden)) >= len(hidden) - steps).to(hidden)[:, None]


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
