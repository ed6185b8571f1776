"""What a learner has done, in one file: exercises passed, questions right, predictions made.

The file is `progress.json` in `$LLMCOURSE_HOME` or `~/.llmcourse`; deleting it starts anew. It is
for the learner alone: nothing is sent anywhere. Not here: what is right (`checks/`, `quiz.py`,
`predict.py`), and the table that shows it (`progress.py`).
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text

Kind = Literal["exercises", "quiz", "predictions"]
Entry = dict[str, Any]
Record = dict[str, dict[Kind, dict[str, Entry]]]
"""`record[chapter][kind][name]` is `{"right": bool, "tries": int}`.

A prediction has three fields more: what was `said`, `at` what time, and whether it was `judged`.
"""

_VERSION = 1


def path() -> Path:
    """Where the record is kept: `progress.json` in `$LLMCOURSE_HOME`, or else in `~/.llmcourse`."""
    home = os.environ.get("LLMCOURSE_HOME")
    return (Path(home) if home else Path.home() / ".llmcourse") / "progress.json"


def load() -> Record:
    """The record, empty if there is none. A damaged file is set aside first, under another name.

    Raises:
        UserError: the file was damaged, or it cannot be read.
    """
    try:
        return _validated(json.loads(path().read_bytes()))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"cannot read {path()}: {error.strerror}; check who may read it") from None
    except (ValueError, RecursionError):
        aside = _set_aside(path())
        raise UserError(
            f"{path()} was damaged; it is kept as {aside.name}, and a new record begins with the "
            "next check: run your notebooks' checks again to fill it"
        ) from None


def record_exercise(chapter: str, name: str, passed: bool) -> None:
    """Note one attempt at an exercise. Once passed stays passed. Never raises."""
    _change(chapter, "exercises", name, lambda entry: _add_try(entry, passed))


def record_question(chapter: str, question: str, right: bool) -> None:
    """Note one answer to a question. Once right stays right. Never raises."""
    _change(chapter, "quiz", question, lambda entry: _add_try(entry, right))


def record_prediction(chapter: str, name: str, said: Entry) -> None:
    """Note what a reader expects, in place of what they expected before. Never raises.

    A prediction that was judged stays as it is: afterwards it is none.
    """

    def change(entry: Entry) -> None:
        if not entry.get("judged", False):
            _add_try(entry, False)
            entry |= {"said": said, "at": _now(), "judged": False}

    _change(chapter, "predictions", name, change)


def judge_prediction(chapter: str, name: str, right: bool) -> None:
    """Note whether a prediction came true, the first time that this is known. Never raises."""
    if prediction(chapter, name).get("judged", True):
        return
    _change(chapter, "predictions", name, lambda e: e.update(right=right, judged=True))


def prediction(chapter: str, name: str) -> Entry:
    """What was predicted; empty if nothing was, or if the record cannot be read."""
    try:
        return load().get(chapter, {}).get("predictions", {}).get(name, {})
    except UserError:
        return {}


def _add_try(entry: Entry, right: bool) -> None:
    entry["right"] = bool(entry.get("right", False) or right)
    entry["tries"] = entry.get("tries", 0) + 1


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _change(chapter: str, kind: Kind, name: str, change: Callable[[Entry], None]) -> None:
    """Change one entry of the record; whatever stands in the way, the lesson goes on."""
    try:
        try:
            record = load()
        except UserError:
            if path().exists():  # unreadable, not damaged: leave it alone
                return
            record = {}
        change(record.setdefault(chapter, {}).setdefault(kind, {}).setdefault(name, {}))
        whole = {"version": _VERSION, "chapters": record}
        path().parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path(), json.dumps(whole, indent=1, sort_keys=True) + "\n")
    except (OSError, RuntimeError):  # no room, no permission, or no home directory at all
        return


def _validated(whole: Any) -> Record:
    """The record in a file's JSON.

    Raises:
        ValueError: it is not what `_record` writes.
    """
    if not isinstance(whole, dict) or whole.get("version") != _VERSION:
        raise ValueError("not a record of this version")
    record = whole.get("chapters")
    for chapter in _values(record):
        for kind, names in zip(chapter, _values(chapter), strict=True):
            fields: dict[str, type] = {"right": bool, "tries": int}
            if kind == "predictions":
                fields |= {"said": dict, "at": str, "judged": bool}
            for entry in _values(names):
                if not isinstance(entry, dict):
                    raise ValueError("an entry is no object")
                if any(type(entry.get(name)) is not wanted for name, wanted in fields.items()):
                    raise ValueError("an entry lacks its fields")
    return record


def _values(level: Any) -> list[Any]:
    if not isinstance(level, dict):
        raise ValueError("a level is no object")
    return list(level.values())


def _set_aside(damaged: Path) -> Path:
    """Rename a damaged file to the first free `progress.damaged-N.json`."""
    number = 1
    while (aside := damaged.with_name(f"progress.damaged-{number}.json")).exists():
        number += 1
    return damaged.rename(aside)
