"""The oracles of the exercises on recurrent networks, against the package and autograd."""

import pytest
import torch

from llmcourse.checks.bank import recurrence
from llmcourse.nn.rnn import LSTM


def test_lstm_step_is_the_layers():
    layer = LSTM(3, 5).double()
    x, h, c = torch.randn(2, 3), torch.randn(2, 5), torch.randn(2, 5)
    x, h, c = x.double(), h.double(), c.double()
    gates = layer.input_proj(x) + layer.state_proj(h)
    expected = layer(x[:, None], (h, c))[1]
    for ours, theirs in zip(recurrence.lstm_step.right(gates, c), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_steps_to_forget_are_counted():
    steps = recurrence.steps_to_forget.right()
    assert 0.9**steps < 0.01 <= 0.9 ** (steps - 1)


@pytest.mark.parametrize("steps", [0, 1, 3, 7, 20])
def test_gradient_through_time_is_autograds(steps):
    U = (torch.randn(4, 4) / 2).double()
    x = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    h, states = torch.zeros(4, dtype=torch.float64), []
    for t in range(7):
        if t == 7 - steps:
            h = h.detach()  # truncation: the state crosses the border, the gradient does not
        h = torch.tanh(x[t] + U @ h)
        states.append(h)
    gradient = torch.randn(4, dtype=torch.float64)
    expected = torch.zeros_like(x)
    if steps:
        (expected,) = torch.autograd.grad((h * gradient).sum(), x)
    found = recurrence.gradient_through_time.right(torch.stack(states).detach(), U, gradient, steps)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
