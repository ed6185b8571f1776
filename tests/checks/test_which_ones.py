"""Of what kind the entries are that a list lacks, or has too many of."""

import pytest

from llmcourse.checks.which_ones import which_ones


def said(function, truths, right=(), **inputs):
    right = [(inputs, truth, truth) for truth in right]
    return which_ones([(inputs, truth, function(truth)) for truth in truths], right)


SPANS = [("a", 0, 1), ("b", 1, 3), ("a", 4, 5)], [("b", 0, 1), ("b", 2, 5)]
NUMBERS = [3, 0, 4, 3, 5], [0, 7, 8, 7]


@pytest.mark.parametrize(
    ("truths", "test", "words"),
    [
        (SPANS, lambda i, x, all_: x[2] - x[1] == 1, "whose [1] and [2] are 1 apart"),
        (SPANS, lambda i, x, all_: x[0] == "b", "whose [0] is 'b'"),
        (NUMBERS, lambda i, x, all_: x == 0, "those that are 0"),
        (NUMBERS, lambda i, x, all_: x in all_[:i], "those that were there before"),
        (NUMBERS, lambda i, x, all_: x in (3, 8), "those that are in `keep`"),
        (("a B c", "Bb aB"), lambda i, x, all_: x.isupper(), "those with capitals"),
    ],
)
def test_what_is_missing_and_what_is_too_much_is_of_one_kind(truths, test, words):
    def without(all_):
        kept = [x for i, x in enumerate(all_) if not test(i, x, all_)]
        return "".join(kept) if isinstance(all_, str) else kept

    keep = [3, 8]
    assert words in said(without, truths, keep=keep)
    short = tuple(map(without, truths))
    backwards = [({"keep": keep}, few, all_) for few, all_ in zip(short, truths, strict=True)]
    assert which_ones(backwards, []).endswith("stand there too many.")


def test_nothing_is_said_where_they_have_nothing_in_common():
    assert said(lambda all_: all_[:2] + all_[3:], ([1, 2, 3, 4, 5], [5, 6, 7, 2, 1])) is None
    assert said(lambda all_: [], NUMBERS) is None  # nothing is there at all
    assert said(lambda all_: all_[::-1], NUMBERS) is None
    assert said(lambda all_: all_, NUMBERS) is None


def test_a_kind_that_is_kept_where_the_answer_is_right_is_not_named():
    def without_zeros(all_):
        return [x for x in all_ if x]

    assert said(without_zeros, NUMBERS) == "You leave out those that are 0."
    assert said(without_zeros, NUMBERS, right=([1, 0, 2],)) is None
    assert said(without_zeros, ([1, 0, 2],)) is None  # one entry alone may be anything


def test_what_is_no_list_is_left_alone():
    assert which_ones([({}, 1.0, 2.0)], []) is None
    assert which_ones([({}, [1, 2], "12")], []) is None
    assert which_ones([], []) is None
