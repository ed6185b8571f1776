"""Soft prompts: equal to what stands in front by hand, equal to `peft`'s, and they alone learn."""

import peft
import pytest
import torch
import transformers
from numerics import close, in_double, randomise
from transformers import AutoModelForCausalLM

from llmcourse.errors import UserError
from llmcourse.export.huggingface import to_huggingface
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.nn.soft_prompts import (
    Prefix,
    SoftPrompt,
    add_soft_prompt,
    prefix_for,
    remove_soft_prompt,
)

# The two libraries' own words to each other.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

SIZES = {"vocab_size": 20, "context_length": 16, "d_model": 8, "n_layers": 2, "n_heads": 2}
CONFIGS = {
    "rotary, grouped": modern_recipe(**SIZES, n_kv_heads=1),
    "learned, tied": gpt2_recipe(**SIZES),
}
IDS = torch.arange(10).view(2, 5)
each_config = pytest.mark.parametrize("config", CONFIGS)


def gpt(config="rotary, grouped"):
    return in_double(lambda: GPT(CONFIGS[config]))


def behind(virtual, ids=IDS):
    return torch.cat([virtual.expand(len(ids), -1), ids], dim=1)


# --- prompt tuning --------------------------------------------------------------------------------


@each_config
def test_prompt_of_words_is_these_words(config):
    model, words = gpt(config), [7, 3, 11]
    by_hand = model(behind(torch.tensor(words))).logits
    virtual = add_soft_prompt(model, 3, words)
    assert virtual.tolist() == [20, 21, 22]
    assert torch.equal(model(behind(virtual)).logits, by_hand)


def test_rows_without_a_prompt_are_read_as_ever():
    model = gpt()
    logits = model(IDS).logits
    add_soft_prompt(model, 3)
    assert torch.equal(model(IDS).logits, logits)


@each_config
def test_prompt_alone_learns(config):
    model = gpt(config)
    virtual = add_soft_prompt(model, 2, [1])
    model(behind(virtual)).logits.square().sum().backward()
    moved = [name for name, p in model.named_parameters() if p.grad is not None]
    assert moved == ["token_embedding.prompt"]
    assert (model.token_embedding.prompt.grad.abs().sum(dim=1) > 0).all()
    assert [name for name, p in model.named_parameters() if p.requires_grad] == moved


def test_prompt_begins_as_tokens_and_leaves_them_alone():
    model = gpt()
    table = model.token_embedding.weight.clone()
    add_soft_prompt(model, 3, [4, 5])
    assert torch.equal(model.token_embedding.prompt, table[[4, 5, 4]])
    with torch.no_grad():
        model.token_embedding.prompt.add_(1)
    prompt = remove_soft_prompt(model)
    assert torch.equal(model.token_embedding.weight, table)
    assert torch.equal(prompt, table[[4, 5, 4]] + 1)


def test_prompt_begins_as_random_tokens_unless_told():
    torch.manual_seed(0)
    model = gpt()
    table = model.token_embedding.weight.clone()
    add_soft_prompt(model, 6)
    found = [int((table == row).all(dim=1).nonzero()) for row in model.token_embedding.prompt]
    assert len(set(found)) > 1


def test_table_by_itself_is_held_still():
    soft = SoftPrompt(gpt().token_embedding, 2, [1])
    assert [name for name, p in soft.named_parameters() if p.requires_grad] == ["prompt"]


@pytest.mark.parametrize("like", [None, [1]])
def test_prompt_of_nothing_is_refused(like):
    with pytest.raises(UserError, match="length=0 is none"):
        add_soft_prompt(gpt(), 0, like)
    with pytest.raises(UserError, match="length=0 is none"):
        prefix_for(gpt(), 0, like=like)


@pytest.mark.parametrize("like", [[], [20], [-1]])
def test_prompt_of_no_words_is_refused(like):
    with pytest.raises(UserError, match="begins as tokens of a vocabulary of 20"):
        SoftPrompt(gpt().token_embedding, 2, like)
    with pytest.raises(UserError, match="begins as tokens of a vocabulary of 20"):
        prefix_for(gpt(), 2, like=like)


def test_second_prompt_and_none_are_refused():
    model = gpt()
    with pytest.raises(UserError, match="has no soft prompt"):
        remove_soft_prompt(model)
    add_soft_prompt(model, 2)
    with pytest.raises(UserError, match="has a soft prompt already"):
        add_soft_prompt(model, 2)


# --- prefix tuning --------------------------------------------------------------------------------


@each_config
def test_prefix_of_words_is_these_words(config):
    model, words = gpt(config), [7, 3, 11, 2]
    by_hand = model(behind(torch.tensor(words))).logits[:, 4:]
    prefix = prefix_for(model, 4, like=words)
    close(model(IDS, cache=prefix.cache(2)).logits, by_hand, largest=0.1)
    again = prefix.cache(2)  # a cache is used up, the prefix is not
    close(model(IDS, cache=again).logits, by_hand)
    assert again.length == 4 + 5


@pytest.mark.parametrize("mlp_width", [None, 6])
def test_prefix_alone_learns(mlp_width):
    model = gpt()
    prefix = prefix_for(model, 3, mlp_width).double()
    model(IDS, cache=prefix.cache(2)).logits.square().sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert all(p.grad.abs().max() > 0 for p in prefix.parameters())
    if mlp_width is None:  # every number of it
        assert (prefix.table.grad != 0).all()


def test_network_can_be_dropped_after_training():
    model = gpt()
    prefix = prefix_for(model, 3, 6).double()
    logits = model(IDS, cache=prefix.cache(2)).logits
    flat = prefix.flattened()
    assert torch.equal(model(IDS, cache=flat.cache(2)).logits, logits)
    assert [name for name, _ in flat.named_parameters()] == ["table"]
    assert flat.table.shape == (2, 2, 1, 3, 4)  # keys and values, L, G, P, K


def test_network_and_words_are_refused_together():
    with pytest.raises(UserError, match="begins as tokens, or is made by a network"):
        prefix_for(gpt(), 3, 6, like=[1])
    with pytest.raises(UserError, match="length=-1 is none"):
        Prefix(n_layers=1, n_kv_heads=1, head_dim=1, length=-1)


# --- peft -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """A Llama of ours, and `transformers`' copy of it."""
    transformers.logging.disable_progress_bar()
    model = randomise(GPT(modern_recipe(**SIZES, mlp="swiglu", qk_norm=False)))
    folder = tmp_path_factory.mktemp("llama")
    to_huggingface(model, folder)
    return model, folder


def test_prompt_tuning_is_pefts(twins):
    model, folder = twins
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    theirs = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config).eval()
    virtual = add_soft_prompt(model, 3)
    with torch.no_grad():
        model.token_embedding.prompt.copy_(theirs.get_prompt(1)[0])
    close(model(behind(virtual)).logits, theirs(IDS).logits, atol=1e-4, largest=0.1)
    remove_soft_prompt(model)


def test_prefix_tuning_is_pefts(twins):
    model, folder = twins
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    theirs = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config).eval()
    prefix = prefix_for(model, 3)
    with torch.no_grad():
        # Theirs is P x (L, keys and values, G, K).
        table = theirs.prompt_encoder["default"].embedding.weight.view(3, 2, 2, 2, 4)
        prefix.table.copy_(table.permute(2, 1, 3, 0, 4))
    close(model(IDS, cache=prefix.cache(2)).logits, theirs(IDS).logits, atol=1e-4, largest=0.1)
