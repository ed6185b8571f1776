import numpy as np
from small_runs import history_of

from llmcourse.data.packing import pack_rows
from llmcourse.runs.history import RunHistory
from llmcourse.runs.log import Baseline
from llmcourse.viz import diagnosis as clinic


def test_a_chart_shows_both_losses_the_level_and_the_norm():
    left, right = clinic.chart(history_of(2.0), title="T").axes
    training, held_out, level = left.lines
    assert training.get_ydata()[0] == 6
    assert list(held_out.get_xdata()) == [10, 20, 30]
    assert level.get_ydata()[0] == 5  # 2.5 bits at two nats a bit
    assert right.lines[0].get_ydata()[-1] == 31
    assert right.get_yscale() == "log"


def test_a_level_beyond_the_losses_is_left_out():
    records = [Baseline(step=0, unigram_bits_per_byte=9.0), *history_of(2.0).records[1:]]
    left, _ = clinic.chart(RunHistory(records)).axes
    assert len(left.lines) == 2
    assert not left.texts


def test_a_cured_run_lies_behind():
    left, _ = clinic.chart(history_of(5.0), cured=history_of(2.0)).axes
    assert [line.get_label() for line in left.lines[:3]] == ["cured", "training", "held-out"]
    assert left.lines[0].get_ydata()[-1] < left.lines[1].get_ydata()[-1]


def test_norms_of_zero_can_be_drawn():
    assert clinic.chart(history_of(2.0, norm=0.0)).axes[1].get_yscale() == "linear"


def test_the_explorer_names_the_cause():
    shown = clinic.explorer({"a": history_of(2.0), "b": history_of(5.8)})
    before = bytes(shown.picture.value)
    shown.controls["run"].value = "b"
    assert bytes(shown.picture.value) != before


def test_a_ward_has_a_bed_for_each():
    beds = clinic.ward({name: history_of(2.0) for name in "ABCDE"}).axes
    assert [ax.get_title(loc="left") for ax in beds if ax.get_visible()] == list("ABCDE")
    assert len(beds[0].lines) == 3


def test_drift_of_the_same_is_zero():
    ax = clinic.drift({"same": [2.0, 1.0], "other": [2.5, 1.0]}, [2.0, 1.0], start=10)
    assert [list(line.get_ydata()) for line in ax.lines] == [[0, 0], [0.5, 0]]
    assert list(ax.lines[0].get_xdata()) == [11, 12]


def test_a_block_for_each_document_and_each_padding():
    rows = pack_rows([np.arange(3), np.arange(2), np.arange(6)], 6)
    ax = clinic.packed(rows)
    widths = sorted(patch.get_width() for patch in ax.patches)
    assert widths == [1, 2, 3, 6]
