"""Files that were cut short, or in which bits have flipped, are refused by name; a run falls back.

Where the bits flip is drawn anew each time; a failure says where it was.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from damages import damages
from safetensors.torch import load_file, save_file
from small_runs import flags, log_of, run, small, state_of, weights_of

from llmcourse.checksums import SUMS, write_checksums
from llmcourse.errors import UserError
from llmcourse.finetune.__main__ import main as finetune
from llmcourse.models.adapters import AdapterConfig, attach, load_adapted_model, save_adapter
from llmcourse.models.files import load_model, save_model
from llmcourse.train.__main__ import main as train
from llmcourse.train.checkpoint import (
    FORMER,
    check_checkpoint,
    list_checkpoints,
    load_checkpoint,
    newest_whole,
)

FILES = ["model.safetensors", "optimizer.safetensors", "state.json", "config.json", SUMS]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of six steps with three checkpoints; never written to."""
    out = tmp_path_factory.mktemp("whole") / "run"
    run(out, **SHORT)
    return out


SHORT = {
    "steps": 6,
    "save_every": 2,
    "keep_last": 3,
    "evaluate_every": 2,
    "data__max_megabytes": 0.02,
    "sample_tokens": 0,
}


@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint(name, whole, tmp_path):
    folder = Path(shutil.copytree(list_checkpoints(whole / "checkpoints")[-1], tmp_path / "c"))
    data = (folder / name).read_bytes()
    model, untouched = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    untouched.load_state_dict(model.state_dict())
    for what, spoilt in damages(data):
        (folder / name).write_bytes(spoilt)
        with pytest.raises(UserError) as caught:
            load_checkpoint(folder, model, [])
        said = str(caught.value)
        # A list of checksums with another name or sum in it accuses another file.
        assert name in said or name == SUMS, f"{what}: {said}"
        assert "\n" not in said
        assert str(folder) in said
    assert torch.equal(model.weight, untouched.weight)
    (folder / name).write_bytes(data)
    check_checkpoint(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["gone", "folder"])
def test_a_checkpoint_without_a_file(name, how, whole, tmp_path):
    folder = Path(shutil.copytree(list_checkpoints(whole / "checkpoints")[-1], tmp_path / "c"))
    (folder / name).unlink()
    if how == "folder":
        (folder / name).mkdir()
    with pytest.raises(UserError, match=name):
        check_checkpoint(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_file_of_another_checkpoint(name, whole, tmp_path):
    one, other = list_checkpoints(whole / "checkpoints")[:2]
    folder = Path(shutil.copytree(one, tmp_path / "c"))
    shutil.copyfile(other / name, folder / name)
    with pytest.raises(UserError, match=name):
        check_checkpoint(folder)


@pytest.mark.parametrize("n_damaged", [1, 2])
@pytest.mark.parametrize("name", FILES)
def test_a_run_goes_on_from_the_one_before(name, n_damaged, whole, tmp_path, capsys):
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    checkpoints = list_checkpoints(out / "checkpoints")
    for folder in checkpoints[-n_damaged:]:
        (folder / name).write_bytes((folder / name).read_bytes()[:-3])
    assert train(["--out", str(out), "--resume"]) == 0
    said = capsys.readouterr().err
    for folder in checkpoints[-n_damaged:]:
        assert f"checkpoint {folder} is damaged ({name}" in said or name == SUMS
        assert f"renamed to damaged-{folder.name}, going on from" in said
        assert (folder.parent / f"damaged-{folder.name}").is_dir(), "nothing is thrown away"
    assert f"resumed         at step {6 - 2 * n_damaged} of 6" in said
    assert weights_of(out) == weights_of(whole)
    assert state_of(out) == state_of(whole)
    assert log_of(out) == log_of(whole)


def test_a_run_whose_checkpoints_are_all_damaged_is_left_alone(whole, tmp_path, tree, refused):
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    for folder in list_checkpoints(out / "checkpoints"):
        (folder / "state.json").write_text("{}")
    before = tree(out / "checkpoints"), (out / "metrics.jsonl").read_bytes()
    said = refused("train", "--out", out, "--resume")
    assert "state.json" in said
    assert "no other is whole" in said
    assert (tree(out / "checkpoints"), (out / "metrics.jsonl").read_bytes()) == before


def test_what_was_set_aside_does_not_push_good_ones_out(whole, tmp_path):
    """Of a later step than all that follow, it would else count as the newest."""
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    (list_checkpoints(out / "checkpoints")[-1] / "state.json").write_text("{")
    given = flags(small(out, **{**SHORT, "keep_last": 1, "save_every": 5, "steps": 5}))
    assert train([*given, "--resume"]) == 0
    (left,) = list_checkpoints(out / "checkpoints")
    assert left.name == "step-00000005"
    check_checkpoint(left)


def test_a_checkpoint_from_before_there_were_checksums(whole, tmp_path, capsys):
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    for folder in list_checkpoints(out / "checkpoints"):
        values = json.loads((folder / "state.json").read_text())
        (folder / "state.json").write_text(json.dumps({**values, "format": FORMER}))
        (folder / SUMS).unlink()
    newest = list_checkpoints(out / "checkpoints")[-1]
    assert newest_whole(out / "checkpoints", print) == newest
    (newest / "model.safetensors").write_bytes(b"\0" * 50)
    assert train(["--out", str(out), "--resume"]) == 0
    assert "resumed         at step 4" in capsys.readouterr().err
    assert weights_of(out) == weights_of(whole)


def test_fine_tuning_goes_on_from_the_one_before(whole, tmp_path, capsys):
    rows = "".join(f"the mill {n},x\nthe river {n},y\n" for n in range(20))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    out = tmp_path / "tuned"
    given = ["--base", str(whole), "--data", str(tmp_path / "rows.csv"), "--out", str(out)]
    assert finetune([*given, "--epochs", "1", "--batch-size", "8"]) == 0
    (only,) = list_checkpoints(out / "checkpoints")
    before = Path(shutil.copytree(only, only.with_name("step-00000000")))
    spoilt = only / "optimizer.safetensors"
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"?")
    capsys.readouterr()
    assert finetune(["--out", str(out), "--resume"]) == 0
    said = capsys.readouterr().err
    assert "optimizer.safetensors does not give its checksum" in said
    assert f"going on from {before.name}" in said


