"""The exercises on making a small set last: augmentation, early stopping, leaks, a measured risk.

Not here: the exercises' texts (`solutions/`), those on heads and layers (`pooling.py`,
`fine_tuning.py`), and how checking works (`harness.py`). Chapter 11 teaches this.
"""

from collections.abc import Iterator

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.optim.stopping import early_stop

CHAPTER = "11"
LAST = "5. How is a small set made to last?"


# 4. Augment, and keep the label


@exercise(CHAPTER, axes="words", read=LAST)
def thin_out(
    words: list[str], draws: list[float], rate: float, synonyms: dict[str, str], keep: set[str]
) -> list[str]:
    """Words with a draw below the rate give way to their synonym, or go; those of `keep` stay."""
    kept = []
    for word, draw in zip(words, draws, strict=True):
        if draw >= rate or word in keep:
            kept.append(word)
        elif word in synonyms:
            kept.append(synonyms[word])
    return kept or list(words)


@thin_out.cases
def _() -> Iterator[Case]:
    words = ["Mia", "was", "not", "happy", "today"]
    moods = {"happy": "glad", "sad": "upset"}
    yield case("by hand", words, [0.1, 0.9, 0.05, 0.2, 0.8], 0.3, moods, {"not"})
    yield case("a draw at the rate", words, [0.3, 0.5, 0.9, 0.3, 0.1], 0.3, moods, {"not"})
    yield case("nothing drawn", words, [0.9] * 5, 0.3, moods, {"not"})
    yield case("everything drawn", words, [0.0] * 5, 0.3, moods, {"not"})
    yield case("nothing would be left", ["so", "it", "goes"], [0.1, 0.0, 0.2], 0.5, moods, set())
    yield case("a synonym is to be kept", words, [0.1] * 5, 0.3, moods, {"not", "happy"})
    yield case("another case, another word", ["Happy", "happy"], [0.1, 0.1], 0.3, moods, {"not"})
    yield case("no lexicon and nothing to keep", words, [0.1, 0.9, 0.1, 0.9, 0.1], 0.5, {}, set())
    yield case("a rate of 0", words, [0.0, 0.5, 0.1, 0.0, 0.2], 0.0, moods, {"not"})
    yield case("a rate of 1", words, [0.9, 0.5, 0.1, 0.99, 0.2], 1.0, moods, {"not"})
    yield case("a word twice", ["no", "no", "sad"], [0.9, 0.1, 0.1], 0.5, moods, set())
    yield case(
        "a chain of synonyms", ["happy"], [0.1], 0.5, {"happy": "sad", "sad": "upset"}, set()
    )
    yield case("no words", [], [], 0.5, moods, {"not"})
    yield case("nothing left, nor to keep", ["so", "it", "goes"], [0.1] * 3, 0.5, moods, {"not"})
    yield case("to be kept as it is written", ["Not", "sad"], [0.1, 0.9], 0.5, moods, {"not"})
    yield case("the synonym is one to keep", ["happy", "today"], [0.1, 0.9], 0.5, moods, {"glad"})
    refrain = ["so", "it", "goes", "so"]
    yield case("the last of two equal words", refrain, [0.9, 0.9, 0.9, 0.1], 0.3, {}, set())
    yield case("the same word stays twice", ["so", "so", "it"], [0.9, 0.9, 0.1], 0.5, moods, set())
    again = ["glad", "and", "happy", "so", "happy"]
    yield case(
        "a synonym that would be changed", again, [0.1, 0.9, 0.1, 0.9, 0.1], 0.3, moods, set()
    )
    parts = ["no", "nothing", "not", "happy."]
    yield case("parts of words to keep", parts, [0.1] * 4, 0.3, moods, {"not", "notes", "happy"})
    yield case("the first of two equal words", refrain, [0.1, 0.9, 0.9, 0.9], 0.3, {}, set())
    gone = ["so", "never", "mind", "me", "it"]
    yield case("nothing left of five", gone, [0.2, 0.1, 0.3, 0.0, 0.15], 0.5, moods, set())


def _thin(words, draws, rate, synonyms, keep, *, drop=True, swap=True, guard=True, rescue=True):
    kept = []
    for word, draw in zip(words, draws, strict=True):
        if draw >= rate or (guard and word in keep):
            kept.append(word)
        elif swap and word in synonyms:
            kept.append(synonyms[word])
        elif not drop:
            kept.append(word)
    return kept if kept or not rescue else list(words)


