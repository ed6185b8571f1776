"""How language models are really trained: the reference implementations behind the chapters.

There is one import path for each name, so nothing is re-exported here. `docs` of a part: its
module's docstring. The whole map: README.md, or the graph that chapter 00 draws.
"""

import os

# Small and shared machines lose a factor of 10 to 100 when OpenMP's idle threads spin. OpenMP reads
# this once, when torch is first imported, so it has to be set before that; a user's own wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
