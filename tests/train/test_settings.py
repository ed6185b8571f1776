import dataclasses
import itertools
import re
import subprocess
import sys
from typing import get_args

import pytest

from llmcourse.errors import UserError
from llmcourse.models.registry import FAMILIES
from llmcourse.nn.rnn import CELLS
from llmcourse.objectives.registry import OBJECTIVES, objectives_that_use
from llmcourse.optim.schedules import SCHEDULES
from llmcourse.tokenizers.registry import TOKENIZERS
from llmcourse.train.__main__ import parse
from llmcourse.train.assemble import build_config
from llmcourse.train.presets import PRESETS, laptop, tiny
from llmcourse.train.saved_settings import (
    RESUMABLE,
    check_resumable,
    from_dict,
    leaves,
    to_dict,
)
from llmcourse.train.settings import (
    ModelSettings,
    ObjectiveSettings,
    OptimizerSettings,
    Settings,
    parse_duration,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("24h", 86400), ("1h30m", 5400), ("2d", 172800), ("45", 45)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10 minutes", "-5m", "0", "0h0m", "1h30", "nan", "inf"])
def test_no_durations(text):
    with pytest.raises(UserError, match="write 90s, 10m, 24h or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_name_themselves_and_survive_json(name):
    settings = PRESETS[name]()
    assert settings.preset == name
    assert from_dict(to_dict(settings)) == settings


@pytest.mark.parametrize("name", PRESETS)
def test_presets_describe_models_that_can_be(name):
    settings = PRESETS[name]()
    build_config(settings, settings.data.vocab_size)


def test_gpt2_124m_is_gpt2_small():
    settings = PRESETS["gpt2-124m"]()
    config = build_config(settings, vocab_size=50_257)
    assert config.n_parameters == 124_439_808  # as published, embeddings tied


def test_model_settings_are_fields_of_some_config():
    known = {
        field.name for family in FAMILIES.values() for field in dataclasses.fields(family.config)
    }
    assert {field.name for field in dataclasses.fields(ModelSettings)} - {"family"} < known
    assert get_args(ModelSettings.__annotations__["cell"]) == tuple(CELLS)


def test_the_family_follows_from_the_objective_unless_given():
    assert parse([]).family == "gpt"
    assert parse(["--objective", "plm"]).family == "xlnet"
    assert parse(["--model.family", "rnn_lm", "--model.cell", "gru"]).family == "rnn_lm"


def test_schedules_of_the_settings_are_those_of_the_package():
    hints = OptimizerSettings.__dataclass_fields__["schedule"].type
    assert set(hints.__args__) == set(SCHEDULES)


def test_a_run_from_before_there_was_a_choice_of_families_can_be_resumed():
    old = to_dict(tiny())
    del old["model"]["family"], old["model"]["cell"]
    check_resumable(from_dict(old), tiny())
    assert from_dict(old).family == "gpt"


def test_a_run_from_before_the_two_gelus_had_names_can_be_resumed():
    old = to_dict(PRESETS["laptop-gpt2"]())
    assert old["model"]["mlp"] == "gelu_tanh"
    old["model"]["mlp"] = "gelu"
    check_resumable(from_dict(old), PRESETS["laptop-gpt2"]())
    assert build_config(from_dict(old), 300).mlp == "gelu_tanh"
    del old["model"]["mlp"]
    assert from_dict(old).model.mlp == "squared_relu"


def test_which_gelu_must_be_said():
    with pytest.raises(UserError, match=r"invalid choice 'gelu'.* 'gelu_tanh', 'gelu_exact'"):
        parse(["--model.mlp", "gelu"])


def test_a_run_from_before_encodings_and_columns_were_found_out_can_be_resumed():
    old = to_dict(tiny())
    del old["data"]["encoding"], old["data"]["column"]
    check_resumable(from_dict(old), tiny())
    changed = dataclasses.replace(tiny().data, column="story")
    with pytest.raises(UserError, match=r"data\.column='story': the run was started with None"):
        check_resumable(from_dict(old), dataclasses.replace(tiny(), data=changed))


def test_resumable_names_exist():
    assert set(leaves(Settings())) > RESUMABLE


def test_resume_refuses_another_run():
    saved = tiny()
    check_resumable(saved, dataclasses.replace(saved, steps=99, device="cpu"))
    changed = dataclasses.replace(saved, model=dataclasses.replace(saved.model, n_layers=3))
    with pytest.raises(UserError, match=r"model\.n_layers=3: the run was started with 2"):
        check_resumable(saved, changed)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 3}, "unknown setting 'stepz'; did you mean 'steps'"),
        ({"model": {"n_layer": 3}}, "unknown setting 'model.n_layer'; did you mean 'n_layers'"),
        ({"steps": "many"}, "steps='many' is not of type"),
        ({"steps": True}, "steps=True is not of type"),
        ({"model": 3}, "must be a table"),
        ({"precision": "fp8"}, "precision='fp8' is not of type"),
    ],
)
def test_damaged_configs(values, message):
    with pytest.raises(UserError, match=message):
        from_dict(values)


def test_a_run_from_before_muons_rates_were_raised_goes_on_at_its_own():
    old = to_dict(tiny())
    del old["data"]["encoding"], old["optimizer"]["matrix_lr"]
    optimizer = from_dict(old).optimizer
    assert (optimizer.lr, optimizer.matrix_lr) == (3e-3, 2e-2)
    given = from_dict({**old, "optimizer": {**old["optimizer"], "lr": 1e-3}}).optimizer
    assert given.lr == 1e-3
    other = from_dict({**old, "optimizer": {**old["optimizer"], "name": "lion"}}).optimizer
    assert other.lr is None
    assert from_dict(to_dict(tiny())).optimizer.lr is None


