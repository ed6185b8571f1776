"""Rarer mistakes: beside their checks' modules, and read once an answer is wrong."""

import pkgutil
import subprocess
import sys

from llmcourse.checks import bank, rarer

ASK = """
import sys
from llmcourse.checks.bank.{module} import {name} as check
right = check.verdict(check.handed_in(check.right))
assert right.status == "passed", right.text
before = {rarer!r} in sys.modules
check.verdict(check.handed_in(lambda *args, **kwargs: "no such thing"))
print(before, {rarer!r} in sys.modules)
"""


def test_each_module_stands_beside_the_one_of_its_checks():
    beside = {module.name for module in pkgutil.iter_modules(bank.__path__)}
    assert {module.name for module in pkgutil.iter_modules(rarer.__path__)} <= beside


def test_they_are_read_once_an_answer_is_wrong():
    for module, name in (("laws", "fit_power_law"), ("laws", "measured_loss")):
        code = ASK.format(module=module, name=name, rarer=f"llmcourse.checks.rarer.{module}")
        run = [sys.executable, "-c", code]
        found = subprocess.run(run, capture_output=True, text=True, check=True)
        assert found.stdout == "False True\n"
