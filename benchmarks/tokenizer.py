"""Our byte-level BPE beside the `tokenizers` library: training and encoding, in one run.

    python benchmarks/tokenizer.py                        4,096 pieces on 2 MB of pydocs

The library is written in Rust, ours in Python, to be read; this says what that costs. Both cut the
text at the same places, which is checked. Encoding starts with empty caches each time; the library
also works out where in the text each piece stood. It is kept to one thread, as ours is, unless
`TOKENIZERS_PARALLELISM=true` is in the environment. Needs the packages of `pip install -e .[test]`.
"""

import argparse
import os
from itertools import islice
from pathlib import Path

from measure import RESULTS, compare, keep, show, take_turns
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from llmcourse.data.sources import read
from llmcourse.tokenizers.bpe import BPETokenizer


def some_text(source: str, megabytes: float) -> list[str]:
    """The first documents of a source, about so many megabytes of them."""
    texts, left = [], int(1e6 * megabytes)
    for document in read(source):
        texts.append(document.text[:left])
        left -= len(texts[-1])
        if left <= 0:
            break
    return texts


def train_library(texts: list[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,  # ours has one special token besides
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def check_equal(ours: BPETokenizer, library: Tokenizer, texts: list[str]) -> None:
    """Both cut the text at the same places: a piece of the library's has a letter for each byte."""
    for text in islice(texts, 50):
        cuts = [len(ours.token_bytes(token)) for token in ours.encode(text)]
        assert cuts == [len(piece) for piece in library.encode(text).tokens], text[:100]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", default="pydocs", help="a source of text")
    parser.add_argument("--megabytes", type=float, default=2.0, metavar="X")
    parser.add_argument("--vocab-size", type=int, default=4096, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


def main() -> None:
    options = parse()
    parallel = os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    texts = some_text(options.source, options.megabytes)
    size = options.vocab_size
    ours, library = BPETokenizer.train(texts, size), train_library(texts, size)
    check_equal(ours, library, texts)
    merges, saved = ours.merges, library.to_str()

    def encode_ours() -> None:
        fresh = BPETokenizer(merges)
        for text in texts:
            fresh.encode(text)

    def encode_library() -> None:
        fresh = Tokenizer.from_str(saved)
        for text in texts:
            fresh.encode(text)

    tasks = {
        "train": {
            "llmcourse": lambda: BPETokenizer.train(texts, size),
            "tokenizers": lambda: train_library(texts, size),
        },
        "encode": {"llmcourse": encode_ours, "tokenizers": encode_library},
    }
    results = {}
    n_bytes = sum(len(text.encode()) for text in texts)
    for title, contenders in tasks.items():
        results[title] = compare(take_turns(contenders, options.rounds))
        show(f"{title}, {size:,} pieces, {n_bytes:,} bytes", results[title], n_bytes, "bytes")
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    keep(
        "tokenizer",
        settings | {"bytes": n_bytes, "library_parallel": parallel},
        results,
        options.out,
    )


if __name__ == "__main__":
    main()
