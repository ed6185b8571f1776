"""The exercises on tags, spans and pieces: who is labelled what, and what counts as found.

And the bug to be found, which is about padding. Not here: the exercises on the CRF (`crf.py`), the
exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 12 teaches this.
"""

from collections.abc import Iterator

from llmcourse.checks.answers import choice
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.evaluate import spans as reference
from llmcourse.evaluate.spans import Span
from llmcourse.objectives.base import IGNORE

CHAPTER = "12"

Spans = list[tuple[str, int, int]]


# 1. Tags and spans


@exercise(CHAPTER, read="1. What does it mean to label every token?")
def iobes_tags(spans: Spans, n_words: int) -> list[str]:
    """The IOBES tag of each word."""
    return reference.to_tags([Span(*span) for span in spans], n_words, "IOBES")


@iobes_tags.cases
def _() -> Iterator[Case]:
    yield case("by hand", [("PER", 0, 1), ("ITEM", 2, 5)], 6)
    yield case("no spans", [], 3)
    yield case("two words", [("LOC", 1, 3)], 3)
    yield case("side by side, in no order", [("PER", 3, 5), ("PER", 0, 1), ("PER", 1, 3)], 5)
    yield case("all of a long text", [("A-B", 0, 8)], 8)
    yield case("one word", [("X", 0, 1)], 1)
    yield case("one word in the middle", [("LOC", 2, 3)], 4)
    yield case("no words", [], 0)
    yield case("the same label twice", [("ITEM", 0, 4), ("ITEM", 5, 9)], 10)


def _written(spans, n_words, *, first="B", inner="I", last="E", only="S", end=0):
    tags = ["O"] * n_words
    for label, start, stop in spans:
        stop = min(stop + end, n_words)
        n = stop - start
        letters = [only] if n == 1 else [first, *[inner] * (n - 2), last]
        for at, letter in zip(range(start, stop), letters, strict=False):
            tags[at] = f"{letter}-{label}"
    return tags


@iobes_tags.mistake(
    "IOB2",
    hint="That is the chapter's scheme. IOBES also marks the last word of a span with E, and a "
    "span of one word with S.",
)
def _(spans, n_words):
    return _written(spans, n_words, last="I", only="B")


@iobes_tags.mistake(
    "B for a span of one word", hint="A span of a single word has a letter of its own: S."
)
def _(spans, n_words):
    return _written(spans, n_words, only="B")


@iobes_tags.mistake(
    "E for a span of one word",
    hint="Its first and its last word are the same. The E came last and overwrote the rest: S.",
)
def _(spans, n_words):
    return _written(spans, n_words, only="E")


@iobes_tags.mistake(
    "I for the last word", hint="The last word of a span of two or more is marked with E."
)
def _(spans, n_words):
    return _written(spans, n_words, last="I")


@iobes_tags.mistake("the letters of Chinese words", hint="Inside of a span IOBES has an I, not M.")
def _(spans, n_words):
    return _written(spans, n_words, inner="M")


@iobes_tags.mistake(
    "L for the last word and U for the only one",
    hint="That is BILOU, the same idea with other letters. Here they are E and S.",
)
def _(spans, n_words):
    return _written(spans, n_words, last="L", only="U")


@iobes_tags.mistake(
    "the end counted in", hint="A span goes from `start` to *before* `end`, as a slice does."
)
def _(spans, n_words):
    return _written(spans, n_words, end=1)


@iobes_tags.mistake(
    "labels without letters", hint="Each tag is a letter, a dash and the label: `B-PER`."
)
def _(spans, n_words):
    return [tag if tag == "O" else tag[2:] for tag in _written(spans, n_words)]


@iobes_tags.mistake(
    "letters without labels",
    hint="The letter says where in a span; of what kind it is stands behind a dash: `B-PER`.",
)
def _(spans, n_words):
    return [tag[0] for tag in _written(spans, n_words)]


