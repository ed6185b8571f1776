"""Every pretraining objective on the same real text, for the same budget; then asked the same.

    python benchmarks/objectives.py                            everything, some twenty minutes
    python benchmarks/objectives.py --objectives clm mlm       some of it
    python benchmarks/objectives.py --work runs/objectives     what is done is kept, not redone

Pretraining reads `--tokens` tokens of pretrain_en (books, textbooks, stories). Linear probes then
ask the frozen representations for labels that people gave: parts of speech (ud_english_ewt) and the
sentiment of sentences about films (sentiment_mr); for the order of two neighbouring sentences of
held-out text; and whether two English sentences share a translation (tatoeba). Where a model gives
texts a probability, it also says in how many bits. Baselines: the commonest answer, a bag of words,
and the same model before its first step. All data sets are folders in the one that LLMCOURSE_DATA
names.
"""

import argparse
import gzip
import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from measure import RESULTS, keep

from llmcourse.data.sources import read
from llmcourse.errors import UserError, exit_on_user_error
from llmcourse.evaluate.features import CountReader, Reader
from llmcourse.evaluate.intervals import Interval
from llmcourse.evaluate.likelihood import bits_per_byte_of_texts
from llmcourse.evaluate.probe_tasks import ProbeTask, make_task
from llmcourse.evaluate.tinytown_probes import word_span
from llmcourse.files import atomic_write_text
from llmcourse.labs.pretrain import Pretrained, as_stream, pretrain, untrained
from llmcourse.objectives.registry import OBJECTIVES
from llmcourse.randomness import numpy_rng, python_rng
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.train.settings import ModelSettings, ObjectiveSettings, OptimizerSettings, Settings

TOKENIZER_BYTES = 4_000_000
LONGEST_SENTENCE = 120
"""Characters of a sentence whose order is asked; pairs then fit into a small context."""
RIVALS = 300
"""Among so many sentences the one is looked for that shares most words but no translation."""


def rows(name: str, part: str) -> Iterator[dict[str, Any]]:
    """The rows of one part of a data set; `name` is its folder and its files' beginning."""
    folder, _, stem = name.partition("/")
    files = sorted((Path(os.environ.get("LLMCOURSE_DATA", "")) / folder).glob(f"{stem}.{part}.*gz"))
    if not files:
        raise UserError(f"no {stem}.{part}.jsonl.gz in {folder}: set LLMCOURSE_DATA to its parent")
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def texts(part: str, n_bytes: int) -> list[str]:
    """Texts of the corpus, shuffled, until there are so many bytes."""
    folder = Path(os.environ.get("LLMCOURSE_DATA", "")) / "pretrain_en"
    files = sorted(folder.glob(f"*.{part}.jsonl.gz"))
    if not files:
        raise UserError("no pretrain_en here: set LLMCOURSE_DATA to the folder that holds it")
    documents = list(chain.from_iterable(read(str(file)) for file in files))
    python_rng(0, part).shuffle(documents)
    kept: list[str] = []
    for document in documents:
        if n_bytes <= 0:
            break
        kept.append(document.text[:n_bytes])
        n_bytes -= len(document.text)
    return kept


# --- the questions --------------------------------------------------------------------------------


def tagged_words(tokenizer: Tokenizer) -> Iterator[tuple[Any, str]]:
    """One word of each sentence, drawn at random, and its part of speech."""
    rng = python_rng(0, "tagged words")
    for row in shuffled(rows("ud_english_ewt/ewt", "train")):
        words, at = row["tokens"], rng.randrange(len(row["tokens"]))
        start = len(" ".join(words[:at])) + (at > 0)
        span = word_span(tokenizer, " ".join(words), start, start + len(words[at]))
        yield span, row["upos"][at]


def reviews(tokenizer: Tokenizer) -> Iterator[tuple[Any, int]]:
    for row in shuffled(rows("sentiment_mr/mr", "train")):
        yield tuple(tokenizer.encode(row["text"])), row["label"]


