"""What `conftest.py` promises to every test: no network, no user's home, the same start."""

import os
import random
import socket
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

drawn = []


def connect(kind, address, method="connect"):
    with socket.socket(*kind) as one:
        return getattr(one, method)(address)


@pytest.mark.parametrize(
    "reach",
    [
        lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
        lambda: connect((socket.AF_INET6,), ("2001:db8::1", 80)),
        lambda: socket.getaddrinfo("example.org", 443),
        lambda: connect((socket.AF_INET, socket.SOCK_DGRAM), ("192.0.2.1", 53)),
        lambda: connect((), ("192.0.2.1", 80), "connect_ex"),
    ],
    ids=["IPv4", "IPv6", "a name", "a datagram", "without an exception"],
)
def test_the_network_is_out_of_reach(reach):
    with pytest.raises(ConnectionError, match="tests reach no network"):
        reach()


def test_a_download_fails_as_it_does_without_a_network():
    with pytest.raises(urllib.error.URLError, match="tests reach no network"):
        urllib.request.urlopen("http://example.org/", timeout=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_within_reach(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = threading.Thread(target=lambda: server.accept()[0].close())
        answer.start()
        socket.create_connection((host, server.getsockname()[1]), timeout=5).close()
        answer.join()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
def test_sockets_without_a_network_are_left_alone():
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"x")
        assert other.recv(1) == b"x"


def test_the_learners_record_is_out_of_reach():
    home = Path(os.environ["LLMCOURSE_HOME"])
    assert home.is_dir()
    assert not list(home.iterdir())
    assert Path.home() not in home.parents or "pytest" in str(home)


def test_libraries_know_that_they_are_offline():
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize("_", range(2))
def test_every_test_starts_from_the_same_seeds(_):
    drawn.append((random.random(), np.random.random(), torch.rand(1).item()))  # noqa: NPY002
    assert drawn[0] == drawn[-1]


def test_sums_are_added_by_one_thread():
    assert torch.get_num_threads() == 1


def test_real_data_is_found_or_the_test_is_skipped(data_dir):
    assert data_dir == Path(os.environ["LLMCOURSE_DATA"])
