import errno
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmcourse.errors import UserError
from llmcourse.runs import log as log_module
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.history import RunHistory
from llmcourse.runs.log import (
    KINDS,
    Baseline,
    Diverged,
    End,
    Ending,
    Evaluation,
    MetricsLog,
    Sample,
    Training,
    read_log,
)


@pytest.fixture
def run(tmp_path: Path):
    with RunDirectory.create(tmp_path / "run", resume=False) as run:
        yield run


def open_log(run: RunDirectory, keep: int | None = None, tensorboard: bool = False) -> MetricsLog:
    return MetricsLog(run, tensorboard=tensorboard, keep_until_step=keep)


def go(log: MetricsLog, start: int, stop: int) -> None:
    """A loop in small: every second step is logged, every fourth saved, evaluated and sampled."""
    if start == 0:
        log.write(Baseline(step=0, uniform_bits_per_byte=8.0))
    for step in range(start, stop + 1):
        if step > start and step % 2 == 0:
            log.write(Training(step=step, tokens=10 * step, loss=1 / step))
        if step % 4 == 0 and step > 0:
            log.write(Evaluation(step=step, tokens=10 * step, loss=1.0, bits_per_byte=2 / step))
            log.write(Sample(step=step, text=f"text of {step}"))


def test_a_record_is_a_line_and_in_the_file_at_once(run: RunDirectory):
    with open_log(run) as log:
        log.write(Training(step=5, tokens=1280, loss=2.5))
        assert run.metrics.read_text() == (
            '{"kind": "train", "step": 5, "tokens": 1280, "loss": 2.5}\n'
        )
        assert read_log(run.metrics) == [Training(step=5, tokens=1280, loss=2.5)]


RECORDS = [
    Baseline(step=0, unigram_bits_per_byte=2.5, vocab_size=300),
    Training(step=1, tokens=7, loss=1.5, lr=0.25, grad_norm=2.0, mfu=0.5),
    Evaluation(step=1, loss=2.0, metrics={"token_loss": 1.5, "pair_accuracy": 0.75}, seconds=3.0),
    Sample(step=1, text="Once"),
    End(step=2, seconds=4.0, ending=Ending.EARLY_STOPPED, reason="in words"),
]


def test_every_kind_of_record_comes_back_as_it_was(run: RunDirectory):
    assert {type(record) for record in RECORDS} == set(KINDS.values())
    with open_log(run) as log:
        for record in RECORDS:
            log.write(record)
    assert read_log(run.metrics) == RECORDS
    evaluation = run.metrics.read_text().splitlines()[2]
    assert evaluation == (
        '{"kind": "evaluate", "step": 1, "loss": 2.0, "token_loss": 1.5, "pair_accuracy": 0.75, '
        '"seconds": 3.0}'
    )


def test_what_another_version_wrote_is_left_out_but_survives_a_resume(run: RunDirectory):
    lines = (
        '{"kind": "train", "step": 1, "loss": 2.5, "colour": "red"}\n'
        '{"kind": "weather", "step": 1}\n'
        '{"kind": "evaluate", "step": 1, "loss": 2.0, "recall": null, "colour": "red"}\n'
    )
    run.metrics.write_text(lines)
    training, evaluation = read_log(run.metrics)
    assert training == Training(step=1, loss=2.5)
    assert list(evaluation.metrics) == ["recall"]
    open_log(run, 1).close()
    assert run.metrics.read_text() == lines


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_valid_json_and_comes_back_as_nan(run: RunDirectory, value):
    with open_log(run) as log:
        log.write(Training(step=1, loss=value))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads(run.metrics.read_text(), parse_constant=refuse)["loss"] is None
    assert math.isnan(read_log(run.metrics)[0].loss)


def test_a_new_log_is_empty(run: RunDirectory):
    run.metrics.write_text('{"kind": "train", "step": 9, "loss": 1.0}\n')
    run.samples.write_text("old")
    open_log(run).close()
    assert read_log(run.metrics) == []
    assert "old" not in run.samples.read_text()


