import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import as_a_strangers

from llmcourse.errors import UserError
from llmcourse.models.bert import BERT, bert_recipe, modern_bert_recipe
from llmcourse.models.dual_encoder import DualEncoder, dual_encoder_recipe
from llmcourse.models.encoder_decoder import (
    EncoderDecoder,
    modern_encoder_decoder_recipe,
    original_recipe,
    t5_recipe,
)
from llmcourse.models.files import load_model, load_weights, save_model
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.models.mlp_lm import MLPLM, MLPLMConfig
from llmcourse.models.registry import FAMILIES, family_of
from llmcourse.models.rnn_lm import RNNLM, RNNLMConfig
from llmcourse.models.xlnet import XLNet, modern_xlnet_recipe, xlnet_recipe

SIZES = {"vocab_size": 50, "context_length": 16, "d_model": 32, "n_layers": 2, "n_heads": 4}


@pytest.fixture(params=[gpt2_recipe, modern_recipe])
def model(request):
    torch.manual_seed(0)
    model = GPT(request.param(**SIZES, dropout=0.25))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


@pytest.fixture
def saved(model, tmp_path):
    save_model(model, tmp_path / "model")
    return tmp_path / "model"


def edit_config(directory, **changes):
    path = as_a_strangers(directory) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(directory, change):
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors")


class TestRoundTrip:
    def test_everything_comes_back(self, model, saved):
        loaded = load_model(saved)
        assert loaded.config == model.config
        assert not loaded.training
        state = model.state_dict()
        assert loaded.state_dict().keys() == state.keys()
        assert all(torch.equal(loaded.state_dict()[name], state[name]) for name in state)
        ids = torch.randint(50, (2, 16))
        assert torch.equal(loaded(ids).logits, model.eval()(ids).logits)

    def test_only_two_files(self, saved):
        assert {path.name for path in saved.iterdir()} == {"config.json", "model.safetensors"}

    def test_tied_weights_are_stored_once_and_tied_again(self, tmp_path):
        model = GPT(gpt2_recipe(**SIZES))
        save_model(model, tmp_path)
        stored = load_file(tmp_path / "model.safetensors")
        assert sum(tensor.numel() for tensor in stored.values()) == model.n_parameters
        assert "lm_head.weight" not in stored
        loaded = load_model(tmp_path)
        assert loaded.lm_head.weight is loaded.token_embedding.weight

    def test_saving_again_replaces(self, model, saved):
        with torch.no_grad():
            model.norm.weight.fill_(7)
        save_model(model, saved)
        assert (load_model(saved).norm.weight == 7).all()

    def test_a_failed_save_leaves_the_old_model(self, model, saved, monkeypatch):
        before = {path.name: path.read_bytes() for path in saved.iterdir()}

        def full(*arguments):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.replace", full)
        with pytest.raises(OSError, match="No space"):
            save_model(GPT(model.config), saved)
        assert {path.name: path.read_bytes() for path in saved.iterdir()} == before

    def test_loading_leaves_chance_alone(self, saved):
        torch.manual_seed(3)
        wanted = torch.rand(1)
        torch.manual_seed(3)
        load_model(saved)
        assert torch.equal(torch.rand(1), wanted)

    def test_weights_alone(self, model, saved):
        other = GPT(model.config)
        load_weights(other, saved)
        assert torch.equal(other.blocks[1].mlp.up_proj.weight, model.blocks[1].mlp.up_proj.weight)


