import pytest

from llmcourse.errors import UserError
from llmcourse.optim.schedules import SCHEDULES, constant, linear, one_cycle, warmup_cosine, wsd
from llmcourse.viz import schedules


def test_curves_are_the_schedules():
    ax = schedules.schedule_curves({"falls": linear(), "stays": constant()}, title="Said")
    falls, stays = ax.lines
    assert falls.get_ydata()[[0, 100, -1]] == pytest.approx([1, 0.75, 0])
    assert set(stays.get_ydata()) == {1.0}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["falls", "stays"]
    assert ax.get_title(loc="left") == "Said"
    assert schedules.schedule_curves({"alone": constant()}).get_legend() is None


def test_mean_rates_that_are_known():
    assert schedules.mean_rate(constant()) == 1
    assert schedules.mean_rate(linear()) == pytest.approx(0.5)
    assert schedules.mean_rate(warmup_cosine(warmup=0.0, final=0.0)) == pytest.approx(0.5)
    assert schedules.mean_rate(wsd(warmup=0.0, decay=0.2), 10_000) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("kind", "twin"),
    [
        ("constant", constant()),
        ("linear", linear(warmup=0.1, final=0.3)),
        ("cosine", warmup_cosine(warmup=0.1, final=0.3)),
        ("wsd", wsd(warmup=0.1, decay=0.4, final=0.3)),
        ("one_cycle", one_cycle(peak_at=0.1, final=0.3)),
    ],
)
def test_options_reach_the_schedule_of_a_name(kind, twin):
    made = schedules.schedule_of(kind, warmup=0.1, decay=0.4, final=0.3)
    assert [made(i / 20) for i in range(21)] == [twin(i / 20) for i in range(21)]


def test_a_name_that_is_none():
    with pytest.raises(UserError, match="no schedule is called 'cosin'; did you mean 'cosine'"):
        schedules.schedule_of("cosin", warmup=0.1, decay=0.4, final=0.3)


def test_the_picture_says_what_share_of_the_way():
    drawn = schedules.schedule("linear", warmup=0.0, decay=0.2, final=0.0)
    assert drawn.axes[0].get_title(loc="left") == "linear: on average 50% of the peak"


def test_the_explorer_redraws_and_says_what_does_not_fit():
    explorer = schedules.schedule_explorer()
    before = explorer.picture.value
    for kind in SCHEDULES:
        explorer.controls["kind"].value = kind
        assert explorer.message.value == ""
    assert explorer.picture.value != before
    explorer.controls["kind"].value = "wsd"
    explorer.controls["decay"].value = 0.95
    explorer.controls["warmup"].value = 0.5
    assert "leave room for warmup" in explorer.message.value