@iobes_tags.mistake(
    "S for every word of a span", hint="S is for spans of one word. Others have B, I and E."
)
def _(spans, n_words):
    return _written(spans, n_words, first="S", inner="S", last="S")


@iobes_tags.mistake(
    "the words outside left out", hint="There is a tag for *each* word; O for those outside."
)
def _(spans, n_words):
    return [tag for tag in _written(spans, n_words) if tag != "O"]


@iobes_tags.mistake(
    "one string", hint="Return a list with a tag for each word, not one line of text."
)
def _(spans, n_words):
    return " ".join(_written(spans, n_words))


@iobes_tags.mistake(
    "spans taken to come in their order",
    hint="You fill up with O until the next span begins. Spans come in any order: sort them by "
    "where they begin, or write each into a list that is long enough from the beginning.",
)
def _(spans, n_words):
    tags = []
    for label, start, end in spans:
        tags += ["O"] * (start - len(tags))
        tags += _written([(label, 0, end - start)], end - start)
    return tags + ["O"] * (n_words - len(tags))


@iobes_tags.mistake(
    "the label in front of the letter", hint="The letter comes first: `B-PER`, not `PER-B`."
)
def _(spans, n_words):
    return [tag if tag == "O" else f"{tag[2:]}-{tag[0]}" for tag in _written(spans, n_words)]


@iobes_tags.mistake(
    "another sign between letter and label", hint="Letter and label are joined by a dash: `B-PER`."
)
def _(spans, n_words):
    return [tag.replace("-", "_", 1) for tag in _written(spans, n_words)]


def _as_tuples(answer, tags):
    """Any list of triples will do, named or not."""
    found = answer(tags)
    triple = isinstance(found, list | tuple) and all(
        isinstance(span, list | tuple) and len(span) == 3 for span in found
    )
    return [tuple(span) for span in found] if triple else found


@exercise(CHAPTER, call=_as_tuples, read="1. What does it mean to label every token?")
def spans_from_tags(tags: list[str]) -> Spans:
    """The spans that IOB2 tags say, read leniently."""
    return [tuple(span) for span in reference.spans_of(tags)]


@spans_from_tags.cases
def _() -> Iterator[Case]:
    for name, tags in {
        "by hand": "B-PER I-PER O I-LOC B-LOC",
        "nothing": "O O O",
        "no words": "",
        "to the last word": "O B-ITEM I-ITEM I-ITEM",
        "neighbours of one kind": "B-PER B-PER I-PER B-PER",
        "neighbours of two kinds": "B-PER B-LOC I-LOC O B-ITEM",
        "an I of another label": "B-PER I-LOC I-LOC I-PER O",
        "an I after O": "O I-PER I-PER O I-PER",
        "an I at the beginning": "I-LOC I-LOC B-LOC",
        "labels with a common beginning": "B-PER I-PERSON I-PERSON B-PER",
        "labels with dashes": "B-GEO-CITY I-GEO-CITY O B-GEO-SEA I-GEO-CITY",
        "one word": "B-X",
        "labels named like letters": "B-B I-B I-I O B-O I-O",
    }.items():
        yield case(name, tags.split())


def _read(tags, *, goes=lambda tag, before: tag[0] == "I" and tag[2:] == before[2:], lone=True):
    """Spans by a walk: when a tag goes on, and whether an I alone begins a span."""
    found, before = [], "O"
    for at, tag in enumerate(tags):
        if tag != "O":
            if found and before != "O" and goes(tag, before):
                found[-1] = (found[-1][0], found[-1][1], at + 1)
            elif lone or tag[0] == "B":
                found.append((tag[2:], at, at + 1))
            else:
                tag = "O"
        before = tag
    return found


@spans_from_tags.mistake(
    "an I alone is dropped",
    hint="That is the strict reading. Here it is lenient: an I with nothing to go on with *begins* "
    "a span.",
)
def _(tags):
    return _read(tags, lone=False)


