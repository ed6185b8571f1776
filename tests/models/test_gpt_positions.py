"""A GPT with each kind of positions: on disk, counted, and on texts longer than it was made for."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from llmcourse.errors import UserError
from llmcourse.models.files import load_model, load_state, save_model, unique_state
from llmcourse.models.gpt import GPT, POSITIONS, modern_recipe
from llmcourse.nn.positions import ALiBi, LearnedPositions, RelativeBias, RoPE, SinusoidalPositions
from llmcourse.optim.groups import split_for_muon

SIZES = {"vocab_size": 50, "context_length": 16, "d_model": 32, "n_layers": 3, "n_heads": 4}


def build(kind, **changes):
    torch.manual_seed(0)
    model = GPT(modern_recipe(**SIZES, positions=kind, **changes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture
def ids():
    return torch.randint(50, (2, 16), generator=torch.Generator().manual_seed(1))


def stretched(model, **changes):
    """The same weights at four times the length."""
    longer = GPT(dataclasses.replace(model.config, context_length=64, **changes))
    load_state(longer, unique_state(model), "the short model")
    return longer.eval()


@pytest.mark.parametrize("kind", POSITIONS)
def test_on_disk(kind, ids, tmp_path):
    model = build(kind)
    save_model(model, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert sum(tensor.numel() for tensor in stored.values()) == model.n_parameters
    loaded = load_model(tmp_path)
    assert loaded.config == model.config
    assert torch.equal(loaded(ids).logits, model(ids).logits)


def test_the_parts():
    parts = {
        kind: (build(kind).position_embedding, build(kind).position_bias) for kind in POSITIONS
    }
    assert parts["none"] == parts["rope"] == (None, None)
    assert isinstance(parts["sinusoidal"][0], SinusoidalPositions)
    assert isinstance(parts["learned"][0], LearnedPositions)
    assert isinstance(parts["relative"][1], RelativeBias)
    assert isinstance(parts["alibi"][1], ALiBi)
    rotated = {kind: build(kind).blocks[0].attention.rotary is not None for kind in POSITIONS}
    assert rotated == {kind: kind == "rope" for kind in POSITIONS}
    assert isinstance(build("rope").blocks[0].attention.rotary, RoPE)


def test_all_layers_share_one_relative_bias(tmp_path):
    model = build("relative")
    assert all(block.attention.position_bias is model.position_bias for block in model.blocks)
    names = [name for name, _ in model.named_parameters() if "position_bias" in name]
    assert names == ["position_bias.weight"]
    assert model.n_parameters == build("none").n_parameters + model.config.relative_buckets * 4
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.blocks[2].attention.position_bias.weight is loaded.position_bias.weight


def test_a_table_of_biases_is_no_hidden_matrix():
    """Muon would make its columns orthogonal, which a table of numbers has no use for."""
    model = build("relative")
    matrices, rest = split_for_muon(model)
    assert not any(p is model.position_bias.weight for p in matrices)
    assert any(p is model.position_bias.weight for p in rest)


@pytest.mark.parametrize("kind", sorted(set(POSITIONS) - {"learned"}))
def test_the_kind_matters(kind, ids):
    """Models of the same weights and other positions do not agree."""
    model = build(kind)
    for other in set(POSITIONS) - {kind, "learned"}:  # which has a table that the others lack
        twin = build(other)
        twin.load_state_dict(unique_state(model), strict=False)
        assert (twin(ids).logits - model(ids).logits).abs().max() > 0.01


def test_sinusoids_do_not_drown_the_tokens():
    model = GPT(modern_recipe(**SIZES, positions="sinusoidal"))
    seen = []
    hook = model.position_embedding.register_forward_hook(
        lambda m, a, out: seen.append((a[0], out))
    )
    model(torch.zeros(1, 4, dtype=torch.long))
    hook.remove()
    token = model.token_embedding.weight[0] * 32**0.5
    torch.testing.assert_close(seen[0][0][0, 0], token)


@pytest.mark.parametrize("kind", ["none", "sinusoidal", "relative", "alibi", "rope"])
def test_stretching_leaves_short_texts_as_they_were(kind, ids):
    model = build(kind)
    longer = stretched(model)
    torch.testing.assert_close(longer(ids).logits, model(ids).logits, rtol=0, atol=1e-5)
    assert longer(ids.repeat(1, 4)).logits.shape == (2, 64, 50)


def test_a_learned_table_has_an_end(ids):
    model = build("learned")
    with pytest.raises(UserError, match=r"position_embedding.weight is \[16, 32\] there and \[64,"):
        stretched(model)
    with pytest.raises(UserError, match="17 tokens do not fit"):
        model(torch.zeros(1, 17, dtype=torch.long))


@pytest.mark.parametrize("kind", ["linear", "ntk", "yarn", "llama3"])
def test_scaling_reaches_every_layer(kind, ids):
    model = build("rope")
    slowed = stretched(model, rope_scaling=kind, rope_factor=4.0)
    assert slowed.config.rope_trained_length == 16
    plain = stretched(model)
    for one, other in zip(slowed.blocks, plain.blocks, strict=True):
        assert not torch.equal(one.attention.rotary.cosines, other.attention.rotary.cosines)


def test_the_trained_length():
    config = modern_recipe(**SIZES)
    assert config.rope_trained_length == 16
    scaled = dataclasses.replace(config, rope_scaling="yarn", rope_factor=4.0)
    assert scaled.rope_trained_length == 4
    assert dataclasses.replace(scaled, rope_original_length=8).rope_trained_length == 8
