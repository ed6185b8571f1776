"""Named starting points: a preset is a function that returns a whole tree of settings.

A variant is `dataclasses.replace(laptop(), steps=100)`, or the same on the command line. Not here:
presets of objectives and models that later chapters bring.
"""

from collections.abc import Callable

from llmcourse.train.settings import DataSettings, ModelSettings, OptimizerSettings, Settings


def laptop() -> Settings:
    """The default: a small modern GPT that learns Python's documentation in minutes."""
    return Settings(preset="laptop")


def laptop_gpt2() -> Settings:
    """The same size, data and tokens by the recipe of 2019: what the years since are worth."""
    return Settings(
        preset="laptop-gpt2",
        model=ModelSettings(
            norm="layernorm",
            mlp="gelu",
            positions="learned",
            qk_norm=False,
            bias=True,
            tie_embeddings=True,
            zero_init_outputs=False,
        ),
        optimizer=OptimizerSettings(
            name="adamw", lr=1e-3, weight_decay=0.1, schedule="cosine", warmup=0.05, final=0.1
        ),
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
    return Settings(
        preset="gpt2-124m",
        steps=19_000,
        batch_size=512,
        micro_batch_size=32,
        evaluate_windows=1024,
        save_every=500,
        model=ModelSettings(
            context_length=1024,
            d_model=768,
            n_layers=12,
            n_heads=12,
            norm="layernorm",
            mlp="gelu",
            positions="learned",
            qk_norm=False,
            bias=True,
            tie_embeddings=True,
            zero_init_outputs=False,
        ),
        data=DataSettings(
            source="hf:HuggingFaceFW/fineweb-edu:sample-10BT",
            held_out=0.001,
            vocab_size=50_304,
        ),
        optimizer=OptimizerSettings(
            name="adamw", lr=6e-4, weight_decay=0.1, schedule="cosine", warmup=0.04, final=0.1
        ),
    )


def modern_124m() -> Settings:
    """A modern recipe of the same size and data: rotary, RMSNorm, SwiGLU, grouped heads, Muon."""
    return Settings(
        preset="modern-124m",
        steps=19_000,
        batch_size=512,
        micro_batch_size=32,
        evaluate_windows=1024,
        save_every=500,
        model=ModelSettings(
            context_length=1024,
            d_model=768,
            n_layers=12,
            n_heads=12,
            n_kv_heads=4,
            mlp="swiglu",
            tie_embeddings=True,
        ),
        data=DataSettings(
            source="hf:HuggingFaceFW/fineweb-edu:sample-10BT",
            held_out=0.001,
            vocab_size=50_304,
        ),
        optimizer=OptimizerSettings(weight_decay=0.01, schedule="wsd"),
    )


PRESETS: dict[str, Callable[[], Settings]] = {
    "laptop": laptop,
    "laptop-gpt2": laptop_gpt2,
    "tiny": tiny,
    "gpt2-124m": gpt2_124m,
    "modern-124m": modern_124m,
}
