import numpy as np

from llmcourse.data.documents import Document
from llmcourse.data.packing import pack
from llmcourse.text.simple import ByteTokenizer


def test_each_document_is_followed_by_the_end_token():
    tokenizer = ByteTokenizer()
    arrays = list(pack([Document("ab", "1"), Document("", "2"), Document("é", "3")], tokenizer))
    assert [array.tolist() for array in arrays] == [
        [97, 98, 256],
        [256],
        [0xC3, 0xA9, 256],
    ]
    assert {array.dtype for array in arrays} == {np.dtype(np.uint32)}


def test_documents_are_read_one_at_a_time():
    read = []

    def documents():
        for name in "abc":
            read.append(name)
            yield Document(name, name)

    arrays = pack(documents(), ByteTokenizer())
    assert read == []
    next(arrays)
    assert read == ["a"]
