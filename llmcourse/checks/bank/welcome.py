"""The first exercises: guessing, counting, shifting, and what a strange loss tells.

Losses are in nats, the unit of the natural logarithm. Not here: the exercise on writing
(`writing.py`), the exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter
00 teaches this.
"""

import itertools
import math
from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from llmcourse.checks.answers import choice
from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "00"


# 1. What guessing costs


@exercise(CHAPTER, tolerance=1e-5, read="4. What does the model have to beat?")
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


@uniform_loss.mistake(
    "a token's own share of the cost",
    hint="Each token's cost times its probability is one term of a sum over all V tokens. All V "
    "terms are equal, so the mean is the cost itself.",
)
def _(vocab_size):
    return math.log(vocab_size) / vocab_size


@uniform_loss.mistake(
    "the chance of being wrong",
    hint="That is how often a guess misses. A loss is the logarithm of the probability that the "
    "right token got, with a minus.",
)
def _(vocab_size):
    return 1 - 1 / vocab_size


@uniform_loss.mistake(
    "the right token was not counted",
    hint="All V tokens are possible, the right one among them: the logarithm of V, not of V - 1.",
)
def _(vocab_size):
    return math.log(vocab_size - 1)


# 2. A unit in which all tokenizers compare


@exercise(CHAPTER, tolerance=1e-5, read="4. What does the model have to beat?")
def bits_per_byte(loss: float, n_tokens: int, n_bytes: int) -> float:
    """A loss in nats per token, as bits per byte of the text: `loss n_tokens / ln 2 / n_bytes`."""
    return loss * n_tokens / math.log(2) / n_bytes


@bits_per_byte.cases
def _() -> Iterator[Case]:
    yield case("a bit a token, two bytes a token", math.log(2), 10, 20)
    yield case("a token is a byte", 2.0, 7, 7)
    yield case("a whole story", 0.6, 75, 322)
    yield case("a byte costs more than its eight bits", 10.8, 30, 50)


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


@bits_per_byte.mistake(
    "one token's cost for all bytes",
    hint="`loss` is what *one* token costs. The bytes share what all of them cost together.",
)
def _(loss, n_tokens, n_bytes):
    return loss / math.log(2) / n_bytes


@bits_per_byte.mistake(
    "the bits of the whole text",
    hint="Those are the bits that the whole text costs. How many of them fall to one byte?",
)
def _(loss, n_tokens, n_bytes):
    return loss * n_tokens / math.log(2)


@bits_per_byte.mistake(
    "the logarithm of the loss",
    hint="The loss is a logarithm already. Another unit is a factor, as with miles and metres: do "
    "not take the logarithm again.",
)
def _(loss, n_tokens, n_bytes):
    return math.log2(loss) * n_tokens / n_bytes


@bits_per_byte.mistake(
    "a perplexity",
    hint="You took the exponential: that is a number of choices. Bits per byte stay a cost.",
)
def _(loss, n_tokens, n_bytes):
    return math.exp(loss * n_tokens / n_bytes)


@bits_per_byte.mistake(
    "eight bits a byte, counted in",
    hint="How long a byte is does not matter here: the bytes are only what the cost is shared "
    "among. There is no 8 in it.",
)
def _(loss, n_tokens, n_bytes):
    return loss * n_tokens / math.log(2) / (8 * n_bytes)


# 3. What the model reads, and what it should say


@exercise(CHAPTER, axes=("T", "T"), read="3. What does a language model answer?")
def next_token_pairs(tokens: Int[Tensor, " N"]) -> tuple[Int[Tensor, " T"], Int[Tensor, " T"]]:
    """What is read and what should be said at each position: `tokens[t]` and `tokens[t + 1]`."""
    return tokens[:-1], tokens[1:]


@next_token_pairs.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([10, 20, 30, 40]))
    yield case("two tokens", torch.tensor([7, 3]))
    yield case("a token twice in a row", torch.tensor([5, 5, 8, 5]))
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


@next_token_pairs.mistake(
    "the ids one higher",
    hint="It is the *place* that moves on by one, not the number: after 10 comes 20, not 11.",
)
def _(tokens):
    return tokens[:-1], tokens[:-1] + 1


@next_token_pairs.mistake(
    "all ids one higher",
    hint="You added 1 to every id. What should be said is the token at the next *place*.",
)
def _(tokens):
    return tokens, tokens + 1


@next_token_pairs.mistake(
    "the last token is read, too",
    hint="After the last token we do not know what comes: it asks a question without an answer. "
    "Both results have N - 1 tokens.",
)
def _(tokens):
    return tokens, tokens[1:]


@next_token_pairs.mistake(
    "the first token is to be said, too",
    hint="Before the first token nothing was read: it answers no question. Both results have N - 1 "
    "tokens.",
)
def _(tokens):
    return tokens[:-1], tokens


@next_token_pairs.mistake(
    "a list of pairs",
    hint="You pair each token with its successor, one pair a position. Wanted are two rows: all "
    "that is read, and all that should be said.",
)
def _(tokens):
    return list(itertools.pairwise(tokens.tolist()))


@next_token_pairs.mistake(
    "pairs that do not overlap",
    hint="Every token but the first should be said, also those at even places: each position asks "
    "a question, not each second one.",
)
def _(tokens):
    return tokens[::2], tokens[1::2]


@next_token_pairs.mistake(
    "one answer for the whole row",
    hint="You ask only for the last token. A row of N tokens holds N - 1 questions: each position "
    "has its own answer.",
)
def _(tokens):
    return tokens[:-1], tokens[-1:]


