"""The exercises on exams: units, choices, chance, and the number of questions.

Not here: comparing texts with references (`overlaps.py`), calibration (`certainty.py`), leaks
(`leaks.py`), the exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 16
teaches this.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.evaluate.choices import Scores
from llmcourse.tokenizers.base import to_bytes

CHAPTER = "16"
UNIT = "1. What does perplexity count?"
CHOICES = "4. How does a model answer that only continues?"
CHANCE = "8. How far can you trust a figure?"

# 1. Bits per byte


@exercise(CHAPTER, read=UNIT)
def bits_per_byte(nats_per_token: float, n_tokens: int, text: str) -> float:
    """`nats_per_token · n_tokens / ln 2 / bytes of the text in UTF-8`."""
    return nats_per_token * n_tokens / math.log(2) / len(to_bytes(text))


@bits_per_byte.cases
def _() -> Iterator[Case]:
    yield case("by hand", math.log(4), 4, "Mia ran.")
    yield case("one token", 2.5, 1, "cat")
    yield case("as many tokens as bytes", 1.2, 5, "abcde")
    yield case("Chinese", 3.1, 4, "小猫在睡")
    yield case("an accent", 0.7, 3, "café au lait")
    yield case("two lines", 1.6, 9, "It rained.\nThe cat sat.\n")
    yield case("surprised by each byte", 9.0, 5, "xqzwk")
    yield case("nothing to guess", 0.0, 6, "a cat sat")
    yield case("a long text", 1.9, 700, "It rained. " * 250)


@bits_per_byte.mistake(
    "in nats", hint="Nats are logarithms to the base e. A bit is ln 2 = 0.693 nats."
)
def _(nats_per_token, n_tokens, text):
    return nats_per_token * n_tokens / len(text.encode())


@bits_per_byte.mistake(
    "multiplied by ln 2", hint="A bit is less than a nat, so there are *more* bits: divide by ln 2."
)
def _(nats_per_token, n_tokens, text):
    return nats_per_token * n_tokens * math.log(2) / len(text.encode())


@bits_per_byte.mistake(
    "characters in place of bytes",
    hint="`len(text)` counts characters. 小 is one character and three bytes: encode the text.",
)
def _(nats_per_token, n_tokens, text):
    return nats_per_token * n_tokens / math.log(2) / len(text)


@bits_per_byte.mistake(
    "bits per token",
    hint="The loss of one token is not the loss of a byte. First add up: all tokens together.",
)
def _(nats_per_token, n_tokens, text):
    return nats_per_token / math.log(2)


@bits_per_byte.mistake(
    "the tokens left out", hint="The whole text costs the loss of a token times how many there are."
)
def _(nats_per_token, n_tokens, text):
    return nats_per_token / math.log(2) / len(text.encode())


@bits_per_byte.mistake(
    "divided by the tokens again",
    hint="The sum over the tokens is divided by the *bytes*, and by nothing else.",
)
def _(nats_per_token, n_tokens, text):
    return nats_per_token / math.log(2) / n_tokens


@bits_per_byte.mistake(
    "bytes per bit", hint="The fraction is the wrong way round: bits divided by bytes."
)
def _(nats_per_token, n_tokens, text):
    bits = nats_per_token * n_tokens / math.log(2)
    return len(text.encode()) / bits if bits else math.inf


@bits_per_byte.mistake(
    "perplexity", hint="e to the loss is the perplexity of a token. Bits are the loss itself."
)
def _(nats_per_token, n_tokens, text):
    return math.exp(nats_per_token)


@bits_per_byte.mistake(
    "words in place of bytes", hint="You divide by the words of the text. Divide by its bytes."
)
def _(nats_per_token, n_tokens, text):
    return nats_per_token * n_tokens / math.log(2) / len(text.split())


@bits_per_byte.mistake(
    "another encoding",
    hint="UTF-16 has two bytes and more for each character. UTF-8 is asked for: `text.encode()`.",
)
def _(nats_per_token, n_tokens, text):
    return nats_per_token * n_tokens / math.log(2) / len(text.encode("utf-16"))


@bits_per_byte.mistake(
    "bytes of ASCII alone",
    hint="You drop the characters that ASCII lacks. In UTF-8 they have bytes, too, and cost bits.",
)
def _(nats_per_token, n_tokens, text):
    size = len(text.encode("ascii", "ignore"))
    return nats_per_token * n_tokens / math.log(2) / max(1, size)


@bits_per_byte.mistake(
    "the logarithm of the loss",
    hint="A loss *is* a logarithm already, in nats. Take no logarithm of it: divide by ln 2.",
)
def _(nats_per_token, n_tokens, text):
    return math.log2(nats_per_token) * n_tokens / len(text.encode()) if nats_per_token else 0.0


@bits_per_byte.mistake(
    "the logarithm of the sum",
    hint="The sum of the losses is a logarithm as it is, in nats. Divide it by ln 2.",
)
def _(nats_per_token, n_tokens, text):
    nats = nats_per_token * n_tokens
    return math.log2(nats) / len(text.encode()) if nats else 0.0


@bits_per_byte.mistake(
    "multiplied by the bytes, divided by the tokens",
    hint="The whole text costs the loss times its *tokens*. Share that among its *bytes*.",
)
def _(nats_per_token, n_tokens, text):
    return nats_per_token / n_tokens / math.log(2) * len(text.encode())


# 2. Which answer?


@exercise(CHAPTER, read=CHOICES)
def best_answer(log_probs: list[list[float]], answers: list[str], by: str) -> int:
    """The place of the answer with the largest score; of equals the first."""
    totals = np.array([sum(each) for each in log_probs])
    tokens = np.array([float(len(each)) for each in log_probs])
    sizes = np.array([float(len(to_bytes(answer))) for answer in answers])
    way = {"sum": "none", "token": "token", "byte": "byte"}[by]
    return Scores(totals, tokens, sizes).choice(way)


@best_answer.cases
def _() -> Iterator[Case]:
    pets = ["cat", "a small dog", "hen"]
    costs = [[-2.0], [-1.0, -1.0, -1.0], [-2.5]]
    for by in ("sum", "token", "byte"):
        yield case(f"by hand, {by}", costs, pets, by)
    # The likeliest token of all, the longest answer, the most tokens: each is another one.
    four = [[-0.2, -3.0], [-1.4, -1.3, -1.1], [-1.5], [-0.9, -0.9, -0.9, -0.9, -0.9]]
    named = ["box", "a clock", "an umbrella", "tea"]
    for by in ("sum", "token", "byte"):
        yield case(f"four answers, {by}", four, named, by)
    chinese = [[-2.0, -2.0], [-2.2, -2.2], [-4.3]]
    yield case(
        "Chinese has more bytes than characters", chinese, ["小猫", "kitty", "a cat"], "byte"
    )
    yield case("equals, sum", [[-1.0, -2.0], [-3.0], [-3.0]], ["a b", "c", "d"], "sum")
    yield case("equals, token", [[-2.0], [-1.0], [-1.0, -1.0]], ["a", "b", "c d"], "token")
    yield case("equals, byte", [[-4.0], [-2.0], [-1.0, -1.0]], ["cd", "ef", "gh"], "byte")
    yield case("a byte and four", [[-1.0], [-1.9, -1.9]], ["I", "cats"], "byte")
    yield case(
        "two tokens and four", [[-0.9, -1.1], [-1.1] * 4], ["oh no", "to go on home"], "token"
    )
    yield case("one word and two", [[-1.0, -1.0], [-1.5]], ["on it", "house"], "byte")
    yield case("as many words as tokens", [[-1.0], [-0.8] * 4], ["no", "to go on home"], "token")
    yield case("one sure token", [[-0.5, -3.0], [-0.7, -0.7]], ["oh no", "not me"], "token")
    yield case("a doubtful token", [[-1.0, -1.0], [-1.5, -0.1]], ["oh no", "not me"], "token")
    three = [[-0.1, -2.0, -2.1], [-1.5, -1.5, -1.5]]
    yield case("a sure token of three", three, ["as it is", "so be it"], "token")
    yield case("eight tokens and four", [[-1.0] * 8, [-1.2] * 4], ["abcdefgh", "ijkl"], "token")
    yield case("a doubtful end", [[-0.1, -3.0], [-1.0, -1.5]], ["oh no", "not me"], "sum")
    yield case("nearly equal", [[-1.0004], [-1.0]], ["yes", "no"], "sum")
    yield case("blanks around it", [[-2.0], [-1.0]], ["  a ", "b"], "byte")
    yield case("blanks within it", [[-2.8], [-2.5]], ["a b c d", "hello"], "byte")
    yield case("other signs", [[-2.0], [-1.5]], ["no!!!", "yes"], "byte")
    yield case("the same letter again", [[-1.8], [-1.2]], ["aaaaaa", "bcd"], "byte")
    yield case("the last", [[-9.0], [-8.0], [-0.5]], ["one", "two", "six"], "byte")
    yield case("the first of two", [[-0.5], [-0.6]], ["yes", "no"], "sum")
    yield case("sure of all", [[0.0, 0.0], [-0.1]], ["yes it is", "no"], "token")


def _scored(log_probs, answers, by, *, tokens=len, size=lambda a: len(a.encode()), total=sum):
    divide = {"sum": lambda n, a: 1.0, "token": lambda n, a: n, "byte": lambda n, a: size(a)}
    return [
        total(each) / divide[by](tokens(each), answer)
        for each, answer in zip(log_probs, answers, strict=True)
    ]


def _first_best(scores):
    return scores.index(max(scores))


@best_answer.mistake(
    "the sum whatever was asked",
    hint="You do not look at `by`: for `token` divide by the answer's tokens, for `byte` by its "
    "bytes.",
)
def _(log_probs, answers, by):
    return _first_best([sum(each) for each in log_probs])


@best_answer.mistake(
    "the mean whatever was asked",
    hint="You always divide by the number of tokens. For `sum` nothing is divided, for `byte` by "
    "the bytes.",
)
def _(log_probs, answers, by):
    return _first_best([sum(each) / len(each) for each in log_probs])


@best_answer.mistake(
    "the smallest", hint="A log-probability is negative: the likeliest answer has the *largest*."
)
def _(log_probs, answers, by):
    scores = _scored(log_probs, answers, by)
    return scores.index(min(scores))


@best_answer.mistake(
    "characters in place of bytes",
    hint="A Chinese character has three bytes: `len(answer.encode())`, not `len(answer)`.",
)
def _(log_probs, answers, by):
    return _first_best(_scored(log_probs, answers, by, size=len))


@best_answer.mistake(
    "probabilities added up",
    hint="The probability of an answer is the *product* of its tokens': add up logarithms.",
)
def _(log_probs, answers, by):
    return _first_best(
        _scored(log_probs, answers, by, total=lambda each: sum(math.exp(v) for v in each))
    )


@best_answer.mistake(
    "the last of equals", hint="Of answers with the same score the first one counts."
)
def _(log_probs, answers, by):
    scores = _scored(log_probs, answers, by)
    return max(range(len(scores)), key=lambda n: (scores[n], n))


@best_answer.mistake(
    "multiplied by the length",
    hint="You multiply by the length, so long answers pay twice. Divide.",
)
def _(log_probs, answers, by):
    sizes = {
        "sum": lambda e, a: 1,
        "token": lambda e, a: len(e),
        "byte": lambda e, a: len(a.encode()),
    }
    pairs = zip(log_probs, answers, strict=True)
    return _first_best([sum(each) * sizes[by](each, answer) for each, answer in pairs])


@best_answer.mistake(
    "words in place of tokens",
    hint="For `token` count the log-probabilities that an answer has, not the words of its text.",
)
def _(log_probs, answers, by):
    if by != "token":
        return _first_best(_scored(log_probs, answers, by))
    pairs = zip(log_probs, answers, strict=True)
    return _first_best([sum(each) / len(answer.split()) for each, answer in pairs])


@best_answer.mistake(
    "the first token alone", hint="You compare how the answers begin. Add up all of their tokens."
)
def _(log_probs, answers, by):
    return _first_best(_scored(log_probs, answers, by, total=lambda each: each[0]))


@best_answer.mistake("the score itself", hint="Return the answer's *place*, 0 for the first one.")
def _(log_probs, answers, by):
    return max(_scored(log_probs, answers, by))


@best_answer.mistake(
    "bytes whatever was asked",
    hint="You always divide by the bytes. For `sum` nothing is divided, for `token` by the tokens.",
)
def _(log_probs, answers, by):
    return _first_best(_scored(log_probs, answers, "byte"))


@best_answer.mistake(
    "tokens for bytes",
    hint="For `byte` divide by the bytes of the answer's text. You divide by its tokens.",
)
def _(log_probs, answers, by):
    return _first_best(_scored(log_probs, answers, "sum" if by == "sum" else "token"))


@best_answer.mistake(
    "bytes for tokens",
    hint="For `token` divide by the number of its log-probabilities. You divide by its bytes.",
)
def _(log_probs, answers, by):
    return _first_best(_scored(log_probs, answers, "sum" if by == "sum" else "byte"))


@best_answer.mistake(
    "sum and token exchanged",
    hint="You divide for `sum`, and do not for `token`: it is the reverse.",
)
def _(log_probs, answers, by):
    other = {"sum": "token", "token": "sum"}.get(by, by)
    return _first_best(_scored(log_probs, answers, other))


@best_answer.mistake(
    "words in place of bytes",
    hint="For `byte` count the bytes of the answer's text, not its words.",
)
def _(log_probs, answers, by):
    return _first_best(_scored(log_probs, answers, by, size=lambda answer: len(answer.split())))


@best_answer.mistake(
    "a byte for the blank before",
    hint="The bytes are those of the answer's text as it is given: no blank in front of it counts.",
)
def _(log_probs, answers, by):
    return _first_best(_scored(log_probs, answers, by, size=lambda a: len(a.encode()) + 1))


@best_answer.mistake(
    "one token less",
    hint="Every token of an answer counts, the first one, too: divide by all of them.",
)
def _(log_probs, answers, by):
    return _first_best(_scored(log_probs, answers, by, tokens=lambda each: max(1, len(each) - 1)))


@best_answer.mistake(
    "the root of the length", hint="Divide by the number of tokens itself, not by its root."
)
def _(log_probs, answers, by):
    return _first_best(_scored(log_probs, answers, by, tokens=lambda each: len(each) ** 0.5))


@best_answer.mistake(
    "without the first token",
    hint="The first token's log-probability belongs to the answer, too: add up all of them.",
)
def _(log_probs, answers, by):
    less = [each[1:] for each in log_probs]
    return _first_best(_scored(less, answers, by, tokens=lambda each: max(1, len(each))))


@best_answer.mistake(
    "the likeliest token",
    hint="For `token` it is the *mean* of the log-probabilities, not the largest of them.",
)
def _(log_probs, answers, by):
    if by != "token":
        return _first_best(_scored(log_probs, answers, by))
    return _first_best([max(each) for each in log_probs])


@best_answer.mistake(
    "the mean of probabilities",
    hint="The mean of *log*-probabilities is asked for. You take the exponential of each first.",
)
def _(log_probs, answers, by):
    if by != "token":
        return _first_best(_scored(log_probs, answers, by))
    return _first_best([sum(math.exp(v) for v in each) / len(each) for each in log_probs])


@best_answer.mistake(
    "the text of the answer", hint="Return the answer's *place*, 0 for the first one, not its text."
)
def _(log_probs, answers, by):
    return answers[_first_best(_scored(log_probs, answers, by))]


# 6. The paired bootstrap


def _in_a_row(answer: Any, a: Tensor, b: Tensor, drawn: Tensor) -> Any:
    """What an answer returns, where three numbers in a list are as good as in a tuple."""
    found = answer(a, b, drawn)
    if not isinstance(found, list | tuple):
        return found
    return tuple(x.item() if isinstance(x, Tensor) and x.numel() == 1 else x for x in found)


@exercise(CHAPTER, read=CHANCE, strict=False, tolerance=1e-5, call=_in_a_row)
def paired_interval(
    a: Float[Tensor, " N"], b: Float[Tensor, " N"], drawn: Int[Tensor, "R N"]
) -> tuple[float, float, float]:
    """The difference of two means, and the middle 95 % of it over the draws."""
    gaps = (a - b).double()[drawn].mean(dim=1)
    low, high = torch.quantile(gaps, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return float((a - b).double().mean()), low, high


@paired_interval.cases
def _() -> Iterator[Case]:
    a, b = torch.tensor([1.0, 1.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, 0.0])
    by_hand = torch.tensor([[0, 1, 2, 3], [0, 0, 3, 3], [1, 1, 2, 2], [2, 3, 2, 1], [0, 1, 0, 2]])
    yield case("by hand", a, b, by_hand)
    yield case("two questions", a[:2], b[:2], torch.tensor([[0, 0], [0, 1], [1, 1], [1, 0]]))
    yield case("right and wrong", *_answers(60), torch.randint(60, (200, 60)))
    yield case("as good as each other", a, a, torch.randint(4, (50, 4)))
    yield case("b is better", b, a, torch.randint(4, (100, 4)))
    yield case(
        "marks from 0 to 10", 10 * torch.rand(30), 10 * torch.rand(30), torch.randint(30, (99, 30))
    )
    easy = 5 * torch.randn(40)
    yield case(
        "easy and hard questions",
        easy + 0.3,
        easy + 0.1 * torch.randn(40),
        torch.randint(40, (300, 40)),
    )
    yield case("as many draws as questions", torch.rand(7), torch.rand(7), torch.randint(7, (7, 7)))


def _answers(n: int) -> tuple[Tensor, Tensor]:
    ease = torch.rand(n)
    return (ease < 0.7).float(), (ease + 0.2 * torch.rand(n) < 0.7).float()


def _interval(value, gaps):
    low, high = torch.quantile(gaps.double(), torch.tensor([0.025, 0.975]).double()).tolist()
    return float(value), low, high


@paired_interval.mistake(
    "each model with questions of its own",
    hint="You draw other questions for b than for a. One draw takes the *same* questions for both: "
    "that is what paired means.",
)
def _(a, b, drawn):
    return _interval((a - b).mean(), a[drawn].mean(1) - b[drawn.roll(1, dims=0)].mean(1))


@paired_interval.mistake(
    "the difference of two intervals",
    hint="You take the bounds of each model by itself and subtract them. Subtract within a draw, "
    "then take the bounds of the differences.",
)
def _(a, b, drawn):
    one, two = _interval(0, a[drawn].mean(1)), _interval(0, b[drawn].mean(1))
    return float((a - b).mean()), one[1] - two[2], one[2] - two[1]


@paired_interval.mistake(
    "b less a", hint="The difference is a less b: above 0 where a is the better one."
)
def _(a, b, drawn):
    return _interval((b - a).mean(), (b - a)[drawn].mean(1))


@paired_interval.mistake(
    "the middle 90 %",
    hint="95 % in the middle leave 2.5 % on each side: the quantiles 0.025 and 0.975.",
)
def _(a, b, drawn):
    gaps = (a - b)[drawn].mean(1).double()
    return float((a - b).mean()), gaps.quantile(0.05).item(), gaps.quantile(0.95).item()


@paired_interval.mistake(
    "the mean of the draws",
    hint="The difference is that of the questions as they are. The draws serve for the bounds.",
)
def _(a, b, drawn):
    gaps = (a - b)[drawn].mean(1)
    return _interval(gaps.mean(), gaps)


@paired_interval.mistake(
    "two standard deviations",
    hint="You add and subtract 1.96 standard deviations. The bounds are quantiles of the draws.",
)
def _(a, b, drawn):
    gaps, value = (a - b)[drawn].mean(1).double(), float((a - b).mean())
    reach = 1.96 * float(gaps.std())
    return value, value - reach, value + reach


@paired_interval.mistake(
    "smallest and largest",
    hint="The bounds cut off 2.5 % of the draws on each side. You keep all of them.",
)
def _(a, b, drawn):
    gaps = (a - b)[drawn].mean(1)
    return float((a - b).mean()), gaps.min().item(), gaps.max().item()


@paired_interval.mistake(
    "quantiles of the questions",
    hint="You take quantiles of single questions' differences. First the mean of each draw, which "
    "is a row of `drawn`.",
)
def _(a, b, drawn):
    return _interval((a - b).mean(), a - b)


@paired_interval.mistake(
    "the mean over the draws in place of the questions",
    hint="A row of `drawn` is one draw: the mean runs along the questions, axis 1.",
)
def _(a, b, drawn):
    return _interval((a - b).mean(), (a - b)[drawn].mean(0))


@paired_interval.mistake(
    "sums in place of means", hint="Divide by the number of questions: a difference of means."
)
def _(a, b, drawn):
    return _interval((a - b).sum(), (a - b)[drawn].sum(1))


@paired_interval.mistake(
    "a formula in place of the draws",
    hint="You take ± 1.96 standard errors of the questions. The bounds are quantiles of the draws "
    "that are given.",
)
def _(a, b, drawn):
    value, reach = float((a - b).mean()), 1.96 * float((a - b).std()) / len(a) ** 0.5
    return value, value - reach, value + reach


@paired_interval.mistake(
    "a draw where the quantile lies between two",
    hint="A quantile between two draws is interpolated, which `torch.quantile` does as it is. No "
    "draw alone, and no place in the sorted draws, gives it.",
)
def _(a, b, drawn):
    gaps = (a - b)[drawn].mean(1).double()
    low, high = (gaps.quantile(q, interpolation="nearest").item() for q in (0.025, 0.975))
    return float((a - b).mean()), low, high


@paired_interval.mistake(
    "low less low, high less high",
    hint="You subtract b's bounds from a's. The bounds of a difference are not that: subtract "
    "within a draw first.",
)
def _(a, b, drawn):
    one, two = _interval(0, a[drawn].mean(1)), _interval(0, b[drawn].mean(1))
    return float((a - b).mean()), one[1] - two[1], one[2] - two[2]


@paired_interval.mistake(
    "differences without a sign",
    hint="Who is better on a question is its sign: `a` less `b`, with no absolute value.",
)
def _(a, b, drawn):
    return _interval((a - b).abs().mean(), (a - b).abs()[drawn].mean(1))


@paired_interval.mistake(
    "mirrored bounds",
    hint="You mirror the quantiles at the difference, as the *basic* bootstrap does. Here they are "
    "the bounds as they are.",
)
def _(a, b, drawn):
    value, low, high = _interval((a - b).mean(), (a - b)[drawn].mean(1))
    return value, 2 * value - high, 2 * value - low


@paired_interval.mistake(
    "only one model draws",
    hint="You draw questions for `a`, and take all of them for `b`. Both answer the drawn ones.",
)
def _(a, b, drawn):
    return _interval((a - b).mean(), a[drawn].mean(1) - b.mean())


@paired_interval.mistake(
    "each question once",
    hint="A question that was drawn twice counts twice: do not drop what is repeated in a row.",
)
def _(a, b, drawn):
    return _interval((a - b).mean(), torch.stack([(a - b)[row.unique()].mean() for row in drawn]))


is_it_better = choice(
    CHAPTER,
    "is_it_better",
    right=(
        "c",
        "The intervals of the two models overlap because both swing with the questions. The "
        "difference does not: it was paired.",
    ),
    wrong={
        "a": "Overlapping intervals of two models do not say that. On the same questions the "
        "difference varies much less than each of them.",
        "b": "It is certain for these questions. Whether it would be so on others is what the "
        "interval is about.",
        "d": "More draws make the bounds smoother, not narrower. More *questions* do.",
    },
    read=CHANCE,
)

# 8. How many questions?

SHARES = (0.70, 0.75)
N_EXAMS = 2000
N_QUESTIONS = 400


def many_exams() -> tuple[Bool[Tensor, "E N"], Bool[Tensor, "E N"]]:
    """The right and wrong answers of two models in 2,000 exams of 400 questions each.

    A is right with probability 0.70, B with 0.75. Easy questions are easy for both: they are both
    right in 65 of a hundred.
    """
    dice = torch.Generator().manual_seed(16)
    ease = torch.rand(N_EXAMS, N_QUESTIONS, generator=dice)
    # Both right: 0.65; only A: 0.05; only B: 0.10.
    return ease < SHARES[0], (ease < 0.65) | ((ease >= 0.70) & (ease < 0.80))


def _found(*, paired: bool, z: float = 1.96, sides: int = 1, by: str = "se") -> float:
    a, b = (answers.double() for answers in many_exams())
    gap = (b - a).mean(dim=1)
    p, q = a.mean(dim=1), b.mean(dim=1)
    if paired:
        error = (b - a).std(dim=1) / N_QUESTIONS**0.5
    else:
        error = ((p * (1 - p) + q * (1 - q)) / N_QUESTIONS).sqrt()
    if by == "gap":
        return (gap > 0).double().mean().item()
    if by == "overlap":
        apart = z * ((p * (1 - p) / N_QUESTIONS).sqrt() + (q * (1 - q) / N_QUESTIONS).sqrt())
        return (gap > apart).double().mean().item()
    return (gap > z * error).double().mean().item()


@value(CHAPTER, abs=0.02, read=CHANCE)
def found_apart() -> float:
    """In what share of the exams B is significantly ahead, as if each had its own questions."""
    return _found(paired=False)


@value(CHAPTER, abs=0.02, read=CHANCE)
def found_paired() -> float:
    """In what share of the exams B is significantly ahead, question by question."""
    return _found(paired=True)


@found_apart.mistake(
    "the share of exams that B wins",
    hint="That is how often B is ahead at all. It must be ahead by more than 1.96 standard errors.",
)
def _():
    return _found(paired=False, by="gap")


@found_apart.mistake(
    "the paired standard error",
    hint="That is the other half: here the variances of the two shares are added.",
)
def _():
    return _found(paired=True)


@found_apart.mistake(
    "one standard error",
    hint="You ask for a difference of one standard error. Ask for 1.96.",
)
def _():
    return _found(paired=False, z=1.0)


@found_apart.mistake(
    "intervals that do not overlap",
    hint="You ask for two intervals that do not touch, which is stricter: add the variances, not "
    "the standard errors.",
)
def _():
    return _found(paired=False, by="overlap")


@found_paired.mistake(
    "the share of exams that B wins",
    hint="That is how often B is ahead at all. It must be ahead by more than 1.96 standard errors.",
)
def _():
    return _found(paired=True, by="gap")


@found_paired.mistake(
    "the error of separate questions",
    hint="That is the first half. Take the standard deviation of the differences, question by "
    "question.",
)
def _():
    return _found(paired=False)


@found_paired.mistake(
    "one standard error", hint="You ask for a difference of one standard error. Ask for 1.96."
)
def _():
    return _found(paired=True, z=1.0)


why_pairs_help = choice(
    CHAPTER,
    "why_pairs_help",
    right=(
        "b",
        "Which questions came up moves both models the same way. In the difference of a question's "
        "two answers it is gone.",
    ),
    wrong={
        "a": "The number of questions is the same in both halves. What changed is the error.",
        "c": "B is as much better as before: the mean difference is the same number.",
        "d": "It finds more real differences, and no more false ones: with equal models both find "
        "one in about forty exams.",
    },
    read=CHANCE,
)
