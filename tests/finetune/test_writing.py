"""Tasks whose answers are texts: each with each method, stopped, resumed, used."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import run
from small_tuning import interrupt_at, same, weights

from llmcourse.errors import UserError
from llmcourse.finetune.__main__ import main
from llmcourse.finetune.base import load_base
from llmcourse.finetune.fit import fit
from llmcourse.finetune.instruct import Instruct
from llmcourse.finetune.methods import fingerprint
from llmcourse.finetune.predict import load_finished
from llmcourse.finetune.preference import Preference
from llmcourse.finetune.settings import DataSettings, Settings
from llmcourse.generate.__main__ import main as generate
from llmcourse.models.adapters import load_adapted_model
from llmcourse.models.files import load_model
from llmcourse.objectives.base import IGNORE
from llmcourse.tinytown import tasks
from llmcourse.tinytown.stories import stories

METHODS = ("full", "gradual", "lora", "prompt", "prefix")
ADAPTERS = METHODS[2:]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A GPT that has read a little of tinytown."""
    out = tmp_path_factory.mktemp("base") / "run"
    changes = {"data__source": "tinytown", "data__vocab_size": 500, "model__context_length": 96}
    run(out, steps=40, model__dropout=0.0, batch_size=16, **changes)
    return out


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A file for each task."""
    folder = tmp_path_factory.mktemp("data")
    asked = [
        {"question": f"{story.sentences[0].text} {question.text}", "answer": question.answer}
        for story in stories(50, 0)
        for question in tasks.questions(story)[:1]
    ]
    pairs = [
        {"prompt": row["question"], "chosen": row["answer"] + ".", "rejected": "I do not know."}
        for row in asked
    ]
    told = [{"text": story.text} for story in stories(40, 3)]
    return {
        "instruct": write(folder / "asked.jsonl", asked),
        "preference": write(folder / "pairs.jsonl", pairs),
        "distill": write(folder / "told.jsonl", told),
    }


def small(base, data, task, out, **changes):
    settings = Settings(
        base=str(base),
        task=task,
        out=str(out),
        epochs=2.0,
        batch_size=8,
        evaluations=2,
        device="cpu",
        precision="fp32",
        teacher=str(base) if task == "distill" else "",
        data=DataSettings(source=str(data[task]), held_out=0.2, leaks="drop"),
    )
    return replace(settings, **changes)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_to_answer_and_its_run_can_be_used(
    base, data, method, tmp_path, capsysbinary
):
    result = fit(small(base, data, "instruct", tmp_path / "run", method=method, epochs=6.0))
    assert result.test.metric == "nats a token"
    assert result.test.value < result.baselines["the base alone"].value - 0.05
    page = (result.run / "report.html").read_text()
    assert "Before and after" in page
    assert "the base alone" in page
    capsysbinary.readouterr()
    # The same answer from predict and from generate, which knows nothing of methods.
    question = "Mia had a cat. Who had the cat?"
    assert main(["predict", str(result.run), question]) == 0
    answer = json.loads(capsysbinary.readouterr().out)["answer"]
    arguments = [str(result.run), "--chat", "--prompt", question, "--greedy"]
    assert generate([*arguments, "--device", "cpu", "--max-new-tokens", "64"]) == 0
    assert capsysbinary.readouterr().out.decode().strip() == answer
    assert generate([str(result.run), "--prompt", "Mia", "--max-new-tokens", "3"]) == 0


@pytest.mark.parametrize(
    ("task", "method"), [("preference", "full"), ("preference", "lora"), ("distill", "full")]
)
def test_the_other_tasks_learn(base, data, task, method, tmp_path):
    changes = {"lr": 2e-3} if task == "preference" else {"untrained": True, "lr": 1e-2}
    result = fit(small(base, data, task, tmp_path / "run", method=method, epochs=4.0, **changes))
    if task == "preference":
        assert set(result.baselines) == {"the longer one", "the base alone"}
        assert result.test.value > 0.9
        assert result.test.in_nats["mean margin"] > 0.1
        page = (result.run / "report.html").read_text()
        assert f"{result.test.in_nats['mean margin']:.3f}" in page
    else:
        assert set(result.baselines) == {"the base alone", "the teacher"}
        assert result.baselines["the teacher"].value < result.test.value
        assert result.test.value < result.baselines["the base alone"].value


@pytest.mark.parametrize("method", ADAPTERS)
def test_the_base_under_an_adapter_never_changes(base, data, method, tmp_path):
    before = fingerprint(dict(load_base(str(base)).model.named_parameters()))
    result = fit(small(base, data, "instruct", tmp_path / "run", method=method))
    kept = load_model(result.run / "model")
    assert fingerprint(dict(kept.named_parameters())) == before
    # What was trained is a small part of what there is, and changes what the model says.
    adapter = load_file(result.run / "model" / "adapter" / "model.safetensors")
    assert 0 < sum(map(torch.numel, adapter.values())) < 0.2 * kept.n_parameters
    ids = torch.randint(0, 300, (2, 12))
    with torch.no_grad():
        together, alone = load_adapted_model(result.run / "model")(ids), kept(ids)
    assert (together.logits - alone.logits).abs().max() > 1e-3


def test_a_merged_adapter_says_what_it_said_beside_its_base(base, data, tmp_path):
    result = fit(small(base, data, "instruct", tmp_path / "run", method="lora"))
    _, beside = load_finished(result.run)
    ids = torch.randint(0, 300, (2, 20))
    with torch.no_grad():
        merged = load_adapted_model(result.run / "model")(ids).logits
        assert torch.allclose(beside.backbone(ids).logits, merged, atol=1e-6)


@pytest.mark.parametrize(("task", "method"), [("instruct", "prefix"), ("preference", "lora")])
def test_a_stopped_run_goes_on_as_if_it_never_was(base, data, task, method, tmp_path, monkeypatch):
    whole = fit(small(base, data, task, tmp_path / "whole", method=method))
    settings = small(base, data, task, tmp_path / "cut", method=method)
    interrupt_at(monkeypatch, 5)
    assert fit(settings).stopped_by == signal.SIGTERM
    monkeypatch.undo()
    resumed = fit(replace(settings, resume=True))
    assert resumed.test == whole.test
    assert same(weights(resumed.run / "model"), weights(whole.run / "model"))


def test_micro_batches_are_one_batch(base, data, tmp_path):
    runs = [
        fit(small(base, data, "preference", tmp_path / str(size), micro_batch_size=size, lr=1e-3))
        for size in (None, 3)
    ]
    one, other = (weights(each.run / "model") for each in runs)
    for name, value in one.items():
        assert torch.allclose(value, other[name], atol=2e-5), name


def test_the_reference_of_preferences_is_the_base_as_it_was(base, data, tmp_path):
    settings = small(base, data, "preference", tmp_path / "run")
    task = Preference(settings, load_base(str(base)))
    pairs = Preference.read(settings).test
    model = task.build()
    judged = task.measure(model, pairs).judged
    assert judged.in_nats["mean margin"] == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    moved = task.measure(model, pairs).judged
    assert abs(moved.in_nats["mean margin"]) > 1e-3


def test_a_row_pays_for_the_answer_and_for_nothing_else(base, data, tmp_path):
    settings = small(base, data, "instruct", tmp_path / "run")
    loaded = load_base(str(base))
    task = Instruct(settings, loaded)
    chat = Instruct.read(settings).train[0]
    row = task.row(chat.turns, chat.where)
    paid = [target for target in row.targets if target != IGNORE]
    assert paid[-1] == loaded.tokenizer.eot_id
    assert loaded.tokenizer.decode(paid).strip() == chat.turns[-1].content.strip()
    following = zip(row.targets, row.ids[1:], strict=False)
    assert all(target in (IGNORE, follows) for target, follows in following)


def test_an_encoder_is_no_base_for_answers(data, tmp_path):
    run(tmp_path / "mlm", objective__name="mlm", steps=2)
    with pytest.raises(UserError, match="needs a base that goes on with a text"):
        fit(small(tmp_path / "mlm", data, "instruct", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_labels_are_learned_beside_a_base_held_still(base, tmp_path):
    rows = [
        {"text": text, "label": int(label)} for text, label in tasks.sentiment_sentences(120, 0)
    ]
    source = write(tmp_path / "rows.jsonl", list({row["text"]: row for row in rows}.values()))
    for method in ADAPTERS:
        settings = Settings(
            base=str(base),
            out=str(tmp_path / method),
            method=method,
            epochs=1.0,
            evaluations=1,
            device="cpu",
            data=DataSettings(source=str(source)),
        )
        result = fit(settings)
        assert main(["predict", str(result.run), "Mia was happy."]) == 0


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_stands_on_another_base_is_no_base(base, data, method, tmp_path):
    first = fit(small(base, data, "instruct", tmp_path / "first", method="prompt", epochs=0.5))
    with pytest.raises(UserError, match="name that base itself"):
        fit(small(first.run, data, "instruct", tmp_path / "second", method=method))
    # Low-rank matrices are folded in: a run with them is a base like any other.
    lora = fit(small(base, data, "instruct", tmp_path / "lora", method="lora", epochs=0.5))
    fit(small(lora.run, data, "preference", tmp_path / "third", method=method, epochs=0.5))


def test_a_teacher_of_another_vocabulary_is_refused(base, data, tmp_path):
    run(tmp_path / "other", steps=2, data__vocab_size=350)
    settings = small(base, data, "distill", tmp_path / "run", teacher=str(tmp_path / "other"))
    with pytest.raises(UserError, match="another vocabulary"):
        fit(settings)
    with pytest.raises(UserError, match="there is no teacher"):
        fit(replace(settings, teacher=""))
