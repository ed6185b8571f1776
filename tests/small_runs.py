"""Small runs for the tests of the training loop."""

import dataclasses
import json
from pathlib import Path

from safetensors.numpy import load_file, save_file

from llmcourse.runs.history import RunHistory
from llmcourse.runs.log import Baseline, Evaluation, Training
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.checkpoint import list_checkpoints
from llmcourse.train.corpus import Corpus, open_corpus
from llmcourse.train.loop import Result, train
from llmcourse.train.presets import PRESETS, tiny
from llmcourse.train.saved_settings import leaves
from llmcourse.train.settings import Settings

# What only clocks decide; everything else in a log must repeat exactly.
TIMES = {"seconds", "tokens_per_second", "mfu"}


def small(out: Path, **changes) -> Settings:
    """The tiny preset, smaller still; names like `model__dropout` reach into a part."""
    settings = dataclasses.replace(
        tiny(),
        out=str(out),
        steps=20,
        save_every=7,
        log_every=3,
        evaluate_every=10,
        sample_tokens=8,
        tensorboard=False,
        device="cpu",
        data=dataclasses.replace(tiny().data, max_megabytes=0.1, vocab_size=300, held_out=0.2),
        model=dataclasses.replace(tiny().model, context_length=32, d_model=32, dropout=0.1),
    )
    for name, value in changes.items():
        part, _, leaf = name.rpartition("__")
        if part:
            value = dataclasses.replace(getattr(settings, part), **{leaf: value})
        settings = dataclasses.replace(settings, **{part or leaf: value})
    return settings


def run(out: Path, **changes) -> Result:
    """Train a small run in this process."""
    return train(small(out, **changes))


def opened(settings: Settings, out: Path) -> Corpus:
    """The corpus in a run directory, as windows for next-token prediction."""
    length = settings.model.context_length + 1
    return open_corpus(load_tokenizer(out), out / "data", length=length, overlap=1)


def twin(name: str, out) -> Settings:
    """The preset's recipe, for two steps of a small model on tinytown."""
    preset = PRESETS[name]()
    sizes = {"context_length": 16, "d_model": 32, "n_layers": 2, "n_heads": 2}
    grouped = None if preset.model.n_kv_heads is None else 1
    return dataclasses.replace(
        preset,
        out=str(out),
        steps=2,
        budget=None,
        batch_size=8,
        micro_batch_size=None if preset.micro_batch_size is None else 2,
        device="cpu",
        precision="fp32",
        compile="no",
        evaluate_windows=4,
        sample_tokens=0,
        tensorboard=False,
        model=dataclasses.replace(preset.model, **sizes, n_kv_heads=grouped),
        data=dataclasses.replace(
            preset.data, source="tinytown", max_megabytes=0.05, vocab_size=300, held_out=0.2
        ),
    )


def flags(settings: Settings) -> list[str]:
    """The command line that asks for these settings."""
    found = ["--preset", settings.preset]
    for name, value in leaves(settings).items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            part, dot, leaf = option.removeprefix("--").rpartition(".")
            found.append(option if value else f"--{part}{dot}no-{leaf}")
        elif value is not None and name != "preset":
            found += [option, str(value)]
    return found


def as_a_strangers(folder: Path) -> Path:
    """Turn a model's folder into one whose weights have no checksum, as other programs write it."""
    path = Path(folder) / "model.safetensors"
    save_file(load_file(path), path, metadata={"format": "pt"})
    return Path(folder)


def log_of(out: Path) -> list[dict]:
    """A run's log without what clocks decide, in the order of steps."""
    log = Path(out) / "metrics.jsonl"
    lines = log.read_text().split("\n")[:-1] if log.exists() else []  # the last may be torn
    records = [r for r in map(json.loads, lines) if r["kind"] != "end"]
    records = [{k: v for k, v in r.items() if k not in TIMES} for r in records]
    return sorted(records, key=lambda r: (r["step"], r["kind"]))


def weights_of(out: Path) -> dict[str, bytes]:
    """The last checkpoint's weights and optimizer memory, byte for byte."""
    last = list_checkpoints(Path(out) / "checkpoints")[-1]
    return {
        f"{file}/{name}": array.tobytes()
        for file in ("model.safetensors", "optimizer.safetensors")
        for name, array in load_file(last / file).items()
    }


def state_of(out: Path) -> dict:
    """The last checkpoint's state, without what clocks decide.

    Nor with Python's own generator: training never draws from it, but the type checker that runs
    the signatures in these tests does.
    """
    last = list_checkpoints(Path(out) / "checkpoints")[-1]
    values = json.loads((last / "state.json").read_text())
    for generators in values["rng"]:
        del generators["python"]
    return {name: value for name, value in values.items() if name not in TIMES}


def history_of(end: float, norm: float = 1.0) -> RunHistory:
    """A made-up run of thirty steps, whose loss falls towards `end`."""
    records = [Baseline(step=0, unigram_bits_per_byte=2.5)]
    for step in range(1, 31):
        loss = end + (6 - end) / step
        records.append(Training(step=step, loss=loss, grad_norm=norm * (1 + step)))
        if step % 10 == 0:
            records.append(Evaluation(step=step, loss=loss, bits_per_byte=loss / 2))
    return RunHistory(records)
