"""Masked words: which tokens are hidden, what becomes of them, and that nothing leaks."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from numerics import close, in_double

from llmcourse.errors import UserError
from llmcourse.models.bert import BERT, bert_recipe, modern_bert_recipe
from llmcourse.objectives.base import IGNORE
from llmcourse.objectives.mlm import LONGEST_SPAN, UNITS, MaskedLM
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.randomness import numpy_rng, seed_all
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.registry import train_tokenizer

V, SPECIAL = 40, 3
PLAIN = Vocabulary.plain(V, (SPECIAL,))


def seed(number=0):
    return np.random.default_rng(number)


@functools.cache
def tinytown_rows(kind="byte", length=64, n_stories=120):
    """Tinytown's stories in windows, as a run reads them."""
    stories = [story.text for story in tinytown.stories(n_stories)]
    tokenizer = train_tokenizer(kind, stories[:200], 420)
    ids = [token for text in stories for token in [*tokenizer.encode(text), tokenizer.eot_id]]
    n_rows = len(ids) // length
    return Vocabulary.of(tokenizer), torch.tensor(ids[: n_rows * length]).view(n_rows, length)


@pytest.fixture
def tokens():
    """Half a million tokens would do; 80,000 leave five standard deviations below 0.7%."""
    return torch.from_numpy(seed(1).integers(V, size=(400, 200)))


def within(fraction, expected, n):
    """Whether a fraction of `n` draws is within five standard deviations of what is expected."""
    return abs(fraction - expected) < 5 * math.sqrt(expected * (1 - expected) / n)


class TestByHand:
    TOKENS = torch.tensor([[5, 6, 7, 8], [9, 10, SPECIAL, 11]])
    CHOSEN = torch.tensor([[False, True, True, False], [True, False, False, False]])

    def test_masked(self):
        masking = MaskedLM(PLAIN, replace=(1, 0, 0))
        batch = masking.hide(self.TOKENS, self.CHOSEN, seed())
        assert masking.mask_id == V
        assert batch.ids.tolist() == [[5, V, V, 8], [V, 10, SPECIAL, 11]]
        assert batch.targets.tolist() == [
            [IGNORE, 6, 7, IGNORE],
            [9, IGNORE, IGNORE, IGNORE],
        ]
        assert batch.extras == {}
        assert batch.labels is None

    def test_left_as_it_is_but_still_to_be_said(self):
        batch = MaskedLM(PLAIN, replace=(0, 0, 1)).hide(self.TOKENS, self.CHOSEN, seed())
        assert torch.equal(batch.ids, self.TOKENS)
        assert (batch.targets != IGNORE).tolist() == self.CHOSEN.tolist()

    def test_random(self):
        masking = MaskedLM(PLAIN, replace=(0, 1, 0))
        drawn = torch.stack([masking.corrupt(self.TOKENS, self.CHOSEN, seed(i)) for i in range(99)])
        assert torch.equal(drawn[:, ~self.CHOSEN], self.TOKENS[~self.CHOSEN].expand(99, -1))
        assert drawn.max() < V
        assert len(drawn[:, 0, 1].unique()) > 20
        assert not (drawn[:, 0, 1] == drawn[:, 0, 2]).all()  # each draws its own

    def test_words_of_a_text(self):
        """All bytes of a word, or none; what it becomes is decided once."""
        vocabulary, _ = tinytown_rows()
        tokens = torch.tensor([list(b"Ann had a cat. It sat.")])
        masking = MaskedLM(vocabulary, mask_rate=0.5, unit="word", replace=(1, 0, 0))
        seen = {
            "".join("_" if token == masking.mask_id else chr(token) for token in row)
            for row in (masking.prepare(tokens, seed(i)).ids[0].tolist() for i in range(300))
        }
        for line in seen:
            for start, end in ((0, 3), (4, 7), (10, 13), (15, 17), (18, 21)):
                assert set(line[start:end]) == {"_"} or "_" not in line[start:end]
        assert len(seen) > 200


