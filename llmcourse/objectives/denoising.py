"""Denoising: what span corruption and text infilling share, both for an encoder-decoder.

The text is damaged, the encoder reads the damaged text, and the decoder writes what is missing
(`span_corruption.py`) or the whole (`text_infilling.py`). Chapter 07 teaches this.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from llmcourse.errors import UserError


def shift_right(targets: Int[Tensor, "B T"], start_id: int) -> Int[Tensor, "B T"]:
    """Decoder inputs for `targets`: a start, and then each token but the last."""
    start = torch.full_like(targets[:, :1], start_id)
    return torch.cat([start, targets[:, :-1]], dim=1)


def check_noise(mask_rate: float, mean_span: float) -> None:
    """Check noise settings, and refuse what cannot be.

    Raises:
        UserError: a rate that is no fraction, or spans shorter than a token.
    """
    if not 0 < mask_rate < 1:
        raise UserError(f"mask_rate={mask_rate} must lie between 0 and 1: try 0.15")
    if mean_span < 1:
        raise UserError(f"mean_span={mean_span} must be at least 1: try 3")
