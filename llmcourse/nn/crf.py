r"""Linear-chain conditional random field: tags for all tokens of a text, chosen together.

A tag sequence $y_1 \dots y_T$ of a text has the score

$$s(y) = a_{y_1} + \sum_t e_{t, y_t} + \sum_{t > 1} A_{y_{t-1}, y_t} + z_{y_T}$$

with emissions $e$ from a model below, transitions $A$, and scores for the first and the last tag.
Its probability is $e^{s(y)} / Z$, where $Z$ sums $e^{s}$ over all $C^T$ sequences (Lafferty,
McCallum and Pereira, 2001). One walk from left to right is enough for that sum (`log_partition`,
the forward algorithm), for the best sequence (`best`, Viterbi, 1967), and with a second walk back
for each tag's probability at each place (`marginals`).

Letters: C tags; i is the tag before, j the tag after. A mask is true for tokens and false for what
fills up a text; it is true at first. Not here: what tags mean (`evaluate/spans.py`). Chapter 12
teaches this.
"""

from collections.abc import Collection

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.errors import UserError, require

FORBIDDEN = -1e4
"""The score of a transition that may not be: e to its power is zero, and nothing becomes NaN."""


class LinearChainCRF(nn.Module):
    """CRF layer: the scores of first tags, of pairs of neighbours, and of last tags.

    Attributes:
        start: the score of each tag at the beginning, `[C]`.
        transitions: the score of tag j after tag i, `[C C]`.
        end: the score of each tag at the end, `[C]`.
        n_tags: how many tags there are, C.
    """

    _barred: Tensor

    def __init__(self, n_tags: int, forbidden: Collection[tuple[int | None, int | None]] = ()):
        """Make all scores zero: every sequence is as likely as its emissions make it.

        Args:
            n_tags: how many tags there are, C.
            forbidden: pairs of neighbours `(i, j)` that no sequence may have; None for i is the
                beginning, None for j the end.

        Raises:
            UserError: there is no tag, or a pair has a tag that is none.
        """
        super().__init__()
        require(n_tags > 0, f"n_tags={n_tags} must be at least 1")
        self.n_tags = n_tags
        self.start = nn.Parameter(torch.zeros(n_tags))
        self.transitions = nn.Parameter(torch.zeros(n_tags, n_tags))
        self.end = nn.Parameter(torch.zeros(n_tags))
        self.register_buffer("_barred", _barred(n_tags, forbidden), persistent=False)

    def score(
        self,
        emissions: Float[Tensor, "B T C"],
        tags: Int[Tensor, "B T"],
        mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, " B"]:
        """The score s of a tag sequence for each text; what fills up a text counts nothing."""
        start, transitions, end = self._scores()
        mask = _mask_of(emissions, mask)
        tags = tags.masked_fill(~mask, 0)
        at_tags = emissions.gather(-1, tags[..., None]).squeeze(-1)  # B T
        between = transitions[tags[:, :-1], tags[:, 1:]]  # B T-1
        last = tags.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)
        inside = (at_tags * mask).sum(1) + (between * mask[:, 1:]).sum(1)
        return start[tags[:, 0]] + inside + end[last]

    def log_partition(
        self, emissions: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, " B"]:
        """The logarithm of Z, by the forward algorithm: C² sums a place, and not C^T sequences."""
        _, _, end = self._scores()
        alphas = self._forward(emissions, _mask_of(emissions, mask))
        return torch.logsumexp(alphas[:, -1] + end, dim=-1)

    def log_likelihood(
        self,
        emissions: Float[Tensor, "B T C"],
        tags: Int[Tensor, "B T"],
        mask: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, " B"]:
        """The log-probability of each text's tags, in nats: `score` less `log_partition`."""
        return self.score(emissions, tags, mask) - self.log_partition(emissions, mask)

    @torch.no_grad()
    def best(
        self, emissions: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None = None
    ) -> list[list[int]]:
        """The likeliest tags of each text (Viterbi): the forward algorithm with max for sum.

        Where several are equally likely, the one with the smaller tags comes, from the end on.
        """
        mask = _mask_of(emissions, mask)
        start, transitions, end = self._scores()
        best = start + emissions[:, 0]  # B C: of all ways to each tag, the best one's score
        came_from = []
        for place in range(1, emissions.size(1)):
            through = best[:, :, None] + transitions  # B C(i) C(j)
            longer, before = through.max(dim=1)
            here = mask[:, place, None]
            best = torch.where(here, longer + emissions[:, place], best)
            stay = torch.arange(self.n_tags, device=best.device).expand_as(before)
            came_from.append(torch.where(here, before, stay))
        path = [(best + end).argmax(dim=-1)]
        for before in reversed(came_from):
            path.append(before.gather(1, path[-1][:, None]).squeeze(1))
        tags = torch.stack(path[::-1], dim=1)  # B T
        return [row[:length].tolist() for row, length in zip(tags, mask.sum(1), strict=True)]

    def marginals(
        self, emissions: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B T C"]:
        """The probability of each tag at each place, over all sequences; zeros where a text ends.

        It is the derivative of `log_partition` with respect to the emissions.
        """
        mask = _mask_of(emissions, mask)
        alphas, betas = self._forward(emissions, mask), self._backward(emissions, mask)
        return (alphas + betas).softmax(dim=-1) * mask[..., None]

    def _scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Start, transitions and end, with what is forbidden out of reach."""
        barred = self._barred
        return (
            self.start.masked_fill(barred[-1, :-1], FORBIDDEN),
            self.transitions.masked_fill(barred[:-1, :-1], FORBIDDEN),
            self.end.masked_fill(barred[:-1, -1], FORBIDDEN),
        )

    def _forward(
        self, emissions: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T C"]:
        """The log of the sum over all ways that end in tag j at each place, its emission included.

        Behind a text's end the sums stay as they were at its last token.
        """
        start, transitions, _ = self._scores()
        alphas = [start + emissions[:, 0]]
        for place in range(1, emissions.size(1)):
            through = alphas[-1][:, :, None] + transitions  # B C(i) C(j)
            longer = torch.logsumexp(through, dim=1) + emissions[:, place]
            alphas.append(torch.where(mask[:, place, None], longer, alphas[-1]))
        return torch.stack(alphas, dim=1)

    def _backward(
        self, emissions: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T C"]:
        """The log of the sum over all ways on from tag i at each place, to the end."""
        _, transitions, end = self._scores()
        betas = [end.expand_as(emissions[:, 0])]
        for place in range(emissions.size(1) - 1, 0, -1):
            onward = (emissions[:, place] + betas[-1])[:, None, :] + transitions  # B C(i) C(j)
            longer = torch.logsumexp(onward, dim=2)
            betas.append(torch.where(mask[:, place, None], longer, betas[-1]))
        return torch.stack(betas[::-1], dim=1)


def _barred(
    n_tags: int, forbidden: Collection[tuple[int | None, int | None]]
) -> Bool[Tensor, "C1 C1"]:
    """Which pairs may not be; the last row stands for the beginning, the last column for the end.

    Raises:
        UserError: a pair has a tag that is none.
    """
    barred = torch.zeros(n_tags + 1, n_tags + 1, dtype=torch.bool)
    for pair in forbidden:
        if not all(tag is None or 0 <= tag < n_tags for tag in pair):
            raise UserError(f"forbidden pair {pair}: tags are numbers below {n_tags}, or None")
        before, after = (n_tags if tag is None else tag for tag in pair)
        barred[before, after] = True
    return barred


def _mask_of(emissions: Float[Tensor, "B T C"], mask: Tensor | None) -> Bool[Tensor, "B T"]:
    """The mask, all true unless given.

    Raises:
        UserError: a text has no token, or its first one is masked.
    """
    require(emissions.size(1) > 0, "a CRF needs at least one token a text")
    if mask is None:
        return torch.ones(emissions.shape[:2], dtype=torch.bool, device=emissions.device)
    require(
        bool(mask[:, 0].all()) and not bool((mask[:, 1:] & ~mask[:, :-1]).any()),
        "a CRF's mask is true from a text's first token to its last, and false behind it",
    )
    return mask
