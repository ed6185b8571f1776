"""Rarer mistakes of the exercises on counting words. Chapter 02 teaches this."""

import math
from collections import Counter
from itertools import pairwise

import torch

from llmcourse.checks.bank.counting import add_k_row, continuation_counts, hold_out, perplexity


def _surprise(probabilities):
    return -probabilities.double().log()


@perplexity.mistake(
    "one over the median probability",
    hint="You take the middle probability. Every word counts: average the surprises.",
)
def _(probabilities):
    middle = probabilities.median().item()
    return 1 / middle if middle else math.inf


@perplexity.mistake(
    "surprises in nats, undone with base 10",
    hint="You take the natural logarithm and undo it with powers of 10. Both need the same base.",
)
def _(probabilities):
    return 10 ** _surprise(probabilities).mean().item()


@perplexity.mistake(
    "divided by one word more",
    hint="You divide the sum of the surprises by T + 1, as if an end of text were counted. "
    "There are T of them.",
)
def _(probabilities):
    return (_surprise(probabilities).sum() / (len(probabilities) + 1)).exp().item()


@perplexity.mistake(
    "the first word left out",
    hint="You leave out the first word. It was given a probability too, and counts like the "
    "others.",
)
def _(probabilities):
    return (
        _surprise(probabilities[1:] if len(probabilities) > 1 else probabilities)
        .mean()
        .exp()
        .item()
    )


@perplexity.mistake(
    "the last word left out", hint="You leave out the last word. Each of the T words counts."
)
def _(probabilities):
    return (
        _surprise(probabilities[:-1] if len(probabilities) > 1 else probabilities)
        .mean()
        .exp()
        .item()
    )


@perplexity.mistake(
    "surprises weighted by the probabilities",
    hint="You weigh the surprises by the probabilities and average them. Every word counts the "
    "same.",
)
def _(probabilities):
    return torch.special.entr(probabilities).mean().exp().item()


@perplexity.mistake(
    "rounded to two decimals", hint="You round the result. Hand over the number as it is."
)
def _(probabilities):
    found = _surprise(probabilities).mean().exp().item()
    return round(found, 2)


@perplexity.mistake(
    "the surprise of the other words too",
    hint="You add the surprise of what did not come, log(1 - p), as in a yes-or-no loss. Only "
    "the word that came counts.",
)
def _(probabilities):
    both = _surprise(probabilities) - (1 - probabilities.double()).log()
    return both.mean().exp().item()


@perplexity.mistake(
    "0 for an infinite one",
    hint="You hand back 0 where a word has probability 0, which would be better than perfect. "
    "It is infinite.",
)
def _(probabilities):
    found = _surprise(probabilities).mean().exp().item()
    return found if math.isfinite(found) else 0.0


@perplexity.mistake(
    "the largest float for an infinite one",
    hint="You hand back a very large number where a word has probability 0. Hand back infinity "
    "itself.",
)
def _(probabilities):
    return torch.nan_to_num(_surprise(probabilities).mean().exp()).item()


@perplexity.mistake(
    "perplexities of a hundred words each, averaged",
    hint="You average the perplexities of pieces of the text. Average the surprises of all "
    "words, then take the power once.",
)
def _(probabilities):
    return sum(p.mean().exp().item() for p in _surprise(probabilities).split(100)) / math.ceil(
        len(probabilities) / 100
    )


@perplexity.mistake(
    "divided by the number of words once more",
    hint="You divide the perplexity by T. The mean has done that already, under the exponential.",
)
def _(probabilities):
    return _surprise(probabilities).mean().exp().item() / len(probabilities)


@perplexity.mistake(
    "equal probabilities counted once",
    hint="You count equal probabilities once. Each word counts, whatever the others had.",
)
def _(probabilities):
    return _surprise(probabilities.unique()).mean().exp().item()


@perplexity.mistake(
    "how far the surprises spread",
    hint="You take the standard deviation of the surprises. Take their mean.",
)
def _(probabilities):
    return _surprise(probabilities).std(unbiased=False).exp().item()


# ---------------------------------------------------------------- add-k


def _scaled(row):
    return row / row.sum()


@add_k_row.mistake(
    "room for the unseen words alone in the total",
    hint="You add k to the total for the unseen words only, but to the counts of all words.",
)
def _(counts, k):
    return (counts + k) / (counts.sum() + k * (counts == 0).sum())


