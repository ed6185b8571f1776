"""Documents to one stream of ids. Windows are cut from it elsewhere (`windows`). Chapter 08."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import UInt32

from llmcourse.data.documents import Document
from llmcourse.text.base import Tokenizer


def pack(
    documents: Iterable[Document], tokenizer: Tokenizer
) -> Iterator[UInt32[np.ndarray, " tokens"]]:
    """Each document's ids followed by END_OF_TEXT, an array a document, as they come.

    The end token tells the model that what follows is about something else; without it, the last
    sentence of one document would have to explain the first of the next.
    """
    for document in documents:
        yield np.array([*tokenizer.encode(document.text), tokenizer.eot_id], dtype=np.uint32)
