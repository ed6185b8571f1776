"""The official client, unchanged: models, completions, chats, streams, errors."""

import math

import openai
import pytest
import torch
from small_server import (
    NAME,
    TOKENIZER,
    alone,
    expected,
    served,
    small_model,
    small_service,
    text_of,
)

from llmcourse.tokenizers.chat import Message, encode_prompt, find_template

PROMPT = "Tom had a cat. "


@pytest.fixture(scope="module")
def server():
    with served(small_service()) as found:
        yield found


@pytest.fixture(scope="module")
def client(server):
    with server.client() as found:
        yield found


def complete(client, **options):
    options = {"model": NAME, "prompt": PROMPT, "max_tokens": 12, "temperature": 0, **options}
    return client.completions.create(**options)


def chat(client, *says, **options):
    roles = ("user", "assistant")
    turns = [{"role": roles[at % 2], "content": said} for at, said in enumerate(says)]
    options = {"model": NAME, "messages": turns, "max_tokens": 12, "temperature": 0, **options}
    return client.chat.completions.create(**options)


def answer(*says, n=12):
    """What the model answers greedily, by the loop and the template of the course."""
    roles = ("user", "assistant")
    turns = [Message(roles[at % 2], said) for at, said in enumerate(says)]
    prompt = encode_prompt(TOKENIZER, find_template("plain"), turns)
    return text_of(alone(small_model(), [TOKENIZER.eot_id, *prompt], n))


def test_the_models_are_one(client):
    assert [model.id for model in client.models.list()] == [NAME]
    assert client.models.retrieve(NAME).owned_by == "llmcourse"
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-4'"):
        client.models.retrieve("gpt-4")


def test_a_completion_is_what_generation_writes(client):
    done = complete(client)
    (choice,) = done.choices
    assert choice.text == expected(PROMPT, 12)
    assert (choice.finish_reason, choice.index, done.object) == ("length", 0, "text_completion")
    n = len(PROMPT) + 1
    assert done.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": n, "completion_tokens": 12, "total_tokens": n + 12
    }  # fmt: skip


