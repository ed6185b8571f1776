import csv
import gzip
import json

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from llmcourse.data import encoding, local
from llmcourse.data.documents import DOCUMENT_LENGTH, Document
from llmcourse.data.reading import Reading
from llmcourse.errors import UserError

BOOK = "\n\n".join(f"Paragraph {n}. " + "It was a dark and stormy night. " * 20 for n in range(200))


def read(path):
    return list(local.read(path))


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# --- plain text ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["book.txt", "book.md", "BOOK.TXT", "book.txt.gz"])
def test_a_book_becomes_documents_cut_at_blank_lines(tmp_path, name):
    data = gzip.compress(BOOK.encode()) if name.endswith(".gz") else BOOK.encode()
    documents = read(write(tmp_path / name, data))
    assert len(documents) == 8
    assert "\n\n".join(document.text for document in documents) == BOOK
    for document in documents[:-1]:
        assert DOCUMENT_LENGTH - 2 <= len(document.text) < DOCUMENT_LENGTH + 1000
        assert document.text.startswith("Paragraph")
    assert [document.name for document in documents] == [f"{name}:{n}" for n in range(1, 9)]


@given(st.lists(st.sampled_from([*"ab \n\t嗨", "\r\n", "\n\n", "x" * 9000]), max_size=40))
def test_no_character_is_lost_or_moved(tmp_path_factory, parts):
    text = "".join(parts)
    path = write(tmp_path_factory.getbasetemp() / "any.txt", text)
    kept = "".join(document.text for document in read(path))
    assert "".join(kept.split()) == "".join(text.split())


def test_an_endless_line_is_cut_all_the_same(tmp_path):
    documents = read(write(tmp_path / "line.txt", "x" * (5 * DOCUMENT_LENGTH + 1)))
    assert [len(document.text) for document in documents] == [DOCUMENT_LENGTH] * 5 + [1]


def test_windows_line_ends_and_byte_order_mark_are_not_text(tmp_path):
    path = write(tmp_path / "windows.txt", b"\xef\xbb\xbfone\r\n\r\ntwo\r\n")
    assert [document.text for document in read(path)] == ["one\n\ntwo"]


def test_a_file_is_not_read_whole(tmp_path):
    """The end of this file would be an error; the beginning does not know it yet."""
    path = write(tmp_path / "big.txt", "嗨".encode() + BOOK.encode() * 20 + b"\xff")
    documents = local.read(path)
    assert next(documents).text.startswith("嗨Paragraph 0.")
    with pytest.raises(UserError, match="not UTF-8"):
        list(documents)


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv", ".txt.gz"])
@pytest.mark.parametrize(
    ("before", "bad"),
    [
        ("UTF-8: café, et du thé, puis Latin-1: caf".encode(), b"\xe9 au lait"),
        ("嗨".encode() * 700_000, b"\x80"),  # far beyond a block, and not at a multiple of its size
        ("嗨, cut short: ".encode(), "嗨".encode()[:2]),
    ],
)
def test_the_byte_that_is_no_utf8_is_named(tmp_path, suffix, before, bad):
    before = b"text\n" + before
    data = before + bad
    path = write(tmp_path / f"bad{suffix}", gzip.compress(data) if "gz" in suffix else data)
    if suffix == ".jsonl":
        path.write_bytes(data[5:])
        before = before[5:]
    with pytest.raises(UserError, match=rf"bad{suffix} is not UTF-8 text: byte {len(before)} does"):
        read(path)


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
def test_json_lines_give_a_document_a_row(tmp_path, name):
    rows = [{"text": "one\ntwo", "n": 1}, {"n": 2}, {"text": "嗨\ud800", "n": 3}]
    data = "\n\n".join(map(json.dumps, rows)).encode()
    path = write(tmp_path / name, gzip.compress(data) if name.endswith(".gz") else data)
    assert read(path) == [Document("one\ntwo", f"{name}:1"), Document("嗨\ud800", f"{name}:5")]


@pytest.mark.parametrize("line", ["{", "nonsense", '{"text": "a"', "[" * 100_000])
def test_a_line_that_is_no_json_is_named(tmp_path, line):
    path = write(tmp_path / "t.jsonl", f'{{"text": "a"}}\n{line}\n')
    with pytest.raises(UserError, match=r"t\.jsonl, line 2: this is not JSON"):
        read(path)


@pytest.mark.parametrize("line", ["[1, 2]", '"text"', "3", "null"])
def test_a_line_without_columns_is_named(tmp_path, line):
    path = write(tmp_path / "t.jsonl", line)
    with pytest.raises(UserError, match="line 1: this is no JSON object with named columns"):
        read(path)


def test_csv_rows_may_hold_commas_quotes_lines_and_whole_articles(tmp_path):
    texts = ["plain", 'with "quotes", commas', "two\nlines", "long " * 50_000]
    path = tmp_path / "t.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "story"], *enumerate(texts)])
    assert [document.text for document in read(path)] == texts
    assert read(path)[2].name == "t.csv:5"


def test_line_ends_inside_a_csv_cell_are_like_everywhere(tmp_path):
    path = write(tmp_path / "t.csv", b'n,text\r\n1,"two\r\nlines"\r\n')
    assert [document.text for document in read(path)] == ["two\nlines"]


def test_a_csv_row_that_is_short_or_long_is_no_error(tmp_path):
    path = write(tmp_path / "t.csv", "n,text\n1\n2,b\n3,c,d\n")
    assert [document.text for document in read(path)] == ["b", "c"]


def test_parquet_reads_only_the_column_it_needs(tmp_path):
    path = tmp_path / "t.parquet"
    table = {"vector": [[1.0, 2.0]] * 600, "story": [f"story {n}" for n in range(599)] + [None]}
    parquet.write_table(pyarrow.table(table), path)
    documents = read(path)
    assert documents[0] == Document("story 0", "t.parquet:1")
    assert [document.text for document in documents] == table["story"][:599]


