"""A chat: turns that are remembered, an answer that streams and ends, a context that fills."""

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.generate.chat import Chat, up_to
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.tokenizers.chat import ChatTemplate, Message, find_template

TOKENIZER = ByteTokenizer()


@pytest.mark.parametrize(
    ("tokens", "ending", "left"),
    [
        ([1, 2, 9], [9], [1, 2]),
        ([1, 8, 9, 2], [8, 9], [1]),
        ([1, 8, 2, 8, 9], [8, 9], [1, 8, 2]),
        ([8, 8, 9, 3], [8, 9], [8]),
        ([1, 8], [8, 9], [1, 8]),
        ([1, 2], [], [1, 2]),
        ([], [9], []),
    ],
)
def test_an_answer_goes_up_to_the_end_of_its_turn(tokens, ending, left):
    assert list(up_to(tokens, ending)) == left


def chat_of(answer, template, context=200):
    """A chat whose model says the same bytes each time; the texts that it was shown, too."""
    torch.manual_seed(0)
    sizes = {"d_model": 8, "n_layers": 1, "n_heads": 1, "context_length": context}
    model = GPT(modern_recipe(vocab_size=TOKENIZER.vocab_size, **sizes)).eval()
    shown = []

    def sampler_of(ids):
        shown.append(TOKENIZER.decode(ids[0].tolist()))
        coming = iter([*TOKENIZER.encode(answer), TOKENIZER.eot_id])
        return lambda logits: torch.tensor([next(coming)])

    talk = Chat(model, TOKENIZER, template, sampler_of=sampler_of, max_new_tokens=100)
    return talk, shown


def test_what_was_said_is_shown_again():
    talk, shown = chat_of("Tom.", find_template("plain"))
    assert "".join(talk.reply("Who?")) == "Tom."
    assert "".join(talk.reply("Where?")) == "Tom."
    assert talk.turns == [
        Message("user", "Who?"),
        Message("assistant", "Tom."),
        Message("user", "Where?"),
        Message("assistant", "Tom."),
    ]
    assert shown[1].startswith(shown[0])
    assert shown[1].index("Tom.") < shown[1].index("Where?")


def test_an_end_in_words_ends_the_turn_and_is_not_said():
    template = ChatTemplate(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<end>{% endfor %}"
        "{{ 'assistant: ' if add_generation_prompt }}"
    )
    talk, _ = chat_of("a < b<end> and more", template)
    assert "".join(talk.reply("Hi")) == "a < b"
    assert talk.turns[-1] == Message("assistant", "a < b")


def test_the_oldest_turns_are_forgotten_where_the_context_is_full():
    talk, shown = chat_of("Yes.", find_template("plain"), context=120)
    for number in range(4):
        assert "".join(talk.reply(f"Question {number}?")) == "Yes."
    assert "Question 0?" not in shown[-1]
    assert "Question 3?" in shown[-1]
    assert all(len(TOKENIZER.encode(text)) < 120 for text in shown)


@pytest.mark.parametrize(("message", "said"), [(" ", "is empty"), ("a" * 300, "say less")])
def test_a_message_that_cannot_be_is_refused(message, said):
    talk, _ = chat_of("Yes.", find_template("plain"))
    with pytest.raises(UserError, match=said):
        list(talk.reply(message))
    assert talk.turns == []
