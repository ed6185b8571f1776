"""The page that a fine-tuning run leaves behind: the score beside its rivals, and what went wrong.

One file without a script, as the report of `train` (`runs/html.py`). Not here: the figures
themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcourse.evaluate.intervals import wilson
from llmcourse.files import atomic_write_text
from llmcourse.finetune.task import Judged, Measurement, Task
from llmcourse.runs.charts import Bar, Picture, bar_chart
from llmcourse.runs.directory import RunDirectory, read_object
from llmcourse.runs.html import escape, figure, page, section, table, tiles


@dataclass(frozen=True)
class Finding:
    """What was found on the test split."""

    task: Task
    examples: Sequence[Any]
    measured: Measurement
    rivals: dict[str, Measurement]
    valid: Judged

    @property
    def judged(self) -> Judged:
        """How good the model is."""
        return self.measured.judged


def write_report(run: RunDirectory, found: Finding) -> Path:
    """Write `report.html`; returns where."""
    settings = found.task.settings
    parts = [
        f"<p class='kicker'>fine-tuning · {escape(settings.task)}</p>"
        f"<h1>{escape(run.path.name)}</h1>",
        _result(found),
        section("Beside its rivals", _rivals(found)),
        *found.task.sections(found.examples, found.measured, found.rivals),
        section("Use it", f"<pre>python -m llmcourse.finetune predict {escape(run.path)}</pre>"),
        section("Settings", _settings(run, settings.peak_lr)),
    ]
    atomic_write_text(run.report, page(f"{run.path.name}: {settings.task}", parts))
    return run.report


def _result(found: Finding) -> str:
    judged, n = found.judged, len(found.examples)
    said = [("on the validation split", found.valid.text), ("test examples", f"{n:,}")]
    said += [(name, f"{value:.1%}") for name, value in judged.others.items()]
    said += [(f"{name}, in nats", f"{value:.3f}") for name, value in judged.in_nats.items()]
    note = ""
    if judged.metric == "accuracy" and found.task.settings.task == "classification":
        share = wilson(round(judged.value * n), n)
        note = f"<p class='soft'>95 % interval: {share.low:.1%} to {share.high:.1%}</p>"
    return (
        f"<div class='result'><div><p class='big'>{judged.text}</p>"
        f"<p class='unit'>{escape(judged.metric)} on the test split</p>{note}</div></div>"
        + tiles(said)
    )


def _rivals(found: Finding) -> str:
    bars = [Bar(label="this model", value=round(found.judged.value, 3), style="accent")]
    bars += [
        Bar(label=name, value=round(one.judged.value, 3)) for name, one in found.rivals.items()
    ]
    better = ", less is better" if found.judged.lower_is_better else ""
    title = f"{found.judged.metric} on the test split{better}"
    said = ", ".join(f"{one.label} {one.value}" for one in bars)
    picture = Picture(title=title, description=f"{title}: {said}.", name="rivals", width=720)
    chart = bar_chart(bars, picture, unit="")
    return figure(title, chart, "What those reach who know little else than the training split.")


def _settings(run: RunDirectory, lr: float) -> str:
    values: dict[str, Any] = read_object(run.config) | {"lr": lr}
    data = {f"data.{name}": value for name, value in values.pop("data", {}).items()}
    return table("", [(name, "" if v is None else v) for name, v in (values | data).items()])