@add_k_row.mistake(
    "mixed with the uniform row",
    hint="You mix the row with a uniform one, k parts of it. Add k to the counts before you "
    "divide.",
)
def _(counts, k):
    return (1 - k) * counts / counts.sum().clamp(min=1) + k / len(counts)


@add_k_row.mistake(
    "k added to the probabilities",
    hint="You divide first and add k to the probabilities. Then k weighs the more, the more "
    "you have seen: add it to the counts.",
)
def _(counts, k):
    return _scaled(counts / counts.sum().clamp(min=1) + k)


@add_k_row.mistake(
    "k taken off",
    hint="You take k off the seen words and share it, as absolute discounting does. Asked for "
    "is k more for every word.",
)
def _(counts, k):
    off = counts - (counts - k).clamp(min=0)
    return ((counts - k).clamp(min=0) + off.sum() / len(counts)) / counts.sum()


@add_k_row.mistake(
    "Witten and Bell's room",
    hint="You leave as much room as there were different words (Witten and Bell). Here the "
    "room is k for each word.",
)
def _(counts, k):
    kinds = (counts > 0).sum()
    return (counts + kinds / len(counts)) / (counts.sum() + kinds)


@add_k_row.mistake(
    "one more place for an unknown word",
    hint="You count V + 1 words, one for the unknown. Here there are V.",
)
def _(counts, k):
    return (counts + k) / (counts.sum() + k * (len(counts) + 1))


@add_k_row.mistake(
    "one word too few in the total", hint="You count V - 1 words in the total. V words got k."
)
def _(counts, k):
    return (counts + k) / (counts.sum() + k * (len(counts) - 1))


@add_k_row.mistake(
    "one added to the counts, whatever k is",
    hint="You add 1 to the counts and k for each word to the total. Both have to be k.",
)
def _(counts, k):
    return (counts + 1) / (counts.sum() + k * len(counts))


@add_k_row.mistake(
    "k in units of the mean count", hint="You add k times the mean count. k is a count itself."
)
def _(counts, k):
    return _scaled(counts + k * counts.mean().clamp(min=1))


@add_k_row.mistake(
    "k only where something is unseen",
    hint="You add k only if a word is missing. It is added in every row.",
)
def _(counts, k):
    return _scaled(counts + k if (counts == 0).any() else counts)


@add_k_row.mistake(
    "k only where nothing was seen",
    hint="You add k only to a row of zeros. It is added in every row.",
)
def _(counts, k):
    return _scaled(counts if counts.sum() else counts + k)


@add_k_row.mistake(
    "k twice in the total",
    hint="You add k to the counts, sum those, and then add k for each word once more.",
)
def _(counts, k):
    more = counts + k
    return more / (more.sum() + k * len(counts))


@add_k_row.mistake(
    "one added to the total against dividing by 0",
    hint="You add one to the total. With k in it, it is no longer 0: the sum is enough.",
)
def _(counts, k):
    return (counts + k) / ((counts + k).sum() + 1)


@add_k_row.mistake(
    "zeros for a context that was never seen",
    hint="You hand back zeros for a context that was never seen. With k each word has the same "
    "chance there.",
)
def _(counts, k):
    return _scaled(counts + k) if counts.sum() else torch.zeros_like(counts)


@add_k_row.mistake(
    "a share of k held back for all unseen words",
    hint="You give unseen words a k in all, shared among them. Each word, seen or not, gets k.",
)
def _(counts, k):
    unseen = counts == 0
    return _scaled(counts + unseen * k / unseen.sum().clamp(min=1))


@add_k_row.mistake(
    "seen words keep their probability",
    hint="You leave the seen words as they were and give the unseen ones k over the new total. "
    "The row sums to more than one.",
)
def _(counts, k):
    total = counts.sum() + k * len(counts)
    return torch.where(counts > 0, counts / counts.sum().clamp(min=1), k / total)


# ---------------------------------------------------------------- hold_out


def _apart(documents, key=lambda text: text, test=None):
    test = documents[::10] if test is None else test
    held = {key(text) for text in test}
    return [text for text in documents if key(text) not in held], test


