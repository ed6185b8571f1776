"""The pictures of who holds what say what the ranks really hold."""

import numpy as np
import pytest

from llmcourse.parallel.data_parallel import Exchange
from llmcourse.parallel.memory import zero_memory
from llmcourse.parallel.simulate import Forecast, Mixture
from llmcourse.viz import sharding


def test_a_ring_shows_every_count_and_frames_what_changed():
    first = np.ones((3, 3), dtype=int)
    then = first.copy()
    then[1, 2] = 2
    drawn = sharding.ring_steps([first, then], titles=["before", "after"])
    assert [ax.get_title(loc="left") for ax in drawn.axes] == ["before", "after"]
    numbers = [text.get_text() for text in drawn.axes[1].texts]
    assert sorted(numbers) == ["1"] * 8 + ["2"]
    assert [len(ax.patches) for ax in drawn.axes] == [0, 1]
    frame = drawn.axes[1].patches[0]
    assert (frame.get_x() + 0.5, frame.get_y() + 0.5) == (2, 1)  # chunk 2 of rank 1


@pytest.mark.parametrize("n", [2, 4])
def test_ranks_hold_everything_together_and_what_the_way_says_alone(n):
    for way in sharding.WAYS:
        held = [sharding.held_by(way, rank, n) for rank in range(n)]
        copies = sum(model for _, model in held)
        readers = sum(batch for batch, _ in held)
        # Shared out means held once; what is not shared out lies on every rank.
        assert np.all(copies == (n if way == "data parallel" else 1)), way
        assert np.all(readers == (1 if way in ("data parallel", "ZeRO 3") else n)), way
    layers = sharding.held_by("pipeline", 1, n)[1]
    assert layers.sum(axis=1).tolist() == [0, n, *[0] * (n - 2)]
    pieces = sharding.held_by("tensor parallel", 1, n)[1]
    assert pieces.sum(axis=0).tolist() == [0, n, *[0] * (n - 2)]


def test_the_map_has_a_panel_for_each_rank_and_way():
    drawn = sharding.holdings(("data parallel", "pipeline"), 3)
    assert len(drawn.axes) == 6
    assert [ax.get_title(loc="left") for ax in drawn.axes[:3]] == ["rank 0", "rank 1", "rank 2"]
    assert "layer by layer" in drawn.legends[0].get_texts()[1].get_text()
    with pytest.raises(KeyError):
        sharding.held_by("magic", 0, 2)


@pytest.mark.parametrize("n", [2, 4])
def test_columns_and_rows_are_named_and_numbered(n):
    ax = sharding.column_and_row(n, title="a pair")
    words = [text.get_text() for text in ax.texts]
    assert [words.count(str(rank)) for rank in range(n)] == [3] * n  # up, H and down
    assert words.count("all") == 2
    assert "up  [D, F]" in words
    assert ax.get_title(loc="left") == "a pair"


def test_bars_of_memory_say_their_totals():
    memories = {f"stage {k}": zero_memory(10**9, 4, k) for k in (0, 3)}
    ax = sharding.memory_bars(memories, limit=8e9)
    assert [text.get_text().strip() for text in ax.texts] == ["16 GB", "4 GB"]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(memories)
    assert sum(bar.get_width() for bar in ax.patches[:3]) == pytest.approx(16)
    assert ax.lines[0].get_xdata()[0] == 8


def test_buckets_are_drawn_from_when_they_begin_to_when_they_end():
    exchanges = [Exchange(("b",), 1, 5.0, 5.001, 5.003), Exchange(("a",), 0, 5.002, 5.003, 5.004)]
    ax = sharding.bucket_timeline(exchanges)
    spans = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert np.allclose(spans, [(1, 3), (3, 4)])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["bucket 0", "bucket 1"]


def test_a_step_is_as_long_as_its_parts():
    one = Forecast(Mixture(data=2), 0.0, 2.0, 0.5, 1.0, 0.25, 0.25, 0.3)
    ax = sharding.step_bars({"mine": one})
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(2.0)  # its computation is 1
    assert [text.get_text().strip() for text in ax.texts] == ["4 s"]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["compute", "bubble", "tensor", "pipeline", "data"]
