"""Documents to one stream of ids, or to rows of whole documents.

The stream is what a run trains on: documents one after the other, cut into windows elsewhere
(`windows`), so that no place is wasted and some documents are cut. Rows of whole documents cut none
(unless it is longer than a row) and waste little; each token knows its document, and where in it it
stands. Not here: the mask that keeps the documents of a row apart (`nn/masks.py`). Chapter 08
teaches this.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Integer, UInt32

from llmcourse.data.documents import Document
from llmcourse.errors import UserError
from llmcourse.tokenizers.base import Tokenizer

Fit = Callable[[Sequence[int], int], list[list[int]]]
"""From lengths and the room in a row to the rows: which pieces share each of them."""


def pack(
    documents: Iterable[Document], tokenizer: Tokenizer
) -> Iterator[UInt32[np.ndarray, " tokens"]]:
    """Each document's ids followed by END_OF_TEXT, an array a document, as they come.

    The end token tells the model that what follows is about something else; without it, the last
    sentence of one document would have to explain the first of the next.
    """
    for document in documents:
        yield document_ids(tokenizer, document)


def document_ids(tokenizer: Tokenizer, document: Document) -> UInt32[np.ndarray, " tokens"]:
    """One document's ids, and END_OF_TEXT."""
    return np.array([*tokenizer.encode(document.text), tokenizer.eot_id], dtype=np.uint32)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of whole documents, filled up with padding.

    Attributes:
        ids: the tokens.
        documents: the number of each token's document within its row, from 1; 0 is padding.
        positions: where in its document each token stands, from 0.
    """

    ids: Int64[np.ndarray, "B T"]
    documents: Int64[np.ndarray, "B T"]
    positions: Int64[np.ndarray, "B T"]

    @property
    def padding(self) -> float:
        """The share of places that hold no token."""
        return float((self.documents == 0).mean())

    def targets(self, ignore: int = -100) -> Int64[np.ndarray, "B T"]:
        """The next token of the same document at each place; `ignore` where there is none."""
        targets = np.full_like(self.ids, ignore)
        here, after = self.documents[:, :-1], self.documents[:, 1:]
        same = (here == after) & (here > 0)
        targets[:, :-1][same] = self.ids[:, 1:][same]
        return targets


def one_each(lengths: Sequence[int], room: int) -> list[list[int]]:
    """A row for each piece, however short: what packing is compared with."""
    return [[index] for index in range(len(lengths))]


def best_fit(lengths: Sequence[int], room: int) -> list[list[int]]:
    """The longest piece first, each into the fullest row that has room for it.

    Best-fit decreasing; for documents of a corpus Ding et al., 2024. However the lengths are, it
    needs about 11/9 of the fewest rows possible, at most (Johnson, 1973).

    Raises:
        UserError: a piece is longer than the room.
    """
    if max(lengths, default=0) > room:
        raise UserError(f"a piece of {max(lengths)} tokens does not fit into {room}: cut it first")
    rows: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(room + 1)]  # rows by how much room they have
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        length = lengths[index]
        left = next((r for r in range(length, room + 1) if with_room[r]), room)
        if with_room[left]:
            row = with_room[left].pop()
        else:
            row = len(rows)
            rows.append([])
        rows[row].append(index)
        with_room[left - length].append(row)
    return rows


def pack_rows(
    documents: Iterable[Integer[np.ndarray, " _"]],
    length: int,
    *,
    pad_id: int = 0,
    fit: Fit = best_fit,
) -> Rows:
    """Lay documents into rows of `length` tokens; one that is longer is cut into pieces first.

    Raises:
        UserError: there is no document, or `length` is below 1.
    """
    if length < 1:
        raise UserError(f"length={length} must be at least 1")
    pieces = [
        np.asarray(document[start : start + length], dtype=np.int64)
        for document in documents
        for start in range(0, len(document), length)
    ]
    if not pieces:
        raise UserError("there is nothing to pack: give at least one document that is not empty")
    rows = fit([len(piece) for piece in pieces], length)
    ids = np.full((len(rows), length), pad_id, dtype=np.int64)
    numbers, positions = np.zeros_like(ids), np.zeros_like(ids)
    for row, members in enumerate(rows):
        start = 0
        for number, index in enumerate(members, 1):
            place = slice(start, start + len(pieces[index]))
            ids[row, place] = pieces[index]
            numbers[row, place] = number
            positions[row, place] = np.arange(len(pieces[index]))
            start = place.stop
    return Rows(ids=ids, documents=numbers, positions=positions)


def restart_positions(documents: Int64[np.ndarray, "B T"]) -> Int64[np.ndarray, "B T"]:
    """Where each token stands within its document, from the documents' numbers alone.

    A document is a run of equal numbers: `[1, 1, 2, 2, 2]` gives `[0, 1, 0, 1, 2]`.
    """
    places = np.broadcast_to(np.arange(documents.shape[1]), documents.shape)
    begins = np.ones_like(documents, dtype=bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return (places - np.maximum.accumulate(np.where(begins, places, 0), axis=1)).astype(np.int64)
