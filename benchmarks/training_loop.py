"""What the parts of the training loop do to a real run: the capstone's model on real text.

    python benchmarks/training_loop.py                    some four minutes on a laptop
    python benchmarks/training_loop.py --steps 20         a look

Runs of `llmcourse.train` that differ in one thing each: documents kept apart, a batch in four
parts, bf16, a run that was killed halfway and resumed. Then what packing saves on these documents,
what the memory is predicted and measured to be, and how much of the processor is used. What the
runs are compared by is the loss, not time, so that the machine may be busy.
"""

import argparse
import dataclasses
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import RESULTS, keep

from llmcourse.data import sources
from llmcourse.data.packing import best_fit, one_each, pack, pack_rows
from llmcourse.data.windows import Windows
from llmcourse.labs.memory import measured, predicted
from llmcourse.labs.throughput import matmul_peak, mfu, speed_of
from llmcourse.models.files import load_model
from llmcourse.models.gpt import GPT
from llmcourse.objectives.clm import CausalLM
from llmcourse.runs.diagnosis import diagnose
from llmcourse.runs.history import RunHistory
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.checkpoint import list_checkpoints
from llmcourse.train.loop import Result, train
from llmcourse.train.presets import laptop
from llmcourse.train.settings import Settings

ROWS = (128, 512)
"""Lengths of rows into which documents are packed."""


def settings_of(options: argparse.Namespace, out: Path) -> Settings:
    """The capstone's settings when this was recorded, for fewer steps."""
    preset = laptop()
    return dataclasses.replace(
        preset,
        out=str(out),
        steps=options.steps,
        log_every=min(preset.log_every, options.steps),
        evaluate_every=options.steps,
        save_every=max(1, options.steps // 2),
        sample_tokens=0,
        tensorboard=False,
        device="cpu",
        model=dataclasses.replace(preset.model, d_model=128, n_layers=4),
        optimizer=dataclasses.replace(preset.optimizer, matrix_lr=4e-2),
        data=dataclasses.replace(preset.data, source=options.source, vocab_size=options.vocab_size),
    )


def figures(result: Result, reference: Result | None = None) -> dict[str, Any]:
    """What came of a run, and how far its training losses are from another's."""
    assert result.score is not None
    found = {
        "bits_per_byte": result.score.bits_per_byte,
        "unigram": result.unigram,
        "diagnosis": diagnose(RunHistory.read(result.run)).cause,
    }
    if reference is not None:
        gaps = RunHistory.read(result.run).losses - RunHistory.read(reference.run).losses
        found["largest_difference_of_losses"] = float(np.abs(gaps).max())
    return found


def runs(options: argparse.Namespace, folder: Path) -> tuple[Result, dict[str, Any]]:
    """One run for each part of the loop; the plain one, and the table."""
    base = settings_of(options, folder / "plain")
    plain = train(base)
    table = {"plain": figures(plain)}
    apart = dataclasses.replace(base.data, separate_documents=True)
    for name, changes in {
        "documents kept apart": {"data": apart},
        "four micro-batches": {"micro_batch_size": base.batch_size // 4},
        "bf16": {"precision": "bf16"},
    }.items():
        result = train(dataclasses.replace(base, out=str(folder / name), **changes))
        table[name] = figures(result, plain)
    shutil.copytree(plain.run, folder / "killed")
    for checkpoint in list_checkpoints(folder / "killed" / "checkpoints")[1:]:
        shutil.rmtree(checkpoint)
    resumed = train(dataclasses.replace(base, out=str(folder / "killed"), resume=True))
    table["killed and resumed"] = figures(resumed, plain)
    return plain, table


def packing(options: argparse.Namespace, run: Path) -> dict[str, Any]:
    """Rows and padding: one document a row, best fit, and one stream that is cut into rows.

    A document that is longer than a row is cut into pieces by all three. Counted besides are those
    that would fit into a row and that the stream cuts all the same.
    """
    tokenizer = load_tokenizer(run)
    stream = pack(sources.read(options.source), tokenizer)
    documents = list(itertools.islice(stream, options.documents))
    found: dict[str, Any] = {"documents": len(documents)}
    found["tokens_per_document"] = float(np.mean([len(d) for d in documents]))
    for length in ROWS:
        shares = {}
        for fit in (one_each, best_fit):
            rows = pack_rows(documents, length, fit=fit)
            shares[fit.__name__] = {"rows": len(rows.ids), "padding": rows.padding}
        ends = np.cumsum([len(document) for document in documents])
        begins, last = ends - [len(document) for document in documents], ends - 1
        fits, cut = last - begins < length, begins // length != last // length
        n_rows = -(-int(ends[-1]) // length)
        shares["stream"] = {"rows": n_rows, "padding": 1 - int(ends[-1]) / (n_rows * length)}
        shares["fit into a row"] = int(fits.sum())
        shares["of them cut by the stream"] = int((fits & cut).sum())
        found[f"rows of {length}"] = shares
    return found


def resources(plain: Result) -> dict[str, float]:
    """Memory and speed of the run's model, in the run's batches."""
    model, objective, cpu = load_model(plain.run / "model"), CausalLM(), torch.device("cpu")
    assert isinstance(model, GPT)
    context, batch_size = model.config.context_length, laptop().batch_size
    windows = Windows(plain.run / "data" / "train.bin", context + 1, overlap=1)
    batch = objective.prepare(
        torch.from_numpy(np.stack([windows.window(i) for i in range(batch_size)]))
    )

    def loss() -> torch.Tensor:
        return objective.loss(model(batch.ids), batch).total

    memory = measured(model, torch.optim.AdamW(model.parameters()), loss)
    turns = speed_of(lambda: loss().backward(), cpu, repeat=3)
    speed, peak = turns * batch.ids.numel(), matmul_peak(cpu)
    return {
        "predicted_bytes": predicted(model.config, batch_size).total,
        "measured_bytes": memory.total,
        "measured_activations": memory.activations,
        "tokens_per_second": speed,
        "matmul_flops": peak,
        "mfu": mfu(speed, model.flops_per_token, peak),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", default="pydocs", help="what to train on")
    for name, default in {"steps": 120, "vocab_size": 2048, "documents": 2000}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        plain, table = runs(options, Path(folder))
        results = {
            "runs": table,
            "packing": packing(options, plain.run),
            "resources": resources(plain),
        }
    for name, row in table.items():
        gap = row.get("largest_difference_of_losses", 0.0)
        print(f"{name:<22} {row['bits_per_byte']:.3f} bits per byte, losses off by {gap:.2g}")
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    keep("training_loop", settings, results, options.out)


if __name__ == "__main__":
    main()
