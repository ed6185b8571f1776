"""The exercises on instructions: what is paid for, prompts with examples, templates, a bug.

Not here: the exercises on LoRA (`adapters.py`), the exercises' texts (`solutions/`), and how
checking works (`harness.py`). Chapter 13 teaches this.
"""

from collections.abc import Iterator

from llmcourse.checks.answers import choice
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.objectives.base import IGNORE
from llmcourse.tokenizers.chat import ChatTemplate, Message

CHAPTER = "13"
MASK = "3. Which tokens are paid for?"
TEMPLATES = "2. How does a chat become a text?"

Turn = tuple[str, list[int]]

# 1. What is paid for


@exercise(CHAPTER, read=MASK)
def chat_targets(turns: list[Turn], marks: dict[str, int], end: int) -> list[int]:
    """For each place but the last, the next id where the assistant says it, else -100."""
    ids, ours = _row(turns, marks, end)
    return [i if said else IGNORE for i, said in zip(ids[1:], ours[1:], strict=True)]


def _row(turns: list[Turn], marks: dict[str, int], end: int) -> tuple[list[int], list[bool]]:
    """The ids of a chat, and whether the assistant says them."""
    ids, ours = [], []
    for role, words in turns:
        answers = role == "assistant"
        ids += [marks[role], *words] + [end] * answers
        ours += [False] + [answers] * (len(words) + answers)
    return ids, ours


MARKS = {"system": 90, "user": 91, "assistant": 92}


@chat_targets.cases
def _() -> Iterator[Case]:
    yield case("by hand", [("user", [3]), ("assistant", [5])], MARKS, 0)
    yield case("a longer answer", [("user", [3, 4]), ("assistant", [5, 6, 7])], MARKS, 0)
    two = [("user", [3]), ("assistant", [5]), ("user", [4, 8]), ("assistant", [6, 7])]
    yield case("two answers", two, MARKS, 1)
    yield case("a system's turn", [("system", [9, 9]), *two], MARKS, 0)
    yield case("the request says the same", [("user", [5, 6]), ("assistant", [5, 6])], MARKS, 0)
    yield case("the end within a request", [("user", [3, 0]), ("assistant", [5])], MARKS, 0)
    yield case("nobody answers", [("user", [3, 4])], MARKS, 0)
    yield case("an empty answer", [("user", [3, 4]), ("assistant", [])], MARKS, 0)
    yield case("the end within an answer", [("user", [3]), ("assistant", [5, 0, 6])], MARKS, 0)
    yield case("a mark within a request", [("user", [3, 92, 4]), ("assistant", [5])], MARKS, 0)
    yield case("marks within an answer", [("user", [3]), ("assistant", [5, 91, 92])], MARKS, 0)


def _targets(turns, marks, end, *, ours=None, shift=1):
    """The targets by another rule of what is paid for: `ours` gets (id, said, role of the turn)."""
    ids, said = _row(turns, marks, end)
    said = said if ours is None else ours(ids, said)
    return [i if s else IGNORE for i, s in zip(ids[shift:], said[shift:], strict=True)]


@chat_targets.mistake(
    "the end is not paid for",
    hint="The end of an answer is a target, too: a model that never pays for it never stops.",
)
def _(turns, marks, end):
    found = []
    for role, words in turns:
        answers = role == "assistant"
        found += [IGNORE, *(words if answers else [IGNORE] * len(words))] + [IGNORE] * answers
    return found[1:]


@chat_targets.mistake(
    "every id of the end is masked",
    hint="You mask by the id: then the real end of an answer is masked, too, and nobody learns to "
    "stop. What counts is who says it.",
)
def _(turns, marks, end):
    def ours(ids, said):
        return [s and i != end for i, s in zip(ids, said, strict=True)]

    return _targets(turns, marks, end, ours=ours)


@chat_targets.mistake(
    "the requests are paid for, too",
    hint="Where the user speaks, the target is −100: the model is to answer, not to ask.",
)
def _(turns, marks, end):
    return _row(turns, marks, end)[0][1:]


