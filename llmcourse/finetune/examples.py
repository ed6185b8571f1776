"""Examples from files, in three splits that share nothing.

A source is one file, of which parts are held out by a hash of the text, or a folder with files for
training, validation and test. What would make a score a lie is refused: a label that is missing or
that training never saw, an example that stands in two splits. Not here: how tables are read
(`data/tables.py`, `data/tagged.py`), how examples become tokens (`encode.py`), chats and
pairs (`chats.py`). Chapter 11 teaches this.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from llmcourse.data.documents import Document, is_held_out
from llmcourse.data.reading import Reading
from llmcourse.data.tables import read_rows
from llmcourse.data.tagged import read_tagged
from llmcourse.errors import UserError, listed, require
from llmcourse.finetune.settings import DataSettings
from llmcourse.randomness import numpy_rng

TEXT_NAMES = ("text", "sentence", "review", "utterance", "query", "content", "message", "document")
LABEL_NAMES = ("label", "labels", "intent", "category", "class", "sentiment", "topic", "target")
"""What columns are called, the likelier names first."""

LONGEST = 50_000
"""Characters: a longer example is a file in the wrong place, not a text with a label."""

SPLITS = {"train": ("train", "training"), "valid": ("valid", "dev", "val"), "test": ("test",)}
"""The splits, and the words in a file's name that tell which one it holds."""


