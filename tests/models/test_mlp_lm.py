"""The neural n-gram: what it may see, what it computes, and that it learns."""

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.models.mlp_lm import MLPLM, MLPLMConfig
from llmcourse.objectives.clm import CausalLM

SIZES = {"vocab_size": 11, "context_length": 3, "d_model": 4, "d_ff": 8}


def model(**sizes) -> MLPLM:
    return MLPLM(MLPLMConfig(**{**SIZES, **sizes})).double()


def test_it_is_equation_1_of_bengio_et_al():
    mlp = model()
    ids = torch.tensor([[7, 2, 9, 4, 1]])
    e = mlp.token_embedding.weight
    for position in range(2, 5):
        x = torch.cat([e[ids[0, position - back]] for back in (2, 1, 0)])  # oldest first
        hidden = torch.tanh(mlp.hidden_proj.weight @ x + mlp.hidden_proj.bias)
        logits = mlp.lm_head.weight @ hidden + mlp.lm_head.bias
        torch.testing.assert_close(mlp(ids).logits[0, position], logits, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(mlp(ids).hidden[0, position], hidden, rtol=1e-10, atol=1e-10)


def test_before_the_beginning_stand_zeros():
    mlp = model()
    contexts = mlp.contexts(torch.ones(1, 2, 4, dtype=torch.float64))
    assert contexts[0, 0].tolist() == [0] * 8 + [1] * 4
    assert contexts[0, 1].tolist() == [0] * 4 + [1] * 8


def test_it_sees_its_context_and_nothing_else():
    mlp = model()
    ids = torch.tensor([[7, 2, 9, 4, 1, 3]])
    changed = ids.clone()
    changed[0, 2] = 5
    moved = (mlp(ids).logits != mlp(changed).logits).any(-1)[0]
    assert moved.tolist() == [False, False, True, True, True, False]


@pytest.mark.parametrize("sizes", [{}, {"context_length": 1, "d_ff": 3}])
def test_the_config_counts_its_parameters(sizes):
    mlp = model(**sizes)
    assert mlp.n_parameters == sum(p.numel() for p in mlp.parameters())


def test_it_learns_what_no_pair_of_words_tells():
    """The third word is decided by the first two together."""
    mlp = MLPLM(MLPLMConfig(vocab_size=5, context_length=2, d_model=8, d_ff=32))
    pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    rows = torch.cat([pairs, pairs.sum(1, keepdim=True) % 5], dim=1)
    objective, optimizer = CausalLM(), torch.optim.AdamW(mlp.parameters(), lr=0.02)
    batch = objective.prepare(rows)
    for _ in range(150):
        optimizer.zero_grad()
        objective.loss(mlp(batch.ids), batch).total.backward()
        optimizer.step()
    assert torch.equal(mlp(pairs).logits[:, -1].argmax(-1), rows[:, 2])
    written = generate(mlp, pairs, max_new_tokens=1, sampler=greedy)
    assert torch.equal(next(written), rows[:, 2])


@pytest.mark.parametrize("name", SIZES)
def test_sizes_below_one_are_refused(name):
    with pytest.raises(UserError, match=f"{name}=0 must be at least 1"):
        MLPLMConfig(**{**SIZES, name: 0})
