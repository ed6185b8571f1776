"""The exercises on what is asked of pairs and batches, and on choosing an objective.

Not here: the exercises on hiding parts of a text (`masking.py`), the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 07 teaches this.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.objectives.contrastive import similarities

CHAPTER = "07"


# 3. Two sentences


@exercise(CHAPTER, read="4. NSP and SOP: do these two belong together?")
def pair_row(
    first: list[int], second: list[int], swap: bool, cls_id: int, sep_id: int
) -> tuple[list[int], list[int], int]:
    """SOP's row `[CLS] A [SEP] B [SEP]`, its segments, and its label: 1 where A came first."""
    a, b = (second, first) if swap else (first, second)
    ids = [cls_id, *a, sep_id, *b, sep_id]
    return ids, [0] * (len(a) + 2) + [1] * (len(b) + 1), int(not swap)


@pair_row.cases
def _() -> Iterator[Case]:
    yield case("by hand", [5, 6], [7], False, 1, 2)
    yield case("by hand, swapped", [5, 6], [7], True, 1, 2)
    yield case("a long one first", [3, 4, 5, 6, 7], [8, 9], True, 100, 101)
    yield case("a long one second", [3], [8, 9, 10, 11], False, 100, 101)
    yield case("a long one second, swapped", [3], [8, 9, 10, 11], True, 100, 101)
    yield case("equally long", [3, 4], [5, 6], True, 7, 8)
    yield case("one token each", [9], [8], False, 1, 2)


