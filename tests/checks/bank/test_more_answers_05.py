"""Wrong answers of chapters 05 to 07 that checks once accepted."""

import itertools

import torch
from others_answers import wrong_answers

from llmcourse.checks.bank.denoising import cut_spans
from llmcourse.checks.bank.gradients import backward
from llmcourse.checks.bank.loss import log_softmax, log_sum_exp
from llmcourse.checks.bank.masking import hide_tokens
from llmcourse.checks.bank.pretraining import info_nce


def two_parents_at_most(graph):
    gradients = [0.0] * (len(graph) - 1) + [1.0]
    for node in reversed(range(len(graph))):
        for parent, slope in graph[node][:2]:
            gradients[parent] += slope * gradients[node]
    return gradients


def a_slope_of_zero_ends_it(graph):
    gradients = [0.0] * (len(graph) - 1) + [1.0]
    for node in reversed(range(len(graph))):
        for parent, slope in graph[node]:
            if slope == 0:
                break
            gradients[parent] += slope * gradients[node]
    return gradients


def _walk(tokens, hidden, sentinel):
    source, target, before = [], [], False
    for token, is_hidden in zip(tokens, hidden, strict=True):
        if is_hidden and not before:
            source.append(sentinel)
            target.append(sentinel)
            sentinel += 1
        (target if is_hidden else source).append(token)
        before = is_hidden
    return source, [*target, sentinel]


def looked_up_by_token(tokens, hidden, first_sentinel):
    is_hidden = dict(zip(tokens, hidden, strict=True))
    return _walk(tokens, [is_hidden[token] for token in tokens], first_sentinel)


def looked_up_by_first_place(tokens, hidden, first_sentinel):
    return _walk(tokens, [hidden[tokens.index(token)] for token in tokens], first_sentinel)


def equal_tokens_go_together(tokens, hidden, first_sentinel):
    gone = {token for token, is_hidden in zip(tokens, hidden, strict=True) if is_hidden}
    return _walk(tokens, [token in gone for token in tokens], first_sentinel)


def equal_neighbours_are_one(tokens, hidden, first_sentinel):
    keep = [n for n in range(len(tokens)) if not (n and hidden[n] and tokens[n] == tokens[n - 1])]
    return _walk([tokens[n] for n in keep], [hidden[n] for n in keep], first_sentinel)


def gaps_are_sorted(tokens, hidden, first_sentinel):
    places = itertools.groupby(range(len(tokens)), key=lambda n: hidden[n])
    runs = [(gone, [tokens[n] for n in run]) for gone, run in places]
    in_order = [sorted(run) if gone else run for gone, run in runs]
    return _walk(list(itertools.chain(*in_order)), hidden, first_sentinel)


def no_logarithm_below_a_limit(logits):
    return torch.log_softmax(logits, dim=-1).clamp(min=-1000)


def largest_begins_low(pieces):
    top = pieces[0].new_full((len(pieces[0]),), -1000.0)
    total = torch.zeros_like(top)
    for piece in pieces:
        new = torch.maximum(top, piece.amax(1))
        total = total * (top - new).exp() + (piece - new[:, None]).exp().sum(1)
        top = new
    return total.log() + top


def noise_of_0_is_none(tokens, chosen, fate, noise, mask_id):
    noise = noise * (chosen & (fate >= 0.8) & (fate < 0.9))
    read = torch.where(noise > 0, noise, tokens)
    read[chosen & (fate < 0.8)] = mask_id
    return read, torch.where(chosen, tokens, -100)


def short_vectors_stay(anchors, others, temperature):
    a, b = (x / x.norm(dim=1, keepdim=True).clamp(min=1.0) for x in (anchors, others))
    right = torch.arange(len(anchors))
    return torch.nn.functional.cross_entropy(a @ b.T / temperature, right)


test_an_answer_that_once_passed_is_rejected = wrong_answers(
    [
        (backward, two_parents_at_most, "two parents at most"),
        (backward, a_slope_of_zero_ends_it, "zero slopes skipped with all that follows"),
        (log_softmax, no_logarithm_below_a_limit, "logarithms cut off from below"),
        (log_sum_exp, largest_begins_low, "the largest score so far begins at -1000"),
        (info_nce, short_vectors_stay, "short vectors left short"),
        (hide_tokens, noise_of_0_is_none, "noise of token 0 taken for none"),
        (cut_spans, looked_up_by_token, "equal tokens share what was said of the last"),
        (cut_spans, looked_up_by_first_place, "equal tokens share what was said of the first"),
        (cut_spans, equal_tokens_go_together, "equal tokens hidden together"),
        (cut_spans, gaps_are_sorted, "the pieces sorted"),
        (cut_spans, equal_neighbours_are_one, "each token of a piece once"),
    ]
)
