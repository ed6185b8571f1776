"""Rarer mistakes of the exercises on a server. Chapter 17 teaches this."""

import json

from llmcourse.checks.bank.serving import next_batch, text_of


def _content(event):
    delta = json.loads(event)["choices"][0]["delta"]
    return delta.get("content") or ""


def _read(wire, *, events=None, begins="data: ", read=_content, done="data: [DONE]", end=None):
    """The text, with how events are cut, told, read, or ended exchanged."""
    pieces = []
    for event in events(wire) if events else wire.split("\n\n"):
        if end(event) if end else event == done:
            break
        if event.startswith(begins):
            try:
                pieces.append(read(event[len(begins) :]))
            except (json.JSONDecodeError, KeyError, IndexError):
                continue
    return "".join(pieces)


@text_of.mistake(
    "pieces joined with blanks",
    hint="You put blanks between the pieces. They hold their blanks themselves.",
)
def _(wire):
    return _read(wire, read=lambda e: _content(e) and _content(e) + " ").rstrip(" ")


@text_of.mistake(
    "pieces joined with line breaks",
    hint="You put each piece on a line of its own. They are joined as they are.",
)
def _(wire):
    return _read(wire, read=lambda e: _content(e) and _content(e) + "\n").rstrip("\n")


@text_of.mistake(
    "events with a role left out",
    hint="You skip deltas that name a role. They may have content, too.",
)
def _(wire):
    def read(event):
        delta = json.loads(event)["choices"][0]["delta"]
        return "" if "role" in delta else delta.get("content") or ""

    return _read(wire, read=read)


@text_of.mistake(
    "all choices",
    hint="You join the pieces of all choices. The first choice is asked for.",
)
def _(wire):
    def read(event):
        return "".join(c["delta"].get("content") or "" for c in json.loads(event)["choices"])

    return _read(wire, read=read)


@text_of.mistake(
    "a whole message's place",
    hint='You look for `["message"]["content"]`, as in an answer that does not stream. A stream '
    "has deltas.",
)
def _(wire):
    def read(event):
        return json.loads(event)["choices"][0].get("message", {}).get("content", "")

    return _read(wire, read=read)


@text_of.mistake(
    "blanks before an event taken off",
    hint="You strip the events, so that one with a blank in front counts. An event has to begin "
    "with `data: `.",
)
def _(wire):
    return _read(wire, events=lambda w: [e.strip() for e in w.split("\n\n")])


@text_of.mistake(
    "capitals are the same",
    hint="You read events that begin with `DATA: `, too. Those are comments.",
)
def _(wire):
    def events(wire):
        return [("data: " + e[6:]) if e[:6].lower() == "data: " else e for e in wire.split("\n\n")]

    return _read(wire, events=events)


@text_of.mistake(
    "content read by a pattern",
    hint="You cut the content out without reading the JSON: `\\n` and `\\u` stay as they were "
    "written, and a quotation mark ends it.",
)
def _(wire):
    def read(event):
        _, found, rest = event.partition('"content": "')
        return rest.split('"')[0] if found else ""

    return _read(wire, read=read)


@text_of.mistake(
    "signs beyond ASCII left out",
    hint="You drop what ASCII does not have. All of the text is asked for.",
)
def _(wire):
    return _read(wire).encode("ascii", "ignore").decode()


@text_of.mistake(
    "a list of pieces",
    hint="You return the pieces. The text is asked for: join them.",
)
def _(wire):
    found = []
    _read(wire, read=lambda e: found.append(_content(e)) or "")
    return [piece for piece in found if piece]


@text_of.mistake(
    "the text up to its first line break",
    hint="You stop at a line break within the text. It belongs to it.",
)
def _(wire):
    return _read(wire).split("\n")[0]


def _next(running, waiting, room, *, still=None, free=None, pick=None, order=None):
    """The step, with who still runs, how many join, and who, exchanged."""
    on = still(running) if still else [(name, n - 1) for name, n in running if n > 1]
    many = max(free(on, running, room) if free else room - len(on), 0)
    joined = pick(waiting, many) if pick else waiting[:many]
    left = list(waiting)
    for one in joined:
        left.remove(one)
    return (order(on, joined) if order else on + list(joined)), left


@next_batch.mistake(
    "the longest first, whoever came first",
    hint="You let the longest requests join first. Those who came first are first.",
)
def _(running, waiting, room):
    return _next(running, waiting, room, pick=lambda w, k: sorted(w, key=lambda one: -one[1])[:k])


@next_batch.mistake(
    "a small one passes a large one",
    hint="You let a request pass that needs fewer tokens than those who run. The line is kept.",
)
def _(running, waiting, room):
    def pick(line, many):
        return sorted(line, key=lambda one: one[1] > 2)[:many]

    return _next(running, waiting, room, pick=pick)


@next_batch.mistake(
    "room counted in tokens",
    hint="You add up the tokens that are needed. Each request takes one place.",
)
def _(running, waiting, room):
    on = [(name, n - 1) for name, n in running if n > 1]
    free, joined = room - sum(n for _, n in on), []
    for one in waiting:
        if one[1] > free:
            break
        joined.append(one)
        free -= one[1]
    return on + joined, list(waiting[len(joined) :])


@next_batch.mistake(
    "who left in place of who waits",
    hint="You return who has left. Asked for is who still waits.",
)
def _(running, waiting, room):
    return _next(running, waiting, room)[0], [one for one in running if one[1] <= 1]


