"""What an hour of a laptop learns from ten million words: BLiMP's minimal pairs.

    python benchmarks/babylm.py --work runs/babylm

The size of the text is that of BabyLM's strict-small track (Warstadt et al., 2023): the training
files of pretrain_en, 10.4 million words of books, textbooks and tales, each paragraph a document.
The run is the preset `laptop-hour`, with `--budget` so chosen that reading the text and training
the tokenizer fit into the hour as well. Then come all 67,000 pairs of BLiMP (Warstadt et al.,
2020), of which a tie counts as wrong, beside unigrams and trigrams of the same text.
"""

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from measure import RESULTS, keep

from llmcourse.errors import exit_on_user_error, require
from llmcourse.runs.history import RunHistory
from llmcourse.runs.log import Evaluation
from llmcourse.suites.base import Asked
from llmcourse.suites.pairs import measure
from llmcourse.suites.subject import load_subject
from llmcourse.suites.table import table


def data_file(name: str) -> Path:
    """A file or folder of the data sets."""
    path = Path(os.environ.get("LLMCOURSE_DATA", "")) / name
    require(path.exists(), f"there is no {path}: set LLMCOURSE_DATA to the folder of data sets")
    return path


def write_paragraphs(out: Path) -> int:
    """Write each paragraph of the training text as a document; returns how many words they are."""
    words = 0
    with out.open("w", encoding="utf-8") as file:
        for source in sorted(data_file("pretrain_en").glob("*.train.jsonl.gz")):
            with gzip.open(source, "rt", encoding="utf-8") as lines:
                for line in lines:
                    for paragraph in filter(str.strip, json.loads(line)["text"].split("\n")):
                        file.write(json.dumps({"text": paragraph.strip()}) + "\n")
                        words += len(paragraph.split())
    return words


def trained(work: Path, budget: str) -> dict[str, Any]:
    """Train the preset on the text, and say what it took."""
    words = write_paragraphs(work / "text.jsonl")
    command = ["-m", "llmcourse.train", "--preset", "laptop-hour", "--budget", budget]
    places = ["--data.source", str(work / "text.jsonl"), "--out", str(work / "run")]
    shutil.rmtree(work / "run", ignore_errors=True)
    began = time.perf_counter()
    subprocess.run([sys.executable, *command, *places], check=True)
    seconds = time.perf_counter() - began
    last = RunHistory.read(work / "run").of(Evaluation)[-1]
    return {
        "command": " ".join(["python", *command]),
        "words": words,
        "tokens": last.tokens,
        "steps": last.step,
        "seconds, text and tokenizer with them": seconds,
        "bits per byte": last.bits_per_byte,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="a folder for text and run")
    parser.add_argument("--budget", default="57m", help="of the training alone")
    parser.add_argument("--limit", type=int, metavar="N", help="pairs of each phenomenon; all")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    options = parser.parse_args()
    pairs = data_file("blimp/blimp.jsonl.gz")
    options.work.mkdir(parents=True, exist_ok=True)
    run = trained(options.work, options.budget)
    subject = load_subject(options.work / "run", "cpu")
    figures = measure(subject, Asked(data=pairs, limit=options.limit))
    print(table({"BLiMP": figures}), flush=True)
    run["parameters"] = subject.model.n_parameters
    results = {"run": run, "BLiMP": [figure.plain() for figure in figures]}
    keep("babylm", {"budget": options.budget, "limit": options.limit}, results, options.out)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