class TestNaiveTwins:
    """The same draws, spent one token at a time."""

    @pytest.fixture(params=["plain", "bytes"])
    def some(self, request, tokens):
        return (PLAIN, tokens[:20]) if request.param == "plain" else tinytown_rows()

    @pytest.mark.parametrize("unit", ["token", "word"])
    def test_choice(self, unit, some):
        vocabulary, rows = some
        chosen = MaskedLM(vocabulary, unit=unit).choose(rows, seed())
        draws = seed().random(rows.shape)
        words = vocabulary.words(rows).tolist()
        for b, row in enumerate(rows.tolist()):
            for t, token in enumerate(row):
                place = t if unit == "token" else words[b][t]
                wanted = draws[b, place] < 0.15 and not vocabulary.is_special[token]
                assert chosen[b, t] == wanted

    def test_choice_of_spans(self, some):
        vocabulary, rows = some
        chosen = MaskedLM(vocabulary, unit="span", mask_rate=0.3).choose(rows, seed())
        rng = seed()
        for row, numbers, ours in zip(rows, vocabulary.words(rows), chosen, strict=True):
            text, numbers = (~vocabulary.is_special[row]).tolist(), numbers.tolist()
            assert ours.nonzero().flatten().tolist() == self.spans(text, numbers, 0.3, rng)

    @staticmethod
    def spans(text, words, rate, rng):
        hidden = set()
        budget = int(rate * sum(text) + rng.random())
        while len(hidden) < budget:
            seen = [t for t in range(len(text)) if text[t] and t not in hidden]
            word = words[seen[int(rng.choice(len(seen)))]]
            last = word + min(int(rng.geometric(1 / 3)), LONGEST_SPAN) - 1
            for t in range(words.index(word), len(words)):
                if words[t] > last or t in hidden or not text[t] or len(hidden) == budget:
                    break
                hidden.add(t)
        return sorted(hidden)

    @pytest.mark.parametrize("unit", UNITS)
    def test_corruption(self, unit, some):
        vocabulary, rows = some
        masking = MaskedLM(vocabulary, unit=unit, mask_rate=0.4, replace=(0.5, 0.3, 0.2))
        chosen = masking.choose(rows, seed(1))
        corrupted = masking.corrupt(rows, chosen, seed())
        rng = seed()
        draws, noise = rng.random(rows.shape), vocabulary.random_tokens(tuple(rows.shape), rng)
        words = vocabulary.words(rows).tolist()
        for b, row in enumerate(rows.tolist()):
            n_spans = 0
            for t, token in enumerate(row):
                n_spans += bool(chosen[b, t] and not (t and chosen[b, t - 1]))
                draw = draws[b, {"token": t, "word": words[b][t], "span": n_spans}[unit]]
                choices = [masking.mask_id, noise[b, t], token]
                fate = choices[int(np.searchsorted([0.5, 0.8], draw, side="right"))]
                assert corrupted[b, t] == (fate if chosen[b, t] else token)


