"""What every export format does: name its fields, come back, and refuse what it cannot say."""

import json
from dataclasses import fields, make_dataclass, replace

import pytest
import torch
from numerics import randomise
from safetensors.torch import load_file, save_file

from llmcourse.errors import UserError
from llmcourse.export.huggingface import FORMATS, from_huggingface, to_huggingface
from llmcourse.models.registry import FAMILIES

SIZES = {"vocab_size": 30, "context_length": 16, "d_model": 16, "n_layers": 2, "n_heads": 4}
OTHERS = {
    "vocab_size": 40,
    "context_length": 20,
    "d_model": 24,
    "n_layers": 1,
    "n_heads": 2,
    "n_kv_heads": 2,
    "head_dim": 6,
    "d_ff": 20,
    "norm": "?",
    "mlp": "relu",
    "residual": "?",
    "positions": "sinusoidal",
    "rope_theta": 77.0,
    "rope_scaling": "yarn",
    "rope_factor": 2.0,
    "rope_original_length": 4,
    "relative_buckets": 8,
    "relative_distance": 200,
    "norm_eps": 0.1,
    "qk_norm": "?",
    "bias": "?",
    "tie_embeddings": "?",
    "zero_init_outputs": "?",
    "dropout": 0.3,
    "n_segments": 3,
    "pooler": False,
    "mlm_transform": False,
    "n_pair_labels": 2,
    "n_decoder_layers": 3,
    "source_vocab_size": 9,
    "scale_embeddings": "?",
}
"""Another value of each field of a config; of a `?` that which the format does not fix."""
FLIPPED = {"layernorm": "rmsnorm", "rmsnorm": "layernorm", "pre": "post", "post": "pre"}
GOES_WITH = {
    "rope_scaling": {"rope_factor": 2.0},
    "rope_factor": {"rope_scaling": "linear"},
    "rope_original_length": {"rope_scaling": "yarn", "rope_factor": 2.0},
}
"""What a field means nothing, or is impossible, without."""

each_format = pytest.mark.parametrize("name", FORMATS)
EVERY = [(name, item.name) for name in FORMATS for item in fields(FORMATS[name].family.config)]


def plain(name, kind=None):
    """A small config of which a format can say all."""
    parts = {**SIZES, **FORMATS[name].parts, **({"scale_embeddings": True} if name == "t5" else {})}
    return (kind or FORMATS[name].family.config)(**parts)


def another(config, name):
    """The config with another value of one field; None if that would be no config."""
    value = OTHERS[name]
    if value == "?":
        now = getattr(config, name)
        value = FLIPPED.get(now, not now)
    extra = GOES_WITH.get(name, {}) if config.positions == "rope" else {}
    try:
        return replace(config, **extra, **{name: value})
    except UserError:
        return None


def model_of(name, config):
    torch.manual_seed(0)
    return randomise(FORMATS[name].family.model(config))


def said(model):
    rows = torch.arange(12)[None] % 9
    arguments = (rows, rows.flip(1)) if model.reads_source else (rows,)
    return model(*arguments).logits


DERIVED = {
    "n_kv_heads": "kv_heads",
    "head_dim": "head_width",
    "d_ff": "ff_width",
    "n_decoder_layers": "decoder_layers",
    "rope_original_length": "rope_trained_length",
}
"""Fields that may be left open, and the property that says what they became."""


def settled(config):
    """All that a config says: what it leaves open filled in, what changes nothing left out."""
    ignored = set()
    if config.positions != "rope":
        ignored |= {"rope_theta", "rope_scaling", "rope_factor", "rope_original_length"}
    elif config.rope_scaling not in ("yarn", "llama3"):
        ignored |= {"rope_original_length"}  # which no other scaling asks for
    if config.positions != "relative":
        ignored |= {"relative_buckets", "relative_distance"}
    return {
        item.name: getattr(config, DERIVED.get(item.name, item.name))
        for item in fields(config)
        if item.name not in ignored
    }


def comes_back(name, ours, folder):
    """The model goes out and comes back the same: what it says, and all that its config says."""
    assert to_huggingface(ours, folder) == name
    back = from_huggingface(folder)
    torch.testing.assert_close(said(back), said(ours), rtol=0, atol=1e-5)
    expected, found = settled(ours.config), settled(back.config)
    if name == "t5":  # it has no word for embeddings that are not scaled: their matrix is
        expected["scale_embeddings"] = True
    assert found == expected


@each_format
def test_it_comes_back(name, tmp_path):
    comes_back(name, model_of(name, plain(name)), tmp_path)


@each_format
def test_what_others_trained_did_not_begin_at_zero(name, tmp_path):
    """A file of theirs does not say how its weights began, so ours must not claim to know."""
    to_huggingface(model_of(name, plain(name)), tmp_path)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    assert values.pop("zero_init_outputs") is True
    path.write_text(json.dumps(values))
    assert not from_huggingface(tmp_path).config.zero_init_outputs


@each_format
def test_a_model_saved_without_its_head_says_what_to_save(name, tmp_path):
    """Tied, the embedding is the head; untied, there is nothing to make one of."""
    chosen = FORMATS[name]
    for tied in (False, True):
        folder = tmp_path / str(tied)
        ours = model_of(name, replace(plain(name), tie_embeddings=tied))
        to_huggingface(ours, folder)
        whole = load_file(folder / "model.safetensors")
        save_file(
            {k: v for k, v in whole.items() if k != chosen.head}, folder / "model.safetensors"
        )
        if tied:
            torch.testing.assert_close(
                said(from_huggingface(folder)), said(ours), rtol=0, atol=1e-5
            )
            continue
        with pytest.raises(UserError, match=f"no output head: save a {chosen.architecture}"):
            from_huggingface(folder)


@each_format
def test_weights_of_another_class_say_which_one_is_wanted(name, tmp_path):
    to_huggingface(model_of(name, plain(name)), tmp_path)
    whole = load_file(tmp_path / "model.safetensors")
    save_file(whole | {"score.weight": torch.ones(2, 16)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=f"the weights of a {FORMATS[name].architecture}") as caught:
        from_huggingface(tmp_path)
    assert "\n" not in str(caught.value)
    assert "did you mean" not in str(caught.value)


@each_format
def test_it_names_fields_that_there_are(name):
    chosen = FORMATS[name]
    named = (*chosen.parts, *chosen.free, *chosen.choices)
    known = {item.name for item in fields(chosen.family.config)}
    assert len(named) == len(set(named))
    assert set(named) <= known <= OTHERS.keys()
    assert chosen.family in FAMILIES.values()


@pytest.mark.parametrize(("name", "changed"), EVERY)
def test_each_field_is_said_or_refused_by_name(name, changed, tmp_path):
    """With another value of it, the model comes back the same, or does not go out at all."""
    config = another(plain(name), changed)
    if config is None:
        return
    differences = FORMATS[name].differences(config)
    assert differences.keys() <= {changed}
    if differences:
        assert differences[changed] != getattr(config, changed)
        return
    ours = model_of(name, config)
    comes_back(name, ours, tmp_path)


@each_format
def test_a_part_that_it_has_never_heard_of_is_refused_by_name(name, tmp_path):
    family = FORMATS[name].family.config
    new = make_dataclass("New", [("gate", bool, False)], bases=(family,), frozen=True, kw_only=True)
    assert FORMATS[name].differences(plain(name, new)) == {}
    ours = model_of(name, replace(plain(name, new), gate=True))
    with pytest.raises(UserError, match=rf"nearest is {name}: train one with gate=False") as caught:
        to_huggingface(ours, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
