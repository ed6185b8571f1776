"""Copies and near-copies: exact fingerprints, and MinHash with locality-sensitive hashing.

A text that occurs a thousand times is learned by heart, and one that stands on both sides of the
held-out split makes a score a lie (Lee et al., 2022). Comparing all pairs of n documents takes n²
steps. MinHash (Broder, 1997) makes a signature of fixed length of each document, from which the
similarity of two can be estimated; cutting signatures into bands (Indyk and Motwani, 1998; Leskovec
et al., Mining of Massive Datasets, chapter 3) finds the likely pairs without looking at the others.

Signatures are those of the `datasketch` library. Not here: an index on disk, for corpora larger
than memory (`dedup_index`). Chapter 01 teaches this.
"""

import hashlib
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, UInt32

from llmcourse.cleaning.words import bare_words, n_unspaced
from llmcourse.errors import UserError
from llmcourse.tokenizers.base import each_text, to_bytes

LARGEST = np.uint32(2**32 - 1)
"""No hash is larger; what an empty set's signature is made of."""

N_HASHES, N_BANDS = 128, 16
"""How long a signature is, and into how many bands it is cut, unless told otherwise."""

_BLOCK = 512  # shingles that are permuted at once: what fits into a core's cache


def fingerprint(text: str) -> bytes:
    """Fingerprint: 16 bytes that two texts share only if nothing but white space differs."""
    return hashlib.blake2b(to_bytes(" ".join(text.split())), digest_size=16).digest()


def shingles(text: str, n: int = 5) -> set[str]:
    """Shingles, all stretches of `n` words, in small letters and without punctuation.

    Of Chinese, stretches of `n` characters. A text of fewer words is one shingle; none gives none.

    Raises:
        UserError: `n` is below 1.
    """
    if n < 1:
        raise UserError(f"n={n} words make no shingle: try 5")
    units = bare_words(text)
    if not units:
        return set()
    glue = "" if n_unspaced(text) * 2 > len(units) else " "
    if len(units) < n:
        return {glue.join(units)}
    return set(map(glue.join, zip(*(units[start:] for start in range(n)), strict=False)))


def jaccard(a: set[str], b: set[str]) -> float:
    """Jaccard similarity, the fraction in common, |a ∩ b| / |a ∪ b|; two empty sets are equal."""
    return len(a & b) / len(a | b) if a or b else 1.0


class MinHasher:
    """MinHash signatures of sets: for each of `n_hashes` permutations, the least hash.

    The probability that two sets agree in one place is their Jaccard similarity, for the least of
    the union under a random order is as likely to be any element as any other. The k-th permutation
    is `h -> a_k * h + b_k mod 2^32` with an odd `a_k`, after the hash has been mixed well.

    Attributes:
        n_hashes: how many permutations, the length of a signature.
        seed: what the permutations are drawn from.
    """

    def __init__(self, n_hashes: int = N_HASHES, seed: int = 1):
        if n_hashes < 1:
            raise UserError(f"n_hashes={n_hashes} make no signature: try 128")
        self.n_hashes, self.seed = n_hashes, seed
        rng = np.random.RandomState(seed)
        half = rng.randint(0, 2**31, n_hashes, dtype=np.uint32)
        self._a = (half * np.uint32(2) + np.uint32(1))[:, None]
        self._b = rng.randint(0, 2**32, n_hashes, dtype=np.uint32)[:, None]

    def signature(self, elements: Iterable[str]) -> UInt32[np.ndarray, " n_hashes"]:
        """The signature of a set of texts; that of the empty set is `LARGEST` throughout."""
        digests = b"".join(
            [hashlib.sha1(to_bytes(text)).digest()[:4] for text in each_text(elements)]
        )
        hashes = _mix(np.frombuffer(digests, dtype="<u4").astype(np.uint32))
        least = np.full(self.n_hashes, LARGEST)
        for start in range(0, len(hashes), _BLOCK):
            permuted = self._a * hashes[None, start : start + _BLOCK]
            permuted += self._b
            np.minimum(least, permuted.min(axis=1), out=least)
        return least

    def text_signature(self, text: str, n: int = 5) -> UInt32[np.ndarray, " n_hashes"] | None:
        """The signature of a text's shingles of `n` words; None for a text without a single word.

        Raises:
            UserError: `n` is below 1.
        """
        elements = shingles(text, n)
        return self.signature(elements) if elements else None


