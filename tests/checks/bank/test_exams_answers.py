"""Right answers to the exercises of chapter 16, in the styles in which people write them."""

import bisect
import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from others_answers import catalogued_answers, right_answers

from llmcourse.checks.bank import certainty, exams, leaks, overlaps


def bits_by_log2(nats_per_token, n_tokens, text):
    return math.log2(math.exp(nats_per_token)) * n_tokens / len(bytes(text, "utf-8"))


def bits_by_bytes_per_token(nats_per_token, n_tokens, text):
    bytes_per_token = len(text.encode("utf-8")) / n_tokens
    return nats_per_token / bytes_per_token / np.log(2)


def bits_as_a_tensor(nats_per_token, n_tokens, text):
    total = torch.tensor(nats_per_token, dtype=torch.float64) * n_tokens
    return (total / torch.tensor(2.0, dtype=torch.float64).log() / len(text.encode())).item()


def answer_by_max(log_probs, answers, by):
    def score(place):
        each = log_probs[place]
        if by == "sum":
            return sum(each)
        return sum(each) / (len(each) if by == "token" else len(answers[place].encode()))

    return max(range(len(answers)), key=score)


def answer_in_numpy(log_probs, answers, by):
    totals = np.array([np.sum(each) for each in log_probs])
    if by == "token":
        totals = totals / np.array([len(each) for each in log_probs])
    elif by == "byte":
        totals = totals / np.array([len(text.encode()) for text in answers])
    return int(np.argmax(totals))


def answer_by_a_loop(log_probs, answers, by):
    best, place = -math.inf, 0
    for n, (each, text) in enumerate(zip(log_probs, answers, strict=True)):
        length = 1
        if by == "token":
            length = len(each)
        if by == "byte":
            length = len(text.encode("utf-8"))
        score = math.fsum(each) / length
        if score > best:
            best, place = score, n
    return place


def answer_by_the_least_cost(log_probs, answers, by):
    sizes = {
        "sum": lambda a, t: 1,
        "token": lambda a, t: len(a),
        "byte": lambda a, t: len(t.encode()),
    }
    costs = [-sum(a) / sizes[by](a, t) for a, t in zip(log_probs, answers, strict=True)]
    return torch.tensor(costs, dtype=torch.float64).argmin().item()


def ece_by_edges(confidence, right, n_bins):
    total = 0.0
    for b in range(n_bins):
        low, high = b / n_bins, (b + 1) / n_bins
        here = [i for i, c in enumerate(confidence) if low < c <= high or (b == 0 and c == 0)]
        if here:
            accuracy = sum(right[i] for i in here) / len(here)
            sure = sum(confidence[i] for i in here) / len(here)
            total += len(here) / len(right) * abs(accuracy - sure)
    return total


def ece_in_numpy(confidence, right, n_bins):
    confidence, right = np.array(confidence), np.array(right, float)
    bins = np.digitize(confidence, np.linspace(0, 1, n_bins + 1), right=True).clip(1)
    gaps = np.bincount(bins, right - confidence)
    return float(np.abs(gaps).sum() / len(right))


def ece_in_torch(confidence, right, n_bins):
    c, r = torch.tensor(confidence).double(), torch.tensor(right).double()
    place = ((c * n_bins).ceil().long() - 1).clamp(min=0)
    gaps = torch.zeros(n_bins, dtype=torch.float64).index_add(0, place, r - c)
    return gaps.abs().sum() / len(c)


def bleu_by_logarithms(texts, references, order):
    logs = []
    for n in range(1, order + 1):
        matched, total = 0, 0
        for text, reference in zip(texts, references, strict=True):
            left = Counter(zip(*[reference[i:] for i in range(n)], strict=False))
            for gram in zip(*[text[i:] for i in range(n)], strict=False):
                total += 1
                if left[gram] > 0:
                    matched += 1
                    left[gram] -= 1
        if matched == 0 or total == 0:
            return 0.0
        logs.append(math.log(matched / total))
    c, r = (sum(len(one) for one in side) for side in (texts, references))
    return math.exp(sum(logs) / order + min(0, 1 - r / c))


