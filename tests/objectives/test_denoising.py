import math
from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from numerics import close, in_double
from small_text import guessing, learn, score, story_rows

from llmcourse.errors import UserError
from llmcourse.models.base import Output
from llmcourse.models.encoder_decoder import EncoderDecoder, modern_encoder_decoder_recipe
from llmcourse.objectives.denoising import (
    SpanCorruption,
    TextInfilling,
    delete_tokens,
    fill_in,
    infill,
    mask_tokens,
    permute_sentences,
    pieces,
    replace_runs,
    rotate_document,
    shift_right,
    span_counts,
    spans_to_hide,
)
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer

V, END = 30, 29
PLAIN = Vocabulary.plain(V)
WITH_END = Vocabulary.plain(V, special_ids=(END,))
MASK = V


def rng(seed=0):
    return np.random.default_rng(seed)


def tokens_of(n_rows, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, END, (n_rows, length), generator=generator)


def within(count, n, share):
    """Whether a count of n draws lies within five standard deviations of its share."""
    return abs(count - n * share) < 5 * math.sqrt(n * share * (1 - share))


def build(vocab_size, context_length):
    sizes = {"context_length": context_length, "d_model": 16, "n_layers": 2, "n_heads": 2}
    config = modern_encoder_decoder_recipe(vocab_size=vocab_size, **sizes)
    return in_double(lambda: EncoderDecoder(config))


def assert_adds_up(objective, model, batch):
    whole = objective.loss(model(ids=batch.ids, **batch.extras), batch)
    parts = [batch.rows(slice(start, start + 2)) for start in (0, 2, 4)]
    losses = [objective.loss(model(ids=part.ids, **part.extras), part) for part in parts]
    close(sum(loss.total for loss in losses), whole.total)
    assert sum(loss.count for loss in losses) == whole.count


# --- T5 ------------------------------------------------------------------------------------------


def naive_span_corruption(row, hidden, first):
    """One row, token by token: its source and its target."""
    source, target, sentinel = [], [], first - 1
    for index, (token, hide) in enumerate(zip(row, hidden, strict=True)):
        if not hide:
            source.append(token)
            continue
        if index == 0 or not hidden[index - 1]:
            sentinel += 1
            source.append(sentinel)
            target.append(sentinel)
        target.append(token)
    return source, [*target, sentinel + 1]


