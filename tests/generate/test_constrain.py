"""Patterns against `re`, schemas against `jsonschema`; what is written matches, always."""

import json
import random
import re

import jsonschema
import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.generate.constrain import Constrained, over_tokens
from llmcourse.generate.json_schema import to_pattern
from llmcourse.generate.patterns import compile_pattern
from llmcourse.generate.sampling import sample
from llmcourse.tokenizers.bpe import BPETokenizer

PATTERNS = [
    "ab*c", "(a|bc)+", "[a-c]{2,3}x?", "[^a]b", r"\d+(\.\d+)?", "a{0}b", "(a{2}|b){1,2}",
    "é|[à-ü]+", "", ".", "[]x]", "a{2,}", "(ab?){3}", r"\w\s?\W", "[^中]+",
]  # fmt: skip
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 6},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ["a", 1, None]}, "maxItems": 2},
        "size": {"anyOf": [{"type": "number"}, {"type": "boolean"}]},
    },
    "required": ["age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tokenizer():
    text = 'a cat, a bat: {"name": "Mia", "age": 12} é über 中文 ' * 5
    return BPETokenizer.train([text], vocab_size=275)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_automaton_accepts_what_re_matches(pattern):
    automaton, twin = compile_pattern(pattern), re.compile(pattern, re.ASCII)
    rng = random.Random(0)
    for _ in range(800):
        text = "".join(rng.choice("abcx.19éü]\n中 ") for _ in range(rng.randrange(6)))
        assert automaton.accepts(text) == bool(twin.fullmatch(text)), text


@pytest.mark.parametrize("pattern", ["(a", "a)", "*a", "a**", "^a", "[a", "a{2", "(?=a)", "[z-a]"])
def test_patterns_that_are_wrong_or_not_known(pattern):
    with pytest.raises(UserError, match="regex"):
        compile_pattern(pattern)


def written(tokenizer, pattern, most, seed):
    dice = torch.Generator().manual_seed(seed)
    automaton = over_tokens(compile_pattern(pattern), tokenizer)
    take = Constrained(automaton, lambda logits: sample(logits, dice), most)
    ids = []
    for _ in range(most + 1):
        token = int(take(torch.randn(1, tokenizer.vocab_size, generator=dice))[0])
        if token == tokenizer.eot_id:
            return tokenizer.decode(ids)
        ids.append(token)
    raise AssertionError("it has not ended in time")


@pytest.mark.parametrize("pattern", [*PATTERNS, r"[A-Z][a-z]+ (in|of) [0-9]{4}"])
def test_what_random_logits_write_matches_and_ends_in_time(tokenizer, pattern):
    for seed in range(15):
        assert re.fullmatch(pattern, written(tokenizer, pattern, 12, seed), re.ASCII)


def test_what_is_written_by_a_schema_is_valid(tokenizer):
    for seed in range(25):
        text = written(tokenizer, to_pattern(SCHEMA), 60, seed)
        jsonschema.validate(json.loads(text), SCHEMA)


def test_too_few_tokens_and_unknown_words_are_said(tokenizer):
    automaton = over_tokens(compile_pattern("[0-9]{9}"), tokenizer)
    with pytest.raises(UserError, match="shortest text that matches"):
        Constrained(automaton, sample, 2)
    with pytest.raises(UserError, match="'minimum', which is not known"):
        to_pattern({"type": "integer", "minimum": 3})