class TestManyDraws:
    def test_the_share_of_tokens(self, tokens):
        text = tokens != SPECIAL
        chosen = MaskedLM(PLAIN).choose(tokens, seed())
        assert within(chosen[text].double().mean().item(), 0.15, int(text.sum()))
        assert not chosen[~text].any()

    def test_each_row_by_its_own_draws(self, tokens):
        counts = MaskedLM(PLAIN).choose(tokens, seed()).sum(1).double()
        wanted = 195 * 0.15 * 0.85  # the variance of a binomial
        assert counts.var().item() == pytest.approx(wanted, rel=0.4)

    def test_the_share_of_words(self):
        vocabulary, rows = tinytown_rows()
        rows = rows.repeat(10, 1)
        chosen = MaskedLM(vocabulary, unit="word").choose(rows, seed())
        words = vocabulary.words(rows)
        begins = torch.ones_like(chosen)
        begins[:, 1:] = words[:, 1:] != words[:, :-1]
        begins &= vocabulary.is_text(rows)
        assert within(chosen[begins].double().mean().item(), 0.15, int(begins.sum()))
        for row, numbers in zip(chosen[:99].tolist(), words[:99].tolist(), strict=True):
            fates = dict(zip(numbers, row, strict=True))
            assert row == [fates[number] for number in numbers]

    def test_the_share_of_spans(self, tokens):
        """In each row what was asked for, rounded down or up by chance."""
        chosen = MaskedLM(PLAIN, unit="span").choose(tokens, seed())
        text = tokens != SPECIAL
        budgets = text.sum(1) * 0.15
        difference = chosen.sum(1) - budgets
        assert difference.abs().max() < 1
        assert abs(difference.mean().item()) < 5 * 0.5 / math.sqrt(len(tokens))
        assert not chosen[~text].any()

    @pytest.mark.parametrize("mean", [1.0, 3.0, 8.0])
    def test_the_lengths_of_spans(self, mean):
        """Geometric, clipped; of a row so long that spans rarely touch."""
        rows = torch.full((40, 6000), 5)
        chosen = MaskedLM(PLAIN, mask_rate=0.01, unit="span", mean_span=mean).choose(rows, seed())
        lengths = [
            len(list(run)) for row in chosen.tolist() for hid, run in itertools.groupby(row) if hid
        ]
        p, longest = 1 / mean, LONGEST_SPAN
        exact = {n: p * (1 - p) ** (n - 1) for n in range(1, longest)}
        exact[longest] = 1 - sum(exact.values())
        touching = 0.03  # spans that meet, and those that are cut
        for n, fraction in exact.items():
            counted = np.mean(np.array(lengths) == n)
            spread = math.sqrt(fraction * (1 - fraction) / len(lengths))
            assert abs(counted - fraction) < 5 * spread + touching
        expected = sum(n * fraction for n, fraction in exact.items())
        assert np.mean(lengths) == pytest.approx(expected, rel=0.12)

    def test_80_10_10(self, tokens):
        masking = MaskedLM(PLAIN)
        batch = masking.prepare(tokens, seed())
        hidden = batch.targets != IGNORE
        n = int(hidden.sum())
        shown, right = batch.ids[hidden], batch.targets[hidden]
        assert within((shown == masking.mask_id).double().mean().item(), 0.8, n)
        kept = 0.1 + 0.1 / (V - 1)  # a random token may be the right one
        assert within((shown == right).double().mean().item(), kept, n)
        noise = (shown != masking.mask_id) & (shown != right)
        assert within(noise.double().mean().item(), 0.1 * (1 - 1 / (V - 1)), n)
        assert not (shown == SPECIAL).any()
        assert shown[noise].unique().numel() == V - 1

    @pytest.mark.parametrize("unit", ["word", "span"])
    def test_80_10_10_once_a_unit(self, unit):
        vocabulary, rows = tinytown_rows()
        rows = rows.repeat(4, 1)
        masking = MaskedLM(vocabulary, unit=unit)
        batch = masking.prepare(rows, seed())
        hidden, words = batch.targets != IGNORE, vocabulary.words(rows)
        masked, fates = batch.ids == masking.mask_id, []
        for b in range(len(rows)):
            keys = words[b].tolist() if unit == "word" else hidden[b].tolist()
            for _, places in itertools.groupby(range(rows.size(1)), key=keys.__getitem__):
                places = [t for t in places if hidden[b, t]]
                if places:
                    fate = set(masked[b, places].tolist())
                    assert len(fate) == 1
                    fates += fate
        assert within(np.mean(fates), 0.8, len(fates))

    def test_a_row_may_have_nothing_to_say(self):
        """It costs nothing: the loss is divided by what all rows have to say."""
        batch = MaskedLM(PLAIN).prepare(torch.full((1000, 4), 5), seed())
        empty = (batch.targets == IGNORE).all(1).double().mean().item()
        assert within(empty, 0.85**4, 1000)


class TestPure:
    @pytest.mark.parametrize("unit", UNITS)
    def test_same_draws_same_batch_and_the_input_is_left_alone(self, unit, tokens):
        masking, before = MaskedLM(PLAIN, unit=unit), tokens.clone()
        first, second, other = (masking.prepare(tokens, seed(i)) for i in (3, 3, 4))
        assert torch.equal(tokens, before)
        assert torch.equal(first.ids, second.ids)
        assert torch.equal(first.targets, second.targets)
        assert not torch.equal(first.ids, other.ids)

    @pytest.mark.parametrize("unit", UNITS)
    def test_only_what_may_be_chosen_is(self, unit):
        vocabulary, rows = tinytown_rows()
        text = torch.from_numpy(seed(5).random(rows.shape) < 0.4)
        chosen = MaskedLM(vocabulary, mask_rate=0.9, unit=unit).choose(rows, seed(), text)
        assert not chosen[~text].any()
        assert chosen[text].double().mean() > 0.8

    @pytest.mark.parametrize("unit", UNITS)
    def test_rate_1_hides_all_text(self, unit, tokens):
        chosen = MaskedLM(PLAIN, mask_rate=1.0, unit=unit).choose(tokens[:20], seed())
        assert torch.equal(chosen, tokens[:20] != SPECIAL)

    @pytest.mark.parametrize("unit", UNITS)
    def test_nothing_to_hide(self, unit):
        rows = torch.full((2, 5), SPECIAL)
        batch = MaskedLM(PLAIN, unit=unit).prepare(rows, seed())
        assert torch.equal(batch.ids, rows)
        assert (batch.targets == IGNORE).all()

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"mask_rate": 0.0}, "mask_rate=0.0 must be above 0 and at most 1"),
            ({"mask_rate": 1.5}, "mask_rate=1.5 must be above 0 and at most 1"),
            ({"unit": "words"}, "unknown unit='words'.*word"),
            ({"mean_span": 0.5}, "mean_span=0.5 must be at least 1"),
            ({"replace": (0.8, 0.1, 0.2)}, "must be three fractions that add up to 1"),
            ({"replace": (1.1, -0.1, 0.0)}, "must be three fractions that add up to 1"),
        ],
    )
    def test_bad_settings(self, settings, message):
        with pytest.raises(UserError, match=message) as caught:
            MaskedLM(PLAIN, **settings)
        assert "\n" not in str(caught.value)


