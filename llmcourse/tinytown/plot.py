"""The plot of tinytown's stories: all that can happen, as a grammar.

A child has a pet. There is weather. Something has to be brought somewhere. Whether that goes well
depends on the weather, on what was put on or left at home, and on the pet. Each event's `when` is
its cause, `sets` its effect; each trouble on the way follows from them. Not here: the words
(`tinytown.lexicon`), the machinery (`tinytown.grammar`).
"""

from llmcourse.tinytown.grammar import Beat, Grammar, event
from llmcourse.tinytown.lexicon import FORMS, TABLES

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

TROUBLE = Beat(
    "trouble",
    (
        event(
            3,
            "Then {pet} sniffed the {item} and ate it.",
            "On the way {pet} ate the whole {item}.",
            when="item.kind=food",
            sets="trouble=eaten",
            mood=-1,
        ),
        event(
            2,
            "Then {hero} dropped the {item} into the river.",
            "The {item} slipped out of {hero.his} hands and fell into the river.",
            when="item.kind=paper|thing",
            sets="trouble=dropped",
            mood=-1,
        ),
        event(
            1,
            "{both.They} took a wrong turn, and soon nothing looked right.",
            "After a wrong turn {both.they} were lost.",
            when="weather=rain|sun|snow|wind",
            sets="trouble=lost",
            mood=-1,
        ),
        event(
            2,
            "Nothing went wrong on the way.",
            "On the way everything went well.",
            when="geared=",
            sets="trouble=fine",
            mood=1,
        ),
        event(
            5,
            "Soon {both.they} were wet from nose to tail.",
            "The rain found {both.them}, and {both.they} got very wet.",
            when="weather=rain geared=no",
            sets="trouble=wet",
            mood=-1,
        ),
        event(
            3,
            "{both.They} stayed dry under the {gear}.",
            "Under the {gear} {both.they} stayed dry.",
            when="weather=rain geared=yes",
            sets="trouble=fine",
            mood=1,
        ),
        event(
            2,
            "{pet} jumped into every puddle and loved it.",
            "There was no puddle that {pet} did not love.",
            when="weather=rain geared=yes",
            sets="trouble=fine",
            mood=1,
        ),
        event(
            5,
            "Soon {hero} was so cold that/SCONJ {hero.his} teeth chattered.",
            "{hero.His} ears turned blue, and {hero.his} teeth chattered.",
            when="weather=snow geared=no",
            sets="trouble=cold",
            mood=-1,
        ),
        event(
            5,
            "{both.They} slid down the hill and laughed.",
            "Down the hill {both.they} slid, and {both.they} laughed.",
            when="weather=snow geared=yes",
            sets="trouble=fine",
            mood=1,
        ),
        event(
            5,
            "The sun burned {hero.his} nose.",
            "Soon {hero.his} nose was red like a tomato.",
            when="weather=sun geared=no",
            sets="trouble=hot",
            mood=-1,
        ),
        event(
            5,
            "{both.They} rested under a tree and ate plums.",
            "Under a tree {both.they} rested and ate plums.",
            when="weather=sun geared=yes",
            sets="trouble=fine",
            mood=1,
        ),
        event(
            5,
            "The wind took the {gear} and put it on a statue.",
            "The {gear} flew away and landed on a statue.",
            when="weather=wind geared=no",
            sets="trouble=blown",
            mood=-1,
        ),
        event(
            5,
            "The wind pulled and pulled, but the {gear} stayed on.",
            "The {gear} stayed on, and the wind went home.",
            when="weather=wind geared=yes",
            sets="trouble=fine",
            mood=1,
        ),
        event(
            5,
            "{both.They} passed the same bench three times.",
            "Three times {both.they} passed the same bench.",
            when="weather=fog geared=no",
            sets="trouble=lost",
            mood=-1,
        ),
        event(
            5,
            "The {gear} lit the road, and {both.they} were not lost.",
            "{both.They} did not get lost, because the {gear} lit the road.",
            when="weather=fog geared=yes",
            sets="trouble=fine",
            mood=1,
        ),
    ),
)

_BAD = "trouble=wet|cold|hot|blown|lost|eaten|dropped"

FEELING = Beat(
    "feeling",
    (
        event(3),
        event(3, "{hero} was {+low}.", "{hero.He} felt {+low}.", when=f"walked= {_BAD}", mood=-1),
        event(
            3,
            "{hero} was not {+high}.",
            "{hero.He} did not feel {+high}.",
            when=f"walked= {_BAD}",
            mood=-1,
        ),
        event(
            2, "{hero} was {+high}.", "{hero.He} felt {+high}.", when="walked= trouble=fine", mood=1
        ),
        event(
            2,
            "{hero} was not {+low} at all/ADV.",
            "{hero.He} did not feel {+low} at all/ADV.",
            when="walked= trouble=fine",
            mood=1,
        ),
    ),
)