@spans_from_tags.mistake(
    "an I goes on with any label",
    hint="An I goes on only with a span of its *own* label. Compare the labels, too.",
)
def _(tags):
    return _read(tags, goes=lambda tag, before: tag[0] == "I")


@spans_from_tags.mistake(
    "neighbours of one kind become one",
    hint="A B always begins a new span, even after one of the same label. That is what B is for.",
)
def _(tags):
    return _read(tags, goes=lambda tag, before: tag[2:] == before[2:])


@spans_from_tags.mistake(
    "the last span is lost",
    hint="A span that runs to the last word has no O behind it. Close what is open after the loop.",
)
def _(tags):
    found = _read(tags)
    return [span for span in found if span[2] < len(tags)]


@spans_from_tags.mistake(
    "the end is the last word", hint="`end` is one past the last word, as in a slice."
)
def _(tags):
    return [(label, start, end - 1) for label, start, end in _read(tags)]


@spans_from_tags.mistake("counted from 1", hint="The first word has the number 0.")
def _(tags):
    return [(label, start + 1, end + 1) for label, start, end in _read(tags)]


@spans_from_tags.mistake(
    "a span a word", hint="Words of one span belong together: an I makes the span longer."
)
def _(tags):
    return [(tag[2:], at, at + 1) for at, tag in enumerate(tags) if tag != "O"]


@spans_from_tags.mistake(
    "the beginnings alone", hint="Each span has an end, too: go on while the I's do."
)
def _(tags):
    return [(label, start, start + 1) for label, start, _ in _read(tags)]


@spans_from_tags.mistake("where first, label last", hint="The order is label, start, end.")
def _(tags):
    return [(start, end, label) for label, start, end in _read(tags)]


@spans_from_tags.mistake(
    "the length in place of the end", hint="The third number is where the span ends, not how long."
)
def _(tags):
    return [(label, start, end - start) for label, start, end in _read(tags)]


@spans_from_tags.mistake(
    "the label up to the second dash",
    hint="A label may hold a dash itself. Split at the first one: `tag[2:]`.",
)
def _(tags):
    return [(label.split("-")[0], start, end) for label, start, end in _read(tags)]


@spans_from_tags.mistake("the whole tag as label", hint="The label is what stands behind the dash.")
def _(tags):
    return [(tags[start], start, end) for _, start, end in _read(tags)]


@spans_from_tags.mistake(
    "an I goes on over an O",
    hint="You compare with the last *span*, however long ago it ended. An O in between closes it: "
    "compare with the tag right before.",
)
def _(tags):
    found = []
    for at, tag in enumerate(tags):
        if tag[0] == "I" and found and found[-1][0] == tag[2:]:
            found[-1] = (tag[2:], found[-1][1], at + 1)
        elif tag != "O":
            found.append((tag[2:], at, at + 1))
    return found


@spans_from_tags.mistake(
    "one span a label",
    hint="A text may have several spans of one label: collect them in a list, not by label.",
)
def _(tags):
    return list({span[0]: span for span in _read(tags)}.values())


@spans_from_tags.mistake(
    "the B's alone", hint="A span begins at its B and goes on while I's of its label follow."
)
def _(tags):
    return [(tag[2:], at, at + 1) for at, tag in enumerate(tags) if tag[0] == "B"]


@spans_from_tags.mistake(
    "the words' numbers as a list", hint="A span is (label, start, end): two numbers, not a list."
)
def _(tags):
    return [(label, list(range(start, end))) for label, start, end in _read(tags)]


# 2. First pieces


@exercise(CHAPTER, read="2. Words and pieces: whose tag is it?")
def piece_targets(word_ids: list[int | None], tags: list[int]) -> list[int]:
    """The tag of each word at its first piece, -100 elsewhere."""
    targets, before = [], None
    for word in word_ids:
        new = word is not None and word != before
        targets.append(tags[word] if new else IGNORE)
        before = word
    return targets


