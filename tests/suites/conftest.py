"""Runs as far as the suites need them: a model, a tokenizer, and tokens."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import small

from llmcourse.data.windows import write_tokens
from llmcourse.models.files import save_model
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.tinytown.stories import stories
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.registry import save_tokenizer
from llmcourse.train.saved_settings import to_dict


def make_run(path: Path, vocab_size: int = 400, seed: int = 0, data: bool = True) -> Path:
    """A run's folder, with a model that knows nothing, on tinytown's text."""
    texts = [story.text for story in stories(60)]
    tokenizer = BPETokenizer.train(texts, vocab_size=vocab_size)
    torch.manual_seed(seed)
    sizes = {"context_length": 320, "d_model": 16, "n_layers": 1, "n_heads": 2}
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **sizes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    save_model(model, path / "model")
    save_tokenizer(tokenizer, path)
    (path / "config.json").write_text(json.dumps(to_dict(small(path))))
    if data:
        (path / "data").mkdir()
        for split, part in (("train", texts[:50]), ("valid", texts[50:])):
            ids = [np.array([*tokenizer.encode(text), tokenizer.eot_id]) for text in part]
            write_tokens(path / "data" / f"{split}.bin", ids, tokenizer.vocab_size)
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("suites") / "one")


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    """Another model, with other tokens."""
    return make_run(tmp_path_factory.mktemp("suites") / "two", vocab_size=330, seed=1, data=False)
