"""Adapt a trained model to a task, and use it.

$ python -m llmcourse.finetune --base runs/mine --task classification --data reviews.csv
$ python -m llmcourse.finetune --base runs/mine --task tagging --data folder --crf
$ python -m llmcourse.finetune --base gpt2/ --data folder --method gradual      a Hugging Face model
$ python -m llmcourse.finetune --out runs/adapted --resume                      go on after Ctrl-C
$ python -m llmcourse.finetune predict runs/adapted "A film to remember."       label new text
$ python -m llmcourse.finetune predict runs/adapted < texts.txt                 a text a line
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llmcourse import command_line
from llmcourse.allocator import keep_freed_memory
from llmcourse.errors import UserError, complain, exit_on_user_error, listen_to_interrupts
from llmcourse.finetune.settings import Settings
from llmcourse.plain import json_line

if TYPE_CHECKING:
    from llmcourse.finetune.fit import Result


def parse(arguments: list[str]) -> Settings:
    """The settings that a command line asks for.

    Raises:
        UserError: an unknown setting, a value that cannot be, nothing to resume.
        SystemExit: help was asked for and given.
    """
    saved = None
    if "--resume" in arguments:
        from llmcourse.finetune.parts import load_settings

        place = arguments.index("--out") + 1 if "--out" in arguments else 0
        if not 0 < place < len(arguments):
            raise UserError("--resume needs the run directory: add --out runs/...")
        saved = load_settings(Path(arguments[place]))
    wanted = command_line.parse(
        Settings,
        arguments,
        prog="python -m llmcourse.finetune",
        about=str(__doc__),
        default=saved or Settings(),
    )
    if saved is not None:
        from llmcourse.finetune.parts import check_resumable

        check_resumable(saved, wanted)
    return wanted


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with exit_on_user_error():
        if arguments[:1] == ["predict"]:
            return _predict(arguments[1:])
        settings = parse(arguments)
        from llmcourse.finetune.fit import fit  # brings torch, which --help does not need

        listen_to_interrupts()
        result = fit(settings)
        _conclude(result)
    return 0 if result.stopped_by is None else 128 + result.stopped_by


def _predict(arguments: list[str]) -> int:
    """Label the texts that are given, or those of the standard input, a JSON line for each.

    Raises:
        UserError: no run, or no text.
    """
    if not arguments or arguments[0].startswith("-"):
        raise UserError("predict needs a run's folder, then texts, or texts on standard input")
    from llmcourse.finetune.predict import use

    listen_to_interrupts()
    lines = arguments[1:] or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    if not lines:
        raise UserError("there is no text: give some after the folder")
    for said in use(Path(arguments[0]), lines):
        print(json_line(said), flush=True)
    return 0


def _conclude(result: "Result") -> None:
    """Say how it ended: the figure beside its baselines, and what to do next."""
    if result.stopped_by is not None or result.test is None:
        complain(
            f"stopped at step {result.steps} and saved; go on with: "
            f"python -m llmcourse.finetune --out {result.run} --resume"
        )
        return
    complain(f"{result.test.metric} on the test split:")
    rows = {name: one.value for name, one in result.baselines.items()}
    for name, value in (rows | {"this model": result.test.value}).items():
        complain(f"  {name:<18} {value:.3f}")
    complain(f"report   {result.run / 'report.html'}")
    complain(f"use      python -m llmcourse.finetune predict {result.run} TEXT")


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
