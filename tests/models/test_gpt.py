import dataclasses
import math
import subprocess
import sys

import pytest
import torch
from numerics import close, in_double
from torch.utils.flop_counter import FlopCounterMode

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, GPTConfig, gpt2_recipe, modern_recipe
from llmcourse.nn import masks
from llmcourse.nn.cache import KVCache
from llmcourse.nn.capture import capture
from llmcourse.nn.mlp import SwiGLU
from llmcourse.nn.norms import LayerNorm
from llmcourse.nn.positions import RoPE

V, C = 50, 16
SIZES = {"vocab_size": V, "context_length": C, "d_model": 32, "n_layers": 3, "n_heads": 4}
CONFIGS = {
    "gpt2": gpt2_recipe(**SIZES),
    "gpt2 untied, without biases": gpt2_recipe(**SIZES, tie_embeddings=False, bias=False),
    "modern": modern_recipe(**SIZES),
    "modern tied": modern_recipe(**SIZES, tie_embeddings=True),
    "llama": modern_recipe(**SIZES, n_kv_heads=2, mlp="swiglu", qk_norm=False),
    "between": modern_recipe(
        **SIZES, n_kv_heads=1, head_dim=6, d_ff=40, bias=True, norm="layernorm", mlp="swiglu"
    ),
    "old with new": gpt2_recipe(**SIZES, qk_norm=True, norm="rmsnorm"),
    "post-norm": gpt2_recipe(**SIZES, residual="post", mlp="geglu"),
    "no positions": modern_recipe(**SIZES, positions="none"),
    "sinusoidal": gpt2_recipe(**SIZES, positions="sinusoidal"),
    "relative": modern_recipe(**SIZES, positions="relative", n_kv_heads=2),
    "alibi": modern_recipe(**SIZES, positions="alibi"),
    "yarn": modern_recipe(**SIZES, rope_scaling="yarn", rope_factor=4.0),
}


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


@pytest.fixture
def model(config):
    return in_double(lambda: GPT(config))


@pytest.fixture
def ids():
    return torch.randint(V, (2, C), generator=torch.Generator().manual_seed(1))


class TestForward:
    def test_shapes(self, model, ids):
        output = model(ids)
        assert output.logits.shape == (2, C, V)
        assert output.hidden.shape == (2, C, 32)
        close(model.lm_head(output.hidden), output.logits)

    def test_one_row_of_one_token(self, model, ids):
        close(model(ids[:1, :1]).logits, model(ids).logits[:1, :1])

    def test_rows_do_not_see_each_other(self, model, ids):
        close(model(ids[1:]).logits, model(ids).logits[1:])

    @pytest.mark.parametrize("place", [0, 7, C - 1])
    def test_the_future_changes_nothing(self, model, ids, place):
        before = model(ids).logits
        ids[:, place] = (ids[:, place] + 1) % V
        after = model(ids).logits
        assert torch.equal(before[:, :place], after[:, :place])
        assert not torch.isclose(before[:, place:], after[:, place:]).all(-1).any()

    @pytest.mark.parametrize("chunks", [[C], [1] * C, [5, 1, 7, 3], [C - 1, 1]])
    def test_cached_equals_full(self, model, ids, chunks):
        cache = KVCache(model.config.n_layers)
        parts = [model(part, cache=cache).logits for part in ids.split(chunks, dim=1)]
        assert cache.length == C
        close(torch.cat(parts, dim=1), model(ids).logits)

    @pytest.mark.parametrize("n", [1, 3, C])
    def test_only_the_end_is_scored(self, model, ids, n):
        output = model(ids, n_scored=n)
        assert output.logits.shape == (2, n, V)
        assert output.hidden.shape == (2, C, 32)
        close(output.logits, model(ids).logits[:, -n:])

    def test_padding_on_the_right(self, model, ids):
        lengths = torch.tensor([5, C])
        padded = model(ids, mask=masks.padding(lengths, C)).logits
        close(padded[:1, :5], model(ids[:1, :5]).logits)
        close(padded[1], model(ids).logits[1])

    def test_padding_on_the_left(self, model, ids):
        """What a batch of prompts of different lengths needs, with a cache too."""
        pad = 6
        visible = (torch.arange(C) >= pad)[None, None, None]
        positions = (torch.arange(C) - pad).clamp(min=0)[None]
        wanted = model(ids[:1, pad:]).logits
        padded = model(ids[:1], mask=visible, positions=positions).logits
        close(padded[:, pad:], wanted)
        cache = KVCache(model.config.n_layers)
        for start, stop in ((0, 10), (10, C)):
            part = model(
                ids[:1, start:stop],
                mask=visible[..., :stop],
                positions=positions[:, start:stop],
                cache=cache,
            ).logits
        close(part, wanted[:, 10 - pad :])

    def test_packed_equals_separate(self, model, ids):
        """Two documents in one row, their positions counted from each one's beginning."""
        documents = torch.tensor([[0] * 6 + [1] * (C - 6)])
        positions = torch.cat([torch.arange(6), torch.arange(C - 6)])[None]
        packed = model(ids[:1], mask=masks.document(documents), positions=positions).logits
        close(packed[:, :6], model(ids[:1, :6]).logits)
        close(packed[:, 6:], model(ids[:1, 6:]).logits)

    def test_too_long(self, model, ids):
        cache = KVCache(model.config.n_layers)
        model(ids[:, :10], cache=cache)
        with pytest.raises(UserError, match=r"17 tokens do not fit into the context_length of 16"):
            model(ids[:, :7], cache=cache)

    def test_looking_inside_changes_nothing(self, model, ids):
        with capture(model, "*") as seen:
            looked_at = model(ids).logits
        close(looked_at, model(ids).logits)
        for layer in range(3):
            assert seen[f"blocks.{layer}.attention.weights"].shape == (2, 4, C, C)
            assert seen[f"blocks.{layer}.hidden"].shape == (2, C, 32)


