"""The plan: what it chooses, says, refuses, and that its command runs."""

import dataclasses
import shlex

import pytest
import torch
from small_runs import small

from llmcourse.errors import UserError
from llmcourse.planning.recorded import LADDERS
from llmcourse.train import calibrate as calibration
from llmcourse.train.__main__ import main, parse
from llmcourse.train.calibrate import Speed, calibrate, flops_at, speed_of_steps
from llmcourse.train.plan import KEPT_BACK, MOST_EPOCHS, SHAPES, make_plan, unique_tokens
from llmcourse.train.plan_text import command_of, told
from llmcourse.train.presets import laptop, tiny

SPEEDS = [Speed(360_896, 1.6e6, 5000.0), Speed(3_400_000, 22e6, 500.0)]


def asked(budget: str | None, **changes):
    return dataclasses.replace(laptop(), budget=budget, device="cpu", **changes)


def test_speeds_are_interpolated_and_held_beyond():
    small_one, large = SPEEDS
    assert flops_at(SPEEDS, 1.6e6) == pytest.approx(small_one.flops)
    assert flops_at(SPEEDS, 22e6) == pytest.approx(large.flops)
    middle = (1.6e6 * 22e6) ** 0.5
    assert flops_at(SPEEDS, middle) == pytest.approx((small_one.flops * large.flops) ** 0.5)
    assert flops_at(SPEEDS, 1e3) == pytest.approx(small_one.flops)
    assert flops_at(SPEEDS, 1e12) == pytest.approx(large.flops)


@pytest.mark.slow
def test_a_longer_budget_buys_a_larger_model_and_a_lower_loss():
    plans = [make_plan(asked(budget), SPEEDS, 8e9) for budget in ("5m", "30m")]
    short, long = plans
    assert short.best.parameters < long.best.parameters
    assert short.best.loss > long.best.loss
    for plan, seconds in zip(plans, (300, 1800), strict=True):
        best = plan.best
        assert best.seconds <= seconds * (1 - KEPT_BACK)
        speed = flops_at(SPEEDS, best.flops_per_token) / best.flops_per_token
        assert best.tokens == pytest.approx(best.seconds * speed)
        assert plan.interval[0] < best.loss < plan.interval[1]
        assert all(other.loss >= best.loss for other in plan.others)


def test_the_plan_says_what_it_chose():
    plan = make_plan(asked("10m"), SPEEDS, 8e9)
    said = told(plan)
    for word in ("machine", "model", "tokens", "memory", "time", "loss", "why", "run it"):
        assert any(line.startswith(word) for line in said.splitlines())
    assert f"{plan.best.parameters:,} parameters" in said
    assert "nine of ten" in said
    assert max(len(line) for line in said.splitlines()[:-1]) <= 88


def test_the_command_asks_for_what_was_planned():
    plan = make_plan(asked("10m"), SPEEDS, 8e9)
    words = shlex.split(command_of(plan.best.settings))
    assert words[:3] == ["python", "-m", "llmcourse.train"]
    assert parse(words[3:]) == plan.best.settings


def test_commands_of_other_presets():
    settings = dataclasses.replace(
        tiny(),
        tensorboard=False,
        data=dataclasses.replace(tiny().data, source="my book.txt", separate_documents=True),
    )
    assert parse(shlex.split(command_of(settings))[3:]) == settings


def test_a_shape_that_was_asked_for_is_kept():
    wanted = asked("10m", model=dataclasses.replace(laptop().model, d_model=160))
    plan = make_plan(wanted, SPEEDS, 8e9)
    assert plan.best.settings.model == wanted.model
    assert "asked for" in told(plan)


def test_a_task_without_a_ladder_has_no_loss():
    objective = dataclasses.replace(laptop().objective, name="mlm")
    plan = make_plan(asked("10m", objective=objective), SPEEDS, 8e9)
    assert plan.interval is None
    assert "not foreseen" in told(plan)


@pytest.mark.slow
def test_a_text_that_is_too_small_is_read_so_often_and_no_more(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("It rained all day. " * 2000)
    data = dataclasses.replace(laptop().data, source=str(path))
    plan = make_plan(asked("24h", data=data), SPEEDS, 8e9)
    assert plan.unique == pytest.approx(38_000 * 0.95 / 4, abs=2)
    assert plan.epochs <= MOST_EPOCHS
    assert plan.best.seconds < 3600
    assert plan.best.settings.steps == plan.best.steps
    assert "worth no more time" in told(plan)
    assert plan.best.parameters == min(
        make_plan(asked("24h"), SPEEDS, 8e9).best.parameters, 155_872
    )


def test_what_is_not_known_is_said():
    data = dataclasses.replace(laptop().data, source="hf:someone/something")
    assert unique_tokens(asked("1h", data=data)) is None
    assert "once it is read" in told(make_plan(asked("1h", data=data), SPEEDS, 8e9))


@pytest.mark.parametrize(
    ("budget", "message"),
    [(None, "needs a budget to spend"), ("0.1s", "too short for one step")],
)
def test_budgets_that_buy_nothing(budget, message):
    with pytest.raises(UserError, match=message) as caught:
        make_plan(asked(budget), SPEEDS, 8e9)
    assert "\n" not in str(caught.value)


def test_calibration_takes_real_steps_at_two_sizes(monkeypatch):
    monkeypatch.setattr(calibration, "SIZES", {"cpu": ((16, 1, 1), (32, 2, 2))})
    ticks = iter(range(10**6))
    settings = small("unused", batch_size=2)
    speeds = calibrate(settings, torch.device("cpu"), seconds=6, clock=lambda: float(next(ticks)))
    assert [speed.parameters for speed in speeds] == sorted(s.parameters for s in speeds)
    for speed in speeds:  # each look at the clock is a second later: a step takes one
        assert speed.tokens_per_second == 2 * 32
        assert speed.flops == speed.flops_per_token * 64


@pytest.mark.parametrize("objective", ["clm", "mlm", "span-corruption"])
def test_every_kind_of_task_is_timed(objective):
    settings = small("unused", batch_size=2, objective__name=objective)
    speed = speed_of_steps(settings, torch.device("cpu"), seconds=0)
    assert speed.tokens_per_second > 0
    assert speed.flops_per_token > 6 * 1000


@pytest.mark.slow
def test_the_command_line_prints_the_plan_and_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibration, "SIZES", {"cpu": ((16, 1, 1), (32, 2, 2))})
    assert main(["--plan", "--budget", "2m", "--device", "cpu"]) == 0
    assert "run it" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_planned_command_runs(tmp_path):
    plan = make_plan(
        dataclasses.replace(tiny(), budget="4s", device="cpu", out=str(tmp_path / "run")), SPEEDS
    )
    assert main(shlex.split(command_of(plan.best.settings))[3:]) == 0
    assert (tmp_path / "run" / "report.html").exists()


def test_shapes_grow_and_the_ladder_is_the_presets():
    sizes = [width**2 * layers for width, layers, _ in SHAPES]
    assert sizes == sorted(sizes)
    assert all(width % heads == 0 for width, _, heads in SHAPES)
    assert LADDERS["pydocs"].preset == "laptop"
