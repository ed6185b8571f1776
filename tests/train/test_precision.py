"""Number formats are chosen by what a card computes, not by what it can emulate."""

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.train.precision import choose_precision

CUDA = torch.device("cuda")


@pytest.fixture(params=[True, False], ids=["ampere", "turing"])
def has_bf16(request, monkeypatch):
    """A card with units for bf16, or one that emulates it, as a T4 does."""

    def supported(including_emulation=True):
        return including_emulation or request.param

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    return request.param


def test_auto_is_what_the_card_is_fast_at(has_bf16):
    assert choose_precision("auto", CUDA) == ("bf16" if has_bf16 else "fp16")


def test_emulated_bf16_is_refused(has_bf16):
    if has_bf16:
        assert choose_precision("bf16", CUDA) == "bf16"
    else:
        with pytest.raises(UserError, match="newer GPU: use fp16 or fp32"):
            choose_precision("bf16", CUDA)


def test_a_cpu_computes_in_fp32_unless_asked():
    assert choose_precision("auto", torch.device("cpu")) == "fp32"
    assert choose_precision("bf16", torch.device("cpu")) == "bf16"
