"""Spans as tags, and how well predicted spans match the right ones: span F1.

A span is a stretch of words with a label, say a person's name. For a model that labels words it is
written as a tag a word: `B-PER I-PER` in IOB2, with `E-` for the last and `S-` for the only word of
a span in IOBES (of Chinese words: B M E S). A span counts as found if its label, its beginning and
its end are all right (CoNLL-2003's measure; Tjong Kim Sang and De Meulder, 2003). Not here: who
predicts tags (`nn/crf.py`). Chapter 12 teaches this.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from llmcourse.errors import UserError, nearest, require

OUTSIDE = "O"

SCHEMES = {
    "IOB2": ("B", "I", "I", "B"),
    "IOBES": ("B", "I", "E", "S"),
    "BMES": ("B", "M", "E", "S"),
}
"""The prefixes of a span's first, inner, last and only word, by the scheme's name."""


class Span(NamedTuple):
    """A stretch of words, from `start` to before `end`, with its label."""

    label: str
    start: int
    end: int


def to_tags(spans: Sequence[Span], length: int, scheme: str = "IOB2") -> list[str]:
    """The tag of each of `length` words.

    Raises:
        UserError: no such scheme, a span outside the text, or two that overlap.
    """
    first, inner, last, only = _prefixes(scheme)
    tags = [OUTSIDE] * length
    for span in spans:
        require(
            0 <= span.start < span.end <= length,
            f"{span} does not lie within the {length} words of its text",
        )
        taken = tags[span.start : span.end]
        require(set(taken) == {OUTSIDE}, f"{span} overlaps another span: a word has one tag")
        n = span.end - span.start
        prefixes = [only] if n == 1 else [first, *[inner] * (n - 2), last]
        tags[span.start : span.end] = [f"{prefix}-{span.label}" for prefix in prefixes]
    return tags


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans that a sequence of tags says, in any of the schemes, broken ones included.

    A model may predict what no scheme allows. As in CoNLL's scorer, a span then begins wherever the
    label changes or a tag that goes on follows nothing, and ends before whatever does not go on.

    Raises:
        UserError: a tag is neither `O` nor a prefix of one of the schemes with a label.
    """
    spans: list[Span] = []
    start, (before, label) = 0, (OUTSIDE, "")
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, now = _parted(tag)
        if before != OUTSIDE and (before in "ES" or prefix in "BSO" or now != label):
            spans.append(Span(label, start, place))
            before = OUTSIDE
        if before == OUTSIDE:
            start = place
        before, label = prefix, now
    return spans


def valid_spans_of(tags: Sequence[str], scheme: str = "IOB2") -> list[Span]:
    """The spans of a sequence of tags that keep to a scheme; broken ones do not count.

    Raises:
        UserError: no such scheme, or as `spans_of`.
    """
    length = len(tags)
    _prefixes(scheme)
    return [span for span in _whole(tags, scheme) if to_tags([span], length, scheme)]


def _whole(tags: Sequence[str], scheme: str) -> list[Span]:
    """The stretches that are tagged as one span is."""
    found, place = [], 0
    while place < len(tags):
        _, label = _parted(tags[place])
        ends = range(len(tags), place, -1) if label else ()
        for end in ends:  # the longest first: in IOB2 a shorter one would be a beginning
            span = Span(label, place, end)
            goes_on = scheme == "IOB2" and end < len(tags) and tags[end] == f"I-{label}"
            wanted = to_tags([Span(label, 0, end - place)], end - place, scheme)
            if list(tags[place:end]) == wanted and not goes_on:
                found.append(span)
                place = end - 1
                break
        place += 1
    return found


def forbidden_pairs(
    tags: Sequence[str], scheme: str = "IOB2"
) -> set[tuple[int | None, int | None]]:
    """The pairs of neighbouring tags, by their places in `tags`, that a scheme does not allow.

    None stands for the beginning of a text, and for its end: what a CRF is told to forbid.

    Raises:
        UserError: no such scheme, or as `spans_of`.
    """
    first, inner, last, only = _prefixes(scheme)
    opens, closes = {first, only}, {last, only} | ({first} if scheme == "IOB2" else set())
    parted = {place: _parted(tag) for place, tag in enumerate(tags)}

    def allowed(before: tuple[str, str], after: tuple[str, str]) -> bool:
        goes_on = after[0] not in opens and after[0] != OUTSIDE
        if goes_on:
            return before[0] in {first, inner} and before[1] == after[1]
        return before[0] == OUTSIDE or before[0] in closes

    ends = {None: (OUTSIDE, "")}
    return {
        (i, j)
        for i, before in (parted | ends).items()
        for j, after in (parted | ends).items()
        if (i, j) != (None, None) and not allowed(before, after)
    }


@dataclass(frozen=True)
class SpanScore:
    """How many spans there are, were predicted, and were found.

    Attributes:
        right: predicted spans that are among the right ones.
        predicted: all predicted ones.
        gold: all right ones.
    """

    right: int = 0
    predicted: int = 0
    gold: int = 0

    @property
    def precision(self) -> float:
        """Of the predicted spans, the share that is right; 0 if nothing was predicted."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Of the right spans, the share that was predicted; 0 if there are none."""
        return self.right / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 if nothing is right."""
        both = self.predicted + self.gold
        return 2 * self.right / both if both else 0.0


@dataclass(frozen=True)
class SpanScores:
    """Scores of all spans together (micro), and by label.

    Attributes:
        micro: all spans counted together.
        by_label: each label's own, sorted by its name.
    """

    micro: SpanScore
    by_label: dict[str, SpanScore]

    @property
    def macro_f1(self) -> float:
        """The mean of the labels' F1: a rare label counts as much as a common one."""
        scores = [score.f1 for score in self.by_label.values()]
        return sum(scores) / len(scores) if scores else 0.0


def span_scores(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]]) -> SpanScores:
    """How well the predicted spans of each text match its right ones.

    Raises:
        UserError: there are not as many texts on both sides.
    """
    require(
        len(gold) == len(predicted),
        f"{len(gold)} texts have right spans and {len(predicted)} predicted ones: both for each",
    )
    there, said, right = Counter[str](), Counter[str](), Counter[str]()
    for ours, theirs in zip(gold, predicted, strict=True):
        there.update(span.label for span in set(ours))
        said.update(span.label for span in set(theirs))
        right.update(span.label for span in set(ours) & set(theirs))
    by_label = {
        label: SpanScore(right[label], said[label], there[label]) for label in sorted(there | said)
    }
    return SpanScores(SpanScore(right.total(), said.total(), there.total()), by_label)


def _prefixes(scheme: str) -> tuple[str, str, str, str]:
    if scheme not in SCHEMES:
        raise UserError(f"no scheme of tags is called {scheme!r}{nearest(scheme, SCHEMES)}")
    return SCHEMES[scheme]


def _parted(tag: str) -> tuple[str, str]:
    """A tag's prefix, with M as I, and its label; both of `O` say that nothing is here."""
    prefix, dash, label = tag.partition("-")
    if tag == OUTSIDE:
        return OUTSIDE, ""
    if not (dash and label and prefix in ("B", "I", "E", "S", "M")):
        raise UserError(f"{tag!r} is no tag: it is O, or B-, I-, E-, S- or M- with a label")
    return prefix, label