@pytest.mark.parametrize("killed_after", range(4, 11))
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_resumed_log_equals_one_of_a_run_never_stopped(
    tmp_path: Path, killed_after: int, lost: int
):
    """Whatever was written since the last checkpoint, and whatever of its own step was not."""
    with RunDirectory.create(tmp_path / "whole", resume=False) as whole:
        whole.config.write_text("{}")  # a run has begun, so the folder stays
        go(open_log(whole), 0, 12)
    checkpoint = killed_after - killed_after % 4
    with RunDirectory.create(tmp_path / "killed", resume=False) as killed:
        killed.config.write_text("{}")
        go(open_log(killed), 0, killed_after)
        lines = killed.metrics.read_text().splitlines(keepends=True)
        if lost and lines[-1].startswith('{"kind": "sample"'):
            killed.metrics.write_text("".join(lines[:-lost]))
        go(open_log(killed, checkpoint), checkpoint, 12)
    assert killed.metrics.read_text() == whole.metrics.read_text()
    assert killed.samples.read_text() == whole.samples.read_text()


def test_a_torn_last_line_is_left_out(run: RunDirectory):
    go(open_log(run), 0, 4)
    whole = run.metrics.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1]) + 1):
        run.metrics.write_bytes(whole[:-cut])
        kinds = [type(record) for record in read_log(run.metrics)]
        assert kinds == [Baseline, Training, Training, Evaluation]
    go(open_log(run, 4), 4, 4)
    assert run.metrics.read_bytes() == whole


def test_a_run_that_goes_on_has_not_ended(run: RunDirectory):
    log = open_log(run)
    go(log, 0, 4)
    log.write(End(step=4, seconds=1.0, ending=Ending.STOPPED, reason="stopped by SIGINT"))
    log = open_log(run, 4)
    assert RunHistory.read(run.path).ending is None
    log.write(End(step=4, seconds=2.0, ending=Ending.FINISHED, reason="finished"))
    assert RunHistory.read(run.path).ending is Ending.FINISHED


@pytest.mark.parametrize(
    "line",
    ["garbage", "[]", '{"step": 1}', '{"kind": "a", "step": "b"}', '{"kind": "train", "step": 1}'],
)
def test_a_foreign_line_is_named(run: RunDirectory, line: str):
    run.metrics.write_text(f'{{"kind": "train", "step": 1, "loss": 1.0}}\n{line}\n')
    with pytest.raises(UserError, match=r"line 2 of .*metrics\.jsonl"):
        read_log(run.metrics)


def test_no_log_has_no_records(tmp_path: Path):
    assert read_log(tmp_path / "metrics.jsonl") == []


def test_samples_are_fenced_whatever_they_hold(run: RunDirectory):
    with open_log(run) as log:
        log.write(Sample(step=4, text="a ```` b\n# not a heading"))
        log.write(Sample(step=8, text="half a pair: \udc80"))
    assert run.samples.read_text(encoding="utf-8") == (
        "# What the model wrote\n"
        "\n## Step 4\n\n`````text\na ```` b\n# not a heading\n`````\n"
        "\n## Step 8\n\n```text\nhalf a pair: ?\n```\n"
    )
    assert read_log(run.metrics)[1].text == "half a pair: \udc80"


def test_a_full_disk_names_the_log(run: RunDirectory, monkeypatch):
    def full(path: Path, mode: str):
        class Full(io.BytesIO):
            def write(self, data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return Full()

    log = open_log(run)
    monkeypatch.setattr(log_module, "open", full, raising=False)
    with pytest.raises(OSError, match="No space left") as caught:
        log.write(Training(step=1, loss=1.0))
    assert caught.value.filename == str(run.metrics)


def read_tensorboard(run: RunDirectory) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.tensorboard / run.path.name))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(e.step, round(e.value, 6)) for e in events.Scalars(tag)] for tag in tags}


