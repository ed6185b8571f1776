"""Tasks made from tinytown's stories: right examples are right by construction, wrong ones wrong.

Pairs of sentences (what follows, in which order), paraphrases and near misses, questions with the
place of their answer, instructions with responses, preferences with a reason. Not here: tags, spans
and sentiment, which every `Story` carries (`tinytown.labels`), and numbers (`tinytown.numbers`).
Chapters 07, 11, 13 and 14 use them.
"""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from llmcourse.randomness import python_rng
from llmcourse.tinytown.grammar import Choice
from llmcourse.tinytown.labels import Story
from llmcourse.tinytown.lexicon import BOYS, FORMS, GIRLS, TABLES
from llmcourse.tinytown.stories import stories

T = TypeVar("T")


class SentencePair(NamedTuple):
    """Two sentences, and whether the second is what the task asks for."""

    first: str
    second: str
    label: bool


class Triple(NamedTuple):
    """A text, the same in other words, and a near miss."""

    text: str
    same: str
    near_miss: str


class Question(NamedTuple):
    """A question about a story.

    `span` is where the story says the answer, `story.text[start:end]`; None where it is not said in
    these words. `kind` is `who`, `what`, `where`, `when`, `how` or `yes/no`.
    """

    text: str
    answer: str
    kind: str
    span: tuple[int, int] | None


class Instruction(NamedTuple):
    """What somebody asks for, what they give with it (perhaps nothing), and a right response."""

    instruction: str
    given: str
    response: str


class Preference(NamedTuple):
    """A request with a better and a worse response, and what is wrong with the worse."""

    prompt: str
    chosen: str
    rejected: str
    reason: str


def _pick(options: Sequence[T], rng: random.Random) -> T:
    return options[int(rng.random() * len(options))]


def sentiment_sentences(n: int, seed: int = 0) -> Iterator[tuple[str, int]]:
    """`n` sentences with a feeling or a turn of luck, and their sentiment, -1 or 1.

    Many are negated, in both directions: `was not happy`, `was not sad anymore`.
    """
    rng = python_rng(seed, "tinytown", "sentiment")
    for story in stories(n, seed):  # every story ends in a sentence with a sentiment
        sentence = _pick([s for s in story.sentences if s.sentiment], rng)
        yield sentence.text, sentence.sentiment


def next_sentence_pairs(n: int, seed: int = 0) -> Iterator[SentencePair]:
    """Pairs for next-sentence prediction: label True where the second follows the first.

    Half of the seconds come from another story (NSP; Devlin et al., 2018).
    """
    rng = python_rng(seed, "tinytown", "next sentence")
    everything = list(stories(n + 1, seed))
    for story, other in itertools.pairwise(everything):
        at = 1 + int(rng.random() * (len(story.sentences) - 1))
        follows = rng.random() < 0.5
        second = story.sentences[at] if follows else _pick(other.sentences, rng)
        yield SentencePair(story.sentences[at - 1].text, second.text, follows)


def sentence_order_pairs(n: int, seed: int = 0) -> Iterator[SentencePair]:
    """Neighbouring sentences: label True in their order, False swapped (SOP; Lan et al., 2019)."""
    rng = python_rng(seed, "tinytown", "sentence order")
    for story in stories(n, seed):
        at = 1 + int(rng.random() * (len(story.sentences) - 1))
        first, second = story.sentences[at - 1].text, story.sentences[at].text
        if rng.random() < 0.5:
            yield SentencePair(first, second, True)
        else:
            yield SentencePair(second, first, False)


def paraphrase(story: Story, rng: random.Random) -> Story:
    """The same events and facts in other words: every sentence is told in another way."""

    def reworded(choice: Choice) -> Choice:
        others = [way for way in choice.event.wordings if way != choice.wording]
        return choice._replace(wording=_pick(others, rng)) if others else choice

    return replace(story, choices=tuple(reworded(choice) for choice in story.choices))


_SWAPS = ("hero", "pet", "animal", "item", "place", "day")


def with_other(story: Story, fact: str, rng: random.Random) -> Story:
    """The same story with one fact changed everywhere: another pet's name, another place.

    `fact` is one of hero, pet, animal, item, place, day. The rest of the story stays true: a hero
    gives way to one of the same pronouns, an item to one of the same kind.
    """
    now = story.facts[fact]
    words = TABLES[fact].words
    if fact == "hero":
        words = GIRLS if now in GIRLS else BOYS
    elif fact == "item":
        words = tuple(word for word in words if FORMS["kind"][word] == FORMS["kind"][now])
    other = _pick([word for word in words if word != now], rng)
    return replace(story, facts={**story.facts, fact: other})


def paraphrase_pairs(n: int, seed: int = 0) -> Iterator[SentencePair]:
    """Pairs of stories: label True where they tell the same in other words.

    The False ones are reworded too, and differ in one fact only, so that counting shared words does
    not give the answer away.
    """
    rng = python_rng(seed, "tinytown", "paraphrase")
    for story in stories(n, seed):
        same = rng.random() < 0.5
        other = story if same else with_other(story, _pick(_SWAPS, rng), rng)
        yield SentencePair(story.text, paraphrase(other, rng).text, same)


def paraphrase_triples(n: int, seed: int = 0) -> Iterator[Triple]:
    """`n` stories, each with itself in other words, and with one fact changed in other words."""
    rng = python_rng(seed, "tinytown", "triples")
    for story in stories(n, seed):
        other = with_other(story, _pick(_SWAPS, rng), rng)
        yield Triple(story.text, paraphrase(story, rng).text, paraphrase(other, rng).text)