@chat_targets.mistake(
    "the assistant's mark is paid for",
    hint="The mark of the assistant is written by the program, not by the model: −100 where it is "
    "the *target*.",
)
def _(turns, marks, end):
    def ours(ids, said):
        return [s or i == marks["assistant"] for i, s in zip(ids, said, strict=True)]

    return _targets(turns, marks, end, ours=ours)


@chat_targets.mistake(
    "not shifted",
    hint="The target of a place is the *next* id. You hand back what stands at the place itself.",
)
def _(turns, marks, end):
    ids, said = _row(turns, marks, end)
    return [i if s else IGNORE for i, s in zip(ids, said, strict=True)]


@chat_targets.mistake(
    "the ids are shifted, the mask is not",
    hint="Shift both: whether a place is paid for hangs on its target, not on what it reads.",
)
def _(turns, marks, end):
    ids, said = _row(turns, marks, end)
    return [i if s else IGNORE for i, s in zip(ids[1:], said[:-1], strict=True)]


@chat_targets.mistake(
    "the last answer alone",
    hint="Every turn of the assistant's is learned, not the last one alone.",
)
def _(turns, marks, end):
    last = max((n for n, (role, _) in enumerate(turns) if role == "assistant"), default=-1)
    before = len(_row(turns[:last], marks, end)[0]) if last >= 0 else 0

    def ours(ids, said):
        return [s and n >= before for n, s in enumerate(said)]

    return _targets(turns, marks, end, ours=ours)


@chat_targets.mistake(
    "an end behind every turn",
    hint="The end stands behind the assistant's turns alone: the user's are closed by the next "
    "mark.",
)
def _(turns, marks, end):
    ids, said = [], []
    for role, words in turns:
        ids += [marks[role], *words, end]
        said += [False] + [role == "assistant"] * (len(words) + 1)
    return [i if s else IGNORE for i, s in zip(ids[1:], said[1:], strict=True)]


@chat_targets.mistake(
    "all but the user's is paid for",
    hint="A system's turn is no answer either: only what the assistant says is paid for.",
)
def _(turns, marks, end):
    renamed = [("user" if role == "user" else "assistant", words) for role, words in turns]
    ids, _ = _row(turns, marks, end)
    said = []
    for (role, words), (real, _) in zip(renamed, turns, strict=True):
        said += [False] + [role == "assistant"] * (len(words) + (real == "assistant"))
    return [i if s else IGNORE for i, s in zip(ids[1:], said[1:], strict=True)]


@chat_targets.mistake(
    "masked by the id of the end",
    hint="Wherever the id of the end stands you ask for it, in a request as well. What counts is "
    "who says it.",
)
def _(turns, marks, end):
    def ours(ids, said):
        return [s or i == end for i, s in zip(ids, said, strict=True)]

    return _targets(turns, marks, end, ours=ours)


@chat_targets.mistake(
    "the last entry is cut, not the first",
    hint="The target of a place is the *next* id: leave out the first entry, so that all move up.",
)
def _(turns, marks, end):
    ids, said = _row(turns, marks, end)
    return [i if s else IGNORE for i, s in zip(ids[:-1], said[:-1], strict=True)]


@chat_targets.mistake(
    "the first answer alone",
    hint="Every turn of the assistant's is learned, not the first one alone.",
)
def _(turns, marks, end):
    first = next((n for n, (role, _) in enumerate(turns) if role == "assistant"), len(turns))
    until = len(_row(turns[: first + 1], marks, end)[0])

    def ours(ids, said):
        return [s and n < until for n, s in enumerate(said)]

    return _targets(turns, marks, end, ours=ours)


@chat_targets.mistake(
    "one end, behind the whole chat",
    hint="Each answer has an end of its own, right behind its ids; a chat without an answer has "
    "none.",
)
def _(turns, marks, end):
    found = []
    for role, words in turns:
        found += [IGNORE, *(words if role == "assistant" else [IGNORE] * len(words))]
    return [*found[1:], end]


@chat_targets.mistake(
    "everything behind the first answer is paid for",
    hint="When the user speaks again, nothing is paid for again, until the next answer.",
)
def _(turns, marks, end):
    ids, said = _row(turns, marks, end)
    begun = [any(said[: n + 1]) for n in range(len(said))]
    return [i if s else IGNORE for i, s in zip(ids[1:], begun[1:], strict=True)]


