"""What pytest needs to know at the repository's root: for `tests/` and for `--nbval chapters/`.

`pytest --nbval chapters/`, as it stands, is strict: every output of every cell is compared with the
recorded one, in the environment in which `tools/chapters.py` records. The unit tests reach nothing
but this machine, keep out of the user's home, and start from the same seeds.
"""

import ipaddress
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tools.chapters import CELL_TIMEOUT, KERNEL_ENVIRONMENT, prepare_environment

# Before torch is imported anywhere: its thread pool is sized only once.
os.environ.setdefault("OMP_NUM_THREADS", KERNEL_ENVIRONMENT["OMP_NUM_THREADS"])
os.environ.setdefault("GOMP_SPINCOUNT", "0")  # what tests start shares the cores with other tests
os.environ["HF_HUB_OFFLINE"] = KERNEL_ENVIRONMENT["HF_HUB_OFFLINE"]


# --- notebooks -----------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Give `--nbval` the settings that it would otherwise need on the command line."""
    if not getattr(config.option, "nbval", False):
        return
    home = tempfile.TemporaryDirectory(prefix="llmcourse-nbval-")
    config.add_cleanup(home.cleanup)
    prepare_environment(home.name)
    config.option.nbval_current_env = True  # this interpreter, whatever kernels are installed
    config.option.nbval_cell_timeout = CELL_TIMEOUT
    _execute_as_a_notebook_does()


def _execute_as_a_notebook_does() -> None:
    """Have nbval store history, as every front end does: without, a trailing `;` has no effect."""
    from nbval.kernel import RunningKernel

    def execute_cell_input(self: Any, source: str, allow_stdin: bool | None = None) -> str:
        return self.kc.execute(
            source, store_history=True, allow_stdin=allow_stdin, stop_on_error=False
        )

    RunningKernel.execute_cell_input = execute_cell_input


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Fail a notebook's cell that was never run: nbval would compare nothing, and pass it."""
    cell = getattr(item, "cell", None)
    if cell is not None and cell.execution_count is None:
        pytest.fail("this cell has no recorded outputs: run `make chapters`", pytrace=False)


# --- unit tests ----------------------------------------------------------------------------------

# A test shares its cores with others: how long one example took says nothing about the code.
hypothesis.settings.register_profile("llmcourse", deadline=None)
# `--hypothesis-profile campaign`: for hours of trying.
hypothesis.settings.register_profile("campaign", deadline=None, max_examples=5000)
hypothesis.settings.load_profile("llmcourse")


class NetworkBlocked(ConnectionError):
    """A test tried to leave this machine; to the code under test it looks like no network."""


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """Refuse every connection and every name that is not this machine's own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _guarded_connect(getattr(socket.socket, name)))
        patch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))
        yield


def _guarded_connect(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse_unless_local(address[0])
        return connect(self, address)

    return guarded


def _guarded_lookup(lookup: Any) -> Any:
    def guarded(host: Any, *arguments: Any, **keywords: Any) -> Any:
        if host is not None:
            _refuse_unless_local(host)
        return lookup(host, *arguments, **keywords)

    return guarded


def _refuse_unless_local(host: str | bytes) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in ("", "localhost", socket.gethostname()):
        return
    try:
        local = ipaddress.ip_address(name)
    except ValueError:
        raise NetworkBlocked(f"tests reach no network, and {name} is on it") from None
    if not (local.is_loopback or local.is_unspecified):
        raise NetworkBlocked(f"tests reach no network, and {name} is on it")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """One thread: tests run beside each other, and sums are added in one order."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _fresh_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same seeds for every test, in whatever order, and a course home of its own."""
    from llmcourse.randomness import seed_all

    seed_all(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMCOURSE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets that `LLMCOURSE_DATA` names; without it the test is skipped."""
    folder = os.environ.get("LLMCOURSE_DATA")
    if not folder:
        pytest.skip("LLMCOURSE_DATA names no folder of real data")
    return Path(folder)
