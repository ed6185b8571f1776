import hashlib
import math
import random
import re

import pytest

from llmcourse.errors import UserError
from llmcourse.tinytown import stories as tinytown
from llmcourse.tinytown.entropy import chunks
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer, CharTokenizer

STORIES = list(tinytown.stories(300, seed=5))
GOLDEN = (
    "In a blue house lived Nora and a polite rabbit named Pickle. On Sunday the sky was all blue. "
    "Nora wanted to bring a pot of soup to the library. Nora saw no need for a hat. Pickle sneezed "
    "at every tree. Soon her nose was red like a tomato. Nora was grumpy, because they never saw "
    "the library."
)
GOLDEN_HASH = "d8e10e32e69b9747"


def test_the_stories_of_a_seed_never_change():
    first = next(iter(tinytown.stories(1)))
    assert first.text == GOLDEN
    told = "\n".join(story.text for story in tinytown.stories(500, seed=3))
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == GOLDEN_HASH


def test_more_stories_begin_with_the_same():
    assert list(tinytown.stories(3, seed=5)) == STORIES[:3]
    assert next(tinytown.stories(1, seed=6)) != STORIES[0]


def test_stories_are_short_ascii_and_varied():
    assert {len(story.sentences) for story in STORIES} == {5, 6, 7, 8, 9}
    assert all(story.text.isascii() for story in STORIES)
    assert len({story.text for story in STORIES}) == len(STORIES)
    assert {story.sentiment for story in STORIES} == {-1, 1}


def test_every_story_is_read_back_to_exactly_itself():
    for story in STORIES:
        assert tinytown.parse(story.text) == story
        assert -math.inf < tinytown.log_probability(story.text) < 0


def test_a_changed_story_has_no_probability():
    rng = random.Random(0)
    for story in STORIES[:100]:
        told = story.text
        words = [match.span() for match in re.finditer(r"\w+", told)]
        start, end = rng.choice(words)
        halves = re.findall(r"[^.]+\. ?", told)
        for broken in (
            told[:start] + told[start:end][::-1] + "x" + told[end:],
            told[:start] + told[end:],
            told.replace(story.facts["hero"], "Nobody", 1),
            " ".join(told.split(" ")[::-1]),
            "".join(halves[::-1]).strip(),
            "".join(halves[1:]),
            "".join(halves[:-2]).strip(),
            told + " " + told,
            told + "\n",
            told.lower(),
            "",
        ):
            assert tinytown.log_probability(broken) == -math.inf
            assert tinytown.parse(broken) is None


def test_a_pet_keeps_its_name():
    story = next(s for s in STORIES if s.text.count(s.facts["pet"]) > 1)
    other = "Waffle" if story.facts["pet"] != "Waffle" else "Socks"
    start = story.text.rindex(story.facts["pet"])
    told = story.text[:start] + other + story.text[start + len(story.facts["pet"]) :]
    assert tinytown.log_probability(told) == -math.inf
    everywhere = story.text.replace(story.facts["pet"], other)
    assert tinytown.log_probability(everywhere) > -math.inf


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        ({"weather": "rain", "geared": "yes"}, {"fine", "eaten", "dropped", "lost"}),
        ({"weather": "rain", "geared": "no"}, {"wet", "eaten", "dropped", "lost"}),
        ({"weather": "fog", "geared": "no"}, {"lost", "eaten", "dropped"}),
        ({"trouble": "wet", "helped": "no"}, {"bad"}),
        ({"helped": "yes"}, {"good"}),
        ({"trouble": "fine"}, {"good"}),
    ],
)
def test_effects_have_causes(cause, effect):
    found = [s.facts for s in tinytown.stories(1500, seed=1) if cause.items() <= s.facts.items()]
    key = "ending" if effect & {"good", "bad"} else "trouble"
    assert {facts[key] for facts in found} == effect


def test_the_entropy_in_every_unit():
    assert tinytown.entropy() == pytest.approx(37.82315388486785, abs=1e-9)
    bits = tinytown.entropy() / math.log(2)
    assert tinytown.entropy_bits_per_byte() == bits / tinytown.expected_bytes()
    per_byte = tinytown.entropy_per_token(ByteTokenizer())
    assert per_byte == pytest.approx(tinytown.entropy() / (1 + tinytown.expected_bytes()))


@pytest.mark.parametrize("kind", [BPETokenizer, CharTokenizer])
def test_entropy_per_token_counts_as_the_tokenizer_does(kind):
    texts = [story.text for story in STORIES]
    tokenizer = kind.train(texts, 500) if kind is BPETokenizer else kind.train(texts)
    counts = [len(tokenizer.encode(story.text)) for story in tinytown.stories(600, seed=2)]
    mean = sum(counts) / len(counts)
    spread = math.sqrt(sum((count - mean) ** 2 for count in counts) / len(counts))
    expected = tinytown.entropy() / tinytown.entropy_per_token(tokenizer) - 1
    assert abs(mean - expected) < 4 * spread / math.sqrt(len(counts))


def test_a_tokenizer_that_joins_words_is_refused():
    class Pairs(ByteTokenizer):
        def encode(self, text):
            return chunks(text)[::2]

    with pytest.raises(UserError, match="cross words"):
        tinytown.entropy_per_token(Pairs())
