import ast
import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import ipywidgets
import pytest

from llmcourse import learner, notebook, predict, progress, quiz
from llmcourse.errors import UserError
from llmcourse.predict import Prediction

CHAPTERS = Path(__file__).resolve().parent.parent / "chapters"


@pytest.fixture
def asked(monkeypatch):
    """Put predictions in the place of chapter 03's."""
    made = {
        "factor": Prediction("03", "factor", "number", "It grows by …", form="{:.1f} times"),
        "winner": Prediction("03", "winner", "choice", "Who `wins`?", options=("Mia", "a & `b`")),
        "norm": Prediction(
            "03", "norm", "choice", "Which?", options=("one", "two"), right="two", because="Since."
        ),
        "why": Prediction("03", "why", "line", "Why?", because="Because it must."),
    }
    monkeypatch.setattr(predict, "_read", lambda chapter: made)
    monkeypatch.setattr(predict, "chapters", lambda: ["03"])
    return made


def widgets(root, kind):
    found = [root] if isinstance(root, kind) else []
    for child in getattr(root, "children", ()):
        found += widgets(child, kind)
    return found


def press(box):
    widgets(box, ipywidgets.Button)[-1].click()


def status(box):
    return widgets(box, ipywidgets.HTML)[-1].value


def entry(name):
    return learner.load().get("03", {}).get("predictions", {}).get(name)


# --- asking ---------------------------------------------------------------------------------------


def test_without_a_kernel_it_says_what_to_write_on_paper(asked):
    bundle = asked["winner"]._repr_mimebundle_()
    assert bundle["text/plain"] == (
        "Your prediction: Who `wins`?\n  - Mia\n  - a & b\n"
        "(write down one of them, and how sure you are, then run the next cell)"
    )
    assert "<code>wins</code>" in bundle["text/html"]
    assert "<li>a &amp; <code>b</code></li>" in bundle["text/html"]
    assert "input" not in bundle["text/html"]
    assert "80 % sure of" in asked["factor"].to_text()


def test_a_kernel_shows_fields_above_the_same_words(asked, live, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **_: shown.append(bundle))
    asked["factor"]._ipython_display_()
    assert shown[0] == asked["factor"]._repr_mimebundle_()
    assert set(shown[1]) == {notebook.WIDGET_VIEW}


@pytest.mark.parametrize(
    ("low", "high", "said", "words"),
    [
        ("2", "5.5", {"low": 2, "high": 5.5}, "2 to 5.5"),
        (" 4 ", "", {"low": 4, "high": 4}, "4"),
        ("", "4", {"low": 4, "high": 4}, "4"),
        ("-1e3", "12,000", {"low": -1000, "high": 12000}, "-1000 to 12000"),
        ("10%", "20 %", {"low": 10, "high": 20}, "10 to 20"),
        ("−2", "−1", {"low": -2, "high": -1}, "-2 to -1"),
    ],
)
def test_a_range_is_written_down(asked, low, high, said, words):
    box = predict.fields(asked["factor"])
    for field, text in zip(widgets(box, ipywidgets.Text), (low, high), strict=True):
        field.value = text
    press(box)
    assert entry("factor")["said"] == said
    assert f"Written down</strong> {words}. Now run the next cell." in status(box)


@pytest.mark.parametrize(
    ("low", "high", "complaint"),
    [
        ("", "", "Write two numbers"),
        ("much", "more", "Write two numbers"),
        ("1", "inf", "Write two numbers"),
        ("nan", "nan", "Write two numbers"),
        ("5", "2", "The first number is the smaller one"),
    ],
)
def test_what_is_no_range_is_told_so(asked, low, high, complaint):
    box = predict.fields(asked["factor"])
    for field, text in zip(widgets(box, ipywidgets.Text), (low, high), strict=True):
        field.value = text
    press(box)
    assert f"Not yet</strong> {complaint}" in status(box)
    assert learner.load() == {}


def test_a_choice_needs_an_option_and_how_sure(asked):
    box = predict.fields(asked["winner"])
    options, sure = widgets(box, ipywidgets.ToggleButtons)
    press(box)
    assert "Choose an option" in status(box)
    options.value = "a & b"
    press(box)
    assert "Choose an option" in status(box)
    sure.value = "I guess"
    press(box)
    assert entry("winner")["said"] == {"option": "a & `b`", "sure": None}
    assert "a &amp; b (I guess)." in status(box)
    sure.value = "90 % sure"
    press(box)
    assert entry("winner")["said"] == {"option": "a & `b`", "sure": 90}
    assert entry("winner")["tries"] == 2


def test_a_line_is_kept_as_it_was_written(asked):
    box = predict.fields(asked["why"])
    press(box)
    assert "Write a line first" in status(box)
    widgets(box, ipywidgets.Text)[0].value = " it is <b> "
    press(box)
    assert entry("why")["said"] == {"line": "it is <b>"}
    assert "it is &lt;b&gt;" in status(box)


