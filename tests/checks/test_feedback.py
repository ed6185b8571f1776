import numpy as np
import pytest
import torch

from llmcourse.checks.feedback import parts, size, table
from llmcourse.notebook import Card, Row, plain_table


def text(value, other=None):
    found = parts(value, other)
    return None if found is None else Row("", found).text


@pytest.mark.parametrize(
    ("value", "other", "shown"),
    [
        (3, None, "3"),
        (3, 4, ">3<"),
        (0.123456, None, "0.1235"),
        (2.0, None, "2."),
        ("abcdef", "abcxyz", "'abc' >'def'<"),
        ([1, 2, 3], [1, 5, 3], "[1, >2<, 3]"),
        ([1, 2, 3], [1, 2], "[1, 2, >3<]"),
        ((1, [2, 3]), (1, [2, 4]), "(1, [2, >3<])"),
        (torch.tensor([[1.0, 2.0], [3.0, 4.0]]), None, "1.  2.\n3.  4."),
        (torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0]), " 1.  >2.5<"),
        (torch.tensor([True, False]), torch.tensor([True, True]), " True  >False<"),
        (torch.tensor(1.5), torch.tensor(1.5), "1.5"),
        ([torch.tensor([1.0]), 2], None, "[[1.], 2]"),
        ([torch.eye(2, dtype=torch.int64)], None, "[[[1, 0], [0, 1]]]"),
        ([torch.eye(2)], [torch.ones(2, 2)], "[[[1., >0.<], [>0.<, 1.]]]"),
        (np.array([1, 2]), None, "1  2"),
        ([[1], [2]].__getitem__, None, "[[1], [2]].__getitem__"),
        (len, None, "len"),
        (lambda x: x, None, "a function"),
        (torch.zeros(3, 3, 3), None, None),
        (torch.zeros(100), None, None),
        (list(range(13)), None, None),
        ("x" * 200, None, None),
    ],
)
def test_a_value_with_its_differences_marked(value, other, shown):
    assert text(value, other) == shown


def test_a_table_shows_what_came_in_yours_and_the_expected():
    rows = table({"ids": [1, 2], "large": torch.zeros(50, 50)}, [3], [4])
    assert plain_table(rows, "  ") == (
        "  ids       [1, 2]\n"
        "  large     float32 of shape (50, 50)\n"
        "  yours     [>4<]\n"
        "  expected  [>3<]"
    )
    assert table({"ids": [1]}, torch.zeros(99), torch.ones(99)) == ()


def test_in_a_notebook_marks_are_more_than_a_colour_and_all_is_escaped():
    rows = table({"text": "<b>"}, "a<", "a>")
    html = Card("wrong", "no", "no", table=rows, link=("Read <again>", "../x.ipynb#A")).to_html()
    assert "&lt;b&gt;" in html
    assert "text-decoration:underline" in html
    assert '<a href="../x.ipynb#A">Read &lt;again&gt;</a>' in html


def test_odd_things_are_survived():
    class Odd:
        def __repr__(self):
            raise ValueError("no")

    assert parts(Odd()) is None
    assert table({}, 1, Odd()) == ()


def test_how_much_there_is_to_read():
    assert size(torch.zeros(3, 4)) == 12
    assert size("abc") < size(["abc", "abc"]) < size({"a": ["abc"] * 5})
    assert size((1, 2)) == 3