@next_token_pairs.mistake(
    "cut in the middle",
    hint="The first half is read and the second said: the two rows should overlap, moved by one.",
)
def _(tokens):
    return tokens[: len(tokens) // 2], tokens[len(tokens) // 2 :]


@next_token_pairs.mistake(
    "a zero after the end",
    hint="The last position got a 0 for an answer, and 0 is a token like any other. Drop the "
    "position instead.",
)
def _(tokens):
    return tokens, torch.cat([tokens[1:], tokens.new_zeros(1)])


# 4. The baseline that counts


def _counted(ids: Tensor, vocab_size: int, extra: float) -> Tensor:
    """The share of each token, once `extra` is added to every count."""
    counts = torch.bincount(ids, minlength=vocab_size).double() + extra
    return counts / counts.sum()


@exercise(CHAPTER, tolerance=1e-5, read="4. What does the model have to beat?")
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
    yield case("one token over and over", torch.tensor([2]), torch.tensor([2, 2, 2, 0]), 3)


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


@unigram_loss.mistake(
    "a sum, not a mean",
    hint="That is what the whole validation text costs. The loss is per token: take the mean.",
)
def _(train_ids, valid_ids, vocab_size):
    return -_counted(train_ids, vocab_size, 1)[valid_ids].log().sum().item()


@unigram_loss.mistake(
    "the mean over the vocabulary",
    hint="You average over the V tokens, each once. Average over the validation text, in which a "
    "frequent token comes often.",
)
def _(train_ids, valid_ids, vocab_size):
    return -_counted(train_ids, vocab_size, 1).log().mean().item()


@unigram_loss.mistake(
    "each token of the exam once",
    hint="What stands three times in the validation text is asked three times. Do not leave out "
    "repetitions.",
)
def _(train_ids, valid_ids, vocab_size):
    return -_counted(train_ids, vocab_size, 1)[valid_ids.unique()].log().mean().item()


@unigram_loss.mistake(
    "only what was never seen gets one more",
    hint="Every count gets one more, not the zeros alone.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double().clamp(min=1)
    return -(counts / counts.sum())[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "the sum grew by one only",
    hint="Each of the V tokens got one more, so the sum grew by V.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    return -(counts / (len(train_ids) + 1))[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "the one is missing above the line",
    hint="You added V to the sum, and nothing to the counts: your probabilities sum to less than "
    "one, and an unseen token is still impossible.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double()
    return -(counts / (len(train_ids) + vocab_size))[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "the vocabulary ends at the largest id seen",
    hint="`vocab_size` says how many tokens there are, also those that the training text lacks: "
    "each of them gets its one. `bincount` stops early unless it is told.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids).double() + 1
    return -(counts / counts.sum())[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "the logarithm of the mean",
    hint="First the logarithm of each token's probability, then the mean. The other way round, one "
    "terrible guess would hardly count.",
)
def _(train_ids, valid_ids, vocab_size):
    return -_counted(train_ids, vocab_size, 1)[valid_ids].mean().log().item()


@unigram_loss.mistake(
    "the entropy of the counts",
    hint="That is what the model expects of its own text. The loss asks what the *validation* "
    "tokens cost: look each of them up.",
)
def _(train_ids, valid_ids, vocab_size):
    shares = _counted(train_ids, vocab_size, 1)
    return -(shares * shares.log()).sum().item()


@unigram_loss.mistake(
    "counts taken for logits",
    hint="A softmax of counts takes their exponential: five more seen would be a hundred times "
    "likelier. Divide the counts by their sum.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    return -counts.log_softmax(0)[valid_ids].mean().item()


@unigram_loss.mistake(
    "both texts counted",
    hint="You counted the validation text together with the training text: the exam is part of "
    "what was learned.",
)
def _(train_ids, valid_ids, vocab_size):
    both = torch.cat([train_ids, valid_ids])
    return -_counted(both, vocab_size, 1)[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "the counts are not divided",
    hint="You took the logarithm of the counts. A probability is a count divided by the sum of "
    "all counts.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    return -counts[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "divided by the exam's length",
    hint="The counts come from the training text, so their sum is that text's length plus V. You "
    "took the length of the validation text.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    return -(counts / (len(valid_ids) + vocab_size))[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "V is the number of tokens seen",
    hint="Each of the `vocab_size` tokens got one more, whether the training text has it or not.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    return -(counts / (len(train_ids) + len(train_ids.unique())))[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "the mean is over the training text's length",
    hint="The costs are those of the validation tokens: divide their sum by how many *they* are.",
)
def _(train_ids, valid_ids, vocab_size):
    shares = _counted(train_ids, vocab_size, 1)
    return -shares[valid_ids].log().sum().item() / len(train_ids)


@unigram_loss.mistake(
    "one more in all, not for each token",
    hint="You shared a single one among the V tokens. Each count gets a whole one.",
)
def _(train_ids, valid_ids, vocab_size):
    return -_counted(train_ids, vocab_size, 1 / vocab_size)[valid_ids].log().mean().item()


@unigram_loss.mistake(
    "divided by the number of tokens there are",
    hint="A share is a count divided by the sum of all counts. You divided by V.",
)
def _(train_ids, valid_ids, vocab_size):
    counts = torch.bincount(train_ids, minlength=vocab_size).double() + 1
    return -(counts / vocab_size)[valid_ids].log().mean().item()


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
    read="When it goes wrong",
)