@chat_targets.mistake(
    "the users' words are paid for, the marks are not",
    hint="What the user and the system say is read, not learned: −100 there, as for the marks.",
)
def _(turns, marks, end):
    found = []
    for role, words in turns:
        found += [IGNORE, *words] + [end] * (role == "assistant")
    return found[1:]


@chat_targets.mistake(
    "every second turn is the assistant's",
    hint="Who speaks stands in the turn. A chat may begin with the system, or with an answer.",
)
def _(turns, marks, end):
    found = []
    for n, (_, words) in enumerate(turns):
        found += [IGNORE, *words, end] if n % 2 else [IGNORE] * (1 + len(words))
    return found[1:]


@chat_targets.mistake(
    "an empty answer has no end",
    hint="Who says nothing ends, too: behind an empty answer stands `end`, and it is paid for.",
)
def _(turns, marks, end):
    found = []
    for role, words in turns:
        answers = role == "assistant"
        found += [IGNORE, *words, end] if answers and words else [IGNORE] * (1 + len(words))
        found += [IGNORE] if answers and not words else []
    return found[1:]


@chat_targets.mistake(
    "the system's turns are left out",
    hint="The model reads the system's turn as well: its mark and its ids are in the row, at −100.",
)
def _(turns, marks, end):
    return _targets([turn for turn in turns if turn[0] != "system"], marks, end)


@chat_targets.mistake(
    "who speaks is read off the ids",
    hint="The id of a mark (or of the end) may occur in what somebody says. Who speaks stands in "
    "the turn; do not look for it in the finished row.",
)
def _(turns, marks, end):
    ids, _ = _row(turns, marks, end)
    found, answering = [], False
    for i in ids:
        found.append(i if answering and i not in marks.values() else IGNORE)
        if i in marks.values():
            answering = i == marks["assistant"]
        answering = answering and i != end
    return found[1:]


@chat_targets.mistake(
    "an answer's first id is not paid for",
    hint="It is predicted at the assistant's mark, and it is the assistant's: it is paid for.",
)
def _(turns, marks, end):
    ids, said = _row(turns, marks, end)
    later = [s and before for s, before in zip(said, [False, *said], strict=False)]
    return [i if s else IGNORE for i, s in zip(ids[1:], later[1:], strict=True)]


# 2. A prompt with examples


@exercise(CHAPTER, read="1. What does a pretrained model do with a request?")
def few_shot_prompt(examples: list[tuple[str, str]], request: str, k: int) -> str:
    """The first k examples that are not the request itself, solved, and the request, open."""
    kept = [(q, a) for q, a in examples if q != request][:k]
    return "".join(f"Q: {q}\nA: {a}\n\n" for q, a in kept) + f"Q: {request}\nA:"


SOLVED = [("2 + 2?", "4"), ("3 + 1?", "four"), ("5 + 4?", "9"), ("1 + 1?", "2")]


@few_shot_prompt.cases
def _() -> Iterator[Case]:
    yield case("by hand", SOLVED[:1], "6 + 1?", 1)
    yield case("two of four", SOLVED, "6 + 1?", 2)
    yield case("zero-shot", SOLVED, "6 + 1?", 0)
    yield case("fewer than k", SOLVED[:2], "6 + 1?", 5)
    yield case("no examples", [], "6 + 1?", 3)
    yield case("the request is among them", SOLVED, "3 + 1?", 2)
    yield case("the request stands first", SOLVED, "2 + 2?", 1)
    yield case("the request is all there is", SOLVED[:1], "2 + 2?", 3)
    longer = [("2 + 2? And now?", "4"), ("+ 2?", "no"), ("2 + 2?", "4"), ("1 + 1?", "2")]
    yield case("a request within another", longer, "2 + 2?", 2)
    yield case("other capitals and spaces", [("Is it?", "Yes "), (" is it? ", "no")], "is it?", 2)
    yield case("an example twice", [("2?", "two"), ("2?", "2"), ("3?", "3")], "4?", 2)
    yield case("the request twice", [("2?", "2"), ("3?", "3"), ("2?", "two")], "2?", 3)
    yield case("an example and its answer twice", [("2?", "2"), ("2?", "2"), ("3?", "3")], "4?", 3)
    yield case("the request is an answer", [("1 + 1?", "2"), ("3?", "3")], "2", 2)
    yield case("other signs", [("6 + 1", "7"), ("6+1?", "7"), ("3?", "3")], "6 + 1?", 2)


