"""What the tests of fine-tuning share: weights of a run's folder, and a run that is interrupted."""

import os
import signal
from pathlib import Path

import torch
from safetensors.torch import load_file

from llmcourse.finetune import fit as loop


def weights(folder: Path):
    """All tensors below a folder, by file and name."""
    return {
        f"{path.parent.name}/{name}": value
        for path in sorted(folder.rglob("*.safetensors"))
        for name, value in load_file(path).items()
    }


def same(a, b):
    """Whether two tables of tensors are equal to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def interrupt_at(monkeypatch, step):
    """Let the loop be told to stop while it takes a step."""
    real = loop.next_batch

    def interrupted(parts, at):
        if at == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(parts, at)

    monkeypatch.setattr(loop, "next_batch", interrupted)
