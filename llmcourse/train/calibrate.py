"""How fast this machine trains: a few real steps of a small and of a larger model.

A step's speed in operations a second depends on the model's size: small matrices leave a processor
waiting. Between the two sizes it is interpolated, beyond them taken as it is there. Not here: what
follows from it (`plan.py`), and the best that the machine can do (`labs/throughput.py`). Chapter 09
teaches this.
"""

import math
import statistics
import time
from dataclasses import dataclass, replace

import torch

from llmcourse.device import synchronize
from llmcourse.objectives.base import Objective
from llmcourse.randomness import numpy_rng, seed_all
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.train.assemble import build_model, build_objective
from llmcourse.train.budget import Clock
from llmcourse.train.loop import divide_and_clip, forward_backward, step
from llmcourse.train.optimizers import build_optimizers, set_lr
from llmcourse.train.parts import Passes
from llmcourse.train.precision import choose_precision, gradient_scaler
from llmcourse.train.settings import Settings

SIZES = {"cpu": ((64, 2, 2), (192, 6, 6)), "cuda": ((384, 6, 6), (768, 12, 12))}
"""Width, layers and heads of the two models, by the kind of device."""


@dataclass(frozen=True)
class Speed:
    """What was measured with one model.

    Attributes:
        parameters: the model's size.
        flops_per_token: operations to train on a token.
        tokens_per_second: how many it trained on.
    """

    parameters: int
    flops_per_token: float
    tokens_per_second: float

    @property
    def flops(self) -> float:
        """Operations a second."""
        return self.flops_per_token * self.tokens_per_second


def calibrate(
    settings: Settings, device: torch.device, seconds: float = 16, clock: Clock = time.perf_counter
) -> list[Speed]:
    """Take real steps with two models, the settings' own aside, for about so many seconds."""
    speeds = []
    for width, layers, heads in SIZES.get(device.type, SIZES["cpu"]):
        shape = {"d_model": width, "n_layers": layers, "n_heads": heads, "n_kv_heads": None}
        model = replace(settings.model, **shape)
        speeds.append(speed_of_steps(replace(settings, model=model), device, seconds / 2, clock))
    return speeds


def speed_of_steps(
    settings: Settings, device: torch.device, seconds: float, clock: Clock = time.perf_counter
) -> Speed:
    """Take steps by the settings on made-up text; the median of all but the first counts."""
    objective = stand_in_objective(settings)
    seed_all(settings.seed)
    model = build_model(settings, vocab_size_of(settings, objective)).to(device)
    optimizers = build_optimizers(model, settings.optimizer)
    set_lr(optimizers, 0.1)
    precision = choose_precision(settings.precision, device)
    scaler = gradient_scaler(precision, device, settings.batch_size)
    micro = settings.micro_batch_size
    passes = Passes(micro_batch_size=None if micro == "auto" else micro, precision=precision)
    length, rng = objective.window(settings.model.context_length), numpy_rng(0, "calibrate")
    began, taken = clock(), []
    # The first step allocates and warms up. At least one more is taken, however slow.
    while len(taken) < 2 or (clock() - began < seconds and len(taken) < 50):
        start = clock()
        tokens = torch.from_numpy(rng.integers(256, size=(settings.batch_size, length)))
        batch = objective.prepare(tokens, rng)
        sums = forward_backward(model, objective, batch, passes)
        divide_and_clip(model, sums[1], settings.optimizer.clip)
        step(optimizers, scaler)
        synchronize(device)
        taken.append(clock() - start)
    read = settings.batch_size * settings.model.context_length
    flops = model.step_flops(batch.ids, **batch.extras) / read
    return Speed(model.n_parameters, flops, read / statistics.median(taken[1:]))


def flops_at(speeds: list[Speed], flops_per_token: float) -> float:
    """Operations a second for a model between the measured ones, by the logarithm of its size."""
    small, large = sorted(speeds, key=lambda speed: speed.flops_per_token)
    if small.flops_per_token == large.flops_per_token:
        return large.flops
    span = math.log(large.flops_per_token / small.flops_per_token)
    place = math.log(flops_per_token / small.flops_per_token) / span
    place = min(max(place, 0.0), 1.0)
    return small.flops ** (1 - place) * large.flops**place


def stand_in_objective(settings: Settings) -> Objective:
    """The settings' objective over bytes: for shapes and speed any tokens will do."""
    return build_objective(settings, ByteTokenizer())


def vocab_size_of(settings: Settings, objective: Objective) -> int:
    """V of the run to come: that of the tokenizer, and the tokens that the objective adds."""
    size = settings.data.vocab_size
    return max(size, ByteTokenizer().vocab_size) + len(objective.special_tokens)
