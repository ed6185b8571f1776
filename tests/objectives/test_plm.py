import itertools
import math

import numpy as np
import pytest
import torch
from numerics import close, in_double
from small_text import guessing, learn, score, story_rows

from llmcourse.errors import UserError
from llmcourse.models.base import Output
from llmcourse.models.xlnet import XLNet, modern_xlnet_recipe
from llmcourse.objectives.base import IGNORE
from llmcourse.objectives.plm import PermutationLM, ranks
from llmcourse.objectives.vocabulary import Vocabulary

V = 11
PLAIN = Vocabulary.plain(V)
WITH_END = Vocabulary.plain(V, special_ids=(10,))


def rng(seed=0):
    return np.random.default_rng(seed)


def tokens_of(n_rows, length, seed=0):
    return torch.randint(10, (n_rows, length), generator=torch.Generator().manual_seed(seed))


class Draws(np.random.Generator):
    """A generator whose every draw is known."""

    def __init__(self, numbers):
        super().__init__(np.random.PCG64())
        self.numbers = np.array(numbers)

    def random(self, shape):
        assert shape == self.numbers.shape
        return self.numbers


class TestPrepare:
    def test_ranks(self):
        draws = torch.tensor([[0.3, 0.9, 0.1], [0.5, 0.6, 0.7]])
        assert ranks(draws).tolist() == [[1, 2, 0], [0, 1, 2]]

    def test_worked_example(self):
        """Six tokens, a third of them asked for: the two that come last in the order."""
        draws = Draws([[0.3, 0.9, 0.1, 0.5, 0.8, 0.2]])
        batch = PermutationLM(PLAIN, predict_one_in=3).prepare(
            torch.tensor([[5, 6, 7, 8, 9, 4]]), draws
        )
        assert batch.ids.tolist() == [[5, 6, 7, 8, 9, 4]]
        assert batch.extras["permutation"].tolist() == [[2, 5, 0, 3, 4, 1]]
        assert batch.targets.tolist() == [[IGNORE, 6, IGNORE, IGNORE, 9, IGNORE]]
        assert batch.labels is None

    def test_special_tokens_come_first_and_are_not_asked_for(self):
        draws = Draws([[0.3, 0.9, 0.1, 0.5, 0.8, 0.2]])
        tokens = torch.tensor([[5, 10, 7, 8, 10, 4]])
        batch = PermutationLM(WITH_END, predict_one_in=1).prepare(tokens, draws)
        assert batch.extras["permutation"].tolist() == [[4, 1, 2, 5, 0, 3]]
        assert batch.targets.tolist() == [[5, IGNORE, 7, 8, IGNORE, 4]]

    def test_a_row_of_nothing_but_special_tokens(self):
        batch = PermutationLM(WITH_END).prepare(torch.full((2, 5), 10), rng())
        assert (batch.targets == IGNORE).all()

    @pytest.mark.parametrize(("length", "predict", "scored"), [(12, 6, 2), (13, 6, 2), (5, 1, 5)])
    def test_how_many_are_asked_for(self, length, predict, scored):
        batch = PermutationLM(PLAIN, predict).prepare(tokens_of(7, length), rng())
        assert ((batch.targets != IGNORE).sum(dim=1) == scored).all()

    def test_at_least_one_is(self):
        batch = PermutationLM(PLAIN, predict_one_in=6).prepare(tokens_of(7, 4), rng())
        assert ((batch.targets != IGNORE).sum(dim=1) == 1).all()

    def test_every_order_is_as_likely(self):
        """24 orders of 4 tokens, each within five standard deviations of its share."""
        n = 24_000
        order = (
            PermutationLM(PLAIN).prepare(tokens_of(1, 4).expand(n, 4), rng()).extras["permutation"]
        )
        found = dict.fromkeys(itertools.permutations(range(4)), 0)
        for z, count in zip(*torch.unique(order, dim=0, return_counts=True), strict=True):
            found[tuple(z.tolist())] = int(count)
        spread = math.sqrt(n * (1 / 24) * (23 / 24))
        assert all(abs(count - n / 24) < 5 * spread for count in found.values()), found

    def test_every_place_is_asked_for_as_often(self):
        n, length = 6_000, 12
        batch = PermutationLM(PLAIN).prepare(tokens_of(n, length), rng(1))
        counts = (batch.targets != IGNORE).sum(dim=0)
        spread = math.sqrt(n * (1 / 6) * (5 / 6))
        assert ((counts - n / 6).abs() < 5 * spread).all(), counts

    def test_chance_is_the_callers(self):
        tokens = tokens_of(4, 12)
        first, second, third = (PermutationLM(PLAIN).prepare(tokens, rng(s)) for s in (3, 3, 4))
        assert torch.equal(first.extras["permutation"], second.extras["permutation"])
        assert torch.equal(first.targets, second.targets)
        assert not torch.equal(first.extras["permutation"], third.extras["permutation"])

    def test_the_input_is_left_as_it_was(self):
        tokens = tokens_of(4, 12)
        before = tokens.clone()
        PermutationLM(WITH_END).prepare(tokens, rng())
        assert torch.equal(tokens, before)

    def test_bad_shares(self):
        with pytest.raises(UserError, match="predict_one_in=0 must be at least 1"):
            PermutationLM(PLAIN, predict_one_in=0)