def bleu_with_min(texts, references, order):
    def counts(words, n):
        found = defaultdict(int)
        for i in range(len(words) - n + 1):
            found[" ".join(words[i : i + n])] += 1
        return found

    hits, totals = [0] * order, [0] * order
    for text, reference in zip(texts, references, strict=True):
        for n in range(order):
            ours, theirs = counts(text, n + 1), counts(reference, n + 1)
            totals[n] += sum(ours.values())
            hits[n] += sum(min(count, theirs[gram]) for gram, count in ours.items())
    if 0 in hits:
        return 0
    c, r = (sum(len(one) for one in side) for side in (texts, references))
    mean = np.exp(np.mean(np.log(np.array(hits) / np.array(totals))))
    return float(mean) * (math.exp(1 - r / c) if c < r else 1)


def bleu_by_powers(texts, references, order):
    score = 1.0
    for n in range(1, order + 1):
        both = every = 0
        for text, reference in zip(texts, references, strict=True):
            grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
            known = [tuple(reference[i : i + n]) for i in range(len(reference) - n + 1)]
            every += len(grams)
            both += sum(min(grams.count(g), known.count(g)) for g in set(grams))
        score *= (both / every if every else 0.0) ** (1 / order)
    c, r = sum(map(len, texts)), sum(map(len, references))
    return score if c >= r or c == 0 else score * math.e ** (1 - r / c)


def rouge_by_recursion(text, reference):
    from functools import cache

    @cache
    def longest(i, j):
        if i == 0 or j == 0:
            return 0
        if text[i - 1] == reference[j - 1]:
            return longest(i - 1, j - 1) + 1
        return max(longest(i - 1, j), longest(i, j - 1))

    both = longest(len(text), len(reference))
    return 2 * both / (len(text) + len(reference)) if both else 0.0


def rouge_in_one_row(text, reference):
    row = [0] * (len(reference) + 1)
    for word in text:
        diagonal = 0
        for j, other in enumerate(reference):
            diagonal, row[j + 1] = (
                row[j + 1],
                diagonal + 1 if word == other else max(row[j], row[j + 1]),
            )
    precision, recall = (row[-1] / len(side) if side else 0 for side in (text, reference))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0


def rouge_in_numpy(text, reference):
    table = np.zeros((len(text) + 1, len(reference) + 1), dtype=int)
    for i, j in itertools.product(range(len(text)), range(len(reference))):
        same = text[i] == reference[j]
        table[i + 1, j + 1] = table[i, j] + 1 if same else max(table[i, j + 1], table[i + 1, j])
    both = len(text) + len(reference)
    return float(2 * table[-1, -1] / both) if both else 0.0


def interval_of_both(a, b, drawn):
    gaps = a[drawn].mean(1) - b[drawn].mean(1)
    return (a.mean() - b.mean()).item(), gaps.quantile(0.025).item(), gaps.quantile(0.975).item()


def interval_in_numpy(a, b, drawn):
    a, b, drawn = a.numpy(), b.numpy(), drawn.numpy()
    gaps = [np.mean(a[row]) - np.mean(b[row]) for row in drawn]
    low, high = np.percentile(gaps, [2.5, 97.5])
    return float(a.mean() - b.mean()), float(low), float(high)


def interval_as_tensors(a, b, drawn):
    gap = a.double() - b.double()
    draws = gap.expand(len(drawn), -1).gather(1, drawn).mean(-1)
    bounds = torch.quantile(draws, torch.tensor([0.025, 0.975], dtype=draws.dtype))
    return gap.mean(), bounds[0], bounds[1]


def interval_by_counts(a, b, drawn):
    counts = torch.stack([torch.bincount(row, minlength=len(a)) for row in drawn]).double()
    gaps = counts @ (a - b).double() / len(a)
    return [
        (a - b).double().mean().item(),
        *torch.quantile(gaps, torch.tensor([0.025, 0.975]).double()).tolist(),
    ]


