"""The first losses of each preset for a CPU: a refactoring must show them unchanged.

To record them anew after a change that should move them: `python tests/train/test_golden.py`.
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

import pytest

from llmcourse.runs.history import RunHistory
from llmcourse.train.loop import train
from llmcourse.train.presets import PRESETS

RECORDED = Path(__file__).with_name("golden.json")
CPU_PRESETS = ("laptop", "laptop-gpt2", "tiny")


def first_losses(name: str, out: Path) -> list[float]:
    """The losses of 20 steps on tinytown, which is the same on every machine (pydocs is not)."""
    preset = PRESETS[name]()
    settings = dataclasses.replace(
        preset,
        out=str(out),
        steps=20,
        log_every=1,
        evaluate_every=100,
        evaluate_windows=4,
        sample_tokens=0,
        device="cpu",
        tensorboard=False,
        data=dataclasses.replace(preset.data, source="tinytown", max_megabytes=0.3, vocab_size=512),
    )
    train(settings)
    return RunHistory.read(out).losses.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", CPU_PRESETS)
def test_first_losses_are_unchanged(name, tmp_path):
    recorded = json.loads(RECORDED.read_text())[name]
    assert len(recorded) == 20
    # Instruction sets and thread counts move the sixth digit, of which twenty steps make more.
    assert first_losses(name, tmp_path / "run") == pytest.approx(recorded, abs=1e-3)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = {name: first_losses(name, Path(folder, name)) for name in CPU_PRESETS}
    rounded = {name: [round(loss, 4) for loss in losses] for name, losses in found.items()}
    RECORDED.write_text(json.dumps(rounded, indent=1) + "\n")
    sys.stdout.write(RECORDED.read_text())
