"""Rarer mistakes of the exercises on denoising. Chapter 07 teaches this."""

from llmcourse.checks.bank.denoising import cut_spans


def _runs(hidden):
    """Begin and end of each run of hidden tokens."""
    edges = [
        n
        for n in range(len(hidden) + 1)
        if (n < len(hidden) and hidden[n]) != (n > 0 and hidden[n - 1])
    ]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _cut(
    tokens,
    hidden,
    first,
    runs=None,
    name=lambda first, number, runs: first + number,
    piece=lambda piece: piece,
    end=lambda name, runs: [name(len(runs))],
    behind=False,
    source_name=None,
):
    """Cut spans out, with one thing done otherwise."""
    runs = _runs(hidden) if runs is None else runs
    source, target, at = [], [], 0
    for number, (begin, stop) in enumerate(runs):
        own = name(first, number, runs)
        source += [*tokens[at:begin], own if source_name is None else source_name(own)]
        said = piece(tokens[begin:stop])
        target += [*said, own] if behind else [own, *said]
        at = stop
    source += tokens[at:]
    return source, target + end(lambda number: name(first, number, runs), runs)


@cut_spans.mistake(
    "sentinels that count down to the first",
    hint="You give the last run the first sentinel. They count up from the left.",
)
def _(tokens, hidden, first_sentinel):
    name = lambda first, number, runs: first + len(runs) - number  # noqa: E731
    return _cut(tokens, hidden, first_sentinel, name=name)


@cut_spans.mistake(
    "one sentinel for all runs, the next at the end",
    hint="All of your runs have the same sentinel. Each has its own, counting up.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(
        tokens,
        hidden,
        first_sentinel,
        name=lambda first, number, runs: first,
        end=lambda name, runs: [first_sentinel + 1],
    )


@cut_spans.mistake(
    "a sentinel for the place",
    hint="You add the run's place in the text to the first sentinel. Sentinels count runs.",
)
def _(tokens, hidden, first_sentinel):
    name = lambda first, n, runs: first + (runs[n][0] if n < len(runs) else len(runs))  # noqa: E731
    return _cut(tokens, hidden, first_sentinel, name=name)


@cut_spans.mistake(
    "sentinels in steps of two",
    hint="Your sentinel is counted up twice for each run, in the source and in the target.",
)
def _(tokens, hidden, first_sentinel):
    name = lambda first, number, runs: first + 2 * number  # noqa: E731
    return _cut(tokens, hidden, first_sentinel, name=name)


