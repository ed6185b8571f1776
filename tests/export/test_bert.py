"""BERT, theirs and ours: the same weights give the same logits, both ways."""

import dataclasses
import json

import numerics
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import BertForMaskedLM, BertForPreTraining, BertModel

from llmcourse.errors import UserError
from llmcourse.export.huggingface import choose_format, from_huggingface, to_huggingface
from llmcourse.export.huggingface_bert import bert_state, from_bert_state
from llmcourse.models.bert import BERT, bert_recipe, modern_bert_recipe
from llmcourse.models.dual_encoder import DualEncoder, DualEncoderConfig
from llmcourse.models.files import unique_state
from llmcourse.nn.masks import padding

V, C = 50, 16
SIZES = {"vocab_size": V, "context_length": C, "d_model": 32, "n_layers": 2, "n_heads": 4}
OURS = {
    "bert": bert_recipe(**SIZES),
    "for pairs": bert_recipe(**SIZES, n_pair_labels=2),
    "untied, without pooler": bert_recipe(
        **SIZES, tie_embeddings=False, pooler=False, n_segments=3, d_ff=72, norm_eps=1e-3
    ),
}
THEIR_SIZES = {
    "vocab_size": V,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 72,
    "max_position_embeddings": C,
}
THEIRS = {
    "tied": transformers.BertConfig(**THEIR_SIZES),
    "untied": transformers.BertConfig(
        **THEIR_SIZES, tie_word_embeddings=False, type_vocab_size=3, layer_norm_eps=1e-3
    ),
}


@pytest.fixture(params=numerics.TOLERANCE, autouse=True)
def dtype(request):
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.disable_progress_bar()


@pytest.fixture
def batch():
    """Two rows of two segments each; the first is padded."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(V, (2, C), generator=generator)
    segments = (torch.arange(C) >= torch.tensor([[4], [9]])).long()
    return ids, segments, torch.tensor([11, C])


def theirs_of(model, ids, segments, lengths):
    mask = (torch.arange(C) < lengths[:, None]).long()
    with torch.no_grad():
        return model(input_ids=ids, token_type_ids=segments, attention_mask=mask)


@torch.no_grad()
def ours_of(model, ids, segments, lengths):
    return model(ids, segments=segments, mask=padding(lengths, C))


def close(ours, theirs):
    numerics.close(ours, theirs, largest=0.5)


@pytest.mark.parametrize("name", OURS)
class TestExport:
    def test_theirs_says_what_ours_says(self, name, dtype, batch, tmp_path):
        ours = numerics.randomise(BERT(OURS[name]))
        assert to_huggingface(ours, tmp_path) == "bert"
        kind = BertForPreTraining if ours.config.n_pair_labels else BertForMaskedLM
        assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [
            kind.__name__
        ]
        theirs, loading = kind.from_pretrained(tmp_path, output_loading_info=True)
        assert theirs.dtype == dtype
        # A pooler has no place in that class; BertModel finds it.
        assert {key.split(".")[1] for key in loading.pop("unexpected_keys")} <= {"pooler"}
        assert not any(loading.values()), loading
        mine, wanted = ours_of(ours, *batch), theirs_of(theirs, *batch)
        if ours.config.n_pair_labels:
            close(mine.logits, wanted.prediction_logits)
            # Their label 0 says what our label 1 says: B follows A.
            close(mine.pair_logits.flip(1), wanted.seq_relationship_logits)
        else:
            close(mine.logits, wanted.logits)

    def test_and_back_again(self, name, batch, tmp_path):
        ours = numerics.randomise(BERT(OURS[name]))
        to_huggingface(ours, tmp_path)
        back = from_huggingface(tmp_path)
        assert dataclasses.replace(back.config, d_ff=ours.config.d_ff) == ours.config
        for mine, again in zip(ours_of(ours, *batch), ours_of(back, *batch), strict=True):
            assert torch.equal(mine, again)

    def test_weights_are_stored_once(self, name, tmp_path):
        """But for the output's bias, which the library looks for twice where nothing is tied."""
        to_huggingface(BERT(OURS[name]), tmp_path)
        stored = load_file(tmp_path / "model.safetensors")
        twice = 0 if OURS[name].tie_embeddings else V
        assert sum(tensor.numel() for tensor in stored.values()) == OURS[name].n_parameters + twice

    def test_names_both_ways(self, name):
        state = unique_state(numerics.randomise(BERT(OURS[name])))
        back = from_bert_state(bert_state(state))
        assert back.keys() == state.keys()
        assert all(torch.equal(back[key], state[key]) for key in state)


def test_the_encoder_alone(batch, tmp_path):
    """Hidden states, and the pooler's summary, of the library's class without a head."""
    ours = numerics.randomise(BERT(OURS["bert"]))
    to_huggingface(ours, tmp_path)
    theirs = theirs_of(BertModel.from_pretrained(tmp_path), *batch)
    mine = ours_of(ours, *batch)
    close(mine.hidden, theirs.last_hidden_state)
    close(mine.pooled, theirs.pooler_output)


