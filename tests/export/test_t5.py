"""T5, theirs and ours: the same weights give the same logits, both ways."""

import dataclasses
import functools
import json

import numerics
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM, T5ForConditionalGeneration

from llmcourse.errors import UserError
from llmcourse.export.huggingface import choose_format, from_huggingface, to_huggingface
from llmcourse.export.huggingface_t5 import FEED_FORWARDS, from_t5_state, t5_state
from llmcourse.generate.seq2seq import generate_from_source
from llmcourse.models.encoder_decoder import EncoderDecoder, original_recipe, t5_recipe
from llmcourse.models.files import unique_state
from llmcourse.nn.masks import padding

V, S, T = 50, 12, 9
SIZES = {
    "vocab_size": V,
    "context_length": 32,
    "d_model": 32,
    "n_layers": 2,
    "n_heads": 4,
    "relative_buckets": 8,
    "relative_distance": 10,
}
OURS = {
    "tied": t5_recipe(**SIZES),
    "untied": t5_recipe(**SIZES, tie_embeddings=False, mlp="geglu", d_ff=40, head_dim=6),
    "deeper decoder": t5_recipe(**SIZES, n_decoder_layers=3, norm_eps=1e-3),
    "unscaled": t5_recipe(**SIZES, tie_embeddings=False, scale_embeddings=False),
}
THEIR_SIZES = {
    "vocab_size": V,
    "d_model": 32,
    "d_kv": 6,
    "d_ff": 40,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 10,
}
THEIRS = {
    "tied": transformers.T5Config(**THEIR_SIZES),
    "tied, gated": transformers.T5Config(
        **THEIR_SIZES, feed_forward_proj="gated-gelu", num_decoder_layers=1
    ),
    "untied": transformers.T5Config(**THEIR_SIZES, tie_word_embeddings=False),
    "version 1.1": transformers.T5Config(
        **THEIR_SIZES, feed_forward_proj="gated-gelu", tie_word_embeddings=False
    ),
}


randomise = functools.partial(numerics.randomise, std_vectors=0.5)
"""Norms so large, too, that none dwarfs the others."""


@pytest.fixture(params=numerics.TOLERANCE, autouse=True)
def dtype(request):
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()  # it warns of every untied head


@pytest.fixture
def batch():
    """A source whose first row is padded, and a target."""
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(V, (2, S), generator=generator)
    return source, torch.randint(V, (2, T), generator=generator), torch.tensor([7, S])


def their_model(config):
    """With an output head of its own where the version has one; this library's ties it anyway."""
    model = T5ForConditionalGeneration(config)
    if not config.scale_decoder_outputs:
        model.lm_head.weight = torch.nn.Parameter(torch.empty(V, 32))
    return randomise(model)


def exact(model):
    """The library's norm, whose mean square is computed in single precision, in double."""

    def norm(self, x):
        return torch.nn.functional.rms_norm(x, x.shape[-1:], self.weight, self.variance_epsilon)

    for module in model.modules():
        if module._get_name() == "T5LayerNorm":
            module.forward = norm.__get__(module)
    return model


@torch.no_grad()
def theirs_of(model, source, ids, lengths):
    model = exact(model) if model.dtype == torch.float64 else model
    mask = (torch.arange(S) < lengths[:, None]).long()
    return model(input_ids=source, attention_mask=mask, decoder_input_ids=ids).logits


@torch.no_grad()
def ours_of(model, source, ids, lengths):
    return model(source, ids, source_mask=padding(lengths, S)).logits


def close(ours, theirs):
    numerics.close(ours, theirs, largest=0.3)


@pytest.mark.parametrize("name", OURS)
class TestExport:
    def test_theirs_says_what_ours_says(self, name, dtype, batch, tmp_path):
        ours = randomise(EncoderDecoder(OURS[name]))
        assert to_huggingface(ours, tmp_path) == "t5"
        theirs, loading = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, output_loading_info=True)
        assert type(theirs) is T5ForConditionalGeneration
        assert theirs.dtype == dtype
        assert not any(loading.values()), loading
        close(ours_of(ours, *batch), theirs_of(theirs.eval(), *batch))

    def test_and_back_again(self, name, batch, tmp_path):
        ours = randomise(EncoderDecoder(OURS[name]))
        to_huggingface(ours, tmp_path)
        back = from_huggingface(tmp_path)
        close(ours_of(back, *batch), ours_of(ours, *batch))
        plain = dataclasses.replace(
            ours.config,
            d_ff=ours.config.ff_width,
            head_dim=ours.config.head_width,
            n_decoder_layers=ours.config.decoder_layers,
            scale_embeddings=True,
        )
        assert back.config == plain

    def test_weights_are_stored_once(self, name, tmp_path):
        to_huggingface(EncoderDecoder(OURS[name]), tmp_path)
        stored = load_file(tmp_path / "model.safetensors")
        assert sum(tensor.numel() for tensor in stored.values()) == OURS[name].n_parameters


@pytest.mark.parametrize("mlp", FEED_FORWARDS)
def test_every_feed_forward_part(mlp, batch, tmp_path):
    ours = randomise(EncoderDecoder(t5_recipe(**SIZES, mlp=mlp)))
    to_huggingface(ours, tmp_path)
    theirs = T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
    close(ours_of(ours, *batch), theirs_of(theirs, *batch))


