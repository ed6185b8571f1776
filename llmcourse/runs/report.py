"""The page that shows a run: `report.html`, made from what the run directory holds, no more.

    python -m llmcourse.runs.report runs/mine

makes it anew. It says as much as there is to say: a run that was killed has a page too. Not here:
the folder (`directory.py`) and the log (`log.py`), what they tell (`history.py`), the charts
(`figures.py`), and how the page looks (`html.py`). Chapter 08 reads one.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llmcourse.errors import UserError, exit_on_user_error
from llmcourse.files import atomic_write_text
from llmcourse.runs.diagnosis import bad_end
from llmcourse.runs.directory import RunDirectory
from llmcourse.runs.figures import loss_figure, result_bars, small_figures
from llmcourse.runs.history import Story, duration, finite
from llmcourse.runs.html import escape, page, section, table, tiles


def write_report(run: RunDirectory) -> Path:
    """Write `report.html` into a run directory, from whatever is there; returns its path.

    Raises:
        UserError: the run's log is damaged.
        OSError: no room or no permission; `filename` is set.
    """
    story = Story.read(run)
    parts = [
        _heading(story),
        _result(story),
        tiles(_figures(story)),
        section("Loss", loss_figure(story)),
        small_figures(story),
        section("What it writes", _sample(story)),
        section("Commands", _commands(story)),
        section("Settings", _settings(story.config)),
        section("Made with", _environment(story.environment)),
        _footer(story),
    ]
    atomic_write_text(run.report, page(f"{story.name}: a training run", parts))
    return run.report


def _heading(story: Story) -> str:
    """What this is, and how it ended."""
    started, seconds = story.environment.get("started", ""), story.latest("seconds")
    facts = [
        f"{story.steps:,} steps",
        "" if seconds is None else duration(seconds),
        story.environment.get("gpu") or story.environment.get("cpu"),
        str(started)[:10],
    ]
    line = " · ".join(str(fact) for fact in facts if fact)
    return (
        '<p class="kicker">Training run</p>\n'
        f'<h1>{escape(story.name)}</h1>\n<p class="soft">{escape(line)}</p>\n{_warning(story)}'
        f"{_diagnosis(story)}"
    )


def _warning(story: Story) -> str:
    """What to do where the run did not come to its end."""
    if story.finished:
        return ""
    how = (
        "is still going, or was killed" if story.reason is None else f"ended early: {story.reason}"
    )
    return (
        f'<p class="warn">This run {escape(how)}. To go on with it: '
        f"<code>{escape(story.resume_command)}</code></p>"
    )


def _diagnosis(story: Story) -> str:
    """What is likely wrong with a run that ended badly."""
    found = bad_end(story.records)
    if found is None:
        return ""
    return (
        f'<p class="warn"><strong>Diagnosis: {escape(found.cause)}.</strong> '
        f"{escape(found.evidence[0].upper() + found.evidence[1:])} {escape(found.advice)}</p>"
    )


def _result(story: Story) -> str:
    """The figure that matters, large, beside what there was to beat."""
    best, count = story.best, len(story.of("evaluate"))
    if best is None:
        words = '<p class="unit">No evaluation yet</p>'
    else:
        which = f"The lowest of {count} evaluations, at" if count > 1 else "Measured at"
        unit = {"bits_per_byte": "bits per byte", "loss": "nats per answer"}[story.headline]
        asked = "" if story.objective == "clm" else f", as {story.objective} asks for it"
        words = (
            f'<p class="big">{best[story.headline]:.3f}</p>\n'
            f'<p class="unit">{unit} on held-out text{escape(asked)}</p>\n'
            f'<p class="soft">{which} step {best["step"]:,}. {_comparison(story)}</p>'
        )
    return f'<div class="result">\n<div>{words}</div>\n{result_bars(story)}\n</div>'


def _comparison(story: Story) -> str:
    """How the best evaluation stands to the harder of the two guesses."""
    if story.best is None or "unigram" not in story.baselines or story.headline == "loss":
        return ""
    share = story.best["bits_per_byte"] / story.baselines["unigram"] - 1
    side = "more" if share > 0 else "fewer"
    return f"{abs(share):.0%} {side} than guessing by frequency (unigram) needs."


def _figures(story: Story) -> Iterator[tuple[str, str]]:
    """The other figures, those of them that are known, each with its name."""
    best = story.best or {}
    known = [
        ("perplexity per token", finite(best.get("perplexity")), "{:,.1f}".format),
        ("loss, nats per token", _loss_per_token(best), "{:.3f}".format),
        ("loss, nats per pair", finite(best.get("pair_loss")), "{:.3f}".format),
        ("pairs told right", finite(best.get("pair_accuracy")), "{:.1%}".format),
        ("tokens trained on", story.latest("tokens"), "{:,.0f}".format),
        ("wall time", story.latest("seconds"), duration),
        ("tokens per second", story.typical("tokens_per_second"), "{:,.0f}".format),
        ("of the device's peak (MFU)", story.typical("mfu"), "{:.1%}".format),
        ("parameters", story.latest("parameters"), "{:,.0f}".format),
        ("tokens in the vocabulary", story.latest("vocab_size"), "{:,.0f}".format),
        ("tokens to learn from", story.latest("train_tokens"), "{:,.0f}".format),
        ("tokens held out", story.latest("valid_tokens"), "{:,.0f}".format),
    ]
    for name, value, shown in known:
        if value is not None:
            yield name, shown(value)


def _loss_per_token(evaluation: dict[str, Any]) -> float | None:
    """What an evaluation says of tokens; nothing where the task asks for none."""
    return (
        finite(evaluation.get("token_loss", evaluation.get("loss")))
        if ("bits_per_byte" in evaluation)
        else None
    )


def _sample(story: Story) -> str:
    """The last sample."""
    samples = story.of("sample")
    if not samples:
        return ""
    last, others = samples[-1], len(samples) - 1
    where = f" {others} earlier in <code>samples.md</code>." if others else ""
    text = escape(str(last.get("text", "")))
    return f'<p class="soft">At step {last["step"]:,}.{where}</p>\n<pre class="sample">{text}</pre>'


def _commands(story: Story) -> str:
    """What to type to write, to go on, to do it again."""
    lines = [
        ("Let it write", story.generate_command if story.run.model.exists() else None),
        ("Train it for longer" if story.finished else "Go on", story.resume_command),
        ("Repeat the run, in a new folder", story.repeat_command),
        ("Make this page anew", story.report_command),
        ("See TensorBoard", story.tensorboard_command if story.run.tensorboard.exists() else None),
    ]
    shown = "\n\n".join(f"# {what}\n{command}" for what, command in lines if command)
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


def _footer(story: Story) -> str:
    """Where the numbers are."""
    log = escape(story.run.metrics.name)
    return (
        f"<footer>Every number of this page is in <code>{log}</code>, one record a line.</footer>"
    )


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
        print(write_report(run))


if __name__ == "__main__":
    main()
