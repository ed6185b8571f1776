import copy
import dataclasses
import itertools
import math

import pytest
import torch
from numerics import close, in_double, torchs_encoder
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.models.xlnet import (
    Visible,
    XLNet,
    XLNetConfig,
    modern_xlnet_recipe,
    visible,
    xlnet_recipe,
)
from llmcourse.nn import masks
from llmcourse.nn.capture import capture
from llmcourse.nn.mlp import GEGLU, GELUMLP

V, C = 50, 8
SIZES = {"vocab_size": V, "context_length": C, "d_model": 32, "n_layers": 2, "n_heads": 4}
CONFIGS = {
    "xlnet": xlnet_recipe(**SIZES),
    "xlnet, learned positions": xlnet_recipe(**SIZES, positions="learned", tie_embeddings=False),
    "modern": modern_xlnet_recipe(**SIZES),
    "between": XLNetConfig(**SIZES, n_kv_heads=2, positions="relative", tie_embeddings=True),
}


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def double(config):
    return in_double(lambda: XLNet(config))


@pytest.fixture
def model(config):
    return double(config)


@pytest.fixture
def ids():
    return torch.randint(V, (2, C), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def order():
    generator = torch.Generator().manual_seed(2)
    return torch.stack([torch.randperm(C, generator=generator) for _ in range(2)])


# --- who sees whom --------------------------------------------------------------------------------


class TestVisible:
    def test_worked_example(self):
        """The order 2, 0, 1: the last word is first, then the first, then the one between."""
        seen = visible(torch.tensor([[1, 2, 0]]))
        assert seen.content[0, 0].int().tolist() == [[1, 0, 1], [1, 1, 1], [0, 0, 1]]
        assert seen.query[0, 0].int().tolist() == [[0, 0, 1], [1, 0, 1], [0, 0, 0]]

    def test_left_to_right_is_causal(self):
        seen = visible(torch.arange(5)[None])
        assert torch.equal(seen.content[0, 0], masks.causal(5))
        assert torch.equal(seen.query[0, 0], masks.causal(5) & ~torch.eye(5, dtype=torch.bool))

    def test_one_rank_for_all_that_is_given(self):
        """What has the same rank sees each other's content, and is not predicted from it."""
        seen = visible(torch.tensor([[0, 1, 0]]))
        assert seen.content[0, 0].int().tolist() == [[1, 0, 1], [1, 1, 1], [1, 0, 1]]
        assert seen.query[0, 0].int().tolist() == [[0, 0, 0], [1, 0, 1], [0, 0, 0]]

    def test_all_of_one_rank(self):
        seen = visible(torch.zeros(1, 3).long())
        assert seen.content.all()
        assert not seen.query.any()


def influence(model, ids, of, **arguments):
    """Whether the token at `s` moves what the model says at `t`, `[B, T, S]`, by gradients."""
    embedded = {}

    def keep(module, inputs, output):
        embedded["here"] = output.detach().requires_grad_()
        return embedded["here"]

    with torch.enable_grad():
        handle = model.token_embedding.register_forward_hook(keep)
        said = getattr(model(ids, **arguments), of)
        handle.remove()
        rows = []
        for t in range(ids.size(1)):
            # Squares, for the sum of a normalised state is the same whatever it was made of.
            scalar = (said[:, t] * torch.linspace(1, 2, said.size(-1))).square().sum()
            grad = torch.autograd.grad(
                scalar, embedded["here"], retain_graph=True, allow_unused=True
            )[0]
            rows.append(
                torch.zeros(ids.shape, dtype=torch.bool) if grad is None else grad.ne(0).any(-1)
            )
    return torch.stack(rows, dim=1)


class TestNothingLeaks:
    def test_logits_see_what_came_before_in_the_order_and_nothing_else(self, model, ids, order):
        seen = influence(model, ids, "logits", permutation=order)
        assert torch.equal(seen, order[:, None, :] < order[:, :, None])

    def test_hidden_states_see_their_own_token_too(self, model, ids, order):
        seen = influence(model, ids, "hidden", permutation=order)
        assert torch.equal(seen, order[:, None, :] <= order[:, :, None])

    def test_without_an_order_states_see_all_and_nothing_is_predicted(self, model, ids):
        assert influence(model, ids, "hidden").all()
        assert not influence(model, ids, "logits").any()

    def test_one_token_from_all_others(self, model, ids):
        order = (torch.arange(C) == 3).long().expand(2, C)
        seen = influence(model, ids, "logits", permutation=order)[:, 3]
        assert torch.equal(seen, (torch.arange(C) != 3).expand(2, C))

    def test_all_tokens_from_all_others_at_once_would_leak(self, ids, monkeypatch):
        """Each query sees all but itself: in two blocks what it sees has seen its token."""

        def all_but_itself(order):
            everything = torch.ones(1, 1, C, C, dtype=torch.bool)
            return Visible(everything, everything & ~torch.eye(C, dtype=torch.bool))

        monkeypatch.setattr("llmcourse.models.xlnet.visible", all_but_itself)
        itself = torch.eye(C, dtype=torch.bool).expand(2, C, C)
        shallow = double(dataclasses.replace(CONFIGS["modern"], n_layers=1))
        assert torch.equal(influence(shallow, ids, "logits"), ~itself)
        assert influence(double(CONFIGS["modern"]), ids, "logits").all()

    @pytest.mark.parametrize("place", [0, 3, C - 1])
    def test_another_token_changes_nothing_before_it_bit_for_bit(self, model, ids, order, place):
        before = model(ids, permutation=order)
        ids[:, place] = (ids[:, place] + 1) % V
        after = model(ids, permutation=order)
        kept = order <= order[:, place, None]  # its own query among them
        assert torch.equal(before.logits[kept], after.logits[kept])
        assert not torch.isclose(before.logits[~kept], after.logits[~kept]).all(-1).any()

    def test_rows_do_not_see_each_other(self, model, ids, order):
        together = model(ids, permutation=order)
        close(model(ids[1:], permutation=order[1:]).logits, together.logits[1:])

    def test_the_first_of_an_order_sees_nothing_and_is_finite(self, model, ids):
        """All of its attention is masked, forward and backward."""
        order = torch.arange(C).flip(0).expand(2, C)
        logits = model(ids, permutation=order).logits
        assert torch.equal(logits[0, -1], logits[1, -1])
        logits.square().sum().backward()
        assert logits.isfinite().all()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)

    def test_padding_is_invisible(self, model, ids, order):
        order[0] = torch.tensor([5, 1, 7, 2, 4, 0, 3, 6])  # the last three are padding
        mask = masks.padding(torch.tensor([5, C]), C)
        padded = model(ids, permutation=order, mask=mask)
        alone = model(ids[:1, :5], permutation=order[:1, :5])
        close(padded.logits[:1, :5], alone.logits)
        close(padded.hidden[:1, :5], alone.hidden)
        close(padded.logits[1], model(ids, permutation=order).logits[1])
        close(model(ids, mask=mask).hidden[:1, :5], model(ids[:1, :5]).hidden)


