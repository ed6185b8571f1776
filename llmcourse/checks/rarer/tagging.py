"""Rarer mistakes of the exercises on tags, spans and their F1. Chapter 12 teaches this."""

from collections import Counter

from llmcourse.checks.bank.tagging import iobes_tags, piece_targets, span_f1, spans_from_tags


def _written(spans, n_words, letter, *, outside="O", form="{0}-{1}", shift=0, longer=0):
    """Tags, where `letter` makes of a place in a span and the span's length what comes first."""
    tags = [outside] * n_words
    for label, start, end in spans:
        for word in range(start + shift, end + shift + longer):
            if 0 <= word < n_words:
                tags[word] = form.format(letter(word - start - shift, end - start), label)
    return tags


def _iobes(place, length):
    if length == 1:
        return "S"
    return "B" if place == 0 else "E" if place == length - 1 else "I"


def _as(letters):
    """IOBES with other letters: for a single word, a first, an inner and a last one."""
    return lambda place, length: dict(zip("SBIE", letters, strict=True))[_iobes(place, length)]


def _tags_written(name, hint, letter, **how):
    @iobes_tags.mistake(name, hint=hint)
    def _(spans, n_words):
        return _written(spans, n_words, letter, **how)


_tags_written(
    "the letter W for a single word",
    "You write W for a span of one word. In IOBES it is S.",
    _as("WBIE"),
)
_tags_written(
    "I for a single word",
    "You write I for a span of one word. It is S.",
    _as("IBIE"),
)
_tags_written(
    "inside alone",
    "You write I for all words (IO). A span's ends have letters of their own.",
    _as("IIII"),
)
_tags_written(
    "begin at every word",
    "You write B for all words. It belongs to the first one alone.",
    _as("SBBE"),
)
_tags_written(
    "ends and beginnings exchanged",
    "You begin spans with E and end them with B. B is for begin.",
    _as("SEIB"),
)
_tags_written(
    "I at the first word, too",
    "Your longer spans begin with I. They begin with B.",
    _as("SIIE"),
)
_tags_written(
    "nothing outside",
    "You leave an empty string for words outside of all spans. They are `O`.",
    _iobes,
    outside="",
)
_tags_written(
    "a zero for the letter O",
    "You write the digit 0 outside of spans. It is the letter O.",
    _iobes,
    outside="0",
)
_tags_written(
    "None outside",
    "You leave None for words outside of all spans. They are `O`.",
    _iobes,
    outside=None,
)
_tags_written(
    "spans one word further on",
    "You count the words from 1. The span's numbers count from 0.",
    _iobes,
    shift=1,
)
_tags_written(
    "spans one word further back",
    "You take 1 off the numbers of words. They count from 0 already.",
    _iobes,
    shift=-1,
)


@iobes_tags.mistake(
    "the third number is a length",
    hint="You take the third number for a length. It is where the span ends.",
)
def _(spans, n_words):
    return _written([(label, s, s + n) for label, s, n in spans], n_words, _iobes)


@iobes_tags.mistake(
    "neighbours of one label run together",
    hint="You decide by the labels of neighbouring words, so two spans of one label become one.",
)
def _(spans, n_words):
    labels = [None] * (n_words + 2)
    for label, start, end in spans:
        labels[start + 1 : end + 1] = [label] * (end - start)
    tags = []
    for before, own, after in zip(labels, labels[1:], labels[2:], strict=False):
        ends = {(True, True): "I", (True, False): "E", (False, True): "B", (False, False): "S"}
        tags.append(f"{ends[before == own, own == after]}-{own}" if own is not None else "O")
    return tags


@iobes_tags.mistake(
    "a row as long as the last span's end",
    hint="Your row ends with the last span. There is a tag for each of the `n_words` words.",
)
def _(spans, n_words):
    return _written(spans, n_words, _iobes)[: max((end for _, _, end in spans), default=0)]


@iobes_tags.mistake(
    "the last span alone",
    hint="You begin a new row for each span, and keep the last. All spans go into one row.",
)
def _(spans, n_words):
    return _written(spans[-1:], n_words, _iobes)


@iobes_tags.mistake(
    "no ends in spans of two words",
    hint="Your spans of two words end with I. The last word has E as soon as there are two.",
)
def _(spans, n_words):
    return _written(spans, n_words, lambda p, n: "I" if n == 2 and p else _iobes(p, n))


