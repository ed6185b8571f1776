"""Whatever text a learner brings: it trains with no option but its name, or one line says why not.

What makes these runs short (steps, model) is not about the text. The way from the file to the
tokens is the default one.
"""

import gzip
import json
import random
import re
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from llmcourse.data.prepared import SPLITS, tokens_path
from llmcourse.data.windows import Windows
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.__main__ import main

SHORT = [
    *("--steps", "2", "--batch-size", "2", "--device", "cpu", "--sample-tokens", "4"),
    *("--model.d-model", "32", "--model.n-layers", "1", "--model.n-heads", "2"),
    *("--evaluate-windows", "4", "--no-tensorboard"),
]
WORDS = [
    *("the", "river", "was", "cold", "and", "a", "boy", "ran", "over", "it", "to", "school"),
    *("with", "his", "dog", "before", "rain", "came"),
]
FRENCH = "Où êtes-vous allés après la fête à Nîmes ? « L’été », dit-il – déjà là. "
RUSSIAN = "Все счастливые семьи похожи друг на друга, а дождь шёл весь день над рекой. "
CHINESE = "床前明月光，疑是地上霜。举头望明月，低头思故乡。这是一个关于小镇的故事。"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"


def prose(n_words: int, seed: int = 0) -> str:
    """Sentences of words in no order, which so repeat nothing."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + "." * (n % 9 == 8) for n in range(n_words))


def numbered(sentence: str, n: int) -> str:
    """Lines that differ in their number."""
    return "".join(f"{number}. {sentence}\n" for number in range(n))


def page(n_bytes: int) -> str:
    parts = (f"## Part {n}\n\n{prose(60, n)}\n\n" for n in range(10**6))
    text = ""
    while len(text) < n_bytes:
        text += next(parts)
    return text[:n_bytes]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


class Run:
    """What a run said and what it trained on."""

    def __init__(self, out: Path, said: str):
        self.out, self.said = out, said
        tokenizer = load_tokenizer(out)
        self.text = {
            split: tokenizer.decode(Windows(tokens_path(out / "data", split), 1).tokens.tolist())
            for split in SPLITS
        }
        self.context = json.loads((out / "config.json").read_text())["model"]["context_length"]

    def line(self, about: str) -> str:
        """The one line about something."""
        (line,) = re.findall(rf"^{about} +(.*)$", self.said, re.M)
        return line


@pytest.fixture
def trained(tmp_path, capsys):
    """Train on a source; something is held out, and no window of it is in the training text."""

    def trained(source: Path, *options: str) -> Run:
        out = tmp_path / f"run{len(list(tmp_path.glob('run*')))}"
        assert main(["--data.source", str(source), "--out", str(out), *SHORT, *options]) == 0
        run = Run(out, capsys.readouterr().err)
        windows = {
            split: Windows(tokens_path(out / "data", split), run.context + 1, 1) for split in SPLITS
        }
        assert all(len(each) >= 1 for each in windows.values())
        train = np.asarray(windows["train"].tokens).tobytes()
        for index in range(len(windows["valid"])):
            held_out = windows["valid"].window(index).astype(windows["valid"].tokens.dtype)
            assert held_out.tobytes() not in train
        return run

    return trained


@pytest.fixture
def refused(tmp_path, capsys):
    """Train on a source that cannot be; returns the one line that says why."""

    def refused(source: Path, *options: str) -> str:
        with pytest.raises(SystemExit) as caught:
            main(["--data.source", str(source), "--out", str(tmp_path / "run"), *SHORT, *options])
        assert caught.value.code == 2
        (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith("error: "))
        assert not (tmp_path / "run").exists()
        return line

    return refused


# --- small and odd --------------------------------------------------------------------------------


def test_26_lines(trained, tmp_path):
    lines = [f"Line {n}: {prose(9, n)}" for n in range(26)]
    run = trained(write(tmp_path / "t.txt", "\n".join(lines)))
    assert run.text["train"] + run.text["valid"] == "\n".join(lines)
    assert re.match(r"the last \d+ bytes", run.line("held out"))
    assert re.match(r"\d{3} tokens in place of 2,048", run.line("vocabulary"))
    assert re.match(r"(64|32) tokens in place of 128", run.line("context"))


def test_120_words(trained, tmp_path):
    run = trained(write(tmp_path / "t.txt", prose(120)))
    assert run.context in (8, 16, 32)
    assert len(run.text["valid"]) > 50


def test_a_page_of_70_kilobytes(trained, tmp_path):
    run = trained(write(tmp_path / "page.md", page(70_000)))
    assert run.context == 128
    assert run.text["valid"] in page(70_000)
    assert 3_000 < len(run.text["valid"]) < 20_000
    assert len(run.text["train"]) + len(run.text["valid"]) > 69_900


def test_two_megabytes_without_a_blank(trained, tmp_path):
    text = "".join(random.Random(0).choices("abcdefghijklmnop", k=2_000_000))
    run = trained(write(tmp_path / "t.txt", text), "--data.max-megabytes", "0.5")
    assert all(part in text for part in run.text["valid"].split("\n") if part)
    assert run.context == 128


def test_4000_lines_of_japanese(trained, tmp_path):
    kana = JAPANESE.replace("。", "")
    rng = random.Random(0)
    lines = ["".join(rng.choices(kana, k=30)) + "。" for _ in range(4000)]
    run = trained(write(tmp_path / "t.txt", "\n".join(lines)))
    assert "encoding" not in run.said
    assert lines[0] in run.text["train"]


def test_rows_are_held_out_whole(trained, tmp_path):
    rows = [f"Row {n}: {prose(8, n)}." for n in range(26)]
    source = write(tmp_path / "t.jsonl", "\n".join(json.dumps({"text": row}) for row in rows))
    run = trained(source)
    parts = re.split("(?=Row )", run.text["train"]) + re.split("(?=Row )", run.text["valid"])
    assert sorted(filter(None, parts)) == sorted(rows)


def test_a_context_that_shrank_is_that_of_the_resumed_run(trained, tmp_path, capsys):
    run = trained(write(tmp_path / "t.txt", prose(120)))
    (tmp_path / "t.txt").unlink()
    assert main(["--out", str(run.out), "--resume", "--steps", "4"]) == 0
    assert "context  " not in capsys.readouterr().err
    assert Run(run.out, "").context == run.context


def test_emoji(trained, tmp_path):
    text = numbered("Hello 😀 wörld 👩‍👩‍👧 of 🐈 and 🐕, again and again!", 60)
    assert "👩‍👩‍👧" in trained(write(tmp_path / "t.txt", text)).text["train"]


def test_a_few_zero_bytes(trained, tmp_path):
    text = page(5_000).replace("Part 7", "Part\0 7")
    assert "Part\0 7" in trained(write(tmp_path / "t.txt", text)).text["train"]


def test_a_packed_file(trained, tmp_path):
    run = trained(write(tmp_path / "t.txt.gz", gzip.compress(page(9_000).encode())))
    assert run.text["train"].startswith("## Part 0")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "holds no text"),
        ("blank.txt", b" \n\n \n", "holds no text"),
        ("word.txt", b"Hello.", "too little text"),
        ("aaaa.txt", b"a" * 70_000, "the text repeats itself"),
        ("same.txt", b"All work and no play.\n" * 5_000, "the text repeats itself"),
        ("binary", bytes(range(256)) * 90, "looks like a binary file"),
        ("binary.txt", random.Random(0).randbytes(9_000), "looks like a binary file"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 90, "a picture: it holds no letters"),
        ("picture.txt", b"\xff\xd8\xff\xe0" + b"\0" * 90, "a picture: it holds no letters"),
        ("book.pdf", b"%PDF-1.7\n", "a PDF: turn it into text first"),
        ("book", b"%PDF-1.7\n", "a PDF: turn it into text first"),
        ("thesis.docx", b"PK\x03\x04", "an office document: save it as plain text"),
        ("all.zip", b"PK\x03\x04", "packed: unpack it first"),
        ("packed.txt", gzip.compress(b"text", mtime=0), "packed by gzip: end its name in .gz"),
        ("broken.txt.gz", b"no gzip", "does not unpack as gzip"),
        ("header.csv", b"text,label\n", "holds no text"),
        ("one.jsonl", b'{"text": "a"}\n{"text": "b\n{"text": "c"}\n', "line 2: this is not JSON"),
        ("numbers.csv", b"a,b\n1,2\n3,4\n", "has no column 'text' but a, b"),
        ("pairs.csv", b"en,fr\nHello.,Bonjour.\n", "has no column 'text' but en, fr"),
        ("odd.json", b"[1, 2]", "holds no list of rows or texts"),
        ("bad.json", b"{", "is no JSON"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(refused, tmp_path, name, content, message):
    assert message in refused(write(tmp_path / name, content))


# --- encodings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "encoding", "said"),
    [
        (
            FRENCH,
            "cp1252",
            "is read as cp1252, guessed from its letters; --data.encoding overrules",
        ),
        (RUSSIAN, "cp1251", "is read as cp1251, guessed from its letters; "),
        (CHINESE, "gb18030", "is read as gb18030, guessed from its letters; "),
        (JAPANESE, "shift_jis", "is read as cp932, guessed from its letters; "),
        (FRENCH, "utf-16", "is read as utf-16, as its byte-order mark says"),
        (FRENCH, "utf-16-le", "is read as utf-16-le, guessed from its zero bytes; "),
        (FRENCH, "utf-8", None),
        (FRENCH, "utf-8-sig", None),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_encodings_are_recognised_and_said(trained, tmp_path, sentence, encoding, said, suffix):
    lines = [f"{n}. {sentence}".strip() for n in range(80)]
    if suffix == ".csv":
        content = 'text\r\n"' + '"\r\n"'.join(lines) + '"\r\n'
    else:
        content = "\r\n".join(lines)
    run = trained(write(tmp_path / f"t{suffix}", content.encode(encoding)))
    both = run.text["train"] + run.text["valid"]
    assert all(line in both for line in lines[:-1])
    assert "\r" not in both
    assert "\ufeff" not in both
    if said is None:
        assert "encoding  " not in run.said
    else:
        assert said in run.line("encoding")


def test_an_encoding_that_is_named_overrules(trained, tmp_path):
    data = numbered("Zażółć gęślą jaźń, bo świeci słońce.", 80).encode("cp1250")
    source = write(tmp_path / "t.txt", data)
    run = trained(source, "--data.encoding", "iso8859_5")
    assert "Za" in run.text["train"]
    assert "Zażółć" not in run.text["train"]
    assert "encoding  " not in run.said
    assert json.loads((run.out / "config.json").read_text())["data"]["encoding"] == "iso8859_5"


def test_a_named_encoding_that_does_not_fit(refused, tmp_path):
    source = write(tmp_path / "t.txt", b"plain " * 500 + FRENCH.encode("cp1252"))
    said = refused(source, "--data.encoding", "utf-8")
    assert "t.txt is not UTF-8 text: byte 3001 does not fit" in said
    assert "--data.encoding" in said
    assert "is no encoding that Python knows" in refused(source, "--data.encoding", "utf-9")
    assert "does nothing with tinytown" in refused(Path("tinytown"), "--data.encoding", "utf-8")


def test_damaged_utf8_is_never_guessed_at(refused, tmp_path):
    data = numbered(FRENCH, 50).encode() + b"\xe9" + numbered(FRENCH, 9).encode()
    place = len(numbered(FRENCH, 50).encode())
    assert f"is not UTF-8 text: byte {place} does not fit" in refused(
        write(tmp_path / "t.txt", data)
    )


def test_letters_far_behind_the_beginning_count(trained, tmp_path):
    text = "".join(f"{n} plain words. " for n in range(90_000)) + FRENCH * 5
    run = trained(write(tmp_path / "t.txt", text.encode("cp1252")), "--data.max-megabytes", "0.1")
    assert "cp1252" in run.line("encoding")


def test_a_folder_of_many_kinds_and_encodings(trained, tmp_path):
    folder = tmp_path / "folder"
    write(folder / "a.txt", numbered("Plain letters, and nothing else to see.", 40))
    write(folder / "b.txt", numbered(FRENCH, 40).encode("cp1252"))
    write(folder / "c.md", numbered(CHINESE, 40).encode("gb18030"))
    write(folder / "d.pdf", b"%PDF-1.7")
    write(folder / "e.png", b"\x89PNG")
    write(folder / "README", "Read me first of all, " * 9)
    write(folder / "program", bytes(range(256)))
    write(folder / ".hidden.txt", "never")
    run = trained(folder)
    both = run.text["train"] + run.text["valid"]
    assert all(part in both for part in ("Plain letters", "Nîmes", "床前明月光", "Read me"))
    assert "2 without suffix, 2 .txt, 1 .md" in run.line("reading")
    assert len(re.findall("^encoding", run.said, re.M)) == 2
    left_out = re.findall("^left out +(.*)", run.said, re.M)
    assert sum("d.pdf" in x or "e.png" in x or "program" in x for x in left_out) == 3


# --- tables ---------------------------------------------------------------------------------------

REVIEWS = [f"Review {n}: good; with, commas and words. {prose(12, n)}" for n in range(60)]


def table(header: str, delimiter: str) -> str:
    return header + "".join(f'\r\n"{text}"{delimiter}bad{n % 2}' for n, text in enumerate(REVIEWS))


def check_reviews(run: Run, chosen: str) -> None:
    """All reviews were read, and nothing else."""
    assert sorted(run.text["train"] + run.text["valid"]) == sorted("".join(REVIEWS))
    assert chosen in run.line("column")


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("text,label", ","), ("text;label", ";"), ("text\tlabel", "\t"), ("Review;stars", ";")],
)
def test_csv_of_every_delimiter(trained, tmp_path, header, delimiter):
    name = re.split(r"\W", header)[0]
    run = trained(write(tmp_path / "t.csv", table(header, delimiter)))
    check_reviews(run, f"'{name}' of {name}, ")


def test_a_column_without_a_telling_name(trained, tmp_path):
    run = trained(write(tmp_path / "t.csv", table("was;wie", ";")))
    check_reviews(run, "'was' of was, wie is read; --data.column overrules")


def test_a_table_without_a_header(trained, tmp_path):
    run = trained(write(tmp_path / "t.csv", table("", ";").lstrip()))
    assert sorted(run.text["train"] + run.text["valid"]) == sorted("".join(REVIEWS))
    said = re.findall("^column +(.*)$", run.said, re.M)
    assert "names no columns in its first line" in said[0]
    assert "'1' of 1, 2 is read" in said[1]


def test_one_column_of_prose_is_cut_at_no_comma(trained, tmp_path):
    run = trained(write(tmp_path / "t.csv", "\n".join(["text", *REVIEWS])))
    assert sorted(run.text["train"] + run.text["valid"]) == sorted("".join(REVIEWS))


def test_quotes_that_are_only_quotes(trained, tmp_path):
    """In many tab-separated files quotes mean nothing: a lone one must not swallow rows."""
    texts = [f'"Row {n} begins with a quote, {prose(9, n)}' for n in range(60)]
    rows = "\n".join(f"{n}\t{text}" for n, text in enumerate(texts))
    run = trained(write(tmp_path / "t.tsv", f"id\ttext\n{rows}\n"))
    assert sorted(run.text["train"] + run.text["valid"]) == sorted("".join(texts))


def test_lines_inside_of_quotes(trained, tmp_path):
    texts = [f"Row {n},\nsecond line; {prose(9, n)}" for n in range(60)]
    rows = "\n".join(f'{n};"{text}"' for n, text in enumerate(texts))
    run = trained(write(tmp_path / "t.csv", f"id;body\n{rows}\n"))
    assert all(text in run.text["train"] + run.text["valid"] for text in texts)


def as_chat(text: str) -> list[dict]:
    return [{"role": "user", "content": "Say."}, {"role": "assistant", "content": text}]


def as_sharegpt(text: str) -> list[dict]:
    return [{"from": "human", "value": "Say."}, {"from": "gpt", "value": text}]


@pytest.mark.parametrize(
    ("row", "first", "said"),
    [
        (lambda t: {"id": "x1", "content": t}, "Review", "'content' of id, content"),
        (
            lambda t: {"id": "a", "messages": as_chat(t)},
            "user: Say.\n\nassistant: Review",
            "the turns of 'messages'",
        ),
        (
            lambda t: {"conversations": as_sharegpt(t), "id": 1},
            "human: Say.\n\ngpt: Review",
            "the turns of 'conversations'",
        ),
        (
            lambda t: {"instruction": "Judge.", "input": "", "output": t},
            "Judge.\n\nReview",
            "'instruction' and 'input' and 'output'",
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_rows_of_every_shape(trained, tmp_path, row, first, said, suffix):
    rows, path = [row(text) for text in REVIEWS], tmp_path / f"t{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        lines = "\n".join(map(json.dumps, rows))
        path.write_text(lines if suffix == ".jsonl" else json.dumps({"version": 1, "data": rows}))
    run = trained(path)
    assert said in run.line("column")
    assert run.text["train"].startswith(first)
    assert all(f"Review {n}:" in run.text["train"] + run.text["valid"] for n in range(60))


def test_a_column_that_is_named(trained, refused, tmp_path):
    rows = [{"text": "never this", "note": text} for text in REVIEWS]
    source = write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)))
    said = refused(source, "--data.column", "nota")
    assert "has no column 'nota' but text, note" in said
    run = trained(source, "--data.column", "note")
    assert "never" not in run.text["train"] + run.text["valid"]
    assert json.loads((run.out / "config.json").read_text())["data"]["column"] == "note"
    book = write(tmp_path / "t.txt", page(5_000))
    (tmp_path / "run0").rename(tmp_path / "kept")
    assert "does nothing with" in refused(book, "--data.column", "note")


def test_lists_of_texts_and_lines_under_the_name_of_json(trained, tmp_path):
    assert "Review 7:" in trained(write(tmp_path / "a.json", json.dumps(REVIEWS))).text["train"]
    lines = "\n".join(json.dumps({"text": text}) for text in REVIEWS)
    assert "Review 7:" in trained(write(tmp_path / "b.json", lines)).text["train"]


# --- pages and programs ---------------------------------------------------------------------------


def test_a_web_page_is_read_without_its_tags(trained, tmp_path):
    body = "".join(f"<p>Part {n} &amp; <b>{prose(9, n)}</b></p>\n" for n in range(60))
    head = "<head><title>A page</title><style>p { color: red }</style></head>"
    html = f"<html>{head}<body><script>var x = 1;</script>{body}</body></html>"
    run = trained(write(tmp_path / "page.html", html))
    assert run.text["train"].startswith("A page\n\nPart 0 & ")
    assert not re.search("[<>]|color|var x", run.text["train"] + run.text["valid"])
    assert "its text without tags" in run.line("reading")


@pytest.mark.parametrize("name", ["a.rst", "a.py", "a.tex", "README", "a.unknown"])
def test_other_text_is_read_as_it_is_and_said(trained, tmp_path, name):
    run = trained(write(tmp_path / name, page(9_000)))
    assert run.text["train"].startswith("## Part 0")
    assert "plain text" in run.line("reading")
