"""Longer contexts for rotary positions: slower rotations, so that far positions look familiar.

A model trained up to some length has never seen the angles beyond it. Each part here turns the
frequencies of `RoPE` into slower ones, by which a text `factor` times as long turns through angles
that training has shown. They differ in which pairs they slow down:

    LinearScaling   all alike                                 Chen et al., 2023
    NTKScaling      the slow ones fully, the fastest not      bloc97, 2023
    YaRNScaling     by how often a pair has turned round      Peng et al., 2023
    Llama3Scaling   the same idea, another ramp               Grattafiori et al., 2024

Not here: the rotation itself (`nn/positions.py`). Chapter 04 teaches this.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.errors import UserError

Frequencies = Float[Tensor, " P"]
"""Radians a position by which each of the P = K/2 pairs turns, the fastest first."""


@dataclass(frozen=True)
class Scaling(ABC):
    """RoPE scaling: called with the plain frequencies and their base, it slows them.

    Attributes:
        factor: how many times as long the text may become.

    Raises:
        UserError: a factor below 1, which would speed the rotations up.
    """

    factor: float

    def __post_init__(self) -> None:
        if not self.factor >= 1:
            raise UserError(f"a RoPE scaling factor of {self.factor} must be at least 1: try 4")

    @property
    def magnitude(self) -> float:
        """What cosines and sines are multiplied by: above 1, scores grow and softmax sharpens."""
        return 1.0

    @abstractmethod
    def __call__(self, frequencies: Frequencies, theta: float) -> Frequencies:
        """The slower frequencies."""


class LinearScaling(Scaling):
    """Position interpolation: every pair turns `factor` times as slowly.

    Position `t` then stands where `t / factor` stood (Chen et al., 2023, equation 4). Neighbours
    become hard to tell apart, for the fast pairs are slowed down too.
    """

    def __call__(self, frequencies: Frequencies, theta: float) -> Frequencies:
        """All frequencies, divided by the factor."""
        return frequencies / self.factor


class NTKScaling(Scaling):
    """A larger base: `theta factor^(K / (K - 2))`, so that pair i slows by `factor^(2i / (K - 2))`.

    The fastest pair stays as it is, and the slowest is slowed by the whole factor. Called NTK-aware
    after the neural tangent kernel, which says that networks need high frequencies to tell
    neighbours apart (bloc97, 2023; Peng et al., 2023, section 3.1).
    """

    def __call__(self, frequencies: Frequencies, theta: float) -> Frequencies:
        """Each frequency, divided by its part of the factor."""
        last = max(len(frequencies) - 1, 1)  # a head of width 2 has a single pair, left as it is
        powers = torch.arange(len(frequencies)).to(frequencies) / last
        return frequencies * self.factor**-powers


@dataclass(frozen=True)
class _ByLength(Scaling):
    """Scaling that asks how often a pair turns round within the length that was trained on.

    Attributes:
        original_length: how many tokens the model saw at once in training.
    """

    original_length: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.original_length < 1:
            raise UserError(
                f"a RoPE scaling's original length of {self.original_length} must be at least 1"
            )


@dataclass(frozen=True)
class YaRNScaling(_ByLength):
    """Yet another RoPE extension: keep the fast pairs, interpolate the slow ones, blend between.

    A pair that turned round more than `beta_fast` times within the original length has shown all
    its angles to the model, and stays. One that turned less than `beta_slow` times is slowed by
    the factor. Between them the blend moves in a line with the pair's number, as in the authors'
    code. Scores are sharpened too, since softmax over more keys is flatter (Peng et al., 2023).
    """

    beta_fast: float = 32.0
    beta_slow: float = 1.0

    @property
    def magnitude(self) -> float:
        """`0.1 ln(factor) + 1`, for queries and for keys alike."""
        return 0.1 * math.log(self.factor) + 1.0

    def __call__(self, frequencies: Frequencies, theta: float) -> Frequencies:
        """A blend of the frequencies and the interpolated ones, for each pair its own.

        Raises:
            UserError: a base that makes all pairs alike.
        """
        if theta <= 1:
            raise UserError(f"YaRN needs a RoPE base above 1, not {theta}: try 10000")
        last = 2 * len(frequencies) - 1
        low = max(math.floor(self._pair(self.beta_fast, theta, len(frequencies))), 0)
        high = min(math.ceil(self._pair(self.beta_slow, theta, len(frequencies))), last)
        # Pairs up to `low` turn fast and stay (0), those from `high` on slow by the factor (1).
        number = torch.arange(len(frequencies)).to(frequencies)
        slowed = ((number - low) / max(high - low, 0.001)).clamp(0, 1)
        return frequencies * (1 - slowed) + frequencies / self.factor * slowed

    def _pair(self, turns: float, theta: float, n_pairs: int) -> float:
        """The number of the pair that turns round so often in the original length; a fraction."""
        return n_pairs * math.log(self.original_length / (turns * 2 * math.pi)) / math.log(theta)


@dataclass(frozen=True)
class Llama3Scaling(_ByLength):
    """Llama 3.1's scaling: the blend follows how often a pair turns, from once to four times.

    Grattafiori et al., 2024; the formula is that of the published code.
    """

    low: float = 1.0
    high: float = 4.0

    def __call__(self, frequencies: Frequencies, theta: float) -> Frequencies:
        """Slow pairs divided by the factor, fast ones kept, a blend between."""
        turns = self.original_length * frequencies / (2 * math.pi)
        # 1 for pairs that turn `high` times or more, 0 for `low` times or fewer, a line between.
        kept = ((turns - self.low) / (self.high - self.low)).clamp(0, 1)
        return frequencies * kept + frequencies / self.factor * (1 - kept)


SCALINGS: dict[str, type[Scaling]] = {
    "linear": LinearScaling,
    "ntk": NTKScaling,
    "yarn": YaRNScaling,
    "llama3": Llama3Scaling,
}
"""Each by the name that a config gives it."""


def scaling_of(kind: str, factor: float, original_length: int) -> Scaling | None:
    """The scaling that a config names; None where it names `none`.

    Raises:
        UserError: a factor below 1, or an original length below 1.
        KeyError: an unknown kind.
    """
    if kind == "none":
        return None
    chosen = SCALINGS[kind]
    return chosen(factor, original_length) if issubclass(chosen, _ByLength) else chosen(factor)
