import pytest

from llmcourse.errors import UserError
from llmcourse.planning.laws import PUBLISHED, Law, Rung
from llmcourse.viz.scaling import CARDS, TIMES, amount, budget_curve, budget_explorer, ladder

LAW = Law(E=0.3, A=1400, alpha=0.68, B=4400, beta=0.77)
RUNGS = [Rung(n, d, LAW.loss(n, d)) for n in (2e4, 6e4) for d in (2e4, 8e4)]


def test_a_ladder_shows_runs_law_and_what_was_held_out():
    ax = ladder(RUNGS, LAW, held_out=[Rung(3e5, 4e4, 1.8)], title="A ladder")
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        "20 thousand parameters",
        "60 thousand parameters",
        "300 thousand parameters, held out",
    ]
    curves = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
    assert len(curves) == 3  # one for each size
    points = next(line for line in ax.get_lines() if line.get_label() == labels[0])
    assert points.get_xdata().tolist() == [2e4, 8e4]
    assert points.get_ydata().tolist() == [LAW.loss(2e4, d) for d in (2e4, 8e4)]
    assert ax.get_title(loc="left") == "A ladder"


def test_the_best_of_a_budget_is_marked():
    ax = budget_curve(PUBLISHED, 1e19)
    curve, dot = ax.get_lines()
    best = PUBLISHED.best_split(1e19)
    assert dot.get_xdata()[0] == best.parameters
    assert dot.get_ydata()[0] == pytest.approx(min(curve.get_ydata()), abs=1e-4)
    assert amount(best.parameters) in ax.texts[0].get_text()
    with pytest.raises(UserError, match="flops=0"):
        budget_curve(PUBLISHED, 0)


def test_the_explorer_draws_every_card_and_time():
    explorer = budget_explorer()
    first = explorer.picture.value
    for card in CARDS:
        for time in TIMES:
            explorer.controls["card"].value, explorer.controls["time"].value = card, time
            assert explorer.message.value == ""
    assert explorer.picture.value != first


@pytest.mark.parametrize(
    ("number", "words"),
    [(1.23e12, "1.23 trillion"), (4.95e8, "495 million"), (2e3, "2 thousand"), (12.0, "12")],
)
def test_amounts(number, words):
    assert amount(number) == words


def test_no_amount():
    with pytest.raises(UserError, match="above 0"):
        amount(0)
