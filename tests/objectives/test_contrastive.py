import math
from collections import Counter

import numpy as np
import pytest
import torch
from numerics import in_double
from small_text import learn, score, story_rows

from llmcourse.errors import UserError
from llmcourse.models.dual_encoder import DualEncoder, DualOutput, dual_encoder_recipe
from llmcourse.objectives.base import IGNORE
from llmcourse.objectives.contrastive import Contrastive, draw_crop, similarities
from llmcourse.objectives.vocabulary import Vocabulary

V, END = 30, 29
VOCABULARY = Vocabulary.plain(V, special_ids=(END,))


def rng(seed=0):
    return np.random.default_rng(seed)


def tokens_of(n_rows, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(END, (n_rows, length), generator=generator)


def output_of(anchors, others):
    nothing = torch.zeros(len(anchors), 4, 0, dtype=anchors.dtype)
    return DualOutput(nothing, torch.zeros(len(anchors), 4, anchors.size(1)), anchors, others)


@pytest.fixture
def vectors():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 5, 8, dtype=torch.float64, generator=generator)


@pytest.fixture
def batch():
    return Contrastive(VOCABULARY).prepare(tokens_of(5, 4), rng())


# --- the loss -------------------------------------------------------------------------------------


class TestLoss:
    def test_worked_example(self):
        """Three texts; the second's views stand at right angles, the others' on one line."""
        anchors = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
        others = torch.tensor([[5.0, 0.0], [1.0, 0.0], [-4.0, 0.0]])
        found = similarities(anchors, others)
        assert found.tolist() == [[1, 1, -1], [0, 0, 0], [-1, -1, 1]]
        batch = Contrastive(VOCABULARY).prepare(tokens_of(3, 4), rng())
        total, count = Contrastive(VOCABULARY, temperature=1).loss(
            output_of(anchors, others), batch
        )
        e = math.e
        wanted = -math.log(e / (2 * e + 1 / e)) + math.log(3) - math.log(e / (e + 2 / e))
        assert count == 3
        assert total.item() == pytest.approx(wanted, abs=1e-5)

    @pytest.mark.parametrize("temperature", [0.05, 1.0])
    def test_brute_force(self, vectors, batch, temperature):
        anchors, others = vectors.tolist()

        def cosine(x, y):
            dot = sum(a * b for a, b in zip(x, y, strict=True))
            return dot / math.hypot(*x) / math.hypot(*y)

        wanted = 0.0
        for index, anchor in enumerate(anchors):
            scores = [math.exp(cosine(anchor, other) / temperature) for other in others]
            wanted -= math.log(scores[index] / sum(scores))
        loss = Contrastive(VOCABULARY, temperature).loss(output_of(*vectors), batch)
        assert loss.count == 5
        assert loss.total.item() == pytest.approx(wanted, abs=1e-10)

    def test_lengths_do_not_matter(self, vectors, batch):
        objective = Contrastive(VOCABULARY)
        before = objective.loss(output_of(*vectors), batch).total
        scaled = vectors * torch.linspace(0.1, 9, 5)[:, None]
        torch.testing.assert_close(objective.loss(output_of(*scaled), batch).total, before)

    def test_views_that_tell_nothing_cost_a_guess(self, batch):
        same = torch.ones(5, 8)
        loss = Contrastive(VOCABULARY).loss(output_of(same, same), batch)
        assert (loss.total / loss.count).item() == pytest.approx(math.log(5), abs=1e-5)

    def test_a_row_needs_the_others(self, vectors, batch):
        """Cut in two, a batch has fewer wrong answers: so rows are not independent."""
        objective = Contrastive(VOCABULARY)
        assert not objective.rows_are_independent
        whole = objective.loss(output_of(*vectors), batch).total
        parts = [slice(0, 2), slice(2, 5)]
        cut = sum(objective.loss(output_of(*vectors[:, p]), batch.rows(p)).total for p in parts)
        assert cut < whole - 0.1

    def test_a_low_temperature_looks_at_the_nearest(self, batch):
        """The gradient on each wrong text, at two temperatures: the nearest's fraction grows."""
        anchors = torch.tensor([[1.0, 0.0, 0.0]]).expand(5, 3).clone()
        angles = torch.tensor([0.2, 0.4, 0.8, 1.2, 1.6])
        others = torch.stack([angles.cos(), angles.sin(), torch.zeros(5)], dim=1).requires_grad_()
        fractions = []
        for temperature in (1.0, 0.05):
            objective = Contrastive(VOCABULARY, temperature)
            loss = objective.loss(output_of(anchors[:1], others), batch.rows(slice(1)))
            (gradient,) = torch.autograd.grad(loss.total, others)
            pushes = gradient[1:].norm(dim=1)
            fractions.append((pushes[0] / pushes.sum()).item())
        assert fractions[0] < 0.3 < 0.7 < fractions[1]

    def test_half_precision_is_compared_in_single(self, vectors, batch):
        loss = Contrastive(VOCABULARY).loss(output_of(*vectors.to(torch.bfloat16)), batch)
        assert loss.total.dtype == torch.float32

    def test_accuracy(self, batch):
        anchors = torch.eye(5)
        others = anchors[[0, 1, 3, 2, 4]]
        total, count = Contrastive(VOCABULARY).metrics(output_of(anchors, others), batch)[
            "pair accuracy"
        ]
        assert (total.item(), count.item()) == (3, 5)

    def test_it_is_the_first_view_that_looks_for_the_second(self, batch):
        """At 10 degrees 0 is nearer than 40; at 40, 10 is nearer than 0 or 90."""
        first, second = (torch.tensor(angles).deg2rad() for angles in ([0, 10, 90], [0, 40, 90]))
        output = output_of(*(torch.stack([a.cos(), a.sin()], dim=1) for a in (first, second)))
        metrics = Contrastive(VOCABULARY).metrics(output, batch.rows(slice(3)))
        assert metrics["pair accuracy"].total == 2


