"""The exercise on denoising: spans are cut out of a text, and asked for behind it.

Not here: the exercises on hiding single tokens and words (`masking.py`), the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 07 teaches this.
"""

from collections.abc import Iterator

from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "07"


# 5. Cut spans out


@exercise(CHAPTER, read="6. Denoising: can you repair it?")
def cut_spans(
    tokens: list[int], hidden: list[bool], first_sentinel: int
) -> tuple[list[int], list[int]]:
    """T5's source and target: one sentinel for each run of hidden tokens, and a last one."""
    source: list[int] = []
    target: list[int] = []
    sentinel, before = first_sentinel, False
    for token, gone in zip(tokens, hidden, strict=True):
        if gone and not before:
            source.append(sentinel)
            target.append(sentinel)
            sentinel += 1
        (target if gone else source).append(token)
        before = gone
    return source, [*target, sentinel]


@cut_spans.cases
def _() -> Iterator[Case]:
    yield case("by hand", [1, 2, 3, 4, 5, 6], [False, True, True, False, True, False], 100)
    yield case("at both ends", [7, 8, 9, 7], [True, False, False, True], 50)
    yield case("nothing hidden", [1, 2, 3], [False] * 3, 10)
    yield case("all hidden", [1, 2, 3], [True] * 3, 10)
    yield case("one token, hidden", [5], [True], 30)
    yield case("the end hidden, the beginning not", [4, 5, 6, 7], [False, False, True, True], 40)
    yield case(
        "long runs", list(range(10)), [False] + [True] * 4 + [False] + [True] * 3 + [False], 60
    )
    yield case("a token like a sentinel", [3, 20, 21, 4], [False, True, True, False], 20)
    yield case("every second one", list(range(8)), [True, False] * 4, 20)
    once = [True, False, False, False]
    yield case("a token twice, hidden once", [5, 6, 5, 7], once, 30)
    yield case("a token twice, hidden at its second place", [5, 6, 7, 5], once[::-1], 30)
    yield case("a token twice in a gap", [9, 4, 4, 5], [True, True, True, False], 30)


def _cut(tokens, hidden, first, *, step=1, each=False, marked=True, last=True):
    source, target, sentinel, before = [], [], first, False
    for token, gone in zip(tokens, hidden, strict=True):
        if gone and (each or not before):
            source.append(sentinel)
            if marked:
                target.append(sentinel)
            sentinel += step
        (target if gone else source).append(token)
        before = gone
    return source, [*target, sentinel] if last else target