class TestSpans:
    def test_worked_example(self):
        """Thank you [for inviting] me to [your party], with its words numbered from 1."""
        row = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]])
        hidden = torch.tensor([[0, 0, 1, 1, 0, 0, 1, 1]]).bool()
        assert replace_runs(row, hidden, 30).tolist() == [[1, 2, 30, 5, 6, 31]]
        assert replace_runs(row, ~hidden, 30).tolist() == [[30, 3, 4, 31, 7, 8]]
        source, target = naive_span_corruption(row[0].tolist(), hidden[0].tolist(), 30)
        assert (source, target) == ([1, 2, 30, 5, 6, 31], [30, 3, 4, 31, 7, 8, 32])
        assert shift_right(torch.tensor([target]), 0).tolist() == [[0, 30, 3, 4, 31, 7, 8]]

    def test_prepared_rows_are_the_naive_ones(self, monkeypatch):
        objective, tokens, drawn = SpanCorruption(WITH_END, 48), tokens_of(20, 50), {}

        def remember(*arguments):
            drawn["hidden"] = spans_to_hide(*arguments)
            return drawn["hidden"]

        monkeypatch.setattr("llmcourse.objectives.denoising.spans_to_hide", remember)
        batch = objective.prepare(tokens, rng())
        for row in range(20):
            source, target = naive_span_corruption(
                tokens[row].tolist(), drawn["hidden"][row].tolist(), V
            )
            assert batch.extras["source"][row].tolist() == source
            assert batch.targets[row].tolist() == target
            assert batch.ids[row].tolist() == [END, *target[:-1]]

    def test_the_answer_fills_the_source(self):
        objective, tokens = SpanCorruption(PLAIN, 48), tokens_of(50, 51)
        batch = objective.prepare(tokens, rng())
        sources, targets = batch.extras["source"].tolist(), batch.targets.tolist()
        for row, source, target in zip(tokens.tolist(), sources, targets, strict=True):
            assert fill_in(source, target, V) == row

    def test_what_an_answer_lacks_stays_open(self):
        assert fill_in([1, 30, 4, 31, 6], [30, 2, 3], 30) == [1, 2, 3, 4, 31, 6]
        assert fill_in([1, 30, 4], [9, 9, 30, 31, 7], 30) == [1, 4]

    def test_the_papers_sizes(self):
        """T5 reads 512 and writes 114 of 568 tokens (an end of text on each side among them)."""
        counts = span_counts(568, 0.15, 3.0)
        assert (counts.hidden, counts.spans) == (85, 28)
        assert counts.source + 1 == 512
        assert counts.target == 114

    @pytest.mark.parametrize("rate", [0.05, 0.15, 0.5, 0.9])
    @pytest.mark.parametrize("mean_span", [1.0, 3.0, 10.0])
    def test_rows_have_the_sizes_that_were_said(self, rate, mean_span):
        for length in (2, 3, 7, 20, 65):
            counts = span_counts(length, rate, mean_span)
            hidden = spans_to_hide(9, length, counts, rng())
            begins = hidden[:, 1:] & ~hidden[:, :-1]
            assert (hidden.sum(dim=1) == counts.hidden).all()
            assert (begins.sum(dim=1) == counts.spans).all()
            assert not hidden[:, 0].any()
            assert hidden[:, -1].all()
            assert abs(counts.hidden - rate * length) <= 0.5 or counts.hidden in (1, length - 1)

    @pytest.mark.parametrize("rate", [0.15, 0.5, 0.85])
    @pytest.mark.parametrize("context_length", [3, 10, 32, 129])
    def test_a_window_is_the_longest_that_fits(self, context_length, rate):
        objective = SpanCorruption(PLAIN, context_length, rate)
        window = objective.window(context_length)
        sizes = [span_counts(n, rate, 3.0) for n in range(window, 4 * context_length)]
        assert max(sizes[0].source, sizes[0].target) <= context_length
        assert all(max(each.source, each.target) > context_length for each in sizes[1:])
        batch = objective.prepare(tokens_of(2, window), rng())
        assert batch.ids.shape == batch.targets.shape == (2, sizes[0].target)
        assert batch.extras["source"].shape == (2, sizes[0].source)
        assert int(batch.targets.max()) == V + len(objective.special_tokens) - 1

    def test_every_division_is_as_likely(self):
        """The 10 ways to cut 6 into 3 pieces, each within five standard deviations."""
        n = 10_000
        found = Counter(tuple(row) for row in pieces(n, 6, 3, rng()).tolist())
        assert len(found) == 10
        assert all(sum(lengths) == 6 and min(lengths) >= 1 for lengths in found)
        assert all(within(count, n, 1 / 10) for count in found.values()), found

    def test_every_way_to_hide_is_as_likely(self):
        """Of 8 tokens 4 hidden, in 2 spans: 3 ways to cut the text, times 3 to cut the spans."""
        n = 9_000
        counts = span_counts(8, 0.5, 2.0)
        assert (counts.hidden, counts.spans) == (4, 2)
        found = Counter(tuple(row) for row in spans_to_hide(n, 8, counts, rng()).int().tolist())
        assert len(found) == 9
        assert all(within(count, n, 1 / 9) for count in found.values()), found

    def test_chance_is_the_callers_and_the_input_is_left_as_it_was(self):
        objective, tokens = SpanCorruption(PLAIN, 48), tokens_of(4, 50)
        before = tokens.clone()
        first, second, third = (objective.prepare(tokens, rng(s)) for s in (3, 3, 4))
        assert torch.equal(tokens, before)
        assert torch.equal(first.extras["source"], second.extras["source"])
        assert torch.equal(first.targets, second.targets)
        assert not torch.equal(first.targets, third.targets)

    def test_the_loss_by_brute_force(self):
        objective = SpanCorruption(PLAIN, 24)
        batch = objective.prepare(tokens_of(3, 20), rng())
        shape = (*batch.targets.shape, V + len(objective.special_tokens))
        logits = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        loss = objective.loss(Output(logits, torch.zeros(*shape[:2], 4)), batch)
        wanted = 0.0
        for b, row in enumerate(batch.targets.tolist()):
            for t, token in enumerate(row):
                wanted -= math.log(logits[b, t, token].exp() / logits[b, t].exp().sum())
        assert loss.count == batch.targets.numel()
        assert loss.total.item() == pytest.approx(wanted, abs=1e-10)

    def test_micro_batches_add_up(self):
        objective = SpanCorruption(PLAIN, 24)
        model = build(V + len(objective.special_tokens), 24)
        assert_adds_up(objective, model, objective.prepare(tokens_of(6, 20), rng()))

    def test_a_hidden_token_is_not_given_away(self):
        """It moves nothing in the source, nor what is written up to its place; a seen one does."""
        objective, tokens = SpanCorruption(PLAIN, 24), tokens_of(1, 25)
        model = build(V + len(objective.special_tokens), 24)
        hidden = spans_to_hide(1, 25, span_counts(25, 0.15, 3.0), rng(5))[0]
        before = objective.prepare(tokens, rng(5))
        logits = model(ids=before.ids, **before.extras).logits
        seen = None
        for place in range(25):
            other = tokens.clone()
            other[0, place] = other[0, place] % (END - 1) + 1
            after = objective.prepare(other, rng(5))
            same = (model(ids=after.ids, **after.extras).logits == logits).all(-1)[0]
            source_same = torch.equal(before.extras["source"], after.extras["source"])
            assert source_same == bool(hidden[place])
            if hidden[place]:
                answer = int((before.targets != after.targets)[0].nonzero())
                seen = same.tolist()
                assert seen == [t <= answer for t in range(len(seen))]
            else:
                assert not same.any()
        assert seen is not None

    def test_bad_settings(self):
        with pytest.raises(UserError, match=r"rate=1\.0 must lie between 0 and 1"):
            SpanCorruption(PLAIN, 48, rate=1.0)
        with pytest.raises(UserError, match=r"mean_span=0\.5 must be at least 1"):
            SpanCorruption(PLAIN, 48, mean_span=0.5)
        with pytest.raises(UserError, match="context_length=2 is too short"):
            SpanCorruption(PLAIN, 2)
        with pytest.raises(UserError, match="rows of 70 tokens cannot be prepared: give 2 to 53"):
            SpanCorruption(PLAIN, 48).prepare(tokens_of(1, 70), rng())
        with pytest.raises(UserError, match="rows of 1 tokens"):
            SpanCorruption(PLAIN, 48).prepare(tokens_of(1, 1), rng())