@thin_out.mistake(
    "words to be kept are changed, too",
    hint="A word of `keep` stays whatever its draw: a *not* that is dropped turns the label round.",
)
def _(*given):
    return _thin(*given, guard=False)


@thin_out.mistake(
    "nothing is left out",
    hint="You replace where there is a synonym. A drawn word without one is to be left out.",
)
def _(*given):
    return _thin(*given, drop=False)


@thin_out.mistake(
    "nothing is replaced",
    hint="A drawn word that `synonyms` knows is not dropped: its synonym stands in its place.",
)
def _(*given):
    return _thin(*given, swap=False)


@thin_out.mistake(
    "an empty text is left",
    hint="Where every word would go, all stay: no words teach nothing.",
)
def _(*given):
    return _thin(*given, rescue=False)


@thin_out.mistake(
    "the draws the wrong way round",
    hint="A draw *below* the rate changes a word. Yours changes the others.",
)
def _(words, draws, rate, synonyms, keep):
    flipped = [rate if draw < rate else rate - 1 for draw in draws]
    return _thin(words, flipped, rate, synonyms, keep)


@thin_out.mistake(
    "every word of the lexicon is replaced",
    hint="Synonyms are for drawn words only. A word with a draw at or above the rate stays.",
)
def _(words, draws, rate, synonyms, keep):
    return _thin([synonyms.get(word, word) for word in words], draws, rate, synonyms, keep)


@thin_out.mistake(
    "the synonym beside the word",
    hint="The synonym stands *in place of* the word. Yours keeps both.",
)
def _(words, draws, rate, synonyms, keep):
    kept = []
    for word, draw in zip(words, draws, strict=True):
        if draw >= rate or word in keep or word in synonyms:
            kept.append(word)
        if draw < rate and word in synonyms and word not in keep:
            kept.append(synonyms[word])
    return kept or list(words)


@thin_out.mistake(
    "only words to be kept survive",
    hint="`keep` protects words from being changed. It does not say that all others go.",
)
def _(words, draws, rate, synonyms, keep):
    return [word for word in words if word in keep] or list(words)


@thin_out.mistake(
    "capitals are ignored",
    hint="Words are looked up as they are written: *Happy* is another word than *happy*.",
)
def _(words, draws, rate, synonyms, keep):
    known = {word: synonyms[word.lower()] for word in words if word.lower() in synonyms}
    return _thin(words, draws, rate, known, keep)


@thin_out.mistake(
    "a text instead of a list",
    hint="Give back a list of words. Joining them is somebody else's job.",
)
def _(*given):
    return " ".join(_thin(*given))


@thin_out.mistake(
    "a gap where a word was",
    hint="A dropped word leaves no trace. Yours leaves an empty word in its place.",
)
def _(words, draws, rate, synonyms, keep):
    return [
        word if draw >= rate or word in keep else synonyms.get(word, "")
        for word, draw in zip(words, draws, strict=True)
    ]


@thin_out.mistake(
    "the first word alone where nothing is left",
    hint="Where every word would go, *all* of them stay.",
)
def _(*given):
    return _thin(*given, rescue=False) or list(given[0][:1])


@thin_out.mistake(
    "synonyms are looked up again and again",
    hint="One draw, one change: the synonym's own synonym is not asked for.",
)
def _(words, draws, rate, synonyms, keep):
    def end_of(word):
        seen = set()
        while word in synonyms and word not in seen:
            seen.add(word)
            word = synonyms[word]
        return word

    return _thin(words, draws, rate, {word: end_of(word) for word in synonyms}, keep)


@thin_out.mistake(
    "kept from going, not from being replaced",
    hint="`keep` comes first: its words *always* stay, also those that have a synonym.",
)
def _(words, draws, rate, synonyms, keep):
    return _thin(words, draws, rate, synonyms, set(keep) - set(synonyms))


@thin_out.mistake(
    "the list is changed while it is read",
    hint="Whoever removes words from the list that the loop walks over, skips the next one. Build "
    "a new list.",
)
def _(words, draws, rate, synonyms, keep):
    changed = list(words)
    for place, word in enumerate(changed):
        if draws[place] < rate and word not in keep:
            if word in synonyms:
                changed[place] = synonyms[word]
            else:
                changed.remove(word)
    return changed or list(words)


