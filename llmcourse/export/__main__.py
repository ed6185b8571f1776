"""Write a trained model as others read it, with a model card, and prove that it says the same.

$ python -m llmcourse.export runs/mine --format hf --out mine-hf       for transformers, vLLM, ...
$ python -m llmcourse.export runs/mine --format onnx --out mine-onnx   for ONNX Runtime
$ python -m llmcourse.export runs/mine --format int8 --out mine-int8   a quarter of the bytes
$ python -m llmcourse.generate mine-int8                               reads int8 like a run
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from llmcourse import command_line
from llmcourse.errors import exit_on_user_error, listen_to_interrupts, say


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is written, and where."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run directory that training left behind."""
    out: Path
    """The folder to write; it appears when everything is written and checked, and not before."""
    format: Literal["hf", "onnx", "int8"] = "hf"
    """hf is Hugging Face's, onnx a graph of standard operations, int8 our own with int8 weights."""
    license: str = "other"
    """The licence of the weights, as the hub spells it: mit, apache-2.0, cc-by-4.0, ..."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    with exit_on_user_error():
        options = command_line.parse(
            Options,
            sys.argv[1:] if arguments is None else arguments,
            prog="python -m llmcourse.export",
            about=str(__doc__),
            default=None,
        )
        from llmcourse.export.ship import export_run  # brings torch, which --help does not need

        listen_to_interrupts()
        done = export_run(options.run, options.out, options.format, options.license)
        say(*(f"{name:<40} {value}" for name, value in done.measured.items()))
        say(f"{done.size / 1e6:.2f} MB in {done.out}, with its card {done.out / 'README.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
