import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.cleaning.normalize import normalize

PIECES = (
    *"aé嗨 \t\n\r\v\f\0\x1b\x7f\x85\xa0\xad\u0301\u2003\u2028\u3000\u200b\ufeff\u212b\u0344ﬁ가😀",
    *("e\u0301", "\u1100\u1161", "\r\n"),
)
AWKWARD = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("e\u0301 \u212b", "é Å"),  # letter and accent; the sign for Ångström is the letter
        ("one\r\ntwo\rthree\u2028four\x85five", "one\ntwo\nthree\nfour\nfive"),
        ("a\xa0b\u2003c\u3000d\te", "a b c d\te"),
        ("soft\xadly, zero\u200bwidth, \ufeffmark, bell\x07", "softly, zerowidth, mark, bell"),
        ("one  \ntwo\t\n", "one\ntwo"),
        ("one\n\n \n\n\ntwo", "one\n\ntwo"),
        ("\n\n  indented", "  indented"),
        ("ﬁne ½ Ｙ", "ﬁne ½ Ｙ"),  # the compatibility forms are told apart by eye, and stay
        ("", ""),
        (" \n\t\n ", ""),
    ],
)
def test_examples(text, normal):
    assert normalize(text) == normal


@given(AWKWARD | st.text(max_size=60))
def test_twice_is_once(text):
    assert normalize(normalize(text)) == normalize(text)


@given(AWKWARD | st.text(max_size=60))
def test_what_is_left_is_in_one_spelling(text):
    normal = normalize(text)
    assert unicodedata.is_normalized("NFC", normal)
    assert "\n\n\n" not in normal
    assert normal == normal.strip("\n")
    for line in normal.split("\n"):
        assert line == line.rstrip(" \t")
    kinds = {unicodedata.category(char) for char in normal if char not in "\n\t "}
    assert not kinds & {"Cc", "Zs", "Zl", "Zp"}


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=60))
def test_visible_characters_are_only_composed(text):
    assert normalize(text) == unicodedata.normalize("NFC", text)