# Outside this process, where no type checker stands between the compiler and the code.
COMPILE = """
import torch
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
sizes = dict(vocab_size=50, context_length=16, d_model=32, n_layers=1, n_heads=4)
for config in (gpt2_recipe(**sizes), modern_recipe(**sizes, n_kv_heads=2)):
    model = GPT(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ids = torch.randint(50, (2, 16))
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)(ids)
    torch.testing.assert_close(compiled, model(ids), rtol=0, atol=1e-5)
    compiled.logits.sum().backward()
"""


@pytest.mark.slow
def test_compiles_in_one_piece_and_says_the_same():
    subprocess.run([sys.executable, "-W", "error", "-c", COMPILE], check=True)


class TestTraining:
    def test_the_first_loss_is_that_of_guessing(self, config, ids):
        torch.manual_seed(0)
        logits, targets = GPT(config)(ids).logits, torch.randint(V, (2 * C,))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets)
        assert loss.item() == pytest.approx(math.log(V), abs=0.1)

    def test_everything_learns(self, model, ids):
        """Also the parts whose gradient is zero while the projections behind them are."""
        model(ids).logits.square().sum().backward()
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        # A constant added to all keys shifts all of a query's scores alike, which softmax ignores.
        assert all(name.endswith("k_proj.bias") for name in still), still

    def test_a_step_of_each_recipe_learns(self, config, ids):
        torch.manual_seed(0)
        model = GPT(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        losses = []
        for _ in range(40):
            logits = model(ids[:, :-1]).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert losses[-1] < 0.5 < math.log(V) - 0.2 < losses[0]

    def test_dropout_only_in_training(self, ids):
        model = GPT(gpt2_recipe(**SIZES, dropout=0.3))
        assert not torch.equal(model(ids).logits, model(ids).logits)
        model.eval()
        assert torch.equal(model(ids).logits, model(ids).logits)

    def test_embeddings_are_dropped_too(self, ids):
        model = GPT(gpt2_recipe(**SIZES, dropout=0.3))
        with capture(model, "dropout") as seen:
            model(ids)
        assert (seen["dropout"] == 0).float().mean().item() == pytest.approx(0.3, abs=0.06)

    def test_seeded(self, config):
        torch.manual_seed(7)
        first = GPT(config).state_dict()
        torch.manual_seed(7)
        second = GPT(config).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)


