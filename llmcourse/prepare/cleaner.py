"""The steps that a document goes through before it is kept, in order, each of which may drop it.

Not here: what a step does (`cleaning/`), and what becomes of what is kept (`pipeline.py`).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt32

from llmcourse.cleaning.boilerplate import drop_boilerplate
from llmcourse.cleaning.dedup import Deduplicator, MinHasher, fingerprint
from llmcourse.cleaning.dedup_index import DiskIndex
from llmcourse.cleaning.language import language
from llmcourse.cleaning.normalize import normalize
from llmcourse.cleaning.personal_data import mask_personal_data
from llmcourse.cleaning.quality import complaint, garbage_fraction
from llmcourse.cleaning.repair import repair
from llmcourse.data.documents import DOCUMENT_LENGTH, Document, chunk_text
from llmcourse.prepare.report import Report
from llmcourse.prepare.settings import Settings
from llmcourse.tokenizers.base import to_bytes

Step = Callable[[str, Report], "str | Dropped"]
"""From a text to its new text, or to why there is none; what was done is counted in the report."""

LONGEST_DOCUMENT = 1_000_000
"""Characters: what is longer is cut into shorter documents, so that no step needs much memory."""


@dataclass(frozen=True)
class Dropped:
    """Why a text is left out: the reason, by which they are counted, and what there is to add."""

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Cleaned:
    """A text after all steps that look at it alone, and what tells whether it is new.

    Attributes:
        text: what is kept, addresses masked.
        masked: how many addresses, by kind.
        fingerprint: that of the text before masking; equal for exact copies.
        signature: that of the text before masking; None where near-copies are not looked for, or
            there is no word to compare.
    """

    text: str
    masked: Counter[str]
    fingerprint: bytes
    signature: UInt32[np.ndarray, " n"] | None


class Cleaner:
    """Takes documents through the steps; what it does to one depends on no other.

    So several processes can clean side by side. What the steps did is counted in a report of its
    own for each document.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._hasher = MinHasher() if settings.similarity < 1 else None

    def clean(self, document: Document) -> tuple[Cleaned | Dropped, Report]:
        """The document after all steps, or why there is none; and what the steps did."""
        report = Report()
        text, size = document.text, len(to_bytes(document.text))
        for stage, step in self._steps():
            with report.timed(stage, size):
                result = step(text, report)
            if isinstance(result, Dropped):
                return result, report
            text = result
        with report.timed("signatures", size):
            key = fingerprint(text)
            signature = self._hasher.text_signature(text) if self._hasher else None
        masked, counts = text, Counter[str]()
        if self._settings.mask:
            with report.timed("personal data", size):
                masked, counts = mask_personal_data(text)
        return Cleaned(masked, counts, key, signature), report

    def _steps(self) -> Iterator[tuple[str, Step]]:
        yield "repair and respell", self._mend
        if self._settings.filter:
            yield "boilerplate", self._without_boilerplate
        yield "language", self._language
        if self._settings.filter:
            yield "quality", self._good

    def _mend(self, text: str, report: Report) -> str | Dropped:
        repaired = repair(text)
        rules = self._settings.quality
        if self._settings.filter and garbage_fraction(repaired) > rules.max_garbage:
            return Dropped("garbage")
        mended = normalize(repaired)
        report.changed["repaired"] += repaired != text
        report.changed["respelled"] += mended != repaired
        return mended if mended.strip() else Dropped("no text")

    def _without_boilerplate(self, text: str, report: Report) -> str | Dropped:
        rest = drop_boilerplate(text)
        if rest is text:
            return text
        report.boilerplate_lines += text.count("\n") - rest.count("\n") + (not rest)
        rest = normalize(rest)
        return rest if rest.strip() else Dropped("boilerplate")

    def _language(self, text: str, report: Report) -> str | Dropped:
        found = language(text)
        report.languages[found] += 1
        return text if found in self._settings.languages else Dropped("language", found)

    def _good(self, text: str, report: Report) -> str | Dropped:
        broken = complaint(text, self._settings.quality)
        return text if broken is None else Dropped(broken)


class Copies:
    """Leaves out what has been there before; the only step that remembers."""

    def __init__(self, similarity: float, index: DiskIndex):
        self._index = index
        self._near = Deduplicator(similarity, index=index)

    def check(self, name: str, cleaned: Cleaned) -> Cleaned | Dropped:
        """Which earlier document this one repeats; if there is none, remember this one."""
        reason, found = "copy", self._index.copy_of(name, cleaned.fingerprint)
        if found is None and cleaned.signature is not None:
            reason, found = "near-copy", self._near.add_signature(name, cleaned.signature)
        return cleaned if found is None else Dropped(reason, f"of {found}")


def cut(document: Document) -> Iterator[Document]:
    """The document itself, or an endless one in pieces, cut at the ends of lines if it has any."""
    if len(document.text) <= LONGEST_DOCUMENT:
        yield document
    else:
        yield from chunk_text(_lines(document.text), document.name)


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start, start + DOCUMENT_LENGTH) + 1 or start + DOCUMENT_LENGTH
        yield text[start:end]
        start = end