@cut_spans.mistake(
    "the target one sentinel ahead",
    hint="You count up between source and target, so that a run has two numbers. Both have the "
    "same.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel + 1, source_name=lambda own: own - 1)


@cut_spans.mistake(
    "the last sentinel only after text",
    hint="You leave the last sentinel out where the text ends hidden. It stands always.",
)
def _(tokens, hidden, first_sentinel):
    end = lambda name, runs: [] if hidden[-1] else [name(len(runs))]  # noqa: E731
    return _cut(tokens, hidden, first_sentinel, end=end)


@cut_spans.mistake(
    "the last sentinel only where the text ends hidden",
    hint="You put the last sentinel only where the text ends hidden. It stands always.",
)
def _(tokens, hidden, first_sentinel):
    end = lambda name, runs: [name(len(runs))] if hidden[-1] else []  # noqa: E731
    return _cut(tokens, hidden, first_sentinel, end=end)


@cut_spans.mistake(
    "the last sentinel a number too far",
    hint="Your last sentinel skips a number. It is the next one.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, end=lambda name, runs: [name(len(runs) + 1)])


@cut_spans.mistake(
    "the end-of-text 1 of T5",
    hint="Your target ends with a 1, T5's end of text. It ends with one last sentinel.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, end=lambda name, runs: [1])


@cut_spans.mistake(
    "an end-of-text 1 behind the last sentinel",
    hint="You put T5's end of text behind both. The target ends with its last sentinel.",
)
def _(tokens, hidden, first_sentinel):
    source, target = _cut(tokens, hidden, first_sentinel)
    return [*source, 1], [*target, 1]


@cut_spans.mistake(
    "the first sentinel at the end",
    hint="Your target ends with the first sentinel. It ends with the next number.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, end=lambda name, runs: [first_sentinel])


@cut_spans.mistake(
    "pieces backwards",
    hint="You turn the pieces round. They keep their order.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, piece=lambda piece: piece[::-1])


@cut_spans.mistake(
    "the first token of each piece",
    hint="Your target holds the first token of each piece. It holds all of it.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, piece=lambda piece: piece[:1])


@cut_spans.mistake(
    "the last token of each piece missing",
    hint="Your pieces lack their last token: a range ends before its end.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, piece=lambda piece: piece[:-1])


@cut_spans.mistake(
    "the last token of each piece alone",
    hint="Your target holds the last token of each piece. It holds all of it.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, piece=lambda piece: piece[-1:])


@cut_spans.mistake(
    "each token of a piece once",
    hint="You drop repeated tokens of a piece. All are kept.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, piece=lambda piece: list(dict.fromkeys(piece)))


@cut_spans.mistake(
    "a run at the end is lost",
    hint="You finish a run where a visible token follows. A run at the end has none.",
)
def _(tokens, hidden, first_sentinel):
    runs = [run for run in _runs(hidden) if run[1] < len(hidden)]
    last = next((b for b, e in _runs(hidden) if e == len(hidden)), len(hidden))
    return _cut(tokens[:last], hidden[:last], first_sentinel, runs)


@cut_spans.mistake(
    "a run at the end stays in the text",
    hint="You finish a run where a visible token follows, so the one at the end is not cut out.",
)
def _(tokens, hidden, first_sentinel):
    runs = [run for run in _runs(hidden) if run[1] < len(hidden)]
    return _cut(tokens, hidden, first_sentinel, runs)


@cut_spans.mistake(
    "a run at the beginning stays in the text",
    hint="You look for a visible token before a run, so the one at the beginning is not cut out.",
)
def _(tokens, hidden, first_sentinel):
    runs = [run for run in _runs(hidden) if run[0] > 0]
    return _cut(tokens, hidden, first_sentinel, runs)


@cut_spans.mistake(
    "runs of one token stay",
    hint="You cut out runs of two tokens and more. One hidden token is a run, too.",
)
def _(tokens, hidden, first_sentinel):
    runs = [run for run in _runs(hidden) if run[1] - run[0] > 1]
    return _cut(tokens, hidden, first_sentinel, runs)


@cut_spans.mistake(
    "runs one apart are joined",
    hint="You join runs with one visible token between them. It stays visible.",
)
def _(tokens, hidden, first_sentinel):
    filled = list(hidden)
    for n in range(1, len(hidden) - 1):
        if hidden[n - 1] and hidden[n + 1]:
            filled[n] = True
    return _cut(tokens, filled, first_sentinel)


@cut_spans.mistake(
    "one run from the first to the last",
    hint="You cut out all from the first hidden token to the last (infilling). Each run is cut out "
    "by itself.",
)
def _(tokens, hidden, first_sentinel):
    places = [n for n, h in enumerate(hidden) if h]
    runs = [(places[0], places[-1] + 1)] if places else []
    return _cut(tokens, hidden, first_sentinel, runs)


@cut_spans.mistake(
    "the visible runs named in the target",
    hint="Your target has a sentinel for each visible run, as T5's own code makes it. Where the "
    "text begins hidden the numbers must not shift.",
)
def _(tokens, hidden, first_sentinel):
    source = _cut(tokens, hidden, first_sentinel)[0]
    target = _cut(tokens, [not h for h in hidden], first_sentinel)[0]
    return source, target


@cut_spans.mistake(
    "a sentinel for each place of a run",
    hint="Your source repeats a run's sentinel for each of its tokens, so its length stays. A run "
    "gives way to one.",
)
def _(tokens, hidden, first_sentinel):
    source = list(tokens)
    for number, (begin, stop) in enumerate(_runs(hidden)):
        source[begin:stop] = [first_sentinel + number] * (stop - begin)
    return source, _cut(tokens, hidden, first_sentinel)[1]


@cut_spans.mistake(
    "a target as long as the text",
    hint="Your target has -100 for visible tokens, as masked models have it. It holds the pieces "
    "behind sentinels.",
)
def _(tokens, hidden, first_sentinel):
    target = [t if h else -100 for t, h in zip(tokens, hidden, strict=True)]
    return _cut(tokens, hidden, first_sentinel)[0], target


@cut_spans.mistake(
    "source and target in one row",
    hint="You put the target behind the source, as a decoder reads it. They are two lists.",
)
def _(tokens, hidden, first_sentinel):
    source, target = _cut(tokens, hidden, first_sentinel)
    return source + target, target


@cut_spans.mistake(
    "one list for each piece",
    hint="Your target holds a list for each piece. It is one row of numbers.",
)
def _(tokens, hidden, first_sentinel):
    runs = _runs(hidden)
    target = [[first_sentinel + n, *tokens[b:e]] for n, (b, e) in enumerate(runs)]
    return _cut(tokens, hidden, first_sentinel)[0], [*target, [first_sentinel + len(runs)]]


@cut_spans.mistake(
    "a piece of the neighbour on its right",
    hint="Your pieces begin one token too late and end one too late. Mind where a run begins.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, [False, *hidden[:-1]], first_sentinel)


@cut_spans.mistake(
    "equal tokens share what was said of the last",
    hint="You look up by the token whether it is hidden, and equal tokens share the last one's "
    "answer. Each place has its own.",
)
def _(tokens, hidden, first_sentinel):
    said = dict(zip(tokens, hidden, strict=True))
    return _cut(tokens, [said[token] for token in tokens], first_sentinel)


@cut_spans.mistake(
    "equal tokens share what was said of the first",
    hint="You look for a token's place by its number, and find the first of equal ones. Each place "
    "has its own answer.",
)
def _(tokens, hidden, first_sentinel):
    own = [hidden[tokens.index(token)] for token in tokens]
    return _cut(tokens, own, first_sentinel)


@cut_spans.mistake(
    "equal tokens hidden together",
    hint="You hide every token that is hidden somewhere. Only the places that are marked are cut "
    "out.",
)
def _(tokens, hidden, first_sentinel):
    gone = {token for token, h in zip(tokens, hidden, strict=True) if h}
    return _cut(tokens, [token in gone for token in tokens], first_sentinel)


@cut_spans.mistake(
    "the first run alone",
    hint="You cut out the first run and leave the others. Every run is cut out.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, _runs(hidden)[:1])


@cut_spans.mistake(
    "a sentinel before each visible token",
    hint="Your sentinel counts up with visible tokens, too. It counts runs.",
)
def _(tokens, hidden, first_sentinel):
    def name(first, n, runs):
        stop = runs[n][0] if n < len(runs) else len(tokens)
        return first + sum(not h for h in hidden[:stop])

    return _cut(tokens, hidden, first_sentinel, name=name)


@cut_spans.mistake(
    "the neighbour on the right is cut out, too",
    hint="You cut out one token more than the run has. It ends before the first visible token.",
)
def _(tokens, hidden, first_sentinel):
    longer = [h or (n > 0 and hidden[n - 1]) for n, h in enumerate(hidden)]
    return _cut(tokens, longer, first_sentinel)


@cut_spans.mistake(
    "the pieces sorted",
    hint="You sort the tokens of a piece, or pass them through a set. They keep their order.",
)
def _(tokens, hidden, first_sentinel):
    return _cut(tokens, hidden, first_sentinel, piece=sorted)
