"""Every check of the course, found by looking: whatever the modules in `bank/` define."""

import importlib
import pkgutil

from llmcourse.checks import bank, rarer
from llmcourse.checks.harness import Check


def all_checks() -> list[Check]:
    """The checks of all modules in `checks.bank`, by chapter and then in the order written."""
    found: dict[int, Check] = {}
    for module in pkgutil.iter_modules(bank.__path__, prefix=f"{bank.__name__}."):
        for thing in vars(importlib.import_module(module.name)).values():
            if isinstance(thing, Check):
                found[id(thing)] = thing
    for module in pkgutil.iter_modules(rarer.__path__, prefix=f"{rarer.__name__}."):
        importlib.import_module(module.name)
    return sorted(found.values(), key=lambda check: check.chapter)
