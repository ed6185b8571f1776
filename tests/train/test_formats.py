"""What a run multiplies in: on a processor, bfloat16 only where the user asked for it."""

import dataclasses

import pytest
import torch
from small_runs import small
from torch.utils._python_dispatch import TorchDispatchMode

from llmcourse.train.loop import train
from llmcourse.train.presets import PRESETS

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "addbmm", "mv", "dot", "convolution", "linear")


class Products(TorchDispatchMode):
    """Takes down the formats in which matrices are multiplied, in forward and backward passes."""

    def __init__(self):
        super().__init__()
        self.formats = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in PRODUCTS or "attention" in name:
            self.formats |= {arg.dtype for arg in args if isinstance(arg, torch.Tensor)}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("preset", ["laptop", "laptop-gpt2", "tiny"])
def test_a_default_run_on_a_processor_multiplies_in_float32(tmp_path, preset):
    settings = small(tmp_path / "run", steps=2)
    settings = dataclasses.replace(settings, optimizer=PRESETS[preset]().optimizer)
    with Products() as seen:
        train(settings)
    assert seen.formats == {torch.float32}


def test_who_asks_for_bfloat16_gets_it(tmp_path):
    with Products() as seen:
        train(small(tmp_path / "run", steps=2, precision="bf16"))
    assert torch.bfloat16 in seen.formats
