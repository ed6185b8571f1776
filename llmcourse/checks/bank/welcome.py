"""The first exercises: guessing, counting, shifting, writing, and what a strange loss tells.

Losses are in nats, the unit of the natural logarithm. Not here: the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 00 teaches this.
"""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.checks.answers import choice
from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "00"


# 1. What guessing costs


@exercise(CHAPTER)
def uniform_loss(vocab_size: int) -> float:
    """The loss, in nats per token, of a model for which all tokens are equally likely."""
    return math.log(vocab_size)


@uniform_loss.cases
def _() -> Iterator[Case]:
    yield case("a coin", 2)
    yield case("this chapter's tokenizer", 1024)
    yield case("GPT-2's", 50257)
    yield case("a single token", 1)


@uniform_loss.mistake(
    "in bits",
    hint="Right, in another unit: log2 counts bits. A loss in nats takes the natural logarithm.",
)
def _(vocab_size):
    return math.log2(vocab_size)


@uniform_loss.mistake(
    "the probability itself",
    hint="That is the probability that each token gets. The loss is its negative logarithm.",
)
def _(vocab_size):
    return 1 / vocab_size


@uniform_loss.mistake(
    "the sign is missing",
    hint="The logarithm of a probability is negative. The loss is minus that: a loss is a cost.",
)
def _(vocab_size):
    return math.log(1 / vocab_size)


@uniform_loss.mistake(
    "the perplexity",
    hint="That many tokens seem equally likely: it is the perplexity. The loss is its logarithm.",
)
def _(vocab_size):
    return float(vocab_size)


# 2. A unit in which all tokenizers compare


@exercise(CHAPTER)
def bits_per_byte(loss: float, n_tokens: int, n_bytes: int) -> float:
    """A loss in nats per token, as bits per byte of the text: `loss n_tokens / ln 2 / n_bytes`."""
    return loss * n_tokens / math.log(2) / n_bytes


@bits_per_byte.cases
def _() -> Iterator[Case]:
    yield case("a bit a token, two bytes a token", math.log(2), 10, 20)
    yield case("a token is a byte", 2.0, 7, 7)
    yield case("a whole story", 0.6, 75, 322)


@bits_per_byte.mistake(
    "nats were not made bits",
    hint="You have nats per byte. One bit is ln 2 = 0.69 nats, so there are more bits than nats.",
)
def _(loss, n_tokens, n_bytes):
    return loss * n_tokens / n_bytes


@bits_per_byte.mistake(
    "nats and bits the wrong way round",
    hint="A bit is the smaller unit (0.69 nats), so the number has to grow: divide by ln 2.",
)
def _(loss, n_tokens, n_bytes):
    return loss * n_tokens * math.log(2) / n_bytes


@bits_per_byte.mistake(
    "per token, not per byte",
    hint="That is bits per token. First make it the cost of the whole text, then share that out "
    "among the bytes.",
)
def _(loss, n_tokens, n_bytes):
    return loss / math.log(2)


@bits_per_byte.mistake(
    "tokens and bytes swapped",
    hint="The whole text costs loss times the number of *tokens*; its bytes share the cost.",
)
def _(loss, n_tokens, n_bytes):
    return loss * n_bytes / math.log(2) / n_tokens


# 3. What the model reads, and what it should say


@exercise(CHAPTER, axes=("T", "T"))
def next_token_pairs(tokens: Int[Tensor, " N"]) -> tuple[Int[Tensor, " T"], Int[Tensor, " T"]]:
    """What is read and what should be said at each position: `tokens[t]` and `tokens[t + 1]`."""
    return tokens[:-1], tokens[1:]


@next_token_pairs.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([10, 20, 30, 40]))
    yield case("two tokens", torch.tensor([7, 3]))
    yield case("a row of noise", torch.randint(0, 1024, (12,)))


@next_token_pairs.mistake(
    "nothing is shifted",
    hint="The answer to each question stands in the question. The loss will fall to zero, and the "
    "model will have learned to copy.",
)
def _(tokens):
    return tokens[:-1], tokens[:-1]


@next_token_pairs.mistake(
    "shifted into the past",
    hint="Your targets stand one place too early: the model would learn to say what came before.",
)
def _(tokens):
    return tokens[1:], tokens[:-1]


@next_token_pairs.mistake(
    "rolled around the end",
    hint="After the last token comes nothing that we know, and certainly not the first one. Drop "
    "the position that has no answer.",
)
def _(tokens):
    return tokens, tokens.roll(-1)


@next_token_pairs.mistake(
    "two steps ahead",
    hint="One token further is enough: you skip every other answer.",
)
def _(tokens):
    return tokens[:-2], tokens[2:]


# 4. The baseline that counts


def _counted(ids: Tensor, vocab_size: int, extra: float) -> Tensor:
    """The share of each token, once `extra` is added to every count."""
    counts = torch.bincount(ids, minlength=vocab_size).double() + extra
    return counts / counts.sum()


