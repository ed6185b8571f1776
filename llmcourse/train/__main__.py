"""The capstone: train a language model, from text to a report, with one command.

$ python -m llmcourse.train                               a small GPT on Python's documentation
$ python -m llmcourse.train --preset tiny                 seconds, on stories of a small town
$ python -m llmcourse.train --data.source book.txt        your own text
$ python -m llmcourse.train --objective mlm               another task: mlm, plm, denoising, ...
$ python -m llmcourse.train --model.family rnn_lm         another model: rnn_lm, mlp_lm
$ python -m llmcourse.train --budget 10m                  as good as it gets in ten minutes
$ python -m llmcourse.train --out runs/mine --resume      go on after Ctrl-C, a kill or a crash
$ python -m llmcourse.train --preset gpt2-124m            the real thing, on one GPU
$ torchrun --nproc-per-node 8 -m llmcourse.train --preset gpt2-124m      and on eight
"""

import json
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from llmcourse import command_line
from llmcourse.errors import UserError, exit_on_user_error, nearest
from llmcourse.train.presets import PRESETS
from llmcourse.train.saved_settings import check_resumable, from_dict
from llmcourse.train.settings import Settings

if TYPE_CHECKING:
    from llmcourse.train.loop import Result


def parse(arguments: list[str]) -> Settings:
    """The settings that a command line asks for: a preset, or a run to resume, and overrides.

    Raises:
        UserError: an unknown preset or setting, a value that cannot be, nothing to resume.
        SystemExit: help was asked for and given.
    """
    saved = _saved_settings(arguments) if "--resume" in arguments else None
    name = _value_of("--preset", arguments) or "laptop"
    if saved is None and name not in PRESETS:
        raise UserError(f"unknown preset {name!r}{nearest(name, PRESETS)}")
    wanted = command_line.parse(
        Settings,
        arguments,
        prog="python -m llmcourse.train",
        about=f"{__doc__}\n{_presets()}",
        default=saved or PRESETS[name](),
    )
    if saved is not None:
        check_resumable(saved, wanted)
    return wanted


def _presets() -> str:
    """The presets, each with the first line of what it says of itself."""
    lines = ["--preset is one of:"]
    for name, preset in PRESETS.items():
        phrase = str(preset.__doc__).splitlines()[0].removesuffix(".")
        lines += textwrap.wrap(f"  {name:<12} {phrase}", 80, subsequent_indent=" " * 15)
    return "\n".join(lines)


def _value_of(option: str, arguments: list[str]) -> str | None:
    """What a first look finds behind an option, written `--x y` or `--x=y`."""
    for place, argument in enumerate(arguments):
        if argument == option and place + 1 < len(arguments):
            return arguments[place + 1]
        if argument.startswith(option + "="):
            return argument.split("=", 1)[1]
    return None


def _saved_settings(arguments: list[str]) -> Settings:
    out = _value_of("--out", arguments)
    if not out:
        raise UserError("--resume needs the run directory: add --out runs/...")
    path = Path(out) / "config.json"
    try:
        return from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(
            f"there is no run in {out} to resume: look for its folder in runs/"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise UserError(f"{path} is damaged: it is no JSON; start a new run") from None


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    if os.environ.get("RANK", "0") != "0":
        # Eight processes would say everything eight times.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - the first process speaks for all
    with exit_on_user_error():
        settings = parse(sys.argv[1:] if arguments is None else arguments)
        from llmcourse.train.loop import train  # brings torch, which --help does not need

        try:
            result = train(settings)
        except KeyboardInterrupt as interrupt:
            said = str(interrupt) or "stopped before the run began: nothing was kept"
            print(said, file=sys.stderr)
            return 130
    if os.environ.get("RANK", "0") == "0":
        _conclude(result)
    return 0 if result.stopped_by is None else 128 + result.stopped_by


def _conclude(result: "Result") -> None:
    """Say how it ended: the figures beside their baselines, a sample, and what to do next."""
    minutes = f"{result.seconds / 60:.1f} minutes"
    if result.stopped_by is not None:
        print(
            f"stopped at step {result.steps} and saved; go on with: "
            f"python -m llmcourse.train --out {result.run} --resume",
            file=sys.stderr,
        )
        return
    if result.sample:
        heading = "what it writes now:" if result.writes else "what it makes of a held-out text:"
        print(f"\n{heading}", file=sys.stderr)
        print(f"\n{result.sample}\n", flush=True)
    score = result.score
    if score is None or score.bytes:
        rows = {"uniform guess": result.uniform, "unigram": result.unigram}
        rows |= {} if score is None else {"this model": score.bits_per_byte}
        rows |= {} if result.entropy is None else {"entropy": result.entropy}
        unit = "bits per byte"
    else:
        rows, unit = {"this model": score.loss}, "nats per answer"
    print(f"{result.steps} steps in {minutes}; {unit} on held-out text:", file=sys.stderr)
    for name, figure in rows.items():
        print(f"  {name:<14} {figure:.3f}", file=sys.stderr)
    if score is not None and score.metrics:
        besides = ", ".join(f"{name} {figure.mean:.3f}" for name, figure in score.metrics.items())
        print(f"besides, with losses in nats: {besides}", file=sys.stderr)
    print(f"report   {result.run / 'report.html'}", file=sys.stderr)
    if result.writes:
        print(f"write    python -m llmcourse.generate {result.run}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