def neighbours(tokenizer: Tokenizer, held_out: list[str]) -> Iterator[tuple[Any, bool]]:
    """Two sentences that follow each other within a paragraph, in their order or swapped."""
    rng = python_rng(0, "neighbours")
    pairs: list[tuple[str, str]] = []
    for paragraph in chain.from_iterable(text.split("\n\n") for text in held_out):
        sentences = re.split(r"(?<=[.!?]) +", paragraph.replace("\n", " ").strip())
        good = [20 <= len(sentence) <= LONGEST_SENTENCE for sentence in sentences]
        fits = [a and b for a, b in pairwise(good)]
        pairs += [pair for pair, fit in zip(pairwise(sentences), fits, strict=True) if fit]
    for first, second in shuffled(pairs):
        kept = rng.random() < 0.5
        pair = (first, second) if kept else (second, first)
        yield (tuple(tokenizer.encode(pair[0])), tuple(tokenizer.encode(" " + pair[1]))), kept


def translations(tokenizer: Tokenizer) -> Iterator[tuple[Any, bool]]:
    """English sentences with one French translation, beside the most alike of others without."""
    groups: dict[str, list[str]] = {}
    for row in rows("tatoeba/eng_fra", "train"):
        groups.setdefault(row["fr"], []).append(row["en"])
    several = [sorted(set(group)) for group in groups.values() if len(set(group)) > 1]
    rng = python_rng(0, "translations")
    for group in shuffled(several):
        first, second = rng.sample(group, 2)
        same = rng.random() < 0.5
        if not same:
            rivals = [rng.choice(rng.choice(several)) for _ in range(RIVALS)]
            second = max((r for r in rivals if r not in group), key=lambda r: shared(first, r))
        yield (tuple(tokenizer.encode(first)), tuple(tokenizer.encode(second))), same


def shared(first: str, second: str) -> float:
    """The share of words that two sentences have in common (Jaccard)."""
    one, other = (set(re.findall(r"\w+", text.lower())) for text in (first, second))
    return len(one & other) / max(1, len(one | other))


def shuffled(things: Iterable[Any]) -> list[Any]:
    """All of them, in another order, always the same."""
    found = list(things)
    python_rng(0, "shuffled").shuffle(found)
    return found


def questions(tokenizer: Tokenizer, held_out: list[str], n: dict[str, int]) -> list[ProbeTask]:
    return [
        make_task("tagging", "word", tagged_words(tokenizer), **n),
        make_task("sentiment", "text", reviews(tokenizer), **n),
        make_task("order", "pair", neighbours(tokenizer, held_out), **n),
        make_task("similarity", "similarity", translations(tokenizer), **n),
    ]


# --- the measurement ------------------------------------------------------------------------------


def settings_of(name: str, options: argparse.Namespace) -> Settings:
    model = ModelSettings(
        context_length=options.context_length,
        d_model=options.d_model,
        n_layers=options.n_layers,
        n_heads=options.n_heads,
    )
    optimizer = OptimizerSettings(lr=options.lr, matrix_lr=4e-2)
    return Settings(
        objective=ObjectiveSettings(name=name),
        batch_size=options.batch_size,
        model=model,
        optimizer=optimizer,
    )


def asked(reader: Reader, tasks: list[ProbeTask]) -> dict[str, Interval]:
    return {task.name: task.measure(reader) for task in tasks}


def written(trained: Pretrained, held_out: list[str], tokenizer: Tokenizer) -> Interval | None:
    """The bits per byte of the beginnings of held-out texts' paragraphs."""
    paragraphs = [p for text in held_out for p in text.split("\n\n") if len(p) > 200][:400]
    ids = [tuple(tokenizer.encode(paragraph)) for paragraph in paragraphs]
    rng = numpy_rng(0, "bootstrap")
    return bits_per_byte_of_texts(trained.objective, trained.model, ids, tokenizer, rng)


