import pytest
import torch
from small_runs import small

from llmcourse.errors import UserError
from llmcourse.labs import scaling
from llmcourse.labs.scaling import CONTEXT, Recipe, climb, config_of, rows_at, train_on
from llmcourse.models.gpt import GPT
from llmcourse.objectives.base import IGNORE
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.log import Baseline, End, Ending, Evaluation, MetricsLog
from llmcourse.tinytown.stories import stories
from llmcourse.train.saved_settings import to_dict


@pytest.fixture(scope="module")
def town():
    return scaling.town(300, n_unseen=12, vocab_size=400)


def test_the_town_knows_its_entropy(town):
    assert 0.2 < town.entropy < 0.5 < town.unigram() < 6
    assert town.unseen.ids.size(1) <= CONTEXT
    texts = [story.text for story in stories(12, seed=1)]
    assert len(town.unseen.ids) == sum(len(town.tokenizer.encode(t)) < CONTEXT for t in texts)
    assert (town.unseen.targets != IGNORE).any(1).all()


def test_the_unigram_is_counted_by_hand(town):
    counts = [1.0] * town.tokenizer.vocab_size
    for token in town.stream.tolist():
        counts[token] += 1
    total = sum(counts)
    scored = [t for t in town.unseen.targets.flatten().tolist() if t != IGNORE]
    wanted = -sum(torch.log(torch.tensor(counts[t] / total)).item() for t in scored) / len(scored)
    assert town.unigram() == pytest.approx(wanted, rel=1e-4)


def test_a_rung_learns_and_repeats(town):
    one, two = (climb(town, 16, 3000) for _ in range(2))
    assert one == two
    assert one.parameters == GPT(config_of(16, town.tokenizer.vocab_size)).n_parameters
    untrained = town.loss(GPT(config_of(16, town.tokenizer.vocab_size)))
    assert one.loss < untrained - 0.3
    assert climb(town, 16, 3000, Recipe(seed=1)).loss != one.loss


def test_a_run_reads_the_tokens_it_was_given(town):
    for recipe, steps in ((Recipe(), 4), (Recipe(batch_size=4), 2)):
        model = GPT(config_of(16, town.tokenizer.vocab_size))
        assert len(train_on(model, town, 8 * CONTEXT, recipe)) == steps


def test_the_ramp():
    recipe = Recipe(batch_size=8, ramp=0.6)
    assert [rows_at(p, recipe) for p in (0.0, 0.01, 0.074, 0.076)] == [1, 1, 1, 2]
    assert [rows_at(p, recipe) for p in (0.3, 0.31, 0.59, 0.6, 1.0)] == [4, 5, 8, 8, 8]
    assert rows_at(0.0, Recipe(batch_size=8)) == 8


def test_unique_text_is_read_again(town):
    few = climb(town, 16, 6000, Recipe(unique=400))
    assert few.loss > climb(town, 16, 6000).loss
    with pytest.raises(UserError, match="100 unique ones are too few"):
        climb(town, 16, 6000, Recipe(unique=100))
    with pytest.raises(UserError, match="tokens=10 and"):
        climb(town, 16, 10)


def write_run(folder, *, source: str, ending: Ending = Ending.FINISHED) -> None:
    settings = small(folder, data__source=source)
    with RunDirectory.create(folder, resume=False) as run:
        run.write_config(to_dict(settings))
        log = MetricsLog(run, tensorboard=False, keep_until_step=None)
        log.write(Baseline(step=0, parameters=123))
        log.write(Evaluation(step=5, tokens=1000, loss=3.0, bits_per_byte=1.9))
        log.write(End(step=5, seconds=1.0, ending=ending, reason="finished"))
        log.close()


def test_the_newest_run_that_the_law_is_about(tmp_path):
    folder = str(tmp_path / "runs")
    assert scaling.newest_run([folder]) is None
    (tmp_path / "runs").mkdir()
    write_run(tmp_path / "runs" / "town", source="tinytown")
    assert scaling.newest_run([folder]) is None
    write_run(tmp_path / "runs" / "docs", source="pydocs")
    write_run(tmp_path / "runs" / "stopped", source="pydocs", ending=Ending.STOPPED)
    assert scaling.newest_run([folder]) == (123, 1000, 1.9)