@thin_out.mistake(
    "the rescue looks at the draws, not at what is left",
    hint="You give all back when every draw is below the rate. But synonyms and words of `keep` "
    "may be left: look at the new list.",
)
def _(words, draws, rate, synonyms, keep):
    return (
        list(words) if all(d < rate for d in draws) else _thin(words, draws, rate, synonyms, keep)
    )


@thin_out.mistake(
    "no rescue where there is something to keep",
    hint="That `keep` holds words does not mean that this text has one of them. Look at the new "
    "list: if it is empty, all words come back.",
)
def _(words, draws, rate, synonyms, keep):
    return _thin(words, draws, rate, synonyms, keep, rescue=not keep)


@thin_out.mistake(
    "the draws by word, not by place",
    hint="The same word may stand there twice, with two draws. `draws[i]` belongs to the *place* "
    "i: a dictionary or `words.index` finds one of them for both.",
)
def _(words, draws, rate, synonyms, keep):
    by_word = dict(zip(words, draws, strict=True))
    return _thin(words, [by_word[word] for word in words], rate, synonyms, keep)


@thin_out.mistake(
    "no word twice",
    hint="A word that stands there twice and is not drawn stays twice. Do not ask whether it is "
    "in the new list already.",
)
def _(*given):
    return list(dict.fromkeys(_thin(*given)))


@thin_out.mistake(
    "capitals are ignored in what is kept",
    hint="Words of `keep`, too, are looked up as they are written: *Not* is not *not*.",
)
def _(words, draws, rate, synonyms, keep):
    more = {word for word in words if word.lower() in keep}
    return _thin(words, draws, rate, synonyms, set(keep) | more)


@thin_out.mistake(
    "None where a word was",
    hint="`synonyms.get(word)` gives None for a word that it does not have. Such a word is left "
    "out: put nothing in its place.",
)
def _(words, draws, rate, synonyms, keep):
    return [
        word if draw >= rate or word in keep else synonyms.get(word)
        for word, draw in zip(words, draws, strict=True)
    ]


@thin_out.mistake(
    "the last word alone where nothing is left",
    hint="Your rescue saves one word. *All* of them come back, unchanged.",
)
def _(*given):
    return _thin(*given, rescue=False) or list(given[0][-1:])


# 5. When to stop


@exercise(CHAPTER, axes=None, read=LAST)
def stop_early(losses: list[float], patience: int) -> tuple[int, int]:
    """The best evaluation, and the last one that is made before patience is lost."""
    stop = early_stop(losses, patience)
    assert stop.best is not None
    return stop.best, len(losses) - 1 if stop.at is None else stop.at


@stop_early.cases
def _() -> Iterator[Case]:
    yield case("by hand", [3.0, 2.0, 2.5, 2.1, 1.0], 2)
    yield case("patience lasts", [3.0, 2.5, 2.6, 2.0], 2)
    yield case("better and better", [4.0, 3.0, 2.0, 1.0], 1)
    yield case("worse at once", [1.0, 2.0, 3.0, 0.5], 1)
    yield case("a single evaluation", [2.0], 3)
    yield case("the same is no progress", [2.0, 2.0, 2.0, 1.0], 2)
    yield case("down, but not below the best", [1.0, 5.0, 4.0, 3.0, 0.5], 3)
    yield case("progress begins the count anew", [5.0, 6.0, 4.0, 6.0, 3.0, 6.0, 6.0, 1.0], 2)
    yield case("the best is the last", [3.0, 3.5, 2.0], 2)
    yield case("negative losses", [-1.0, -2.0, -1.5, -1.5, -3.0], 2)
    yield case("long patience", [2.0, 3.0, 3.0, 3.0, 3.0], 10)
    yield case("a little better is better", [1.0, 0.999, 0.998, 0.997, 2.0], 2)
    yield case("large losses", [5e9, 4e9, 6e9, 7e9, 1.0], 2)
    yield case("two bad ones, then progress", [5.0, 6.0, 6.0, 4.0, 5.0, 6.0, 3.0], 3)
    yield case("ever better, never below the best", [1.0, 5.0, 4.0, 3.0, 2.0], 3)
    yield case("the best once more, and worse", [2.0, 3.0, 2.0, 3.0, 2.5, 1.0], 2)
    yield case("up and down above the best", [1.0, 3.0, 2.0, 3.0, 2.0, 4.0], 2)
    yield case("above the best, below the mean", [4.0, 1.0, 2.0, 2.0, 0.5], 2)