def shares_by_strings(exam, training, n):
    lines = [f" {' '.join(words)} " for words in training]
    found = []
    for words in exam:
        size = min(n, len(words))
        grams = (
            {" ".join(words[i : i + size]) for i in range(len(words) - size + 1)} if words else ()
        )
        seen = [gram for gram in grams if any(f" {gram} " in line for line in lines)]
        found.append(len(seen) / len(grams) if grams else 0.0)
    return found


def shares_by_an_index(exam, training, n):
    index = defaultdict(set)
    for text in training:
        for size in range(1, n + 1):
            index[size] |= set(zip(*[text[i:] for i in range(size)], strict=False))
    shares = []
    for words in exam:
        if not words:
            shares.append(0)
            continue
        size = len(words) if len(words) < n else n
        grams = set(zip(*[words[i:] for i in range(size)], strict=False))
        shares.append(sum(gram in index[size] for gram in grams) / len(grams))
    return shares


def shares_by_dictionaries(exam, training, n):
    def pieces(words, size):
        return dict.fromkeys(tuple(words[i : i + size]) for i in range(len(words) - size + 1))

    result = np.zeros(len(exam))
    for place, words in enumerate(exam):
        size = min(n, len(words))
        if size:
            ours = pieces(words, size)
            theirs = dict(itertools.chain.from_iterable(pieces(t, size).items() for t in training))
            result[place] = len(ours.keys() & theirs.keys()) / len(ours)
    return result.tolist()


def ece_by_digitize(confidence, right, n_bins):
    sure, hits = np.array(confidence), np.array(right, dtype=float)
    places = np.digitize(sure, np.linspace(0, 1, n_bins + 1), right=True).clip(1, n_bins)
    gaps = [abs((hits - sure)[places == place].sum()) for place in range(1, n_bins + 1)]
    return float(sum(gaps) / len(sure))


def ece_by_counts(confidence, right, n_bins):
    sure = np.array(confidence)
    places = np.maximum(np.ceil(sure * n_bins).astype(int) - 1, 0)
    return float(np.abs(np.bincount(places, np.array(right) - sure, n_bins)).sum() / len(sure))


def bleu_by_crossing_out(texts, references, order):
    score = 0.0
    for n in range(1, order + 1):
        hits = total = 0
        for words, other in zip(texts, references, strict=True):
            left = Counter(zip(*[other[i:] for i in range(n)], strict=False))
            for gram in zip(*[words[i:] for i in range(n)], strict=False):
                total += 1
                if left[gram]:
                    left[gram] -= 1
                    hits += 1
        if not hits:
            return 0.0
        score += math.log(hits / total) / order
    c, r = sum(map(len, texts)), sum(map(len, references))
    return math.exp(score + min(0.0, 1 - r / c))


def rouge_by_the_longest_rising_row(text, reference):
    places = defaultdict(list)
    for place, word in enumerate(reference):
        places[word].append(place)
    ends = []
    for word in text:
        for place in reversed(places[word]):
            at = bisect.bisect_left(ends, place)
            ends[at : at + 1] = [place]
    return 2 * len(ends) / (len(text) + len(reference)) if ends else 0


def rouge_by_bits(text, reference):
    masks = defaultdict(int)
    for place, word in enumerate(text):
        masks[word] |= 1 << place
    full = (1 << len(text)) - 1
    row = full
    for word in reference:
        both = row & masks[word]
        row = ((row + both) | (row - both)) & full
    common = len(text) - row.bit_count()
    return 2 * common / (len(text) + len(reference)) if common else 0.0


def interval_by_einsum(a, b, drawn):
    taken = torch.nn.functional.one_hot(drawn, len(a)).to(a.dtype)
    gaps = torch.einsum("rkn,n->r", taken, a - b) / drawn.shape[1]
    return (a - b).mean().item(), gaps.quantile(0.025).item(), gaps.quantile(0.975).item()


def shares_by_slices(exam, training, n):
    found = []
    for words in exam:
        size, grams = min(n, len(words)), []
        for i in range(len(words) - size + 1 if size else 0):
            if words[i : i + size] not in grams:
                grams.append(words[i : i + size])
        seen = [
            any(t[j : j + size] == g for t in training for j in range(len(t) - size + 1))
            for g in grams
        ]
        found.append(sum(seen) / len(seen) if seen else 0)
    return found


