import dataclasses
import math

import pytest
import torch
from numerics import close, in_double, torchs_encoder
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from llmcourse.errors import UserError
from llmcourse.models.bert import BERT, BERTConfig, bert_recipe, modern_bert_recipe
from llmcourse.nn import masks
from llmcourse.nn.capture import capture
from llmcourse.nn.mlp import GEGLU, ExactGELUMLP
from llmcourse.nn.norms import LayerNorm

V, C = 50, 12
SIZES = {"vocab_size": V, "context_length": C, "d_model": 32, "n_layers": 2, "n_heads": 4}
CONFIGS = {
    "bert": bert_recipe(**SIZES),
    "bert untied": bert_recipe(**SIZES, tie_embeddings=False, n_segments=3, bias=False),
    "bert with today's order": bert_recipe(**SIZES, residual="pre", positions="rope"),
    "bert for pairs": bert_recipe(**SIZES, n_pair_labels=2),
    "modern": modern_bert_recipe(**SIZES),
    "modern for three labels": modern_bert_recipe(**SIZES, n_pair_labels=3),
    "cramming": modern_bert_recipe(**SIZES, positions="sinusoidal", mlm_transform=False),
    "between": BERTConfig(**SIZES, n_kv_heads=2, positions="relative", pooler=False, n_segments=1),
}


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def double(config):
    return in_double(lambda: BERT(config))


@pytest.fixture
def model(config):
    return double(config)


@pytest.fixture
def ids():
    return torch.randint(V, (2, C), generator=torch.Generator().manual_seed(1))


class TestForward:
    def test_shapes(self, model, ids):
        output = model(ids)
        assert output.logits.shape == (2, C, V)
        assert output.hidden.shape == (2, C, 32)
        assert output.pooled.shape == (2, 32)
        close(model.lm_head(model.mlm_transform(output.hidden)), output.logits)
        close(model.pooler(output.hidden[:, 0]), output.pooled)

    def test_the_head_for_pairs_reads_the_summary(self, model, ids):
        output = model(ids)
        assert output.pair_logits.shape == (2, model.config.n_pair_labels)
        if model.config.n_pair_labels:
            close(model.pair_head(output.pooled), output.pair_logits)
        else:
            assert model.pair_head is None

    def test_rows_do_not_see_each_other(self, model, ids):
        for alone, together in zip(model(ids[1:]), model(ids), strict=True):
            assert torch.allclose(alone, together[1:], rtol=0, atol=1e-10)

    @pytest.mark.parametrize("place", [0, 5, C - 1])
    def test_every_word_changes_everything(self, model, ids, place):
        before = model(ids).logits
        ids[:, place] = (ids[:, place] + 1) % V
        assert not torch.isclose(before, model(ids).logits).all(-1).any()

    def test_padding_is_invisible(self, model, ids):
        mask = masks.padding(torch.tensor([7, C]), C)
        padded = model(ids, mask=mask)
        alone = model(ids[:1, :7])
        close(padded.logits[:1, :7], alone.logits)
        close(padded.pooled[:1], alone.pooled)
        close(padded.logits[1], model(ids).logits[1])
        ids[0, 7:] = (ids[0, 7:] + 1) % V
        assert torch.equal(padded.logits[0, :7], model(ids, mask=mask).logits[0, :7])

    def test_order_matters(self, model, ids):
        turned = model(ids.flip(1)).hidden.flip(1)
        assert not torch.isclose(model(ids).hidden, turned).all(-1).any()

    def test_without_positions_order_does_not(self, ids):
        model = double(bert_recipe(**SIZES, positions="none"))
        shuffle = torch.randperm(C)
        close(model(ids[:, shuffle]).hidden, model(ids).hidden[:, shuffle])

    def test_segments(self, ids):
        """Each token is told its own; all belong to the first, unless said otherwise."""
        model = double(CONFIGS["bert"])
        segments = (torch.arange(C) >= 5).long()[None]
        assert torch.equal(model(ids).logits, model(ids, segments=torch.zeros_like(ids)).logits)
        assert not torch.isclose(model(ids).logits, model(ids, segments=segments).logits).any()
        seen = {}
        model.embedding_norm.register_forward_pre_hook(lambda _, x: seen.update(sum=x[0]))
        model(ids, segments=segments)
        second = model.segment_embedding.weight[1] - model.segment_embedding.weight[0]
        told = seen["sum"]
        model(ids)
        close(told - seen["sum"], segments[..., None] * second.expand(2, C, 32))

    def test_segments_where_there_are_none(self, ids):
        with pytest.raises(UserError, match="this model knows no segments"):
            BERT(CONFIGS["modern"])(ids, segments=torch.zeros_like(ids))

    def test_too_long(self, model):
        with pytest.raises(UserError, match="13 tokens do not fit into the context_length of 12"):
            model(torch.zeros(1, C + 1).long())

    def test_looking_inside_changes_nothing(self, model, ids):
        with capture(model, "*") as seen:
            looked_at = model(ids).logits
        close(looked_at, model(ids).logits)
        assert seen["blocks.1.attention.weights"].shape == (2, 4, C, C)
        assert seen["blocks.1.hidden"].shape == (2, C, 32)

    @pytest.mark.parametrize("norm_first", [True, False])
    def test_the_blocks_are_torchs(self, norm_first, ids):
        """Between the embeddings and the heads stands `nn.TransformerEncoder`."""
        config = bert_recipe(**SIZES, residual="pre" if norm_first else "post")
        model = double(config)
        theirs = torchs_encoder(model.blocks, norm_first=norm_first)
        lengths, seen = torch.tensor([7, C]), {}
        model.embedding_norm.register_forward_hook(lambda *each: seen.update(embedded=each[-1]))
        hidden = model(ids, mask=masks.padding(lengths, C)).hidden
        padded = torch.arange(C) >= lengths[:, None]
        wanted = model.norm(theirs(seen["embedded"], src_key_padding_mask=padded))
        close(hidden[~padded], wanted[~padded])


