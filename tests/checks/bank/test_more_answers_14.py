"""Wrong answers that checks of the chapters 15, 16 and 17 once accepted."""

import json
import math
from collections import Counter

import torch
from others_answers import wrong_answers

from llmcourse.checks.bank.decoding import allowed
from llmcourse.checks.bank.drafting import accept_or_replace
from llmcourse.checks.bank.exams import best_answer, bits_per_byte
from llmcourse.checks.bank.generation import beam_search, draw_token
from llmcourse.checks.bank.leaks import seen_shares
from llmcourse.checks.bank.overlaps import bleu, rouge_l
from llmcourse.checks.bank.quantising import int8_bytes, to_int8
from llmcourse.checks.bank.serving import text_of
from llmcourse.checks.bank.shipping import shapes_in


def first_above(weights, u):
    sums = (weights / weights.sum()).cumsum(0)
    return next((n for n, total in enumerate(sums.tolist()) if total > u), len(sums) - 1)


def logits_no_larger_than_twenty(logits, temperature, u):
    return first_above((logits.double().clamp(-20, 20) / temperature).softmax(0), u)


def probabilities_of_two_digits(logits, temperature, u):
    return first_above((100 * (logits.double() / temperature).softmax(0)).round(), u)


def the_likeliest_when_cold(logits, temperature, u):
    if temperature < 1:
        return int(logits.argmax())
    return first_above((logits.double() / temperature).softmax(0), u)


def each_last_token_once(scores, ids, n_beams, n, end, alpha):
    beams, done = [(0.0, list(ids))], []
    for _ in range(n):
        longer = [
            (total + s, [*text, token])
            for total, text in beams
            for token, s in enumerate(scores(text).tolist())
        ]
        best = {}
        for total, text in sorted(longer, reverse=True):
            best.setdefault(text[-1], (total, text))
        kept = list(best.values())[:n_beams]
        done += [beam for beam in kept if beam[1][-1] == end]
        beams = [beam for beam in kept if beam[1][-1] != end]
        if not beams:
            break
    found = max(done + beams, key=lambda b: b[0] / max(len(b[1]) - len(ids), 1) ** alpha)
    return found[1]


def tokens_without_their_blanks(steps, ends, state, pieces):
    alive = set(ends)
    for _ in steps:
        alive |= {begin for (begin, _), to in steps.items() if to in alive}

    def may(piece):
        at = state
        for character in piece.strip():
            at = steps.get((at, character))
        return bool(piece.strip()) and at in alive

    return [may(piece) for piece in pieces]


def a_token_that_comes_again_may_not(steps, ends, state, pieces):
    may = allowed.right(steps, ends, state, pieces)
    first = [pieces.index(piece) == n for n, piece in enumerate(pieces)]
    return [yes and new for yes, new in zip(may, first, strict=True)]


def the_largest_surplus_first(p, q, token, u, v):
    if u * float(q[token]) < float(p[token]):
        return token
    left, order = (p - q).clamp(min=0).sort(descending=True, stable=True)
    return int(order[first_above(left.double(), v)])


def bytes_without_line_breaks(nats_per_token, n_tokens, text):
    return nats_per_token * n_tokens / math.log(2) / len("".join(text.splitlines()).encode())


def no_more_than_eight_bits(nats_per_token, n_tokens, text):
    return min(nats_per_token * n_tokens / math.log(2) / len(text.encode()), 8.0)


def best_by(log_probs, answers, by, *, token=None, size=None, digits=9):
    token = token or (lambda each: sum(each) / len(each))
    size = size or (lambda text: len(text.encode()))
    scores = []
    for each, text in zip(log_probs, answers, strict=True):
        score = {"sum": sum(each), "token": token(each), "byte": sum(each) / size(text)}[by]
        scores.append(round(score, digits))
    return scores.index(max(scores))


def answers_stripped(log_probs, answers, by):
    return best_by(log_probs, answers, by, size=lambda text: len(text.strip().encode()))


def answers_without_blanks(log_probs, answers, by):
    return best_by(log_probs, answers, by, size=lambda text: len(text.replace(" ", "").encode()))


def letters_alone(log_probs, answers, by):
    return best_by(log_probs, answers, by, size=lambda text: sum(map(str.isalnum, text)))


def different_bytes(log_probs, answers, by):
    return best_by(log_probs, answers, by, size=lambda text: len(set(text.encode())))


