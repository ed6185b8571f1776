"""Byte-level byte-pair encoding, as GPT-2 does it: written here because it is taught.

Pieces are found by merging, again and again, the two neighbours that stand side by side most often
(Sennrich et al., 2016), starting from bytes, so that no text is unknown (Radford et al., 2019).
Merges never cross the border of a pre-token, roughly a word with the space before it.

Not here: the cut into pre-tokens (`pretokens`), and the library that real runs use
(`sentencepiece`). Chapter 01 teaches this.
"""

import heapq
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

from llmcourse.errors import UserError
from llmcourse.text.base import N_BYTES, BytePieces, read_json, to_bytes, write_json
from llmcourse.text.pretokens import pre_tokens

Pair = tuple[int, int]

BORDER = -1  # no id: where a word begins or ends, or a piece that a merge has absorbed

MAX_CACHED_WORDS = 1 << 17
MAX_CACHED_LENGTH = 64


class BPETokenizer(BytePieces):
    """Byte-level BPE. Ids: 0-255 the bytes, then a piece for each merge in order, last END_OF_TEXT.

    Attributes:
        merges: the pairs of ids in the order in which they were learned; merge `r` makes id
            `256 + r`.
    """

    kind = "bpe"

    def __init__(self, merges: Iterable[Pair]):
        self.merges = [(left, right) for left, right in merges]
        pieces = [bytes([value]) for value in range(N_BYTES)]
        for left, right in self.merges:
            pieces.append(pieces[left] + pieces[right])
        super().__init__(pieces[N_BYTES:])
        self._merged = {pair: N_BYTES + rank for rank, pair in enumerate(self.merges)}
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "BPETokenizer":
        """Learn `vocab_size - 257` pieces.

        Of the pairs that are equally frequent, the one made of older pieces wins, and among bytes
        the one that comes first in GPT-2's table: the `tokenizers` library's order, so that the
        merges are the same as its.

        Args:
            texts: where to count; read once, so a generator will do.
            vocab_size: ids in all: 256 bytes, the learned pieces and END_OF_TEXT.

        Raises:
            UserError: the size is below 257, or beyond what the text has pairs for.
        """
        n_learned = vocab_size - N_BYTES - 1
        if n_learned < 0:
            raise UserError(f"vocab_size={vocab_size} is too small: give at least {N_BYTES + 1}")
        words: Counter[str] = Counter()
        for text in texts:
            words.update(pre_tokens(text))
        corpus = _Corpus({to_bytes(word): count for word, count in words.items()})
        return cls(corpus.learn(n_learned))

    def encode(self, text: str) -> list[int]:
        """The ids of a text. Words seen before are looked up, so a long text costs little."""
        ids: list[int] = []
        for word in pre_tokens(text):
            known = self._cache.get(word)
            if known is None:
                known = self._encode_word(to_bytes(word))
                if len(word) <= MAX_CACHED_LENGTH:
                    if len(self._cache) >= MAX_CACHED_WORDS:
                        self._cache.clear()
                    self._cache[word] = known
            ids += known
        return ids

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the merges as JSON."""
        write_json(path, {"kind": self.kind, "merges": self.merges})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "BPETokenizer":
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, damaged or of another kind.
        """
        merges = read_json(path, cls.kind).get("merges")
        try:
            if isinstance(merges, list) and all(map(_is_pair, merges)):
                return cls((left, right) for left, right in merges)
        except IndexError:  # an id that no earlier merge has made
            pass
        raise UserError(f"{path} is damaged: its merges make no sense; train again")

    def _encode_word(self, word: bytes) -> list[int]:
        """Apply the merges in the order of their ranks, and from left to right within a rank.

        A heap of `merged id * size + position` finds the next: n bytes take O(n log n).
        """
        ids, merged = _with_borders([word]), self._merged
        size = len(ids)
        left, right = list(range(-1, size - 1)), list(range(1, size + 1))
        heap = [merged[pair] * size + at for at, pair in enumerate(pairwise(ids)) if pair in merged]
        heapq.heapify(heap)
        while heap:
            new, at = divmod(heapq.heappop(heap), size)
            absorbed = right[at]
            if merged.get((ids[at], ids[absorbed])) != new:
                continue  # one of the two has been merged with its other neighbour
            ids[at], ids[absorbed] = new, BORDER
            before, after = left[at], right[absorbed]
            right[at], left[after] = after, at
            for start, pair in ((before, (ids[before], new)), (at, (new, ids[after]))):
                if pair in merged:
                    heapq.heappush(heap, merged[pair] * size + start)
        return [token_id for token_id in ids if token_id != BORDER]


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(token_id, int) and token_id >= 0 for token_id in value)
    )