@dataclass(frozen=True)
class Example:
    """An example: a text in words, and a label, or a tag for each word.

    Attributes:
        words: the text; for a task that labels the whole of it, one entry that is all of it.
        labels: the label, or the tags.
        where: the place that it was read from, for messages.
    """

    words: tuple[str, ...]
    labels: tuple[str, ...]
    where: str

    @property
    def key(self) -> str:
        """What makes two examples the same: their text, whatever its case and spaces."""
        return " ".join(" ".join(self.words).casefold().split())


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What a model says of an example.

    Attributes:
        labels: the label, or the tags.
        surprise: how unlikely it found the right ones, in nats; 0 where they are not known.
        sure: the probability of its label; of tags, that of the least sure one.
    """

    labels: tuple[str, ...]
    surprise: float
    sure: float


@dataclass(frozen=True)
class Splits:
    """The three splits, and the names of all labels, sorted; none where examples have none."""

    train: list[Any]
    valid: list[Any]
    test: list[Any]
    labels: list[str]


@runtime_checkable
class Keyed(Protocol):
    """What splits ask of an example: where it stands, and what makes two of them the same."""

    @property
    def where(self) -> str:
        """The place that it was read from."""
        ...

    @property
    def key(self) -> str:
        """Equal for two examples that are the same."""
        ...


K = TypeVar("K", bound=Keyed)
Read = Callable[[Path, DataSettings], Iterator[K]]


# --- reading --------------------------------------------------------------------------------------


def read_labelled(path: Path, settings: DataSettings) -> Iterator[Example]:
    """Texts with a label each, from a table.

    Raises:
        UserError: no such column, or a row whose text or label is missing, empty or too long.
    """
    text, label = settings.text, settings.label
    for where, row in read_rows(path, Reading(encoding=settings.encoding)):
        text = text or _column(row, TEXT_NAMES, path, "text")
        label = label or _column(row, LABEL_NAMES, path, "label")
        for name in (text, label):
            require(name in row, f"{where} has no column {name!r} but {listed(row)}")
        yield checked(Example((text_in(row, text, where),), (_label(row, label, where),), where))


def read_tags(path: Path, settings: DataSettings) -> Iterator[Example]:
    """Texts with a tag for each word, from JSON lines, CoNLL or CoNLL-U.

    Raises:
        UserError: no such column, or a text whose words and tags are missing or do not line up.
    """
    require(path.is_file(), f"there is no file {path}")
    for text in read_tagged(path, tags=settings.tags, reading=Reading(encoding=settings.encoding)):
        yield checked(Example(text.words, text.tags, text.where))


def checked(example: Example) -> Example:
    """The example, if there is a text in it, and not too much.

    Raises:
        UserError: names the place.
    """
    length = sum(map(len, example.words))
    require(all(map(str.strip, example.words)), f"{example.where}: the text or a word is empty")
    require(
        length <= LONGEST,
        f"{example.where}: {length:,} characters in one example, at most {LONGEST:,}: "
        "cut it into several",
    )
    return example


def _column(row: dict[str, object], names: tuple[str, ...], path: Path, what: str) -> str:
    known = {str(name).casefold(): str(name) for name in row}
    for name in names:
        if name in known:
            return known[name]
    raise UserError(f"{path} has no column '{what}' but {listed(row)}: name it (--data.{what})")


def text_in(row: dict[str, Any], column: str, where: str) -> str:
    """The text in a row's column.

    Raises:
        UserError: it holds something else.
    """
    value = row[column]
    if not isinstance(value, str):
        raise UserError(f"{where}: column {column!r} holds {type(value).__name__}, not text")
    return value


def _label(row: dict[str, object], column: str, where: str) -> str:
    value = row[column]
    if value is None or (isinstance(value, str) and not value.strip()):
        raise UserError(f"{where}: the label is missing (column {column!r})")
    if isinstance(value, float) and not value.is_integer():
        raise UserError(f"{where}: label {value} is a number, not a class")
    if isinstance(value, (list, dict)):
        raise UserError(f"{where}: column {column!r} holds {type(value).__name__}, not a label")
    return str(int(value)) if isinstance(value, (int, float)) else str(value).strip()


# --- splits ---------------------------------------------------------------------------------------


def read_splits(read: Read, settings: DataSettings, seed: int) -> Splits:
    """The three splits of a source of labelled examples.

    Raises:
        UserError: no examples, a label that training lacks, an example in two splits, or what
            `read` raises.
    """
    found = _divided(read, settings)
    check_labels(found)
    train = _some(found["train"], settings.limit, seed)
    labels = sorted({label for example in found["train"] for label in example.labels})
    require(len(labels) > 1, f"all examples have the label {labels[0]!r}: there is nothing to tell")
    return Splits(train, found["valid"], found["test"], labels)


def read_unlabelled(read: Read, settings: DataSettings, seed: int) -> Splits:
    """The three splits of a source of examples that have no labels.

    Raises:
        UserError: no examples, an example in two splits, or what `read` raises.
    """
    found = _divided(read, settings)
    return Splits(_some(found["train"], settings.limit, seed), found["valid"], found["test"], [])


def _divided(read: Read, settings: DataSettings) -> dict[str, list[Any]]:
    """The examples of each split, of which none stands in two."""
    files = find_files(settings)
    found = {name: list(read(path, settings)) for name, path in files.items()}
    for name, path in files.items():
        require(bool(found[name]), f"{path} holds no examples")
    for name in ("test", "valid"):
        if name not in found:
            found["train"], found[name] = hold_out(found["train"], settings.held_out, name)
    for name, examples in found.items():
        require(
            bool(examples),
            f"nothing is left for the {name} split: give more examples, or a file (--data.{name})",
        )
    found["train"] = without_leaks(found, settings.leaks)
    return found


def hold_out(examples: list[K], share: float, split: str) -> tuple[list[K], list[K]]:
    """The examples, and about a share of them that is taken out for a split.

    By a hash of the text: copies of one text fall on one side.
    """
    sides: tuple[list[K], list[K]] = ([], [])
    for example in examples:
        held = is_held_out(Document(f"{split}/{example.key}", ""), share)
        sides[held].append(example)
    return sides


def find_files(settings: DataSettings) -> dict[str, Path]:
    """The files of the splits that have one; there is one for training at least.

    Raises:
        UserError: there is none, or a split has several.
    """
    source = Path(settings.source).expanduser()
    files: dict[str, Path] = {}
    if settings.source and source.is_dir():
        for split, words in SPLITS.items():
            named = [path for path in sorted(source.iterdir()) if _says(path, words)]
            if len(named) > 1 and not getattr(settings, split):
                names = ", ".join(path.name for path in named[:5])
                raise UserError(f"{source} has several files for {split}: {names}; name one")
            if named:
                files[split] = named[0]
    elif settings.source:
        files["train"] = source
    for split in SPLITS:
        if getattr(settings, split):
            files[split] = Path(getattr(settings, split)).expanduser()
    require(
        "train" in files,
        f"{source} has no file called train: name one (--data.train)"
        if settings.source
        else "there are no examples to learn from: name a file or a folder (--data)",
    )
    return files


def _says(path: Path, words: tuple[str, ...]) -> bool:
    parts = re.split(r"[^a-z]+", path.name.casefold())
    return path.is_file() and not path.name.startswith(".") and any(w in parts for w in words)


def without_leaks(found: dict[str, list[K]], leaks: str) -> list[K]:
    """The training examples, without those that stand in another split.

    Raises:
        UserError: there are some, and they are not to be dropped.
    """
    held = {example.key: example.where for name in ("valid", "test") for example in found[name]}
    leaked = [example for example in found["train"] if example.key in held]
    if leaked and leaks == "refuse":
        first = leaked[0]
        raise UserError(
            f"{len(leaked)} training examples stand in another split, too, the first at "
            f"{first.where} and {held[first.key]}: remove them, or add --data.leaks drop"
        )
    both = {example.key: example.where for example in found["valid"]}
    shared = next((example for example in found["test"] if example.key in both), None)
    if shared is not None and leaks == "refuse":
        raise UserError(
            f"the test split's {shared.where} stands in the validation split, too "
            f"({both[shared.key]}): remove it, or add --data.leaks drop"
        )
    return [example for example in found["train"] if example.key not in held]


def check_labels(found: dict[str, list[Example]]) -> None:
    """Refuse a label that no training example has.

    Raises:
        UserError: names it, and where it stands.
    """
    known = Counter(label for example in found["train"] for label in example.labels)
    for name in ("valid", "test"):
        for example in found[name]:
            for label in example.labels:
                require(
                    label in known,
                    f"{example.where}: label {label!r} of the {name} split occurs in no training "
                    "example: add some, or leave such rows out",
                )


def _some(examples: Sequence[K], limit: int, seed: int) -> list[K]:
    if not limit or limit >= len(examples):
        return list(examples)
    order = numpy_rng(seed, "limit").permutation(len(examples))[:limit]
    return [examples[place] for place in sorted(order)]


def texts(lines: Iterable[str]) -> list[Example]:
    """Texts without labels, to be predicted."""
    return [
        checked(Example((line,), (), f"text {number}"))
        for number, line in enumerate(lines, start=1)
    ]


def in_words(examples: Iterable[Example]) -> list[Example]:
    """Texts without labels, cut into words at spaces and around punctuation."""
    return [
        replace(example, words=tuple(re.findall(r"\w+(?:['’]\w+)*|[^\w\s]", example.words[0])))
        for example in examples
    ]
