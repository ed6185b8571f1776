"""Byte-level byte-pair encoding, as GPT-2 does it: written here because it is taught.

Pieces are found by merging, again and again, the two neighbours that stand side by side most often
(Sennrich et al., 2016), starting from bytes, so that no text is unknown (Radford et al., 2019).
Merges never cross the border of a pre-token, roughly a word with the space before it.

Not here: the cut into pre-tokens (`pretokenize`), encoding word by word (`word_cache`), the files
of GPT-2 (`gpt2`), and the library that real runs use (`sentencepiece`). Chapter 01 teaches this.
"""

import heapq
import os
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import (
    END_OF_TEXT,
    N_BYTES,
    VocabularyTooLarge,
    added_tokens,
    each_text,
    read_json,
    to_bytes,
    write_json,
)
from llmcourse.tokenizers.pretokenize import pre_tokens
from llmcourse.tokenizers.word_cache import WordwisePieces

Pair = tuple[int, int]

BORDER = -1  # no id: where a word begins or ends, or a piece that a merge has absorbed

LONGEST_PIECE = 100_000
"""Bytes: what a stranger's file may make of its merges."""

IN_ORDER = bytes(range(N_BYTES))


@dataclass(frozen=True, kw_only=True)
class Numbering:
    """Numbering of a vocabulary whose ids another program gave out, in an order of its own.

    Attributes:
        pieces: the bytes that each id stands for; none for a special token.
        special_ids: the special tokens' ids, by name.
        end: the name of the one that follows every document.
    """

    pieces: tuple[bytes, ...]
    special_ids: Mapping[str, int]
    end: str = END_OF_TEXT


