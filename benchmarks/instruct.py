"""What each way of tuning is worth on real instructions and preferences, beside what it costs.

    python benchmarks/instruct.py --base runs/gpt --work runs/instruct

The base is a small GPT, pretrained here on one core:

    python -m llmcourse.train --model.d-model 128 --model.n-layers 4 --model.n-heads 4 \\
        --model.context-length 256 --data.source ENGLISH --data.vocab-size 4096 \\
        --batch-size 16 --steps 1000 --precision fp32 --optimizer.matrix-lr 0.04 --out runs/gpt

where ENGLISH is a folder with the training files of pretrain_en. Tasks: instruct_dolly (requests
without a given text) and instruct_rasbt; then preference_oasst100 together with instruct_rasbt's
pairs, from the base tuned on all of rasbt's instructions. `--limit` training examples of each are
used. Figures are of the test split: the nats of an answer's token; and the win rate against the
base alone, by this rule: of both answers to a request (the likeliest token each time, at most 40),
the one wins that shares more words with the right one, by the F1 of their counts; a tie is half a
win. Memory is what weights, gradients and the optimizer's two moments take, counted, in MB. Each
method has its own learning rate, the command's own. What is done is kept in `--work`, not redone.
"""

import argparse
import dataclasses
import gzip
import json
import os
import shutil
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from measure import RESULTS, keep

from llmcourse.errors import exit_on_user_error, require
from llmcourse.files import atomic_write_text
from llmcourse.finetune.base import load_base
from llmcourse.finetune.fit import fit
from llmcourse.finetune.instruct import Instruct
from llmcourse.finetune.predict import load_finished
from llmcourse.finetune.registry import TASKS
from llmcourse.finetune.settings import DataSettings, Settings

METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "lora, rank 8": {"method": "lora"},
    "prefix, 16": {"method": "prefix"},
    "prompt, 16": {"method": "prompt"},
}
"""The ways compared, and what each changes."""
LONGEST, ASKED = 40, 100
"""Tokens of an answer that is compared, and how many requests are answered."""
WIN = "win rate against the base alone"


def data_root(name: str) -> Path:
    """The folder of a data set."""
    root = Path(os.environ.get("LLMCOURSE_DATA", "")) / name
    require(root.is_dir(), f"there is no {root}: set LLMCOURSE_DATA to the folder of data sets")
    return root


def source_of(name: str, work: Path) -> dict[str, str]:
    """Where a task's examples are; files that need it are written anew."""
    if name == "instruct_dolly":
        (train,), (valid,), (test,) = (
            data_root(name).glob(f"dolly_nocontext.{split}*")
            for split in ("train", "valid", "test")
        )
        return {"source": str(train), "valid": str(valid), "test": str(test)}
    if name == "instruct_rasbt":
        return {"source": str(data_root(name) / "instruction.jsonl.gz")}
    path = work / "data" / "pairs.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for folder, file in (
        ("preference_oasst100", "oasst100_pref.jsonl.gz"),
        ("instruct_rasbt", "preference.jsonl.gz"),
    ):
        with gzip.open(data_root(folder) / file, "rt", encoding="utf-8") as lines:
            rows += [row for row in map(json.loads, lines) if row["chosen"] != row["rejected"]]
    atomic_write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return {"source": str(path)}


def settings_of(task: str, name: str, base: Path, options: Any, **changes: Any) -> Settings:
    """The settings of one run."""
    places = source_of(name, options.work)
    data = DataSettings(leaks="drop", limit=options.limit, **places)
    return Settings(
        base=str(base),
        task=task,
        epochs=options.epochs,
        evaluations=3,
        device="cpu",
        precision="fp32",
        data=data,
        **changes,
    )


