import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

from llmcourse.errors import UserError
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.log import Baseline, Evaluation, MetricsLog, Training
from llmcourse.viz import training


@pytest.fixture
def run(tmp_path):
    """The log of a short run, written by the code that writes real ones."""
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    with MetricsLog(directory, tensorboard=False, keep_until_step=None) as log:
        log.write(Baseline(step=0, uniform_bits_per_byte=8.0, unigram_bits_per_byte=4.5))
        for step in (10, 20):
            log.write(Training(step=step, loss=5.0 - step / 10))
            log.write(Evaluation(step=step, loss=1.0, bits_per_byte=4.0 - step / 20))
    return directory.path


def levels(ax):
    return {line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1}


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_baselines_are_drawn_where_they_are_and_named():
    ax = training.loss_curve({"model": [(0, 5.0), (9, 2.0)]}, {"uniform": 5.5, "floor": 1.25})
    assert levels(ax) == {5.5, 1.25}
    assert set(words(ax)) == {"uniform 5.50", "floor 1.25", "model 2.00"}
    assert ax.get_xlabel() == "optimizer steps"
    assert "nats per token" in ax.get_ylabel()


def test_labels_do_not_overlap():
    close = {"a": 1.0, "b": 1.001, "c": 1.002, "d": 9.0}
    ax = training.loss_curve({"model": [(0, 9.0), (9, 1.0)]}, close)
    heights = sorted(text.xy[1] for text in ax.texts)
    assert np.diff(heights).min() > 0.05
    assert len(heights) == 5


def test_long_series_are_smoothed_and_short_ones_are_not():
    noisy = [(step, float(step % 2)) for step in range(200)]
    ax = training.loss_curve({"noisy": noisy, "short": noisy[:10]})
    raw, smooth, short = ax.lines
    assert list(raw.get_ydata()) == [y for _, y in noisy]
    assert np.abs(smooth.get_ydata()[10:] - 0.5).max() < 0.1
    assert list(short.get_ydata()) == [y for _, y in noisy[:10]]


def test_the_running_mean_is_the_mean_of_the_last_values():
    values = np.array([1.0, 3.0, math.nan, 5.0, 8.0])
    expected = [np.nanmean(values[max(0, i - 2) : i + 1]) for i in range(5)]
    assert training._running_mean(values, 3) == pytest.approx(expected, abs=1e-12)
    assert math.isnan(training._running_mean(np.array([math.nan]), 3)[0])


def test_a_run_is_drawn_from_its_log(run):
    ax = training.run_curve(run)
    assert levels(ax) == {8.0, 4.5}
    assert ax.get_title(loc="left") == "From 3.50 to 3.00 bits per byte"
    assert "bits per byte" in ax.get_ylabel()


def test_what_is_not_there_says_so(tmp_path):
    with pytest.raises(UserError, match="folder of a run"):
        training.run_curve(tmp_path / "nowhere")
    with pytest.raises(UserError, match="nothing to draw for 'model'"):
        training.loss_curve({"model": []})


def test_a_loss_that_was_lost_is_a_gap():
    ax = training.loss_curve({"training": [(10, 4.0), (20, math.nan)]}, {"uniform": 6.0})
    ax.figure.canvas.draw()  # no warning, no error


def test_it_draws_on_the_axes_it_is_given():
    _, axes = plt.subplots(1, 2)
    assert training.loss_curve({"one": [(1, 2.0)]}, ax=axes[1], title="Right") is axes[1]
    assert not axes[0].lines
