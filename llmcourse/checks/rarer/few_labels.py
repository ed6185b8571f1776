"""Rarer mistakes of the exercises on making a small set last. Chapter 11 teaches this."""

from llmcourse.checks.bank.few_labels import stop_early, thin_out


def _thinned(words, draws, rate, synonyms, keep, *, stays=None, fate=None, rescue=list):
    """A changed copy; `stays` says who stays, `fate` what becomes of others, in a list."""
    stays = stays or (lambda word, draw: draw >= rate or word in keep)
    fate = fate or (lambda word: [synonyms[word]] if word in synonyms else [])
    kept = []
    for word, draw in zip(words, draws, strict=True):
        kept += [word] if stays(word, draw) else fate(word)
    return kept or rescue(words)


@thin_out.mistake(
    "kept words without a draw",
    hint="You use up no draw for a word of `keep`, so later words get their neighbours' draws. "
    "`draws[i]` belongs to `words[i]`.",
)
def _(words, draws, rate, synonyms, keep):
    rest, kept = iter(draws), []
    for word in words:
        if word in keep or next(rest) >= rate:
            kept.append(word)
        elif word in synonyms:
            kept.append(synonyms[word])
    return kept or list(words)


@thin_out.mistake(
    "synonyms looked up both ways",
    hint="You also replace a synonym by its word. `synonyms` is read in one direction.",
)
def _(words, draws, rate, synonyms, keep):
    both = {new: old for old, new in synonyms.items()} | synonyms
    return _thinned(words, draws, rate, both, keep)


@thin_out.mistake(
    "a mask where a word was",
    hint="You put a mask in the place of a word that goes. It is left out.",
)
def _(words, draws, rate, synonyms, keep):
    return _thinned(words, draws, rate, synonyms, keep, fate=lambda w: [synonyms.get(w, "[MASK]")])


@thin_out.mistake(
    "the longest word alone rescued",
    hint="You rescue the longest word. If no word is left, all of them come back.",
)
def _(words, draws, rate, synonyms, keep):
    def longest(words):
        return [max(words, key=len)] if words else []

    return _thinned(words, draws, rate, synonyms, keep, rescue=longest)


@thin_out.mistake(
    "the word with the largest draw rescued",
    hint="You rescue one word, as the paper on easy augmentation does. Here all come back.",
)
def _(words, draws, rate, synonyms, keep):
    def luckiest(words):
        return [words[draws.index(max(draws))]] if words else []

    return _thinned(words, draws, rate, synonyms, keep, rescue=luckiest)


@thin_out.mistake(
    "the word with the smallest draw rescued",
    hint="You rescue the one word with the smallest draw. If no word is left, all come back.",
)
def _(words, draws, rate, synonyms, keep):
    def first(words):
        return [words[draws.index(min(draws))]] if words else []

    return _thinned(words, draws, rate, synonyms, keep, rescue=first)


@thin_out.mistake(
    "rescued when one word is left",
    hint="You bring all words back when a single one is left. Only when there is none.",
)
def _(words, draws, rate, synonyms, keep):
    kept = _thinned(words, draws, rate, synonyms, keep)
    return kept if len(kept) > 1 else list(words)


@thin_out.mistake(
    "rescued when no word has stayed itself",
    hint="You bring all words back when each was changed. Synonyms are words that are left.",
)
def _(words, draws, rate, synonyms, keep):
    kept = _thinned(words, draws, rate, synonyms, keep)
    return kept if set(kept) & set(words) else list(words)


@thin_out.mistake(
    "rescued when half is gone",
    hint="You bring all words back when fewer than half are left. Only when there is none.",
)
def _(words, draws, rate, synonyms, keep):
    kept = _thinned(words, draws, rate, synonyms, keep)
    return kept if 2 * len(kept) >= len(words) else list(words)


def _fixed_share(words, draws, count, synonyms, keep):
    """A copy in which so many words are changed, those with the smallest draws."""
    chosen = set(sorted(range(len(words)), key=lambda place: draws[place])[:count])
    kept = []
    for place, word in enumerate(words):
        if place not in chosen or word in keep:
            kept.append(word)
        elif word in synonyms:
            kept.append(synonyms[word])
    return kept or list(words)


@thin_out.mistake(
    "a share of the words, those with the smallest draws",
    hint="You change a fixed share of the words. Each word has its own fate: is its draw below the "
    "rate?",
)
def _(words, draws, rate, synonyms, keep):
    return _fixed_share(words, draws, int(rate * len(words)), synonyms, keep)


