"""Wrong answers that checks once accepted, written by somebody who had not seen their cases."""

import html

import torch
from others_answers import wrong_answers

from llmcourse.checks.bank.adapted_models import adapter_state
from llmcourse.checks.bank.decoding import allowed
from llmcourse.checks.bank.few_labels import thin_out
from llmcourse.checks.bank.instructions import render_chat
from llmcourse.checks.bank.loop import keep_apart
from llmcourse.checks.bank.masking import choose_words
from llmcourse.checks.bank.pooling import masked_mean
from llmcourse.checks.bank.searching import halving


def words_numbered_anew(words, draws, rate):
    _, place = words.unique(return_inverse=True)
    return draws[place] < rate


def places_run_over_the_row(documents):
    rows, length = documents.shape
    same = documents[:, :, None] == documents[:, None]
    flat, places = documents.flatten().tolist(), []
    for at, number in enumerate(flat):
        places.append(places[-1] + 1 if at and flat[at - 1] == number else 0)
    past = torch.ones(length, length).tril().bool()
    return same & past, torch.tensor(places).view(rows, length)


def last_round_is_free(score, n, first, eta):
    field, steps, before, paid = list(range(n)), first, 0, 0
    while True:
        paid += len(field) * (steps - before)
        field.sort(key=lambda candidate: score(candidate, steps))
        field = field[: max(1, len(field) // eta)]
        if len(field) == 1:
            return field[0], paid
        before, steps = steps, steps * eta


def zeros_are_filler(hidden, lengths):
    real = torch.arange(hidden.size(1)) < lengths[:, None]
    hidden = hidden.where(real[..., None], 0.0)
    return hidden.sum(1) / (hidden != 0).sum(1).clamp(min=1)


def first_equal_word_goes(words, draws, rate, synonyms, keep):
    kept = list(words)
    for word, draw in zip(words, draws, strict=True):
        if draw < rate and word not in keep:
            if word in synonyms:
                kept[kept.index(word)] = synonyms[word]
            else:
                kept.remove(word)
    return kept or list(words)


def always_single_precision(model):
    learning = ((n, p) for n, p in model.named_parameters() if p.requires_grad)
    return {name: torch.tensor(p.detach().float().tolist()) for name, p in learning}


def as_for_a_page(messages, add_generation_prompt):
    said = "".join(
        f"<|im_start|>{role}\n{html.escape(content.strip())}<|im_end|>\n"
        for role, content in messages
    )
    answered = bool(messages) and messages[-1][0] == "assistant"
    return said + ("<|im_start|>assistant\n" if add_generation_prompt and not answered else "")


def capitals_are_the_same(steps, ends, state, pieces):
    alive = set(ends)
    for _ in steps:
        alive |= {begin for (begin, _), end in steps.items() if end in alive}

    def leads_on(piece):
        at = state
        for character in piece.lower():
            at = steps.get((at, character))
        return bool(piece) and at in alive

    return [leads_on(piece) for piece in pieces]


test_an_answer_that_once_passed_is_rejected = wrong_answers(
    [
        (choose_words, words_numbered_anew, None),
        (keep_apart, places_run_over_the_row, None),
        (halving, last_round_is_free, None),
        (masked_mean, zeros_are_filler, None),
        (thin_out, first_equal_word_goes, None),
        (adapter_state, always_single_precision, None),
        (render_chat, as_for_a_page, None),
        (allowed, capitals_are_the_same, None),
    ]
)
