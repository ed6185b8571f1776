"""Special tokens in a text: where it spells one, and is meant to.

A text that spells a special token is text like any other unless its caller says otherwise: nobody
who types `<|endoftext|>` into a prompt shall end a document. What a program writes itself, such as
the turns of a chat, it encodes with `allowed_special`, as in tiktoken. Not here: the tokens' ids,
which each tokenizer has (`base`).
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Literal

from llmcourse.errors import UserError, nearest

AllowedSpecial = Collection[str] | Literal["all"]
"""The special tokens that a text may yield: some by name, all, or none, which is usual."""


def split_special(
    text: str, special_ids: Mapping[str, int], allowed: AllowedSpecial
) -> Iterator[str | int]:
    """The stretches of ordinary text, and between them the ids of the special tokens spelled there.

    Where two of them begin, the longer one is meant.

    Raises:
        UserError: an allowed token is none of this vocabulary.
    """
    names = special_ids if allowed == "all" else _known(allowed, special_ids)
    by_length = sorted(names, key=len, reverse=True)
    if not by_length:
        yield text
        return
    parts = re.split(f"({'|'.join(map(re.escape, by_length))})", text)
    for turn, part in enumerate(parts):
        if turn % 2:  # what the pattern's brackets caught stands between the rest
            yield special_ids[part]
        elif part:
            yield part


def encode_special(
    encode: Callable[[str], list[int]],
    text: str,
    special_ids: Mapping[str, int],
    allowed: AllowedSpecial,
) -> list[int]:
    """The ids of a text, its ordinary stretches encoded each by itself.

    Raises:
        UserError: as `split_special`.
    """
    ids: list[int] = []
    for part in split_special(text, special_ids, allowed):
        ids += encode(part) if isinstance(part, str) else [part]
    return ids


def new_names(names: Iterable[str], special_ids: Mapping[str, int]) -> list[str]:
    """The names of special tokens to add, checked.

    Raises:
        UserError: they are no names, or there is one already.
    """
    if isinstance(names, str):
        raise UserError(f"special tokens are given as several names, not one text: [{names!r}]")
    found = list(names)
    for number, name in enumerate(found):
        if not isinstance(name, str) or not name:
            raise UserError(f"{name!r} is no name of a special token: try '<|user|>'")
        if name in special_ids or name in found[:number]:
            raise UserError(f"there is a special token {name!r} already: leave it out")
    return found


def _known(allowed: Collection[str], special_ids: Mapping[str, int]) -> Collection[str]:
    if isinstance(allowed, str):
        raise UserError(
            f"allowed_special={allowed!r} must be 'all' or several names: {{{allowed!r}}}"
        )
    for name in allowed:
        if name not in special_ids:
            raise UserError(f"{name!r} is no special token here{nearest(name, special_ids)}")
    return allowed
