"""The exercises on a server: a stream of events, who joins the batch, a secret that leaks.

Not here: the exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 17
teaches this.
"""

import json
import re
from collections.abc import Iterator

from llmcourse.checks.answers import choice
from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "17"
SERVER = "5. How does an answer reach somebody?"
WRONG = "When it goes wrong"

# 4. Read a stream


@exercise(CHAPTER, read=SERVER)
def text_of(wire: str) -> str:
    """The text of a stream of server-sent events, up to [DONE]."""
    found = ""
    for event in wire.split("\n\n"):
        if not event.startswith("data: "):
            continue
        if event == "data: [DONE]":
            break
        found += json.loads(event[6:])["choices"][0]["delta"].get("content") or ""
    return found


def _event(piece: str | None, **more: str) -> str:
    delta = dict(more) if piece is None else {"content": piece, **more}
    return f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n"


DONE = "data: [DONE]\n\n"


@text_of.cases
def _() -> Iterator[Case]:
    yield case("by hand", _event("Mia") + _event(" had") + DONE)
    yield case("the role comes first", _event(None, role="assistant") + _event("Yes.") + DONE)
    yield case("a comment keeps it open", ": ping\n\n" + _event("a") + ": ping\n\n" + DONE)
    yield case("something after the end", _event("a") + DONE + _event("b"))
    yield case("line breaks and quotes", _event('"data: x"\n\nnew') + _event("\n") + DONE)
    yield case("the answer says [DONE]", _event("[DONE]") + _event(" not yet") + DONE)
    yield case("blanks at the ends", _event(" a ") + _event(" ") + DONE)
    yield case("cut off before the end", _event("a") + _event("b"))
    yield case("nothing said", DONE)
    yield case("Chinese", _event("五") + _event("百") + DONE)
    yield case("the same piece again", _event("ha") + _event("ha") + _event("!") + DONE)
    yield case("the answer says data: [DONE]", _event("data: [DONE]") + _event("!") + DONE)
    yield case("a comment says [DONE]", ": [DONE]\n\n" + _event("a") + ": data: [DONE]\n\n" + DONE)
    yield case("a comment holds an event", _event("a") + ": " + _event("b") + _event("c") + DONE)
    choices = [{"delta": {"content": piece}} for piece in ("first", "second")]
    yield case("two choices", f"data: {json.dumps({'choices': choices})}\n\n" + DONE)
    yield case("two ends", _event("a") + DONE + _event("b") + DONE)
    yield case("an empty piece", _event("a") + _event("") + _event("b") + DONE)
    yield case("a role and a piece", _event("Yes", role="assistant") + _event(".") + DONE)
    yield case("a blank before it", _event("a") + " " + _event("b") + _event("c") + DONE)
    capital = _event("b").replace("data", "DATA", 1)
    yield case("another word of the same letters", _event("a") + capital + _event("c") + DONE)
    yield case("braces in the text", _event('}, {"content": "x') + _event("{}") + DONE)


def _pieces(wire: str, *, done: bool = True) -> list[str]:
    found = []
    for event in wire.split("\n\n"):
        if event.startswith("data: ") and event != "data: [DONE]":
            found.append(json.loads(event[6:])["choices"][0]["delta"].get("content") or "")
        if event == "data: [DONE]" and done:
            break
    return found


@text_of.mistake("joined by blanks", hint="Pieces carry their own blanks: join them with nothing.")
def _(wire):
    return " ".join(_pieces(wire))


@text_of.mistake("stripped", hint="A blank at the end of a piece belongs to the text: no `strip`.")
def _(wire):
    return "".join(_pieces(wire)).strip()


@text_of.mistake("reads on after [DONE]", hint="`data: [DONE]` ends it, whatever comes behind.")
def _(wire):
    return "".join(_pieces(wire, done=False))


@text_of.mistake(
    "stops at a piece that says [DONE]", hint="Only an event that is `[DONE]` itself ends it."
)
def _(wire):
    return "".join(_pieces(wire.split("[DONE]")[0].rpartition("\n\n")[0]))


@text_of.mistake("the pieces", hint="Wanted is one text: join the pieces.")
def _(wire):
    return _pieces(wire)


