import pytest

from llmcourse.data.documents import Document
from llmcourse.errors import UserError
from llmcourse.prepare import parallel
from llmcourse.prepare.parallel import batches, ordered_map

DOCUMENTS = [Document("x" * (n % 7), str(n)) for n in range(60)]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(parallel, "BATCH_LENGTH", 10)


def text_length(document: Document) -> int:
    return len(document.text)


def refuse_last(document: Document) -> int:
    if document.name == "59":
        raise UserError("the last one is bad")
    return 0


def test_batches_are_all_of_it_in_order():
    assert [one for batch in batches(DOCUMENTS) for one in batch] == DOCUMENTS
    assert all(sum(map(text_length, batch)) < 10 + 7 for batch in batches(DOCUMENTS))


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_order(workers):
    assert list(ordered_map(text_length, DOCUMENTS, workers)) == [
        (document, len(document.text)) for document in DOCUMENTS
    ]


def test_an_error_comes_from_another_process_as_it_is():
    with pytest.raises(UserError, match="the last one is bad"):
        list(ordered_map(refuse_last, DOCUMENTS, 2))


def test_a_long_source_is_not_read_ahead():
    read = []
    source = (read.append(document) or document for document in DOCUMENTS)
    results = ordered_map(text_length, source, 2)
    next(results)
    assert len(read) < 30
    results.close()