@next_batch.mistake(
    "the first of them leaves",
    hint="You let the first that is done leave, and the others a step later. All who need no more "
    "leave.",
)
def _(running, waiting, room):
    def still(run):
        done = [i for i, (_, n) in enumerate(run) if n <= 1][:1]
        return [(name, n - 1) for i, (name, n) in enumerate(run) if i not in done]

    return _next(running, waiting, room, still=still)


@next_batch.mistake(
    "only the first is given a token",
    hint="You count a token off for the first request alone. Each running one has been given one.",
)
def _(running, waiting, room):
    def still(run):
        less = [(name, n - (i == 0)) for i, (name, n) in enumerate(run)]
        return [one for one in less if one[1] > 0]

    return _next(running, waiting, room, still=still)


@text_of.mistake(
    "blanks in a row made one",
    hint="You make one blank of several. The text stays as it is.",
)
def _(wire):
    return " ".join(_read(wire).split(" ")).replace("  ", " ")


@text_of.mistake(
    "stops at the first comment behind text",
    hint="You stop at a comment once text has come. Comments are skipped wherever they stand.",
)
def _(wire):
    begun = []

    def end(event):
        if event.startswith("data: "):
            begun.append(event)
        return event == "data: [DONE]" or (bool(begun) and event.startswith(":"))

    return _read(wire, end=end)


@text_of.mistake(
    "the first piece with text alone",
    hint="You stop after the first event that has a content. All pieces are joined.",
)
def _(wire):
    said = []

    def read(event):
        said.append(_content(event))
        return said[-1] if sum(map(bool, said)) <= 1 else ""

    return _read(wire, read=read)


@text_of.mistake(
    "the event before the end dropped",
    hint="You take the event before [DONE] for a summary and drop it. It is a piece like others.",
)
def _(wire):
    events = wire.split("\n\n")
    if "data: [DONE]" in events:
        events = events[: events.index("data: [DONE]")]
        events = events[:-1]
    return _read("", events=lambda _: events)


@text_of.mistake(
    "the text told again by each piece",
    hint="You add the whole text so far with each piece. Each piece is added once.",
)
def _(wire):
    so_far = [""]

    def read(event):
        so_far[0] += _content(event)
        return so_far[0]

    return _read(wire, read=read)


@text_of.mistake(
    "escapes read twice",
    hint="You read escapes once more after JSON has done it.",
)
def _(wire):
    return _read(wire).encode("unicode_escape").decode()


@next_batch.mistake(
    "who is short joins although the room is full",
    hint="You let one join beyond the room if it needs a single token. The room is a bound.",
)
def _(running, waiting, room):
    batch, left = _next(running, waiting, room)
    quick = [one for one in left if one[1] <= 1]
    return batch + quick, [one for one in left if one[1] > 1]


@next_batch.mistake(
    "places of those who leave are free a step later",
    hint="You let nobody join in the step in which somebody leaves. Their places are free at once.",
)
def _(running, waiting, room):
    def free(on, run, room):
        return room - len(on) if len(on) == len(run) else 0

    return _next(running, waiting, room, free=free)


@next_batch.mistake(
    "all or none of those who wait",
    hint="You let those who wait join only if all of them find a place.",
)
def _(running, waiting, room):
    def free(on, run, room):
        return room - len(on) if room - len(on) >= len(waiting) else 0

    return _next(running, waiting, room, free=free)


@next_batch.mistake(
    "those who leave wait again",
    hint="You put who needs no more at the end of the line. They leave for good.",
)
def _(running, waiting, room):
    batch, left = _next(running, waiting, room)
    return batch, left + [(name, 0) for name, n in running if n <= 1]


@next_batch.mistake(
    "all take turns",
    hint="You put those who still run behind those who wait (taking turns). They run on until "
    "they are done.",
)
def _(running, waiting, room):
    on = [(name, n - 1) for name, n in running if n > 1]
    line = list(waiting) + on
    return line[: max(room, 0)], line[max(room, 0) :]


@next_batch.mistake(
    "the longest running one makes room",
    hint="You send the one away that needs most, so that another may join. None is sent away.",
)
def _(running, waiting, room):
    batch, left = _next(running, waiting, room)
    if left and batch and max(n for _, n in batch) > left[0][1]:
        worst = max(batch, key=lambda one: one[1])
        batch = [one for one in batch if one is not worst] + [left[0]]
        left = [*left[1:], worst]
    return batch, left


@next_batch.mistake(
    "the batch is filled from both ends of the line",
    hint="You take turns between the first and the last who wait. Those who came first are first.",
)
def _(running, waiting, room):
    def pick(line, many):
        line, out = list(line), []
        while line and len(out) < many:
            out.append(line.pop(0 if len(out) % 2 == 0 else -1))
        return out

    return _next(running, waiting, room, pick=pick)


@next_batch.mistake(
    "who waits is a token further, too",
    hint="You count a token off for those who wait on. They have written none.",
)
def _(running, waiting, room):
    batch, left = _next(running, waiting, room)
    return batch, [(name, max(n - 1, 1)) for name, n in left]


@next_batch.mistake(
    "lists in place of pairs",
    hint="You return lists of two. Pairs are asked for, as tuples.",
)
def _(running, waiting, room):
    batch, left = _next(running, waiting, room)
    return [list(one) for one in batch], [list(one) for one in left]