@text_of.mistake(
    "every piece has a content", hint='The first delta may hold a role alone: `.get("content")`.'
)
def _(wire):
    said = [e for e in wire.split("\n\n") if e.startswith("data: ") and "[DONE]" not in e[:13]]
    return "".join(json.loads(e[6:])["choices"][0]["delta"]["content"] for e in said)


def _read(wire, *, stop=None, use=None, piece=None, between="", start=0):
    """A stream read with one part of the reading exchanged."""
    stop = stop or (lambda event: event == "data: [DONE]")
    use = use or (lambda event: event.startswith("data: "))
    piece = piece or (lambda delta: delta.get("content") or "")
    found = []
    for event in wire.split("\n\n"):
        if stop(event):
            break
        if use(event) and event != "data: [DONE]":
            data = json.loads(event[event.index("{") :])
            found.append(piece(data["choices"][0]["delta"]))
    return between.join(found[start:])


@text_of.mistake(
    "stops where data: [DONE] stands anywhere",
    hint="The answer itself may say so. Only an event that is `data: [DONE]` and no more ends it.",
)
def _(wire):
    return _read(wire, stop=lambda event: "data: [DONE]" in event)


@text_of.mistake(
    "stops at what ends in [DONE]",
    hint="A comment may end so, too. The event that ends it is `data: [DONE]`, letter by letter.",
)
def _(wire):
    return _read(wire, stop=lambda event: event.endswith("[DONE]"))


@text_of.mistake(
    "reads up to the last [DONE]", hint="The *first* `data: [DONE]` ends it, whatever follows."
)
def _(wire):
    events = wire.split("\n\n")
    last = (
        len(events) - 1 - events[::-1].index("data: [DONE]") if "data: [DONE]" in events else None
    )
    return _read("\n\n".join(events[:last]), stop=lambda event: False)


@text_of.mistake(
    "comments are read",
    hint="An event *begins* with `data: `. What has it further on, or holds JSON, is a comment.",
)
def _(wire):
    return _read(wire, use=lambda event: "{" in event)


@text_of.mistake(
    "every data: is taken away",
    hint="The text may say `data: `, too. Take away the first six characters alone.",
)
def _(wire):
    return "".join(piece.replace("data: ", "") for piece in _pieces(wire))


@text_of.mistake("the last piece alone", hint="Add each piece to what is there: `+=`, not `=`.")
def _(wire):
    return "".join(_pieces(wire)[-1:])


@text_of.mistake("the first piece alone", hint="A `return` within the loop ends it at once.")
def _(wire):
    return "".join(_pieces(wire)[:1])


@text_of.mistake(
    "each piece is stripped", hint="A blank at the end of a piece belongs to the text."
)
def _(wire):
    return _read(wire, piece=lambda delta: (delta.get("content") or "").strip())


@text_of.mistake("blank pieces are left out", hint="A piece that is a blank belongs to the text.")
def _(wire):
    return "".join(piece for piece in _pieces(wire) if piece.strip())


@text_of.mistake("joined by line breaks", hint='Join the pieces with nothing: `"".join`.')
def _(wire):
    return _read(wire, between="\n")


@text_of.mistake(
    "the first event is left out", hint="The first event *often* has a role alone, not always."
)
def _(wire):
    return _read(wire, start=1)


@text_of.mistake(
    "stops at a comment", hint="A comment is passed over (`continue`): go on behind it."
)
def _(wire):
    return _read(wire, stop=lambda e: e == "data: [DONE]" or not e.startswith("data: "))


@text_of.mistake(
    "stops at a delta without content", hint="Such a delta is passed over: the text goes on."
)
def _(wire):
    return _read(wire, stop=lambda e: "content" not in _delta(e))


def _delta(event: str) -> dict:
    """An event's delta; none at the end, and of a comment a text of nothing."""
    if event.startswith("data: {"):
        return json.loads(event[6:])["choices"][0]["delta"]
    return {} if event == "data: [DONE]" else {"content": ""}


def _said(event: str) -> str:
    """An event's piece; where there is none, something that is not blank."""
    return _delta(event).get("content", "x") if event.startswith("data: {") else "x"


@text_of.mistake(
    "stops at an empty piece", hint="A piece may be empty, and the text goes on behind it."
)
def _(wire):
    return _read(wire, stop=lambda e: e == "data: [DONE]" or _said(e) == "")


