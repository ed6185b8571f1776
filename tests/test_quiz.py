import ast
import hashlib
import json
import re
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import ipywidgets
import pytest

from llmcourse import learner, notebook, quiz
from llmcourse.errors import UserError
from llmcourse.quiz import Option, Question


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMCOURSE_HOME", str(tmp_path))


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, with its options."""
    found = []
    monkeypatch.setattr(
        "IPython.display.display", lambda bundle, **options: found.append((bundle, options))
    )
    return found


def asked(text, *options, chapter="03", heading="Check yourself"):
    return Question(heading, chapter, "a-name", text, options)


def right(text, because):
    return Option(text, because, is_right=True)


def wrong(text, because):
    return Option(text, because, is_right=False)


@pytest.fixture
def question():
    return asked(
        "What does <b>√K</b> do in `q @ k`?",
        wrong("It makes scores & weights positive", "The `softmax` does that."),
        right("It keeps the spread near 1", "A sum of K products has variance K."),
        wrong("It saves memory", "A division saves nothing."),
    )


@pytest.fixture
def several():
    return asked(
        "Which lose nothing?",
        right("bytes", "Every text is bytes."),
        wrong("words", "A new word has no id."),
        right("byte-level BPE", "It falls back to bytes."),
        chapter="01",
        heading="Do you remember? (chapter 01)",
    )


class Outline(HTMLParser):
    """The text and the tags of a page, and a complaint about any that is not closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_without_a_kernel_it_is_text_and_folded_html(question):
    bundle = question._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == (
        "Check yourself: What does <b>√K</b> do in `q @ k`?\n"
        "  a) It makes scores & weights positive\n"
        "  b) It keeps the spread near 1\n"
        "  c) It saves memory"
    )
    outline = Outline(bundle["text/html"])
    assert outline.tags.count("details") == outline.tags.count("summary") == 3
    assert "b" not in outline.tags
    assert "What does <b>√K</b> do in q @ k?" in outline.text
    assert "b) It keeps the spread near 1✓ Right A sum of K products" in outline.text
    assert outline.text.count("✗ No ") == 2
    assert "<code>softmax</code>" in bundle["text/html"]


def test_with_a_kernel_the_same_stands_above_a_widget(question, shown, live):
    question._ipython_display_()
    (still, options), (widget, marked) = shown
    assert still == question._repr_mimebundle_()
    assert options["display_id"]
    assert set(widget) == {notebook.WIDGET_VIEW}
    assert marked["metadata"] == notebook.LIVE
    json.dumps([still, widget])


def test_without_a_kernel_no_widget_is_made(question, shown):
    question._ipython_display_()
    assert [bundle for bundle, _ in shown] == [question._repr_mimebundle_()]


def test_every_verdict_is_folded_away(question):
    for page in question.to_html().split("<details")[1:]:
        line, _, below = page.partition("</summary>")
        assert "✓" not in line
        assert "✗" not in line
        assert "</strong>" in below.partition("</details>")[0]
    # ... and right options are drawn as wrong ones are
    assert len(set(re.findall(r"<details[^>]*><summary[^>]*>", question.to_html()))) == 1


def test_several_right_options_are_announced(several):
    assert several.to_text().splitlines()[:2] == [
        "Do you remember? (chapter 01): Which lose nothing?",
        "2 of these are right",
    ]
    assert "2 of these are right" in Outline(several.to_html()).text


def widgets(root, kind):
    found = [root] if isinstance(root, kind) else []
    for child in getattr(root, "children", ()):
        found += widgets(child, kind)
    return found


def said(root):
    return " ".join(widget.value for widget in widgets(root, ipywidgets.HTML))


def test_a_click_explains_that_option_and_is_recorded(question):
    box = quiz.lines_to_click(question)
    buttons = widgets(box, ipywidgets.Button)
    assert [b.description for b in buttons] == [
        "a) It makes scores & weights positive",
        "b) It keeps the spread near 1",
        "c) It saves memory",
    ]
    assert "The <code>softmax</code> does that." not in said(box)
    buttons[0].click()
    assert "✗ No</strong> The <code>softmax</code> does that." in said(box)
    assert "✗ a) It makes" in said(box)
    assert "variance K" not in said(box)
    assert learner.load()["03"]["quiz"][question.name] == {"right": False, "tries": 1}
    buttons[1].click()
    assert "variance K" in said(box)
    assert "✓ b) It keeps" in said(box)
    assert learner.load()["03"]["quiz"][question.name] == {"right": True, "tries": 2}