def test_names_both_ways():
    config = OURS["tied"]
    state = unique_state(randomise(EncoderDecoder(config)))
    theirs = t5_state(state, config)
    # T5 scores without `1 / sqrt(K)`, and embeds with entries of size 1.
    q_proj = theirs["encoder.block.1.layer.0.SelfAttention.q.weight"]
    torch.testing.assert_close(q_proj * 8**0.5, state["encoder.blocks.1.attention.q_proj.weight"])
    torch.testing.assert_close(theirs["shared.weight"], state["token_embedding.weight"] * 32**0.5)
    back = from_t5_state(theirs, config)
    assert back.keys() - state.keys() == {"lm_head.weight"}
    for name in state:
        torch.testing.assert_close(back[name], state[name])


def test_it_writes_what_theirs_writes(tmp_path):
    """Greedy targets through the library's own loop, two rows that end at different times."""
    ours = randomise(EncoderDecoder(OURS["tied"]))
    to_huggingface(ours, tmp_path)
    theirs = T5ForConditionalGeneration.from_pretrained(tmp_path)
    source = torch.randint(V, (2, S), generator=torch.Generator().manual_seed(3))
    start = {"do_sample": False, "decoder_start_token_id": 0, "pad_token_id": 0}
    stop = int(theirs.generate(source, max_new_tokens=6, eos_token_id=None, **start)[0, 3])
    written = theirs.generate(source, max_new_tokens=6, eos_token_id=stop, **start)
    mine = generate_from_source(ours, source, start_id=0, stop_id=stop, max_new_tokens=6)
    assert len(mine[0]) <= 2
    for row, wanted in zip(mine, written.tolist(), strict=True):
        ended = wanted.index(stop) if stop in wanted else len(wanted)
        assert row == wanted[1:ended]


class TestImport:
    @pytest.mark.parametrize("name", THEIRS)
    def test_ours_says_what_theirs_says(self, name, batch, tmp_path):
        theirs = their_model(THEIRS[name])
        theirs.save_pretrained(tmp_path)
        ours = from_huggingface(tmp_path)
        close(ours_of(ours, *batch), theirs_of(theirs, *batch))
        assert ours.n_parameters == sum(p.numel() for p in theirs.parameters())
        assert ours.config.tie_embeddings == name.startswith("tied")

    def test_as_older_versions_wrote_it(self, batch, tmp_path):
        """Before version 5 whether the output is scaled was told from whether it is tied."""
        theirs = their_model(THEIRS["version 1.1"])
        theirs.save_pretrained(tmp_path)
        path = tmp_path / "config.json"
        values = json.loads(path.read_text()) | {"tie_word_embeddings": False}
        del values["scale_decoder_outputs"]
        path.write_text(json.dumps(values))
        tensors = load_file(tmp_path / "model.safetensors")
        tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"].clone()
        save_file(tensors, tmp_path / "model.safetensors")
        close(ours_of(from_huggingface(tmp_path), *batch), theirs_of(theirs, *batch))

    def test_a_head_that_happens_to_be_the_embedding(self, batch, tmp_path):
        """One matrix, and yet unscaled: the same function with two matrices."""
        theirs = randomise(T5ForConditionalGeneration(THEIRS["untied"]))
        assert theirs.lm_head.weight is theirs.shared.weight
        theirs.save_pretrained(tmp_path)
        ours = from_huggingface(tmp_path)
        close(ours_of(ours, *batch), theirs_of(theirs, *batch))
        assert not ours.config.tie_embeddings

    def test_a_head_that_should_be_the_embedding(self, tmp_path):
        T5ForConditionalGeneration(THEIRS["tied"]).save_pretrained(tmp_path)
        tensors = load_file(tmp_path / "model.safetensors")
        save_file(tensors | {"lm_head.weight": torch.ones(V, 32)}, tmp_path / "model.safetensors")
        with pytest.raises(UserError, match="its lm_head is not its embedding"):
            from_huggingface(tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"feed_forward_proj": "tanh"}, "feed_forward_proj='tanh' is not supported"),
            ({"num_heads": 0}, "n_heads=0 must be at least 1"),
            ({"num_layers": 3}, "encoder.blocks.2.norm1.weight is missing"),
            ({"d_ff": None}, "is .40, 32. there and .128, 32. here"),
        ],
    )
    def test_what_we_cannot_do_is_refused(self, change, message, tmp_path):
        T5ForConditionalGeneration(THEIRS["tied"]).save_pretrained(tmp_path)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(UserError, match=message) as caught:
            from_huggingface(tmp_path)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)

    def test_no_embedding(self, tmp_path):
        T5ForConditionalGeneration(THEIRS["tied"]).save_pretrained(tmp_path)
        tensors = load_file(tmp_path / "model.safetensors")
        del tensors["shared.weight"]
        save_file(tensors, tmp_path / "model.safetensors")
        with pytest.raises(UserError, match=r"is damaged .KeyError: 'shared.weight'"):
            from_huggingface(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (t5_recipe(**SIZES, source_vocab_size=9), "train one with source_vocab_size=None"),
        (t5_recipe(**SIZES, n_kv_heads=2), "train one with n_kv_heads=4"),
        (t5_recipe(**SIZES, scale_embeddings=False), "train one with scale_embeddings=True"),
        (t5_recipe(**SIZES, residual="post"), "train one with residual='pre'"),
        (original_recipe(**SIZES), "no family with all parts of this model; nearest is t5"),
    ],
)
def test_what_no_family_holds_is_refused(config, message):
    with pytest.raises(UserError, match=message) as caught:
        choose_format(EncoderDecoder(config))
    assert "\n" not in str(caught.value)
