import gzip
import json
import os
from pathlib import Path

import pytest

from llmcourse.data.reading import Reading
from llmcourse.data.tagged import read_tagged
from llmcourse.errors import UserError

CONLL = """\
-DOCSTART- -X- -X- O

# a comment
Mia NNP B-NP B-PER
sees VBZ B-VP O
# NN B-NP O

Tom NNP B-NP B-PER
"""
CONLLU = (
    "# sent_id = 1\n"
    "# text = Vámonos al mar\n"
    "1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\tVamos\tir\tVERB\tV\t_\t0\troot\t_\t_\n"
    "2\tnos\tnosotros\tPRON\tP\t_\t1\tobj\t_\t_\n"
    "2.1\tellos\t_\tPRON\t_\t_\t_\t_\t_\t_\n"
    "3\tal mar\tmar\tNOUN\tN\t_\t1\tobl\t_\t_\n"
    "\n"
    "1\tSí\tsí\tINTJ\tI\t_\t0\troot\t_\t_"
)


@pytest.fixture
def file(tmp_path):
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        data = text.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def read(path: Path, **options):
    return [(text.words, text.tags) for text in read_tagged(path, **options)]


@pytest.mark.parametrize("name", ["x.conll", "x.txt", "x.bio", "x.conll.gz"])
def test_conll_is_columns_and_blank_lines(file, name):
    path = file(name, CONLL)
    assert read(path) == [
        (("Mia", "sees", "#"), ("B-PER", "O", "O")),
        (("Tom",), ("B-PER",)),
    ]
    assert read(path, tags="2")[0][1] == ("NNP", "VBZ", "NN")


def test_conllu_has_names_for_columns_and_words_have_whole_numbers(file):
    path = file("x.conllu", CONLLU)
    assert read(path) == [
        (("Vamos", "nos", "al mar"), ("VERB", "PRON", "NOUN")),
        (("Sí",), ("INTJ",)),
    ]
    assert read(path, tags="deprel")[0][1] == ("root", "obj", "obl")


def test_json_lines_have_lists(file):
    rows = [{"tokens": ["a", "b"], "upos": ["X", "Y"], "ner_tags": ["O", "O"]}]
    path = file("x.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    assert read(path) == [(("a", "b"), ("O", "O"))]
    assert read(path, tags="upos") == [(("a", "b"), ("X", "Y"))]


def test_the_place_is_the_first_line_of_a_text(file):
    texts = list(read_tagged(file("x.conll", CONLL)))
    assert [text.where for text in texts] == ["x.conll, line 3", "x.conll, line 8"]


@pytest.mark.parametrize(
    ("name", "text", "tags", "said"),
    [
        ("x.conll", "a X\nb\n", None, "x.conll, line 2: 1 columns where 2 are needed: 'b'"),
        ("x.conll", "a X\n", "upos", "have no names: give the tags' number"),
        ("x.conll", "a X\n", "3", "2 columns where 3 are needed"),
        ("x.conllu", CONLLU, "pos", "CoNLL-U has no column 'pos'"),
        ("x.conllu", "1\ta\n", None, "2 columns where 10 are needed"),
        ("x.jsonl", "[1]", None, "x.jsonl, line 1: this is no JSON object"),
        ("x.jsonl", "{", None, "this is no JSON object"),
        ("x.jsonl", '{"text": "a"}', None, "the words should be a list called tokens or words"),
        ("x.jsonl", '{"tokens": ["a"], "mine": ["b"]}', None, "there: mine, tokens"),
        ("x.jsonl", '{"tokens": ["a"], "tags": []}', None, "1 words and 0 tags"),
        ("x.jsonl", '{"tokens": [], "tags": []}', None, "a text without words"),
        ("x.jsonl", '{"tokens": ["a"], "tags": [3]}', None, "the tags are no list of texts"),
    ],
)
def test_bad_input_is_one_line(file, name, text, tags, said):
    with pytest.raises(UserError) as caught:
        read(file(name, text), tags=tags)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_text_that_cannot_be_read_can_be_passed_over(file):
    told = []
    path = file("x.conll", "a X\nb\nc Z\n\nd Y\n")
    assert read(path, reading=Reading(on_error=told.append)) == [(("d",), ("Y",))]
    assert len(told) == 1


@pytest.mark.skipif("LLMCOURSE_DATA" not in os.environ, reason="LLMCOURSE_DATA names no data")
def test_real_treebanks():
    root = Path(os.environ["LLMCOURSE_DATA"])
    texts = list(read_tagged(root / "ud_english_ewt" / "ewt.valid.jsonl.gz", tags="upos"))
    assert len(texts) == 2001
    assert len({tag for text in texts for tag in text.tags}) == 17
    names = list(read_tagged(root / "ner_wnut17" / "wnut17.valid.jsonl.gz"))
    assert {tag[:2] for text in names for tag in text.tags} == {"O", "B-", "I-"}
