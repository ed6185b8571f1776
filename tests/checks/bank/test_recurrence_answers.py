"""Right answers to the exercises on recurrence, in other styles than the solution's: all pass."""

import torch
from others_answers import right_answers

from llmcourse.checks.bank import recurrence


def step_by_slices(gates, cell):
    d = cell.shape[1]
    i, f, g, o = gates[:, :d], gates[:, d : 2 * d], gates[:, 2 * d : 3 * d], gates[:, 3 * d :]
    new = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(new), new


def step_by_view(gates, cell):
    four = gates.reshape(len(gates), 4, -1)
    opened = 1 / (1 + torch.exp(-four))
    new = opened[:, 1] * cell + opened[:, 0] * (2 * torch.sigmoid(2 * four[:, 2]) - 1)
    return opened[:, 3] * new.tanh(), new


def step_by_rows(gates, cell):
    cells, states = [], []
    for row, old in zip(gates, cell, strict=True):
        i, f, g, o = row.split(len(old))
        cells.append(f.sigmoid() * old + i.sigmoid() * g.tanh())
        states.append(o.sigmoid() * cells[-1].tanh())
    return torch.stack(states), torch.stack(cells)


def back_by_recursion(hidden, U, gradient, steps):
    if not steps or not len(hidden):
        return torch.zeros_like(hidden)
    last = gradient * (1 - hidden[-1] * hidden[-1])
    return torch.cat([back_by_recursion(hidden[:-1], U, last @ U, steps - 1), last[None]])


def back_by_jacobians(hidden, U, gradient, steps):
    rows = []
    for t in range(len(hidden)):
        if t < len(hidden) - steps:
            rows.append(torch.zeros_like(gradient))
            continue
        jacobian = torch.eye(len(U)).to(U)
        for later in range(len(hidden) - 1, t, -1):
            jacobian = jacobian @ torch.diag(1 - hidden[later] ** 2) @ U
        rows.append(gradient @ jacobian * (1 - hidden[t] ** 2))
    return torch.stack(rows)


def back_by_autograd(hidden, U, gradient, steps):
    with torch.enable_grad():
        n = len(hidden)
        before = torch.cat([torch.zeros_like(hidden[:1]), hidden[:-1]])
        x = (torch.atanh(hidden) - before @ U.T).detach().requires_grad_()
        h = before[max(0, n - steps)] if steps else hidden[-1]
        for t in range(max(0, n - steps), n):
            h = torch.tanh(x[t] + U @ h)
        if not steps:
            return torch.zeros_like(hidden)
        return torch.autograd.grad((h * gradient).sum(), x)[0]


def back_by_lists(hidden, U, gradient, steps):
    g, rows = gradient.clone(), []
    for number, h in enumerate(reversed(list(hidden))):
        g *= 1 - h**2
        rows.insert(0, g.clone() if number < steps else torch.zeros_like(g))
        g = torch.einsum("ij,i->j", U, g)
    return torch.stack(rows)


RIGHT = {
    recurrence.lstm_step: [step_by_slices, step_by_view, step_by_rows],
    recurrence.gradient_through_time: [
        back_by_recursion,
        back_by_jacobians,
        back_by_autograd,
        back_by_lists,
    ],
}


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
