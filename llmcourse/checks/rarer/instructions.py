"""Rarer mistakes of the exercises on chats and prompts. Chapter 13 teaches this."""

import html
import re

from llmcourse.checks.bank.instructions import chat_targets, few_shot_prompt, render_chat


def _row(turns, marks, end, *, ends=("assistant",), marked=True, marks_paid=(), ends_paid=None):
    """A chat's ids, and whether each is paid for."""
    ids, paid = [], []
    for role, said in turns:
        if marked:
            ids.append(marks[role])
            paid.append(role in marks_paid)
        ids += said
        paid += [role == "assistant"] * len(said)
        if role in ends or "*" in ends:
            ids.append(end)
            paid.append(role == "assistant" if ends_paid is None else ends_paid)
    return ids, paid


def _next(ids, paid):
    return [i if p else -100 for i, p in zip(ids[1:], paid[1:], strict=True)]


def _targets_of(name, hint, **how):
    @chat_targets.mistake(name, hint=hint)
    def _(turns, marks, end):
        return _next(*_row(turns, marks, end, **how))


_targets_of(
    "an end behind every turn, each paid for",
    "You put an end behind every turn, and pay for each. Only the assistant's turns have one.",
    ends=("*",),
    ends_paid=True,
)
_targets_of(
    "the mark in front of each answer is paid for",
    "You pay for the assistant's mark. It belongs to the request: who runs the model writes it.",
    marks_paid=("assistant",),
)
_targets_of(
    "the user's mark is paid for",
    "You pay for the user's mark, as if the assistant passed the word on. It is not its own.",
    marks_paid=("user",),
)
_targets_of(
    "all marks are paid for",
    "You pay for all marks. What the assistant says are its ids and its end.",
    marks_paid=("user", "system", "assistant"),
)
_targets_of(
    "an end behind the user's turns alone",
    "You put the end behind the user's turns. It belongs behind the assistant's.",
    ends=("user",),
)


@chat_targets.mistake(
    "the mark of who answers next paid for too",
    hint="You shift the mask once too often: the mark is paid for and the end is not.",
)
def _(turns, marks, end):
    ids, paid = _row(turns, marks, end)
    return [i if p else -100 for i, p in zip(ids[1:], [*paid[2:], False], strict=True)]


@chat_targets.mistake(
    "the ids are not shifted, the mask is",
    hint="You shift the mask and not the ids. Both lose their first entry.",
)
def _(turns, marks, end):
    ids, paid = _row(turns, marks, end)
    return [i if p else -100 for i, p in zip(ids[:-1], paid[1:], strict=True)]


@chat_targets.mistake(
    "the end as the last place's target",
    hint="You give the last place a target as well, the end. It has no next place.",
)
def _(turns, marks, end):
    return [*_next(*_row(turns, marks, end)), end]


@chat_targets.mistake(
    "what the others say is paid for",
    hint="Your mask is the other way round: the others are paid for.",
)
def _(turns, marks, end):
    ids, paid = _row(turns, marks, end)
    return _next(ids, [not p for p in paid])


@chat_targets.mistake(
    "ids that are marks are never paid for",
    hint="You look for marks by their ids and leave them out wherever they stand. In what somebody "
    "says they are ids like any other.",
)
def _(turns, marks, end):
    targets = _next(*_row(turns, marks, end))
    return [-100 if target in marks.values() else target for target in targets]


@chat_targets.mistake(
    "paid for up to the first end",
    hint="You read the finished row, and an end that the assistant says itself stops the payment.",
)
def _(turns, marks, end):
    ids, _ = _row(turns, marks, end)
    paid, inside = [], False
    for place in ids:
        paid.append(inside)
        inside = place == marks.get("assistant") or (inside and place != end)
    return _next(ids, paid)


@chat_targets.mistake(
    "paid for by marks in the row",
    hint="You read the finished row, where any id may look like a mark. Go by turns.",
)
def _(turns, marks, end):
    ids, _ = _row(turns, marks, end)
    paid, inside = [], False
    for place in ids:
        is_mark = place in marks.values()
        paid.append(inside and not is_mark)
        inside = place == marks.get("assistant") if is_mark else inside
    return _next(ids, paid)


@chat_targets.mistake(
    "an empty answer leaves its mark alone",
    hint="You write no end for answers without ids. An empty answer has its end alone.",
)
def _(turns, marks, end):
    ids, paid = [], []
    for role, said in turns:
        own = [end] if role == "assistant" and said else []
        ids += [marks[role], *said, *own]
        paid += [False] + [role == "assistant"] * (len(said) + len(own))
    return _next(ids, paid)


