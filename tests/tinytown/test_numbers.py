import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.errors import UserError
from llmcourse.tinytown.numbers import LIMIT, chinese, english, number_pairs

# Two inverses that share nothing with the rules that write the numbers.

SMALL = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen
"""
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
WORDS = {word: value for value, word in enumerate(SMALL.split())}
WORDS |= {word: 10 * value for value, word in enumerate(TENS.split(), start=2)}


def read_english(text):
    total = group = 0
    for word in text.replace("-", " ").split():
        if word == "hundred":
            group *= 100
        elif word in ("thousand", "million"):
            total += group * {"thousand": 1000, "million": 1_000_000}[word]
            group = 0
        elif word != "and":
            group += WORDS[word]
    return total + group


def read_chinese(text):
    total = group = digit = 0
    for sign in text:
        if sign in "零一二三四五六七八九":
            digit = "零一二三四五六七八九".index(sign)
        elif sign == "万":
            total, group, digit = (group + digit) * 10_000, 0, 0
        else:
            group += (digit or 1) * {"十": 10, "百": 100, "千": 1000}[sign]
            digit = 0
    return total + group + digit


def test_every_number_below_ten_thousand_reads_back():
    for value in range(10_000):
        assert read_english(english(value)) == value
        assert read_chinese(chinese(value)) == value


@given(st.integers(0, LIMIT - 1))
def test_larger_numbers_read_back(value):
    assert read_english(english(value)) == value
    assert read_chinese(chinese(value)) == value


def test_every_number_has_names_of_its_own():
    assert len({english(value) for value in range(10_000)}) == 10_000
    assert len({chinese(value) for value in range(10_000)}) == 10_000


@pytest.mark.parametrize(
    ("value", "words", "signs"),
    [
        (0, "zero", "零"),
        (10, "ten", "十"),
        (15, "fifteen", "十五"),
        (20, "twenty", "二十"),
        (21, "twenty-one", "二十一"),
        (100, "one hundred", "一百"),
        (110, "one hundred and ten", "一百一十"),
        (205, "two hundred and five", "二百零五"),
        (215, "two hundred and fifteen", "二百一十五"),
        (1000, "one thousand", "一千"),
        (1001, "one thousand and one", "一千零一"),
        (1010, "one thousand and ten", "一千零一十"),
        (1100, "one thousand one hundred", "一千一百"),
        (2030, "two thousand and thirty", "二千零三十"),
        (9999, "nine thousand nine hundred and ninety-nine", "九千九百九十九"),
        (10_000, "ten thousand", "一万"),
        (10_500, "ten thousand five hundred", "一万零五百"),
        (100_005, "one hundred thousand and five", "十万零五"),
        (203_000, "two hundred and three thousand", "二十万三千"),
        (1_000_000, "one million", "一百万"),
    ],
)
def test_by_hand(value, words, signs):
    assert (english(value), chinese(value)) == (words, signs)


@given(st.integers(0, LIMIT - 1))
def test_chinese_has_no_empty_places_in_a_row_nor_at_the_end(value):
    text = chinese(value)
    assert "零零" not in text
    assert value == 0 or not text.endswith("零")
    assert not text.startswith("一十")


def test_pairs_are_pairs_and_of_all_lengths():
    pairs = list(number_pairs(400, seed=1))
    assert pairs == list(number_pairs(400, seed=1))
    assert all((english(p.value), chinese(p.value)) == p[1:] for p in pairs)
    lengths = [len(str(pair.value)) for pair in pairs]
    assert all(lengths.count(length) > 50 for length in (1, 2, 3, 4))
    assert max(pair.value for pair in number_pairs(400, limit=50)) < 50


@pytest.mark.parametrize("value", [-1, LIMIT])
def test_numbers_without_a_name_are_refused(value):
    with pytest.raises(UserError, match="has no name here"):
        english(value)
    with pytest.raises(UserError, match="has no name here"):
        chinese(value)
    with pytest.raises(UserError, match="limit"):
        list(number_pairs(1, limit=LIMIT + 1))
