"""Rarer mistakes of the exercises on recurrent networks. Chapter 02 teaches this."""

import torch
from torch.nn import functional as F

from llmcourse.checks.bank.recurrence import (
    gradient_through_time,
    lstm_step,
    steps_to_forget,
)


def _lstm(gates, cell, order="ifgo", squash=torch.sigmoid, material=torch.tanh, out=torch.tanh):
    """A step with other functions, or with the gates in another order."""
    parts = dict(zip(order, gates.chunk(4, dim=-1), strict=True))
    i, f, o = (squash(parts[gate]) for gate in "ifo")
    new = f * cell + i * material(parts["g"])
    return o * out(new), new


@lstm_step.mistake(
    "the gates in TensorFlow's order",
    hint="You take the four parts in the order i, g, f, o, as TensorFlow's old cell does. Here "
    "it is i, f, g, o.",
)
def _(gates, cell):
    return _lstm(gates, cell, "igfo")


@lstm_step.mistake(
    "the gates in the order f, i, o, g",
    hint="You take the parts in the order f, i, o, g. It is i, f, g, o.",
)
def _(gates, cell):
    return _lstm(gates, cell, "fiog")


@lstm_step.mistake(
    "the gates in the order i, o, f, g",
    hint="You take the parts in the order i, o, f, g, as ONNX and cuDNN's relatives do. It is "
    "i, f, g, o.",
)
def _(gates, cell):
    return _lstm(gates, cell, "iofg")


@lstm_step.mistake(
    "the gates in the order g, i, f, o",
    hint="You take the material first. The order is i, f, g, o.",
)
def _(gates, cell):
    return _lstm(gates, cell, "gifo")


@lstm_step.mistake(
    "the gates in the order o, f, i, g",
    hint="You take the parts in the order o, f, i, g. It is i, f, g, o.",
)
def _(gates, cell):
    return _lstm(gates, cell, "ofig")


@lstm_step.mistake(
    "gates that are coupled",
    hint="You let the forget gate be what the input gate leaves, 1 - i. It has numbers of its own.",
)
def _(gates, cell):
    i, _, g, o = gates.chunk(4, dim=-1)
    new = (1 - i.sigmoid()) * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * new.tanh(), new


@lstm_step.mistake(
    "gates of straight lines",
    hint="You squash with a hard sigmoid, which is made of straight lines. The exercise has "
    "the smooth one.",
)
def _(gates, cell):
    return _lstm(gates, cell, squash=F.hardsigmoid)


@lstm_step.mistake(
    "Keras' hard sigmoid",
    hint="You squash with 0.2 x + 0.5, cut at 0 and 1, as old Keras did. The exercise has the "
    "smooth sigmoid.",
)
def _(gates, cell):
    return _lstm(gates, cell, squash=lambda x: (0.2 * x + 0.5).clamp(0, 1))


@lstm_step.mistake(
    "the material with twice the sigmoid",
    hint="You squash the material from -2 to 2, as the paper of 1997 did. It is a tanh here.",
)
def _(gates, cell):
    return _lstm(gates, cell, material=lambda x: 4 * x.sigmoid() - 2)