def test_a_prediction_has_its_time_and_outlives_the_kernel(asked):
    asked["factor"].record({"low": 1, "high": 2})
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", entry("factor")["at"])
    assert "1 to 2. Now run the next cell." in status(predict.fields(asked["factor"]))


# --- answering ------------------------------------------------------------------------------------


def test_nothing_predicted_prints_the_same_and_folds_the_truth(asked, capsys):
    predict.answer("03", "factor", 3.9999)
    assert capsys.readouterr().out == "You predicted nothing. What it is:\nIt is: 4.0 times\n"
    assert learner.load() == {}
    page = predict._Answer(asked["factor"], 3.9999, {}).to_html()
    head, _, below = page.partition("</summary>")
    assert "4.0 times" not in head
    assert "4.0 times" in below
    assert "<details>" in head


@pytest.mark.parametrize(
    ("low", "high", "came", "word"),
    [(3, 5, True, "As you said"), (4, 4, True, "As you said"), (5, 6, False, "Outside your range")],
)
def test_a_range_is_judged_by_the_number(asked, capsys, low, high, came, word):
    asked["factor"].record({"low": low, "high": high})
    predict.answer("03", "factor", 4.0)
    assert entry("factor")["right"] is came
    assert entry("factor")["judged"]
    assert "It is: 4.0 times" in capsys.readouterr().out
    answer = predict._Answer(asked["factor"], 4.0, entry("factor")["said"])
    assert word in answer.to_html()
    assert "<details>" not in answer.to_html()


@pytest.mark.parametrize(
    ("form", "truth", "said", "came"),
    [
        ("{:.2f} nats", 6.9315, 6.93, True),
        ("{:.2f} nats", 6.9315, 6.94, False),
        ("{:.0e}", 0.8**50, 1e-5, True),
        ("{:+.2f}", -0.1003, -0.1, True),
        ("about {:,.0f}", 65535.2, 65535, True),
        ("{:.0f} %", 81.6, 82, True),
    ],
)
def test_a_number_may_be_said_as_it_is_printed(form, truth, said, came):
    asked = Prediction("03", "x", "number", "?", form=form)
    assert predict.came_true(asked, {"low": said, "high": said}, truth) is came


def test_a_choice_is_judged_by_the_run_or_by_the_file(asked, capsys):
    asked["winner"].record({"option": "Mia", "sure": 70})
    predict.answer("03", "winner", "a & `b`")
    assert entry("winner")["right"] is False
    asked["norm"].record({"option": "two", "sure": 90})
    predict.answer("03", "norm")
    assert entry("norm")["right"] is True
    printed = capsys.readouterr().out
    assert printed.endswith("You predicted: two (90 % sure)\nIt is: two\nSince.\n")
    predict.answer("03", "norm", "two")


def test_a_line_is_shown_and_not_judged(asked, capsys):
    asked["why"].record({"line": "magic"})
    predict.answer("03", "why")
    assert capsys.readouterr().out == "You predicted: magic\nBecause it must.\n"
    assert not entry("why")["judged"]


def test_who_knows_the_answer_predicts_nothing(asked):
    asked["factor"].record({"low": 9, "high": 9})
    predict.answer("03", "factor", 4.0)
    asked["factor"].record({"low": 4, "high": 4})
    predict.answer("03", "factor", 4.0)
    assert entry("factor") | {"at": ""} == {
        "right": False, "tries": 1, "judged": True, "at": "", "said": {"low": 9, "high": 9},
    }  # fmt: skip
    box = predict.fields(asked["factor"])
    assert "The answer has been shown" in status(box)
    controls = widgets(box, ipywidgets.Text | ipywidgets.Button)
    assert [control.layout.display for control in controls] == ["none"] * 3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: predict.ask("3", "factor"), "no chapter '3' has predictions; did you mean '03'?"),
        (lambda: predict.ask("03", "facter"), "no prediction 'facter'; did you mean 'factor'?"),
        (lambda: predict.answer("03", "factor"), "None is none that can be judged"),
        (lambda: predict.answer("03", "factor", float("nan")), "nan is none that can be judged"),
        (lambda: predict.answer("03", "factor", "4"), "'4' is none that can be judged"),
        (lambda: predict.answer("03", "winner", "Tom"), "'Tom' is none of its options"),
        (lambda: predict.answer("03", "winner"), "'' is none of its options"),
        (lambda: predict.answer("03", "norm", "one"), "its file says 'two', and the run says"),
        (lambda: predict.answer("03", "why", 3.0), "is a line and is not judged"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(asked, call, said):
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "number", "question": " "}, "asks nothing"),
        ({"kind": "choice", "question": "?"}, "two options"),
        ({"kind": "choice", "question": "?", "options": ("a",)}, "two options"),
        ({"kind": "choice", "question": "?", "options": ("a", "a")}, "two options"),
        ({"kind": "number", "question": "?", "options": ("a", "b")}, "two options"),
        ({"kind": "choice", "question": "?", "options": ("a", "b"), "right": "c"}, "no option"),
        ({"kind": "line", "question": "?"}, "a sentence for afterwards"),
    ],
)
def test_a_prediction_that_is_not_whole_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        Prediction("03", "name", **fields)


