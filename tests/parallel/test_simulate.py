"""The forecast of a step: by hand where a hand can do it, and by laws that it must keep."""

from dataclasses import replace

import pytest

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.parallel import costs
from llmcourse.parallel.costs import Link
from llmcourse.parallel.simulate import (
    Cluster,
    Mixture,
    fastest,
    flops_per_token,
    forecast,
    h100s,
    memory_on_card,
    mixtures,
)

SMALL = GPTConfig(vocab_size=64, context_length=16, d_model=16, n_layers=4, n_heads=4)
SEVEN = GPTConfig(
    vocab_size=32000,
    context_length=4096,
    d_model=4096,
    n_layers=32,
    n_heads=32,
    d_ff=11008,
    mlp="swiglu",
    qk_norm=False,
)


def cluster(cards: int, **changes) -> Cluster:
    plain = Cluster(
        cards=cards,
        per_node=4,
        flops=1e9,
        memory=1e12,
        inside=Link(0.0, 1e9),
        between=Link(0.0, 1e8),
    )
    return replace(plain, **changes)


def test_one_card_computes_and_does_nothing_else():
    alone = forecast(SMALL, cluster(1), Mixture(), 8)
    n = GPT(SMALL).n_parameters
    operations = 8 * 16 * (6 * n + 6 * 4 * 16 * 16)  # sequences, tokens; weights and attention
    assert alone.seconds == alone.compute == pytest.approx(operations / 0.5e9)
    assert alone.mfu == pytest.approx(0.5)


def test_a_pipelines_bubble_is_the_known_share():
    fast = Link(0.0, 1e30)
    found = forecast(SMALL, cluster(4, inside=fast, between=fast), Mixture(pipeline=4), 12)
    assert found.bubble / found.seconds == pytest.approx(costs.bubble(4, 12))
    assert found.mfu == pytest.approx(0.5 * (1 - costs.bubble(4, 12)))


def test_tensor_parallelism_waits_for_what_the_cost_model_says():
    found = forecast(SMALL, cluster(2), Mixture(tensor=2), 3)
    each = costs.tensor_parallel_traffic(16, 16, 4, 2, 2)
    assert found.tensor == pytest.approx(3 * each.seconds(Link(0.0, 1e9)))


def test_gradients_hide_behind_the_last_backward_pass():
    """Bytes by hand: both halves of a ring of two carry half of the weights each, 2 bytes long."""
    n = GPT(SMALL).n_parameters
    slow = cluster(2, inside=Link(0.0, 1e4))
    found = forecast(SMALL, slow, Mixture(data=2), 8)  # four micro-batches on each
    travel = (2 * n + 16) / 1e4
    assert found.data == pytest.approx(travel - found.compute / 4 * 2 / 3, rel=1e-3)
    assert forecast(SMALL, cluster(2, inside=Link(0.0, 1e15)), Mixture(data=2), 8).data == 0


def test_zero_3_gathers_for_every_micro_batch():
    slow = cluster(2, inside=Link(0.0, 1e4))
    one, four = (forecast(SMALL, slow, Mixture(data=2, zero=3), n) for n in (2, 8))
    assert four.data == pytest.approx(4 * one.data)


def test_a_group_with_more_cards_in_a_machine_has_more_ways_out():
    """Eight ranks in two machines: four lanes between them, or one for each of four groups."""
    together = forecast(SMALL, cluster(8, flops=1e18), Mixture(data=8), 8)
    n = GPT(SMALL).n_parameters
    assert together.data == pytest.approx(2 * 7 / 8 * 2 * n / 4e8, rel=1e-2)
    apart = forecast(SMALL, cluster(8, flops=1e18), Mixture(data=2, tensor=4), 8)
    assert apart.data == pytest.approx(2 * 1 / 2 * 2 * (n / 4) / 1e8, rel=1e-2)


def test_memory_of_seven_billion_on_one_card():
    whole = memory_on_card(SEVEN, Mixture(), 1)
    kept = 34 * 4096 * 4096 * 32
    logits = 4 * 4096 * 32000
    assert whole == pytest.approx(16 * SEVEN.n_parameters + kept + logits)
    # Two stages keep two micro-batches of half of the layers; four ways keep a quarter of weights.
    halves = memory_on_card(SEVEN, Mixture(pipeline=2), 8)
    assert halves == pytest.approx(8 * SEVEN.n_parameters + kept + logits)
    quarter = memory_on_card(SEVEN, Mixture(tensor=4), 8)
    assert quarter == pytest.approx((16 * SEVEN.n_parameters + logits) / 4 + kept * 16 / 34)


def test_every_mixture_uses_all_cards_and_the_fastest_comes_first():
    every = list(mixtures(SEVEN, h100s(64), 256))
    assert len(set(every)) == len(every) > 20
    assert {mixture.cards for mixture in every} == {64}
    found = fastest(SEVEN, h100s(64), 256)
    assert 0 < len(found) < len(every)  # some do not fit
    assert [one.seconds for one in found] == sorted(one.seconds for one in found)
    assert all(one.memory <= 72e9 for one in found)
    assert all(one.mfu <= 0.5 for one in found)


def test_a_slower_network_never_makes_a_step_faster():
    for mixture in mixtures(SEVEN, h100s(32), 64):
        fast = forecast(SEVEN, h100s(32), mixture, 64)
        slow = replace(h100s(32), between=Link(1e-4, 1e9))
        assert forecast(SEVEN, slow, mixture, 64).seconds >= fast.seconds


def test_flops_are_six_a_weight_and_attention():
    weights = 6 * SEVEN.n_parameters
    assert flops_per_token(SEVEN) - weights == 6 * 32 * 4096 * 4096


@pytest.mark.parametrize(
    ("mixture", "sequences", "said"),
    [
        (Mixture(data=2), 4, "takes 2 cards, and there are 4"),
        (Mixture(tensor=4), 4, "2 key/value heads do not divide among 4"),
        (Mixture(data=4), 6, "6 sequences do not divide among 4"),
        (Mixture(data=2, pipeline=2, zero=3), 4, "take 1"),
    ],
)
def test_what_cannot_be_is_refused(mixture, sequences, said):
    config = replace(SMALL, n_kv_heads=2)
    with pytest.raises(UserError, match=said):
        forecast(config, cluster(4), mixture, sequences)


def test_layers_must_divide_among_stages():
    with pytest.raises(UserError, match="4 layers do not divide among 8 stages"):
        forecast(SMALL, cluster(8), Mixture(pipeline=8), 8)


def test_a_mixture_says_what_it_is():
    assert str(Mixture(data=2, tensor=4)) == "data 2, tensor 4, pipeline 1"
    assert str(Mixture(data=2, zero=3)).endswith(", ZeRO 3")
