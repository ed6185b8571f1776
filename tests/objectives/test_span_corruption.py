import math
from collections import Counter

import pytest
import torch
from denoised import END, PLAIN, WITH_END, V, assert_adds_up, build, rng, tokens_of, within

from llmcourse.errors import UserError
from llmcourse.models.base import Output
from llmcourse.objectives.denoising import shift_right
from llmcourse.objectives.span_corruption import (
    SpanCorruption,
    fill_in,
    pieces,
    replace_runs,
    span_counts,
    spans_to_hide,
)


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

        monkeypatch.setattr("llmcourse.objectives.span_corruption.spans_to_hide", remember)
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
        with pytest.raises(UserError, match=r"mask_rate=1\.0 must lie between 0 and 1"):
            SpanCorruption(PLAIN, 48, mask_rate=1.0)
        with pytest.raises(UserError, match=r"mean_span=0\.5 must be at least 1"):
            SpanCorruption(PLAIN, 48, mean_span=0.5)
        with pytest.raises(UserError, match="context_length=2 is too short"):
            SpanCorruption(PLAIN, 2)
        with pytest.raises(UserError, match="rows of 70 tokens cannot be prepared: give 2 to 53"):
            SpanCorruption(PLAIN, 48).prepare(tokens_of(1, 70), rng())
        with pytest.raises(UserError, match="rows of 1 tokens"):
            SpanCorruption(PLAIN, 48).prepare(tokens_of(1, 1), rng())
