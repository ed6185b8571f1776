"""Let a trained model write: text streams as it is made.

$ python -m llmcourse.generate runs/mine                                    a new document
$ python -m llmcourse.generate runs/mine --prompt "def "                    go on from here
$ python -m llmcourse.generate runs/mine --temperature 1 --top-k 0 --top-p 0.9
$ python -m llmcourse.generate runs/mine --greedy --repetition-penalty 1.3
$ python -m llmcourse.generate runs/tuned --chat --prompt "Who had the cat?"       an answer
$ python -m llmcourse.generate runs/tuned --chat                            a chat, a line a turn
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from llmcourse import command_line
from llmcourse.errors import UserError, exit_on_user_error

if TYPE_CHECKING:
    from torch import Tensor

    from llmcourse.models.base import Model
    from llmcourse.tokenizers.base import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to write, and how each token is chosen."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run directory that training left behind."""
    prompt: str = ""
    """What to go on from; nothing begins a new document."""
    chat: bool = False
    """Answer the prompt, by the chat template of the run; without one, each line that is typed."""
    max_new_tokens: int = 200
    """How many tokens at the most; the end of the document comes first, if it comes."""
    temperature: float = 0.8
    """Below 1 sharpens the distribution, above 1 flattens it."""
    top_k: int = 40
    """Choose among so many of the likeliest tokens; 0 among all."""
    top_p: float = 1.0
    """Choose among the likeliest tokens that together have this probability."""
    min_p: float = 0.0
    """Choose among tokens at least so likely, as a fraction of the likeliest one's probability."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens less likely that were there before."""
    greedy: bool = False
    """Always take the likeliest token."""
    seed: int = 0
    """The same seed writes the same text."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def write(options: Options) -> Iterator[str]:
    """Yield the prompt, and then the text that the model goes on with, piece by piece.

    Raises:
        UserError: a directory that holds no run, or an option out of its range.
    """
    import torch

    from llmcourse.device import choose_device
    from llmcourse.generate.decode import generate
    from llmcourse.tokenizers.base import StreamDecoder

    if options.max_new_tokens < 1:
        raise UserError(f"max_new_tokens={options.max_new_tokens} must be at least 1")
    device = choose_device(options.device)
    seen = torch.zeros(1, 1, dtype=torch.long, device=device)
    logits_processor(options)(
        torch.zeros(1, 2, device=device), seen
    )  # what cannot be is said before loading
    model, tokenizer = load_run(options.run)
    model.to(device)
    # Each document in training ends with this token; so after it, a new one begins.
    ids = torch.tensor([[tokenizer.eot_id, *tokenizer.encode(options.prompt)]], device=device)
    decoder = StreamDecoder(tokenizer)
    yield options.prompt
    for token in generate(
        model,
        ids,
        max_new_tokens=options.max_new_tokens,
        sampler=token_sampler(options, ids),
        stop_ids=(tokenizer.eot_id,),
    ):
        yield decoder.push(int(token))
    yield decoder.flush()


def chat(options: Options, lines: Iterator[str]) -> Iterator[str]:
    """Yield answers to messages, the turns of one chat, piece by piece; each ends in a line's end.

    Raises:
        UserError: a directory that holds no run, an option out of its range, or a message that
            does not fit.
    """
    import torch

    from llmcourse.device import choose_device
    from llmcourse.generate.chat import Chat
    from llmcourse.tokenizers.template_files import load_template

    device = choose_device(options.device)
    logits_processor(options)(torch.zeros(1, 2), torch.zeros(1, 1, dtype=torch.long))
    model, tokenizer = load_run(options.run)
    talk = Chat(
        model.to(device),
        tokenizer,
        load_template("auto", options.run),
        sampler_of=lambda ids: token_sampler(options, ids),
        max_new_tokens=options.max_new_tokens,
    )
    for line in lines:
        if line.strip():
            yield from talk.reply(line.strip())
            yield "\n"


def load_run(run: Path) -> "tuple[Model, Tokenizer]":
    """The best model of a run, and the tokenizer that it was trained with.

    Raises:
        UserError: the directory holds no run, one of a model that does not go on with a text, or
            parts that do not belong together.
    """
    from llmcourse.models.adapters import load_adapted_model
    from llmcourse.models.registry import FAMILIES, family_of
    from llmcourse.tokenizers.registry import load_tokenizer

    if not run.is_dir():
        raise UserError(f"there is no run directory {run}: look for it in runs/")
    if not (run / "model").is_dir():
        raise UserError(
            f"{run} holds no model/: a run gets one at its first evaluation; to train one, run "
            "python -m llmcourse.train"
        )
    model, tokenizer = load_adapted_model(run / "model"), load_tokenizer(run)
    if not model.generates:
        able = [name for name, family in FAMILIES.items() if family.model.generates]
        raise UserError(
            f"{run} holds a model of the family {family_of(model)}, which does not go on with a "
            f"text: name the run of a {' or '.join(able)}"
        )
    if tokenizer.vocab_size != model.config.vocab_size:
        raise UserError(
            f"the tokenizer in {run} has {tokenizer.vocab_size} tokens and the model "
            f"{model.config.vocab_size}: they are not of the same run"
        )
    return model, tokenizer


def logits_processor(options: Options) -> "Callable[[Tensor, Tensor], Tensor]":
    """Logits processor: from raw logits and the past to what the options want drawn from.

    Raises:
        UserError: an option out of its range, when it is first used.
    """
    from llmcourse.generate import sampling

    def process(logits: "Tensor", ids: "Tensor") -> "Tensor":
        logits = sampling.repetition_penalty(logits, ids, options.repetition_penalty)
        if options.greedy:
            return logits
        logits = sampling.apply_temperature(logits, options.temperature)
        if options.top_k:
            logits = sampling.top_k(logits, options.top_k)
        return sampling.min_p(sampling.top_p(logits, options.top_p), options.min_p)

    return process


def token_sampler(options: Options, ids: "Tensor") -> "Callable[[Tensor], Tensor]":
    """Sampler of the next token, for `generate`; it remembers the past, which is `ids` at first."""
    import torch

    from llmcourse.generate import sampling
    from llmcourse.randomness import torch_rng

    generator = torch_rng(options.seed, "generate", device=ids.device)
    process = logits_processor(options)

    def draw(logits: "Tensor") -> "Tensor":
        nonlocal ids
        scores = process(logits, ids)
        token = sampling.greedy(scores) if options.greedy else sampling.sample(scores, generator)
        ids = torch.cat([ids, token[:, None]], dim=1)
        return token

    return draw


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    with exit_on_user_error():
        options = command_line.parse(
            Options,
            sys.argv[1:] if arguments is None else arguments,
            prog="python -m llmcourse.generate",
            about=str(__doc__),
            default=None,
        )
        try:
            if options.chat:
                lines = iter([options.prompt]) if options.prompt else _typed()
                for text in chat(options, lines):
                    _put(text)
                return 0
            for text in write(options):
                _put(text)
            _put("\n")
        except BrokenPipeError:  # the reader, such as `head`, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            print(file=sys.stderr)
            return 130
    return 0


def _typed() -> Iterator[str]:
    """The lines of the standard input; in a terminal each is asked for."""
    while True:
        if sys.stdin.isatty():
            _put("> ")
        line = sys.stdin.readline()
        if not line:
            return
        yield line


def _put(text: str) -> None:
    """Write bytes, so that neither the terminal's encoding nor half a character can stop us."""
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