class BPETokenizer(WordwisePieces):
    """Byte-level BPE. Ids: 0-255 the bytes, then a piece for each merge in order, last END_OF_TEXT.

    Attributes:
        merges: the pairs of ids in the order in which they were learned; merge `r` makes id
            `256 + r`, unless a numbering says otherwise.
        byte_order: the bytes in the order of their ids, which are 0-255 unless a numbering says
            otherwise.
    """

    kind = "bpe"

    def __init__(
        self,
        merges: Iterable[Pair],
        byte_order: bytes = IN_ORDER,
        numbering: Numbering | None = None,
    ):
        """Make a tokenizer of its merges; `byte_order` holds each of the 256 bytes once.

        Args:
            merges: pairs of ids.
            byte_order: the byte that each of the ids 0-255 stands for.
            numbering: instead of it, what each id stands for.

        Raises:
            IndexError: a merge joins ids that no earlier one has made.
            KeyError: the numbering lacks a byte, or what a merge makes.
        """
        self.merges = [(left, right) for left, right in merges]
        self._numbered = numbering is not None
        if numbering is None:
            assert sorted(byte_order) == list(IN_ORDER)
            pieces = [bytes([value]) for value in byte_order]
            for left, right in self.merges:
                pieces.append(pieces[left] + pieces[right])
            super().__init__(pieces[N_BYTES:], byte_order)
            self._made: Sequence[int] = range(N_BYTES, len(pieces))
        else:
            self._pieces = list(numbering.pieces)
            self.special_ids = dict(numbering.special_ids)
            self.eot_id = self.special_ids[numbering.end]
            known = {piece: token_id for token_id, piece in enumerate(self._pieces) if piece}
            byte_order = bytes(sorted(IN_ORDER, key=lambda value: known[bytes([value])]))
            # Two merges may make one piece, which then has one id.
            self._made = [known[self._pieces[left] + self._pieces[right]] for left, right in merges]
        self.byte_order = byte_order
        self._rank = {pair: rank for rank, pair in enumerate(self.merges)}
        ids = {piece: token_id for token_id, piece in reversed([*enumerate(self._pieces)])}
        self._byte_ids = [ids[bytes([value])] for value in IN_ORDER]
        self._cache = {}

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
            UserError: the size is below 257.
            VocabularyTooLarge: the size is beyond what the text has pairs for.
        """
        n_learned = vocab_size - N_BYTES - 1
        if n_learned < 0:
            raise UserError(f"vocab_size={vocab_size} is too small: give at least {N_BYTES + 1}")
        words: Counter[str] = Counter()
        for text in each_text(texts):
            words.update(pre_tokens(text))
        corpus = PairIndex({to_bytes(word): count for word, count in words.items()})
        del words  # a large part of the memory, where words are seldom repeated
        return cls(corpus.learn(n_learned))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the merges, and the order of the bytes, as JSON."""
        content: dict[str, Any] = {"kind": self.kind}
        if self._numbered:
            content |= {"pieces": [piece.decode("latin-1") for piece in self._pieces]}
            end = next(name for name, index in self.special_ids.items() if index == self.eot_id)
            content |= {"special_ids": self.special_ids, "end": end}
        else:
            content |= {"byte_order": list(self.byte_order), **self._added_tokens()}
        write_json(path, {**content, "merges": self.merges})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "BPETokenizer":
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, damaged or of another kind.
        """
        content = read_json(path, cls.kind)
        merges, order = content.get("merges"), content.get("byte_order", list(IN_ORDER))
        if isinstance(merges, list) and all(map(_is_pair, merges)) and _is_byte_order(order):
            pairs = [(left, right) for left, right in merges]
            _refuse_endless(pairs, path)
            try:
                if "pieces" in content:
                    return cls(pairs, numbering=_saved_numbering(content))
                return cls(pairs, bytes(order)).with_special_tokens(added_tokens(content, path))
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                if isinstance(error, UserError):
                    raise
                # An id that no earlier merge has made, or a numbering that is none.
        raise UserError(f"{path} is damaged: its merges make no sense; train again")

    def _encode_word(self, word: str) -> list[int]:
        """Apply the merges in the order of their ranks, and from left to right within a rank.

        A heap of `rank * size + position` finds the next: n bytes take O(n log n).
        """
        ids = [BORDER, *map(self._byte_ids.__getitem__, to_bytes(word)), BORDER]
        ranks, made, size = self._rank, self._made, len(ids)
        left, right = list(range(-1, size - 1)), list(range(1, size + 1))
        heap = [ranks[pair] * size + at for at, pair in enumerate(pairwise(ids)) if pair in ranks]
        heapq.heapify(heap)
        while heap:
            rank, at = divmod(heapq.heappop(heap), size)
            absorbed = right[at]
            if ranks.get((ids[at], ids[absorbed])) != rank:
                continue  # one of the two has been merged with its other neighbour
            new = made[rank]
            ids[at], ids[absorbed] = new, BORDER
            before, after = left[at], right[absorbed]
            right[at], left[after] = after, at
            for start, pair in ((before, (ids[before], new)), (at, (new, ids[after]))):
                if pair in ranks:
                    heapq.heappush(heap, ranks[pair] * size + start)
        return [token_id for token_id in ids if token_id != BORDER]


def _saved_numbering(content: dict[str, Any]) -> Numbering:
    """The numbering in a file; something in it may be wrong, and then any error comes of it."""
    special_ids = content["special_ids"]
    pieces = tuple(piece.encode("latin-1") for piece in content["pieces"])
    # Each id is either a piece or a special token, and each piece has one.
    if sorted(special_ids.values()) != [index for index, piece in enumerate(pieces) if not piece]:
        raise IndexError("special ids that are pieces")
    if len({*filter(None, pieces)}) < len(pieces) - len(special_ids):
        raise IndexError("a piece twice")
    return Numbering(pieces=pieces, special_ids=special_ids, end=content["end"])


def _refuse_endless(merges: list[Pair], path: str | os.PathLike[str]) -> None:
    """Refuse merges whose pieces would fill the memory: each may be twice as long as the last.

    Raises:
        UserError: they would.
    """
    lengths = [1] * N_BYTES
    for left, right in merges:
        if max(left, right) >= len(lengths):
            return  # said by whoever makes the tokenizer
        lengths.append(lengths[left] + lengths[right])
        if lengths[-1] > LONGEST_PIECE:
            raise UserError(
                f"{path} is damaged: a piece of {lengths[-1]:,} bytes is no piece of any text; "
                "train the tokenizer again"
            )


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(token_id, int) and token_id >= 0 for token_id in value)
    )


def _is_byte_order(value: object) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(byte, int) for byte in value)
        and sorted(value) == list(IN_ORDER)
    )


class PairIndex:
    """The distinct words as one linked list of ids, every pair counted and located: BPE's trick.

    A merge touches the places where its pair stands and nothing else. So training takes time about
    linear in the words' length, however many merges there are and however long a single word is.
    Arrays hold the numbers in a few bytes each, where lists would take a hundred a place: Chinese,
    without blanks, has nearly as many different words as it has words.
    """

    def __init__(self, words: dict[bytes, int]):
        self.ids = _with_borders(word.translate(_TO_ORDER) for word in words)
        place = "i" if len(self.ids) < 2**31 else "q"  # the narrowest number that all places fit
        self.left = array(place, range(-1, len(self.ids) - 1))
        self.right = array(place, range(1, len(self.ids) + 1))
        self.weight = array("q", [BORDER])  # how often the word occurs that a place is in
        for word, count in words.items():
            self.weight.extend(repeat(count, len(word) + 1))
        self.counts: defaultdict[Pair, int] = defaultdict(int)
        self.places: defaultdict[Pair, array[int]] = defaultdict(lambda: array(place))
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
                raise VocabularyTooLarge(N_BYTES + n_learned + 1, N_BYTES + len(merges) + 1)
            for changed in self.merge(pair, N_BYTES + len(merges)):
                if changed in self.counts:  # a merge right beside may have taken it away again
                    heapq.heappush(heap, (-self.counts[changed], changed))
            merges.append(pair)
        return [(_from_order(left), _from_order(right)) for left, right in merges]

    def _most_frequent(self, heap: list[tuple[int, Pair]]) -> Pair | None:
        """Pop the best pair. A count that fell since it was pushed is put right on the way."""
        while heap:
            negative, pair = heapq.heappop(heap)
            count = self.counts.get(pair, 0)
            if count == -negative:
                return pair
            if count:
                heapq.heappush(heap, (-count, pair))
        return None

    def merge(self, pair: Pair, new: int) -> set[Pair]:
        """Replace the pair where it stands; return the pairs that have become more frequent."""
        ids, left, right, counts, places = self.ids, self.left, self.right, self.counts, self.places
        changed: set[Pair] = set()
        fewer: set[Pair] = {pair}
        for at in sorted(places.pop(pair)):
            absorbed = right[at]
            if (ids[at], ids[absorbed]) != pair:
                continue  # one of the two has been merged with its other neighbour
            weight, before, after = self.weight[at], left[at], right[absorbed]
            ids[at], ids[absorbed] = new, BORDER
            right[at], left[after] = after, at
            if ids[before] != BORDER:
                counts[ids[before], pair[0]] -= weight
                fewer.add((ids[before], pair[0]))
                counts[ids[before], new] += weight
                places[ids[before], new].append(before)
                changed.add((ids[before], new))
            if ids[after] != BORDER:
                counts[pair[1], ids[after]] -= weight
                fewer.add((pair[1], ids[after]))
                counts[new, ids[after]] += weight
                places[new, ids[after]].append(at)
                changed.add((new, ids[after]))
        for gone in fewer | changed:
            if gone == pair or not counts[gone]:
                del counts[gone]
                places.pop(gone, None)
        return changed


def _with_borders(words: Iterable[bytes]) -> "array[int]":
    """The words' bytes in a row, with a border before, between and after them."""
    ids = array("i", [BORDER])
    for word in words:
        ids.extend(word)
        ids.append(BORDER)
    return ids


def _gpt2_byte_order() -> bytes:
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return bytes(printed + [value for value in range(N_BYTES) if value not in printed])


GPT2_BYTE_ORDER = _gpt2_byte_order()
"""The bytes in the order of GPT-2's ids: those that Latin-1 prints, then the rest.

GPT-2 spells bytes as characters, the others as those from U+0100 on, and the `tokenizers` library
numbers its alphabet by them. It matters in training, too, where two pairs are equally frequent.
"""
_TO_ORDER = bytes.maketrans(GPT2_BYTE_ORDER, IN_ORDER)


def _from_order(token_id: int) -> int:
    return GPT2_BYTE_ORDER[token_id] if token_id < N_BYTES else token_id
