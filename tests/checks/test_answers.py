import math

import numpy as np
import pytest
import torch

from llmcourse.checks.answers import choice, plot_data, value


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMCOURSE_HOME", str(tmp_path))


@pytest.fixture
def entropy():
    @value("00", rel=0.1, unit="nats")
    def uniform_entropy():
        return math.log(27)

    @uniform_entropy.mistake("in bits", hint="Use the natural logarithm.")
    def _():
        return math.log2(27)

    return uniform_entropy


@pytest.mark.parametrize("answer", [math.log(27), 3.5, torch.tensor(3.1), np.float32(3.3)])
def test_a_number_within_the_band_passes(entropy, answer):
    verdict = entropy.verdict(answer)
    assert verdict.status == "passed"
    assert verdict.text == "✓ uniform_entropy: right, 3.3 nats"


def test_an_unset_name_is_open(entropy, capsys):
    entropy(None)
    assert capsys.readouterr().out == "· uniform_entropy: not attempted yet\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (2.0, "your answer of 2 nats is too small"),
        (40, "your answer of 40 nats is too large"),
        (float("nan"), "too"),
        ("three", "is a str where a number is expected"),
        (True, "is a bool where a number is expected"),
        (torch.zeros(3), "is a tensor where a number is expected"),
    ],
)
def test_a_wrong_number_hears_the_direction_but_not_the_truth(entropy, answer, said):
    verdict = entropy.verdict(answer)
    assert verdict.status == "wrong"
    assert said in verdict.text
    assert "3.29" not in verdict.text


def test_a_known_wrong_number_hears_its_hint_even_rounded(entropy):
    for answer in (math.log2(27), 4.75):
        assert entropy.verdict(answer).mistake.name == "in bits"


def test_small_numbers_are_told_apart_as_large_ones_are():
    @value("00")
    def share():
        return 0.5

    share.mistake("a thousandth", hint="Too small.")(lambda: 0.0005)
    share.mistake("a millionth", hint="Far too small.")(lambda: 0.0000005)
    assert share.verdict(0.0005).mistake.name == "a thousandth"
    assert share.verdict(0.0000005).mistake.name == "a millionth"
    assert share.verdict(0.00052).mistake is None


def test_a_small_number_is_not_taken_for_another():
    @value("00")
    def share():
        return 0.02

    @share.mistake("half of it", hint="Both halves count.")
    def _():
        return 0.01

    assert share.verdict(0.01).mistake.name == "half of it"
    assert share.verdict(0.012).mistake is None


def test_values_that_are_no_numbers_are_compared_exactly():
    @value("00")
    def pieces():
        return ["a", "b"]

    assert pieces.verdict(["a", "b"]).status == "passed"
    assert "in [1]: is 'c'" in pieces.verdict(["a", "c"]).text


def test_a_plots_data_is_read():
    from matplotlib.figure import Figure

    @value("00", taken=lambda axes: plot_data(axes)["lines"])
    def line():
        axes = Figure().subplots()
        axes.plot([0, 1], [1, 3])
        return axes

    axes = line.handed_in(line.right)
    assert np.array_equal(plot_data(axes)["lines"], [[[0.0, 1.0], [1.0, 3.0]]])
    axes.bar([0, 1], [5, 6])
    axes.imshow(np.eye(2))
    assert line.verdict(axes).status == "passed"
    data = plot_data(axes)
    assert data["bars"][0].tolist() == [5, 6]
    assert data["images"][0].tolist() == [[1, 0], [0, 1]]
    axes.lines[0].set_ydata([1, 4])
    assert line.verdict(axes).status == "wrong"
    assert "cannot use an int here (TypeError: expected matplotlib's Axes" in line.verdict(3).text


def test_a_choice_knows_every_option_and_its_reason():
    which = choice(
        "03", "which_mask", right=("b", "Rows sum to one."), wrong={"a": "No: a.", "c": "No: c."}
    )
    assert which.verdict(None).status == "open"
    assert which.verdict(" B ").text == "✓ which_mask: b is right. Rows sum to one."
    assert which.verdict("c").mistake.hint == "No: c."
    assert "No: c." in which.verdict("c").text
    for odd in ("d", 3, ["a"], torch.zeros(2)):
        assert "choose one of 'a', 'b', 'c'" in which.verdict(odd).text
