"""Any bytes under any name: every reader gives texts or complains in a line, and does nothing else.

`--hypothesis-profile campaign` tries fifty times as many.
"""

import gzip
import io
import json

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from llmcourse.data import local, tagged
from llmcourse.data.documents import Document
from llmcourse.data.reading import Reading
from llmcourse.data.tables import read_rows
from llmcourse.errors import UserError
from llmcourse.finetune.chats import read_chats, read_pairs, read_texts
from llmcourse.finetune.examples import read_labelled, read_tags
from llmcourse.finetune.settings import DataSettings

FRAGMENTS = [
    *(b"{", b"}", b"[", b"]", b'"', b"'", b",", b";", b"\t", b"\n", b"\r\n", b"\r", b"\0", b" "),
    *(b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xff\xfe\0\0", b"\xff", b"\x80", b"\xc3\xa9"),
    *(b"text", b'"text": ', b'"label": ', b'"tokens": ', b'"tags": ', b'"messages": '),
    *(b'{"role": "user", "content": "hi"}', b'{"role": 1, "content": [{"text": 5}]}'),
    *(b"null", b"NaN", b"1e999", b"9" * 5000, b"-1", b"\\ud800", b"\\u0000", b"[" * 60_000),
    *(b'{"text": "a b c"}\n', b'{"text": "a", "label": "x"}\n', b'{"chosen": 1, "rejected": ""}\n'),
    *(b'{"tokens": ["a"], "tags": ["b"]}\n', b"1\ta\tb\tNOUN\tc\td\te\tf\tg\th\n", b"word TAG\n"),
    *(
        b"# c\n",
        b"-DOCSTART- O\n",
        b"<p>",
        b"<!--",
        b"<![CDATA[",
        b"<![",
        b"</",
        b"&#xD800;",
        b"<script>",
    ),
    *(b"%PDF", b"PK\x03\x04", b"\x1f\x8b", b"\x1b$B", b"~{", b"+AGE-", b"a" * 70_000, b'"a""b"'),
    *(b"1,2,3\n", b"name,text\n", b",text,label\n"),
]
WHOLE = [
    b'{"text": "The cat sat.", "label": "a"}\n{"text": "A dog ran.", "label": "b"}\n',
    b'[{"text": "The cat", "label": 1}, {"text": "dog", "label": 2}]',
    b'text,label\n"The cat, sat",a\nA dog,b\n',
    "The café was open.\n\nAnd so was the door.\n".encode("cp1252") * 3,
    b"<html><body><p>Hi &eacute;<script>x</script></p></body></html>",
    b"The O\ncat B\n\nA O\n",
    b"# id\n1\tThe\tthe\tDET\t_\t_\t2\tdet\t_\t_\n",
]
SUFFIXES = [".txt", ".md", ".html", ".jsonl", ".json", ".csv", ".tsv", ".conll", ".conllu", ""]
ENCODINGS = [None, None, "utf-8", "utf-16", "utf-32", "cp1252", "utf-7", "hz", "idna", "gb18030"]


def in_own_words(read):
    """A reader of fine-tuning, called as those of pretraining are."""
    return lambda path, reading: read(path, DataSettings(encoding=reading.encoding))


READERS = {
    "documents": local.read,
    "rows": read_rows,
    "tagged": lambda path, reading: tagged.read_tagged(path, reading=reading),
    **{
        read.__name__: in_own_words(read)
        for read in (read_labelled, read_tags, read_chats, read_pairs, read_texts)
    },
}


@st.composite
def damaged(draw, whole):
    """Bytes with a few places cut, doubled, turned or filled."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 4))):
        place, length = draw(st.integers(0, len(data))), draw(st.integers(0, 9))
        end = draw(st.sampled_from([place, place + length, len(data)]))
        data[place:end] = draw(st.binary(max_size=4) | st.sampled_from(FRAGMENTS))
    return bytes(data)


SOUP = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map(b"".join)
ANY = st.binary(max_size=200) | SOUP | damaged(st.sampled_from(WHOLE))
PACKED = damaged(ANY.map(lambda data: gzip.compress(data, 1, mtime=0)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("any")


def attack(path, encoding):
    """Read a file by every reader, strictly and going on behind errors; nothing else may come."""
    for name, read in READERS.items():
        for on_error in ([], None):
            told = [] if on_error is None else on_error
            reading = Reading(encoding=encoding)
            if on_error is not None:
                reading = Reading(encoding=encoding, on_error=told.append)
            try:
                for one in read(path, reading):
                    if isinstance(one, Document):
                        assert one.text.strip(), name
            except UserError as error:
                told.append(error)
            assert all(isinstance(error, UserError) for error in told), name
            assert all(0 < len(str(error)) < 3000 for error in told), name


@given(suffix=st.sampled_from(SUFFIXES), data=ANY, encoding=st.sampled_from(ENCODINGS))
def test_files(folder, suffix, data, encoding):
    path = folder / f"file{suffix}"
    path.write_bytes(data)
    attack(path, encoding)


@given(suffix=st.sampled_from(SUFFIXES), data=PACKED, encoding=st.sampled_from(ENCODINGS))
def test_packed_files(folder, suffix, data, encoding):
    path = folder / f"file{suffix}.gz"
    path.write_bytes(data)
    attack(path, encoding)


COLUMNS = {
    "text": pyarrow.array(["a b", "c"]),
    "bytes": pyarrow.array([b"\xff\xfe", b""]),
    "no UTF-8": pyarrow.array([b"\xff\xfe", b""]).view(pyarrow.string()),
    "chat": pyarrow.array([[{"role": "user", "content": "x"}]] * 2),
    "repeated": pyarrow.array(["x", "x"]).dictionary_encode(),
    "year 146 billion": pyarrow.array([2**62] * 2, pyarrow.timestamp("us")),
    "day": pyarrow.array([2**31 - 1] * 2, pyarrow.date32()),
    "nanoseconds": pyarrow.array([1] * 2, pyarrow.time64("ns")),
    "numbers": pyarrow.array([1.5, float("nan")]),
    "nothing": pyarrow.array([None, None]),
    "map": pyarrow.array([[("k", "v")]] * 2, pyarrow.map_(pyarrow.string(), pyarrow.string())),
}
NAMES = ["text", "label", "messages", "x", "", "é", "a.b", "tokens", "tags", "chosen"]


def as_parquet(columns, compression):
    names = NAMES[: len(columns)]
    file = io.BytesIO()
    table = pyarrow.table(dict(zip(names, (COLUMNS[name] for name in columns), strict=True)))
    parquet.write_table(table, file, compression=compression)
    return file.getvalue()


TABLES = st.builds(
    as_parquet, st.lists(st.sampled_from([*COLUMNS]), max_size=3), st.sampled_from(["none", "zstd"])
)


@given(data=TABLES | damaged(TABLES))
def test_parquet(folder, data):
    path = folder / "file.parquet"
    path.write_bytes(data)
    attack(path, None)


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("name", ["text", "x"])
def test_each_kind_of_column(kind, name, folder):
    """Readers that take all columns meet those that Python has no value for."""
    path = folder / "kind.parquet"
    parquet.write_table(pyarrow.table({name: COLUMNS[kind], "label": ["a", "b"]}), path)
    attack(path, None)


# --- what was wrong once --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "encoding", "message"),
    [
        ("a.csv", b"text,label\n\xff,a\n", "utf-8", "not UTF-8 text"),
        ("a.jsonl", b'{"text": "a"}', "utf-16", "not utf-16 text"),
        (
            "a.csv.gz",
            gzip.compress(b"text,label\nx,a\n", mtime=0)[:-3],
            None,
            "does not unpack as gzip",
        ),
        ("a.conll.gz", b"\x1f\x8b\x08 nothing", None, "does not unpack as gzip"),
        (
            "a.txt.gz",
            gzip.compress(b"caf\xe9 \xff", mtime=0)[:-6],
            "utf-8",
            "does not unpack as gzip",
        ),
    ],
)
def test_damage_is_named_whoever_reads(name, data, encoding, message, folder):
    path = folder / name
    path.write_bytes(data)
    reads = [READERS["documents"]] if ".txt" in name else []
    reads += [READERS["tagged"], READERS["read_tags"]] if ".conll" in name else []
    reads += [READERS["rows"], READERS["read_labelled"]] if not reads else []
    for read in reads:
        with pytest.raises(UserError, match=message) as caught:
            list(read(path, Reading(encoding=encoding)))
        assert str(path) in str(caught.value)


def test_a_mark_that_the_parser_cannot_read(folder):
    path = folder / "mark.html"
    path.write_bytes(b"<p>Hello.<![[a]]><p>And so on.")
    with pytest.raises(UserError, match="damaged: no browser could read its marks"):
        list(local.read(path))


def test_a_column_without_a_name_is_no_pair(folder):
    path = folder / "noname.csv"
    path.write_bytes(b",text2,other\nsome words here,more words there,and more of them\n")
    with pytest.raises(UserError, match="name the one to read"):
        list(local.read(path))


def test_names_in_a_message_are_neither_long_nor_many(folder):
    path = folder / "long.jsonl"
    path.write_text(json.dumps({f"{n}{'x' * 1000}": n for n in range(100)}))
    for read in (READERS["read_labelled"], READERS["read_chats"], READERS["read_pairs"]):
        with pytest.raises(UserError, match=r"x\.\.\., .* and 80 more") as caught:
            list(read(path, Reading()))
        assert len(str(caught.value)) < 3000