SMALL = {"vocab_size": 50, "context_length": 16, "d_model": 32}
EVERY_FAMILY = {
    "gpt": GPT(gpt2_recipe(**SIZES)),
    "bert": BERT(bert_recipe(**SIZES, n_segments=3)),
    "bert, modern": BERT(modern_bert_recipe(**SIZES)),
    "dual_encoder": DualEncoder(dual_encoder_recipe(**SIZES, projection=True)),
    "encoder_decoder": EncoderDecoder(original_recipe(**SIZES, n_decoder_layers=1)),
    "encoder_decoder, t5": EncoderDecoder(t5_recipe(**SIZES, relative_buckets=8)),
    "encoder_decoder, modern": EncoderDecoder(
        modern_encoder_decoder_recipe(**SIZES, source_vocab_size=50)
    ),
    "xlnet": XLNet(xlnet_recipe(**SIZES, relative_buckets=8)),
    "xlnet, modern": XLNet(modern_xlnet_recipe(**SIZES)),
    "mlp_lm": MLPLM(MLPLMConfig(**SMALL, d_ff=24)),
    "rnn_lm": RNNLM(RNNLMConfig(**SMALL, n_layers=2, cell="gru")),
}


@pytest.mark.parametrize("name", EVERY_FAMILY)
class TestEveryFamily:
    def test_everything_comes_back(self, name, tmp_path):
        model = EVERY_FAMILY[name].eval()
        save_model(model, tmp_path)
        assert json.loads((tmp_path / "config.json").read_text())["family"] == name.split(",")[0]
        loaded = load_model(tmp_path)
        assert type(loaded) is type(model)
        assert loaded.config == model.config
        state = model.state_dict()
        assert loaded.state_dict().keys() == state.keys()
        assert all(torch.equal(loaded.state_dict()[key], state[key]) for key in state)
        ids = torch.randint(50, (2, 8))
        arguments = (ids, ids.flip(1)) if name.startswith("encoder") else (ids,)
        assert torch.equal(loaded(*arguments).logits, model(*arguments).logits)
        assert torch.equal(loaded(*arguments).hidden, model(*arguments).hidden)

    def test_shared_weights_are_stored_once_and_shared_again(self, name, tmp_path):
        model = EVERY_FAMILY[name]
        save_model(model, tmp_path)
        stored = load_file(tmp_path / "model.safetensors")
        assert sum(tensor.numel() for tensor in stored.values()) == model.n_parameters
        loaded = load_model(tmp_path)
        assert sum(p.numel() for p in loaded.parameters()) == model.n_parameters


class TestFamilies:
    def test_each_has_an_example_here(self):
        assert {name.split(",")[0] for name in EVERY_FAMILY} == FAMILIES.keys()
        assert all(family_of(model) == name.split(",")[0] for name, model in EVERY_FAMILY.items())

    def test_what_is_of_none_is_refused(self):
        with pytest.raises(
            UserError, match="class Linear is of no family that can be saved; these are: gpt"
        ):
            family_of(torch.nn.Linear(2, 2))

    def test_a_file_from_before_there_were_others(self, tmp_path):
        """It says `gpt`, and knows nothing of the fields that came later."""
        model = GPT(modern_recipe(**SIZES)).eval()
        save_model(model, tmp_path)
        as_a_strangers(tmp_path)
        path = tmp_path / "config.json"
        values = json.loads(path.read_text())
        old = "family vocab_size context_length d_model n_layers n_heads n_kv_heads head_dim d_ff"
        old += " norm mlp positions rope_theta norm_eps qk_norm bias tie_embeddings"
        old += " zero_init_outputs dropout"
        path.write_text(json.dumps({name: values[name] for name in old.split()}))
        loaded = load_model(tmp_path)
        assert loaded.config == model.config
        ids = torch.randint(50, (2, 8))
        assert torch.equal(loaded(ids).logits, model(ids).logits)


