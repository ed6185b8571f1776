"""Limits, keys, names, clients that leave, and what the server says of itself."""

import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families
from small_server import NAME, expected, served, small_service, wait_until

LONG = {"model": NAME, "prompt": "Tom", "max_tokens": 240, "temperature": 1, "seed": 5}


@pytest.fixture(scope="module")
def server():
    with served(small_service(max_body_bytes=5000, body_seconds=1.0)) as found:
        yield found


def call(server, path, body=None, method=None, **headers):
    """Status, headers and JSON of an answer."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if data is not None else {}
    request = urllib.request.Request(server.url + path, data, {**kind, **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def message(answer):
    return json.loads(answer[2])["error"]["message"]


@contextlib.contextmanager
def slow_steps(server, seconds=0.02):
    """A model that needs so long for a step that somebody can leave within a text."""
    rows = type(server.service.engine._rows)
    real = rows.step

    def step(self, tokens):
        time.sleep(seconds)
        return real(self, tokens)

    rows.step = step
    try:
        yield
    finally:
        rows.step = real


# --- bodies ---------------------------------------------------------------------------------------


def test_a_body_that_is_too_long_is_refused_unread(server):
    answer = call(server, "/v1/completions", {**LONG, "prompt": "x" * 6000})
    assert answer[0] == 413
    assert "longer than 5,000 bytes" in message(answer)
    # Nor does it help not to say how long it is.
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    pieces = (b"x" * 1000 for _ in range(7))
    connection.request(
        "POST", "/v1/completions", pieces, {"Content-Type": "application/json"},
        encode_chunked=True,
    )  # fmt: skip
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_that_does_not_come_is_not_waited_for(server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 3000, b'{"model": "tiny", "prompt": NaN}',
        b'{"\\ud800": 1}', b'{"model": 1e999}',
        b'{"model": "tiny", "seed": ' + b"9" * 4500 + b"}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/llmcourse/next"])
def test_bodies_that_are_no_request_are_400_in_one_line(server, body, path):
    status, _, content = call(server, path, body)
    assert status == 400
    assert set(json.loads(content)["error"]) == {"message", "type", "param", "code"}
    assert "\n" not in json.loads(content)["error"]["message"]


def test_halves_of_characters_are_read_as_the_mark_for_them(server):
    body = b'{"model": "tiny", "prompt": "a\\ud800", "echo": true, "max_tokens": 0}'
    status, _, content = call(server, "/v1/completions", body)
    assert (status, json.loads(content)["choices"][0]["text"]) == (200, "a\ufffd")
    assert call(server, "/v1/completions", b'{"model": "\\ud800"}')[0] == 404


def test_paths_and_methods_that_are_not_there(server):
    assert call(server, "/v1/embeddings", {})[0] == 404
    status, headers, _ = call(server, "/v1/completions")
    assert (status, headers["Allow"]) == (405, "POST")
    assert message(call(server, "/nowhere")) == "Not Found"


# --- queues and time ------------------------------------------------------------------------------


def test_who_finds_the_queue_full_is_told_to_come_again():
    with served(small_service(max_batch=1, max_queue=1)) as server, slow_steps(server):
        streams = []
        with server.client() as client:
            for _ in range(2):
                streams.append(client.completions.create(**LONG, stream=True))
                wait_until(lambda: server.service.engine._running)
            with pytest.raises(openai.RateLimitError) as caught:
                client.completions.create(**LONG)
            assert int(caught.value.response.headers["retry-after"]) >= 1
            assert "too many requests wait" in caught.value.message
            for stream in streams:
                stream.close()
            wait_until(lambda: server.service.engine.is_idle)
            short = {**LONG, "max_tokens": 5, "temperature": 0}
            assert client.completions.create(**short).choices[0].text == expected("Tom", 5)


def test_a_request_that_takes_too_long_is_ended():
    with served(small_service(request_seconds=0.4)) as server, slow_steps(server):
        with server.client() as client:
            with pytest.raises(openai.InternalServerError, match="longer than this server allows"):
                client.completions.create(**LONG)
            with pytest.raises(openai.APIError, match="longer than this server allows"):
                list(client.completions.create(**LONG, stream=True))
        assert server.figure("llmcourse_texts_total", reason="timeout") == 2
        wait_until(lambda: server.service.engine.is_idle)


# --- clients that leave ---------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_what_nobody_waits_for_is_not_written(server, stream):
    before = server.figure("llmcourse_texts_total", reason="cancelled")
    written = server.figure("llmcourse_generated_tokens_total")
    with slow_steps(server):
        host, port = server.url.removeprefix("http://").split(":")
        body = json.dumps({**LONG, "stream": stream}).encode()
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            wait_until(lambda: server.service.engine._running)
        wait_until(lambda: server.service.engine.is_idle)
    assert server.figure("llmcourse_texts_total", reason="cancelled") == before + 1
    assert server.figure("llmcourse_generated_tokens_total") - written < 200


def test_who_leaves_changes_nothing_for_who_stays(server):
    with slow_steps(server, 0.005), server.client() as client:
        for _ in range(3):
            leaving = client.completions.create(**LONG, stream=True)
            staying = client.completions.create(
                model=NAME, prompt="Mia saw", max_tokens=30, temperature=0, stream=True
            )
            next(iter(leaving))
            leaving.close()
            text = "".join(chunk.choices[0].text for chunk in staying)
            assert text == expected("Mia saw", 30)


# --- who may ask ----------------------------------------------------------------------------------


def test_with_a_key_nobody_asks_without_it():
    with served(small_service(), key="sésame") as server:
        for shown in (None, "Bearer wrong", "sésame", "Basic sésame", "Bearer "):
            sent = {} if shown is None else {"Authorization": shown.encode().decode("latin-1")}
            for path in ("/v1/models", "/metrics", "/openapi.json", "/nowhere"):
                status, _, content = call(server, path, **sent)
                assert status == 401
                assert json.loads(content)["error"]["code"] == "invalid_api_key"
            assert call(server, "/v1/completions", LONG, **sent)[0] == 401
        right = {"Authorization": "Bearer sésame".encode().decode("latin-1")}
        assert call(server, "/v1/models", **right)[0] == 200
        assert "securitySchemes" in call(server, "/openapi.json", **right)[2].decode()
        assert call(server, "/health")[0] == call(server, "/")[0] == 200
    with served(small_service(), key="plain") as server, server.client(key="plain") as client:
        assert client.models.list().data[0].id == NAME
        with server.client(key="other") as other, pytest.raises(openai.AuthenticationError):
            other.models.list()


def test_a_stranger_s_name_for_this_machine_is_refused():
    names = frozenset({"localhost", "127.0.0.1", "::1"})
    with served(small_service(), hosts=names) as server:
        for host, status in {
            "evil.example": 403, "evil.example:80": 403, "localhost:99": 200, "LOCALHOST": 200,
            "[::1]:80": 200, "127.0.0.1": 200, "127.0.0.1.evil.example": 403,
        }.items():  # fmt: skip
            assert call(server, "/health", Host=host)[0] == status


# --- the end --------------------------------------------------------------------------------------


def test_at_the_end_what_was_begun_is_finished_and_nothing_new_begins():
    with served(small_service()) as server, slow_steps(server), server.client() as client:
        options = {"model": NAME, "prompt": "Tom", "max_tokens": 60, "temperature": 0}
        stream = client.completions.create(**options, stream=True)
        first = next(iter(stream)).choices[0].text
        server.service.engine.drain()
        with pytest.raises(openai.InternalServerError) as caught:
            client.completions.create(**options)
        assert caught.value.status_code == 503
        assert caught.value.response.headers["retry-after"]
        status, _, content = call(server, "/health")
        assert (status, json.loads(content)) == (503, {"status": "draining"})
        rest = "".join(chunk.choices[0].text for chunk in stream)
        assert first + rest == expected("Tom", 60)


# --- what it says of itself -----------------------------------------------------------------------


def test_the_metrics_are_what_prometheus_reads(server):
    with server.client() as client:
        client.completions.create(model=NAME, prompt="Tom", max_tokens=3, temperature=0)
    # The answer is counted once it is out.
    labels = {"path": "/v1/completions", "status": "200"}
    wait_until(lambda: server.figure("llmcourse_requests_total", **labels) >= 1)
    call(server, "/some/path/that/nobody/knows")
    status, headers, content = call(server, "/metrics")
    assert (status, headers.get_content_type()) == (200, "text/plain")
    families = {f.name: f for f in text_string_to_metric_families(content.decode())}
    assert {
        "llmcourse_requests", "llmcourse_request_seconds", "llmcourse_prompt_tokens",
        "llmcourse_generated_tokens", "llmcourse_queue_length", "llmcourse_running_texts",
        "llmcourse_batch_size", "llmcourse_step_seconds", "llmcourse_first_token_seconds",
    } <= families.keys()  # fmt: skip
    paths = {s.labels["path"] for s in families["llmcourse_requests"].samples}
    assert "other" in paths
    assert not any("nobody" in path for path in paths)


def test_a_look_inside(server):
    status, _, content = call(server, "/llmcourse/next", {"prompt": "Tom", "top": 3, "layer": 0})
    found = json.loads(content)
    assert status == 200
    assert found["tokens"] == ["<|endoftext|>", "T", "o", "m"]
    assert (found["layer"], found["n_layers"]) == (0, 2)
    assert found["next"][0]["token"].startswith(("bytes:", expected("Tom", 1)))
    probabilities = [one["probability"] for one in found["next"]]
    assert len(probabilities) == 3
    assert 1 > probabilities[0] >= probabilities[1] >= probabilities[2] > 0
    assert len(found["attention"]) == 4
    assert all(sum(head) == pytest.approx(1, abs=1e-3) for head in found["attention"])
    turns = {"messages": [{"role": "user", "content": "Hi"}], "answer": "Tom"}
    tokens = json.loads(call(server, "/llmcourse/next", turns)[2])["tokens"]
    assert "".join(tokens[1:]) == "### Instruction:\nHi\n\n### Response:\nTom"
    for wrong, said in (
        ({}, "either prompt or messages"),
        ({"prompt": "a", "layer": 7}, "layer=7"),
    ):
        answer = call(server, "/llmcourse/next", wrong)
        assert answer[0] == 400
        assert said in message(answer)


def test_a_look_inside_does_not_disturb_who_writes(server):
    heard = []

    def write():
        with server.client() as client:
            options = {"model": NAME, "prompt": "Tom", "max_tokens": 60, "temperature": 0}
            heard.append(client.completions.create(**options).choices[0].text)

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(5):
        assert call(server, "/llmcourse/next", {"prompt": "Mia"})[0] == 200
    thread.join(60)
    assert heard == [expected("Tom", 60)]
