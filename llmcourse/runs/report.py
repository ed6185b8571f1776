"""The page that shows a run: `report.html`, made from what the run directory holds, no more.

    python -m llmcourse.runs.report runs/mine

makes it anew. It says as much as there is to say: a run that was killed has a page too. Not here:
the folder (`directory.py`) and the log (`log.py`), what they tell (`history.py`), the charts
(`report_charts.py`), the commands (`commands.py`), and how the page looks (`html.py`). Chapter 08
reads one.
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmcourse.errors import UserError, exit_on_user_error, say
from llmcourse.files import atomic_write_text
from llmcourse.runs.commands import next_commands, resume_command
from llmcourse.runs.diagnosis import bad_end
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.history import RunHistory, finite
from llmcourse.runs.html import escape, page, section, table, tiles
from llmcourse.runs.log import Evaluation, Sample
from llmcourse.runs.report_charts import loss_chart, result_bars, small_charts


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` into a run directory, from whatever is there; returns its path.

    Raises:
        UserError: the run's log is damaged.
        OSError: no room or no permission; `filename` is set.
    """
    history, name = RunHistory.read(run.path), run.path.resolve().name
    parts = [
        _heading(name, history) + _warning(run, history) + _diagnosis(history),
        _result(history),
        tiles(_metrics(history)),
        section("Loss", loss_chart(history)),
        small_charts(history),
        section("What it writes", _sample(history)),
        section("Commands", _commands(run, history)),
        section("Settings", _settings(history.config)),
        section("Made with", _environment(history.environment)),
        f"<footer>Every number of this page is in <code>{escape(run.metrics.name)}</code>, "
        "one record a line.</footer>",
    ]
    atomic_write_text(run.report, page(f"{name}: a training run", parts))
    return run.report


def _heading(name: str, history: RunHistory) -> str:
    """What this is, how far it came, and on what."""
    started, seconds = history.environment.get("started", ""), history.latest("seconds")
    facts = [
        f"{history.last_step:,} steps",
        "" if seconds is None else duration(seconds),
        history.environment.get("gpu") or history.environment.get("cpu"),
        str(started)[:10],
    ]
    line = " · ".join(str(fact) for fact in facts if fact)
    return (
        '<p class="kicker">Training run</p>\n'
        f'<h1>{escape(name)}</h1>\n<p class="soft">{escape(line)}</p>\n'
    )


def _warning(run: RunDirectory, history: RunHistory) -> str:
    """What to do where the run did not come to its end."""
    if history.complete:
        return ""
    end = history.end
    how = "is still going, or was killed" if end is None else f"ended early: {end.reason}"
    return (
        f'<p class="warn">This run {escape(how)}. To go on with it: '
        f"<code>{escape(resume_command(run, history))}</code></p>"
    )


def _diagnosis(history: RunHistory) -> str:
    """What is likely wrong with a run that ended badly."""
    found = bad_end(history)
    if found is None:
        return ""
    return (
        f'<p class="warn"><strong>Diagnosis: {escape(found.cause)}.</strong> '
        f"{escape(found.evidence[0].upper() + found.evidence[1:])} {escape(found.advice)}</p>"
    )


def _result(history: RunHistory) -> str:
    """The number that matters, large, beside what there was to beat."""
    best, count = history.best, len(history.evaluations)
    if best is None:
        words = '<p class="unit">No evaluation yet</p>'
    else:
        which = f"The lowest of {count} evaluations, at" if count > 1 else "Measured at"
        unit = "nats per answer" if best.bits_per_byte is None else "bits per byte"
        asked = "" if history.objective == "clm" else f", as {history.objective} asks for it"
        compared = _comparison(best.bits_per_byte, history)
        words = (
            f'<p class="big">{best.selection_metric:.3f}</p>\n'
            f'<p class="unit">{unit} on held-out text{escape(asked)}</p>\n'
            f'<p class="soft">{which} step {best.step:,}. {compared}</p>'
        )
    return f'<div class="result">\n<div>{words}</div>\n{result_bars(history)}\n</div>'


def _comparison(bits: float | None, history: RunHistory) -> str:
    """How bits per byte stand to the harder of the two guesses, and to what nobody can beat."""
    if bits is None or "unigram" not in history.baselines:
        return ""
    change = bits / history.baselines["unigram"] - 1
    side = "more" if change > 0 else "fewer"
    said = f"{abs(change):.0%} {side} than guessing by frequency (unigram) needs."
    if "entropy" in history.baselines:
        said += f" No model can get below this text's entropy, {history.baselines['entropy']:.3f}."
    return said