@lstm_step.mistake(
    "gates that look at the cell",
    hint="You add the cell to the gates before you squash them (peepholes). The gates come "
    "ready here.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    new = (f + cell).sigmoid() * cell + (i + cell).sigmoid() * g.tanh()
    return (o + new).sigmoid() * new.tanh(), new


@lstm_step.mistake(
    "no output gate", hint="You show all of the cell. The output gate says how much of it."
)
def _(gates, cell):
    new = _lstm(gates, cell)[1]
    return new.tanh(), new


@lstm_step.mistake(
    "a squashed gate squashed again", hint="You squash the gates twice. Once is enough."
)
def _(gates, cell):
    return _lstm(gates, cell, squash=lambda x: x.sigmoid().sigmoid())


@lstm_step.mistake(
    "a cell kept between bounds", hint="You keep the cell between -1 and 1. It may grow beyond."
)
def _(gates, cell):
    i, f, g, _ = gates.chunk(4, dim=-1)
    new = (f.sigmoid() * cell + i.sigmoid() * g.tanh()).clamp(-1, 1)
    return gates.chunk(4, dim=-1)[3].sigmoid() * new.tanh(), new


@lstm_step.mistake(
    "no gradient through the cell",
    hint="You cut the gradient off at the old cell. It flows through: that is what the cell is "
    "for.",
)
def _(gates, cell):
    return _lstm(gates, cell.detach())


@lstm_step.mistake(
    "gates open where they should be shut",
    hint="You squash minus the gates, so that they open where they should close.",
)
def _(gates, cell):
    return _lstm(gates, cell, squash=lambda x: (-x).sigmoid())


@lstm_step.mistake(
    "hidden vector and cell as one",
    hint="You hand back one tensor. Asked for are two: the hidden vector and the cell.",
)
def _(gates, cell):
    return torch.cat(_lstm(gates, cell), -1)


@lstm_step.mistake(
    "a GRU's update",
    hint="You mix the old cell and the material with one gate, as a GRU does. The LSTM has a "
    "gate for each.",
)
def _(gates, cell):
    _, z, n, _ = gates.chunk(4, dim=-1)
    new = z.sigmoid() * cell + (1 - z.sigmoid()) * n.tanh()
    return new, new


@lstm_step.mistake(
    "a softmax over the gates",
    hint="You let the gates compete in a softmax. Each is a sigmoid by itself.",
)
def _(gates, cell):
    i, f, g, o = gates.chunk(4, dim=-1)
    i, f, o = torch.stack([i, f, o]).softmax(0)
    new = f * cell + i * g.tanh()
    return o * new.tanh(), new


@lstm_step.mistake(
    "the cell normalised on its way out",
    hint="You normalise the cell before it is shown. It goes through the tanh as it is.",
)
def _(gates, cell):
    return _lstm(gates, cell, out=lambda x: F.layer_norm(x, x.shape[-1:]).tanh())


# ---------------------------------------------------------------- gradient through time


def _back(hidden, U, gradient, steps, slope=lambda h: 1 - h**2, through=None, shift=0, ends=None):
    """The walk back with another slope, another way through the matrix, or another end."""
    through = through or (lambda g: U.mT @ g)
    dx = torch.zeros_like(hidden)
    T = len(hidden)
    for t in reversed(range(max(0, T - steps) if ends is None else ends, T)):
        dx[t] = gradient * slope(hidden[max(t - shift, 0)])
        gradient = through(dx[t])
    return dx


@gradient_through_time.mistake(
    "the slope of a ReLU",
    hint="You let the gradient through where the state is above 0, as for a ReLU. The states "
    "are tanhs.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, lambda h: (h > 0).to(h.dtype))


@gradient_through_time.mistake(
    "one plus the square",
    hint="You take 1 + h^2 for the slope, which makes the gradient grow. It is 1 - h^2.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, lambda h: 1 + h**2)


@gradient_through_time.mistake(
    "the root of the slope", hint="You take the root of 1 - h^2. The slope of a tanh has no root."
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, lambda h: (1 - h**2).clamp(min=0).sqrt())


@gradient_through_time.mistake(
    "the state for the slope",
    hint="You multiply by the state itself. The slope of a tanh is 1 - h^2.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, lambda h: h)


@gradient_through_time.mistake(
    "the slope of the state before",
    hint="You take the slope at the state before. dx at t goes through the tanh that made h at t.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, shift=1)


@gradient_through_time.mistake(
    "never to the first word",
    hint="You stop before the first word. With enough steps it gets a gradient, too.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, min(steps, len(hidden) - 1))


@gradient_through_time.mistake(
    "in chunks of that many steps",
    hint="You begin anew with g after each `steps` words. Beyond them the gradients are zeros.",
)
def _(hidden, U, gradient, steps):
    dx = torch.zeros_like(hidden)
    now = gradient
    for n, t in enumerate(reversed(range(len(hidden)))):
        if steps and n % steps == 0:
            now = gradient
        dx[t] = now * (1 - hidden[t] ** 2)
        now = U.mT @ dx[t]
    return dx


@gradient_through_time.mistake(
    "back to front", hint="You put the last word's gradient first. Row t belongs to word t."
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps).flip(0)


@gradient_through_time.mistake(
    "summed up over the words",
    hint="You add each word's gradient to that of the later ones. Each row is for itself.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps).flip(0).cumsum(0).flip(0)


@gradient_through_time.mistake(
    "clipped to a norm of one",
    hint="You clip the gradient to length 1 on the way. Hand on what comes out.",
)
def _(hidden, U, gradient, steps):
    return _back(
        hidden, U, gradient, steps, through=lambda g: (U.mT @ g) / (U.mT @ g).norm().clamp(min=1)
    )


@gradient_through_time.mistake(
    "clipped to between -1 and 1", hint="You clip each entry on the way. Hand on what comes out."
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, through=lambda g: (U.mT @ g).clamp(-1, 1))


@gradient_through_time.mistake(
    "averaged over the steps",
    hint="You divide by the number of steps. The gradients are not averaged.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps) / max(1, min(steps, len(hidden)))


@gradient_through_time.mistake(
    "a residual path past the matrix",
    hint="You add the gradient itself to what comes through the matrix, as with a residual "
    "connection. This RNN has none.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, through=lambda g: U.mT @ g + g)


@gradient_through_time.mistake(
    "a tanh of the way back",
    hint="You put the gradient through a tanh. It is multiplied by the slope only.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, through=lambda g: (U.mT @ g).tanh())


@lstm_step.mistake(
    "the gates back to front", hint="You take the parts in the order o, g, f, i. It is i, f, g, o."
)
def _(gates, cell):
    return _lstm(gates, cell, "ogfi")


@lstm_step.mistake(
    "the output gate looks at the cell",
    hint="You add the new cell to the output gate before you squash it (a peephole). It comes "
    "ready here.",
)
def _(gates, cell):
    _, new = _lstm(gates, cell)
    return (gates.chunk(4, dim=-1)[3] + new).sigmoid() * new.tanh(), new


@lstm_step.mistake(
    "softsigns in place of tanhs", hint="You squash with x / (1 + |x|). The exercise has a tanh."
)
def _(gates, cell):
    return _lstm(gates, cell, material=F.softsign, out=F.softsign)


@lstm_step.mistake(
    "the forget gate for what is new as well",
    hint="You let the forget gate decide about the material, too. That is the input gate's.",
)
def _(gates, cell):
    _, f, g, o = gates.chunk(4, dim=-1)
    new = f.sigmoid() * cell + f.sigmoid() * g.tanh()
    return o.sigmoid() * new.tanh(), new


@lstm_step.mistake(
    "the input gate for what is old as well",
    hint="You let the input gate decide about the old cell, too. That is the forget gate's.",
)
def _(gates, cell):
    i, _, g, o = gates.chunk(4, dim=-1)
    new = i.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * new.tanh(), new


@lstm_step.mistake(
    "the input gate on the way out",
    hint="You let the input gate decide what is shown. That is the output gate's.",
)
def _(gates, cell):
    new = _lstm(gates, cell)[1]
    return gates.chunk(4, dim=-1)[0].sigmoid() * new.tanh(), new


@lstm_step.mistake(
    "the old cell added to what is shown",
    hint="You add the old cell to the hidden vector. It is made of the new cell alone.",
)
def _(gates, cell):
    hidden, new = _lstm(gates, cell)
    return hidden + cell, new


@lstm_step.mistake(
    "a minimal gated unit",
    hint="You use one gate for all three. There are three gates, with numbers of their own.",
)
def _(gates, cell):
    _, f, g, _ = gates.chunk(4, dim=-1)
    new = f.sigmoid() * cell + (1 - f.sigmoid()) * g.tanh()
    return f.sigmoid() * new.tanh(), new


@gradient_through_time.mistake(
    "past the first word, around to the last",
    hint="You walk on past the first word, and a negative place is one from the end. Stop at 0.",
)
def _(hidden, U, gradient, steps):
    dx = torch.zeros_like(hidden)
    for n in range(min(steps, 2 * len(hidden))):
        t = len(hidden) - 1 - n
        dx[t] = gradient * (1 - hidden[t] ** 2)
        gradient = U.mT @ dx[t]
    return dx


@gradient_through_time.mistake(
    "no steps taken for all",
    hint="With `steps` of 0, a slice that ends at -0 is empty: you zero nothing, though no "
    "word may have a gradient.",
)
def _(hidden, U, gradient, steps):
    dx = _back(hidden, U, gradient, steps, ends=0)
    dx[:-steps] = 0
    return dx


@gradient_through_time.mistake(
    "cut where steps are more than words",
    hint="With more steps than words, T - steps is negative, and your slice counts from the "
    "end. Keep it from falling below 0.",
)
def _(hidden, U, gradient, steps):
    dx = _back(hidden, U, gradient, steps, ends=0)
    dx[: len(hidden) - steps] = 0
    return dx


@gradient_through_time.mistake(
    "made length one at each step",
    hint="You scale the gradient to length 1 on the way. How it fades is what you are to find.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, through=lambda g: F.normalize(U.mT @ g, dim=0))


@gradient_through_time.mistake(
    "the matrix, the other way round, twice",
    hint="You go through U's transpose twice at each step. Between two states it stands once.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, through=lambda g: U.mT @ (U.mT @ g))


@gradient_through_time.mistake(
    "the matrix entry by entry",
    hint="You multiply the gradient with each column and do not add up, or add up along the "
    "wrong axis. It is a matrix product.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, through=lambda g: (U * g).sum(0))


@gradient_through_time.mistake(
    "the part that was not cut, at the front",
    hint="You fill the rows from the front. The last word's gradient belongs in the last row.",
)
def _(hidden, U, gradient, steps):
    dx = _back(hidden, U, gradient, steps)
    return dx.roll(steps, 0)


@gradient_through_time.mistake(
    "the slope times the state",
    hint="You multiply by h as well as by 1 - h^2. The slope of a tanh is 1 - h^2 alone.",
)
def _(hidden, U, gradient, steps):
    return _back(hidden, U, gradient, steps, lambda h: h * (1 - h**2))


@gradient_through_time.mistake(
    "one more word before the cut",
    hint="You leave the words before the cut with what is on its way to them. They get zeros.",
)
def _(hidden, U, gradient, steps):
    dx = _back(hidden, U, gradient, steps)
    first = max(0, len(hidden) - steps)
    if 0 < first < len(hidden):
        dx[first - 1] = U.mT @ dx[first]
    return dx


# ---------------------------------------------------------------- how long a memory lasts


@steps_to_forget.mistake(
    "the logarithm of a hundred alone",
    hint="You take ln 100, for a cell that is divided by e at each step. Here it is multiplied "
    "by 0.9: divide by -ln 0.9.",
)
def _():
    return 4.6


@steps_to_forget.mistake(
    "the logarithm of a hundred, rounded up",
    hint="You count how often e goes into a hundred. At each step the cell is multiplied by "
    "0.9, which takes less off.",
)
def _():
    return 5


@steps_to_forget.mistake(
    "nine tenths of a hundred steps",
    hint="You multiply 0.9 by a hundred. The factor is applied at each step anew: how often "
    "until a hundredth is left?",
)
def _():
    return 90


@steps_to_forget.mistake(
    "two steps too few", hint="0.9 ** 42 is still 0.012. Go on until less than 0.01 is left."
)
def _():
    return 42


@steps_to_forget.mistake(
    "down to an eighth",
    hint="After 20 steps 0.12 of the cell is left. Asked for is less than a hundredth.",
)
def _():
    return 20