@text_of.mistake("stops at a blank piece", hint="A blank is a piece like any other: go on.")
def _(wire):
    return _read(wire, stop=lambda e: e == "data: [DONE]" or not _said(e).strip())


@text_of.mistake("the JSON itself", hint="Take the piece out: choices, the first, delta, content.")
def _(wire):
    events = wire.split("\n\n")
    end = events.index("data: [DONE]") if "data: [DONE]" in events else None
    return "".join(event[6:] for event in events[:end] if event.startswith("data: "))


@text_of.mistake(
    "cut out by a pattern",
    hint="JSON writes quotes, line breaks and 五 in its own way. `json.loads` reads them back.",
)
def _(wire):
    head = wire.split("\n\ndata: [DONE]\n\n")[0]
    return "".join(re.findall(r'"content": "(.*?)"', head))


@text_of.mistake(
    "nothing without [DONE]", hint="A stream that is cut off has no `[DONE]`, and still has a text."
)
def _(wire):
    return "".join(_pieces(wire)) if "data: [DONE]" in wire.split("\n\n") else ""


@text_of.mistake(
    "the last event is left out", hint="Behind the last event stands nothing. Cut nothing off."
)
def _(wire):
    return _read("\n\n".join(wire.split("\n\n")[:-2]))


@text_of.mistake("the role is in the text", hint="Of a delta only its content belongs to the text.")
def _(wire):
    return _read(wire, piece=lambda delta: "".join(delta.values()))


@text_of.mistake("None is in the text", hint="A delta without content adds nothing, not `None`.")
def _(wire):
    return _read(wire, piece=lambda delta: str(delta.get("content")))


@text_of.mistake("backwards", hint="The pieces come in the order of the text: add each at the end.")
def _(wire):
    return "".join(reversed(_pieces(wire)))


@text_of.mistake("[DONE] is in the text", hint="`[DONE]` is a mark and no text: stop before it.")
def _(wire):
    done = "data: [DONE]" in wire.split("\n\n")
    return "".join(_pieces(wire)) + ("[DONE]" if done else "")


@text_of.mistake("each piece once", hint="A text may say the same piece twice: keep both.")
def _(wire):
    return "".join(dict.fromkeys(_pieces(wire)))


@text_of.mistake(
    "cut at data: [DONE] in the text",
    hint="The answer itself may say `data: [DONE]`. Split into events, and compare whole ones.",
)
def _(wire):
    return _read(wire.split("data: [DONE]")[0])


@text_of.mistake(
    "comments are taken for JSON",
    hint="Not every event has data: look whether it begins with `data: ` before you read it.",
)
def _(wire):
    found = ""
    for event in wire.split("\n\n"):
        if event == "data: [DONE]":
            break
        found += json.loads(event[6:])["choices"][0]["delta"].get("content", "")
    return found


@text_of.mistake(
    "[DONE] is taken for granted",
    hint="A stream that is cut off has no `[DONE]`: look for it first.",
)
def _(wire):
    events = wire.split("\n\n")
    return _read("\n\n".join(events[: events.index("data: [DONE]")]))


@text_of.mistake("stripped at the beginning", hint="A blank at either end belongs to the text.")
def _(wire):
    return _read(wire, piece=lambda delta: (delta.get("content") or "").lstrip())


@text_of.mistake("line breaks are blanks", hint="A line break belongs to the text: leave it.")
def _(wire):
    return "".join(_pieces(wire)).replace("\n", " ")


@text_of.mistake("in small letters", hint="Capitals belong to the text.")
def _(wire):
    return "".join(_pieces(wire)).lower()


@text_of.mistake("joined by blanks, two made one", hint="Join with nothing: pieces have their own.")
def _(wire):
    return " ".join(_pieces(wire)).replace("  ", " ")


@text_of.mistake("quotes are taken away", hint="`json.loads` has done that: what is left is text.")
def _(wire):
    return _read(wire, piece=lambda delta: (delta.get("content") or "").strip('"'))


@text_of.mistake("escapes are left in", hint="Take the text as `json.loads` gives it: no `repr`.")
def _(wire):
    return "".join(repr(piece)[1:-1] for piece in _pieces(wire))


@text_of.mistake("the longest piece", hint="Wanted are all the pieces, joined.")
def _(wire):
    return max(_pieces(wire), key=len, default="")


