from typing import NamedTuple

import numpy as np
import pytest
import torch

from llmcourse.checks.compare import difference


class Pair(NamedTuple):
    output: object
    weights: object


NAN = float("nan")


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (torch.tensor([1.0, NAN]), torch.tensor([1.0 + 1e-6, NAN])),
        (torch.tensor([1, 2]), torch.tensor([1, 2])),
        (torch.tensor(1e8), torch.tensor(1e8 + 64)),
        (torch.tensor([float("inf")]), torch.tensor([float("inf")])),
        (torch.zeros(2, requires_grad=True), torch.zeros(2)),
        (np.array([1.0, 2.0]), np.array([1, 2.0])),
        (np.array(["a"]), np.array(["a"])),
        (1.5, torch.tensor(1.5)),
        (1.5, torch.tensor(1.5, requires_grad=True)),
        (1.5, np.float32(1.5)),
        (3, 3.0),
        (NAN, NAN),
        (float("inf"), float("inf")),
        (True, torch.tensor(True)),
        (True, np.bool_(True)),
        ("same", "same"),
        ({"a": [1, (2.0, "b")]}, {"a": [1, (2.0, "b")]}),
        (Pair(1, 2), (1, 2)),
        ({1, 2}, frozenset({1, 2})),
        (None, None),
    ],
)
def test_what_is_the_same(expected, actual):
    assert difference(expected, actual) is None


@pytest.mark.parametrize(
    ("expected", "actual", "said"),
    [
        (torch.zeros(2), torch.tensor([0.0, 2e-5]), "is 2e-05 at [1]; expected 0"),
        (torch.zeros(2).double(), torch.tensor([0.0, 2e-10]).double(), "at [1]"),
        (torch.zeros(2), torch.zeros(2).double(), "dtype torch.float64; expected torch.float32"),
        (torch.zeros(2), torch.zeros(2, 1), "shape (2, 1); expected (2,)"),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), "is 3 at [1]; expected 2 (1 of 2"),
        (torch.tensor([True]), torch.tensor([False]), "is False at [0]; expected True"),
        (torch.tensor([0.5]), torch.tensor([0.50002]), "is 0.5000200"),
        (1.5, 1.6, "is 1.6; expected 1.5"),
        (1000000, 1000001, "is 1000001; expected 1000000"),
        (1.5, "1.5", "is a str where a number is expected"),
        (1, True, "is a bool where a number is expected"),
        (1.5, torch.zeros(2), "is a tensor where a number is expected"),
        (True, 1, "is an int where True or False is expected"),
        (True, False, "is False; expected True"),
        ("hello", "help", "is 'help'; expected 'hello' (the same up to position 3)"),
        ("ab", b"ab", "is a bytes where a str is expected"),
        ({"a": 1}, {}, "lacks 'a'"),
        ({}, {"b": 1}, "should not have 'b'"),
        ({"a": 1}, {"a": 2}, "in ['a']: is 2; expected 1"),
        ({"a": 1}, [1], "is a list where a dict is expected"),
        ([1, 2], [1], "has length 1; expected 2"),
        ([1, 2], (1, 2), "is a tuple where a list of 2 is expected"),
        ((1, 2), torch.zeros(2), "is a tensor where a tuple of 2 is expected"),
        ([[1], [2]], [[1], [3]], "in [1], [0]: is 3; expected 2"),
        (Pair(1, 2), (1, 3), "in weights: is 3; expected 2"),
        ({1, 2}, {1}, "lacks 2"),
        ({1}, {1, 2}, "should not have 2"),
        ({1}, [1], "is a list where a set is expected"),
        (np.zeros(2), [0.0, 0.0], "is a list where a numpy array is expected"),
        (np.zeros(2), torch.zeros(2), ".numpy() makes it one"),
        (None, 3, "is 3; expected None"),
        (torch.zeros(2), torch.Tensor, "is the class Tensor where a tensor is expected"),
    ],
)
def test_what_is_said_of_a_difference(expected, actual, said):
    assert said in difference(expected, actual)


def test_letters_are_for_tensors_of_that_many_axes():
    expected, actual = torch.zeros(2, 3), torch.zeros(2, 3)
    actual[1, 2] = 7
    assert "at [T=1, S=2]" in difference(expected, actual, axes="T S")
    assert "at [1, 2]" in difference(expected, actual, axes="B T S")
    both = difference(Pair(expected, expected), Pair(expected, actual), axes=("T K", "T S"))
    assert both.startswith("in weights: is 7 at [T=1, S=2]")


def test_a_tolerance_of_zero_is_exact():
    value = torch.tensor([1.0])
    assert difference(value, value + 1.2e-7, tolerance=0.0) is not None
    assert difference(value, value.clone(), tolerance=0.0) is None


def test_nothing_that_the_value_does_escapes():
    class Hostile:
        def __eq__(self, other):
            raise RuntimeError("hands off")

        __hash__ = None

    assert "cannot be compared (RuntimeError)" in difference(object(), Hostile())
