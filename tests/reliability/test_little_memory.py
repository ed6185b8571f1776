"""Files that are small, or one line, and would fill the memory: read in pieces, or refused.

A process of its own reads them, which the system gives little more than it needs to begin with.
"""

import gzip
import json
import subprocess
import sys

import pyarrow
import pytest
from pyarrow import parquet

ROOM = 1100
"""Megabytes of address space beyond what the process has when all is imported."""

READ = """
import json, resource, sys
from pathlib import Path
from llmcourse.data import local, tagged
from llmcourse.data.reading import Reading
from llmcourse.errors import UserError
from llmcourse.tokenizers.gpt2 import load_gpt2
import io, pyarrow, pyarrow.compute, pyarrow.parquet
pyarrow.set_io_thread_count(1)
pyarrow.set_cpu_count(1)
table = io.BytesIO()  # so that the library's threads are there, whose stacks count
pyarrow.parquet.write_table(pyarrow.table({"text": [["a"]]}), table)
pyarrow.parquet.read_table(table)
room = int(sys.argv[1]) << 20
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + room, used + room))
for name in sys.argv[2:]:
    path, characters, refusals = Path(name), 0, []
    reading = Reading(on_error=lambda error: refusals.append(str(error)))
    try:
        if path.name.startswith("vocab"):
            load_gpt2(path, path)
        elif ".conll" in path.name:
            characters = sum(len(text.words) for text in tagged.read_tagged(path, reading=reading))
        else:
            characters = sum(len(document.text) for document in local.read(path, reading))
    except UserError as error:
        refusals.append(str(error))
    print(json.dumps([path.name, characters, refusals[:3]]), flush=True)
"""

MEGABYTE = 1 << 20
SIZE = 68
"""Megabytes, unpacked, of each file: more than a line of a table may have."""
LONG = "more than 67,108,864 characters"


def bomb(name, beginning, filling, size):
    """A file's bytes: so many megabytes, packed by gzip if its name says so."""
    block = filling * (MEGABYTE // len(filling))
    if name.endswith(".gz"):  # one packed file behind another is a packed file
        return gzip.compress(beginning) + gzip.compress(block) * size
    return beginning + block * size


BOMBS = {
    # name: beginning, what goes on, and what is said
    "line.txt": (b"", b"a", None),
    "line.md.gz": (b"", "é".encode(), None),
    "line.html": (b"<p>", b"a", None),
    "script.html.gz": (b"<p>hello<script>", b"x y\n", None),
    "comment.html.gz": (b"<p>hello<!--", b"x y\n", "does not end"),
    "tag.html.gz": (b"<p>hello", b"<a ", "does not end"),
    "line.jsonl": (b'{"text": "', b"a", LONG),
    "line.jsonl.gz": (b'{"text": "', b"a", LONG),
    "list.json.gz": (b"[", b"[],", LONG),
    "cell.csv": (b"text,label\n", b"a", LONG),
    "quote.csv.gz": (b'text,label\n"', b"a " * 5000 + b"\n", LONG),
    "cells.tsv.gz": (b"text\tlabel\n", b"a\t", LONG),
    "line.conll.gz": (b"", b"a B ", LONG),
    "line.conllu": (b"", b"1\t", LONG),
    "text.conll.gz": (b"", b"a B\n", "more than 1,048,576 words"),
    "vocab.json.gz": (b'{"a": 0', b" ", "it is no vocabulary"),
}
TABLES = {"repeated.parquet": None, "repeated_packed.parquet": None, "chat.parquet": LONG}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the process said of each file: characters read, and refusals."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, (beginning, filling, _) in BOMBS.items():
        size = 2 * SIZE if name.startswith("vocab") else SIZE
        (folder / name).write_bytes(bomb(name, beginning, filling, size))
    write_tables(folder)
    names = [str(folder / name) for name in (*BOMBS, *TABLES)]
    line = [sys.executable, "-c", READ, str(ROOM), *names]
    done = subprocess.run(line, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return {name: said for name, *said in map(json.loads, done.stdout.splitlines())}


def write_tables(folder):
    """Tables of a few kilobytes that say a long text very often."""
    text = "a b " * (MEGABYTE // 4)
    repeated = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 200, "int32"), [text])
    parquet.write_table(
        pyarrow.table({"text": repeated}), folder / "repeated.parquet", compression="zstd"
    )
    parquet.write_table(
        pyarrow.table({"text": repeated}), folder / "repeated_packed.parquet", compression="zstd",
        store_schema=False,
    )  # fmt: skip
    turns = pyarrow.StructArray.from_arrays(
        [pyarrow.array(["user"] * 200), repeated], ["role", "content"]
    )
    chat = pyarrow.ListArray.from_arrays(pyarrow.array([0, 200], "int32"), turns)
    parquet.write_table(
        pyarrow.table({"messages": chat}), folder / "chat.parquet", compression="zstd"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BOMBS, *TABLES])
def test_little_memory_is_enough(name, told):
    characters, refusals = told[name]
    message = TABLES[name] if name in TABLES else BOMBS[name][2]
    if message is None:
        assert refusals == []
        assert characters > 0
    else:
        assert len(refusals) == 1
        assert message in refusals[0]
        assert name in refusals[0]


@pytest.mark.slow
def test_what_is_streamed_is_all_there(told):
    assert told["line.txt"][0] == told["line.html"][0] == SIZE * MEGABYTE
    assert told["line.md.gz"][0] == SIZE * MEGABYTE // 2
    assert told["repeated.parquet"][0] == told["repeated_packed.parquet"][0] == 200 * MEGABYTE
