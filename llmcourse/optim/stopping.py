"""Early stopping: end a run when held-out text has not got better for a while, and go back.

A pure function of the validation losses so far, so that it can be asked after every evaluation,
replayed on an old run, and plotted. Not here: who evaluates and keeps the best weights (`train/`).
Chapter 06 teaches this.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from llmcourse.errors import UserError


class Stop(NamedTuple):
    """What the losses so far say.

    Attributes:
        best: the evaluation with the lowest loss that counted, whose weights are worth keeping;
            None while none was a number.
        at: the evaluation after which patience was lost; None while it lasts.
    """

    best: int | None
    at: int | None


def early_stop(losses: Sequence[float], patience: int, min_delta: float = 0.0) -> Stop:
    """Early stopping: where a run with these validation losses ends, and its best evaluation.

    An evaluation counts as better if it is below the best by more than `min_delta`; after
    `patience` of them in a row that are not, the run ends, and what comes later is not looked at. A
    loss of NaN is never better (Prechelt, 1998).

    ```python
    early_stop([3.0, 2.0, 2.1, 2.2, 1.0], patience=2)      # Stop(best=1, at=3)
    ```

    Args:
        losses: one for each evaluation, in order; lower is better.
        patience: how many evaluations without progress to bear.
        min_delta: what is too little to be called progress.

    Raises:
        UserError: `patience` is below 1, or `min_delta` negative.
    """
    if patience < 1:
        raise UserError(f"patience={patience} must be at least 1: an evaluation has to disappoint")
    if not min_delta >= 0:
        raise UserError(f"min_delta={min_delta} must be at least 0")
    best, lowest, waited = None, math.inf, 0
    for index, loss in enumerate(losses):
        # NaN compares false with everything, so it is never progress.
        if loss < lowest - min_delta:
            best, lowest, waited = index, loss, 0
        else:
            waited += 1
        if waited >= patience:
            return Stop(best, index)
    return Stop(best, None)
