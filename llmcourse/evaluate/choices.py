"""Multiple choice by likelihood: which answer does a model find the likeliest one?

The model writes nothing. Each answer is scored as what follows the question. A long answer is a
product of many probabilities, so a plain sum prefers short ones; dividing by the tokens or by the
bytes takes that away, and subtracting what the answer costs without the question takes away that
some answers are common anyway (Brown et al., 2020; Holtzman et al., 2021). Not here: how a text is
scored (`scoring.py`). Chapter 16 teaches this.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from llmcourse.data.reading import Reading
from llmcourse.data.tables import json_line_rows
from llmcourse.errors import UserError, nearest, require
from llmcourse.evaluate.scoring import Scorer, continuation, log_probs_of
from llmcourse.tokenizers.base import to_bytes

NORMALISATIONS = ("none", "token", "byte", "unconditional")
"""How the scores of answers of different length are made comparable."""


class Question(NamedTuple):
    """A question with its answers.

    Attributes:
        contexts: what stands before each answer; one for all, or one each.
        answers: the texts that are scored.
        right: the place of the right one.
    """

    contexts: tuple[str, ...]
    answers: tuple[str, ...]
    right: int


class Scores(NamedTuple):
    """What a model thinks of a question's answers, one number each.

    Attributes:
        log_probs: the answer, given the question, in nats.
        tokens: of how many tokens it consists.
        bytes: how many bytes of text it is.
        alone: the answer's log-probability without the question; None where nobody asked.
    """

    log_probs: Float[np.ndarray, " N"]
    tokens: Float[np.ndarray, " N"]
    bytes: Float[np.ndarray, " N"]
    alone: Float[np.ndarray, " N"] | None = None

    def normalised(self, by: str = "none") -> Float[np.ndarray, " N"]:
        """What is compared: the log-probability as it is, or for each token, or for each byte.

        With `unconditional` it is the log-probability less that of the answer alone.

        Raises:
            UserError: an unknown way, or `unconditional` where that was not measured.
        """
        if by not in NORMALISATIONS:
            raise UserError(f"no normalisation is called {by!r}{nearest(by, NORMALISATIONS)}")
        if by == "unconditional":
            require(self.alone is not None, "the answers were not scored without their question")
            assert self.alone is not None
            return self.log_probs - self.alone
        return self.log_probs / {"none": 1.0, "token": self.tokens, "byte": self.bytes}[by]

    def choice(self, by: str = "none") -> int:
        """The place of the best answer; of equals the first."""
        return int(self.normalised(by).argmax())


def score_questions(
    scorer: Scorer,
    encode: Callable[[str], list[int]],
    questions: Sequence[Question],
    begin: int,
    *,
    between: str = " ",
    neutral: str | None = None,
) -> list[Scores]:
    """The scores of all answers of all questions.

    Args:
        scorer: says how likely tokens are.
        encode: makes tokens of text.
        questions: what is asked.
        begin: the token before every text.
        between: what stands between question and answer; it belongs to the answer.
        neutral: the context in which answers are scored for `unconditional`, such as "Answer:".

    Raises:
        UserError: there are no questions, or an answer is longer than the model reads.
    """
    require(len(questions) > 0, "there are no questions to answer")
    asked = [(c, between + a) for q in questions for c, a in _lined_up(q)]
    if neutral is not None:
        asked += [(neutral, between + answer) for q in questions for answer in q.answers]
    wanted = [continuation(encode, context, text, begin) for context, text in asked]
    found = log_probs_of(scorer, wanted)
    totals = np.array([log_probs.sum() for log_probs in found])
    lengths = np.array([float(len(log_probs)) for log_probs in found])
    scores, start, n_all = [], 0, sum(len(q.answers) for q in questions)
    for question in questions:
        here = slice(start, start + len(question.answers))
        sizes = np.array([float(len(to_bytes(answer))) for answer in question.answers])
        alone = totals[n_all:][here] if neutral is not None else None
        scores.append(Scores(totals[here], lengths[here], sizes, alone))
        start += len(question.answers)
    return scores


def _lined_up(question: Question) -> list[tuple[str, str]]:
    contexts = question.contexts
    if len(contexts) == 1:
        contexts = contexts * len(question.answers)
    return list(zip(contexts, question.answers, strict=True))


CONTEXTS = ("query", "question", "context", "prompt", "stem")
RIGHT = ("gold", "answer", "label", "right", "correct")


def read_questions(path: Path, limit: int | None = None) -> list[Question]:
    """The questions in lines of JSON.

    A line has `query` (or `question`, `context`), `choices` (texts) and `gold` (the place of the
    right one, from 0; or `answer`, `label`). Where the choices differ before their end, as in
    Winograd's schemas, it has `context_options`, `continuation` and `gold`.

    Raises:
        UserError: a line is no such question (the message names file and line), or there is none.
    """
    require(path.is_file(), f"there is no file {path}")
    found: list[Question] = []
    for where, row in json_line_rows(path, Reading()):
        if limit is not None and len(found) == limit:
            break
        place = f"{path}, line {where.rpartition(':')[2]}"
        found.append(_question(row, place))
    require(bool(found), f"{path} holds no questions")
    return found


def _question(row: dict[str, Any], place: str) -> Question:
    right = next((row[name] for name in RIGHT if name in row), None)
    if "context_options" in row:
        contexts, answers = row["context_options"], [row.get("continuation")]
        contexts = contexts if isinstance(contexts, list) else []
        answers = answers * len(contexts)
        name = "context_options"
    else:
        contexts = [next((row[name] for name in CONTEXTS if name in row), None)]
        answers, name = row.get("choices"), "choices"
    answers = answers if isinstance(answers, list) else []
    if not all(isinstance(text, str) for text in (*contexts, *answers)) or not contexts:
        raise UserError(f"{place}: a question needs a `query` and `choices` that are texts")
    if len(answers) < 2 or not all(answers):
        raise UserError(f"{place}: `{name}` must hold two answers or more, none of them empty")
    if isinstance(right, bool) or not isinstance(right, int) or not 0 <= right < len(answers):
        raise UserError(f"{place}: `gold` is {right!r}, and must be from 0 to {len(answers) - 1}")
    return Question(tuple(map(str, contexts)), tuple(map(str, answers)), right)
