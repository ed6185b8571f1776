"""From examples to rows of tokens, and from rows to a batch.

Each word becomes tokens on its own, with the space before it, so that every token belongs to one
word; the first of them speaks for the word (Devlin et al., 2018). A text that is longer than the
context is cut at its end if it has one label; if its words have tags, it goes on in a row of its
own. Not here: labels (`examples.py`), the model (`heads.py`). Chapter 12 teaches this.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from llmcourse.errors import UserError
from llmcourse.finetune.base import Base
from llmcourse.finetune.examples import Example
from llmcourse.nn import masks
from llmcourse.objectives.base import IGNORE, Batch

_WIDE = ("\u2e80", "\ua000"), ("\uac00", "\ud7b0"), ("\uf900", "\ufb00")
"""Where the letters begin and end of scripts that put no space between words."""


@dataclass(frozen=True)
class EncodedRow:
    """An example, or some of its words, in tokens.

    Attributes:
        ids: the tokens.
        places: of each word, the place of its first token; empty for a text with one label.
        targets: the number of the label, or of each word's; empty where that is asked.
        example: the number of the example.
        first: the number of the first word.
    """

    ids: tuple[int, ...]
    places: tuple[int, ...]
    targets: tuple[int, ...]
    example: int
    first: int


def encode_text(
    base: Base, example: Example, targets: Sequence[int], most: int, number: int = 0
) -> EncodedRow:
    """The row of a whole text, framed as the base reads one; what is beyond `most` is cut off.

    Raises:
        UserError: there are none.
    """
    ids = base.encode(example.words[0])
    if not ids:
        raise UserError(f"{example.where}: the tokenizer makes nothing of this text")
    room = most - len(base.before) - len(base.behind)
    framed = (*base.before, *ids[:room], *base.behind)
    return EncodedRow(framed, (), tuple(targets), number, 0)


def encode_words(
    base: Base, example: Example, targets: Sequence[int], most: int, number: int = 0
) -> Iterator[EncodedRow]:
    """The rows of a text in words: one, or several where it is longer than `most` tokens.

    Raises:
        UserError: a word becomes no token, or more than fit.
    """
    room = most - len(base.before) - len(base.behind)
    pieces: list[list[int]] = []
    for place, word in enumerate(example.words):
        before = example.words[place - 1][-1] if place else ""
        spaced = place > 0 and not _is_wide(before) and not _is_wide(word[0])
        ids = base.encode(" " * spaced + word)
        if not ids:
            raise UserError(f"{example.where}: the tokenizer makes nothing of the word {word!r}")
        pieces.append(ids[:room])
    first = 0
    while first < len(pieces):
        last, size = first, 0
        while last < len(pieces) and size + len(pieces[last]) <= room:
            size += len(pieces[last])
            last += 1
        at, places = len(base.before), []
        for piece in pieces[first:last]:
            places.append(at)
            at += len(piece)
        ids = [*base.before, *(i for piece in pieces[first:last] for i in piece), *base.behind]
        yield EncodedRow(tuple(ids), tuple(places), tuple(targets[first:last]), number, first)
        first = last


def _is_wide(letter: str) -> bool:
    return any(begin <= letter < end for begin, end in _WIDE)


def collate_texts(rows: Sequence[EncodedRow]) -> Batch:
    """Rows of tokens, filled up to the longest, and a label for each; `IGNORE` where none is."""
    ids, lengths = _filled([row.ids for row in rows])
    return Batch(
        ids=ids,
        targets=torch.full_like(ids, IGNORE),
        extras={"mask": masks.padding(lengths, ids.size(1))},
        labels=torch.tensor([(*row.targets, IGNORE)[0] for row in rows]),
    )


def collate_words(rows: Sequence[EncodedRow]) -> Batch:
    """Rows of tokens, each word's label at its first token, and where those stand.

    `extras["words"]` holds the places, [B, W]; below 0 where a row has fewer words.
    """
    ids, lengths = _filled([row.ids for row in rows])
    targets = torch.full_like(ids, IGNORE)
    words = torch.full((len(rows), max(len(row.places) for row in rows)), -1)
    for number, row in enumerate(rows):
        words[number, : len(row.places)] = torch.tensor(row.places)
        if row.targets:
            targets[number, list(row.places)] = torch.tensor(row.targets)
    mask = masks.padding(lengths, ids.size(1))
    return Batch(ids=ids, targets=targets, extras={"mask": mask, "words": words})


def drop_words(batch: Batch, rate: float, token: int, rng: np.random.Generator) -> Batch:
    """The batch, with the share `rate` of its tokens replaced by one that means nothing."""
    if not rate:
        return batch
    drawn = torch.from_numpy(rng.random(tuple(batch.ids.shape)) < rate)
    ids = torch.where(drawn, torch.full_like(batch.ids, token), batch.ids)
    return Batch(ids=ids, targets=batch.targets, extras=batch.extras, labels=batch.labels)


def _filled(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
    return ids, lengths
