"""Right answers to the exercises on many heads, in other styles."""

import pytest
import torch
from others_answers import right_answers

from llmcourse.checks.bank import heads as check

RIGHT = []


def right(exercise):
    """Add a right answer to the table."""
    return lambda answer: RIGHT.append((exercise, answer)) or answer


@right(check.split_heads)
def view_and_permute(x, n_heads):
    batch, length, width = x.size()
    return x.contiguous().view(batch, length, n_heads, width // n_heads).permute(0, 2, 1, 3)


@right(check.split_heads)
def chunks_stacked(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=2), dim=1)


@right(check.split_heads)
def a_loop_over_heads(x, n_heads):
    width = x.size(2) // n_heads
    made = x.new_empty(x.size(0), n_heads, x.size(1), width)
    for head in range(n_heads):
        made[:, head] = x[..., head * width : (head + 1) * width]
    return made


@right(check.merge_heads)
def permute_and_flatten(x):
    return x.permute(0, 2, 1, 3).flatten(2)


@right(check.merge_heads)
def heads_side_by_side(x):
    return torch.cat([x[:, head] for head in range(x.size(1))], dim=-1)


@right(check.merge_heads)
def contiguous_and_view(x):
    batch, n_heads, length, width = x.shape
    return x.swapaxes(1, 2).contiguous().view(batch, length, n_heads * width)


@right(check.repeat_kv)
def expanded(x, n_heads):
    batch, groups, length, width = x.shape
    wide = x[:, :, None].expand(batch, groups, n_heads // groups, length, width)
    return wide.reshape(batch, n_heads, length, width)


@right(check.repeat_kv)
def by_index(x, n_heads):
    return x[:, [head * x.size(1) // n_heads for head in range(n_heads)]]


@right(check.repeat_kv)
def stacked(x, n_heads):
    return torch.stack([x] * (n_heads // x.size(1)), dim=2).flatten(1, 2)


@pytest.mark.parametrize("megabytes", [100.663296, 100.7, 101, torch.tensor(100.66), [100.66]])
def test_megabytes_however_they_are_handed_over(megabytes):
    megabytes = torch.tensor(megabytes) if isinstance(megabytes, list) else megabytes
    assert check.cache_megabytes.verdict(megabytes).status == "passed"


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