class TestTraining:
    def test_the_first_loss_is_that_of_guessing(self, config, ids):
        torch.manual_seed(0)
        targets = torch.randint(V, (2 * C,))
        loss = nn.functional.cross_entropy(BERT(config)(ids).logits.flatten(0, 1), targets)
        assert loss.item() == pytest.approx(math.log(V), abs=0.1)

    def test_everything_learns(self, model, ids):
        output = model(ids, segments=None if model.segment_embedding is None else ids % 1)
        sum(each.square().sum() for each in output).backward()
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        # A constant added to all keys shifts all of a query's scores alike, which softmax ignores.
        assert all(name.endswith("k_proj.bias") for name in still), still

    def test_a_few_steps_learn_to_fill_in(self, config, ids):
        """One word of each row is hidden; the others tell which."""
        torch.manual_seed(0)
        model = BERT(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        hidden = ids.clone()
        hidden[:, 3] = 0
        for _ in range(60):
            loss = nn.functional.cross_entropy(model(hidden).logits[:, 3], ids[:, 3])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert ids[0, 3] != ids[1, 3]
        assert loss.item() < 0.2 < math.log(2)

    def test_dropout_only_in_training(self, ids):
        model = BERT(bert_recipe(**SIZES, dropout=0.3))
        assert not torch.equal(model(ids).logits, model(ids).logits)
        model.eval()
        assert torch.equal(model(ids).logits, model(ids).logits)

    def test_seeded(self, config):
        torch.manual_seed(7)
        first = BERT(config).state_dict()
        torch.manual_seed(7)
        second = BERT(config).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)


class TestSizes:
    def test_parameters_are_counted_by_formula(self, config):
        model = BERT(config)
        assert config.n_parameters == sum(p.numel() for p in model.parameters())
        assert model.n_parameters == config.n_parameters

    def test_bert_base_is_as_large_as_published(self):
        """With its head for pairs of sentences, two rows of D weights and a bias."""
        sizes = {"vocab_size": 30522, "context_length": 512, "d_model": 768, "n_layers": 12}
        assert bert_recipe(**sizes, n_heads=12, n_pair_labels=2).n_parameters == 110_106_428

    @pytest.mark.parametrize("length", [1, 5, C])
    def test_operations_are_counted_by_formula(self, config, length):
        """Multiplications and additions of one forward pass, as torch counts them."""
        model = BERT(config)
        with FlopCounterMode(display=False) as counter, capture(model, "*.weights"):
            model(torch.zeros(3, length).long())
        assert 3 * config.forward_flops(length) == counter.get_total_flops()

    def test_training_on_a_token(self, config):
        """Forward and backward over a whole row, shared by its tokens."""
        model = BERT(config)
        with FlopCounterMode(display=False) as counter, capture(model, "*.weights"):
            output = model(torch.zeros(1, C).long())
            (output.logits.sum() + output.pooled.sum() + output.pair_logits.sum()).backward()
        assert model.flops_per_token == counter.get_total_flops() / C
        assert model.flops_per_token == config.flops_per_token


class TestRecipes:
    def test_bert(self):
        model = BERT(CONFIGS["bert"])
        assert isinstance(model.norm, nn.Identity)
        assert isinstance(model.embedding_norm, LayerNorm)
        assert isinstance(model.blocks[0].mlp, ExactGELUMLP)
        assert model.position_embedding.weight.shape == (C, 32)
        assert model.segment_embedding.weight.shape == (2, 32)
        assert model.lm_head.weight is model.token_embedding.weight
        assert model.lm_head.bias is not None

    def test_modern(self):
        model = BERT(CONFIGS["modern"])
        assert isinstance(model.norm, LayerNorm)
        assert isinstance(model.blocks[0].mlp, GEGLU)
        assert model.position_embedding is None
        assert model.segment_embedding is None
        assert isinstance(model.pooler, nn.Identity)
        assert not any(name.endswith("bias") for name, _ in model.named_parameters())
        assert not model.blocks[1].mlp.down_proj.weight.any()  # begins as the identity

    def test_one_table_of_relative_biases(self):
        model = BERT(CONFIGS["between"])
        first, second = (block.attention.position_bias for block in model.blocks)
        assert first is second
        nn.init.normal_(first.weight)
        biases = first(3, 3)
        assert (biases[:, 0, 1] != biases[:, 0, 2]).all()  # looking back only, both are bucket 0
        assert (biases[:, 0, 2] != biases[:, 2, 0]).all()

    def test_derived_sizes_follow_when_a_size_is_replaced(self):
        config = dataclasses.replace(CONFIGS["modern"], d_model=96)
        assert (config.head_width, config.kv_heads, config.ff_width) == (24, 4, 256)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"n_segments": -1}, "n_segments=-1 must be at least 0"),
            ({"n_pair_labels": -1}, "n_pair_labels=-1 must be at least 0"),
            ({"residual": "none"}, "unknown residual='none'"),
            ({"n_heads": 5}, "n_heads=5 does not divide d_model=32: try 4 or 8"),
            ({"positions": "alibi"}, "unknown positions='alibi'"),
        ],
    )
    def test_bad_configs(self, change, message):
        with pytest.raises(UserError, match=message) as caught:
            bert_recipe(**{**SIZES, **change})
        assert "\n" not in str(caught.value)
