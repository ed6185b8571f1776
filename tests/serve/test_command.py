"""The command itself: an address, a signal, a log without texts, and errors of one line."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import openai
import pytest
from small_server import expected, small_run

from llmcourse.errors import UserError
from llmcourse.serve.__main__ import main
from llmcourse.serve.settings import Limits, Options

SECRET = "Tom's secret garden"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("runs") / "tiny")


@contextlib.contextmanager
def command(run, *arguments, **variables):
    """The server as a process of its own, and its address."""
    line = [sys.executable, "-m", "llmcourse.serve", str(run), "--port", "0", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    environment["PYTHONPATH"] = os.getcwd()
    with subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = process.stdout.readline()
            found = re.search(r"http://\S+", said)
            assert found, said + process.stderr.read()
            yield process, found[0]
        finally:
            process.kill()


def wait_for(url):
    """Until the model is loaded the system holds the connection: the first answer says all."""
    with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
        assert answer.status == 200


def client_of(url, key="none"):
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)


def test_after_sigterm_it_finishes_what_it_began_and_exits_with_0(run, unchecked):
    with command(run) as (process, url), client_of(url) as client:
        wait_for(url)
        options = {"model": "tiny", "prompt": SECRET, "max_tokens": 200, "temperature": 0}
        whole = expected(SECRET, 200)
        heard = []

        def listen():
            stream = client.completions.create(**options, stream=True)
            for chunk in stream:
                heard.append(chunk.choices[0].text)
                if len(heard) == 3:
                    process.send_signal(signal.SIGTERM)

        thread = threading.Thread(target=listen)
        thread.start()
        thread.join(60)
        assert "".join(heard) == whole
        assert process.wait(30) == 0
        out, err = process.communicate()
        assert SECRET not in out + err
        assert err == ""


def test_the_log_of_requests_holds_no_text_and_the_key_comes_from_the_environment(run):
    with command(run, "--access-log", LLMCOURSE_API_KEY="sesame") as (process, url):
        wait_for(url)
        with client_of(url, "sesame") as client:
            client.completions.create(model="tiny", prompt=SECRET, max_tokens=2)
        with client_of(url, "wrong") as client, pytest.raises(openai.AuthenticationError):
            client.completions.create(model="tiny", prompt=SECRET, max_tokens=2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "POST /v1/completions" in out + err
        assert SECRET not in out + err
        assert "sesame" not in out + err


def test_it_listens_on_this_machine_alone_unless_told_otherwise():
    assert Options(run=Path(".")).host == "127.0.0.1"
    assert Options(run=Path(".")).hosts == {"127.0.0.1", "localhost", "::1"}
    assert Options(run=Path("."), allow_host=("me",)).hosts == {
        "127.0.0.1",
        "localhost",
        "::1",
        "me",
    }
    assert Options(run=Path("."), host="0.0.0.0").hosts is None
    assert Options(run=Path("."), host="::1").hosts is not None


@pytest.mark.parametrize("limit", ["max_batch", "request_seconds", "max_body_bytes"])
def test_limits_that_would_let_nothing_through(limit):
    with pytest.raises(UserError, match=f"{limit}=0 must be above 0"):
        Limits(**{limit: 0})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "99999"], "port=99999 must lie between 0 and 65535"),
        (["--prot", "1"], "did you mean --port?"),
        (["--max-batch", "0"], "max_batch=0 must be above 0"),
        (["--port", "0", "--template", "nonsense"], "unknown chat template 'nonsense'"),
        (["--port", "0", "--device", "quantum"], "device 'quantum' is unknown"),
        (["--host", "256.1.1.1"], "cannot listen on 256.1.1.1"),
    ],
)
def test_bad_options_are_one_line_and_status_two(run, capsys, arguments, said):
    with pytest.raises(SystemExit) as end:
        main([str(run), *arguments])
    captured = capsys.readouterr()
    assert end.value.code == 2
    assert captured.err.startswith("error: ")
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_a_port_that_is_taken_and_a_run_that_is_none(run, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit):
            main([str(run), "--port", str(port)])
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(tmp_path / "nowhere"), "--port", "0"])
    assert "there is no run directory" in capsys.readouterr().err


def test_help_is_fast_because_it_brings_no_torch():
    code = (
        "import sys, contextlib, runpy; sys.argv = ['serve', '--help']\n"
        "with contextlib.suppress(SystemExit):\n"
        "    runpy.run_module('llmcourse.serve', run_name='__main__')\n"
        "assert not {'torch', 'fastapi', 'pydantic', 'uvicorn'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"--api-key" in done.stdout
    assert b"--max-batch" in done.stdout
