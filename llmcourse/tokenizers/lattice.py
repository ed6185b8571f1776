"""The unigram language model of pieces: every way to cut a text, and what each is worth.

A text can be cut into pieces in many ways. If each piece `x` has a probability `p(x)` of its own,
a segmentation `x_1 ... x_m` has the probability `p(x_1) ... p(x_m)`, and a text the sum over all of
its segmentations (Kudo, 2018, equations 1 and 7). The ways are paths through a lattice, one node
between every two characters and an arc for each piece that fits. So the best of them, the sum over
them, how often each piece is expected and a random one take time in the number of arcs, while the
paths double with every character.

Not here: where pieces and their probabilities come from, and ids (`unigram`). Chapter 01 teaches
this.
"""

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

UNKNOWN_PENALTY = 10.0
"""Nats: how much less likely than the rarest piece a character is that has no piece, as in
SentencePiece. It is then spelled in bytes."""


Arc = tuple[int, int, float]
"""A piece that fits: its start and its end in the text, and the logarithm of its probability."""


class UnigramModel:
    """Pieces with the logarithms of their probabilities, in nats, and what follows from them.

    Attributes:
        scores: the score of each piece.
        unknown: the score of a character that no piece stands for.
    """

    def __init__(self, scores: Mapping[str, float]):
        self.scores = dict(scores)
        self.unknown = min(self.scores.values(), default=0.0) - UNKNOWN_PENALTY
        self._longest = max(map(len, self.scores), default=1)

    def arcs(self, text: str) -> Iterator[Arc]:
        """The pieces that fit into a text, ordered by where they start.

        Where no piece stands for a single character, an arc of the score `unknown` does.
        """
        size, known = len(text), self.scores.get
        for start in range(size):
            for end in range(start + 1, min(start + self._longest, size) + 1):
                score = known(text[start:end])
                if score is not None:
                    yield start, end, score
                elif end == start + 1:
                    yield start, end, self.unknown

    def best(self, text: str) -> list[str]:
        """The likeliest segmentation (Viterbi, 1967)."""
        return self._pieces(text, best_path(len(text), self.arcs(text)))

    def alternative(self, piece: str) -> float:
        """The score of the likeliest way to spell a piece without itself.

        For a single character it is that of an unknown one.
        """
        if len(piece) == 1:
            return self.unknown
        parts = [arc for arc in self.arcs(piece) if arc[1] - arc[0] < len(piece)]
        return math.fsum(score for _, _, score in best_path(len(piece), parts))

    def log_probability(self, text: str) -> float:
        r"""$\log \sum_{\text{segmentations}} \prod_i p(x_i)$, in nats."""
        return forward(len(text), self.arcs(text))[-1]

    def sample(self, text: str, alpha: float, rng: random.Random) -> list[str]:
        """A random segmentation, each drawn with a probability proportional to `p ** alpha`.

        With `alpha` 1 it is a draw from the model, with 0 all segmentations are alike, and a large
        one gives the best. Forward filtering, backward sampling: it walks back from the end, and
        takes each arc by its part in all ways to get there (Kudo, 2018, section 3.3, without the
        paper's cut to the n best).
        """
        arcs = [(start, end, alpha * score) for start, end, score in self.arcs(text)]
        reach = forward(len(text), arcs)
        ending = defaultdict(list)
        for arc in arcs:
            ending[arc[1]].append(arc)
        path: list[Arc] = []
        at = len(text)
        while at:
            weights = [math.exp(reach[start] + score - reach[at]) for start, _, score in ending[at]]
            path.append(rng.choices(ending[at], weights)[0])
            at = path[-1][0]
        return self._pieces(text, reversed(path))

    def expected_counts(self, words: Mapping[str, int]) -> tuple[dict[str, float], float]:
        """How often each piece is expected in words that occur so often, and the words' likelihood.

        The expectation step of EM: each segmentation counts with its probability given the text
        (Baum, 1972). For an arc from `i` to `j`, that is
        `exp(forward[i] + score + backward[j] - forward[end])`.

        Returns:
            The counts of all pieces, and the log-likelihood in nats.
        """
        counts = dict.fromkeys(self.scores, 0.0)
        likelihood = 0.0
        for word, occurrences in words.items():
            arcs = list(self.arcs(word))
            before, after = forward(len(word), arcs), backward(len(word), arcs)
            total = before[-1]
            likelihood += occurrences * total
            for start, end, score in arcs:
                piece = word[start:end]
                if piece in counts:
                    probability = math.exp(before[start] + score + after[end] - total)
                    counts[piece] += occurrences * probability
        return counts, likelihood

    @staticmethod
    def _pieces(text: str, path: Iterable[Arc]) -> list[str]:
        return [text[start:end] for start, end, _ in path]


def best_path(size: int, arcs: Iterable[Arc]) -> list[Arc]:
    """The path from 0 to `size` with the highest sum of scores; arcs are ordered by their starts.

    For each node, the best way to get there is the best over the arcs that end there, each after
    the best way to its own start.
    """
    highest = [0.0] + [-math.inf] * size
    last: list[Arc | None] = [None] * (size + 1)
    for arc in arcs:
        start, end, score = arc
        reached = highest[start] + score
        if reached > highest[end]:
            highest[end], last[end] = reached, arc
    path: list[Arc] = []
    arc = last[size]
    while arc is not None:
        path.append(arc)
        arc = last[arc[0]]
    return path[::-1]


def forward(size: int, arcs: Iterable[Arc]) -> list[float]:
    """For each node, the logarithm of the sum over all paths from 0 to it, in nats."""
    coming: list[list[float]] = [[0.0]] + [[] for _ in range(size)]
    reached: list[float] = []
    for start, end, score in arcs:
        while len(reached) <= start:  # every arc that ends here has been seen
            reached.append(_log_sum(coming[len(reached)]))
        coming[end].append(reached[start] + score)
    return reached + [_log_sum(scores) for scores in coming[len(reached) :]]


def backward(size: int, arcs: Iterable[Arc]) -> list[float]:
    """For each node, the logarithm of the sum over all paths from it to `size`, in nats."""
    mirrored = sorted((size - end, size - start, score) for start, end, score in arcs)
    return forward(size, mirrored)[::-1]


def _log_sum(scores: list[float]) -> float:
    """`log(sum(exp(scores)))`, safe for scores far from zero."""
    if len(scores) == 1:
        return scores[0]
    highest = max(scores, default=-math.inf)
    if highest == -math.inf:
        return highest
    return highest + math.log(sum(math.exp(score - highest) for score in scores))
