"""Counting beside a recurrent network on real text: n-grams of every order, and an LSTM.

    python benchmarks/before_the_transformer.py                        Python's documentation
    python benchmarks/before_the_transformer.py --corpus pretrain_en   20 MB of books, in the folder
                                                                       that LLMCOURSE_DATA names

One tokenizer, one training text, one held-out text, and one unit: bits per byte. The n-grams count
all of the text; the LSTM reads as much of it as `--steps` allow. Also kept: the share of n-grams of
the held-out text that the training text does not hold. A corpus other than pydocs is a folder with
`*.train.jsonl.gz` and `*.valid.jsonl.gz`.
"""

import argparse
import os
import time
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from measure import RESULTS, keep

from llmcourse.data.documents import Document, split
from llmcourse.data.sources import read
from llmcourse.errors import UserError, exit_on_user_error
from llmcourse.evaluate.perplexity import Score, evaluate, uniform_bits_per_byte
from llmcourse.models.ngram import NGram, unseen_share
from llmcourse.models.ngram_counts import Counts, count_ngrams
from llmcourse.models.ngram_smoothing import AddK, Interpolation, KneserNey, Smoothing
from llmcourse.models.rnn_lm import RNNLM, RNNLMConfig
from llmcourse.objectives.clm import CausalLM
from llmcourse.optim.groups import split_for_muon
from llmcourse.optim.muon import BatchedMuon
from llmcourse.randomness import python_rng, seed_all, torch_rng
from llmcourse.tokenizers.base import byte_lengths
from llmcourse.tokenizers.bpe import BPETokenizer

SMOOTHINGS: dict[str, Smoothing] = {
    "add 1": AddK(1.0),
    "interpolation": Interpolation(0.7),
    "Kneser-Ney": KneserNey(None),
}
WINDOW = 128
MOST_HELD_OUT = 1_000_000
TOKENIZER_BYTES = 4_000_000


def corpus(name: str, megabytes: float) -> tuple[list[str], list[str]]:
    """Training and held-out texts, of at most so many megabytes and of one megabyte."""
    if name == "pydocs":
        train, held_out = split(read("pydocs"), 0.05)
    else:
        folder = Path(os.environ.get("LLMCOURSE_DATA", "")) / name
        train, held_out = (_part(folder, part) for part in ("train", "valid"))
        python_rng(0, name).shuffle(train)
    return _first(train, int(1e6 * megabytes)), _first(held_out, MOST_HELD_OUT)


def _part(folder: Path, part: str) -> list[Document]:
    files = sorted(folder.glob(f"*.{part}.jsonl.gz"))
    if not files:
        raise UserError(f"no *.{part}.jsonl.gz in {folder}: set LLMCOURSE_DATA to its parent")
    return list(chain.from_iterable(read(str(file)) for file in files))


def _first(documents: Iterable[Document], n_bytes: int) -> list[str]:
    texts = []
    for document in documents:
        if n_bytes <= 0:
            break
        texts.append(document.text)
        n_bytes -= len(document.text.encode())
    return texts


def score_ngram(model: NGram, held_out: list[torch.Tensor], n_bytes: int) -> Score:
    nats = -sum(model.token_log_probabilities(ids[None]).sum().item() for ids in held_out)
    return Score(nats=nats, tokens=sum(len(ids) - 1 for ids in held_out), bytes=n_bytes)


