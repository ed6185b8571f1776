"""Speculative decoding: a small model drafts some tokens, and the large one reads them at once.

Which tokens stay is decided so that what is written has exactly the large model's distribution
(Leviathan et al., 2023; Chen et al., 2023). Reading N tokens at once takes a large model about as
long as reading one, as long as its weights, not the arithmetic, are what takes time. Not here:
what turns logits into a distribution (`sampling.py`, `penalties.py`). Chapter 15 teaches this.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import require
from llmcourse.models.base import Model
from llmcourse.nn.cache import KVCache

Process = Callable[[Float[Tensor, "B V"], Int[Tensor, "B T"]], Float[Tensor, "B V"]]
"""From logits and the text before to the logits that are drawn from."""


@dataclass
class Counts:
    """What a speculative run did.

    Attributes:
        target_calls: how often the large model read.
        drafted: how many tokens the small model proposed.
        accepted: how many of them stayed.
        written: how many tokens came out.
    """

    target_calls: int = 0
    drafted: int = 0
    accepted: int = 0
    written: int = 0

    @property
    def acceptance(self) -> float:
        """The share of drafted tokens that stayed; 0 if there were none."""
        return self.accepted / self.drafted if self.drafted else 0.0


def residual(p: Float[Tensor, "*B V"], q: Float[Tensor, "*B V"]) -> Float[Tensor, "*B V"]:
    """What a rejected draft is replaced from: `max(p - q, 0)`, made a distribution again.

    Where p and q are equal nothing is ever rejected; then it is p.
    """
    left = (p - q).clamp(min=0)
    total = left.sum(-1, keepdim=True)
    return torch.where(total > 0, left / total.clamp(min=torch.finfo(p.dtype).tiny), p)


def inverse_cdf(p: Float[Tensor, " V"], u: float) -> int:
    """The token at which the cumulated probabilities first exceed `u`, from [0, 1)."""
    exceeded = (p.cumsum(0) > u * float(p.sum())).nonzero()
    return int(exceeded[0]) if len(exceeded) else int(p.nonzero()[-1])


def verify(
    p: Float[Tensor, "M V"],
    q: Float[Tensor, "N V"],
    drafted: Int[Tensor, " N"],
    u: Float[Tensor, " M"],
    redraw: float,
) -> list[int]:
    """Decide which drafted tokens stay, and draw one more: the tokens that are written.

    Token x at place n stays with probability `min(1, p_n(x) / q_n(x))`. The first that does not is
    replaced by a draw from `residual(p_n, q_n)`, and all after it are dropped. If all stay, one
    more is drawn from the last p. So every call writes at least one token, and each has
    distribution p, whatever q is.

    Args:
        p: the large model's distributions at the drafted places, and behind them.
        q: the small model's, from which the tokens were drawn.
        drafted: those tokens.
        u: a uniform number for each place; the last one is not used.
        redraw: the uniform number for the draw at the end.
    """
    for n, token in enumerate(drafted.tolist()):
        if float(u[n]) * float(q[n, token]) >= float(p[n, token]):  # no: u >= p / q
            return [*drafted[:n].tolist(), inverse_cdf(residual(p[n], q[n]), redraw)]
    return [*drafted.tolist(), inverse_cdf(p[-1], redraw)]


def expected_written(acceptance: float, n_draft: int) -> float:
    """Tokens that a call of the large model writes, if each draft is accepted independently.

    `1 + a + a^2 + ... + a^N` (Leviathan et al., 2023, equation 1).
    """
    return sum(acceptance**n for n in range(n_draft + 1))


def speculative(
    target: Model,
    draft: Model,
    ids: Int[Tensor, "1 T"],
    *,
    max_new_tokens: int,
    n_draft: int = 4,
    process: Process = lambda logits, ids: logits,
    greedy: bool = False,
    generator: torch.Generator | None = None,
    stop_ids: Collection[int] = (),
    counts: Counts | None = None,
) -> Iterator[int]:
    """Generate tokens with the distribution of `target`, most of them drafted by `draft`.

    Args:
        target: the large model.
        draft: the small one, with the same tokens; its quality decides the speed, nothing else.
        ids: the prompt.
        max_new_tokens: how many tokens at the most.
        n_draft: how many tokens are drafted before the large model reads.
        process: temperature, filters, penalties: applied to both models alike.
        greedy: take the likeliest token; the result is then the large model's greedy text.
        generator: draws; on the CPU.
        stop_ids: stop before one of these.
        counts: is filled with what was done.

    Raises:
        UserError: two vocabularies, a draft of nothing, or a text that does not fit.
    """
    require(n_draft >= 1, f"n_draft={n_draft} must be at least 1")
    require(
        target.config.vocab_size == draft.config.vocab_size,
        f"the draft has {draft.config.vocab_size} tokens and the model "
        f"{target.config.vocab_size}: both must read by the same tokenizer",
    )
    context = min(target.config.context_length, draft.config.context_length)
    require(
        ids.size(1) > 0 and ids.size(1) + max_new_tokens <= context,
        f"a prompt of {ids.size(1)} tokens and {max_new_tokens} new ones do not fit into a "
        f"context_length of {context}: speculative decoding does not slide a window",
    )
    counts = Counts() if counts is None else counts
    large, small = _Reader(target, process, greedy), _Reader(draft, process, greedy)
    left = max_new_tokens
    while left:
        begun = ids.size(1)
        proposed = ids
        q: list[Tensor] = []
        for _ in range(min(n_draft, left - 1)):  # one more comes from the large model
            q.append(small.distributions(proposed, 1)[0])
            token = inverse_cdf(q[-1], _uniform(generator))
            proposed = torch.cat([proposed, ids.new_tensor([[token]])], dim=1)
        p = large.distributions(proposed, len(q) + 1)
        drafted, u = proposed[0, begun:].cpu(), torch.rand(len(q) + 1, generator=generator)
        known = torch.stack(q) if q else p[:0]
        tokens = verify(p, known, drafted, u, _uniform(generator))
        counts.target_calls += 1
        counts.drafted += len(q)
        counts.accepted += len(tokens) - 1
        for token in tokens:
            if token in stop_ids:
                return
            counts.written += 1
            yield token
        left -= len(tokens)
        ids = torch.cat([ids, ids.new_tensor([tokens])], dim=1)
        # What was drafted and rejected has been read, and must be forgotten.
        large.forget(begun + len(tokens) - 1)
        small.forget(begun + len(tokens) - 1)


def _uniform(generator: torch.Generator | None) -> float:
    return float(torch.rand((), generator=generator))


class _Reader:
    """Distributions after reading what was not read before, on the CPU in double precision."""

    def __init__(self, model: Model, process: Process, greedy: bool) -> None:
        self.model, self.process, self.greedy = model, process, greedy
        self.cache: KVCache = KVCache(model.config.n_layers)

    @torch.no_grad()
    def distributions(self, ids: Int[Tensor, "1 T"], n: int) -> Float[Tensor, "N V"]:
        """Of the next token at each of the last `n` places."""
        new = ids[:, self.cache.length :]
        logits = self.model(new, cache=self.cache, n_scored=n).logits[0]
        first = ids.size(1) - n + 1  # the text that is behind the first of these places
        rows = [
            self.process(row[None], ids[:, : first + number]) for number, row in enumerate(logits)
        ]
        scores = torch.cat(rows).double().cpu()
        if self.greedy:
            return torch.zeros_like(scores).scatter(-1, scores.argmax(-1, keepdim=True), 1.0)
        return scores.softmax(-1)

    def forget(self, length: int) -> None:
        """Keep at most so many positions."""
        self.cache.truncate(min(length, self.cache.length))
