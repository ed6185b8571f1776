"""Every file operation of saving and loading fails once, the disk is full from it on, or we die.

Whatever happens: one line or an error of a kind that becomes one, nothing half-written is taken for
whole, the last good checkpoint is there and loads bit for bit, and the user's files are as they
were. `make torture` tries the same on whole runs, at every operation.
"""

import random
import shutil
from pathlib import Path

import pytest
import torch
from faulty_disk import Disk, Killed, faults

from llmcourse.errors import one_line
from llmcourse.files import clean_up
from llmcourse.models.files import unique_state
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.report import write_report
from llmcourse.train.checkpoint import (
    TrainState,
    list_checkpoints,
    load_checkpoint,
    newest_whole,
    optimizer_tensors,
    save_checkpoint,
)
from llmcourse.train.optimizers import build_optimizers
from llmcourse.train.settings import OptimizerSettings


class Machine:
    """A model that is smaller than any, and its optimizers."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = GPT(modern_recipe(vocab_size=5, context_length=4, d_model=4, n_layers=1,
                                       n_heads=2))  # fmt: skip
        self.optimizers = build_optimizers(self.model, OptimizerSettings(name="adamw"))

    def step(self) -> None:
        self.model(torch.arange(4)[None]).logits.square().mean().backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def bits(self) -> dict[str, bytes]:
        """Every number of the model and its optimizers, as bytes."""
        tensors = unique_state(self.model) | optimizer_tensors(self.optimizers)
        return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}

    def save(self, folder: Path, step: int, keep: int = 1) -> None:
        save_checkpoint(folder, self.model, self.optimizers, TrainState(step=step), keep)


def attempt(disk: Disk, do) -> BaseException | None:
    """Do something on a disk; what went wrong must be a kill, or fit into one line."""
    wrong: BaseException | None = None
    with disk():
        try:
            do()
        except (Exception, Killed) as error:
            wrong = error
    if isinstance(wrong, Exception):
        said = one_line(wrong)
        assert said is not None, f"{disk}: {wrong!r}"
        assert "\n" not in said, str(disk)
    return wrong


@pytest.fixture
def saved(tmp_path):
    """A machine one step further than its last checkpoint, the folder, and both states' bits."""
    machine = Machine()
    machine.step()
    machine.save(tmp_path / "saved", 1)
    before = machine.bits()
    machine.step()
    return machine, tmp_path / "saved", {1: before, 2: machine.bits()}


def check_newest(folder: Path, bits: dict[int, dict[str, bytes]], disk: Disk) -> int:
    """The newest checkpoint is whole, and one of those that were written; returns its step."""
    path = newest_whole(folder, lambda line: pytest.fail(f"{disk}: {line}"))
    assert path is not None, str(disk)
    other = Machine()
    step = load_checkpoint(path, other.model, other.optimizers).step
    assert other.bits() == bits[step], str(disk)
    return step


def test_saving_a_checkpoint(saved, tmp_path):
    machine, source, bits = saved
    folder = Path(shutil.copytree(source, tmp_path / "run"))
    disk = Disk(folder)
    assert attempt(disk, lambda: machine.save(folder, 2)) is None
    for at, kind in faults(disk.done):
        shutil.rmtree(folder)
        shutil.copytree(source, folder)
        disk = Disk(folder, at, kind)
        failed = attempt(disk, lambda: machine.save(folder, 2))
        assert failed is None or kind != "short", str(disk)
        clean_up(folder)  # as whoever takes up the folder does first
        step = check_newest(folder, bits, disk)
        assert step == 2 or failed, str(disk)
        assert {path.name[:5] for path in folder.iterdir()} == {"step-"}, str(disk)
        if kind == "killed":  # whatever is left, the next one is written and takes its place
            assert attempt(Disk(folder), lambda: machine.save(folder, 2)) is None
            assert check_newest(folder, bits, disk) == 2
    assert at > 40


def test_saving_one_in_place_of_one_of_the_same_step(saved, tmp_path):
    """As a run does that fell back to an older one, or was resumed with fewer steps between."""
    machine, source, bits = saved
    machine.save(source, 2, keep=2)
    folder = Path(shutil.copytree(source, tmp_path / "run"))
    disk = Disk(folder)
    assert attempt(disk, lambda: machine.save(folder, 2, keep=2)) is None
    for at, kind in sample(disk.done, 100):
        shutil.rmtree(folder)
        shutil.copytree(source, folder)
        disk = Disk(folder, at, kind)
        attempt(disk, lambda: machine.save(folder, 2, keep=2))
        clean_up(folder)
        assert check_newest(folder, bits, disk) == 2, str(disk)
        assert len(list_checkpoints(folder)) == 2, str(disk)


def test_loading_a_checkpoint(saved):
    machine, folder, bits = saved

    def load() -> None:
        path = newest_whole(folder, print)
        assert path is not None
        load_checkpoint(path, machine.model, machine.optimizers, checked=True)

    disk = Disk(folder)
    assert attempt(disk, load) is None
    assert machine.bits() == bits[1]
    machine.step()
    for at, kind in faults(disk.done, ("broken", "killed")):
        disk = Disk(folder, at, kind)
        assert attempt(disk, load) is not None, str(disk)
        assert machine.bits() == bits[2], f"{disk}: the model was changed in part"
        assert [path.name for path in folder.iterdir()] == ["step-00000001"], str(disk)
    # Where nothing can be written, reading goes on.
    assert attempt(Disk(folder, 1, "read-only"), load) is None


def test_the_report(trained, tmp_path):
    run = RunDirectory(shutil.copytree(trained, tmp_path / "run"))
    old = run.report.read_bytes()
    disk = Disk(run.path)
    assert attempt(disk, lambda: write_report(run)) is None
    new = run.report.read_bytes()
    for at, kind in faults(disk.done):
        run.report.write_bytes(old)
        disk = Disk(run.path, at, kind)
        failed = attempt(disk, lambda: write_report(run))
        assert run.report.read_bytes() == new or (failed and run.report.read_bytes() == old)
        assert failed is None or kind != "short", str(disk)
    clean_up(run.path)
    assert sorted(run.path.iterdir()) == sorted(run.path / path.name for path in trained.iterdir())


# --- whole commands -------------------------------------------------------------------------------


def sample(done: list[str], size: int) -> list[tuple[int, str]]:
    """Some faults of all kinds, drawn anew each time: `make torture` tries every one."""
    every = faults(done)
    return random.sample(every, min(size, len(every)))
