"""What users get wrong costs them one clear line, a non-zero exit, and nothing that was there."""

import errno
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_runs import flags, log_of, run, small

import llmcourse.train.loop as loop
from llmcourse.checksums import write_checksums
from llmcourse.train.__main__ import main
from llmcourse.train.checkpoint import list_checkpoints


@pytest.fixture
def refused(capsys):
    """Run the command line; it must fail with one line, which is returned."""

    def refused(*arguments: str) -> str:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        assert caught.value.code == 2
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(said) == 1
        assert "Traceback" not in said[0]
        return said[0]

    return refused


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished small run, to be copied before it is spoiled."""
    out = tmp_path_factory.mktemp("finished") / "run"
    run(out)
    return out


@pytest.fixture
def spoilt(finished, tmp_path) -> Path:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    return out


def test_impossible_sizes(refused, tmp_path):
    for option, value, message in [
        ("--model.n-heads", "5", "5"),
        ("--model.d-model", "0", "d_model=0"),
        ("--data.vocab-size", "3", "3"),
        ("--batch-size", "-1", "batch_size=-1"),
        ("--micro-batch-size", "3", "micro_batch_size=3"),
        ("--device", "tpu", "tpu"),
    ]:
        out = tmp_path / "run"
        wanted = [*flags(small(out)), option, value]
        assert message in refused(*wanted)
        assert not out.exists(), "nothing half-written is left"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "empty"),
        ("spoilt.txt", "café, thé, s'il vous plaît ".encode() + b"caf\xe9", "byte"),
        ("short.txt", b"Too short for a window.", "context_length"),
        ("broken.jsonl", b'{"text": "a"}\n{"text": \n', "line 2"),
        ("odd.docx", b"PK", "docx"),
    ],
)
def test_data_that_cannot_be_learnt_from(refused, tmp_path, name, content, message):
    source, out = tmp_path / name, tmp_path / "run"
    source.write_bytes(content)
    wanted = flags(small(out, data__source=str(source), data__tokenizer="byte"))
    said = refused(*wanted)
    assert message in said
    assert not out.exists()


def test_data_that_is_not_there(refused, tmp_path):
    said = refused(*flags(small(tmp_path / "run", data__source=str(tmp_path / "gone.txt"))))
    assert "gone.txt" in said


def test_a_hub_out_of_reach_answers_within_seconds(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    began = time.monotonic()
    said = refused(*flags(small(tmp_path / "run", data__source="hf:org/name")))
    assert time.monotonic() - began < 15
    assert "hf:org/name" in said or "org/name" in said


def test_a_run_directory_in_use(refused, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "llmcourse.train", *flags(small(out, steps=100_000))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not log_of(out):
            assert process.poll() is None
            time.sleep(0.05)
        assert str(process.pid) in refused(*flags(small(out)), "--resume")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_run_directory_that_holds_a_run(refused, spoilt):
    before = log_of(spoilt)
    assert "--resume" in refused(*flags(small(spoilt)))
    assert log_of(spoilt) == before


def test_a_change_that_would_make_it_another_run(refused, spoilt):
    said = refused("--out", str(spoilt), "--resume", "--model.n-layers", "3")
    assert "model.n_layers" in said


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["truncated", "garbage", "missing"])
def test_a_damaged_checkpoint(refused, spoilt, name, damage):
    file = list_checkpoints(spoilt / "checkpoints")[-1] / name
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else b"\0" * 50)
    for other in list_checkpoints(spoilt / "checkpoints")[:-1]:
        shutil.rmtree(other)
    said = refused("--out", str(spoilt), "--resume")
    assert name in said
    assert str(file.parent) in said


def test_a_foreign_checkpoint(refused, spoilt, tmp_path):
    run(tmp_path / "wider", model__d_model=64)
    last = list_checkpoints(spoilt / "checkpoints")[-1]
    shutil.rmtree(last)
    shutil.copytree(list_checkpoints(tmp_path / "wider" / "checkpoints")[-1], last)
    assert "another model" in refused("--out", str(spoilt), "--resume")


def test_a_checkpoint_of_another_optimizer(refused, spoilt, tmp_path):
    run(tmp_path / "adamw", optimizer__name="adamw")
    last = list_checkpoints(spoilt / "checkpoints")[-1]
    stranger = list_checkpoints(tmp_path / "adamw" / "checkpoints")[-1]
    shutil.copy(stranger / "optimizer.safetensors", last)
    write_checksums(last)
    assert str(last) in refused("--out", str(spoilt), "--resume")


def test_a_damaged_config(refused, spoilt):
    (spoilt / "config.json").write_text("{")
    assert "config.json is damaged" in refused("--out", str(spoilt), "--resume")


def test_settings_of_nobody(refused, spoilt):
    config = spoilt / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "stepz": 3}))
    assert "unknown setting 'stepz'" in refused("--out", str(spoilt), "--resume")


def test_damaged_tokens(refused, spoilt):
    (spoilt / "data" / "train.bin").write_bytes(b"\0\0")
    assert "damaged" in refused("--out", str(spoilt), "--resume")


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path):
    """A limit on the size of files stands in for a full disk: a write that fails, with EFBIG."""
    out = tmp_path / "run"
    run(out, steps=14)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, "-m", "llmcourse.train", "--out", str(out), "--resume"]
    done = subprocess.run(
        [*command, "--steps", "20"], preexec_fn=limit, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2, done.stderr
    assert "error: cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    names = [path.name for path in list_checkpoints(out / "checkpoints")]
    assert names[-1].endswith("14")
    assert not list((out / "checkpoints").glob(".*"))
    assert main([*command[3:], "--steps", "20"]) == 0


def test_a_full_disk_while_the_corpus_is_written(refused, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "train.bin")

    monkeypatch.setattr("llmcourse.prepare.corpus.write_tokens", full)
    assert "No space left" in refused(*flags(small(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_stops_the_run(refused, tmp_path):
    out = tmp_path / "run"
    wanted = flags(small(out, optimizer__name="adamw", optimizer__clip=0.0, optimizer__warmup=0.0))
    said = refused(*wanted, "--optimizer.lr", "1e30", "--save-every", "1", "--log-every", "1")
    assert "no longer a number" in said
    assert "--optimizer.lr" in said
    assert "--resume" in said


def test_what_is_saved_before_a_loss_that_is_no_number_is_good(tmp_path, monkeypatch):
    out = tmp_path / "run"
    clip = loop.divide_and_clip
    calls = []

    def spoil(model, count, limit):
        calls.append(1)
        if len(calls) == 16:
            next(iter(model.parameters())).grad.fill_(math.nan)
        return clip(model, count, limit)

    monkeypatch.setattr(loop, "divide_and_clip", spoil)
    with pytest.raises(loop.Diverged, match=r"step-00000014 is from before"):
        run(out)
    assert "no longer a number" in (out / "report.html").read_text()
    monkeypatch.setattr(loop, "divide_and_clip", clip)
    result = run(out, resume=True)
    assert result.steps == 20
    assert math.isfinite(result.score.loss)


def test_the_guard_of_these_tests(tmp_path):
    """A good command line is not refused."""
    assert main(flags(small(tmp_path / "run", steps=1))) == 0
    assert torch.is_grad_enabled()