SIZES = {"context_length": 12, "d_model": 16, "n_layers": 2, "n_heads": 2}


@pytest.fixture
def model():
    return in_double(lambda: XLNet(modern_xlnet_recipe(vocab_size=V, **SIZES)))


class TestLoss:
    def test_brute_force(self):
        batch = PermutationLM(PLAIN, predict_one_in=3).prepare(tokens_of(3, 6), rng())
        generator = torch.Generator().manual_seed(1)
        logits = torch.randn(3, 6, V, dtype=torch.float64, generator=generator)
        loss = PermutationLM(PLAIN).loss(Output(logits, torch.zeros(3, 6, 4)), batch)
        wanted, order = 0.0, batch.extras["permutation"]
        for b, t in itertools.product(range(3), range(6)):
            if order[b, t] >= 4:
                p = logits[b, t].exp() / logits[b, t].exp().sum()
                wanted -= math.log(p[batch.ids[b, t]])
        assert loss.count == 6
        assert loss.total.item() == pytest.approx(wanted, abs=1e-10)

    def test_over_all_orders_it_is_the_mean_of_all_factorisations(self, model):
        """Each order's loss, built factor by factor from texts that lack what follows."""
        tokens, objective = torch.tensor([[4, 7, 2]]), PermutationLM(PLAIN, predict_one_in=1)
        seen, wanted = {}, {}
        for places in itertools.permutations(range(3)):
            order, chain = torch.tensor([places]).argsort(dim=1), 0.0
            for step, place in enumerate(places):
                known = torch.full_like(tokens, 9)
                known[0, list(places[:step])] = tokens[0, list(places[:step])]
                logs = model(known, permutation=order).logits[0, place].log_softmax(-1)
                chain -= logs[tokens[0, place]].item()
            wanted[tuple(order[0].tolist())] = chain
        draws = rng()
        while len(seen) < 6:
            batch = objective.prepare(tokens, draws)
            loss = objective.loss(model(ids=batch.ids, **batch.extras), batch)
            assert loss.count == 3
            seen[tuple(batch.extras["permutation"][0].tolist())] = loss.total.item()
        assert seen == pytest.approx(wanted, abs=1e-10)

    def test_micro_batches_add_up(self, model):
        objective = PermutationLM(WITH_END)
        tokens = tokens_of(6, 12)
        tokens[2, 3:] = 10
        batch = objective.prepare(tokens, rng())
        whole = objective.loss(model(ids=batch.ids, **batch.extras), batch)
        parts = [batch.rows(slice(start, start + 2)) for start in (0, 2, 4)]
        losses = [objective.loss(model(ids=part.ids, **part.extras), part) for part in parts]
        close(sum(loss.total for loss in losses), whole.total)
        assert sum(loss.count for loss in losses) == whole.count

    def test_what_is_asked_for_is_not_given_away(self, model):
        """The token that comes last changes nothing but what it costs; the first changes all."""
        objective = PermutationLM(PLAIN)
        batch = objective.prepare(tokens_of(1, 12), rng())
        order = batch.extras["permutation"]
        asked = batch.targets != IGNORE
        before = model(ids=batch.ids, **batch.extras).logits[asked]
        for rank, changes in ((11, [False, False]), (10, [False, True]), (0, [True, True])):
            ids = torch.where(order == rank, (batch.ids + 1) % 10, batch.ids)
            after = model(ids=ids, **batch.extras).logits[asked]
            moved = (before != after).any(-1)[order[asked].argsort()]
            assert moved.tolist() == changes


@pytest.mark.slow
def test_a_small_model_beats_guessing():
    vocabulary, rows = story_rows(1600)
    torch.manual_seed(0)
    sizes = {"context_length": 32, "d_model": 48, "n_layers": 2, "n_heads": 4}
    model = XLNet(modern_xlnet_recipe(vocab_size=vocabulary.size, **sizes))
    objective = PermutationLM(vocabulary, predict_one_in=2)
    learn(model, objective, rows[:, :32], steps=100)
    held_out = story_rows(64, seed=2)[1][:, :32]
    with torch.no_grad():
        loss = score(model, objective, held_out, rng())
    assert loss.total / loss.count < 0.6 * guessing(held_out)