@hold_out.mistake(
    "blanks between words ignored",
    hint="You compare the words and not the text: two blanks differ from one.",
)
def _(documents):
    return _apart(documents, lambda text: tuple(text.split()))


@hold_out.mistake(
    "the words in any order",
    hint="You compare the words in any order. A copy has the same whole text.",
)
def _(documents):
    return _apart(documents, lambda text: tuple(sorted(text.split())))


@hold_out.mistake(
    "the letters in any order",
    hint="You compare the letters in any order. A copy has the same whole text.",
)
def _(documents):
    return _apart(documents, lambda text: "".join(sorted(text)))


@hold_out.mistake(
    "the set of words", hint="You compare the sets of words. A copy has the same whole text."
)
def _(documents):
    return _apart(documents, lambda text: frozenset(text.split()))


@hold_out.mistake(
    "the first word compared",
    hint="You compare the first words alone. A copy has the same whole text.",
)
def _(documents):
    return _apart(documents, lambda text: text.split()[:1][0] if text.split() else "")


@hold_out.mistake(
    "the beginning compared",
    hint="You compare how the texts begin. A copy is the same up to its end.",
)
def _(documents):
    return _apart(documents, lambda text: text[:10])


@hold_out.mistake(
    "fifty letters compared",
    hint="You compare the first letters, as a fingerprint. Texts may begin alike and end "
    "differently.",
)
def _(documents):
    return _apart(documents, lambda text: text[:50])


@hold_out.mistake(
    "lengths compared", hint="You compare lengths. Different texts may be equally long."
)
def _(documents):
    return _apart(documents, len)


@hold_out.mistake(
    "punctuation ignored",
    hint="You compare letters and digits only. Only a text that is the same letter by letter "
    "is a copy.",
)
def _(documents):
    return _apart(documents, lambda text: "".join(c for c in text if c.isalnum()))


@hold_out.mistake(
    "copies moved to the test",
    hint="You move the copies over to the test. They are in neither list: the test stays as it is.",
)
def _(documents):
    held = set(documents[::10])
    return [t for t in documents if t not in held], [t for t in documents if t in held]


@hold_out.mistake(
    "earlier copies alone dropped",
    hint="You drop only the copies that come before the test document. A copy may come after "
    "it too.",
)
def _(documents):
    n = range(len(documents))
    train = [
        documents[i] for i in n if i % 10 and documents[i] not in documents[i - i % 10 + 10 :: 10]
    ]
    return train, documents[::10]


@hold_out.mistake(
    "neighbours alone compared",
    hint="You compare each text with its neighbours. A copy may stand anywhere.",
)
def _(documents):
    n = range(len(documents))
    near = [set(documents[max(i - 1, 0) : i + 2 : 2]) for i in n]
    train = [documents[i] for i in n if i % 10 and documents[i] not in near[i]]
    return train, documents[::10]


