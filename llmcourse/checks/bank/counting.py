"""The exercises on counting: perplexity, smoothed rows, continuations, and a leak.

Not here: Kneser-Ney (`discounting.py`), the exercises on recurrent networks (`recurrence.py`), the
exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 02 teaches this.
"""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.evaluate.perplexity import Score

CHAPTER = "02"


# 1. Perplexity


@exercise(CHAPTER, tolerance=1e-4, read="2. How do you measure surprise?")
def perplexity(probabilities: Float[Tensor, " T"]) -> float:
    """`exp` of the mean surprise of words that got these probabilities."""
    nats = -probabilities.double().log().sum().item()
    return Score(nats=nats, tokens=len(probabilities), bytes=1).perplexity


@perplexity.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([0.5, 0.25, 0.125]))
    yield case("one word", torch.tensor([0.2]))
    yield case("never surprised", torch.ones(4))
    yield case("a long text", torch.full((400,), 0.01))
    yield case("good and bad guesses", torch.tensor([0.9, 0.8, 0.001, 0.5]))
    yield case("an impossible word", torch.tensor([0.5, 0.0, 0.5]))
    yield case("two guesses alike", torch.tensor([0.9, 0.9, 0.5]))
    halves = torch.full((400,), 0.5)
    halves[200:] = 0.01
    yield case("an easy half and a hard one", halves)


@perplexity.mistake(
    "the mean of 1/p",
    hint="Surprises are averaged, and a surprise is a logarithm. You averaged before taking it.",
)
def _(probabilities):
    return (1 / probabilities).mean().item()


@perplexity.mistake(
    "one over the mean probability",
    hint="A mean of probabilities hardly notices one terrible guess. Average the logarithms.",
)
def _(probabilities):
    return 1 / probabilities.mean().item()


@perplexity.mistake(
    "the loss itself",
    hint="That is the mean surprise in nats. Perplexity is its exponential.",
)
def _(probabilities):
    return -probabilities.log().mean().item()


@perplexity.mistake(
    "the product underflows",
    hint="Right on paper. But the product of 400 small numbers is 0 in any float: add logarithms.",
)
def _(probabilities):
    product = probabilities.prod().item()
    return product ** (-1 / len(probabilities)) if product else math.inf


@perplexity.mistake(
    "bits in, nats out",
    hint="The base of the logarithm and of the power have to be the same: log with exp, or log2 "
    "with 2 to the power of.",
)
def _(probabilities):
    return probabilities.log2().mean().neg().exp().item()


@perplexity.mistake(
    "the impossible word is left out",
    hint="A word that got the probability 0 is the model's worst mistake: it makes the perplexity "
    "infinite. Leaving it out rewards the model for it.",
)
def _(probabilities):
    return probabilities[probabilities > 0].log().mean().neg().exp().item()


@perplexity.mistake(
    "the probabilities are kept away from 0",
    hint="Something tiny, added or as a limit from below, hides the word that the model called "
    "impossible. It makes the perplexity infinite: let it.",
)
def _(probabilities):
    return (probabilities.double() + 1e-10).log().mean().neg().exp().item()


@perplexity.mistake(
    "divided by one word too few",
    hint="T words were guessed, and T surprises are averaged: the first counts, too.",
)
def _(probabilities):
    return (-probabilities.double().log().sum() / max(1, len(probabilities) - 1)).exp().item()


@perplexity.mistake(
    "the sign is missing",
    hint="Surprise is *minus* the logarithm. Without it you get one over the perplexity.",
)
def _(probabilities):
    return probabilities.double().log().mean().exp().item()


@perplexity.mistake(
    "the sum of the surprises, not their mean",
    hint="Summed up, a long text is always more perplexing than a short one. Take the mean.",
)
def _(probabilities):
    return (-probabilities.double().log().sum()).exp().item()


@perplexity.mistake(
    "2 to the power of nats",
    hint="Natural logarithms are undone by exp, and log2 by 2 to the power of. You mixed the two.",
)
def _(probabilities):
    return (-probabilities.double().log().mean()).exp2().item()


@perplexity.mistake(
    "weighted by the probabilities",
    hint="You weigh each surprise by its probability: that is an entropy of a whole distribution. "
    "Here every word of the text counts once.",
)
def _(probabilities):
    p = probabilities.double()
    return (-(p * p.log()).nansum()).exp().item()


# 2. Room for the unseen