# --- the views ------------------------------------------------------------------------------------


class TestDropoutViews:
    def test_the_text_stays_as_it_is(self):
        tokens = tokens_of(3, 6)
        tokens[0, 4:] = END
        tokens[1, 2] = END
        batch = Contrastive(VOCABULARY).prepare(tokens, rng())
        assert torch.equal(batch.ids, tokens)
        assert (batch.targets == IGNORE).all()
        assert batch.extras.keys() == {"mask"}
        assert batch.extras["mask"][:, 0, 0].int().tolist() == [
            [1, 1, 1, 1, 0, 0],
            [1, 1, 0, 1, 1, 1],
            [1, 1, 1, 1, 1, 1],
        ]


def naive_crop(row, fraction, starts):
    """One row, token by token; `starts` gives the draw."""
    text = [index for index, token in enumerate(row) if token != END]
    if not text:
        return []
    begin, end = text[0], text[-1] + 1
    kept = math.ceil((end - begin) * fraction)
    start = begin + starts.pop(0)
    assert start + kept <= end
    return row[start : start + kept]


class Starts(np.random.Generator):
    """A generator that remembers what it drew."""

    def __init__(self, seed):
        super().__init__(np.random.PCG64(seed))
        self.drawn = []

    def integers(self, low, high):
        found = super().integers(low, high)
        self.drawn.append(found)
        return found


class TestCrops:
    def test_worked_example(self):
        """Half of the text between the paddings, from its only or its first possible place."""
        row = torch.tensor([[END, 1, 2, 3, 4, END]])
        found = set()
        for seed in range(30):
            crop = draw_crop(row, row != END, 0.5, END, rng(seed))
            assert crop.is_text.tolist() == [[True, True, False]]
            found.add(tuple(crop.tokens[0].tolist()))
        assert found == {(1, 2, END), (2, 3, END), (3, 4, END)}

    @pytest.mark.parametrize("fraction", [0.1, 0.5, 0.7, 1.0])
    def test_crops_are_the_naive_ones(self, fraction):
        tokens = tokens_of(8, 11)
        tokens[0, 6:] = END
        tokens[1, :4] = END
        tokens[2, 3:5] = END
        tokens[3] = END
        tokens[4, 1:] = END
        draws = Starts(0)
        crop = draw_crop(tokens, tokens != END, fraction, END, draws)
        assert crop.tokens.shape == (8, math.ceil(11 * fraction))
        (starts,) = draws.drawn
        for row in range(8):
            wanted = naive_crop(tokens[row].tolist(), fraction, [int(starts[row])])
            shown = crop.tokens[row].tolist()
            assert shown[: len(wanted)] == wanted
            assert all(token == END for token in shown[len(wanted) :])
            text = [token != END for token in wanted] + [False] * (len(shown) - len(wanted))
            assert crop.is_text[row].tolist() == text

    def test_every_place_is_as_likely(self):
        n = 6_000
        tokens = torch.arange(10).expand(n, 10)
        crop = draw_crop(tokens, torch.ones_like(tokens).bool(), 0.5, END, rng())
        starts = Counter(crop.tokens[:, 0].tolist())
        assert starts.keys() == set(range(6))
        spread = math.sqrt(n * (1 / 6) * (5 / 6))
        assert all(abs(count - n / 6) < 5 * spread for count in starts.values()), starts

    def test_the_two_views_are_drawn_independently(self):
        """Of 6 by 6 pairs of places each is as likely."""
        n = 9_000
        objective = Contrastive(VOCABULARY, views="crop")
        batch = objective.prepare(torch.arange(10).expand(n, 10), rng())
        pairs = torch.stack([batch.ids[:, 0], batch.extras["others"][:, 0]], dim=1)
        found = Counter(tuple(pair) for pair in pairs.tolist())
        spread = math.sqrt(n * (1 / 36) * (35 / 36))
        assert len(found) == 36
        assert all(abs(count - n / 36) < 5 * spread for count in found.values()), found

    def test_prepared(self):
        tokens = tokens_of(4, 10)
        tokens[0, 6:] = END
        batch = Contrastive(VOCABULARY, views="crop").prepare(tokens, rng())
        assert batch.ids.shape == batch.targets.shape == batch.extras["others"].shape == (4, 5)
        assert (batch.targets == IGNORE).all()
        for mask in (batch.extras["mask"], batch.extras["others_mask"]):
            assert mask.shape == (4, 1, 1, 5)
            assert mask.sum(dim=(1, 2, 3)).tolist() == [3, 5, 5, 5]


