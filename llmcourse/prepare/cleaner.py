"""The steps that a document goes through before it is kept, in order, each of which may drop it.

Not here: what a step does (`cleaning/`), and what becomes of what is kept (`pipeline.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llmcourse.cleaning.boilerplate import drop_boilerplate
from llmcourse.cleaning.dedup import Deduplicator
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

LONGEST_DOCUMENT = 1_000_000
"""Characters: what is longer is cut into shorter documents, so that no step needs much memory."""


@dataclass(frozen=True)
class Dropped:
    """Why a text is left out: the reason, by which they are counted, and what there is to add."""

    reason: str
    detail: str = ""


Step = Callable[[str, str], str | Dropped]
"""From a document's name and text to its new text, or to why there is none."""


class Cleaner:
    """Takes documents through the steps, and counts in a report what each of them did."""

    def __init__(self, settings: Settings, report: Report, index: DiskIndex):
        self._settings, self._report, self._index = settings, report, index
        self._near = Deduplicator(settings.similarity, index=index)
        self._steps: dict[str, Step] = {"repair and respell": self._mend}
        if settings.filter:
            self._steps["boilerplate"] = self._without_boilerplate
        self._steps["language"] = self._language
        if settings.filter:
            self._steps["quality"] = self._good
        self._steps["copies"] = self._new
        if settings.similarity < 1:
            self._steps["near-copies"] = self._unlike_others
        if settings.mask:
            self._steps["personal data"] = self._masked

    def clean(self, document: Document) -> Document | Dropped:
        """The document after all steps, or why there is none."""
        text = document.text
        size = len(to_bytes(text))
        for stage, step in self._steps.items():
            with self._report.timed(stage, size):
                result = step(document.name, text)
            if isinstance(result, Dropped):
                return result
            text = result
        return Document(text, document.name)

    def _mend(self, name: str, text: str) -> str | Dropped:
        repaired = repair(text)
        rules = self._settings.quality
        if self._settings.filter and garbage_fraction(repaired) > rules.max_garbage:
            return Dropped("garbage")
        mended = normalize(repaired)
        self._report.changed["repaired"] += repaired != text
        self._report.changed["respelled"] += mended != repaired
        return mended if mended.strip() else Dropped("no text")

    def _without_boilerplate(self, name: str, text: str) -> str | Dropped:
        rest = drop_boilerplate(text)
        if rest is text:
            return text
        self._report.boilerplate_lines += text.count("\n") - rest.count("\n") + (not rest)
        rest = normalize(rest)
        return rest if rest.strip() else Dropped("boilerplate")

    def _language(self, name: str, text: str) -> str | Dropped:
        found = language(text)
        self._report.languages[found] += 1
        return text if found in self._settings.languages else Dropped("language", found)

    def _good(self, name: str, text: str) -> str | Dropped:
        broken = complaint(text, self._settings.quality)
        return text if broken is None else Dropped(broken)

    def _new(self, name: str, text: str) -> str | Dropped:
        original = self._index.copy_of(name, text)
        return text if original is None else Dropped("copy", f"of {original}")

    def _unlike_others(self, name: str, text: str) -> str | Dropped:
        original = self._near.add(name, text)
        return text if original is None else Dropped("near-copy", f"of {original}")

    def _masked(self, name: str, text: str) -> str | Dropped:
        masked, counts = mask_personal_data(text)
        self._report.masked.update(counts)
        self._report.changed["masked"] += masked != text
        return masked


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
