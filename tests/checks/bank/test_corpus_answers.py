"""Right answers to the exercises on a corpus, in other styles than the solution's: all pass."""

from collections import Counter
from fractions import Fraction

import numpy as np
import torch
from others_answers import right_answers

from llmcourse.checks.bank import corpus


def lines_seen_before(text):
    seen, repeated, n = set(), 0, 0
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped:
            continue
        n += 1
        repeated += stripped in seen
        seen.add(stripped)
    return repeated / n if n else 0


def lines_by_counter(text):
    counts = Counter(filter(None, map(str.strip, text.splitlines())))
    return sum(n - 1 for n in counts.values()) / (sum(counts.values()) or 1)


def lines_by_numpy(text):
    lines = np.array([line.strip() for line in text.splitlines() if not line.isspace() and line])
    return np.float64(1 - len(np.unique(lines)) / len(lines)) if len(lines) else np.float64(0)


def lines_with_try(text):
    lines = [line for line in (raw.strip() for raw in text.splitlines()) if line != ""]
    try:
        return float(Fraction(len(lines) - len(set(lines)), len(lines)))
    except ZeroDivisionError:
        return 0.0


def lines_looked_up_behind(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return sum(line in lines[:at] for at, line in enumerate(lines)) / max(len(lines), 1)


def hashes_by_numpy(a, b, hashes):
    tables = [np.array([[h(text) for text in texts] for h in hashes]) for texts in (a, b)]
    return (tables[0].min(1) == tables[1].min(1)).mean()


def hashes_by_loop(a, b, hashes):
    n = 0
    for h in hashes:
        least = [float("inf"), float("inf")]
        for which, texts in enumerate((a, b)):
            for text in texts:
                if h(text) < least[which]:
                    least[which] = h(text)
        if least[0] == least[1]:
            n = n + 1
    return n / len(hashes)


def hashes_of_the_union(a, b, hashes):
    return sum(min(a | b, key=h) in a & b for h in hashes) / len(hashes)


def hashes_sorted(a, b, hashes):
    same = [sorted(h(t) for t in a)[0] == sorted(h(t) for t in b)[0] for h in hashes]
    return torch.tensor(same).float().mean()


RIGHT = {
    corpus.repeated_lines: [
        lines_seen_before,
        lines_by_counter,
        lines_by_numpy,
        lines_with_try,
        lines_looked_up_behind,
    ],
    corpus.minhash_similarity: [
        hashes_by_numpy,
        hashes_by_loop,
        hashes_of_the_union,
        hashes_sorted,
    ],
}


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