@chat_targets.mistake(
    "empty turns are skipped",
    hint="You skip turns without ids. They have their mark, and the assistant's its end.",
)
def _(turns, marks, end):
    return _next(*_row([turn for turn in turns if turn[1]], marks, end))


@chat_targets.mistake(
    "an end before the answer's ids",
    hint="Your end stands before what the assistant says. It stands behind.",
)
def _(turns, marks, end):
    ids, paid = [], []
    for role, said in turns:
        own = [end] * (role == "assistant")
        ids += [marks[role], *own, *said]
        paid += [False] + [role == "assistant"] * (len(own) + len(said))
    return _next(ids, paid)


@chat_targets.mistake(
    "the mark behind the turn",
    hint="Your mark stands behind what is said. It stands in front.",
)
def _(turns, marks, end):
    ids, paid = [], []
    for role, said in turns:
        own = [end] * (role == "assistant")
        ids += [*said, *own, marks[role]]
        paid += [role == "assistant"] * (len(said) + len(own)) + [False]
    return _next(ids, paid)


def _unpaid(name, hint, number):
    @chat_targets.mistake(name, hint=hint)
    def _(turns, marks, end):
        ids, paid = _row(turns, marks, end)
        return [i if p else number for i, p in zip(ids[1:], paid[1:], strict=True)]


_unpaid("0 for what is not paid for", "You write 0 for what is not paid for. It is −100.", 0)
_unpaid("-1 for what is not paid for", "You write −1 for what is not paid for. It is −100.", -1)
_unpaid("None for what is not paid for", "You write None. What is not paid for is −100.", None)
_unpaid("100 for what is not paid for", "The sign is lost: it is −100.", 100)


@chat_targets.mistake(
    "what is not paid for left out",
    hint="You return what is paid for alone. Every place but the last has a target.",
)
def _(turns, marks, end):
    return [target for target in _next(*_row(turns, marks, end)) if target != -100]


@chat_targets.mistake(
    "the whole row and its targets",
    hint="You return row and targets. Asked for are the targets.",
)
def _(turns, marks, end):
    ids, paid = _row(turns, marks, end)
    return ids, _next(ids, paid)


def _prompt(pairs, request, *, question="Q: ", answer="A: ", gap="\n\n", last="A:", line="\n"):
    shots = [f"{question}{q}{line}{answer}{a}" for q, a in pairs]
    return gap.join([*shots, f"{question}{request}{line}{last}"])


def _others(examples, request):
    return [(q, a) for q, a in examples if q != request]


def _prompted(name, hint, choose, **how):
    """A prompt of the examples that `choose(examples, request, k)` returns."""

    @few_shot_prompt.mistake(name, hint=hint)
    def _(examples, request, k):
        return _prompt(choose(examples, request, k), request, **how)


def _right(examples, request, k):
    return _others(examples, request)[:k]