@piece_targets.cases
def _() -> Iterator[Case]:
    yield case("by hand", [None, 0, 1, 1, 2, None], [3, 7, 0])
    yield case("no special tokens", [0, 0, 1, 2, 2, 2], [1, 0, 4])
    yield case("one piece a word", [0, 1, 2], [5, 5, 6])
    yield case("neighbours with the same tag", [None, 0, 1, 1, 2, 2, None], [2, 2, 2])
    yield case("a cutting", [None, 4, 4, 5, 6, None, None], [9, 9, 9, 9, 1, 0, 3, 8])
    yield case("a cutting that begins with special tokens alone", [None, None, 2, 2], [7, 8, 4])
    yield case("special tokens alone", [None, None], [1])
    yield case("a long word", [None, 0, 0, 0, 0, 0, None], [6])
    yield case("an empty row", [], [1, 2])
    yield case("padding", [None, 0, 1, None, None, None], [0, 1])
    yield case("a word without pieces", [None, 2, 4, 4, 5, None], [8, 8, 6, 9, 1, 0, 7])
    yield case("a tag that comes again", [0, 1, 1, 2], [5, 0, 5])


@piece_targets.mistake(
    "every piece of a word",
    hint="Only the *first* piece of a word is scored. The others have −100, or long words would "
    "count several times.",
)
def _(word_ids, tags):
    return [IGNORE if word is None else tags[word] for word in word_ids]


@piece_targets.mistake(
    "the last piece of each word", hint="It is the word's *first* piece that has its tag."
)
def _(word_ids, tags):
    return piece_targets.right(word_ids[::-1], tags)[::-1]


@piece_targets.mistake(
    "0 for what is not scored", hint="0 is a tag like any other. What is left out has −100."
)
def _(word_ids, tags):
    return [0 if t == IGNORE else t for t in piece_targets.right(word_ids, tags)]


@piece_targets.mistake("-1 for what is not scored", hint="PyTorch's loss leaves out −100.")
def _(word_ids, tags):
    return [-1 if t == IGNORE else t for t in piece_targets.right(word_ids, tags)]


@piece_targets.mistake(
    "None for what is not scored", hint="A target is a number: −100 where nothing is asked."
)
def _(word_ids, tags):
    return [None if t == IGNORE else t for t in piece_targets.right(word_ids, tags)]


@piece_targets.mistake(
    "the tags in the order of the row",
    hint="You take the next tag at each new word. A cutting does not begin at word 0: look "
    "a tag up by its word's number.",
)
def _(word_ids, tags):
    found, n, before = [], 0, None
    for word in word_ids:
        if word is None or word == before:
            found.append(IGNORE)
        else:
            found.append(tags[n])
            n += 1
        before = word
    return found


@piece_targets.mistake(
    "tags counted by pieces",
    hint="Pieces and words are not side by side: piece p belongs to word `word_ids[p]`.",
)
def _(word_ids, tags):
    padded = [*tags, *[IGNORE] * len(word_ids)]
    firsts = piece_targets.right(word_ids, tags)
    return [IGNORE if t == IGNORE else padded[p] for p, t in enumerate(firsts)]


@piece_targets.mistake(
    "special tokens left out", hint="There is a target for *each* piece, [CLS] and [SEP] included."
)
def _(word_ids, tags):
    firsts = piece_targets.right(word_ids, tags)
    return [t for t, word in zip(firsts, word_ids, strict=True) if word is not None]


@piece_targets.mistake(
    "a new tag is taken for a new word",
    hint="You compare tags. Two words that follow each other may have the same: compare the words.",
)
def _(word_ids, tags):
    found, before = [], None
    for word in word_ids:
        tag = None if word is None else tags[word]
        found.append(IGNORE if tag is None or tag == before else tag)
        before = tag
    return found


@piece_targets.mistake(
    "the word's number in place of its tag", hint="`word_ids[p]` is a word; its tag is `tags[...]`."
)
def _(word_ids, tags):
    firsts = piece_targets.right(word_ids, tags)
    return [t if t == IGNORE else word for t, word in zip(firsts, word_ids, strict=True)]


