"""Small models whose every token matters to the next, in float64."""

import pytest
import torch

from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe


def wild(config, seed=0, std=0.4):
    """A model with weights so large that its distributions are far from flat."""
    torch.manual_seed(seed)
    model = GPT(config).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return model


@pytest.fixture(scope="session")
def make_wild():
    """`make_wild(recipe, vocab_size, **sizes)`."""

    def make(recipe="modern", vocab_size=7, seed=0, std=0.4, **sizes):
        recipes = {"modern": modern_recipe, "gpt2": gpt2_recipe}
        shape = {"context_length": 24, "d_model": 16, "n_layers": 2, "n_heads": 4, **sizes}
        return wild(recipes[recipe](vocab_size=vocab_size, **shape), seed, std)

    return make
