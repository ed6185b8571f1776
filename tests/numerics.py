"""How tests compare numbers, and make models whose every weight matters."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def close(ours: Tensor, theirs: Tensor, atol: float | None = None, largest: float = 0.0) -> None:
    """Assert that two tensors are equal, as far as their format goes unless told otherwise.

    With `largest`, some number has to be beyond it: of small ones a tolerance says little.
    """
    assert ours.abs().max() >= largest
    atol = TOLERANCE[ours.dtype] if atol is None else atol
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


def in_double(build: Callable[[], M]) -> M:
    """What `build` makes, in double precision, with weights so large that everything matters."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        model = build().eval()
    finally:
        torch.set_default_dtype(torch.float32)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def randomise(model: M, std_vectors: float = 0.3) -> M:
    """Weights so large that every part matters to the logits."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        std = 0.3 if parameter.ndim == 2 else std_vectors
        nn.init.normal_(parameter, std=std, generator=generator)
    return model.eval()


def torchs_encoder(blocks: nn.ModuleList, *, norm_first: bool) -> nn.TransformerEncoder:
    """The library's encoder with the weights of ours: exact GELU, LayerNorm, biases, float64."""
    first = blocks[0]
    layer = nn.TransformerEncoderLayer(
        first.mlp.up_proj.in_features,
        first.attention.n_heads,
        first.mlp.up_proj.out_features,
        0.0,
        "gelu",
        first.norm1.eps,
        True,
        norm_first,
        dtype=torch.float64,
    )
    theirs = nn.TransformerEncoder(layer, len(blocks), enable_nested_tensor=False)
    for block, ours in zip(theirs.layers, blocks, strict=True):
        attention = ours.attention
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        weights = {
            "self_attn.in_proj_weight": torch.cat([each.weight for each in projections]),
            "self_attn.in_proj_bias": torch.cat([each.bias for each in projections]),
        }
        pairs = {
            "self_attn.out_proj": attention.o_proj,
            "linear1": ours.mlp.up_proj,
            "linear2": ours.mlp.down_proj,
            "norm1": ours.norm1,
            "norm2": ours.norm2,
        }
        for name, module in pairs.items():
            weights |= {f"{name}.{leaf}": x for leaf, x in module.state_dict().items()}
        block.load_state_dict(weights)
    return theirs
