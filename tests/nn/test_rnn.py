"""Recurrent layers against torch's own, weight for weight; and what reaches how far back."""

import pytest
import torch
from numerics import close
from torch import nn

from llmcourse.errors import UserError
from llmcourse.nn.rnn import CELLS, GRU, LSTM, RNN, Recurrent, StateCache, gradient_by_distance

TORCHS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
NAMES = {
    "input_proj.weight": "weight_ih_l0",
    "input_proj.bias": "bias_ih_l0",
    "state_proj.weight": "weight_hh_l0",
    "state_proj.bias": "bias_hh_l0",
}
each_cell = pytest.mark.parametrize("name", list(CELLS))


def twins(name: str, d_input: int = 5, d_hidden: int = 7) -> tuple[Recurrent, nn.RNNBase]:
    ours = CELLS[name](d_input, d_hidden).double()
    theirs = TORCHS[name](d_input, d_hidden, batch_first=True, dtype=torch.float64)
    theirs.load_state_dict({NAMES[key]: value for key, value in ours.state_dict().items()})
    return ours, theirs


def as_torch(state: tuple[torch.Tensor, ...]):
    """torch gives a state an axis for layers, and unpacks it where there is one vector."""
    wrapped = tuple(tensor[None] for tensor in state)
    return wrapped if len(wrapped) > 1 else wrapped[0]


@each_cell
@pytest.mark.parametrize("given_state", [False, True])
def test_it_is_torchs_layer_forward_state_and_gradients(name, given_state):
    ours, theirs = twins(name)
    x = torch.randn(3, 6, 5, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    state = None
    if given_state:
        state = tuple(torch.randn(3, 7, dtype=torch.float64) for _ in range(ours.n_vectors))
    outputs, last = ours(x, state)
    expected, expected_last = theirs(y, as_torch(state) if state else None)
    close(outputs, expected)
    for mine, other in zip(last, expected_last if name == "lstm" else [expected_last], strict=True):
        close(mine, other[0])
    weights = torch.randn_like(outputs)
    ((outputs * weights).sum() + last[-1].sum()).backward()
    their_last = expected_last[-1] if name == "lstm" else expected_last
    ((expected * weights).sum() + their_last.sum()).backward()
    close(x.grad, y.grad)
    for key, parameter in ours.named_parameters():
        close(parameter.grad, theirs.get_parameter(NAMES[key]).grad)


@each_cell
def test_in_two_parts_with_the_state_carried_is_in_one(name):
    ours, _ = twins(name)
    x = torch.randn(2, 9, 5, dtype=torch.float64)
    whole, last = ours(x)
    first, state = ours(x[:, :4])
    second, carried = ours(x[:, 4:], state)
    close(torch.cat([first, second], dim=1), whole)
    for one, other in zip(carried, last, strict=True):
        close(one, other)


@each_cell
def test_it_never_sees_the_future(name):
    ours, _ = twins(name)
    x = torch.randn(1, 6, 5, dtype=torch.float64)
    changed = x.clone()
    changed[:, 4] += 10
    before, after = ours(x)[0], ours(changed)[0]
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


@each_cell
def test_weights_begin_as_torchs_do(name):
    ours = CELLS[name](4, 25)
    state = {n: p for n, p in ours.named_parameters() if "weight" in n}
    for weight in state.values():
        assert weight.abs().max() <= 0.2
        assert weight.abs().max() > 0.19


def test_the_forget_gate_begins_open_or_as_torch_has_it():
    opened, plain = LSTM(3, 16), LSTM(3, 16, forget_bias=None)
    assert opened.input_proj.bias[16:32].tolist() == [1.0] * 16
    assert opened.state_proj.bias[16:32].tolist() == [0.0] * 16
    assert plain.input_proj.bias[16:32].abs().max() <= 0.25
    others = torch.cat([opened.input_proj.bias[:16], opened.input_proj.bias[32:]])
    assert others.abs().max() <= 0.25


def test_a_gate_that_is_wide_open_carries_a_memory_unchanged():
    lstm = LSTM(2, 3).double()
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.input_proj.bias[:3], lstm.input_proj.bias[3:6] = -1e3, 1e3  # nothing in, all kept
    cell = torch.tensor([[0.5, -2.0, 7.0]], dtype=torch.float64)
    _, (_, after) = lstm(torch.randn(1, 50, 2, dtype=torch.float64), (torch.zeros_like(cell), cell))
    assert torch.equal(after, cell)


# --- gradients over distance ----------------------------------------------------------------------


def test_gradient_by_distance_of_one_number_is_the_power_of_its_weight():
    """Without an input, h stays 0 where tanh' is 1: d h_T / d x_(T-k) = W U^k."""
    rnn = RNN(1, 1).double()
    with torch.no_grad():
        for parameter, value in zip(rnn.parameters(), (2.0, 0.0, 0.9, 0.0), strict=True):
            parameter.fill_(value)
    found = gradient_by_distance(rnn, torch.zeros(2, 10, 1, dtype=torch.float64))
    close(found, 2 * 0.9 ** torch.arange(10, dtype=torch.float64))


def test_gradient_by_distance_is_the_jacobians_norm():
    gru = GRU(3, 4).double()
    x = torch.randn(1, 5, 3, dtype=torch.float64)
    direction = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: gru(x)[0][0, -1, 0], x)[0]
    close(gradient_by_distance(gru, x, direction), jacobian.norm(dim=-1).flip(0))


def test_an_lstm_with_open_gates_feels_further_back_than_an_rnn():
    x = torch.randn(8, 60, 16)
    rnn, lstm = (gradient_by_distance(CELLS[name](16, 32), x) for name in ("rnn", "lstm"))
    assert rnn[40] / rnn[0] < 1e-6
    assert lstm[40] / lstm[0] > 100 * rnn[40] / rnn[0]


# --- the cache ------------------------------------------------------------------------------------


def test_the_cache_counts_what_passed_through_all_layers():
    cache = StateCache(2)
    state = (torch.zeros(1, 3),)
    cache.put(0, state, 5)
    assert cache.length == 0
    cache.put(1, state, 5)
    assert cache.length == 5
    assert cache.get(0) is state


def test_detached_states_pass_on_but_no_gradient_does():
    cache = StateCache(2)
    x = torch.ones(1, 3, requires_grad=True)
    cache.put(0, (x * 2, x * 3), 1)
    cache.detach()
    first, second = cache.get(0)
    assert not first.requires_grad
    assert second.tolist() == [[3.0, 3.0, 3.0]]
    assert cache.get(1) is None


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(UserError, match="=0 must be at least 1"):
        RNN(*sizes)
