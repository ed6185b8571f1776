"""The command: three formats of one run, proven and with a card; nothing half-written."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from small_runs import run

from llmcourse.errors import UserError
from llmcourse.export import ship
from llmcourse.export.__main__ import main
from llmcourse.export.card import Facts, model_card
from llmcourse.generate.__main__ import load_run
from llmcourse.models.files import load_model
from llmcourse.nn.int8 import is_quantized
from llmcourse.runs.history import RunHistory
from llmcourse.tokenizers.chat import TEMPLATES
from llmcourse.tokenizers.template_files import TEMPLATE_FILE


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    run(out)
    return out


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.slow
def test_transformers_writes_the_same_tokens(finished, tmp_path):
    transformers = pytest.importorskip("transformers")
    from llmcourse.generate.decode import generate
    from llmcourse.generate.sampling import greedy

    out = tmp_path / "hf"
    assert main([str(finished), "--format", "hf", "--out", str(out)]) == 0
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out).eval()
    reads = transformers.AutoTokenizer.from_pretrained(out)
    model, tokenizer = load_run(finished)
    assert reads.encode("Mia had a cat.") == tokenizer.encode("Mia had a cat.")
    start = torch.tensor([[tokenizer.eot_id, *tokenizer.encode("Mia")]])
    ours = [int(t) for t in generate(model, start, max_new_tokens=20, sampler=greedy)]
    with torch.no_grad():
        written = theirs.generate(
            start, max_new_tokens=20, do_sample=False, eos_token_id=None, pad_token_id=0
        )
    assert written[0, start.size(1) :].tolist() == ours


@pytest.mark.slow
def test_a_chat_template_goes_along(finished, tmp_path):
    transformers = pytest.importorskip("transformers")
    told = tmp_path / "told"
    shutil.copytree(finished, told)
    (told / TEMPLATE_FILE).write_text(TEMPLATES["plain"])
    ship.export_run(told, tmp_path / "hf", "hf")
    reads = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    chat = [{"role": "user", "content": "Who had the cat?"}]
    text = reads.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert "Who had the cat?" in text


@pytest.mark.slow
def test_onnx_is_proven_when_it_is_written(finished, tmp_path):
    pytest.importorskip("onnxscript")
    words = [str(finished), "--format", "onnx", "--out", str(tmp_path / "o")]
    # In a process without the checks of shapes, which the exporter's symbols would not pass.
    command = [sys.executable, "-m", "llmcourse.export", *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "200 of 200" in ran.stdout
    assert files(tmp_path / "o") == [
        *("README.md", "model.onnx", "onnx_config.json", "tokenizer.json"),
    ]


def test_int8_is_read_like_a_run(finished, tmp_path):
    done = ship.export_run(finished, tmp_path / "small", "int8")
    model, _ = load_run(tmp_path / "small")
    assert is_quantized(model)
    small, large = done.measured["bytes of weights"].replace(",", "").split(" of ")
    assert int(small) < 0.4 * int(large)
    after, before = done.measured["held-out loss in int8, nats a token"].split(", before ")
    assert abs(float(after) - float(before)) < 0.01
    assert float(before) == pytest.approx(
        ship.held_out_loss(load_model(finished / "model"), finished), abs=1e-4
    )


def test_int8_cannot_be_exported_or_trained_again(finished, tmp_path, capsys):
    from llmcourse.finetune.__main__ import main as finetune

    small = tmp_path / "small"
    ship.export_run(finished, small, "int8")
    with pytest.raises(UserError, match="int8 already"):
        ship.export_run(small, tmp_path / "again", "hf")
    table = tmp_path / "t.csv"
    table.write_text("text,label\n" + "".join(f"good {n},1\nbad {n},0\n" for n in range(60)))
    with pytest.raises(SystemExit):
        finetune(["--base", str(small), "--data", str(table), "--out", str(tmp_path / "f")])
    assert "cannot learn" in capsys.readouterr().err
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: shutil.rmtree(run / "model"), "holds no model/"),
        (lambda run: (run / "model" / "model.safetensors").write_bytes(b"x"), "damaged"),
        (lambda run: (run / "model" / "config.json").write_text("{"), "damaged"),
        (lambda run: (run / "tokenizer.json").unlink(), "tokenizer"),
        (lambda run: (run / "metrics.jsonl").write_text("{]\n{}\n"), "metrics.jsonl"),
    ],
)
def test_a_run_that_is_spoilt_is_one_line_and_leaves_nothing(
    finished, tmp_path, capsys, spoil, message
):
    shutil.copytree(finished, tmp_path / "run")
    spoil(tmp_path / "run")
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "run"), "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN"], "--out"),
        (["RUN", "--out", "OUT", "--format", "gguf"], "gguf"),
        (["nowhere", "--out", "OUT"], "no run directory nowhere"),
        (["RUN", "--out", "RUN"], "exists already"),
        (["RUN", "--out", "RUN/hf"], "lies in the run"),
    ],
)
def test_what_cannot_be_asked(finished, tmp_path, capsys, arguments, message):
    names = {"RUN": str(finished), "OUT": str(tmp_path / "out")}
    words = [word.replace("RUN", names["RUN"]).replace("OUT", names["OUT"]) for word in arguments]
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]
    assert not (tmp_path / "out").exists()


def test_a_result_that_says_something_else_is_not_kept(finished, tmp_path, monkeypatch):
    def wrong(folder):
        model = load_run(finished)[0]
        with torch.no_grad():
            model.lm_head.weight.neg_()
        return model

    monkeypatch.setattr(ship, "from_huggingface", wrong)
    with pytest.raises(UserError, match="says something else"):
        ship.export_run(finished, tmp_path / "out", "hf")
    assert list(tmp_path.iterdir()) == []


def test_the_card_has_the_figures_of_the_run(finished):
    card = model_card(finished, Facts(name="mine", license="mit", measured={"a": "1|2"}))
    history = RunHistory.read(finished)
    assert card.startswith("---\nlicense: mit\n")
    assert f"| held-out loss, nats a token | {history.best.loss:.3f} |" in card
    assert f"| bits per byte, this model | {history.best.bits_per_byte:.3f} |" in card
    assert f"| tokens read in training | {int(history.latest('tokens')):,} |" in card
    assert "tinytown" in card
    assert "| a | 1\\|2 |" in card
    for heading in ("Intended use", "Limits", "trained on", "How good"):
        assert f"## {heading}" in card or f" {heading}" in card


def test_a_card_says_what_is_not_known(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"family": "gpt"}))
    (tmp_path / "config.json").write_text(json.dumps({"data": {"source": "web.txt"}}))
    card = model_card(tmp_path, Facts(name="x", measured={}))
    assert "`web.txt`; its licence is not said: add it here" in card
    assert "| held-out loss | not said |" in card
