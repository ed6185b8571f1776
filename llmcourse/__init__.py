"""How language models are really trained: the reference implementations behind the chapters.

There is one import path for each name, so nothing is re-exported here. `docs` of a part: its
module's docstring. The whole map: README.md, or the graph that chapter 00 draws.
"""

import os
import signal
import sys

# Small and shared machines lose a factor of 10 to 100 when OpenMP's idle threads spin. They may for
# some tens of microseconds, as long as a small matrix takes: to sleep and be woken costs a quarter
# of a step. Read once, when torch is first imported, so set before that; a user's own wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

# `python -m` is still looking for the command: until it has one, Ctrl-C ends the process in a line.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    from llmcourse.errors import end_at_once

    signal.signal(signal.SIGINT, end_at_once)

__version__ = "0.1.0"
