"""Let a trained model write: text streams as it is made.

$ python -m llmcourse.generate runs/mine                                    a new document
$ python -m llmcourse.generate runs/mine --prompt "def "                    go on from here
$ python -m llmcourse.generate runs/mine --temperature 1 --top-k 0 --top-p 0.9
$ python -m llmcourse.generate runs/mine --greedy --repetition-penalty 1.3
$ python -m llmcourse.generate runs/mine --beams 4 --max-new-tokens 40       the likeliest text
$ python -m llmcourse.generate runs/mine --regex "[A-Z][a-z]+ [0-9]{4}"     what matches, only
$ python -m llmcourse.generate runs/mine --json-schema person.json          what is valid, only
$ python -m llmcourse.generate runs/large --draft runs/small                 speculative decoding
$ python -m llmcourse.generate runs/tuned --chat --prompt "Who had the cat?"       an answer
$ python -m llmcourse.generate runs/tuned --chat                            a chat, a line a turn
"""

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from llmcourse import command_line
from llmcourse.errors import UserError, exit_on_user_error, for_output, listen_to_interrupts
from llmcourse.files import read_file
from llmcourse.plain import parse_json

if TYPE_CHECKING:
    from torch import Tensor

    from llmcourse.generate.patterns import DFA
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
    typical_p: float = 1.0
    """Choose among the tokens of most usual surprise that together have this probability."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens less likely that were there before, the prompt's too."""
    frequency_penalty: float = 0.0
    """Take this from a token's logit for each time that it was written, the prompt left out."""
    presence_penalty: float = 0.0
    """Take this from the logit of each token that was written, the prompt left out."""
    no_repeat_ngram: int = 0
    """Write no row of so many tokens twice; 0 allows it."""
    greedy: bool = False
    """Always take the likeliest token."""
    beams: int = 0
    """Search for the likeliest text with so many beams, in place of drawing tokens."""
    length_penalty: float = 1.0
    """Beams compare log-probabilities divided by the length to this power."""
    regex: str = ""
    """Write only what matches this regular expression as a whole."""
    json_schema: Path | None = None
    """Write only JSON that is valid by the schema in this file."""
    draft: Path | None = None
    """A run whose small model drafts tokens, which this one checks: the same texts, fewer steps."""
    n_draft: int = 4
    """How many tokens are drafted at a time."""
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
    from llmcourse.tokenizers.base import StreamDecoder

    check(options)
    pattern = pattern_of(options)
    device = choose_device(options.device)
    model, tokenizer = load_run(options.run)
    model.to(device)
    # Each document in training ends with this token; so after it, a new one begins.
    ids = torch.tensor([[tokenizer.eot_id, *tokenizer.encode(options.prompt)]], device=device)
    tokens = written_tokens(options, model, tokenizer, ids, pattern)
    decoder = StreamDecoder(tokenizer)
    first = list(itertools.islice(tokens, 1))  # what cannot be is said before anything is written
    yield options.prompt
    for token in itertools.chain(first, tokens):
        yield decoder.push(token)
    yield decoder.flush()


def written_tokens(
    options: Options, model: "Model", tokenizer: "Tokenizer", ids: "Tensor", pattern: "DFA | None"
) -> Iterator[int]:
    """The tokens of the text after `ids`, by the way of writing that the options name.

    Raises:
        UserError: what was asked for does not fit the model, as `pattern` may not its tokenizer.
    """
    from llmcourse.generate.beam import beam_search
    from llmcourse.generate.constrain import Constrained, over_tokens
    from llmcourse.generate.decode import generate
    from llmcourse.generate.speculative import speculative
    from llmcourse.randomness import torch_rng

    n, stops = options.max_new_tokens, (tokenizer.eot_id,)
    if options.beams:
        penalty = options.length_penalty
        found = beam_search(
            model, ids, n_beams=options.beams, max_new_tokens=n, length_penalty=penalty,
            stop_ids=stops,
        )  # fmt: skip
        yield from (token for token in found.best[0].tokens if token not in stops)
        return
    if options.draft is not None:
        small, its_tokenizer = load_run(options.draft)
        if _pieces(its_tokenizer) != _pieces(tokenizer):
            raise UserError(
                f"{options.draft} and {options.run} were trained with different tokenizers: "
                "a draft has to write the same tokens"
            )
        yield from speculative(
            model, small.to(ids.device), ids, max_new_tokens=n, n_draft=options.n_draft,
            process=logits_processor(options, ids.size(1)), greedy=options.greedy,
            generator=torch_rng(options.seed, "generate"), stop_ids=stops,
        )  # fmt: skip
        return
    sampler = token_sampler(options, ids)
    if pattern is not None:
        sampler = Constrained(over_tokens(pattern, tokenizer), sampler, n)
        n += 1  # the end's token
    for token in generate(model, ids, max_new_tokens=n, sampler=sampler, stop_ids=stops):
        yield int(token)


def _pieces(tokenizer: "Tokenizer") -> list[bytes]:
    return [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]


