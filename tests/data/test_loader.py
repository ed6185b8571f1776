import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.data.loader import Draw, Sampler, batch_tokens, epoch_offset
from llmcourse.data.windows import Windows, write_tokens
from llmcourse.errors import UserError

TAKES = st.lists(st.integers(0, 20), max_size=8)


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    path = tmp_path_factory.mktemp("loader") / "tokens.bin"
    write_tokens(path, [np.arange(103)], 200)
    return Windows(path, 5, overlap=1)


# --- the sampler ---------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(0, 5), TAKES)
def test_each_epoch_draws_each_window_once(n_windows, seed, takes):
    sampler = Sampler(n_windows, seed)
    draws = [draw for n in takes for draw in sampler.take(n)]
    assert len(draws) == sum(takes)
    for at in range(0, len(draws), n_windows):
        epoch = draws[at : at + n_windows]
        assert {draw.epoch for draw in epoch} == {at // n_windows}
        assert len({draw.index for draw in epoch}) == len(epoch)
        if len(epoch) == n_windows:
            assert sorted(draw.index for draw in epoch) == list(range(n_windows))


@given(st.integers(1, 12), st.integers(0, 5), TAKES, TAKES)
def test_interrupted_anywhere_it_goes_on_the_same(n_windows, seed, before, after):
    sampler = Sampler(n_windows, seed)
    for n in before:
        sampler.take(n)
    saved = json.loads(json.dumps(sampler.state()))
    resumed = Sampler(n_windows, seed)
    resumed.take(3)  # it may have been used before
    resumed.restore(saved)
    assert resumed.state() == sampler.state()
    for n in after:
        assert resumed.take(n) == sampler.take(n)


@given(st.integers(1, 12), TAKES)
def test_how_draws_are_grouped_does_not_matter(n_windows, takes):
    one, other = Sampler(n_windows, 0), Sampler(n_windows, 0)
    assert [draw for n in takes for draw in one.take(n)] == other.take(sum(takes))


def test_epochs_and_seeds_have_orders_of_their_own():
    draws = Sampler(50, seed=0).take(150)
    orders = [[draw.index for draw in draws[at : at + 50]] for at in (0, 50, 100)]
    orders.append([draw.index for draw in Sampler(50, seed=1).take(50)])
    assert all(one != other for one, other in pairwise(sorted(orders)))
    assert list(range(50)) not in orders


def test_a_batch_larger_than_the_data_spans_epochs():
    assert {draw.epoch for draw in Sampler(3, 0).take(10)} == {0, 1, 2, 3}


@pytest.mark.parametrize(("name", "other"), [("n_windows", Sampler(9, 0)), ("seed", Sampler(8, 1))])
def test_a_state_of_other_data_is_refused(name, other):
    with pytest.raises(UserError, match=f"saved with {name}=. and is now {name}=.: resume with"):
        Sampler(8, 0).restore(other.state())


def test_nothing_to_sample_from_is_refused():
    with pytest.raises(UserError, match="there is nothing to sample from"):
        Sampler(0, 0)


# --- batches -------------------------------------------------------------------------------------


def test_a_batch_is_the_drawn_windows_moved_by_the_epochs_offset(windows):
    sampler, twin = Sampler(len(windows), 7), Sampler(len(windows), 7)
    for _ in range(20):
        batch = batch_tokens(windows, sampler, 4)
        assert batch.dtype == np.int64
        expected = [
            windows.window(index, epoch_offset(7, epoch, windows.stride)).tolist()
            for epoch, index in twin.take(4)
        ]
        assert batch.tolist() == expected


def test_offsets_reach_every_place_in_a_window_and_no_further():
    assert {epoch_offset(0, epoch, 4) for epoch in range(100)} == {0, 1, 2, 3}


def test_in_an_epoch_every_token_is_read(windows):
    """Whatever the offset: the stream is a ring. (103 tokens, 25 windows of 4 new ones each.)"""
    sampler = Sampler(len(windows), 3)
    for _ in range(4):
        batch = batch_tokens(windows, sampler, len(windows))
        assert len(np.unique(batch)) >= len(windows) * windows.stride


def test_draws_are_named():
    assert Sampler(1, 0).take(2) == [Draw(0, 0), Draw(1, 0)]
