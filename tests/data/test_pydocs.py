import re
import sys
from collections import Counter
from itertools import islice
from types import SimpleNamespace

import pytest

from llmcourse.data import pydocs
from llmcourse.errors import UserError

LONG = "This sentence is here so that the module has enough to say for itself. " * 4


@pytest.fixture(scope="module")
def documents():
    return list(pydocs.documents())


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A standard library of our own, and no reference beside it."""
    monkeypatch.setattr(pydocs.sysconfig, "get_path", lambda name: str(tmp_path / name))
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    folder = tmp_path / "stdlib"
    folder.mkdir()

    def write(**sources: str | bytes):
        for name, source in sources.items():
            path = folder / (name.replace("__in__", "/") + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return {document.name: document.text for document in pydocs.documents()}

    return write


def test_there_is_enough_to_learn_from(documents):
    assert 1_000_000 < sum(len(document.text.encode()) for document in documents) < 5_000_000
    assert len(documents) > 200
    assert {document.name.split("/")[0] for document in documents} == {"reference", "library"}


def test_it_is_always_the_same(documents):
    assert list(islice(pydocs.documents(), 100)) == documents[:100]


def test_it_is_prose(documents):
    text = "\n".join(document.text for document in documents)
    words = Counter(re.findall(r"[a-z]+", text.lower()))
    assert words.most_common(1)[0][0] == "the"
    letters = sum(char.isalpha() or char.isspace() for char in text)
    assert letters > 0.85 * len(text)


def test_no_document_dominates_and_none_is_empty(documents):
    lengths = [len(document.text) for document in documents]
    assert max(lengths) < 0.05 * sum(lengths)
    assert min(lengths) > 0


def test_no_paragraph_of_any_length_comes_often(documents):
    """Overridden methods repeat a sentence here and there, but no passage comes three times."""
    paragraphs = Counter(
        paragraph
        for document in documents
        for paragraph in document.text.split("\n\n")
        if len(paragraph) > 300
    )
    assert [paragraph for paragraph, count in paragraphs.items() if count > 2] == []


def test_headings_are_kept_with_their_underlines(documents):
    (statement,) = [document for document in documents if document.name == "reference/assert:1"]
    assert statement.text.startswith('The "assert" statement\n**********************\n\n')
    (module,) = [document for document in documents if document.name == "library/textwrap:1"]
    assert module.text.startswith("textwrap\n********\n\nText wrapping and filling.\n")


def test_a_module_reads_as_headed_paragraphs(library):
    source = f'''
"""About the module.

    indented on purpose