def measured(label: str, settings: Settings, work: Path) -> dict[str, Any]:
    """The figures of one run, which is done once; its weights stay in `work`."""
    out = work / label
    if not (out / "figures.json").is_file():
        shutil.rmtree(out, ignore_errors=True)
        began = time.process_time()
        result = fit(dataclasses.replace(settings, out=str(out)))
        seconds = time.process_time() - began
        assert result.test is not None
        found: dict[str, Any] = {"cpu_seconds": seconds, "value": result.test.value}
        others = result.test.others | result.test.in_nats
        found |= {"others": others, "metric": result.test.metric}
        found["baselines"] = {name: one.value for name, one in result.baselines.items()}
        found |= costs(out)
        if settings.task == "instruct":
            found[WIN] = win_rate(settings, out)
        shutil.rmtree(out / "checkpoints")
        atomic_write_text(out / "figures.json", json.dumps(found))
    return json.loads((out / "figures.json").read_text())


def costs(run: Path) -> dict[str, Any]:
    """How many numbers learn, and the memory of training them."""
    _, model = load_finished(run)
    everything = sum(p.numel() for p in model.parameters())
    learn = sum(p.numel() for p in model.parameters() if p.requires_grad)
    # Four bytes a number: a weight; of what learns a gradient and two moments, too.
    return {"trainable": learn, "megabytes": 4 * (everything + 3 * learn) / 1e6}


@torch.no_grad()
def win_rate(settings: Settings, run: Path) -> float:
    """How often a run's answers are nearer the right ones than those of its base."""
    task, model = load_finished(run)
    assert isinstance(task, Instruct)
    base = load_base(settings.base).model
    wins, chats = 0.0, TASKS["instruct"].task.read(settings).test[:ASKED]
    for chat in chats:
        right = chat.turns[-1].content
        ours, theirs = (
            shared(right, task.reply(one, chat.turns[:-1], chat.where, LONGEST))
            for one in (model.backbone, base)
        )
        wins += (ours > theirs) + 0.5 * (ours == theirs)
    return wins / len(chats)


def shared(right: str, said: str) -> float:
    """The F1 of the words of two texts."""
    one, other = (Counter(text.casefold().split()) for text in (right, said))
    common = (one & other).total()
    return 2 * common / max(one.total() + other.total(), 1)


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means and spreads over seeds."""
    values = [run["value"] for run in runs]
    found = {
        "metric": runs[0]["metric"],
        "mean": statistics.mean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
        "values": values,
        "others": {k: statistics.mean(r["others"][k] for r in runs) for k in runs[0]["others"]},
        "baselines": runs[0]["baselines"],
        **{name: runs[0][name] for name in ("trainable", "megabytes")},
        "cpu_seconds": statistics.mean(run["cpu_seconds"] for run in runs),
    }
    if WIN in runs[0]:
        wins = [run[WIN] for run in runs]
        found[WIN] = {"mean": statistics.mean(wins), "values": wins}
    return found


def table_of(task: str, name: str, base: Path, options: Any) -> dict[str, Any]:
    """All methods on a data set."""
    rows = {}
    for label, changes in METHODS.items():
        if task == "preference" and changes["method"] in ("prefix", "prompt"):
            continue
        runs = [
            measured(
                f"{name}-{changes['method']}-{seed}",
                settings_of(task, name, base, options, seed=seed, **changes),
                options.work,
            )
            for seed in range(options.seeds)
        ]
        rows[label] = summary(runs)
        print(f"{name}, {label}: {rows[label]['mean']:.3f}", flush=True)
    return rows


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--base", type=Path, required=True, help="the pretrained GPT's run")
    parser.add_argument("--work", type=Path, required=True, help="keeps what is done already")
    parser.add_argument("--limit", type=int, default=1500, metavar="N")
    parser.add_argument("--epochs", type=float, default=2.0, metavar="N")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


def main() -> None:
    options = parse()
    results = {
        name: table_of("instruct", name, options.base, options)
        for name in ("instruct_dolly", "instruct_rasbt")
    }
    tuned = options.work / "instruct_rasbt-full-0"
    results["preferences"] = table_of("preference", "pairs", tuned, options)
    described = {name: vars(options)[name] for name in ("limit", "epochs", "seeds")}
    keep("instruct", described, results, options.out)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
