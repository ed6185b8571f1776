"""How a run is doing: its validation score over all processes.

It draws from none of the generators that training draws from, so looking changes nothing. Not here:
what the figures mean (`evaluate/perplexity.py`), what the model writes (`samples.py`).
"""

import functools
import operator
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from llmcourse.device import autocast
from llmcourse.errors import require
from llmcourse.evaluate.perplexity import Score, evaluate
from llmcourse.objectives.base import Batch
from llmcourse.randomness import numpy_rng
from llmcourse.train.distributed import is_sharded
from llmcourse.train.parts import Parts


def score_model(parts: Parts) -> Score:
    """The score on the validation windows, each process taking its rows of them."""
    lengths = torch.from_numpy(parts.corpus.lengths).to(parts.ranks.device)
    special = len(parts.objective.special_tokens)
    # Bits per byte divide by the text's bytes; a token that the task adds, like [MASK], has none.
    lengths = F.pad(lengths, (0, special))  # which stand for no text
    with autocast(parts.ranks.device, parts.precision):
        mine = evaluate(parts.model, parts.objective, _batches(parts), lengths)
    return functools.reduce(operator.add, parts.ranks.all_gather(mine))


def _batches(parts: Parts) -> Iterator[Batch]:
    """This process's rows of the validation windows, evenly spread over the text.

    Every process corrupts whole batches and takes its rows of them: what is hidden depends neither
    on how many processes there are, nor on how many rows each takes at once.
    """
    settings, ranks, windows = parts.settings, parts.ranks, parts.corpus.valid
    wanted = min(settings.evaluate_windows or len(windows), len(windows))
    if is_sharded(parts.model):
        # A forward pass takes all processes: each must have as many as the others.
        wanted -= wanted % ranks.world_size
        require(
            wanted > 0,
            f"{len(windows)} held-out windows are too few for {ranks.world_size} processes with "
            "parallel=fsdp: hold out more (--data.held-out)",
        )
    # Evenly spread: the first windows alone would be a single book.
    chosen = np.linspace(0, len(windows) - 1, wanted).round().astype(int)
    for start in range(0, wanted, settings.batch_size):
        some = [windows.window(int(i)) for i in chosen[start : start + settings.batch_size]]
        # Named by the place and not by the step: every evaluation hides the same tokens, so that
        # two of them can be compared.
        rng = numpy_rng(settings.seed, "evaluate", start)
        whole = parts.objective.prepare(torch.from_numpy(np.stack(some)), rng)
        mine = whole.rows(slice(ranks.rank, None, ranks.world_size))
        for first in range(0, len(mine.ids), parts.micro_batch_size):
            yield mine.rows(slice(first, first + parts.micro_batch_size), ranks.device)
