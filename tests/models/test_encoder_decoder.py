import dataclasses
import math

import pytest
import torch
from numerics import close, in_double
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from llmcourse.errors import UserError
from llmcourse.models.encoder_decoder import (
    EncoderDecoder,
    modern_encoder_decoder_recipe,
    original_recipe,
    t5_recipe,
)
from llmcourse.nn import masks
from llmcourse.nn.cache import KVCache
from llmcourse.nn.capture import capture
from llmcourse.nn.norms import LayerNorm, RMSNorm
from llmcourse.nn.positions import RelativeBias, SinusoidalPositions

V, C, S, T = 50, 16, 9, 7
SIZES = {"vocab_size": V, "context_length": C, "d_model": 32, "n_layers": 2, "n_heads": 4}
CONFIGS = {
    "original": original_recipe(**SIZES),
    "t5": t5_recipe(**SIZES, relative_buckets=8, relative_distance=6),
    "t5 1.1": t5_recipe(**SIZES, mlp="geglu", tie_embeddings=False, head_dim=6, d_ff=40),
    "modern": modern_encoder_decoder_recipe(**SIZES, n_kv_heads=2),
    "two vocabularies": original_recipe(
        **SIZES, source_vocab_size=V + 3, n_decoder_layers=3, residual="pre"
    ),
    "learned": original_recipe(**SIZES, positions="learned", n_decoder_layers=1, bias=False),
}


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def double(config):
    return in_double(lambda: EncoderDecoder(config))


@pytest.fixture
def model(config):
    return double(config)


