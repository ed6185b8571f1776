"""The exercises on pipelines: a stage's schedule, and how many micro-batches it takes.

Not here: the exercises on rings (`rings.py`) and on shards (`shards.py`), the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 10 teaches this.
"""

from collections.abc import Iterator
from typing import Any

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.parallel import costs
from llmcourse.parallel import pipeline_schedules as schedules
from llmcourse.parallel.pipeline_schedules import Pass

CHAPTER = "10"
HEADING = "6. What if each rank has some of the layers?"

# 7. One forward, one backward


def _as_pairs(answer: Any, stage: int, stages: int, micro_batches: int) -> Any:
    """Pairs may be lists, and a schedule may be made by `yield`."""
    found = answer(stage, stages, micro_batches)
    if found is None:
        return None
    return [tuple(each) if isinstance(each, list) else each for each in found]


@exercise(CHAPTER, call=_as_pairs, read=HEADING)
def one_forward_one_backward(stage: int, stages: int, micro_batches: int) -> list[tuple[str, int]]:
    """The 1F1B schedule of one stage, as ("F", i) and ("B", i)."""
    letters = {Pass.FORWARD: "F", Pass.BACKWARD: "B"}
    planned = schedules.one_f_one_b(stages, micro_batches)[stage]
    return [(letters[action.direction], action.micro_batch) for action in planned]


@one_forward_one_backward.cases
def _() -> Iterator[Case]:
    yield case("by hand", 1, 3, 4)
    yield case("the first of four", 0, 4, 6)
    yield case("the second of four", 1, 4, 6)
    yield case("the last of four", 3, 4, 6)
    yield case("the first, and as many as stages", 0, 4, 4)
    yield case("fewer micro-batches than stages", 0, 5, 2)
    yield case("fewer than the stages behind", 1, 6, 3)
    yield case("one less than the stages", 0, 4, 3)
    yield case("one micro-batch", 1, 3, 1)
    yield case("one stage", 0, 1, 3)
    yield case("the first of two, and many", 0, 2, 9)


def _passes(ahead: int, m: int, *, behind: bool = False) -> list[tuple[str, int]]:
    """Fill, alternate, drain, with so many ahead."""
    found = [("F", i) for i in range(ahead)]
    for i in range(ahead, m):
        pair = [("F", i), ("B", i - ahead)]
        found += pair[::-1] if behind else pair
    return found + [("B", i) for i in range(max(m - ahead, 0), m)]


@one_forward_one_backward.mistake(
    "all forward passes first",
    hint="That is GPipe: every stage keeps all micro-batches. Go back as soon as a gradient can "
    "have come back to you.",
)
def _(stage, stages, micro_batches):
    return [("F", i) for i in range(micro_batches)] + [("B", i) for i in range(micro_batches)]


@one_forward_one_backward.mistake(
    "GPipe, backward from the last",
    hint="That is GPipe's own order. In 1F1B the backward passes go in order, and between the "
    "forward passes.",
)
def _(stage, stages, micro_batches):
    forward = [("F", i) for i in range(micro_batches)]
    return forward + [("B", i) for i in reversed(range(micro_batches))]


@one_forward_one_backward.mistake(
    "one forward too many at the beginning",
    hint="You fill as many as there are stages from this one on. Fill those *behind* it alone: the "
    "last stage goes back at once.",
)
def _(stage, stages, micro_batches):
    return _passes(min(stages - stage, micro_batches), micro_batches)


@one_forward_one_backward.mistake(
    "filled by the stages before",
    hint="You begin with as many forward passes as there are stages *before* this one. It is those "
    "behind that have to be filled: the first stage begins with the most.",
)
def _(stage, stages, micro_batches):
    return _passes(min(stage, micro_batches), micro_batches)


@one_forward_one_backward.mistake(
    "every stage fills as the first one does",
    hint="The last stage can go back after its first forward pass: nobody is behind it.",
)
def _(stage, stages, micro_batches):
    return _passes(min(stages - 1, micro_batches), micro_batches)


@one_forward_one_backward.mistake(
    "nothing ahead",
    hint="F0 B0 F1 B1 is what the *last* stage does. A stage before it cannot go back until the "
    "gradient has come all the way: fill those behind it first.",
)
def _(stage, stages, micro_batches):
    return _passes(0, micro_batches)


@one_forward_one_backward.mistake(
    "the last backward passes are missing",
    hint="Count: there are as many B as F. Those that were ahead have to go back at the end.",
)
def _(stage, stages, micro_batches):
    ahead = min(stages - 1 - stage, micro_batches)
    found = _passes(ahead, micro_batches)
    return found[: len(found) - ahead]


@one_forward_one_backward.mistake(
    "more forward passes than micro-batches",
    hint="With few micro-batches there are not as many to send ahead as there are stages behind: "
    "take the smaller of the two.",
)
def _(stage, stages, micro_batches):
    return _passes(stages - 1 - stage, micro_batches)


