"""What to type next: go on with a run, repeat it, let its model write.

Not here: the page that shows these commands (`report.py`), and what they start.
"""

import shlex

from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.history import RunHistory


def next_commands(run: RunDirectory, history: RunHistory) -> dict[str, str]:
    """The commands that work on a run as it stands, each by what it does."""
    path = shlex.quote(str(run.path))
    commands = {
        "Let it write": f"python -m llmcourse.generate {path}",
        "Train it for longer" if history.complete else "Go on": resume_command(run, history),
        "Repeat the run, in a new folder": repeat_command(history),
        "Make this page anew": f"python -m llmcourse.runs.report {path}",
        "See TensorBoard": f"tensorboard --logdir {shlex.quote(str(run.tensorboard))}",
    }
    if history.objective != "clm" or not run.model.exists():  # others do not go on with a text
        del commands["Let it write"]
    if not run.tensorboard.exists():
        del commands["See TensorBoard"]
    return {what: command for what, command in commands.items() if command is not None}


def resume_command(run: RunDirectory, history: RunHistory) -> str:
    """The command that goes on with the run; for one that is complete, for as long again."""
    further = f" --steps {2 * history.last_step}" if history.complete else ""
    return f"python -m llmcourse.train --out {shlex.quote(str(run.path))} --resume{further}"


def repeat_command(history: RunHistory) -> str | None:
    """The command that started the run, but into a folder of its own; None if not known."""
    words = shlex.split(str(history.environment.get("command", "")))
    if "llmcourse.train" not in words:
        return None  # started from Python, or by a test
    kept = []
    while words:
        word = words.pop(0)
        if word == "--out" and words:  # it names the folder that is full already
            words.pop(0)
        elif word != "--resume" and not word.startswith("--out="):
            kept.append(word)
    return shlex.join(kept)