@pytest.fixture
def source():
    return torch.randint(V, (2, S), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def ids():
    return torch.randint(V, (2, T), generator=torch.Generator().manual_seed(2))


# --- torch's own transformer ----------------------------------------------------------------------


def copy_attention(theirs, ours):
    projections = (ours.q_proj, ours.k_proj, ours.v_proj)
    theirs.in_proj_weight.copy_(torch.cat([each.weight for each in projections]))
    theirs.in_proj_bias.copy_(torch.cat([each.bias for each in projections]))
    theirs.out_proj.load_state_dict(ours.o_proj.state_dict())


@torch.no_grad()
def copy_block(theirs, ours):
    copy_attention(theirs.self_attn, ours.attention)
    if hasattr(ours, "cross_attention"):
        copy_attention(theirs.multihead_attn, ours.cross_attention)
        theirs.norm3.load_state_dict(ours.norm3.state_dict())
    theirs.linear1.load_state_dict(ours.mlp.up_proj.state_dict())
    theirs.linear2.load_state_dict(ours.mlp.down_proj.state_dict())
    theirs.norm1.load_state_dict(ours.norm1.state_dict())
    theirs.norm2.load_state_dict(ours.norm2.state_dict())


def torchs(ours, config, layer_class, stack_class):
    """Torch's stack of one of our stacks' weights."""
    options = {"enable_nested_tensor": False} if stack_class is nn.TransformerEncoder else {}
    layer = layer_class(
        config.d_model,
        config.n_heads,
        config.ff_width,
        dropout=0.0,
        activation=nn.functional.relu if config.mlp == "relu" else nn.functional.gelu,
        batch_first=True,
        norm_first=config.residual == "pre",
        dtype=torch.float64,
    )
    norm = nn.LayerNorm(config.d_model, dtype=torch.float64) if config.residual == "pre" else None
    theirs = stack_class(layer, len(ours.blocks), norm, **options)
    for their_block, our_block in zip(theirs.layers, ours.blocks, strict=True):
        copy_block(their_block, our_block)
    if norm is not None:
        theirs.norm.load_state_dict(ours.norm.state_dict())
    return theirs.eval()


@pytest.mark.parametrize("training", [True, False])  # torch has a path of its own for each
@pytest.mark.parametrize("residual", ["pre", "post"])
@pytest.mark.parametrize("mlp", ["relu", "gelu_exact"])
class TestAgainstTorch:
    def test_encoder(self, residual, mlp, training, source):
        config = original_recipe(**SIZES, residual=residual, mlp=mlp)
        model = double(config)
        theirs = torchs(model.encoder, config, nn.TransformerEncoderLayer, nn.TransformerEncoder)
        theirs.train(training)
        lengths = torch.tensor([5, S])
        hidden = model.token_embedding(source) * config.d_model**0.5
        padded = torch.arange(S) >= lengths[:, None]  # torch's masks say who must not look
        with torch.no_grad():
            wanted = theirs(model.encoder.position_embedding(hidden), src_key_padding_mask=padded)
            memory = model.encode(source, masks.padding(lengths, S))
        close(memory[~padded], wanted[~padded])

    def test_decoder(self, residual, mlp, training, source, ids):
        config = original_recipe(**SIZES, residual=residual, mlp=mlp, n_decoder_layers=3)
        model = double(config)
        theirs = torchs(model.decoder, config, nn.TransformerDecoderLayer, nn.TransformerDecoder)
        theirs.train(training)
        lengths, mine = torch.tensor([5, S]), torch.tensor([T, 4])
        memory = torch.randn(2, S, 32, dtype=torch.float64)
        hidden = model.token_embedding(ids) * config.d_model**0.5
        padded = torch.arange(T) >= mine[:, None]
        with torch.no_grad():
            wanted = theirs(
                model.decoder.position_embedding(hidden),
                memory,
                tgt_mask=~masks.causal(T),
                tgt_key_padding_mask=padded,
                memory_key_padding_mask=torch.arange(S) >= lengths[:, None],
            )
            output = model.decode(
                ids,
                memory,
                memory_mask=masks.padding(lengths, S),
                mask=masks.padding(mine, T),
            )
        close(output.hidden[~padded], wanted[~padded])
        close(output.logits, model.lm_head(output.hidden))


# --- what must hold whatever the parts ------------------------------------------------------------


class TestForward:
    def test_shapes(self, model, source, ids):
        output = model(source, ids)
        assert output.logits.shape == (2, T, V)
        assert output.hidden.shape == (2, T, 32)
        close(model.lm_head(output.hidden), output.logits)

    def test_rows_do_not_see_each_other(self, model, source, ids):
        close(model(source[1:], ids[1:]).logits, model(source, ids).logits[1:])

    @pytest.mark.parametrize("place", [0, 3, T - 1])
    def test_the_future_changes_nothing(self, model, source, ids, place):
        before = model(source, ids).logits
        ids[:, place] = (ids[:, place] + 1) % V
        after = model(source, ids).logits
        assert torch.equal(before[:, :place], after[:, :place])
        assert not torch.isclose(before[:, place:], after[:, place:]).all(-1).any()

    @pytest.mark.parametrize("place", [0, 4, S - 1])
    def test_every_word_of_the_source_changes_everything(self, model, source, ids, place):
        before = model(source, ids).logits
        source[:, place] = (source[:, place] + 1) % V
        assert not torch.isclose(before, model(source, ids).logits).all(-1).any()

    def test_padding_of_the_source_is_invisible(self, model, source, ids):
        mask = masks.padding(torch.tensor([5, S]), S)
        padded = model(source, ids, source_mask=mask).logits
        close(padded[:1], model(source[:1, :5], ids[:1]).logits)
        close(padded[1:], model(source[1:], ids[1:]).logits)
        source[0, 5:] = (source[0, 5:] + 1) % V
        assert torch.equal(padded, model(source, ids, source_mask=mask).logits)

    def test_padding_of_the_target_is_invisible(self, model, source, ids):
        padded = model(source, ids, mask=masks.padding(torch.tensor([4, T]), T)).logits
        close(padded[:1, :4], model(source[:1], ids[:1, :4]).logits)
        close(padded[1], model(source, ids).logits[1])

    def test_in_two_halves(self, model, source, ids):
        memory = model.encode(source)
        close(model.decode(ids, memory).logits, model(source, ids).logits)

    def test_order_matters_on_both_sides(self, model, source, ids):
        logits = model(source, ids).logits
        turned = model(source.flip(1), ids).logits
        assert not torch.isclose(logits, turned).all(-1).any()
        others = torch.cat([ids[:, :-1].flip(1), ids[:, -1:]], dim=1)  # the same words before
        assert not torch.isclose(logits[:, -1], model(source, others).logits[:, -1]).all(-1).any()

    def test_without_positions_a_source_is_a_bag(self, source, ids):
        model = double(original_recipe(**SIZES, positions="none"))
        shuffled = source[:, torch.randperm(S)]
        close(model.encode(source).sum(1), model.encode(shuffled).sum(1))
        close(model(source, ids).logits, model(shuffled, ids).logits)

    def test_looking_inside_changes_nothing(self, model, source, ids):
        with capture(model, "*") as seen:
            looked_at = model(source, ids).logits
        close(looked_at, model(source, ids).logits)
        for layer in range(model.config.decoder_layers):
            block = f"decoder.blocks.{layer}"
            assert seen[f"{block}.attention.weights"].shape == (2, 4, T, T)
            assert seen[f"{block}.cross_attention.weights"].shape == (2, 4, T, S)
            assert seen[f"{block}.hidden"].shape == (2, T, 32)
        assert seen["encoder.blocks.1.attention.weights"].shape == (2, 4, S, S)

    @pytest.mark.parametrize(("n_source", "n_target"), [(C + 1, 1), (1, C + 1)])
    def test_too_long(self, model, n_source, n_target):
        source, ids = torch.zeros(1, n_source).long(), torch.zeros(1, n_target).long()
        with pytest.raises(UserError, match=f"{C + 1} tokens do not fit into the context_length"):
            model(source, ids)


class TestCaches:
    @pytest.mark.parametrize("chunks", [[T], [1] * T, [3, 1, 2, 1], [T - 1, 1]])
    def test_cached_equals_full(self, model, source, ids, chunks):
        mask = masks.padding(torch.tensor([5, S]), S)
        memory = model.encode(source, mask)
        layers = model.config.decoder_layers
        cache, memory_cache = KVCache(layers), KVCache(layers)
        parts = [
            model.decode(
                part, memory, memory_mask=mask, cache=cache, memory_cache=memory_cache
            ).logits
            for part in ids.split(chunks, dim=1)
        ]
        assert (cache.length, memory_cache.length) == (T, S)
        close(torch.cat(parts, dim=1), model(source, ids, source_mask=mask).logits)

    def test_without_a_cache_of_the_memory(self, model, source, ids):
        memory, cache = model.encode(source), KVCache(model.config.decoder_layers)
        parts = [model.decode(part, memory, cache=cache).logits for part in ids.split(1, dim=1)]
        close(torch.cat(parts, dim=1), model(source, ids).logits)

    def test_the_memorys_keys_are_computed_once(self, model, source, ids):
        calls = []
        for block in model.decoder.blocks:
            for projection in (block.cross_attention.k_proj, block.cross_attention.v_proj):
                projection.register_forward_hook(lambda *_: calls.append(1))
        memory, cache = model.encode(source), KVCache(model.config.decoder_layers)
        memory_cache = KVCache(model.config.decoder_layers)
        for part in ids.split(1, dim=1):
            model.decode(part, memory, cache=cache, memory_cache=memory_cache)
        assert len(calls) == 2 * model.config.decoder_layers

    def test_padding_on_the_left(self, model, source, ids):
        """Targets of different lengths that go on together."""
        pad = 3
        visible = (torch.arange(T) >= pad)[None, None, None]
        positions = (torch.arange(T) - pad).clamp(min=0)[None]
        memory, cache = model.encode(source[:1]), KVCache(model.config.decoder_layers)
        wanted = model(source[:1], ids[:1, pad:]).logits
        for start, stop in ((0, 5), (5, T)):
            part = model.decode(
                ids[:1, start:stop],
                memory,
                mask=visible[..., :stop],
                positions=positions[:, start:stop],
                cache=cache,
            ).logits
        close(part, wanted[:, 5 - pad :])

    def test_too_long_with_what_is_cached(self, model, source):
        cache = KVCache(model.config.decoder_layers)
        memory = model.encode(source)
        model.decode(torch.zeros(2, 10).long(), memory, cache=cache)
        with pytest.raises(UserError, match="17 tokens do not fit into the context_length of 16"):
            model.decode(torch.zeros(2, 7).long(), memory, cache=cache)


class TestTraining:
    def test_everything_learns(self, model, source, ids):
        model(source, ids).logits.square().sum().backward()
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        # A constant added to all keys shifts all of a query's scores alike, which softmax ignores.
        assert all(name.endswith("k_proj.bias") for name in still), still

    def test_the_first_loss_is_about_that_of_guessing(self, config, source, ids):
        torch.manual_seed(0)
        logits, targets = EncoderDecoder(config)(source, ids).logits, torch.randint(V, (2 * T,))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets).item()
        assert loss == pytest.approx(math.log(V), abs=1.0)  # tied heads begin with logits of size 1

    def test_a_few_steps_of_each_recipe_learn_to_copy(self, config, source):
        torch.manual_seed(0)
        model = EncoderDecoder(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for _ in range(40):
            logits = model(source, source.roll(1, 1)).logits
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), source.flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() < 1.0 < math.log(V)

    def test_embeddings_begin_at_the_size_of_sinusoids(self):
        """Entries of size 1 once scaled, beside sines and cosines of size 0.7."""
        model = EncoderDecoder(original_recipe(**{**SIZES, "d_model": 128, "vocab_size": 500}))
        scaled = model.token_embedding.weight * model.embedding_scale
        assert scaled.std().item() == pytest.approx(1.0, abs=0.02)

    def test_dropout_only_in_training(self, source, ids):
        model = EncoderDecoder(t5_recipe(**SIZES, dropout=0.3))
        assert not torch.equal(model(source, ids).logits, model(source, ids).logits)
        model.eval()
        assert torch.equal(model(source, ids).logits, model(source, ids).logits)

    def test_seeded(self, config):
        torch.manual_seed(7)
        first = EncoderDecoder(config).state_dict()
        torch.manual_seed(7)
        second = EncoderDecoder(config).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)