@one_forward_one_backward.mistake(
    "backward before forward",
    hint="In the middle it is one forward, *then* one backward. In your order the last stage goes "
    "back with what it has not seen yet.",
)
def _(stage, stages, micro_batches):
    return _passes(min(stages - 1 - stage, micro_batches), micro_batches, behind=True)


@one_forward_one_backward.mistake(
    "the newest goes back",
    hint="After F`i` comes the backward pass of the *oldest* micro-batch that is in flight. The "
    "newest has not been through the stages behind yet.",
)
def _(stage, stages, micro_batches):
    ahead = min(stages - 1 - stage, micro_batches)
    found = [("F", i) for i in range(ahead)]
    for i in range(ahead, micro_batches):
        found += [("F", i), ("B", i)]
    return found + [("B", i) for i in range(ahead)]


@one_forward_one_backward.mistake(
    "the end in reverse",
    hint="At the end, too, the backward passes go in order: gradients arrive oldest first.",
)
def _(stage, stages, micro_batches):
    ahead = min(stages - 1 - stage, micro_batches)
    found = _passes(ahead, micro_batches)
    return found[: len(found) - ahead] + found[len(found) - ahead :][::-1]


@one_forward_one_backward.mistake(
    "micro-batches counted from 1",
    hint="Micro-batches are counted from 0, as stages are.",
)
def _(stage, stages, micro_batches):
    ahead = min(stages - 1 - stage, micro_batches)
    return [(kind, i + 1) for kind, i in _passes(ahead, micro_batches)]


def _right(stage, stages, micro_batches):
    return _passes(min(stages - 1 - stage, micro_batches), micro_batches)


@one_forward_one_backward.mistake(
    "small letters", hint="The passes are called `F` and `B`, with capital letters."
)
def _(stage, stages, micro_batches):
    return [(kind.lower(), i) for kind, i in _right(stage, stages, micro_batches)]


@one_forward_one_backward.mistake(
    "the number first", hint='A pass is a letter and then a number, `("F", 0)`. Yours are turned.'
)
def _(stage, stages, micro_batches):
    return [(i, kind) for kind, i in _right(stage, stages, micro_batches)]


@one_forward_one_backward.mistake(
    "words in place of pairs", hint='A pass is a pair, `("F", 0)`, and not one word, `"F0"`.'
)
def _(stage, stages, micro_batches):
    return [f"{kind}{i}" for kind, i in _right(stage, stages, micro_batches)]


@one_forward_one_backward.mistake(
    "the schedules of all stages", hint="Return the list of *one* stage: that of `stage`."
)
def _(stage, stages, micro_batches):
    return [_right(each, stages, micro_batches) for each in range(stages)]


@one_forward_one_backward.mistake(
    "the last one goes back first",
    hint="Backward passes go through the micro-batches in order, from 0: what went first has come "
    "back first.",
)
def _(stage, stages, micro_batches):
    return [
        (kind, micro_batches - 1 - i if kind == "B" else i)
        for kind, i in _right(stage, stages, micro_batches)
    ]


@one_forward_one_backward.mistake(
    "one forward too few at the beginning",
    hint="Behind `stage` stand stages − 1 − stage others, and each of them is filled.",
)
def _(stage, stages, micro_batches):
    return _passes(min(max(0, stages - 2 - stage), micro_batches), micro_batches)


# 8. How many micro-batches?


@value(CHAPTER, rel=0.0, read=HEADING)
def enough() -> int:
    """The smallest number of micro-batches with which four stages wait less than a tenth."""
    return next(m for m in range(1, 1000) if costs.bubble(4, m) < 0.1 - 1e-9)


@enough.mistake(
    "at 10 %, not below",
    hint="With 27 the bubble is 3/30: exactly 10 %. It should be *below*.",
)
def _():
    return 27


@enough.mistake(
    "p in place of p - 1",
    hint="Stages wait p − 1 slots, not p: the first micro-batch needs that many to reach the last "
    "stage.",
)
def _():
    return 37


@enough.mistake(
    "slots in place of micro-batches",
    hint="A step has m + p − 1 slots, and the bubble is a share of *all* of them, work and "
    "waiting. What is asked for is m.",
)
def _():
    return 31


@enough.mistake(
    "four for each stage",
    hint="That is the rule of thumb. Put 16 into the formula: 3/19 is 16 %.",
)
def _():
    return 16


why_not_more = choice(
    CHAPTER,
    "why_not_more",
    right=(
        "c",
        "A matrix product with few rows leaves most of a card idle, and each pass has a cost of "
        "its own. What the bubble saves is lost there.",
    ),
    wrong={
        "a": "(p − 1)/(m + p − 1) falls with every micro-batch.",
        "b": "That is GPipe. With 1F1B a stage keeps p of them at the most.",
        "d": "The sums add up, and one division follows: it is the batch's gradient, however it is "
        "cut.",
    },
    read=HEADING,
)