def measure(
    settings: Settings,
    train: list[str],
    held_out: list[str],
    tokenizer: Tokenizer,
    tasks: list[ProbeTask],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Train one objective, and ask it everything."""
    start = time.perf_counter()
    trained = pretrain(settings, tokenizer, as_stream(train, tokenizer), options.tokens, report)
    seconds = time.perf_counter() - start
    tail = trained.losses[-50:]
    return {
        "loss": sum(tail) / len(tail),
        "scored": trained.n_scored,
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "seconds": seconds,
        "accuracy": asked(trained.reader(), tasks),
        "bits_per_byte": written(trained, held_out, tokenizer),
    }


def baselines(
    tokenizer: Tokenizer, tasks: list[ProbeTask], options: argparse.Namespace
) -> dict[str, dict[str, Interval]]:
    fresh = untrained(settings_of("mlm", options), tokenizer)
    return {
        "majority": {task.name: task.majority() for task in tasks},
        "bag of words": asked(CountReader(tokenizer.vocab_size), tasks),
        "untrained": asked(fresh.reader(), tasks),
    }


def report(step: int, loss: float) -> None:
    if step % 200 == 0:
        print(f"  step {step}: {loss:.2f}", flush=True)


def show(name: str, accuracy: dict[str, Any], bits: Any = None) -> None:
    told = "  ".join(f"{task} {v[0]:.3f} ({v[1]:.2f}-{v[2]:.2f})" for task, v in accuracy.items())
    print(f"{name:<16} {told}" + (f"  bits per byte {bits[0]:.2f}" if bits else ""), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objectives", nargs="+", default=list(OBJECTIVES), choices=OBJECTIVES)
    defaults: dict[str, float] = {
        "tokens": 600_000,
        "d_model": 96,
        "n_layers": 3,
        "n_heads": 4,
        "context_length": 64,
        "batch_size": 16,
        "vocab_size": 2048,
        "n_train": 1000,
        "n_test": 1000,
        "lr": 5e-3,
    }
    for name, default in defaults.items():
        kind = type(default)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default, metavar="N")
    parser.add_argument("--work", type=Path, help="a folder that keeps what is done already")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


def main() -> None:
    options = parse()
    chosen = {k: v for k, v in vars(options).items() if k not in ("out", "work", "objectives")}
    train, held_out = texts("train", 6 * options.tokens), texts("valid", 2_000_000)
    tokenizer = BPETokenizer.train(_first(train, TOKENIZER_BYTES), options.vocab_size)
    sizes = {"n_train": options.n_train, "n_test": options.n_test}
    tasks = questions(tokenizer, held_out, sizes)
    results: dict[str, Any] = {"baselines": baselines(tokenizer, tasks, options), "objectives": {}}
    for name, accuracy in results["baselines"].items():
        show(name, accuracy)
    for name in options.objectives:
        done = options.work and options.work / f"{name}.json"
        if done and done.exists() and (found := json.loads(done.read_text()))["settings"] == chosen:
            row = found["result"]
        else:
            settings = settings_of(name, options)
            row = measure(settings, train, held_out, tokenizer, tasks, options)
        if done:
            done.parent.mkdir(parents=True, exist_ok=True)
            atomic_write_text(done, json.dumps({"settings": chosen, "result": row}))
        results["objectives"][name] = row
        show(name, row["accuracy"], row["bits_per_byte"])
    keep("objectives", {**chosen, "objectives": options.objectives}, results, options.out)


def _first(kept: list[str], n_bytes: int) -> list[str]:
    """Texts until there are so many bytes."""
    total, found = 0, []
    for text in kept:
        if total >= n_bytes:
            break
        found.append(text)
        total += len(text)
    return found


if __name__ == "__main__":
    with exit_on_user_error():
        main()
