import json
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import ipywidgets
import pytest

from llmcourse import learner, quiz

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMCOURSE_HOME", str(tmp_path))


@pytest.fixture
def live(monkeypatch):
    """As if a notebook's kernel were running."""
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))


@pytest.fixture
def question():
    return quiz.ask(
        "03",
        "What does <b>√K</b> do in `q @ k`?",
        quiz.wrong("It makes scores & weights positive", "The `softmax` does that."),
        quiz.right("It keeps the spread near 1", "A sum of K products has variance K."),
        quiz.wrong("It saves memory", "A division saves nothing."),
    )


@pytest.fixture
def several():
    return quiz.review(
        "01",
        "Which lose nothing?",
        quiz.right("bytes", "Every text is bytes."),
        quiz.wrong("words", "A new word has no id."),
        quiz.right("byte-level BPE", "It falls back to bytes."),
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
    assert outline.tags.count("details") == 3
    assert "b" not in outline.tags
    assert "What does <b>√K</b> do in q @ k?" in outline.text
    assert "b) It keeps the spread near 1✓ Right. A sum of K products" in outline.text
    assert outline.text.count("✗ No.") == 2
    assert "<code>softmax</code>" in bundle["text/html"]


def test_what_is_compared_is_the_same_with_and_without_a_kernel(question, live):
    bundle = question._repr_mimebundle_()
    assert bundle["text/plain"] == question.to_text()
    assert bundle["text/html"] == question.to_html()
    assert bundle[WIDGET_VIEW] == question._repr_mimebundle_()[WIDGET_VIEW]
    json.dumps(bundle)


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


def shown(root):
    return " ".join(widget.value for widget in widgets(root, ipywidgets.HTML))


def test_a_click_explains_that_option_and_is_recorded(question):
    box = quiz._buttons(question)
    buttons = widgets(box, ipywidgets.Button)
    assert [b.description for b in buttons] == ["a", "b", "c"]
    assert buttons[1].tooltip == "It keeps the spread near 1"
    assert "The <code>softmax</code> does that." not in shown(box)
    buttons[0].click()
    assert "The <code>softmax</code> does that." in shown(box)
    assert "variance K" not in shown(box)
    entry = learner.load()["03"]["quiz"][question.key]
    assert entry == {"right": False, "tries": 1}
    buttons[1].click()
    assert "variance K" in shown(box)
    assert learner.load()["03"]["quiz"][question.key] == {"right": True, "tries": 2}


def test_ticks_are_judged_together(several):
    box = quiz._buttons(several)
    ticks, button = widgets(box, ipywidgets.Checkbox), widgets(box, ipywidgets.Button)[0]
    right = [option.is_right for _, option in several.lettered()]
    for tick in ticks:
        tick.value = True
    button.click()
    assert button.description == "Not yet: try again"
    assert shown(box).count("aria-live") == 3
    for tick, is_right in zip(ticks, right, strict=True):
        tick.value = is_right
    button.click()
    assert button.description == "Right!"
    assert learner.load()["01"]["quiz"][several.key] == {"right": True, "tries": 2}


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
        options = [quiz.right("yes", "x"), quiz.wrong("no", "x"), quiz.wrong("perhaps", "x")]
        asked = quiz.ask("00", f"Question {number}?", *options)
        places.add([option.is_right for _, option in asked.lettered()].index(True))
        again = quiz.ask("00", f"Question {number}?", *reversed(options))
        assert again.to_text() == asked.to_text()
    assert places == {0, 1, 2}


@pytest.mark.parametrize(
    ("said", "text", "options"),
    [
        ("asks nothing", " ", [quiz.right("a", "x"), quiz.wrong("b", "x")]),
        ("at least one right and one wrong", "?", []),
        ("at least one right and one wrong", "?", [quiz.right("a", "x")]),
        ("at least one right and one wrong", "?", [quiz.wrong("a", "x"), quiz.wrong("b", "x")]),
        ("at least one right and one wrong", "?", [quiz.right("a", "x"), quiz.right("b", "x")]),
        ("say the same", "?", [quiz.right("a", "x"), quiz.wrong("a ", "x")]),
        ("is empty", "?", [quiz.right("a", "x"), quiz.wrong(" ", "x")]),
        ("no explanation", "?", [quiz.right("a", "x"), quiz.wrong("b", " ")]),
    ],
)
def test_a_question_that_is_not_whole_is_refused(said, text, options):
    with pytest.raises(ValueError, match=said):
        quiz.ask("03", text, *options)


def test_ipywidgets_is_not_needed_to_import_or_to_show(tmp_path):
    import subprocess

    code = (
        "import sys; from llmcourse import quiz\n"
        "q = quiz.ask('00', '?', quiz.right('a', 'x'), quiz.wrong('b', 'y'))\n"
        "q._repr_mimebundle_(); assert q.answer('a') != q.answer('b')\n"
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
    question = quiz.ask("01", written, quiz.right("yes", written), quiz.wrong("no", "no"))
    assert drawn in question.to_html()