def _mix(hashes: UInt32[np.ndarray, " n"]) -> UInt32[np.ndarray, " n"]:
    """The finishing step of MurmurHash3, one-to-one: every input bit moves every output bit."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))


def estimate(a: UInt32[np.ndarray, " n"], b: UInt32[np.ndarray, " n"]) -> float:
    """The estimated Jaccard similarity: the fraction of places in which two signatures agree.

    Its standard deviation is √(s (1 - s) / n) for sets of similarity s and n places.
    """
    return float(estimates(a[None], b)[0])


def estimates(
    signatures: UInt32[np.ndarray, "documents n"], one: UInt32[np.ndarray, " n"]
) -> Float64[np.ndarray, " documents"]:
    """What `estimate` says of each of several signatures and one."""
    return (signatures == one).mean(axis=1)


def band_keys(signature: UInt32[np.ndarray, " n"], n_bands: int) -> list[bytes]:
    """Each band of a signature as bytes; places that fill no band are left out.

    Two documents that agree in *all* places of some band are candidates.

    Raises:
        UserError: the signature has fewer places than bands.
    """
    n_rows = len(signature) // n_bands if n_bands > 0 else 0
    if n_rows == 0:
        raise UserError(f"{len(signature)} places make no {n_bands} bands: try 16")
    data = signature[: n_bands * n_rows].tobytes()
    size = n_rows * signature.itemsize
    return [data[start : start + size] for start in range(0, len(data), size)]


def collision_probability(similarity: float, n_bands: int, n_rows: int) -> float:
    """Collision probability, that two sets become candidates: 1 - (1 - sʳ)ᵇ for b bands of r rows.

    All r places of a band agree with probability sʳ; no band does with (1 - sʳ)ᵇ. As a function of
    s this is a step, softened, near (1/b)^(1/r).
    """
    return 1 - (1 - similarity**n_rows) ** n_bands


@runtime_checkable
class Index(Protocol):
    """Index in which signatures are kept and looked up."""

    def candidates(self, keys: list[bytes]) -> Iterable[tuple[str, UInt32[np.ndarray, " n"]]]:
        """Name and signature of every document that shares a band's key, each once, in order."""
        ...

    def insert(self, name: str, signature: UInt32[np.ndarray, " n"], keys: list[bytes]) -> None:
        """Add a document."""
        ...


class MemoryIndex:
    """An index in memory: for each band a dictionary from its bytes to the documents there."""

    def __init__(self) -> None:
        self._documents: list[tuple[str, UInt32[np.ndarray, " n"]]] = []
        self._bands: dict[tuple[int, bytes], list[int]] = {}

    def candidates(self, keys: list[bytes]) -> list[tuple[str, UInt32[np.ndarray, " n"]]]:
        """Name and signature of every document that shares a band's key, each once, in order."""
        found = {n for key in enumerate(keys) for n in self._bands.get(key, ())}
        return [self._documents[n] for n in sorted(found)]

    def insert(self, name: str, signature: UInt32[np.ndarray, " n"], keys: list[bytes]) -> None:
        """Add a document."""
        for key in enumerate(keys):
            self._bands.setdefault(key, []).append(len(self._documents))
        self._documents.append((name, signature))


class Deduplicator:
    """Keeps the first of every group of near-copies.

    Attributes:
        threshold: the least estimated similarity at which two documents count as one.
        shingle_length: how many words make a shingle, or Chinese characters. With fewer, documents
            are alike that share no more than their words; with more, a changed word costs more.
        index: what has been kept.
    """

    def __init__(
        self,
        threshold: float = 0.8,
        *,
        shingle_length: int = 5,
        hasher: MinHasher | None = None,
        n_bands: int = N_BANDS,
        index: Index | None = None,
    ):
        """Begin with an empty index in memory, unless one is given.

        Raises:
            UserError: the threshold is not above 0 and at most 1, or a shingle has no word.
        """
        if not 0 < threshold <= 1:
            raise UserError(f"similarity threshold {threshold} is not above 0 and at most 1")
        shingles("", shingle_length)  # complains of a length that is none
        self.threshold = threshold
        self.shingle_length = shingle_length
        self.hasher = hasher or MinHasher()
        self.n_bands = n_bands
        self.index = MemoryIndex() if index is None else index

    def add(self, name: str, text: str) -> str | None:
        """The name of a kept document that this one nearly repeats; if there is none, keep this.

        A text without a single word resembles nothing, and is never kept in the index.
        """
        signature = self.hasher.text_signature(text, self.shingle_length)
        return None if signature is None else self.add_signature(name, signature)

    def add_signature(self, name: str, signature: UInt32[np.ndarray, " n"]) -> str | None:
        """What `add` does, for a text whose signature is known."""
        keys = band_keys(signature, self.n_bands)
        for other, known in self.index.candidates(keys):
            if estimate(signature, known) >= self.threshold:
                return other
        self.index.insert(name, signature, keys)
        return None
