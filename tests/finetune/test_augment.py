import numpy as np
import pytest

from llmcourse.errors import UserError
from llmcourse.finetune import augment
from llmcourse.randomness import numpy_rng

WORDS = ["On", "Monday", "Mia", "was", "not", "happy", "at", "all."]
LEXICON = {"happy": ("glad", "proud"), "all": ("everything",), "Monday": ("Friday",)}

CHANGES = {
    "mask": lambda words, rng: augment.mask_words(words, 0.5, rng),
    "drop": lambda words, rng: augment.drop_words(words, 0.5, rng),
    "swap": lambda words, rng: augment.swap_words(words, 2, rng),
    "synonyms": lambda words, rng: augment.replace_synonyms(words, LEXICON, 0.5, rng),
}
each_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def within(count, n, p, sigmas=5):
    return abs(count - n * p) < sigmas * (n * p * (1 - p)) ** 0.5


@each_change
def test_a_change_makes_a_new_list_and_leaves_the_old_one(change):
    words = list(WORDS)
    changed = [change(words, rng) for rng in map(numpy_rng, range(3))]
    assert words == WORDS
    assert all(new is not words for new in changed)
    assert len({tuple(new) for new in changed}) > 1
    assert change(words, numpy_rng(0)) == changed[0]  # all chance is the generator's


@each_change
@pytest.mark.parametrize("words", [[], ["one"]])
def test_no_word_and_a_single_word_are_texts_too(change, words):
    assert len(change(words, numpy_rng(1))) == len(words)


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_words_are_masked_as_often_as_said(rate):
    rng = numpy_rng(2)
    n = sum(augment.mask_words(WORDS, rate, rng).count("[MASK]") for _ in range(2000))
    assert within(n, 2000 * len(WORDS), rate) or n == rate * 2000 * len(WORDS)


def test_a_mask_stands_at_the_place_of_its_word():
    masked = augment.mask_words(WORDS, 0.5, numpy_rng(3), mask="_")
    assert len(masked) == len(WORDS)
    assert all(new in (word, "_") for new, word in zip(masked, WORDS, strict=True))


def test_words_are_dropped_as_often_as_said_and_keep_their_order():
    rng = numpy_rng(4)
    kept = [augment.drop_words(WORDS, 0.25, rng) for _ in range(2000)]
    assert within(sum(map(len, kept)), 2000 * len(WORDS), 0.75)
    places = [[WORDS.index(word) for word in words] for words in kept]
    assert all(row == sorted(row) for row in places)


def test_one_word_is_always_left_and_it_may_be_any():
    rng = numpy_rng(5)
    left = [augment.drop_words(WORDS, 1.0, rng) for _ in range(300)]
    assert {len(words) for words in left} == {1}
    assert {words[0] for words in left} == set(WORDS)


def test_swaps_keep_the_words_and_one_swap_moves_two():
    rng = numpy_rng(6)
    for _ in range(50):
        swapped = augment.swap_words(WORDS, 1, rng)
        assert sorted(swapped) == sorted(WORDS)
        assert sum(a != b for a, b in zip(swapped, WORDS, strict=True)) == 2
    assert augment.swap_words(WORDS, 0, rng) == WORDS


def test_synonyms_come_from_the_lexicon_and_punctuation_stays():
    changed = augment.replace_synonyms(WORDS, LEXICON, 1.0, numpy_rng(7))
    assert changed[0:2] == ["On", "Friday"]
    assert changed[5] in LEXICON["happy"]
    assert changed[-1] == "everything."
    assert augment.replace_synonyms(WORDS, LEXICON, 0.0, numpy_rng(7)) == WORDS


def test_every_synonym_is_as_likely():
    rng = numpy_rng(8)
    n = sum("glad" in augment.replace_synonyms(WORDS, LEXICON, 1.0, rng) for _ in range(1000))
    assert within(n, 1000, 0.5)


def test_back_translation_goes_there_and_then_back():
    assert augment.back_translate("a b", str.upper, lambda text: text[::-1]) == "B A"


def test_copies_carry_the_labels_of_their_originals_and_none_is_there_twice():
    texts, labels = ["a b c d", "e f g h"], [0, 1]
    more, theirs = augment.augmented(texts, labels, CHANGES["swap"], 20, numpy_rng(9))
    assert more[:2] == texts
    assert len(set(more)) == len(more) == len(theirs) > 10
    assert all(label == ("e" in text) for text, label in zip(more, theirs, strict=True))


def test_a_copy_of_another_text_is_left_out():
    sort = lambda words, rng: sorted(words)  # noqa: E731
    assert augment.augmented(["b a", "a b"], [0, 1], sort, 3, numpy_rng(0))[0] == ["b a", "a b"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda rng: augment.mask_words(WORDS, 1.5, rng), "rate=1.5"),
        (lambda rng: augment.drop_words(WORDS, -0.1, rng), "rate=-0.1"),
        (lambda rng: augment.replace_synonyms(WORDS, {}, float("nan"), rng), "rate=nan"),
        (lambda rng: augment.swap_words(WORDS, -1, rng), "n_swaps=-1"),
        (lambda rng: augment.augmented(["a"], [], CHANGES["drop"], 1, rng), "0 labels"),
        (lambda rng: augment.augmented(["a"], [1], CHANGES["drop"], -1, rng), "n_copies=-1"),
    ],
)
def test_what_makes_no_sense_is_refused(call, says):
    with pytest.raises(UserError, match=says):
        call(np.random.default_rng(0))
