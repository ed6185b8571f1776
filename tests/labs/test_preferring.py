import copy

import pytest
import torch
from numerics import close

from llmcourse.errors import UserError
from llmcourse.labs import preferring
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.objectives.base import IGNORE
from llmcourse.objectives.preference import chosen_nll_loss
from llmcourse.tinytown.tasks import Preference, preferences
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer

TOKENIZER = ByteTokenizer()
LIKES_A = [
    Preference(f"ask {n}", "aaaa" + "ab"[n % 2], "bbbb" + "ab"[n % 2], "b") for n in range(6)
]


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    sizes = {"context_length": 64, "d_model": 16, "n_layers": 1, "n_heads": 2}
    return GPT(modern_recipe(vocab_size=TOKENIZER.vocab_size, **sizes)).eval()


@pytest.fixture(scope="module")
def pairs():
    return preferring.encode_pairs(LIKES_A, TOKENIZER)


class TestRows:
    def test_the_prompt_is_read_and_not_scored(self):
        rows = preferring.encode_answers(["xy", "x"], ["ab", "c"], TOKENIZER)
        x, y, a, b, c = TOKENIZER.encode("xyabc")
        end = TOKENIZER.eot_id
        assert rows.ids[0].tolist() == [x, y, a, b]
        assert rows.targets[0].tolist() == [IGNORE, a, b, end]
        assert rows.ids[1, :2].tolist() == [x, c]
        assert rows.targets[1].tolist() == [c, end, IGNORE, IGNORE]
        assert rows.lengths.tolist() == [4, 2]

    def test_the_prompt_is_scored_where_that_is_asked_for(self):
        rows = preferring.encode_answers(["xy"], ["a"], TOKENIZER, score_prompt=True)
        assert rows.targets.tolist() == [[*TOKENIZER.encode("ya"), TOKENIZER.eot_id]]

    def test_some_rows_are_no_wider_than_the_longest_of_them(self):
        rows = preferring.encode_answers(["xy", "x"], ["ab", "c"], TOKENIZER).rows([1])
        assert rows.ids.tolist() == [TOKENIZER.encode("xc")]

    def test_a_pair_of_equal_answers_is_named(self):
        pairs = [LIKES_A[0], Preference("ask", "same", "same", "")]
        with pytest.raises(UserError, match=r"^pair 1 has two equal answers"):
            preferring.encode_pairs(pairs, TOKENIZER)


class TestLogProbs:
    def test_filler_changes_nothing(self, base, pairs):
        whole = preferring.log_probs_of(base, pairs.chosen)
        for n in range(pairs.n):
            alone = preferring.log_probs_of(base, pairs.chosen.rows([n]))
            close(alone.total, whole.total[n : n + 1], largest=1)

    def test_in_parts_as_at_once(self, base, pairs):
        at_once = preferring.pair_log_probs(base, pairs)
        for one, other in zip(at_once, preferring.frozen_log_probs(base, pairs, 4), strict=True):
            close(other.total, one.total, largest=1)
            assert other.count.equal(one.count)
            assert not other.total.requires_grad


class TestPolicy:
    def test_learns_to_prefer_and_leaves_the_base_as_it_is(self, base, pairs):
        before = copy.deepcopy(base.state_dict())
        seen = []
        policy = preferring.fit_policy(
            base, pairs, preferring.dpo(0.5), steps=12, batch_size=3, lr=1e-2,
            watch=lambda step, model: seen.append((step, model is not base)),
        )  # fmt: skip
        assert all(torch.equal(now, before[name]) for name, now in base.state_dict().items())
        assert seen == [(n, True) for n in range(13)]
        now, then = (preferring.frozen_log_probs(each, pairs) for each in (policy, base))
        assert (preferring.implicit(now, then, 0.5).margins > 0.5).all()

    def test_the_first_loss_is_that_of_no_difference(self, base, pairs):
        losses = []

        def watched(policy, reference):
            losses.append(preferring.dpo(0.1)(policy, reference))
            return losses[-1]

        preferring.fit_policy(base, pairs, watched, steps=1, batch_size=3)
        close(losses[0], torch.full((3,), 2.0).log(), atol=1e-4, largest=0.5)

    def test_any_loss_of_the_two_models_will_do(self, base, pairs):
        policy = preferring.fit_policy(
            base, pairs, lambda now, _: chosen_nll_loss(now.chosen), steps=8, batch_size=3, lr=1e-2
        )
        now, then = (preferring.frozen_log_probs(each, pairs).chosen for each in (policy, base))
        assert (now.total > then.total).all()


class TestRewardModel:
    def test_tells_pairs_apart_by_the_answers_last_state(self, base, pairs):
        model = preferring.fit_reward_model(base, pairs, steps=30, batch_size=3, lr=1e-2)
        assert preferring.told_right(model, pairs, n_rows=4).all()
        for n in (0, 1):  # filler behind an answer is not its last token
            alone = preferring.rewards_of(model, pairs.chosen.rows([n]))
            close(alone, preferring.rewards_of(model, pairs.chosen)[n : n + 1], atol=1e-4)
        assert base.lm_head.weight.equal(model.backbone.lm_head.weight)  # it has a head of its own

    def test_the_longer_answer_is_a_rival_that_ties_are_half_of(self):
        pairs = [("ab", "a"), ("a", "ab"), ("a", "b"), ("abc", "a")]
        told = [Preference("", chosen, rejected, "") for chosen, rejected in pairs]
        assert preferring.longer_is_better(told) == 2.5 / 4


class TestWriting:
    def test_texts_end_at_their_end_or_are_cut(self, base):
        certain = copy.deepcopy(base)
        with torch.no_grad():
            certain.lm_head.weight.zero_()
        texts = preferring.write_texts(certain, TOKENIZER, 30, longest=20, seed=0)
        assert len(texts) == 30
        assert texts == preferring.write_texts(certain, TOKENIZER, 30, longest=20, seed=0)
        assert all(TOKENIZER.encode(text).count(TOKENIZER.eot_id) == 0 for text in texts)

    def test_strange_words_are_counted_without_case_and_punctuation(self):
        assert preferring.strange_words(["Mia met Tmo.", "mia met"], {"mia", "met"}) == 1 / 5
        with pytest.raises(UserError, match="no words"):
            preferring.strange_words(["..."], {"mia"})


def test_tinytowns_pairs_become_rows():
    told = list(preferences(5, seed=3))
    pairs = preferring.encode_pairs(told, TOKENIZER)
    kept = pairs.rejected.targets[2][pairs.rejected.targets[2] != IGNORE].tolist()
    assert TOKENIZER.decode(kept[:-1]) == told[2].rejected