def _prompt(kept, request, line="Q: {}\nA: {}\n\n", last="Q: {}\nA:"):
    return "".join(line.format(q, a) for q, a in kept) + last.format(request)


def _others(examples, request):
    return [(q, a) for q, a in examples if q != request]


@few_shot_prompt.mistake(
    "a space behind the last colon",
    hint="The prompt ends in `A:`. In most vocabularies the space belongs to the answer's first "
    "token; if it stands there already, the model has to go on as no text does.",
)
def _(examples, request, k):
    return _prompt(_others(examples, request)[:k], request, last="Q: {}\nA: ")


@few_shot_prompt.mistake(
    "the request's own answer stands in it",
    hint="An example that *is* the request gives its answer away, and the measure is worthless.",
)
def _(examples, request, k):
    return _prompt(examples[:k], request)


@few_shot_prompt.mistake(
    "first cut, then sorted out",
    hint="Leave the request out first, then take k: otherwise there are fewer examples than asked.",
)
def _(examples, request, k):
    return _prompt(_others(examples[:k], request), request)


@few_shot_prompt.mistake("the last k", hint="Wanted are the *first* k examples, in their order.")
def _(examples, request, k):
    kept = _others(examples, request)
    return _prompt(kept[len(kept) - min(k, len(kept)) :], request)


@few_shot_prompt.mistake(
    "all the examples", hint="At most k of them: what is in the prompt is paid for at each call."
)
def _(examples, request, k):
    return _prompt(_others(examples, request), request)


@few_shot_prompt.mistake(
    "no empty line between", hint="Behind each example stands an empty line: two line breaks."
)
def _(examples, request, k):
    return _prompt(_others(examples, request)[:k], request, line="Q: {}\nA: {}\n")


@few_shot_prompt.mistake(
    "the answers are missing",
    hint="An example shows the request *and* its answer: what is to go on is the pattern.",
)
def _(examples, request, k):
    return _prompt(_others(examples, request)[:k], request, line="Q: {0}\nA:\n\n")


@few_shot_prompt.mistake(
    "the examples stand behind the request",
    hint="The model goes on with the *end* of the prompt. The open request stands last.",
)
def _(examples, request, k):
    kept = _others(examples, request)[:k]
    return f"Q: {request}\nA:" + "".join(f"Q: {q}\nA: {a}\n\n" for q, a in kept)


@few_shot_prompt.mistake(
    "all that contains the request is left out",
    hint="Only an example whose request *is* this one goes. A longer one is another request.",
)
def _(examples, request, k):
    return _prompt([(q, a) for q, a in examples if request not in q][:k], request)


@few_shot_prompt.mistake(
    "all that the request contains is left out",
    hint="Compare with `==` or `!=`: `in` finds a shorter text within the request, too.",
)
def _(examples, request, k):
    return _prompt([(q, a) for q, a in examples if q not in request][:k], request)


@few_shot_prompt.mistake(
    "compared without capitals or spaces",
    hint="Only the very same text is left out, to the letter.",
)
def _(examples, request, k):
    same = request.strip().lower()
    return _prompt([(q, a) for q, a in examples if q.strip().lower() != same][:k], request)


@few_shot_prompt.mistake(
    "compared without the spaces around",
    hint="Only the very same text is left out, to the letter: with the spaces it is another one.",
)
def _(examples, request, k):
    same = request.strip()
    return _prompt([(q, a) for q, a in examples if q.strip() != same][:k], request)


@few_shot_prompt.mistake(
    "compared without capitals",
    hint="Only the very same text is left out, to the letter: capitals make another one.",
)
def _(examples, request, k):
    return _prompt([(q, a) for q, a in examples if q.lower() != request.lower()][:k], request)


@few_shot_prompt.mistake(
    "trimmed", hint="Requests and answers stand in the prompt as they are, spaces included."
)
def _(examples, request, k):
    kept = [(q.strip(), a.strip()) for q, a in _others(examples, request)[:k]]
    return _prompt(kept, request.strip())