@thin_out.mistake(
    "a share of the words, rounded",
    hint="You change as many words as the rate says, rounded, those with the smallest draws. Each "
    "word goes by its own draw.",
)
def _(words, draws, rate, synonyms, keep):
    return _fixed_share(words, draws, round(rate * len(words)), synonyms, keep)


@thin_out.mistake(
    "gone below half of the rate, a synonym below the rate",
    hint="You split the rate: small draws delete, larger ones replace. Whether a synonym is known "
    "decides.",
)
def _(words, draws, rate, synonyms, keep):
    kept = []
    for word, draw in zip(words, draws, strict=True):
        if draw >= rate or word in keep:
            kept.append(word)
        elif draw >= rate / 2:
            kept.append(synonyms.get(word, word))
    return kept or list(words)


@thin_out.mistake(
    "one change and no more",
    hint="You change the first word whose draw is low, and no other. Each word has its own fate.",
)
def _(words, draws, rate, synonyms, keep):
    kept, done = [], False
    for word, draw in zip(words, draws, strict=True):
        if draw >= rate or word in keep or done:
            kept.append(word)
        else:
            done = True
            kept += [synonyms[word]] if word in synonyms else []
    return kept or list(words)


@thin_out.mistake(
    "equal words share the first one's draw",
    hint="You look for the word's first place (`index`), so equal words share a draw. Draws belong "
    "to places.",
)
def _(words, draws, rate, synonyms, keep):
    return _thinned(words, [draws[words.index(word)] for word in words], rate, synonyms, keep)


@thin_out.mistake(
    "capitals do not count at all",
    hint="You compare everything in small letters. Words are looked up as they are written.",
)
def _(words, draws, rate, synonyms, keep):
    small = {word.lower() for word in keep}
    known = {old.lower(): new for old, new in synonyms.items()}
    kept = []
    for word, draw in zip(words, draws, strict=True):
        if draw >= rate or word.lower() in small:
            kept.append(word)
        elif word.lower() in known:
            kept.append(known[word.lower()])
    return kept or list(words)


@thin_out.mistake(
    "all words in small letters",
    hint="You return the words in small letters. Those that stay, stay as they are written.",
)
def _(words, draws, rate, synonyms, keep):
    return [word.lower() for word in _thinned(words, draws, rate, synonyms, keep)]


@thin_out.mistake(
    "commas and full stops do not count",
    hint="You take the signs off a word before you look it up. It is looked up as it is written.",
)
def _(words, draws, rate, synonyms, keep):
    def bare(word):
        return word.strip(".,!?;:")

    stays = lambda word, draw: draw >= rate or bare(word) in keep  # noqa: E731
    fate = lambda w: [synonyms[bare(w)]] if bare(w) in synonyms else []  # noqa: E731
    return _thinned(words, draws, rate, synonyms, keep, stays=stays, fate=fate)


@thin_out.mistake(
    "parts of kept words stay",
    hint="You look for the word in a text of all kept words, so parts of them stay, too. Ask "
    "whether the word itself is in `keep`.",
)
def _(words, draws, rate, synonyms, keep):
    text = " ".join(sorted(keep))
    stays = lambda word, draw: draw >= rate or word in text  # noqa: E731
    return _thinned(words, draws, rate, synonyms, keep, stays=stays)


@thin_out.mistake(
    "words in which a kept one is stay",
    hint="You keep words that contain a kept one. Ask whether the word itself is in `keep`.",
)
def _(words, draws, rate, synonyms, keep):
    stays = lambda word, draw: draw >= rate or any(k in word for k in keep)  # noqa: E731
    return _thinned(words, draws, rate, synonyms, keep, stays=stays)


@thin_out.mistake(
    "synonyms in any case, and words without one go by draw",
    hint="You replace every word that has a synonym. Only where its draw is below the rate.",
)
def _(words, draws, rate, synonyms, keep):
    swapped = [w if w in keep else synonyms.get(w, w) for w in words]
    pairs = zip(words, swapped, draws, strict=True)
    kept = [new for old, new, draw in pairs if draw >= rate or old in keep or old in synonyms]
    return kept or list(words)


@thin_out.mistake(
    "a synonym for high draws",
    hint="You replace words whose draw is at the rate or above. Those stay as they are.",
)
def _(words, draws, rate, synonyms, keep):
    kept = []
    for word, draw in zip(words, draws, strict=True):
        if word in keep:
            kept.append(word)
        elif draw >= rate:
            kept.append(synonyms.get(word, word))
    return kept or list(words)


