"""What a model in training can be asked to show: it writes, or fills in what the task took away.

Nothing here draws from the generators that training draws from, so looking changes nothing. Not
here: how text is drawn (`generate/`), and how good it is (`evaluation.py`).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import apply_temperature, sample, top_k
from llmcourse.generate.seq2seq import generate_from_source
from llmcourse.models.base import Model
from llmcourse.objectives.base import IGNORE, Batch, Objective
from llmcourse.randomness import numpy_rng, torch_rng
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.train.corpus import Corpus
from llmcourse.train.settings import Settings


@torch.no_grad()
def draw_sample(
    model: Model, objective: Objective, corpus: Corpus, settings: Settings, step: int
) -> str:
    """What the model makes of a prompt, or of a held-out text that its task has damaged.

    Empty where no sample is wanted, or where the task asks for no text.
    """
    if not settings.sample_tokens:
        return ""
    # Dropout off while it writes, and back to what it was, whatever happens.
    training = model.training
    model.eval()
    try:
        if model.generates:
            return _write(model, corpus.tokenizer, settings, step)
        batch = _damaged(objective, corpus, settings, step)
        if model.reads_source:
            return _restore(model, objective, batch, corpus.tokenizer, settings)
        return _fill_in(model, objective, batch, corpus.tokenizer, settings)
    finally:
        model.train(training)


def _write(model: Model, tokenizer: Tokenizer, settings: Settings, step: int) -> str:
    """Text after the prompt (or a new document), at temperature 0.8."""
    device = next(model.parameters()).device
    prompt = torch.tensor([[tokenizer.eot_id, *tokenizer.encode(settings.prompt)]], device=device)
    # A stream of its own: the run draws the same numbers whether samples are wanted or not.
    generator = torch_rng(settings.seed, "sample", step, device=device)
    tokens = generate(
        model,
        prompt,
        max_new_tokens=settings.sample_tokens,
        sampler=lambda logits: sample(top_k(apply_temperature(logits, 0.8), 40), generator),
        stop_ids=(tokenizer.eot_id,),
    )
    return settings.prompt + tokenizer.decode([int(token) for token in tokens])


def _damaged(objective: Objective, corpus: Corpus, settings: Settings, step: int) -> Batch:
    """Two held-out windows (a pair may take its second half from the other), as the task asks."""
    rng = numpy_rng(settings.seed, "sample", step)
    chosen = rng.integers(len(corpus.valid), size=2)
    windows = np.stack([corpus.valid.window(int(index)) for index in chosen])
    return objective.prepare(torch.from_numpy(windows), rng)


def _fill_in(
    model: Model, objective: Objective, batch: Batch, tokenizer: Tokenizer, settings: Settings
) -> str:
    """A line with gaps, and what the model puts there; nothing where nothing was hidden."""
    targets = batch.targets[0, : settings.sample_tokens]
    hidden = targets != IGNORE
    if not hidden.any():
        return ""
    device = next(model.parameters()).device
    there = batch.rows(slice(None), device)
    output = model(ids=there.ids, **there.extras)
    # All gaps in one pass, as in training; none is filled before the next is asked.
    said = output.logits[0, : len(targets)].argmax(-1).cpu()
    ids = batch.ids[0, : len(targets)]
    return _lines(
        ("asked", _spell(ids, objective, tokenizer, gaps=hidden)),
        ("said", _spell(torch.where(hidden, said, ids), objective, tokenizer)),
        ("right", _spell(torch.where(hidden, targets, ids), objective, tokenizer)),
    )


def _restore(
    model: Any, objective: Objective, batch: Batch, tokenizer: Tokenizer, settings: Settings
) -> str:
    """A damaged text, and what the model writes having read it."""
    device = next(model.parameters()).device
    one = batch.rows(slice(0, 1), device)
    written = generate_from_source(
        model,
        one.extras["source"],
        start_id=int(one.ids[0, 0]),
        stop_id=tokenizer.eot_id,
        max_new_tokens=min(settings.sample_tokens, model.config.context_length - 1),
        source_mask=one.extras.get("source_mask"),
    )
    right = batch.targets[0][batch.targets[0] != IGNORE]
    return _lines(
        ("asked", _spell(batch.extras["source"][0], objective, tokenizer)),
        ("said", _spell(torch.tensor(written[0], dtype=torch.long), objective, tokenizer)),
        ("right", _spell(right, objective, tokenizer)),
    )


def _lines(*parts: tuple[str, str]) -> str:
    return "\n\n".join(f"{name + ':':<7}{text}" for name, text in parts)


def _spell(
    ids: Tensor, objective: Objective, tokenizer: Tokenizer, gaps: Tensor | None = None
) -> str:
    """Tokens as one line of text, the task's own by name; a gap shows as `___`."""
    pieces, run = [], []
    for place, token in enumerate(ids.tolist()):
        name = ""
        if gaps is not None and gaps[place]:
            name = "___"
        # The task's own tokens follow the tokenizer's.
        elif token >= tokenizer.vocab_size:
            name = objective.special_tokens[token - tokenizer.vocab_size]
        if name:
            pieces += [tokenizer.decode(run), f" {name}"]
            run = []
        else:
            run.append(token)
    pieces.append(tokenizer.decode(run))
    return " ".join("".join(pieces).split())