@few_shot_prompt.mistake(
    "the request is left out once",
    hint="It may stand among the examples more than once: leave out all of them.",
)
def _(examples, request, k):
    kept = list(examples)
    at = next((n for n, (q, _) in enumerate(kept) if q == request), len(kept))
    return _prompt([*kept[:at], *kept[at + 1 :]][:k], request)


@few_shot_prompt.mistake(
    "equal requests are put together",
    hint="Two examples with one request are two examples: a dictionary keeps the last one alone.",
)
def _(examples, request, k):
    return _prompt(_others(list(dict(examples).items()), request)[:k], request)


@few_shot_prompt.mistake(
    "stops at the request",
    hint="Pass over the example that is the request, and go on behind it.",
)
def _(examples, request, k):
    at = next((n for n, (q, _) in enumerate(examples) if q == request), len(examples))
    return _prompt(examples[:at][:k], request)


@few_shot_prompt.mistake(
    "a line break behind the last colon",
    hint="Nothing stands behind the last colon: the model writes on in the same line.",
)
def _(examples, request, k):
    return _prompt(_others(examples, request)[:k], request, last="Q: {}\nA:\n")


@few_shot_prompt.mistake(
    "one example too many", hint="k examples, counted from 1; with k = 0 there is none."
)
def _(examples, request, k):
    return _prompt(_others(examples, request)[: k + 1], request)


@few_shot_prompt.mistake(
    "no example means all of them", hint="k = 0 is a number like others: a zero-shot prompt."
)
def _(examples, request, k):
    return _prompt(_others(examples, request)[: k or None], request)


# 3. A template by hand

IM = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt and (not messages or messages[-1]['role'] != 'assistant') -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""
"""A template in the style of ChatML, which trims what is said."""


@exercise(CHAPTER, read=TEMPLATES)
def render_chat(messages: list[tuple[str, str]], add_generation_prompt: bool) -> str:
    """What the Jinja template of the exercise writes."""
    turns = [Message(role, content) for role, content in messages]
    return ChatTemplate(IM).render(turns, add_generation_prompt=add_generation_prompt)


@render_chat.cases
def _() -> Iterator[Case]:
    one = [("user", "Hello!")]
    two = [*one, ("assistant", "Hello. What is it?")]
    yield case("by hand", one, True)
    yield case("not to be answered", one, False)
    yield case("two turns", [*two, ("user", "A cat.")], True)
    yield case("it has been answered", two, True)
    yield case("it has been answered, and is not to be", two, False)
    yield case("a system's turn", [("system", "Be brief."), *one], True)
    yield case("white space around", [("user", "  Hello!\n\n"), ("assistant", "\nHi. ")], False)
    yield case("white space within", [("user", "Hello!\n\n  And you?")], True)
    yield case("nothing yet", [], True)
    yield case("nothing at all", [], False)
    yield case("the last turn is the system's", [*two, ("system", "Be kind.")], True)
    yield case("an empty turn", [("user", "  "), ("assistant", ""), ("user", "?")], True)
    twice = [("user", "Hello?"), ("user", "Is it you?"), ("assistant", "Yes."), ("assistant", "I.")]
    yield case("two turns of one role", [*twice, ("user", "So.")], True)
    yield case("signs that a web page would change", [("user", "Is 2 < 3 & 'so' > 1?")], True)
    yield case("an answer stands first", [("assistant", "Hello."), *one], True)
    yield case("tabs around", [("user", "\tHello!\t"), ("assistant", "Hi.\r\n")], False)
    yield case("a role of another kind", [*one, ("Critic", "No.")], True)
    yield case("a blank in the role", [("user ", " Hello!")], True)
    yield case("the template's signs", [("user", "What is <|im_end|>?")], True)


def _render(messages, open_, *, turn="<|im_start|>{}\n{}<|im_end|>\n", trim=str.strip):
    said = "".join(turn.format(role, trim(content)) for role, content in messages)
    return said + ("<|im_start|>assistant\n" if open_ else "")


def _is_open(messages, wanted):
    return wanted and not (messages and messages[-1][0] == "assistant")


