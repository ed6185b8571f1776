import json
import math
import random
from collections import Counter
from itertools import pairwise

import pytest

from llmcourse.errors import UserError
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.lattice import UnigramModel
from llmcourse.tokenizers.pretokenize import pre_tokens
from llmcourse.tokenizers.sentencepiece import SentencePieceTokenizer
from llmcourse.tokenizers.unigram import (
    LEAST_COUNT,
    UnigramTokenizer,
    fit,
    maximised,
    pruned,
    seed_counts,
)

WORDS = {" cat": 5, " cats": 3, " hat": 4, " that": 6, "the": 7, " chat": 1}
TEXT = (
    "She sells sea shells by the sea shore, and the shells that she sells are sea shells.\n"
    "她在海边卖贝壳，她卖的贝壳是海边的贝壳。\n"
) * 3


@pytest.fixture(scope="module")
def tokenizer():
    return UnigramTokenizer.train([TEXT], 330)


# --- training ------------------------------------------------------------------------------------


def naive_seeds(words):
    counts = {}
    for word, occurrences in words.items():
        for start in range(len(word)):
            for end in range(start + 1, len(word) + 1):
                piece = word[start:end]
                counts[piece] = counts.get(piece, 0) + occurrences
    return {piece: n for piece, n in counts.items() if len(piece) == 1 or n > 1}


def test_seeds_are_all_characters_and_what_stands_there_twice():
    assert seed_counts(WORDS, 10**6) == naive_seeds(WORDS)


def test_of_too_many_seeds_those_that_cover_most_are_taken():
    few = seed_counts(WORDS, 3)
    longer = {piece: n * len(piece) for piece, n in naive_seeds(WORDS).items() if len(piece) > 1}
    chosen = {piece for piece in few if len(piece) > 1}
    assert len(chosen) == 3
    assert min(longer[p] for p in chosen) >= max(longer[p] for p in longer.keys() - chosen)
    assert {p for p in few if len(p) == 1} == {c for word in WORDS for c in word}


def test_maximised_is_the_share_of_the_counts():
    scores = maximised({"a": 3.0, "b": 1.0})
    assert scores == pytest.approx({"a": math.log(0.75), "b": math.log(0.25)})
    assert maximised({"a": 1.0, "b": 0.0})["b"] == pytest.approx(
        math.log(LEAST_COUNT / (1 + LEAST_COUNT))
    )


def test_no_step_of_em_makes_the_text_less_likely():
    """EM's promise (Dempster et al., 1977); a wrong count breaks it within a step or two."""
    model = UnigramModel(maximised(seed_counts(WORDS, 100)))
    likelihoods = []
    for _ in range(12):
        counts, likelihood = model.expected_counts(WORDS)
        likelihoods.append(likelihood)
        total = math.fsum(counts.values())
        model = UnigramModel({p: math.log(n / total) for p, n in counts.items() if n > 1e-9})
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(likelihoods))
    assert likelihoods[-1] > likelihoods[0] + 5


def test_a_step_of_em_reaches_where_no_direction_leads_up():
    """At the end of EM the likelihood is flat along every direction that keeps the sum at one."""
    model = UnigramModel(maximised(seed_counts({"abab": 3, "ab": 2, "ba": 4, "a": 1}, 100)))
    words = {"abab": 3, "ab": 2, "ba": 4, "a": 1}
    for _ in range(1000):
        counts, _ = model.expected_counts(words)
        total = math.fsum(counts.values())
        model = UnigramModel({p: math.log(n / total) for p, n in counts.items() if n > 1e-12})
    _, best = model.expected_counts(words)
    for piece in model.scores:
        for factor in (0.9, 1.1):
            shares = {
                p: math.exp(s) * (factor if p == piece else 1) for p, s in model.scores.items()
            }
            total = math.fsum(shares.values())
            moved = UnigramModel({p: math.log(n / total) for p, n in shares.items()})
            assert moved.expected_counts(words)[1] < best + 1e-6


def test_pruning_drops_what_costs_the_likelihood_least():
    """Each piece is dropped in turn, and the best cut of all words priced anew, by brute force."""
    words = {"abc": 9, "ab": 4, "bcx": 5, "xabc": 2}
    scores = {"a": -3.0, "b": -3.1, "c": -3.2, "x": -2.0, "abc": -1.5, "ab": -2.0, "bc": -2.2}

    def price(model):
        return sum(
            n * sum(model.scores[piece] for piece in model.best(word)) for word, n in words.items()
        )

    model = UnigramModel(scores)
    counts = dict.fromkeys(scores, 0.0)
    for word, n in words.items():
        for piece in model.best(word):
            counts[piece] += n
    losses = {}
    for piece in ("abc", "ab", "bc"):
        without = UnigramModel({p: s for p, s in scores.items() if p != piece})
        losses[piece] = price(model) - price(without)
    ranked = sorted(losses, key=losses.__getitem__)
    for kept in (2, 1):
        left = {p for p in pruned(model, counts, kept).scores if len(p) > 1}
        assert left == set(ranked[-kept:])


def test_pruning_keeps_ascii_and_may_drop_a_rare_character():
    scores = {"a": -9.0, "é": -6.0, "语": -6.0, "aé": -2.0}
    left = pruned(UnigramModel(scores), {"a": 0.0, "é": 1.0, "语": 50.0, "aé": 5.0}, 2)
    assert set(left.scores) == {"a", "语", "aé"}


def test_fitting_ends_with_probabilities_that_sum_to_one():
    model = fit(UnigramModel(maximised(seed_counts(WORDS, 100))), WORDS, 6)
    assert math.fsum(map(math.exp, model.scores.values())) == pytest.approx(1)
    assert sum(len(piece) > 1 for piece in model.scores) == 6