@exercise(CHAPTER)
def unigram_loss(
    train_ids: Int[Tensor, " N"], valid_ids: Int[Tensor, " M"], vocab_size: int
) -> float:
    """The mean loss on `valid_ids`, in nats, of guessing by the counts in `train_ids` plus one."""
    return -_counted(train_ids, vocab_size, 1)[valid_ids].log().mean().item()


@unigram_loss.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1]), 2)
    yield case("a token never seen in training", torch.tensor([0, 0, 1]), torch.tensor([2, 0]), 4)
    yield case("noise", torch.randint(0, 9, (80,)), torch.randint(0, 9, (30,)), 10)


@unigram_loss.mistake(
    "a token never seen is impossible",
    hint="A count of zero makes a probability of zero and an infinite loss. Add one to each count.",
)
def _(train_ids, valid_ids, vocab_size):
    return -_counted(train_ids, vocab_size, 0)[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "the ones that were added are missing in the sum",
    hint="Your probabilities sum to more than one: the total has grown by the vocabulary's size.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    return -(counts / len(train_ids))[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "counted in the exam",
    hint="You counted the validation text, and so looked up the answers. Count the training text.",
)
def _(train_ids, valid_ids, vocab_size):
    return -_counted(valid_ids, vocab_size, 1)[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "scored on the training text",
    hint="The counts are right. But no exam asks what was handed out: score the validation text.",
)
def _(train_ids, valid_ids, vocab_size):
    return -_counted(train_ids, vocab_size, 1)[train_ids].log().mean().item()


@unigram_loss.mistake(
    "in bits",
    hint="Right, in bits. This course counts losses in nats: take the natural logarithm.",
)
def _(train_ids, valid_ids, vocab_size):
    return -_counted(train_ids, vocab_size, 1)[valid_ids].log2().mean().item()


# 5. One token after another

Scores = Callable[[list[int]], Float[Tensor, " V"]]
"""Stands for a model: from the tokens so far to a score for each possible next one."""


def _successor(ids: list[int]) -> Tensor:
    """A toy model: the token after the last one, plus one for each 0 in the text; six tokens."""
    scores = torch.zeros(6)
    scores[(ids[-1] + 1 + ids.count(0)) % 6] = 1.0
    return scores


def _first_letters(ids: list[int]) -> Tensor:
    """A toy model whose choice depends on how long the text is; eight tokens."""
    return torch.cos(torch.arange(8.0) - 3 * len(ids))


@exercise(CHAPTER)
def write(scores: Scores, ids: list[int], n: int) -> list[int]:
    """`ids` and the `n` tokens that follow, each the likeliest one given *all* that is before."""
    text = list(ids)
    for _ in range(n):
        text.append(int(scores(text).argmax()))
    return text


@write.cases
def _() -> Iterator[Case]:
    yield case("by hand", _successor, [2], 3)
    yield case("what is far back still counts", _successor, [0, 1, 3], 4)
    yield case("the length counts", _first_letters, [5, 1], 5)
    yield case("nothing to write", _successor, [4, 1], 0)


@write.mistake(
    "only the last token is read",
    hint="A model that sees one token has forgotten the pet's name. Hand it the whole text so far.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        text.append(int(scores(text[-1:]).argmax()))
    return text


@write.mistake(
    "the new token is never read",
    hint="Each step reads the same beginning, so each says the same. Read what was written, too.",
)
def _(scores, ids, n):
    return list(ids) + [int(scores(list(ids)).argmax()) for _ in range(n)]


@write.mistake(
    "the beginning is lost",
    hint="You return the new tokens alone; a reader would like the beginning, too.",
)
def _(scores, ids, n):
    return write.right(scores, ids, n)[len(ids) :]


@write.mistake(
    "n tokens in all",
    hint="`n` counts the new tokens, not those that were there already.",
)
def _(scores, ids, n):
    return write.right(scores, ids, max(0, n - len(ids)))


@write.mistake(
    "the likeliest score instead of its token",
    hint="`max` says how high the best score is; `argmax` says which token has it.",
)
def _(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        text.append(int(scores(text).max()))
    return text


# 6. What went wrong?

what_went_wrong = choice(
    CHAPTER,
    "what_went_wrong",
    right=(
        "c",
        "No model can be below the entropy of what it predicts, so it did not predict: the answer "
        "stood in what it read. The story, one word over and over, is what copying looks like.",
    ),
    wrong={
        "a": "Then the loss would stay high, or jump up and down. This one fell, and far too low.",
        "b": "Overfitting shows as a *validation* loss that rises while the training loss falls. "
        "Here both are zero.",
        "d": "The floor is exact: 0.50 nats per token. A loss below it is no triumph, it is a bug.",
    },
)