@piece_targets.mistake(
    "the words alone",
    hint="One target for each *piece*; −100 for those that are not a word's first.",
)
def _(word_ids, tags):
    return [t for t in piece_targets.right(word_ids, tags) if t != IGNORE]


@piece_targets.mistake(
    "word 0 is taken for no word",
    hint="In Python 0 counts as False. Ask `word is None`, not `not word`.",
)
def _(word_ids, tags):
    found, before = [], None
    for word in word_ids:
        found.append(tags[word] if word and word != before else IGNORE)
        before = word
    return found


@piece_targets.mistake(
    "the word before the first is taken to be 0",
    hint="Before the first piece there is no word. Begin with None, or the row's first word is "
    "missed where it is number 0.",
)
def _(word_ids, tags):
    found, before = [], 0
    for word in word_ids:
        found.append(tags[word] if word is not None and word != before else IGNORE)
        before = word
    return found


@piece_targets.mistake(
    "all but the first piece", hint="It is the other way round: the *first* piece is scored."
)
def _(word_ids, tags):
    firsts = piece_targets.right(word_ids, tags)
    return [
        IGNORE if word is None or t != IGNORE else tags[word]
        for t, word in zip(firsts, word_ids, strict=True)
    ]


# 3. Span F1


def _counts(gold, predicted):
    pairs = list(zip(gold, predicted, strict=True))
    right = sum(len(set(map(tuple, g)) & set(map(tuple, p))) for g, p in pairs)
    return right, sum(len(p) for _, p in pairs), sum(len(g) for g, _ in pairs)


def _f1(right, said, there):
    return 2 * right / (said + there) if said + there else 0.0


@exercise(CHAPTER, read="3. How do you score spans?")
def span_f1(gold: list[Spans], predicted: list[Spans]) -> float:
    """The micro F1 of spans."""
    as_spans = ([[Span(*span) for span in text] for text in texts] for texts in (gold, predicted))
    return reference.span_scores(*as_spans).micro.f1


@span_f1.cases
def _() -> Iterator[Case]:
    a, b, c = ("PER", 0, 1), ("LOC", 3, 4), ("ITEM", 5, 8)
    yield case("by hand", [[a, b], []], [[a, ("LOC", 3, 5)], []])
    yield case("all right", [[a, b], [c]], [[b, a], [c]])
    yield case("all wrong", [[a]], [[("LOC", 0, 1)]])
    yield case("nothing predicted", [[a, b], [c]], [[], []])
    yield case("nothing there", [[], []], [[a], []])
    yield case("no spans at all", [[], []], [[], []])
    yield case("no texts", [], [])
    yield case("the span of another text", [[a], [b], [c]], [[b], [a], [c]])
    yield case("many predicted", [[a], [b]], [[a, b, c], [b, c]])
    yield case("few predicted", [[a, b, c], [a, b]], [[a], []])
    yield case("a wrong beginning", [[c, a], [a]], [[("ITEM", 6, 8), a], []])
    yield case("texts of different sizes", [[a, b, c], [a]], [[a, b, ("X", 5, 8)], [b]])
    yield case("an empty text beside others", [[], [a, b]], [[], [a]])
    yield case("one text without right ones", [[a], [a, b, c]], [[c, b], [a, b, c]])
    yield case("one label at two places", [[a, b]], [[("PER", 5, 6), ("LOC", 6, 7)]])
    yield case("a label in small letters", [[a, c]], [[("per", *a[1:]), c]])
    yield case("something said of an empty text", [[], [a, b]], [[c], [a]])
    wide, first = ("ITEM", 5, 9), ("ITEM", 0, 4)
    yield case(
        "within one, and beyond one", [[wide], [first]], [[("ITEM", 7, 8)], [("ITEM", 2, 9)]]
    )


