"""Recurrent layers written out: a state that is rewritten with every step. RNN, GRU and LSTM.

Each reads a sequence from a state and returns the states of all steps and the last one. The caller
owns the state and passes it in and out; a layer remembers nothing between calls. The weights are
laid out as in `torch.nn`, which computes the same. Not here: the language model around it
(`models/rnn_lm.py`). Chapter 02 teaches this.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llmcourse.errors import UserError

State = tuple[Tensor, ...]
"""What a layer knows after a step, each `[B, D]`: `(h,)`, or `(h, c)` for the LSTM."""


class Recurrent(nn.Module, ABC):
    """Recurrent layer, what all three share: apply `step` to one position after the other.

    Subclasses say how many gates there are, how many vectors make a state, and what a step does.
    The input's part of all gates is computed for all positions at once; only what depends on the
    state has to wait for its turn. Weights begin as in `torch.nn`, uniform in `±1 / sqrt(D)`.

    Attributes:
        input_proj: from inputs to all gates, `[gates D, I]`, torch's `weight_ih` and `bias_ih`.
        state_proj: from states to all gates, `[gates D, D]`, torch's `weight_hh` and `bias_hh`.
    """

    n_gates: ClassVar[int]
    n_vectors: ClassVar[int] = 1

    def __init__(self, d_input: int, d_hidden: int) -> None:
        super().__init__()
        for name, size in (("d_input", d_input), ("d_hidden", d_hidden)):
            if size < 1:
                raise UserError(f"{name}={size} must be at least 1")
        self.d_hidden = d_hidden
        self.input_proj = nn.Linear(d_input, self.n_gates * d_hidden)
        self.state_proj = nn.Linear(d_hidden, self.n_gates * d_hidden)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(d_hidden**-0.5), d_hidden**-0.5)

    def initial_state(self, x: Float[Tensor, "B T I"]) -> State:
        """All zeros: nothing was read yet."""
        return tuple(x.new_zeros(x.size(0), self.d_hidden) for _ in range(self.n_vectors))

    @abstractmethod
    def step(self, from_input: Float[Tensor, "B gatesD"], state: State) -> State:
        """One step: the state after a position, from its projected input and the state before."""

    def forward(
        self, x: Float[Tensor, "B T I"], state: State | None = None
    ) -> tuple[Float[Tensor, "B T D"], State]:
        """The hidden vector after each position, and the state after the last one.

        Args:
            x: what to read.
            state: what was read before; nothing, unless given.
        """
        state = self.initial_state(x) if state is None else state
        outputs = []
        for from_input in self.input_proj(x).unbind(1):  # T times B (gates D)
            state = self.step(from_input, state)
            outputs.append(state[0])
        return torch.stack(outputs, dim=1), state


class RNN(Recurrent):
    """Recurrent network, `h ← tanh(W x + b + U h + b')` (Elman, 1990)."""

    n_gates = 1

    def step(self, from_input: Float[Tensor, "B gatesD"], state: State) -> State:
        """The new state is all new: nothing of the old one gets past the matrix and the tanh."""
        return (torch.tanh(from_input + self.state_proj(state[0])),)


class GRU(Recurrent):
    """Gated recurrent unit: `r` decides what of the old state is read, `z` what of it stays.

        r, z = σ(W x + U h + b)        n = tanh(W x + b + r (U h + b'))
        h ← (1 - z) n + z h

    Cho et al., 2014; with `r` after the matrix, as in cuDNN and `torch.nn.GRU`.
    """

    n_gates = 3

    def step(self, from_input: Float[Tensor, "B gatesD"], state: State) -> State:
        """Where `z` is 1 the state is copied, and the gradient with it."""
        (hidden,) = state
        x_gates, x_new = from_input.split([2 * self.d_hidden, self.d_hidden], dim=-1)
        h_gates, h_new = self.state_proj(hidden).split([2 * self.d_hidden, self.d_hidden], dim=-1)
        reset, keep = (x_gates + h_gates).sigmoid().chunk(2, dim=-1)
        # (1 - z) n + z h, with one product fewer.
        new = torch.tanh(x_new + reset * h_new)
        return (new + keep * (hidden - new),)


class LSTM(Recurrent):
    """Long short-term memory: three gates and a second vector `c` that is only added to.

        i, f, o = σ(W x + U h + b)        g = tanh(W x + U h + b)
        c ← f c + i g                     h ← o tanh(c)

    Hochreiter and Schmidhuber, 1997; the forget gate `f` is Gers et al.'s, 2000.

    Args:
        d_input: the width of what it reads, I.
        d_hidden: the width of its state, D.
        forget_bias: what the bias of `f` begins with. At 1 the gate is mostly open, so that a state
            is kept until there is a reason to forget it (Jozefowicz et al., 2015); None leaves it
            as `torch.nn` does, around 0 and half closed.
    """

    n_gates = 4
    n_vectors = 2

    def __init__(self, d_input: int, d_hidden: int, *, forget_bias: float | None = 1.0) -> None:
        super().__init__(d_input, d_hidden)
        if forget_bias is not None:  # gates stand in torch's order: i, f, g, o
            with torch.no_grad():
                self.input_proj.bias[d_hidden : 2 * d_hidden] = forget_bias
                self.state_proj.bias[d_hidden : 2 * d_hidden] = 0.0

    def step(self, from_input: Float[Tensor, "B gatesD"], state: State) -> State:
        """Where `f` is 1 and `i` is 0, `c` passes unchanged, and the gradient with it."""
        hidden, cell = state
        gates = from_input + self.state_proj(hidden)
        enter, forget, new, out = gates.chunk(4, dim=-1)
        # Added to, never passed through a matrix: the gradient along c is multiplied by f alone.
        cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
        return out.sigmoid() * cell.tanh(), cell


CELLS: dict[str, type[RNN] | type[GRU] | type[LSTM]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
"""The layers by name: the one place where a config's word becomes a part."""


class StateCache:
    """The states of all layers after what was read so far: what the next token needs of the past.

    However long the text, it does not grow. The caller owns it and passes it in.
    """

    def __init__(self, n_layers: int) -> None:
        self._states: list[State | None] = [None] * n_layers
        self.length = 0
        """How many positions have passed through the whole model."""

    def get(self, layer: int) -> State | None:
        """The state of a layer; None before the first position."""
        return self._states[layer]

    def put(self, layer: int, state: State, n_positions: int) -> None:
        """Keep a layer's state after `n_positions` more."""
        self._states[layer] = state
        if layer == len(self._states) - 1:  # the last layer has read them: so has the model
            self.length += n_positions

    def detach(self) -> None:
        """Cut the states off from how they came about, so that no gradient flows further back.

        What is learned from then on is truncated backpropagation through time (Williams and Peng,
        1990): the state crosses the border, the gradient does not.
        """
        self._states = [s and tuple(tensor.detach() for tensor in s) for s in self._states]


def gradient_by_distance(
    layer: nn.Module, x: Float[Tensor, "B T I"], direction: Float[Tensor, " D"] | None = None
) -> Float[Tensor, " T"]:
    """Gradient by distance from the last output: `|| d (h_T · u) / d x_(T-k) ||`, k rising.

    The mean over the batch of the norms, for distances 0, 1, ... T - 1. `u` is a direction of
    length 1, all entries alike unless given. Any layer will do that returns `(outputs, state)`, as
    those here and in `torch.nn` with `batch_first` do (Pascanu et al., 2013, measure the same).
    """
    x = x.detach().requires_grad_()
    outputs: Any = layer(x)[0]
    if direction is None:
        direction = torch.full_like(outputs[0, 0], outputs.size(-1) ** -0.5)
    # Rows do not see each other, so one backward pass of the sum serves the whole batch.
    felt = (outputs[:, -1] @ direction).sum()
    (gradient,) = torch.autograd.grad(felt, x)
    return gradient.norm(dim=-1).mean(0).flip(0)
