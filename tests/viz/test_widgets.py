import base64
import threading
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
from IPython.core.events import EventManager, available_events

from llmcourse.errors import UserError
from llmcourse.viz import style, widgets
from llmcourse.viz.widgets import Explorer

PNG = b"\x89PNG\r\n"


def line(slope, label="line"):
    """A plot like a chapter's."""
    if slope == 13:
        style.figure()  # left behind, half done
        raise ValueError("13 is <unlucky>")
    drawn, ax = style.figure(width=3, height=2)
    ax.plot([0, 1], [0, slope])
    ax.set(ylim=(0, 20), title=label)
    return drawn


@pytest.fixture
def explorer():
    return Explorer(line, slope=widgets.slider(1, 0, 20), label=widgets.text("up"))


def test_the_first_picture_is_the_default_state(explorer):
    assert bytes(explorer.picture.value) == style.png(line(1, "up"))
    assert explorer.values == {"slope": 1, "label": "up"}


def test_moving_a_slider_redraws(explorer):
    before = bytes(explorer.picture.value)
    explorer.controls["slope"].value = 5
    assert bytes(explorer.picture.value) == style.png(line(5, "up"))
    assert bytes(explorer.picture.value) != before
    explorer.controls["label"].value = "pu"
    assert bytes(explorer.picture.value) == style.png(line(5, "pu"))


def test_an_error_is_shown_and_the_last_good_picture_stays(explorer):
    before = bytes(explorer.picture.value)
    explorer.controls["slope"].value = 13
    assert "ValueError: 13 is &lt;unlucky&gt;" in explorer.message.value
    assert 'role="alert"' in explorer.message.value
    assert bytes(explorer.picture.value) == before
    explorer.controls["slope"].value = 2
    assert explorer.message.value == ""


def test_an_error_in_the_default_state_is_raised():
    with pytest.raises(ValueError, match="unlucky"):
        Explorer(line, slope=widgets.slider(13, 0, 20))


def test_no_figure_is_left_open(explorer):
    mine, _ = style.figure()
    for slope in [*range(13), 13, *range(14, 20)]:  # more than matplotlib's limit of twenty
        explorer.controls["slope"].value = slope
    assert plt.get_fignums() == [mine.number]


def test_a_figure_that_another_thread_opens_meanwhile_stays_open():
    theirs = []

    def draw(slope):
        another = threading.Thread(target=lambda: theirs.append(plt.figure().number))
        another.start()
        another.join()
        drawn, ax = plt.subplots()  # by pyplot, as a reader's own function would
        ax.plot([0, slope])
        return drawn

    explorer = Explorer(draw, slope=widgets.slider(1, 0, 20))
    explorer.controls["slope"].value = 2
    assert plt.get_fignums() == theirs
    assert len(theirs) == 2


def test_pages_without_a_kernel_get_the_picture(explorer):
    bundle, metadata = explorer._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == bytes(explorer.picture.value)
    assert bytes(explorer.picture.value).startswith(PNG)
    assert bundle["text/plain"] == "Explorer(slope=1, label='up')"
    assert set(bundle) == {"image/png", "text/plain"}
    assert metadata == {"image/png": {"width": 300, "height": 200}}


def test_the_last_picture_takes_the_place_of_the_first(explorer, monkeypatch):
    renewed = []
    monkeypatch.setattr("llmcourse.notebook.show_live", lambda make, still: make())
    monkeypatch.setattr("llmcourse.notebook.Still.renew", lambda _, *bundle: renewed.append(bundle))
    explorer._ipython_display_()
    assert renewed == []
    explorer.controls["slope"].value = 3
    assert renewed == [explorer._repr_mimebundle_()]
    assert renewed[0][0]["text/plain"] == "Explorer(slope=3, label='up')"


def test_controls_are_named(explorer):
    named = Explorer(lambda n_heads: line(n_heads), n_heads=widgets.choice([1, 2], 2))
    assert named.controls["n_heads"].description == "n heads"
    assert explorer.children[-1] is explorer.picture


def test_controls_keep_the_type_of_their_numbers():
    assert type(widgets.slider(1, 0, 4).value) is int
    assert type(widgets.slider(1.0, 0, 4).value) is float
    assert type(widgets.slider(1, 0, 4, step=0.5).value) is float
    assert widgets.slider(1.0, 0.0, 4.0).step == pytest.approx(0.04)
    assert widgets.choice(range(3)).value == 0
    assert widgets.choice([("one", 1), ("two", 2)], 2).value == 2


