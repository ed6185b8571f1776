"""Each kind of positions, trained on short texts and asked to read long ones, in one run.

    python benchmarks/positions.py                        a quarter of an hour on a laptop
    python benchmarks/positions.py --kinds rope alibi     only these

The capstone's model on pydocs, one run of `llmcourse.train` for each kind: same seed, data, steps.
Then held-out bits per byte in windows of the trained length, and in windows `--stretch` times as
long, where more context could help and unseen positions hurt. RoPE is stretched by every scaling
too. A learned table has no rows for the long windows. What is compared is loss, not time, so that
the machine may be busy.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import RESULTS, keep

from llmcourse.data.windows import Windows
from llmcourse.evaluate.perplexity import evaluate
from llmcourse.models.files import load_model, load_state, unique_state
from llmcourse.models.gpt import GPT, POSITIONS
from llmcourse.nn.rope_scaling import SCALINGS
from llmcourse.objectives.clm import CausalLM
from llmcourse.tokenizers.base import byte_lengths
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.loop import train
from llmcourse.train.presets import laptop
from llmcourse.train.settings import Settings


def settings_of(kind: str, options: argparse.Namespace, out: Path) -> Settings:
    """One run's settings: the capstone's, with another kind of positions and a shorter context."""
    preset = laptop()
    model = dataclasses.replace(
        preset.model,
        positions=kind,
        context_length=options.context_length,
        d_model=128,  # as recorded, with the rate below: the default has changed since
        n_layers=4,
    )
    data = dataclasses.replace(preset.data, source=options.source, vocab_size=options.vocab_size)
    return dataclasses.replace(
        preset,
        out=str(out),
        steps=options.steps,
        evaluate_every=options.steps,
        save_every=options.steps,
        sample_tokens=0,
        tensorboard=False,
        device="cpu",
        model=model,
        optimizer=dataclasses.replace(preset.optimizer, matrix_lr=4e-2),
        data=data,
    )


def stretched(model: GPT, length: int, **changes: Any) -> GPT:
    """The same weights, for texts of another length."""
    longer = GPT(dataclasses.replace(model.config, context_length=length, **changes))
    load_state(longer, unique_state(model), "the short model")
    return longer.eval()


def bits_per_byte(model: GPT, run: Path, length: int) -> float:
    """On the run's held-out text, in windows of `length` tokens."""
    windows = Windows(run / "data" / "valid.bin", length + 1, overlap=1)
    lengths = torch.tensor(byte_lengths(load_tokenizer(run)))
    objective = CausalLM()
    ids = torch.from_numpy(np.stack([windows.window(index) for index in range(len(windows))]))
    batches = (objective.prepare(rows) for rows in ids.split(8))
    return evaluate(model, objective, batches, lengths).bits_per_byte


def measure(kind: str, options: argparse.Namespace, out: Path) -> dict[str, float]:
    """Train one kind; its bits per byte by the name of how it was read."""
    result = train(settings_of(kind, options, out))
    model = load_model(result.run / "model")
    assert isinstance(model, GPT)
    short, long = options.context_length, options.stretch * options.context_length
    found = {"uniform": result.uniform, "unigram": result.unigram}
    found["trained length"] = bits_per_byte(model, result.run, short)
    if kind != "learned":
        found["longer"] = bits_per_byte(stretched(model, long), result.run, long)
    for scaling in SCALINGS if kind == "rope" else ():
        changes = {"rope_scaling": scaling, "rope_factor": float(options.stretch)}
        longer = stretched(model, long, **changes)
        found[f"longer, {scaling}"] = bits_per_byte(longer, result.run, long)
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=list(POSITIONS), choices=POSITIONS)
    parser.add_argument("--source", default="pydocs", help="what to train on")
    defaults = {"context_length": 64, "stretch": 4, "steps": 640, "vocab_size": 2048}
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        results = {kind: measure(kind, options, Path(folder, kind)) for kind in options.kinds}
    for kind, found in results.items():
        written = "  ".join(f"{name} {bits:.2f}" for name, bits in found.items())
        print(f"{kind:<11} {written}")
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    keep("positions", settings, results, options.out)


if __name__ == "__main__":
    main()
