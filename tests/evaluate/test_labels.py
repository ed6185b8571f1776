import pytest
from sklearn import metrics

from llmcourse.errors import UserError
from llmcourse.evaluate.labels import accuracy, confusion, f1_by_label, macro_f1
from llmcourse.randomness import numpy_rng

RNG = numpy_rng(0, "labels")
RIGHT = [str(label) for label in RNG.integers(0, 4, 200)]
SAID = [str(label) for label in RNG.integers(0, 5, 200)]


def test_the_figures_are_the_librarys():
    assert accuracy(RIGHT, SAID) == pytest.approx(metrics.accuracy_score(RIGHT, SAID))
    assert macro_f1(RIGHT, SAID) == pytest.approx(
        metrics.f1_score(RIGHT, SAID, average="macro", zero_division=0)
    )
    names = sorted(set(RIGHT) | set(SAID))
    theirs = metrics.f1_score(RIGHT, SAID, average=None, labels=names, zero_division=0)
    assert list(f1_by_label(RIGHT, SAID).values()) == pytest.approx(list(theirs))
    table = metrics.confusion_matrix(RIGHT, SAID, labels=names)
    ours = confusion(RIGHT, SAID)
    assert [[ours[a, b] for b in names] for a in names] == table.tolist()


def test_lists_of_unlike_length_are_refused():
    with pytest.raises(UserError, match="2 right labels and 1 given"):
        accuracy(["a", "b"], ["a"])
    with pytest.raises(UserError, match="no labels"):
        accuracy([], [])