@pair_row.mistake(
    "the label upside down",
    hint="Label 1 says that the pair stands in its order. If it was swapped, the label is 0.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, label = pair_row.right(first, second, swap, cls_id, sep_id)
    return ids, segments, 1 - label


@pair_row.mistake(
    "the segments know which came first",
    hint="Segment 0 is what stands *on the left*, whichever sentence that is. If segments went "
    "with the sentences, they would give the answer away: a leak!",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, label = pair_row.right(first, second, swap, cls_id, sep_id)
    return ids, [1 - s for s in segments] if swap else segments, label


@pair_row.mistake(
    "no [SEP] at the end",
    hint="Both sentences end with a [SEP], the second one, too.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, label = pair_row.right(first, second, swap, cls_id, sep_id)
    return ids[:-1], segments[:-1], label


@pair_row.mistake(
    "the first [SEP] in the second segment",
    hint="[CLS], A and the [SEP] behind A are segment 0; B and its [SEP] are segment 1.",
)
def _(first, second, swap, cls_id, sep_id):
    a, b = (second, first) if swap else (first, second)
    segments = [0] * (len(a) + 1) + [1] * (len(b) + 2)
    return [cls_id, *a, sep_id, *b, sep_id], segments, int(not swap)


@pair_row.mistake(
    "never swapped",
    hint="Where `swap` is true, `second` goes to the left. You changed the label alone.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, _ = pair_row.right(first, second, False, cls_id, sep_id)
    return ids, segments, int(not swap)


@pair_row.mistake(
    "swapped where it should not be",
    hint="If `swap` is *true* they change places; else they stand as given.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, _ = pair_row.right(first, second, not swap, cls_id, sep_id)
    return ids, segments, int(not swap)


@pair_row.mistake(
    "everything swapped, the label too",
    hint="Both the places and the label say the opposite of `swap`: look at its first use.",
)
def _(first, second, swap, cls_id, sep_id):
    return pair_row.right(first, second, not swap, cls_id, sep_id)


@pair_row.mistake(
    "no [SEP] between the sentences",
    hint="Each of the two ends with a [SEP]: there is one between them.",
)
def _(first, second, swap, cls_id, sep_id):
    a, b = (second, first) if swap else (first, second)
    return [cls_id, *a, *b, sep_id], [0] * (len(a) + 1) + [1] * (len(b) + 1), int(not swap)


@pair_row.mistake(
    "no [CLS] in front",
    hint="The row begins with [CLS], in segment 0: its state answers for the whole row.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, label = pair_row.right(first, second, swap, cls_id, sep_id)
    return ids[1:], segments[1:], label


@pair_row.mistake(
    "a [CLS] in front of each",
    hint="One [CLS] for the row, at its beginning.",
)
def _(first, second, swap, cls_id, sep_id):
    a, b = (second, first) if swap else (first, second)
    ids = [cls_id, *a, sep_id, cls_id, *b, sep_id]
    return ids, [0] * (len(a) + 2) + [1] * (len(b) + 2), int(not swap)


@pair_row.mistake(
    "segments of the words alone",
    hint="[CLS] and both [SEP] have a segment, too: one number for each token of the row.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, _, label = pair_row.right(first, second, swap, cls_id, sep_id)
    a, b = (second, first) if swap else (first, second)
    return ids, [0] * len(a) + [1] * len(b), label


@pair_row.mistake(
    "segments numbered 1 and 2",
    hint="They are numbered 0 and 1.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, label = pair_row.right(first, second, swap, cls_id, sep_id)
    return ids, [s + 1 for s in segments], label


@pair_row.mistake(
    "the tokens of each sentence turned round",
    hint="The *sentences* change places. Within a sentence the tokens keep their order.",
)
def _(first, second, swap, cls_id, sep_id):
    a, b = (first[::-1], second[::-1]) if swap else (first, second)
    return pair_row.right(a, b, swap, cls_id, sep_id)


@pair_row.mistake(
    "segments of the lengths before the swap",
    hint="The left part has the length of who stands there *now*. After the swap, forget `first` "
    "and `second`.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, _, label = pair_row.right(first, second, swap, cls_id, sep_id)
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1), label


@pair_row.mistake(
    "the same sentence twice",
    hint="`first = second` loses the first one, before `second` can take it. Exchange both at "
    "once.",
)
def _(first, second, swap, cls_id, sep_id):
    left = second if swap else first
    ids, segments, _ = pair_row.right(left, second, False, cls_id, sep_id)
    return ids, segments, int(not swap)


@pair_row.mistake(
    "the last [SEP] in segment 0",
    hint="The second [SEP] ends B, and belongs to its segment.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, label = pair_row.right(first, second, swap, cls_id, sep_id)
    return ids, [*segments[:-1], 0], label


@pair_row.mistake(
    "the label is always 1",
    hint="A swapped pair has the label 0: else there would be nothing to find out.",
)
def _(first, second, swap, cls_id, sep_id):
    return (*pair_row.right(first, second, swap, cls_id, sep_id)[:2], 1)


@pair_row.mistake(
    "segments 0 and 1 exchanged",
    hint="What stands on the left is segment 0, up to and with the first [SEP]; the rest is 1.",
)
def _(first, second, swap, cls_id, sep_id):
    ids, segments, label = pair_row.right(first, second, swap, cls_id, sep_id)
    return ids, [1 - segment for segment in segments], label


# 6. InfoNCE


@exercise(
    CHAPTER,
    axes="",
    variants=("non-contiguous", "gradients"),
    strict=False,
    read="7. Contrastive: which two are the same?",
)
def info_nce(
    anchors: Float[Tensor, "B D"], others: Float[Tensor, "B D"], temperature: float
) -> Float[Tensor, ""]:
    """The mean nats that it takes to find each anchor's partner among all of the batch."""
    scores = similarities(anchors, others) / temperature
    return F.cross_entropy(scores, torch.arange(len(scores)))


@info_nce.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.eye(2), torch.tensor([[2.0, 0.0], [0.0, 5.0]]), 1.0)
    a = torch.randn(6, 8)
    yield case("views that are alike", a, a + 0.3 * torch.randn(6, 8), 0.5)
    yield case("vectors of many lengths", a * torch.rand(6, 1) * 9, torch.randn(6, 8), 0.2)
    yield case("a cold one", a, a + torch.randn(6, 8), 0.05)
    yield case("as many texts as entries", torch.randn(4, 4), torch.randn(4, 4), 0.5)
    yield case("a batch of one", torch.randn(1, 3), torch.randn(1, 3), 0.3)
    yield case("partners that point apart", a, -a, 0.5)
    yield case("short vectors", 0.1 * a, 0.05 * a.flip(0), 0.5)


def _scores(a: Tensor, b: Tensor) -> Tensor:
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).mT


def _nats(scores: Tensor) -> Tensor:
    return -scores.log_softmax(dim=1).diagonal().mean()


@info_nce.mistake(
    "products instead of cosines",
    hint="Divide each vector by its length first. Otherwise a model can buy itself a lower loss "
    "with longer vectors.",
)
def _(anchors, others, temperature):
    return _nats(anchors @ others.mT / temperature)


@info_nce.mistake(
    "multiplied by the temperature",
    hint="Similarities are *divided* by it: the colder, the larger the scores.",
)
def _(anchors, others, temperature):
    return _nats(_scores(anchors, others) * temperature)


@info_nce.mistake(
    "softmax over the anchors",
    hint="Row i asks: which of the others belongs to anchor i? Normalise over j, along the row.",
)
def _(anchors, others, temperature):
    return _nats((_scores(anchors, others) / temperature).mT)


@info_nce.mistake(
    "no rivals",
    hint="You pull the pairs together and push nothing apart. A model that maps every text to one "
    "vector would be perfect. The softmax over the whole row is missing.",
)
def _(anchors, others, temperature):
    return -(_scores(anchors, others) / temperature).diagonal().mean()


@info_nce.mistake(
    "the partner does not compete",
    hint="The sum below the fraction runs over all j, the right one included: else it is no "
    "probability, and the loss may fall below zero.",
)
def _(anchors, others, temperature):
    scores = _scores(anchors, others) / temperature
    own = torch.eye(len(scores), dtype=torch.bool)
    return (scores.masked_fill(own, -torch.inf).logsumexp(1) - scores.diagonal()).mean()


@info_nce.mistake(
    "the sum over the batch",
    hint="Divide by B: the mean over the rows.",
)
def _(anchors, others, temperature):
    return _nats(_scores(anchors, others) / temperature) * len(anchors)


@info_nce.mistake(
    "both directions, as CLIP does",
    hint="CLIP adds the loss along the columns, and halves. Here one direction is asked: each "
    "anchor looks for its partner among the others.",
)
def _(anchors, others, temperature):
    scores = _scores(anchors, others) / temperature
    return (_nats(scores) + _nats(scores.mT)) / 2


@info_nce.mistake(
    "only the anchors have length 1",
    hint="A cosine divides by *both* lengths: an other that is long scores high with everybody.",
)
def _(anchors, others, temperature):
    return _nats(F.normalize(anchors, dim=-1) @ others.mT / temperature)


@info_nce.mistake(
    "only the others have length 1",
    hint="A cosine divides by *both* lengths: a long anchor makes its own row colder.",
)
def _(anchors, others, temperature):
    return _nats(anchors @ F.normalize(others, dim=-1).mT / temperature)


@info_nce.mistake(
    "softmax twice",
    hint="`cross_entropy` and `log_softmax` take *scores*. You hand them probabilities, and they "
    "normalise again.",
)
def _(anchors, others, temperature):
    return _nats((_scores(anchors, others) / temperature).softmax(1))


@info_nce.mistake(
    "the mean over the whole matrix",
    hint="Only the pairs that belong together are asked for: the diagonal.",
)
def _(anchors, others, temperature):
    return -(_scores(anchors, others) / temperature).log_softmax(1).mean()


@info_nce.mistake(
    "the sum over the whole matrix",
    hint="Only the pairs that belong together are asked for: the diagonal, and its mean.",
)
def _(anchors, others, temperature):
    return -(_scores(anchors, others) / temperature).log_softmax(1).sum()


@info_nce.mistake(
    "the temperature has no effect",
    hint="Divide the *cosines* by it. A vector that is divided by the temperature and then by its "
    "length is as before.",
)
def _(anchors, others, temperature):
    return _nats(_scores(anchors, others))


@info_nce.mistake(
    "one softmax for the whole matrix",
    hint="Each anchor has a question of its own: the sum below the fraction runs over j, along its "
    "row.",
)
def _(anchors, others, temperature):
    scores = _scores(anchors, others) / temperature
    return (scores.logsumexp((0, 1)) - scores.diagonal()).mean()


@info_nce.mistake(
    "the logarithm of the mean probability",
    hint="First the logarithm of each row's probability, then the mean: log and mean do not "
    "change places.",
)
def _(anchors, others, temperature):
    return -(_scores(anchors, others) / temperature).softmax(1).diagonal().mean().log()


@info_nce.mistake(
    "probabilities without a logarithm",
    hint="That is how sure the model is, on average, with a minus. The loss is the *logarithm*.",
)
def _(anchors, others, temperature):
    return -(_scores(anchors, others) / temperature).softmax(1).diagonal().mean()


@info_nce.mistake(
    "distances for similarities",
    hint="A score says how *near* two are: the cosine, which is large for partners.",
)
def _(anchors, others, temperature):
    near = torch.cdist(F.normalize(anchors, dim=-1), F.normalize(others, dim=-1))
    return _nats(-near / temperature)


@info_nce.mistake(
    "each column of the vectors has length 1",
    hint="A vector is a row: divide each *row* by its length, along the last axis.",
)
def _(anchors, others, temperature):
    return _nats(F.normalize(anchors, dim=0) @ F.normalize(others, dim=0).mT / temperature)


@info_nce.mistake(
    "squared lengths",
    hint="A length is the root of the sum of squares: with the square itself, long vectors become "
    "short.",
)
def _(anchors, others, temperature):
    a = anchors / anchors.square().sum(-1, keepdim=True)
    b = others / others.square().sum(-1, keepdim=True)
    return _nats(a @ b.mT / temperature)


@info_nce.mistake(
    "a yes or no for each pair",
    hint="That is a sigmoid for every pair (SigLIP). Here the others of a row compete: a softmax.",
)
def _(anchors, others, temperature):
    scores = _scores(anchors, others) / temperature
    return F.binary_cross_entropy_with_logits(scores, torch.eye(len(scores)).to(scores))


@info_nce.mistake(
    "the temperature divides the loss",
    hint="It has to divide the *scores*, before the softmax. Outside it is a factor, and changes "
    "who wins nothing.",
)
def _(anchors, others, temperature):
    return _nats(_scores(anchors, others)) / temperature


@info_nce.mistake(
    "anchors compared with anchors",
    hint="Each anchor is compared with the *others*: with itself it is always alike.",
)
def _(anchors, others, temperature):
    return _nats(_scores(anchors, anchors) / temperature)


@info_nce.mistake(
    "divided by the length of the whole batch",
    hint="`norm()` without an axis is one length for all vectors together. Each row has its own.",
)
def _(anchors, others, temperature):
    return _nats(anchors @ others.mT / (anchors.norm() * others.norm()) / temperature)


# 7. Find the leak

which_leaks = choice(
    CHAPTER,
    "which_leaks",
    right=(
        "c",
        "The targets are the tokens that the model reads, and each position sees itself. Its loss "
        "falls to zero, and it has learned to copy.",
    ),
    wrong={
        "a": "That is CLM: position t reads up to t, and is asked for t + 1, which it cannot see.",
        "b": "That is MLM: it sees both sides, but what is asked is not in what it reads.",
        "d": "That is T5's decoder: it reads its own text one place late, and the past alone.",
    },
    read="The loss is wonderful: the answer was in the input",
)


@value(CHAPTER, rel=0.03, unit="windows", read="8. How much does each pass teach?")
def windows_for_as_many_answers() -> int:
    """How many windows MLM reads until it was told as many answers as CLM in 300."""
    return round(300 / 0.15)


@windows_for_as_many_answers.mistake(
    "the other way round",
    hint="MLM is told *fewer* answers a window. So it has to read more of them, not fewer.",
)
def _():
    return round(300 * 0.15)


@windows_for_as_many_answers.mistake(
    "divided by what is seen",
    hint="85 % of the tokens are read and not asked. What counts is the 15 %.",
)
def _():
    return round(300 / 0.85)


@windows_for_as_many_answers.mistake(
    "masked tokens alone",
    hint="All that is chosen is asked, not only the 80 % of it that become [MASK].",
)
def _():
    return round(300 / 0.12)


@windows_for_as_many_answers.mistake(
    "how many *more* it has to read",
    hint="You took CLM's 300 off. Asked is how many MLM reads in all.",
)
def _():
    return round(300 / 0.15) - 300


@windows_for_as_many_answers.mistake(
    "how many times as many",
    hint="That is the factor. How many windows is that, if CLM reads 300?",
)
def _():
    return 1 / 0.15


@windows_for_as_many_answers.mistake(
    "15 % more",
    hint="MLM is not told 15 % *less* than CLM, but 15 % *of* it.",
)
def _():
    return round(300 * 1.15)


@windows_for_as_many_answers.mistake(
    "what is not asked, multiplied",
    hint="85 % of 300 windows is what MLM is not asked for. Divide by the share that it is.",
)
def _():
    return round(300 * 0.85)


@windows_for_as_many_answers.mistake(
    "the same number",
    hint="Both read the same number of tokens then. But of MLM's tokens only 15 % are asked for.",
)
def _():
    return 300


# 8. Choose

for_search = choice(
    CHAPTER,
    "for_search",
    right=(
        "contrastive",
        "Search compares one vector a text with millions of others: exactly what it was trained "
        "for, and each text is encoded once.",
    ),
    wrong={
        "clm": "The state at the end of a text is about the next word. In the chapter its means "
        "were the worst of all at telling stories apart.",
        "mlm": "Better than CLM, but nobody ever asked it to bring two texts near to each other.",
        "nsp": "It needs both texts in one row: a million texts would mean a million passes for "
        "each question.",
    },
    read="7. Contrastive: which two are the same?",
)

bag_of_words_wins = choice(
    CHAPTER,
    "bag_of_words_wins",
    right=(
        "topic",
        "Which words occur says nearly all about a topic, and their order nearly nothing. Start "
        "there, and see what a model adds.",
    ),
    wrong={
        "tagging": "Whether *to* is followed by a verb or by a place is in its neighbours. A bag "
        "has none.",
        "order": "Swap two sentences, and the bag of both is the same.",
        "generation": "A bag cannot write: it does not know what comes next.",
    },
    read="9. Which representation is good for what?",
)
