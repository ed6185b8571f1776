"""Each objective trains for real: it learns, resumes exactly, reports, and says what it cannot."""

import json
import math
import re
import shutil

import numpy as np
import pytest
import torch
from small_runs import flags, log_of, run, small, state_of, weights_of

from llmcourse.errors import UserError
from llmcourse.generate.__main__ import main as generate
from llmcourse.models.files import load_model
from llmcourse.models.registry import family_of
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.__main__ import main as train_command
from llmcourse.train.checkpoint import list_checkpoints

FAMILIES = {
    "clm": "gpt",
    "mlm": "bert",
    "nsp": "bert",
    "sop": "bert",
    "mlm-nsp": "bert",
    "mlm-sop": "bert",
    "plm": "xlnet",
    "span-corruption": "encoder_decoder",
    "denoising": "encoder_decoder",
    "contrastive": "dual_encoder",
}
NEW = sorted(FAMILIES.keys() - {"clm"})
TELLS_PAIRS = {"nsp", "sop", "mlm-nsp", "mlm-sop", "contrastive"}
PREDICTS_TEXT = {"mlm", "mlm-nsp", "mlm-sop", "plm", "span-corruption", "denoising"}


@pytest.fixture(scope="module", params=NEW)
def finished(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param) / "run"
    return request.param, run(out, objective__name=request.param, steps=40, save_every=15)


def test_the_family_follows_from_the_objective(finished):
    name, result = finished
    assert family_of(load_model(result.run / "model")) == FAMILIES[name]


def test_the_loss_falls(finished):
    name, result = finished
    losses = [r["loss"] for r in log_of(result.run) if r["kind"] == "train"]
    if name in ("nsp", "sop"):  # alone, pairs take longer: here they must not be worse than chance
        assert sum(losses[-3:]) < 3 * 1.05 * math.log(2)
    else:
        assert sum(losses[-3:]) < 0.97 * sum(losses[:3])


def test_an_evaluation_speaks_of_what_the_task_asks(finished):
    name, result = finished
    last = [r for r in log_of(result.run) if r["kind"] == "evaluate"][-1]
    assert ("bits_per_byte" in last) == (name in PREDICTS_TEXT)
    assert ("pair_accuracy" in last) == (name in TELLS_PAIRS)
    assert result.score.selection_metric == last.get("bits_per_byte", last["loss"])


def test_the_report_is_whole_and_offers_no_writing(finished):
    _, result = finished
    page = (result.run / "report.html").read_text()
    assert "on held-out text, as" in page
    assert "llmcourse.generate" not in page


def test_a_sample_shows_what_was_asked_said_and_right(finished):
    name, result = finished
    if name in PREDICTS_TEXT:
        parts = [line.split()[0] for line in result.sample.splitlines() if line]
        assert parts == ["asked:", "said:", "right:"]
    else:
        assert result.sample == ""


def test_what_a_sample_calls_right_stands_in_the_held_out_text(finished):
    name, result = finished
    if name not in ("mlm", "plm", "denoising"):
        return  # pairs and spans are shown with the task's own tokens between
    tokens = np.fromfile(result.run / "data" / "valid.bin", "<u2")
    text = " ".join(load_tokenizer(result.run).decode(tokens.tolist()).split())
    asked, _, right = (line[7:] for line in result.sample.splitlines() if line)
    assert right in text
    assert asked not in text
    assert ("[MASK]" if name == "denoising" else "___") in asked


def test_generate_says_that_it_cannot(finished, capsys):
    _, result = finished
    assert family_of(load_model(result.run / "model")) != "gpt"
    with pytest.raises(SystemExit):
        generate([str(result.run)])
    assert "does not go on with a text" in capsys.readouterr().err


