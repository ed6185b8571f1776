"""Many clients at once, each of which knows what it must hear."""

import threading

import pytest
from small_server import NAME, expected, served, small_service

WORDS = ["Tom", "Mia", "Ben", "Zoe", "had", "saw", "lost", "found", "a", "the", "cat", "dog", "key"]


def prompt_of(number):
    """A prompt that no other client has, of a length that few have."""
    words = (WORDS[(number * step + step) % len(WORDS)] for step in range(1, 3 + number % 9))
    return f"{number} {' '.join(words)}"


def ask(server, number, rounds, found):
    try:
        with server.client() as client:
            for turn in range(rounds):
                prompt, n = prompt_of(number + 100 * turn), 10 + (number + turn) % 30
                stream = client.completions.create(
                    model=NAME, prompt=prompt, max_tokens=n, temperature=0, stream=True
                )
                text = "".join(chunk.choices[0].text for chunk in stream)
                found.append((prompt, n, text))
    except Exception as error:
        found.append(error)


def crowd(server, clients, rounds):
    """What each of so many clients heard."""
    found = [[] for _ in range(clients)]
    threads = [
        threading.Thread(target=ask, args=(server, number, rounds, heard))
        for number, heard in enumerate(found)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert not any(thread.is_alive() for thread in threads)
    return [one for heard in found for one in heard]


def check(answers, n):
    assert [one for one in answers if isinstance(one, Exception)] == []
    assert len(answers) == n
    assert len({prompt for prompt, _, _ in answers}) == n
    wrong = [(prompt, n, text) for prompt, n, text in answers if text != expected(prompt, n)]
    assert wrong == []


def test_sixteen_clients_each_hear_their_own_answer(unchecked):
    with served(small_service(max_batch=8)) as server:
        check(crowd(server, 16, 2), 32)
        steps, texts = (server.figure(f"llmcourse_batch_size_{name}") for name in ("count", "sum"))
        assert texts / steps > 1.5  # they did share steps
        assert server.figure("llmcourse_texts_total", reason="length") + server.figure(
            "llmcourse_texts_total", reason="stop"
        ) == 32  # fmt: skip
        assert server.service.engine.is_idle


@pytest.mark.slow
def test_sixty_four_clients_for_two_rounds(unchecked):
    with served(small_service(max_batch=32)) as server:
        check(crowd(server, 64, 2), 128)
        assert server.service.engine.is_idle
