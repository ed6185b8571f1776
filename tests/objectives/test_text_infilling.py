import math
from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from denoised import END, PLAIN, WITH_END, V, assert_adds_up, build, rng, tokens_of, within

from llmcourse.errors import UserError
from llmcourse.objectives.denoising import shift_right
from llmcourse.objectives.text_infilling import (
    TextInfilling,
    delete_tokens,
    infill,
    mask_tokens,
    permute_sentences,
    rotate_document,
)
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer

MASK = V


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
        objective = TextInfilling(Vocabulary.of(tokenizer), mask_rate=1e-9)
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
        with pytest.raises(UserError, match=r"mask_rate=0 must lie between 0 and 1"):
            TextInfilling(PLAIN, mask_rate=0)
        with pytest.raises(UserError, match=r"mean_span=0 must be at least 1"):
            TextInfilling(PLAIN, mean_span=0)
