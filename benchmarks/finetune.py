"""What pretraining is worth: seven real tasks, each learned from a pretrained and a fresh start.

    python benchmarks/finetune.py --base runs/english --chinese runs/chinese --work runs/finetune

The backbones are small encoders, pretrained here, on one core each:

    python -m llmcourse.train --objective mlm --objective.mask-rate 0.25 --model.d-model 128 \\
        --model.n-layers 4 --model.n-heads 4 --model.context-length 64 --model.tie-embeddings \\
        --data.source ENGLISH --data.vocab-size 4096 --batch-size 64 --steps 100000 \\
        --budget 45m --precision fp32 --sample-tokens 0 --optimizer.matrix-lr 0.04 \\
        --out runs/english

where ENGLISH is a folder with the training files of pretrain_en; for the Chinese one those of
pretrain_zh's prose, and 12m. Tasks: sentiment_mr, clinc150 without its out-of-scope questions,
banking77, ud_english_ewt (parts of speech), ud_chinese_gsdsimp (the same; its development set is
learned from), uner_english_ewt (names; the same), ner_wnut17 (names). Of each, `--limit` training
examples are used. The learning rate is chosen for each task and start on the validation split, with
the first seed. Intents are many, with a dozen examples each, so their tasks get twice the epochs;
names are rare, so theirs get three times, at one rate, and a CRF. Rivals: the commonest answer;
naive Bayes and logistic regression (scikit-learn) on a bag of words, or each word's most frequent
tag; the same model untrained. Data sets are folders in the one that LLMCOURSE_DATA names. What is
done is kept in `--work`, not redone.
"""

import argparse
import dataclasses
import gzip
import json
import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from measure import RESULTS, keep
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from llmcourse.errors import exit_on_user_error, require
from llmcourse.files import atomic_write_text
from llmcourse.finetune.fit import fit
from llmcourse.finetune.registry import TASKS as KINDS
from llmcourse.finetune.settings import DataSettings, Settings

RATES = (1e-3, 3e-3)
"""The learning rates tried, on the validation split."""
SPANS: dict[str, Any] = {"lr": 3e-3, "crf": True, "layer_decay": 0.8}
"""What the tasks of spans change, for every start."""
STARTS: dict[str, dict[str, Any]] = {
    "full": {},
    "untrained": {"untrained": True},
    "frozen": {"method": "frozen", "lr": 1e-2},
    "gradual": {"method": "gradual", "layer_decay": 0.8},
}
"""The ways compared, and what each changes."""
DETOURS = (
    ("ud_english_ewt", "uner_english_ewt"),
    ("clinc150", "banking77"),
    ("banking77", "sentiment_mr"),
)
"""Pairs of tasks: the first is learned on the way to the second."""


def data_of(name: str, work: Path) -> DataSettings:
    """Where a task's examples are; files that need it are written anew without what is left out."""
    root = Path(os.environ.get("LLMCOURSE_DATA", "")) / name
    require(root.is_dir(), f"there is no {root}: set LLMCOURSE_DATA to the folder of data sets")
    settings = DataSettings(source=str(root), leaks="drop")
    if name == "clinc150":
        folder = work / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in root.glob("*.jsonl.gz"):
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                kept = [line for line in lines if json.loads(line)["label"] != "oos"]
            atomic_write_text(folder / file.name.removesuffix(".gz"), "".join(kept))
        return dataclasses.replace(settings, source=str(folder))
    if name in ("uner_english_ewt", "ud_chinese_gsdsimp"):  # no training file comes with these
        (dev,), (test,) = root.glob("*dev*"), root.glob("*test*")
        settings = dataclasses.replace(settings, source=str(dev), test=str(test))
    return dataclasses.replace(settings, tags="upos") if name.startswith("ud_") else settings


TASKS = {
    "sentiment_mr": "classification",
    "clinc150": "classification",
    "banking77": "classification",
    "ud_english_ewt": "tagging",
    "ud_chinese_gsdsimp": "tagging",
    "uner_english_ewt": "tagging",
    "ner_wnut17": "tagging",
}
"""The tasks, and what is asked."""
NAMES = ("uner_english_ewt", "ner_wnut17")
"""The tasks whose tags mark spans."""
LONGER = {"clinc150": 2.0, "banking77": 2.0, "uner_english_ewt": 3.0, "ner_wnut17": 3.0}
"""How many times the epochs a task gets, for every start: rare labels take longer."""


def settings_of(name: str, options: argparse.Namespace, **changes: Any) -> Settings:
    """The settings of one run."""
    base = options.chinese if "chinese" in name else options.base
    data = dataclasses.replace(data_of(name, options.work), limit=options.limit)
    settings = Settings(
        base=str(base),
        task=TASKS[name],
        epochs=LONGER.get(name, 1.0) * options.epochs,
        batch_size=16,
        evaluations=2,
        device="cpu",
        precision="fp32",
        data=data,
    )
    if name in NAMES:
        changes = SPANS | changes
    return dataclasses.replace(settings, **changes)