def the_worst_token(log_probs, answers, by):
    return best_by(log_probs, answers, by, token=min)


def scores_of_two_digits(log_probs, answers, by):
    return best_by(log_probs, answers, by, digits=2)


def bleu_of(texts, references, order, grams):
    product = 1.0
    for n in range(1, order + 1):
        found = there = 0
        for text, reference in zip(texts, references, strict=True):
            have = grams(text, n)
            found += (have & grams(reference, n)).total()
            there += have.total()
        product *= found / there if there else 0.0
    c, r = sum(map(len, texts)), sum(map(len, references))
    return product ** (1 / order) * min(1.0, math.exp(1 - r / c)) if c else 0.0


def pairs_without_an_order(texts, references, order):
    def grams(words, n):
        return Counter(tuple(sorted(words[i : i + n])) for i in range(len(words) - n + 1))

    return bleu_of(texts, references, order, grams)


def bleu_in_small_letters(texts, references, order):
    def grams(words, n):
        low = [word.lower() for word in words]
        return Counter(tuple(low[i : i + n]) for i in range(len(words) - n + 1))

    return bleu_of(texts, references, order, grams)


def rouge_of_plain_words(text, reference):
    def plain(words):
        return [word.rstrip(".,s") for word in words]

    return rouge_l.right(plain(text), plain(reference))


def words_without_signs(exam, training, n):
    def plain(texts):
        return [[word.strip(".,!?") for word in text] for text in texts]

    return seen_shares.right(plain(exam), plain(training), n)


def the_rest_of_the_exam_is_training(exam, training, n):
    others = (exam[:at] + exam[at + 1 :] for at in range(len(exam)))
    pairs = zip(exam, others, strict=True)
    return [seen_shares.right([text], training + rest, n)[0] for text, rest in pairs]


def no_scale_below_a_tiny_one(weight):
    most = weight.abs().amax(1, keepdim=True)
    scale = (most / 127).clamp(min=1e-8).where(most != 0, 1.0)
    return (weight / scale).round().to(torch.int8), scale


def a_row_is_no_matrix(shapes):
    matrices = [shape for shape in shapes if len(shape) == 2 and shape[0] > 1]
    others = [shape for shape in shapes if shape not in matrices]
    return int8_bytes.right(matrices) + 4 * sum(map(math.prod, others))


def in_any_capitals(wire):
    return text_of.right(wire.replace("DATA: ", "data: "))


def whoever_has_a_role_says_nothing(wire):
    return text_of.right("\n\n".join(e for e in wire.split("\n\n") if '"role": ' not in e))


def no_name_with_metadata(data):
    return {name: shape for name, shape in shapes_in.right(data).items() if "metadata" not in name}


def floats_of_32_bits(data):
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return {name: e["shape"] for name, e in header.items() if e.get("dtype") == "F32"}


test_an_answer_that_once_passed_is_rejected = wrong_answers(
    [
        (draw_token, logits_no_larger_than_twenty, None),
        (draw_token, probabilities_of_two_digits, None),
        (draw_token, the_likeliest_when_cold, None),
        (beam_search, each_last_token_once, None),
        (allowed, tokens_without_their_blanks, None),
        (allowed, a_token_that_comes_again_may_not, None),
        (accept_or_replace, the_largest_surplus_first, None),
        (bits_per_byte, bytes_without_line_breaks, None),
        (bits_per_byte, no_more_than_eight_bits, None),
        (best_answer, answers_stripped, None),
        (best_answer, answers_without_blanks, None),
        (best_answer, letters_alone, None),
        (best_answer, different_bytes, None),
        (best_answer, the_worst_token, None),
        (best_answer, scores_of_two_digits, None),
        (bleu, pairs_without_an_order, None),
        (bleu, bleu_in_small_letters, None),
        (rouge_l, rouge_of_plain_words, None),
        (seen_shares, words_without_signs, None),
        (seen_shares, the_rest_of_the_exam_is_training, None),
        (to_int8, no_scale_below_a_tiny_one, None),
        (int8_bytes, a_row_is_no_matrix, None),
        (text_of, in_any_capitals, None),
        (text_of, whoever_has_a_role_says_nothing, None),
        (shapes_in, no_name_with_metadata, None),
        (shapes_in, floats_of_32_bits, None),
    ]
)
