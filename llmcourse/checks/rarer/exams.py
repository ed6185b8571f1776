"""Rarer mistakes of the exercises on exams. Chapter 16 teaches this."""

import math

import torch

from llmcourse.checks.bank.exams import best_answer, bits_per_byte, paired_interval


def _bits(nats, n_tokens, text, *, size=None, per=1.0):
    size = len(text.encode()) if size is None else size
    return nats * n_tokens / math.log(2) / size * per


@bits_per_byte.mistake(
    "bytes for each byte",
    hint="You return bytes for each byte, a factor of compression. Bits are asked for.",
)
def _(nats_per_token, n_tokens, text):
    return 8 / _bits(nats_per_token, n_tokens, text)


@bits_per_byte.mistake(
    "four bytes for each character",
    hint="You count four bytes for each character. UTF-8 takes one to four: encode the text.",
)
def _(nats_per_token, n_tokens, text):
    return _bits(nats_per_token, n_tokens, text, size=4 * len(text))


@bits_per_byte.mistake(
    "different bytes",
    hint="You count each byte's value once. All bytes of the text count.",
)
def _(nats_per_token, n_tokens, text):
    return _bits(nats_per_token, n_tokens, text, size=len(set(text.encode())))


@bits_per_byte.mistake(
    "an integer number of bytes a token",
    hint="You round the bytes of a token down to a whole number. Divide as it is.",
)
def _(nats_per_token, n_tokens, text):
    return nats_per_token / math.log(2) / max(len(text.encode()) // max(n_tokens, 1), 1)


@bits_per_byte.mistake(
    "line breaks left out",
    hint="You leave line breaks out of the count of bytes. They are bytes of the text.",
)
def _(nats_per_token, n_tokens, text):
    size = len("".join(text.splitlines()).encode())
    return _bits(nats_per_token, n_tokens, text, size=max(size, 1))


@bits_per_byte.mistake(
    "0.7 for the natural logarithm of two",
    hint="You use a rounded ln 2. Take `math.log(2)`.",
)
def _(nats_per_token, n_tokens, text):
    return nats_per_token * n_tokens / 0.7 / len(text.encode())


@bits_per_byte.mistake(
    "whole bits for each token",
    hint="You round each token's bits up, as a code of whole bits would. Bits may be broken.",
)
def _(nats_per_token, n_tokens, text):
    return math.ceil(nats_per_token / math.log(2)) * n_tokens / len(text.encode())


def _best(log_probs, answers, by, *, parts=None, pick=None, **units):
    """The best answer, with one of the measures, or the choice, exchanged."""
    known = {
        "sum": lambda p, a: 1,
        "token": lambda p, a: len(p),
        "byte": lambda p, a: len(a.encode()),
    } | units
    total = parts or sum
    scores = [total(p) / max(known[by](p, a), 1) for p, a in zip(log_probs, answers, strict=True)]
    return pick(scores) if pick else scores.index(max(scores))


@best_answer.mistake(
    "bytes of the stripped text",
    hint="You strip the answer before you count. All bytes of its text count.",
)
def _(log_probs, answers, by):
    return _best(log_probs, answers, by, byte=lambda p, a: len(a.strip().encode()))


@best_answer.mistake(
    "bytes without blanks",
    hint="You leave blanks out of the count of bytes. They are bytes.",
)
def _(log_probs, answers, by):
    return _best(log_probs, answers, by, byte=lambda p, a: len("".join(a.split()).encode()))


@best_answer.mistake(
    "letters and digits alone",
    hint="You count letters and digits. All bytes of the text count.",
)
def _(log_probs, answers, by):
    return _best(
        log_probs, answers, by, byte=lambda p, a: len("".join(filter(str.isalnum, a)).encode())
    )


@best_answer.mistake(
    "bytes of UTF-16 and its mark",
    hint="You count bytes of UTF-16. They are those of UTF-8.",
)
def _(log_probs, answers, by):
    return _best(log_probs, answers, by, byte=lambda p, a: len(a.encode("utf-16")))


@best_answer.mistake(
    "the median token",
    hint="By token you take the median of the log-probabilities. Their mean is asked for.",
)
def _(log_probs, answers, by):
    if by != "token":
        return _best(log_probs, answers, by)
    return _best(log_probs, answers, "sum", parts=lambda p: sorted(p)[len(p) // 2])


@best_answer.mistake(
    "the least likely token",
    hint="By token you compare each answer's least likely token. Its mean is compared.",
)
def _(log_probs, answers, by):
    if by != "token":
        return _best(log_probs, answers, by)
    return _best(log_probs, answers, "sum", parts=min)


@best_answer.mistake(
    "the last token alone",
    hint="You compare the answers' last tokens. All tokens of an answer count.",
)
def _(log_probs, answers, by):
    return _best(log_probs, answers, by, parts=lambda p: p[-1])


@best_answer.mistake(
    "the last token left out",
    hint="You leave each answer's last token out. It belongs to the answer.",
)
def _(log_probs, answers, by):
    return _best(log_probs, answers, by, parts=lambda p: sum(p[:-1]))


@best_answer.mistake(
    "the root of the length, by byte, too",
    hint="You divide by the root of the length, in tokens or in bytes. Divide by the length.",
)
def _(log_probs, answers, by):
    return _best(
        log_probs,
        answers,
        by,
        token=lambda p, a: len(p) ** 0.5,
        byte=lambda p, a: len(a.encode()) ** 0.5,
    )


@best_answer.mistake(
    "Google's length penalty by token",
    hint="By token you divide by ((5 + length) / 6)^0.6. Divide by the number of tokens.",
)
def _(log_probs, answers, by):
    return _best(log_probs, answers, by, token=lambda p, a: ((5 + len(p)) / 6) ** 0.6)


@best_answer.mistake(
    "one more than the tokens",
    hint="By token you divide by one more than there are. Divide by their number.",
)
def _(log_probs, answers, by):
    return _best(log_probs, answers, by, token=lambda p, a: len(p) + 1)


@best_answer.mistake(
    "the shortest of equals",
    hint="Of equal answers you take the one with the fewest tokens. The first one counts.",
)
def _(log_probs, answers, by):
    def pick(scores):
        ties = [i for i, s in enumerate(scores) if s == max(scores)]
        return min(ties, key=lambda i: len(log_probs[i]))

    return _best(log_probs, answers, by, pick=pick)


@best_answer.mistake(
    "the longest of equals",
    hint="Of equal answers you take the longest. The first one counts.",
)
def _(log_probs, answers, by):
    def pick(scores):
        ties = [i for i, s in enumerate(scores) if s == max(scores)]
        return max(ties, key=lambda i: len(answers[i]))

    return _best(log_probs, answers, by, pick=pick)


@best_answer.mistake(
    "rounded before the comparison",
    hint="You round scores before you compare. Nearly equal is not equal.",
)
def _(log_probs, answers, by):
    def pick(scores):
        near = [round(s, 2) for s in scores]
        return near.index(max(near))

    return _best(log_probs, answers, by, pick=pick)


@best_answer.mistake(
    "by byte, after the mean over the tokens",
    hint="By byte you divide the *mean* of the tokens by the bytes. The sum is divided by them.",
)
def _(log_probs, answers, by):
    return _best(log_probs, answers, by, byte=lambda p, a: len(p) * len(a.encode()))


@best_answer.mistake(
    "each different byte once",
    hint="By byte you count each byte's value once. All bytes count.",
)
def _(log_probs, answers, by):
    return _best(log_probs, answers, by, byte=lambda p, a: len(set(a.encode())))


def _bounds(values, low=0.025, high=0.975, how="linear"):
    values = values.double()
    return tuple(float(torch.quantile(values, q, interpolation=how)) for q in (low, high))


def _means(a, b, drawn):
    return (a - b).double()[drawn].mean(1)


@paired_interval.mistake(
    "the middle half",
    hint="Your bounds are the quartiles. The middle 95 % are asked for.",
)
def _(a, b, drawn):
    return float((a - b).double().mean()), *_bounds(_means(a, b, drawn), 0.25, 0.75)


@paired_interval.mistake(
    "the middle ninety-nine per cent",
    hint="Your bounds are the quantiles 0.005 and 0.995. The middle 95 % are asked for.",
)
def _(a, b, drawn):
    return float((a - b).double().mean()), *_bounds(_means(a, b, drawn), 0.005, 0.995)


@paired_interval.mistake(
    "quantiles without drawing lines, the nearest below",
    hint="Your quantiles are values of the draws, without interpolation, rounded down. "
    "`torch.quantile` interpolates.",
)
def _(a, b, drawn):
    return float((a - b).double().mean()), *_bounds(_means(a, b, drawn), how="lower")


@paired_interval.mistake(
    "the middle draw in place of the difference",
    hint="Your first number is the median of the draws. It is the difference on the questions as "
    "they are.",
)
def _(a, b, drawn):
    values = _means(a, b, drawn)
    return float(values.median()), *_bounds(values)


@paired_interval.mistake(
    "the middle of the bounds in place of the difference",
    hint="Your first number is the middle of the bounds. It is the difference on the questions as "
    "they are.",
)
def _(a, b, drawn):
    low, high = _bounds(_means(a, b, drawn))
    return (low + high) / 2, low, high


@paired_interval.mistake(
    "each model its own order of the draws",
    hint="You give b the draws from the last on. A row takes the same questions for both.",
)
def _(a, b, drawn):
    values = a.double()[drawn].mean(1) - b.double()[drawn.flip(0)].mean(1)
    return float((a - b).double().mean()), *_bounds(values)


@paired_interval.mistake(
    "the median of the questions",
    hint="You take medians over the questions. The means are compared.",
)
def _(a, b, drawn):
    gap = (a - b).double()
    return float(gap.median()), *_bounds(gap[drawn].median(1).values)


@paired_interval.mistake(
    "the bounds as distances",
    hint="You return how far the bounds lie from the difference. The bounds themselves are asked "
    "for.",
)
def _(a, b, drawn):
    gap = float((a - b).double().mean())
    low, high = _bounds(_means(a, b, drawn))
    return gap, gap - low, high - gap


@paired_interval.mistake(
    "ties left out",
    hint="You leave out the questions that both have the same points for. They count as 0.",
)
def _(a, b, drawn):
    gap = (a - b).double()

    def mean(x):
        return x[x != 0].mean() if (x != 0).any() else x.mean()

    return float(mean(gap)), *_bounds(torch.stack([mean(gap[row]) for row in drawn]))


@paired_interval.mistake(
    "the bounds moved so that their middle is the difference",
    hint="You move the interval so that the difference lies in its middle. The quantiles stay "
    "where they are.",
)
def _(a, b, drawn):
    gap = float((a - b).double().mean())
    low, high = _bounds(_means(a, b, drawn))
    return gap, gap - (high - low) / 2, gap + (high - low) / 2


@paired_interval.mistake(
    "the difference as a share of b",
    hint="You divide by b's mean, a relative gain. The difference is asked for as it is.",
)
def _(a, b, drawn):
    base = float(b.double().mean()) or 1.0
    low, high = _bounds(_means(a, b, drawn) / base)
    return float((a - b).double().mean()) / base, low, high


@bits_per_byte.mistake(
    "bytes of the different characters",
    hint="You count the bytes of each character once. A character that comes again has bytes, too.",
)
def _(nats_per_token, n_tokens, text):
    return _bits(nats_per_token, n_tokens, text, size=len("".join(set(text)).encode()))


@bits_per_byte.mistake(
    "a token for each word",
    hint="You count the words in place of the tokens. `n_tokens` says how many there were.",
)
def _(nats_per_token, n_tokens, text):
    return _bits(nats_per_token, len(text.split()), text)


@bits_per_byte.mistake(
    "at most eight bits",
    hint="You cut the result off at 8 bits. A bad model may cost more: return what comes out.",
)
def _(nats_per_token, n_tokens, text):
    return min(_bits(nats_per_token, n_tokens, text), 8.0)


@bits_per_byte.mistake(
    "a whole number of bits in all",
    hint="You round the text's bits up before you divide. Divide what comes out.",
)
def _(nats_per_token, n_tokens, text):
    return math.ceil(nats_per_token * n_tokens / math.log(2)) / len(text.encode())


@bits_per_byte.mistake(
    "what is saved of each byte",
    hint="You return how many of a byte's 8 bits are saved. What it costs is asked for.",
)
def _(nats_per_token, n_tokens, text):
    return 8 - _bits(nats_per_token, n_tokens, text)


@bits_per_byte.mistake(
    "bytes of the text as Python writes it",
    hint="You count the text as Python would write it, with its quotation marks. Encode the text.",
)
def _(nats_per_token, n_tokens, text):
    return _bits(nats_per_token, n_tokens, text, size=len(repr(text).encode()))


@bits_per_byte.mistake(
    "bytes of JSON",
    hint="You count the text as JSON writes it, in ASCII. Its own bytes in UTF-8 are counted.",
)
def _(nats_per_token, n_tokens, text):
    return _bits(nats_per_token, n_tokens, text, size=len(ascii(text)) - 2)


@best_answer.mistake(
    "whole numbers compared",
    hint="You cut the scores to whole numbers. They are compared as they are.",
)
def _(log_probs, answers, by):
    return _best(
        log_probs, answers, by, pick=lambda s: [int(x) for x in s].index(max(int(x) for x in s))
    )


@best_answer.mistake(
    "the product of the log-probabilities",
    hint="You multiply log-probabilities. They are added up.",
)
def _(log_probs, answers, by):
    return _best(log_probs, answers, by, parts=math.prod)


@best_answer.mistake(
    "the order of all answers",
    hint="You return all places, best first. The best one's is asked for.",
)
def _(log_probs, answers, by):
    return _best(log_probs, answers, by, pick=lambda s: sorted(range(len(s)), key=lambda i: -s[i]))


@paired_interval.mistake(
    "the lower ninety-five per cent",
    hint="Your bounds are the quantiles 0 and 0.95. The middle 95 % leave 2.5 % on each side.",
)
def _(a, b, drawn):
    return float((a - b).double().mean()), *_bounds(_means(a, b, drawn), 0.0, 0.95)


@paired_interval.mistake(
    "half of all draws",
    hint="You use the first half of the draws. All rows count.",
)
def _(a, b, drawn):
    half = drawn[: max(len(drawn) // 2, 1)]
    return float((a - b).double().mean()), *_bounds(_means(a, b, half))


@paired_interval.mistake(
    "the questions themselves among the draws",
    hint="You count the exam as it is as one draw more. The draws alone make the bounds.",
)
def _(a, b, drawn):
    gap = (a - b).double().mean()
    return float(gap), *_bounds(torch.cat([_means(a, b, drawn), gap[None]]))


@paired_interval.mistake(
    "bounds that hold zero",
    hint="You stretch the interval to hold 0. It lies where the quantiles are.",
)
def _(a, b, drawn):
    low, high = _bounds(_means(a, b, drawn))
    return float((a - b).double().mean()), min(low, 0.0), max(high, 0.0)


@paired_interval.mistake(
    "who wins each question",
    hint="You compare who is ahead in each question, as −1, 0 or 1. The points are compared.",
)
def _(a, b, drawn):
    gap = (a - b).sign()
    return float(gap.double().mean()), *_bounds(gap.double()[drawn].mean(1))
