"""The folder that `python -m llmcourse.prepare` leaves behind: what is where in it.

| file | what it holds |
| --- | --- |
| `prepared.json` | what the folder is: the tokenizer's kind and size, and how much text there is |
| `tokenizer.json` or `tokenizer.model` | the tokenizer |
| `train.bin`, `valid.bin`, each with a `.json` | the ids, as `windows` reads them |
| `train.jsonl.gz`, `valid.jsonl.gz` | the cleaned documents, as `local` reads them |
| `dropped.jsonl.gz` | name, reason and beginning of everything that was left out |
| `report.md`, `report.json` | what was done, for people and for programs |
| `SHA256SUMS` | the checksums of what a run reads; `gzip` has its own for the rest |

Not here: making it (`prepare/`), training on it (`train/corpus.py`). Chapter 01 teaches this.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from llmcourse.checksums import SUMS, check_files, write_checksums
from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text, kind_of, read_file
from llmcourse.plain import from_plain, parse_json

SPLITS = ("train", "valid")
"""The two sides of the held-out split."""

DESCRIPTION = "prepared.json"
DROPPED = "dropped.jsonl.gz"

READ_FILES = {
    *(DESCRIPTION, "tokenizer.json", "tokenizer.model"),
    *(f"{split}.bin{ending}" for split in SPLITS for ending in ("", ".json")),
}
"""What a run reads of it."""
OWN_FILES = READ_FILES | {
    *(DROPPED, SUMS, "report.md", "report.json", *(f"{split}.jsonl.gz" for split in SPLITS))
}
"""All that `prepare` leaves in its folder."""

AGAIN = "prepare the text again"
"""What to do about a prepared folder that is damaged."""
_FORMAT = 1
"""Counts up when a change makes older folders unreadable."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much text one side of the split holds; bytes are those of UTF-8."""

    documents: int
    bytes: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a prepared folder says of itself.

    Attributes:
        tokenizer: the tokenizer's kind.
        vocab_size: how many ids it has.
        held_out: the share of documents that went to `valid`.
        train: what there is to learn from.
        valid: what is held out.
    """

    tokenizer: str
    vocab_size: int
    held_out: float
    train: Amount
    valid: Amount


def text_path(folder: str | os.PathLike[str], split: str) -> Path:
    """Where the cleaned documents of a side are."""
    return Path(folder) / f"{split}.jsonl.gz"


def tokens_path(folder: str | os.PathLike[str], split: str) -> Path:
    """Where the ids of a side are."""
    return Path(folder) / f"{split}.bin"


def is_prepared(source: str | os.PathLike[str]) -> bool:
    """Whether a data source is a prepared folder."""
    return os.path.lexists(os.path.join(os.path.expanduser(source), DESCRIPTION))


def foreign_to_prepared(folder: Path) -> Path | None:
    """Something in a folder that `prepare` did not write; None if there is nothing."""
    for path in sorted(folder.iterdir()):
        if path.name not in OWN_FILES or kind_of(path, follow=False) != "a file":
            return path
    return None


def write_description(
    folder: str | os.PathLike[str], prepared: Prepared, sums: Mapping[str, str] | None = None
) -> None:
    """Write what `read_description` reads, the mark of such a folder; last of all the checksums.

    Args:
        folder: where all else is by now.
        prepared: what it says of itself.
        sums: the checksums that are known, by the files' names.

    Raises:
        OSError: no room or no permission.
    """
    content = json.dumps({"format": _FORMAT, **asdict(prepared)}, indent=1)
    atomic_write_text(Path(folder) / DESCRIPTION, content + "\n")
    write_checksums(Path(folder), map(Path(folder).joinpath, READ_FILES), sums)


def read_description(folder: str | os.PathLike[str]) -> Prepared:
    """Read what a prepared folder says of itself.

    Raises:
        UserError: the folder is none, is damaged, or is of a later version.
    """
    path = Path(os.path.expanduser(folder), DESCRIPTION)
    try:
        check_files(path, remedy=AGAIN)
        content = parse_json(read_file(path))
        if content.pop("format") != _FORMAT:
            raise UserError(f"{path} is of another version of llmcourse: prepare the data again")
    except FileNotFoundError:
        raise UserError(f"{folder} is no prepared folder: it holds no {DESCRIPTION}") from None
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{path} is damaged: prepare the data again") from None
    try:
        return from_plain(Prepared, content)
    except UserError as error:
        raise UserError(f"{path} is damaged ({error}): prepare the data again") from None