@iobes_tags.mistake(
    "single words alone where two stand",
    hint="You write S twice for a span of two words. It has a B and an E.",
)
def _(spans, n_words):
    return _written(spans, n_words, lambda p, n: "S" if n == 2 else _iobes(p, n))


def _read(tags, *, goes_on=None, opens=None):
    """Spans, where `goes_on(letter, label, before)` and `opens(letter)` say how tags are read."""
    goes_on = goes_on or (lambda letter, label, before: letter == "I" and label == before)
    opens = opens or (lambda letter: True)
    spans, open_label = [], None
    for place, tag in enumerate(tags):
        letter, label = tag[:1], tag[2:]
        if tag == "O":
            open_label = None
        elif open_label is not None and goes_on(letter, label, open_label):
            spans[-1][2] = place + 1
        elif opens(letter):
            spans.append([label, place, place + 1])
            open_label = label
        else:
            open_label = None
    return [tuple(span) for span in spans]


@spans_from_tags.mistake(
    "an I goes on whatever its label, and is dropped alone",
    hint="You look at letters alone: an I goes on with any span and begins none. Its label counts, "
    "and alone it begins a span.",
)
def _(tags):
    go = lambda letter, label, before: letter == "I"  # noqa: E731
    return _read(tags, goes_on=go, opens=lambda letter: letter == "B")


@spans_from_tags.mistake(
    "one span for all that is not O",
    hint="You join all tags up to the next O. A B, or another label, begins a new span.",
)
def _(tags):
    return _read(tags, goes_on=lambda letter, label, before: True)


@spans_from_tags.mistake(
    "each lone I is a span of its own",
    hint="A lone I begins a span with you, but the next I does not go on with it.",
)
def _(tags):
    spans, inside = [], None
    for place, tag in enumerate(tags):
        if tag[0] == "I" and tag[2:] == inside:
            spans[-1] = (inside, spans[-1][1], place + 1)
        elif tag != "O":
            spans.append((tag[2:], place, place + 1))
            inside = tag[2:] if tag[0] == "B" else None
        else:
            inside = None
    return spans


@spans_from_tags.mistake(
    "the last span ends a word early",
    hint="Your span at the row's end lacks its last word.",
)
def _(tags):
    n = len(tags)
    return [(label, s, e - (e == n)) for label, s, e in _read(tags)]


@spans_from_tags.mistake(
    "the last part of a label",
    hint="You take what stands behind the last dash. A label may have dashes of its own.",
)
def _(tags):
    return [(label.split("-")[-1], start, end) for label, start, end in _read(tags)]


@spans_from_tags.mistake(
    "O is a label",
    hint="You return spans of O. Those words are outside.",
)
def _(tags):
    spans = []
    for place, tag in enumerate(tags):
        label = tag[2:] or "O"
        if spans and tag[0] != "B" and spans[-1][0] == label:
            spans[-1] = (label, spans[-1][1], place + 1)
        else:
            spans.append((label, place, place + 1))
    return spans


@spans_from_tags.mistake(
    "the longest first",
    hint="You sort the spans by length. They come in their order in the text.",
)
def _(tags):
    return sorted(_read(tags), key=lambda span: span[1] - span[2])


@spans_from_tags.mistake(
    "the last first",
    hint="You return the spans from the back. They come in their order in the text.",
)
def _(tags):
    return _read(tags)[::-1]


@spans_from_tags.mistake(
    "an I of another label ends the span and is lost",
    hint="An I of another label ends your span, and is lost. It begins a span of its own.",
)
def _(tags):
    spans, inside = [], None
    for place, tag in enumerate(tags):
        if tag == "O":
            inside = None
        elif tag[0] == "I" and inside is not None:
            if tag[2:] == inside:
                spans[-1] = (inside, spans[-1][1], place + 1)
            else:
                inside = None
        else:
            inside = tag[2:]
            spans.append((inside, place, place + 1))
    return spans


@spans_from_tags.mistake(
    "an I at the very beginning is lost",
    hint="You look at the tag before, and forget the first word, which has none. An I there begins "
    "a span.",
)
def _(tags):
    if tags and tags[0][0] == "I":
        tags = ["O", *tags[1:]]
    return _read(tags)


@spans_from_tags.mistake(
    "spans of one word left out",
    hint="You keep spans of two words and more. One word is enough.",
)
def _(tags):
    return [span for span in _read(tags) if span[2] - span[1] > 1]