class TestImport:
    @pytest.mark.parametrize("name", THEIRS)
    def test_ours_says_what_theirs_says(self, name, batch, tmp_path):
        theirs = numerics.randomise(BertForMaskedLM(THEIRS[name]))
        theirs.save_pretrained(tmp_path)
        ours = from_huggingface(tmp_path)
        close(ours_of(ours, *batch).logits, theirs_of(theirs, *batch).logits)
        unused = 0 if ours.config.tie_embeddings else V  # a second bias of the output
        assert ours.n_parameters + unused == sum(p.numel() for p in theirs.parameters())
        assert not ours.config.pooler

    def test_pretrained_on_pairs_of_sentences(self, batch, tmp_path):
        theirs = numerics.randomise(BertForPreTraining(THEIRS["tied"]))
        theirs.save_pretrained(tmp_path)
        ours, wanted = ours_of(from_huggingface(tmp_path), *batch), theirs_of(theirs, *batch)
        close(ours.logits, wanted.prediction_logits)
        close(ours.pair_logits.flip(1), wanted.seq_relationship_logits)

    def test_the_oldest_files(self, batch, tmp_path):
        """Norms with `gamma` and `beta`, a buffer of positions, the output's bias stored twice."""
        theirs = numerics.randomise(BertForPreTraining(THEIRS["tied"]))
        theirs.save_pretrained(tmp_path)
        stored = load_file(tmp_path / "model.safetensors")
        old = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): tensor
            for name, tensor in stored.items()
        }
        old["bert.embeddings.position_ids"] = torch.arange(C)[None]
        old["cls.predictions.decoder.bias"] = stored["cls.predictions.bias"].clone()
        old["cls.predictions.decoder.weight"] = theirs.cls.predictions.decoder.weight.clone()
        save_file(old, tmp_path / "model.safetensors")
        wanted = theirs_of(theirs, *batch).prediction_logits
        close(ours_of(from_huggingface(tmp_path), *batch).logits, wanted)

    def test_without_a_head(self, tmp_path):
        BertModel(THEIRS["tied"]).save_pretrained(tmp_path)
        with pytest.raises(UserError, match="no head for masked words: save a BertForMaskedLM"):
            from_huggingface(tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"hidden_act": "relu"}, "hidden_act='relu' is not supported, only 'gelu' is"),
            ({"is_decoder": True}, "is_decoder=True is not supported"),
            ({"position_embedding_type": "relative_key"}, "is not supported, only 'absolute' is"),
            ({"num_attention_heads": 5}, "n_heads=5 does not divide d_model=32"),
            ({"num_hidden_layers": 3}, r"blocks.2.norm1.weight is missing"),
        ],
    )
    def test_what_we_cannot_do_is_refused(self, change, message, tmp_path):
        BertForMaskedLM(THEIRS["tied"]).save_pretrained(tmp_path)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(UserError, match=message) as caught:
            from_huggingface(tmp_path)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (bert_recipe(**SIZES, residual="pre"), "nearest is bert: train one with residual='post'"),
        (bert_recipe(**SIZES, n_segments=0), "train one with n_segments=2"),
        (bert_recipe(**SIZES, n_kv_heads=2), "train one with n_kv_heads=4"),
        (bert_recipe(**SIZES, head_dim=6), "train one with head_dim=8"),
        (bert_recipe(**SIZES, mlp="gelu_tanh"), "train one with mlp='gelu_exact'"),
        (bert_recipe(**SIZES, n_pair_labels=3), "train one with n_pair_labels=2"),
        (bert_recipe(**SIZES, n_pair_labels=2, pooler=False), "train one with pooler=True"),
        (modern_bert_recipe(**SIZES), "no family with all parts of this model; nearest is bert"),
    ],
)
def test_what_no_family_holds_is_refused(config, message):
    with pytest.raises(UserError, match=message) as caught:
        choose_format(BERT(config))
    assert "\n" not in str(caught.value)


def test_of_a_dual_encoder_the_encoder_can_be_exported(tmp_path):
    sizes = {"vocab_size": 11, "context_length": 8, "d_model": 8, "n_layers": 1, "n_heads": 2}
    shape = dataclasses.asdict(bert_recipe(**sizes))
    model = DualEncoder(DualEncoderConfig(**shape))
    with pytest.raises(UserError, match="no family for a DualEncoder: export its encoder"):
        to_huggingface(model, tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    assert to_huggingface(model.encoder, tmp_path / "encoder") == "bert"
    again = from_huggingface(tmp_path / "encoder")
    ids = torch.arange(8)[None]
    numerics.close(again(ids).logits, model.eval().encoder(ids).logits)
