"""Tables of tokens, of real tokenizers: where words begin, where sentences end, what is text."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
import torch

from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.base import END_OF_TEXT
from llmcourse.tokenizers.registry import TOKENIZERS, train_tokenizer

STORIES = [story.text for story in tinytown.stories(60)]
PROSE = (
    "Dr. Who owes 3.14 to os.path, naïve as ever. Is that so? “Yes!” she said (twice.) Then: no\n"
    "end here… 'Stop.' A_b — c。我们走吧！好。 Über 9,000 things? 1st of May.\n\nThe end"
)


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    return train_tokenizer(request.param, [*STORIES, PROSE], 600)


@pytest.fixture(scope="module")
def vocabulary(tokenizer):
    return Vocabulary.of(tokenizer)


@pytest.fixture(params=[STORIES[0], PROSE], ids=["story", "prose"])
def text(request):
    return request.param


def row(tokenizer, text):
    return torch.tensor([tokenizer.encode(text)])


def byte_row(text):
    return torch.tensor([list(text.encode())])


@pytest.fixture(scope="module")
def bytewise():
    return Vocabulary.of(train_tokenizer("byte", [], 257))


def spread(tokenizer, tokens, values):
    """The value of the token that each byte of the text comes from."""
    return [
        value
        for token, value in zip(tokens[0].tolist(), values[0].tolist(), strict=True)
        for _ in tokenizer.token_bytes(token)
    ]


class TestText:
    def test_what_is_special(self, tokenizer, vocabulary):
        assert vocabulary.size == tokenizer.vocab_size
        special = torch.nonzero(vocabulary.is_special).flatten().tolist()
        assert special == sorted(tokenizer.special_ids.values())
        assert tokenizer.eot_id in special

    def test_the_blank_is_the_end_of_text(self, tokenizer, vocabulary):
        """Not the first special token, which SentencePiece has before it."""
        assert vocabulary.blank_id == tokenizer.special_ids[END_OF_TEXT]

    def test_text_is_what_encode_yields(self, tokenizer, vocabulary, text):
        assert vocabulary.is_text(row(tokenizer, text)).all()

    def test_what_is_no_text(self, tokenizer, vocabulary):
        own = [*tokenizer.special_ids.values(), vocabulary.size, vocabulary.size + 2]
        assert not vocabulary.is_text(torch.tensor([own])).any()

    def test_plain(self):
        vocabulary = Vocabulary.plain(5, (3, 0))
        assert vocabulary.is_text(torch.tensor([[0, 1, 2, 3, 4, 5]])).tolist() == [
            [False, True, True, False, True, False]
        ]
        assert vocabulary.blank_id == 3
        assert Vocabulary.plain(5).blank_id == 0
        tokens = torch.tensor([[4, 4, 3, 1]])
        assert vocabulary.words(tokens).tolist() == [[0, 1, 2, 3]]
        assert not vocabulary.sentence_ends(tokens).any()


class TestWords:
    def test_by_hand(self, bytewise):
        assert bytewise.words(byte_row("a dog.\nIt's")).tolist() == [
            [0, 1, 2, 2, 2, 3, 4, 5, 5, 6, 7]
        ]

    def test_letters_of_two_bytes(self, bytewise):
        assert bytewise.words(byte_row("né a")).tolist() == [[0, 0, 0, 1, 2]]

    def test_each_row_counts_from_0(self, bytewise):
        assert bytewise.words(byte_row("ab c").repeat(2, 1)).tolist() == [[0, 0, 1, 2]] * 2

    def test_special_tokens_keep_words_apart(self, bytewise):
        a, end, mask = ord("a"), bytewise.blank_id, bytewise.size
        tokens = torch.tensor([[a, a, end, end, a, mask, a, a]])
        assert bytewise.words(tokens).tolist() == [[0, 0, 1, 2, 3, 4, 5, 5]]

    def test_and_so_do_an_objectives_own(self):
        """Even where every token of the vocabulary is a letter."""
        letters = torch.ones(4, dtype=torch.bool)
        plain = Vocabulary.plain(4, (3,))
        vocabulary = dataclasses.replace(plain, begins_inside=letters, ends_inside=letters)
        assert vocabulary.words(torch.tensor([[0, 1, 3, 0, 4, 5, 2]])).tolist() == [
            [0, 0, 1, 2, 3, 4, 5]
        ]

    def test_a_word_is_never_torn(self, tokenizer, vocabulary, text):
        """All of its letters have one number, and no letter of another word has it."""
        tokens = row(tokenizer, text)
        number = spread(tokenizer, tokens, vocabulary.words(tokens))
        assert len(number) == len(text.encode())
        seen = set()
        for word in re.finditer(rb"[A-Za-z0-9]+", text.encode()):
            before, behind = text.encode()[: word.start()][-1:], text.encode()[word.end() :][:1]
            if max(before, behind) >= b"\x80":
                continue  # next to half a character, which may be a letter
            numbers = set(number[word.start() : word.end()])
            assert len(numbers) == 1
            assert not numbers & seen
            seen |= numbers
        assert len(seen) > 20

    def test_numbers_rise_by_one(self, tokenizer, vocabulary, text):
        numbers = vocabulary.words(row(tokenizer, text))[0]
        assert numbers[0] == 0
        assert set(numbers.diff().tolist()) <= {0, 1}

    @pytest.mark.parametrize("kind", ["char", "sentencepiece"])
    def test_marks_beyond_ascii_are_no_letters(self, kind):
        """Where a token holds all of them; of half a character nobody can tell."""
        tokenizer = train_tokenizer(kind, ["dog—cat “so” 好。我"] * 9, 272)
        vocabulary = Vocabulary.of(tokenizer)
        tokens = row(tokenizer, "dog—cat")
        numbers = spread(tokenizer, tokens, vocabulary.words(tokens))
        assert numbers == [0, 0, 0, 1, 1, 1, 2, 2, 2]


class TestSentences:
    @pytest.mark.parametrize(
        ("text", "sentences"),
        [
            ("Is it? No! Go.", ["Is it?", " No!", " Go."]),
            ("3.14 in os.path. So", ["3.14 in os.path.", " So"]),
            ("one\ntwo\n\nthree", ["one\n", "two\n", "\n", "three"]),
            ("Hm... ok", ["Hm.", ".", ".", " ok"]),
            ("none, of it", ["none, of it"]),
            ("Dr. Who", ["Dr.", " Who"]),
        ],
    )
    def test_by_hand(self, bytewise, text, sentences):
        ends = bytewise.sentence_ends(byte_row(text))[0].tolist()
        places = [place + 1 for place, end in enumerate(ends) if end]
        bounds = [0, *places, *[len(text)] * (not ends[-1])]
        assert [text[a:b] for a, b in itertools.pairwise(bounds)] == sentences

    def test_of_stories_with_every_tokenizer(self, tokenizer, vocabulary):
        """Each of their sentences ends with a mark, and each mark ends one."""
        for text in STORIES[:10]:
            tokens = row(tokenizer, text)
            pieces = [tokenizer.token_bytes(token) for token in tokens[0].tolist()]
            ends = vocabulary.sentence_ends(tokens)[0].tolist()
            for piece, end in zip(pieces, ends, strict=True):
                assert end == bool(re.search(rb"[.!?]", piece)), piece
            assert sum(ends) == len(re.findall(r"[.!?]", text)) > 4

    def test_marks_of_other_scripts(self):
        tokenizer = train_tokenizer("char", ["我们走吧！好。Yes"] * 2, 300)
        tokens = row(tokenizer, "我们走吧！好。Yes")
        ends = Vocabulary.of(tokenizer).sentence_ends(tokens)[0].tolist()
        assert [place for place, end in enumerate(ends) if end] == [4, 6]

    def test_a_mark_in_quotes(self):
        tokenizer = train_tokenizer("bpe", ['He said "yes." Then "no." So'] * 30, 270)
        pieces = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        merged = pieces.index(b'."')
        assert Vocabulary.of(tokenizer).ends_sentence[merged]

    def test_special_tokens_end_none(self, tokenizer, vocabulary):
        own = [*tokenizer.special_ids.values(), vocabulary.size + 1]
        assert not vocabulary.sentence_ends(torch.tensor([own])).any()

    def test_a_special_token_may_follow(self, bytewise):
        a, stop, end, own = ord("a"), ord("."), bytewise.blank_id, bytewise.size
        tokens = torch.tensor([[stop, end, stop, own, stop, a]])
        assert (
            bytewise.sentence_ends(tokens)[0].tolist() == [True, False, True, False] + [False] * 2
        )


class TestRandomTokens:
    def test_every_text_token_is_drawn_alike_and_no_other(self):
        vocabulary, n = Vocabulary.plain(12, (0, 7)), 20_000
        draws = vocabulary.random_tokens((n // 100, 100), np.random.default_rng(0))
        assert draws.shape == (n // 100, 100)
        counts = torch.bincount(draws.flatten(), minlength=12)
        share, ordinary = 1 / 10, [1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
        five_sigma = 5 * (n * share * (1 - share)) ** 0.5
        assert counts[[0, 7]].sum() == 0
        assert (counts[ordinary] - n * share).abs().max() < five_sigma

    def test_of_a_tokenizer(self, tokenizer, vocabulary):
        draws = vocabulary.random_tokens((5000,), np.random.default_rng(0))[None]
        assert vocabulary.is_text(draws).all()

    def test_seeded(self, vocabulary):
        first, second = (
            vocabulary.random_tokens((3, 4), np.random.default_rng(5)) for _ in range(2)
        )
        assert torch.equal(first, second)