{LONG}
"""

def build(first, /, second=1, *rest: int, flag, **options):
    """Build
    it."""

def undocumented(): pass

class Thing(object):
    """A thing."""

    def poke(self, how):
        """Poke it.

        Like this:
            gently
        """

    @classmethod
    async def make(cls, *, size): "Make one."
'''
    assert library(things=source) == {
        "library/things:1": (
            "things\n******\n\nAbout the module.\n\n"
            f"    indented on purpose\n\n{LONG.strip()}\n\n"
            "build(first, second, *rest, flag, **options)\n\nBuild\nit.\n\n"
            "class Thing\n\nA thing.\n\n"
            "Thing.poke(how)\n\nPoke it.\n\nLike this:\n    gently\n\n"
            "Thing.make(*, size)\n\nMake one."
        )
    }


def test_no_docstring_comes_twice(library):
    one = f'"""One. {LONG}"""\ndef f():\n    """Shared words."""\n'
    other = f'"""Other. {LONG}"""\ndef g():\n    """Shared words."""\ndef h():\n    """Own."""\n'
    texts = "\n".join(library(a_one=one, b_other=other).values())
    assert texts.count("Shared words.") == 1
    assert "f()" in texts
    assert "g()" not in texts
    assert "h()\n\nOwn." in texts


def test_a_long_module_is_cut_between_classes(library):
    classes = "".join(f'class C{n}:\n    """C{n}. {LONG * 30}"""\n' for n in range(4))
    documents = library(long=f'"""Long."""\n{classes}')
    assert list(documents) == ["library/long:1", "library/long:2"]
    assert documents["library/long:2"].startswith("class C2\n\nC2. ")


def test_modules_are_read_and_never_run(library):
    source = f'"""Text. {LONG}"""\nraise SystemExit("run")\n'
    assert list(library(danger=source)) == ["library/danger:1"]


def test_tests_and_foreign_packages_are_left_out(library):
    source = f'"""Text. {LONG}"""\n'
    documents = library(
        kept=source, pkg__in__test=source, test__in__kept=source, pkg__in____init__=source + "\n"
    )
    assert list(documents) == ["library/kept:1"]
    other = source.replace("Text", "Package")
    assert "library/pkg:1" in library(pkg__in____init__=other)


def test_what_cannot_be_parsed_or_says_little_is_passed_over(library):
    documents = library(
        broken='"""' + LONG + '"""\ndef f(:\n',
        latin=b'"""caf\xe9 ' + LONG.encode() + b'"""\n',
        nul=b'"""' + LONG.encode() + b'"""\n\0',
        short='"""Too short to learn from."""\n',
        code='"""' + LONG + '"""\n' + "x = 1\n" * 10_000,
        good='"""' + LONG + '"""\n',
    )
    assert list(documents) == ["library/good:1"]


def test_the_reference_alone_is_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(pydocs.sysconfig, "get_path", lambda name: str(tmp_path / "nothing"))
    names = [document.name for document in pydocs.documents()]
    assert names
    assert all(name.startswith("reference/") for name in names)


def test_a_python_without_any_says_what_to_do(library):
    with pytest.raises(UserError, match="neither pydoc_data nor its library's source files"):
        library()


@pytest.fixture
def reference(library, monkeypatch):
    """Topics of our own, and no library beside them."""

    def write(**topics: str):
        monkeypatch.setitem(sys.modules, "pydoc_data.topics", SimpleNamespace(topics=topics))
        return {document.name: document.text for document in pydocs.documents()}

    return write


def test_a_topic_that_is_mostly_in_a_longer_one_comes_once(reference):
    section = f"Section\n=======\n\n{LONG}\n\nIt ends. {LONG}"
    topics = reference(
        section=section.replace("=", "*") + f"\n\nA footnote of its own: {LONG}",
        whole=f"Whole\n*****\n\nIt begins. {LONG}\n\n{section}\n\nThe rest. {LONG * 3}",
        other=f"Other\n*****\n\nIt shares a part. {LONG * 2}\n\nIt ends. {LONG}",
    )
    assert list(topics) == ["reference/whole:1", "reference/other:1"]


def test_a_long_topic_is_cut_at_its_headings(reference):
    sections = [f"Part {n}\n======\n\n{LONG * 30}\n" for n in range(4)]
    topics = reference(long=f"Long\n****\n\nText.\n\n{''.join(sections)}")
    assert list(topics) == ["reference/long:1", "reference/long:2"]
    assert topics["reference/long:1"].startswith("Long\n****\n\nText.\n\nPart 0\n======\n")
    assert topics["reference/long:2"].startswith("Part 2\n======\n")


def test_tables_are_left_out(reference):
    table = "+----+----+\n| a  | or |\n|====|====|\n| b  | in |\n+----+----+\n"
    topics = reference(power=f"Power\n*****\n\n{LONG}\n\n{table}\n  x |= y or a + b\n\nEnd. {LONG}")
    assert topics["reference/power:1"] == (
        f"Power\n*****\n\n{LONG}\n\n\n  x |= y or a + b\n\nEnd. {LONG}"
    )


def test_a_topic_of_a_few_words_is_left_out(reference):
    assert list(reference(short="Short\n*****\n\nSee elsewhere.", long=LONG)) == [
        "reference/long:1"
    ]
