import json
import math
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
import torch
from small_runs import flags, log_of, run, small
from torch.utils.flop_counter import FlopCounterMode

from llmcourse.errors import UserError
from llmcourse.models.files import load_model
from llmcourse.runs.history import RunHistory
from llmcourse.runs.log import Diverged, Ending
from llmcourse.tinytown.stories import entropy_bits_per_byte
from llmcourse.train import loop, monitor
from llmcourse.train.__main__ import main
from llmcourse.train.corpus import known_entropy
from llmcourse.train.loop import divide_and_clip
from llmcourse.train.monitor import Monitor
from llmcourse.train.progress_bar import StopSignals, signal_name
from llmcourse.train.settings import ObjectiveSettings


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    return run(out, steps=60, sample_tokens=20, tensorboard=True)


def test_it_learns(finished):
    assert finished.score.bits_per_byte < finished.unigram < finished.uniform
    assert finished.steps == 60
    assert finished.stopped_by is None


def test_a_run_directory_holds_all_that_repeats_and_explains_it(finished):
    names = {path.name for path in finished.run.iterdir()} - {".lock"}
    assert names == {
        *("checkpoints", "config.json", "data", "environment.json", "metrics.jsonl", "model"),
        *("SHA256SUMS", "report.html", "samples.md", "tensorboard", "tokenizer.json"),
    }
    environment = json.loads((finished.run / "environment.json").read_text())
    assert environment["torch"] == torch.__version__
    assert list((finished.run / "tensorboard" / finished.run.name).glob("events.*"))
    assert finished.sample in (finished.run / "samples.md").read_text()


def test_on_tinytown_the_entropy_is_known_and_said(tmp_path, capsys):
    assert main(flags(small(tmp_path / "run", steps=2))) == 0
    captured = capsys.readouterr()
    known = entropy_bits_per_byte()
    assert f"entropy {known:.3f} bits per byte" in captured.err
    assert re.search(rf"this model +[\d.]+\n +entropy +{known:.3f}", captured.err)
    assert "what it writes now:" in captured.err
    history = RunHistory.read(tmp_path / "run")
    assert history.baselines["entropy"] == known
    assert list(history.baselines) == ["uniform", "unigram", "entropy"]
    other = small(tmp_path / "mlm", objective=ObjectiveSettings(name="mlm"))
    assert known_entropy(other) is None
    assert known_entropy(small(tmp_path, data__source="pydocs")) is None


def test_the_first_loss_is_that_of_knowing_nothing(finished):
    first = RunHistory.read(finished.run).evaluations[0]
    assert first.step == 0
    assert first.loss == pytest.approx(math.log(300), abs=0.1)


def test_the_best_model_is_kept(finished):
    evaluations = [r for r in log_of(finished.run) if r["kind"] == "evaluate"]
    assert min(r["bits_per_byte"] for r in evaluations) == finished.score.bits_per_byte
    model = load_model(finished.run / "model")
    assert model.config.vocab_size == 300


def test_tokens_are_counted(finished):
    last = [r for r in log_of(finished.run) if r["kind"] == "train"][-1]
    assert last["tokens"] == last["step"] * 8 * 32


def test_a_budget_ties_the_schedule_to_the_clock(tmp_path):
    """By the real clock, which no test can hold to; how exactly it is kept: `test_budget.py`."""
    result = run(tmp_path / "run", steps=1_000_000, budget="3s", save_every=1000, log_every=1)
    assert 0 < result.steps < 1_000_000
    assert result.seconds > 0
    rates = [r["lr"] for r in log_of(tmp_path / "run") if r["kind"] == "train"]
    assert max(rates) > 0.8 * 3e-3
    assert rates[-1] < 0.2 * 3e-3


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_about_as_well(finished, precision, tmp_path):
    result = run(tmp_path / "run", steps=60, precision=precision)
    assert result.score.bits_per_byte == pytest.approx(finished.score.bits_per_byte, abs=0.1)


@pytest.mark.slow
def test_a_compiled_model_takes_the_same_steps(tmp_path):
    """In a process of its own: the compiler cannot see through the checked signatures of tests."""
    changes = {"steps": 6, "log_every": 1, "optimizer__name": "adamw", "model__dropout": 0.0}
    run(tmp_path / "plain", **changes)
    wanted = small(tmp_path / "compiled", **changes, compile="yes")
    command = [sys.executable, "-m", "llmcourse.train", *flags(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    plain, fast = (
        [r["loss"] for r in log_of(tmp_path / out) if "loss" in r] for out in ("plain", "compiled")
    )
    assert len(fast) == 6 + 2  # each step's, and two evaluations'
    assert fast == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"data__tokenizer": "byte"},
        {"data__tokenizer": "char"},
        {"data__tokenizer": "sentencepiece", "data__vocab_size": 400},
        {"model__positions": "learned", "model__norm": "layernorm", "model__mlp": "gelu_tanh"},
        {"model__mlp": "swiglu", "model__tie_embeddings": True},
        {"optimizer__schedule": "wsd"},
        {"optimizer__schedule": "cosine"},
        {"optimizer__schedule": "one_cycle"},
        {"optimizer__schedule": "constant"},
        {"optimizer__clip": 0.0, "optimizer__weight_decay": 0.1},
    ],
    ids=lambda changes: "-".join(str(value) for value in changes.values()),
)
def test_every_choice_runs(changes, tmp_path):
    result = run(tmp_path / "run", steps=2, **changes)
    assert math.isfinite(result.score.loss)


