"""How large a signal is at each depth: activations on the way up, gradients on the way down.

What is measured is the root mean square, the size of a typical entry. A healthy stack keeps it in
one order of magnitude; one that multiplies it by 0.9 a layer loses half of it every seven layers.
Not here: the rules that keep it (`nn/init.py`) and the pictures (`viz/machine.py`). Chapter 05
teaches this.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.nn.capture import capture


class Profile(NamedTuple):
    """The size of a signal at N places of a model, in the order in which it passes them.

    Attributes:
        names: the modules whose outputs were measured.
        activations: the root mean square of each output.
        gradients: that of the loss's gradient with respect to the output.
    """

    names: list[str]
    activations: Float[Tensor, " N"]
    gradients: Float[Tensor, " N"]


def rms(x: Tensor) -> float:
    """Root mean square over all entries: the size of a typical one."""
    return x.detach().double().square().mean().sqrt().item()


def propagation(model: nn.Module, pattern: str, loss: Callable[[], Tensor]) -> Profile:
    """Measure activations and gradients at every module whose name matches.

    ```python
    profile = propagation(model, "blocks.*.hidden", lambda: objective_loss(model(ids), targets))
    ```

    Args:
        model: any module; its parameters' own gradients are left as they were.
        pattern: which modules, as `nn.capture.capture` takes it.
        loss: runs the model, and returns one number.

    Raises:
        UserError: the pattern matches no module, or none that gave a tensor with a gradient.
    """
    with capture(model, pattern, detach=False) as seen, torch.enable_grad():
        total = loss()
    found = {name: output for name, output in seen.items() if output.requires_grad}
    if not found:
        raise UserError(
            f"none of the modules that match {pattern!r} gave a tensor with a gradient: "
            "run the whole model in `loss`, with parameters that require gradients"
        )
    # With respect to outputs, not parameters: `grad` returns them and leaves every `.grad` alone.
    gradients = torch.autograd.grad(total, list(found.values()), allow_unused=True)
    return Profile(
        list(found),
        torch.tensor([rms(output) for output in found.values()]),
        torch.tensor([0.0 if gradient is None else rms(gradient) for gradient in gradients]),
    )


def relu_factor(std: float, fan_in: int) -> float:
    """Factor by which one layer `relu(W x)` multiplies the root mean square, on average.

    `std * sqrt(fan_in / 2)` for weights of deviation `std` and an input that has passed a ReLU
    itself (He et al., 2015, equation 8). After N layers it is that to the power N.
    """
    return std * (fan_in / 2) ** 0.5
