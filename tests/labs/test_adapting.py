import pytest
import torch
from scipy import stats

from llmcourse.errors import UserError
from llmcourse.labs import adapting
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.objectives.clm import CausalLM
from llmcourse.tinytown.stories import stories
from llmcourse.tokenizers.bpe import BPETokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train([story.text for story in stories(60)], vocab_size=400)


@pytest.mark.parametrize("name", adapting.TASKS)
def test_texts_of_a_task_differ_and_have_labels_of_it(name):
    given = adapting.texts_of(name, 40, seed=1)
    assert len(set(given.texts)) == 40
    assert set(given.labels) <= set(range(len(adapting.find_task(name).classes)))
    assert len(set(given.labels)) > 1
    assert adapting.texts_of(name, 40, seed=1) == given != adapting.texts_of(name, 40, seed=2)


def test_what_is_to_be_left_out_is():
    train = adapting.texts_of("ready", 30, seed=1)
    test = adapting.texts_of("ready", 30, seed=1, without=train.texts)
    assert not set(train.texts) & set(test.texts)


def test_labels_say_what_the_text_says():
    given = adapting.texts_of("ready", 200, seed=3)
    for text, label in zip(*given, strict=True):
        if "forgot" in text:
            assert label == 0
        if "with a string" in text:
            assert label == 1
    for text, label in zip(*adapting.texts_of("mood", 100), strict=True):
        if "not" not in text and "happy" in text and "unhappy" not in text:
            assert label == 1


def test_synonyms_are_of_one_mood_and_no_word_is_its_own():
    lexicon = adapting.synonyms()
    assert "glad" in lexicon["happy"]
    assert "sad" not in lexicon["happy"]
    assert all(word not in others for word, others in lexicon.items())


def test_counting_tells_what_single_words_give_away(tokenizer):
    train = adapting.texts_of("weather", 100, seed=1)
    test = adapting.texts_of("weather", 60, seed=2, without=train.texts)
    tasks = [adapting.labelled("weather", given, tokenizer) for given in (train, test)]
    counted = adapting.probed(adapting.counts(400), *tasks).value
    assert counted > adapting.majority(*tasks).value + 0.3


def test_a_probe_reads_the_last_state(tokenizer):
    torch.manual_seed(0)
    sizes = {"d_model": 8, "n_layers": 1, "n_heads": 2, "context_length": 256}
    model = GPT(modern_recipe(vocab_size=400, **sizes))
    task = adapting.labelled("day", adapting.texts_of("day", 12), tokenizer)
    alone = model.hidden_states(torch.tensor([task.rows[3]]))[0]
    wanted = {"first": alone[0], "last": alone[-1], "mean": alone.mean(dim=0)}
    for how, state in wanted.items():
        torch.testing.assert_close(adapting.states_of(model, how)(task)[3], state)
    assert 0 <= adapting.probed(adapting.states_of(model), task, task).value <= 1


def test_low_data_curves_have_a_figure_for_each_seed(tokenizer):
    found = adapting.low_data("day", {"bag": adapting.counts(400)}, tokenizer, (7, 60), 3, 40)
    assert {n: len(values) for n, values in found["bag"].items()} == {7: 3, 60: 3}
    assert min(found["bag"][60]) > max(found["bag"][7])


def test_the_loss_of_the_next_token_is_that_of_the_objective(tokenizer):
    torch.manual_seed(0)
    model = GPT(modern_recipe(vocab_size=400, d_model=8, n_layers=1, n_heads=2, context_length=64))
    rows = torch.randint(400, (3, 9))
    batch = CausalLM().prepare(rows)
    total, count = CausalLM().loss(model(batch.ids), batch)
    assert adapting.next_token_loss(model, rows) == pytest.approx((total / count).item(), rel=1e-5)


def test_the_interval_over_seeds_is_students():
    values = [0.8, 0.9, 0.7, 0.95]
    low, high = stats.t.interval(0.95, 3, loc=0.8375, scale=stats.sem(values))
    assert adapting.over_seeds(values) == pytest.approx((0.8375, low, high), abs=1e-3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: adapting.over_seeds([0.5]), "1 runs"),
        (lambda: adapting.texts_of("readi", 3), "ready"),
        (lambda: adapting.texts_of("mood", 500), "ask for fewer"),
    ],
)
def test_what_makes_no_sense_is_refused(call, says):
    with pytest.raises(UserError, match=says):
        call()
