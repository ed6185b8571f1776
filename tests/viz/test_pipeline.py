"""The timeline says who worked on what, and when."""

import pytest

from llmcourse.parallel.pipeline_schedules import one_f_one_b, simulate
from llmcourse.viz.pipeline import pipeline_explorer, pipeline_timeline


@pytest.mark.parametrize("later", [0.0, 50_000.0])
def test_every_pass_has_its_box_and_number(later):
    slots = simulate(one_f_one_b(2, 3))
    moved = [slot._replace(start=slot.start + later, end=slot.end + later) for slot in slots]
    ax = pipeline_timeline(moved, title="1F1B")
    drawn = {
        (box.get_y() + box.get_height() / 2, box.get_x(), box.get_x() + box.get_width())
        for box in ax.patches
    }
    assert drawn == {(slot.rank, slot.start, slot.end) for slot in slots}
    numbers = sorted(text.get_text() for text in ax.texts)
    assert numbers == sorted(str(slot.action.micro_batch) for slot in slots)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["rank 0", "rank 1"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["forward", "backward"]


def test_the_first_rank_is_on_top():
    ax = pipeline_timeline(simulate(one_f_one_b(2, 2)))
    low, high = ax.get_ylim()
    assert low > high


def test_the_explorer_tells_bubble_and_activations():
    explorer = pipeline_explorer(4, 4)
    title = explorer._draw(**explorer.values).axes[0].get_title(loc="left")
    assert title == "1F1B: 43% bubble, 4 in flight at the most"
    gpipe = explorer._draw(schedule="GPipe", stages=4, micro_batches=12).axes[0]
    assert gpipe.get_title(loc="left") == "GPipe: 20% bubble, 12 in flight at the most"
    assert len(gpipe.patches) == 2 * 4 * 12