_prompted(
    "the last k, and all for 0",
    "You take the last k examples, and `[-0:]` is all of them. The first k are asked for.",
    lambda e, r, k: _others(e, r)[-k:],
)
_prompted(
    "the first k, from the last to the first",
    "You turn the examples round. They keep their order.",
    lambda e, r, k: _right(e, r, k)[::-1],
)
_prompted(
    "signs and capitals do not count",
    "You compare letters and digits alone. Requests are compared to the letter.",
    lambda e, r, k: [p for p in e if re.sub(r"\W", "", p[0]) != re.sub(r"\W", "", r)][:k],
)
_prompted(
    "requests that begin alike are left out",
    "You leave out requests that begin like the one asked. Only the same one goes.",
    lambda e, r, k: [p for p in e if not p[0].startswith(r)][:k],
)
_prompted(
    "each request once",
    "You leave out examples whose request came before. Two with one request are two examples.",
    lambda e, r, k: list({q: (q, a) for q, a in reversed(_others(e, r))}.values())[::-1][:k],
)
_prompted(
    "each example once",
    "You leave out examples that came before, answer and all. They count as often as they come.",
    lambda e, r, k: list(dict.fromkeys(_others(e, r)))[:k],
)
_prompted(
    "at least one example",
    "You give one example even for k = 0. That is a zero-shot prompt.",
    lambda e, r, k: _others(e, r)[: max(1, k)],
)
_prompted(
    "none if there are too few",
    "You give no example where there are fewer than k. All of them are given then.",
    lambda e, r, k: _right(e, r, k) if len(_others(e, r)) >= k else [],
)
_prompted(
    "again from the first where there are too few",
    "You begin again with the first where there are fewer than k. Each is given once.",
    lambda e, r, k: (_others(e, r) * k)[:k],
)
_prompted(
    "answers that are the request are left out",
    "You compare answers with the request as well. Only requests are compared.",
    lambda e, r, k: [p for p in e if r not in p][:k],
)
_prompted("two empty lines", "You leave two empty lines between examples.", _right, gap="\n\n\n")
_prompted("nothing to be answered", "The last `A:` is missing.", _right, last="")
_prompted("question and answer on one line", "Request and answer share a line.", _right, line=" ")
_prompted(
    "an empty line between question and answer",
    "You leave an empty line between request and answer.",
    _right,
    line="\n\n",
)
_prompted(
    "whole words for the letters",
    "You write whole words. It is `Q:` and `A:`.",
    _right,
    question="Question: ",
    answer="Answer: ",
    last="Answer:",
)
_prompted(
    "no blank behind the colons",
    "There is a blank between colon and text.",
    _right,
    question="Q:",
    answer="A:",
)
_prompted(
    "a rule between the examples",
    "You draw a line between examples. An empty line is asked for.",
    _right,
    gap="\n\n---\n\n",
)


def _first_gone(examples, request):
    own = [n for n, (q, _) in enumerate(examples) if q == request][:1]
    return [pair for n, pair in enumerate(examples) if n not in own]


@few_shot_prompt.mistake(
    "the examples alone",
    hint="The open request is missing at the end.",
)
def _(examples, request, k):
    return "".join(f"Q: {q}\nA: {a}\n\n" for q, a in _right(examples, request, k))


@few_shot_prompt.mistake(
    "the open request first",
    hint="Your open request stands before the examples. It comes last.",
)
def _(examples, request, k):
    shots = [f"Q: {q}\nA: {a}" for q, a in _right(examples, request, k)]
    return "\n\n".join([f"Q: {request}\nA:", *shots])


@few_shot_prompt.mistake(
    "the examples numbered",
    hint="You number the examples. They have none.",
)
def _(examples, request, k):
    pairs = [*_right(examples, request, k)]
    shots = [f"Q{n}: {q}\nA{n}: {a}" for n, (q, a) in enumerate(pairs, 1)]
    return "\n\n".join([*shots, f"Q{len(pairs) + 1}: {request}\nA{len(pairs) + 1}:"])


def _turn(role, content):
    return f"<|im_start|>{role}\n{content}<|im_end|>\n"


_OPEN = "<|im_start|>assistant\n"


def _stripped(role, content):
    return _turn(role, content.strip())


def _waits(messages):
    return not messages or messages[-1][0] != "assistant"


def _rendered(name, hint, turn=_stripped, opens=_waits, *, skip=lambda role, content: False):
    """A chat, where `turn(role, content)` writes a turn and `opens(messages)` says if one waits."""

    @render_chat.mistake(name, hint=hint)
    def _(messages, add_generation_prompt):
        text = "".join(turn(*m) for m in messages if not skip(*m))
        return text + (_OPEN if add_generation_prompt and opens(messages) else "")


