"""What can be set about preparing data, validated at the door.

Not here: what the settings do (`pipeline.py`); the thresholds of quality (`cleaning/quality.py`).
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from llmcourse.cleaning.quality import QualityRules
from llmcourse.data.documents import MOST_MEGABYTES
from llmcourse.data.sources import KNOWN_SOURCES
from llmcourse.errors import UserError
from llmcourse.tokenizers.registry import KNOWN_TOKENIZERS

MOST_WORKERS = 1024
"""Processes that clean and tokenise: each takes a hundred megabytes."""

Language = Literal["en", "zh", "other"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where text comes from, what is kept of it, and how it is cut into tokens."""

    sources: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="SOURCE [SOURCE ...]", help=f"Each is {KNOWN_SOURCES}."),
    ]
    out: Path
    """The folder to write; it appears when everything is done, and not before."""
    encoding: str | None = None
    """How the sources' bytes are text: utf-8, cp1252, gb18030, ...; found out unless given."""
    column: str | None = None
    """The column of tables that is read; found out unless given."""
    overwrite: bool = False
    """Replace a folder that an earlier run of this command has written."""
    languages: tuple[Language, ...] = ("en", "zh", "other")
    """Keep documents in these languages."""
    filter: bool = True
    """Drop boilerplate lines, and documents that break a rule of quality."""
    similarity: float = 0.8
    """Drop a document that is so similar to an earlier one, 0 to 1; 1 drops exact copies alone."""
    mask: bool = True
    """Put <email>, <phone> and <ip> for people's addresses."""
    held_out: float = 0.05
    """The share of documents held out for validation."""
    tokenizer: Annotated[str, tyro.conf.arg(help=KNOWN_TOKENIZERS)] = "bpe"
    vocab_size: int = 8192
    """How many tokens a trained tokenizer has, V."""
    tokenizer_megabytes: float = 20.0
    """How much of the text a tokenizer is trained on; of Chinese, bpe takes 100 times the room."""
    workers: int = 1
    """How many processes clean and tokenise; the results are the same, byte for byte."""
    quality: QualityRules = field(default_factory=QualityRules)

    def __post_init__(self) -> None:
        if not self.sources:
            raise UserError("name at least one SOURCE: a file, a folder or hf:org/name")
        if not self.languages:
            raise UserError("--languages keeps nothing: name en, zh or other")
        if not 0 < self.similarity <= 1:
            raise UserError(f"similarity={self.similarity} must be above 0 and at most 1: try 0.8")
        if not 0 < self.held_out < 1:
            raise UserError(f"held_out={self.held_out} must lie between 0 and 1: try 0.05")
        if not self.tokenizer_megabytes > 0:
            raise UserError(f"tokenizer_megabytes={self.tokenizer_megabytes} must be above 0")
        if self.tokenizer_megabytes > MOST_MEGABYTES:
            raise UserError(
                f"tokenizer_megabytes={self.tokenizer_megabytes} is more than any disk holds: "
                f"at most {MOST_MEGABYTES:.0e}"
            )
        if not 1 <= self.workers <= MOST_WORKERS:
            raise UserError(
                f"workers={self.workers} must lie between 1 and {MOST_WORKERS}: "
                "more than there are processors make nothing faster"
            )

    def plain(self) -> dict[str, Any]:
        """All settings in the terms of JSON; paths are text."""
        return json.loads(json.dumps(asdict(self), default=str))