# --- BART ----------------------------------------------------------------------------------------


def naive_infill(row, rate, mean_span, rng):
    """The same draws, put to use one by one."""
    budget = int(rate * len(row) + rng.random())
    drawn = [int(rng.poisson(mean_span)) for _ in range(budget)]
    spans = []
    while sum(spans) < budget and drawn:
        spans.append(min(drawn.pop(0), budget - sum(spans)))
    while len(spans) > sum(spans):
        spans.remove(0)
    n_items = len(row) - sum(spans) + len(spans)
    places = {int(place) for place in rng.permutation(n_items)[: len(spans)]}
    waiting = [spans[index] for index in rng.permutation(len(spans))]
    left, found = list(row), []
    for item in range(n_items):
        if item in places:
            found.append(MASK)
            del left[: waiting.pop(0)]
        else:
            found.append(left.pop(0))
    assert not left
    return found


class TestNoise:
    def test_masking(self):
        row = torch.arange(1, 20_001)
        masked = mask_tokens(row, MASK, 0.3, rng())
        hidden = masked == MASK
        assert within(int(hidden.sum()), 20_000, 0.3)
        assert torch.equal(masked[~hidden], row[~hidden])

    def test_deletion(self):
        kept = delete_tokens(torch.arange(20_000), 0.3, rng())
        assert within(len(kept), 20_000, 0.7)
        assert all(a < b for a, b in pairwise(kept.tolist()))

    def test_rotation(self):
        row, n = torch.tensor([1, 2, 3, 4]), 4_000
        draws = rng()
        found = Counter(tuple(rotate_document(row, draws).tolist()) for _ in range(n))
        assert found.keys() == {(1, 2, 3, 4), (2, 3, 4, 1), (3, 4, 1, 2), (4, 1, 2, 3)}
        assert all(within(count, n, 1 / 4) for count in found.values()), found

    def test_sentences(self):
        """Three sentences, the last one without its end: every order is as likely."""
        row, n = torch.tensor([1, 2, 9, 3, 9, 4, 5]), 6_000
        draws = rng()
        found = Counter(tuple(permute_sentences(row, row == 9, draws).tolist()) for _ in range(n))
        sentences = [(1, 2, 9), (3, 9), (4, 5)]
        assert found.keys() == {sum(order, ()) for order in permutations(sentences)}
        assert all(within(count, n, 1 / 6) for count in found.values()), found

    def test_a_text_of_one_sentence_stays(self):
        row = torch.tensor([1, 2, 9])
        assert torch.equal(permute_sentences(row, row == 9, rng()), row)

    @pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
    @pytest.mark.parametrize("mean_span", [1.0, 3.0])
    def test_infilling_is_the_naive_one(self, rate, mean_span):
        for seed, length in enumerate([0, 1, 2, 5, 20, 100]):
            row = torch.arange(length)
            ours = infill(row, MASK, rate, mean_span, rng(seed))
            assert ours.tolist() == naive_infill(row.tolist(), rate, mean_span, rng(seed))

    def test_infilling_hides_its_share(self):
        """Rows of 11 tokens, of which 3.3 are to be hidden: 3 or 4, and 3.3 on average."""
        n, row, draws = 5_000, torch.arange(11), rng()
        left = [int((infill(row, MASK, 0.3, 3.0, draws) != MASK).sum()) for _ in range(n)]
        # Three draws from Poisson(3) add up to less than 3 in 0.6 % of all cases.
        assert sum(each in (7, 8) for each in left) > 0.99 * n
        assert sum(left) / n == pytest.approx(7.7, abs=0.03)

    def test_spans_are_poisson(self):
        """Of a long row, by what is missing at each lone mask; a length of 0 among them."""
        row = torch.arange(300_000)
        found = infill(row + V + 1, MASK, 0.01, 3.0, rng()).numpy() - V - 1
        (at,) = np.nonzero(found == -1)
        lone = at[(found[at - 1] >= 0) & (found[at + 1] >= 0)]
        lengths = Counter((found[lone + 1] - found[lone - 1] - 1).tolist())
        n = len(lone)
        assert n > 900
        for length in range(7):
            share = math.exp(-3.0) * 3.0**length / math.factorial(length)
            assert within(lengths[length], n, share), (length, lengths)

    def test_spans_fall_everywhere(self):
        """One token of four is hidden, each as often."""
        n, draws, found = 4_000, rng(), Counter()
        for _ in range(n):
            noisy = infill(torch.arange(4), MASK, 0.25, 50.0, draws).tolist()
            assert len(noisy) == 4
            found[noisy.index(MASK)] += 1
        assert all(within(found[place], n, 1 / 4) for place in range(4)), found

    def test_a_row_never_gets_longer_and_keeps_its_order(self):
        draws = rng()
        for _ in range(300):
            noisy = infill(torch.arange(9), MASK, 0.5, 1.0, draws)
            assert len(noisy) <= 9
            kept = noisy[noisy != MASK].tolist()
            assert kept == sorted(kept)