def _stop(losses, patience, *, ties=False, reset=True, first=0):
    best, waited = 0, first
    for n, loss in enumerate(losses):
        if n == 0:
            continue
        if loss < losses[best] or (ties and loss == losses[best]):
            best, waited = n, 0 if reset else waited
        else:
            waited += 1
        if waited >= patience:
            return best, n
    return best, len(losses) - 1


@stop_early.mistake(
    "the best of all, even of those never made",
    hint="After the run has stopped nobody evaluates. A better loss later on is not known.",
)
def _(losses, patience):
    return losses.index(min(losses)), _stop(losses, patience)[1]


@stop_early.mistake(
    "never stops",
    hint="After `patience` evaluations in a row without progress the run ends.",
)
def _(losses, patience):
    return losses.index(min(losses)), len(losses) - 1


@stop_early.mistake(
    "compared with the one before, not with the best",
    hint="Progress means below the *best* so far. A loss that falls a little after a jump is none.",
)
def _(losses, patience):
    best, waited = 0, 0
    for n in range(1, len(losses)):
        waited = 0 if losses[n] < losses[n - 1] else waited + 1
        best = n if losses[n] < losses[best] else best
        if waited >= patience:
            return best, n
    return best, len(losses) - 1


@stop_early.mistake(
    "the same counts as progress",
    hint="Progress is *below* the best. A loss that is equal is one more disappointment.",
)
def _(losses, patience):
    return _stop(losses, patience, ties=True)


@stop_early.mistake(
    "the count never begins anew",
    hint="`patience` evaluations *in a row*. After progress, count from 0 again.",
)
def _(losses, patience):
    return _stop(losses, patience, reset=False)


@stop_early.mistake(
    "one evaluation too late",
    hint="The run ends *with* the evaluation number `patience` in a row without progress.",
)
def _(losses, patience):
    return _stop(losses, patience + 1)


@stop_early.mistake(
    "one evaluation too early",
    hint="`patience` disappointments in a row end the run, not one fewer.",
)
def _(losses, patience):
    return _stop(losses, max(1, patience - 1)) if patience > 1 else (0, 0)


@stop_early.mistake(
    "the last instead of the best",
    hint="The weights worth keeping are those of the *best* evaluation, not of the one where "
    "patience was lost.",
)
def _(losses, patience):
    last = _stop(losses, patience)[1]
    return last, last


@stop_early.mistake(
    "exchanged",
    hint="The best one first, then the last one.",
)
def _(losses, patience):
    return _stop(losses, patience)[::-1]


@stop_early.mistake(
    "the loss instead of its place",
    hint="Give back *which* evaluation was best: its place, counted from 0.",
)
def _(losses, patience):
    best, last = _stop(losses, patience)
    return losses[best], last


@stop_early.mistake(
    "the highest instead of the lowest",
    hint="They are losses: lower is better. Yours looks for the highest, as in accuracies.",
)
def _(losses, patience):
    return _stop([-loss for loss in losses], patience)


@stop_early.mistake(
    "counted from 1",
    hint="Evaluations are counted from 0, as places in a list are.",
)
def _(losses, patience):
    best, last = _stop(losses, patience)
    return best + 1, last + 1


@stop_early.mistake(
    "a start that is no loss",
    hint="Begin with the first loss, or with infinity. A made-up start such as 0 or 1000 is below, "
    "or above, what losses may be.",
)
def _(losses, patience):
    lowest, best, waited = 1000.0, 0, 0
    for n, loss in enumerate(losses):
        if loss < lowest:
            lowest, best, waited = loss, n, 0
        else:
            waited += 1
        if waited >= patience:
            return best, n
    return best, len(losses) - 1


@stop_early.mistake(
    "losses that rise in a row",
    hint="You count how often the loss *rose*. A loss that falls a little, but not below the best, "
    "is no progress either.",
)
def _(losses, patience):
    best, waited = 0, 0
    for n in range(1, len(losses)):
        best = n if losses[n] < losses[best] else best
        waited = waited + 1 if losses[n] > losses[n - 1] else 0
        if waited >= patience:
            return best, n
    return best, len(losses) - 1