@exercise(CHAPTER, axes="V", read="4. How do you leave room for what you never saw?")
def add_k_row(counts: Float[Tensor, " V"], k: float) -> Float[Tensor, " V"]:
    """The probabilities of all words after a context: `(c + k) / (sum of c + k V)`."""
    return (counts + k) / (counts.sum() + k * len(counts))


@add_k_row.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([1.0, 1.0, 0.0, 0.0]), 1.0)
    yield case("a small k", torch.tensor([7.0, 0.0, 2.0]), 0.1)
    yield case("a context that was never seen", torch.zeros(5), 0.5)
    yield case("a large vocabulary", torch.eye(100)[3] * 9, 1.0)
    yield case("k above some counts", torch.tensor([1.0, 0.0, 4.0]), 2.0)
    yield case("many counts", torch.tensor([5.0, 0.0, 1.0, 12.0, 3.0, 0.0]), 0.3)
    yield case("nothing is unseen", torch.tensor([3.0, 1.0, 4.0]), 0.5)
    yield case("little k, and nothing seen", torch.zeros(4), 0.01)


@add_k_row.mistake(
    "k is added once below, not V times",
    hint="Each of the V words got k more, so the total grew by k V. Does your row sum to one?",
)
def _(counts, k):
    return (counts + k) / (counts.sum() + k)


@add_k_row.mistake(
    "only seen words get k",
    hint="The unseen words were the reason for adding anything. Add k to every word.",
)
def _(counts, k):
    return (counts + k * (counts > 0)) / (counts.sum() + k * len(counts))


@add_k_row.mistake(
    "k is added below only",
    hint="Now the seen words pay a tax and nobody receives it. Add k above the line, too.",
)
def _(counts, k):
    return counts / (counts.sum() + k * len(counts))


@add_k_row.mistake(
    "V is the number of words seen",
    hint="V is the whole vocabulary: the words that never followed this context count as well.",
)
def _(counts, k):
    return (counts + k) / (counts.sum() + k * (counts > 0).sum())


@add_k_row.mistake(
    "only what is unseen gets k",
    hint="Every word gets k more, the seen ones as well. Then the total has grown by k V.",
)
def _(counts, k):
    raised = torch.where(counts > 0, counts, torch.full_like(counts, k))
    return raised / raised.sum()


@add_k_row.mistake(
    "the total as it was",
    hint="Above the line every word got k more; below it nothing did. Does your row sum to one?",
)
def _(counts, k):
    return (counts + k) / counts.sum()


@add_k_row.mistake(
    "divided first, then added",
    hint="k belongs to the counts. You added it to shares, and they no longer sum to one.",
)
def _(counts, k):
    return counts / counts.sum() + k


@add_k_row.mistake(
    "a softmax of the counts",
    hint="A softmax takes exponentials: ten more make it 22,000 times likelier. Divide by the sum.",
)
def _(counts, k):
    return (counts + k).softmax(-1)


@add_k_row.mistake(
    "no room for the unseen",
    hint="These are the plain shares: an unseen word is impossible, and an unseen context divides "
    "by zero. Add k to each count first.",
)
def _(counts, k):
    return counts / counts.sum()


@add_k_row.mistake(
    "1 is added below, whatever k is",
    hint="V words got k each: the total grew by k V, not by V.",
)
def _(counts, k):
    return (counts + k) / (counts.sum() + len(counts))


@add_k_row.mistake(
    "a limit, not an addition",
    hint="You lift only what is below k. Add k to every count.",
)
def _(counts, k):
    raised = counts.clamp(min=k)
    return raised / raised.sum()


@add_k_row.mistake(
    "k is shared among the words",
    hint="Every word gets a whole k; you gave each one part in V of it.",
)
def _(counts, k):
    return (counts + k / len(counts)) / (counts.sum() + k)


# 3. Find the leak


@exercise(CHAPTER, read="Test text that leaked into the counts")
def hold_out(documents: list[str]) -> tuple[list[str], list[str]]:
    """Training and test documents: every tenth is for the test, and no copy of one for training."""
    test = documents[::10]
    return [document for document in documents if document not in test], test