def measured(label: str, settings: Settings, work: Path) -> dict[str, Any]:
    """The figures of one run, which is done once; its weights stay in `work`."""
    out = work / label
    if not (out / "results.json").is_file():
        shutil.rmtree(out, ignore_errors=True)
        began = time.process_time()
        fit(dataclasses.replace(settings, out=str(out)))
        seconds = {"cpu_seconds": time.process_time() - began}
        found = json.loads((out / "results.json").read_text()) | seconds
        atomic_write_text(out / "results.json", json.dumps(found))
        shutil.rmtree(out / "checkpoints")
    return json.loads((out / "results.json").read_text())


def one_cell(name: str, start: str, options: argparse.Namespace) -> dict[str, Any]:
    """A way of learning a task, over the seeds; the rate is chosen with the first."""
    changes = (SPANS if name in NAMES else {}) | STARTS[start]
    rates = [changes["lr"]] if "lr" in changes else RATES
    tried = {
        rate: measured(
            f"{name}-{start}-{rate:g}-0",
            settings_of(name, options, **(changes | {"lr": rate, "seed": 0})),
            options.work,
        )
        for rate in rates
    }
    best = max(tried, key=lambda rate: tried[rate]["valid"]["value"])
    runs = [tried[best]] + [
        measured(
            f"{name}-{start}-{best:g}-{seed}",
            settings_of(name, options, **(changes | {"lr": best, "seed": seed})),
            options.work,
        )
        for seed in range(1, options.seeds)
    ]
    return summary(runs) | {"lr": best}


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread of the test figures."""
    values = [run["test"]["value"] for run in runs]
    return {
        "metric": runs[0]["test"]["metric"],
        "mean": statistics.mean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
        "values": values,
        "cpu_seconds": sum(run["cpu_seconds"] for run in runs),
        "baselines": {k: b["value"] for k, b in runs[0]["baselines"].items()},
    }


def bag_of_words(name: str, options: argparse.Namespace) -> float | None:
    """Logistic regression on words and pairs of words; None for tags."""
    if TASKS[name] != "classification":
        return None
    splits = KINDS["classification"].task.read(settings_of(name, options))
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    train = vectors.fit_transform([example.words[0] for example in splits.train])
    valid = vectors.transform([example.words[0] for example in splits.valid])
    labels = [example.labels[0] for example in splits.train]
    models = [LogisticRegression(C=c, max_iter=500).fit(train, labels) for c in (1, 10, 100)]
    right = [example.labels[0] for example in splits.valid]
    best = max(models, key=lambda model: model.score(valid, right))
    test = vectors.transform([example.words[0] for example in splits.test])
    return float(best.score(test, [example.labels[0] for example in splits.test]))


def detour(first: str, second: str, options: argparse.Namespace) -> dict[str, Any]:
    """Learning a task on the way to another, at the rate that was best without."""
    rate = one_cell(second, "full", options)["lr"]
    runs = []
    for seed in range(options.seeds):
        measured(
            f"{first}-stage-{seed}",
            settings_of(first, options, lr=1e-3, seed=seed),
            options.work,
        )
        base = str(options.work / f"{first}-stage-{seed}")
        settings = settings_of(second, options, base=base, lr=rate, seed=seed)
        runs.append(measured(f"{first}-then-{second}-{seed}", settings, options.work))
    return summary(runs)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--base", type=Path, required=True, help="the English backbone's run")
    parser.add_argument("--chinese", type=Path, required=True, help="the Chinese backbone's run")
    parser.add_argument("--work", type=Path, required=True, help="keeps what is done already")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument("--starts", nargs="+", default=list(STARTS), choices=STARTS)
    parser.add_argument("--limit", type=int, default=2000, metavar="N")
    parser.add_argument("--epochs", type=float, default=4.0, metavar="N")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--no-detours", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


def main() -> None:
    options = parse()
    table: dict[str, Any] = {}
    for name in options.tasks:
        cells = {start: one_cell(name, start, options) for start in options.starts}
        table[name] = {"starts": cells, "logistic regression": bag_of_words(name, options)}
        print(f"{name}: " + ", ".join(f"{k} {c['mean']:.3f}" for k, c in cells.items()), flush=True)
    pairs = {}
    for first, second in () if options.no_detours else DETOURS:
        pairs[f"{first}, then {second}"] = detour(first, second, options)
    described = {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}
    described = {k: v for k, v in described.items() if k not in ("out", "work", "base", "chinese")}
    keep("finetune", described, {"tasks": table, "detours": pairs}, options.out)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
