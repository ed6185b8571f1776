"""A small GPT examined on real exams, beside unigrams and trigrams of its own training text.

    python benchmarks/evaluation.py --run runs/gpt

The run is a GPT of 1.8 million parameters, pretrained on one core:

    python -m llmcourse.train --model.d-model 128 --model.n-layers 4 --model.n-heads 4 \\
        --model.context-length 256 --data.source ENGLISH --data.vocab-size 4096 \\
        --batch-size 16 --steps 1000 --precision fp32 --optimizer.matrix-lr 0.04 --out runs/gpt

where ENGLISH is a folder with the training files of pretrain_en. The suites are those of
`python -m llmcourse.evaluate`, asked for the run's own held-out text, wikitext2.test, BLiMP, and
four sets of questions, each of them cut to `--limit` (kilobytes, pairs of a phenomenon, questions).
The counters see two million training tokens, evenly spread.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from measure import RESULTS, keep

from llmcourse.errors import exit_on_user_error, require
from llmcourse.suites.base import Asked, Figure
from llmcourse.suites.registry import SUITES
from llmcourse.suites.subject import load_subject
from llmcourse.suites.table import table

EXAMS: dict[str, tuple[str, str]] = {
    "held-out text": ("text", ""),
    "wikitext-2, test": ("text", "wikitext_eval/wikitext2.test.txt.gz"),
    "BLiMP": ("minimal_pairs", "blimp/blimp.jsonl.gz"),
    "ARC, easy": ("multiple_choice", "zeroshot_eval/arc_easy.jsonl.gz"),
    "BoolQ": ("multiple_choice", "zeroshot_eval/boolq.jsonl.gz"),
    "WinoGrande": ("multiple_choice", "zeroshot_eval/winogrande.jsonl.gz"),
    "Winograd": ("multiple_choice", "zeroshot_eval/winograd_wsc.jsonl.gz"),
}
"""Each exam's suite, and the file that it reads below LLMCOURSE_DATA."""


def path_of(name: str) -> Path | None:
    """The file of an exam; None for the run's own text."""
    if not name:
        return None
    path = Path(os.environ.get("LLMCOURSE_DATA", "")) / name
    require(path.is_file(), f"there is no {path}: set LLMCOURSE_DATA to the folder of data sets")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="the pretrained GPT's run")
    parser.add_argument("--limit", type=int, default=100, metavar="N")
    parser.add_argument("--only", nargs="*", default=list(EXAMS), choices=list(EXAMS))
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    options = parser.parse_args()
    torch.set_num_threads(1)
    asked = {name: path_of(EXAMS[name][1]) for name in options.only}  # all, before the first
    subject = load_subject(options.run, "cpu")
    results: dict[str, Any] = {}
    for name, path in asked.items():
        suite = SUITES[EXAMS[name][0]]
        figures: list[Figure] = suite.measure(subject, Asked(data=path, limit=options.limit))
        results[name] = [figure.plain() for figure in figures]
        print(table({name: figures}), flush=True)
    described = {"limit": options.limit, "parameters": subject.model.n_parameters}
    keep("evaluation", described, results, options.out)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