def test_tensorboard_shows_the_numbers(run: RunDirectory):
    with open_log(run, tensorboard=True) as log:
        go(log, 0, 4)
    shown = read_tensorboard(run)
    assert shown["loss/training"] == [(2, 0.5), (4, 0.25)]
    assert shown["loss/held_out_bits_per_byte"] == [(4, 0.5)]
    assert not any(tag.endswith(("/step", "/kind", "/text")) for tag in shown)


def test_tensorboard_opens_on_the_losses(run: RunDirectory):
    """It shows charts in the order of their names; what is one number, and no curve, is a text."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with open_log(run, tensorboard=True) as log:
        log.write(Baseline(step=0, uniform_bits_per_byte=8.0, entropy_bits_per_byte=0.5))
        log.write(Training(step=1, loss=2.0, lr=0.1))
        log.write(Evaluation(step=1, loss=2.0, metrics={"pair_loss": 0.5, "pair_accuracy": 0.75}))
        log.write(End(step=1, seconds=3.0, ending=Ending.FINISHED))
    events = EventAccumulator(str(run.tensorboard / run.path.name)).Reload()
    tags = sorted(events.Tags()["scalars"])
    assert tags == [
        *("loss/held_out", "loss/held_out_pair_loss", "loss/training"),
        *("metric/held_out_pair_accuracy", "train/lr"),
    ]
    (baseline,) = events.Tensors("baseline/text_summary")
    assert b"| entropy_bits_per_byte | 0.5 |" in baseline.tensor_proto.string_val[0]


def test_tensorboard_of_a_resumed_run_repeats_nothing(tmp_path: Path):
    shown = []
    for stop in (12, 7):
        with RunDirectory.create(tmp_path / str(stop), resume=False) as run:
            with open_log(run, tensorboard=True) as log:
                go(log, 0, stop)
            if stop != 12:
                with open_log(run, 4, tensorboard=True) as log:
                    go(log, 4, 12)
            shown.append(read_tensorboard(run))
    assert shown[0] == shown[1]


def test_the_log_needs_no_torch():
    code = "import sys, llmcourse.runs.log; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- how a run ended


def ending_in(run: RunDirectory, *ends: dict) -> Ending | None:
    lines = [json.dumps({"kind": "end", "step": 2} | values) + "\n" for values in ends]
    run.metrics.write_text("".join(lines))
    return RunHistory.read(run.path).ending


@pytest.mark.parametrize("ending", Ending)
def test_an_ending_survives_the_file_whatever_the_words(run: RunDirectory, ending: Ending):
    with open_log(run) as log:
        words = "finished: no better, failed, no longer a number"
        log.write(End(step=2, ending=ending, reason=words))
    assert json.loads(run.metrics.read_text())["ending"] == ending.value
    assert RunHistory.read(run.path).ending is ending


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("finished", Ending.FINISHED),
        ("finished: no better in 3 evaluations", Ending.EARLY_STOPPED),
        ("stopped by SIGTERM", Ending.STOPPED),
        ("unknown", Ending.STOPPED),
        ("failed: No space left on device", Ending.FAILED),
        ("failed: the loss is no longer a number by step 7; no checkpoint", Ending.DIVERGED),
    ],
)
def test_an_old_log_has_only_its_reason(run: RunDirectory, reason: str, ending: Ending):
    assert ending_in(run, {"reason": reason}) is ending
    assert ending_in(run, {"reason": reason, "ending": "of a later version"}) is ending


def test_a_run_without_an_end_has_no_ending(run: RunDirectory):
    assert ending_in(run) is None
    assert ending_in(run, {}) is Ending.STOPPED


def test_the_last_end_counts(run: RunDirectory):
    assert ending_in(run, {"ending": "failed"}, {"ending": "finished"}) is Ending.FINISHED


def test_which_endings_are_complete():
    assert [e for e in Ending if e.complete] == [Ending.FINISHED, Ending.EARLY_STOPPED]


def test_an_error_is_told_by_its_type_and_not_by_its_words():
    assert Ending.of_error(Diverged("in other words")) is Ending.DIVERGED
    assert Ending.of_error(UserError("no longer a number")) is Ending.FAILED
    assert Ending.of_error(KeyboardInterrupt()) is Ending.FAILED