def _targets(word_ids, tags, *, first=None, target=None, before=None):
    """Targets of pieces that are first by `first(word, the one before)`; -100 for all others."""
    first = first or (lambda word, last: word != last)
    target = target or (lambda word: tags[word])
    out = []
    for word in word_ids:
        out.append(target(word) if word is not None and first(word, before) else -100)
        before = word
    return out


@piece_targets.mistake(
    "words of one piece alone",
    hint="You leave out words of several pieces. Their first piece has the tag.",
)
def _(word_ids, tags):
    once = Counter(word_ids)
    return _targets(word_ids, tags, first=lambda word, last: once[word] == 1)


@piece_targets.mistake(
    "words counted from the cutting's first",
    hint="You subtract the number of the row's first word. `tags` has the whole text's words.",
)
def _(word_ids, tags):
    least = min((word for word in word_ids if word is not None), default=0)
    return _targets(word_ids, tags, target=lambda word: tags[word - least])


@piece_targets.mistake(
    "the tag of the word before",
    hint="You look up the word before. `tags[w]` is word w's own.",
)
def _(word_ids, tags):
    return _targets(word_ids, tags, target=lambda word: tags[word - 1])


@piece_targets.mistake(
    "the tag of the next word",
    hint="You look up the next word. `tags[w]` is word w's own.",
)
def _(word_ids, tags):
    return _targets(word_ids, tags, target=lambda word: tags[(word + 1) % len(tags)])


@piece_targets.mistake(
    "each tag once",
    hint="You give each tag out once. Every word has its tag, others may have the same.",
)
def _(word_ids, tags):
    out, seen = [], set()
    for word in word_ids:
        new = word is not None and tags[word] not in seen
        out.append(tags[word] if new else -100)
        seen |= {tags[word]} if new else set()
    return out


@piece_targets.mistake(
    "tag 0 left out",
    hint="You leave out tag 0. It is a tag like any other.",
)
def _(word_ids, tags):
    return [target or -100 for target in _targets(word_ids, tags)]


@piece_targets.mistake(
    "special pieces have tag 0",
    hint="You give tag 0 to pieces of no word. They have -100, too.",
)
def _(word_ids, tags):
    pairs = zip(word_ids, _targets(word_ids, tags), strict=True)
    return [0 if word is None else target for word, target in pairs]


@piece_targets.mistake(
    "other pieces have the next number",
    hint="You give later pieces the tag's number and one, as from B to I. They have -100.",
)
def _(word_ids, tags):
    pairs = zip(word_ids, _targets(word_ids, tags), strict=True)
    return [tags[w] + 1 if w is not None and t == -100 else t for w, t in pairs]


@piece_targets.mistake(
    "shifted to the left",
    hint="You shift the targets by one, as for a language model. A tag belongs to its own piece.",
)
def _(word_ids, tags):
    return [*_targets(word_ids, tags)[1:], -100][: len(word_ids)]


@piece_targets.mistake(
    "a special piece at either end taken for granted",
    hint="You put -100 at both ends, whatever stands there. A row need not have special pieces.",
)
def _(word_ids, tags):
    targets = _targets(word_ids, tags)
    if targets:
        targets[0] = targets[-1] = -100
    return targets


@piece_targets.mistake(
    "the first word of the row left out",
    hint="You leave out the row's first word, as if its beginning were cut off. It has its tag.",
)
def _(word_ids, tags):
    least = next((word for word in word_ids if word is not None), None)
    return _targets(word_ids, tags, first=lambda word, last: word not in (last, least))


@piece_targets.mistake(
    "the piece after a special one has a tag in any case",
    hint="You compare with the piece before, and skip no None. That is right, but you forgot to "
    "remember the word: only pieces after a None have a tag.",
)
def _(word_ids, tags):
    return _targets(word_ids, tags, first=lambda word, last: last is None)


@piece_targets.mistake(
    "only words one further on",
    hint="You ask whether the number is one more than before. Compare for another number: words "
    "may be missing.",
)
def _(word_ids, tags):
    return _targets(word_ids, tags, first=lambda word, last: last is None or word == last + 1)


def _counts(gold, predicted, key=lambda span: span):
    """Right, predicted and gold, over all texts; spans compared by what `key` makes of them."""
    right = 0
    for g, p in zip(gold, predicted, strict=True):
        right += (Counter(map(key, g)) & Counter(map(key, p))).total()
    return right, sum(map(len, predicted)), sum(map(len, gold))


