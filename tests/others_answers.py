"""Answers of others, in styles of their own: tests of what a check says of each of them.

test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
test_a_wrong_answer_hears_its_cause = wrong_answers(WRONG)
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

Answers = Iterable[tuple[Any, Any]] | Mapping[Any, Iterable[Any]]


def right_answers(answers: Answers) -> Callable[..., None]:
    """A test that each answer passes: pairs of a check and an answer, or each check's answers."""
    if isinstance(answers, Mapping):
        answers = [(check, answer) for check, some in answers.items() for answer in some]
    pairs = list(answers)

    @pytest.mark.parametrize(("check", "answer"), pairs, ids=[_id(*pair) for pair in pairs])
    def test(check, answer):
        verdict = check.verdict(answer)
        assert verdict.status == "passed", verdict.text

    return test


def wrong_answers(answers: Iterable[tuple[Any, Any, str | None]]) -> Callable[..., None]:
    """A test that each answer is rejected, under a title that begins so (None: under any)."""
    rows = list(answers)

    @pytest.mark.parametrize(("check", "answer", "named"), rows, ids=[_id(*row) for row in rows])
    def test(check, answer, named):
        verdict = check.verdict(answer)
        assert verdict.status == "wrong"
        assert verdict.title.startswith(named or ""), verdict.text

    return test


def catalogued_answers(answers: Iterable[tuple[Any, Any, str]]) -> Callable[..., None]:
    """A test that each answer is taken for the mistake of this very name in the bank."""
    rows = list(answers)

    @pytest.mark.parametrize(("check", "answer", "name"), rows, ids=[_id(*row) for row in rows])
    def test(check, answer, name):
        verdict = check.verdict(answer)
        assert verdict.status == "wrong"
        assert verdict.mistake is not None, verdict.text
        assert verdict.mistake.name == name

    return test


def _id(check: Any, answer: Any, *_: Any) -> str:
    return f"{check.name}-{getattr(answer, '__name__', answer)}"