_rendered(
    "line breaks alone trimmed",
    "You take line breaks away and leave blanks. `trim` takes all white space at the ends.",
    lambda role, content: _turn(role, content.strip("\n")),
)
_rendered(
    "blanks and line breaks alone trimmed",
    "You leave tabs at the ends. `trim` takes all white space.",
    lambda role, content: _turn(role, content.strip(" \n")),
)
_rendered(
    "all white space taken out",
    "You take out all white space. `trim` works at the ends.",
    lambda role, content: _turn(role, "".join(content.split())),
)
_rendered(
    "the role trimmed, too",
    "You trim the role. `trim` stands behind the content, and binds it alone.",
    lambda role, content: _turn(role.strip(), content.strip()),
)
_rendered(
    "content and all before it trimmed",
    "You trim role, line break and content as one. `trim` binds more tightly than `+`.",
    lambda role, content: f"<|im_start|>{role}\n{content}".strip() + "<|im_end|>\n",
)
_rendered(
    "no line break after the role",
    "There is a line break between role and content.",
    lambda role, content: f"<|im_start|>{role}{content.strip()}<|im_end|>\n",
)
_rendered(
    "a colon after the role",
    "There is no colon after the role.",
    lambda role, content: f"<|im_start|>{role}:\n{content.strip()}<|im_end|>\n",
)
_rendered(
    "a line break before the end",
    "No line break stands before `<|im_end|>`.",
    lambda role, content: f"<|im_start|>{role}\n{content.strip()}\n<|im_end|>\n",
)
_rendered(
    "two line breaks after the end",
    "One line break stands behind each `<|im_end|>`.",
    lambda role, content: f"<|im_start|>{role}\n{content.strip()}<|im_end|>\n\n",
)
_rendered(
    "two line breaks after the role",
    "One line break stands behind the role.",
    lambda role, content: f"<|im_start|>{role}\n\n{content.strip()}<|im_end|>\n",
)
_rendered(
    "backslash and n",
    "You write a backslash and an n. In the template it is a line break.",
    lambda role, content: f"<|im_start|>{role}\\n{content.strip()}<|im_end|>\\n",
)
_rendered(
    "roles with a capital",
    "You give roles a capital letter. They are written as they are.",
    lambda role, content: _turn(role.capitalize(), content.strip()),
)
_rendered(
    "roles in small letters",
    "You write roles in small letters. They are written as they are.",
    lambda role, content: _turn(role.lower(), content.strip()),
)
_rendered(
    "the system's messages left out",
    "You leave out the system's messages. The template writes each one.",
    skip=lambda role, content: role == "system",
)
_rendered(
    "unknown roles left out",
    "You leave out roles that you do not know. The template writes each one.",
    skip=lambda role, content: role not in ("system", "user", "assistant"),
)
_rendered(
    "special marks in the content taken out",
    "You take marks out of the content. The template writes it as it is.",
    lambda role, content: _turn(role, re.sub(r"<\|im_\w+\|>", "", content).strip()),
)
_rendered(
    "signs of HTML escaped",
    "You escape the content as for a page. The template writes it as it is.",
    lambda role, content: _turn(role, html.escape(content.strip())),
)
_rendered(
    "opened after the user alone, an empty chat not at all",
    "You open it after the user alone. It is opened after others, too, and when empty.",
    opens=lambda messages: messages and messages[-1][0] == "user",
)
_rendered(
    "opened only after the assistant",
    "Your condition is the other way round.",
    opens=lambda messages: bool(messages) and messages[-1][0] == "assistant",
)
_rendered(
    "an empty chat alone is opened",
    "You open an empty chat alone. After anybody but the assistant it is opened, too.",
    opens=lambda messages: not messages,
)


@render_chat.mistake(
    "an empty chat opened in any case",
    hint="You read the condition as `(asked and not messages) or ...`. The brackets bind the rest.",
)
def _(messages, add_generation_prompt):
    text = "".join(_turn(role, content.strip()) for role, content in messages)
    last = messages[-1][0] if messages else "assistant"
    return text + (_OPEN if not messages or (add_generation_prompt and last != "assistant") else "")


def _opened_with(name, hint, opening):
    @render_chat.mistake(name, hint=hint)
    def _(messages, add_generation_prompt):
        text = "".join(_turn(role, content.strip()) for role, content in messages)
        waits = not messages or messages[-1][0] != "assistant"
        return text + (opening if add_generation_prompt and waits else "")


_opened_with("opened without the role", "The opening names the assistant.", "<|im_start|>")


@render_chat.mistake(
    "an answered chat is gone on with",
    hint="You take the last end away, so that the assistant goes on. The template ends every turn.",
)
def _(messages, add_generation_prompt):
    text = "".join(_turn(role, content.strip()) for role, content in messages)
    if not add_generation_prompt:
        return text
    if messages and messages[-1][0] == "assistant":
        return text.removesuffix("<|im_end|>\n")
    return text + _OPEN


