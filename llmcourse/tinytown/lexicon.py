"""The words of tinytown: who lives there, what they carry, how they feel; and their word classes.

`TABLES` holds what a story may draw, with weights: some names are common, some rare, as in life.
`TAGS` gives each word its usual part of speech in the universal scheme (UPOS; Nivre et al., 2016);
where a sentence uses a word against its custom, the plot says so (`to/PART`). Not here: sentences
(`tinytown.plot`).
"""

from llmcourse.tinytown.grammar import Table

GIRLS = ("Mia", "Nora", "Ella", "Ruby", "Zoe", "Ivy", "Ada", "Lina")
BOYS = ("Tom", "Ben", "Leo", "Max", "Hugo", "Finn", "Oscar", "Jasper")

CRIES = {
    "dog": "barked",
    "cat": "meowed",
    "duck": "quacked",
    "goat": "bleated",
    "hen": "clucked",
    "parrot": "squawked",
    "mouse": "squeaked",
    "pony": "neighed",
    "rabbit": "sneezed",
    "turtle": "blinked",
}
FOODS = ("cake", "pie", "pot of soup", "jar of honey", "basket of plums", "loaf of bread")
PAPERS = ("letter", "map", "book", "birthday card")
THINGS = ("clock", "lamp", "drum", "bell", "teapot", "box of buttons")


def _table(*groups: tuple[int, str]) -> Table:
    """`(3, "dog cat"), (1, "hen")`: words with the weight of their group."""
    pairs = [(word, weight) for weight, words in groups for word in words.split()]
    return Table(tuple(word for word, _ in pairs), tuple(weight for _, weight in pairs))


def _phrases(*pairs: tuple[int, str]) -> Table:
    """Like `_table`, for entries of several words."""
    return Table(tuple(phrase for _, phrase in pairs), tuple(weight for weight, _ in pairs))


_COLORS = _table((4, "red blue"), (3, "green yellow"), (2, "purple striped"), (1, "pink"))
_HAPPY = _table((4, "happy"), (3, "glad"), (2, "proud cheerful"), (1, "delighted"))
_SAD = _table((4, "sad"), (3, "unhappy"), (2, "grumpy upset"), (1, "miserable"))

TABLES: dict[str, Table] = {
    "hero": _table(
        (4, "Mia Tom"), (3, "Nora Ben Ella Leo"), (2, "Ruby Max Zoe Hugo Ivy Finn"),
        (1, "Ada Oscar Lina Jasper"),
    ),
    "animal": _table(
        (6, "dog cat"), (3, "duck rabbit goat"), (2, "parrot mouse"), (1, "hen pony turtle"),
    ),
    "pet": _table(
        (4, "Biscuit Pickle"), (3, "Button Waffle Noodle"), (2, "Pepper Socks Turnip Muffin"),
        (1, "Pudding Cookie Mozart"),
    ),
    "look": _table(
        (4, "small"), (3, "round brave sleepy"), (2, "clever fluffy noisy"), (1, "polite famous"),
    ),
    "house": _COLORS,
    "day": _table((1, "Monday Tuesday Wednesday Thursday Friday"), (2, "Saturday Sunday")),
    "item": _phrases(
        *[(3, food) for food in FOODS],
        *[(3, paper) for paper in PAPERS],
        *[(2, thing) for thing in THINGS],
    ),
    "place": _table(
        (4, "library school"), (3, "market museum station"), (2, "bakery harbor lighthouse"),
        (1, "zoo"),
    ),
    "giver": _phrases((4, "Grandma"), (3, "Grandpa"), (2, "Aunt Rose"), (2, "Uncle Otto")),
    "color": _COLORS,
    "sight": _table((3, "tree"), (2, "snail bicycle"), (1, "bench sign")),
    "song": _table((3, "funny"), (2, "slow long"), (1, "Spanish")),
    "high": _HAPPY,
    "low": _SAD,
    "friend": _phrases(
        (4, "Doctor Finch"), (3, "Captain Reed"), (3, "Miss Lark"), (2, "Mayor Plum"),
        (1, "Nurse Olive"), (1, "Baker Brown"),
    ),
    "glad": _HAPPY,
    "sad": _SAD,
    "bed": _phrases((3, "the sofa"), (2, "a pillow"), (1, "the best sweater in the house")),
    "dream": _table((4, "cheese"), (3, "clouds"), (2, "pancakes"), (1, "applause")),
}  # fmt: skip
"""What each kind of slot may draw; feelings serve on the way (`low`) and at the end (`sad`)."""