def _metrics(history: RunHistory) -> Iterator[tuple[str, str]]:
    """The other metrics, those of them that are known, each with its name."""
    best = history.best or Evaluation(step=0, loss=math.nan)
    loss = None if best.bits_per_byte is None else best.metrics.get("token_loss", best.loss)
    known = [
        ("perplexity per token", finite(best.perplexity), "{:,.1f}".format),
        ("loss, nats per token", finite(loss), "{:.3f}".format),
        ("loss, nats per pair", finite(best.metrics.get("pair_loss")), "{:.3f}".format),
        ("pairs told right", finite(best.metrics.get("pair_accuracy")), "{:.1%}".format),
        ("tokens trained on", history.latest("tokens"), "{:,.0f}".format),
        ("wall time", history.latest("seconds"), duration),
        ("tokens per second", history.typical("tokens_per_second"), "{:,.0f}".format),
        ("of the device's peak (MFU)", history.typical("mfu"), "{:.1%}".format),
        ("parameters", history.latest("parameters"), "{:,.0f}".format),
        ("tokens in the vocabulary", history.latest("vocab_size"), "{:,.0f}".format),
        ("tokens to learn from", history.latest("train_tokens"), "{:,.0f}".format),
        ("tokens held out", history.latest("valid_tokens"), "{:,.0f}".format),
    ]
    for name, value, shown in known:
        if value is not None:
            yield name, shown(value)


def _sample(history: RunHistory) -> str:
    """The last sample."""
    samples = history.of(Sample)
    if not samples:
        return ""
    last, others = samples[-1], len(samples) - 1
    where = f" {others} earlier in <code>samples.md</code>." if others else ""
    text = escape(last.text)
    return f'<p class="soft">At step {last.step:,}.{where}</p>\n<pre class="sample">{text}</pre>'


def _commands(run: RunDirectory, history: RunHistory) -> str:
    """What to type to write, to go on, to do it again."""
    commands = next_commands(run, history)
    shown = "\n\n".join(f"# {what}\n{command}" for what, command in commands.items())
    return f"<pre>{escape(shown)}</pre>"


def _settings(config: dict[str, Any]) -> str:
    """Every setting, a table for each group."""
    loose = {name: value for name, value in config.items() if not isinstance(value, dict)}
    groups = {"run": loose} | {k: v for k, v in config.items() if isinstance(v, dict)}
    tables = [
        table(group, [(name, plain(value)) for name, value in values.items()])
        for group, values in groups.items()
    ]
    return f'<div class="tables">\n{"".join(tables)}\n</div>' if config else ""


def _environment(environment: dict[str, Any]) -> str:
    """Versions, machine and commit, in one table."""
    shown = dict(environment)
    if shown.pop("dirty", None):
        shown["commit"] = f"{shown.get('commit')}, with changes"
    resumed = shown.pop("resumed", [])
    if resumed:
        shown["resumed"] = ", ".join(str(start.get("started")) for start in resumed)
    return table("", [(name, plain(value)) for name, value in shown.items()])


def duration(seconds: float) -> str:
    """Seconds as a person says them: `8.2 s`, `2 min 41 s`, `3 h 5 min`, `1 d 2 h`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, small, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60)):
        if whole >= size:
            return f"{whole // size} {large} {whole % size // part} {small}"
    return f"{whole // 60} min {whole % 60} s"


def plain(value: Any) -> str:
    """A setting's value as a reader writes it; a dash for nothing."""
    if value is None or value == "":
        return "–"
    return value if isinstance(value, str) else json.dumps(value)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: make the page of a run directory anew, and say where it is."""
    parser = argparse.ArgumentParser(
        prog="python -m llmcourse.runs.report", description="Make the report of a run anew."
    )
    parser.add_argument("run", type=Path, help="the run directory")
    run = RunDirectory(parser.parse_args(arguments).run)
    with exit_on_user_error():
        if not run.config.exists() and not run.metrics.exists():
            raise UserError(f"there is no run in {run.path}: look for its folder in runs/")
        run.check_kinds()
        say(str(write_report(run)))


if __name__ == "__main__":
    main()
