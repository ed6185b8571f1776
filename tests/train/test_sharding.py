"""A model in slices computes what a whole one does, and any number of processes goes on with it."""

import json
import shutil

import pytest
import torch
from rank_jobs import sharding as jobs
from small_runs import small

from llmcourse.errors import UserError
from llmcourse.models.registry import FAMILIES
from llmcourse.parallel.world import run_world
from llmcourse.train.assemble import build_model
from llmcourse.train.checkpoint import list_checkpoints, load_checkpoint


@pytest.mark.slow
def test_gradients_of_every_family_equal_those_of_a_whole_model():
    for found in run_world(2, jobs.families):
        assert found.keys() == FAMILIES.keys()
        for name, (largest, off) in found.items():
            assert largest > 0.1, name
            assert off < 1e-10, name


@pytest.fixture(scope="module")
def sliced(tmp_path_factory):
    """The folder of a checkpoint in two slices, of one step."""
    folder = tmp_path_factory.mktemp("sliced")
    run_world(2, jobs.go_on, str(folder), 1)
    return folder


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    """The weights after two steps of one process."""
    return run_world(1, jobs.go_on, str(tmp_path_factory.mktemp("one")), 2)[0]


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3])
def test_any_number_of_processes_goes_on_from_slices(sliced, never_stopped, size, tmp_path):
    folder = shutil.copytree(sliced, tmp_path / "copy")
    for weights in run_world(size, jobs.go_on, str(folder), 2):
        assert weights.keys() == never_stopped.keys()
        for name, tensor in weights.items():
            torch.testing.assert_close(tensor, never_stopped[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_processes_go_on_from_a_whole_checkpoint(never_stopped, tmp_path):
    run_world(1, jobs.go_on, str(tmp_path), 1)
    for weights in run_world(2, jobs.go_on, str(tmp_path), 2):
        for name, tensor in weights.items():
            torch.testing.assert_close(tensor, never_stopped[name], rtol=1e-4, atol=1e-5)


def cut_a_file(path):
    file = next((path / "shards").iterdir())
    file.write_bytes(file.read_bytes()[:-100])


def lose_a_file(path):
    next((path / "shards").iterdir()).unlink()


def lose_the_folder(path):
    shutil.rmtree(path / "shards")


def lose_the_list(path):
    state = path / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "shards": "none"}))


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut_a_file, lose_a_file, lose_the_folder, lose_the_list])
def test_a_damaged_slice_is_named_and_changes_nothing(sliced, damage, tmp_path):
    (path,) = list_checkpoints(shutil.copytree(sliced, tmp_path / "copy"))
    damage(path)
    model = build_model(small("unused"), 257)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError, match=f"checkpoint {path} is damaged .*; remove that folder"):
        load_checkpoint(path, model, [torch.optim.AdamW(model.parameters())])
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"model__d_model": 48}, {"model__n_layers": 1}])
def test_slices_of_another_model_are_refused(sliced, changes):
    (path,) = list_checkpoints(sliced)
    model = build_model(small("unused", **changes), 257)
    with pytest.raises(UserError, match=f"checkpoint {path} is of another model: "):
        load_checkpoint(path, model, [torch.optim.AdamW(model.parameters())])


@pytest.mark.slow
def test_slices_of_another_optimizer_are_refused(sliced):
    (path,) = list_checkpoints(sliced)
    model = build_model(small("unused"), 257)
    with pytest.raises(UserError, match="is of another optimizer: it has 1"):
        load_checkpoint(path, model, [torch.optim.AdamW(model.parameters())])
