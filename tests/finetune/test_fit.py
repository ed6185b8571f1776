import json
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from small_runs import run
from small_tuning import interrupt_at, same, weights

from llmcourse.errors import UserError
from llmcourse.finetune.__main__ import main, parse
from llmcourse.finetune.base import load_base
from llmcourse.finetune.fit import fit
from llmcourse.finetune.predict import load_finished, use
from llmcourse.finetune.settings import DataSettings, Settings
from llmcourse.finetune.tagging import Tagging
from llmcourse.tinytown import tasks
from llmcourse.tinytown.stories import stories


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """An encoder that has read a little of tinytown."""
    out = tmp_path_factory.mktemp("base") / "run"
    run(out, objective__name="mlm", steps=20, model__dropout=0.0)
    return out


@pytest.fixture(scope="module")
def sentiment(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "sentiment.jsonl"
    rows = [
        {"text": text, "label": int(label)} for text, label in tasks.sentiment_sentences(160, 0)
    ]
    unique = {row["text"]: row for row in rows}
    path.write_text("".join(json.dumps(row) + "\n" for row in unique.values()))
    return path


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "tags.jsonl"
    sentences = {
        sentence.text: {
            "tokens": [token.text for token in sentence.tokens],
            "upos": [token.tag for token in sentence.tokens],
        }
        for story in stories(40, 0)
        for sentence in story.sentences
    }
    path.write_text("".join(json.dumps(row) + "\n" for row in sentences.values()))
    return path


def small(base, source, out, **changes):
    settings = Settings(
        base=str(base),
        out=str(out),
        epochs=1.0,
        batch_size=8,
        evaluations=3,
        device="cpu",
        word_dropout=0.1,
        data=DataSettings(source=str(source), held_out=0.2),
    )
    return replace(settings, **changes)


def test_a_run_leaves_all_that_it_promises(base, sentiment, tmp_path):
    result = fit(small(base, sentiment, tmp_path / "run", epochs=4.0, lr=3e-3))
    assert result.test.metric == "accuracy"
    assert set(result.baselines) == {"majority", "bag of words"}
    assert result.test.value >= result.baselines["majority"].value
    page = (result.run / "report.html").read_text()
    for part in ("on the test split", "bag of words", "What is taken for what", "Least expected"):
        assert part in page
    figures = json.loads((result.run / "results.json").read_text())
    assert figures["test"]["value"] == result.test.value
    assert json.loads((result.run / "labels.json").read_text()) == ["-1", "1"]


def test_two_runs_are_the_same_and_another_seed_is_not(base, sentiment, tmp_path):
    runs = [
        fit(small(base, sentiment, tmp_path / name, seed=seed)).run / "model"
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    first, again, other = map(weights, runs)
    assert same(first, again)
    assert not same(first, other)


def test_a_stopped_run_goes_on_as_if_it_never_was(base, sentiment, tmp_path, monkeypatch):
    whole = fit(small(base, sentiment, tmp_path / "whole"))
    settings = small(base, sentiment, tmp_path / "cut")
    interrupt_at(monkeypatch, 7)
    stopped = fit(settings)
    monkeypatch.undo()
    assert (stopped.stopped_by, stopped.steps) == (signal.SIGTERM, 8)
    resumed = fit(replace(settings, resume=True))
    assert resumed.test == whole.test
    assert same(weights(resumed.run / "model"), weights(whole.run / "model"))
    logs = [
        [
            {name: value for name, value in json.loads(line).items() if "second" not in name}
            for line in (one.run / "metrics.jsonl").read_text().splitlines()
        ]
        for one in (whole, resumed)
    ]
    assert logs[0] == logs[1]


def test_a_frozen_backbone_is_what_it_was(base, sentiment, tmp_path):
    result = fit(small(base, sentiment, tmp_path / "run", method="frozen", weight_decay=0.5))
    before = load_file(base / "model" / "model.safetensors")
    after = load_file(result.run / "model" / "model.safetensors")
    assert same(before, after)


def test_gradual_unfreezing_ends_with_everything_moved(base, sentiment, tmp_path):
    result = fit(small(base, sentiment, tmp_path / "run", method="gradual", layer_decay=0.8))
    before = load_file(base / "model" / "model.safetensors")
    (last,) = (result.run / "checkpoints").iterdir()
    after = load_file(last / "model.safetensors")
    name = "token_embedding.weight"
    assert not torch.equal(before[name], after[f"backbone.{name}"])


def test_micro_batches_change_nothing(base, sentiment, tmp_path):
    runs = [
        fit(small(base, sentiment, tmp_path / str(size), micro_batch_size=size, dropout=0.0))
        for size in (None, 2)
    ]
    first, second = (
        [
            json.loads(line)["loss"]
            for line in (one.run / "metrics.jsonl").read_text().splitlines()
            if '"train"' in line
        ]
        for one in runs
    )
    assert len(first) > 1
    assert second == pytest.approx(first, rel=1e-4)


def test_patience_ends_a_run(base, sentiment, tmp_path):
    still = small(
        base, sentiment, tmp_path / "run", lr=1e-12, epochs=9.0, evaluations=9, patience=2
    )
    result = fit(still)
    log = [json.loads(line) for line in (result.run / "metrics.jsonl").read_text().splitlines()]
    assert log[-1]["ending"] == "early stopped" or "early" in json.dumps(log[-1])
    assert sum(record["kind"] == "evaluate" for record in log) == 3


def test_an_untrained_base_has_other_weights_of_the_same_shape(base, sentiment, tmp_path):
    result = fit(small(base, sentiment, tmp_path / "run", untrained=True, method="frozen"))
    before = load_file(base / "model" / "model.safetensors")
    after = load_file(result.run / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    assert not same(before, after)


@pytest.mark.parametrize("crf", [False, True])
def test_tags_are_learned_and_predicted(base, tagged, tmp_path, crf, capsys):
    settings = small(base, tagged, tmp_path / "run", task="tagging", crf=crf, epochs=6.0, lr=3e-3)
    result = fit(replace(settings, word_dropout=0.0))
    assert result.test.value > result.baselines["majority"].value + 0.2
    assert main(["predict", str(result.run), "Mia went home."]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["words"] == ["Mia", "went", "home", "."]
    assert len(said["tags"]) == 4
    assert set(said["tags"]) <= set(json.loads((result.run / "labels.json").read_text()))


def test_a_finished_run_needs_its_base_no_more(base, sentiment, tmp_path, capsys):
    moved = tmp_path / "base"
    run(moved, objective__name="mlm", steps=2)
    result = fit(small(moved, sentiment, tmp_path / "run"))
    moved.rename(tmp_path / "gone")
    lines = ["Mia was happy.", "Tom lost his kite."]
    said = list(use(result.run, lines))
    assert main(["predict", str(result.run), *lines]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == said
    assert {one["label"] for one in printed} <= {"-1", "1"}
    # and it may be the base of another run
    again = fit(small(result.run, sentiment, tmp_path / "second", epochs=0.2))
    assert again.test is not None


def test_a_text_is_judged_alike_in_any_company(base, sentiment, tmp_path):
    result = fit(small(base, sentiment, tmp_path / "run"))
    lines = [
        "Mia was happy.",
        "Tom lost his kite and it rained and he went home alone.",
        "Ben ran.",
    ]
    together = list(use(result.run, lines))
    alone = [next(use(result.run, [line])) for line in lines]
    assert [one["label"] for one in together] == [one["label"] for one in alone]
    assert [one["probability"] for one in together] == pytest.approx(
        [one["probability"] for one in alone], abs=2e-4
    )


def test_span_tags_are_scored_as_spans(base, tmp_path):
    rows = [{"tokens": [name, "ran"], "tags": ["B-PER", "O"]} for name in map(str, range(60))]
    path = tmp_path / "spans.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = fit(small(base, path, tmp_path / "run", task="tagging"))
    assert result.test.metric == "span F1"
    assert set(result.test.others) == {"precision", "recall", "accuracy"}


def test_what_is_no_base_is_said(base, sentiment, tmp_path):
    with pytest.raises(UserError, match="there is no base 'nowhere'"):
        load_base("nowhere")
    with pytest.raises(UserError, match="holds neither a run with a model/ nor a config"):
        load_base(str(tmp_path))
    other = tmp_path / "other"
    run(other, objective__name="mlm", steps=2, data__vocab_size=320)
    (other / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes())
    with pytest.raises(UserError, match=r"tokenizer\.json does not give its checksum"):
        load_base(str(other))
    (other / "SHA256SUMS").unlink()  # as in a run of before there were checksums
    with pytest.raises(UserError, match="they are not of the same run"):
        load_base(str(other))


def test_what_cannot_be_is_refused_before_a_folder_is_made(base, sentiment, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(UserError):
        fit(small(base, tmp_path / "missing.jsonl", out))
    assert not out.exists()
    with pytest.raises(UserError, match="crf=True does nothing with task=classification"):
        small(base, sentiment, out, crf=True)
    with pytest.raises(UserError, match="unknown option"):
        parse(["--metod", "full"])


def test_a_run_is_resumed_with_its_own_settings(base, sentiment, tmp_path):
    out = tmp_path / "run"
    fit(small(base, sentiment, out))
    with pytest.raises(UserError, match=r"cannot resume with lr=0\.5: the run was started with"):
        parse(["--out", str(out), "--resume", "--lr", "0.5"])
    assert parse(["--out", str(out), "--resume"]).epochs == 1.0
    with pytest.raises(UserError, match="holds a run already"):
        fit(small(base, sentiment, out))


def test_a_tagger_without_crf_may_say_what_no_scheme_allows(base, tmp_path):
    settings = Settings(task="tagging")
    labels = ["B-X", "I-X", "O"]
    assert Tagging(settings, load_base(str(base)), labels).has_spans
    assert not Tagging(settings, load_base(str(base)), ["NOUN", "O"]).has_spans


def test_a_stopped_run_predicts_nothing(tmp_path, base):
    with pytest.raises(UserError, match=r"its config\.json names no base"):
        load_finished(base)
    with pytest.raises(UserError, match="there is no run of"):
        load_finished(tmp_path)
