import pytest

from tools.reading_time import minutes_to_read, stated, words_in


def prose(words):
    return {"cell_type": "markdown", "source": "word " * words}


def code(source="x = 1"):
    return {"cell_type": "code", "source": source}


ASK, ANSWER = code('predict.ask("03", "factor")'), code('predict.answer("03", "factor", 4.0)')


@pytest.mark.parametrize(
    ("cells", "minutes"),
    [
        ([], 0),
        ([prose(1)], 5),
        ([prose(900)], 5),
        ([prose(901)], 10),
        ([code()] * 15, 5),
        ([code()] * 16, 10),
        ([ASK, ANSWER, ASK, ANSWER], 5),
        ([ASK, ANSWER] * 3, 10),
        ([prose(360), ASK, *[code()] * 3], 5),
        ([prose(360), ASK, *[code()] * 4], 10),
    ],
)
def test_minutes_are_counted_and_rounded_up_to_five(cells, minutes):
    assert minutes_to_read(cells) == minutes


def test_addresses_and_rulers_are_no_words():
    assert words_in("| a | b |\n| --- | --- |\n| [one two](https://x.org/a b) — 3 |") == 5


def test_the_line_below_the_title_is_written_and_nothing_else():
    source = "# T\n\n| **It takes** | about 25 minutes to read, a minute to run |\nabout 9 minutes"
    once = stated(source, 40, 75)
    assert once == source.replace("25 minutes to read", "40 minutes to read, 75 for the exercises")
    assert stated(once, 40, 75) == once
    assert stated(once, 25, 0) == source