_WEATHER = {"rain": "rainy", "sun": "sunny", "snow": "snowy", "wind": "windy", "fog": "foggy"}


def questions(story: Story) -> tuple[Question, ...]:
    """Everything that one can ask about a story, with the answers."""
    f = story.facts
    he = FORMS["he"][f["hero"]]
    asked = [
        (f"Who had the {f['animal']}?", "hero", "who"),
        (f"What was the name of the {f['animal']}?", "pet", "what"),
        (f"What kind of animal was {f['pet']}?", "animal", "what"),
        ("On which day did it happen?", "day", "when"),
        (f"What was {f['hero']} to bring?", "item", "what"),
        (f"Where was {he} to bring the {f['item']}?", "place", "where"),
    ]
    if "giver" in f:
        asked.append((f"Who sent {f['hero']} to the {f['place']}?", "giver", "who"))
    if "friend" in f:
        asked.append((f"Whom did {f['hero']} and {f['pet']} meet?", "friend", "who"))
    found = tuple(Question(text, f[fact], kind, story.find(fact)) for text, fact, kind in asked)
    return found + _judgements(story)


def _judgements(story: Story) -> tuple[Question, ...]:
    """Questions whose answer has to be worked out."""
    f = story.facts
    well = "yes" if story.sentiment > 0 else "no"
    found = [
        Question("What was the weather like?", _WEATHER[f["weather"]], "how", None),
        Question("Did the story end well?", well, "yes/no", None),
    ]
    if "geared" in f:
        found.append(Question(f"Was {f['hero']} ready for it?", f["geared"], "yes/no", None))
    if "helped" in f:
        found.append(Question("Was the trouble put right?", f["helped"], "yes/no", None))
    return tuple(found)


def request(story: Story) -> str:
    """The instruction to which a story would be a right response."""
    f = story.facts
    end = "a happy" if story.sentiment > 0 else "an unhappy"
    return (
        f"Write a story with {end} ending about {f['hero']} and a {f['animal']} named {f['pet']}."
    )


def instructions(story: Story, rng: random.Random) -> tuple[Instruction, ...]:
    """Requests of every kind that this story can serve, each with a right response."""
    f = story.facts
    question = _pick(questions(story), rng)
    told = [sentence.text for sentence in story.sentences]
    cut = 1 + int(rng.random() * (len(told) - 1))
    renamed = with_other(story, "pet", rng)
    names = ", ".join(f[fact] for fact in ("hero", "pet", "giver", "friend") if fact in f)
    verdict = "It ends well." if story.sentiment > 0 else "It does not end well."
    return (
        Instruction(request(story), "", story.text),
        Instruction(question.text, story.text, question.answer),
        Instruction("Go on with this story.", " ".join(told[:cut]), " ".join(told[cut:])),
        Instruction("Tell this story in other words.", story.text, paraphrase(story, rng).text),
        Instruction(f"Call the pet {renamed.facts['pet']}.", story.text, renamed.text),
        Instruction("List everybody who has a name in this story.", story.text, names),
        Instruction("Does this story end well?", story.text, verdict),
    )


def instruction_examples(n: int, seed: int = 0) -> Iterator[Instruction]:
    """`n` instructions of mixed kinds, each about a story of its own."""
    rng = python_rng(seed, "tinytown", "instructions")
    for story in stories(n, seed):
        yield _pick(instructions(story, rng), rng)


def _forgets_the_name(story: Story, rng: random.Random) -> str:
    """The pet's name changes after the first sentence."""
    first, rest = story.sentences[0].text, with_other(story, "pet", rng).sentences[1:]
    return " ".join([first, *(sentence.text for sentence in rest)])


def _repeats_itself(story: Story, rng: random.Random) -> str:
    told = [sentence.text for sentence in story.sentences]
    at = int(rng.random() * len(told))
    return " ".join(told[: at + 1] + told[at:])


def _mixes_the_order(story: Story, rng: random.Random) -> str:
    told = [sentence.text for sentence in story.sentences]
    at = int(rng.random() * (len(told) - 1))
    return " ".join([*told[:at], told[at + 1], told[at], *told[at + 2 :]])


def _stops_early(story: Story, rng: random.Random) -> str:
    return " ".join(sentence.text for sentence in story.sentences[:-2])


def _ignores_the_request(story: Story, rng: random.Random) -> str:
    """A fine story, but about another hero."""
    return with_other(story, "hero", rng).text


FLAWS: dict[str, Callable[[Story, random.Random], str]] = {
    "forgets the pet's name": _forgets_the_name,
    "repeats itself": _repeats_itself,
    "mixes up the order": _mixes_the_order,
    "stops too early": _stops_early,
    "ignores the request": _ignores_the_request,
}
"""How a worse response is made from a good one, by the reason why it is worse."""


def preferences(n: int, seed: int = 0) -> Iterator[Preference]:
    """`n` requests, each with a good story and one that has a flaw, and the reason."""
    rng = python_rng(seed, "tinytown", "preferences")
    reasons = sorted(FLAWS)
    for story in stories(n, seed):
        reason = _pick(reasons, rng)
        if reason == "forgets the pet's name" and not _names_pet_again(story):
            reason = "ignores the request"
        yield Preference(request(story), story.text, FLAWS[reason](story, rng), reason)


def _names_pet_again(story: Story) -> bool:
    return any(e.fact == "pet" for s in story.sentences[1:] for e in s.entities)