RIGHT = [
    *((exams.bits_per_byte, a) for a in (bits_by_log2, bits_by_bytes_per_token, bits_as_a_tensor)),
    *(
        (exams.best_answer, a)
        for a in (answer_by_max, answer_in_numpy, answer_by_a_loop, answer_by_the_least_cost)
    ),
    *(
        (certainty.calibration_error, a)
        for a in (ece_by_edges, ece_in_numpy, ece_in_torch, ece_by_digitize, ece_by_counts)
    ),
    *(
        (overlaps.bleu, a)
        for a in (bleu_by_logarithms, bleu_with_min, bleu_by_powers, bleu_by_crossing_out)
    ),
    *(
        (overlaps.rouge_l, a)
        for a in (
            rouge_by_recursion,
            rouge_in_one_row,
            rouge_in_numpy,
            rouge_by_the_longest_rising_row,
            rouge_by_bits,
        )
    ),
    *(
        (exams.paired_interval, a)
        for a in (
            interval_of_both,
            interval_in_numpy,
            interval_as_tensors,
            interval_by_counts,
            interval_by_einsum,
        )
    ),
    *(
        (leaks.seen_shares, a)
        for a in (shares_by_strings, shares_by_an_index, shares_by_dictionaries, shares_by_slices)
    ),
]


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)


def answer_with_a_blank(log_probs, answers, by):
    sizes = {"sum": lambda n: 1, "token": lambda n: len(log_probs[n]),
             "byte": lambda n: len(f" {answers[n]}".encode())}  # fmt: skip
    scores = [sum(each) / sizes[by](n) for n, each in enumerate(log_probs)]
    return scores.index(max(scores))


def rouge_without_capitals(text, reference):
    return rouge_in_numpy([w.casefold() for w in text], [w.casefold() for w in reference])


def rouge_with_one_row_many_times(text, reference):
    table = [[0] * (len(reference) + 1)] * (len(text) + 1)
    for i, word in enumerate(text):
        for j, other in enumerate(reference):
            best = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if word == other else best
    both = len(text) + len(reference)
    return 2 * table[-1][-1] / both if both else 0.0


def shares_of_letters(exam, training, n):
    found = []
    for words in exam:
        size = min(n, len(words))
        grams = {" ".join(words[i : i + size]) for i in range(len(words) - size + 1) if words}
        lines = [" ".join(text) for text in training]
        seen = sum(any(gram in line for line in lines) for gram in grams)
        found.append(seen / len(grams) if grams else 0.0)
    return found


def shares_of_the_best_text(exam, training, n):
    each = [shares_by_an_index(exam, [text], n) for text in training]
    return [max((shares[place] for shares in each), default=0.0) for place in range(len(exam))]


def ece_with_a_bin_for_zero(confidence, right, n_bins):
    bins = defaultdict(list)
    for sure, hit in zip(confidence, right, strict=True):
        bins[math.ceil(n_bins * sure)].append(hit - sure)
    return sum(abs(sum(gaps)) for gaps in bins.values()) / len(right)


WRONG = [
    (exams.best_answer, answer_with_a_blank, "a byte for the blank before"),
    (overlaps.rouge_l, rouge_without_capitals, "capitals do not count"),
    (overlaps.rouge_l, rouge_with_one_row_many_times, "one row under many names"),
    (leaks.seen_shares, shares_of_letters, "parts of words are found"),
    (leaks.seen_shares, shares_of_the_best_text, "one training text at a time"),
    (certainty.calibration_error, ece_with_a_bin_for_zero, "a bin of its own for 0"),
]


test_a_wrong_answer_in_words_of_its_own_is_named = catalogued_answers(WRONG)


@pytest.mark.parametrize(
    ("check", "measured"),
    [(exams.found_apart, 0.28), (exams.found_paired, 0.75)],
)
def test_what_was_measured_passes_with_few_digits(check, measured):
    truth = check.right()
    assert check.verdict(round(truth, 2)).text.startswith("✓")
    assert check.verdict(100 * truth).status == "wrong"
    assert abs(truth - measured) < 0.1
