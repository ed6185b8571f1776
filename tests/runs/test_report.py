import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from llmcourse.errors import UserError
from llmcourse.runs.charts import Line
from llmcourse.runs.commands import repeat_command, resume_command
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.history import RunHistory, finite
from llmcourse.runs.html import escape
from llmcourse.runs.log import Baseline, End, Ending, Evaluation, MetricsLog, Sample, Training
from llmcourse.runs.report import duration, main, plain, write_report
from llmcourse.runs.report_charts import trend

NASTY = "</pre><script>alert('&')</script>\x00\x1b[0m\udc80"


class Page(HTMLParser):
    """A page taken apart: its text and its tags, each of which must be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture
def run(tmp_path: Path):
    with RunDirectory.create(tmp_path / "mine", resume=False) as run:
        yield run


def fill(
    run: RunDirectory,
    *,
    stop: int = 100,
    evaluate: bool = True,
    ending: Ending | None = Ending.FINISHED,
    train_loss=lambda step: 5.0 - step / 50,
    text: str = "Once upon a time",
) -> None:
    """A small run: trained on 20 tokens a step, with 3 bytes a token in the validation text."""
    run.write_config(
        {"steps": 100, "out": str(run.path), "budget": None, "model": {"d_model": 64, "bias": True}}
    )
    environment = {"started": "2026-01-02T03:04:05+00:00", "command": "python -m llmcourse.train"}
    run.environment.write_text(json.dumps(environment | {"cpu": "A Processor", "gpu": None}))
    log = MetricsLog(run, tensorboard=False, keep_until_step=None)
    guesses = {"uniform_bits_per_byte": 4.0, "unigram_bits_per_byte": 2.5}
    log.write(Baseline(step=0, **guesses, parameters=1_234_567))
    for step in range(0, stop + 1, 10):
        loss = train_loss(step)
        if step:
            others = {"lr": 1e-3, "grad_norm": 0.5, "tokens_per_second": 2000.0}
            log.write(
                Training(step=step, tokens=20 * step, loss=loss, seconds=1.0 * step, **others)
            )
        if evaluate and step % 50 == 0:
            bits = loss / math.log(2) / 3
            scores = {"loss": loss, "bits_per_byte": bits, "perplexity": math.exp(min(loss, 99.0))}
            log.write(Evaluation(step=step, tokens=20 * step, seconds=1.0 * step, **scores))
            log.write(Sample(step=step, text=f"{step}: {text}"))
    if ending is not None:
        log.write(End(step=stop, seconds=100.0, ending=ending, reason=f"{ending} for a reason"))


def report(run: RunDirectory) -> tuple[Page, str]:
    path = write_report(run)
    assert path == run.report
    source = path.read_text(encoding="utf-8")
    for svg in re.findall(r"<svg.*?</svg>", source, re.DOTALL):
        ElementTree.fromstring(svg)
    return Page(source), source


def test_the_page_says_what_matters(run: RunDirectory):
    fill(run)
    page, _ = report(run)
    bits = 3 / math.log(2) / 3
    for expected in (
        *("mine", f"{bits:.3f}", "4.000", "2.500", "42% fewer than guessing by frequency"),
        *("The lowest of 3 evaluations, at step 100", f"{math.exp(3):.1f}", "3.000", "2,000"),
        *("1,234,567", "1 min 40 s", "A Processor", "2026-01-02", "100: Once upon a time"),
        "Validation loss fell from 2.40 to 1.44 bits per byte",
        "converted at the validation text's 3.00 bytes a token",
    ):
        assert expected in page.text, expected
    assert "To go on with it" not in page.text


def test_the_entropy_stands_beside_the_guesses_where_it_is_known(run: RunDirectory):
    fill(run)
    assert "entropy, " not in report(run)[0].text
    log = run.metrics.read_text()
    run.metrics.write_text(
        log.replace('"parameters"', '"entropy_bits_per_byte": 0.17, "parameters"', 1)
    )
    page, source = report(run)
    assert "No model can get below this text's entropy, 0.170." in page.text
    bars = re.search(r"uniform 4.000, unigram 2.500, this model [\d.]+, entropy 0.170", source)
    assert bars is not None
    assert "entropy 0.170" in source.split('<div class="wide">')[1]


def test_training_and_validation_share_a_unit(run: RunDirectory):
    """Where both losses were the same number, they stand at the same height."""
    fill(run)
    _, source = report(run)
    wide = source.split('<div class="wide">')[1].split("</svg>")[0]
    (path,) = re.findall(r'<path class="line muted" d="([^"]*)"', wide)
    trained = dict(re.findall(r"([\d.]+) ([\d.]+)", path))
    evaluated = dict(re.findall(r'<circle class="accent" cx="([\d.]+)" cy="([\d.]+)"', wide))
    shared = trained.keys() & evaluated.keys()
    assert len(shared) == 2
    assert {x: trained[x] for x in shared} == {x: evaluated[x] for x in shared}


def test_an_evaluation_that_failed_tells_nothing_of_the_unit(run: RunDirectory):
    log = MetricsLog(run, tensorboard=False, keep_until_step=None)
    log.write(Evaluation(step=1, loss=2.0, bits_per_byte=math.nan))
    log.write(Evaluation(step=2, loss=2.0, bits_per_byte=1.0))
    assert RunHistory.read(run.path).nats_per_bit == 2.0


def test_the_page_needs_nothing_else(run: RunDirectory):
    fill(run)
    page, source = report(run)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not {name for name, _ in page.attributes} & {"src", "href", "onclick", "onload"}
    assert not re.search(r"https?:|@import|url\((?!#)", source)


def test_no_two_parts_share_a_name(run: RunDirectory):
    fill(run)
    page, source = report(run)
    names = [value for name, value in page.attributes if name == "id"]
    assert len(names) == len(set(names)) > 4
    used = re.findall(r"url\(#([^)]+)\)", source)
    for label in (value for name, value in page.attributes if name == "aria-labelledby"):
        used += (label or "").split()
    assert used
    assert set(used) <= set(names)


def test_whatever_a_run_holds_is_text(run: RunDirectory):
    fill(run, text=NASTY)
    run.write_config({"prompt": NASTY, NASTY: {NASTY: NASTY}})
    run.environment.write_text(json.dumps({"cpu": NASTY, NASTY: NASTY, "command": NASTY}))
    page, source = report(run)
    assert "script" not in page.tags
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", source)
    shown = "</pre><script>alert('&')</script>␀␛[0m?"
    assert page.text.count(shown) >= 6
    assert escape("a\r\nb\tc") == "a\nb\tc"


@pytest.mark.parametrize("ending", [None, Ending.STOPPED, Ending.FAILED])
def test_a_run_that_did_not_finish_says_how_to_go_on(run: RunDirectory, ending: Ending | None):
    fill(run, stop=30, ending=ending)
    page, _ = report(run)
    assert (f"{ending} for a reason" if ending else "was killed") in page.text
    assert f"python -m llmcourse.train --out {run.path} --resume" in page.text


def test_a_run_without_an_evaluation_shows_its_training_loss(run: RunDirectory):
    fill(run, stop=40, evaluate=False, ending=None)
    page, _ = report(run)
    assert "No evaluation yet" in page.text
    assert "Training loss fell from 4.80 to 4.20 nats per token" in page.text
    assert "4.000" in page.text, "the baselines are known all the same"
    assert "What it writes" not in page.text


@pytest.mark.parametrize("stop", [0, 10])
@pytest.mark.parametrize("evaluate", [False, True])
def test_a_run_that_has_hardly_begun_has_a_page(run: RunDirectory, stop: int, evaluate: bool):
    fill(run, stop=stop, evaluate=evaluate, ending=None)
    page, _ = report(run)
    assert ("measured" in page.text.lower()) == evaluate


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_has_a_page(run: RunDirectory, bad: float):
    fill(run, train_loss=lambda step: 5.0 - step / 50 if step < 60 else bad, ending=Ending.FAILED)
    page, source = report(run)
    assert "Not a finite number, and crossed: 6 points." in page.text  # 5 trained, 1 evaluated
    assert "The lowest of 3 evaluations, at step 50" in page.text
    pictures = "".join(re.findall(r' d="([^"]*)"', source))
    assert "nan" not in pictures
    assert "inf" not in pictures


def test_a_loss_that_never_was_a_number_has_a_page(run: RunDirectory):
    fill(run, train_loss=lambda step: math.nan)
    page, _ = report(run)
    assert "No evaluation yet" in page.text
    assert "loss was never a finite number" in page.text


def test_a_loss_that_explodes_leaves_the_rest_readable(run: RunDirectory):
    fill(run, train_loss=lambda step: 5.0 if step < 80 else 1e9)
    page, _ = report(run)
    assert "Higher than shown: 4 points." in page.text  # 3 trained, 1 evaluated


@pytest.mark.parametrize("missing", ["config", "environment", "metrics"])
def test_each_part_may_be_missing(run: RunDirectory, missing: str):
    fill(run)
    getattr(run, missing).unlink()
    page, _ = report(run)
    assert "mine" in page.text


def test_an_empty_folder_has_a_page(run: RunDirectory):
    page, _ = report(run)
    assert "0 steps" in page.text


def test_settings_are_grouped_and_nothing_is_a_dash(run: RunDirectory):
    fill(run)
    _, source = report(run)
    assert "<caption>model</caption>" in source
    assert '<th scope="row">d_model</th><td>64</td>' in source
    assert '<th scope="row">bias</th><td>true</td>' in source
    assert '<th scope="row">budget</th><td>–</td>' in source
    assert [plain(value) for value in (None, "", "a b", 0.05, [1])] == [
        *("–", "–", "a b", "0.05", "[1]")
    ]


def test_a_dirty_commit_and_resumed_starts_are_told(run: RunDirectory):
    start = {"commit": "abc", "dirty": True, "resumed": [{"started": "later"}, {"started": "last"}]}
    run.environment.write_text(json.dumps(start))
    page, _ = report(run)
    assert "abc, with changes" in page.text
    assert "later, last" in page.text


# --- what the page is made from


@pytest.mark.parametrize(
    ("started", "repeated"),
    [
        ("python -m llmcourse.train", "python -m llmcourse.train"),
        ("python -m llmcourse.train --out a --seed 1", "python -m llmcourse.train --seed 1"),
        ("python -m llmcourse.train --out=a --resume", "python -m llmcourse.train"),
        (
            "torchrun -m llmcourse.train --prompt 'a b'",
            "torchrun -m llmcourse.train --prompt 'a b'",
        ),
        ("python -m pytest", None),
        ("", None),
    ],
)
def test_the_command_to_repeat_takes_another_folder(started, repeated):
    assert repeat_command(RunHistory([], environment={"command": started})) == repeated


def test_a_finished_run_goes_on_for_longer(run: RunDirectory):
    fill(run)
    assert resume_command(run, RunHistory.read(run.path)) == (
        f"python -m llmcourse.train --out {run.path} --resume --steps 200"
    )


def test_a_folder_with_a_space_is_quoted(tmp_path: Path):
    command = resume_command(RunDirectory(tmp_path / "my run"), RunHistory([]))
    assert command == f"python -m llmcourse.train --out '{tmp_path}/my run' --resume"


@pytest.mark.parametrize("there", [False, True])
def test_commands_that_cannot_work_yet_are_left_out(run: RunDirectory, there: bool):
    fill(run)
    if there:
        run.model.mkdir()
        run.tensorboard.mkdir()
    page, _ = report(run)
    assert ("llmcourse.generate" in page.text) == there
    assert ("tensorboard --logdir" in page.text) == there


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([3.41, 2.0, 1.42], "fell from 3.41 to 1.42 nats"),
        ([3.41, 2.0, 2.5], "fell from 3.41 to 2.00, then rose to 2.50 nats"),
        ([1.0, 2.0], "rose from 1.00 to 2.00 nats"),
        ([1.0, 1.0], "stayed at 1.00 nats"),
        ([1.0, math.nan], "was 1.00 nats"),
        ([math.nan], "was never a finite number"),
    ],
)
def test_a_line_in_words(values: list[float], said: str):
    line = Line(label="training", points=list(enumerate(values)))
    assert trend(line, "nats") == f"Training loss {said}"


def test_durations_as_a_person_says_them():
    seconds = [0.04, 59.94, 59.96, 161.0, 3599.6, 11100.0, 86400.0 + 7300]
    assert [duration(each) for each in seconds] == [
        *("0.0 s", "59.9 s", "1 min 0 s", "2 min 41 s", "1 h 0 min", "3 h 5 min", "1 d 2 h")
    ]


def test_only_finite_numbers_are_shown():
    assert [finite(value) for value in (1.5, math.nan, math.inf, None)] == [1.5, *[None] * 3]


# --- the command


def test_the_command_makes_the_page_anew(run: RunDirectory, capsys):
    fill(run)
    expected = write_report(run).read_bytes()
    run.report.unlink()
    main([str(run.path)])
    assert capsys.readouterr().out == f"{run.report}\n"
    assert run.report.read_bytes() == expected


def test_the_command_needs_a_run(tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as exit:
        main([str(tmp_path)])
    assert exit.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: there is no run in ")
    assert error.count("\n") == 1


def test_a_damaged_log_is_one_line(run: RunDirectory):
    fill(run)
    run.metrics.write_text("no record\n" + run.metrics.read_text())
    with pytest.raises(UserError, match=r"line 1 of .*metrics\.jsonl is no record"):
        write_report(run)


def test_the_report_needs_neither_torch_nor_matplotlib():
    code = (
        "import sys, llmcourse.runs.report; sys.exit('torch' in sys.modules or "
        "'matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
