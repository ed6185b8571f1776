import sys
from unicodedata import category

import regex
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.tokenizers.pretokenize import pre_tokens

GPT2_PATTERN = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)


def test_pre_tokens_by_hand():
    assert pre_tokens("Hello  world, it's 2024!\n\n  x") == [
        *("Hello", " ", " world", ",", " it", "'s", " 2024", "!", "\n\n ", " x")
    ]


@given(st.text(st.characters(exclude_categories=["Cn"])))
def test_pre_tokens_are_those_of_gpt2s_pattern(text):
    """Characters that this Python's Unicode tables do not know yet are left out."""
    assert pre_tokens(text) == GPT2_PATTERN.findall(text)


def test_every_assigned_character_is_of_the_same_class_as_in_gpt2s_pattern():
    codes = (code for code in range(sys.maxunicode + 1) if category(chr(code)) != "Cn")
    text = "".join(f"a{chr(code)}1{chr(code)}!{chr(code)} " for code in codes)
    assert pre_tokens(text) == GPT2_PATTERN.findall(text)


@given(st.text(st.characters()))
def test_joined_pre_tokens_are_the_text(text):
    assert "".join(pre_tokens(text)) == text