_prompted(
    "user and assistant for the letters",
    "You write `User:` and `Assistant:`. It is `Q:` and `A:`.",
    _right,
    question="User: ",
    answer="Assistant: ",
    last="Assistant:",
)
_prompted(
    "input and output for the letters",
    "You write `Input:` and `Output:`. It is `Q:` and `A:`.",
    _right,
    question="Input: ",
    answer="Output: ",
    last="Output:",
)
_prompted(
    "small letters",
    "You write `q:` and `a:`. They are capitals.",
    _right,
    question="q: ",
    answer="a: ",
    last="a:",
)
_prompted(
    "the nearest examples last",
    "You order the examples by how many words they share with the request. They keep their order.",
    lambda e, r, k: sorted(_others(e, r), key=lambda p: -len({*p[0].split()} & {*r.split()}))[:k],
)
_prompted(
    "the shortest examples",
    "You take the shortest examples. The first k are asked for.",
    lambda e, r, k: sorted(_others(e, r), key=lambda p: len(p[0]))[:k],
)
_prompted(
    "examples in alphabetical order",
    "You sort the examples. They keep their order.",
    lambda e, r, k: sorted(_others(e, r))[:k],
)
_prompted(
    "one example less",
    "You give k − 1 examples.",
    lambda e, r, k: _others(e, r)[: max(0, k - 1)],
)
_prompted(
    "request and answer exchanged",
    "You write answers as requests. A pair is a request and its answer.",
    lambda e, r, k: [(a, q) for q, a in _right(e, r, k)],
)


@few_shot_prompt.mistake(
    "an instruction in front",
    hint="You put a sentence of your own in front. The prompt has the examples and the request.",
)
def _(examples, request, k):
    return "Answer the question.\n\n" + _prompt(_right(examples, request, k), request)


@few_shot_prompt.mistake(
    "the request twice",
    hint="You write the open request after each example. It comes once, last.",
)
def _(examples, request, k):
    shots = [f"Q: {q}\nA: {a}\n\nQ: {request}\nA:" for q, a in _right(examples, request, k)]
    return "\n\n".join(shots) or f"Q: {request}\nA:"


_rendered(
    "the marks of Llama 2",
    "You write `[INST]`, another model's marks. The template says which ones.",
    lambda role, content: f"[INST] {content.strip()} [/INST]" if role == "user" else content,
)
_rendered(
    "the marks of Zephyr",
    "You write `<|user|>`, another model's marks. The template says which ones.",
    lambda role, content: f"<|{role}|>\n{content.strip()}</s>\n",
)
_rendered(
    "the role at the end, too",
    "You name the role behind the end. It stands at the beginning alone.",
    lambda role, content: f"<|im_start|>{role}\n{content.strip()}<|im_end|>{role}\n",
)
_rendered(
    "the beginning's mark at the end",
    "You end with `<|im_start|>`. It is `<|im_end|>`.",
    lambda role, content: f"<|im_start|>{role}\n{content.strip()}<|im_start|>\n",
)


@render_chat.mistake(
    "turns of one role joined",
    hint="You join neighbouring turns of one role. The template writes each message.",
)
def _(messages, add_generation_prompt):
    joined = []
    for role, content in messages:
        if joined and joined[-1][0] == role:
            joined[-1] = (role, joined[-1][1] + "\n" + content.strip())
        else:
            joined.append((role, content.strip()))
    text = "".join(_turn(*message) for message in joined)
    waits = not messages or messages[-1][0] != "assistant"
    return text + (_OPEN if add_generation_prompt and waits else "")


@render_chat.mistake(
    "the last message alone",
    hint="You write the last message alone. Every message is written.",
)
def _(messages, add_generation_prompt):
    text = "".join(_turn(role, content.strip()) for role, content in messages[-1:])
    waits = not messages or messages[-1][0] != "assistant"
    return text + (_OPEN if add_generation_prompt and waits else "")


@render_chat.mistake(
    "opened after every message",
    hint="You open the assistant's turn after every message. The `if` stands behind the loop.",
)
def _(messages, add_generation_prompt):
    opening = _OPEN if add_generation_prompt else ""
    said = [_turn(role, content.strip()) for role, content in messages]
    waits = [role != "assistant" for role, _ in messages]
    return "".join(s + opening * w for s, w in zip(said, waits, strict=True)) or opening


@chat_targets.mistake(
    "the first id of an answer alone",
    hint="You pay for the first id of an answer. All of them count, and the end.",
)
def _(turns, marks, end):
    ids, paid = _row(turns, marks, end)
    pairs = zip(paid, [False, *paid[:-1]], strict=True)
    return _next(ids, [p and not before for p, before in pairs])


@chat_targets.mistake(
    "the ends alone",
    hint="You pay for the ends alone. The answers' ids count, too.",
)
def _(turns, marks, end):
    ids, paid = _row(turns, marks, end)
    pairs = zip(paid, [*paid[1:], False], strict=True)
    return _next(ids, [p and not after for p, after in pairs])
