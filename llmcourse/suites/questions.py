"""The suite `multiple_choice`: which answer does the model find the likeliest?

Not here: how answers are scored and read (`evaluate/choices.py`). Chapter 16 teaches this.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from llmcourse.evaluate.choices import NORMALISATIONS, Question, read_questions, score_questions
from llmcourse.evaluate.scoring import Scorer
from llmcourse.suites.base import Asked, Figure, data_of, share
from llmcourse.suites.subject import Subject

NEUTRAL = "Answer:"
"""The context in which an answer is scored without its question."""


def measure(subject: Subject, asked: Asked) -> list[Figure]:
    """The share of right answers, by the way that was asked for, and by the others.

    Raises:
        UserError: no file, or a line that is no question.
    """
    path = data_of(asked, "multiple_choice", "questions in JSON lines")
    questions = read_questions(path, asked.limit)
    return choice_figures(subject, questions, asked.normalisation, "accuracy")


def choice_figures(
    subject: Subject,
    questions: Sequence[Question],
    normalisation: str,
    name: str,
    between: str = " ",
) -> list[Figure]:
    """The figures of some questions: the way that counts first, then the others."""
    scorers: dict[str, Scorer] = {"": subject.scorer, **subject.counters}
    right = {
        rival: _right(scorer, subject, questions, between) for rival, scorer in scorers.items()
    }
    places = Counter(question.right for question in questions)
    uniform = float(np.mean([1 / len(question.answers) for question in questions]))
    rest = [way for way in NORMALISATIONS if way != normalisation]
    return [
        share(
            f"{name} (by {way})" if way != "none" else f"{name} (sum)",
            right[""][way],
            baselines={
                "uniform": uniform,
                "majority": places.most_common(1)[0][1] / len(questions),
                **{rival: float(ways[way].mean()) for rival, ways in right.items() if rival},
            },
        )
        for way in (normalisation, *rest)
    ]


def _right(
    scorer: Scorer, subject: Subject, questions: Sequence[Question], between: str
) -> dict[str, np.ndarray]:
    """For each way of comparing, which questions are answered right."""
    scores = score_questions(
        scorer, subject.encode, questions, subject.begin, between=between, neutral=NEUTRAL
    )
    return {
        way: np.array(
            [one.choice(way) == q.right for one, q in zip(scores, questions, strict=True)]
        )
        for way in NORMALISATIONS
    }
