"""What can be set about a run's text.

Not here: the other settings (`settings.py`), and what is done with the text (`corpus.py`).
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from llmcourse.data.documents import MOST_MEGABYTES
from llmcourse.data.reading import Reading
from llmcourse.data.sources import KNOWN_SOURCES
from llmcourse.errors import require
from llmcourse.tokenizers.registry import KNOWN_TOKENIZERS


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """The text, and how it is cut into tokens."""

    source: Annotated[
        str,
        tyro.conf.arg(
            help=f"{KNOWN_SOURCES}, or a folder that python -m llmcourse.prepare has written."
        ),
    ] = "pydocs"
    encoding: str | None = None
    """How the files' bytes are text: utf-8, cp1252, gb18030, ...; found out unless given."""
    column: str | None = None
    """The column of tables that is read; found out unless given."""
    valid: str | None = None
    """Another source to validate on; unless given, documents of `source` are held out."""
    held_out: float = 0.05
    """The share of documents held out for validation."""
    max_megabytes: float | None = None
    """Stop reading the source after so many megabytes of text."""
    tokenizer: Annotated[str, tyro.conf.arg(help=KNOWN_TOKENIZERS)] = "bpe"
    vocab_size: int = 2048
    """How many tokens a trained tokenizer has, V."""
    tokenizer_megabytes: float = 50.0
    """How much of the text a tokenizer is trained on, drawn from all over it."""
    separate_documents: bool = False
    """Keep documents that share a window from seeing each other (clm)."""

    def __post_init__(self) -> None:
        require(
            0 < self.held_out < 1,
            f"data.held_out={self.held_out} must lie between 0 and 1: try 0.05",
        )
        for name in ("max_megabytes", "tokenizer_megabytes"):
            value = getattr(self, name)
            require(value is None or value > 0, f"data.{name}={value} must be above 0")
            require(
                value is None or value <= MOST_MEGABYTES,
                f"data.{name}={value} is more than any disk holds: at most {MOST_MEGABYTES:.0e}",
            )
        Reading(encoding=self.encoding)  # refuses one that there is not