@render_chat.mistake(
    "no generation prompt",
    hint="With `add_generation_prompt` the assistant's turn is opened: its mark and a line break.",
)
def _(messages, add_generation_prompt):
    return _render(messages, False)


@render_chat.mistake(
    "always opened",
    hint="Without `add_generation_prompt`, as in training, nothing stands behind the last turn.",
)
def _(messages, add_generation_prompt):
    return _render(messages, _is_open(messages, True))


@render_chat.mistake(
    "a second answer is opened",
    hint="The last turn is the assistant's already: then nothing is opened.",
)
def _(messages, add_generation_prompt):
    return _render(messages, add_generation_prompt)


@render_chat.mistake(
    "not trimmed",
    hint="White space around what is said goes (`strip`): a trailing line break would be another "
    "token than in training.",
)
def _(messages, add_generation_prompt):
    return _render(messages, _is_open(messages, add_generation_prompt), trim=str)


@render_chat.mistake(
    "trimmed within, too",
    hint="Only what stands *around* the content goes. Line breaks within it are the user's.",
)
def _(messages, add_generation_prompt):
    opened = _is_open(messages, add_generation_prompt)
    return _render(messages, opened, trim=lambda said: " ".join(said.split()))


@render_chat.mistake(
    "the end of the turn is missing",
    hint="Each turn ends in `<|im_end|>` and a line break: it is what the model stops at.",
)
def _(messages, add_generation_prompt):
    opened = _is_open(messages, add_generation_prompt)
    return _render(messages, opened, turn="<|im_start|>{}\n{}\n")


@render_chat.mistake(
    "no line break behind a turn",
    hint="Behind `<|im_end|>` stands a line break: the next mark begins a line.",
)
def _(messages, add_generation_prompt):
    opened = _is_open(messages, add_generation_prompt)
    return _render(messages, opened, turn="<|im_start|>{}\n{}<|im_end|>")


@render_chat.mistake(
    "a space behind the role",
    hint="Between the role and what is said stands a line break, not a space.",
)
def _(messages, add_generation_prompt):
    opened = _is_open(messages, add_generation_prompt)
    return _render(messages, opened, turn="<|im_start|>{} {}<|im_end|>\n")


@render_chat.mistake(
    "the opened turn is ended",
    hint="The generation prompt stops where the answer is to begin. The end is the model's to "
    "write.",
)
def _(messages, add_generation_prompt):
    opened = _is_open(messages, add_generation_prompt)
    return _render(messages, opened) + ("<|im_end|>\n" if opened else "")


@render_chat.mistake(
    "opened behind the user alone",
    hint="The condition asks whether the last turn is the *assistant's*. Behind a system's turn "
    "the answer is opened, too.",
)
def _(messages, add_generation_prompt):
    opened = not messages or messages[-1][0] == "user"
    return _render(messages, add_generation_prompt and opened)


@render_chat.mistake(
    "an empty chat is not opened",
    hint="`not messages or …`: without any message the assistant's turn is opened.",
)
def _(messages, add_generation_prompt):
    opened = bool(messages) and messages[-1][0] != "assistant"
    return _render(messages, add_generation_prompt and opened)


@render_chat.mistake(
    "opened by the first turn",
    hint="`messages[-1]` is the *last* message: who spoke first does not matter.",
)
def _(messages, add_generation_prompt):
    opened = not messages or messages[0][0] != "assistant"
    return _render(messages, add_generation_prompt and opened)


@render_chat.mistake(
    "not opened once it has answered",
    hint="Only the last turn counts. An answer further up was to another request.",
)
def _(messages, add_generation_prompt):
    opened = all(role != "assistant" for role, _ in messages)
    return _render(messages, add_generation_prompt and opened)


@render_chat.mistake(
    "empty turns are left out",
    hint="The template writes every message, also one in which nothing is said.",
)
def _(messages, add_generation_prompt):
    opened = _is_open(messages, add_generation_prompt)
    return _render([(role, said) for role, said in messages if said.strip()], opened)


@render_chat.mistake(
    "trimmed at its end alone", hint="`trim` takes white space away at *both* ends: `strip()`."
)
def _(messages, add_generation_prompt):
    return _render(messages, _is_open(messages, add_generation_prompt), trim=str.rstrip)


