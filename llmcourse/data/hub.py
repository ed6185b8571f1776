"""Data sets of the Hugging Face hub, streamed through the `datasets` library.

Left to itself, the library tries for most of half a minute before it says that there is no network;
so the hub is asked first, with a limit. Not here: files on this machine (`local`).
"""

import http.client
import re
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any

from llmcourse.data.documents import Document
from llmcourse.data.reading import Reading
from llmcourse.data.rows import Row, to_documents
from llmcourse.errors import UserError

HUB_SECONDS = 3.0
"""How long the hub may take to answer before we say that it does not."""

_NAME = re.compile(r"hf:(?P<path>[^:@]+)(:(?P<config>[^:@]+))?(@(?P<split>[^:@]+))?")


def read(source: str, reading: Reading | None = None) -> Iterator[Document]:
    """The rows of `hf:org/name[:config][@split]` (split `train` if none is named) as documents.

    Rows come over the network as they are asked for, and nothing is kept on disk. `HF_ENDPOINT`,
    `HF_HUB_OFFLINE` and `HF_TOKEN` work as everywhere.

    Raises:
        UserError: the name is malformed, the hub does not answer or has no such data set, or the
            stream breaks off.
    """
    reading = reading or Reading()
    reading.refuse("encoding", what=f"{source}, which says its own")
    match = _NAME.fullmatch(source)
    if match is None:
        raise UserError(f"{source!r} is no hub name: write hf:org/name[:config][@split]")
    rows = _open(source, match["path"], match["config"], match["split"] or "train")
    return to_documents(_placed(rows, source), source, reading)


def _open(source: str, path: str, config: str | None, split: str) -> Iterable[dict[str, Any]]:
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE and not answers(constants.ENDPOINT, HUB_SECONDS):
        raise UserError(
            f"the hub at {constants.ENDPOINT} does not answer: check the network, "
            f"or name a file or folder on this machine instead of {source}"
        )
    from datasets import load_dataset

    try:
        return load_dataset(path, config, split=split, streaming=True)
    except Exception as error:  # it passes on those of half a dozen libraries
        offline = "HF_HUB_OFFLINE is set: " if constants.HF_HUB_OFFLINE else ""
        raise UserError(f"cannot open {source}: {offline}{_first_line(error)}") from error


def _placed(rows: Iterable[dict[str, Any]], source: str) -> Iterator[Row]:
    try:
        for number, row in enumerate(rows, start=1):
            yield f"{source}:{number}", row
    except Exception as error:  # likewise
        raise UserError(f"{source} broke off: {_first_line(error)}; try again") from error


def answers(endpoint: str, seconds: float) -> bool:
    """Whether a web server says anything at all in time.

    It is asked in a thread of its own, since looking up a name knows no time limit.
    """
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(endpoint, method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
        except urllib.error.HTTPError as error:
            error.close()  # a refusal, but an answer
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ssl.SSLError):  # `datasets` has its own certificates
                return
        except (OSError, http.client.HTTPException, ValueError):  # no answer, or no address
            return
        answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
