"""Whether a plan comes true: what `--plan` foretells, and what its own command then gives.

    python benchmarks/plans.py                            three runs, twelve minutes on a laptop
    python benchmarks/plans.py --budgets 20s              a look

For each budget the machine is measured and a plan made, as `python -m llmcourse.train --plan` does;
then its run is trained. Held against each other are the loss, in bits per byte, with its interval,
and the time: a budget ends a run, so what counts is whether it came to the tokens that were
foretold. A plan allows for a machine that is not equally fast for long, by a factor in both
directions (`planned within`). No run of these is in the ladder that the law was fitted to.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from measure import RESULTS, keep

from llmcourse.train.loop import train
from llmcourse.train.plan import OFF, make_plan, tokens_in_a_step
from llmcourse.train.plan_text import command_of
from llmcourse.train.presets import laptop


def fulfil(budget: str, out: Path) -> dict[str, Any]:
    """Plan a budget, spend it, and set one beside the other."""
    plan = make_plan(dataclasses.replace(laptop(), budget=budget, plan=True))
    best, interval = plan.best, plan.interval
    if best.loss is None or interval is None:
        raise SystemExit(f"no law holds for a budget of {budget}: give more")
    result = train(dataclasses.replace(best.settings, out=str(out), sample_tokens=0))
    if result.stopped_by is not None or result.score is None:
        raise SystemExit(f"the run of {budget} was stopped: nothing is kept")
    tokens, loss = result.steps * tokens_in_a_step(best.settings), result.score.bits_per_byte
    found = {
        "command": command_of(best.settings),
        "parameters": best.parameters,
        "foretold": {
            "bits_per_byte": best.loss,
            "interval": list(interval),
            "tokens": best.tokens,
            "seconds": best.seconds,
        },
        "found": {"bits_per_byte": loss, "tokens": tokens, "seconds": result.seconds},
        "loss within": interval[0] <= loss <= interval[1],
        "tokens within": 1 / OFF <= tokens / best.tokens <= OFF,
        "of the budget": result.seconds / best.settings.seconds_allowed,
    }
    print(found, flush=True)
    return found


def main() -> None:
    """Fulfil one plan after another and keep what came of them."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--budgets", nargs="+", default=["2m", "4m", "6m"], metavar="TIME")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {budget: fulfil(budget, Path(folder, budget)) for budget in options.budgets}
    keep("plans", {"budgets": options.budgets, "planned within": OFF}, found, options.out)


if __name__ == "__main__":
    main()