@render_chat.mistake(
    "trimmed at its beginning alone",
    hint="`trim` takes white space away behind the content, too: `strip()`, not `lstrip()`.",
)
def _(messages, add_generation_prompt):
    return _render(messages, _is_open(messages, add_generation_prompt), trim=str.lstrip)


@render_chat.mistake(
    "spaces alone are trimmed",
    hint="Line breaks are white space, too: `strip()` without an argument takes both.",
)
def _(messages, add_generation_prompt):
    opened = _is_open(messages, add_generation_prompt)
    return _render(messages, opened, trim=lambda said: said.strip(" "))


@render_chat.mistake(
    "the whole turn is trimmed",
    hint="`trim` binds more tightly than `+`: it takes the content alone, not the text that is "
    "put together.",
)
def _(messages, add_generation_prompt):
    said = "".join(f"<|im_start|>{role}\n{content}<|im_end|>" for role, content in messages)
    opened = _is_open(messages, add_generation_prompt)
    return said + ("<|im_start|>assistant\n" if opened else "")


@render_chat.mistake(
    "the whole text is trimmed",
    hint="The last line break belongs to the text: the model was trained with it.",
)
def _(messages, add_generation_prompt):
    return _render(messages, _is_open(messages, add_generation_prompt)).strip()


@render_chat.mistake(
    "no line break behind the opened role",
    hint="The generation prompt has a line break behind `assistant`, as every turn has.",
)
def _(messages, add_generation_prompt):
    opened = _is_open(messages, add_generation_prompt)
    return _render(messages, False) + ("<|im_start|>assistant" if opened else "")


@render_chat.mistake(
    "no line breaks at all",
    hint="The `\\n` within the quotes are written. The dashes eat only what stands *outside* of "
    "the braces.",
)
def _(messages, add_generation_prompt):
    said = "".join(f"<|im_start|>{r}{content.strip()}<|im_end|>" for r, content in messages)
    opened = _is_open(messages, add_generation_prompt)
    return said + ("<|im_start|>assistant" if opened else "")


@render_chat.mistake(
    "a line break written as two characters",
    hint="`\\n` in the template is a line break, not a backslash and an n.",
)
def _(messages, add_generation_prompt):
    return _render(messages, _is_open(messages, add_generation_prompt)).replace("\n", "\\n")


@render_chat.mistake(
    "a system's turn of your own",
    hint="Some templates add a system's turn where there is none. This one writes what it is "
    "given.",
)
def _(messages, add_generation_prompt):
    own = [] if messages[:1] and messages[0][0] == "system" else [("system", "")]
    helpful = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" if own else ""
    return helpful + _render(messages, _is_open(messages, add_generation_prompt))


@render_chat.mistake(
    "one turn where a role speaks twice",
    hint="Each message is a turn of its own, also when the same role has spoken before it.",
)
def _(messages, add_generation_prompt):
    kept = [m for n, m in enumerate(messages) if n == 0 or messages[n - 1][0] != m[0]]
    return _render(kept, _is_open(messages, add_generation_prompt))


# 8. Find the bug

endless_line = choice(
    CHAPTER,
    "endless_line",
    right=(
        "c",
        "The filler has the id of the end, so every target with this id is masked: the filler, and "
        "the real end of the answer. Nobody pays for it.",
    ),
    wrong={
        "a": "The answer, and behind it the end, are what the assistant says. That is right.",
        "b": "Rows of one batch have one length. The filler may have any id where nothing "
        "is paid for and nobody looks back from.",
        "d": "The next token is the target: ids from 0 to T − 1 are read, those from 1 to T asked "
        "for.",
    },
    read="When it goes wrong",
)

endless_cure = choice(
    CHAPTER,
    "endless_cure",
    right=(
        "length",
        "Places behind the row's own length are filler, whatever their id. The real end stays a "
        "target.",
    ),
    wrong={
        "temperature": "A model that was never taught the end gives it next to no probability at "
        "any temperature.",
        "rate": "At any rate, what is never a target is never learned.",
        "limit": "That cuts the text off somewhere. The model still does not know where its answer "
        "ends.",
    },
    read="When it goes wrong",
)
