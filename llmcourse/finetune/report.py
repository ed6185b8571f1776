"""The page that a fine-tuning run leaves behind: the score beside its rivals, and what went wrong.

One file without a script, as the report of `train` (`runs/html.py`). Not here: the figures
themselves.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmcourse.evaluate.intervals import wilson
from llmcourse.evaluate.labels import confusion, f1_by_label
from llmcourse.files import atomic_write_text
from llmcourse.finetune.examples import Example
from llmcourse.finetune.task import Judged, Predicted, Task
from llmcourse.runs.charts import Bar, Picture, bar_chart
from llmcourse.runs.directory import RunDirectory, read_object
from llmcourse.runs.html import escape, figure, page, section, table, tiles

MOST_LABELS = 12
"""How many labels the table of confusions shows; the commonest mistakes come first."""
MOST_EXAMPLES = 8
"""How many of the worst examples are shown."""


@dataclass(frozen=True)
class Measured:
    """What was measured on the test split."""

    task: Task
    examples: Sequence[Example]
    predicted: Sequence[Predicted]
    judged: Judged
    baselines: dict[str, Judged]
    valid: Judged


def write_report(run: RunDirectory, measured: Measured) -> Path:
    """Write `report.html`; returns where."""
    settings = measured.task.settings
    parts = [
        f"<p class='kicker'>fine-tuning · {escape(settings.task)}</p>"
        f"<h1>{escape(run.path.name)}</h1>",
        _result(measured),
        section("Beside its rivals", _rivals(measured)),
        section("What is taken for what", _confusions(measured)),
        section("The worst of it", _worst(measured)),
        section("By label", _by_label(measured)),
        section("Use it", f"<pre>python -m llmcourse.finetune predict {escape(run.path)}</pre>"),
        section("Settings", _settings(run)),
    ]
    atomic_write_text(run.report, page(f"{run.path.name}: {settings.task}", parts))
    return run.report


def _result(measured: Measured) -> str:
    judged, n = measured.judged, len(measured.examples)
    said = [("on the validation split", f"{measured.valid.value:.1%}"), ("test examples", f"{n:,}")]
    said += [(name, f"{value:.1%}") for name, value in judged.others.items()]
    note = ""
    if judged.metric == "accuracy" and measured.task.settings.task == "classification":
        share = wilson(round(judged.value * n), n)
        note = f"<p class='soft'>95 % interval: {share.low:.1%} to {share.high:.1%}</p>"
    return (
        f"<div class='result'><div><p class='big'>{judged.value:.1%}</p>"
        f"<p class='unit'>{escape(judged.metric)} on the test split</p>{note}</div></div>"
        + tiles(said)
    )


def _rivals(measured: Measured) -> str:
    bars = [Bar(label="this model", value=round(100 * measured.judged.value, 1), style="accent")]
    bars += [
        Bar(label=name, value=round(100 * one.value, 1)) for name, one in measured.baselines.items()
    ]
    title = f"{measured.judged.metric} on the test split, in per cent"
    said = ", ".join(f"{bar.label} {bar.value:.1f}" for bar in bars)
    picture = Picture(title=title, description=f"{title}: {said}.", name="rivals", width=720)
    chart = bar_chart(bars, picture, unit="%")
    return figure(title, chart, "What those reach who know the training labels and little else.")


def _pairs(measured: Measured) -> Counter[tuple[str, str]]:
    right = [label for example in measured.examples for label in example.labels]
    said = [label for one in measured.predicted for label in one.labels]
    return confusion(right, said)


def _confusions(measured: Measured) -> str:
    """The table of all labels if there are few; else the commonest mistakes."""
    pairs, labels = _pairs(measured), measured.task.labels
    if len(labels) <= MOST_LABELS:
        head = "".join(f"<th scope='col'>{escape(label)}</th>" for label in labels)
        rows = "".join(
            f"<tr><th scope='row'>{escape(right)}</th>"
            + "".join(f"<td>{pairs[right, said] or '·'}</td>" for said in labels)
            + "</tr>"
            for right in labels
        )
        return (
            "<table class='grid'><caption>Rows: what it is. Columns: what it was taken for.</caption>"
            f"<tr><th></th>{head}</tr>{rows}</table>"
        )
    wrong = Counter({pair: n for pair, n in pairs.items() if pair[0] != pair[1]})
    common = wrong.most_common(MOST_LABELS)
    return table("The commonest mistakes", ((f"{a}, taken for {b}", n) for (a, b), n in common))


def _worst(measured: Measured) -> str:
    """The examples whose right labels were the greatest surprise."""
    order = sorted(
        range(len(measured.examples)), key=lambda place: -measured.predicted[place].surprise
    )
    rows = []
    for place in order[:MOST_EXAMPLES]:
        example, one = measured.examples[place], measured.predicted[place]
        if one.labels == example.labels:
            continue
        if len(example.labels) == 1:
            note = f"is {example.labels[0]}, taken for {one.labels[0]} ({one.sure:.0%} sure)"
            rows.append((example.words[0][:300], note))
        else:
            wrong = [
                f"{word}: {right}, taken for {said}"
                for word, right, said in zip(example.words, example.labels, one.labels, strict=True)
                if right != said
            ]
            rows.append((" ".join(example.words)[:300], "; ".join(wrong[:6])))
    return table("Least expected", rows)


def _by_label(measured: Measured) -> str:
    right = [label for example in measured.examples for label in example.labels]
    said = [label for one in measured.predicted for label in one.labels]
    counts = Counter(right)
    scores = sorted(f1_by_label(right, said).items(), key=lambda item: item[1])
    rows = [(label, f"F1 {score:.3f} of {counts[label]:,}") for label, score in scores[:40]]
    return table("The hardest first", rows)


def _settings(run: RunDirectory) -> str:
    values = read_object(run.config)
    data = {f"data.{name}": value for name, value in values.pop("data", {}).items()}
    return table("", [(name, "" if v is None else v) for name, v in (values | data).items()])