class TestSizes:
    def test_parameters_are_counted_by_formula(self, config):
        model = EncoderDecoder(config)
        assert config.n_parameters == sum(p.numel() for p in model.parameters())
        assert model.n_parameters == config.n_parameters

    @pytest.mark.parametrize(
        ("sizes", "count"),
        [
            ({"d_model": 512, "n_layers": 6, "n_heads": 8, "d_ff": 2048}, 60_506_624),
            ({"d_model": 768, "n_layers": 12, "n_heads": 12, "d_ff": 3072}, 222_903_552),
        ],
    )
    def test_t5_is_as_large_as_published(self, sizes, count):
        assert t5_recipe(vocab_size=32128, context_length=512, **sizes).n_parameters == count

    @pytest.mark.parametrize(("n_source", "n_target"), [(S, T), (1, 1), (3, C), (C, 2)])
    def test_operations_are_counted_by_formula(self, config, n_source, n_target):
        """Multiplications and additions of one forward pass, as torch counts them."""
        model = EncoderDecoder(config)
        source, ids = torch.zeros(2, n_source).long(), torch.zeros(2, n_target).long()
        with FlopCounterMode(display=False) as counter, capture(model, "*.weights"):
            model(source, ids)
        assert 2 * config.forward_flops(n_source, n_target) == counter.get_total_flops()

    def test_backward_costs_twice_the_forward(self, config):
        model = EncoderDecoder(config)
        source, ids = torch.zeros(1, S).long(), torch.zeros(1, T).long()
        with FlopCounterMode(display=False) as counter, capture(model, "*.weights"):
            model(source, ids).logits.sum().backward()
        assert 3 * config.forward_flops(S, T) == counter.get_total_flops()

    def test_training_on_a_token(self, config):
        """Forward and backward over whole rows on both sides, shared by the target's tokens."""
        model = EncoderDecoder(config)
        rows = torch.zeros(1, C).long()
        with FlopCounterMode(display=False) as counter, capture(model, "*.weights"):
            model(rows, rows).logits.sum().backward()
        assert model.flops_per_token == counter.get_total_flops() / C
        assert model.flops_per_token == config.flops_per_token


