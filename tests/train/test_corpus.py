import dataclasses
import json
import re

import numpy as np
import pytest
from small_runs import opened, small

from llmcourse.data import sources
from llmcourse.data.documents import Document, is_held_out
from llmcourse.data.packing import pack
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.corpus import prepare_corpus

NUMBERED = [Document(f"Document {n} says: " + f"word{n} " * 40, str(n)) for n in range(200)]


def prepared(folder, **changes):
    """A corpus of numbered documents, so that a token's origin can be told."""
    source = folder / "numbered.jsonl"
    source.write_text("".join(json.dumps({"text": one.text}) + "\n" for one in NUMBERED))
    settings = small(folder / "run", data__source=str(source), **changes)
    prepare_corpus(settings, folder / "run" / "data", fresh=True)
    return settings, opened(settings, folder / "run")


@pytest.fixture
def seen(monkeypatch):
    """The texts that a tokenizer is trained on."""
    seen: list[str] = []

    def train_tokenizer(kind, texts, vocab_size):
        seen.extend(texts)
        return ByteTokenizer()

    monkeypatch.setattr("llmcourse.prepare.corpus.train_tokenizer", train_tokenizer)
    return seen


def numbers(tokenizer, tokens) -> set[str]:
    return set(re.findall(r"Document (\d+)", tokenizer.decode(np.asarray(tokens).tolist())))


def test_whole_documents_are_held_out(tmp_path):
    _, corpus = prepared(tmp_path)
    train = numbers(corpus.tokenizer, corpus.train.tokens)
    valid = numbers(corpus.tokenizer, corpus.valid.tokens)
    assert len(train) + len(valid) == 200
    assert not train & valid
    assert 20 <= len(valid) <= 60  # a fifth of 200, within three standard deviations


def test_the_tokenizer_never_sees_what_is_held_out(tmp_path, seen):
    _, corpus = prepared(tmp_path)
    assert numbers(corpus.tokenizer, corpus.valid.tokens)
    assert not numbers(corpus.tokenizer, corpus.valid.tokens) & set(
        re.findall(r"Document (\d+)", "".join(seen))
    )


def test_baselines_are_in_order(tmp_path):
    _, corpus = prepared(tmp_path)
    assert 0 < corpus.unigram < corpus.uniform


def test_a_source_to_validate_on(tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"text": "Quite another text. " * 50}) + "\n")
    _, corpus = prepared(tmp_path, data__valid=str(other))
    assert len(numbers(corpus.tokenizer, corpus.train.tokens)) == 200
    text = corpus.tokenizer.decode(corpus.valid.tokens.tolist())
    assert text == "Quite another text. " * 50


def test_a_limit_on_what_is_read(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, all_of_it = prepared(tmp_path / "a")
    _, part = prepared(tmp_path / "b", data__max_megabytes=0.02)
    assert 0 < len(part.train.tokens) < len(all_of_it.train.tokens) / 2


def test_a_saved_tokenizer_is_used_as_it_is(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, first = prepared(tmp_path / "a")
    _, second = prepared(tmp_path / "b", data__tokenizer=str(tmp_path / "a" / "run"))
    text = "Document 7 says: hello"
    assert second.tokenizer.encode(text) == first.tokenizer.encode(text)
    assert load_tokenizer(tmp_path / "b" / "run").encode(text) == first.tokenizer.encode(text)


def test_something_is_held_out_however_small_the_share(tmp_path):
    _, corpus = prepared(tmp_path, data__held_out=1e-9)
    last = numbers(corpus.tokenizer, corpus.valid.tokens)
    assert last == {str(n) for n in range(200 - len(last), 200)}
    assert not last & numbers(corpus.tokenizer, corpus.train.tokens)


def test_a_resumed_run_does_not_read_its_source_again(tmp_path):
    settings, corpus = prepared(tmp_path)
    gone = dataclasses.replace(settings.data, source=str(tmp_path / "gone.jsonl"))
    again = dataclasses.replace(settings, data=gone)
    prepare_corpus(again, tmp_path / "run" / "data", fresh=False)
    same = opened(again, tmp_path / "run")
    assert (same.train.tokens == corpus.train.tokens).all()


def test_the_source_is_read_once(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(sources, "read", lambda name, _: read.append(name) or iter(NUMBERED))
    settings = small(tmp_path / "run", data__source="anything")
    prepare_corpus(settings, tmp_path / "run" / "data", fresh=True)
    assert read == ["anything"]


def test_the_text_between_the_steps_is_removed(tmp_path, monkeypatch):
    settings, _ = prepared(tmp_path)
    names = {path.name for path in (tmp_path / "run" / "data").iterdir()}
    assert names == {
        "SHA256SUMS",
        "corpus.json",
        "train.bin",
        "train.bin.json",
        "valid.bin",
        "valid.bin.json",
    }

    def no_room(*_, **__):
        raise OSError("no room")

    monkeypatch.setattr("llmcourse.prepare.corpus.train_tokenizer", no_room)
    with pytest.raises(OSError, match="no room"):
        prepare_corpus(settings, tmp_path / "again" / "data", fresh=True)
    assert not list((tmp_path / "again" / "data").iterdir())


def test_the_tokenizer_sees_text_from_all_over(tmp_path, seen):
    prepared(tmp_path, data__tokenizer_megabytes=0.01)
    numbered = [int(number) for text in seen for number in re.findall(r"Document (\d+)", text)]
    assert sum(map(len, seen)) < 11_000
    assert min(numbered) < 50
    assert max(numbered) > 150


@pytest.mark.parametrize("text", ["one \ud83d half", "a\r\nb\u2028c\x00", " spaces "])
def test_texts_come_back_as_they_were(tmp_path, monkeypatch, text):
    documents = [Document((text + "." * n) * 9, f"n{n}") for n in range(40)]
    monkeypatch.setattr(sources, "read", lambda name, _: iter(documents))
    settings = small(tmp_path / "run", data__source="any", data__tokenizer="byte")
    prepare_corpus(settings, tmp_path / "run" / "data", fresh=True)
    train = [one for one in documents if not is_held_out(one, settings.data.held_out)]
    expected = np.concatenate(list(pack(train, ByteTokenizer())))
    written = np.fromfile(tmp_path / "run" / "data" / "train.bin", dtype=np.uint16)
    assert (written == expected).all()
