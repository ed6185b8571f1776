"""The whole pipeline on small corpora, its bad inputs, and what it leaves behind."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from llmcourse.data import local
from llmcourse.data.documents import Document, is_held_out
from llmcourse.data.prepared import SPLITS, read_description, text_path, tokens_path
from llmcourse.data.windows import Windows
from llmcourse.prepare import cleaner as cleaning
from llmcourse.prepare import corpus, parallel
from llmcourse.prepare.__main__ import main
from llmcourse.tokenizers.registry import load_tokenizer

PLACES = ["the mill", "our old school", "a harbour", "the long bridge", "her garden", "town"]
PEOPLE = ["Anna", "Mr Brook", "the baker", "my brother", "Old Tom", "Lucy", "a sailor"]
THINGS = ["a red kite", "three coins", "the brass key", "bread", "a wet dog", "his hat", "a map"]
TOOK, TO = ["took", "carried", "brought"], ["to", "from", "past"]
ENDINGS = [
    "and nobody knew why",
    "before it rained",
    "with a laugh",
    "but it was too late",
    "again",
]


N = 160  # stories
TIMED = {"took", "seconds", "finished", "settings", "peak_megabytes"}
"""What may differ between two reports of the same text."""


def story(n: int, sentences: int = 8) -> str:
    rng = np.random.default_rng(n)
    return f"Story {n}. " + " ".join(
        " ".join([*map(str, map(rng.choice, (PEOPLE, TOOK, THINGS, TO, PLACES, ENDINGS)))]) + "."
        for _ in range(sentences)
    )


def prose(n: int, length: int = 1500) -> str:
    """Words that mean nothing, and hardly ever come in the same order."""
    rng = np.random.default_rng(n)
    made = ["".join(rng.choice(list("aeioubdklmnprst"), rng.integers(2, 9))) for _ in range(400)]
    chosen = rng.choice([*made, *(["the", "and", "of", "to"] * 40)], length)
    return f"Text {n}. " + " ".join(chosen) + "."


def write_rows(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def rows(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def run(*arguments: object, vocab_size: int = 300) -> None:
    assert main([*map(str, arguments), "--vocab-size", str(vocab_size)]) == 0


def kept(out: Path) -> dict[str, str]:
    """Names and texts on both sides."""
    return {row["name"]: row["text"] for split in SPLITS for row in rows(text_path(out, split))}


def report(out: Path) -> dict:
    return json.loads((out / "report.json").read_text())


@pytest.fixture
def refused(capsys):
    """Run the command; it must fail with one line, which is returned, and leave nothing."""

    def refused(*arguments: object) -> str:
        before = set(Path(arguments[-1]).parent.rglob("*"))
        with pytest.raises(SystemExit) as caught:
            main([*map(str, arguments)])
        assert caught.value.code == 2
        said = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
        assert len(said) == 1
        assert set(Path(arguments[-1]).parent.rglob("*")) == before
        return said[0]

    return refused


# --- what good text becomes -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def stories(tmp_path_factory) -> Path:
    """A prepared folder of many stories, none of which is dropped."""
    folder = tmp_path_factory.mktemp("stories")
    source = write_rows(folder / "stories.jsonl", [story(n) for n in range(N)])
    run(source, "--out", folder / "out", "--held-out", 0.1)
    return folder / "out"


def test_every_document_is_on_one_side_and_reads_back(stories):
    assert kept(stories) == {f"stories.jsonl:{n + 1}": story(n) for n in range(N)}
    tokenizer = load_tokenizer(stories)
    for split in SPLITS:
        tokens = Windows(tokens_path(stories, split), 1).tokens
        texts = [row["text"] for row in rows(text_path(stories, split))]
        ends = np.flatnonzero(tokens == tokenizer.eot_id) + 1
        parts = np.split(tokens, ends)[:-1]
        assert [tokenizer.decode(part.tolist()) for part in parts] == texts
        for row in rows(text_path(stories, split)):
            held_out = is_held_out(Document(row["text"], ""), 0.1)
            assert held_out == (split == "valid")


def test_the_description_counts(stories):
    prepared = read_description(stories)
    assert (prepared.tokenizer, prepared.vocab_size, prepared.held_out) == ("bpe", 300, 0.1)
    for split in SPLITS:
        amount, texts = (
            getattr(prepared, split),
            [r["text"] for r in rows(text_path(stories, split))],
        )
        assert amount.documents == len(texts)
        assert amount.bytes == sum(len(text.encode()) for text in texts)
        assert amount.tokens == len(Windows(tokens_path(stories, split), 1).tokens)
    assert 5 <= prepared.valid.documents <= 28


def test_nothing_but_what_the_layout_names_is_left(stories):
    assert sorted(path.name for path in stories.iterdir()) == [
        "SHA256SUMS",
        *("dropped.jsonl.gz", "prepared.json", "report.json", "report.md", "tokenizer.json"),
        *("train.bin", "train.bin.json", "train.jsonl.gz"),
        *("valid.bin", "valid.bin.json", "valid.jsonl.gz"),
    ]


def test_the_same_text_gives_the_same_files(stories, tmp_path):
    again = tmp_path / "again"
    run(stories.parent / "stories.jsonl", "--out", again, "--held-out", 0.1)
    for path in stories.iterdir():
        if path.name not in ("report.json", "report.md"):
            assert (again / path.name).read_bytes() == path.read_bytes()


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if "report" not in path.name}


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(stories, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "BATCH_LENGTH", 5_000)
    texts = [story(n) + " Write to me@example.org." * (n % 3) for n in range(300)]
    texts += [texts[7], texts[8] + " And more.", "x", "猫在垫子上。" * 40]
    source = write_rows(tmp_path / "t.jsonl", texts)
    run(source, "--out", tmp_path / "one")
    run(source, "--out", tmp_path / "three", "--workers", 3)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    counts = [
        {k: v for k, v in report(tmp_path / out).items() if k not in TIMED}
        for out in ("one", "three")
    ]
    assert counts[0] == counts[1]
    assert counts[0]["dropped"]["near-copy"]["documents"] > 0


def test_preparing_what_was_prepared_changes_nothing(stories, tmp_path):
    parts = [text_path(stories, split) for split in SPLITS]
    run(*parts, "--out", tmp_path / "again", "--held-out", 0.1)
    assert sorted(kept(tmp_path / "again").values()) == sorted(kept(stories).values())
    for split in SPLITS:
        assert text_texts(tmp_path / "again", split) == text_texts(stories, split)


def text_texts(out: Path, split: str) -> list[str]:
    return [row["text"] for row in rows(text_path(out, split))]


@pytest.mark.parametrize("kind", ["byte", "char", "unigram", "sentencepiece"])
def test_every_kind_of_tokenizer(stories, tmp_path, kind):
    source = stories.parent / "stories.jsonl"
    run(source, "--out", tmp_path / "out", "--tokenizer", kind, vocab_size=330)
    prepared = read_description(tmp_path / "out")
    tokenizer = load_tokenizer(tmp_path / "out")
    assert prepared.tokenizer == tokenizer.kind == kind
    assert prepared.vocab_size == tokenizer.vocab_size


def test_a_saved_tokenizer(stories, tmp_path):
    source = write_rows(tmp_path / "more.jsonl", [story(n) for n in range(N, N + 40)])
    run(source, "--out", tmp_path / "out", "--tokenizer", stories)
    same = (tmp_path / "out" / "tokenizer.json").read_bytes()
    assert same == (stories / "tokenizer.json").read_bytes()


def test_the_tokenizer_sees_a_sample_from_all_over_the_training_text(
    stories, tmp_path, monkeypatch
):
    seen: list[str] = []

    def train_tokenizer(kind, texts, vocab_size):
        from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer

        seen.extend(texts)
        return ByteTokenizer()

    monkeypatch.setattr(corpus, "train_tokenizer", train_tokenizer)
    out, source = tmp_path / "out", stories.parent / "stories.jsonl"
    run(source, "--out", out, "--tokenizer-megabytes", 0.01, "--held-out", 0.5)
    size = sum(map(len, seen))
    assert 4_000 < size < 11_000
    assert report(out)["tokenizer"]["trained_on_bytes"] == size
    order = {text: n for n, text in enumerate(text_texts(out, "train"))}
    places = [order[text] for text in seen]  # none of them is held out
    assert min(places) < len(order) / 4
    assert max(places) > len(order) * 3 / 4


def test_a_tokenizer_that_needs_all_of_the_text_gets_it(stories, tmp_path):
    source = stories.parent / "stories.jsonl"
    run(source, "--out", tmp_path / "out")
    trained_on = report(tmp_path / "out")["tokenizer"]["trained_on_bytes"]
    assert trained_on == read_description(tmp_path / "out").train.bytes


# --- what is dropped, and that it is said ---------------------------------------------------------


def test_every_step_drops_counts_and_names(tmp_path, capsys):
    clean = [story(n) for n in range(40)]
    texts = {
        "copy": story(3).replace(" ", "  "),
        "near-copy": story(4) + " The end.",
        "too short": "Far too short.",
        "garbage": "\0\1\2\3 binary " * 20,
        "language": "Le chat est sur la table et il dort dans la maison de mon père, qui est là.",
        "repeated phrases": ("A sentence that comes again, " + story(90, 2)) * 5,
        "boilerplate": "© 2024 Example Corp. All rights reserved.\nHome | About us | Contact",
    }
    mended = {
        "repaired": story(91) + " Itâ€™s the cafÃ©.",
        "respelled": story(92).replace(". ", ".\r\n\r\n\r\n"),
        "masked": story(93) + " Write to anna@example.org or call +44 20 7946 0958.",
        "furniture": story(94) + "\nClick here to subscribe to our newsletter",
    }
    source = write_rows(tmp_path / "t.jsonl", [*clean, *texts.values(), *mended.values()])
    out = tmp_path / "out"
    run(source, "--out", out, "--languages", "en", "zh")
    dropped = {row["reason"]: row for row in rows(out / "dropped.jsonl.gz")}
    assert dropped.keys() == texts.keys()
    for n, (reason, text) in enumerate(texts.items()):
        assert dropped[reason]["name"] == f"t.jsonl:{len(clean) + n + 1}"
        assert dropped[reason]["text"] == text[:200]
    assert dropped["near-copy"]["detail"] == "of t.jsonl:5"
    assert dropped["language"]["detail"] == "other"
    found, said = report(out), capsys.readouterr().out
    assert {
        reason: drop["documents"] for reason, drop in found["dropped"].items()
    } == dict.fromkeys(texts, 1)
    assert found["read"]["documents"] == 51
    assert found["changed"] | {"respelled": 0} == {
        "repaired": 1,
        "respelled": 0,
        "masked": 1,
        "cut": 0,
    }
    assert found["boilerplate_lines"] == 3
    assert found["masked"] == {"email": 1, "phone": 1}
    texts_kept = "\n".join(kept(out).values())
    assert "It’s the café." in texts_kept
    assert "Write to <email> or call <phone>." in texts_kept
    assert "newsletter" not in texts_kept
    page = (out / "report.md").read_text()
    for reason in texts:
        assert f"| {reason} | 1 |" in page
        assert f"{reason} 1" in said


def test_what_is_read_is_kept_or_dropped(tmp_path):
    texts = [story(n % 30) if n % 3 else "short" for n in range(90)]
    run(write_rows(tmp_path / "t.jsonl", texts), "--out", tmp_path / "out")
    names = [row["name"] for row in rows(tmp_path / "out" / "dropped.jsonl.gz")]
    names += kept(tmp_path / "out")
    assert sorted(names) == sorted(f"t.jsonl:{n + 1}" for n in range(90))


def test_what_can_be_turned_off(tmp_path):
    texts = [*(story(n) for n in range(30)), "Short.", "Mail a@b.org", story(4) + " The end."]
    source = write_rows(tmp_path / "t.jsonl", texts)
    run(source, "--out", tmp_path / "out", "--no-filter", "--no-mask", "--similarity", "1")
    assert sorted(kept(tmp_path / "out").values()) == sorted(texts)


def test_a_threshold_of_quality_can_be_set(tmp_path):
    texts = [*(story(n) for n in range(30)), "Four words are enough."]
    source = write_rows(tmp_path / "t.jsonl", texts)
    run(source, "--out", tmp_path / "out", "--quality.min-words", "4")
    assert texts[-1] in kept(tmp_path / "out").values()


@pytest.mark.slow
def test_poems_and_prose_in_chinese(data_dir, tmp_path):
    """Real text, chosen by hand: nothing but copies may go, and poems are short on purpose."""
    parts = [
        data_dir / "pretrain_zh" / f"{name}.valid.jsonl.gz" for name in ("poems_regulated", "prose")
    ]
    run(*parts, "--out", tmp_path / "out", vocab_size=1000)
    found = report(tmp_path / "out")
    assert set(found["dropped"]) <= {"near-copy", "copy"}
    assert sum(drop["documents"] for drop in found["dropped"].values()) < 10
    assert set(found["languages"]) == {"zh"}


# --- bad input ------------------------------------------------------------------------------------


def test_one_bad_file_among_good_ones_is_named_and_passed_by(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for n in range(99):
        (folder / f"{n:03}.txt").write_text(story(n))
    (folder / "spoilt.txt").write_bytes("un café, ".encode() + b"caf\xe9")
    (folder / "binary.txt").write_bytes(bytes(range(256)) * 50)
    (folder / "empty.txt").write_bytes(b"")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    run(folder, "--out", tmp_path / "out")
    assert len(kept(tmp_path / "out")) == 99
    dropped = {
        Path(row["name"].split()[0]).name: row for row in rows(tmp_path / "out/dropped.jsonl.gz")
    }
    assert {name: row["reason"] for name, row in dropped.items()} == {
        "spoilt.txt": "unreadable",
        "binary.txt": "unreadable",
        "empty.txt": "no text",
        "picture.png": "no text",
    }
    assert "byte 13 does not fit" in dropped["spoilt.txt"]["name"]


def test_files_of_another_encoding_and_a_column_that_is_named(refused, tmp_path, capsys):
    stories = [story(n) + " The café’s open." for n in range(60)]
    table = "text;story\n" + "".join(f"no;{one}\n" for one in stories)
    (tmp_path / "t.csv").write_bytes(table.encode("cp1252"))
    run(tmp_path / "t.csv", "--out", tmp_path / "out", "--column", "story")
    assert sorted(kept(tmp_path / "out").values()) == sorted(stories)
    said = capsys.readouterr().err
    assert "is read as cp1252, guessed from its letters; --encoding overrules" in said
    run(tmp_path / "t.csv", "--out", tmp_path / "b", "--column", "story", "--encoding", "cp1250")
    assert "guessed" not in capsys.readouterr().err
    message = refused(tmp_path / "t.csv", "--column", "stories", "--out", tmp_path / "c")
    assert "has no column 'stories' but text, story" in message
    message = refused(tmp_path / "t.csv", "--encoding", "utf-9", "--out", tmp_path / "c")
    assert "--encoding utf-9 is no encoding" in message


def test_broken_lines_are_named_and_passed_by(tmp_path):
    lines = [json.dumps({"text": story(n)}) for n in range(50)]
    lines[20], lines[30], lines[40] = '{"text": ', '{"text": ""}', '{"text": "\\ud83d lone"}'
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    run(tmp_path / "t.jsonl", "--out", tmp_path / "out")
    dropped = {
        row["name"].rpartition("/")[2]: row["reason"]
        for row in rows(tmp_path / "out/dropped.jsonl.gz")
    }
    assert dropped == {
        "t.jsonl, line 21: this is not JSON": "unreadable",
        "t.jsonl:31 holds no text": "no text",
        "t.jsonl:41": "garbage",  # half a character is a tenth of it
    }


def test_halves_of_characters_do_no_harm(tmp_path):
    texts = [story(n) + " \ud83d\ude00 \udc00" for n in range(30)]
    run(write_rows(tmp_path / "t.jsonl", texts), "--out", tmp_path / "out")
    assert sorted(kept(tmp_path / "out").values()) == sorted(
        story(n) + " 😀 \ufffd" for n in range(30)
    )
    assert report(tmp_path / "out")["changed"]["repaired"] == 30


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("spoilt.txt", "un café, ".encode() + b"caf\xe9", "byte 13 does not fit"),
        ("binary.txt", b"\x89PNG\r\n\x1a\n\0\0", "is a picture"),
        ("broken.jsonl", b"{\n{\n", "line 1: this is not JSON"),
        ("columns.csv", b"a,b\nx,y\n", "no column 'text'"),
        ("t.txt.gz", b"no gzip", "does not unpack as gzip"),
        ("empty.txt", b"", "holds no text"),
        ("odd.docx", b"PK", "an office document: save it as plain text"),
        ("short.txt", b"Too short.", "all 1 documents were dropped (too short 1)"),
        ("zeros.txt", b"\0" * 5000, "is no text: it looks like a binary file"),
        ("marks.txt", "\ufffd?".encode() * 500, "all 1 documents were dropped (garbage 1)"),
    ],
)
def test_a_source_of_which_nothing_can_be_read(refused, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert message in refused(tmp_path / name, "--out", tmp_path / "out")


def test_what_cleaning_drops_to_the_last_is_counted_by_its_rule(refused, tmp_path):
    texts = ["Short.", "Shorter.", "\0\1\2\3 binary " * 20]
    said = refused(write_rows(tmp_path / "t.jsonl", texts), "--out", tmp_path / "out")
    assert "all 3 documents were dropped (too short 2, garbage 1)" in said
    assert "--no-filter" in said


def test_a_vocabulary_larger_than_the_text_allows_is_as_large_as_can_be(tmp_path, capsys):
    source = write_rows(tmp_path / "t.jsonl", [story(n) for n in range(5)])
    run(source, "--out", tmp_path / "out", vocab_size=50_000)
    size = read_description(tmp_path / "out").vocab_size
    assert 300 < size < 2_000
    assert f"{size:,} tokens in place of 50,000" in capsys.readouterr().err


def test_a_vocabulary_without_room_for_the_bytes(refused, stories, tmp_path):
    source = stories.parent / "stories.jsonl"
    said = refused(source, "--vocab-size", 100, "--out", tmp_path / "out")
    assert "vocab_size=100 is too small" in said
    assert "(--vocab-size)" in said


def test_wrong_settings(refused, tmp_path):
    for option, value, message in [
        ("--similarity", "0", "similarity=0.0 must be above 0"),
        ("--held-out", "1", "held_out=1.0 must lie between"),
        ("--workers", "0", "workers=0 must lie between 1 and 1024"),
        ("--tokenizer-megabytes", "0", "tokenizer_megabytes=0.0 must be above 0"),
        ("--languages", "xx", "xx"),
        ("--tokenizer", str(tmp_path / "gone"), "there is no tokenizer at"),
        ("--vocabsize", "3", "did you mean --vocab-size"),
    ]:
        assert message in refused("tinytown", option, value, "--out", tmp_path / "out")
    assert "no file, no folder" in refused("gone.txt", "--out", tmp_path / "out")
    assert "SOURCE" in refused("--out", tmp_path / "out")


def test_nothing_is_overwritten_unless_asked(refused, stories, tmp_path):
    source = write_rows(tmp_path / "t.jsonl", [story(n) for n in range(40)])
    out = tmp_path / "out"
    run(source, "--out", out)
    assert "add --overwrite" in refused(source, "--out", out)
    source.write_text(source.read_text() + json.dumps({"text": story(77)}))
    run(source, "--overwrite", "--out", out)
    assert story(77) in kept(out).values()


def test_a_folder_of_something_else_is_never_overwritten(refused, tmp_path):
    source = write_rows(tmp_path / "t.jsonl", [story(n) for n in range(40)])
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    said = refused(source, "--overwrite", "--out", tmp_path / "thesis")
    assert "holds no prepared.json: it is not overwritten" in said


def test_the_output_is_not_read_as_a_source(refused, tmp_path):
    write_rows(tmp_path / "t.jsonl", [story(n) for n in range(40)])
    assert "lies in the source" in refused(tmp_path, "--out", tmp_path / "out")


# --- sizes and signals ----------------------------------------------------------------------------


def test_an_endless_document_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(cleaning, "LONGEST_DOCUMENT", 20_000)
    texts = ["\n".join(story(n) for n in range(100)), *(story(n) for n in range(101, 150))]
    source = write_rows(tmp_path / "t.jsonl", texts)
    run(source, "--out", tmp_path / "out", "--no-filter")  # the tales repeat themselves
    names = set(kept(tmp_path / "out"))
    assert {"t.jsonl:1:1", "t.jsonl:1:2", "t.jsonl:2"} <= names
    whole = "\n".join(text for name, text in sorted_parts(kept(tmp_path / "out")) if ":1:" in name)
    assert whole == texts[0]
    assert report(tmp_path / "out")["changed"]["cut"] == 1


def sorted_parts(texts: dict[str, str]) -> list[tuple[str, str]]:
    return sorted(texts.items(), key=lambda item: int(item[0].rpartition(":")[2]))


COMMAND = [sys.executable, "-m", "llmcourse.prepare"]


def peak(folder: Path, source: Path) -> float:
    """The most memory of a run of its own, in megabytes."""
    out = folder / f"{source.stem}-out"
    options = ["--out", out, "--tokenizer", "byte"]
    subprocess.run([*COMMAND, source, *options], check=True, capture_output=True, timeout=200)
    return report(out)["peak_megabytes"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """Four times the text; of the 3.6 MB more, not even the half may be there at once."""
    few = write_rows(tmp_path / "few.jsonl", [prose(n) for n in range(150)])
    many = write_rows(tmp_path / "many.jsonl", [prose(n) for n in range(600)])
    more = (many.stat().st_size - few.stat().st_size) / 1e6
    assert more > 3
    assert peak(tmp_path, many) - peak(tmp_path, few) < more / 2


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
@pytest.mark.parametrize("unit", ["x", "word and another ", "嗨"])
def test_one_line_of_ten_megabytes(tmp_path, suffix, unit):
    """It is cut into documents; most of them are copies of each other or no words at all."""
    line = unit * (10_000_000 // len(unit.encode()))
    good = "\n\n" + "\n\n".join(prose(n) for n in range(20))
    path = tmp_path / f"line{suffix}"
    path.write_text(line + good if suffix == ".txt" else json.dumps({"text": line + good}))
    began = time.monotonic()
    assert peak(tmp_path, path) < 400
    assert time.monotonic() - began < 100
    assert "Text 7." in " ".join(kept(tmp_path / "line-out").values())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(tmp_path, number):
    source = write_rows(tmp_path / "t.jsonl", [story(n) for n in range(20_000)])
    process = subprocess.Popen(
        [*COMMAND, source, "--out", tmp_path / "out"], stderr=subprocess.PIPE
    )
    try:
        while not list(tmp_path.glob(".out.*.tmp/index.sqlite")):
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.decode().splitlines()[-1] == "stopped: nothing was kept"
    assert os.listdir(tmp_path) == ["t.jsonl"]


def test_reading_a_prepared_text_again_gives_documents(stories):
    assert (
        len(list(local.read(text_path(stories, "train"))))
        == read_description(stories).train.documents
    )
