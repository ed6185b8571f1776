"""What is chance in chapter 03's reader: its answers and its looks, from other beginnings.

    python benchmarks/attention_seeds.py

The code is the chapter's own: its cells are executed up to the one that counts looks, and then the
reader is trained again from each seed. Beside it the averager gets five times as many steps, and
the worst reader a second training at the same rates. A few seconds of processor time a seed.
"""

import argparse
import contextlib
import io
import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
import nbformat
import torch
from measure import RESULTS, keep

from llmcourse.errors import exit_on_user_error, require
from llmcourse.randomness import seed_all

CHAPTER = Path(__file__).resolve().parent.parent / "chapters" / "03_attention.ipynb"
LAST = "looks-counted"
"""The cell by which all is defined that is needed here."""


def names_of_the_chapter() -> dict[str, Any]:
    """What the chapter's cells define, up to the count of looks."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [c for c in nbformat.read(CHAPTER, as_version=4).cells if c.cell_type == "code"]
    require(LAST in [cell.id for cell in cells], f"{CHAPTER.name} has no cell {LAST}: name another")
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in cells:
            exec(compile(cell.source, cell.id, "exec"), names)
            if cell.id == LAST:
                break
    return names


def measured(chapter: dict[str, Any], seed: int, steps: int) -> tuple[Any, dict[str, float]]:
    """A reader from this seed, and how well it answers and looks."""
    seed_all(seed)
    reader = chapter["Reader"](len(chapter["tokenizer"].words))
    chapter["train"](reader, steps)
    return reader, judged(chapter, reader)


def judged(chapter: dict[str, Any], reader: Any) -> dict[str, float]:
    """The share of right answers, and the weights of the two looks that an answer needs."""
    _, right = chapter["examine"](reader)
    looks = {name: weight.mean().item() for name, weight in chapter["glances"](reader).items()}
    return {"right": right.float().mean().item(), **looks}


def averaging_loss(chapter: dict[str, Any], steps: int) -> float:
    """The test loss of the model that looks at everything alike, after so many steps."""
    seed_all(4)
    averager = chapter["Reader"](len(chapter["tokenizer"].words))
    for block in averager.blocks:
        block["attention"].q_proj.weight.requires_grad_(False).zero_()
    chapter["train"](averager, steps)
    return chapter["examine"](averager)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, metavar="N")
    parser.add_argument("--steps", type=int, default=200, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    options = parser.parse_args()
    mpl.use("Agg")
    torch.set_num_threads(1)
    chapter = names_of_the_chapter()
    readers = {seed: measured(chapter, seed, options.steps) for seed in range(options.seeds)}
    by_seed = {str(seed): found for seed, (_, found) in readers.items()}
    worst = min(readers, key=lambda seed: readers[seed][1]["right"])
    again = readers[worst][0]
    chapter["train"](again, options.steps // 2)
    results = {
        "seeds": by_seed,
        "worst": {"seed": worst, f"{options.steps // 2} steps more": judged(chapter, again)},
        "averaging": {f"{5 * options.steps} steps": averaging_loss(chapter, 5 * options.steps)},
    }
    for seed, found in by_seed.items():
        print(seed, "  ".join(f"{name} {value:.3f}" for name, value in found.items()))
    print("median right", statistics.median(found["right"] for found in by_seed.values()))
    print(results["worst"], results["averaging"])
    described = {"seeds": options.seeds, "steps": options.steps}
    keep("attention_seeds", described, results, options.out)


if __name__ == "__main__":
    with exit_on_user_error():
        main()
