"""The one place where a config's word becomes a part: norms, feed-forward parts, residuals.

Not here: positions, which need a model's sizes (`models/`), and the parts themselves.
"""

from collections.abc import Callable

from torch import nn

from llmcourse.nn.blocks import Residual, post_norm, pre_norm
from llmcourse.nn.mlp import GEGLU, GELUMLP, ExactGELUMLP, ReLUMLP, SquaredReLU, SwiGLU
from llmcourse.nn.norms import LayerNorm, RMSNorm

MLPS: dict[str, type[ReLUMLP | GELUMLP | ExactGELUMLP | SquaredReLU | SwiGLU | GEGLU]] = {
    "relu": ReLUMLP,
    "gelu_tanh": GELUMLP,
    "gelu_exact": ExactGELUMLP,
    "squared_relu": SquaredReLU,
    "swiglu": SwiGLU,
    "geglu": GEGLU,
}
FORMER_NAMES = {"gelu": "gelu_tanh"}
"""What older files call a part. By `gelu` PyTorch and nanoGPT mean the exact form, and here it was
the other one: same names, same shapes, other numbers."""

NORMS: dict[str, Callable[[int, float, bool], nn.Module]] = {
    "layernorm": lambda width, eps, bias: LayerNorm(width, eps=eps, bias=bias),
    "rmsnorm": lambda width, eps, bias: RMSNorm(width, eps=eps),
}
"""A norm of a width, with its epsilon, and with a bias where it knows one."""

RESIDUALS: dict[str, Residual] = {"pre": pre_norm, "post": post_norm}