def test_division_by_the_count_comes_before_clipping():
    model = torch.nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[6.0, 8.0]])
    norm = divide_and_clip(model, torch.tensor(2.0), clip=1.0)
    assert norm == pytest.approx(5.0)
    assert model.weight.grad.flatten().tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
    model.weight.grad = torch.tensor([[6.0, 8.0]])
    divide_and_clip(model, torch.tensor(2.0), clip=0.0)
    assert model.weight.grad.flatten().tolist() == [3.0, 4.0]


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path):
    with pytest.raises(UserError, match="micro_batch_size=3 does not divide the 8 windows"):
        run(tmp_path / "run", micro_batch_size=3)


def test_the_second_signal_takes_effect_at_once():
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signal_name(signals.received) == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_outside_the_main_thread_nobody_listens_to_signals():
    failures = []

    def listen():
        try:
            with StopSignals():
                pass
        except ValueError as error:
            failures.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert not failures


def test_a_run_that_ends_by_itself_says_whether_it_was_early(finished, tmp_path):
    assert RunHistory.read(finished.run).ending is Ending.FINISHED
    stuck = {"optimizer__lr": 1e-12, "optimizer__name": "adamw", "model__dropout": 0.0}
    run(tmp_path / "run", **stuck, steps=1000, evaluate_every=1, patience=1)
    assert RunHistory.read(tmp_path / "run").ending is Ending.EARLY_STOPPED


def test_a_run_that_is_asked_to_stop_says_so(tmp_path, monkeypatch):
    step = loop.step
    monkeypatch.setattr(loop, "step", lambda *args: (step(*args), signal.raise_signal(2)))
    result = run(tmp_path / "run", steps=20)
    assert (result.steps, result.stopped_by) == (1, signal.SIGINT)
    last = RunHistory.read(tmp_path / "run").end
    assert (last.ending, last.reason) == (Ending.STOPPED, "stopped by SIGINT")


@pytest.mark.parametrize(
    ("error", "ending"),
    [(Diverged("worded anew"), Ending.DIVERGED), (OSError("no longer a number"), Ending.FAILED)],
)
def test_a_run_that_breaks_says_how_by_the_type_of_the_error(tmp_path, monkeypatch, error, ending):
    def break_down(*_):
        raise error

    monkeypatch.setattr(loop, "step", break_down)
    with pytest.raises(type(error)):
        run(tmp_path / "run", steps=20)
    assert RunHistory.read(tmp_path / "run").ending is ending


def test_ctrl_c_before_the_first_step_leaves_nothing(tmp_path):
    out = tmp_path / "run"
    code = (
        "import sys, llmcourse.prepare.corpus as c, llmcourse.train.__main__ as m\n"
        "def interrupt(*a): raise KeyboardInterrupt\n"
        "c.write_tokens = interrupt\n"
        "sys.exit(m.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *flags(small(out))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 130
    said = done.stderr.splitlines()[-1]
    assert said == "stopped before the first checkpoint: nothing was kept"
    assert not out.exists()


def test_a_second_ctrl_c_says_what_is_kept(tmp_path):
    """The first asks the run to stop; the second comes while the last checkpoint is evaluated."""
    out = tmp_path / "run"
    code = (
        "import os, signal, sys, llmcourse.train.loop as loop, llmcourse.train.__main__ as m\n"
        "begin = loop.next_batch\n"
        "def interrupt(parts, state):\n"
        "    if state.step == 12:\n"
        "        for _ in range(2): os.kill(os.getpid(), signal.SIGINT)\n"
        "    return begin(parts, state)\n"
        "loop.next_batch = interrupt\n"
        "sys.exit(m.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *flags(small(out))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 130
    saved = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert saved
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith(f"stopped at once: checkpoint {saved[-1]} is kept")
    assert f"--out {out} --resume" in said
    assert run(out, resume=True).steps == 20


@pytest.mark.parametrize("objective", ["clm", "span-corruption", "contrastive"])
def test_mfu_counts_what_is_computed(objective, tmp_path, monkeypatch):
    """The operations that the monitor counts are those that torch sees in a step."""
    counted, seen = [], []
    end_step, both_ways = Monitor.end_step, loop.forward_backward

    def watch(*arguments, **named):
        with FlopCounterMode(display=False) as counter:
            sums = both_ways(*arguments, **named)
        seen.append(counter.get_total_flops())
        return sums

    def note(self, batch):
        end_step(self, batch)
        counted.append(self.flops_in_steps)

    monkeypatch.setattr(monitor, "peak_flops", lambda _: 1e12)
    monkeypatch.setattr(loop, "forward_backward", watch)
    monkeypatch.setattr(Monitor, "end_step", note)
    run(tmp_path / "run", steps=1, objective__name=objective)
    # attention's scores are counted whole; a first layer's inputs need no gradient
    assert counted[0] == pytest.approx(seen[0], rel=0.1)


def test_the_sample_goes_to_stdout_and_the_rest_to_stderr(tmp_path):
    command = [sys.executable, "-m", "llmcourse.train", *flags(small(tmp_path / "run", steps=3))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "samples.md").read_text().count("## Step") == 2
    assert done.stdout.strip()
    assert "bits per byte on held-out text" in done.stderr
    assert "step      0" not in done.stdout
