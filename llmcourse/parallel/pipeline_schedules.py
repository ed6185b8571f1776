"""Schedules of a pipeline: which stage works on which micro-batch, forward or backward, and when.

A schedule says for each rank in which order it works; a simulation then says when, for a stage has
to wait for what its neighbours send. Both are pure functions: they can be drawn, counted and proven
before a process has started. Not here: running one (`pipeline.py`), and stages that are cut in
several places (interleaved 1F1B). Chapter 10 teaches this.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from llmcourse.errors import UserError


class Pass(Enum):
    """Direction of an action."""

    FORWARD = "forward"
    BACKWARD = "backward"


class Action(NamedTuple):
    """What a stage does next: a pass over one micro-batch."""

    direction: Pass
    micro_batch: int


class Slot(NamedTuple):
    """An action in time: which rank did it, from when, until when."""

    rank: int
    action: Action
    start: float
    end: float


Schedule = list[list[Action]]
"""For each rank its actions, in order."""


def gpipe(n_stages: int, n_micro_batches: int) -> Schedule:
    """GPipe: all forward passes, then all backward passes, the last one first (Huang et al., 2019).

    Every stage keeps the activations of all micro-batches.
    """
    _check(n_stages, n_micro_batches)
    forward = [Action(Pass.FORWARD, micro) for micro in range(n_micro_batches)]
    backward = [Action(Pass.BACKWARD, micro) for micro in reversed(range(n_micro_batches))]
    return [forward + backward for _ in range(n_stages)]


def one_f_one_b(n_stages: int, n_micro_batches: int) -> Schedule:
    """1F1B: one forward, one backward, as soon as there is something to go back with.

    Narayanan et al., 2019; without stale weights, as in Narayanan et al., 2021, figure 4. As long
    as GPipe, but stage r keeps `p - r` micro-batches at the most, however many there are.
    """
    _check(n_stages, n_micro_batches)
    schedule = []
    for rank in range(n_stages):
        # Fill the stages behind this one; from then on each forward pass is paid for by a backward.
        ahead = min(n_stages - 1 - rank, n_micro_batches)
        actions = [Action(Pass.FORWARD, micro) for micro in range(ahead)]
        for micro in range(ahead, n_micro_batches):
            actions += [Action(Pass.FORWARD, micro), Action(Pass.BACKWARD, micro - ahead)]
        for micro in range(n_micro_batches - ahead, n_micro_batches):
            actions.append(Action(Pass.BACKWARD, micro))
        schedule.append(actions)
    return schedule


def simulate(schedule: Schedule, forward: float = 1.0, backward: float = 2.0) -> list[Slot]:
    """When each action runs, if a pass takes so long on every stage and messages take no time.

    A forward pass waits for the stage before, a backward pass for the stage behind and for its own
    forward pass.

    Raises:
        UserError: stages that wait for each other for ever, or that send in another order than
            their neighbour receives.
    """
    _check_orders(schedule)
    ended: dict[tuple[int, Action], float] = {}
    free = [0.0] * len(schedule)
    slots = []
    waiting = [list(actions) for actions in schedule]
    while any(waiting):
        ready = [
            rank
            for rank, actions in enumerate(waiting)
            if actions and all(need in ended for need in needs(rank, actions[0], len(schedule)))
        ]
        if not ready:
            stuck = {rank: actions[0] for rank, actions in enumerate(waiting) if actions}
            names = ", ".join(
                f"rank {rank} at {action.direction.value} {action.micro_batch}"
                for rank, action in stuck.items()
            )
            raise UserError(f"a deadlock: nobody can go on ({names})")
        for rank in ready:
            action = waiting[rank].pop(0)
            start = max([free[rank], *(ended[need] for need in needs(rank, action, len(schedule)))])
            length = forward if action.direction is Pass.FORWARD else backward
            free[rank] = ended[rank, action] = start + length
            slots.append(Slot(rank, action, start, start + length))
    return slots


def needs(rank: int, action: Action, n_stages: int) -> list[tuple[int, Action]]:
    """What has to be over, and on which rank, before an action can begin."""
    if action.direction is Pass.FORWARD:
        return [(rank - 1, action)] if rank > 0 else []
    own = (rank, Action(Pass.FORWARD, action.micro_batch))
    return [own, (rank + 1, action)] if rank < n_stages - 1 else [own]


def bubble_share(slots: Sequence[Slot]) -> float:
    """The bubble: the share of all ranks' time spent waiting, from the first start to the last end.

    `(p - 1) / (m + p - 1)` for p stages and m micro-batches, with GPipe and with 1F1B.
    """
    span = max(slot.end for slot in slots) - min(slot.start for slot in slots)
    n_ranks = len({slot.rank for slot in slots})
    return 1 - sum(slot.end - slot.start for slot in slots) / (n_ranks * span)


def most_in_flight(actions: Iterable[Action]) -> int:
    """The most micro-batches of which a stage keeps activations at the same time."""
    now, most = 0, 0
    for action in actions:
        now += 1 if action.direction is Pass.FORWARD else -1
        most = max(most, now)
    return most


def _check(n_stages: int, n_micro_batches: int) -> None:
    if n_stages < 1 or n_micro_batches < 1:
        raise UserError(
            f"{n_stages} stages and {n_micro_batches} micro-batches: give at least 1 of each"
        )


def _check_orders(schedule: Schedule) -> None:
    """Messages arrive in the order in which they were sent: neighbours must agree on it."""
    for direction in Pass:
        orders = [
            [action.micro_batch for action in actions if action.direction is direction]
            for actions in schedule
        ]
        for rank in range(1, len(orders)):
            if orders[rank] != orders[rank - 1]:
                raise UserError(
                    f"ranks {rank - 1} and {rank} go {direction.value} in different orders: "
                    f"{orders[rank - 1]} and {orders[rank]}"
                )