# --- oracles --------------------------------------------------------------------------------------


def stacked_mask(order):
    """Who sees whom where the queries stand behind the contents: `[B, 2T, 2T]`.

    Written as loops: both look at contents alone.
    """
    n_rows, length = order.shape
    mask = torch.zeros(n_rows, 2 * length, 2 * length, dtype=torch.bool)
    for b, t, s in itertools.product(range(n_rows), range(length), range(length)):
        mask[b, t, s] = order[b, s] <= order[b, t]
        mask[b, length + t, s] = order[b, s] < order[b, t]
    return mask


class TestAsOneLongerText:
    """Two streams are one encoder over `[contents; queries]`, 2T tokens, under one mask."""

    @pytest.mark.parametrize("residual", ["pre", "post"])
    def test_torchs_encoder(self, residual, ids, order):
        config = xlnet_recipe(**SIZES, positions="learned", mlp="gelu_exact", residual=residual)
        model = double(config)
        theirs = torchs_encoder(model.blocks, norm_first=residual == "pre")
        places = model.position_embedding.weight
        contents = model.token_embedding.weight[ids] + places
        seeds = (model.query_seed + places).expand(2, C, 32)
        hidden_from = ~stacked_mask(order).repeat_interleave(4, dim=0)  # a mask for each head
        both = model.norm(theirs(torch.cat([contents, seeds], dim=1), mask=hidden_from))
        output = model(ids, permutation=order)
        first = order == 0  # its query sees nothing at all, of which torch makes NaN
        close(output.hidden, both[:, :C])
        close(output.logits[~first], model.lm_head(both[:, C:])[~first])

    def test_our_own_blocks_with_rotations(self, ids, order):
        model = double(CONFIGS["modern"])
        both = torch.cat([model.token_embedding(ids), model.query_seed.expand(2, C, 32)], dim=1)
        positions = torch.arange(C).repeat(2)[None]
        for block in model.blocks:
            both = block(both, mask=stacked_mask(order)[:, None], positions=positions)
        both = model.norm(both)
        output = model(ids, permutation=order)
        close(output.hidden, both[:, :C])
        close(output.logits, model.lm_head(both[:, C:]))

    @pytest.mark.parametrize("name", ["xlnet", "between"])
    def test_our_own_blocks_with_relative_biases(self, name, ids, order):
        model = double(CONFIGS[name])
        output = model(ids, permutation=order)
        both = torch.cat([model.token_embedding(ids), model.query_seed.expand(2, C, 32)], dim=1)
        tiled = model.blocks[0].attention.position_bias(C, C).repeat(1, 2, 2)
        for block in copy.deepcopy(model).blocks:
            block.attention.position_bias = None
            block.attention.register_module("position_bias", Constant(tiled))
            both = block(both, mask=stacked_mask(order)[:, None])
        both = model.norm(both)
        close(output.hidden, both[:, :C])
        close(output.logits, model.lm_head(both[:, C:]))


