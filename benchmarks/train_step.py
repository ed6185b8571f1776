"""How long a training step takes beside peers of the same shape, in one run.

    python benchmarks/train_step.py                       the capstone's default size
    python benchmarks/train_step.py --device cuda --precision bf16 --d-model 768 --n-layers 12

A step is the same for all: forward, cross-entropy, backward, clip, fused AdamW. The GPT-2 recipe
stands beside `transformers`' GPT-2 and beside torch's `nn.TransformerEncoder`, the modern recipe
(with SwiGLU, as Llama has) beside `transformers`' Llama. In a group all have the same number of
parameters, which is checked. Needs the packages of `pip install -e .[test]`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from measure import RESULTS, compare, keep, show, take_turns
from torch import Tensor, nn

from llmcourse.device import autocast, choose_device, synchronize
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe

Logits = Callable[[Tensor], Tensor]


class TorchEncoder(nn.Module):
    """GPT-2's shape from torch's own parts."""

    def __init__(self, shape: argparse.Namespace):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            shape.d_model,
            shape.n_heads,
            4 * shape.d_model,
            dropout=0.0,
            activation=nn.GELU(approximate="tanh"),
            batch_first=True,
            norm_first=True,
        )
        self.tokens = nn.Embedding(shape.vocab_size, shape.d_model)
        self.positions = nn.Embedding(shape.context_length, shape.d_model)
        self.layers = nn.TransformerEncoder(
            layer, shape.n_layers, norm=nn.LayerNorm(shape.d_model), enable_nested_tensor=False
        )
        mask = nn.Transformer.generate_square_subsequent_mask(shape.context_length)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        hidden = self.tokens(ids) + self.positions.weight
        hidden = self.layers(hidden, mask=self.mask, is_causal=True)
        return F.linear(hidden, self.tokens.weight)


def gpt2_group(shape: argparse.Namespace) -> dict[str, tuple[nn.Module, Logits]]:
    from transformers import GPT2Config, GPT2LMHeadModel

    ours = GPT(gpt2_recipe(**sizes(shape)))
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape.vocab_size,
            n_positions=shape.context_length,
            n_embd=shape.d_model,
            n_layer=shape.n_layers,
            n_head=shape.n_heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    torchs = TorchEncoder(shape)
    return {
        "llmcourse": (ours, lambda ids: ours(ids).logits),
        "transformers GPT-2": (theirs, lambda ids: theirs(ids, use_cache=False).logits),
        "nn.TransformerEncoder": (torchs, torchs),
    }


def llama_group(shape: argparse.Namespace) -> dict[str, tuple[nn.Module, Logits]]:
    from transformers import LlamaConfig, LlamaForCausalLM

    ours = GPT(modern_recipe(**sizes(shape), mlp="swiglu", qk_norm=False))
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocab_size,
            max_position_embeddings=shape.context_length,
            hidden_size=shape.d_model,
            intermediate_size=ours.config.ff_width,
            num_hidden_layers=shape.n_layers,
            num_attention_heads=shape.n_heads,
            tie_word_embeddings=False,
        )
    )
    return {
        "llmcourse": (ours, lambda ids: ours(ids).logits),
        "transformers Llama": (theirs, lambda ids: theirs(ids, use_cache=False).logits),
    }


def sizes(shape: argparse.Namespace) -> dict[str, Any]:
    names = ("vocab_size", "context_length", "d_model", "n_layers", "n_heads")
    return {name: getattr(shape, name) for name in names}


def training(
    model: nn.Module, logits: Logits, tokens: Tensor, shape: argparse.Namespace
) -> Callable[[], None]:
    """A function that takes `shape.steps` training steps."""
    device = tokens.device
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids, targets = tokens[:, :-1], tokens[:, 1:].flatten()

    def turn() -> None:
        for _ in range(shape.steps):
            with autocast(device, shape.precision):
                loss = F.cross_entropy(logits(ids).flatten(0, 1).float(), targets)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        synchronize(device)

    return turn


def measure_group(
    group: dict[str, tuple[nn.Module, Logits]], tokens: Tensor, shape: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    counts = {sum(p.numel() for p in model.parameters()) for model, _ in group.values()}
    assert len(counts) == 1, f"these are not of the same size: {counts}"
    turns = {name: training(*parts, tokens, shape) for name, parts in group.items()}
    return compare(take_turns(turns, shape.rounds))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    defaults = {"d_model": 128, "n_layers": 4, "n_heads": 4, "context_length": 128}
    defaults |= {"vocab_size": 2048, "batch_size": 16, "steps": 4, "rounds": 15}
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value, metavar="N")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--threads", type=int, help="for torch; all unless given")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


def main() -> None:
    shape = parse()
    if shape.threads:
        torch.set_num_threads(shape.threads)
    torch.manual_seed(0)
    window = (shape.batch_size, shape.context_length + 1)
    tokens = torch.randint(shape.vocab_size, window, device=choose_device(shape.device))
    results = {}
    for title, build in (("GPT-2 recipe", gpt2_group), ("modern recipe", llama_group)):
        results[title] = measure_group(build(shape), tokens, shape)
        trained = shape.steps * shape.batch_size * shape.context_length
        show(f"{title}, turns of {shape.steps} steps", results[title], trained, "tokens")
    settings = {name: value for name, value in vars(shape).items() if name != "out"}
    keep("train_step", settings, results, shape.out)


if __name__ == "__main__":
    main()