def pattern_of(options: Options) -> "DFA | None":
    """What may be written, by `regex` or `json_schema`; None if there is no rule.

    Raises:
        UserError: a pattern or a schema that cannot be.
    """
    from llmcourse.generate.json_schema import to_pattern
    from llmcourse.generate.patterns import compile_pattern

    if options.regex:
        return compile_pattern(options.regex)
    if options.json_schema is None:
        return None
    try:
        return compile_pattern(to_pattern(parse_json(read_file(options.json_schema))))
    except OSError as error:
        raise UserError(f"cannot read {options.json_schema}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{options.json_schema} is not JSON: {error}") from None


def check(options: Options) -> None:
    """Say what cannot be before a model is loaded.

    Raises:
        UserError: an option out of its range, or two that exclude each other.
    """
    import torch

    if options.max_new_tokens < 1:
        raise UserError(f"max_new_tokens={options.max_new_tokens} must be at least 1")
    if options.beams < 0 or options.n_draft < 1 or options.no_repeat_ngram < 0:
        raise UserError("beams and no_repeat_ngram must not be negative, n_draft at least 1")
    if options.n_draft > 1000:
        raise UserError(
            f"n_draft={options.n_draft} must be at most 1000: what follows the first token that is "
            "refused is thrown away"
        )
    if options.beams > 1000:
        raise UserError(f"beams={options.beams} must be at most 1000: each is a text of its own")
    if not math.isfinite(options.length_penalty):
        raise UserError(f"length_penalty={options.length_penalty} must be a finite number")
    ways = {
        "--chat": options.chat,
        "--beams": options.beams > 0,
        "--regex": bool(options.regex),
        "--json-schema": options.json_schema is not None,
        "--draft": options.draft is not None,
    }
    chosen = [name for name, is_chosen in ways.items() if is_chosen]
    if len(chosen) > 1:
        raise UserError(f"{' and '.join(chosen)} cannot be combined: give one of them")
    seen = torch.zeros(1, 1, dtype=torch.long)
    logits_processor(options)(torch.zeros(1, 2), seen)


def chat(options: Options, lines: Iterator[str]) -> Iterator[str]:
    """Yield answers to messages, the turns of one chat, piece by piece; each ends in a line's end.

    Raises:
        UserError: a directory that holds no run, an option out of its range, or a message that
            does not fit.
    """
    from llmcourse.device import choose_device
    from llmcourse.generate.chat import Chat
    from llmcourse.tokenizers.template_files import load_template

    check(options)
    device = choose_device(options.device)
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
    from llmcourse.generate.layout import lay_out_for_writing
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
    lay_out_for_writing(model)
    return model, tokenizer


def logits_processor(options: Options, n_prompt: int = 0) -> "Callable[[Tensor, Tensor], Tensor]":
    """Logits processor: from raw logits and the past to what the options want drawn from.

    The first `n_prompt` tokens of the past are the prompt.

    Raises:
        UserError: an option out of its range, when it is first used.
    """
    from llmcourse.generate import penalties, sampling

    def process(logits: "Tensor", ids: "Tensor") -> "Tensor":
        logits = penalties.repetition_penalty(logits, ids, options.repetition_penalty)
        said = ids[:, n_prompt:]
        logits = penalties.frequency_penalty(logits, said, options.frequency_penalty)
        logits = penalties.presence_penalty(logits, said, options.presence_penalty)
        if options.no_repeat_ngram:
            logits = penalties.no_repeat_ngrams(logits, ids, options.no_repeat_ngram)
        if options.greedy:
            return logits
        logits = sampling.apply_temperature(logits, options.temperature)
        if options.top_k:
            logits = sampling.top_k(logits, options.top_k)
        logits = sampling.typical_p(sampling.top_p(logits, options.top_p), options.typical_p)
        return sampling.min_p(logits, options.min_p)

    return process


def token_sampler(options: Options, ids: "Tensor") -> "Callable[[Tensor], Tensor]":
    """Sampler of the next token, for `generate`; it remembers the past, which is `ids` at first.

    It raises `UserError` where no token is left that may come.
    """
    import torch

    from llmcourse.generate import sampling
    from llmcourse.randomness import torch_rng

    generator = torch_rng(options.seed, "generate", device=ids.device)
    process = logits_processor(options, ids.size(1))

    def draw(logits: "Tensor") -> "Tensor":
        nonlocal ids
        scores = process(logits, ids)
        if bool((scores == -torch.inf).all(-1).any()):
            raise UserError(
                "every token that may come is ruled out: no_repeat_ngram forbids them all, so "
                "raise it, or write fewer tokens"
            )
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
        import torch  # noqa: F401

        listen_to_interrupts()
        if options.chat:
            lines = iter([options.prompt]) if options.prompt else _typed()
            for text in chat(options, lines):
                _put(text)
            return 0
        try:
            for text in write(options):
                _put(text)
            _put("\n")
        except KeyboardInterrupt:
            print(file=sys.stderr)
            raise KeyboardInterrupt("stopped here") from None
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
    sys.stdout.buffer.write(for_output(text).encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