@thin_out.mistake(
    "synonyms below half of the rate, gone below the rate",
    hint="You split the rate between the two changes. Whether a synonym is known decides.",
)
def _(words, draws, rate, synonyms, keep):
    kept = []
    for word, draw in zip(words, draws, strict=True):
        if draw >= rate or word in keep:
            kept.append(word)
        elif draw < rate / 2 and word in synonyms:
            kept.append(synonyms[word])
    return kept or list(words)


@thin_out.mistake(
    "words whose synonym is kept stay",
    hint="You look for the synonym in `keep`. The word itself is looked up.",
)
def _(words, draws, rate, synonyms, keep):
    def stays(word, draw):
        return draw >= rate or synonyms.get(word, word) in keep

    return _thinned(words, draws, rate, synonyms, keep, stays=stays)


@thin_out.mistake(
    "the first word always stays",
    hint="You keep the first word whatever its draw. Only words in `keep` have that right.",
)
def _(words, draws, rate, synonyms, keep):
    return _thinned(words, [1.0, *draws[1:]][: len(words)], rate, synonyms, keep)


@thin_out.mistake(
    "two neighbours never go together",
    hint="You keep a word if the one before it went. Each word has its own fate.",
)
def _(words, draws, rate, synonyms, keep):
    kept, gone = [], False
    for word, draw in zip(words, draws, strict=True):
        goes = draw < rate and word not in keep and word not in synonyms and not gone
        if not goes:
            kept.append(synonyms.get(word, word) if draw < rate and word not in keep else word)
        gone = goes
    return kept or list(words)


@thin_out.mistake(
    "changed words at the end",
    hint="You put synonyms behind the words that stayed. Each stands in its word's place.",
)
def _(words, draws, rate, synonyms, keep):
    stayed, new = [], []
    for word, draw in zip(words, draws, strict=True):
        if draw >= rate or word in keep:
            stayed.append(word)
        elif word in synonyms:
            new.append(synonyms[word])
    return stayed + new or list(words)


@thin_out.mistake(
    "synonyms are protected from then on",
    hint="You remember replaced words and keep them the next time. Each place has its own fate.",
)
def _(words, draws, rate, synonyms, keep):
    kept, done = [], set()
    for word, draw in zip(words, draws, strict=True):
        if draw >= rate or word in keep or word in done:
            kept.append(word)
        elif word in synonyms:
            kept.append(synonyms[word])
            done.add(word)
    return kept or list(words)


@thin_out.mistake(
    "a word that goes, goes everywhere",
    hint="You leave out every occurrence of a word whose draw was low once. Each place has its own "
    "fate.",
)
def _(words, draws, rate, synonyms, keep):
    pairs = list(zip(words, draws, strict=True))
    hit = {word for word, draw in pairs if draw < rate and word not in keep}
    kept = [synonyms.get(word, word) for word in words if word not in hit or word in synonyms]
    kept = [w if w not in hit else synonyms[w] for w in words if w not in hit or w in synonyms]
    return kept or list(words)


def _waited(losses, patience, *, better=None, first=0, reset=0, late=0):
    """Best and last place, where `better(loss, best, losses so far)` says what progress is."""
    better = better or (lambda loss, best, _: loss < best)
    best, waited = 0, first
    for place in range(1, len(losses)):
        if better(losses[place], losses[best], losses[:place]):
            best, waited = place, reset
        else:
            waited += 1
            if waited >= patience + late:
                return best, place
    return best, len(losses) - 1


@stop_early.mistake(
    "the best so far set back when the run gets worse",
    hint="You compare with the loss before, and the best place is where it last fell. Compare with "
    "the best so far.",
)
def _(losses, patience):
    return _waited(losses, patience, better=lambda loss, _, before: loss < before[-1])


@stop_early.mistake(
    "only a rise costs patience",
    hint="You lose patience only where a loss rises above the one before. Whatever is not below "
    "the best counts.",
)
def _(losses, patience):
    best, waited = 0, 0
    for place in range(1, len(losses)):
        if losses[place] < losses[best]:
            best, waited = place, 0
        elif losses[place] > losses[place - 1]:
            waited += 1
            if waited >= patience:
                return best, place
    return best, len(losses) - 1