def test_the_whole_words_of_a_text_become_pieces(tokenizer):
    assert len(tokenizer.encode(" shells")) == 1
    assert len(tokenizer.encode("贝壳")) == 1
    assert tokenizer.vocab_size == 330


def test_a_vocabulary_that_is_too_large_names_the_largest():
    with pytest.raises(UserError, match="more than this text has pieces for") as error:
        UnigramTokenizer.train([TEXT], 99_999)
    largest = int(str(error.value).split()[-1])
    assert UnigramTokenizer.train([TEXT], largest).vocab_size == largest
    with pytest.raises(UserError, match=f"at most {largest}$"):
        UnigramTokenizer.train([TEXT], largest + 1)


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(UserError, match="vocab_size=256 is too small: give at least 257"):
        UnigramTokenizer.train(["hello"], 256)


def test_without_learned_pieces_or_text_it_is_the_byte_tokenizer():
    for texts in ([], [""], ["hello 语言"]):
        tokenizer = UnigramTokenizer.train(texts, 257)
        assert tokenizer.encode("hello 语言") == list("hello 语言".encode())


def test_a_very_long_word_takes_no_more_than_its_length():
    """Its arcs are many: all in memory at once, they would be gigabytes."""
    tokenizer = UnigramTokenizer.train(["ab" * 20_000, "abba" * 3], 270)
    ids = tokenizer.encode("ab" * 100_000)
    assert tokenizer.decode(ids) == "ab" * 100_000
    assert len(ids) < 50_000


def token_bits(tokenizer, learned, unseen):
    """Bits per byte of guessing each token by its frequency, with one added to each count."""
    counts = Counter(tokenizer.encode(learned))
    total = sum(counts.values()) + tokenizer.vocab_size
    costs = (math.log2(total / (counts[i] + 1)) for i in tokenizer.encode(unseen))
    return math.fsum(costs) / len(unseen.encode())


@pytest.mark.slow
def test_trained_on_the_same_text_it_is_about_as_good_as_the_librarys(data_dir):
    """On a text that neither has seen; theirs may cross what separates our pre-tokens."""
    path = data_dir / "tinyshakespeare" / "input.txt"
    text = path.read_text(encoding="utf-8")
    learned, unseen = text[:60_000], text[-60_000:]
    ours = UnigramTokenizer.train([learned], 800)
    theirs = SentencePieceTokenizer.train([learned], 800)
    ratio = len(ours.encode(unseen)) / len(theirs.encode(unseen))
    assert 0.9 < ratio < 1.05
    assert token_bits(ours, learned, unseen) == pytest.approx(
        token_bits(theirs, learned, unseen), rel=0.05
    )


# --- encoding ------------------------------------------------------------------------------------


def test_encoding_is_the_best_segmentation_of_each_word(tokenizer):
    pieces = [piece for word in pre_tokens(TEXT) for piece in tokenizer.model.best(word)]
    assert [tokenizer.token_bytes(i).decode() for i in tokenizer.encode(TEXT)] == pieces


def test_what_has_no_piece_is_spelled_in_bytes(tokenizer):
    assert tokenizer.encode("猫") == list("猫".encode())
    assert tokenizer.encode("\x01") == [1]


def test_samples_decode_to_the_text_and_differ(tokenizer):
    rng = random.Random(3)
    text = " the sea shells 贝壳 \ud800 é"
    drawn = {tuple(tokenizer.sample(text, 0.2, rng)) for _ in range(30)}
    assert len(drawn) > 10
    assert {tokenizer.decode(ids) for ids in drawn} == {text}
    assert tokenizer.sample(text, 1000.0, rng) == tokenizer.encode(text)


def test_a_texts_probability_is_the_product_over_its_words(tokenizer):
    expected = sum(tokenizer.model.log_probability(w) for w in (" the", " sea"))
    assert tokenizer.log_probability(" the sea") == pytest.approx(expected)
    best = [math.exp(tokenizer.model.scores[piece]) for piece in tokenizer.model.best(" sea")]
    assert math.exp(tokenizer.log_probability(" sea")) > math.prod(best)


def test_half_characters_are_never_learned():
    texts = ["a\ud800b a\ud800b \ud83d\ude00 \ud83d\ude00 语语 ab ab"]
    tokenizer = UnigramTokenizer.train(texts, 260)
    assert not any("\ud800" <= char <= "\udfff" for p in tokenizer.model.scores for char in p)
    assert tokenizer.decode(tokenizer.encode(texts[0])) == texts[0]


def test_on_tinytown_most_words_are_one_piece():
    texts = [story.text for story in tinytown.stories(150)]
    tokenizer = UnigramTokenizer.train(texts, 600)
    words = [word for text in texts for word in pre_tokens(text)]
    assert sum(len(tokenizer.encode(word)) for word in words) < 1.2 * len(words)


# --- files ---------------------------------------------------------------------------------------


def test_scores_come_back_to_the_last_digit(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    assert UnigramTokenizer.load(tmp_path / "tokenizer.json").model.scores == tokenizer.model.scores


@pytest.mark.parametrize(
    "pieces",
    [None, 7, [7], [["a"]], [["a", "b"]], [["a", 1]], [["", -1.0]], [[7, -1.0]], [["a", math.nan]]],
)
def test_damaged_pieces_are_refused(tmp_path, pieces):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"kind": "unigram", "pieces": pieces}))
    with pytest.raises(UserError, match="its pieces make no sense"):
        UnigramTokenizer.load(path)


def test_a_piece_that_is_listed_twice_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"kind": "unigram", "pieces": [["ab", -1.0], ["ab", -2.0]]}))
    with pytest.raises(UserError, match="lists a piece twice"):
        UnigramTokenizer.load(path)