def tick(box, *letters):
    for toggle in widgets(box, ipywidgets.ToggleButton):
        toggle.value = toggle.description[0] in letters
    widgets(box, ipywidgets.Button)[-1].click()


def test_ticks_are_judged_together_and_nothing_unticked_is_given_away(several):
    box = quiz.lines_to_click(several)
    right = [letter for letter, option in several.lettered() if option.is_right]
    (wrong,) = {"a", "b", "c"} - set(right)
    tick(box, right[0], wrong)
    assert "☑ " + right[0] in said(box)
    assert "☐ " + right[1] in said(box)
    assert "✗ Not yet</strong> 1 of your 2 ticks are right: change one" in said(box)
    because = dict(several.lettered())
    assert because[right[0]].because in said(box)
    assert because[right[1]].because not in said(box)
    tick(box, *right)
    assert "✓ Right</strong></div>" in said(box)
    assert said(box).count("aria-live") == 3
    assert all(b.disabled for b in widgets(box, ipywidgets.Button | ipywidgets.ToggleButton))
    assert learner.load()["01"]["quiz"][several.name] == {"right": True, "tries": 2}


@pytest.mark.parametrize("letters", ["", "a", "abc"])
def test_too_many_or_too_few_ticks_are_no_answer(several, letters):
    box = quiz.lines_to_click(several)
    tick(box, *letters)
    assert f"You ticked {len(letters)}: tick 2, then check." in said(box)
    assert "aria-live" not in said(box)
    assert learner.load() == {}


def test_an_answer_by_letters(question, several):
    assert question.answer("b")
    assert question.answer(" B) ")
    assert not question.answer("a")
    one, other = (letter for letter, option in several.lettered() if option.is_right)
    assert several.answer(other, one)
    assert not several.answer(one)
    assert not several.answer("a", "b", "c")


def test_the_place_of_an_option_tells_nothing_and_never_changes():
    places = set()
    for number in range(30):
        options = [right("yes", "x"), wrong("no", "x"), wrong("perhaps", "x")]
        first = asked(f"Question {number}?", *options)
        places.add([option.is_right for _, option in first.lettered()].index(True))
        again = asked(f"Question {number}?", *reversed(options))
        assert again.to_text() == first.to_text()
    assert places == {0, 1, 2}


@pytest.mark.parametrize(
    ("said", "text", "options"),
    [
        ("asks nothing", " ", [right("a", "x"), wrong("b", "x")]),
        ("at least one right and one wrong", "?", []),
        ("at least one right and one wrong", "?", [right("a", "x")]),
        ("at least one right and one wrong", "?", [wrong("a", "x"), wrong("b", "x")]),
        ("at least one right and one wrong", "?", [right("a", "x"), right("b", "x")]),
        ("say the same", "?", [right("a", "x"), wrong("a ", "x")]),
        ("is empty", "?", [right("a", "x"), wrong(" ", "x")]),
        ("no explanation", "?", [right("a", "x"), wrong("b", " ")]),
    ],
)
def test_a_question_that_is_not_whole_is_refused(said, text, options):
    with pytest.raises(ValueError, match=said):
        asked(text, *options)


def test_ipywidgets_is_not_needed_to_import_or_to_show(tmp_path):
    import subprocess

    code = (
        "import sys; from llmcourse import quiz\n"
        "q = quiz.ask('03', 'softmax-axis')\n"
        "q._repr_mimebundle_(); assert sum(q.answer(letter) for letter in 'abcd') == 1\n"
        "assert not {'ipywidgets', 'IPython', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("written", "drawn"),
    [
        ("met *Unbelievable!*, a word", "met <em>Unbelievable!</em>, a word"),
        ("in *bits per byte*.", "in <em>bits per byte</em>."),
        ("`a * b * c` is code", "<code>a * b * c</code> is code"),
        ("3 * 4 * 5 and a*b*c", "3 * 4 * 5 and a*b*c"),
        ("a < b and *c*", "a &lt; b and <em>c</em>"),
    ],
)
def test_stars_stress_and_products_stay(written, drawn):
    question = asked(written, right("yes", written), wrong("no", "no"))
    assert drawn in question.to_html()