@hold_out.cases
def _() -> Iterator[Case]:
    yield case("no copies", [f"story {number}" for number in range(21)])
    yield case("a copy of a test story", ["a", "b", "a", *"cdefghijk"])
    twins = ["x", "y", "y", "z", "x", *"abcdefg", "z"]
    yield case("copies on both sides", twins)
    yield case("a test story twice in the test", ["t", *"abcdefghi", "t", "b"])
    yield case("fewer than ten", ["a", "b"])
    yield case("a copy before its test story", ["a", *"bcxdefghi", "x", "x", "j"])
    yield case("a copy far behind its test story", ["t", *(f"s{n}" for n in range(25)), "t", "u"])
    yield case("a story that holds a test story", ["rain", "rain again", "the rain", "snow"])
    yield case("copies among the training stories", ["a", "b", "c", "b", "d", "c", "b"])
    yield case("two copies side by side", ["a", "b", "a", "a", "a", "c"])
    yield case("capitals", ["Rain", "rain", "RAIN", "snow"])
    yield case("blanks", ["rain again", "rain again ", "rain  again", "snow"])
    yield case("the same words", ["rain again", "again rain", "rain rain again", "snow"])
    yield case("the same letters", ["dog", "god", "dot", "snow"])
    yield case("stops and commas", ["rain, again", "rain again", "rain, again!", "snow"])
    wet = "Once upon a time, in a land where all the roads were wet, it rained"
    yield case("the same beginning", [f"{wet} again", f"{wet} no more", f"{wet} again", "snow"])
    yield case("an empty document", ["a", "", "b", "a", ""])
    yield case("an empty document in the test", ["", "a", "", "b"])


@hold_out.mistake(
    "the colleague's split",
    hint="Look at the story that stands in the collection twice: one copy is learned, the other "
    "is asked. By which test is a document kept out of training: by its place, or by its text?",
)
def _(documents):
    return [d for i, d in enumerate(documents) if i % 10], documents[::10]


@hold_out.mistake(
    "test documents are also trained on",
    hint="The test is right, but every test document is still among the training documents.",
)
def _(documents):
    return list(documents), documents[::10]


@hold_out.mistake(
    "copies are removed from the test",
    hint="No leak, but you changed the test, and its easiest-to-copy documents are gone. Keep "
    "every tenth document, and remove copies from training.",
)
def _(documents):
    train = [d for i, d in enumerate(documents) if i % 10]
    return train, [d for d in documents[::10] if d not in train]


@hold_out.mistake(
    "training documents thrown into a set",
    hint="A set forgets the order, and how often each document occurs. Keep the training "
    "documents as they come.",
)
def _(documents):
    test = documents[::10]
    return sorted({d for d in documents if d not in test}), test


@hold_out.mistake(
    "a copy that stands before its test document stays",
    hint="You decide as you walk, and know a test document only once you have met it: a copy that "
    "came earlier is already in training. Take the whole test first.",
)
def _(documents):
    train, test = [], []
    for index, document in enumerate(documents):
        if index % 10 == 0:
            test.append(document)
        elif document not in test:
            train.append(document)
    return train, test


