"""The capstone: train a language model, from text to a report, with one command.

$ python -m llmcourse.train                               a small GPT on Python's documentation
$ python -m llmcourse.train --preset tiny                 seconds, on stories of a small town
$ python -m llmcourse.train --data.source book.txt        your own text
$ python -m llmcourse.train --objective mlm               another task: mlm, plm, denoising, ...
$ python -m llmcourse.train --model.family rnn_lm         another model: rnn_lm, mlp_lm
$ python -m llmcourse.train --plan --budget 10m           what ten minutes buy on this machine
$ python -m llmcourse.train --budget 10m --steps 1000000  the clock decides, and ends the schedule
$ python -m llmcourse.train --out runs/mine --resume      go on after Ctrl-C, a kill or a crash
$ python -m llmcourse.train --preset gpt2-124m            the real thing, on one GPU
$ torchrun --nproc-per-node 8 -m llmcourse.train --preset gpt2-124m      and on eight
"""

import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from llmcourse import command_line
from llmcourse.allocator import keep_freed_memory
from llmcourse.errors import (
    UserError,
    complain,
    exit_on_user_error,
    for_output,
    listen_to_interrupts,
    nearest,
    visible_lines,
)
from llmcourse.files import read_file
from llmcourse.plain import parse_json
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
        return from_dict(parse_json(read_file(path)))
    except FileNotFoundError:
        raise UserError(
            f"there is no run in {out} to resume: look for its folder in runs/"
        ) from None
    except UserError:
        raise
    except ValueError:
        raise UserError(f"{path} is damaged: it is no JSON; start a new run") from None


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    if os.environ.get("RANK", "0") != "0":
        # Eight processes would say everything eight times.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - the first process speaks for all
    with exit_on_user_error():
        settings = parse(sys.argv[1:] if arguments is None else arguments)
        if settings.plan:
            from llmcourse.train.plan import make_plan
            from llmcourse.train.plan_text import told

            listen_to_interrupts()
            print(visible_lines(told(make_plan(settings))))
            return 0
        from llmcourse.train.distributed import PeerLost  # brings torch, which --help need not
        from llmcourse.train.loop import train

        listen_to_interrupts()
        try:
            result = train(settings)
        except PeerLost:
            # The process that has gone may be the one that speaks: then the next one does.
            if os.environ.get("RANK") == "1":
                sys.stderr = sys.__stderr__
            raise
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(str(interrupt) or _before_it_began(settings)) from None
        if os.environ.get("RANK", "0") == "0":
            _conclude(result)
            if settings.preset == "gpu-smoke" and result.stopped_by is None:
                from llmcourse.device import choose_device
                from llmcourse.train.smoke import lines_to_paste

                pasted = lines_to_paste(result.run, choose_device(settings.device))
                print(visible_lines(pasted))
    return 0 if result.stopped_by is None else 128 + result.stopped_by


def _before_it_began(settings: Settings) -> str:
    """What there is of a run that was left at once before, or after, its folder was held."""
    from llmcourse.runs.directory import RunDirectory
    from llmcourse.train.loop import what_is_kept

    if settings.out is not None and settings.resume:
        return what_is_kept(RunDirectory(settings.out))
    return "stopped before the run began: nothing was kept"


def _conclude(result: "Result") -> None:
    """Say how it ended: the figures beside their baselines, a sample, and what to do next."""
    minutes = f"{result.seconds / 60:.1f} minutes"
    if result.stopped_by is not None:
        complain(
            f"stopped at step {result.steps} and saved; go on with: "
            f"python -m llmcourse.train --out {result.run} --resume"
        )
        return
    if result.sample:
        heading = "what it writes now:" if result.writes else "what it makes of a held-out text:"
        print(f"\n{heading}", file=sys.stderr)
        print(f"\n{for_output(result.sample)}\n", flush=True)
    score = result.score
    if score is None or score.bytes:
        rows = {"uniform guess": result.uniform, "unigram": result.unigram}
        rows |= {} if score is None else {"this model": score.bits_per_byte}
        rows |= {} if result.entropy is None else {"entropy": result.entropy}
        unit = "bits per byte"
    else:
        rows, unit = {"this model": score.loss}, "nats per answer"
    complain(f"{result.steps} steps in {minutes}; {unit} on held-out text:")
    for name, figure in rows.items():
        complain(f"  {name:<14} {figure:.3f}")
    if score is not None and score.metrics:
        besides = ", ".join(f"{name} {figure.mean:.3f}" for name, figure in score.metrics.items())
        complain(f"besides, with losses in nats: {besides}")
    complain(f"report   {result.run / 'report.html'}")
    if result.writes:
        complain(f"write    python -m llmcourse.generate {result.run}")


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