def test_settings_of_older_runs_are_read():
    """Once `objective` was a name, and what belongs to it stood in `task`."""
    new = dataclasses.replace(tiny(), objective=ObjectiveSettings(name="mlm", mask_rate=0.3))
    old = to_dict(new)
    task = old["objective"]
    old |= {"objective": task.pop("name"), "task": task}
    task |= {"rate": task.pop("mask_rate"), "predict": task.pop("predict_one_in")}
    assert from_dict(old) == new


def test_the_short_name_of_an_objective():
    assert parse(["--objective", "mlm"]) == parse(["--objective.name", "mlm"])


def test_the_command_line_overrides_any_leaf():
    for name, value in leaves(laptop()).items():
        if isinstance(value, bool) or value is None or name in ("preset", "resume"):
            continue
        option = "--" + name.replace("_", "-")
        changed = {"int": "7", "float": "0.125"}.get(type(value).__name__)
        if changed is None:
            continue
        if name == "objective.mean_span":
            changed = "2.5"
        users = objectives_that_use(name.removeprefix("objective.")) or ["clm"]
        given = ["--objective", users[0], option, changed]
        assert leaves(parse(given))[name] == type(value)(changed), name
    assert parse(["--model.no-qk-norm"]).model.qk_norm is False
    assert parse(["--preset", "tiny", "--steps", "5"]) == dataclasses.replace(tiny(), steps=5)
    assert parse(["--preset=tiny"]) == tiny()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "laptp"], "unknown preset 'laptp'; did you mean 'laptop'"),
        (["--modle.n-layers", "3"], "unknown option --modle.n-layers; did you mean"),
        (["--steps", "abc"], "--steps"),
        (["--steps", "0"], "steps=0 must be at least 1"),
        (["--budget", "soon"], "budget 'soon' is no duration"),
        (["--optimizer.lr", "-1"], r"optimizer\.lr=-1\.0 must be above 0"),
        (
            ["--optimizer.name", "adam", "--optimizer.momentum", "0.9"],
            r"momentum=0\.9 does nothing with optimizer\.name=adam: leave it out, or choose one of "
            "momentum, nesterov, muon",
        ),
        (["--optimizer.name", "sgd", "--optimizer.matrix-lr", "0.1"], "choose one of muon"),
        (["--optimizer.name", "adamx"], "invalid choice 'adamx'"),
        (["--data.held-out", "1.5"], "between 0 and 1"),
        (["--precision", "fp8"], "invalid choice 'fp8'"),
        (["--objective", "mlmm"], "invalid choice 'mlmm'"),
        (
            ["--objective.mask-rate", "0.3"],
            r"objective\.mask_rate=0\.3 does nothing with objective.name=clm",
        ),
        (
            ["--objective", "mlm", "--objective.mask-rate", "1.5"],
            r"objective\.mask_rate=1\.5 must be",
        ),
        (
            ["--objective", "mlm", "--objective.mean-span", "0"],
            r"mean_span=0\.0 must be at least",
        ),
        (
            ["--objective", "plm", "--objective.predict-one-in", "0"],
            r"objective\.predict_one_in=0 must be at least 1",
        ),
        (
            ["--objective", "contrastive", "--objective.temperature", "0"],
            "temperature=0.0 must lie",
        ),
        (
            ["--objective", "mlm", "--data.separate-documents"],
            "does nothing with objective.name=mlm",
        ),
        (
            ["--model.family", "bert"],
            r"family=bert does not learn by objective.name=clm: choose gpt or mlp_lm or rnn_lm, or "
            r"one of its own objectives \(mlm, nsp",
        ),
        (["--model.family", "bird"], "invalid choice 'bird'"),
        (["--patience", "-1"], "patience=-1 must not be negative"),
        (["--resume"], "add --out"),
        (["--resume", "--out", "nowhere"], "there is no run in nowhere"),
    ],
)
def test_bad_command_lines_take_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        parse(arguments)
    assert "\n" not in str(caught.value)


def test_help_names_the_presets_and_wraps_evenly(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        parse(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for name, preset in PRESETS.items():
        (place,) = (n for n, line in enumerate(lines) if line.startswith(f"  {name:<12} "))
        assert " ".join(preset.__doc__.splitlines()[0].split()[:4]) in lines[place]
    assert max(map(len, lines)) <= 100
    # A line of an option's help has no room for the first word of the next one.
    texts = [re.sub(r"^[│|]? {7,}(?=\S)", "\t", line).rstrip("│| ") for line in lines]
    room = max(len(text) for text in texts if text.startswith("\t"))
    assert room > 60
    for text, following in itertools.pairwise(texts):
        if text.startswith("\t") and following.startswith("\t"):
            assert len(text) + 1 + len(following.split()[0]) > room, text


def test_help_is_fast_because_it_brings_no_torch():
    code = (
        "import sys, llmcourse.train.__main__ as m\n"
        "try: m.parse(['--help'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'datasets' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--optimizer.matrix-lr" in done.stdout
    assert "Muon's peak learning rate." in done.stdout
    said = " ".join(done.stdout.replace("│", " ").split())
    for table in (FAMILIES, OBJECTIVES, TOKENIZERS):
        assert all(name in said for name in table)
    assert all(f"{name}: {entry.asks}" in said for name, entry in OBJECTIVES.items())
    assert "pydocs, tinytown, hf:org/name[:config][@split], a file or folder (.txt" in said
    assert "rnn_lm: clm" in said
    assert "plm: one token in so many is predicted" in said
