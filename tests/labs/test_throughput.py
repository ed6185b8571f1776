import time

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.labs.throughput import matmul_peak, mfu, seconds_for, speed_of

CPU = torch.device("cpu")


def test_utilisation_by_hand():
    """PaLM's own example: 540 B parameters at 238.3 k tokens/s on 6144 chips of 275 TFLOP/s."""
    flops = 6 * 540.35e9 + 12 * 118 * 18432 * 2048
    assert mfu(238.3e3, flops, 6144 * 275e12) == pytest.approx(0.462, abs=0.005)


def test_time_is_the_other_way_round():
    seconds = seconds_for(1e9, 6e8, 1e14, utilisation=0.4)
    assert seconds == pytest.approx(15_000)
    assert mfu(1e9 / seconds, 6e8, 1e14) == pytest.approx(0.4)


def test_the_speed_of_sleep():
    assert speed_of(lambda: time.sleep(0.02), CPU, repeat=3) == pytest.approx(50, rel=0.2)


def test_a_larger_matrix_takes_the_operations_it_takes():
    peak = matmul_peak(CPU, size=256)
    assert 1e8 < peak < 1e14


def test_no_peak():
    with pytest.raises(UserError, match="peak=0"):
        mfu(1.0, 1.0, 0)
    with pytest.raises(UserError, match="utilisation=0"):
        seconds_for(1, 1, 1, 0)
