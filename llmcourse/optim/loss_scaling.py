"""Dynamic loss scaling, written out: what keeps fp16 gradients from vanishing.

The smallest number of fp16 is `6e-8`, and gradients of a mean over many tokens are often smaller.
So the loss is multiplied before the backward pass, which multiplies every gradient, and the
gradients are divided again before the step (Micikevicius et al., 2018, section 3.2). A run uses
`torch.amp.GradScaler`; the tests prove that both take and skip the same steps. Not here: the
formats (`nn/formats.py`). Chapter 08 teaches this.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from llmcourse.errors import UserError


class LossScaler:
    """Loss scaler: the scale grows until a gradient overflows, then backs off.

        loss_scaler.scale(loss).backward()
        finite = loss_scaler.unscale_(model.parameters())
        if finite:
            optimizer.step()
        loss_scaler.update(finite)

    Args:
        value: the first scale.
        growth: what the scale is multiplied with after `interval` good steps in a row.
        backoff: what it is multiplied with when a gradient is not finite.
        interval: how many good steps make it grow.

    Attributes:
        value: the scale.
        good_steps: how many steps in a row were good since it last changed.
        skipped: how many steps were left out.

    Raises:
        UserError: an option that would not make the scale grow and shrink.
    """

    def __init__(
        self,
        value: float = 65536.0,
        *,
        growth: float = 2.0,
        backoff: float = 0.5,
        interval: int = 2000,
    ) -> None:
        if not (value > 0 and growth > 1 > backoff > 0 and interval >= 1):
            raise UserError(
                f"value={value}, growth={growth}, backoff={backoff}, interval={interval}: the "
                "scale must be above 0, growth above 1, backoff between 0 and 1"
            )
        # Powers of two, unless told otherwise: they change exponents alone, so nothing is rounded.
        self.value, self.growth, self.backoff, self.interval = value, growth, backoff, interval
        self.good_steps = self.skipped = 0

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to call `backward` on."""
        return loss * self.value

    @torch.no_grad()
    def unscale_(self, parameters: Iterable[Tensor]) -> bool:
        """Divide the gradients by the scale, in place; returns whether all of them are finite."""
        finite = True
        for parameter in parameters:
            if parameter.grad is not None:
                # What overflowed is inf or NaN, and stays so however it is divided.
                parameter.grad.div_(self.value)
                finite = finite and bool(parameter.grad.isfinite().all())
        return finite

    def update(self, finite: bool) -> None:
        """Set the scale for the next step: shrink after a bad one, grow after many good ones."""
        if not finite:
            # This step is left out; the next will fit, or the one after it.
            self.value *= self.backoff
            self.good_steps = 0
            self.skipped += 1
            return
        self.good_steps += 1
        if self.good_steps == self.interval:
            self.value *= self.growth
            self.good_steps = 0