@text_of.mistake("the length", hint="Wanted is the text itself.")
def _(wire):
    return len("".join(_pieces(wire)))


@text_of.mistake("bytes", hint="A text is a `str`: do not encode it.")
def _(wire):
    return "".join(_pieces(wire)).encode()


@text_of.mistake(
    "stops at a piece that is [DONE]", hint="A piece may be `[DONE]`: the *event* is the mark."
)
def _(wire):
    return _read(wire, stop=lambda e: e == "data: [DONE]" or _said(e) == "[DONE]")


# 5. Who joins?


@exercise(CHAPTER, read=SERVER)
def next_batch(
    running: list[tuple[str, int]], waiting: list[tuple[str, int]], room: int
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """After a step: those who still run and, in their order, those who join; and who waits."""
    still = [(name, left - 1) for name, left in running if left > 1]
    free = max(room - len(still), 0)
    return still + waiting[:free], waiting[free:]


def _pairs(text: str) -> list[tuple[str, int]]:
    """`a3 b1` as pairs."""
    return [(word[0], int(word[1:])) for word in text.split()]


@next_batch.cases
def _() -> Iterator[Case]:
    yield case("by hand", _pairs("a1 b5"), _pairs("c2 d9"), 2)
    yield case("nobody has finished", _pairs("a2 b3"), _pairs("c1"), 2)
    yield case("all have finished", _pairs("a1 b1 c1"), _pairs("d4 e2"), 3)
    yield case("an empty batch", [], _pairs("a3 b1 c2"), 2)
    yield case("nobody waits", _pairs("a4 b1"), [], 4)
    yield case("more room than wait", _pairs("a2"), _pairs("b5"), 8)
    yield case("short ones wait behind", _pairs("a1 b2"), _pairs("c9 d1 e1"), 2)
    yield case("less room than before", _pairs("a5 b5 c5"), _pairs("d1 e1"), 2)
    yield case("names in any order", _pairs("z1 m3"), _pairs("k5 x2 a7"), 3)
    yield case("less room, and one leaves", _pairs("a5 b1 c5 d5"), _pairs("e1 f2"), 2)
    yield case("as many as places", _pairs("d1 c1 b4"), _pairs("f3 e9"), 3)
    yield case("the first leaves", _pairs("c1 b2 a9 d1"), _pairs("x3 w1 y2"), 4)
    yield case("three places are free", _pairs("a1 b1 c1"), _pairs("d4 e2 f1 g1"), 3)


def _step(running, waiting, room, *, joins=None, order=None):
    still = [(name, left - 1) for name, left in running if left > 1]
    free = max(room - len(still), 0) if joins is None else joins(still)
    queue = waiting if order is None else order(waiting)
    return still + queue[:free], queue[free:]


@next_batch.mistake(
    "waits until all have finished",
    hint="That is static batching. A free place is taken before the next token.",
)
def _(running, waiting, room):
    return _step(running, waiting, room, joins=lambda still: 0 if still else room)


@next_batch.mistake(
    "the shortest first", hint="Who came first joins first; else a long request may wait for ever."
)
def _(running, waiting, room):
    return _step(running, waiting, room, order=lambda queue: sorted(queue, key=lambda p: p[1]))


@next_batch.mistake(
    "who came last joins first", hint="Who came first joins first: take from the queue's front."
)
def _(running, waiting, room):
    still = [(name, left - 1) for name, left in running if left > 1]
    left = len(waiting) - min(max(room - len(still), 0), len(waiting))
    return still + waiting[left:], waiting[:left]


@next_batch.mistake(
    "the shortest first, the others in their order",
    hint="How long a request is does not matter: who came first joins first.",
)
def _(running, waiting, room):
    still = [(name, left - 1) for name, left in running if left > 1]
    joins = sorted(waiting, key=lambda pair: pair[1])[: max(room - len(still), 0)]
    return still + joins, [pair for pair in waiting if pair not in joins]


@next_batch.mistake(
    "who has finished stays", hint="Whoever had 1 token left has 0 now, and leaves the batch."
)
def _(running, waiting, room):
    still = [(name, left - 1) for name, left in running]
    free = max(room - len(still), 0)
    return still + waiting[:free], waiting[free:]


@next_batch.mistake(
    "no token was written", hint="The step wrote a token for each running row: one fewer is left."
)
def _(running, waiting, room):
    still = [(name, left) for name, left in running if left > 1]
    free = max(room - len(still), 0)
    return still + waiting[:free], waiting[free:]


@next_batch.mistake(
    "the new ones are a token ahead", hint="Who joins now has written nothing yet in this step."
)
def _(running, waiting, room):
    every = running + waiting
    still = [(name, left - 1) for name, left in every if left > 1]
    return still[:room], still[room:]


@next_batch.mistake("one joins at most", hint="As many join as places are free.")
def _(running, waiting, room):
    return _step(running, waiting, room, joins=lambda still: int(room > len(still)))


def _plain_step(running, waiting, room):
    still = [(name, left - 1) for name, left in running if left > 1]
    free = max(room - len(still), 0)
    return still, waiting[:free], waiting[free:]


@next_batch.mistake(
    "those beyond the room are sent away",
    hint="If more run than there is room, none joins and none is sent away: no `[:room]` of all.",
)
def _(running, waiting, room):
    still, _, _ = _plain_step(running, waiting, room)
    return (still + waiting)[:room], (still + waiting)[room:]


@next_batch.mistake(
    "those beyond the room wait behind",
    hint="Whoever runs goes on, even with less room than before.",
)
def _(running, waiting, room):
    still, _, _ = _plain_step(running, waiting, room)
    free = max(room - len(still), 0)
    return still[:room] + waiting[:free], waiting[free:] + still[room:]


@next_batch.mistake(
    "a negative number of free places",
    hint="With less room than before `room - len(...)` is below 0: a slice counts from behind.",
)
def _(running, waiting, room):
    return _step(running, waiting, room, joins=lambda still: room - len(still))


@next_batch.mistake(
    "places are counted before anybody leaves",
    hint="First those leave who need no more. Then count: their places are free, too.",
)
def _(running, waiting, room):
    return _step(running, waiting, room, joins=lambda still: max(room - len(running), 0))


@next_batch.mistake(
    "as many join as leave",
    hint="Places may have been free before. Fill up to `room`, however many leave.",
)
def _(running, waiting, room):
    return _step(running, waiting, room, joins=lambda still: len(running) - len(still))


@next_batch.mistake(
    "room for the new ones alone", hint="Who still runs takes places of `room`, too."
)
def _(running, waiting, room):
    return _step(running, waiting, room, joins=lambda still: room)


@next_batch.mistake("one too many", hint="`while len(batch) < room`: at `room` it is full.")
def _(running, waiting, room):
    return _step(running, waiting, room, joins=lambda still: max(room - len(still) + 1, 0))


@next_batch.mistake("one place stays free", hint="The batch may have `room` requests, all of it.")
def _(running, waiting, room):
    return _step(running, waiting, room, joins=lambda still: max(room - len(still) - 1, 0))


@next_batch.mistake("who came last", hint="Who came first joins first: `pop(0)`, not `pop()`.")
def _(running, waiting, room):
    still, joins, _ = _plain_step(running, waiting, room)
    cut = len(waiting) - len(joins)
    return still + waiting[cut:][::-1], waiting[:cut]


@next_batch.mistake("the longest first", hint="Who came first joins first, however long it takes.")
def _(running, waiting, room):
    return _step(running, waiting, room, order=lambda queue: sorted(queue, key=lambda p: -p[1]))


@next_batch.mistake("the new ones stand in front", hint="Those who still run come first.")
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return joins + still, rest


@next_batch.mistake(
    "the new ones take the places of those who left",
    hint="First those who still run, in their order; behind them who joins.",
)
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    queue, batch, left = list(joins), [], dict(still)
    for name, _ in running:
        if name in left:
            batch.append((name, left[name]))
        elif queue:
            batch.append(queue.pop(0))
    return batch + queue, rest


@next_batch.mistake("sorted by name", hint="Keep the order in which they came: no sorting.")
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return sorted(still + joins), rest


@next_batch.mistake("sorted by need", hint="Who needs less does not come first: keep the order.")
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return sorted(still + joins, key=lambda pair: pair[1]), rest


@next_batch.mistake("who joins waits on", hint="Whoever joins no longer waits: take them out.")
def _(running, waiting, room):
    still, joins, _ = _plain_step(running, waiting, room)
    return still + joins, waiting


@next_batch.mistake("nobody joins", hint="The free places are taken by those who wait.")
def _(running, waiting, room):
    return _plain_step(running, waiting, room)[0], waiting


@next_batch.mistake(
    "who joins has lost a token", hint="Who joins now has had no token written: leave the number."
)
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return still + [(name, left - 1) for name, left in joins], rest


@next_batch.mistake(
    "who needs one more leaves, too", hint="Who has a token left *after* this step still runs."
)
def _(running, waiting, room):
    still = [(name, left - 1) for name, left in running if left > 2]
    free = max(room - len(still), 0)
    return still + waiting[:free], waiting[free:]


@next_batch.mistake(
    "one is skipped after each that leaves",
    hint="A list that is changed while a loop runs over it skips the next one. Make a new list.",
)
def _(running, waiting, room):
    still = [(name, left - 1) for name, left in running]
    for pair in still:
        if pair[1] == 0:
            still.remove(pair)
    free = max(room - len(still), 0)
    return still + waiting[:free], waiting[free:]


@next_batch.mistake(
    "only if enough wait", hint="Some places may stay free: whoever waits joins all the same."
)
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return (still + joins, rest) if len(still) + len(joins) >= room else (still, waiting)


@next_batch.mistake(
    "the names alone", hint="Wanted are pairs: a name, and how many tokens are left."
)
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return [name for name, _ in still + joins], [name for name, _ in rest]


@next_batch.mistake("the batch alone", hint="Two lists are wanted: who still waits, too.")
def _(running, waiting, room):
    still, joins, _ = _plain_step(running, waiting, room)
    return still + joins


@next_batch.mistake(
    "tokens are counted as places", hint="A request takes one place, however many tokens it needs."
)
def _(running, waiting, room):
    batch, queue = _plain_step(running, waiting, room)[0], list(waiting)
    while queue and sum(left for _, left in batch) < room:
        batch.append(queue.pop(0))
    return batch, queue


@next_batch.mistake(
    "more are taken than wait", hint="The queue may be empty before the batch is full: ask first."
)
def _(running, waiting, room):
    batch, queue = _plain_step(running, waiting, room)[0], list(waiting)
    while len(batch) < room:
        batch.append(queue.pop(0))
    return batch, queue


@next_batch.mistake("those beyond the room are lost", hint="Nobody is sent away: no `[:room]`.")
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return (still + joins)[:room], rest


@next_batch.mistake("the new ones alone", hint="Those who still run stay in the batch.")
def _(running, waiting, room):
    _, joins, rest = _plain_step(running, waiting, room)
    return joins, rest


@next_batch.mistake("who joins is lost", hint="Put those who join into the batch.")
def _(running, waiting, room):
    still, _, rest = _plain_step(running, waiting, room)
    return still, rest


@next_batch.mistake("the queue backwards", hint="Who waits keeps the order: the first one first.")
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return still + joins, rest[::-1]


@next_batch.mistake("the running ones backwards", hint="Those who still run keep their order.")
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return still[::-1] + joins, rest


@next_batch.mistake("who waits loses a token", hint="No token was written for those who wait.")
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return still + joins, [(name, left - 1) for name, left in rest]


@next_batch.mistake("who joins gains a token", hint="Leave the number of those who join as it is.")
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return still + [(name, left + 1) for name, left in joins], rest


@next_batch.mistake("a dictionary", hint="Return the two lists, one behind the other.")
def _(running, waiting, room):
    still, joins, rest = _plain_step(running, waiting, room)
    return {"running": still + joins, "waiting": rest}


# 7. Find the leak

leak = choice(
    CHAPTER,
    "leak",
    right=("b", "`==` stops at the first byte that differs: the time tells how many were right."),
    wrong={
        "a": "Reading a header takes as long for every key.",
        "c": "A short answer tells that the key was wrong, which whoever asks may know.",
        "d": "The key is in memory, not in the answer.",
    },
    read=WRONG,
)
leak_mended = choice(
    CHAPTER,
    "leak_mended",
    right=("compare_digest", "It looks at every byte, whatever the first ones are."),
    wrong={
        "sleep": "A pause of random length makes it slower to measure, not impossible.",
        "longer": "A longer key takes longer, and is still found letter by letter.",
        "lower": "Letters in one case make fewer keys, and change nothing about the time.",
    },
    read=WRONG,
)