@span_f1.mistake(
    "precision",
    hint="That is the share of the predicted that is right. F1 also asks how many of the gold ones "
    "were found.",
)
def _(gold, predicted):
    right, said, _ = _counts(gold, predicted)
    return right / said if said else 0.0


@span_f1.mistake(
    "recall",
    hint="That is the share of the gold ones that was found. F1 also asks how many of those "
    "predicted are right.",
)
def _(gold, predicted):
    right, _, there = _counts(gold, predicted)
    return right / there if there else 0.0


@span_f1.mistake(
    "the mean of precision and recall",
    hint="F1 is their *harmonic* mean, 2PR / (P + R): it is low as soon as one of them is.",
)
def _(gold, predicted):
    right, said, there = _counts(gold, predicted)
    return ((right / said if said else 0.0) + (right / there if there else 0.0)) / 2


@span_f1.mistake(
    "the mean of the texts' F1",
    hint="Count over all texts together, and divide once. A text with one span would weigh as much "
    "as one with ten.",
)
def _(gold, predicted):
    scores = [_f1(*_counts([g], [p])) for g, p in zip(gold, predicted, strict=True)]
    return sum(scores) / len(scores) if scores else 0.0


@span_f1.mistake(
    "the mean of the texts' F1, an empty text counted as perfect",
    hint="Count over all texts together: a text without spans adds nothing to either count.",
)
def _(gold, predicted):
    pairs = list(zip(gold, predicted, strict=True))
    scores = [_f1(*_counts([g], [p])) if g or p else 1.0 for g, p in pairs]
    return sum(scores) / len(scores) if scores else 0.0


@span_f1.mistake(
    "texts thrown together",
    hint="The same place in *another* text is another span: compare text by text.",
)
def _(gold, predicted):
    ours, theirs = ({tuple(span) for text in texts for span in text} for texts in (gold, predicted))
    return _f1(len(ours & theirs), len(theirs), len(ours))


@span_f1.mistake(
    "texts thrown together, as lists",
    hint="You look each predicted span up among the gold ones of *all* texts. The same place in "
    "another text is another span.",
)
def _(gold, predicted):
    everything = [span for text in gold for span in text]
    right = sum(span in everything for text in predicted for span in text)
    _, said, there = _counts(gold, predicted)
    return _f1(right, said, there)


@span_f1.mistake(
    "labels left out", hint="A span with the right place and the wrong label is wrong."
)
def _(gold, predicted):
    bare = ([[("", *span[1:]) for span in text] for text in texts] for texts in (gold, predicted))
    return _f1(*_counts(*bare))


@span_f1.mistake("the beginning alone counts", hint="Label, beginning *and* end have to be right.")
def _(gold, predicted):
    bare = ([[span[:2] for span in text] for text in texts] for texts in (gold, predicted))
    return _f1(*_counts(*bare))


@span_f1.mistake(
    "the end alone counts", hint="Where a span begins counts, too: label, beginning and end."
)
def _(gold, predicted):
    bare = ([[span[::2] for span in text] for text in texts] for texts in (gold, predicted))
    return _f1(*_counts(*bare))


@span_f1.mistake(
    "the 2 is missing", hint="If all is right, right = predicted = gold, and F1 has to be 1."
)
def _(gold, predicted):
    return _f1(*_counts(gold, predicted)) / 2


@span_f1.mistake(
    "what is shared by what there is in all",
    hint="That is the Jaccard index, right / (predicted + gold − right). F1 counts what is right "
    "twice, above and below.",
)
def _(gold, predicted):
    right, said, there = _counts(gold, predicted)
    return right / (said + there - right) if said + there else 0.0


@span_f1.mistake(
    "compared place by place in the lists",
    hint="The spans of a text come in any order: it matters whether a span is *among* the gold "
    "ones.",
)
def _(gold, predicted):
    pairs = zip(gold, predicted, strict=True)
    right = sum(a == b for g, p in pairs for a, b in zip(g, p, strict=False))
    _, said, there = _counts(gold, predicted)
    return _f1(right, said, there)


