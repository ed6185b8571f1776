import math

import numerics
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from llmcourse.models.base import Output
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.objectives.base import IGNORE, Batch
from llmcourse.objectives.clm import CausalLM, document_ids

V = 11


def output(logits):
    return Output(logits, torch.zeros(*logits.shape[:2], 4))


@pytest.fixture
def batch():
    tokens = torch.randint(V, (3, 6), generator=torch.Generator().manual_seed(0))
    return CausalLM().prepare(tokens)


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 5, V, dtype=torch.float64, generator=generator)


def test_targets_are_the_next_tokens():
    batch = CausalLM().prepare(torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]), np.random.default_rng())
    assert batch.ids.tolist() == [[1, 2, 3], [5, 6, 7]]
    assert batch.targets.tolist() == [[2, 3, 4], [6, 7, 8]]
    assert batch.extras == {}


def test_a_window_is_as_much_longer_as_the_objective_says():
    batch = CausalLM().prepare(torch.zeros(2, CausalLM().window(8), dtype=torch.long))
    assert batch.ids.shape == batch.targets.shape == (2, 8)


def test_the_loss_is_a_sum_of_code_lengths(batch, logits):
    total, count = CausalLM().loss(output(logits), batch)
    wanted = -sum(
        math.log(math.exp(logits[b, t, batch.targets[b, t]]) / logits[b, t].exp().sum())
        for b in range(3)
        for t in range(5)
    )
    assert count == 15
    assert total.item() == pytest.approx(wanted, abs=1e-10)


def test_divided_it_is_the_librarys_mean(batch, logits):
    total, count = CausalLM().loss(output(logits), batch)
    theirs = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
    torch.testing.assert_close(total / count, theirs, rtol=0, atol=1e-10)


def test_ignored_positions_neither_cost_nor_count(batch, logits):
    targets = batch.targets.clone()
    targets[0, 2:] = IGNORE
    targets[2] = IGNORE
    total, count = CausalLM().loss(output(logits), Batch(ids=batch.ids, targets=targets))
    first = CausalLM().loss(
        output(logits[:1, :2]), Batch(ids=batch.ids[:1, :2], targets=targets[:1, :2])
    )
    second = CausalLM().loss(
        output(logits[1:2]), Batch(ids=batch.ids[1:2], targets=batch.targets[1:2])
    )
    assert count == 2 + 5
    torch.testing.assert_close(total, first.total + second.total, rtol=0, atol=1e-10)


def test_nothing_to_score_is_zero_not_nan(batch, logits):
    nothing = Batch(ids=batch.ids, targets=torch.full_like(batch.targets, IGNORE))
    total, count = CausalLM().loss(output(logits), nothing)
    assert (total.item(), count.item()) == (0.0, 0)


def test_micro_batches_add_up_whatever_their_padding(batch, logits):
    """Sums and counts give the whole batch's mean; a mean of means would not."""
    targets = batch.targets.clone()
    targets[0, 1:] = IGNORE
    objective = CausalLM()
    whole = objective.loss(output(logits), Batch(ids=batch.ids, targets=targets))
    parts = [
        objective.loss(
            output(logits[i : i + 1]), Batch(ids=batch.ids[:1], targets=targets[i, None])
        )
        for i in range(3)
    ]
    total, count = sum(p.total for p in parts), sum(p.count for p in parts)
    torch.testing.assert_close(total / count, whole.total / whole.count, rtol=0, atol=1e-10)
    mean_of_means = sum(p.total / p.count for p in parts) / 3
    assert abs(mean_of_means - whole.total / whole.count) > 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_single(dtype):
    """4096 positions of about 9 nats: beyond what half precision can add up."""
    logits = torch.randn(4, 1024, 8192, generator=torch.Generator().manual_seed(0)).to(dtype)
    targets = torch.zeros(4, 1024, dtype=torch.long)
    total, _ = CausalLM().loss(output(logits), Batch(ids=targets, targets=targets))
    exact = F.cross_entropy(logits.double().flatten(0, 1), targets.flatten(), reduction="sum")
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(exact.item(), rel=1e-6)


def test_batches_move_with_all_they_hold(batch):
    moved = Batch(ids=batch.ids, targets=batch.targets, extras={"mask": batch.ids > 3}).rows(
        slice(1), torch.device("meta")
    )
    assert len(moved.ids) == 1
    assert {moved.ids.device.type, moved.targets.device.type} == {"meta"}
    assert moved.extras["mask"].device.type == "meta"


def test_a_model_that_copies_its_input_is_caught_out():
    """Were the targets not shifted, repeating the token just read would score perfectly."""
    sizes = {"vocab_size": V, "context_length": 8, "d_model": 32, "n_layers": 1, "n_heads": 2}
    model = GPT(modern_recipe(**sizes, tie_embeddings=True))
    with torch.no_grad():
        model.token_embedding.weight.mul_(50)
    batch = CausalLM().prepare(torch.arange(9)[None])
    output = model(batch.ids)
    assert torch.equal(output.logits.argmax(-1), batch.ids)
    total, count = CausalLM().loss(output, batch)
    assert total / count > math.log(V)


# --- documents kept apart ------------------------------------------------------------------------

END = 10


def in_double():
    sizes = {"vocab_size": V, "context_length": 16, "d_model": 16, "n_layers": 2, "n_heads": 2}
    return numerics.in_double(lambda: GPT(modern_recipe(**sizes)))


def test_a_separator_belongs_to_the_document_that_it_begins():
    ids = torch.tensor([[1, 2, END, 3, END, END, 4]])
    assert document_ids(ids, END).tolist() == [[0, 0, 1, 1, 2, 3, 3]]


def test_without_a_separator_there_is_no_mask(batch):
    assert "mask" not in batch.extras


def test_packed_documents_are_scored_as_if_each_stood_alone():
    """What a window of two documents costs is what the two cost in windows of their own."""
    model = in_double()
    first, second = [1, 2, 3, 4], [5, 6, 7]
    objective = CausalLM(separator=END)
    packed = objective.prepare(torch.tensor([[END, *first, END, *second, END]]))
    alone = [objective.prepare(torch.tensor([[END, *text, END]])) for text in (first, second)]
    scores = [objective.loss(model(ids=b.ids, **b.extras), b) for b in (packed, *alone)]
    assert scores[0].count == scores[1].count + scores[2].count == 9
    numerics.close(scores[0].total, scores[1].total + scores[2].total)
    unmasked = CausalLM().loss(model(ids=packed.ids), packed)
    assert (unmasked.total - scores[0].total).abs() > 0.01


def test_nothing_leaks_between_documents():
    model = in_double()
    objective = CausalLM(separator=END)
    rows = torch.tensor([[1, 2, 3, END, 5, 6, 7], [1, 9, 3, END, 5, 6, 7]])
    batch = objective.prepare(rows)
    logits = model(ids=batch.ids, **batch.extras).logits
    numerics.close(logits[0, 3:], logits[1, 3:])
    assert (logits[0, 1:3] - logits[1, 1:3]).abs().min() > 1e-6
