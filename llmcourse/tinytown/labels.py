"""A story of tinytown with everything that its grammar knows about it, as labels.

Part-of-speech tags, entity spans, who a pronoun means, the sentiment of each sentence and of the
whole. Nobody annotated anything: the choices that made the story *are* the labels, so they are
right by construction. Not here: tasks made from them, such as questions (`tinytown.tasks`).
Chapters 03, 07, 11 and 12 use them.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from llmcourse.tinytown.grammar import Choice, Literal, Slot
from llmcourse.tinytown.lexicon import ENTITIES, NAMES, PRONOUNS, TAGS
from llmcourse.tinytown.plot import GRAMMAR

_TOKEN = re.compile(r"\w+|[^\w\s]")
_NEGATIONS = frozenset({"not", "never", "no", "nobody", "none", "nothing", "without"})


class Token(NamedTuple):
    """A word or punctuation mark, its universal part of speech, and its place in the sentence.

    Names are `PROPN`, punctuation is `PUNCT`; `sentence.text[start:end] == text`.
    """

    text: str
    tag: str
    start: int
    end: int


class Entity(NamedTuple):
    """A person (`PER`), pet (`PET`), place (`LOC`) or thing (`ITEM`): tokens `start` to `end`."""

    kind: str
    fact: str
    start: int
    end: int


class Mention(NamedTuple):
    """Tokens `start` to `end` mean somebody or something: by name, or by a pronoun.

    `referents` are names of facts: `("pet",)` for `it`, `("hero", "pet")` for `they`.
    """

    referents: tuple[str, ...]
    start: int
    end: int
    is_pronoun: bool


@dataclass(frozen=True)
class Sentence:
    """One sentence and its labels.

    Attributes:
        beat: its place in the plot, such as `weather`.
        text: the sentence.
        tokens: its words and punctuation.
        entities: what it names.
        mentions: whom it means, pronouns included.
        sentiment: -1, 0 or 1.
    """

    beat: str
    text: str
    tokens: tuple[Token, ...]
    entities: tuple[Entity, ...]
    mentions: tuple[Mention, ...]
    sentiment: int

    @property
    def is_negated(self) -> bool:
        """Whether it negates, as `was not happy` does: where counting good words goes wrong."""
        return any(token.text.lower() in _NEGATIONS for token in self.tokens)


@dataclass(frozen=True)
class Story:
    """A story: what happened, the facts, and from these the text and every label.

    Attributes:
        choices: what happened in each beat, and in which wording it is told.
        facts: the hero, the pet, the weather, ... by name.
    """

    choices: tuple[Choice, ...]
    facts: Mapping[str, str]

    @functools.cached_property
    def text(self) -> str:
        """The story as plain English."""
        told = (GRAMMAR.render(choice, self.facts) for choice in self.choices)
        return " ".join([sentence for sentence in told if sentence])

    @functools.cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """The sentences with their labels."""
        return tuple(_label(c, self.facts) for c in self.choices if c.wording)

    @property
    def sentiment(self) -> int:
        """1 where it ends well, -1 where it does not."""
        return 1 if self.facts["ending"] == "good" else -1

    def find(self, fact: str) -> tuple[int, int] | None:
        """Where the text first says a fact's own word: `text[start:end]`; None if never."""
        at = 0
        for choice in self.choices:
            for piece in choice.wording.pieces if choice.wording else ():
                said = GRAMMAR.say(piece, self.facts)
                if isinstance(piece, Slot) and piece.fact == fact and not piece.form:
                    return at, at + len(said)
                at += len(said)
            at += choice.wording is not None  # the space between two sentences
        return None


def _label(choice: Choice, facts: Mapping[str, str]) -> Sentence:
    tokens: list[Token] = []
    entities: list[Entity] = []
    mentions: list[Mention] = []
    at = 0
    for piece in choice.wording.pieces if choice.wording else ():
        said = GRAMMAR.say(piece, facts)
        first = len(tokens)
        tokens += [
            Token(text, tag, at + start, at + end) for text, tag, start, end in _tokens(piece, said)
        ]
        at += len(said)
        if isinstance(piece, Slot) and (piece.fact in ENTITIES or piece.form in PRONOUNS):
            _note(piece, (first, len(tokens)), entities, mentions)
    text = GRAMMAR.render(choice, facts)
    labels = tuple(tokens), tuple(entities), tuple(mentions)
    return Sentence(choice.beat, text, *labels, sentiment=choice.event.mood)


def _note(
    slot: Slot, span: tuple[int, int], entities: list[Entity], mentions: list[Mention]
) -> None:
    """Record whom a slot means, and, where it is a name, that it is an entity."""
    start, end = span
    if not slot.form:
        entities.append(Entity(ENTITIES[slot.fact], slot.fact, start, end))
    referents = ("hero", "pet") if slot.fact == "both" else (slot.fact,)
    mentions.append(Mention(referents, start, end, is_pronoun=slot.form in PRONOUNS))


@functools.cache
def _tokens(piece: Literal | Slot, said: str) -> tuple[Token, ...]:
    """The tokens of one piece, placed from the piece's own start."""
    own = dict(piece.tags) if isinstance(piece, Literal) else {}
    named = isinstance(piece, Slot) and piece.fact in NAMES and not piece.form
    tokens = []
    for match in _TOKEN.finditer(said):
        if named:
            tag = "PROPN"
        elif not match[0][0].isalnum():
            tag = "PUNCT"
        else:
            tag = own.get(match.end()) or TAGS[match[0].lower()]
        tokens.append(Token(match[0], tag, match.start(), match.end()))
    return tuple(tokens)
