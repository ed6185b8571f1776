import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmcourse import files, locks
from llmcourse.files import (
    atomic_directory,
    atomic_file,
    atomic_write_bytes,
    atomic_write_text,
    clean_up,
    recover_directory,
)
from llmcourse.locks import lock_holder, try_lock


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_text_is_written_as_utf8_with_its_own_newlines(tmp_path: Path):
    atomic_write_text(tmp_path / "note.txt", "naïve\r\n火\n")
    assert (tmp_path / "note.txt").read_bytes() == "naïve\r\n火\n".encode()


def test_a_file_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path):
    atomic_write_bytes(tmp_path / "a", b"old and long")
    atomic_write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == {"a"}


def test_a_file_may_be_read_by_whom_the_umask_allows(tmp_path: Path):
    umask = os.umask(0o022)
    try:
        atomic_write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(umask)
    if os.name != "nt":
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_the_old_file_stands_until_the_block_ends(tmp_path: Path):
    atomic_write_bytes(tmp_path / "a", b"old")
    with atomic_file(tmp_path / "a") as file:
        file.write(b"new")
        file.flush()
        assert (tmp_path / "a").read_bytes() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_block_that_raises_leaves_the_old_file(tmp_path: Path):
    def interrupted() -> None:
        with atomic_file(tmp_path / "a") as file:
            file.write(b"half of the n")
            raise KeyboardInterrupt

    atomic_write_bytes(tmp_path / "a", b"old")
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == {"a"}


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path: Path, monkeypatch):
    # A disk that delays its allocation reports that it is full at the sync.
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    atomic_write_bytes(tmp_path / "a", b"old")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        atomic_write_bytes(tmp_path / "a", b"new")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == {"a"}


@pytest.mark.skipif(os.name == "nt", reason="needs a limit on the size of files")
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_write_that_the_system_refuses_halfway_names_the_file(tmp_path: Path, kind: str):
    write = {
        "file": "with files.atomic_file(path) as file: file.write(b'x' * 100_000)",
        "directory": "with files.atomic_directory(path) as new: "
        "(new / 'big').write_bytes(b'x' * 100_000)",
    }[kind]
    script = f"""
import resource
from llmcourse import files
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
path = {str(tmp_path / "a")!r}
try:
    {write}
except OSError as error:
    print(error.errno, error.filename)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{errno.EFBIG} {tmp_path / 'a'}\n"
    assert names(tmp_path) == set()


def test_a_missing_folder_is_named_as_the_caller_wrote_it(tmp_path: Path):
    with pytest.raises(FileNotFoundError) as caught:
        atomic_write_bytes(tmp_path / "nowhere" / "a", b"")
    assert caught.value.filename == str(tmp_path / "nowhere" / "a")


def fill(path: Path, content: str) -> None:
    with atomic_directory(path) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text(content)


def test_a_directory_replaces_the_old_one_whole(tmp_path: Path):
    fill(tmp_path / "model", "old")
    (tmp_path / "model" / "left_over").touch()
    fill(tmp_path / "model", "new")
    assert names(tmp_path / "model") == {"inner"}
    assert (tmp_path / "model" / "inner" / "file").read_text() == "new"
    assert names(tmp_path) == {"model"}


def test_a_directory_whose_block_raises_is_the_old_one(tmp_path: Path):
    def interrupted() -> None:
        with atomic_directory(tmp_path / "model") as folder:
            (folder / "file").write_text("new")
            raise KeyboardInterrupt

    fill(tmp_path / "model", "old")
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "model" / "inner" / "file").read_text() == "old"
    assert names(tmp_path) == {"model"}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_everything_in_a_directory_is_on_the_disk_before_it_is_in_place(tmp_path, monkeypatch):
    synced, fsync = set(), os.fsync

    def sync(descriptor: int) -> None:
        synced.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        if not (tmp_path / "model").exists():
            before.update(synced)
        fsync(descriptor)

    before: set[str] = set()
    monkeypatch.setattr(files.os, "fsync", sync)
    fill(tmp_path / "model", "new")
    assert {"inner", "file"} < before
    assert any(name.startswith(".model.") for name in before)
    assert tmp_path.name in synced, "the rename itself"


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it may be counted on."""


@pytest.mark.parametrize("fatal", [0, 1, 2])
def test_a_swap_is_finished_by_whoever_comes_next(tmp_path: Path, monkeypatch, fatal: int):
    """Die before each of the three renames; the folder is then whole again, old or new."""
    fill(tmp_path / "model", "old")
    rename, done = os.replace, []

    def dies(source, target):
        if len(done) == fatal:
            raise Killed
        done.append(target)
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", dies)
        with pytest.raises(Killed):
            fill(tmp_path / "model", "new")

    assert (tmp_path / "model").exists() == (fatal != 2), "the test kills in the wrong places"
    recover_directory(tmp_path / "model")
    content = (tmp_path / "model" / "inner" / "file").read_text()
    assert content == ("old" if fatal == 0 else "new")
    assert names(tmp_path) == {"model"}
    recover_directory(tmp_path / "model")
    assert names(tmp_path) == {"model"}


def test_recovering_what_never_was_does_nothing(tmp_path: Path):
    recover_directory(tmp_path / "model")
    assert names(tmp_path) == set()


def test_leftovers_of_killed_writers_are_cleaned_up_and_nothing_else(tmp_path: Path):
    kept = {"a", "notes.tmp", ".hidden"}
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / ".a.0badf00d.tmp").touch()
    (tmp_path / ".model.0badf00d.tmp").mkdir()
    (tmp_path / ".model.0badf00d.tmp" / "file").touch()
    fill(tmp_path / ".model.new", "finished, but not yet in place")
    clean_up(tmp_path)
    assert names(tmp_path) == kept | {"model"}
    assert (tmp_path / "model" / "inner" / "file").exists()


HOLD = """
import sys
from llmcourse.locks import try_lock
lock = try_lock(sys.argv[1])
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_held_against_others_until_its_process_dies(tmp_path: Path):
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"locked"
        assert try_lock(path) is None
        assert lock_holder(path) == f"process {holder.pid}"
        holder.kill()
    lock = try_lock(path)
    assert lock is not None
    assert lock_holder(path) == f"process {os.getpid()}"
    assert try_lock(path) is None, "a second time in one process"
    lock.close()
    again = try_lock(path)
    assert again is not None
    again.close()


def test_a_lock_whose_holder_has_not_signed_yet_is_another_process(tmp_path: Path):
    (tmp_path / "lock").touch()
    assert lock_holder(tmp_path / "lock") == "another process"


@pytest.mark.skipif(os.name == "nt", reason="locks differently")
def test_a_folder_that_knows_no_locks_is_used_without(tmp_path: Path, monkeypatch):
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", unsupported)
    lock = try_lock(tmp_path / "lock")
    assert lock is not None
    lock.close()


FORKS = """
import os, sys
from llmcourse.locks import try_lock
lock = try_lock(sys.argv[1])
ready, begun = os.pipe()
waits, ends = os.pipe()
child = os.fork()
if not child:
    os.close(ends)
    os.write(begun, b"x")
    os.read(waits, 1)  # until the parent has seen enough
    os._exit(0)
os.read(ready, 1)
assert try_lock(sys.argv[1]) is None  # it is still its parent's
lock.close()  # as if the parent had died
again = try_lock(sys.argv[1])
os.close(ends)
os.waitpid(child, 0)
sys.exit(again is None)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_does_not_keep_its_parents_lock(tmp_path):
    command = [sys.executable, "-c", FORKS, str(tmp_path / "lock")]
    assert subprocess.run(command, timeout=100).returncode == 0
