import math
import random

import pytest

from llmcourse.errors import UserError
from llmcourse.optim.stopping import Stop, early_stop


@pytest.mark.parametrize(
    ("losses", "patience", "min_delta", "expected"),
    [
        ([3.0, 2.0, 2.1, 2.2, 1.0], 2, 0.0, Stop(1, 3)),  # what comes later is not looked at
        ([3.0, 2.0, 2.1, 1.9, 2.2], 2, 0.0, Stop(3, None)),  # progress renews patience
        ([3.0, 2.0, 2.0, 2.0], 2, 0.0, Stop(1, 3)),  # equal is no progress
        ([3.0, 2.95, 2.9, 2.85], 2, 0.1, Stop(0, 2)),  # too little at a time
        (
            [3.0, 2.95, 2.85, 2.84],
            2,
            0.1,
            Stop(2, None),
        ),  # 2.85 is 0.15 below the best that counted
        ([1.0, 2.0], 1, 0.0, Stop(0, 1)),
        ([1.0], 1, 0.0, Stop(0, None)),
        ([], 3, 0.0, Stop(None, None)),
        ([math.nan, 2.0, math.nan, math.nan], 2, 0.0, Stop(1, 3)),
        ([math.nan, math.inf], 2, 0.0, Stop(None, 1)),
    ],
)
def test_by_hand(losses, patience, min_delta, expected):
    assert early_stop(losses, patience, min_delta) == expected


def test_it_is_the_first_stretch_without_progress():
    """Against the definition, on random runs: the first `patience` evaluations with nothing new."""
    rng = random.Random(0)
    for _ in range(300):
        losses = [rng.randint(0, 12) for _ in range(rng.randint(1, 12))]
        patience = rng.randint(1, 4)
        stops = [
            end
            for end in range(patience, len(losses))
            if min(losses[end - patience + 1 : end + 1]) >= min(losses[: end - patience + 1])
        ]
        at = stops[0] if stops else None
        seen = losses if at is None else losses[: at + 1]
        assert early_stop(losses, patience) == Stop(seen.index(min(seen)), at)


def test_asking_after_every_evaluation_says_the_same_as_asking_once():
    losses = [5, 4, 4.5, 3, 3.2, 3.1, 3.3, 2]
    asked = [early_stop(losses[:n], 3).at for n in range(1, len(losses) + 1)]
    assert asked == [None] * 6 + [6, 6]


@pytest.mark.parametrize(
    ("patience", "min_delta", "said"),
    [(0, 0.0, "patience=0"), (1, -0.1, r"min_delta=-0\.1"), (1, math.nan, "min_delta=nan")],
)
def test_what_cannot_be_is_refused(patience, min_delta, said):
    with pytest.raises(UserError, match=said):
        early_stop([1.0], patience, min_delta)