class _Corpus:
    """The distinct words as one linked list of ids, every pair counted and located.

    A merge touches the places where its pair stands and nothing else. So training takes time about
    linear in the words' length, however many merges there are and however long a single word is.
    """

    def __init__(self, words: dict[bytes, int]):
        self.ids = _with_borders(word.translate(_TO_ORDER) for word in words)
        self.left = list(range(-1, len(self.ids) - 1))
        self.right = list(range(1, len(self.ids) + 1))
        self.weight = [BORDER]  # of the word that a place is in: how often the word occurs
        for word, count in words.items():
            self.weight += [count] * (len(word) + 1)
        self.counts: defaultdict[Pair, int] = defaultdict(int)
        self.places: defaultdict[Pair, list[int]] = defaultdict(list)
        for at, pair in enumerate(pairwise(self.ids)):
            if BORDER not in pair:
                self.counts[pair] += self.weight[at]
                self.places[pair].append(at)

    def learn(self, n_learned: int) -> list[Pair]:
        """Merge the most frequent pair `n_learned` times; return the pairs.

        No two merges can spell the same piece: all places of a pair are merged at once, so that
        later pairs meet the same pieces in the same order everywhere.
        """
        merges: list[Pair] = []
        heap = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(heap)
        while len(merges) < n_learned:
            pair = self._most_frequent(heap)
            if pair is None:
                raise UserError(
                    f"vocab_size={N_BYTES + n_learned + 1} is more than this text has pieces for: "
                    f"give more text, or at most {N_BYTES + len(merges) + 1}"
                )
            for changed in self._merge(pair, N_BYTES + len(merges)):
                if self.counts[changed]:  # a merge right beside may have taken it away again
                    heapq.heappush(heap, (-self.counts[changed], changed))
            merges.append(pair)
        return [(_from_order(left), _from_order(right)) for left, right in merges]

    def _most_frequent(self, heap: list[tuple[int, Pair]]) -> Pair | None:
        """Pop the best pair. A count that fell since it was pushed is put right on the way."""
        while heap:
            negative, pair = heapq.heappop(heap)
            count = self.counts[pair]
            if count == -negative:
                return pair
            if count:
                heapq.heappush(heap, (-count, pair))
        return None

    def _merge(self, pair: Pair, new: int) -> set[Pair]:
        """Replace the pair everywhere; return the pairs that have become more frequent."""
        ids, left, right, counts, places = self.ids, self.left, self.right, self.counts, self.places
        changed: set[Pair] = set()
        for at in sorted(places.pop(pair)):
            absorbed = right[at]
            if (ids[at], ids[absorbed]) != pair:
                continue  # one of the two has been merged with its other neighbour
            weight, before, after = self.weight[at], left[at], right[absorbed]
            ids[at], ids[absorbed] = new, BORDER
            right[at], left[after] = after, at
            if ids[before] != BORDER:
                counts[ids[before], pair[0]] -= weight
                counts[ids[before], new] += weight
                places[ids[before], new].append(before)
                changed.add((ids[before], new))
            if ids[after] != BORDER:
                counts[pair[1], ids[after]] -= weight
                counts[new, ids[after]] += weight
                places[new, ids[after]].append(at)
                changed.add((new, ids[after]))
        del counts[pair]
        return changed


def _with_borders(words: Iterable[bytes]) -> list[int]:
    """The words' bytes in a row, with a border before, between and after them."""
    ids = [BORDER]
    for word in words:
        ids += word
        ids.append(BORDER)
    return ids


def _byte_order() -> list[int]:
    """The bytes in the order of GPT-2's table: those that Latin-1 prints, then the rest.

    GPT-2 spells bytes as characters, the others as those from U+0100 on, and the `tokenizers`
    library numbers its alphabet by them. It matters where two pairs are equally frequent.
    """
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return printed + [value for value in range(N_BYTES) if value not in printed]


_BYTE_ORDER = _byte_order()
_TO_ORDER = bytes.maketrans(bytes(_BYTE_ORDER), bytes(range(N_BYTES)))


def _from_order(token_id: int) -> int:
    return _BYTE_ORDER[token_id] if token_id < N_BYTES else token_id