@stop_early.mistake(
    "an equal loss costs nothing",
    hint="An equal loss neither is progress nor costs patience with you. It does cost.",
)
def _(losses, patience):
    best, waited = 0, 0
    for place in range(1, len(losses)):
        if losses[place] < losses[best]:
            best, waited = place, 0
        elif losses[place] > losses[best]:
            waited += 1
            if waited >= patience:
                return best, place
    return best, len(losses) - 1


@stop_early.mistake(
    "an equal loss sets the wait back, the best stays",
    hint="An equal loss starts the wait anew with you. It is no progress.",
)
def _(losses, patience):
    best, waited = 0, 0
    for place in range(1, len(losses)):
        waited = 0 if losses[place] <= losses[best] else waited + 1
        best = place if losses[place] < losses[best] else best
        if waited >= patience:
            return best, place
    return best, len(losses) - 1


@stop_early.mistake(
    "losses and not places",
    hint="You return the best and the last loss. Asked for are their places.",
)
def _(losses, patience):
    best, last = _waited(losses, patience)
    return losses[best], losses[last]


@stop_early.mistake(
    "the best place as the last if patience lasts",
    hint="If patience is never lost you return the best place twice. The last is the list's end.",
)
def _(losses, patience):
    best, last = _waited(losses, patience)
    return (best, last) if last - best >= patience else (best, best)


@stop_early.mistake(
    "the first evaluation costs patience",
    hint="You count the first evaluation as one without progress. It is the best so far.",
)
def _(losses, patience):
    return _waited(losses, patience, first=1)


@stop_early.mistake(
    "the wait begins at one after progress",
    hint="After progress your wait begins at one. Nothing was waited yet.",
)
def _(losses, patience):
    return _waited(losses, patience, reset=1)


@stop_early.mistake(
    "one more wait after each progress",
    hint="Your count goes on from below 0 after progress, so you wait one evaluation longer.",
)
def _(losses, patience):
    return _waited(losses, patience, reset=-1)


@stop_early.mistake(
    "progress takes one from the wait",
    hint="Progress takes one from your count. It begins anew.",
)
def _(losses, patience):
    best, waited = 0, 0
    for place in range(1, len(losses)):
        if losses[place] < losses[best]:
            best, waited = place, max(0, waited - 1)
        else:
            waited += 1
            if waited >= patience:
                return best, place
    return best, len(losses) - 1


@stop_early.mistake(
    "progress has to be large",
    hint="You ask for a least progress (`min_delta`). Any loss below the best so far is progress.",
)
def _(losses, patience):
    return _waited(losses, patience, better=lambda loss, best, _: loss < best - 0.1)


@stop_early.mistake(
    "progress has to be a thousandth",
    hint="You ask for a least progress (`min_delta`) of 0.001. Any loss below the best counts.",
)
def _(losses, patience):
    return _waited(losses, patience, better=lambda loss, best, _: loss < best - 1e-3)


@stop_early.mistake(
    "compared with the mean so far",
    hint="You compare with the mean of the losses so far. Compare with the best.",
)
def _(losses, patience):
    return _waited(losses, patience, better=lambda loss, _, b: loss < sum(b) / len(b))


@stop_early.mistake(
    "the last one not seen",
    hint="Your last evaluation is one too early: the one that ends the run was made as well.",
)
def _(losses, patience):
    best, last = _waited(losses, patience)
    return best, last - (last - best >= patience)


@stop_early.mistake(
    "places of the run's second half",
    hint="You return how long was waited in place of the last place.",
)
def _(losses, patience):
    best, last = _waited(losses, patience)
    return best, last - best


@stop_early.mistake(
    "losses smoothed first",
    hint="You smooth the losses and compare these. The losses themselves decide.",
)
def _(losses, patience):
    smooth = [losses[0]]
    for loss in losses[1:]:
        smooth.append((smooth[-1] + loss) / 2)
    return _waited(smooth, patience)


@stop_early.mistake(
    "at least twice the best place",
    hint="You wait until twice the place of the best, as one tutorial does. The patience is given.",
)
def _(losses, patience):
    best, end = 0, patience
    for place in range(len(losses)):
        if losses[place] < losses[best]:
            best, end = place, max(end, 2 * place)
        if place >= end:
            return best, place
    return best, len(losses) - 1


@stop_early.mistake(
    "the end of the run at the best loss",
    hint="You cut the run back to its best place: both your numbers are the same.",
)
def _(losses, patience):
    return (_waited(losses, patience)[0],) * 2
