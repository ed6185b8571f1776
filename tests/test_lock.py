"""The lock pins what `constraints.txt` pins, with sums, and nothing else."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_LOCKED = {"torch"}


def pins(text):
    lines = [line.split("#")[0].strip(" \\") for line in text.splitlines()]
    return dict(line.split("==") for line in lines if "==" in line)


def canonical(found):
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found.items()}


def test_the_lock_pins_what_the_constraints_pin():
    locked = canonical(pins((ROOT / "requirements.lock").read_text("utf-8")))
    wanted = canonical(pins((ROOT / "constraints.txt").read_text("utf-8")))
    assert locked == {name: pin for name, pin in wanted.items() if name not in NOT_LOCKED}
    assert wanted.keys() >= NOT_LOCKED


def test_every_pin_has_sums():
    entries = (ROOT / "requirements.lock").read_text("utf-8").replace("\\\n", " ").splitlines()
    for entry in entries:
        if entry and not entry.startswith("#"):
            assert re.fullmatch(r"\S+==\S+(\s+--hash=sha256:[0-9a-f]{64})+", entry.strip()), entry
