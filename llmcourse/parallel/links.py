"""Links, measured: the latency and the bandwidth that a cost model needs of this machine.

Messages of several sizes go to a neighbour and back; a straight line through the times has the
latency for its height and the time of a byte for its slope. Not here: what follows from these two
(`costs.py`). Chapter 10 teaches this.
"""

import statistics
import time
from collections.abc import Sequence

import torch

from llmcourse.errors import UserError
from llmcourse.parallel.costs import Link
from llmcourse.parallel.world import Channel

SIZES = (8, 2**16, 2**18, 2**20, 2**22)
"""Bytes of the messages that are timed."""


def time_messages(channel: Channel, sizes: Sequence[int] = SIZES, repeats: int = 10) -> list[float]:
    """Seconds that a message of each size takes between ranks 0 and 1; the other ranks look on.

    Half of a round trip, so that one clock is enough; the median of `repeats`. Rank 0 alone knows
    them, the others get an empty list.

    Raises:
        UserError: there is no rank 1.
    """
    if channel.size < 2:
        raise UserError("a message needs two ranks: measure in a world of 2 or more")
    medians = []
    for size in sizes:
        message = torch.zeros(size, dtype=torch.uint8)
        trips = []
        for _ in range(repeats):
            start = time.perf_counter()
            if channel.rank == 0:
                channel.send(message, 1)
                channel.receive(message, 1)
            elif channel.rank == 1:
                channel.send(channel.receive(message, 0), 0)
            trips.append((time.perf_counter() - start) / 2)
        medians.append(statistics.median(trips))
    return medians if channel.rank == 0 else []


def fit_link(sizes: Sequence[int], seconds: Sequence[float]) -> Link:
    """The link whose `latency + size / bandwidth` comes closest to the times, relative to each.

    Least squares of relative errors: else the largest message, a thousand times slower, would
    settle the latency of the smallest.

    Raises:
        UserError: fewer than two sizes, or times that do not grow with the size.
    """
    if len(set(sizes)) < 2:
        raise UserError("a line needs two points: time messages of at least two sizes")
    x = torch.tensor(sizes, dtype=torch.float64)
    y = torch.tensor(seconds, dtype=torch.float64)
    # Each row divided by its time: (latency + size * slope) / time should be 1.
    rows = torch.stack([torch.ones_like(x), x], dim=1) / y[:, None]
    latency, slope = torch.linalg.lstsq(rows, torch.ones_like(y)[:, None]).solution[:, 0].tolist()
    if slope <= 0:
        raise UserError(
            "larger messages were not slower, so there is no bandwidth to be seen: time larger "
            "ones, more often"
        )
    return Link(max(latency, 0.0), 1 / slope)
