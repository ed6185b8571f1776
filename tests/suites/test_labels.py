"""The test split of runs of fine-tuning, against what the run itself reported."""

import json

import pytest

from llmcourse.errors import UserError
from llmcourse.evaluate.intervals import wilson
from llmcourse.finetune.fit import fit
from llmcourse.finetune.settings import DataSettings, Settings
from llmcourse.suites import labels
from llmcourse.suites.base import Asked
from llmcourse.tinytown.tasks import sentiment_sentences


@pytest.fixture(scope="module")
def tuned(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    data = folder / "said.jsonl"
    rows = dict(sentiment_sentences(150, seed=1))
    data.write_text(
        "\n".join(json.dumps({"text": t, "label": str(label)}) for t, label in rows.items())
    )
    fit(Settings(
        base=str(run), out=str(folder / "run"), epochs=1, device="cpu", evaluations=1,
        data=DataSettings(source=str(data), held_out=0.3),
    ))  # fmt: skip
    return folder / "run"


@pytest.mark.slow
def test_the_figures_are_those_of_the_run(tuned):
    reported = json.loads((tuned / "results.json").read_text())
    accuracy, macro = labels.measure(tuned, Asked(device="cpu"))
    assert accuracy.name == "accuracy"
    assert accuracy.interval.value == pytest.approx(reported["test"]["value"])
    assert accuracy.interval == wilson(int(accuracy.totals.sum()), accuracy.n)
    assert accuracy.baselines == {
        name: pytest.approx(one["value"]) for name, one in reported["baselines"].items()
    }
    assert macro.name == "macro F1"
    assert macro.interval.value == pytest.approx(reported["test"]["others"]["macro F1"])
    assert macro.interval.low <= macro.interval.value <= macro.interval.high
    assert labels.measure(tuned, Asked(device="cpu", limit=5))[0].n == 5
    with pytest.raises(UserError, match="no file"):
        labels.measure(tuned, Asked(device="cpu", data=tuned / "gone.csv"))


def test_what_is_no_such_run_is_said(run):
    with pytest.raises(UserError, match="is no run of"):
        labels.measure(run, Asked(device="cpu"))