def _f1(right, said, there):
    return 2 * right / (said + there) if said + there else 0.0


def _compared(name, hint, key):
    @span_f1.mistake(name, hint=hint)
    def _(gold, predicted):
        return _f1(*_counts(gold, predicted, key))


_compared("places do not count", "You compare labels alone. Both places count.", lambda s: s[0])
_compared(
    "the length in place of the places",
    "You compare label and length. Start and end count.",
    lambda s: (s[0], s[2] - s[1]),
)
_compared(
    "capitals of labels do not count",
    "You compare labels in small letters. They are compared as they are.",
    lambda s: (s[0].lower(), *s[1:]),
)


def _made_of(name, hint, measure):
    @span_f1.mistake(name, hint=hint)
    def _(gold, predicted):
        right, said, there = _counts(gold, predicted)
        return measure(right, said, there) if said + there else 0.0


def _share(part, whole):
    return part / whole if whole else 0.0


def _f_beta(beta):
    return lambda r, s, g: (1 + beta**2) * r / (s + beta**2 * g)


_made_of("F2", "That is F2, in which recall weighs more. In F1 both weigh the same.", _f_beta(2))
_made_of("F0.5", "That is F0.5: precision weighs more. In F1 both weigh the same.", _f_beta(0.5))
_made_of(
    "precision times recall",
    "You multiply precision and recall. Divide by their sum, and double it.",
    lambda r, s, g: _share(r, s) * _share(r, g),
)
_made_of(
    "the larger of precision and recall",
    "You take the larger of precision and recall. F1 is their harmonic mean.",
    lambda r, s, g: max(_share(r, s), _share(r, g)),
)
_made_of(
    "in percent, rounded down",
    "You return whole percents. Asked for is a number from 0 to 1.",
    lambda r, s, g: 200 * r // (s + g),
)
_made_of(
    "one added above and below",
    "You smooth by adding one. No count is changed in F1.",
    lambda r, s, g: (2 * r + 1) / (s + g + 1),
)
_made_of(
    "what is wrong",
    "You return the share that is wrong, 1 less F1.",
    lambda r, s, g: 1 - 2 * r / (s + g),
)


@span_f1.mistake(
    "texts pooled, so that places meet",
    hint="You throw the spans of all texts together. The same place in another text is another.",
)
def _(gold, predicted):
    pooled = [[span for text in texts for span in text] for texts in (gold, predicted)]
    return _f1(*_counts(pooled[:1], pooled[1:]))


def _averaged(name, hint, empty, texts=lambda g, p: True):
    @span_f1.mistake(name, hint=hint)
    def _(gold, predicted):
        pairs = [pair for pair in zip(gold, predicted, strict=True) if texts(*pair)]
        each = [_f1(*_counts([g], [p])) if g or p else empty for g, p in pairs]
        return sum(each) / len(each) if each else 0.0


_averaged(
    "the mean over texts with spans",
    "You average over the texts that have spans. Count over all texts together.",
    0.0,
    lambda g, p: bool(g or p),
)
_averaged(
    "the mean over texts with gold spans",
    "You average over the texts that have gold spans. Count over all texts together.",
    0.0,
    lambda g, p: bool(g),
)


def _by_label(gold, predicted, weigh):
    labels = sorted({span[0] for texts in (gold, predicted) for text in texts for span in text})
    parts = []
    for label in labels:
        only = [[[s for s in t if s[0] == label] for t in texts] for texts in (gold, predicted)]
        counts = _counts(*only)
        parts.append((_f1(*counts), weigh(counts)))
    total = sum(weight for _, weight in parts)
    return sum(f * weight for f, weight in parts) / total if total else 0.0


@span_f1.mistake(
    "the mean over labels, by their gold spans",
    hint="You average over labels by how many gold spans each has (weighted). Count all together.",
)
def _(gold, predicted):
    return _by_label(gold, predicted, lambda counts: counts[2])


@span_f1.mistake(
    "texts without gold spans skipped",
    hint="You skip texts that have no gold span. What is predicted there is wrong, and counts.",
)
def _(gold, predicted):
    pairs = [(g, p) for g, p in zip(gold, predicted, strict=True) if g]
    return _f1(*_counts([g for g, _ in pairs], [p for _, p in pairs]))