# --- the questions of the course ------------------------------------------------------------------

EVERY = [
    question
    for chapter in quiz.chapters()
    for question in quiz.questions_of(chapter) + quiz.reviews_of(chapter)
]
CHAPTERS = Path(__file__).resolve().parent.parent / "chapters"


def cells_that_ask():
    """The kind, chapter and name in every cell of a chapter that asks, and the asking chapter."""
    for path in sorted(CHAPTERS.glob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            source = "".join(cell["source"])
            for call in re.findall(r"quiz\.(ask|review)\((.*?)\)", source, re.DOTALL):
                yield call[0], *ast.literal_eval(f"({call[1]})"), path.name[:2]


def test_every_question_is_asked_once_and_where_it_belongs():
    written = {
        (kind, chapter, question.name)
        for kind, known in (("ask", quiz.questions_of), ("review", quiz.reviews_of))
        for chapter in quiz.chapters()
        for question in known(chapter)
    }
    asked_in = list(cells_that_ask())
    assert sorted((kind, chapter, name) for kind, chapter, name, _ in asked_in) == sorted(written)
    for kind, chapter, name, asking in asked_in:
        assert chapter == asking if kind == "ask" else chapter < asking, name


def test_a_name_is_used_once_in_a_chapter_and_is_short():
    names = [(question.chapter, question.name) for question in EVERY]
    assert len(set(names)) == len(names)
    assert len({question.question for question in EVERY}) == len(EVERY)
    for _, name in names:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+){0,3}", name), name


def test_a_file_holds_nothing_that_is_not_read():
    for path in (Path(quiz.__file__).parent / "questions").iterdir():
        written = tomllib.loads(path.read_text("utf-8"))
        assert written.keys() <= {"ask", "review"}, path.name
        for fields in (f for kind in written.values() for f in kind.values()):
            assert fields.keys() - {"heading"} == {"question", "right", "wrong"}, fields["question"]


def longest_is_right(questions):
    """How many right options are the longest, and how many would be by chance."""
    found = expected = 0.0
    for question in questions:
        longest = max(len(option.text) for option in question.options)
        verdicts = [option.is_right for option in question.options if len(option.text) == longest]
        found += sum(verdicts) / len(verdicts)  # of several, the reader takes any
        expected += question.n_right / len(question.options)
    return found, expected


def test_length_gives_no_answer_away():
    found, expected = longest_is_right(EVERY)
    assert found <= expected


def test_a_long_right_option_would_be_noticed():
    found, expected = longest_is_right([asked("?", right("the long one", "x"), wrong("b", "x"))])
    assert found > expected


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: quiz.ask("3", "softmax-axis"), "no chapter '3' has questions; did you mean '03'?"),
        (lambda: quiz.ask("03", "softmax"), "has no question 'softmax' for quiz.ask; did you mean"),
        (lambda: quiz.ask("03", "sees-the-future"), "for quiz.ask; there are: "),
        (lambda: quiz.review("03", "softmax-axis"), "for quiz.review; there are: "),
    ],
)
def test_an_unknown_name_is_told_the_nearest(call, said):
    with pytest.raises(UserError) as caught:
        call()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_questions_of_a_chapter_are_counted_and_old_answers_still_count():
    first, second, *others = quiz.questions_of("03")
    assert [first.name, second.name] == ["softmax-axis", "square-root"]
    assert len(others) == 4
    assert quiz.questions_of("99") == quiz.reviews_of("99") == []
    assert not first.was_right(learner.load())
    learner.record_question("03", hashlib.sha256(first.question.encode()).hexdigest()[:12], True)
    learner.record_question("03", second.name, False)
    assert first.was_right(learner.load())
    assert not second.was_right(learner.load())
    letters = [letter for letter, option in second.lettered() if option.is_right]
    second.answer(*letters)
    assert second.was_right(learner.load())
