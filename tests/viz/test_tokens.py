import html
import re

import pytest

from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.viz import tokens
from llmcourse.viz.tokens import Pieces


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (b" cat", "␣cat"),
        (b"\n\t\r", "⏎→␍"),
        ("猫".encode(), "猫"),
        ("猫".encode()[:2], "<E7><8C>"),
        (b"\xff!", "<FF>!"),
        (b"", ""),
    ],
)
def test_bytes_are_made_visible(piece, shown):
    assert tokens.visible(piece) == shown


def test_every_piece_has_a_box_with_its_id():
    pieces = Pieces(ByteTokenizer(), "a<b")
    boxes = re.findall(r">([^<>]*)<span[^>]*>(\d+)</span>", pieces._repr_html_())
    assert [(html.unescape(text), int(number)) for text, number in boxes] == [
        ("a", ord("a")),
        ("<", ord("<")),
        ("b", ord("b")),
    ]
    assert repr(pieces) == "3 tokens: a|<|b"


def test_cuts_show_without_colour():
    assert pieces_html("ab").count("border:1px solid") == 2


def test_markup_in_the_text_stays_text():
    assert "<b>" not in pieces_html("<b>").replace("<br>", "")


def test_nothing_is_no_tokens():
    assert repr(Pieces(ByteTokenizer(), "")) == "0 tokens: "


def test_show_displays(capsys):
    tokens.show(ByteTokenizer(), "hi")
    assert capsys.readouterr().out == "2 tokens: h|i\n"


def pieces_html(text):
    return Pieces(ByteTokenizer(), text)._repr_html_()