class TestRecipes:
    def test_original(self):
        model = EncoderDecoder(original_recipe(**SIZES))
        assert isinstance(model.encoder.position_embedding, SinusoidalPositions)
        assert isinstance(model.decoder.blocks[0].norm3, LayerNorm)
        assert isinstance(model.decoder.norm, nn.Identity)
        assert model.lm_head.weight is model.token_embedding.weight
        assert model.source_embedding is model.token_embedding
        assert model.embedding_scale == 32**0.5
        assert model.encoder.blocks[0].mlp.up_proj.bias is not None

    def test_t5(self):
        """One table of biases for each stack, and none where the decoder reads the encoder."""
        model = EncoderDecoder(t5_recipe(**SIZES))
        assert isinstance(model.decoder.norm, RMSNorm)
        for stack in (model.encoder, model.decoder):
            biases = [block.attention.position_bias for block in stack.blocks]
            assert isinstance(biases[0], RelativeBias)
            assert all(bias is biases[0] for bias in biases)
        assert model.decoder.blocks[0].cross_attention.position_bias is None
        encoders, decoders = (
            s.blocks[0].attention.position_bias for s in (model.encoder, model.decoder)
        )
        assert encoders is not decoders
        assert not any(name.endswith(".bias") for name, _ in model.named_parameters())

    def test_modern(self):
        model = EncoderDecoder(CONFIGS["modern"])
        block = model.decoder.blocks[0]
        assert block.attention.rotary is not None
        assert block.cross_attention.rotary is None
        assert block.cross_attention.k_proj.weight.shape == (16, 32)
        assert block.attention.q_norm is not None
        assert not block.cross_attention.o_proj.weight.any()  # begins as the identity

    def test_two_vocabularies(self):
        model = EncoderDecoder(CONFIGS["two vocabularies"])
        assert model.source_embedding.weight.shape == (V + 3, 32)
        assert len(model.encoder.blocks) == 2
        assert len(model.decoder.blocks) == 3

    def test_derived_sizes_follow_when_a_size_is_replaced(self):
        config = dataclasses.replace(CONFIGS["modern"], d_model=96, n_layers=5)
        assert (config.head_width, config.kv_heads, config.ff_width) == (24, 2, 256)
        assert config.decoder_layers == 5

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"norm": "layer_norm"}, "unknown norm='layer_norm'; did you mean 'layernorm'"),
            ({"mlp": "swish"}, "unknown mlp='swish'; did you mean 'swiglu'"),
            ({"residual": "before"}, "unknown residual='before'; there are: post, pre"),
            ({"positions": "rotary"}, "unknown positions='rotary'"),
            ({"positions": "alibi"}, "unknown positions='alibi'"),
            ({"n_heads": 5}, "n_heads=5 does not divide d_model=32: try 4 or 8"),
            ({"n_kv_heads": 3}, "n_kv_heads=3 does not divide n_heads=4: try one of 1, 2, 4"),
            ({"head_dim": 7}, "a head of width 7 is odd"),
            ({"d_model": 36, "n_heads": 4, "positions": "sinusoidal", "d_ff": 0}, "d_ff=0 must be"),
            ({"d_model": 33, "n_heads": 3, "positions": "sinusoidal"}, "d_model=33 is odd"),
            ({"positions": "relative", "relative_buckets": 2}, "1 buckets a direction"),
            ({"n_layers": 0}, "n_layers=0 must be at least 1"),
            ({"n_decoder_layers": 0}, "n_decoder_layers=0 must be at least 1"),
            ({"source_vocab_size": 0}, "source_vocab_size=0 must be at least 1"),
            ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
            ({"norm_eps": 0.0}, "norm_eps=0.0 must be above 0"),
        ],
    )
    def test_bad_configs(self, change, message):
        with pytest.raises(UserError, match=message) as caught:
            modern_encoder_decoder_recipe(**{**SIZES, **change})
        assert "\n" not in str(caught.value)