def train_lstm(model: RNNLM, stream: torch.Tensor, steps: int, batch_size: int) -> None:
    """Random windows of the stream, Muon and AdamW, rates that fall to nothing."""
    matrices, rest = split_for_muon(model)
    optimizers = [
        BatchedMuon(matrices, lr=0.02, weight_decay=0.0),
        torch.optim.AdamW(rest, lr=0.005, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    cooling = [torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.02, steps) for o in optimizers]
    dice, objective = torch_rng(0, "windows"), CausalLM()
    for step in range(steps):
        starts = torch.randint(len(stream) - WINDOW, (batch_size,), generator=dice)
        batch = objective.prepare(torch.stack([stream[s : s + WINDOW + 1] for s in starts]))
        loss = objective.loss(model(batch.ids), batch)
        model.zero_grad()
        (loss.total / loss.count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for part in (*optimizers, *cooling):
            part.step()
        if (step + 1) % 50 == 0:
            print(f"  step {step + 1}: {(loss.total / loss.count).item():.2f} nats", flush=True)


def score_lstm(model: RNNLM, held_out: list[torch.Tensor], sizes: torch.Tensor) -> Score:
    """Each document whole, from an empty state."""
    objective = CausalLM()
    return evaluate(model, objective, (objective.prepare(ids[None]) for ids in held_out), sizes)


def ngram_results(
    counts: Counts, held_out: list[torch.Tensor], n_bytes: int
) -> dict[str, dict[str, Any]]:
    results = {}
    for order in range(1, counts.order + 1):
        for name, smoothing in SMOOTHINGS.items():
            start = time.perf_counter()
            score = score_ngram(NGram(counts, smoothing, order), held_out, n_bytes)
            results[f"{order}-gram, {name}"] = row(score, start)
    return results


def row(score: Score, start: float) -> dict[str, float]:
    return {
        "bits_per_byte": score.bits_per_byte,
        "perplexity": score.perplexity,
        "seconds": time.perf_counter() - start,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", default="pydocs", help="pydocs, or a folder's name")
    parser.add_argument("--megabytes", type=float, default=20.0, metavar="X")
    parser.add_argument("--vocab-size", type=int, default=2048, metavar="N")
    parser.add_argument("--order", type=int, default=5, metavar="N")
    parser.add_argument("--d-model", type=int, default=192, metavar="N")
    parser.add_argument("--steps", type=int, default=300, metavar="N")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


@exit_on_user_error()
def main() -> None:
    options = parse()
    seed_all(0)
    train, held_out = corpus(options.corpus, options.megabytes)
    tokenizer = BPETokenizer.train(_sample(train), options.vocab_size)
    end, sizes = tokenizer.eot_id, torch.tensor(byte_lengths(tokenizer))
    rows = [torch.tensor([end, *tokenizer.encode(text), end]) for text in train]
    exam = [torch.tensor([end, *tokenizer.encode(text), end]) for text in held_out]
    answers = torch.cat([ids[1:] for ids in exam])
    n_bytes = int(sizes[answers].sum())

    start = time.perf_counter()
    counts = count_ngrams(rows, options.order, tokenizer.vocab_size)
    counting = time.perf_counter() - start
    uniform = uniform_bits_per_byte(answers.numpy(), sizes.numpy(), tokenizer.vocab_size)
    results: dict[str, Any] = {"uniform": {"bits_per_byte": uniform}}
    results |= ngram_results(counts, exam, n_bytes)

    start = time.perf_counter()
    size = tokenizer.vocab_size
    config = RNNLMConfig(vocab_size=size, context_length=WINDOW, d_model=options.d_model)
    model = RNNLM(config)
    train_lstm(model, torch.cat(rows), options.steps, options.batch_size)
    results["LSTM"] = row(score_lstm(model, exam, sizes), start)
    results["LSTM"]["tokens_read"] = options.steps * options.batch_size * WINDOW
    for name, measured in results.items():
        print(f"{name:24} {measured['bits_per_byte']:.3f} bits per byte")

    text = torch.cat(exam)[None]
    unseen = {n: unseen_share(counts, text, n) for n in range(1, options.order + 1)}
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    settings |= {
        "train_bytes": sum(len(text.encode()) for text in train),
        "train_tokens": sum(map(len, rows)),
        "held_out_bytes": n_bytes,
        "held_out_tokens": len(answers),
        "ngrams": counts.n_ngrams,
        "counting_seconds": counting,
        "lstm_parameters": model.n_parameters,
    }
    other = "" if options.corpus == "pydocs" else f"_{options.corpus}"
    kept = {"models": results, "unseen": unseen}
    keep(f"before_the_transformer{other}", settings, kept, options.out)


def _sample(texts: list[str]) -> list[str]:
    """The first few megabytes: enough to find the pieces that are frequent."""
    kept, left = [], TOKENIZER_BYTES
    for text in texts:
        if left <= 0:
            break
        kept.append(text)
        left -= len(text)
    return kept


if __name__ == "__main__":
    main()
