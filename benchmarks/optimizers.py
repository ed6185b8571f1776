"""Eight optimizers on one small GPT and real text, each at its best rate, in one run.

    python benchmarks/optimizers.py                        some eight minutes on one core
    python benchmarks/optimizers.py --kinds adamw muon     only these

The text is pydocs, read once in bytes, where hardly anything is rare, and once in the pieces of a
BPE vocabulary, most of which are. Every optimizer gets the same search for its rate: a grid of
factors of two, widened while the best rate lies on its edge. Then the best rate runs again from
other seeds. What is compared is held-out bits per byte after so many steps, not time, so that the
machine may be busy; the milliseconds a step are given beside it.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from measure import RESULTS, keep
from torch import Tensor
from torch.optim import Optimizer

from llmcourse.data import pydocs
from llmcourse.evaluate.perplexity import (
    evaluate,
    uniform_bits_per_byte,
    unigram_bits_per_byte,
)
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.objectives.clm import CausalLM
from llmcourse.optim.adam import Adam, AdamW
from llmcourse.optim.clip import clip_by_global_norm
from llmcourse.optim.groups import decay_groups, split_for_muon
from llmcourse.optim.lion import Lion
from llmcourse.optim.muon import Muon
from llmcourse.optim.rmsprop import RMSProp
from llmcourse.optim.schedules import linear
from llmcourse.optim.sgd import SGD
from llmcourse.randomness import seed_all
from llmcourse.tokenizers.base import Tokenizer, byte_lengths
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer

BETAS = (0.9, 0.95)
MOST_RATES = 9


class Text(NamedTuple):
    """Windows of one text's tokens to train on and held-out ones, and each token's bytes."""

    train: Int[Tensor, "N T"]
    valid: Int[Tensor, "M T"]
    sizes: Int[Tensor, " V"]


class Kind(NamedTuple):
    """An optimizer: the middle of its grid of rates, and what makes it for a model and a rate."""

    middle: float
    make: Callable[[GPT, float], list[Optimizer]]


def muon(model: GPT, lr: float) -> list[Optimizer]:
    """Muon for the hidden matrices; AdamW at half its rate for the rest."""
    matrices, rest = split_for_muon(model)
    return [Muon(matrices, lr, weight_decay=0.0), AdamW(rest, lr / 2, BETAS, weight_decay=0.0)]


KINDS = {
    "sgd": Kind(0.5, lambda m, lr: [SGD(m.parameters(), lr)]),
    "momentum": Kind(0.1, lambda m, lr: [SGD(m.parameters(), lr, 0.9)]),
    "nesterov": Kind(0.1, lambda m, lr: [SGD(m.parameters(), lr, 0.9, nesterov=True)]),
    "rmsprop": Kind(0.002, lambda m, lr: [RMSProp(m.parameters(), lr)]),
    "adam": Kind(0.005, lambda m, lr: [Adam(m.parameters(), lr, BETAS)]),
    "adamw": Kind(0.005, lambda m, lr: [AdamW(decay_groups(m.parameters(), 0.1), lr, BETAS)]),
    "lion": Kind(0.001, lambda m, lr: [Lion(m.parameters(), lr)]),
    "muon": Kind(0.04, muon),
}


def read(vocab_size: int, options: argparse.Namespace) -> Text:
    """The text in tokens; of the documents every tenth is held out."""
    texts = [document.text for document in islice(pydocs.documents(), options.documents)]
    known = [text for i, text in enumerate(texts) if i % 10]
    tokenizer: Tokenizer = ByteTokenizer()
    if vocab_size > tokenizer.vocab_size:
        tokenizer = BPETokenizer.train(known, vocab_size=vocab_size)
    width = options.context_length + 1

    def windows(some: list[str]) -> Int[Tensor, "N T"]:
        ids = [id for text in some for id in (*tokenizer.encode(text), tokenizer.eot_id)]
        return torch.tensor(ids[: len(ids) // width * width]).view(-1, width)

    valid = windows(texts[::10])[: options.held_out]
    return Text(windows(known), valid, torch.tensor(byte_lengths(tokenizer)))


def run(
    kind: Kind, lr: float, seed: int, text: Text, options: argparse.Namespace
) -> tuple[float, float]:
    """Train once; the held-out bits per byte, infinite where it diverged, and seconds a step."""
    seed_all(seed)
    objective = CausalLM()
    sizes = {"vocab_size": len(text.sizes), "context_length": options.context_length, "n_heads": 2}
    model = GPT(modern_recipe(**sizes, d_model=options.d_model, n_layers=options.n_layers))
    optimizers = kind.make(model, lr)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    peaks = [group["lr"] for group in groups]
    schedule = linear(warmup=0.1)
    order = torch.randperm(len(text.train))
    begun = time.perf_counter()
    for step in range(options.steps):
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * schedule((step + 0.5) / options.steps)
        rows = torch.arange(step * options.batch_size, (step + 1) * options.batch_size)
        batch = objective.prepare(text.train[order[rows % len(order)]])
        total, count = objective.loss(model(batch.ids), batch)
        model.zero_grad()
        (total / count).backward()
        clip_by_global_norm(model.parameters(), options.max_norm)
        for optimizer in optimizers:
            optimizer.step()
    seconds = (time.perf_counter() - begun) / options.steps
    held_out = (objective.prepare(rows) for rows in text.valid.split(64))
    score = evaluate(model, objective, held_out, text.sizes).bits_per_byte
    return (score if math.isfinite(score) else math.inf), seconds


def search(kind: Kind, try_rate: Callable[[float], float], width: int) -> dict[float, float]:
    """The score at each rate of a grid that is widened until its best lies within."""
    rates = [kind.middle * 2.0**power for power in range(-(width // 2), width // 2 + 1)]
    scores = {rate: try_rate(rate) for rate in rates}
    while len(scores) < MOST_RATES:
        best = min(scores, key=scores.__getitem__)
        if best not in (min(scores), max(scores)):
            break
        rate = best / 2 if best == min(scores) else best * 2
        scores[rate] = try_rate(rate)
    return dict(sorted(scores.items()))


def measure(kind: Kind, text: Text, options: argparse.Namespace) -> dict[str, Any]:
    """One optimizer: its search, and its best rate from several seeds."""
    times: list[float] = []

    def score(lr: float, seed: int = 0) -> float:
        found, seconds = run(kind, lr, seed, text, options)
        times.append(seconds)
        return found

    tried = search(kind, score, options.rates)
    best = min(tried, key=tried.__getitem__)
    scores = [tried[best], *(score(best, seed) for seed in range(1, options.seeds))]
    return {
        "bits_per_byte": statistics.mean(scores),
        "all_bits_per_byte": scores,
        "lr": best,
        "searched": {f"{rate:g}": value for rate, value in tried.items()},
        "ms_a_step": 1000 * statistics.median(times),
    }


def baselines(text: Text) -> dict[str, float]:
    """What guessing costs on the held-out windows, in bits per byte."""
    asked, sizes = text.valid[:, 1:].flatten().numpy(), text.sizes.numpy()
    counts = np.bincount(text.train.flatten().numpy(), minlength=len(sizes))
    return {
        "uniform": uniform_bits_per_byte(asked, sizes, len(sizes)),
        "unigram": unigram_bits_per_byte(counts, asked, sizes),
    }


def compare(vocab_size: int, options: argparse.Namespace) -> dict[str, Any]:
    """All the optimizers on the text in one vocabulary."""
    text = read(vocab_size, options)
    guesses = baselines(text)
    print(f"\n{len(text.sizes)} tokens:", "  ".join(f"{n} {v:.2f}" for n, v in guesses.items()))
    found = {}
    for name in options.kinds:
        row = found[name] = measure(KINDS[name], text, options)
        low, high = min(row["all_bits_per_byte"]), max(row["all_bits_per_byte"])
        print(
            f"{name:<9} {row['bits_per_byte']:.2f} bits per byte ({low:.2f} to {high:.2f}) "
            f"at lr {row['lr']:g}, {row['ms_a_step']:.0f} ms a step",
            flush=True,
        )
    return {"baselines": guesses, "optimizers": found}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument(
        "--vocab-sizes", nargs="+", type=int, default=[256, 1024], help="up to 257: bytes"
    )
    parser.add_argument("--max-norm", type=float, default=1.0, help="where gradients are clipped")
    defaults = {
        "steps": 200,
        "batch_size": 16,
        "context_length": 64,
        "d_model": 64,
        "n_layers": 2,
        "rates": 3,
        "seeds": 3,
        "documents": 200,
        "held_out": 256,
    }
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


def main() -> None:
    options = parse()
    results = {str(size): compare(size, options) for size in options.vocab_sizes}
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    keep("optimizers", settings, results, options.out)


if __name__ == "__main__":
    main()