@pytest.mark.parametrize("kind", [pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()])
def test_parquet_text_of_every_kind_is_text(tmp_path, kind):
    table = pyarrow.table({"n": [1], "story": pyarrow.array(["once"], kind)})
    parquet.write_table(table, tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet") == [Document("once", "t.parquet:1")]


def test_parquet_columns_are_listed(tmp_path):
    parquet.write_table(pyarrow.table({"en": ["Hi."], "fr": ["Salut."]}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="has no column 'text' but en, fr"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize("content", [b"", b"junk", b"PAR1junkPAR1"])
def test_a_damaged_parquet_file_is_named(tmp_path, content):
    with pytest.raises(UserError, match=r"t\.parquet is damaged: "):
        read(write(tmp_path / "t.parquet", content))


# --- files in general ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"no gzip at all", gzip.compress(b"text " * 9999, mtime=0)[:60], b"\x1f\x8b"],
    ids=["foreign", "cut short", "cut at once"],
)
def test_a_damaged_gzip_file_is_named(tmp_path, data):
    with pytest.raises(UserError, match=r"t\.txt\.gz is damaged: it does not unpack as gzip"):
        read(write(tmp_path / "t.txt.gz", data))


def test_a_file_that_is_no_plain_text_says_what_to_do(tmp_path):
    path = write(tmp_path / "book.pdf", "text")
    with pytest.raises(UserError, match=r"book\.pdf is a PDF: turn it into text"):
        local.read(path)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    path = write(tmp_path / "secret.txt", "text")

    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(encoding, "open_bytes", refuse)  # root may read everything
    with pytest.raises(UserError, match=r"secret\.txt may not be read: change its permissions"):
        read(path)


def test_a_folder_gives_its_files_in_order(tmp_path):
    for name, text in {
        "b.txt": "two",
        "a.md": "one",
        "sub/c.jsonl": '{"text": "three"}',
        "notes.pdf": "no",
        ".hidden.txt": "no",
        ".git/d.txt": "no",
        "empty.txt": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, text)
    assert [document.text for document in read(tmp_path)] == ["one", "two", "three"]


def test_a_folder_without_data_says_what_it_looked_for(tmp_path):
    write(tmp_path / "book.pdf", "text")
    with pytest.raises(UserError, match=r"holds no file that ends in \.txt \.md"):
        local.read(tmp_path)


def test_reading_stopped_early_leaves_no_file_open(tmp_path, monkeypatch):
    opened = []
    open_bytes = encoding.open_bytes
    monkeypatch.setattr(
        encoding, "open_bytes", lambda path: opened.append(open_bytes(path)) or opened[-1]
    )
    documents = local.read(write(tmp_path / "big.txt", BOOK))
    next(documents)
    assert [file.closed for file in opened] == [True, False]  # a look at its encoding, the reading
    documents.close()
    assert [file.closed for file in opened] == [True, True]


# --- going on behind what cannot be read ---------------------------------------------------------


def read_on(path):
    """The names of what is read, and what is said about the rest."""
    errors = []
    names = [document.name for document in local.read(path, Reading(on_error=errors.append))]
    return names, [(type(error).__name__, str(error).replace(str(path), "")) for error in errors]


def test_the_good_files_of_a_folder_are_read_and_the_others_named(tmp_path):
    for name, data in {
        "a.txt": b"good",
        "b.txt": "café, thé, ".encode() + b"caf\xe9",
        "c.txt.gz": b"no gzip",
        "d.jsonl": b'{"text": "good"}',
        "e.csv": b"a,b\nx,y\n",
        "f.txt": b" \n",
        "g.png": b"\x89PNG",
        "h.parquet": b"junk",
        "i.md": b"good",
    }.items():
        write(tmp_path / name, data)
    names, errors = read_on(tmp_path)
    assert names == ["a.txt:1", "d.jsonl:1", "i.md:1"]
    assert [kind for kind, _ in errors] == [
        *("UserError", "UserError", "UserError", "SkippedInput", "SkippedInput", "UserError")
    ]
    for (_, message), start in zip(
        errors,
        [
            "/b.txt is not UTF-8 text: byte 16",
            "/c.txt.gz is damaged: it does not unpack",
            "/e.csv has no column 'text' but a, b",
            "/f.txt holds no text",
            "/g.png has an unknown suffix",
            "/h.parquet is damaged: ",
        ],
        strict=True,
    ):
        assert message.startswith(start)


def test_the_good_lines_of_a_file_are_read_and_the_others_named(tmp_path):
    lines = [
        '{"text": "a"}',
        "{",
        '{"text": ""}',
        "[1]",
        '{"text": 3}',
        '{"n": 1}',
        '{"text": "b"}',
    ]
    names, errors = read_on(write(tmp_path / "t.jsonl", "\n".join(lines)))
    assert names == ["t.jsonl:1", "t.jsonl:7"]
    assert errors == [
        ("UserError", ", line 2: this is not JSON"),
        ("SkippedInput", "t.jsonl:3 holds no text"),
        ("UserError", ", line 4: this is no JSON object with named columns"),
        ("UserError", "t.jsonl:5: column 'text' holds int, not text"),
        ("SkippedInput", "t.jsonl:6 holds no text"),
    ]


def test_what_stands_before_a_bad_byte_is_read(tmp_path):
    names, errors = read_on(write(tmp_path / "t.txt", "嗨".encode() + BOOK.encode() * 20 + b"\xff"))
    assert len(names) > 100
    assert [kind for kind, _ in errors] == ["UserError"]
