"""Writing, beside transformers and nanoGPT: the likeliest token each time, on a CPU.

    python benchmarks/generation.py                          ours and transformers
    python benchmarks/generation.py --nanogpt PATH/TO/nanoGPT

All have the shape of GPT-2's small model (124M weights, drawn at random). First one text is
written, then several at once, which go on from longer prompts (`--rows`, `--long`); nanoGPT writes
one. Ours and transformers' model are the same weights, and must write the same tokens. Ours writes
with a cache that grows and with one that is made once; transformers by `generate`, with its own
cache; nanoGPT (Karpathy, 2022), which is used as it lies there, reads the whole text again for each
token. They take turns on one thread, and what counts is processor time, and its ratio within a
round.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import RESULTS, compare, keep, show, take_turns
from nanogpt import load_nanogpt
from torch import Tensor

from llmcourse.errors import exit_on_user_error
from llmcourse.export.huggingface import from_huggingface
from llmcourse.generate.decode import generate
from llmcourse.generate.layout import lay_out_for_writing
from llmcourse.generate.sampling import greedy
from llmcourse.nn.cache import StaticKVCache
from llmcourse.randomness import seed_all


class WithBuffers:
    """A model whose caches are made once, as large as the text will be."""

    def __init__(self, model: Any, capacity: int) -> None:
        self._model, self._capacity, self.config = model, capacity, model.config

    def new_cache(self) -> StaticKVCache:
        """Buffers for the whole text."""
        return StaticKVCache(self.config.n_layers, self._capacity)

    def __call__(self, ids: Tensor, *, cache: Any = None, n_scored: int | None = None) -> Any:
        """The model's own scores."""
        return self._model(ids, cache=cache, n_scored=n_scored)


def pair_of(sizes: dict[str, Any]) -> tuple[Any, Any]:
    """The same weights as transformers' GPT-2 and as ours."""
    from transformers import GPT2Config, GPT2LMHeadModel

    theirs = GPT2LMHeadModel(GPT2Config(**sizes)).eval()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        return theirs, from_huggingface(folder)


def writers(options: argparse.Namespace, rows: int, length: int) -> dict[str, Callable[[], Tensor]]:
    """Each contender's way from prompts of one length to the new tokens, `[rows, new]`."""
    shape = {"n_embd": options.d_model, "n_layer": options.n_layers, "n_head": options.n_heads}
    sizes = {"vocab_size": options.vocab_size, **shape}
    theirs, ours = pair_of({**sizes, "n_positions": options.context_length})
    prompt = torch.randint(options.vocab_size, (rows, length))

    def by_us(model: Any) -> Tensor:
        written = generate(model, prompt, max_new_tokens=options.new, sampler=greedy)
        return torch.stack(list(written), dim=1)

    def by_transformers() -> Tensor:
        eager = {"do_sample": False, "max_new_tokens": options.new, "pad_token_id": 0}
        everywhere = torch.ones_like(prompt)
        text = theirs.generate(prompt, attention_mask=everywhere, eos_token_id=None, **eager)
        return text[:, length:]

    buffered = WithBuffers(ours, length + options.new)
    lay_out_for_writing(ours)
    found = {
        "llmcourse": lambda: by_us(ours),
        "llmcourse, static cache": lambda: by_us(buffered),
        "transformers": by_transformers,
    }
    if options.nanogpt is not None and rows == 1:
        module = load_nanogpt(options.nanogpt)
        config = module.GPTConfig(block_size=options.context_length, dropout=0.0, **sizes)
        peer = module.GPT(config).eval()
        found["nanoGPT"] = lambda: peer.generate(prompt, options.new, top_k=1)[:, length:]
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--nanogpt", type=Path, metavar="FOLDER", help="a checkout of nanoGPT")
    parser.add_argument("--prompt", type=int, default=32, metavar="TOKENS")
    parser.add_argument("--rows", type=int, default=8, metavar="N")
    parser.add_argument("--long", type=int, default=384, metavar="TOKENS")
    parser.add_argument("--new", type=int, default=128, metavar="TOKENS")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--d-model", type=int, default=768, metavar="N")
    parser.add_argument("--n-layers", type=int, default=12, metavar="N")
    parser.add_argument("--n-heads", type=int, default=12, metavar="N")
    parser.add_argument("--vocab-size", type=int, default=50257, metavar="N")
    parser.add_argument("--context-length", type=int, default=1024, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


@torch.no_grad()
def main() -> None:
    options = parse()
    torch.set_num_threads(1)
    seed_all(0)
    results = {}
    for rows, length in ((1, options.prompt), (options.rows, options.long)):
        contenders = writers(options, rows, length)
        texts = {name: write().tolist() for name, write in contenders.items()}
        same = {name for name, text in texts.items() if text == texts["llmcourse"]}
        if not {"llmcourse, static cache", "transformers"} <= same:
            sys.exit(f"error: of the same weights only these wrote the same: {', '.join(same)}")
        table = compare(take_turns(contenders, options.rounds, time.process_time))
        title = f"{rows} x {options.new} tokens after {length}"
        show(title, table, rows * options.new, "tokens")
        results[title] = table
    described = {name: value for name, value in vars(options).items() if name != "out"}
    described["nanogpt"] = options.nanogpt is not None
    keep("generation", described, results, options.out)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