def test_a_streamed_completion_is_the_same_text(client):
    chunks = list(complete(client, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == expected(PROMPT, 12)
    assert [c.choices[0].finish_reason for c in chunks[:-1]][-1] == "length"
    assert len(chunks) > 4
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 12
    assert len({c.id for c in chunks}) == 1


def test_a_chat_is_answered_by_the_runs_template(client):
    done = chat(client, "Who had a cat?")
    assert done.choices[0].message.content == answer("Who had a cat?")
    assert done.choices[0].message.role == "assistant"
    again = chat(client, "Who?", "Tom.", "And what?")
    assert again.choices[0].message.content == answer("Who?", "Tom.", "And what?")


def test_a_streamed_chat_is_the_same_answer(client):
    chunks = list(chat(client, "Who had a cat?", stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == answer("Who had a cat?")
    assert chunks[-1].choices[0].finish_reason == "length"


def test_parts_and_developers_are_read_as_text_and_system(client):
    def say(*turns):
        done = client.chat.completions.create(
            model=NAME, messages=turns, max_completion_tokens=8, temperature=0
        )
        return done.choices[0].message.content

    parts = [{"type": "text", "text": "Who "}, {"type": "text", "text": "came?"}]
    user = {"role": "user", "content": "Who came?"}
    assert say({"role": "user", "content": parts}) == say(user)
    developer, system = ({"role": r, "content": "Be short."} for r in ("developer", "system"))
    assert say(developer, user) == say(system, user) != say(user)


def test_without_max_tokens_a_chat_goes_on_to_the_contexts_end(client):
    done = chat(client, "Hi", max_tokens=None)
    if done.choices[0].finish_reason == "length":
        assert done.usage.total_tokens == 256
    assert done.usage.completion_tokens > 12


def test_several_prompts_and_several_texts_of_each(client):
    prompts = ["a", "Tom", PROMPT]
    done = complete(client, prompt=prompts, n=2)
    assert [choice.index for choice in done.choices] == list(range(6))
    assert [choice.text for choice in done.choices] == [
        expected(prompt, 12) for prompt in prompts for _ in range(2)
    ]
    drawn = complete(client, n=3, temperature=1, seed=1)
    assert len({choice.text for choice in drawn.choices}) == 3


def test_ids_are_read_as_they_are(client):
    ids = [TOKENIZER.eot_id, *PROMPT.encode()]
    assert complete(client, prompt=ids).choices[0].text == expected(PROMPT, 12)
    assert complete(client, prompt=[ids, ids]).choices[1].text == expected(PROMPT, 12)


def test_the_same_seed_writes_the_same_text(client):
    def text(**options):
        return complete(client, temperature=1, max_tokens=30, **options).choices[0].text

    assert text(seed=1) == text(seed=1)
    assert text(seed=1) != text(seed=2)
    assert text() != text()
    assert text(seed=1, top_p=0.01) == expected(PROMPT, 30)


def test_penalties_change_what_is_written(client):
    whole = expected(PROMPT, 150)
    for name in ("presence_penalty", "frequency_penalty"):
        assert complete(client, max_tokens=150, **{name: 0}).choices[0].text == whole
        assert complete(client, max_tokens=150, **{name: 2}).choices[0].text != whole


def test_stop_strings_end_the_text_and_are_not_in_it(client):
    whole = expected(PROMPT, 40)
    stop = whole[20:22]
    done = complete(client, max_tokens=40, stop=[stop, "never there"])
    assert done.choices[0].text == whole[: whole.find(stop)]
    assert done.choices[0].finish_reason == "stop"
    streamed = complete(client, max_tokens=40, stop=stop, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == whole[: whole.find(stop)]


def test_logprobs_are_the_models(client):
    model, ids = small_model(), [TOKENIZER.eot_id, *PROMPT.encode()]
    tokens = alone(model, ids, 6)
    logits = model(torch.tensor([[*ids, *tokens]])).logits[0].detach()
    rows = logits.log_softmax(-1)[len(ids) - 1 : -1]
    right = [float(row[token]) for row, token in zip(rows, tokens, strict=True)]

    found = complete(client, max_tokens=6, logprobs=3).choices[0].logprobs
    assert found.token_logprobs == pytest.approx(right, abs=1e-3)
    for top, own in zip(found.top_logprobs, found.token_logprobs, strict=True):
        assert len(top) == 3
        assert max(top.values()) == pytest.approx(own)  # it was greedy

    done = chat(client, "Hi", logprobs=True, top_logprobs=2, max_tokens=6)
    content = done.choices[0].logprobs.content
    assert len(content) == 6
    assert all(len(one.top_logprobs) == 2 for one in content)
    assert bytes(b for one in content for b in one.bytes).decode("utf-8", "replace") == (
        done.choices[0].message.content
    )


def test_an_echo_scores_the_prompt(client):
    done = complete(client, echo=True, max_tokens=0, logprobs=1).choices[0]
    assert done.text == PROMPT
    assert done.logprobs.tokens == list(PROMPT)
    assert done.logprobs.text_offset == list(range(len(PROMPT)))
    ids = torch.tensor([[TOKENIZER.eot_id, *PROMPT.encode()]])
    rows = small_model()(ids).logits[0].log_softmax(-1).detach()
    right = [float(rows[at, token]) for at, token in enumerate(PROMPT.encode())]
    assert done.logprobs.token_logprobs == pytest.approx(right, abs=1e-3)

    longer = complete(client, echo=True, max_tokens=2, logprobs=0).choices[0]
    assert longer.text == PROMPT + expected(PROMPT, 2)
    assert longer.logprobs.text_offset[len(PROMPT)] == len(PROMPT)
    first = complete(client, prompt=[65, 66], echo=True, max_tokens=0, logprobs=0).choices[0]
    assert first.logprobs.token_logprobs[0] is None
    assert math.isfinite(first.logprobs.token_logprobs[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"logit_bias": {"5": 1}}, "logit_bias is not supported"),
        ({"suffix": "x"}, "suffix is not supported"),
        ({"best_of": 3}, "best_of is not supported"),
        ({"extra_body": {"top_k": 5}}, "top_k is not supported by this server; it takes model"),
        ({"temperature": 3}, "temperature: Input should be less than or equal to 2"),
        ({"top_p": 0}, "top_p: "),
        ({"n": 0}, "n: "),
        ({"max_tokens": -1}, "max_tokens: "),
        ({"max_tokens": 0}, "max_tokens must be at least 1 without echo"),
        ({"max_tokens": 300}, "the model sees 256 tokens"),
        ({"max_tokens": 10**30}, "the model sees 256 tokens"),
        ({"prompt": "x" * 300}, "the prompt has 301 tokens and 12 are wanted"),
        ({"prompt": "x" * 3000}, "the text has 3,000 letters"),
        ({"prompt": [999]}, "none of 257"),
        ({"prompt": []}, "prompt"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"extra_body": {"seed": "x"}}, "seed"),
        ({"n": 17}, "more than the 16 texts"),
    ],
)
def test_what_is_wrong_or_unsupported_is_named(client, options, said):
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, **options)
    assert said in caught.value.message
    assert caught.value.body["type"] == "invalid_request_error"
    assert "\n" not in caught.value.body["message"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools is not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"top_logprobs": 3}, "top_logprobs needs logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": " "}]}, "turn 1: the user's message is empty"),
        ({"messages": [{"role": "user", "content": "a"}] * 2}, "must be the assistant's"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            "the last turn must be the user's",
        ),
        ({"max_tokens": 250}, "the model sees 256 tokens"),
    ],
)
def test_chats_that_cannot_be_answered(client, options, said):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, "Hi", **options)
    assert said in caught.value.message


def test_another_models_name_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        complete(client, model="gpt-4")
    assert caught.value.body["code"] == "model_not_found"
    assert "ask for 'tiny'" in caught.value.message


def test_an_async_client_has_many_at_once(server):
    import asyncio

    async def all_of(prompts):
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x") as client:
            return await asyncio.gather(*(
                client.completions.create(model=NAME, prompt=p, max_tokens=9, temperature=0)
                for p in prompts
            ))  # fmt: skip

    prompts = [PROMPT[:n] for n in range(1, 13)]
    answers = asyncio.run(all_of(prompts))
    assert [one.choices[0].text for one in answers] == [expected(p, 9) for p in prompts]
