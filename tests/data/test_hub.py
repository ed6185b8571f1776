import http.server
import json
import socket
import threading
import time

import datasets
import pytest
from huggingface_hub import constants

from llmcourse.data import hub
from llmcourse.data.documents import Document
from llmcourse.errors import UserError


@pytest.fixture
def online(monkeypatch):
    """A hub at an address of our choice, asked directly."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "*")

    def at(address: str):
        monkeypatch.setattr(constants, "ENDPOINT", address)

    return at


@pytest.fixture
def listening():
    """A server that takes calls and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class SaysNotFound(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_error(404)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def answering():
    with http.server.HTTPServer(("127.0.0.1", 0), SaysNotFound) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def in_memory(online, answering, monkeypatch):
    """A hub that answers, with a data set that takes note of what is asked of it."""
    online(answering)
    asked = []

    def load_dataset(path, name, *, split, streaming):
        asked.append((path, name, split, streaming))

        def rows():
            for n in range(1000):
                asked.append(n)
                yield {"text": f"row {n}"}

        return datasets.IterableDataset.from_generator(rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


# --- a hub that does not answer ------------------------------------------------------------------


def test_a_hub_that_refuses_fails_at_once(online):
    online(f"http://127.0.0.1:{free_port()}")
    start = time.monotonic()
    with pytest.raises(
        UserError, match=r"the hub at .* does not answer: check the network, or nam"
    ):
        hub.read("hf:org/name")
    assert time.monotonic() - start < hub.HUB_SECONDS


def test_a_hub_that_hangs_fails_within_seconds(online, listening):
    online(f"http://127.0.0.1:{listening}")
    start = time.monotonic()
    with pytest.raises(UserError, match="does not answer"):
        hub.read("hf:org/name")
    assert time.monotonic() - start < hub.HUB_SECONDS + 2


def test_a_name_that_takes_for_ever_to_look_up_fails_within_seconds(online, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2) or [])
    monkeypatch.setattr(hub, "HUB_SECONDS", 0.2)
    online("http://hub.example")
    start = time.monotonic()
    with pytest.raises(UserError, match=r"hub\.example does not answer"):
        hub.read("hf:org/name")
    assert time.monotonic() - start < 1.5


def test_an_address_that_is_none_does_not_answer():
    assert not hub.answers("hub.example", 3.0)


def test_a_hub_that_says_no_is_there(answering):
    assert hub.answers(answering, 3.0)


def test_a_server_that_speaks_no_http_is_not_a_hub(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 this is a mail server\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        assert not hub.answers(f"http://127.0.0.1:{server.getsockname()[1]}", 3.0)
        thread.join()


# --- a hub that does -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("hf:org/name", ("org/name", None, "train", True)),
        ("hf:name:config", ("name", "config", "train", True)),
        ("hf:org/name@test", ("org/name", None, "test", True)),
        ("hf:org/name:a-b.c@valid", ("org/name", "a-b.c", "valid", True)),
    ],
)
def test_names_configurations_and_splits(in_memory, source, asked):
    assert next(hub.read(source)) == Document("row 0", f"{source}:1")
    assert in_memory[0] == asked


def test_rows_come_as_they_are_asked_for(in_memory):
    documents = hub.read("hf:org/name")
    assert in_memory[1:] == []
    assert [next(documents).text for _ in range(3)] == ["row 0", "row 1", "row 2"]
    assert in_memory[1:] == [0, 1, 2]


@pytest.mark.parametrize("error", [ConnectionResetError, TimeoutError, RuntimeError])
def test_a_stream_that_breaks_off_is_said(in_memory, monkeypatch, error):
    def rows():
        yield {"text": "a"}
        raise error("reset by peer\nand more")

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: rows())
    documents = hub.read("hf:org/name")
    assert next(documents).text == "a"
    with pytest.raises(UserError, match=r"hf:org/name broke off: reset by peer; try again"):
        next(documents)


@pytest.mark.parametrize("source", ["hf:", "hf:a@b@c", "hf:a:b:c", "hf::x", "hf:org/name@"])
def test_a_malformed_name_is_refused(source):
    with pytest.raises(UserError, match="is no hub name: write hf:org/name"):
        hub.read(source)


# --- the library itself --------------------------------------------------------------------------


@pytest.fixture
def data_set(tmp_path, monkeypatch):
    """A data set as the library finds one without a hub: a folder of that name."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "org" / "name"
    folder.mkdir(parents=True)
    rows = [{"story": f"story {n}", "label": n} for n in range(3)]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.usefixtures("data_set")
def test_the_librarys_own_stream_is_read():
    assert list(hub.read("hf:org/name")) == [
        Document(f"story {n}", f"hf:org/name:{n + 1}") for n in range(3)
    ]


@pytest.mark.usefixtures("data_set")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hf:org/name@tset", r"Bad split: tset\. Available splits: \['train'\]"),
        ("hf:org/name:small", r"BuilderConfig 'small' not found\. Available: \['default'\]"),
        ("hf:org/other", r"HF_HUB_OFFLINE is set: .*org/other"),
    ],
)
def test_what_the_library_says_is_one_line(source, message):
    with pytest.raises(UserError, match=f"^cannot open {source}: .*{message}") as caught:
        hub.read(source)
    assert "\n" not in str(caught.value)
