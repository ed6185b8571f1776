"""Extreme numbers: either they work, or one line refuses them and nothing is left behind."""

import contextlib
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_runs import as_a_strangers, flags, small

from llmcourse.command_line import check_numbers
from llmcourse.errors import UserError
from llmcourse.generate import sampling
from llmcourse.generate.__main__ import Options
from llmcourse.generate.__main__ import main as generate
from llmcourse.models.files import load_model
from llmcourse.objectives.registry import OBJECTIVES
from llmcourse.plain import from_plain
from llmcourse.train.__main__ import main as train
from llmcourse.train.settings import ObjectiveSettings, OptimizerSettings


def ends_well(main, arguments, capsys):
    """Run a command: it works, or is refused in one line. Says which."""
    capsys.readouterr()
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr().err.splitlines()
    errors = [line for line in said if line.startswith("error: ")]
    assert (code, errors) in ((0, []), (2, said[-1:])), said
    return code == 0


def trains(out, capsys, *arguments, **changes):
    """A run of two steps; where it is refused, nothing of it may be there."""
    changes = {"steps": 2, "sample_tokens": 0, "data__max_megabytes": 0.02, **changes}
    wanted = [*flags(small(out, **changes)), *arguments]
    worked = ends_well(train, wanted, capsys)
    assert worked or not out.exists()
    return worked


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
@pytest.mark.parametrize(
    "option",
    ["--optimizer.lr", "--optimizer.matrix-lr", "--optimizer.weight-decay", "--optimizer.clip",
     "--optimizer.warmup", "--optimizer.final", "--model.dropout", "--objective.temperature",
     "--objective.mean-span", "--ramp", "--data.held-out"],
)  # fmt: skip
def test_no_number_at_all(option, value, tmp_path, capsys):
    assert not trains(tmp_path / "run", capsys, option, value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--optimizer.lr", "1e-308"),
        ("--optimizer.lr", "5e-324"),
        ("--optimizer.matrix-lr", "1e-308"),
        ("--optimizer.weight-decay", "1e-308"),
        ("--optimizer.weight-decay", "1e308"),
        ("--optimizer.clip", "1e-308"),
        ("--optimizer.clip", "1e308"),
        ("--optimizer.final", "1e308"),
        ("--optimizer.warmup", "0.9999999999999999"),
        ("--model.dropout", "0.9999999999999999"),
        ("--ramp", "0.9999999999999999"),
        ("--data.held-out", "1e-308"),
        ("--data.held-out", "0.9999999999999999"),
        ("--data.max-megabytes", "1e-308"),
        ("--data.tokenizer-megabytes", "1e-308"),
        ("--seed", str(2**63 - 1)),
        ("--seed", "-1"),
        ("--steps", str(2**64)),
        ("--keep-last", str(2**63 - 1)),
    ],
)
def test_extreme_settings_of_a_run(option, value, tmp_path, capsys):
    trains(tmp_path / "run", capsys, option, value, "--micro-batch-size", "4")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mask_rate", [1e-308, 1e-9, 0.9999999999999999]),
        ("mean_span", [1e3, 1e18, 1e308]),
        ("temperature", [1e-308, 1e-9, 1e308]),
        ("predict_one_in", [10**9, 10**18]),
    ],
)
def test_extreme_settings_of_objectives(name, values, tmp_path, capsys):
    for value in values:
        for objective, entry in OBJECTIVES.items():
            if name in entry.settings:
                changes = {"objective__name": objective, "model__context_length": 16}
                option = "--objective." + name.replace("_", "-")
                trains(tmp_path / f"{objective}-{value}", capsys, option, str(value), **changes)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_short_windows(objective, length, tmp_path, capsys):
    changes = {"objective__name": objective, "model__context_length": length}
    trains(tmp_path / "run", capsys, **changes)


@pytest.mark.parametrize(
    ("option", "value"),
    [(f"--{name}", value)
     for name in ("top-p", "typical-p", "min-p", "temperature", "repetition-penalty",
                  "frequency-penalty", "presence-penalty", "length-penalty")
     for value in ("1e-300", "5e-324", "1e308", "-1e308", "nan", "inf")]
    + [(f"--{name}", value) for name in ("top-k", "no-repeat-ngram", "n-draft", "seed")
       for value in ("1000000000000000000", "-1", "1" + 30 * "0")],
)  # fmt: skip
def test_extreme_settings_of_generate(option, value, writer, capsys):
    ends_well(generate, [str(writer), "--max-new-tokens", "3", option, value], capsys)


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    p=st.floats(5e-324, 1), typical=st.floats(5e-324, 1), least=st.floats(0, 1),
    temperature=st.floats(sampling.COLDEST, sampling.HOTTEST), k=st.integers(1, 10**18),
)  # fmt: skip
def test_some_token_is_always_left(p, typical, least, temperature, k):
    logits = torch.tensor([[3.0, -1.0, 0.5, -math.inf, 20.0]])
    logits = sampling.top_k(sampling.apply_temperature(logits, temperature), k)
    logits = sampling.min_p(sampling.typical_p(sampling.top_p(logits, p), typical), least)
    assert logits.isfinite().any()
    assert not logits.isnan().any()
    assert 0 <= int(sampling.sample(logits)) < 5


CONFIGS = [
    {"family": ["gpt"]}, {"family": {"gpt": 1}}, {"family": None}, {"family": 3},
    {"rope_theta": 10**400}, {"rope_theta": 10**30}, {"rope_theta": math.nan},
    {"rope_theta": math.inf}, {"rope_theta": 5e-324}, {"rope_theta": "1e4"},
    {"norm_eps": math.nan}, {"norm_eps": math.inf}, {"norm_eps": -1}, {"norm_eps": True},
    {"rope_scaling": ["linear"]}, {"rope_scaling": "linear", "rope_factor": math.nan},
    {"rope_scaling": "yarn", "rope_factor": 1e308}, {"rope_scaling": "ntk", "rope_factor": 1e308},
    {"rope_scaling": "llama3", "rope_factor": 10**300, "rope_original_length": 1},
    {"dropout": math.nan}, {"d_model": 32.5}, {"n_layers": True}, {"norm": ["rmsnorm"]},
    {"mlp": {}}, {"positions": [1]}, {"quantization": ["int8"]}, {"vocab_size": "257"},
]  # fmt: skip


@pytest.mark.parametrize("changes", CONFIGS, ids=str)
def test_a_strangers_config(changes, writer, tmp_path):
    """It is refused, or the model computes numbers."""
    shutil.copytree(writer / "model", tmp_path / "model")
    path = as_a_strangers(tmp_path / "model") / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    model, said = None, ""
    try:
        model = load_model(tmp_path / "model")
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 1000
    assert model is None or model(ids=torch.zeros(1, 4, dtype=torch.long)).logits.isfinite().all()


number = st.floats() | st.integers() | st.sampled_from([10**400, -(10**30), 2**63])
plain = st.recursive(
    st.none() | st.booleans() | number | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("kind", [OptimizerSettings, ObjectiveSettings])
def test_saved_settings_are_right_or_refused(kind):
    names = st.sampled_from(sorted(kind.__dataclass_fields__))

    @settings(max_examples=150, deadline=None)
    @given(st.dictionaries(names, plain, max_size=4))
    def check(values):
        with contextlib.suppress(UserError):
            check_numbers(from_plain(kind, values))

    check()


def test_a_number_that_is_none_is_named():
    with pytest.raises(UserError, match="top_p=nan must be a finite number"):
        check_numbers(Options(run=Path("x"), top_p=math.nan))