@span_f1.mistake(
    "1 where there are no spans", hint="Nothing predicted and nothing there: the text says 0."
)
def _(gold, predicted):
    return _f1(*_counts(gold, predicted)) if any(gold) or any(predicted) else 1.0


@span_f1.mistake("whole texts are right or wrong", hint="Count spans, not texts.")
def _(gold, predicted):
    pairs = list(zip(gold, predicted, strict=True))
    same = sum(set(map(tuple, g)) == set(map(tuple, p)) for g, p in pairs)
    return same / len(pairs) if pairs else 0.0


@span_f1.mistake("how many are right", hint="You counted the right ones. Now divide, as F1 does.")
def _(gold, predicted):
    return float(_counts(gold, predicted)[0])


@span_f1.mistake(
    "the geometric mean of precision and recall",
    hint="F1 is their *harmonic* mean, 2PR / (P + R).",
)
def _(gold, predicted):
    right, said, there = _counts(gold, predicted)
    return right / (said * there) ** 0.5 if said and there else 0.0


@span_f1.mistake(
    "divided by the larger count",
    hint="Below stands the mean of the two counts, predicted and gold, not the larger one.",
)
def _(gold, predicted):
    right, said, there = _counts(gold, predicted)
    return right / max(said, there) if said or there else 0.0


@span_f1.mistake(
    "spans that overlap count as right",
    hint="A span cut short, or one word too long, is wrong: label, start and end have to be equal.",
)
def _(gold, predicted):
    right = 0
    for ours, theirs in zip(gold, predicted, strict=True):
        for label, start, end in theirs:
            right += any(g[0] == label and g[1] < end and start < g[2] for g in ours)
    _, said, there = _counts(gold, predicted)
    return _f1(right, said, there)


@span_f1.mistake(
    "the mean over the labels",
    hint="That is macro F1. Micro counts all spans together, whatever their label.",
)
def _(gold, predicted):
    labels = {span[0] for text in [*gold, *predicted] for span in text}

    def of(texts, label):
        return [[span for span in text if span[0] == label] for text in texts]

    scores = [_f1(*_counts(of(gold, label), of(predicted, label))) for label in sorted(labels)]
    return sum(scores) / len(scores) if scores else 0.0


@span_f1.mistake(
    "a division by zero where nothing is there",
    hint="If nothing was predicted, or nothing is there, precision or recall has no value. Count "
    "first, and divide once: 2 · right / (predicted + gold), or 0.",
)
def _(gold, predicted):
    right, said, there = _counts(gold, predicted)
    precision, recall = right / said, right / there
    return 2 * precision * recall / (precision + recall)


# 7. Find the bug

broken_line = choice(
    CHAPTER,
    "broken_line",
    right=(
        "c",
        "It changes alpha at every place, also where a sentence is over. The padding's emissions "
        "and transitions enter its log Z, and how many there are depends on the longest neighbour.",
    ),
    wrong={
        "a": "Every sentence has a first word, so this line never meets padding.",
        "b": "The table of where one came from and where one goes is right: B, i, j. What is done "
        "with it for a sentence that is over is the fault.",
        "d": "The end is added once, to each sentence's alpha: right, if alpha is still that of "
        "its last word.",
    },
    read="Padding is counted",
)

mended_by = choice(
    CHAPTER,
    "mended_by",
    right=(
        "keep",
        "`torch.where(mask[:, t, None], new, alpha)`: a sentence that is over waits for others.",
    ),
    wrong={
        "skip": "Then the longer sentences of the batch lose their last words.",
        "zero": "An emission of 0 is a weight of 1: the transitions are still added up, and log Z "
        "grows with every place of padding.",
        "divide": "That changes how the loss is scaled. log Z itself has counted words that are "
        "not there.",
    },
    read="Padding is counted",
)
