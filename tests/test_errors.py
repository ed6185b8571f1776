import os
import subprocess
import sys

import pytest

from llmcourse.errors import MOST_NAMES, nearest


def test_a_name_that_is_nearly_right_is_named():
    assert nearest("rnsnorm", ["rmsnorm", "layernorm"]) == "; did you mean 'rmsnorm'?"


def test_what_there_is_is_listed():
    assert nearest("zzz", ["b", "a"]) == "; there are: a, b"


def test_a_long_list_stays_a_line():
    names = [f"word{n:03}" for n in range(300)]
    hint = nearest("猫", names)
    assert hint.endswith(f"word{MOST_NAMES - 1:03} and {300 - MOST_NAMES} more")
    assert len(hint) < 300
    assert nearest("猫", names[:MOST_NAMES]).endswith(names[MOST_NAMES - 1])


@pytest.mark.parametrize(("encoding", "shown"), [("cp1252", b"\xe9?"), ("ascii", b"??")])
def test_a_console_shows_what_it_can(encoding, shown):
    code = (
        "import sys; from llmcourse.errors import UserError, exit_on_user_error\n"
        "with exit_on_user_error():\n"
        "    print('\xe9\u732b')\n"
        "    raise UserError('\xe9\u732b')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert ran.stdout.strip() == shown
    assert ran.stderr.strip() == b"error: " + shown
    assert ran.returncode == 2