def test_resumed_equals_never_stopped(finished, tmp_path):
    name, result = finished
    out = tmp_path / "run"
    shutil.copytree(result.run, out)
    for path in list_checkpoints(out / "checkpoints")[1:]:
        shutil.rmtree(path)
    (out / ".lock").unlink(missing_ok=True)
    run(out, objective__name=name, steps=40, save_every=15, resume=True)
    assert log_of(out) == log_of(result.run)
    assert weights_of(out) == weights_of(result.run)
    assert state_of(out) == state_of(result.run)


@pytest.mark.parametrize("name", ["mlm", "plm", "span-corruption", "mlm-sop"])
def test_micro_batches_equal_one_batch(name, tmp_path):
    """In float32, with AdamW; evaluations hide the same tokens however the rows are taken."""
    exact = {"objective__name": name, "steps": 6, "optimizer__name": "adamw", "model__dropout": 0.0}
    run(tmp_path / "one", **exact)
    run(tmp_path / "parts", **exact, micro_batch_size=2)
    one, parts = (
        [r["loss"] for r in log_of(tmp_path / folder) if "loss" in r] for folder in ("one", "parts")
    )
    assert parts == pytest.approx(one, rel=2e-5)


def test_the_last_words_keep_units_apart(tmp_path, capsys):
    settings = small(tmp_path / "run", objective__name="mlm-sop", steps=2)
    assert train_command(flags(settings)) == 0
    said = capsys.readouterr().err
    table = said[said.index("bits per byte on held-out text:") : said.index("besides")]
    assert "this model" in table
    assert "pair" not in table
    assert re.search(
        r"besides, with losses in nats: token loss \d\.\d+, pair loss 0\.\d+, pair acc", said
    )


def test_contrastive_is_not_cut_into_parts(tmp_path):
    with pytest.raises(UserError, match="cannot be cut into parts of 2"):
        run(tmp_path / "run", objective__name="contrastive", micro_batch_size=2)


def test_views_by_dropout_need_some(tmp_path):
    task = {"objective__name": "contrastive", "objective__views": "dropout"}
    with pytest.raises(UserError, match=r"add --model\.dropout 0\.1"):
        run(tmp_path / "run", **task, model__dropout=0.0)
    assert run(tmp_path / "run", **task, model__dropout=0.1, steps=2).steps == 2


def test_the_task_cannot_change_on_the_way(finished):
    name, result = finished
    other = "mlm" if name != "mlm" else "plm"
    with pytest.raises(SystemExit):
        train_command(["--out", str(result.run), "--resume", "--objective", other])
    assert json.loads((result.run / "config.json").read_text())["objective"]["name"] == name


def test_documents_apart_are_another_run(tmp_path):
    apart = run(tmp_path / "apart", steps=5, data__separate_documents=True)
    together = run(tmp_path / "together", steps=5)
    assert apart.score.loss != together.score.loss
    assert torch.isfinite(torch.tensor(apart.score.loss))


# --- early stopping ------------------------------------------------------------------------------

STUCK = {"optimizer__lr": 1e-12, "evaluate_every": 2}


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    settings = {**STUCK, "model__dropout": 0.0, "optimizer__weight_decay": 0.0}
    result = run(tmp_path / "run", **settings, steps=1000, patience=3, optimizer__name="adamw")
    evaluations = [r for r in log_of(tmp_path / "run") if r["kind"] == "evaluate"]
    best = min(range(len(evaluations)), key=lambda i: evaluations[i]["bits_per_byte"])
    assert len(evaluations) == best + 1 + 3
    assert result.steps == evaluations[-1]["step"] < 100
    assert "This run" not in (tmp_path / "run" / "report.html").read_text()  # no warning


def test_patience_lets_a_run_that_learns_go_on(tmp_path):
    result = run(tmp_path / "run", steps=20, evaluate_every=5, patience=1)
    assert result.steps == 20


def test_a_budget_ends_every_task(tmp_path):
    result = run(
        tmp_path / "run", objective__name="plm", steps=10**6, budget="2s", save_every=10**6
    )
    assert 0 < result.steps < 10**6
    assert result.seconds >= 1  # at the least half of the budget goes to the steps
    assert (tmp_path / "run" / "report.html").exists()