@pytest.mark.parametrize("views", ["dropout", "crop"])
class TestBothViews:
    def test_chance_is_the_callers_and_the_input_is_left_as_it_was(self, views):
        objective, tokens = Contrastive(VOCABULARY, views=views), tokens_of(6, 12)
        before = tokens.clone()
        first, second, third = (objective.prepare(tokens, rng(s)) for s in (3, 3, 4))
        assert torch.equal(tokens, before)
        assert torch.equal(first.ids, second.ids)
        assert torch.equal(first.ids, third.ids) == (views == "dropout")

    def test_what_is_no_text_is_not_seen(self, views):
        """Padding and separators change no vector; text does."""
        tokens = tokens_of(3, 12)
        tokens[0, 6:] = END
        tokens[1, 5] = END
        batch = Contrastive(VOCABULARY, views=views).prepare(tokens, rng())
        sizes = {"context_length": 12, "d_model": 16, "n_layers": 2, "n_heads": 2}
        model = in_double(lambda: DualEncoder(dual_encoder_recipe(vocab_size=V, **sizes)))
        before = model(ids=batch.ids, **batch.extras)
        text = batch.extras["mask"][:, 0, 0]
        assert not text.all()
        filled = model(ids=torch.where(text, batch.ids, 3), **batch.extras)
        assert torch.equal(filled.anchors, before.anchors)
        other = model(ids=torch.where(text, (batch.ids + 1) % END, batch.ids), **batch.extras)
        assert not torch.isclose(other.anchors, before.anchors).all(-1).any()

    def test_a_row_without_text_is_finite(self, views):
        tokens = tokens_of(2, 8)
        tokens[1] = END
        objective = Contrastive(VOCABULARY, views=views)
        batch = objective.prepare(tokens, rng())
        sizes = {"context_length": 8, "d_model": 16, "n_layers": 1, "n_heads": 2}
        model = DualEncoder(dual_encoder_recipe(vocab_size=V, **sizes))
        loss = objective.loss(model(ids=batch.ids, **batch.extras), batch)
        loss.total.backward()
        assert loss.total.isfinite()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "temperature=0 must be above 0"),
        ({"views": "crops"}, "unknown views='crops'; did you mean 'crop'"),
        ({"crop": 1.5}, "crop=1.5 must be above 0 and at most 1"),
        ({"crop": 0}, "crop=0 must be above 0 and at most 1"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        Contrastive(VOCABULARY, **settings)


@pytest.mark.slow
def test_a_small_model_beats_guessing():
    """Which half of a story goes with this one, out of 128? Shared words tell an untrained mean of
    random vectors most of the time; training halves what is left open."""
    vocabulary, rows = story_rows(1600)
    held_out = story_rows(128, seed=2)[1]
    torch.manual_seed(0)
    sizes = {"context_length": 55, "d_model": 48, "n_layers": 1, "n_heads": 4}
    model = DualEncoder(dual_encoder_recipe(vocab_size=vocabulary.size, **sizes)).eval()
    objective = Contrastive(vocabulary, views="crop")
    with torch.no_grad():
        before = score(model, objective, held_out, rng())
    learn(model, objective, rows, steps=60, batch=32)
    with torch.no_grad():
        after = score(model, objective, held_out, rng())
    assert before.total / before.count < 0.35 * math.log(128)
    assert after.total < 0.65 * before.total
