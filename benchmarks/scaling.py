"""A ladder of small runs on real text: how the loss depends on the model's size and on the tokens.

    python benchmarks/scaling.py                          some twenty minutes on a laptop
    python benchmarks/scaling.py --rungs 32:2:2:20        a look: width, layers, heads, steps

Every rung is a run of `llmcourse.train` by the default preset, of another size and length, each
with its schedule finished. What is kept is the loss at the end, in bits per byte. The law that
`planning/recorded.py` holds is fitted to these.
"""

import argparse
import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Any

from measure import RESULTS, keep

from llmcourse.models.files import load_model
from llmcourse.train.loop import train
from llmcourse.train.presets import laptop

SHAPES = {
    (32, 2, 2): (100, 250, 600, 1200),
    (64, 2, 2): (100, 250, 600),
    (96, 3, 4): (100, 250, 600),
    (128, 4, 4): (100, 250, 600),
}
"""Width, layers and heads, and for how many steps each is trained."""


def rungs_of(text: str) -> list[tuple[int, int, int, int]]:
    """What `--rungs` asks for: all of `SHAPES`, shortest first, or a list such as 32:2:2:20."""
    if text:
        rungs = [tuple(map(int, rung.split(":"))) for rung in text.split(",")]
    else:
        rungs = [(*shape, steps) for shape, lengths in SHAPES.items() for steps in lengths]
    return sorted(rungs, key=lambda rung: rung[0] ** 2 * rung[1] * rung[3])


def climb(
    rung: tuple[int, int, int, int], folder: Path, source: str, first: Path
) -> dict[str, Any]:
    """One run; its size, what it read, and its loss at the end."""
    width, layers, heads, steps = rung
    preset, out = laptop(), folder / "-".join(map(str, rung))
    again = first != out
    if again:  # the text is cut into tokens once
        shutil.copytree(first / "data", out / "data")
        for path in (*first.glob("*tokenizer*"), first / "config.json"):
            shutil.copy(path, out)
    shape = {"d_model": width, "n_layers": layers, "n_heads": heads}
    result = train(
        dataclasses.replace(
            preset,
            out=str(out),
            resume=again,
            steps=steps,
            evaluate_every=steps,
            evaluate_windows=0,
            save_every=steps,
            sample_tokens=0,
            tensorboard=False,
            device="cpu",
            model=dataclasses.replace(preset.model, **shape),
            data=dataclasses.replace(preset.data, source=source),
        )
    )
    if result.stopped_by is not None or result.score is None:
        raise SystemExit(f"the run {rung} was stopped: nothing is kept")
    model = load_model(result.run / "model")
    tokens = steps * preset.batch_size * preset.model.context_length
    found = {
        **shape,
        "steps": steps,
        "parameters": model.n_parameters,
        "flops_per_token": model.flops_per_token,
        "tokens": tokens,
        "bits_per_byte": result.score.bits_per_byte,
        "unigram": result.unigram,
    }
    print(found, flush=True)
    return found


def main() -> None:
    """Climb the ladder and keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rungs", default="")
    parser.add_argument("--source", default="pydocs")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rungs = rungs_of(options.rungs)
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder, "-".join(map(str, rungs[0])))
        found = [climb(rung, Path(folder), options.source, first) for rung in rungs]
    settings = {"source": options.source, "preset": "laptop", "rungs": rungs}
    keep("scaling", settings, {"runs": found}, options.out)


if __name__ == "__main__":
    main()
