"""The unigram tokenizer: the likeliest segmentation, under pieces found by EM and pruning.

Where byte-pair encoding starts from bytes and adds pieces, this starts from far too many and takes
away: seed with frequent substrings, fit their probabilities by expectation maximisation, drop those
that the text would miss least, and repeat (Kudo, 2018). It is SentencePiece's default, written here
because it is taught.

Not here: paths through the lattice (`lattice`), the cut into pre-tokens (`pretokens`), and the
library that real runs use (`sentencepiece`). Chapter 01 teaches this.
"""

import math
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import (
    N_BYTES,
    VocabularyTooLarge,
    added_tokens,
    each_text,
    read_json,
    to_bytes,
    write_json,
)
from llmcourse.tokenizers.lattice import UnigramModel
from llmcourse.tokenizers.pretokenize import pre_tokens
from llmcourse.tokenizers.word_cache import WordwisePieces

LONGEST_PIECE = 16
"""Characters in a learned piece, at most."""
LONGEST_WORD = 1000
"""Characters: a pre-token that is longer is cut before anything is learned from it."""
SEEDS_PER_PIECE = 10
"""How many pieces to start from, at most, for each that is wanted in the end."""
EM_STEPS = 2
"""Steps of expectation maximisation between two prunings."""
KEPT = 0.75
"""The fraction of pieces that survives a pruning."""
LEAST_COUNT = 0.01
"""What a piece counts at least: one that no text needs is unlikely, not impossible."""


