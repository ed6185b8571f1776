"""How a run is doing: its validation score over all processes, and a sample of what it writes.

Neither draws from the generators that training draws from, so looking changes nothing. Not here:
what the figures mean (`evaluate/perplexity.py`), how text is drawn (`generate/`).
"""

from collections.abc import Iterator

import numpy as np
import torch

from llmcourse.device import autocast
from llmcourse.evaluate.perplexity import Score, evaluate
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import apply_temperature, sample, top_k
from llmcourse.models.gpt import GPT
from llmcourse.objectives.base import Batch, Objective
from llmcourse.randomness import numpy_rng, torch_rng
from llmcourse.text.base import Tokenizer
from llmcourse.train.corpus import Corpus
from llmcourse.train.parallel import Ranks
from llmcourse.train.settings import Settings


def score_model(
    model: GPT,
    objective: Objective,
    corpus: Corpus,
    settings: Settings,
    ranks: Ranks,
    precision: str,
    rows: int,
) -> Score:
    """The score on the validation windows, each process taking its share of them."""
    lengths = torch.from_numpy(corpus.lengths).to(ranks.device)
    with autocast(ranks.device, precision):
        batches = _batches(corpus, objective, settings, ranks, rows)
        mine = evaluate(model, objective, batches, lengths)
    sums = torch.tensor([mine.nats, mine.tokens, mine.bytes], dtype=torch.float64)
    nats, tokens, size = ranks.sum(sums).tolist()
    return Score(nats=nats, tokens=int(tokens), bytes=int(size))


def _batches(
    corpus: Corpus, objective: Objective, settings: Settings, ranks: Ranks, rows: int
) -> Iterator[Batch]:
    """This process's share of the validation windows, evenly spread over the text."""
    available = len(corpus.valid)
    wanted = min(settings.evaluate_windows or available, available)
    chosen = np.linspace(0, available - 1, wanted).round().astype(int)[ranks.rank :: ranks.world]
    for start in range(0, len(chosen), rows):
        windows = [corpus.valid.window(int(i)) for i in chosen[start : start + rows]]
        tokens = torch.from_numpy(np.stack(windows))
        rng = numpy_rng(settings.seed, "evaluate", start, ranks.rank)
        yield objective.prepare(tokens, rng).to(ranks.device)


def draw_sample(model: GPT, tokenizer: Tokenizer, settings: Settings, step: int) -> str:
    """Text that the model writes after the prompt (or as a new document), at temperature 0.8."""
    if not settings.sample_tokens:
        return ""
    device = next(model.parameters()).device
    prompt = torch.tensor([[tokenizer.eot_id, *tokenizer.encode(settings.prompt)]], device=device)
    generator = torch_rng(settings.seed, "sample", step, device=device)
    model.eval()
    tokens = generate(
        model,
        prompt,
        max_new_tokens=settings.sample_tokens,
        pick=lambda logits: sample(top_k(apply_temperature(logits, 0.8), 40), generator),
        stop_ids=(tokenizer.eot_id,),
    )
    text = settings.prompt + tokenizer.decode([int(token) for token in tokens])
    model.train()
    return text
