"""Show how far you have come: exercises and questions, chapter by chapter, and what is next.

    python -m llmcourse.progress

Not here: where the record is kept (`learner.py`) and what fills it (`checks/`, `quiz.py`).
"""

import argparse

from llmcourse import learner
from llmcourse.errors import exit_on_user_error
from llmcourse.learner import Kind, Record

_WIDTHS = (7, 9, 5, 4, 9)


def table(record: Record, exercises: dict[str, list[str]]) -> str:
    """The table: a row a chapter with its exercises passed, tried and open, and questions right.

    Args:
        record: what was done.
        exercises: the names of each chapter's exercises.
    """
    rows = [("chapter", "exercises", "tried", "open", "questions")]
    for chapter in sorted(exercises.keys() | record.keys()):
        done = _right(record, chapter, "exercises")
        names = exercises.get(chapter, [])
        passed = sum(done.get(name, False) for name in names)
        tried = sum(name in done for name in names) - passed
        quiz = _right(record, chapter, "quiz")
        asked = f"{sum(quiz.values())} of {len(quiz)}" if quiz else "-"
        opened = len(names) - passed - tried
        rows.append((chapter, f"{passed} of {len(names)}", str(tried), str(opened), asked))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, _WIDTHS, strict=True)).rstrip()
        for row in rows
    )


def next_step(record: Record, exercises: dict[str, list[str]]) -> str:
    """One friendly sentence about what to do next: first what was tried, then what is open."""
    if not record:
        return "Nothing recorded yet: open chapters/00_welcome.ipynb, and have fun."
    done = {chapter: _right(record, chapter, "exercises") for chapter in exercises}
    todo = [
        (name not in done[chapter], chapter, name)
        for chapter, names in sorted(exercises.items())
        for name in names
        if not done[chapter].get(name)
    ]
    if not todo:
        return "Every exercise passed. Tell a friend what you built!"
    is_new, chapter, name = min(todo, key=lambda item: item[:2])  # the first of those that tie
    begin = "Next is" if is_new else "You have begun"
    return f"{begin} {name}, in the exercises of chapter {chapter}."


def _right(record: Record, chapter: str, kind: Kind) -> dict[str, bool]:
    """Whether each name on record was right once."""
    return {name: entry["right"] for name, entry in record.get(chapter, {}).get(kind, {}).items()}


def main() -> None:
    """Print the table and the next step."""
    argparse.ArgumentParser(
        prog="python -m llmcourse.progress",
        description="Show which exercises and questions you have done, and what is next.",
    ).parse_args()
    with exit_on_user_error():
        record = learner.load()
    from llmcourse.checks.catalog import all_checks  # slow: the checks stand on torch

    exercises: dict[str, list[str]] = {}
    for check in all_checks():
        exercises.setdefault(check.chapter, []).append(check.name)
    print(table(record, exercises), "", next_step(record, exercises), sep="\n")


if __name__ == "__main__":
    main()