@stop_early.mistake(
    "the last is the best plus the patience, always",
    hint="If patience is never lost, the run ends with the list. No evaluation comes after that.",
)
def _(losses, patience):
    best = _stop(losses, patience)[0]
    return best, best + patience


@stop_early.mistake(
    "of equals the last",
    hint="The same loss is no progress: the *first* of two equal bests stays the best.",
)
def _(losses, patience):
    best, last = _stop(losses, patience)
    return max(n for n in range(last + 1) if losses[n] == losses[best]), last


@stop_early.mistake(
    "a best of zero to begin with",
    hint="Losses are above 0, so none is ever below a best of 0. Begin with the first loss.",
)
def _(losses, patience):
    lowest, best, waited = 0.0, 0, 0
    for n, loss in enumerate(losses):
        if loss < lowest:
            lowest, best, waited = loss, n, 0
        else:
            waited += 1
        if waited >= patience:
            return best, n
    return best, len(losses) - 1


@stop_early.mistake(
    "the first evaluations alone",
    hint="You look at the first `patience` evaluations after the start and end there. Patience is "
    "counted anew from each best.",
)
def _(losses, patience):
    seen = losses[: patience + 1]
    return seen.index(min(seen)), len(seen) - 1


@stop_early.mistake(
    "how many evaluations, not the place of the last",
    hint="The second number is a *place*, counted from 0. Yours is one more: how many there were.",
)
def _(losses, patience):
    best, last = _stop(losses, patience)
    return best, last + 1


# 8. Find the leak

which_split_leaks = choice(
    CHAPTER,
    "which_split_leaks",
    right=(
        "b",
        "A text's copies fall to both sides of the split. The model is asked on test day for texts "
        "that it has seen, in other words, with their labels.",
    ),
    wrong={
        "a": "That is clean: what is alike goes first, then the rest is divided.",
        "c": "That is clean: the copies are made of training texts alone.",
        "d": "That is clean: pretraining saw the texts of the *training* split without their "
        "labels, and no test text.",
    },
    read="A test that was in the training set",
)


# 9. Choose, predict, run


NEGATED = 0.5
"""About half of tinytown's feelings are said by a negation."""


@value(CHAPTER, rel=0.16, unit="per cent", read=LAST)
def turned_round() -> float:
    """How many of a hundred copies say the opposite after a word dropout at a rate of 0.2."""
    return 100 * 0.2 * NEGATED


@turned_round.mistake(
    "as if every sentence were negated",
    hint="A sentence that has no *not* cannot lose it. Count only those that have one.",
)
def _():
    return 20.0


@turned_round.mistake(
    "as if every negated sentence lost its not",
    hint="That is the share of sentences with a *not*. At a rate of 0.2 only some of them lose it.",
)
def _():
    return 50.0


@turned_round.mistake(
    "a share instead of a number in a hundred",
    hint="Asked is how many of a hundred: multiply by 100.",
)
def _():
    return 0.1


@turned_round.mistake(
    "those that kept it",
    hint="You count the negated sentences that *keep* their not.",
)
def _():
    return 40.0


@turned_round.mistake(
    "those that kept it, of the negated alone",
    hint="That is how many of a hundred *negated* copies keep their not. Asked is how many of all "
    "copies lose it.",
)
def _():
    return 80.0


@turned_round.mistake(
    "all that did not lose it",
    hint="That is the complement: those whose label is still right, or that had no *not*.",
)
def _():
    return 90.0


@turned_round.mistake(
    "none",
    hint="Dropping words looks harmless. Look for sentences that say *not* before the change and "
    "do not afterwards.",
)
def _():
    return 0.0


which_change_is_safe = choice(
    CHAPTER,
    "which_change_is_safe",
    right=(
        "synonyms",
        "A lexicon of moods gives good words for good ones and bad for bad. It takes somebody who "
        "knows the task: the lexicon is knowledge that came from outside.",
    ),
    wrong={
        "dropout": "It may drop the *not*, and the label says the opposite of the text.",
        "masking": "A masked *not* is as gone as a dropped one, and a masked mood word leaves "
        "nothing to tell.",
        "swap": "The *not* is still there, so the label is safe. But who counts words sees the "
        "same text again, and who reads their order sees a broken one: nothing new to learn from.",
    },
    read=LAST,
)