def model_of(length=16):
    sizes = {"context_length": length, "d_model": 16, "n_layers": 2, "n_heads": 2}
    return in_double(lambda: BERT(bert_recipe(vocab_size=V + 1, **sizes)))


class TestNothingLeaks:
    def test_what_was_masked_cannot_be_read_off(self, tokens):
        """Other tokens below the masks make other targets, and the very same input."""
        masking, rows, model = MaskedLM(PLAIN), tokens[:8, :16], model_of()
        chosen = masking.choose(rows, seed())
        batch = masking.hide(rows, chosen, seed(1))
        replaced = chosen & (batch.ids != rows)
        assert replaced.sum() > 5
        others = torch.where(replaced, (rows + 1) % V, rows)
        changed = masking.hide(others, chosen, seed(1))
        assert not torch.equal(batch.targets, changed.targets)
        assert torch.equal(model(batch.ids).logits, model(changed.ids).logits)

    def test_all_the_rest_can(self, tokens):
        masking, rows, model = MaskedLM(PLAIN), tokens[:8, :16], model_of()
        batch = masking.prepare(rows, seed())
        visible = batch.targets == IGNORE
        for place in (0, 7, 15):
            ids = batch.ids.clone()
            ids[:, place] = (ids[:, place] + 1) % V
            changed = (model(batch.ids).logits != model(ids).logits).any(-1)
            assert changed[visible[:, place]].all()


class TestLoss:
    def test_brute_force(self, tokens):
        masking, rows = MaskedLM(PLAIN), tokens[:5, :16]
        batch = masking.prepare(rows, seed())
        with torch.no_grad():
            output = model_of()(batch.ids)
        total, count = masking.loss(output, batch)
        wanted, n = 0.0, 0
        for b, row in enumerate(batch.targets.tolist()):
            for t, target in enumerate(row):
                if target != IGNORE:
                    probabilities = output.logits[b, t].exp()
                    wanted -= math.log(probabilities[target] / probabilities.sum())
                    n += 1
        assert n == count > 3
        close(total, torch.tensor(wanted, dtype=torch.float64), largest=1)

    def test_micro_batches_add_up(self, tokens):
        masking, model = MaskedLM(PLAIN, unit="span"), model_of()
        batch = masking.prepare(tokens[:6, :16], seed())
        whole = masking.loss(model(batch.ids), batch)
        parts = [batch.rows(slice(0, 1)), batch.rows(slice(1, 4)), batch.rows(slice(4, 6))]
        sums = [masking.loss(model(part.ids), part) for part in parts]
        assert sum(part.count for part in sums) == whole.count
        close(sum(part.total for part in sums), whole.total, largest=1)

    @pytest.mark.slow
    def test_a_few_steps_beat_guessing_by_frequency(self):
        """By 0.3 nats and more, on stories that were held out."""
        seed_all(0)
        vocabulary, rows = tinytown_rows("bpe", length=24, n_stories=600)
        train, valid = rows[256:], rows[:256]
        masking, rng = MaskedLM(vocabulary), numpy_rng(0, "mlm")
        sizes = {"context_length": 24, "d_model": 64, "n_layers": 1, "n_heads": 4}
        model = BERT(modern_bert_recipe(vocab_size=vocabulary.size + 1, **sizes))
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for _ in range(200):
            batch = masking.prepare(train[rng.integers(len(train), size=64)], rng)
            total, count = masking.loss(model(batch.ids), batch)
            (total / count).backward()
            optimizer.step()
            optimizer.zero_grad()
        batch = masking.prepare(valid, seed())
        with torch.no_grad():
            total, count = masking.loss(model(batch.ids), batch)
        shares = torch.bincount(train.flatten(), minlength=vocabulary.size).add(1.0)
        hidden = batch.targets[batch.targets != IGNORE]
        baseline = -(shares / shares.sum()).log()[hidden].mean()
        assert total / count < baseline - 0.3
