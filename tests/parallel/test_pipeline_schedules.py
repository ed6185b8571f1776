"""Schedules end, hold what they promise, and wait as long as the formula says."""

import itertools

import pytest

from llmcourse.errors import UserError
from llmcourse.parallel.costs import bubble
from llmcourse.parallel.pipeline_schedules import (
    Action,
    Pass,
    bubble_share,
    gpipe,
    most_in_flight,
    needs,
    one_f_one_b,
    simulate,
)

F, B = Pass.FORWARD, Pass.BACKWARD
SIZES = list(itertools.product([1, 2, 3, 4, 7], [1, 2, 3, 4, 8]))


def test_1f1b_by_hand():
    """Two stages, three micro-batches."""
    assert one_f_one_b(2, 3) == [
        [Action(F, 0), Action(F, 1), Action(B, 0), Action(F, 2), Action(B, 1), Action(B, 2)],
        [Action(F, 0), Action(B, 0), Action(F, 1), Action(B, 1), Action(F, 2), Action(B, 2)],
    ]


@pytest.mark.parametrize("make", [gpipe, one_f_one_b])
@pytest.mark.parametrize(("p", "m"), SIZES)
def test_every_pass_runs_once_after_what_it_needs(make, p, m):
    slots = simulate(make(p, m))
    assert {(slot.rank, slot.action) for slot in slots} == {
        (rank, Action(direction, micro))
        for rank in range(p)
        for direction in Pass
        for micro in range(m)
    }
    assert len(slots) == 2 * p * m
    ended = {(slot.rank, slot.action): slot.end for slot in slots}
    for slot in slots:
        for need in needs(slot.rank, slot.action, p):
            assert ended[need] <= slot.start
    for one, other in itertools.combinations(slots, 2):
        assert one.rank != other.rank or one.end <= other.start or other.end <= one.start


@pytest.mark.parametrize("make", [gpipe, one_f_one_b])
@pytest.mark.parametrize(("p", "m"), SIZES)
def test_the_bubble_is_the_formulas(make, p, m):
    assert bubble_share(simulate(make(p, m))) == pytest.approx((p - 1) / (m + p - 1), abs=1e-12)
    assert bubble(p, m) == (p - 1) / (m + p - 1)


@pytest.mark.parametrize(("p", "m"), SIZES)
def test_activations_kept(p, m):
    assert [most_in_flight(actions) for actions in gpipe(p, m)] == [m] * p
    kept = [most_in_flight(actions) for actions in one_f_one_b(p, m)]
    assert kept == [min(p - rank, m) for rank in range(p)]


def test_a_deadlock_is_noticed():
    """The first stage wants a gradient back before it has sent what the second needs for it."""
    schedule = [
        [Action(F, 0), Action(B, 0), Action(F, 1), Action(B, 1)],
        [Action(F, 0), Action(F, 1), Action(B, 0), Action(B, 1)],
    ]
    with pytest.raises(UserError, match=r"deadlock.*rank 0 at backward 0, rank 1 at forward 1"):
        simulate(schedule)


def test_neighbours_must_agree_on_the_order():
    schedule = gpipe(2, 2)
    schedule[1][:2] = schedule[1][1::-1]
    with pytest.raises(UserError, match="ranks 0 and 1 go forward in different orders"):
        simulate(schedule)


def test_nothing_to_do_is_refused():
    with pytest.raises(UserError, match="at least 1 of each"):
        gpipe(0, 3)
    with pytest.raises(UserError, match="at least 1 of each"):
        one_f_one_b(3, 0)