@hold_out.mistake(
    "compared with the test document of its own ten",
    hint="A copy may stand anywhere in the collection. Compare with *all* test documents.",
)
def _(documents):
    kept = [d for i, d in enumerate(documents) if d != documents[i // 10 * 10]]
    return kept, documents[::10]


@hold_out.mistake(
    "compared with the next test document only",
    hint="A copy may stand anywhere. Compare each document with all of the test.",
)
def _(documents):
    test = documents[::10]
    kept = [d for i, d in enumerate(documents) if i % 10 and d not in test[i // 10 : i // 10 + 2]]
    return kept, test


@hold_out.mistake(
    "copies among the training documents removed, too",
    hint="Only copies of *test* documents must go. What stands twice in training stays twice.",
)
def _(documents):
    test = documents[::10]
    return list(dict.fromkeys(d for d in documents if d not in test)), test


@hold_out.mistake(
    "the test without its copies",
    hint="The test stays as it is, also where a document is in it twice: every tenth.",
)
def _(documents):
    test = list(dict.fromkeys(documents[::10]))
    return [d for d in documents if d not in test], test


@hold_out.mistake(
    "every tenth, counted from the tenth",
    hint="The test begins with the *first* document, then comes the eleventh.",
)
def _(documents):
    test = documents[9::10]
    return [d for d in documents if d not in test], test


@hold_out.mistake(
    "a tenth in one piece",
    hint="You cut off one piece. The test is every tenth document, from the first.",
)
def _(documents):
    test = documents[: -(-len(documents) // 10)]
    return [d for d in documents if d not in test], test


@hold_out.mistake(
    "the last tenth",
    hint="You cut the test off at the end. It is every tenth document, from the first.",
)
def _(documents):
    size = -(-len(documents) // 10)
    test = documents[len(documents) - size :]
    return [d for d in documents if d not in test], test


@hold_out.mistake(
    "documents that hold a test document's text",
    hint="A document that only *contains* the text of another is no copy of it. Compare whole "
    "documents.",
)
def _(documents):
    test = documents[::10]
    return [d for d in documents if not any(asked in d for asked in test)], test


@hold_out.mistake(
    "capitals ignored",
    hint="`Rain` and `rain` are two texts here. Compare them as they stand.",
)
def _(documents):
    test = documents[::10]
    asked = {d.lower() for d in test}
    return [d for d in documents if d.lower() not in asked], test


@hold_out.mistake(
    "copies are dropped on both sides",
    hint="What stands on both sides leaves training, and stays in the test: nobody may choose the "
    "questions afterwards.",
)
def _(documents):
    train = [d for i, d in enumerate(documents) if i % 10]
    test = documents[::10]
    return [d for d in train if d not in test], [d for d in test if d not in train]


@hold_out.mistake(
    "only the first copy is removed",
    hint="A test document may have several copies. `remove` takes the first alone: leave out all.",
)
def _(documents):
    train = [d for i, d in enumerate(documents) if i % 10]
    for document in documents[::10]:
        if document in train:
            train.remove(document)
    return train, documents[::10]


@hold_out.mistake(
    "removed while walking over it",
    hint="You take documents out of the list that your loop walks over: the one behind each is "
    "passed over. Make a new list of those that stay.",
)
def _(documents):
    train, test = [d for i, d in enumerate(documents) if i % 10], documents[::10]
    for document in train:
        if document in test:
            train.remove(document)
    return train, test


@hold_out.mistake(
    "copies removed from the collection first",
    hint="Without copies the count begins to differ: another document is the eleventh. Keep the "
    "test as it is, every tenth of all, and leave copies among training documents in.",
)
def _(documents):
    kept = list(dict.fromkeys(documents))
    return [d for i, d in enumerate(kept) if i % 10], kept[::10]


@hold_out.mistake(
    "whatever occurs twice is left out of training",
    hint="You leave out every document that has a copy. Only copies of *test* documents leak.",
)
def _(documents):
    kept = [d for i, d in enumerate(documents) if i % 10 and documents.count(d) == 1]
    return kept, documents[::10]


@hold_out.mistake(
    "only copies of the first test document",
    hint="You compare with one test document. All of them have to be strangers to training.",
)
def _(documents):
    test = documents[::10]
    return [d for i, d in enumerate(documents) if i % 10 and d != test[0]], test


@hold_out.mistake(
    "sorted",
    hint="Keep the training documents in the order in which they came.",
)
def _(documents):
    test = documents[::10]
    return sorted(d for d in documents if d not in test), test


@hold_out.mistake(
    "every tenth, counted from the second",
    hint="Counting begins at 0: the test has the first document, the eleventh, and so on.",
)
def _(documents):
    test = documents[1::10]
    return [d for d in documents if d not in test], test


@hold_out.mistake(
    "documents that begin like a test document",
    hint="A document that only *begins* with the text of another is no copy of it. Compare all of "
    "it.",
)
def _(documents):
    test = documents[::10]
    return [d for d in documents if not d.startswith(tuple(test))], test


@hold_out.mistake(
    "only what has no copy is asked",
    hint="You took documents with copies out of the test. It stays as it is, every tenth of all: "
    "the copies leave the *training* text.",
)
def _(documents):
    test = [d for d in documents[::10] if documents.count(d) == 1]
    return [d for d in documents if d not in test], test


# 4. After how many different words?


@exercise(CHAPTER, read="4. How do you leave room for what you never saw?")
def continuation_counts(words: list[str]) -> dict[str, int]:
    """For each word that stands after another: after how many different words it does."""
    return dict(Counter(after for _, after in set(pairwise(words))))


@continuation_counts.cases
def _() -> Iterator[Case]:
    yield case("by hand", list("abacab"))
    yield case("San Francisco", [*["and", "San", "Francisco"] * 3, "or"])
    yield case("doubled words", ["very", "very", "very", "good"])
    yield case("one word", ["alone"])
    yield case("two words", ["alone", "together"])
    yield case("the same word before and after", ["a", "b", "a", "b", "c", "b"])
    yield case("a longer text", list("the dog saw the cat and the cat saw a dog"))
    yield case("full stops", ["Mia", "ran", ".", "Tom", "ran", ".", "Mia", "sat", "."])
    yield case("words that begin alike", ["cat", "sat", "car", "sat", "cow", "sat"])


@continuation_counts.mistake(
    "how often, not after how many",
    hint="San Francisco three times is *one* word before Francisco, seen three times.",
)
def _(words):
    return dict(Counter(words[1:]))


@continuation_counts.mistake(
    "the words after, not the words before",
    hint="You counted how many different words follow each word. The question is what it can "
    "follow.",
)
def _(words):
    return dict(Counter(before for before, _ in set(pairwise(words))))


@continuation_counts.mistake(
    "a word does not follow itself",
    hint="In 'very very good', 'very' does stand after 'very'. It counts like any other word.",
)
def _(words):
    pairs = {(a, b) for a, b in pairwise(words) if a != b}
    return dict(Counter(after for _, after in pairs))


@continuation_counts.mistake(
    "the first word gets an entry of 0",
    hint="A word that stands after nothing has no entry at all. Look at the list that has one "
    "word.",
)
def _(words):
    pairs = set(pairwise(words))
    return {word: sum(after == word for _, after in pairs) for word in words}


@continuation_counts.mistake(
    "words on both sides",
    hint="You counted neighbours before and after. The question is what stands *before* a word.",
)
def _(words):
    pairs = set(pairwise(words))
    both = pairs | {(after, before) for before, after in pairs}
    return dict(Counter(after for _, after in both))


@continuation_counts.mistake(
    "anywhere before, not right before",
    hint="You counted all different words that came earlier in the text. Only the word right "
    "before counts.",
)
def _(words):
    found: dict[str, set[str]] = {}
    for at, word in enumerate(words[1:], 1):
        found.setdefault(word, set()).update(words[:at])
    return {word: len(others) for word, others in found.items()}


@continuation_counts.mistake(
    "the text as a ring",
    hint="Before the first word stands nothing, and certainly not the last one.",
)
def _(words):
    return dict(Counter(after for _, after in set(zip([words[-1], *words], words, strict=False))))


@continuation_counts.mistake(
    "one too many for each word",
    hint="The set of words before is as large as it is: there is nothing to add for the word "
    "itself.",
)
def _(words):
    return {word: n + 1 for word, n in continuation_counts.right(words).items()}


@continuation_counts.mistake(
    "how often in all",
    hint="You counted how often each word stands in the text. Count after how many *different* "
    "words it does.",
)
def _(words):
    return dict(Counter(words))


@continuation_counts.mistake(
    "shares, not counts",
    hint="You divided by the number of different pairs: that comes in exercise 8. Here the plain "
    "number is wanted.",
)
def _(words):
    counts = continuation_counts.right(words)
    return {word: n / sum(counts.values()) for word, n in counts.items()}


@continuation_counts.mistake(
    "the words themselves",
    hint="You have the sets of words before. Wanted is how large each is: `len`.",
)
def _(words):
    found: dict[str, set[str]] = {}
    for before, word in pairwise(words):
        found.setdefault(word, set()).add(before)
    return found


@continuation_counts.mistake(
    "the word before counted, not the one after",
    hint="In the pair (San, Francisco) it is Francisco that stands after something. You gave its "
    "number to San.",
)
def _(words):
    return dict(Counter(words[:-1]))


@continuation_counts.mistake(
    "two places back",
    hint="You look at the word before the word before. Neighbours stand one place apart.",
)
def _(words):
    return dict(Counter(after for _, after in set(zip(words, words[2:], strict=False))))


@continuation_counts.mistake(
    "all different words of the text",
    hint="You gave each word the number of all words there are. Collect, for each word apart, what "
    "stands right before it.",
)
def _(words):
    return {word: len(set(words)) for word in words[1:]}


@continuation_counts.mistake(
    "times per different word",
    hint="You divided one count by the other. Wanted is the number of different words before.",
)
def _(words):
    return {word: words.count(word) / n for word, n in continuation_counts.right(words).items()}


@continuation_counts.mistake(
    "how often the word before changed",
    hint="You compare only with the word before *last time*. A word that came before once and "
    "comes again later is no new one: remember all of them.",
)
def _(words):
    last: dict[str, str] = {}
    counts: dict[str, int] = {}
    for before, word in pairwise(words):
        counts[word] = counts.get(word, 0) + (last.get(word) != before)
        last[word] = before
    return counts


@continuation_counts.mistake(
    "pairs as keys",
    hint="You counted pairs. The keys are single words: those that stand second.",
)
def _(words):
    return dict(Counter(pairwise(words)))


@continuation_counts.mistake(
    "the words left over",
    hint="You subtracted the one count from the other. Only the number of different words before "
    "is wanted.",
)
def _(words):
    return {word: words.count(word) - n for word, n in continuation_counts.right(words).items()}