# --- models ---------------------------------------------------------------------------------------


@pytest.fixture
def model(writer, tmp_path):
    """The folder of a model with an adapter beside it."""
    folder = Path(shutil.copytree(writer / "model", tmp_path / "model"))
    save_adapter(attach(load_model(folder), AdapterConfig(kind="lora")), folder)
    return folder


MODEL_FILES = ["model.safetensors", "config.json"]
MODEL_FILES += [f"adapter/{name}" for name in MODEL_FILES]


@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_model_without_a_file(name, model):
    (model / name).unlink()
    with pytest.raises(UserError, match=Path(name).name.split(".")[0]):
        load_adapted_model(model)


@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_model(name, model):
    data = (model / name).read_bytes()
    for what, spoilt in damages(data):
        (model / name).write_bytes(spoilt)
        with pytest.raises(UserError) as caught:
            load_adapted_model(model)
        said = str(caught.value)
        assert name in said, f"{what}: {said}"
        assert "\n" not in said
    (model / name).write_bytes(data)
    load_adapted_model(model)


@pytest.mark.parametrize("word", [b"llmcourse.sha256", b"__metadata__"])
def test_a_bit_of_the_checksums_own_name(word, model):
    path = model / "adapter" / "model.safetensors"
    data = path.read_bytes()
    for at in range(data.index(word), data.index(word) + len(word)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(UserError):
            load_adapted_model(model)


def test_a_strangers_weights_are_taken_as_they_are(writer, tmp_path):
    folder = Path(shutil.copytree(writer / "model", tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))
    assert load_model(folder).config.d_model == config["d_model"]


def test_the_same_model_gives_the_same_bytes(writer, tmp_path):
    before = (writer / "model" / "model.safetensors").read_bytes()
    save_model(load_model(writer / "model"), tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == before


def test_the_checksums_are_those_that_other_programs_compute(whole, tmp_path):
    import hashlib

    folder = list_checkpoints(whole / "checkpoints")[0]
    lines = (folder / SUMS).read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == sorted(FILES[:-1])
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    copy = Path(shutil.copytree(folder, tmp_path / "c"))
    (copy / SUMS).unlink()
    write_checksums(copy)
    assert (copy / SUMS).read_bytes() == (folder / SUMS).read_bytes()