@hold_out.mistake(
    "the last tenth, rounded down",
    hint="You hold out the last tenth, cut at the end. The test is every tenth document, from "
    "the first.",
)
def _(documents):
    return _apart(documents, test=documents[-max(1, len(documents) // 10) :])


@hold_out.mistake(
    "texts inside a test text dropped",
    hint="You drop texts that are a part of a test document. Only a whole copy is one.",
)
def _(documents):
    return [t for t in documents if not any(t in held for held in documents[::10])], documents[::10]


@hold_out.mistake(
    "empty texts dropped", hint="You drop empty texts. They are documents like the others."
)
def _(documents):
    return [t for t in _apart(documents)[0] if t], documents[::10]


@hold_out.mistake(
    "texts that share most words dropped",
    hint="You drop texts that resemble a test document. Only a text that is the same letter by "
    "letter is a copy.",
)
def _(documents):
    held = [set(t.split()) for t in documents[::10]]

    def near(text):
        words = set(text.split())
        return any(2 * len(words & other) >= len(words | other) > 0 for other in held)

    test = set(documents[::10])
    return [t for t in documents if t not in test and not near(t)], documents[::10]


@hold_out.mistake(
    "copies replaced by an empty text",
    hint="You leave an empty text where a copy stood. Leave it out.",
)
def _(documents):
    held = set(documents[::10])
    return ["" if t in held else t for n, t in enumerate(documents) if n % 10], documents[::10]


@hold_out.mistake(
    "the test chosen once copies are counted",
    hint="You make a document that has been seen already no place in the count of ten. Every "
    "tenth document is held out, copies included.",
)
def _(documents):
    order = {}
    for text in documents:
        order.setdefault(text, len(order))
    return (
        [t for t in documents if order[t] % 10],
        [t for t in documents if order[t] % 10 == 0],
    )


# ---------------------------------------------------------------- continuation counts


def _kinds(pairs):
    return dict(Counter(second for _, second in dict.fromkeys(pairs)))


@continuation_counts.mistake(
    "0 for a word after itself alone",
    hint="You do not count a word before that is the word itself. It counts.",
)
def _(words):
    return {b: len({x for x, y in pairwise(words) if y == b != x}) for _, b in pairwise(words)}


@continuation_counts.mistake(
    "the beginning as a word before",
    hint="You count the beginning of the text as one of the words before. There is no word there.",
)
def _(words):
    return _kinds(pairwise([None, *words]))


@continuation_counts.mistake(
    "two words before",
    hint="You count different pairs of words before. Asked for is the one word right before.",
)
def _(words):
    return _kinds(zip(pairwise(words), words[2:], strict=False))


@continuation_counts.mistake(
    "the two places before",
    hint="You count the words in the two places before. Only the one right before counts.",
)
def _(words):
    return _kinds([*pairwise(words), *zip(words, words[2:], strict=False)])


@continuation_counts.mistake(
    "pairs in either order as one",
    hint="You take a pair and its reverse for the same pair. Which word comes first matters.",
)
def _(words):
    return dict(Counter(b for _, b in {frozenset(p): p for p in pairwise(words)}.values()))


@continuation_counts.mistake(
    "as a share of the vocabulary",
    hint="You divide by the number of different words. Asked for are the numbers.",
)
def _(words):
    return {word: number / len(set(words)) for word, number in _kinds(pairwise(words)).items()}


@continuation_counts.mistake(
    "every second pair",
    hint="You cut the text into pairs side by side. Pairs overlap: every word but the first "
    "has one before it.",
)
def _(words):
    return _kinds(zip(words[::2], words[1::2], strict=False))


@continuation_counts.mistake(
    "words before that came once only",
    hint="You count the words before that came there exactly once. Each counts, however often "
    "it came.",
)
def _(words):
    pairs = Counter(pairwise(words))
    return {b: sum(n == 1 for (_, y), n in pairs.items() if y == b) for _, b in pairs}


@continuation_counts.mistake(
    "words before that came twice or more",
    hint="You count the words before that came there more than once. Once is enough.",
)
def _(words):
    pairs = Counter(pairwise(words))
    return {b: sum(n > 1 for (_, y), n in pairs.items() if y == b) for _, b in pairs}


@continuation_counts.mistake(
    "each word before counted for one word only",
    hint="You remember which words have been before anything. They have to be remembered for "
    "each word by itself.",
)
def _(words):
    seen, found = set(), {}
    for a, b in pairwise(words):
        found[b] = found.get(b, 0) + (a not in seen)
        seen.add(a)
    return found


@continuation_counts.mistake(
    "a share of its own occurrences",
    hint="You divide by how often the word stands after another. Asked for is the number alone.",
)
def _(words):
    times = Counter(words[1:])
    return {word: number / times[word] for word, number in _kinds(pairwise(words)).items()}


@continuation_counts.mistake(
    "all words that stand before anything",
    hint="You give each word the same number, of all words before anything. Count them for "
    "each word.",
)
def _(words):
    return dict.fromkeys(words[1:], len(set(words[:-1])))


@continuation_counts.mistake(
    "words with an entry only if seen twice",
    hint="You leave out words that stand only once. Each word that has one before it has an entry.",
)
def _(words):
    times = Counter(words)
    return {w: n for w, n in _kinds(pairwise(words)).items() if times[w] > 1}


@continuation_counts.mistake(
    "a new sentence begins at a full stop",
    hint="You count nothing across a full stop. It is a word like the others here.",
)
def _(words):
    return _kinds((a, b) for a, b in pairwise(words) if a != ".")


@continuation_counts.mistake(
    "the first letters of the words before",
    hint="You compare the words before by their first letter. Compare the whole words.",
)
def _(words):
    return _kinds((a[:1], b) for a, b in pairwise(words))


@perplexity.mistake(
    "logarithms kept from falling below -100",
    hint="You limit the logarithm to -100, as PyTorch's binary loss does. A probability of 0 "
    "has to give infinity.",
)
def _(probabilities):
    return (-probabilities.log().clamp(min=-100)).mean().exp().item()


@perplexity.mistake(
    "the mean surprise in bits",
    hint="You hand back the mean surprise in bits. The perplexity is 2 to the power of it.",
)
def _(probabilities):
    return (-probabilities.double().log2()).mean().item()


@perplexity.mistake(
    "divided by T instead of the T-th root",
    hint="You divide one over the product by T. Asked for is its T-th root: `1 / T` needs "
    "brackets in a power.",
)
def _(probabilities):
    product = probabilities.double().prod().item()
    return 1 / product / len(probabilities) if product else math.inf


@perplexity.mistake(
    "a square root, however many words",
    hint="You take the square root of one over the product. With T words it is the T-th root.",
)
def _(probabilities):
    return (_surprise(probabilities).sum() / 2).exp().item()


@perplexity.mistake(
    "the mean of the perplexities along the way",
    hint="You average the perplexities of all beginnings of the text. Asked for is that of the "
    "whole text.",
)
def _(probabilities):
    numbers = torch.arange(1, len(probabilities) + 1)
    return (_surprise(probabilities).cumsum(0) / numbers).exp().mean().item()


@perplexity.mistake(
    "an average that forgets",
    hint="You keep a running average in which old words fade. All words weigh the same.",
)
def _(probabilities):
    running = 0.0
    for surprise in _surprise(probabilities).tolist():
        running = 0.9 * running + 0.1 * surprise
    return math.exp(running)


@perplexity.mistake(
    "the bits of an entropy, as a power of 2",
    hint="You weigh each surprise by its probability. Every word of the text counts once, "
    "whatever it got.",
)
def _(probabilities):
    return (torch.special.entr(probabilities).mean() / math.log(2)).exp().item()


@add_k_row.mistake(
    "a total of one at least",
    hint="You keep the total from falling below 1. With a small k it may well be smaller, and "
    "the row then sums to less than one.",
)
def _(counts, k):
    return (counts + k) / (counts + k).sum().clamp(min=1)


@add_k_row.mistake("in float64", hint="You hand back float64. Keep the dtype of the counts.")
def _(counts, k):
    return _scaled(counts.double() + k)


@add_k_row.mistake(
    "Good and Turing's counts",
    hint="You estimate each count from how many words have one more (Good and Turing). Asked "
    "for is k more for every word.",
)
def _(counts, k):
    with_count = Counter(counts.tolist())
    new = [
        (c + 1) * with_count[c + 1] / with_count[c] if with_count[c + 1] else c
        for c in counts.tolist()
    ]
    return torch.tensor(new, dtype=counts.dtype) / max(sum(new), 1)


@add_k_row.mistake(
    "V is the number of different counts",
    hint="You take how many different counts there are for V. V is the length of the row.",
)
def _(counts, k):
    return (counts + k) / (counts.sum() + k * len(counts.unique()))


@add_k_row.mistake(
    "V is the number of words counted",
    hint="You take the total of the counts for V. V is how many different words there are: the "
    "length of the row.",
)
def _(counts, k):
    return (counts + k) / (counts.sum() + k * counts.sum())


@add_k_row.mistake(
    "k as a weight beside the plain shares",
    hint="You weigh the plain shares with 1 and a uniform row with k. Add k to each count, "
    "then divide.",
)
def _(counts, k):
    shares = counts / counts.sum().clamp(min=1)
    return (shares + k / len(counts)) / (1 + k)


@add_k_row.mistake(
    "k for unseen words, taken from the seen ones",
    hint="You give unseen words k and shrink the seen ones to what is left of the total. Every "
    "word gets k, seen or not.",
)
def _(counts, k):
    total = counts.sum()
    unseen = counts == 0
    left = (total - k * unseen.sum()).clamp(min=0)
    return torch.where(unseen, k, counts * left / total.clamp(min=1)) / total.clamp(min=1)


@hold_out.mistake(
    "the last, shorter group without a test",
    hint="You take a test document from whole groups of ten only. The last group may be "
    "shorter: its first one is for the test as well.",
)
def _(documents):
    return _apart(documents, test=documents[: len(documents) // 10 * 10 : 10])


@hold_out.mistake(
    "texts that differ in one letter",
    hint="You drop texts that are a letter away from a test document. Only a text that is the "
    "same letter by letter is a copy.",
)
def _(documents):
    def near(a, b):
        return a == b or (len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) < 2)

    return [d for d in documents if not any(near(d, t) for t in documents[::10])], documents[::10]


@hold_out.mistake(
    "texts that share two words in a row",
    hint="You drop texts that share a piece with a test document. Only a whole copy is one.",
)
def _(documents):
    held = {pair for text in documents[::10] for pair in pairwise(text.split())}
    train = _apart(documents)[0]
    return [d for d in train if held.isdisjoint(pairwise(d.split()))], documents[::10]


@hold_out.mistake(
    "the end compared",
    hint="You drop texts that end as a test document does. Only a whole copy is one.",
)
def _(documents):
    return [d for d in documents if not d.endswith(tuple(documents[::10]))], documents[::10]


@hold_out.mistake(
    "one copy left in training",
    hint="You leave one copy of a test document in training. No text may be in both.",
)
def _(documents):
    held, once = set(documents[::10]), set()
    train = []
    for n, text in enumerate(documents):
        if n % 10 and (text not in held or text not in once):
            train.append(text)
            once.add(text)
    return train, documents[::10]


@hold_out.mistake("a hundredth", hint="You hold out every hundredth document. It is every tenth.")
def _(documents):
    return _apart(documents, test=documents[::100])


@hold_out.mistake(
    "places in place of texts",
    hint="You hand back where the documents stand. Asked for are the documents.",
)
def _(documents):
    held = set(documents[::10])
    return [n for n, d in enumerate(documents) if d not in held], list(range(0, len(documents), 10))


@continuation_counts.mistake(
    "words before the first time only",
    hint="You count all different words that stand before a word's first place. Look at the "
    "one word right before, at every place.",
)
def _(words):
    return {w: len(set(words[: words.index(w)])) for w in words if words.index(w)}


@continuation_counts.mistake(
    "words before and after, added",
    hint="You add how many different words stand before and after. Only those before are asked "
    "for.",
)
def _(words):
    pairs = set(pairwise(words))
    both = Counter(b for _, b in pairs) + Counter(a for a, _ in pairs)
    return dict(both)


@continuation_counts.mistake(
    "each pair in alphabetical order",
    hint="You put each pair into alphabetical order. Which of the two comes first is what matters.",
)
def _(words):
    return _kinds(tuple(sorted(pair)) for pair in pairwise(words))


@continuation_counts.mistake(
    "the same word before counted up to two",
    hint="You stop counting a pair only once you saw it twice. It counts once.",
)
def _(words):
    pairs, found = Counter(pairwise(words)), Counter()
    for (_, b), n in pairs.items():
        found[b] += min(n, 2)
    return dict(found)


@continuation_counts.mistake(
    "the total of all words",
    hint="You hand back one number for all words. Asked for is a number for each word.",
)
def _(words):
    return sum(_kinds(pairwise(words)).values())


@continuation_counts.mistake(
    "marks cut off the words",
    hint="You cut full stops off or leave them out. The words are counted as they are.",
)
def _(words):
    return _kinds(pairwise([w for w in words if w.isalnum()]))


@add_k_row.mistake(
    "a softmax with k as its temperature",
    hint="You divide the counts by k and take a softmax. Add k to each count, then divide by the "
    "sum.",
)
def _(counts, k):
    return (counts / k).softmax(-1)


@add_k_row.mistake(
    "V is the number of words seen, or 1",
    hint="You add k below for each word that was seen, once at least. Add it for each word of the "
    "row.",
)
def _(counts, k):
    return (counts + k) / (counts.sum() + k * (counts > 0).sum().clamp(min=1))


@add_k_row.mistake(
    "k as a weight, and a uniform row where nothing was seen",
    hint="You mix the plain shares with a uniform row, which has the weight k / (1 + k). Add k to "
    "each count, then divide.",
)
def _(counts, k):
    even = torch.full_like(counts, 1 / len(counts))
    shares = counts / counts.sum() if counts.sum() > 0 else even
    return (shares + k * even) / (1 + k)
