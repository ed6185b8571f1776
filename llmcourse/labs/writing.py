"""Writing in miniature: a small GPT on tinytown's shortest stories, and what its texts are worth.

A story here has two sentences: who lives with whom, and the weather. The grammar knows exactly
which texts are such stories and how likely each is, so quality can be counted: the share of what a
model writes that is a story at all. Diversity is the share of different texts. Not here: how a
token is chosen (`generate/`). Chapter 15 teaches this.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from llmcourse.errors import require
from llmcourse.evaluate.intervals import Interval, wilson
from llmcourse.generate.decode import TokenSampler, generate
from llmcourse.labs.distilling import TextRows, text_rows
from llmcourse.models.base import Model
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.objectives.base import IGNORE
from llmcourse.optim.schedules import warmup_cosine
from llmcourse.randomness import numpy_rng, python_rng, seed_all
from llmcourse.tinytown.grammar import Grammar, Parser, Sampler
from llmcourse.tinytown.lexicon import FORMS, TABLES
from llmcourse.tinytown.plot import OPENING, WEATHER
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.tokenizers.bpe import BPETokenizer

SHORT = Grammar((OPENING, WEATHER), TABLES, FORMS)
"""Stories of two sentences."""
LONGEST = 48
"""Tokens of a story at the most; the grammar's longest has fewer, in the chapter's vocabulary."""
CONTEXT = 96
BATCH_SIZE = 48

_PARSER = Parser(SHORT)


def short_stories(n: int, seed: int = 0) -> list[str]:
    """`n` stories of two sentences; the same seed gives the same ones on every machine."""
    sampler = Sampler(SHORT, python_rng(seed, "short stories"))
    drawn = [sampler.draw() for _ in range(n)]
    return [" ".join(SHORT.render(choice, one.facts) for choice in one.choices) for one in drawn]


def log_probability(text: str) -> float:
    """The exact log-probability of a story of two sentences; minus infinity for any other text."""
    found = _PARSER.derivations(text)
    return found[0].log_probability if found else float("-inf")


def is_story(text: str) -> bool:
    """Whether the grammar can tell exactly this."""
    return bool(_PARSER.derivations(text))


def train_writer(
    rows: TextRows,
    vocab_size: int,
    *,
    d_model: int = 48,
    n_layers: int = 2,
    steps: int = 200,
    lr: float = 1e-2,
    seed: int = 0,
) -> GPT:
    """A small GPT that has read stories, a whole one a row; in evaluation mode.

    Raises:
        UserError: fewer rows than a batch has, or no step.
    """
    n = len(rows.ids)
    require(n >= BATCH_SIZE, f"{n} texts are fewer than a batch of {BATCH_SIZE}")
    require(steps >= 1, f"steps={steps} must be at least 1")
    seed_all(seed)
    sizes = {"vocab_size": vocab_size, "context_length": CONTEXT, "n_heads": 4}
    model = GPT(modern_recipe(d_model=d_model, n_layers=n_layers, **sizes)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr, betas=(0.9, 0.95), weight_decay=0.0)
    schedule, rng = warmup_cosine(warmup=0.1, final=0.05), numpy_rng(seed, "writer")
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * schedule((step + 0.5) / steps)
        ids, targets = rows.rows(rng.integers(n, size=BATCH_SIZE).tolist())
        width = int((targets != IGNORE).sum(1).max())  # no wider than the longest of these
        logits = model(ids[:, :width]).logits
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), targets[:, :width].flatten(), ignore_index=IGNORE
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


def write_stories(
    model: Model,
    tokenizer: Tokenizer,
    n: int,
    sampler: TokenSampler,
    prompt: str = "",
    longest: int = LONGEST,
) -> list[str]:
    """`n` texts from the model, each up to its end; one that does not end has "…" there."""
    begin = [tokenizer.eot_id, *tokenizer.encode(prompt)]
    tokens = generate(
        model,
        torch.tensor([begin] * n),
        max_new_tokens=longest,
        sampler=sampler,
        stop_ids=(tokenizer.eot_id,),
    )
    written = list(tokens)
    rows = torch.stack(written, dim=1).tolist() if written else [[]] * n
    return [prompt + _until_end(row, tokenizer, longest) for row in rows]


def _until_end(row: list[int], tokenizer: Tokenizer, longest: int) -> str:
    """The text of a row before its end, with a mark where there is none."""
    if tokenizer.eot_id in row:
        return tokenizer.decode(row[: row.index(tokenizer.eot_id)])
    return tokenizer.decode(row) + ("…" if len(row) == longest else "")


@dataclass(frozen=True)
class Worth:
    """What some texts are worth.

    Attributes:
        valid: the share that are stories, with its interval.
        distinct: the share of different texts, right or wrong.
    """

    valid: Interval
    distinct: float


def worth(texts: Sequence[str]) -> Worth:
    """Quality and diversity of texts.

    Raises:
        UserError: there are no texts.
    """
    right = sum(map(is_story, texts))
    return Worth(wilson(right, len(texts)), len(set(texts)) / len(texts))


def prepared(n: int, vocab_size: int = 450) -> tuple[BPETokenizer, TextRows]:
    """A tokenizer for the short stories, and `n` of them as rows."""
    texts = short_stories(n)
    tokenizer = BPETokenizer.train(texts[:600], vocab_size=vocab_size)
    return tokenizer, text_rows(texts, tokenizer)