@cut_spans.mistake(
    "a sentinel for each hidden token",
    hint="A run of hidden tokens shares one sentinel: the model shall find out how long it was.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, each=True)


@cut_spans.mistake(
    "the same sentinel everywhere",
    hint="Count up: the second gap has the second sentinel. Else nobody knows which piece belongs "
    "where.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, step=0)


@cut_spans.mistake(
    "no last sentinel",
    hint="The target ends with one sentinel more. It says: here the last piece is complete.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, last=False)


@cut_spans.mistake(
    "the pieces without their sentinels",
    hint="In the target each piece stands *behind* the sentinel of its gap.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, marked=False)


@cut_spans.mistake(
    "target first, source second",
    hint="Return what is read first, then what is to be written.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel)[::-1]


@cut_spans.mistake(
    "sentinels count down",
    hint="The published T5 counts down from the end of its vocabulary. Here they count *up* from "
    "`first_sentinel`.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, step=-1)


@cut_spans.mistake(
    "the last sentinel is that of the last gap again",
    hint="The sentinel at the end is a new one, the next number: it belongs to no gap.",
)
def _(tokens, hidden, first_sentinel):
    source, target = _cut(tokens, hidden, first_sentinel)
    return source, [*target[:-1], max(target[-1] - 1, first_sentinel)]


@cut_spans.mistake(
    "no last sentinel where nothing is hidden",
    hint="The end is always marked, even if there is no piece before it: then by the first "
    "sentinel.",
)
def _(tokens, hidden, first_sentinel):
    source, target = _cut(tokens, hidden, first_sentinel)
    return source, target if any(hidden) else []


@cut_spans.mistake(
    "the last sentinel in the source, too",
    hint="The last sentinel stands at the end of the *target* alone: in the source no gap belongs "
    "to it.",
)
def _(tokens, hidden, first_sentinel):
    source, target = _cut(tokens, hidden, first_sentinel)
    return [*source, target[-1]], target


@cut_spans.mistake(
    "counted from first_sentinel + 1",
    hint="The first gap has `first_sentinel` itself: use it, then count up.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel + 1)


@cut_spans.mistake(
    "the hidden tokens stay in the source",
    hint="A hidden token gives way: it goes to the target, and not to the source as well.",
)
def _(tokens, hidden, first_sentinel):
    source, before, sentinel = [], False, first_sentinel
    for token, gone in zip(tokens, hidden, strict=True):
        if gone and not before:
            source.append(sentinel)
            sentinel += 1
        source.append(token)
        before = gone
    return source, _cut(tokens, hidden, first_sentinel)[1]


@cut_spans.mistake(
    "gaps without a mark",
    hint="In the source each gap is marked by its sentinel. Without it, nobody knows where "
    "something is missing.",
)
def _(tokens, hidden, first_sentinel):
    source = [token for token, gone in zip(tokens, hidden, strict=True) if not gone]
    return source, _cut(tokens, hidden, first_sentinel)[1]


@cut_spans.mistake(
    "each piece before its sentinel",
    hint="Whoever writes the target has to know which gap comes next: the sentinel first, then its "
    "piece.",
)
def _(tokens, hidden, first_sentinel):
    source, target = _cut(tokens, hidden, first_sentinel)
    pieces, piece = [], []
    for token, gone in [*zip(tokens, hidden, strict=True), (None, False)]:
        if gone:
            piece.append(token)
        elif piece:
            pieces, piece = [*pieces, piece], []
    late = [t for n, part in enumerate(pieces) for t in (*part, first_sentinel + n)]
    return source, [*late, target[-1]]


@cut_spans.mistake(
    "what is kept and what is hidden exchanged",
    hint="True in `hidden` means: cut out. Yours cuts out the others.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, [not gone for gone in hidden], first_sentinel)


@cut_spans.mistake(
    "a run at the very beginning has no sentinel",
    hint="At position 0 there is no token before. If it is hidden, a run begins there.",
)
def _(tokens, hidden, first_sentinel):
    source, target, sentinel = [], [], first_sentinel
    for t, token in enumerate(tokens):
        if not hidden[t]:
            source.append(token)
            continue
        if t > 0 and not hidden[t - 1]:
            source.append(sentinel)
            target.append(sentinel)
            sentinel += 1
        target.append(token)
    return source, [*target, sentinel]


@cut_spans.mistake(
    "the place before the first taken for the last",
    hint="`hidden[t - 1]` at t = 0 is the *last* entry of the list. Ask for t == 0 first.",
)
def _(tokens, hidden, first_sentinel):
    source, target, sentinel = [], [], first_sentinel
    for t, token in enumerate(tokens):
        if not hidden[t]:
            source.append(token)
            continue
        if not hidden[t - 1]:
            source.append(sentinel)
            target.append(sentinel)
            sentinel += 1
        target.append(token)
    return source, [*target, sentinel]


@cut_spans.mistake(
    "the place of the token for a number",
    hint="Sentinels are numbered by gap, one after the other, not by where in the text they stand.",
)
def _(tokens, hidden, first_sentinel):
    source, target, before = [], [], False
    for t, (token, gone) in enumerate(zip(tokens, hidden, strict=True)):
        if gone and not before:
            source.append(first_sentinel + t)
            target.append(first_sentinel + t)
        (target if gone else source).append(token)
        before = gone
    return source, [*target, first_sentinel + len(tokens)]


@cut_spans.mistake(
    "counted up by every hidden token",
    hint="A run has one sentinel, however long it is: count up once for each run.",
)
def _(tokens, hidden, first_sentinel):
    source, target, sentinel, before = [], [], first_sentinel, False
    for token, gone in zip(tokens, hidden, strict=True):
        if gone and not before:
            source.append(sentinel)
            target.append(sentinel)
        (target if gone else source).append(token)
        sentinel += gone
        before = gone
    return source, [*target, sentinel]


@cut_spans.mistake(
    "only the first run has a sentinel",
    hint="You remember that a run has begun, and never that it is over: a token that is not hidden "
    "ends it.",
)
def _(tokens, hidden, first_sentinel):
    source, target, sentinel, inside = [], [], first_sentinel, False
    for token, gone in zip(tokens, hidden, strict=True):
        if gone and not inside:
            source.append(sentinel)
            target.append(sentinel)
            sentinel, inside = sentinel + 1, True
        (target if gone else source).append(token)
    return source, [*target, sentinel]


@cut_spans.mistake(
    "the places of the hidden tokens",
    hint="The target holds the *tokens* that were cut out, not where they stood.",
)
def _(tokens, hidden, first_sentinel):
    source, _ = _cut(tokens, hidden, first_sentinel)
    return source, _cut(list(range(len(tokens))), hidden, first_sentinel)[1]
