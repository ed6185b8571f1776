"""How a story of tinytown begins: who, in which weather, on which errand; and the whole plot.

A child has a pet. There is weather. Something has to be brought somewhere. Whether that goes well
depends on the weather, on what was put on or left at home, and on the pet. Each event's `when` is
its cause, `sets` its effect. Not here: what happens on the way (`tinytown_adventures`), the words
(`tinytown_lexicon`), the machinery (`tinytown_grammar`).
"""

from llmcourse.data.tinytown_adventures import CODA, ENDING, FEELING, HELP, TROUBLE
from llmcourse.data.tinytown_grammar import Beat, Grammar, event
from llmcourse.data.tinytown_lexicon import FORMS, TABLES

OPENING = Beat(
    "opening",
    (
        event(
            6,
            "{+hero} had a {+look} {+animal} named {+pet}.",
            "{+hero} lived with a {+look} {+animal} named {+pet}.",
            "{+hero} and a {+look} {+animal} named {+pet} were best friends.",
        ),
        event(
            4,
            "{+hero} lived in a {+house} house with a {+look} {+animal} named {+pet}.",
            "In a {+house} house lived {+hero} and a {+look} {+animal} named {+pet}.",
        ),
    ),
)

WEATHER = Beat(
    "weather",
    (
        event(
            4,
            "One {+day} it rained.",
            "It was a rainy {+day}.",
            "On {+day} the rain did not stop.",
            sets="weather=rain",
        ),
        event(
            4,
            "One {+day} the sun shone.",
            "It was a sunny {+day}.",
            "On {+day} the sky was all/ADV blue.",
            sets="weather=sun",
        ),
        event(
            2,
            "One {+day} it snowed.",
            "It was a snowy {+day}.",
            "On {+day} the whole town was white.",
            sets="weather=snow",
        ),
        event(
            3,
            "One {+day} the wind blew.",
            "It was a windy {+day}.",
            "On {+day} the wind was in a bad mood.",
            sets="weather=wind",
        ),
        event(
            2,
            "One {+day} fog filled the town.",
            "It was a foggy {+day}.",
            "On {+day} the fog hid every house.",
            sets="weather=fog",
        ),
    ),
)

ERRAND = Beat(
    "errand",
    (
        event(
            5,
            "{+giver} asked {hero} to/PART bring a {+item} to the {+place}.",
            "{hero} had to/PART bring a {+item} to the {+place} for {+giver}.",
            sets="asked=yes",
        ),
        event(
            4,
            "{hero} wanted to/PART bring a {+item} to the {+place}.",
            "{hero} had a {+item} to/PART bring to the {+place}.",
        ),
        event(
            2,
            "The {+place} needed a {+item}, and {hero} had one/PRON.",
            "{hero} had a {+item}, and the {+place} needed one/PRON.",
        ),
    ),
)

GEAR = Beat(
    "gear",
    (
        event(3),
        event(
            4,
            "{hero.He} took a {+color} {gear}.",
            "{hero} went out/ADV with a {+color} {gear}.",
            when="weather=rain",
            sets="gear=umbrella geared=yes",
        ),
        event(
            4,
            "{hero.He} forgot the {gear}.",
            "{hero} left the {gear} at home/NOUN.",
            when="weather=rain",
            sets="gear=umbrella geared=no",
        ),
        event(
            4,
            "{hero.He} put on a {+color} {gear}.",
            "{hero} wore a {+color} {gear}.",
            when="weather=snow",
            sets="gear=scarf geared=yes",
        ),
        event(
            4,
            "{hero.He} did not find a {gear}.",
            "{hero} looked for a {gear} but found none.",
            when="weather=snow",
            sets="gear=scarf geared=no",
        ),
        event(
            4,
            "{hero.He} put on a {+color} {gear}.",
            "{hero} wore a {+color} {gear}.",
            when="weather=sun",
            sets="gear=hat geared=yes",
        ),
        event(
            4,
            "{hero.He} did not want a {gear}.",
            "{hero} saw no need for a {gear}.",
            when="weather=sun",
            sets="gear=hat geared=no",
        ),
        event(
            4,
            "{hero.He} tied on {hero.his} {+color} {gear} with a string.",
            "{hero} used a string to/PART tie on {hero.his} {+color} {gear}.",
            when="weather=wind",
            sets="gear=hat geared=yes",
        ),
        event(
            4,
            "{hero.He} wore a {+color} {gear} but did not tie it on.",
            "{hero} put on a {+color} {gear} and tied nothing.",
            when="weather=wind",
            sets="gear=hat geared=no",
        ),
        event(
            4,
            "{hero.He} took a {+color} {gear}.",
            "{hero} went out/ADV with a {+color} {gear}.",
            when="weather=fog",
            sets="gear=lantern geared=yes",
        ),
        event(
            4,
            "{hero.He} left the {gear} at home/NOUN.",
            "{hero} did not think of the {gear}.",
            when="weather=fog",
            sets="gear=lantern geared=no",
        ),
    ),
)

WALK = Beat(
    "walk",
    (
        event(5),
        event(
            2,
            "{pet} came too, because {pet.it} always came too.",
            "As always, {pet} came too.",
            sets="walked=yes",
        ),
        event(
            2,
            "{pet} led the way, but {pet.it} did not know the way.",
            "{pet} went ahead and did not know where to/PART go.",
            sets="walked=yes",
        ),
        event(
            2,
            "{pet} {animal.cried} at every {+sight}.",
            "At every {+sight} {pet} {animal.cried}.",
            sets="walked=yes",
        ),
        event(
            2,
            "{hero} sang a {+song} song, and {pet} {animal.cried} along.",
            "{pet} {animal.cried} while {hero} sang a {+song} song.",
            sets="walked=yes",
        ),
    ),
)

GRAMMAR = Grammar(
    beats=(OPENING, WEATHER, ERRAND, GEAR, WALK, TROUBLE, FEELING, HELP, ENDING, CODA),
    tables=TABLES,
    forms=FORMS,
    given={"both": "both"},
)
"""The grammar of tinytown's stories."""