class TestSizes:
    def test_parameters_are_counted_by_formula(self, config):
        model = GPT(config)
        assert config.n_parameters == sum(p.numel() for p in model.parameters())
        matrices = [
            p
            for name, p in model.named_parameters()
            if p.ndim == 2 and "embedding" not in name and "position_bias" not in name
        ]
        head = config.tie_embeddings * config.vocab_size * config.d_model
        assert config.n_matrix_parameters == sum(p.numel() for p in matrices) + head
        assert model.n_parameters == config.n_parameters

    def test_gpt2_small_has_124_million(self):
        sizes = {"vocab_size": 50257, "context_length": 1024, "d_model": 768, "n_layers": 12}
        assert gpt2_recipe(**sizes, n_heads=12).n_parameters == 124_439_808

    def test_operations_are_counted_by_formula(self, config):
        """Multiplications and additions of one forward pass, as torch counts them, times three."""
        model = GPT(config)
        with FlopCounterMode(display=False) as counter, capture(model, "*.weights"):
            model(torch.zeros(2, C, dtype=torch.long))
        assert model.flops_per_token == 3 * counter.get_total_flops() / (2 * C)
        assert model.flops_per_token == config.flops_per_token

    @pytest.mark.parametrize("length", [1, 5, C])
    def test_operations_of_shorter_rows(self, config, length):
        model = GPT(config)
        with FlopCounterMode(display=False) as counter, capture(model, "*.weights"):
            model(torch.zeros(2, length, dtype=torch.long))
        assert 2 * config.forward_flops(length) == counter.get_total_flops()

    def test_backward_costs_twice_the_forward(self, config):
        model = GPT(config)
        with FlopCounterMode(display=False) as counter, capture(model, "*.weights"):
            model(torch.zeros(2, C, dtype=torch.long)).logits.sum().backward()
        assert model.flops_per_token == counter.get_total_flops() / (2 * C)

    def test_tied_means_one_matrix(self):
        tied, untied = GPT(CONFIGS["modern tied"]), GPT(CONFIGS["modern"])
        assert tied.lm_head.weight is tied.token_embedding.weight
        assert untied.n_parameters - tied.n_parameters == V * 32

    def test_derived_sizes_follow_when_a_size_is_replaced(self):
        config = dataclasses.replace(modern_recipe(**SIZES, mlp="swiglu"), d_model=96)
        assert (config.head_width, config.kv_heads, config.ff_width) == (24, 4, 256)


class TestRecipes:
    def test_gpt2(self):
        model = GPT(gpt2_recipe(**SIZES))
        assert isinstance(model.norm, LayerNorm)
        assert model.position_embedding.weight.shape == (C, 32)
        assert model.blocks[0].attention.rotary is None
        assert model.blocks[0].mlp.up_proj.bias is not None
        assert model.lm_head.bias is None

    def test_modern(self):
        """The recipe that trained best at small size, and SwiGLU and grouped heads on top."""
        model = GPT(modern_recipe(**SIZES, mlp="swiglu", n_kv_heads=2))
        assert model.position_embedding is None
        assert isinstance(model.blocks[0].attention.rotary, RoPE)
        assert isinstance(model.blocks[0].mlp, SwiGLU)
        assert model.blocks[0].attention.k_proj.weight.shape == (16, 32)
        assert not any(name.endswith("bias") for name, _ in model.named_parameters())
        assert modern_recipe(**SIZES) == GPTConfig(
            **SIZES,
            norm="rmsnorm",
            mlp="squared_relu",
            positions="rope",
            qk_norm=True,
            bias=False,
            tie_embeddings=False,
            zero_init_outputs=True,
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"norm": "layer_norm"}, "unknown norm='layer_norm'; did you mean 'layernorm'"),
            ({"mlp": "swish"}, "unknown mlp='swish'; did you mean 'swiglu'"),
            ({"positions": "alibbi"}, "unknown positions='alibbi'; did you mean 'alibi'"),
            ({"positions": "sinusoidal", "d_model": 33, "n_heads": 3}, "d_model=33 is odd"),
            ({"rope_scaling": "yarm"}, "unknown rope_scaling='yarm'; did you mean 'yarn'"),
            ({"rope_scaling": "yarn", "rope_factor": 0.5}, "factor of 0.5 must be at least 1"),
            ({"rope_factor": 2.0}, "rope_factor=2.0 does nothing without rope_scaling"),
            ({"rope_original_length": 0}, "rope_original_length=0 must be at least 1"),
            (
                {"positions": "alibi", "rope_scaling": "ntk"},
                "rope_scaling='ntk' needs positions='rope', not 'alibi'",
            ),
            ({"n_heads": 5}, "n_heads=5 does not divide d_model=32: try 4 or 8"),
            ({"n_kv_heads": 3}, "n_kv_heads=3 does not divide n_heads=4: try one of 1, 2, 4"),
            ({"head_dim": 7}, "a head of width 7 is odd"),
            ({"n_layers": 0}, "n_layers=0 must be at least 1"),
            ({"d_ff": -4}, "d_ff=-4 must be at least 1"),
            ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
            ({"rope_theta": 0.0}, "rope_theta=0.0 must be above 0"),
        ],
    )
    def test_bad_configs(self, change, message):
        with pytest.raises(UserError, match=message) as caught:
            modern_recipe(**{**SIZES, **change})
        assert "\n" not in str(caught.value)