def test_neither_ipywidgets_nor_torch_is_needed_without_a_kernel():
    code = (
        "import sys; from llmcourse import predict\n"
        "asked = predict.predictions_of('05')[0]\n"
        "asked._repr_mimebundle_(); predict.answer('05', asked.name, 2.0)\n"
        "assert not {'ipywidgets', 'IPython', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


# --- how well calibrated --------------------------------------------------------------------------


def said_and_came(asked, *predictions):
    """Record and judge `(said, came true)` in chapter 03, each under a name of its own."""
    for number, (said, came) in enumerate(predictions):
        learner.record_prediction("03", f"p{number}", said)
        learner.judge_prediction("03", f"p{number}", came)


def range_of(n, came):
    return [({"low": 0, "high": 1}, came)] * n


def test_progress_says_nothing_before_the_first_was_judged(asked):
    before = repr(progress.show())
    asked["factor"].record({"low": 1, "high": 2})
    assert progress.show().predictions() == []
    assert "prediction" not in before


def test_progress_counts_what_came_true_by_how_sure(asked):
    sure = [({"option": "a", "sure": 90}, True), ({"option": "a", "sure": 90}, False)]
    guess = [({"option": "a", "sure": None}, False)]
    said_and_came(asked, *range_of(3, True), *range_of(1, False), *sure, *guess)
    shown = progress.show("03")
    assert shown.predictions() == [
        ("predictions", "came true", "that is", "as you claimed"),
        ("choices, 90 % sure", "1 of 2", "50 %", "90 %"),
        ("ranges", "3 of 4", "75 %", "80 %"),
        ("choices, a guess", "0 of 1", "0 %", "-"),
    ]
    assert shown.calibration() == "2 more with a claim, and there is something to say."
    assert "choices, 90 % sure  1 of 2" in repr(shown)
    assert ">3 of 4</td>" in shown._repr_html_()
    assert progress.show("05").predictions() == []
    ran = subprocess.run(
        [sys.executable, "-m", "llmcourse.progress"], capture_output=True, text=True, check=True
    )
    assert "choices, a guess" in ran.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (8, 2, "promised 8 of 10, and 8 came true: you know how much you know"),
        (4, 6, "promised 8 of 10, and 4 came true: you are surer than you should be"),
        (10, 0, "promised 8 of 10, and 10 came true: you know more than you claim"),
    ],
)
def test_progress_says_who_is_too_sure(asked, right, wrong, said):
    said_and_came(asked, *range_of(right, True), *range_of(wrong, False))
    assert said in progress.show().calibration()


# --- the predictions of the course ----------------------------------------------------------------

EVERY = [one for chapter in predict.chapters() for one in predict.predictions_of(chapter)]


def calls():
    """Which prediction every cell of every chapter asks for or answers: verb, chapter, name, by."""
    for path in sorted(CHAPTERS.glob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                for node in ast.walk(ast.parse("".join(cell["source"]))):
                    match node:
                        case ast.Call(
                            func=ast.Attribute(value=ast.Name(id="predict"), attr=verb),
                            args=[ast.Constant(chapter), ast.Constant(name), *_],
                        ):
                            yield verb, chapter, name, path.name[:2]


def test_every_prediction_is_asked_for_once_and_then_answered():
    found = list(calls())
    for verb in ("ask", "answer"):
        names = [(chapter, name) for word, chapter, name, _ in found if word == verb]
        assert names == [(one.chapter, one.name) for one in EVERY], verb
    assert all(chapter == by for _, chapter, _, by in found)
    for (verb, *one), (then, *other) in itertools.pairwise(found):
        assert verb != "ask" or (then, one) == ("answer", other), one


def test_every_chapter_asks_for_three_to_six():
    assert predict.chapters() == quiz.chapters()
    for chapter in predict.chapters():
        assert 3 <= len(predict.predictions_of(chapter)) <= 6, chapter


def test_a_file_holds_nothing_that_is_not_read():
    known = set(Prediction.__dataclass_fields__) - {"chapter", "name"}
    for path in (Path(predict.__file__).parent / "predictions").iterdir():
        for name, fields in tomllib.loads(path.read_text("utf-8")).items():
            assert fields["kind"] in get_args(predict.Kind), name
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+){0,4}", name), name
            assert fields.keys() <= known, name
