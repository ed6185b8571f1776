import copy

import pytest
import torch
from numerics import close

from llmcourse.errors import UserError
from llmcourse.labs import rewarding
from llmcourse.labs.rewarding import Task
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer

TOKENIZER = ByteTokenizer()
TASKS = rewarding.tasks(4, seed=1)


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    sizes = {"context_length": 64, "d_model": 16, "n_layers": 1, "n_heads": 2}
    return GPT(modern_recipe(vocab_size=TOKENIZER.vocab_size, **sizes)).eval()


def says(base, letter):
    """A model that says one letter, whatever it reads."""
    model = copy.deepcopy(base)
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.norm.weight.zero_()
    bias = torch.zeros(TOKENIZER.vocab_size)
    bias[TOKENIZER.encode(letter)] = 50.0
    model.lm_head.register_forward_hook(lambda _, __, logits: logits + bias)
    return model


def counts_vowels(task, answer):
    return float(sum(letter in "aeiou" for letter in answer))


class TestChecks:
    def test_right_answers_are_those_that_the_grammar_tells(self):
        """Every story whose child is well prepared says so in a sentence that passes."""
        told = {"yes": 0, "no": 0, None: 0}
        for story in tinytown.stories(300):
            task = Task("", dict(story.facts))
            gear = [s.text for s in story.sentences if s.beat == "gear"]
            geared = story.facts.get("geared")
            told[geared] += 1
            for sentence in gear:
                assert rewarding.fits(task, sentence) == (geared == "yes")
                assert rewarding.is_prepared(task, sentence) == (geared == "yes")
        assert min(told.values()) > 20

    def test_another_childs_or_another_weathers_sentence_does_not_fit(self):
        task = Task("", {"hero": "Mia", "weather": "rain"})
        assert rewarding.fits(task, "She took a red umbrella.") == 1
        for answer in ("He took a red umbrella.", "She put on a red scarf."):
            assert rewarding.fits(task, answer) == 0
            assert rewarding.is_prepared(task, answer) == 1
        assert rewarding.is_prepared(task, "She took a umbrella.") == 0

    def test_the_reward_with_a_hole_counts_words(self):
        assert rewarding.counts_gear(TASKS[0], "hat hat scarf, that hats.") == 3

    def test_no_right_answer_is_longer_than_a_policy_may_write(self):
        """In tokens of a tokenizer that has learned tinytown's words."""
        from llmcourse.tokenizers.bpe import BPETokenizer

        tokenizer = BPETokenizer.train([s.text for s in tinytown.stories(300)], 640)
        longest = max(len(tokenizer.encode(f" {a}")) for a in rewarding.all_prepared())
        assert longest < rewarding.LONGEST

    def test_a_prompt_ends_where_the_gear_would_come(self):
        for task, story in zip(TASKS, tinytown.stories(4, seed=1), strict=True):
            told = [s for s in story.sentences if s.beat in ("opening", "weather", "errand")]
            assert task.prompt.endswith(told[-1].text)
            assert told[-1].beat == "errand"


class TestDrawing:
    def test_answers_stand_side_by_side_and_end_at_the_full_stop(self, base):
        drawn = rewarding.draw_answers(base, TASKS, TOKENIZER, 3, torch.Generator().manual_seed(0))
        assert drawn.ids.shape == (12, rewarding.N_PROMPT + rewarding.LONGEST)
        assert drawn.ids[0, : rewarding.N_PROMPT].equal(drawn.ids[2, : rewarding.N_PROMPT])
        assert not drawn.ids[0, : rewarding.N_PROMPT].equal(drawn.ids[3, : rewarding.N_PROMPT])
        (stop,) = TOKENIZER.encode(".")
        for row, kept in zip(drawn.ids[:, rewarding.N_PROMPT :], drawn.mask, strict=True):
            n = int(kept.sum())
            assert kept[:n].all()
            assert (row[: n - 1] != stop).all()
            assert n == rewarding.LONGEST or row[n - 1] == stop

    def test_a_policy_that_stops_at_once_says_a_full_stop(self, base):
        drawn = rewarding.draw_answers(
            says(base, "."), TASKS, TOKENIZER, 2, torch.Generator().manual_seed(0)
        )
        assert drawn.texts == ["."] * 8
        assert drawn.mask.sum(dim=1).tolist() == [1] * 8

    def test_log_probs_are_those_of_the_drawn_tokens(self, base):
        drawn = rewarding.draw_answers(base, TASKS, TOKENIZER, 1, torch.Generator().manual_seed(0))
        found = rewarding.token_log_probs(base, drawn)
        log_p = base(drawn.ids).logits.log_softmax(-1)
        for row in range(4):
            for t in (0, 5, rewarding.LONGEST - 1):
                place = rewarding.N_PROMPT + t
                close(found[row, t], log_p[row, place - 1, drawn.ids[row, place]], largest=0.5)


class TestLearning:
    def test_what_is_rewarded_becomes_likelier(self, base):
        before = copy.deepcopy(base.state_dict())
        policy, progress = rewarding.learn_from(
            base, counts_vowels, TASKS, TOKENIZER, steps=16, n=8, n_prompts=2, lr=3e-2
        )
        first, last = (sum(p.reward for p in part) for part in (progress[:4], progress[-4:]))
        assert last > 4 * first
        assert all(torch.equal(now, before[name]) for name, now in base.state_dict().items())
        assert policy is not base

    def test_a_reward_that_is_the_same_for_all_teaches_nothing(self, base):
        policy, progress = rewarding.learn_from(
            base, lambda *_: 1.0, TASKS, TOKENIZER, steps=2, n=3, n_prompts=2, lr=1e-2
        )
        for now, then in zip(policy.parameters(), base.parameters(), strict=True):
            close(now, then, largest=0)
        assert [p.reward for p in progress] == [1, 1]
        assert [p.right for p in progress] == [0, 0]

    def test_a_kl_term_holds_the_policy_back(self, base):
        moved = []
        for weight in (0.0, 1.0):
            policy, _ = rewarding.learn_from(
                base, counts_vowels, TASKS, TOKENIZER, steps=16, n=8, n_prompts=2, lr=3e-2,
                kl_weight=weight,
            )  # fmt: skip
            drawn = rewarding.draw_answers(
                policy, TASKS, TOKENIZER, 4, torch.Generator().manual_seed(1)
            )
            with torch.no_grad():
                gap = rewarding.token_log_probs(policy, drawn) - rewarding.token_log_probs(
                    base, drawn
                )
            moved.append(gap[drawn.mask].mean().item())
        assert 0 < moved[1] < 0.5 * moved[0]

    def test_complains_about_too_few_prompts(self, base):
        with pytest.raises(UserError, match="4 prompts: give at least 8"):
            rewarding.learn_from(base, rewarding.is_prepared, TASKS, TOKENIZER, steps=1)


def test_success_has_an_interval_and_asks_each_task_about_its_own_answers():
    task, other = (Task("", {"hero": hero, "weather": "rain"}) for hero in ("Mia", "Tom"))
    answers = ["She took a red umbrella."] * 2 + ["He took a red umbrella.", "Oh."]
    assert rewarding.success([task, other], answers, rewarding.fits).value == 0.75
    found = rewarding.success([other, task], answers, rewarding.fits)
    assert found.value == 0
    assert 0 < found.high < 1
