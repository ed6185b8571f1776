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
from llmcourse.evaluate.perplexity import Score, evaluate
from llmcourse.objectives.base import Batch, Objective
from llmcourse.randomness import numpy_rng
from llmcourse.train.assemble import Model
from llmcourse.train.corpus import Corpus
from llmcourse.train.distributed import Ranks
from llmcourse.train.settings import Settings


def score_model(
    model: Model,
    objective: Objective,
    corpus: Corpus,
    settings: Settings,
    ranks: Ranks,
    precision: str,
    rows: int,
) -> Score:
    """The score on the validation windows, each process taking its share of them."""
    lengths = torch.from_numpy(corpus.lengths).to(ranks.device)
    lengths = F.pad(lengths, (0, len(objective.special_tokens)))  # which stand for no text
    with autocast(ranks.device, precision):
        batches = _batches(corpus, objective, settings, ranks, rows)
        mine = evaluate(model, objective, batches, lengths)
    return functools.reduce(operator.add, ranks.gather(mine))


def _batches(
    corpus: Corpus, objective: Objective, settings: Settings, ranks: Ranks, rows: int
) -> Iterator[Batch]:
    """This process's share of the validation windows, evenly spread over the text.

    Every process corrupts whole batches and takes its rows of them: what is hidden depends neither
    on how many processes there are, nor on how many rows each takes at once.
    """
    available = len(corpus.valid)
    wanted = min(settings.evaluate_windows or available, available)
    chosen = np.linspace(0, available - 1, wanted).round().astype(int)
    for start in range(0, wanted, settings.batch_size):
        windows = [corpus.valid.window(int(i)) for i in chosen[start : start + settings.batch_size]]
        rng = numpy_rng(settings.seed, "evaluate", start)
        whole = objective.prepare(torch.from_numpy(np.stack(windows)), rng)
        mine = whole.rows(slice(ranks.rank, None, ranks.world))
        for first in range(0, len(mine.ids), rows):
            yield mine.rows(slice(first, first + rows)).to(ranks.device)
