"""A budget: what counts and what is kept for the end, by a clock that is passed in."""

import inspect
import itertools
import json

import pytest
from small_runs import log_of, run, small

from llmcourse.checksums import write_checksums
from llmcourse.errors import UserError
from llmcourse.runs.history import RunHistory
from llmcourse.train.budget import REPORT_SECONDS, Budget
from llmcourse.train.checkpoint import TrainState
from llmcourse.train.loop import is_over, progress, seconds_for_steps, train


class Clock:
    """Goes on by what it is told, at each look."""

    def __init__(self, *ticks: float) -> None:
        self.now, self.ticks = 0.0, iter(ticks)

    def __call__(self) -> float:
        self.now += next(self.ticks)
        return self.now


def laps(budget: Budget, kind: str, n: int) -> None:
    for _ in range(n):
        budget.lap(kind)


def test_laps_add_up_to_what_was_used_before():
    budget = Budget(TrainState(seconds=100.0), Clock(5, 1, 2, 3))
    assert budget.state.seconds == 100
    laps(budget, "step", 3)
    assert budget.state.seconds == 106


def test_a_suspended_process_counts_as_the_median():
    budget = Budget(TrainState(), Clock(0, 1, 2, 3, 4000, 2, 99, 101))
    laps(budget, "step", 4)
    assert budget.state.seconds == 1 + 2 + 3 + 2
    laps(budget, "step", 2)
    assert budget.state.seconds == 8 + 2 + 99  # less than 50 times the median
    budget.lap("step")
    assert budget.state.seconds == 8 + 2 + 99 + 2


def test_an_evaluation_is_no_stall_and_a_clock_set_back_counts_nothing():
    budget = Budget(TrainState(), Clock(0, 1, 1, 1, 80, -500, 1))
    laps(budget, "step", 3)
    budget.lap("evaluation")
    assert budget.state.seconds == 83
    laps(budget, "step", 1)
    assert budget.state.seconds == 83
    budget.lap("step")
    assert budget.state.seconds == 84


def test_what_the_end_needs():
    budget = Budget(TrainState(), Clock(0, 4, 6, 2, 2, 1))
    laps(budget, "evaluation", 2)
    assert budget.state.reserve == 6 + 6 + REPORT_SECONDS  # a checkpoint is not known yet
    laps(budget, "step", 2)
    budget.lap("checkpoint")
    assert budget.state.reserve == 6 + 1 + REPORT_SECONDS + 1


def test_the_schedule_is_through_when_the_end_begins(tmp_path):
    settings = small(tmp_path, budget="100s", steps=10**6)
    state = TrainState(step=10, seconds=90.0)
    state.reserve = 10.0
    assert seconds_for_steps(state, settings) == 90
    assert progress(state, settings) == 1
    assert is_over(state, settings)
    state.seconds = 45.0
    assert progress(state, settings) == 0.5
    assert not is_over(state, settings)
    state.reserve = 99.0  # at the least half of a budget is for steps
    assert seconds_for_steps(state, settings) == 50


def seconds_by(step: float, evaluation: float, checkpoint: float, clock: list[float]):
    """A clock for a run: how far it goes on depends on what the loop has just done."""
    clock.append(0.0)

    def look() -> float:
        frame = inspect.currentframe()
        assert frame is not None
        caller = frame.f_back
        assert caller is not None
        kind = caller.f_locals.get("kind")
        clock[0] += {"step": step, "evaluation": evaluation, "checkpoint": checkpoint}.get(kind, 0)
        return clock[0]

    return look


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "evaluation", "checkpoint"), [(1.0, 4.0, 1.0), (0.3, 2.0, 0.1), (1.7, 1.0, 2.5)]
)
def test_a_run_ends_within_its_time(step, evaluation, checkpoint, tmp_path):
    """60 seconds by a made-up clock: all told between 57 and 63, with the schedule finished."""
    clock: list[float] = []
    settings = small(
        tmp_path / "run", budget="60s", steps=10**6, save_every=15, evaluate_every=15, log_every=1
    )
    result = train(settings, seconds_by(step, evaluation, checkpoint, clock))
    assert 57 <= clock[0] + REPORT_SECONDS <= 63
    assert result.seconds == pytest.approx(clock[0])
    rates = [r["lr"] for r in log_of(tmp_path / "run") if r["kind"] == "train"]
    assert rates[-1] < 0.1 * max(rates)
    history = RunHistory.read(tmp_path / "run")
    assert history.complete
    assert history.evaluations[-1].step == result.steps


def test_a_clock_that_jumps_uses_no_budget(tmp_path):
    """A day forwards in the tenth lap, and back in the twentieth: all steps are taken."""
    looks = itertools.count()

    def clock() -> float:
        look = next(looks)
        return 0.01 * look + 86_400 * (10 <= look < 20)

    settings = small(tmp_path / "run", budget="60s", save_every=100, evaluate_every=100)
    result = train(settings, clock)
    assert next(looks) > 20
    assert result.steps == settings.steps
    assert result.seconds < 1


@pytest.mark.slow
def test_time_before_an_interruption_counts(tmp_path):
    clock: list[float] = []
    changes = {"budget": "40s", "save_every": 5, "evaluate_every": 5, "log_every": 1}
    run(tmp_path / "run", **{**changes, "budget": None}, steps=10)  # real seconds: hardly any
    state_file = next((tmp_path / "run" / "checkpoints").glob("*10/state.json"))
    values = json.loads(state_file.read_text())
    values["seconds"] = 30.0
    state_file.write_text(json.dumps(values))
    write_checksums(state_file.parent)
    settings = small(tmp_path / "run", **changes, steps=10**6, resume=True)
    result = train(settings, seconds_by(1.0, 1.0, 1.0, clock))
    assert 38 <= result.seconds + REPORT_SECONDS <= 42
    assert 8 <= clock[0] <= 12


def test_a_ramp_grows_the_batch_by_whole_micro_batches(tmp_path):
    run(tmp_path / "run", steps=10, micro_batch_size=2, ramp=0.5, log_every=1, evaluate_every=10)
    tokens = [r["tokens"] for r in log_of(tmp_path / "run") if r["kind"] == "train"]
    rows = [(b - a) // 32 for a, b in itertools.pairwise([0, *tokens])]
    # (step + ½) / 10 of the run, twice that of the ramp, of four micro-batches of two rows
    assert rows == [2, 4, 4, 6, 8, 8, 8, 8, 8, 8]


def test_a_ramp_without_micro_batches_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"ramp=0\.5 needs micro-batches"):
        run(tmp_path / "run", ramp=0.5)


@pytest.mark.slow
def test_a_micro_batch_that_fits_changes_nothing(tmp_path):
    plain = run(tmp_path / "plain", steps=6, model__dropout=0.0)
    auto = run(tmp_path / "auto", steps=6, model__dropout=0.0, micro_batch_size="auto")
    assert auto.score is not None
    assert plain.score is not None
    assert auto.score.bits_per_byte == pytest.approx(plain.score.bits_per_byte, abs=1e-4)