class Constant(nn.Module):
    """A bias that is what it is."""

    def __init__(self, bias):
        super().__init__()
        self.bias = bias

    def forward(self, n_queries, n_keys):
        assert (n_queries, n_keys) == self.bias.shape[1:]
        return self.bias


class TestOrders:
    def test_left_to_right_the_contents_are_a_gpt(self, ids):
        model = double(CONFIGS["modern"])
        gpt = in_double(lambda: GPT(GPTConfig(**dataclasses.asdict(CONFIGS["modern"]))))
        weights = model.state_dict()
        del weights["query_seed"]
        gpt.load_state_dict(weights)
        order = torch.arange(C).expand(2, C)
        close(model(ids, permutation=order).hidden, gpt(ids).hidden)

    def test_every_factor_can_be_had_by_itself(self, config):
        """One pass scores all factors of an order; alone, each sees garbage where it may not look.

        For all orders of three tokens: the sum of the logarithms is that of the chain rule.
        """
        model = double(config)
        ids = torch.tensor([[7, 11, 13]])
        for places in itertools.permutations(range(3)):
            order = torch.tensor([places]).argsort(dim=1)
            logs = model(ids, permutation=order).logits.log_softmax(-1)
            at_once = logs[0, torch.arange(3), ids[0]].sum()
            chain = torch.zeros((), dtype=torch.float64)
            for step, place in enumerate(places):
                known = torch.full_like(ids, 29)
                known[0, list(places[:step])] = ids[0, list(places[:step])]
                said = model(known, permutation=order).logits[0, place].log_softmax(-1)
                chain += said[ids[0, place]]
            close(at_once, chain)

    def test_orders_differ(self, model, ids):
        forward, backward = torch.arange(C).expand(2, C), torch.arange(C).flip(0).expand(2, C)
        ahead, back = (
            model(ids, permutation=forward).logits,
            model(ids, permutation=backward).logits,
        )
        assert not torch.isclose(ahead, back).all(-1).any()

    def test_queries_know_where_they_stand(self, model, ids):
        """Two words are missing, seen by nobody: what is said differs from place to place."""
        order = torch.tensor([[0, 0, 1, 0, 0, 1, 0, 0]]).expand(2, C)
        logits = model(ids, permutation=order).logits
        assert not torch.isclose(logits[:, 2], logits[:, 5]).all(-1).any()

    def test_positions_are_a_must(self):
        with pytest.raises(UserError, match="unknown positions='none'"):
            modern_xlnet_recipe(**SIZES, positions="none")


# --- as a model of the house ----------------------------------------------------------------------


