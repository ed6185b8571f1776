"""Right answers put together in the wrong way, and who mixes things up on the way."""

import ast

import pytest
import torch

from llmcourse.checks import exchanges, wider_slips
from llmcourse.checks.guesses import guesses_of
from llmcourse.checks.references import Reference
from llmcourse.checks.words import Words

MEAN = """\
def mean(parts: list[list[float]]) -> float:
    count = sum(len(part) for part in parts)
    return sum(sum(part) for part in parts) / count
"""
ROWS = """\
def shares(rows: Tensor) -> Tensor:
    return rows / rows.sum(dim=-1, keepdim=True)
"""
LIMITS = """\
def level(x: float, a: float, b: float) -> float:
    if x < 0.5:
        return a
    low = a * x
    high = b * x
    return high - low if x >= 0.5 else 0.0
"""


def guesses(name, source):
    found = {}
    for guess in guesses_of(Reference(name, source, ("import torch\nfrom torch import Tensor",))):
        found.setdefault(guess.cause, guess)
    return found


@pytest.mark.parametrize(
    ("cause", "result"),
    [
        ("each of `parts` were worked out by itself, and the mean taken", 3.0),
        ("each of `parts` were worked out by itself, and the results added up", 6.0),
        ("each of `parts` but the first were left out", 1.0),
        ("each of `parts` but the last were left out", 5.0),
        ("`parts` were all in one", 7 / 3),
    ],
)
def test_parts_are_put_together_as_the_cause_says(cause, result):
    answer = guesses("mean", MEAN)[cause].answer()
    assert answer([[1.0, 1.0], [5.0]]) == pytest.approx(result)


def test_empty_parts_do_not_count_in_a_mean_and_no_parts_are_as_they_were():
    found = guesses("mean", MEAN)
    cause = "each of `parts` were worked out by itself, and the mean taken"
    assert found[cause].answer()([[2.0], [], [4.0]]) == 3.0
    assert found[f"{cause}, empty ones included"].answer()([[2.0], [], [4.0]]) == 2.0


def test_rows_and_columns_change_places_all_the_way():
    answer = guesses("shares", ROWS)[
        "rows and columns of `rows` had changed places all the way"
    ].answer()
    assert answer(torch.tensor([[1.0, 2.0], [3.0, 2.0]])).tolist() == [[0.25, 0.5], [0.75, 0.5]]


@pytest.mark.parametrize(
    ("cause", "arguments", "result"),
    [
        ("the limit itself, `x`, belonged to the other side", (0.5, 8.0, 20.0), 8.0),
        ("`a` and `b` were exchanged on the way", (1.0, 8.0, 20.0), -12.0),
        (
            "what comes from `b` and `x` and what comes from `a` and `x` were exchanged on the way",
            (1.0, 8.0, 20.0),
            -12.0,
        ),
    ],
)
def test_things_are_exchanged_on_the_way(cause, arguments, result):
    tree = ast.parse(LIMITS)
    results = []
    for said, make in exchanges.exchanges(tree, (2, 6)):
        if said == cause:
            names = {}
            exec(compile(make(ast.parse(LIMITS)), "<changed>", "exec"), names)
            results.append(names["level"](*arguments))
    assert result in results


@pytest.mark.parametrize(
    ("line", "cause", "result"),
    [
        ("x.softmax(0)", "the softmax were taken twice", [0.5, 0.5]),
        ("x.tolist()[1:]", "the last of what comes from `x` were left out, not the first", [3.0]),
        ("n // 4", "what comes from `n` were rounded to the nearest", 2),
        ("n // 4", "what comes from `n` were rounded up", 2),
        ("n / 2", "2 were subtracted, where you are to divide by it", 5),
        ("len(s.encode())", "it were UTF-16, where UTF-8 is meant", 4),
        ("len(s.strip())", "`s` were stripped on the left alone", 2),
        ("[i for i, _ in enumerate(s)]", "`s` were counted from 1, not from 0", [1, 2]),
        ("n * n", "2 stood where `n` is meant", 14),
        ("x.mean()", "the root of the mean square stood where the mean of `x` is meant", 3.0),
    ],
)
def test_a_rarer_slip_does_what_its_cause_says(line, cause, result):
    source = f"def f(x: Tensor, n: int, s: str):\n    return {line}\n"
    tree = ast.parse(source)
    words = Words(tree)
    made = [
        ast.unparse(make(ast.parse(ast.unparse(node), mode="eval").body))
        for node in ast.walk(tree)
        if isinstance(node, ast.expr)
        for look in wider_slips.looks()
        for said, make in look(node, tree, words)
        if said == cause
    ]
    assert made, "no slip of this name"
    swaps = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.expr)]
    results = []
    for text in made:
        for old in swaps:
            whole = line.replace(old, text, 1)
            try:
                value = eval(whole, {"x": torch.tensor([3.0, 3.0]), "n": 7, "s": "a "})
            except Exception:
                continue
            results.append(value.tolist() if isinstance(value, torch.Tensor) else value)
    assert any(value == result for value in results), results


def test_what_is_written_twice_is_wrong_throughout():
    source = "def f(a: int, b: int):\n    return a * b + (a * b) ** 2\n"
    found = dict(exchanges.exchanges(ast.parse(source), (2, 2)))
    for said, result in (
        ("1 were added to {}", 7 + 49),
        ("the square of {} were taken", 36 + 36**2),
    ):
        names = {}
        cause = said.format("what comes from `a` and `b`") + ", throughout"
        changed = ast.fix_missing_locations(found[cause](ast.parse(source)))
        exec(compile(changed, "<changed>", "exec"), names)
        assert names["f"](2, 3) == result


def test_what_says_where_to_look_is_no_amount():
    tree = ast.parse("def f(p: Tensor, place: int, u: int):\n    return p[place] * u\n")
    assert Words(tree).places == {"place"}