def _people(girl: str, boy: str) -> dict[str, str]:
    return {**dict.fromkeys(GIRLS, girl), **dict.fromkeys(BOYS, boy)}


def _all(form: str) -> dict[str, str]:
    """A form that is the same for every pet and every thing."""
    return dict.fromkeys(TABLES["pet"].words + TABLES["item"].words, form)


FORMS: dict[str, dict[str, str]] = {
    "he": _people("she", "he"),
    "He": _people("She", "He"),
    "him": _people("her", "him"),
    "his": _people("her", "his"),
    "His": _people("Her", "His"),
    "it": _all("it"),
    "its": _all("its"),
    "they": {"both": "they"},
    "They": {"both": "They"},
    "them": {"both": "them"},
    "cried": CRIES,
    "kind": {
        **dict.fromkeys(FOODS, "food"),
        **dict.fromkeys(PAPERS, "paper"),
        **dict.fromkeys(THINGS, "thing"),
    },
}
"""What a form makes of a word: `FORMS["he"]["Mia"]` is `she`. `both` is the hero and the pet."""

PRONOUNS = frozenset({"he", "He", "him", "his", "His", "it", "its", "they", "They", "them"})
"""The forms that refer back to somebody without a name."""

NAMES = frozenset({"hero", "pet", "giver", "friend", "day"})
"""The facts whose words are proper nouns."""

ENTITIES = {
    "hero": "PER",
    "giver": "PER",
    "friend": "PER",
    "pet": "PET",
    "place": "LOC",
    "item": "ITEM",
    "gear": "ITEM",
}
"""The kind of entity that a fact names."""

_WORDS_OF = {
    "ADJ": (
        "bad best blue brave cheerful clever cold delighted dry famous fluffy foggy funny "
        "glad good great green grumpy happy long miserable new noisy pink polite proud purple "
        "rainy red right round sad same sleepy slow small snowy spanish striped sunny unhappy "
        "upset warm wet white whole windy wrong yellow"
    ),
    "ADP": "after at by down for from in into like of on out to under up with without",
    "ADV": (
        "again ahead along always anymore away back home never so soon then too very well where"
    ),
    "AUX": "did was were",
    "CCONJ": "and but",
    "DET": "a an every no the",
    "INTJ": "hello",
    "NOUN": (
        "air applause bakery basket bell bench bicycle birthday book box bread buttons cake "
        "card cat cheese clock clouds day dog drum duck ears end fog friends goat hands "
        "harbor hat hen hill honey house jar lamp lantern lemonade letter library lighthouse "
        "loaf map market milk mittens mood mouse museum need net night nose pancakes parrot "
        "pie pillow plums pony pot puddle rabbit rain river road scarf school sign sky snail "
        "sofa song soup station statue string sun sweater tail teapot teeth times tomato town "
        "tree turn turtle umbrella way wind zoo"
    ),
    "NUM": "one three",
    "PART": "not",
    "PRON": (
        "everybody everything he her him his it its nobody none nothing she that them there they"
    ),
    "SCONJ": "as because while",
    "VERB": (
        "asked ate barked bleated blew blinked bring brought burned came chattered clapped "
        "clucked drank dreamed dropped feel fell felt filled find fished flew forgot found "
        "get go got had heard help hid jumped knew know landed laughed led left lent lit "
        "lived looked lost love loved meowed met named needed neighed passed pulled put "
        "quacked rained reached rested said sang saw shared shone slept slid slipped sneezed "
        "sniffed snowed squawked squeaked stayed stop swam think thought tie tied took turned "
        "used walked want wanted went wore"
    ),
}
TAGS: dict[str, str] = {word: tag for tag, words in _WORDS_OF.items() for word in words.split()}
"""The usual part of speech of each lower-case word that is not a name."""
