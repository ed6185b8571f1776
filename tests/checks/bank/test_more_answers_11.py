"""More wrong answers that checks of the chapters 11 to 13 once accepted."""

import re

import torch
from others_answers import wrong_answers

from llmcourse.checks.bank.adapted_models import add_lora
from llmcourse.checks.bank.few_labels import stop_early, thin_out
from llmcourse.checks.bank.instructions import chat_targets, few_shot_prompt, render_chat
from llmcourse.checks.bank.pooling import masked_mean
from llmcourse.checks.bank.tagging import piece_targets, span_f1
from llmcourse.nn import lora


def equal_states_count_once(hidden, lengths):
    rows = zip(hidden, lengths, strict=True)
    return torch.stack([row[:n].unique(dim=0).mean(0) for row, n in rows])


def both_ways(words, draws, rate, synonyms, keep):
    known = {new: old for old, new in synonyms.items()} | synonyms
    kept = []
    for word, draw in zip(words, draws, strict=True):
        if draw >= rate or word in keep:
            kept.append(word)
        elif word in known:
            kept.append(known[word])
    return kept or list(words)


def parts_stay(words, draws, rate, synonyms, keep):
    text, kept = " ".join(sorted(keep)), []
    for word, draw in zip(words, draws, strict=True):
        if draw >= rate or word in text:
            kept.append(word)
        elif word in synonyms:
            kept.append(synonyms[word])
    return kept or list(words)


def without_signs(words, draws, rate, synonyms, keep):
    kept = []
    for word, draw in zip(words, draws, strict=True):
        bare = word.strip(".,!?")
        if draw >= rate or bare in keep:
            kept.append(word)
        elif bare in synonyms:
            kept.append(synonyms[bare])
    return kept or list(words)


def progress_gives_one_back(losses, patience):
    best, waited = 0, 0
    for place in range(1, len(losses)):
        if losses[place] < losses[best]:
            best, waited = place, max(0, waited - 1)
        else:
            waited += 1
            if waited >= patience:
                return best, place
    return best, len(losses) - 1


def words_one_further_on(word_ids, tags):
    targets, before = [], None
    for word in word_ids:
        new = word is not None and (before is None or word == before + 1)
        targets.append(tags[word] if new else -100)
        before = word
    return targets


def _f1(gold, predicted, key=lambda span: span, counts=lambda text: True):
    pairs = [(g, p) for g, p in zip(gold, predicted, strict=True) if counts(g)]
    right = sum(len({*map(key, g)} & {*map(key, p)}) for g, p in pairs)
    n = sum(len(g) + len(p) for g, p in pairs)
    return 2 * right / n if n else 0.0


def spans_of_one_length(gold, predicted):
    return _f1(gold, predicted, key=lambda span: (span[0], span[2] - span[1]))


def labels_in_small_letters(gold, predicted):
    return _f1(gold, predicted, key=lambda span: (span[0].lower(), *span[1:]))


def texts_without_gold_skipped(gold, predicted):
    return _f1(gold, predicted, counts=bool)


def marks_are_never_paid_for(turns, marks, end):
    targets = []
    for role, ids in turns:
        said = [*ids, end] if role == "assistant" else [-100] * len(ids)
        targets += [-100, *(-100 if i in marks.values() else i for i in said)]
    return targets[1:]


def _prompt(pairs, request):
    shots = "".join(f"Q: {q}\nA: {a}\n\n" for q, a in pairs)
    return f"{shots}Q: {request}\nA:"


def each_example_once(examples, request, k):
    others = [pair for pair in dict.fromkeys(examples) if pair[0] != request]
    return _prompt(others[:k], request)


def answers_are_compared_too(examples, request, k):
    return _prompt([pair for pair in examples if request not in pair][:k], request)


def _chat(messages, opened, turn):
    said = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in map(turn, messages))
    waits = opened and (not messages or messages[-1][0] != "assistant")
    return said + ("<|im_start|>assistant\n" if waits else "")


def tabs_stay(messages, add_generation_prompt):
    return _chat(messages, add_generation_prompt, lambda turn: (turn[0], turn[1].strip(" \n")))


def roles_are_trimmed(messages, add_generation_prompt):
    return _chat(messages, add_generation_prompt, lambda t: (t[0].strip(), t[1].strip()))


def roles_in_small_letters(messages, add_generation_prompt):
    return _chat(messages, add_generation_prompt, lambda t: (t[0].lower(), t[1].strip()))


def marks_taken_out(messages, add_generation_prompt):
    def turn(message):
        return message[0], re.sub(r"<.im_\w+.>", "", message[1]).strip()

    return _chat(messages, add_generation_prompt, turn)


def three_roles_alone(messages, add_generation_prompt):
    known = [turn for turn in messages if turn[0] in ("system", "user", "assistant")]
    return _chat(known, add_generation_prompt, lambda turn: (turn[0], turn[1].strip()))


def one_size_for_all(model, targets, rank, alpha):
    names = lora.add_lora(model, targets, rank, alpha)
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return names


def letters_within_the_targets(model, targets, rank, alpha):
    lasts = {name.rpartition(".")[2] for name, _ in model.named_modules()} - {""}
    wider = [last for last in lasts if last in " ".join(targets)]
    return lora.add_lora(model, wider, rank, alpha)


test_an_answer_that_once_passed_is_rejected = wrong_answers(
    [
        (masked_mean, equal_states_count_once, None),
        (thin_out, both_ways, None),
        (thin_out, parts_stay, None),
        (thin_out, without_signs, None),
        (stop_early, progress_gives_one_back, None),
        (piece_targets, words_one_further_on, None),
        (span_f1, spans_of_one_length, None),
        (span_f1, labels_in_small_letters, None),
        (span_f1, texts_without_gold_skipped, None),
        (chat_targets, marks_are_never_paid_for, None),
        (few_shot_prompt, each_example_once, None),
        (few_shot_prompt, answers_are_compared_too, None),
        (render_chat, tabs_stay, None),
        (render_chat, roles_are_trimmed, None),
        (render_chat, roles_in_small_letters, None),
        (render_chat, marks_taken_out, None),
        (render_chat, three_roles_alone, None),
        (add_lora, one_size_for_all, None),
        (add_lora, letters_within_the_targets, None),
    ]
)
