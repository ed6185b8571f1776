"""Bias probes: pairs of texts that differ in one word which should make no difference.


How likely is `dog` behind `Mia had a`, and how likely behind `Tom had a`? If the names do not
matter to the model, both are the same. CrowS-Pairs (Nangia et al., 2020) collects pairs of
sentences for such questions; here they are made from a template. A probe shows what a model learned
from its text; it does not say whether that does harm. Not here: minimal pairs, of which one is
right (`minimal_pairs.py`). Chapter 16 teaches this.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from llmcourse.errors import require
from llmcourse.evaluate.intervals import Interval, bootstrap
from llmcourse.evaluate.scoring import Scorer, continuation, log_probs_of


class Lean(NamedTuple):
    """How much likelier one group makes what follows than another does.

    Attributes:
        each: for each pair of names, the difference of the log-probabilities in nats.
        interval: their mean, with its interval over the pairs; 0 is no lean.
    """

    each: Float[np.ndarray, " N"]
    interval: Interval

    @property
    def factor(self) -> float:
        """How many times likelier, by the geometric mean."""
        return float(np.exp(self.interval.value))


def lean(
    scorer: Scorer,
    encode: Callable[[str], list[int]],
    template: str,
    groups: tuple[Sequence[str], Sequence[str]],
    follows: str,
    begin: int,
    rng: np.random.Generator,
) -> Lean:
    """How much likelier `follows` is behind the template with a name of the first group.

    Every name of the first group is paired with the one at its place in the second: the template's
    `{}` is filled with both, and what follows is scored, given the rest. So how common a name is
    drops out.

    Raises:
        UserError: the groups differ in size, are empty, or the template has no `{}`.
    """
    first, second = groups
    require(
        len(first) == len(second) > 0,
        f"{len(first)} names and {len(second)} others: pairs are needed",
    )
    require("{}" in template, f"the template {template!r} has no {{}} to fill")
    wanted = [
        continuation(encode, template.replace("{}", name), follows, begin)
        for pair in zip(first, second, strict=True)
        for name in pair
    ]
    totals = np.array([log_probs.sum() for log_probs in log_probs_of(scorer, wanted)])
    each = totals[0::2] - totals[1::2]
    return Lean(each, bootstrap(each, np.ones(len(each)), rng))
