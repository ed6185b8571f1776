"""The split's two sides, neither of them empty, however small the text.

Whole documents are held out by a hash. Where that leaves less than a window on a side (one page has
one document or a few), the end of the text is held out. Not here: the hash (`data/documents.py`).
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import chain
from pathlib import Path

from llmcourse.data.documents import Document, size_in_words
from llmcourse.data.prepared import SPLITS, text_path
from llmcourse.data.reading import Say
from llmcourse.errors import UserError
from llmcourse.prepare.corpus import by_hash, read_text, write_text
from llmcourse.prepare.report import Report
from llmcourse.tokenizers.base import to_bytes

LEAST = 1_000
"""Bytes that a side must hold: a window of 128 tokens of eight bytes, which is a long one."""
LARGEST_SHARE = 0.2
"""Of a text so small that `LEAST` would take more than this share, no more is held out."""
ENDS = ("\n\n", "\n", ". ", "。", " ")
"""Where a text is cut, the best place first."""


def split_text(
    documents: Iterable[Document], held_out: float, folder: Path, report: Report, say: Say
) -> None:
    """Write the text of both sides into `folder`: by a hash, or else the last part is held out.

    Raises:
        UserError: the last part only repeats what stands before it.
    """
    write_text(by_hash(documents, held_out), folder, report)
    if is_enough(report):
        return
    total, least = _total_and_least(report)
    wanted = min(max(held_out * total, least), total - least)
    both = folder / "both"
    both.mkdir()
    try:
        for split in SPLITS:
            text_path(folder, split).rename(text_path(both, split))
            report.kept[split].clear()
        # What the hash has held out comes last, and so it is held out again.
        text = chain.from_iterable(read_text(both, split) for split in SPLITS)
        write_text(_by_place(text, total - wanted, total), folder, report)
    finally:
        for split in SPLITS:
            text_path(both, split).unlink(missing_ok=True)
        both.rmdir()
    if total and not all(report.kept[split]["bytes"] for split in SPLITS):
        raise UserError(
            "the text repeats itself: its last part, to be held out, stands in the rest word for "
            "word; give more text"
        )
    size = size_in_words(report.kept["valid"]["bytes"])
    say("held out", f"the last {size}: too few documents to hold whole ones out by chance")


def is_enough(report: Report) -> bool:
    """Whether each side of the split, as the hash has made it, holds enough to be one."""
    _, least = _total_and_least(report)
    return all(report.kept[split]["bytes"] >= least for split in SPLITS)


def _total_and_least(report: Report) -> tuple[int, float]:
    """How many bytes there are, and how many of them a side must hold."""
    total = sum(report.kept[split]["bytes"] for split in SPLITS)
    return total, min(LEAST, LARGEST_SHARE * total)


def _by_place(
    documents: Iterable[Document], keep: float, total: float
) -> Iterator[tuple[str, Document]]:
    """The first `keep` bytes for training, what follows for validation; cut where need be.

    A document that repeats one of the training side stays on it.
    """
    train, valid = SPLITS
    passed, before = 0, ""
    seen: set[bytes] = set()
    for document in documents:
        size = len(to_bytes(document.text))
        pieces = [(train if passed + size <= keep else valid, document)]
        # Whole documents, unless that would hold out everything, or far more than is wanted.
        if passed < keep < passed + size and (not passed or total - passed > 2 * (total - keep)):
            head, tail = cut_before(document.text, (keep - passed) / size)
            end = Document(tail, f"{document.name}, its end")
            pieces = [(train, Document(head, document.name)), (valid, end)]
        for split, piece in pieces:
            digest = sha256(to_bytes(piece.text)).digest()
            split = train if digest in seen or piece.text.strip() in before else split
            yield split, piece
            if split == train:
                seen.add(digest)
                before = piece.text
        passed += size


def cut_before(text: str, share: float) -> tuple[str, str]:
    """A text in two parts: at the last good place before a share of it, or right there."""
    place = max(1, int(len(text) * share))
    for end in ENDS:
        # The second part may become up to twice as long.
        found = text.rfind(end, max(0, 2 * place - len(text)), place)
        if found > 0:
            return text[: found + len(end)], text[found + len(end) :]
    return text[:place], text[place:]
