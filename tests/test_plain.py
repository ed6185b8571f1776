"""Dataclasses from plain values: what fits is taken, everything else refused by name."""

from dataclasses import asdict, dataclass, field
from typing import Literal

import pytest

from llmcourse.errors import UserError
from llmcourse.plain import from_plain


@dataclass(frozen=True, kw_only=True)
class Leaf:
    size: int
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tree:
    leaf: Leaf = field(default_factory=lambda: Leaf(size=1))
    deep: bool = False


@pytest.mark.parametrize("tree", [Tree(), Tree(leaf=Leaf(size=3, kind="b", name="x"), deep=True)])
def test_what_asdict_writes_comes_back(tree):
    assert from_plain(Tree, asdict(tree)) == tree


def test_a_whole_number_serves_for_a_float():
    assert from_plain(Leaf, {"size": 1, "rate": 2}).rate == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"field root must be a table, not \[\]"),
        ({"leaf": 3}, "field leaf must be a table, not 3"),
        ({"leaff": {}}, "unknown field 'leaff'; did you mean 'leaf'"),
        ({"leaf": {"sise": 1}}, r"unknown field 'leaf\.sise'; did you mean 'size'"),
        ({"leaf": {"size": 1.5}}, r"leaf\.size=1\.5 is not of type"),
        ({"leaf": {"size": True}}, r"leaf\.size=True is not of type"),
        ({"leaf": {"size": 1, "rate": True}}, r"leaf\.rate=True is not of type"),
        ({"leaf": {"size": 1, "kind": "c"}}, r"leaf\.kind='c' is not of type"),
        ({"leaf": {"size": 1, "name": 5}}, r"leaf\.name=5 is not of type"),
        ({"leaf": {}}, "fields are missing: .*'size'"),
        ({"deep": 1}, "deep=1 is not of type"),
    ],
)
def test_everything_else_is_refused(values, message):
    with pytest.raises(UserError, match=message):
        from_plain(Tree, values)
