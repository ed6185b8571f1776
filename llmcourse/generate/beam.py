"""Beam search: the few likeliest texts so far are kept, and each is tried with every next token.

It looks for a likely *text*, where greedy decoding takes the likeliest token. Whether a likely text
is a good one is another question. Not here: one text at a time (`decode.py`), chance
(`sampling.py`). Chapter 15 teaches this.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import require
from llmcourse.generate.decode import CachingModel, LanguageModel


@dataclass(frozen=True)
class Hypothesis:
    """A text that was found.

    Attributes:
        tokens: what was written after the prompt, a token that ends it included.
        log_p: the log-probability of these tokens, in nats.
        score: `log_p / length ** length_penalty`, what texts of different lengths are compared by.
    """

    tokens: tuple[int, ...]
    log_p: float
    score: float


@dataclass(frozen=True)
class Candidate:
    """A continuation that one step considered: for pictures.

    Attributes:
        tokens: what it has after the prompt.
        log_p: its log-probability.
        fate: "kept" as a beam, "finished", or "dropped".
    """

    tokens: tuple[int, ...]
    log_p: float
    fate: str


@dataclass(frozen=True)
class Found:
    """What a search found: the best hypotheses, best first, and the candidates of each step."""

    best: list[Hypothesis]
    steps: list[list[Candidate]]


def beam_search(
    model: LanguageModel,
    ids: Int[Tensor, "1 T"],
    *,
    n_beams: int,
    max_new_tokens: int,
    length_penalty: float = 1.0,
    stop_ids: Collection[int] = (),
) -> Found:
    """Search for the continuation with the best `log_p / length ** length_penalty`.

    A penalty of 0 compares log-probabilities, which favours short texts; 1 compares their mean
    over the tokens (Wu et al., 2016, have a similar one). A text is finished when it ends with one
    of `stop_ids`, or is as long as allowed; it must be among the `n_beams` best continuations of
    its step. The search goes on until no beam can become better than the worst of `n_beams`
    finished texts.

    Args:
        model: scores tokens; put it in evaluation mode first if it has dropout.
        ids: the prompt.
        n_beams: how many texts are kept.
        max_new_tokens: how long a text may become.
        length_penalty: the exponent of the length.
        stop_ids: tokens that end a text.

    Raises:
        UserError: no beam, no token, or a prompt and texts that do not fit into the context.
    """
    require(n_beams >= 1, f"n_beams={n_beams} must be at least 1")
    require(max_new_tokens >= 1, f"max_new_tokens={max_new_tokens} must be at least 1")
    whole = ids.size(1) + max_new_tokens - 1  # the last token is written, and not read
    require(
        ids.size(1) > 0 and whole <= model.config.context_length,
        f"a prompt of {ids.size(1)} tokens and {max_new_tokens} new ones do not fit into the "
        f"context_length of {model.config.context_length}: beam search does not slide a window",
    )
    read = _Beams(model, ids)
    beams: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    done: list[Hypothesis] = []
    steps: list[list[Candidate]] = []
    for length in range(1, max_new_tokens + 1):
        # One that ends for each stop token might crowd out those that go on.
        wanted = n_beams * (1 + len(stop_ids))
        candidates = _continuations(read.log_probs(), beams, wanted)
        ends = [length == max_new_tokens or c[0][-1] in stop_ids for c in candidates]
        finished = [c for c, end in zip(candidates[:n_beams], ends, strict=False) if end]
        going = [c for c, end in zip(candidates, ends, strict=True) if not end][:n_beams]
        done += [Hypothesis(c[0], c[1], c[1] / length**length_penalty) for c in finished]
        done = sorted(done, key=lambda one: -one.score)[:n_beams]
        steps.append(_told(candidates, finished, going))
        if not going or (
            len(done) == n_beams
            and done[-1].score >= _hope(going[0][1], length, max_new_tokens, length_penalty)
        ):
            break
        beams = [(tokens, log_p) for tokens, log_p, _ in going]
        read.go_on([parent for _, _, parent in going], [tokens[-1] for tokens, _ in beams])
    return Found(done, steps)


def _hope(log_p: float, length: int, longest: int, penalty: float) -> float:
    """The best score that a beam could still get: all its further tokens certain."""
    return log_p / (longest if penalty > 0 else length + 1) ** penalty


Continuation = tuple[tuple[int, ...], float, int]
"""Tokens, log-probability, and which beam it goes on from."""


def _continuations(
    log_probs: Float[Tensor, "N V"], beams: list[tuple[tuple[int, ...], float]], wanted: int
) -> list[Continuation]:
    """The likeliest continuations of all beams, best first; impossible ones are none."""
    before = torch.tensor([log_p for _, log_p in beams], dtype=torch.float64)
    sums = (log_probs.double().cpu() + before[:, None]).flatten()  # N V -> (N V)
    best = sums.topk(min(wanted, len(sums)))
    found = zip(best.values.tolist(), best.indices.tolist(), strict=True)
    vocab_size = log_probs.size(1)
    return [
        ((*beams[at // vocab_size][0], at % vocab_size), log_p, at // vocab_size)
        for log_p, at in found
        if log_p > float("-inf")
    ]


def _told(
    candidates: list[Continuation], finished: list[Continuation], going: list[Continuation]
) -> list[Candidate]:
    fates = {c[0]: "finished" for c in finished} | {c[0]: "kept" for c in going}
    return [Candidate(t, log_p, fates.get(t, "dropped")) for t, log_p, _ in candidates]


class _Beams:
    """What the model thinks of every beam: by its cache, or by reading everything again."""

    def __init__(self, model: LanguageModel, ids: Int[Tensor, "1 T"]) -> None:
        self.model, self.ids = model, ids
        self.caching = model if isinstance(model, CachingModel) else None
        self.cache = None if self.caching is None else self.caching.new_cache()

    @torch.no_grad()
    def log_probs(self) -> Float[Tensor, "N V"]:
        """Log-probabilities of the next token of each beam."""
        if self.caching is None or self.cache is None:
            logits = self.model(self.ids).logits
        else:
            new = self.ids[:, self.cache.length :]
            logits = self.caching(new, cache=self.cache, n_scored=1).logits
        return logits[:, -1].log_softmax(-1)

    def go_on(self, parents: list[int], tokens: list[int]) -> None:
        """The beams go on from these ones, each by its token."""
        rows = torch.tensor(parents, device=self.ids.device)
        new = torch.tensor(tokens, device=self.ids.device)[:, None]
        self.ids = torch.cat([self.ids[rows], new], dim=1)
        if self.cache is not None:
            self.cache.reorder(rows)