class TestForward:
    def test_shapes(self, model, ids, order):
        output = model(ids, permutation=order)
        assert output.logits.shape == (2, C, V)
        assert output.hidden.shape == (2, C, 32)

    def test_too_long(self, model):
        with pytest.raises(UserError, match="9 tokens do not fit into the context_length of 8"):
            model(torch.zeros(1, C + 1).long())

    def test_looking_inside_changes_nothing(self, model, ids, order):
        with capture(model, "*") as seen:
            looked_at = model(ids, permutation=order).logits
        close(looked_at, model(ids, permutation=order).logits)
        assert seen["blocks.1.attention.weights"].shape == (2, 4, C, C)

    def test_dropout_only_in_training(self, ids, order):
        model = XLNet(xlnet_recipe(**SIZES, dropout=0.3))
        assert not torch.equal(
            model(ids, permutation=order).logits, model(ids, permutation=order).logits
        )
        model.eval()
        assert torch.equal(
            model(ids, permutation=order).logits, model(ids, permutation=order).logits
        )


class TestTraining:
    def test_the_first_loss_is_that_of_guessing(self, config, ids, order):
        torch.manual_seed(0)
        logits = XLNet(config)(ids, permutation=order).logits
        targets = torch.randint(V, (2 * C,))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets)
        assert loss.item() == pytest.approx(math.log(V), abs=0.1)

    def test_everything_learns(self, model, ids, order):
        model(ids, permutation=order).logits.square().sum().backward()
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        # A constant added to all keys shifts all of a query's scores alike, which softmax ignores.
        assert all(name.endswith("k_proj.bias") for name in still), still

    def test_a_few_steps_learn_to_fill_in(self, config, ids):
        """One word of each row is predicted, last; the others tell which."""
        torch.manual_seed(0)
        model = XLNet(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        order = torch.tensor([[0, 1, 2, C - 1, 3, 4, 5, 6]]).expand(2, C)
        for _ in range(60):
            logits = model(ids, permutation=order).logits[:, 3]
            loss = nn.functional.cross_entropy(logits, ids[:, 3])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert ids[0, 3] != ids[1, 3]
        assert loss.item() < 0.2 < math.log(2)

    def test_seeded(self, config):
        torch.manual_seed(7)
        first = XLNet(config).state_dict()
        torch.manual_seed(7)
        second = XLNet(config).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)


class TestSizes:
    def test_parameters_are_counted_by_formula(self, config):
        model = XLNet(config)
        assert config.n_parameters == sum(p.numel() for p in model.parameters())
        assert model.n_parameters == config.n_parameters

    @pytest.mark.parametrize("length", [1, 5, C])
    def test_operations_are_counted_by_formula(self, config, length):
        """Multiplications and additions of one forward pass, as torch counts them."""
        model = XLNet(config)
        with FlopCounterMode(display=False) as counter, capture(model, "*.weights"):
            model(torch.zeros(3, length).long())
        assert 3 * config.forward_flops(length) == counter.get_total_flops()

    def test_training_on_a_token(self, config):
        """Forward and backward over a whole row, shared by its tokens."""
        model = XLNet(config)
        with FlopCounterMode(display=False) as counter, capture(model, "*.weights"):
            output = model(torch.zeros(1, C).long())
            (output.logits.sum() + output.hidden.sum()).backward()
        assert model.flops_per_token == counter.get_total_flops() / C
        assert model.flops_per_token == config.flops_per_token


class TestRecipes:
    def test_xlnet(self):
        model = XLNet(CONFIGS["xlnet"])
        assert isinstance(model.norm, nn.Identity)
        assert isinstance(model.blocks[0].mlp, GELUMLP)
        assert model.lm_head.weight is model.token_embedding.weight
        assert model.lm_head.bias is not None
        first, second = (block.attention.position_bias for block in model.blocks)
        assert first is second
        nn.init.normal_(first.weight)
        biases = first(3, 3)
        assert (biases[:, 0, 1] != biases[:, 0, 2]).all()  # looking back only, both are bucket 0

    def test_modern(self):
        model = XLNet(CONFIGS["modern"])
        assert isinstance(model.blocks[0].mlp, GEGLU)
        assert model.blocks[0].attention.rotary is not None
        assert not any(name.endswith("bias") for name, _ in model.named_parameters())
        assert not model.blocks[1].mlp.down_proj.weight.any()  # begins as the identity
