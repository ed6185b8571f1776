"""Right and wrong answers to chapter 13's exercises on chats, in the styles people write them."""

import numpy as np
import torch
from jinja2 import Environment
from others_answers import right_answers, wrong_answers

from llmcourse.checks.bank import instructions


def targets_by_turns(turns, marks, end):
    found = []
    for role, ids in turns:
        found.append(-100)
        found += [*ids, end] if role == "assistant" else [-100] * len(ids)
    return found[1:]


def targets_in_tensors(turns, marks, end):
    ids, roles = [], []
    for number, (role, words) in enumerate(turns):
        said = [marks[role], *words, *([end] if role == "assistant" else [])]
        ids += said
        roles += [(number, n > 0 and role == "assistant") for n in range(len(said))]
    paid = torch.tensor([pays for _, pays in roles])
    return torch.tensor(ids).masked_fill(~paid, -100)[1:].tolist()


def targets_in_numpy(turns, marks, end):
    row = np.array([i for role, ids in turns for i in (0, *ids, *([end] * (role == "assistant")))])
    paid = [
        n > 0 and role == "assistant"
        for role, ids in turns
        for n in range(1 + len(ids) + (role == "assistant"))
    ]
    return [int(i) for i in np.where(paid, row, -100)][1:]


def prompt_in_a_loop(examples, request, k):
    text, taken = "", 0
    for question, answer in examples:
        if taken == k:
            break
        if question == request:
            continue
        text += "Q: " + question + "\n" + "A: " + answer + "\n" + "\n"
        taken += 1
    return text + "Q: " + request + "\n" + "A:"


def prompt_joined(examples, request, k):
    others = list(filter(lambda pair: pair[0] != request, examples))
    blocks = [f"Q: {q}\nA: {a}" for q, a in others[:k]]
    return "\n\n".join([*blocks, f"Q: {request}\nA:"])


def prompt_backwards(examples, request, k):
    text = f"Q: {request}\nA:"
    for q, a in reversed([pair for pair in examples if request not in pair[:1]][:k]):
        text = f"Q: {q}\nA: {a}\n\n{text}"
    return text


def chat_by_jinja(messages, add_generation_prompt):
    turns = [{"role": role, "content": content} for role, content in messages]
    template = Environment(keep_trailing_newline=True).from_string(instructions.IM)
    return template.render(messages=turns, add_generation_prompt=add_generation_prompt)


def chat_in_lines(messages, add_generation_prompt):
    lines = []
    for role, content in messages:
        lines += ["<|im_start|>" + role, content.strip() + "<|im_end|>"]
    last = messages[-1][0] if messages else None
    if add_generation_prompt and last != "assistant":
        lines.append("<|im_start|>assistant")
    return "".join(line + "\n" for line in lines)


def chat_by_slots(messages, add_generation_prompt):
    turn = "<|im_start|>{}\n{}<|im_end|>\n".format
    said = [turn(role, content.strip()) for role, content in messages]
    opens = add_generation_prompt and not any(role == "assistant" for role, _ in messages[-1:])
    return "".join(said) + "<|im_start|>assistant\n" * opens


def targets_in_slots(turns, marks, end):
    found = [-100] * sum(1 + len(ids) + (role == "assistant") for role, ids in turns)
    at = 0
    for role, ids in turns:
        said = [*ids, end] if role == "assistant" else []
        found[at + 1 : at + 1 + len(said)] = said
        at += 1 + max(len(said), len(ids))
    return found[1:]


def prompt_by_recursion(examples, request, k):
    if not examples or not k:
        return f"Q: {request}\nA:"
    (q, a), *others = examples
    if q == request:
        return prompt_by_recursion(others, request, k)
    return f"Q: {q}\nA: {a}\n\n" + prompt_by_recursion(others, request, k - 1)


def who_speaks_by_the_ids(turns, marks, end):
    row = [i for r, ids in turns for i in [marks[r], *ids, *([end] if r == "assistant" else [])]]
    found, on = [], False
    for i in row:
        if i in marks.values():
            on = i == marks["assistant"]
        found.append(i if on and i not in marks.values() else -100)
        on = on and i != end
    return found[1:]


def the_end_once(turns, marks, end):
    return [*targets_by_turns([(r, i) for r, i in turns if r != "assistant"], marks, end), end]


def alternating(turns, marks, end):
    return targets_by_turns(
        [(("user", "assistant")[n % 2], ids) for n, (_, ids) in enumerate(turns)], marks, end
    )


def whatever_contains_it(examples, request, k):
    return prompt_joined([pair for pair in examples if request not in pair[0]], request, k)


def by_a_dictionary(examples, request, k):
    return prompt_joined(list(dict(examples).items()), request, k)


def until_the_request(examples, request, k):
    questions = [q for q, _ in examples]
    stop = questions.index(request) if request in questions else len(examples)
    return prompt_joined(examples[:stop], request, k)


def behind_the_user(messages, add_generation_prompt):
    asked = not messages or messages[-1][0] == "user"
    return chat_in_lines(messages, False) + "<|im_start|>assistant\n" * (
        add_generation_prompt and asked
    )


def without_silence(messages, add_generation_prompt):
    return chat_by_slots([m for m in messages if m[1].strip()], add_generation_prompt)


STYLES = {
    instructions.chat_targets: (
        targets_by_turns,
        targets_in_tensors,
        targets_in_numpy,
        targets_in_slots,
    ),
    instructions.few_shot_prompt: (
        prompt_in_a_loop,
        prompt_joined,
        prompt_backwards,
        prompt_by_recursion,
    ),
    instructions.render_chat: (chat_by_jinja, chat_in_lines, chat_by_slots),
}
RIGHT = [(check, answer) for check, answers in STYLES.items() for answer in answers]


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)


WRONG = [
    (instructions.chat_targets, who_speaks_by_the_ids, "who speaks is read off the ids"),
    (instructions.chat_targets, the_end_once, None),
    (instructions.chat_targets, alternating, "every second turn is the assistant's"),
    (instructions.few_shot_prompt, whatever_contains_it, "all that contains the request"),
    (instructions.few_shot_prompt, by_a_dictionary, "equal requests are put together"),
    (instructions.few_shot_prompt, until_the_request, "stops at the request"),
    (instructions.render_chat, behind_the_user, "opened behind the user alone"),
    (instructions.render_chat, without_silence, "empty turns are left out"),
]


test_a_wrong_answer_hears_its_cause = wrong_answers(WRONG)
