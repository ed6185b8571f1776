"""Named starting points: a preset is a function that returns a whole tree of settings.

A variant is `dataclasses.replace(laptop(), steps=100)`, or the same on the command line. Not here:
presets of objectives and models that later chapters bring.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from llmcourse.train.data_settings import DataSettings
from llmcourse.train.settings import (
    ModelSettings,
    ObjectiveSettings,
    OptimizerSettings,
    Settings,
)


def laptop() -> Settings:
    """The default: a small modern GPT that learns Python's documentation in minutes."""
    return Settings(preset="laptop")


def laptop_gpt2() -> Settings:
    """The same size, data and tokens by the recipe of 2019: what the years since are worth."""
    optimizer = replace(_GPT2_OPTIMIZER, lr=1e-3, warmup=0.05)
    return Settings(preset="laptop-gpt2", model=_GPT2_MODEL, optimizer=optimizer)


def laptop_hour() -> Settings:
    """The default's recipe for an hour on a laptop's CPU: a larger model, and text to fill it."""
    return Settings(
        preset="laptop-hour",
        steps=10_000_000,  # the clock decides
        budget="1h",
        evaluate_every=500,
        save_every=500,
        model=ModelSettings(d_model=160, n_layers=4),
        data=DataSettings(source=_WEB_PAGES, max_megabytes=70.0, held_out=0.005, vocab_size=4096),
    )


def tiny() -> Settings:
    """A run of seconds on tinytown's stories: for trying the commands out, and for tests."""
    return Settings(
        preset="tiny",
        steps=60,
        batch_size=8,
        log_every=5,
        evaluate_every=30,
        evaluate_windows=16,
        save_every=20,
        sample_tokens=40,
        model=ModelSettings(context_length=64, d_model=64, n_layers=2, n_heads=2, n_kv_heads=1),
        data=DataSettings(source="tinytown", max_megabytes=0.5, vocab_size=512),
    )


def gpt2_124m() -> Settings:
    """The shape and recipe of GPT-2 small (Radford et al., 2019), for one GPU."""
    return replace(
        _one_gpu("gpt2-124m"),
        model=replace(_GPT2_MODEL, **_SMALL),
        optimizer=replace(_GPT2_OPTIMIZER, lr=6e-4, warmup=0.04),
    )


def modern_124m() -> Settings:
    """A modern recipe of about that size: rotary, RMSNorm, QK-norm, SwiGLU, grouped heads, Muon."""
    return replace(
        _one_gpu("modern-124m"),
        # Tied, so blocks must not begin at zero: the head would bet on the token it has just read.
        model=ModelSettings(
            mlp="swiglu", n_kv_heads=4, tie_embeddings=True, zero_init_outputs=False, **_SMALL
        ),
        optimizer=OptimizerSettings(lr=3e-3, matrix_lr=2e-2, weight_decay=0.01, schedule="wsd"),
    )


def cramming() -> Settings:
    """A BERT in a day on one GPU: the recipe of Geiping and Goldstein (2022), tied to the clock."""
    return replace(
        _one_gpu("cramming"),
        steps=10_000_000,  # the clock decides
        budget="24h",
        batch_size=4096,
        micro_batch_size=128,
        ramp=0.6,
        evaluate_every=1000,
        save_every=1000,
        model=replace(_CRAMMED, d_model=768, n_layers=12, n_heads=12),
        objective=ObjectiveSettings(name="mlm"),
        optimizer=_CRAMMING_OPTIMIZER,
    )


def cramming_laptop() -> Settings:
    """The same recipe in ten minutes on a laptop's CPU, on Python's documentation."""
    return Settings(
        preset="cramming-laptop",
        steps=10_000_000,
        budget="10m",
        batch_size=64,
        micro_batch_size=16,
        ramp=0.6,
        evaluate_every=100,
        save_every=100,
        model=_CRAMMED,
        objective=ObjectiveSettings(name="mlm"),
        optimizer=_CRAMMING_OPTIMIZER,
    )


def gpu_smoke() -> Settings:
    """Two minutes of what only a GPU can do: compiled, bf16, fused; with lines to paste."""
    return Settings(
        preset="gpu-smoke",
        steps=10_000_000,
        budget="2m",
        batch_size=64,
        micro_batch_size=32,
        device="cuda",
        precision="bf16",
        compile="yes",
        evaluate_every=500,
        save_every=500,
        model=ModelSettings(context_length=512, d_model=512, n_layers=8, n_heads=8),
    )


def _one_gpu(name: str) -> Settings:
    """Ten billion tokens of the web's more instructive pages, half a million a step."""
    return Settings(
        preset=name,
        steps=19_000,
        batch_size=512,
        micro_batch_size=32,
        evaluate_windows=1024,
        save_every=500,
        data=DataSettings(source=_WEB_PAGES, held_out=0.001, vocab_size=50_304),
    )


_WEB_PAGES = "hf:HuggingFaceFW/fineweb-edu:sample-10BT"
_SMALL: dict[str, Any] = {"context_length": 1024, "d_model": 768, "n_layers": 12, "n_heads": 12}
_GPT2_MODEL = ModelSettings(
    norm="layernorm",
    mlp="gelu_tanh",
    positions="learned",
    qk_norm=False,
    bias=True,
    tie_embeddings=True,
    zero_init_outputs=False,
)
# No biases, no dropout; the norms stand before, as they do in every family here unless asked.
_CRAMMED = ModelSettings(
    context_length=128,
    d_model=128,
    n_layers=4,
    norm="layernorm",
    mlp="geglu",
    qk_norm=False,
    tie_embeddings=True,
    zero_init_outputs=False,
)
_CRAMMING_OPTIMIZER = OptimizerSettings(
    name="adamw", lr=1e-3, beta2=0.98, weight_decay=0.01, schedule="one_cycle", clip=0.5
)
_GPT2_OPTIMIZER = OptimizerSettings(name="adamw", weight_decay=0.1, schedule="cosine", final=0.1)

# Functions, so that a preset is new each time and costs nothing until it is asked for.
PRESETS: dict[str, Callable[[], Settings]] = {
    "laptop": laptop,
    "laptop-hour": laptop_hour,
    "laptop-gpt2": laptop_gpt2,
    "tiny": tiny,
    "gpt2-124m": gpt2_124m,
    "modern-124m": modern_124m,
    "cramming": cramming,
    "cramming-laptop": cramming_laptop,
    "gpu-smoke": gpu_smoke,
}