@span_f1.mistake(
    "texts without predicted spans skipped",
    hint="You skip texts for which nothing was predicted. Their gold spans were missed, and count.",
)
def _(gold, predicted):
    pairs = [(g, p) for g, p in zip(gold, predicted, strict=True) if p]
    return _f1(*_counts([g for g, _ in pairs], [p for _, p in pairs]))


@span_f1.mistake(
    "words, not spans",
    hint="You count words with their labels. A span is right as a whole, or wrong.",
)
def _(gold, predicted):
    wide = [
        [[(s[0], w) for s in text for w in range(s[1], s[2])] for text in texts]
        for texts in (gold, predicted)
    ]
    return _f1(*_counts(*wide))


@span_f1.mistake(
    "words without labels",
    hint="You count words in spans of any label. A span is right as a whole, with its label.",
)
def _(gold, predicted):
    wide = [
        [[w for s in text for w in range(s[1], s[2])] for text in texts]
        for texts in (gold, predicted)
    ]
    return _f1(*_counts(*wide))


def _overlapping(name, hint, credit):
    """Credit for the best partner of each predicted span of the same text and label."""

    @span_f1.mistake(name, hint=hint)
    def _(gold, predicted):
        right = 0.0
        for g, p in zip(gold, predicted, strict=True):
            for label, start, end in p:
                shared = [
                    credit(min(end, e) - max(start, s), max(end, e) - min(start, s))
                    for other, s, e in g
                    if other == label and min(end, e) > max(start, s)
                ]
                right += max(shared, default=0.0)
        return _f1(right, sum(map(len, predicted)), sum(map(len, gold)))


_overlapping(
    "a part for an overlap",
    "You give part of a point for an overlap. A span is right or wrong.",
    lambda shared, whole: shared / whole,
)
_overlapping(
    "half a point for an overlap",
    "You give half a point for an overlap. A span is right or wrong.",
    lambda shared, whole: 1.0 if shared == whole else 0.5,
)


@span_f1.mistake(
    "precision and recall averaged over texts first",
    hint="You average precision and recall over texts, and take F1 then. Count over all texts.",
)
def _(gold, predicted):
    each = [_counts([g], [p]) for g, p in zip(gold, predicted, strict=True)]
    p = sum(_share(r, s) for r, s, _ in each) / max(1, len(each))
    r = sum(_share(r, g) for r, _, g in each) / max(1, len(each))
    return 2 * p * r / (p + r) if p + r else 0.0


_tags_written(
    "letters in lower case",
    "You write small letters. They are capitals.",
    lambda place, length: _iobes(place, length).lower(),
)


@iobes_tags.mistake(
    "spans of one word left out",
    hint="You leave out spans of one word. They are S.",
)
def _(spans, n_words):
    return _written([span for span in spans if span[2] - span[1] > 1], n_words, _iobes)


@iobes_tags.mistake(
    "the end's letter one word too far",
    hint="Your E stands at word number `end`, which is outside. The last word is before it.",
)
def _(spans, n_words):
    tags = _written(spans, n_words, _as("SBII"))
    for label, start, end in spans:
        if end - start > 1 and end < n_words:
            tags[end] = f"E-{label}"
    return tags


@iobes_tags.mistake(
    "an end only where the next word is outside",
    hint="You write E only where an O, or the row's end, comes next. A span may touch another.",
)
def _(spans, n_words):
    tags = _written(spans, n_words, _iobes)
    plain = _written(spans, n_words, _as("BBII"))
    last = [n for n in range(n_words) if n + 1 == n_words or tags[n + 1] == "O"]
    return [tags[n] if n in last or tags[n][0] not in "ES" else plain[n] for n in range(n_words)]


@span_f1.mistake(
    "one word more or less is right",
    hint="You let a span be off by one. Start and end have to agree.",
)
def _(gold, predicted):
    right = sum(
        any(a[0] == b[0] and abs(a[1] - b[1]) <= 1 and abs(a[2] - b[2]) <= 1 for b in g)
        for g, p in zip(gold, predicted, strict=True)
        for a in p
    )
    return _f1(right, sum(map(len, predicted)), sum(map(len, gold)))


@span_f1.mistake(
    "spans inside of a gold one are right",
    hint="You count a span that lies inside of a gold one. Start and end have to agree.",
)
def _(gold, predicted):
    right = sum(
        any(a[0] == b[0] and b[1] <= a[1] and a[2] <= b[2] for b in g)
        for g, p in zip(gold, predicted, strict=True)
        for a in p
    )
    return _f1(right, sum(map(len, predicted)), sum(map(len, gold)))