def test_typing_waits_for_enter():
    assert widgets.text("x").continuous_update is False


def test_a_move_draws_once(explorer, drawings):
    """A hand is quicker than a picture that is drawn twice."""
    for slope in (3, 4, 5):
        explorer.controls["slope"].value = slope
    assert len(drawings) == 3


class Hand:
    """A drawing that waits inside until it is let go, so that a hand can be faster."""

    def __init__(self):
        self.inside, self.go = threading.Event(), threading.Event()
        self.drawn, self.busy = [], threading.Lock()
        self.explorer = Explorer(self.draw, slope=widgets.slider(0, 0, 20))

    def draw(self, slope):
        assert self.busy.acquire(blocking=False), "two drawings at once"
        try:
            self.drawn.append(slope)
            if slope == 1:
                self.inside.set()
                assert self.go.wait(30)
            return line(slope)
        finally:
            self.busy.release()

    def move(self, *slopes):
        for slope in slopes:
            self.explorer.controls["slope"].value = slope


def test_the_last_value_wins_and_what_came_between_is_not_drawn():
    hand = Hand()
    first = threading.Thread(target=hand.move, args=(1,))
    first.start()
    assert hand.inside.wait(30)
    others = [threading.Thread(target=hand.move, args=range(2, 12)) for _ in range(2)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(30)  # nobody waits for the drawing
        assert not thread.is_alive()
    hand.go.set()
    first.join(30)
    assert hand.drawn == [0, 1, 11]
    assert bytes(hand.explorer.picture.value) == style.png(line(11))
    assert hand.explorer.message.value == ""


def test_two_explorers_draw_one_after_the_other():
    inside, most = [], []

    def draw(slope):
        inside.append(slope)
        most.append(len(inside))
        drawn = line(slope)
        inside.pop()
        return drawn

    explorers = [Explorer(draw, slope=widgets.slider(0, 0, 20)) for _ in range(2)]

    def play(explorer):
        for slope in range(1, 8):
            explorer.controls["slope"].value = slope

    threads = [threading.Thread(target=play, args=(explorer,)) for explorer in explorers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(most) == {1}
    for explorer in explorers:
        assert bytes(explorer.picture.value) == style.png(line(7))


def test_a_control_that_the_drawing_moves_is_drawn_once(drawings):
    top = widgets.slider(9, 0, 9)

    def draw(high, at):
        top.max = high
        return line(min(at, high))

    explorer = Explorer(draw, high=widgets.slider(9, 0, 9), at=top)
    drawings.clear()
    explorer.controls["high"].value = 4
    assert explorer.values == {"high": 4, "at": 4}
    assert bytes(explorer.picture.value) == style.png(line(4))
    assert explorer.message.value == ""


def test_an_interrupt_does_not_stop_the_explorer(explorer, monkeypatch):
    def interrupted(**values):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(explorer, "_draw", interrupted)
        with pytest.raises(KeyboardInterrupt):
            explorer.controls["slope"].value = 3
    explorer.controls["slope"].value = 4
    assert bytes(explorer.picture.value) == style.png(line(4, "up"))


def test_a_mistake_of_the_reader_is_told_without_pythons_words(explorer, monkeypatch):
    def asks(**values):
        raise UserError("type a word")

    monkeypatch.setattr(explorer, "_draw", asks)
    explorer.controls["slope"].value = 3
    assert ">type a word</div>" in explorer.message.value


def test_what_a_notebook_does_after_a_message_waits_for_a_drawing(live, monkeypatch):
    events = EventManager(None, available_events)
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(events=events))
    order: list[str] = []
    drawing, go_on = threading.Event(), threading.Event()

    def draw(level):
        if level:
            drawing.set()
            assert go_on.wait(60)
            order.append("drawn")
        return style.figure()[0]

    explorer = Explorer(draw, level=widgets.slider(0, 0, 1))
    events.register("post_execute", lambda: order.append("shown"))
    Explorer(draw, level=widgets.slider(0, 0, 1))  # takes in what was registered since
    hand = threading.Thread(target=lambda: setattr(explorer.controls["level"], "value", 1))
    other = threading.Thread(target=lambda: events.trigger("post_execute"))
    hand.start()
    assert drawing.wait(60)
    other.start()
    other.join(0.2)
    assert order == []
    go_on.set()
    for thread in (hand, other):
        thread.join(60)
    assert order == ["drawn", "shown"]
