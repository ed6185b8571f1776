import html
import re

import pytest

from llmcourse.errors import UserError
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer, CharTokenizer
from llmcourse.viz import playground
from llmcourse.viz.playground import MOST_CHARACTERS, Comparison, Playground

TOKENIZERS = {"bytes": ByteTokenizer(), "characters": CharTokenizer("语言")}
TEXT = "a 语言"


def visible_text(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", page))


def test_each_tokenizer_has_a_card_with_its_counts():
    page = Comparison(TOKENIZERS, TEXT)._repr_html_()
    shown = visible_text(page)
    assert "bytes   257 ids  8 tokens · 2.67 per word · 1.00 bytes per token" in shown
    assert "characters   259 ids  4 tokens · 1.33 per word · 2.00 bytes per token" in shown
    assert page.count("border:1px solid #52606d") == 8 + 4


def test_chinese_is_shown_as_it_is_and_its_parts_as_bytes():
    shown = visible_text(Comparison(TOKENIZERS, TEXT)._repr_html_())
    assert "<E8>" in shown
    assert "语" in shown.split("characters")[1]


def test_in_plain_text_it_is_one_short_line():
    assert repr(Comparison(TOKENIZERS, TEXT)) == "tokens: bytes 8, characters 4"


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "0 tokens"), ("x", "1 token · 1.00 per word"), (" ", "1 token · 1.00 b")],
)
def test_texts_without_words_or_tokens_have_counts(text, said):
    assert said in visible_text(Comparison(TOKENIZERS, text)._repr_html_())


def test_markup_stays_text():
    page = Comparison({"<b>": ByteTokenizer()}, "<i>")._repr_html_()
    assert "<b>" not in page
    assert "<i>" not in page


def test_a_long_text_is_counted_whole_and_drawn_in_part():
    text = "x" * (MOST_CHARACTERS + 1500)
    page = Comparison({"bytes": ByteTokenizer()}, text)._repr_html_()
    assert page.count("border:1px solid #52606d") == MOST_CHARACTERS
    assert "… and 1,500 characters" in page
    assert "2,100 tokens" in page


def test_without_tokenizers_there_is_nothing_to_compare():
    with pytest.raises(UserError, match="give at least one tokenizer"):
        Comparison({}, TEXT)


def test_typing_changes_what_is_shown():
    widget = Playground(TOKENIZERS, TEXT)
    assert widget.children[-1].value == Comparison(TOKENIZERS, TEXT)._repr_html_()
    widget.field.value = "嗨"
    assert repr(widget.comparison) == "tokens: bytes 3, characters 3"
    assert widget.children[-1].value == Comparison(TOKENIZERS, "嗨")._repr_html_()


def test_a_page_without_a_kernel_shows_the_text_it_began_with():
    bundle = Playground(TOKENIZERS, TEXT)._repr_mimebundle_()
    assert bundle["text/html"] == Comparison(TOKENIZERS, TEXT)._repr_html_()
    assert bundle["text/plain"] == "Playground(tokens: bytes 8, characters 4)"
    assert set(bundle) == {"text/html", "text/plain"}


def test_what_was_typed_last_takes_its_place(monkeypatch):
    renewed = []
    monkeypatch.setattr("llmcourse.notebook.show_live", lambda make, still: make())
    monkeypatch.setattr("llmcourse.notebook.Still.renew", lambda _, bundle: renewed.append(bundle))
    widget = Playground(TOKENIZERS, TEXT)
    widget._ipython_display_()
    widget.field.value = "嗨"
    assert [bundle["text/plain"] for bundle in renewed] == [
        "Playground(tokens: bytes 3, characters 3)"
    ]


def test_compare_displays(capsys):
    playground.compare(TOKENIZERS, TEXT)
    assert capsys.readouterr().out == "tokens: bytes 8, characters 4\n"