HELP = Beat(
    "help",
    (
        event(3, when="trouble=fine"),
        event(3, when=_BAD, sets="helped=no"),
        event(
            1,
            "On the road {both.they} met {+friend}.",
            "{+friend} saw {both.them} and said hello.",
            when="trouble=fine",
        ),
        event(
            3,
            "Nobody came to/PART help.",
            "There was nobody to/PART help.",
            when=_BAD,
            sets="helped=no",
            mood=-1,
        ),
        event(
            6,
            "Then {+friend} came by and shared an umbrella.",
            "{+friend} saw {both.them} and shared an umbrella.",
            when="trouble=wet",
            sets="helped=yes",
            mood=1,
        ),
        event(
            6,
            "Then {+friend} came by and lent {hero.him} mittens.",
            "{+friend} saw {both.them} and lent {hero.him} mittens.",
            when="trouble=cold",
            sets="helped=yes",
            mood=1,
        ),
        event(
            6,
            "Then {+friend} came by with cold lemonade.",
            "{+friend} saw {both.them} and brought cold lemonade.",
            when="trouble=hot",
            sets="helped=yes",
            mood=1,
        ),
        event(
            6,
            "But {pet} brought the {gear} back.",
            "But {pet} went up the statue and took the {gear} back.",
            when="trouble=blown",
            sets="helped=yes",
            mood=1,
        ),
        event(
            3,
            "Then {+friend} came by and walked with {both.them}.",
            "{+friend} saw {both.them} and knew the way.",
            when="trouble=lost",
            sets="helped=yes",
            mood=1,
        ),
        event(
            3,
            "But {pet} sniffed the air and found the road.",
            "But {pet} found the road with {pet.its} nose.",
            when="trouble=lost",
            sets="helped=yes",
            mood=1,
        ),
        event(
            6,
            "Then {+friend} came by with a new {item}.",
            "{+friend} heard of it and brought a new {item}.",
            when="trouble=eaten",
            sets="helped=yes",
            mood=1,
        ),
        event(
            3,
            "Then {+friend} fished the {item} out/ADV with a net.",
            "With a net {+friend} fished the {item} out/ADV.",
            when="trouble=dropped",
            sets="helped=yes",
            mood=1,
        ),
        event(
            3,
            "But {pet} swam after the {item} and brought it back.",
            "But {pet} jumped into the river and brought the {item} back.",
            when="trouble=dropped",
            sets="helped=yes",
            mood=1,
        ),
    ),
)

ENDING = Beat(
    "ending",
    (
        event(
            4,
            "{both.They} brought the {item} to the {place}, and {hero} was {+glad}.",
            "The {item} came to the {place}, and {hero} was {+glad}.",
            when="trouble=fine",
            sets="ending=good",
            mood=1,
        ),
        event(
            4,
            "At the {place} {hero} was {+glad} again.",
            "{both.They} reached the {place}, and {hero} was {+glad} again.",
            when="helped=yes",
            sets="ending=good",
            mood=1,
        ),
        event(
            4,
            "At the {place} {hero} was not {+sad} anymore.",
            "{both.They} reached the {place}, and {hero} was not {+sad} anymore.",
            when="helped=yes",
            sets="ending=good",
            mood=1,
        ),
        event(
            2,
            "In the end everybody at the {place} clapped for {pet}.",
            "Everybody at the {place} thought that/SCONJ {pet} was great.",
            when="trouble=fine|blown|lost|dropped helped=|yes",
            sets="ending=good",
            mood=1,
        ),
        event(
            3,
            "{both.They} came to the {place} with nothing, and {hero} was {+sad}.",
            "{both.They} had nothing for the {place}, and {hero} was {+sad}.",
            when="trouble=eaten|dropped helped=no",
            sets="ending=bad",
            mood=-1,
        ),
        event(
            3,
            "Without the {item} {hero} went home and was not {+glad}.",
            "{hero} went home without the {item} and was not {+glad}.",
            when="trouble=eaten|dropped helped=no",
            sets="ending=bad",
            mood=-1,
        ),
        event(
            3,
            "{both.They} never saw the {place}, and {hero} was {+sad}.",
            "{hero} was {+sad}, because {both.they} never saw the {place}.",
            when="trouble=wet|cold|hot|blown|lost helped=no",
            sets="ending=bad",
            mood=-1,
        ),
        event(
            3,
            "{both.They} turned back, and {hero} was not {+glad}.",
            "{hero} was not {+glad}, so {both.they} turned back.",
            when="trouble=wet|cold|hot|blown|lost helped=no",
            sets="ending=bad",
            mood=-1,
        ),
    ),
)

CODA = Beat(
    "coda",
    (
        event(4),
        event(2, "That/DET night {pet} slept on {+bed}.", "{pet} slept on {+bed} that/DET night."),
        event(
            2, "That/DET night {pet} dreamed of {+dream}.", "{pet} slept and dreamed of {+dream}."
        ),
        event(
            1,
            "{pet} thought that/SCONJ it was a very good day.",
            "It was a very good day, thought {pet}.",
        ),
        event(
            1,
            "At home/NOUN {both.they} drank warm milk.",
            "{both.They} drank warm milk at home/NOUN.",
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
