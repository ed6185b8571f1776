"""Sizes that cannot be are refused by arithmetic: nothing is allocated, and nothing takes long."""

import dataclasses
import json
import resource
import shutil
import typing

import pytest
import torch
from small_runs import as_a_strangers, flags, small

from llmcourse.errors import UserError
from llmcourse.evaluate.__main__ import main as evaluate
from llmcourse.finetune.__main__ import main as finetune
from llmcourse.finetune.settings import Settings as TuneSettings
from llmcourse.generate.__main__ import Options as WriteOptions
from llmcourse.generate.__main__ import main as generate
from llmcourse.models.files import load_model
from llmcourse.planning.memory import largest_micro_batch
from llmcourse.prepare.__main__ import main as prepare
from llmcourse.prepare.settings import Settings as PrepareSettings
from llmcourse.serve.settings import Options as ServeOptions
from llmcourse.suites.command import Options as EvaluateOptions
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.__main__ import main as train
from llmcourse.train.settings import Settings as TrainSettings

COMMANDS = {
    "train": train,
    "prepare": prepare,
    "finetune": finetune,
    "evaluate": evaluate,
    "generate": generate,
}

HUGE = ["1000000000000", "1000000000000000000", "1" + 30 * "0"]


@pytest.fixture(autouse=True)
def little_memory():
    """What asks for more than a few gigabytes gets none, and the test fails."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (24 << 30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


OPTIONS = ["--batch-size", "--micro-batch-size", "--model.n-layers", "--model.d-model",
           "--model.n-heads", "--model.d-ff", "--data.vocab-size", "--data.max-megabytes",
           "--data.tokenizer-megabytes", "--evaluate-windows", "--sample-tokens"]  # fmt: skip
HARMLESS = {"--evaluate-windows", "--sample-tokens", "--data.vocab-size"}
"""What is cut down to what there is."""


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("option", [one for one in OPTIONS if one not in HARMLESS])
def test_train(option, value, tmp_path, refused):
    out = tmp_path / "run"
    given = flags(small(out, data__max_megabytes=0.02, sample_tokens=0))
    said = refused("train", *given, option, value)
    assert option.strip("-").split(".")[-1].replace("-", "_") in said or "memory" in said
    assert not out.exists()


@pytest.mark.parametrize("family", ["gpt", "bert", "xlnet", "encoder_decoder", "rnn_lm", "mlp_lm",
                                    "dual_encoder"])  # fmt: skip
@pytest.mark.parametrize("option", ["--model.n-layers", "--model.d-model"])
def test_train_each_family(family, option, tmp_path, refused):
    from llmcourse.models.registry import FAMILIES

    if family == "mlp_lm" and option == "--model.n-layers":
        pytest.skip("it has none")
    given = flags(small(tmp_path / "run", data__max_megabytes=0.02, sample_tokens=0))
    objective = next(iter(FAMILIES[family].learns))
    refused("train", *given, "--model.family", family, "--objective", objective, option, HUGE[0])


@pytest.mark.parametrize("value", ["1e308", "1e15", "inf", "nan"])
@pytest.mark.parametrize("option", ["--data.max-megabytes", "--data.tokenizer-megabytes"])
def test_megabytes(option, value, tmp_path, refused):
    given = flags(small(tmp_path / "run", sample_tokens=0))
    assert "megabytes" in refused("train", *given, option, value)


def test_a_micro_batch_is_found_without_trying_each():
    assert largest_micro_batch(0, 1, 10**12, 10**6) == 10**6
    assert largest_micro_batch(0, 1, 2**61 - 1, 10**6) == 1
    for rows in range(1, 60):
        for free in range(1, 70):
            slow = max((n for n in range(1, rows + 1) if rows % n == 0 and n <= free), default=1)
            assert largest_micro_batch(0, 1, rows, free) == slow


SIZES = ["n_layers", "d_model", "vocab_size", "context_length", "d_ff", "n_heads", "n_kv_heads"]


@pytest.mark.parametrize("value", [10**9, 10**12, 10**18, 10**40])
@pytest.mark.parametrize("name", SIZES)
def test_a_strangers_config(name, value, writer, tmp_path):
    shutil.copytree(writer / "model", tmp_path / "model")
    config = as_a_strangers(tmp_path / "model") / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), name: value}))
    with pytest.raises(UserError):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("count", [40, 200, 2000])
def test_a_tokenizer_whose_merges_double(count, tmp_path):
    merges = [[97, 97], *([256 + n, 256 + n] for n in range(count))]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"kind": "bpe", "merges": merges}))
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("command", ["generate", "serve", "evaluate", "export", "finetune"])
def test_the_commands_say_so_in_a_line(command, writer, tmp_path, refused):
    run = tmp_path / "run"
    shutil.copytree(writer, run)
    config = as_a_strangers(run / "model") / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "n_layers": 10**12}))
    (tmp_path / "rows.csv").write_text(
        "text,label\n" + "".join(f"a {n},x\nb {n},y\n" for n in range(60))
    )
    given = {"finetune": ["--base", run, "--data", tmp_path / "rows.csv"],
             "export": [run, "--out", tmp_path / "out"]}.get(command, [run])  # fmt: skip
    assert "config.json" in refused(command, *given)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA"),
    ],
)
def test_memory_that_is_not_there_is_said_in_a_line(error, text, tmp_path, refused, monkeypatch):
    from llmcourse.prepare import pipeline

    def fails(*_):
        raise error

    monkeypatch.setattr(pipeline, "save_tokenizer", fails)
    given = [text, "--no-filter", "--tokenizer", "byte", "--out", tmp_path / "out"]
    assert "memory" in refused("prepare", *given)


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("generate", "--beams"),
        ("finetune", "--rank"),
        ("finetune", "--virtual-tokens"),
    ],
)
def test_other_commands(command, option, value, writer, refused):
    given = {"generate": [writer], "finetune": ["--base", writer, "--method", "lora"]}[command]
    said = refused(command, *given, option, value)
    assert option.strip("-").replace("-", "_") in said


# --- every whole number of every command ----------------------------------------------------------


def whole_numbers(kind, prefix="") -> list[str]:
    """The options of a command that take a whole number."""
    found = []
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            flat = "" if kind is ServeOptions else f"{prefix}{field.name}."
            found += whole_numbers(hint, flat)
        elif hint is int or int in typing.get_args(hint):
            found.append("--" + (prefix + field.name).replace("_", "-"))
    return found


AS_LONG_AS_IT_TAKES = {"--steps", "--max-new-tokens"}
"""Documented: they may be as large as you like."""
TRIED = {("train", option) for option in OPTIONS}
EVERY = [
    (command, option)
    for command, kind in [
        ("train", TrainSettings),
        ("prepare", PrepareSettings),
        ("finetune", TuneSettings),
        ("evaluate", EvaluateOptions),
        ("generate", WriteOptions),
    ]
    for option in whole_numbers(kind)
    if option not in AS_LONG_AS_IT_TAKES and (command, option) not in TRIED
]


@pytest.fixture
def given(writer, trained, text, tmp_path):
    """The shortest command line for each command."""
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\n" + "".join(f"a {n},x\nb {n},y\n" for n in range(20)))
    out = ["--out", tmp_path / "out"]
    run = small(tmp_path / "run", steps=1, data__max_megabytes=0.02, sample_tokens=0)
    return {
        "train": flags(run),
        "prepare": [text, "--no-filter", "--tokenizer", "byte", *out],
        "finetune": ["--base", trained, "--data", rows, "--epochs", "1", *out],
        "evaluate": [trained, "--suite", "text", "--limit", "2"],
        "generate": [writer, "--max-new-tokens", "2"],
    }


METHODS = {"--rank": "lora", "--virtual-tokens": "prompt"}


@pytest.mark.parametrize("value", HUGE[1:2])  # more digits are refused in one place
@pytest.mark.parametrize(("command", "option"), EVERY)
def test_a_whole_number_is_refused_by_name_or_does_no_harm(command, option, value, given, capsys):
    given = [str(one) for one in given[command]]
    if option in given:
        at = given.index(option)
        del given[at : at + 2]
    given += ["--method", METHODS[option]] if option in METHODS else []
    try:
        status = COMMANDS[command]([*given, option, value])
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr().err.splitlines()
    errors = [line for line in said if line.startswith("error: ")]
    assert (status, errors) == (0, []) or (status == 2 and errors == said[-1:]), said
    name = option.strip("-").split(".")[-1].replace("-", "_")
    assert not errors or name in errors[0], errors


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("option", whole_numbers(ServeOptions))
def test_the_servers_limits(option, value, writer, refused):
    said = refused("serve", writer, option, value)
    assert option.split(".")[-1].strip("-").replace("-", "_") in said