class TestTextInfilling:
    def test_the_target_is_the_whole_text(self):
        tokens = tokens_of(5, 30)
        batch = TextInfilling(WITH_END).prepare(tokens, rng())
        assert torch.equal(batch.targets, tokens)
        assert (batch.ids[:, 0] == END).all()
        assert torch.equal(batch.ids[:, 1:], tokens[:, :-1])

    def test_the_source_is_the_damaged_row_and_padding(self):
        objective, tokens = TextInfilling(WITH_END), tokens_of(5, 30)
        batch, draws = objective.prepare(tokens, rng()), rng()
        assert batch.extras["source"].shape == (5, 30)
        assert batch.extras["source_mask"].shape == (5, 1, 1, 30)
        for row, source, mask in zip(
            tokens, batch.extras["source"], batch.extras["source_mask"], strict=True
        ):
            shown = source[mask[0, 0]]
            assert torch.equal(shown, objective.damage(row, draws))
            assert (source[len(shown) :] == END).all()
            assert 18 <= len(shown) < 30  # of 30, 9 are hidden, behind 2 masks or more

    def test_documents_are_damaged_one_by_one(self):
        """Special tokens stay where they are, and between them is what was between them."""
        row = torch.tensor([END, 1, 2, 3, 4, 5, 6, END, END, 11, 12, 13, 14, 15, 16])
        vocabulary = Vocabulary.plain(V, special_ids=(END,))
        vocabulary.ends_sentence[[3, 6, 13, 16]] = True
        draws, seen = rng(), set()
        for _ in range(50):
            noisy = TextInfilling(vocabulary).damage(row, draws).tolist()
            assert noisy[0] == END
            ends = [index for index, token in enumerate(noisy) if token == END]
            assert len(ends) == 3
            assert ends[2] == ends[1] + 1
            assert all(token <= 6 or token == MASK for token in noisy[1 : ends[1]])
            assert all(token >= 11 for token in noisy[ends[2] + 1 :])
            kept = [token for token in noisy[1 : ends[1]] if token != MASK]
            seen.add(kept == sorted(kept))
        assert seen == {True, False}  # sentences were moved, sometimes

    def test_without_permutation_the_order_stays(self):
        vocabulary = Vocabulary.plain(V)
        vocabulary.ends_sentence[[3, 6]] = True
        row, draws = torch.arange(1, 10), rng()
        for _ in range(50):
            noisy = TextInfilling(vocabulary, permute=False).damage(row, draws)
            kept = noisy[noisy != MASK].tolist()
            assert kept == sorted(kept)

    def test_a_storys_sentences(self):
        """In bytes, and with next to nothing hidden: the same sentences in another order."""
        tokenizer = ByteTokenizer()
        objective = TextInfilling(Vocabulary.of(tokenizer), rate=1e-9)
        text = "Tom had a cat. It cost 3.50 in all. Why not? He was glad."
        sentences = ["Tom had a cat.", "It cost 3.50 in all.", "Why not?", "He was glad."]
        draws, found = rng(), set()
        for _ in range(100):
            noisy = tokenizer.decode(
                objective.damage(torch.tensor(tokenizer.encode(text)), draws).tolist()
            )
            found.add(noisy.replace(" ", ""))
        assert found <= {"".join(order).replace(" ", "") for order in permutations(sentences)}
        assert len(found) > 20

    def test_nothing_but_special_tokens(self):
        tokens = torch.full((1, 6), END)
        batch = TextInfilling(WITH_END).prepare(tokens, rng())
        assert torch.equal(batch.extras["source"], tokens)
        assert batch.extras["source_mask"].all()

    def test_chance_is_the_callers_and_the_input_is_left_as_it_was(self):
        objective, tokens = TextInfilling(WITH_END), tokens_of(4, 30)
        before = tokens.clone()
        first, second, third = (objective.prepare(tokens, rng(s)) for s in (3, 3, 4))
        assert torch.equal(tokens, before)
        assert torch.equal(first.extras["source"], second.extras["source"])
        assert not torch.equal(first.extras["source"], third.extras["source"])

    def test_micro_batches_add_up(self):
        objective = TextInfilling(WITH_END)
        assert_adds_up(objective, build(V + 1, 20), objective.prepare(tokens_of(6, 20), rng()))

    def test_padding_is_not_read(self):
        """What stands behind a source changes nothing; what stands in it does."""
        objective = TextInfilling(WITH_END)
        batch = objective.prepare(tokens_of(2, 20), rng())
        model = build(V + 1, 20)
        source, mask = batch.extras["source"], batch.extras["source_mask"]
        before = model(ids=batch.ids, **batch.extras).logits
        padded = torch.where(mask[:, 0, 0], source, 7)
        assert not torch.equal(padded, source)
        assert torch.equal(model(ids=batch.ids, source=padded, source_mask=mask).logits, before)
        read = torch.where(mask[:, 0, 0], 7, source)
        assert not torch.isclose(
            model(ids=batch.ids, source=read, source_mask=mask).logits, before
        ).all()

    def test_a_token_is_not_given_away_to_the_writer(self):
        objective, tokens = TextInfilling(WITH_END), tokens_of(1, 20)
        batch, model = objective.prepare(tokens, rng()), build(V + 1, 20)
        before = model(ids=batch.ids, **batch.extras).logits
        tokens[0, 8] = tokens[0, 8] % (END - 1) + 1
        ids = shift_right(tokens, END)
        same = (model(ids=ids, **batch.extras).logits == before).all(-1)[0]
        assert same.tolist() == [t <= 8 for t in range(20)]

    def test_bad_settings(self):
        with pytest.raises(UserError, match=r"rate=0 must lie between 0 and 1"):
            TextInfilling(PLAIN, rate=0)
        with pytest.raises(UserError, match=r"mean_span=0 must be at least 1"):
            TextInfilling(PLAIN, mean_span=0)


# --- both ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spans", "infilling"])
def test_a_small_model_beats_guessing(kind):
    vocabulary, rows = story_rows(1600)
    spans = SpanCorruption(vocabulary, 24)
    objective = spans if kind == "spans" else TextInfilling(vocabulary)
    length = objective.window(24)
    torch.manual_seed(0)
    sizes = {"context_length": 24, "d_model": 48, "n_layers": 2, "n_heads": 4}
    n_tokens = vocabulary.size + len(objective.special_tokens)
    model = EncoderDecoder(modern_encoder_decoder_recipe(vocab_size=n_tokens, **sizes))
    learn(model, objective, rows[:, :length], steps=80)
    held_out = story_rows(64, seed=2)[1][:, :length]
    with torch.no_grad():
        loss = score(model, objective, held_out, rng())
    # A quarter of a target of spans is sentinels, which cost nothing once they are known.
    baseline = guessing(held_out) * (0.75 if kind == "spans" else 1.0)
    assert loss.total / loss.count < 0.6 * baseline