class TestBadFiles:
    @pytest.fixture
    def refused(self, saved):
        """Load, and return the message that says why not."""

        def load(directory=saved):
            with pytest.raises(UserError) as caught:
                load_model(directory)
            message = str(caught.value)
            assert "\n" not in message
            assert str(directory) in message
            return message

        return load

    def test_nothing_there(self, refused, tmp_path):
        assert "no config.json in" in refused(tmp_path / "nowhere")

    def test_a_file_for_a_directory(self, refused, tmp_path):
        (tmp_path / "file").write_text("")
        assert "name a saved model's directory" in refused(tmp_path / "file")

    def test_no_weights(self, refused, saved):
        (saved / "model.safetensors").unlink()
        assert "no weights at" in refused()

    @pytest.mark.parametrize("keep", [0, 4, 100, 0.5, -1])
    def test_torn_weights(self, refused, saved, keep):
        data = (saved / "model.safetensors").read_bytes()
        keep = int(keep * len(data)) if isinstance(keep, float) else keep
        (saved / "model.safetensors").write_bytes(data[:keep])
        assert "model.safetensors is damaged" in refused()

    def test_something_else_for_weights(self, refused, saved):
        torch.save({"a": torch.ones(3)}, saved / "model.safetensors")
        assert "model.safetensors is damaged" in refused()

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b"\xff\xfe"])
    def test_torn_config(self, refused, saved, data):
        (saved / "config.json").write_bytes(data)
        assert "config.json is damaged" in refused()

    def test_another_family(self, refused, saved):
        edit_config(saved, family="mamba")
        assert "not of this course (family 'mamba')" in refused()

    def test_the_config_of_another_family(self, refused, saved):
        edit_config(saved, family="rnn_lm")
        assert "unknown field 'n_heads'" in refused()

    def test_hugging_face(self, refused, saved):
        (saved / "config.json").write_text('{"model_type": "llama"}')
        assert "from_huggingface" in refused()

    def test_unknown_field(self, refused, saved):
        edit_config(saved, n_layer=2)
        assert "unknown field 'n_layer'; did you mean 'n_layers'?" in refused()

    def test_missing_field(self, refused, saved):
        values = json.loads((saved / "config.json").read_text())
        del values["d_model"]
        (saved / "config.json").write_text(json.dumps(values))
        assert "'d_model'" in refused()

    @pytest.mark.parametrize(
        "change", [{"d_model": "32"}, {"bias": 1}, {"dropout": None}, {"context_length": 2.5}]
    )
    def test_wrong_type(self, refused, saved, change):
        edit_config(saved, **change)
        assert f"{next(iter(change))}={next(iter(change.values()))!r}" in refused()

    def test_a_file_from_before_the_two_gelus_had_names(self, model, saved):
        """What older files call `gelu` was its tanh form; loaded, it says so."""
        if model.config.mlp != "gelu_tanh":
            return
        edit_config(saved, mlp="gelu")
        again, ids = load_model(saved), torch.arange(16)[None]
        assert again.config == model.config
        assert torch.equal(again(ids).logits, model.eval()(ids).logits)

    def test_impossible_config(self, refused, saved):
        edit_config(saved, n_heads=5)
        assert "n_heads=5 does not divide d_model=32: try 4 or 8" in refused()

    def test_another_size(self, refused, saved):
        edit_config(saved, d_ff=60)
        message = refused()
        assert "blocks.0.mlp.up_proj.weight is [128, 32] there and [60, 32] here" in message

    def test_fewer_layers_than_stored(self, refused, saved):
        edit_config(saved, n_layers=1)
        assert "this one has no blocks.1." in refused()

    def test_more_layers_than_stored(self, refused, saved):
        edit_config(saved, n_layers=3)
        assert "blocks.2.norm1.weight is missing" in refused()

    def test_a_weight_is_missing(self, refused, saved):
        edit_weights(saved, lambda tensors: tensors.pop("norm.weight"))
        assert "norm.weight is missing" in refused()

    def test_a_foreign_name(self, refused, saved):
        edit_weights(saved, lambda tensors: tensors.update(wte=torch.zeros(1)))
        assert "this one has no wte" in refused()

    def test_a_refused_file_changes_no_weight(self, model, saved):
        edit_weights(saved, lambda tensors: tensors.update({"norm.weight": torch.zeros(3)}))
        fresh = GPT(model.config)
        before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
        with pytest.raises(UserError):
            load_weights(fresh, saved)
        assert all(torch.equal(before[name], x) for name, x in fresh.state_dict().items())
