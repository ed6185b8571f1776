"""Whole commands on a disk that fails: `prepare`, `export` and `finetune`, from start to end.

At an operation that a seed draws the disk breaks, fills up, becomes read-only, writes by half, or
the process dies. The command then works, or ends with one line; what was there before is as it was;
and what it leaves is whole, or is not taken for whole by whoever starts the command once more. All
files are on that disk: what is read, and what is written. Saving alone, at every operation:
`test_faults.py`; kills at any moment: `make torture`.
"""

import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_disk import Disk, Killed, faults
from small_jobs import Job, other_jobs, tuning_jobs

from llmcourse.data.prepared import foreign_to_prepared
from llmcourse.files import TEMPORARY, recover_directory

SEED = 20
TRIES = {"prepare": 100, "export int8": 8, "export hf": 12, "finetune": 16}
"""How many faults of each command are drawn: less than a minute of each."""


@pytest.fixture(scope="module")
def jobs(trained, tmp_path_factory):
    """The commands by name, and the folder that holds all that they read."""
    folder = tmp_path_factory.mktemp("jobs")
    base = Path(shutil.copytree(trained, folder / "base"))
    found = {job.name: job for job in (*other_jobs(base, folder), *tuning_jobs(base, folder))}
    (folder / "mine.txt").write_text("years of work")
    return found, folder


def do(job: Job, out: Path, disk: Disk, capsys) -> tuple[int | None, str]:
    """Run a command on a disk: its status, None if it was killed, and the last line that it said.

    Whatever went wrong is told in one line.
    """
    capsys.readouterr()
    status: int | None = None
    with disk():
        try:
            status = job.run(out)
        except SystemExit as end:
            status = int(end.code or 0)
        except Killed:
            pass
    said = capsys.readouterr().err.splitlines()
    errors = [line for line in said if line.startswith("error: ")]
    if status is not None:
        assert (status, len(errors)) in ((0, 0), (2, 1)), f"{disk}: {status} {said}"
        assert status == 0 or errors == said[-1:], f"{disk}: {said}"
    return status, (said or [""])[-1]


def chosen(disk: Disk, name: str) -> list[tuple[int, str]]:
    """The faults that are tried of those that may happen."""
    every = faults(disk.done)
    tries = TRIES.get(name, TRIES.get(name.split()[0], 0))
    drawn = random.Random(SEED).sample(every, min(tries, len(every)))
    # The moment that matters most is never left to chance: whole folders taking their places.
    moved = {at for at, what in enumerate(disk.done, 1) if re.match(r"replace \.?out[^/]*$", what)}
    swaps = [one for one in every if one[0] in moved]
    return [*swaps, *(one for one in drawn if one not in swaps)]


CLEANING = ("unlink", "remove", "rmdir", "scandir", "listdir", "open")
"""Operations by which what is unfinished is removed; where one of them fails, it stays."""


def sweep(folder: Path, disk: Disk) -> None:
    """Remove what may be left where nothing could be removed: by a name that says what it is."""
    cleans = disk.done[disk.at - 1].split()[0] in CLEANING
    if disk.kind == "short" or (disk.kind == "broken" and not cleans):
        return
    for path in [*folder.glob(f".*{TEMPORARY}"), *folder.glob(".out.old")]:
        shutil.rmtree(path)
    (folder / ".out.llmcourse-lock").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["prepare", "export int8", "export hf"])
def test_a_folder_that_is_written_at_once(name, jobs, tree, capsys):
    found, folder = jobs
    job, before = found[name], tree(folder)
    disk = Disk(folder)
    assert do(job, folder / "out", disk, capsys)[0] == 0
    whole = job.picture(folder / "out")
    shutil.rmtree(folder / "out")
    for at, kind in chosen(disk, name):
        disk = Disk(folder, at, kind)
        status, _ = do(job, folder / "out", disk, capsys)
        if status == 0:
            assert job.picture(folder / "out") == whole, str(disk)
        if status is None:
            if (folder / "out").exists():
                assert job.picture(folder / "out") == whole, str(disk)
            else:  # a lock or an unfinished folder is no hindrance
                assert do(job, folder / "out", Disk(folder), capsys)[0] == 0, str(disk)
                assert job.picture(folder / "out") == whole, str(disk)
        shutil.rmtree(folder / "out", ignore_errors=status == 2)
        sweep(folder, disk)
        assert tree(folder) == before, str(disk)


def test_a_prepared_folder_that_is_replaced(jobs, tree, capsys):
    found, folder = jobs
    job, out = found["prepare"], folder / "out"
    (folder / "old.txt").write_text("".join(f"Line {n} was here before.\n" for n in range(300)))
    old_job = replace(job, arguments=[str(folder / "old.txt"), *job.arguments[1:]])
    assert old_job.run(out) == 0
    kept, old = Path(shutil.copytree(out, folder.parent / "kept")), job.picture(out)
    job = replace(job, arguments=[*job.arguments, "--overwrite"])
    disk = Disk(folder)
    assert do(job, out, disk, capsys)[0] == 0
    new = job.picture(out)
    assert new != old
    shutil.rmtree(out)
    before = tree(folder)
    ends = set()
    for at, kind in chosen(disk, "prepare"):
        shutil.copytree(kept, out)
        disk = Disk(folder, at, kind)
        status, _ = do(job, out, disk, capsys)
        if kind not in ("broken", "short"):  # as the next command does first
            recover_directory(out, foreign_to_prepared)
        picture = job.picture(out)
        assert picture == new or (status != 0 and picture == old), str(disk)
        ends.add((status, picture == new))
        if status is None:
            assert do(job, out, Disk(folder), capsys)[0] == 0, str(disk)
            assert job.picture(out) == new, str(disk)
        shutil.rmtree(out)
        sweep(folder, disk)
        assert tree(folder) == before, str(disk)
    shutil.rmtree(kept)
    assert ends >= {(2, False), (None, False)}


@pytest.mark.parametrize("name", ["finetune classification, full", "finetune tagging, full"])
def test_fine_tuning(name, jobs, tree, capsys):
    found, folder = jobs
    job, before = found[name], tree(folder)
    disk = Disk(folder)
    assert do(job, folder / "out", disk, capsys)[0] == 0
    whole = job.picture(folder / "out")
    shutil.rmtree(folder / "out")
    for at, kind in chosen(disk, name):
        disk = Disk(folder, at, kind)
        status, _ = do(job, folder / "out", disk, capsys)
        if status == 0:
            assert job.picture(folder / "out") == whole, str(disk)
        else:  # what it has left is gone on from, and becomes what it would have been
            assert do(job, folder / "out", Disk(folder), capsys)[0] == 0, str(disk)
            assert job.picture(folder / "out") == whole, str(disk)
        hidden = {path.name for path in (folder / "out").rglob(f".*{TEMPORARY}")}
        assert not hidden, f"{disk}: {hidden}"
        shutil.rmtree(folder / "out")
        assert tree(folder) == before, str(disk)