class UnigramTokenizer(WordwisePieces):
    """Unigram tokenizer. Ids: 0-255 the bytes, then the pieces given, last END_OF_TEXT.

    An ASCII character is one byte and needs no id beside its byte's. A character that no piece
    stands for is spelled in its UTF-8 bytes.

    Attributes:
        model: the pieces' probabilities, and the paths through them.
    """

    kind = "unigram"

    def __init__(self, scores: Mapping[str, float]):
        """Make a tokenizer of pieces and the natural logarithms of their probabilities."""
        self.model = UnigramModel(scores)
        learned = [piece for piece in self.model.scores if _is_learned(piece)]
        super().__init__(map(to_bytes, learned))
        self._ids = {chr(value): value for value in range(0x80)}
        self._ids |= {piece: N_BYTES + rank for rank, piece in enumerate(learned)}
        self._cache = {}

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "UnigramTokenizer":
        """Learn `vocab_size - 257` pieces and the probability of each.

        Args:
            texts: where to count; read once, so a generator will do.
            vocab_size: ids in all: 256 bytes, the learned pieces and END_OF_TEXT.

        Raises:
            UserError: the size is below 257.
            VocabularyTooLarge: the size is beyond what the text has pieces for.
        """
        n_learned = vocab_size - N_BYTES - 1
        if n_learned < 0:
            raise UserError(f"vocab_size={vocab_size} is too small: give at least {N_BYTES + 1}")
        words: Counter[str] = Counter()
        for text in each_text(texts):
            words.update(_short(pre_tokens(text)))
        seeds = seed_counts(words, SEEDS_PER_PIECE * n_learned)
        largest = sum(map(_is_learned, seeds))
        if largest < n_learned:
            raise VocabularyTooLarge(vocab_size, N_BYTES + largest + 1)
        model = fit(UnigramModel(maximised(seeds)), words, n_learned)
        return cls(
            dict(sorted(model.scores.items(), key=lambda item: (-_steady(item[1]), item[0])))
        )

    def sample(self, text: str, alpha: float, rng: random.Random) -> list[int]:
        """The ids of a random segmentation: each word's is drawn in proportion to `p ** alpha`.

        A model that sees a word cut differently each time overfits less: subword regularisation.

        Args:
            text: what to cut.
            alpha: how faithful to the model: 0 draws any cut, 1 by probability, a large one the
                best. Kudo (2018) trains with 0.1 to 0.5.
            rng: where chance comes from.
        """
        ids: list[int] = []
        for word in pre_tokens(text):
            for piece in self.model.sample(word, alpha, rng):
                ids += self._ids_of(piece)
        return ids

    def log_probability(self, text: str) -> float:
        """The logarithm of a text's probability over all of its segmentations, in nats.

        A character without a piece counts as `model.unknown`, which is a penalty, not a
        probability.
        """
        return math.fsum(map(self.model.log_probability, pre_tokens(text)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the pieces and their scores as JSON."""
        content = {"kind": self.kind, "pieces": list(self.model.scores.items())}
        write_json(path, {**content, **self._added_tokens()})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "UnigramTokenizer":
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, damaged or of another kind.
        """
        content = read_json(path, cls.kind)
        pieces = content.get("pieces")
        if not isinstance(pieces, list) or not all(map(_is_scored, pieces)):
            raise UserError(f"{path} is damaged: its pieces make no sense; train again")
        scores: dict[str, float] = dict(pieces)
        if len(scores) < len(pieces):
            raise UserError(f"{path} is damaged: it lists a piece twice; train again")
        return cls(scores).with_special_tokens(added_tokens(content, path))

    def _encode_word(self, word: str) -> list[int]:
        return [token_id for piece in self.model.best(word) for token_id in self._ids_of(piece)]

    def _ids_of(self, piece: str) -> list[int]:
        known = self._ids.get(piece)
        return list(to_bytes(piece)) if known is None else [known]


def seed_counts(words: Mapping[str, int], most: int) -> dict[str, float]:
    """The characters of the words, and the longer substrings that stand there twice or more.

    Of these, the `most` that cover most text, their count times their length; with each its count.
    A substring is counted only where the one without its last character came twice: it could not
    come more often itself.
    """
    characters: Counter[str] = Counter()
    for word, occurrences in words.items():
        for char in word:
            characters[char] += occurrences
    frequent: dict[str, int] = {}
    places = [(word, start) for word in words for start in range(len(word))]
    for length in range(2, LONGEST_PIECE + 1):
        places = [(word, start) for word, start in places if start + length <= len(word)]
        counts: Counter[str] = Counter()
        for word, start in places:
            counts[word[start : start + length]] += words[word]
        places = [(w, start) for w, start in places if counts[w[start : start + length]] > 1]
        frequent |= {piece: count for piece, count in counts.items() if count > 1}
    by_coverage = sorted(frequent, key=lambda piece: (-frequent[piece] * len(piece), piece))
    chosen = {piece: frequent[piece] for piece in by_coverage[:most]}
    return {p: float(n) for p, n in (characters | chosen).items() if not _has_surrogate(p)}


def maximised(counts: Mapping[str, float]) -> dict[str, float]:
    """The maximisation step of EM: each piece's fraction of all counts, as a logarithm in nats."""
    raised = {piece: max(count, LEAST_COUNT) for piece, count in counts.items()}
    total = math.log(math.fsum(raised.values())) if raised else 0.0
    return {piece: math.log(count) - total for piece, count in raised.items()}


def fit(model: UnigramModel, words: Mapping[str, int], n_learned: int) -> UnigramModel:
    """Steps of EM and prunings in turn, until `n_learned` pieces beside ASCII's are left."""
    while True:
        counts: dict[str, float] = {}
        for _ in range(EM_STEPS):
            counts, _ = model.expected_counts(words)
            model = UnigramModel(maximised(counts))
        n_now = sum(map(_is_learned, model.scores))
        if n_now == n_learned:
            return model
        n_needed = sum(count >= 0.5 for piece, count in counts.items() if _is_learned(piece))
        n_kept = max(n_learned, min(int(KEPT * n_now), n_needed))
        model = pruned(model, counts, n_kept)


def pruned(model: UnigramModel, counts: Mapping[str, float], n_kept: int) -> UnigramModel:
    """The model without the pieces that would be missed least; ASCII characters always stay.

    A piece's loss is `count (score - alternative)`: how far the log-likelihood falls, in nats, if
    each of its occurrences is spelled in the next best way.
    """
    losses = {
        piece: counts[piece] * (score - model.alternative(piece))
        for piece, score in model.scores.items()
        if _is_learned(piece)
    }
    kept = set(sorted(losses, key=lambda piece: (-_steady(losses[piece]), piece))[:n_kept])
    return UnigramModel(
        {p: score for p, score in model.scores.items() if p in kept or not _is_learned(p)}
    )


def _short(words: Iterable[str]) -> Iterator[str]:
    """The words, those beyond `LONGEST_WORD` in several parts."""
    for word in words:
        for start in range(0, len(word), LONGEST_WORD):
            yield word[start : start + LONGEST_WORD]


def _is_learned(piece: str) -> bool:
    """Whether a piece needs an id of its own, which an ASCII character does not."""
    return len(piece) > 1 or piece >= "\x80"


def _steady(number: float) -> float:
    """A number without its last digits, which differ between machines and shall decide nothing."""
    return float(f"{number:.9g}")


def _has_surrogate(piece: str) -> bool:
    """Whether half a character is in it, which JSON would not keep apart from its other half."""
    return any("\ud800" <= char <= "\udfff" for char in piece)


def _is_scored(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and value[0] != ""
        and isinstance(value[1], float)
        and math.isfinite(value[1])
    )
