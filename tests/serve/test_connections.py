"""Clients that are connected and ask for nothing, or hardly: nobody else notices."""

import contextlib
import itertools
import json
import os
import resource
import socket
import subprocess
import sys
import time

import pytest
from small_server import NAME, expected, served, small_run, small_service, wait_until

HEAD = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
SHORT = {"model": NAME, "prompt": "Tom", "max_tokens": 5, "temperature": 0}


def address(server):
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


def ends(connection):
    """Whether the server has closed a connection, without having answered."""
    try:
        return connection.recv(1000) == b""
    except ConnectionResetError:
        return True


def answers(server):
    """Whether somebody else's request is answered rightly."""
    with server.client() as client:
        return client.completions.create(**SHORT).choices[0].text == expected("Tom", 5)


@pytest.fixture(scope="module")
def server():
    with served(small_service(head_seconds=1.5)) as found:
        yield found


@pytest.mark.parametrize("said", [b"", b"GET", HEAD, b"POST / HTTP/1.1\r\nX: "])
def test_a_head_that_does_not_come_is_not_waited_for(server, said):
    with socket.create_connection(address(server), timeout=30) as connection:
        connection.sendall(said)
        assert ends(connection)


def test_a_letter_now_and_then_gives_no_more_time(server):
    with socket.create_connection(address(server), timeout=30) as connection:
        said = itertools.chain(b"GET / HTTP/1.1\r\nX: ", itertools.repeat(ord("x"), 20_000))
        try:
            for letter in said:
                connection.sendall(bytes([letter]))
                time.sleep(0.01)
        except OSError:  # a connection that is closed takes no letter
            assert answers(server)
        else:
            pytest.fail("it would go on for ever")


def test_nor_does_a_second_request(server):
    with socket.create_connection(address(server), timeout=30) as connection:
        connection.sendall(HEAD + b"\r\n")
        heard = connection.recv(1000)
        while b'{"status":"ok"}' not in heard:
            heard += connection.recv(1000)
        connection.sendall(HEAD)
        assert ends(connection)


def test_a_text_may_take_longer_than_a_head(monkeypatch):
    with served(small_service(head_seconds=2.0)) as server, server.client() as client:
        rows = type(server.service.engine._rows)
        real = rows.step
        monkeypatch.setattr(
            rows, "step", lambda self, tokens: time.sleep(0.04) or real(self, tokens)
        )
        begun = time.monotonic()
        text = client.completions.create(**{**SHORT, "max_tokens": 60}).choices[0].text
        assert time.monotonic() - begun > 2.0
        assert text == expected("Tom", 60)


def test_too_many_connections_are_closed_and_the_next_ones_are_not():
    with served(small_service(head_seconds=60), most=20) as server, contextlib.ExitStack() as all_:
        many = [all_.enter_context(socket.create_connection(address(server))) for _ in range(60)]
        for connection in many[20:]:
            connection.settimeout(30)
            assert ends(connection)
        many[0].sendall(HEAD + b"\r\n")  # who was there before is answered
        assert many[0].recv(1000).startswith(b"HTTP/1.1 200")
        for connection in many[:5]:
            connection.close()
        time.sleep(0.1)
        assert answers(server)


def test_lines_that_are_no_http_and_paths_that_lead_away(server):
    said = [
        b"\xff\xfe\x00", b"GET /../../etc/passwd HTTP/1.1", b"GET /%2e%2e/etc/passwd HTTP/1.1",
        b"GET //etc/passwd HTTP/1.1", b"GET /\x00 HTTP/1.1", b"GET http://evil/health HTTP/9.9",
        b"GET /v1/models/..%2f..%2fmodel HTTP/1.1", b"GET /%ff%fe HTTP/1.1", b"G" * 70_000,
    ]  # fmt: skip
    for line in said:
        with socket.create_connection(address(server), timeout=30) as connection:
            connection.sendall(line + b"\r\nHost: 127.0.0.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                heard = connection.recv(4000)
                assert heard[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 404"), line
                assert b"root:" not in heard
    assert answers(server)


IDLE = 10_000


@pytest.mark.slow
def test_ten_thousand_connections(tmp_path):
    """Of the real command; those who wait are closed after a while, and nobody else notices."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    idle = IDLE if hard == resource.RLIM_INFINITY else min(IDLE, hard - 300)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run = small_run(tmp_path / NAME)
    line = [sys.executable, "-m", "llmcourse.serve", str(run), "--port", "0", "--device", "cpu",
            "--head-seconds", "250"]  # fmt: skip
    code = (  # as many systems are set: a few hundred files, and more for whoever asks
        "import resource, os, sys; kind = resource.RLIMIT_NOFILE\n"
        "resource.setrlimit(kind, (256, resource.getrlimit(kind)[1]))\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, *line]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            url = process.stdout.readline().decode().split()[2]
            host, port = url.removeprefix("http://").split(":")
            with contextlib.ExitStack() as opened:
                for _ in range(idle):
                    made = socket.create_connection((host, int(port)), timeout=60)
                    opened.enter_context(made)
                # The last of them wait in a queue of the system's until the server takes them.
                wait_until(lambda: len(os.listdir(f"/proc/{process.pid}/fd")) > idle, 120)
                with socket.create_connection((host, int(port)), timeout=60) as other:
                    body = json.dumps(SHORT).encode()
                    other.sendall(
                        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                        % len(body)
                        + body
                    )
                    heard = b""
                    while piece := other.recv(4000):
                        heard += piece
                answer = json.loads(heard.split(b"\r\n\r\n", 1)[1])
                assert answer["choices"][0]["text"] == expected("Tom", 5)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            process.terminate()
            process.wait(60)
        assert b"Traceback" not in process.stderr.read()
